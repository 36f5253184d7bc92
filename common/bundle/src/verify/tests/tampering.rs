//! What a verifier must notice: one component of another valid bundle, or one changed character anywhere.

use std::fs;
use std::path::Path;

use serde_json::Value;

use super::super::*;
use super::{ISSUER, SUBJECT, vectors};
use crate::trust::Timestamp;

struct Case {
    name: String,
    json: Vec<u8>,
    artifact: Vec<u8>,
    root: TrustedRoot,
    policy: Policy,
}

impl Case {
    fn conformance(all: &Path, name: &str) -> Self {
        let folder = all.join("conformance").join(name);
        let root = fs::read(folder.join("trusted_root.json"))
            .unwrap_or_else(|_| fs::read(all.join("public-good/trusted_root.json")).unwrap());
        let artifact = fs::read(folder.join("artifact"));
        Self {
            name: name.to_owned(),
            json: fs::read(folder.join("bundle.sigstore.json")).unwrap(),
            artifact: artifact.unwrap_or_else(|_| fs::read(all.join("conformance/a.txt")).unwrap()),
            root: TrustedRoot::parse(&root).unwrap(),
            policy: Policy::identity(SUBJECT, ISSUER),
        }
    }

    /// SLSA provenance, by whatever subject its certificate names.
    fn slsa(all: &Path, artifact: &str, bundle: &str) -> Self {
        let json = fs::read(all.join("slsa").join(bundle)).unwrap();
        let parsed = Bundle::from_json(&json).unwrap();
        let KeyMaterial::Certificates(chain) = &parsed.key_material else {
            panic!("{bundle} has no certificate")
        };
        let names = Certificate::from_der(&chain[0])
            .unwrap()
            .subject_alt_names()
            .unwrap();
        Self {
            name: bundle.to_owned(),
            json,
            artifact: fs::read(all.join("slsa").join(artifact)).unwrap(),
            root: TrustedRoot::parse(&fs::read(all.join("public-good/trusted_root.json")).unwrap()).unwrap(),
            policy: Policy::identity(names[0].text(), ISSUER),
        }
    }

    fn bundle(&self) -> Bundle {
        Bundle::from_json(&self.json).unwrap()
    }

    fn verify(&self, bundle: &Bundle) -> Result<Verified, VerifyError> {
        verify(bundle, Artifact::Bytes(&self.artifact), &self.root, &self.policy)
    }
}

fn provenance(all: &Path) -> [Case; 4] {
    [
        Case::slsa(all, "bcr/MODULE.bazel", "bcr/MODULE.bazel.intoto.jsonl"),
        Case::slsa(
            all,
            "gha_container-based/v1.8.0/binary-linux-amd64-push-v14.2",
            "gha_container-based/v1.8.0/binary-linux-amd64-push-v14.2.intoto.jsonl",
        ),
        Case::slsa(
            all,
            "gha_container-based/v2.1.0/binary-linux-amd64-push-v13.0.30",
            "gha_container-based/v2.1.0/binary-linux-amd64-push-v13.0.30.intoto.build.slsa",
        ),
        Case::slsa(
            all,
            "gha_delegator/v1.10.0/binary-linux-amd64-push-v14",
            "gha_delegator/v1.10.0/binary-linux-amd64-push-v14.build.slsa",
        ),
    ]
}

#[test]
fn published_provenance_verifies_and_says_what_was_proven() {
    let Some(all) = vectors() else { return };
    for case in provenance(&all) {
        let verified = case
            .verify(&case.bundle())
            .unwrap_or_else(|error| panic!("{}: {error}", case.name));
        let has = |wanted: fn(&Evidence) -> bool| verified.evidence.iter().any(wanted);
        assert!(
            has(|evidence| matches!(evidence, Evidence::InclusionPromise { .. })),
            "{}",
            case.name
        );
        assert!(
            has(|evidence| matches!(evidence, Evidence::CertificateTimestamp { .. })),
            "{}",
            case.name
        );
        assert!(
            has(|evidence| matches!(
                evidence,
                Evidence::Subject {
                    algorithm: "sha256",
                    ..
                }
            )),
            "{}",
            case.name
        );
        assert!(verified.certificate.is_some() && !verified.times.is_empty());
        assert!(
            verified
                .evidence
                .iter()
                .all(|evidence| !evidence.to_string().is_empty())
        );
    }
}

/// GHSA-ccxc-vr6p-4858, GHSA-whqx-f9j3-ch6m, GHSA-8gw7-4j42-w388: parts of two valid bundles put together.
#[test]
fn no_component_of_another_valid_bundle_fits() {
    type Swap = (&'static str, fn(&mut Bundle, &Bundle));
    const SWAPS: &[Swap] = &[
        ("key material", |to, from| {
            to.key_material = from.key_material.clone()
        }),
        ("log entries", |to, from| {
            to.tlog_entries = from.tlog_entries.clone()
        }),
        ("content", |to, from| to.content = from.content.clone()),
        ("timestamps", |to, from| to.timestamps = from.timestamps.clone()),
        ("body", |to, from| {
            to.tlog_entries[0].canonicalized_body = from.tlog_entries[0].canonicalized_body.clone()
        }),
        ("promise", |to, from| {
            to.tlog_entries[0].inclusion_promise = from.tlog_entries[0].inclusion_promise.clone()
        }),
        ("proof", |to, from| {
            to.tlog_entries[0].inclusion_proof = from.tlog_entries[0].inclusion_proof.clone()
        }),
        ("time", |to, from| {
            to.tlog_entries[0].integrated_time = from.tlog_entries[0].integrated_time
        }),
        ("index", |to, from| {
            to.tlog_entries[0].log_index = from.tlog_entries[0].log_index
        }),
        ("key and entries", |to, from| {
            to.key_material = from.key_material.clone();
            to.tlog_entries = from.tlog_entries.clone();
        }),
        ("content and entries", |to, from| {
            to.content = from.content.clone();
            to.tlog_entries = from.tlog_entries.clone();
        }),
        ("content and key", |to, from| {
            to.content = from.content.clone();
            to.key_material = from.key_material.clone();
        }),
    ];
    let Some(all) = vectors() else { return };
    let mut cases: Vec<Case> = Vec::from(provenance(&all));
    cases.extend(happy(&all));
    assert!(cases.len() > 12, "only {} bundles", cases.len());
    let mut refused = 0;
    for (one, other) in cases
        .iter()
        .flat_map(|one| cases.iter().map(move |other| (one, other)))
    {
        let (whole, donor) = (one.bundle(), other.bundle());
        // Two recordings of one signature are one bundle.
        if whole.content == donor.content {
            continue;
        }
        for (what, swap) in SWAPS {
            let mut mixed = whole.clone();
            swap(&mut mixed, &donor);
            // What the donor lacks was taken away and not swapped: less evidence may still be enough.
            let lacking = *what == "timestamps" && donor.timestamps.is_empty();
            if mixed == whole || lacking {
                continue;
            }
            assert!(
                one.verify(&mixed).is_err(),
                "{} with {what} of {} verifies",
                one.name,
                other.name
            );
            refused += 1;
        }
    }
    assert!(refused > 600, "only {refused} mixtures were tried");
}

/// Every case that must verify and was signed by whom the suite says.
fn happy(all: &Path) -> Vec<Case> {
    let mut names: Vec<String> = fs::read_dir(all.join("conformance"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            path.is_dir()
                && !["identity", "issuer", "key.pub"]
                    .iter()
                    .any(|own| path.join(own).exists())
        })
        .map(|path| path.file_name().unwrap().to_str().unwrap().to_owned())
        .filter(|name| !name.ends_with("_fail"))
        .collect();
    names.sort();
    let cases = names.iter().map(|name| Case::conformance(all, name));
    cases
        .inspect(|case| assert!(case.verify(&case.bundle()).is_ok(), "{}", case.name))
        .collect()
}

/// Every string of a bundle is there for a reason: with one character changed it must not verify.
#[test]
fn no_character_can_be_changed() {
    let Some(all) = vectors() else { return };
    for name in [
        "happy-path-v0.2",
        "happy-path-intoto-in-dsse-v3",
        "rekor2-happy-path",
    ] {
        let case = Case::conformance(&all, name);
        let original: Value = serde_json::from_slice(&case.json).unwrap();
        let mut strings = Vec::new();
        pointers(&original, String::new(), &mut strings);
        assert!(strings.len() > 20, "{name}");
        for pointer in strings {
            let text = original.pointer(&pointer).unwrap().as_str().unwrap();
            // First, last of the significant ones, and some between.
            let significant = text.trim_end_matches(['=', '\n']).len();
            for at in [0, significant / 3, significant / 2, significant.saturating_sub(3)] {
                let changed = change(text, at);
                let mut json = original.clone();
                *json.pointer_mut(&pointer).unwrap() = Value::String(changed);
                let outcome = Bundle::from_json(json.to_string().as_bytes());
                let verified = outcome.is_ok_and(|bundle| case.verify(&bundle).is_ok());
                assert!(!verified, "{name} verifies with {pointer} changed at {at}");
            }
        }
    }
}

fn change(text: &str, at: usize) -> String {
    text.char_indices()
        .map(|(index, c)| match c {
            _ if index != at => c,
            'A' => 'B',
            '1' => '2',
            c if c.is_ascii_digit() => '1',
            _ => 'A',
        })
        .collect()
}

fn pointers(value: &Value, at: String, out: &mut Vec<String>) {
    match value {
        Value::Object(members) => {
            members
                .iter()
                .for_each(|(key, value)| pointers(value, format!("{at}/{key}"), out));
        }
        Value::Array(items) => {
            items
                .iter()
                .enumerate()
                .for_each(|(index, value)| pointers(value, format!("{at}/{index}"), out));
        }
        Value::String(text) if !text.is_empty() => out.push(at),
        _ => {}
    }
}

#[test]
fn policies_are_not_met_by_less() {
    let Some(all) = vectors() else { return };
    let case = Case::conformance(&all, "happy-path-v0.2");
    let bundle = case.bundle();
    let refusal = |policy: Policy| {
        verify(&bundle, Artifact::Bytes(&case.artifact), &case.root, &policy)
            .unwrap_err()
            .to_string()
    };
    assert!(refusal(Policy::identity("someone@example.com", ISSUER)).contains("expected a certificate for"));
    assert!(refusal(Policy::identity(SUBJECT, "https://example.com")).contains("expected identity provider"));
    assert!(
        refusal(Policy::identity(&SUBJECT[..SUBJECT.len() - 1], ISSUER))
            .contains("expected a certificate for")
    );
    assert!(refusal(Policy::identity("", ISSUER)).contains("expected a certificate for"));
    let base = case.policy.clone();
    assert!(
        refusal(Policy {
            scts: 2,
            ..base.clone()
        })
        .contains("of 2 trusted logs, got 1")
    );
    assert!(
        refusal(Policy {
            log_entries: 2,
            ..base.clone()
        })
        .contains("entries of 2 trusted logs, got 1")
    );
    assert!(refusal(Policy { times: 2, ..base }).contains("timestamps of 1 trusted authorities, got 0"));

    let mut twice = bundle.clone();
    twice.tlog_entries.push(twice.tlog_entries[0].clone());
    assert!(matches!(
        case.verify(&twice),
        Err(VerifyError::RepeatedEntry { .. })
    ));

    // GHSA-hhfg-fwrw-87w7: an entry without signed time leaves nothing to judge the certificate by.
    let v2 = Case::conformance(&all, "rekor2-happy-path");
    let mut untimed = v2.bundle();
    untimed.timestamps.clear();
    assert!(v2.verify(&untimed).is_err());
    let lax = Policy {
        times: 0,
        ..v2.policy.clone()
    };
    let outcome = verify(&untimed, Artifact::Bytes(&v2.artifact), &v2.root, &lax);
    assert!(matches!(outcome, Err(VerifyError::NoTime)));

    let sha512 = HashAlgorithm::Sha512.digest(&case.artifact);
    let other = Artifact::Digest {
        algorithm: HashAlgorithm::Sha512,
        value: &sha512,
    };
    let outcome = verify(&bundle, other, &case.root, &case.policy);
    assert!(matches!(
        outcome,
        Err(VerifyError::DigestAlgorithm {
            expected: "sha256",
            got: "sha512"
        })
    ));
}

/// What else proves enough is no reason to let something stand that nobody verified.
#[test]
fn what_cannot_be_verified_is_refused() {
    type Addition = (&'static str, &'static str, fn(&mut Bundle, &Bundle));
    const ADDITIONS: &[Addition] = &[
        (
            "rekor2-happy-path",
            "expected no inclusion promise",
            |to, from| to.tlog_entries[0].inclusion_promise = from.tlog_entries[0].inclusion_promise.clone(),
        ),
        ("rekor2-happy-path", "expected no integrated time", |to, _| {
            to.tlog_entries[0].integrated_time = 1
        }),
        ("happy-path-v0.2", "expected no integrated time", |to, _| {
            to.tlog_entries[0].inclusion_promise = None
        }),
        ("happy-path-v0.2", "timestamp 1: expected", |to, from| {
            to.timestamps = from.timestamps.clone()
        }),
        ("happy-path-v0.2", "expected one of a trusted log", |to, _| {
            let mut other = to.tlog_entries[0].clone();
            other.log_id.key_id[0] ^= 1;
            to.tlog_entries.push(other);
        }),
        ("happy-path-v0.2", "beside the signer's", |to, from| {
            let (KeyMaterial::Certificates(chain), KeyMaterial::Certificates(other)) =
                (&mut to.key_material, &from.key_material)
            else {
                panic!("no certificate")
            };
            chain.extend(other.clone());
        }),
        ("happy-path-v0.1", "inclusion proof", |to, _| {
            let proof = to.tlog_entries[0].inclusion_proof.as_mut().unwrap();
            proof.checkpoint.envelope.clear();
            proof.hashes[0][0] ^= 1;
        }),
    ];
    let Some(all) = vectors() else { return };
    let (v1, v2) = ("happy-path-v0.3", "rekor2-happy-path");
    for (name, reason, add) in ADDITIONS {
        let case = Case::conformance(&all, name);
        let donor = Case::conformance(&all, if *name == v2 { v1 } else { v2 }).bundle();
        let mut bundle = case.bundle();
        add(&mut bundle, &donor);
        let error = case.verify(&bundle).unwrap_err().to_string();
        assert!(
            error.contains(reason),
            "{name}: expected {reason:?}, got {error:?}"
        );
    }

    // Issuers as the trusted root has them, and a proof that leads to its root, are no addition.
    let case = Case::conformance(&all, "happy-path-v0.1");
    let mut bundle = case.bundle();
    let issuers = case.root.certificate_authorities.iter();
    let intermediate = issuers
        .map(|authority| &authority.cert_chain.certificates)
        .rfind(|chain| chain.len() > 1);
    let KeyMaterial::Certificates(chain) = &mut bundle.key_material else {
        panic!("no certificate")
    };
    chain.push(intermediate.unwrap()[0].raw_bytes.clone());
    let proof = bundle.tlog_entries[0].inclusion_proof.as_mut().unwrap();
    proof.checkpoint.envelope.clear();
    assert!(case.verify(&bundle).is_ok());
}

#[test]
fn a_root_certificate_in_the_bundle_is_refused() {
    let Some(all) = vectors() else { return };
    let case = Case::conformance(&all, "happy-path-v0.2");
    let mut bundle = case.bundle();
    let KeyMaterial::Certificates(chain) = &mut bundle.key_material else {
        panic!("no certificate")
    };
    let authority = &case.root.certificate_authorities[0].cert_chain.certificates;
    chain.push(authority.last().unwrap().raw_bytes.clone());
    assert!(matches!(case.verify(&bundle), Err(VerifyError::RootInBundle(_))));
}

/// A log that was taken over after its end has a key that still signs, and no time of its own.
#[test]
fn a_log_that_signs_no_time_counts_in_its_window_alone() {
    let Some(all) = vectors() else { return };
    let mut case = Case::conformance(&all, "rekor2-happy-path");
    let bundle = case.bundle();
    let proven = i64::try_from(case.verify(&bundle).unwrap().times[0].unix).unwrap();
    let at = |later: i64| Timestamp::from_unix(proven + later);
    for (start, end, holds) in [(-1, 1, true), (0, 0, true), (-9, -1, false), (1, 9, false)] {
        for log in &mut case.root.tlogs {
            log.public_key.valid_for = ValidFor {
                start: at(start),
                end: at(end),
            };
        }
        match case.verify(&bundle) {
            Ok(_) => assert!(holds, "{start} {end}"),
            Err(error) => assert!(
                !holds && matches!(error, VerifyError::LogWindow { .. }),
                "{start} {end}: {error}"
            ),
        }
    }
}
