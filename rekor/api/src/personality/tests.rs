#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

use common_pki::key::{KeyAlgorithm, LocalSigner};
use common_tlog::empty_root;
use std::sync::Arc;

use super::beside::Kept;
use super::*;
use crate::v1::{Shard, TreeId};

fn signer(algorithm: KeyAlgorithm) -> Arc<dyn Signer> {
    Arc::new(LocalSigner::generate(algorithm).unwrap().0)
}

#[test]
fn the_record_beside_a_leaf_reads_back_and_nothing_else_does() {
    use bytes::Bytes;
    use common_engine::{Entry, Personality as _};
    let signer = signer(KeyAlgorithm::EcdsaP256);
    let shard = Shard::new(TreeId::new(5).unwrap(), 100, signer.public_key().clone());
    let personality = RekorV1::new(shard.clone(), "log.example.com", Arc::clone(&signer));
    let body = Bytes::from_static(b"{\"kind\":\"x\"}");
    let term = |n: &str| vec![n.to_owned()];
    for (name, terms, told, kept) in [
        ("", term("a"), term("a"), Kept::Besides(Vec::new())),
        ("sha256:00", term("a"), term("a"), Kept::Besides(Vec::new())),
        ("", term("b"), Vec::new(), Kept::Besides(term("b"))),
        ("sha256:00", term("a"), term("c"), Kept::All(term("a"))),
        ("", Vec::new(), term("c"), Kept::All(Vec::new())),
    ] {
        let entry = Entry {
            identity: common_tlog::leaf_hash(&body),
            body: body.clone(),
            aux: rest(name, &terms, &told),
            terms: vec![],
            attachments: vec![],
        };
        let sealed = personality.seal(&entry, 7, 1_800_000_000_999).unwrap();
        assert_eq!(sealed.leaf, body);
        let extra = Extra::decode(&sealed.extra).unwrap();
        assert_eq!((extra.attestation, extra.millis), (name, Some(999)));
        assert_eq!(extra.kept().unwrap(), kept);
        // The virtual index and whole seconds are signed.
        let signed = serde_json::json!({
            "body": "eyJraW5kIjoieCJ9", "integratedTime": 1_800_000_000_u64, "logID": shard.log_id(), "logIndex": 107,
        });
        let signed = serde_json_canonicalizer::to_vec(&signed).unwrap();
        let key = signer.public_key();
        key.verify(key.default_hash(), &signed, extra.set).unwrap();
        for length in 0..sealed.extra.len() - entry.aux.len() {
            assert_eq!(Extra::decode(&sealed.extra[..length]), None);
        }
    }
    assert_eq!(Extra::decode(b"\x03\x00\x00\x00\x00"), None);
    // As the first logs wrote it.
    let old = Extra::decode(b"\x01\x00\x02ABsha256:00").unwrap();
    assert_eq!(
        (old.set, old.attestation, old.millis),
        (&b"AB"[..], "sha256:00", None)
    );
    assert_eq!(old.kept(), Some(Kept::Unknown));
}

#[test]
fn a_v2_head_is_signed_by_its_host_under_the_note_key_id() {
    use common_engine::Personality as _;
    let signer = signer(KeyAlgorithm::Ed25519);
    let personality = RekorV2::new("log2.example.com", Arc::clone(&signer)).unwrap();
    let note = Note::parse(personality.checkpoint(0, &empty_root(), 0).unwrap().as_bytes()).unwrap();
    assert_eq!(
        note.text(),
        format!("log2.example.com\n0\n{}\n", empty_root().to_base64())
    );
    let [line] = note.signatures() else {
        panic!("one signature line")
    };
    assert_eq!(line.name, "log2.example.com");
    assert_eq!(
        line.hint.0,
        log_id("log2.example.com", signer.public_key()).unwrap().0[..4]
    );
    let key = signer.public_key();
    key.verify(key.default_hash(), note.text().as_bytes(), &line.signature)
        .unwrap();
}

#[test]
fn only_ed25519_signs_a_v2_log() {
    let refused = RekorV2::new("log2.example.com", signer(KeyAlgorithm::EcdsaP256))
        .err()
        .unwrap();
    assert!(
        refused
            .to_string()
            .starts_with("a Rekor v2 log is signed with an Ed25519 key, not ")
    );
}

#[test]
fn the_published_log_id_of_the_public_instance_is_rebuilt() {
    // rekor-tiles 2025-1: SPKI and log ID as in the public instance's trusted root.
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    let raw = STANDARD
        .decode("t8rlp1knGwjfbcXAYPYAkn0XiLz1x8O4t0YkEhie244=")
        .unwrap();
    let spki = [&hex::decode("302a300506032b6570032100").unwrap()[..], &raw].concat();
    let key = common_pki::key::PublicKey::from_spki_der(&spki).unwrap();
    let id = log_id("log2025-1.rekor.sigstore.dev", &key).unwrap();
    assert_eq!(id.to_base64(), "zxGZFVvd0FEmjR8WrFwMdcAJ9vtaY/QXf44Y1wUeP6A=");
}
