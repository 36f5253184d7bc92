#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1, ED25519, UnparsedPublicKey, VerificationAlgorithm};
use proptest::prelude::*;

use super::*;
use crate::{Hash, checkpoint::Checkpoint, notekey::NoteKey};

/// The note and key of golang.org/x/mod's `sumdb/note` documentation.
const NOTE: &str = "If you think cryptography is the answer to your problem,\n\
    then you don't know what your problem is.\n\n\
    \u{2014} PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n";
const KEY: &str = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";

#[test]
fn a_known_note_verifies() {
    let note = Note::parse(NOTE.as_bytes()).unwrap();
    let key = crate::notekey::VerifierKey::parse(KEY).unwrap();
    assert_eq!(key.to_string(), KEY);
    let [line] = note.signatures() else {
        unreachable!("one line")
    };
    assert_eq!((line.name.as_str(), line.hint), ("PeterNeumann", key.hint()));
    let NoteKey::Ed25519(public) = key.key else {
        unreachable!("type 1")
    };
    UnparsedPublicKey::new(&ED25519, public)
        .verify(note.text().as_bytes(), &line.signature)
        .unwrap();
    assert_eq!(note.to_string(), NOTE);
}

#[test]
fn a_note_is_put_together() {
    let mut note = Note::new("log\n5\nroot\n").unwrap();
    note.push("log", KeyHint([1, 2, 3, 4]), vec![5; 64]).unwrap();
    note.push("witness/w1", KeyHint([0; 4]), vec![6; 72]).unwrap();
    let text = note.to_string();
    assert!(
        text.starts_with("log\n5\nroot\n\n\u{2014} log AQIDBAUF"),
        "{text}"
    );
    assert_eq!(text.parse(), Ok(note.clone()));
    assert_eq!(note.signatures_by("log", KeyHint([1, 2, 3, 4])).count(), 1);
    assert_eq!(note.signatures_by("log", KeyHint([0; 4])).count(), 0);
    assert_eq!(note.signatures_by("witness/w1", KeyHint([1, 2, 3, 4])).count(), 0);
    for name in ["", "a b", "a+b", "a\u{a0}b", "a\nb", &"n".repeat(MAX_NAME + 1)] {
        assert_eq!(
            note.push(name, KeyHint([0; 4]), vec![0]),
            Err(NoteError::Name),
            "{name:?}"
        );
    }
    assert_eq!(Note::new("no newline"), Err(NoteError::TextEnd));
    assert_eq!(Note::new("tab\t\n"), Err(NoteError::Text));
    assert_eq!(
        Note::new("x".repeat(MAX_NOTE + 1)),
        Err(NoteError::TooLarge(MAX_NOTE + 1))
    );
}

#[test]
fn malformed_notes_are_refused() {
    let line = "\u{2014} name AQIDBAU=\n";
    let parse = |note: &str| Note::parse(note.as_bytes()).map(|_| ());
    assert_eq!(parse(&format!("text\n\n{line}")), Ok(()));
    assert_eq!(parse(&format!("text\n\nmore\n\n{line}")), Ok(()));
    assert_eq!(parse(""), Err(NoteError::NoBlankLine));
    assert_eq!(parse("text\n"), Err(NoteError::NoBlankLine));
    assert_eq!(parse(&format!("text\n{line}")), Err(NoteError::NoBlankLine));
    assert_eq!(parse("text\n\n"), Err(NoteError::Unsigned));
    assert_eq!(
        parse(&format!("text\n\n{}", line.trim_end())),
        Err(NoteError::Line(1))
    );
    assert_eq!(
        parse(&format!("text\n\n{line}{line}more\n")),
        Err(NoteError::Line(3))
    );
    assert_eq!(parse(&format!("text\r\n\n{line}")), Err(NoteError::Text));
    assert_eq!(parse(&format!("te\0xt\n\n{line}")), Err(NoteError::Text));
    for bad in [
        "- name AQIDBAU=",
        "\u{2014}name AQIDBAU=",
        "\u{2014} AQIDBAU=",
        "\u{2014}  AQIDBAU=",
        "\u{2014} na+me AQIDBAU=",
        "\u{2014} name  AQIDBAU=",
        "\u{2014} name AQIDBAU",
        "\u{2014} name AQIDBAU=\u{20}",
        "\u{2014} name AQID-_U=",
        "\u{2014} name AQIDBA==",
        "\u{2014} name AQI=",
        "\u{2014} name ",
        "\u{2014} name",
        " ",
    ] {
        assert_eq!(
            parse(&format!("text\n\n{bad}\n")),
            Err(NoteError::Line(1)),
            "{bad:?}"
        );
    }
    assert_eq!(
        Note::parse(b"text\n\n\xe2\x80\x94 name \xff\n"),
        Err(NoteError::Text)
    );
}

#[test]
fn sizes_and_counts_are_bounded() {
    let line = "\u{2014} name AQIDBAU=\n";
    let many = |count: usize| Note::parse(format!("text\n\n{}", line.repeat(count)).as_bytes());
    assert_eq!(many(MAX_SIGNATURES).unwrap().signatures().len(), MAX_SIGNATURES);
    assert_eq!(many(MAX_SIGNATURES + 1), Err(NoteError::TooManySignatures));
    let mut full = many(MAX_SIGNATURES).unwrap();
    assert_eq!(
        full.push("name", KeyHint([0; 4]), vec![1]),
        Err(NoteError::TooManySignatures)
    );
    let long = format!("text\n\n\u{2014} name {}\n", "A".repeat(MAX_LINE));
    assert_eq!(long.parse::<Note>(), Err(NoteError::Line(1)));
    let large = format!("{}\n\n{line}", "x".repeat(MAX_NOTE));
    assert_eq!(large.parse::<Note>(), Err(NoteError::TooLarge(large.len())));
}

proptest! {
    #[test]
    fn what_parses_is_given_back(note in "[a-z\u{2014} +\n]{0,40}\n\n(\u{2014} [a-z]{0,3} [A-Za-z0-9+/]{4,12}={0,2}\n){0,3}") {
        if let Ok(parsed) = note.parse::<Note>() {
            prop_assert_eq!(parsed.to_string(), note);
        }
    }

    #[test]
    fn any_bytes_are_answered(note: Vec<u8>) {
        let _ = Note::parse(&note);
    }
}

/// Checkpoints that the public logs signed, one per kind of key.
#[test]
fn recorded_checkpoints_verify() {
    let vectors = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/vectors");
    // Rekor v1: the note is named by the host, not by the origin, and the key by its SPKI alone.
    recorded(
        &format!("{vectors}/conformance/happy-path-v0.3/bundle.sigstore.json"),
        &format!("{vectors}/public-good/trusted_root.json"),
        "rekor.sigstore.dev",
        &ECDSA_P256_SHA256_ASN1,
    );
    let v2 = format!("{vectors}/conformance/rekor2-checkpoint-multiple-cosigs");
    recorded(
        &format!("{v2}/bundle.sigstore.json"),
        &format!("{v2}/trusted_root.json"),
        "log2025-alpha1.rekor.sigstage.dev",
        &ED25519,
    );
}

fn recorded(bundle: &str, trusted_root: &str, name: &str, algorithm: &'static dyn VerificationAlgorithm) {
    let (Ok(bundle), Ok(trusted_root)) = (std::fs::read(bundle), std::fs::read(trusted_root)) else {
        skip(bundle);
        return;
    };
    let json = |bytes: &[u8]| serde_json::from_slice::<serde_json::Value>(bytes).unwrap();
    let entry = &json(&bundle)["verificationMaterial"]["tlogEntries"][0];
    let note: Note = entry["inclusionProof"]["checkpoint"]["envelope"]
        .as_str()
        .unwrap()
        .parse()
        .unwrap();
    let checkpoint = Checkpoint::parse(note.text()).unwrap();
    assert_eq!(checkpoint.to_string(), note.text());
    assert_eq!(
        checkpoint.size.to_string(),
        entry["inclusionProof"]["treeSize"].as_str().unwrap()
    );

    let log_id = &entry["logId"]["keyId"];
    let root = json(&trusted_root);
    let log = root["tlogs"]
        .as_array()
        .unwrap()
        .iter()
        .find(|log| log["logId"]["keyId"] == *log_id)
        .unwrap();
    let spki = STANDARD
        .decode(log["publicKey"]["rawBytes"].as_str().unwrap())
        .unwrap();
    // The key proper ends both kinds of SubjectPublicKeyInfo (RFC 5480 §2.2, RFC 8410 §4).
    let (key, public) = match spki.len() {
        44 => (
            NoteKey::Ed25519(spki[12..].try_into().unwrap()),
            spki[12..].to_vec(),
        ),
        _ => (NoteKey::Ecdsa(spki.clone()), spki[26..].to_vec()),
    };
    assert_eq!(key.id(name), Hash::from_base64(log_id.as_str().unwrap()).unwrap());
    let line = note.signatures_by(name, key.hint(name)).next().unwrap();
    let public = UnparsedPublicKey::new(algorithm, public);
    public.verify(note.text().as_bytes(), &line.signature).unwrap();
    assert!(
        public
            .verify(note.to_string().as_bytes(), &line.signature)
            .is_err()
    );
}

#[expect(clippy::print_stderr, reason = "says why nothing was checked")]
fn skip(what: impl fmt::Debug) {
    eprintln!("skipped: {what:?} cannot be read");
}
