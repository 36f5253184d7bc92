#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use common_pki::key::{KeyAlgorithm, LocalSigner, Signer as _};
use serde_json::{Value, json};

use super::super::metadata::{Key, canonical};
use super::super::{MAX_KEYS, MAX_TARGETS, MAX_TIMESTAMP};
use super::*;
use crate::trust::testkit::signer;

/// A root and metadata of one key, before they are signed.
struct Repository {
    key: LocalSigner,
    root: Value,
    metadata: Value,
}

impl Repository {
    fn new(kind: &str, algorithm: KeyAlgorithm) -> Self {
        let key = signer(algorithm);
        let of = Key::new(key.public_key()).unwrap();
        let only = json!({ "keyids": ["k"], "threshold": 1 });
        let head = |kind: &str| {
            json!({ "_type": kind, "spec_version": "1.0", "version": 1,
                "expires": "2030-01-01T00:00:00Z" })
        };
        let (mut root, mut metadata) = (head("root"), head(kind));
        root["keys"] = json!({ "k": of });
        root["roles"] = json!({ "root": only, "targets": only, "snapshot": only, "timestamp": only });
        metadata["meta"] = json!({});
        Self { key, root, metadata }
    }

    fn sign(&self, signed: &Value, keyids: &[String]) -> Vec<u8> {
        let message = canonical(Role::Root, signed).unwrap();
        let sig = hex::encode(self.key.sign(&message).unwrap());
        let signatures: Vec<_> = keyids
            .iter()
            .map(|id| json!({ "keyid": id, "sig": sig }))
            .collect();
        serde_json::to_vec(&json!({ "signatures": signatures, "signed": signed })).unwrap()
    }

    fn verify(&self, keyids: &[String]) -> Result<RoleMetadata, TufError> {
        let root = self.sign(&self.root, &["k".to_owned()]);
        verify_role(&root, &self.sign(&self.metadata, keyids))
    }
}

/// As many identifiers as asked for, `k` first.
fn identifiers(count: usize) -> Vec<String> {
    let others = (1..count).map(|at| format!("k{at}"));
    ["k".to_owned()].into_iter().chain(others).collect()
}

#[test]
fn metadata_with_more_signatures_than_accepted_is_refused() {
    let repository = Repository::new("timestamp", KeyAlgorithm::EcdsaP256);
    let few: Vec<_> = identifiers(64);
    assert_eq!(repository.verify(&few).unwrap().role, Role::Timestamp);
    let repository = Repository::new("targets", KeyAlgorithm::EcdsaP256);
    repository.verify(&identifiers(MAX_KEYS)).unwrap();
    let refused = repository.verify(&identifiers(MAX_KEYS + 1)).unwrap_err();
    assert!(
        refused.to_string().contains("more signatures than accepted"),
        "{refused}"
    );
}

#[test]
fn metadata_larger_than_its_role_is_refused() {
    for (kind, limit) in [("timestamp", MAX_TIMESTAMP), ("targets", MAX_TARGETS)] {
        let mut repository = Repository::new(kind, KeyAlgorithm::EcdsaP256);
        repository.metadata["x"] = json!("x".repeat(limit - 2048));
        repository.verify(&identifiers(1)).unwrap();
        repository.metadata["x"] = json!("x".repeat(limit));
        let refused = repository.verify(&identifiers(1)).unwrap_err();
        assert!(matches!(refused, TufError::TooLarge { .. }), "{kind}: {refused}");
    }
}

#[test]
fn a_root_that_lists_more_keyids_than_accepted_is_refused() {
    let mut repository = Repository::new("timestamp", KeyAlgorithm::EcdsaP256);
    let keyids = |count: usize| json!({ "keyids": identifiers(count), "threshold": 1 });
    repository.root["roles"]["timestamp"] = keyids(MAX_KEYS);
    repository.verify(&identifiers(1)).unwrap();
    repository.root["roles"]["timestamp"] = keyids(MAX_KEYS + 1);
    let refused = repository.verify(&identifiers(1)).unwrap_err();
    assert!(
        refused.to_string().contains("more keys than accepted"),
        "{refused}"
    );
}

/// Each signature is a key's over all of the message, so large metadata has fewer of them.
#[test]
fn the_octets_that_signatures_hash_are_bounded() {
    let mut repository = Repository::new("targets", KeyAlgorithm::Ed25519);
    let names = identifiers(MAX_KEYS);
    for id in &names {
        let key = repository.root["keys"]["k"].clone();
        repository.root["keys"][id] = key;
    }
    repository.root["roles"]["targets"]["keyids"] = json!(names);
    repository.verify(&names).unwrap();
    repository.metadata["x"] = json!("x".repeat(4_000_000));
    repository.verify(&identifiers(16)).unwrap();
    let refused = repository.verify(&identifiers(17)).unwrap_err();
    assert!(refused.to_string().contains("for its size"), "{refused}");
}
