#![allow(
    clippy::arithmetic_side_effects,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "tests"
)]

use std::{collections::HashMap, time::Duration};

use serde_json::{Value, json};

use super::*;
use crate::{
    trust::{SigningConfig, TrustedRoot, testkit::vector},
    tuf::{
        KeySet, Lifetimes, RootKeys, Signers,
        testkit::{Keys, Server, day, target},
    },
};

/// Seconds of 2026-11-23 and 2026-11-30, inside and after the recorded timestamp's week.
const INSIDE: u64 = 1_795_392_000;
const AFTER: u64 = 1_795_996_800;

fn at(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
}

fn recorded() -> Option<HashMap<String, Vec<u8>>> {
    [
        "1.root.json",
        "1.snapshot.json",
        "1.targets.json",
        "timestamp.json",
    ]
    .into_iter()
    .map(|name| Some((name.to_owned(), vector(&format!("tuf/{name}"))?)))
    .collect()
}

fn run(files: &HashMap<String, Vec<u8>>, seconds: u64) -> Result<VerifiedTargets, TufError> {
    verify(&files["1.root.json"], at(seconds), |path| {
        files.get(path).cloned()
    })
}

#[test]
fn a_repository_that_three_clients_accepted_is_accepted() {
    let Some(files) = recorded() else { return };
    let verified = run(&files, INSIDE).unwrap();
    assert_eq!(
        verified.names().collect::<Vec<_>>(),
        ["signing_config.v0.2.json", "trusted_root.json"]
    );
    let fetch = |name| {
        let request = verified.request(name).unwrap();
        let bytes = vector(&format!("tuf/{}", request.path)).unwrap();
        assert_eq!(bytes.len(), request.limit);
        verified.check(name, &bytes).unwrap();
        bytes
    };
    assert_eq!(verified.expires().to_string(), "2026-11-29T00:00:00Z");
    TrustedRoot::parse(&fetch("trusted_root.json")).unwrap();
    SigningConfig::parse(&fetch("signing_config.v0.2.json")).unwrap();
    let late = run(&files, AFTER).unwrap_err();
    assert_eq!(
        late.to_string(),
        "timestamp metadata expired at 2026-11-29T00:00:00Z"
    );
}

#[test]
fn no_flipped_bit_is_accepted() {
    let Some(files) = recorded() else { return };
    for name in files.keys() {
        for at in (0..files[name].len()).step_by(3) {
            let mut changed = files.clone();
            changed.get_mut(name).unwrap()[at] ^= 1;
            assert!(run(&changed, INSIDE).is_err(), "bit 0 of byte {at} of {name}");
        }
    }
}

#[test]
fn a_target_is_its_bytes() {
    let Some(files) = recorded() else { return };
    let verified = run(&files, INSIDE).unwrap();
    let name = "trusted_root.json";
    let mut bytes = vector(&format!("tuf/{}", verified.request(name).unwrap().path)).unwrap();
    bytes[100] ^= 1;
    assert!(matches!(
        verified.check(name, &bytes),
        Err(TufError::Mismatch {
            property: "sha256",
            ..
        })
    ));
    bytes.pop();
    assert!(matches!(
        verified.check(name, &bytes),
        Err(TufError::Mismatch {
            property: "length",
            ..
        })
    ));
    assert!(matches!(
        verified.check("other", &bytes),
        Err(TufError::UnknownTarget(_))
    ));
    assert!(matches!(
        verified.request("../1.root.json"),
        Err(TufError::UnknownTarget(_))
    ));
}

/// Replaces what `change` makes of a file's `signed`, signed again by the keys that should.
fn forge(server: &Server, keys: &Keys, path: &str, role: Role, change: impl FnOnce(&mut Value)) -> Server {
    use common_pki::key::Signer as _;
    let mut file: Value = serde_json::from_slice(&server.0[path]).unwrap();
    change(&mut file["signed"]);
    let message = super::super::metadata::canonical(role, &file["signed"]).unwrap();
    let signer = if role <= Role::Targets {
        &keys.root
    } else {
        &keys.online
    };
    file["signatures"][0]["sig"] = json!(hex::encode(signer.sign(&message).unwrap()));
    let mut forged = server.clone();
    forged
        .0
        .insert(path.to_owned(), serde_json::to_vec(&file).unwrap());
    forged
}

#[test]
fn signed_contradictions_are_refused() {
    let keys = Keys::new();
    let (_, server) = Server::create(&keys, &[target("a", "1")]);
    let forged = |path, role, change: &dyn Fn(&mut Value)| {
        forge(&server, &keys, path, role, change).verified("1.root.json", day(1))
    };
    let same = forged("timestamp.json", Role::Timestamp, &|_| {});
    assert!(same.is_ok(), "signing again changes nothing: {same:?}");
    let unknown = forged("1.targets.json", Role::Targets, &|signed| {
        signed["x-vendor"] = json!({"a": ["é\n"]})
    });
    assert!(
        unknown.is_ok(),
        "unknown members are signed and ignored: {unknown:?}"
    );

    let version = forged("1.snapshot.json", Role::Snapshot, &|signed| {
        signed["version"] = json!(2)
    });
    assert!(matches!(
        version,
        Err(TufError::Version {
            role: Role::Snapshot,
            expected: 1,
            got: 2
        })
    ));
    let version = forged("1.targets.json", Role::Targets, &|signed| {
        signed["version"] = json!(7)
    });
    assert!(matches!(
        version,
        Err(TufError::Version {
            role: Role::Targets,
            ..
        })
    ));
    let announced = forged("timestamp.json", Role::Timestamp, &|signed| {
        signed["meta"]["snapshot.json"]["version"] = json!(9)
    });
    assert!(matches!(announced, Err(TufError::Missing(path)) if path == "9.snapshot.json"));
    let unlisted = forged("1.snapshot.json", Role::Snapshot, &|signed| {
        signed["meta"] = json!({})
    });
    assert!(matches!(
        unlisted,
        Err(TufError::Invalid {
            role: Role::Snapshot,
            ..
        })
    ));
    let length = forged("timestamp.json", Role::Timestamp, &|signed| {
        signed["meta"]["snapshot.json"]["length"] = json!(5)
    });
    assert!(matches!(
        length,
        Err(TufError::Mismatch {
            property: "length",
            ..
        })
    ));
    let digest = forged("1.snapshot.json", Role::Snapshot, &|signed| {
        signed["meta"]["targets.json"]["hashes"] = json!({"sha256": "00"});
    });
    assert!(matches!(
        digest,
        Err(TufError::Mismatch {
            property: "sha256",
            ..
        })
    ));
    for (path, role) in [
        ("1.snapshot.json", Role::Snapshot),
        ("1.targets.json", Role::Targets),
    ] {
        let expired = forged(path, role, &|signed| {
            signed["expires"] = json!("2026-01-02T00:00:00Z")
        });
        assert!(matches!(expired, Err(TufError::Expired { role: expired, .. }) if expired == role));
    }
    let name = forged("1.targets.json", Role::Targets, &|signed| {
        signed["targets"]["../../etc/passwd"] = signed["targets"]["a"].clone();
    });
    assert!(matches!(name, Err(TufError::TargetName(_))));
    let foreign = forged("1.targets.json", Role::Targets, &|signed| {
        signed["_type"] = json!("snapshot")
    });
    assert!(matches!(foreign, Err(TufError::Invalid { .. })));
}

#[test]
fn a_repository_ends_with_the_first_of_its_metadata() {
    const EARLY: &str = "2026-01-03T00:00:00Z";
    let keys = Keys::new();
    let (mut repository, server) = Server::create(&keys, &[target("a", "1")]);
    let expires = |server: &Server| server.verified("1.root.json", day(1)).unwrap().expires();
    assert_eq!(expires(&server).system_time(), day(7));
    let ending = |path, role| {
        forge(&server, &keys, path, role, |signed| {
            signed["expires"] = json!(EARLY);
        })
    };
    for (path, role) in [
        ("1.root.json", Role::Root),
        ("1.targets.json", Role::Targets),
        ("1.snapshot.json", Role::Snapshot),
        ("timestamp.json", Role::Timestamp),
    ] {
        assert_eq!(expires(&ending(path, role)).to_string(), EARLY, "{path}");
    }
    // A root that another one follows does not count.
    let mut followed = ending("1.root.json", Role::Root);
    let next =
        keys.with(|signers| repository.rotate_root(&keys.keys(), Lifetimes::default(), day(1), signers));
    followed.publish(next.unwrap());
    assert_eq!(expires(&followed).system_time(), day(7));
}

#[test]
fn a_digest_that_is_none_never_becomes_a_path() {
    let keys = Keys::new();
    let (_, server) = Server::create(&keys, &[target("a", "1")]);
    for hashes in [
        json!({}),
        json!({"sha256": "../../x"}),
        json!({"sha512": "00"}),
        json!({"sha256": ""}),
    ] {
        let forged = forge(&server, &keys, "1.targets.json", Role::Targets, |signed| {
            signed["targets"]["a"]["hashes"] = hashes;
        });
        let verified = forged.verified("1.root.json", day(1)).unwrap();
        assert!(matches!(verified.request("a"), Err(TufError::Mismatch { .. })));
        assert!(verified.check("a", b"1").is_err());
    }
    let forged = forge(&server, &keys, "1.targets.json", Role::Targets, |signed| {
        signed["targets"]["a"]["length"] = json!(u64::MAX);
    });
    let verified = forged.verified("1.root.json", day(1)).unwrap();
    assert!(matches!(verified.request("a"), Err(TufError::TooLarge { .. })));
}

#[test]
fn signatures_count_once() {
    let keys = Keys::new();
    let (_, server) = Server::create(&keys, &[target("a", "1")]);
    let with = |change: &dyn Fn(&mut Vec<Value>)| {
        let mut file: Value = serde_json::from_slice(&server.0["timestamp.json"]).unwrap();
        change(file["signatures"].as_array_mut().unwrap());
        let mut changed = server.clone();
        changed
            .0
            .insert("timestamp.json".to_owned(), serde_json::to_vec(&file).unwrap());
        changed.verified("1.root.json", day(1))
    };
    let twice = with(&|signatures| signatures.push(signatures[0].clone()));
    assert!(matches!(
        twice,
        Err(TufError::Invalid {
            problem: "two signatures have the same keyid",
            ..
        })
    ));
    let none = with(&|signatures| signatures.clear());
    assert!(matches!(
        none,
        Err(TufError::Threshold {
            role: Role::Timestamp,
            valid: 0,
            threshold: 1,
            root: 1
        })
    ));
    // Signatures by strangers and of unknown form are ignored beside a good one, as the public root has them.
    let stranger = with(&|signatures| {
        signatures.insert(0, json!({"keyid": "00", "sig": ""}));
        signatures.push(json!({"keyid": "01", "sig": "no hex"}));
    });
    assert!(stranger.is_ok());
    let many =
        with(&|signatures| signatures.extend((0..256).map(|id| json!({"keyid": id.to_string(), "sig": ""}))));
    assert!(matches!(many, Err(TufError::Invalid { .. })));
}

/// One key under two names must not reach a threshold of two.
#[test]
fn a_key_under_two_identifiers_is_one_key() {
    use common_pki::key::Signer as _;
    let keys = Keys::new();
    let (_, server) = Server::create(&keys, &[target("a", "1")]);
    let mut file: Value = serde_json::from_slice(&server.0["1.root.json"]).unwrap();
    let id = file["signatures"][0]["keyid"].as_str().unwrap().to_owned();
    let signed = &mut file["signed"];
    signed["keys"]["twin"] = signed["keys"][&id].clone();
    signed["roles"]["root"] = json!({"keyids": [id, "twin"], "threshold": 2});
    let message = super::super::metadata::canonical(Role::Root, signed).unwrap();
    let sign = || hex::encode(keys.root.sign(&message).unwrap());
    file["signatures"] = json!([{"keyid": id, "sig": sign()}, {"keyid": "twin", "sig": sign()}]);
    let refused = Update::new(&serde_json::to_vec(&file).unwrap(), day(0));
    assert!(matches!(
        refused,
        Err(TufError::Threshold {
            role: Role::Root,
            valid: 1,
            threshold: 2,
            ..
        })
    ));
}

#[test]
fn roots_follow_each_other_without_gaps() {
    let (keys, other) = (Keys::new(), Keys::new());
    let (mut repository, mut server) = Server::create(&keys, &[target("a", "1")]);
    let rotate = |repository: &mut crate::tuf::Repository, signers: Signers<'_>| {
        repository.rotate_root(&keys.keys(), Lifetimes::default(), day(1), signers)
    };
    for _ in 0..2 {
        server.publish(keys.with(|signers| rotate(&mut repository, signers)).unwrap());
    }
    assert_eq!(server.verified("1.root.json", day(1)).unwrap().root().version, 3);

    let mut skipped = server.clone();
    skipped
        .0
        .insert("2.root.json".to_owned(), server.0["3.root.json"].clone());
    let skipped = skipped.verified("1.root.json", day(1));
    assert!(matches!(
        skipped,
        Err(TufError::Version {
            role: Role::Root,
            expected: 2,
            got: 3
        })
    ));
    let mut back = server.clone();
    back.0
        .insert("4.root.json".to_owned(), server.0["1.root.json"].clone());
    assert!(matches!(
        back.verified("1.root.json", day(1)),
        Err(TufError::Version {
            expected: 4,
            got: 1,
            ..
        })
    ));

    // A root by somebody else, though signed in itself, is not the next one.
    let (_, strangers) = Server::create(&other, &[target("a", "1")]);
    let mut taken = server.clone();
    taken
        .0
        .insert("4.root.json".to_owned(), strangers.0["1.root.json"].clone());
    assert!(matches!(
        taken.verified("1.root.json", day(1)),
        Err(TufError::Threshold { role: Role::Root, .. })
    ));
    // An old root may have run out, the last one not.
    assert!(matches!(
        server.verified("1.root.json", day(740)),
        Err(TufError::Expired { role: Role::Root, .. })
    ));
}

#[test]
fn an_update_walks_a_bounded_number_of_roots() {
    let keys = Keys::new();
    let (mut repository, server) = Server::create(&keys, &[target("a", "1")]);
    let mut update = Update::new(&server.0["1.root.json"], day(0)).unwrap();
    for _ in 0..MAX_ROOT_ROTATIONS {
        let files = keys
            .with(|signers| repository.rotate_root(&keys.keys(), Lifetimes::default(), day(0), signers))
            .unwrap();
        update.give(Some(&files[0].1)).unwrap();
    }
    let files = keys
        .with(|signers| repository.rotate_root(&keys.keys(), Lifetimes::default(), day(0), signers))
        .unwrap();
    assert!(matches!(
        update.give(Some(&files[0].1)),
        Err(TufError::TooManyRoots)
    ));
}

#[test]
fn steps_out_of_order_are_answered() {
    let keys = Keys::new();
    let (_, server) = Server::create(&keys, &[target("a", "1")]);
    let new = || Update::new(&server.0["1.root.json"], day(0)).unwrap();
    assert!(matches!(new().finish(), Err(TufError::Incomplete)));
    let mut update = new();
    update.give(None).unwrap();
    assert_eq!(update.request().unwrap().path, "timestamp.json");
    assert!(matches!(update.give(None), Err(TufError::Missing(path)) if path == "timestamp.json"));
    while let Some(request) = update.request() {
        update.give(Some(&server.0[&request.path])).unwrap();
    }
    assert!(matches!(update.give(None), Err(TufError::Incomplete)));
    assert_eq!(update.finish().unwrap().names().count(), 1);
}

/// Runs an update from what was seen before; what was seen after it, whatever came of it.
fn resumed(server: &Server, seen: &Seen) -> (Result<(), TufError>, Seen) {
    let mut update = Update::resume(seen.clone(), day(1)).unwrap();
    while let Some(request) = update.request() {
        if let Err(error) = update.give(server.read(&request.path).as_deref()) {
            return (Err(error), update.seen().clone());
        }
    }
    (Ok(()), update.seen().clone())
}

#[test]
fn an_earlier_state_of_the_repository_is_refused() {
    let keys = Keys::new();
    let (mut repository, first) = Server::create(&keys, &[target("a", "1")]);
    let start = Update::new(&first.0["1.root.json"], day(1)).unwrap();
    let (outcome, before) = resumed(&first, start.seen());
    outcome.unwrap();
    assert_eq!((before.version, before.timestamp, before.targets), (1, 1, 1));

    let mut later = first.clone();
    let files = keys
        .with(|signers| repository.set_targets(&[target("a", "2")], Lifetimes::default(), day(1), signers))
        .unwrap();
    later.publish(files);
    let (outcome, after) = resumed(&later, &before);
    outcome.unwrap();
    assert!(after > before);
    resumed(&later, &after).0.unwrap();
    let (outcome, kept) = resumed(&first, &after);
    assert!(
        matches!(
            outcome,
            Err(TufError::Older {
                role: Role::Timestamp,
                ..
            })
        ),
        "{outcome:?}"
    );
    assert_eq!(kept, after);

    // A new timestamp that leads to the old snapshot is signed by the online key alone.
    let mixed = forge(&first, &keys, "timestamp.json", Role::Timestamp, |signed| {
        signed["version"] = json!(9);
    });
    let (outcome, _) = resumed(&mixed, &after);
    assert!(
        matches!(
            outcome,
            Err(TufError::Older {
                role: Role::Snapshot,
                ..
            })
        ),
        "{outcome:?}"
    );
}

/// The next root is not there: whoever holds it back does not bring the old one's keys back.
#[test]
fn a_root_that_was_seen_is_where_the_next_update_begins() {
    use common_pki::key::Signer;
    let (keys, others) = (Keys::new(), Keys::new());
    let (mut repository, first) = Server::create(&keys, &[target("a", "1")]);
    let start = Update::new(&first.0["1.root.json"], day(1)).unwrap();
    let mut moved = first.clone();
    let next = RootKeys {
        timestamp: KeySet::single(others.online.public_key()),
        ..keys.keys()
    };
    let root: [&dyn Signer; 1] = [&keys.root];
    let (online, snapshot): ([&dyn Signer; 1], [&dyn Signer; 1]) = ([&others.online], [&keys.online]);
    let signers = Signers {
        root: &root,
        targets: &root,
        snapshot: &snapshot,
        timestamp: &online,
    };
    moved.publish(
        repository
            .rotate_root(&next, Lifetimes::default(), day(1), signers)
            .unwrap(),
    );
    let mut seen = start.seen().clone();
    seen.timestamp = 100;
    // Another key counts its versions anew (TUF §5.3.11).
    let (outcome, after) = resumed(&moved, &seen);
    outcome.unwrap();
    assert_eq!(after.version, 2);
    assert!(after.timestamp < 100);
    let (outcome, kept) = resumed(&first, &after);
    assert!(
        matches!(
            outcome,
            Err(TufError::Threshold {
                role: Role::Timestamp,
                root: 2,
                ..
            })
        ),
        "{outcome:?}"
    );
    assert_eq!(kept.version, 2);
}
