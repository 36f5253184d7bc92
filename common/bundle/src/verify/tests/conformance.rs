//! Every case of sigstore-conformance that is recorded beside the repository.

use std::fs;
use std::path::Path;

use common_pki::key::PublicKey;

use super::super::*;
use super::{ISSUER, SUBJECT, vectors};

/// Cases whose verdict is not yet the expected one, with the reason. A case that starts to agree must leave this table.
const NOT_YET: &[(&str, &str)] = &[];

/// What refuses a case that must fail: a refusal for another reason proves nothing.
const REASONS: &[(&str, &str)] = &[
    ("bundle-empty-certificate-chain_fail", "certificate missing"),
    ("bundle-from-wrong-instance_fail", "expected one of a trusted log"),
    ("bundle-invalid-base64-signature_fail", "expected base64"),
    ("bundle-negative-log-index_fail", "expected no negative number"),
    ("bundle-with-root-cert_fail", "self-issued certificate"),
    ("checkpoint-wrong-roothash_fail", "checkpoint is for size"),
    ("dsse-invalid-sig_fail", "another signature"),
    ("inclusion-proof-corrupted-hash_fail", "inclusion proof"),
    ("incorrect-public-key_fail", "another key or certificate"),
    ("integrated-time-in-future_fail", "valid from"),
    ("intoto-log-entry-mismatch_fail", "log entry"),
    ("intoto-set-outside-signing-cert-validity_fail", "valid from"),
    ("intoto-tsa-timestamp-outside-cert-validity_fail", "valid from"),
    ("invalid-checkpoint-signature_fail", "checkpoint"),
    ("invalid-ct-key_fail", "signed certificate timestamp"),
    ("managed-key-no-key_fail", "got a bundle signed with a key"),
    ("managed-key-wrong-key_fail", "are not base64"),
    ("rekor2-checkpoint-missing-log-signature_fail", "checkpoint"),
    ("rekor2-checkpoint-missing-root-hash_fail", "checkpoint"),
    ("rekor2-checkpoint-missing-size_fail", "checkpoint"),
    ("rekor2-checkpoint-no-matching-signature_fail", "expected origin"),
    ("rekor2-dsse-invalid-sig_fail", "another signature"),
    ("rekor2-dsse-mismatch-sig_fail", "another signature"),
    ("rekor2-no-inclusion-proof_fail", "inclusion proof missing"),
    (
        "rekor2-timestamp-outside-trust-root-tsa-validity_fail",
        "was not trusted",
    ),
    (
        "rekor2-timestamp-untrusted-tsa-with-embedded-cert_fail",
        "timestamp 1: expected one of a trusted authority",
    ),
    (
        "rekor2-timestamp-untrusted-tsa-without-embedded-cert_fail",
        "timestamp 1: expected one of a trusted authority",
    ),
    ("rekor2-timestamp-with-incorrect-time_fail", "valid from"),
    ("signature-mismatch_fail", "another signature"),
    (
        "trust-root-tlog-missing-validity-start_fail",
        "has no validFor.start",
    ),
    ("wrong-hashedrekord-artifact_fail", "another digest"),
    ("wrong-hashedrekord-cert-and-sig_fail", "another signature"),
    ("wrong-hashedrekord-entry_fail", "another digest"),
];

fn text(path: &Path, default: &str) -> String {
    fs::read_to_string(path).map_or_else(|_| default.to_owned(), |text| text.trim().to_owned())
}

/// The verdict on one case, or why it cannot be had.
fn run(case: &Path, all: &Path, by_digest: bool) -> Result<Verified, String> {
    let own_root = case.join("trusted_root.json");
    let root = if own_root.exists() {
        own_root
    } else {
        all.join("public-good/trusted_root.json")
    };
    let root = TrustedRoot::parse(&fs::read(root).unwrap()).map_err(|error| error.to_string())?;
    let artifact = fs::read(case.join("artifact"))
        .or_else(|_| fs::read(all.join("conformance/a.txt")))
        .unwrap();
    let digest = HashAlgorithm::Sha256.digest(&artifact);
    let artifact = if by_digest {
        Artifact::Digest {
            algorithm: HashAlgorithm::Sha256,
            value: &digest,
        }
    } else {
        Artifact::Bytes(&artifact)
    };
    let policy = match fs::read_to_string(case.join("key.pub")) {
        Ok(pem) => {
            let key = PublicKey::from_pem(&pem).map_err(|error| error.to_string())?;
            Policy::key(key, ValidFor::default())
        }
        Err(_) => Policy::identity(
            text(&case.join("identity"), SUBJECT),
            text(&case.join("issuer"), ISSUER),
        ),
    };
    let bundle = fs::read(case.join("bundle.sigstore.json")).unwrap();
    let bundle = Bundle::from_json(&bundle).map_err(|error| error.to_string())?;
    verify(&bundle, artifact, &root, &policy).map_err(|error| error.to_string())
}

#[test]
fn verdicts_are_those_of_the_conformance_suite() {
    let Some(all) = vectors() else { return };
    let mut cases: Vec<_> = fs::read_dir(all.join("conformance"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_dir())
        .collect();
    cases.sort();
    assert!(cases.len() > 40, "only {} cases found", cases.len());
    let mut wrong = Vec::new();
    for case in &cases {
        let name = case.file_name().unwrap().to_str().unwrap();
        let must_fail = name.ends_with("_fail");
        for by_digest in [false, true] {
            let outcome = run(case, &all, by_digest);
            let reason = REASONS
                .iter()
                .find(|(case, _)| *case == name)
                .map(|(_, reason)| *reason);
            let agrees = match (&outcome, must_fail, reason) {
                (Ok(verified), false, _) => !verified.evidence.is_empty(),
                (Err(error), true, Some(reason)) => error.contains(reason),
                _ => false,
            };
            let not_yet = NOT_YET.iter().any(|(case, _)| *case == name);
            if agrees == not_yet {
                let got = outcome.map_or_else(|error| format!("refused: {error}"), |_| "verified".to_owned());
                wrong.push(format!(
                    "{name} (by digest: {by_digest}, listed as not yet: {not_yet}): {got}"
                ));
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "{} verdicts differ:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
    let names: Vec<_> = cases
        .iter()
        .map(|case| case.file_name().unwrap().to_str().unwrap())
        .collect();
    for (listed, _) in REASONS.iter().chain(NOT_YET) {
        assert!(names.contains(listed), "{listed} is listed but not recorded");
    }
}
