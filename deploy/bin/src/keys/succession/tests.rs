#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "tests"
)]

use std::time::Duration;

use common_pki::key::SignError;
use tempfile::TempDir;

use super::*;
use crate::public_url::PublicUrl;
use crate::services::logs;

fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000)
}

const SUCCESSION: Succession = Succession {
    propagation: 60,
    published: None,
};

/// An instance with its first keys.
fn instance() -> (TempDir, Layout, Site, Keys) {
    let folder = tempfile::tempdir().unwrap();
    let layout = Layout::new(folder.path().to_owned());
    let site = Site::from("http://localhost:3000".parse::<PublicUrl>().unwrap());
    let keys = Keys::open(&layout, &site, &Places::default(), now()).unwrap();
    (folder, layout, site, keys)
}

/// A key in `role`, kept where its predecessor is.
fn successor(keys: &Keys, layout: &Layout, site: &Site, role: Role) -> Result<Keys, KeysError> {
    let wanted = Wanted {
        role,
        host: None,
        places: &Places::beside(keys.registry()),
        succession: SUCCESSION,
    };
    keys.with_successor(layout, site, &wanted, now())
}

#[test]
fn a_successor_is_loaded_and_its_forerunner_forgotten() {
    let (_folder, layout, site, keys) = instance();
    for role in Role::ALL {
        let before = keys.active(role).unwrap().0.id.clone();
        let both = successor(&keys, &layout, &site, role).unwrap();
        assert_eq!(both.active(role).unwrap().0.id, before, "it does not sign yet");
        let (next, _) = both.registry().successor(role).unwrap();
        let signer = both.signer(next).unwrap();
        assert!(signer.sign(b"ready").is_ok());
        assert!(both.registry().trusted_root().is_ok());

        // A start reads the same.
        let again = Keys::open(&layout, &site, &Places::default(), now()).unwrap();
        assert_eq!(again.registry(), both.registry());
        let mut registry = both.registry().clone();
        registry.take_over(role, next.valid_from.plus_seconds(900));
        let after = both.with_registry(&layout, registry).unwrap();
        assert_ne!(after.active(role).unwrap().0.id, before);
        let old = after.registry().by_role(role)[0];
        assert!(matches!(
            after.signer(old).unwrap().sign(b"no more"),
            Err(SignError::Failed(_))
        ));
        // And back, for the next role.
        keys.with_registry(&layout, keys.registry().clone()).unwrap();
    }
}

#[test]
fn every_shard_has_a_host_and_a_place_of_its_own() {
    let (_folder, layout, site, mut keys) = instance();
    for role in [Role::RekorV2, Role::CtLog] {
        keys = successor(&keys, &layout, &site, role).unwrap();
    }
    let (v2, _) = keys.registry().successor(Role::RekorV2).unwrap();
    assert_eq!(
        (v2.origin.as_str(), v2.url.as_str(), v2.service_url()),
        (
            "rekor-v2-2.localhost",
            "http://rekor-v2-2.localhost:3000",
            "http://localhost:3000"
        )
    );
    let (ct, _) = keys.registry().successor(Role::CtLog).unwrap();
    assert_eq!(
        (ct.origin.as_str(), ct.url.as_str()),
        (
            "localhost:3000/shards/ct-log-2",
            "http://localhost:3000/shards/ct-log-2"
        )
    );
    // Another port moves the places and no origin.
    let moved: PublicUrl = "http://localhost:4000".parse().unwrap();
    let moved = Keys::open(&layout, &moved.into(), &Places::default(), now()).unwrap();
    let (v2, _) = moved.registry().successor(Role::RekorV2).unwrap();
    assert_eq!(
        (v2.origin.as_str(), v2.url.as_str(), v2.service_url()),
        (
            "rekor-v2-2.localhost",
            "http://rekor-v2-2.localhost:4000",
            "http://localhost:4000"
        )
    );
    assert_eq!(shard_host("rekor-v2-2", "::1"), "rekor-v2-2.ip-1.internal");
    assert_eq!(
        shard_host("rekor-v2-2", "127.0.0.1"),
        "rekor-v2-2.ip-127-0-0-1.internal"
    );
}

/// The holders have the root, and its first key was removed as `docs/operations.md` says: nothing else waits for it.
#[test]
fn a_root_key_that_is_kept_elsewhere_stops_nothing() {
    let (_folder, layout, site, _) = instance();
    std::fs::remove_file(layout.keys().join("tuf-root-1.pem")).unwrap();
    let keys = Keys::open(&layout, &site, &Places::default(), now()).unwrap();
    keys.with_registry(&layout, keys.registry().clone()).unwrap();
    let keys = successor(&keys, &layout, &site, Role::Tsa).unwrap();
    assert!(keys.registry().successor(Role::Tsa).is_some());
    let other = layout.keys().join("tsa-2.pem");
    std::fs::remove_file(&other).unwrap();
    let restarted = Keys::open(&layout, &site, &Places::default(), now());
    assert!(
        matches!(restarted, Err(KeysError::Missing { .. })),
        "any other key"
    );
}

/// A restore gave the successor of a frozen log up: it verifies, and the next one has another number.
#[test]
fn a_log_that_is_lost_is_trusted_and_never_opened() {
    let (_folder, layout, site, keys) = instance();
    let keys = successor(&keys, &layout, &site, Role::CtLog).unwrap();
    let mut registry = keys.registry().clone();
    let end = registry
        .successor(Role::CtLog)
        .unwrap()
        .0
        .valid_from
        .plus_seconds(900);
    assert_eq!(
        registry.give_up_log(Role::CtLog, end).as_deref(),
        Some("ct-log-2")
    );
    assert_eq!(registry.give_up_log(Role::CtLog, end), None);
    let registry = Registry::parse(registry.to_json().unwrap().as_bytes()).unwrap();
    let keys = keys.with_registry(&layout, registry).unwrap();
    assert_eq!(keys.active(Role::CtLog).unwrap().0.id, "ct-log-1");
    assert_eq!(keys.registry().trusted_root().unwrap().ctlogs.len(), 2);
    let shards = logs::Shards::new(&keys, &[], 1).of(Role::CtLog, None).unwrap();
    let names: Vec<_> = shards.iter().map(|shard| shard.name.as_str()).collect();
    assert_eq!(names, ["ct-log-1"]);
    let keys = successor(&keys, &layout, &site, Role::CtLog).unwrap();
    assert_eq!(keys.registry().successor(Role::CtLog).unwrap().0.id, "ct-log-3");
}
