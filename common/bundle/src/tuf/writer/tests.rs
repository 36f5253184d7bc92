#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use std::time::Duration;

use common_pki::key::{KeyAlgorithm, LocalSigner};
use serde_json::{Value, json};

use super::*;
use crate::{
    trust::testkit::signer,
    tuf::testkit::{Keys, Server, day, target},
};

const LIVES: Lifetimes = Lifetimes {
    root: 400 * 86_400,
    targets: 300 * 86_400,
    snapshot: 200 * 86_400,
    timestamp: 604_800,
};

fn json_of(server: &Server, path: &str) -> Value {
    serde_json::from_slice(&server.read(path).unwrap_or_else(|| unreachable!("{path}"))).unwrap()
}

#[test]
fn a_new_repository_is_what_clients_read() {
    let keys = Keys::new();
    let custom = json!({"sigstore": {"usage": "Rekor", "status": "Active", "uri": "http://localhost"}});
    let with_custom = Target {
        custom: Some(custom.clone()),
        ..target("rekor.pub", "key")
    };
    let (repository, server) = Server::create(&keys, &[target("trusted_root.json", "{}"), with_custom]);
    let digest = sha256(&[b"{}"]).to_string();
    for path in [
        "1.root.json",
        "root.json",
        "1.targets.json",
        "targets.json",
        "1.snapshot.json",
        "snapshot.json",
        "timestamp.json",
        "targets/trusted_root.json",
        &format!("targets/{digest}.trusted_root.json"),
    ] {
        assert!(server.0.contains_key(path), "{path}");
    }
    assert_eq!(server.0.len(), 11);
    // go-tuf verifies what it encodes again itself: whole seconds, no zero lengths, no empty hashes.
    assert_eq!(
        json_of(&server, "timestamp.json")["signed"],
        json!({
            "_type": "timestamp", "spec_version": "1.0.31", "version": 1, "expires": "2026-01-08T00:00:00Z",
            "meta": {"snapshot.json": {"version": 1}}
        })
    );
    let root = &json_of(&server, "1.root.json")["signed"];
    assert_eq!(
        (
            root["consistent_snapshot"].clone(),
            root["keys"].as_object().unwrap().len()
        ),
        (json!(true), 2)
    );
    let targets = &json_of(&server, "1.targets.json")["signed"]["targets"];
    assert_eq!(
        targets["trusted_root.json"],
        json!({"length": 2, "hashes": {"sha256": digest}})
    );
    assert_eq!(targets["rekor.pub"]["custom"], custom);

    let verified = server.verified("1.root.json", day(1)).unwrap();
    assert_eq!(
        verified.names().collect::<Vec<_>>(),
        ["rekor.pub", "trusted_root.json"]
    );
    assert_eq!(repository.current(Role::Targets).0, 1);
    assert_eq!(Repository::load(|path| server.read(path)).unwrap(), repository);
}

#[test]
fn a_timestamp_is_renewed_with_the_online_key_alone() {
    let keys = Keys::new();
    let (mut repository, mut server) = Server::create(&keys, &[target("a", "1")]);
    assert!(matches!(
        server.verified("1.root.json", day(7)),
        Err(TufError::Expired {
            role: Role::Timestamp,
            ..
        })
    ));
    let files = keys
        .online(|signers| repository.refresh(Lifetimes::default(), day(6), signers))
        .unwrap();
    assert_eq!(
        files.iter().map(|(path, _)| path.as_str()).collect::<Vec<_>>(),
        ["timestamp.json"]
    );
    server.publish(files);
    assert_eq!(repository.current(Role::Timestamp).0, 2);
    assert!(server.verified("1.root.json", day(12)).is_ok());
    assert_eq!(Repository::load(|path| server.read(path)).unwrap(), repository);
}

#[test]
fn what_runs_out_soon_is_renewed_with_it_where_its_key_is_at_hand() {
    let keys = Keys::new();
    let mut repository = keys
        .with(|signers| Repository::create(&keys.keys(), &[target("a", "1")], LIVES, day(0), signers))
        .unwrap()
        .0;
    let paths = |files: Files| files.into_iter().map(|(path, _)| path).collect::<Vec<_>>();
    let mut renew = |at, all: bool| {
        let renewed = if all {
            keys.with(|signers| repository.refresh(LIVES, day(at), signers))
        } else {
            keys.online(|signers| repository.refresh(LIVES, day(at), signers))
        };
        paths(renewed.unwrap())
    };
    assert_eq!(renew(185, false), ["timestamp.json"]);
    assert_eq!(
        renew(187, false),
        ["2.snapshot.json", "snapshot.json", "timestamp.json"]
    );
    assert_eq!(renew(290, false), ["timestamp.json"], "the targets key is away");
    let all = [
        "2.targets.json",
        "targets.json",
        "3.snapshot.json",
        "snapshot.json",
        "timestamp.json",
    ];
    assert_eq!(renew(290, true), all);
}

/// Clients compare each role's version with the last that they have seen of it (TUF §5.4.3, §5.5.5).
#[test]
fn versions_are_skipped_in_every_role_and_signed_once() {
    let keys = Keys::new();
    let (mut repository, mut server) = Server::create(&keys, &[target("a", "1")]);
    let mut skip = |count| keys.with(|signers| repository.skip(count, LIVES, day(1), signers));
    assert!(skip(0).unwrap().is_empty());
    assert!(
        skip(u64::MAX).is_err(),
        "clients read versions into signed integers"
    );
    let files = skip(100).unwrap();
    assert_eq!(
        files.iter().map(|(path, _)| path.as_str()).collect::<Vec<_>>(),
        [
            "101.targets.json",
            "targets.json",
            "101.snapshot.json",
            "snapshot.json",
            "timestamp.json"
        ]
    );
    for role in [Role::Targets, Role::Snapshot, Role::Timestamp] {
        assert_eq!(repository.current(role).0, 101, "{role}");
    }
    assert_eq!(repository.current(Role::Root).0, 1);
    server.publish(files);
    assert!(server.verified("1.root.json", day(2)).is_ok());
    assert_eq!(Repository::load(|path| server.read(path)).unwrap(), repository);
}

#[test]
fn new_targets_are_published_once() {
    let keys = Keys::new();
    let (mut repository, mut server) = Server::create(&keys, &[target("a", "1"), target("b", "1")]);
    let mut set = |targets: &[Target]| {
        let files = keys
            .with(|signers| repository.set_targets(targets, LIVES, day(1), signers))
            .unwrap();
        (files.len(), server.publish(files)).0
    };
    assert_eq!(set(&[target("b", "1"), target("a", "1")]), 0);
    assert_ne!(set(&[target("a", "2")]), 0);
    assert_eq!(set(&[target("a", "2")]), 0);
    let verified = server.verified("1.root.json", day(1)).unwrap();
    assert_eq!(verified.names().collect::<Vec<_>>(), ["a"]);
    let path = verified.request("a").unwrap().path;
    assert!(verified.check("a", &server.0[&path]).is_ok());
    assert_eq!(server.0["targets/a"], b"2");
    // Clients in the middle of an update still find what the old metadata names.
    assert!(server.0.contains_key("1.targets.json"));
    assert!(server.0.contains_key(&format!("targets/{}.a", sha256(&[b"1"]))));
}

#[test]
fn roots_are_rotated_under_clients_that_trust_the_first() {
    let (old, new) = (Keys::new(), Keys::new());
    let (mut repository, mut server) = Server::create(&old, &[target("a", "1")]);
    let (root, online): ([&dyn Signer; 2], [&dyn Signer; 1]) = ([&old.root, &new.root], [&new.online]);
    let signers = Signers {
        root: &root,
        targets: &root,
        snapshot: &online,
        timestamp: &online,
    };

    let one_side = Signers {
        root: &root[1..],
        ..signers
    };
    let before = repository.clone();
    let refused = repository.rotate_root(&new.keys(), LIVES, day(1), one_side);
    assert!(matches!(
        refused,
        Err(TufError::TooFewSigners {
            role: Role::Root,
            got: 0,
            ..
        })
    ));
    assert_eq!(repository, before);

    let files = repository
        .rotate_root(&new.keys(), LIVES, day(1), signers)
        .unwrap();
    assert_eq!(files[0].0, "2.root.json");
    server.publish(files);
    assert_eq!(
        json_of(&server, "2.root.json")["signatures"]
            .as_array()
            .unwrap()
            .len(),
        2
    );
    assert_eq!(server.read("1.root.json"), server.read("1.root.json"));
    assert_eq!(server.read("root.json"), server.read("2.root.json"));
    for start in ["1.root.json", "2.root.json"] {
        assert_eq!(server.verified(start, day(2)).unwrap().root().version, 2);
    }
    // The old online key signs nothing any more.
    assert!(
        old.online(|signers| repository.refresh(LIVES, day(2), signers))
            .is_err()
    );
    assert!(
        new.online(|signers| repository.refresh(LIVES, day(2), signers))
            .is_ok()
    );
    // Same keys, later end: only the root is published.
    let files = new
        .with(|signers| repository.rotate_root(&new.keys(), LIVES, day(300), signers))
        .unwrap();
    assert_eq!(
        files.iter().map(|(path, _)| path.as_str()).collect::<Vec<_>>(),
        ["3.root.json", "root.json"]
    );
    server.publish(files);
    assert_eq!(
        Repository::load(|path| server.read(path))
            .unwrap()
            .current(Role::Root)
            .0,
        3
    );
}

#[test]
fn thresholds_count_different_keys() {
    let all: Vec<LocalSigner> = (0..3).map(|_| signer(KeyAlgorithm::EcdsaP256)).collect();
    let keys = KeySet {
        keys: all.iter().map(|key| key.public_key().clone()).collect(),
        threshold: 2,
    };
    let keys = RootKeys {
        root: keys.clone(),
        targets: keys.clone(),
        snapshot: keys.clone(),
        timestamp: keys,
    };
    let create = |chosen: &[&dyn Signer]| {
        let signers = Signers {
            root: chosen,
            targets: chosen,
            snapshot: chosen,
            timestamp: chosen,
        };
        Repository::create(&keys, &[target("a", "1")], LIVES, day(0), signers)
    };
    let (_, files) = create(&[&all[0], &all[2]]).unwrap();
    let mut server = Server::default();
    server.publish(files);
    assert!(server.verified("1.root.json", day(0)).is_ok());
    assert!(matches!(
        create(&[&all[1]]),
        Err(TufError::TooFewSigners {
            role: Role::Root,
            threshold: 2,
            got: 1
        })
    ));
    assert!(matches!(create(&[]), Err(TufError::TooFewSigners { got: 0, .. })));
    assert!(matches!(
        create(&[&all[1], &all[1]]),
        Err(TufError::Threshold {
            valid: 1,
            threshold: 2,
            ..
        })
    ));
    let stranger = signer(KeyAlgorithm::EcdsaP256);
    assert!(matches!(
        create(&[&all[1], &stranger]),
        Err(TufError::TooFewSigners { got: 1, .. })
    ));
}

#[test]
fn what_cannot_be_published_is_refused() {
    let keys = Keys::new();
    let (mut repository, _) = Server::create(&keys, &[target("a", "1")]);
    let before = repository.clone();
    let mut set = |targets: &[Target]| {
        keys.with(|signers| repository.set_targets(targets, LIVES, day(1), signers))
            .map(|_| ())
            .unwrap_err()
    };
    assert!(matches!(set(&[target("../a", "1")]), TufError::TargetName(_)));
    assert!(matches!(
        set(&[target("a", "1"), target("a", "2")]),
        TufError::Invalid {
            role: Role::Targets,
            ..
        }
    ));
    let large = Target {
        bytes: vec![0; MAX_TARGET as usize + 1],
        ..target("a", "")
    };
    assert!(matches!(set(&[large]), TufError::TooLarge { .. }));
    let fat = Target {
        custom: Some(json!("x".repeat(super::super::MAX_TARGETS))),
        ..target("a", "")
    };
    assert!(matches!(set(&[fat]), TufError::TooLarge { .. }));
    let away = keys.online(|signers| repository.set_targets(&[target("a", "2")], LIVES, day(1), signers));
    assert!(matches!(
        away,
        Err(TufError::TooFewSigners {
            role: Role::Targets,
            ..
        })
    ));
    let late = SystemTime::UNIX_EPOCH + Duration::from_secs(1 << 40);
    let late = keys.with(|signers| repository.refresh(LIVES, late, signers));
    assert!(matches!(late, Err(TufError::Time)));
    assert_eq!(repository, before);
}

#[test]
fn a_damaged_folder_is_not_picked_up() {
    let keys = Keys::new();
    let (_, server) = Server::create(&keys, &[target("a", "1")]);
    for path in ["root.json", "timestamp.json", "1.snapshot.json", "1.targets.json"] {
        let mut without = server.clone();
        without.0.remove(path);
        let error = Repository::load(|path| without.read(path)).unwrap_err();
        assert!(
            matches!(&error, TufError::Missing(missing) if missing == path),
            "{error}"
        );
        let mut cut = server.clone();
        cut.0.get_mut(path).unwrap().truncate(40);
        assert!(matches!(
            Repository::load(|path| cut.read(path)),
            Err(TufError::Json { .. })
        ));
    }
}
