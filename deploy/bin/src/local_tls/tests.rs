#![allow(clippy::unwrap_used, clippy::arithmetic_side_effects, reason = "tests")]

use super::*;

fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000)
}

fn layout(folder: &tempfile::TempDir) -> Layout {
    let layout = Layout::new(folder.path().join("data"));
    disk::create_folder(layout.root()).unwrap();
    layout
}

#[test]
fn the_authority_stays_over_restarts() {
    let folder = tempfile::tempdir().unwrap();
    let layout = layout(&folder);
    prepare(&layout, "localhost", now()).unwrap();
    let first = std::fs::read(layout.tls_authority()).unwrap();
    prepare(&layout, "sigstore.internal", now() + DAY).unwrap();
    assert_eq!(std::fs::read(layout.tls_authority()).unwrap(), first);
}

#[test]
fn a_power_cut_between_key_and_certificate_is_repaired() {
    let folder = tempfile::tempdir().unwrap();
    let layout = layout(&folder);
    prepare(&layout, "127.0.0.1", now()).unwrap();
    let key = std::fs::read(layout.tls_authority_key()).unwrap();
    std::fs::remove_file(layout.tls_authority()).unwrap();
    prepare(&layout, "127.0.0.1", now()).unwrap();
    assert_eq!(std::fs::read(layout.tls_authority_key()).unwrap(), key);
    assert!(layout.tls_authority().exists());
}

#[test]
fn a_lost_key_makes_a_new_authority() {
    let folder = tempfile::tempdir().unwrap();
    let layout = layout(&folder);
    prepare(&layout, "localhost", now()).unwrap();
    let before = std::fs::read(layout.tls_authority()).unwrap();
    std::fs::remove_file(layout.tls_authority_key()).unwrap();
    prepare(&layout, "localhost", now()).unwrap();
    assert_ne!(std::fs::read(layout.tls_authority()).unwrap(), before);
}

#[test]
fn a_damaged_key_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let layout = layout(&folder);
    disk::create_folder(&layout.tls()).unwrap();
    disk::write(&layout.tls_authority_key(), b"nonsense").unwrap();
    let error = prepare(&layout, "localhost", now()).err().unwrap().to_string();
    assert!(
        error.contains("ca.key.pem") && error.contains("remove"),
        "{error}"
    );
}
