#![allow(
    clippy::unwrap_used,
    clippy::arithmetic_side_effects,
    clippy::panic,
    reason = "tests"
)]

use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use common_bundle::trust::RekorVersions;

use super::*;
use crate::public_url::PublicUrl;

fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000)
}

fn url(text: &str) -> PublicUrl {
    text.parse().unwrap()
}

fn layout(folder: &tempfile::TempDir) -> Layout {
    Layout::new(folder.path().to_owned())
}

fn open(layout: &Layout, public: &str) -> Result<Keys, KeysError> {
    Keys::open(layout, &url(public).into(), &Places::default(), now())
}

#[test]
fn the_first_start_creates_and_the_second_continues() {
    let folder = tempfile::tempdir().unwrap();
    let layout = layout(&folder);
    assert!(Keys::listed(&layout).unwrap().is_empty());
    let first = open(&layout, "http://localhost:3000").unwrap();
    assert_eq!(Keys::listed(&layout).unwrap().len(), 7);
    let second = open(&layout, "http://localhost:3000").unwrap();
    assert_eq!(first.registry(), second.registry());
    let issuer = || development_issuer(&layout).unwrap();
    assert_eq!(issuer().public_key().spki_der(), issuer().public_key().spki_der());
    for role in Role::ALL {
        let (record, signer) = second.active(role).unwrap();
        assert_eq!(record.spki, signer.public_key().spki_der(), "{role}");
    }
    for entry in std::fs::read_dir(layout.keys()).unwrap() {
        let mode = entry.unwrap().metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "keys are the owner's alone");
    }
    first.registry().trusted_root().unwrap();
    first.registry().signing_config(RekorVersions::Both).unwrap();
}

#[test]
fn chains_verify_and_have_their_purposes() {
    let folder = tempfile::tempdir().unwrap();
    let keys = open(&layout(&folder), "http://localhost:3000").unwrap();
    let at = now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    let (tsa, _) = keys.active(Role::Tsa).unwrap();
    let [leaf, intermediate, root] = Keys::chain(tsa).unwrap().try_into().unwrap();
    assert!(intermediate.verify_signature(root.public_key().unwrap()).is_ok());
    assert!(leaf.verify_signature(intermediate.public_key().unwrap()).is_ok());
    assert!(leaf.is_valid_at(at) && root.is_valid_at(at));
    let (ca, _) = keys.active(Role::FulcioCa).unwrap();
    let [issuer, root] = Keys::chain(ca).unwrap().try_into().unwrap();
    assert!(issuer.verify_signature(root.public_key().unwrap()).is_ok());
    assert_eq!(root.public_key().unwrap().algorithm(), KeyAlgorithm::EcdsaP384);
}

/// Cuts the power after each file of the first start: whatever is there, the next start ends with a whole set of keys.
#[test]
fn a_first_start_that_was_cut_anywhere_is_repeated() {
    let whole = tempfile::tempdir().unwrap();
    open(&layout(&whole), "http://localhost:3000").unwrap();
    let mut names: Vec<_> = std::fs::read_dir(layout(&whole).keys())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .filter(|name| name != "registry.json")
        .collect();
    names.sort();
    for kept in 0..=names.len() {
        let folder = tempfile::tempdir().unwrap();
        let layout = layout(&folder);
        disk::create_folder(&layout.keys()).unwrap();
        for name in names.iter().take(kept) {
            std::fs::copy(
                Layout::new(whole.path().to_owned()).keys().join(name),
                layout.keys().join(name),
            )
            .unwrap();
        }
        // The file under way when the power went.
        std::fs::write(layout.keys().join(".new-registry.json"), b"{").unwrap();
        let keys = open(&layout, "http://localhost:3000").unwrap();
        let again = open(&layout, "http://localhost:3000").unwrap();
        assert_eq!(keys.registry(), again.registry(), "after {kept} files");
    }
}

#[test]
fn another_port_is_followed_and_another_host_refused() {
    let folder = tempfile::tempdir().unwrap();
    let layout = layout(&folder);
    let before = open(&layout, "http://localhost:3000").unwrap();
    let moved = open(&layout, "https://localhost:3443").unwrap();
    let (old, _) = before.active(Role::RekorV2).unwrap();
    let (new, _) = moved.active(Role::RekorV2).unwrap();
    assert_eq!(
        (new.url.as_str(), &new.log_id),
        ("https://localhost:3443", &old.log_id)
    );
    assert_eq!(moved.registry().oidc_url, "https://localhost:3443/oidc");
    let error = open(&layout, "http://sigstore.internal").err().unwrap();
    assert!(matches!(error, KeysError::Host { .. }), "{error}");
}

#[test]
fn a_lost_exchanged_or_foreign_key_stops_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let layout = layout(&folder);
    open(&layout, "http://localhost:3000").unwrap();
    let path = layout.keys().join("rekor-v1-1.pem");
    let kept = std::fs::read(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    assert!(matches!(
        open(&layout, "http://localhost:3000"),
        Err(KeysError::Missing { .. })
    ));
    std::fs::copy(layout.keys().join("ct-log-1.pem"), &path).unwrap();
    assert!(matches!(
        open(&layout, "http://localhost:3000"),
        Err(KeysError::Other { .. })
    ));
    std::fs::write(&path, &kept).unwrap();
    let registry = std::fs::read_to_string(layout.registry()).unwrap();
    for uri in ["file:../../etc/passwd", "pkcs11:object=x", "file:"] {
        std::fs::write(layout.registry(), registry.replace("file:rekor-v1-1.pem", uri)).unwrap();
        assert!(
            matches!(open(&layout, "http://localhost:3000"), Err(KeysError::Key { .. })),
            "{uri}"
        );
    }
    std::fs::write(layout.registry(), b"{}").unwrap();
    assert!(matches!(
        open(&layout, "http://localhost:3000"),
        Err(KeysError::Registry { .. })
    ));
}

#[test]
fn keys_that_others_can_reach_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let layout = layout(&folder);
    open(&layout, "http://localhost:3000").unwrap();
    assert_eq!(exposed(&layout), Vec::<std::path::PathBuf>::new());
    let key = layout.keys().join("rekor-v1-1.pem");
    let set = |path: &std::path::Path, mode| {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    };
    set(&key, 0o640);
    assert_eq!(exposed(&layout), std::slice::from_ref(&key));
    set(&layout.keys(), 0o701);
    assert_eq!(exposed(&layout), [layout.keys(), key.clone()]);
    set(&key, 0o600);
    set(&layout.keys(), 0o700);
    assert!(exposed(&layout).is_empty());
}
