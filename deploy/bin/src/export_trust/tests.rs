#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;

fn unpacked(bytes: &[u8]) -> Result<Files, archive::ArchiveError> {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), bytes).unwrap();
    archive::unpack(file.path())
}

#[test]
fn what_is_packed_comes_back_and_always_as_the_same_bytes() {
    let long = format!("targets/{}.signing_config_rekor_v2.v0.2.json", "ab".repeat(32));
    let files = Files::from([(FIRST_ROOT.to_owned(), b"root".to_vec()), (long, vec![7; 5000])]);
    let packed = archive::pack(&files).unwrap();
    assert_eq!(packed, archive::pack(&files).unwrap());
    assert_eq!(unpacked(&packed).unwrap(), files);
}

#[test]
fn links_repeated_names_and_garbage_are_refused() {
    let mut link = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(tar::EntryType::Symlink);
    header.set_size(0);
    link.append_link(&mut header, FIRST_ROOT, "/etc/passwd").unwrap();
    assert!(unpacked(&link.into_inner().unwrap()).is_err());

    let mut twice = tar::Builder::new(Vec::new());
    for content in [&b"one"[..], b"two"] {
        let mut header = tar::Header::new_gnu();
        header.set_size(3);
        twice.append_data(&mut header, FIRST_ROOT, content).unwrap();
    }
    assert!(unpacked(&twice.into_inner().unwrap()).is_err());
    assert!(unpacked(&[0xff; 2048]).is_err());
}

#[test]
fn an_empty_archive_does_not_verify() {
    let root = verified(&Files::new(), b"{}", SystemTime::UNIX_EPOCH);
    assert!(root.is_err_and(|failure| failure.message.contains("does not verify")));
}
