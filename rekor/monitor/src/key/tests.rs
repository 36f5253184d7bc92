#![allow(clippy::unwrap_used, reason = "tests")]

use common_pki::key::{LocalSigner, Signer};
use common_tlog::empty_root;

use super::*;

fn note_key(signer: &LocalSigner, tree_head: bool) -> NoteKey {
    let key = signer.public_key();
    match (key.algorithm(), tree_head) {
        (_, true) => NoteKey::TreeHead(Hash(key.fingerprint())),
        (KeyAlgorithm::Ed25519, _) => NoteKey::Ed25519(key.subject_public_key().try_into().unwrap()),
        (algorithm, _) if algorithm.rsa_bits().is_some() => NoteKey::Rsa(key.spki_der().to_vec()),
        _ => NoteKey::Ecdsa(key.spki_der().to_vec()),
    }
}

fn signed(signer: &LocalSigner, tree_head: bool) -> (Note, Checkpoint) {
    let checkpoint = Checkpoint::new("log.example", 0, empty_root());
    let mut note = Note::new(checkpoint.to_string()).unwrap();
    let signature = if tree_head {
        let signature = signer
            .sign(&sct::sth_signed_data(77, 0, &empty_root().0))
            .unwrap();
        let signed = sct::digitally_signed(signer.public_key(), &signature).unwrap();
        [77u64.to_be_bytes().as_slice(), &signed].concat()
    } else {
        signer.sign(note.text().as_bytes()).unwrap()
    };
    // A witness stands before the log.
    note.push(
        "witness.example",
        common_tlog::note::KeyHint([1, 2, 3, 4]),
        vec![5; 72],
    )
    .unwrap();
    let hint = note_key(signer, tree_head).hint("log.example");
    note.push("log.example", hint, signature).unwrap();
    (note, checkpoint)
}

#[test]
fn every_kind_of_log_key_verifies_its_own_checkpoints_only() {
    let algorithms = [
        (KeyAlgorithm::Ed25519, false),
        (KeyAlgorithm::EcdsaP256, false),
        (KeyAlgorithm::EcdsaP384, false),
        (KeyAlgorithm::EcdsaP256, true),
        (KeyAlgorithm::Rsa2048, false),
    ];
    for (algorithm, tree_head) in algorithms {
        let (signer, _) = LocalSigner::generate(algorithm).unwrap();
        let (other, _) = LocalSigner::generate(algorithm).unwrap();
        let (note, checkpoint) = signed(&signer, tree_head);
        let pem = |signer: &LocalSigner| LogKey::parse(&signer.public_key().to_pem()).unwrap();
        assert_eq!(
            pem(&signer).verify(&note, &checkpoint).as_deref(),
            Some("log.example")
        );
        assert_eq!(pem(&other).verify(&note, &checkpoint), None);
        let moved = Checkpoint::new("log.example", 1, empty_root());
        let mut changed = Note::new(moved.to_string()).unwrap();
        for line in note.signatures() {
            changed
                .push(&line.name, line.hint, line.signature.clone())
                .unwrap();
        }
        assert_eq!(pem(&signer).verify(&changed, &moved), None, "{algorithm}");
        let verifier = |name: &str| VerifierKey {
            name: name.to_owned(),
            key: note_key(&signer, tree_head),
        };
        let text = verifier("log.example").to_string();
        if tree_head {
            // It has only the hash of a key.
            assert!(matches!(LogKey::parse(&text), Err(KeyError::Kind)));
            continue;
        }
        let key = LogKey::parse(&text).unwrap();
        assert_eq!(key.verify(&note, &checkpoint).as_deref(), Some("log.example"));
        let key = LogKey::parse(&verifier("another.example").to_string()).unwrap();
        assert_eq!(key.verify(&note, &checkpoint), None);
    }
}

#[test]
fn what_is_no_key_is_refused() {
    for text in [
        "",
        "x",
        "a+00000000+AQ==",
        "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----",
    ] {
        assert!(LogKey::parse(text).is_err(), "{text:?}");
    }
}
