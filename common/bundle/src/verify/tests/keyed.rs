//! Bundles signed with a key, in a Rekor v2 log made here.

use common_pki::key::{KeyAlgorithm, LocalSigner, Signer as _};
use common_tlog::checkpoint;
use common_tlog::note::Note;
use common_tlog::{leaf_hash, node_hash};
use serde_json::json;

use super::super::*;
use crate::format::{
    Checkpoint, Envelope, EnvelopeSignature, IN_TOTO_PAYLOAD_TYPE, InclusionProof, KindVersion, LogId,
    MediaType, MessageDigest, STATEMENT_TYPE, TransparencyLogEntry, protojson::encode_bytes,
};
use crate::trust::{Role, Timestamp, log_id};

const HOST: &str = "log.example";

struct Log(LocalSigner);

impl Log {
    fn new(algorithm: KeyAlgorithm) -> Self {
        Self(LocalSigner::generate(algorithm).unwrap().0)
    }

    fn id(&self) -> Vec<u8> {
        log_id(Role::RekorV2, HOST, self.0.public_key()).0.to_vec()
    }

    fn root(&self) -> TrustedRoot {
        let log = json!({
            "baseUrl": format!("http://{HOST}:3000"),
            "hashAlgorithm": "SHA2_256",
            "publicKey": {
                "rawBytes": encode_bytes(self.0.public_key().spki_der()),
                "keyDetails": "PKIX_ED25519",
                "validFor": { "start": "2026-01-01T00:00:00Z" },
            },
            "logId": { "keyId": encode_bytes(&self.id()) },
        });
        let root = json!({ "mediaType": TrustedRoot::MEDIA_TYPE, "tlogs": [log] });
        TrustedRoot::parse(root.to_string().as_bytes()).unwrap()
    }

    /// The second of two leaves, under a checkpoint of origin and key name as given.
    fn include(&self, kind: &str, spec: &serde_json::Value, origin: &str) -> TransparencyLogEntry {
        let body = json!({ "apiVersion": "0.0.2", "kind": kind, "spec": spec })
            .to_string()
            .into_bytes();
        let sibling = leaf_hash(b"another entry");
        let root = node_hash(&sibling, &leaf_hash(&body));
        let text = checkpoint::Checkpoint::new(origin, 2, root).to_string();
        let mut note = Note::new(text).unwrap();
        let hint = common_tlog::note::KeyHint(*self.id().first_chunk().unwrap());
        note.push(origin, hint, self.0.sign(note.text().as_bytes()).unwrap())
            .unwrap();
        TransparencyLogEntry {
            log_index: 1,
            log_id: LogId { key_id: self.id() },
            kind_version: KindVersion {
                kind: kind.into(),
                version: "0.0.2".into(),
            },
            integrated_time: 0,
            inclusion_promise: None,
            inclusion_proof: Some(InclusionProof {
                log_index: 1,
                root_hash: root.0.to_vec(),
                tree_size: 2,
                hashes: vec![sibling.0.to_vec()],
                checkpoint: Checkpoint {
                    envelope: note.to_string(),
                },
            }),
            canonicalized_body: body,
        }
    }
}

fn verifier(signer: &LocalSigner) -> serde_json::Value {
    json!({ "keyDetails": "X", "publicKey": { "rawBytes": encode_bytes(signer.public_key().spki_der()) } })
}

fn bundle(entry: TransparencyLogEntry, content: Content) -> Bundle {
    Bundle {
        media_type: MediaType::V03,
        key_material: KeyMaterial::PublicKey {
            hint: "release".into(),
        },
        tlog_entries: vec![entry],
        timestamps: Vec::new(),
        content,
    }
}

/// An artifact signed and logged; `origin` is right when it is [`HOST`].
fn signed_artifact(log: &Log, signer: &LocalSigner, origin: &str) -> Bundle {
    let hash = signer.public_key().default_hash();
    let (signature, digest) = (signer.sign(b"artifact").unwrap(), hash.digest(b"artifact"));
    let algorithm = format!("SHA2_{}", hash.len() * 8);
    let spec = json!({ "hashedRekordV002": {
        "data": { "algorithm": algorithm, "digest": encode_bytes(&digest) },
        "signature": { "content": encode_bytes(&signature), "verifier": verifier(signer) },
    }});
    let content = Content::Message {
        digest: Some(MessageDigest { algorithm, digest }),
        signature,
    };
    bundle(log.include("hashedrekord", &spec, origin), content)
}

fn signed_statement(log: &Log, signer: &LocalSigner, as_dsse: bool) -> Bundle {
    signed_payload(log, signer, as_dsse, STATEMENT_TYPE)
}

fn signed_payload(log: &Log, signer: &LocalSigner, as_dsse: bool, kind: &str) -> Bundle {
    let payload = json!({ "_type": kind, "subject": [
        { "name": "a", "digest": { "sha256": hex::encode(HashAlgorithm::Sha256.digest(b"artifact")) } },
    ]});
    let mut envelope = Envelope {
        payload: payload.to_string().into_bytes(),
        payload_type: IN_TOTO_PAYLOAD_TYPE.into(),
        signatures: Vec::new(),
    };
    let signature = signer.sign(&envelope.pae()).unwrap();
    let logged = json!({ "content": encode_bytes(&signature), "verifier": verifier(signer) });
    let digest = |octets: &[u8]| json!({ "algorithm": "SHA2_256", "digest": encode_bytes(&HashAlgorithm::Sha256.digest(octets)) });
    let entry = if as_dsse {
        let spec =
            json!({ "dsseV002": { "payloadHash": digest(&envelope.payload), "signatures": [logged] } });
        log.include("dsse", &spec, HOST)
    } else {
        let spec = json!({ "hashedRekordV002": { "data": digest(&envelope.pae()), "signature": logged } });
        log.include("hashedrekord", &spec, HOST)
    };
    envelope.signatures.push(EnvelopeSignature {
        sig: signature,
        keyid: None,
    });
    bundle(entry, Content::Dsse(envelope))
}

fn check(bundle: &Bundle, log: &Log, key: &LocalSigner) -> Result<Verified, VerifyError> {
    let policy = Policy::key(key.public_key().clone(), ValidFor::default());
    verify(bundle, Artifact::Bytes(b"artifact"), &log.root(), &policy)
}

fn signer(algorithm: KeyAlgorithm) -> LocalSigner {
    LocalSigner::generate(algorithm).unwrap().0
}

#[test]
fn every_kind_of_key_and_entry_verifies() {
    for (log, key) in [
        (KeyAlgorithm::Ed25519, KeyAlgorithm::EcdsaP256),
        (KeyAlgorithm::EcdsaP256, KeyAlgorithm::EcdsaP384),
        (KeyAlgorithm::Ed25519, KeyAlgorithm::Ed25519),
    ] {
        let (log, key) = (Log::new(log), signer(key));
        for bundle in [
            signed_artifact(&log, &key, HOST),
            signed_statement(&log, &key, true),
            signed_statement(&log, &key, false),
        ] {
            let verified = check(&bundle, &log, &key).unwrap();
            assert!(
                verified
                    .evidence
                    .iter()
                    .any(|evidence| matches!(evidence, Evidence::Key { .. }))
            );
            assert!(verified.certificate.is_none() && verified.times.is_empty());
            let read = Bundle::from_json(bundle.to_json().unwrap().as_bytes()).unwrap();
            assert!(check(&read, &log, &key).is_ok());
        }
    }
}

/// What an artifact's digest means in another kind of payload is not known.
#[test]
fn a_payload_that_says_it_is_no_statement_names_no_artifact() {
    let (log, key) = (Log::new(KeyAlgorithm::Ed25519), signer(KeyAlgorithm::EcdsaP256));
    for kind in [STATEMENT_TYPE, "https://in-toto.io/Statement/v0.1"] {
        check(&signed_payload(&log, &key, true, kind), &log, &key).unwrap();
    }
    for kind in ["", "link", "https://in-toto.io/Statement/v2"] {
        let refused = check(&signed_payload(&log, &key, true, kind), &log, &key);
        assert!(
            matches!(refused, Err(VerifyError::NotStatement(_))),
            "{kind:?}: {refused:?}"
        );
    }
}

#[test]
fn another_key_another_log_and_another_artifact_are_refused() {
    let (log, key) = (Log::new(KeyAlgorithm::Ed25519), signer(KeyAlgorithm::EcdsaP256));
    let bundle = signed_artifact(&log, &key, HOST);
    let wrong = check(&bundle, &log, &signer(KeyAlgorithm::EcdsaP256)).unwrap_err();
    assert!(
        wrong.to_string().contains("another key or certificate"),
        "{wrong}"
    );
    let other_log = check(&bundle, &Log::new(KeyAlgorithm::Ed25519), &key);
    assert!(matches!(other_log, Err(VerifyError::UnknownLog { index: 1, .. })));
    let policy = Policy::key(key.public_key().clone(), ValidFor::default());
    let other = verify(&bundle, Artifact::Bytes(b"other"), &log.root(), &policy);
    assert!(matches!(other, Err(VerifyError::ArtifactDigest { .. })));
    let statement = signed_statement(&log, &key, true);
    let other = verify(&statement, Artifact::Bytes(b"other"), &log.root(), &policy);
    assert!(matches!(
        other,
        Err(VerifyError::NoSuchSubject {
            algorithm: "sha256",
            ..
        })
    ));
    let identity = Policy::identity("someone@example.com", "https://example.com");
    let outcome = verify(&bundle, Artifact::Bytes(b"artifact"), &log.root(), &identity);
    assert!(matches!(outcome, Err(VerifyError::KeyNotCertificate)));
}

#[test]
fn the_checkpoint_must_be_of_the_logs_host() {
    let (log, key) = (Log::new(KeyAlgorithm::Ed25519), signer(KeyAlgorithm::EcdsaP256));
    for origin in ["other.example", "log.example:3000", "log.example - 1"] {
        let text = if origin.contains(' ') {
            "log.example"
        } else {
            origin
        };
        let mut bundle = signed_artifact(&log, &key, text);
        if origin != text {
            let proof = bundle.tlog_entries[0].inclusion_proof.as_mut().unwrap();
            proof.checkpoint.envelope = proof.checkpoint.envelope.replacen(text, origin, 1);
        }
        assert!(
            matches!(check(&bundle, &log, &key), Err(VerifyError::Origin { .. })),
            "{origin}"
        );
    }
    let mut bundle = signed_artifact(&log, &key, HOST);
    bundle.tlog_entries[0].log_index = 0;
    assert!(matches!(
        check(&bundle, &log, &key),
        Err(VerifyError::EntryIndex { entry: 0, proof: 1 })
    ));
}

/// GHSA-wqqc-jjcq-vfxm.
#[test]
fn a_key_with_a_window_needs_a_proven_time() {
    let (log, key) = (Log::new(KeyAlgorithm::Ed25519), signer(KeyAlgorithm::EcdsaP256));
    let bundle = signed_artifact(&log, &key, HOST);
    let valid_for = ValidFor {
        start: Timestamp::from_unix(0),
        end: None,
    };
    let policy = Policy::key(key.public_key().clone(), valid_for);
    let outcome = verify(&bundle, Artifact::Bytes(b"artifact"), &log.root(), &policy);
    assert!(matches!(outcome, Err(VerifyError::NoTime)));

    let time = |unix| ProvenTime {
        source: TimeSource::Log,
        unix,
    };
    let window = ValidFor {
        start: Timestamp::from_unix(10),
        end: Timestamp::from_unix(20),
    };
    for (unix, inside) in [(9, false), (10, true), (20, true), (21, false)] {
        let outcome = signer::check_key_window(key.public_key(), window, &[time(unix)], &mut Vec::new());
        assert_eq!(outcome.is_ok(), inside, "{unix}");
    }
}

#[test]
fn certificate_logs_that_are_required_of_a_key_are_missing() {
    let (log, key) = (Log::new(KeyAlgorithm::Ed25519), signer(KeyAlgorithm::EcdsaP256));
    let bundle = signed_artifact(&log, &key, HOST);
    let mut policy = Policy::key(key.public_key().clone(), ValidFor::default());
    policy.scts = 2;
    let outcome = verify(&bundle, Artifact::Bytes(b"artifact"), &log.root(), &policy);
    assert!(
        matches!(outcome, Err(VerifyError::TooFewScts { expected: 2, got: 0 })),
        "{outcome:?}"
    );
}
