#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "tests"
)]

use common_pki::cert::{Extension, Serial, TbsCertificate, empty_name, ext};
use common_pki::key::{HashAlgorithm, KeyAlgorithm, LocalSigner, Signer as _};

use super::*;
use crate::Verifier;
use crate::committed::CommittedSignature;

const REPOSITORY: &str = "https://github.com/Octo/Hello";
const WORKFLOW: &str = "https://github.com/Octo/Hello/.github/workflows/release.yml@refs/heads/main";
const ISSUER: &str = "https://token.actions.githubusercontent.com";

/// A certificate as Fulcio gives one to a GitHub workflow, or to whoever has the name.
fn certificate(name: &SubjectAltName, extensions: &[(u32, &str)]) -> Certificate {
    let (signer, _) = LocalSigner::generate(KeyAlgorithm::EcdsaP256).unwrap();
    let mut all = vec![name.to_extension().unwrap()];
    all.extend(extensions.iter().map(|(number, text)| {
        let oid = ext::sigstore_oid(*number).unwrap();
        match number {
            1..=6 => ext::raw_text(oid, text),
            _ => ext::utf8_string(oid, text),
        }
    }));
    let extensions: Vec<Extension> = all;
    let tbs = TbsCertificate {
        serial: Serial::new(&[1]).unwrap(),
        issuer: empty_name(),
        not_before: 1_800_000_000,
        not_after: 1_800_000_600,
        subject: empty_name(),
        key: signer.public_key().clone(),
        extensions,
    };
    tbs.sign(&signer).unwrap()
}

fn workflow() -> Certificate {
    certificate(
        &SubjectAltName::Uri(WORKFLOW.to_owned()),
        &[
            (1, ISSUER),
            (3, &"ab".repeat(20)),
            (4, "Release it"),
            (5, "Octo/Hello"),
            (8, ISSUER),
            (9, WORKFLOW),
            (10, &"cd".repeat(20)),
            (12, REPOSITORY),
            (13, &"ab".repeat(20)),
            (18, WORKFLOW),
        ],
    )
}

fn facts(certificate: &Certificate, kept: &[&str]) -> Facts {
    let verifier = Verifier::from_certificate(certificate.to_der()).unwrap();
    let mut keys = vec![verifier.key_hash()];
    keys.extend(verifier.subjects().iter().map(|subject| subject.to_lowercase()));
    keys.push(format!("sha256:{}", "11".repeat(32)));
    let entry = CommittedEntry {
        kind: "hashedrekord",
        api_version: "0.0.2",
        digest: Digest {
            algorithm: HashAlgorithm::Sha256,
            value: vec![0x11; 32],
        },
        signatures: vec![CommittedSignature {
            signature: Some(b"signature".to_vec()),
            verifier,
        }],
        index_keys: keys,
        attestation_key: None,
    };
    let kept: Vec<String> = kept.iter().map(|key| (*key).to_owned()).collect();
    Facts::of(entry, &kept)
}

fn is_found(facts: &Facts, field: Field, value: &str) -> bool {
    let condition = Condition::new(field, value).unwrap_or_else(|error| unreachable!("{error}"));
    let attributes = facts.attributes();
    let indexed = condition.lookups().iter().any(|term| match term {
        Term::Key(key) => facts.keys.contains(key),
        attribute => attributes.contains(attribute),
    });
    let meets = facts.meet(&condition);
    // What is meant is indexed, or a search would not see it.
    assert!(indexed || !meets, "{field:?} {value} is met and not indexed");
    meets
}

#[test]
fn a_workflow_is_found_by_all_that_its_certificate_says() {
    let facts = facts(&workflow(), &["predicate-type:https://slsa.dev/provenance/v1"]);
    let signer = facts.signers.first().unwrap();
    let [spki, pem] = signer.key_hashes.clone();
    let yes = [
        (Field::Uri, WORKFLOW),
        (Field::Domain, "github.com"),
        (Field::Domain, "*.GitHub.com"),
        (Field::Prefix, "https://github.com/"),
        (Field::Prefix, "https://github.com/octo"),
        (
            Field::Prefix,
            "https://github.com/Octo/Hello/.github/workflows/rel",
        ),
        (Field::Issuer, ISSUER),
        (Field::Repository, "octo/hello"),
        (Field::Repository, "https://github.com/octo/hello.git"),
        (Field::Repository, "https://github.com/octo/hello/"),
        (Field::Workflow, "Release it"),
        (Field::Workflow, WORKFLOW),
        (
            Field::Workflow,
            "https://github.com/Octo/Hello/.github/workflows/release.yml",
        ),
        (Field::Workflow, ".github/workflows/release.yml"),
        (Field::Digest, &"11".repeat(32)),
        (Field::Key, &spki),
        (Field::Key, &pem),
        (Field::Signature, "c2lnbmF0dXJl"),
        (Field::PredicateType, "https://slsa.dev/provenance/v1"),
    ];
    for (field, value) in yes {
        assert!(is_found(&facts, field, value), "{field:?} {value}");
    }
    for commit in ["ab", "cd"] {
        assert!(is_found(&facts, Field::Commit, &commit.repeat(20)));
    }
    let no = [
        (Field::Uri, "https://github.com/Octo/Hello"),
        (Field::Email, "octo@github.com"),
        (Field::Domain, "hub.com"),
        (Field::Domain, "com"),
        (Field::Prefix, "https://github.com/octopus"),
        (Field::Prefix, "https://github.co/"),
        (Field::Repository, "octo"),
        (
            Field::Workflow,
            "https://github.com/Octo/Hello/.github/workflows/release.yml@refs/heads/other",
        ),
        (Field::Workflow, "release"),
        (Field::Digest, &"12".repeat(32)),
        (Field::Issuer, "https://token.actions.githubusercontent.com/"),
        (Field::PredicateType, "https://slsa.dev/provenance"),
    ];
    for (field, value) in no {
        assert!(!is_found(&facts, field, value), "{field:?} {value}");
    }
    assert!(facts.attributes().len() <= 24, "{:#?}", facts.attributes());
}

#[test]
fn an_address_is_found_whole_by_its_beginning_and_by_its_domains() {
    let name = SubjectAltName::Email("Dev.One@mail.Example.com".to_owned());
    let facts = facts(&certificate(&name, &[(1, "https://issuer.example")]), &[]);
    let yes = [
        (Field::Email, "dev.one@MAIL.example.com"),
        (Field::Prefix, "dev.one@"),
        (Field::Domain, "mail.example.com"),
        (Field::Domain, "@example.com"),
        (Field::Issuer, "https://issuer.example"),
    ];
    for (field, value) in yes {
        assert!(is_found(&facts, field, value), "{field:?} {value}");
    }
    let no = [
        (Field::Email, "one@mail.example.com"),
        (Field::Prefix, "one@"),
        (Field::Domain, "ample.com"),
        (Field::Domain, "com"),
    ];
    for (field, value) in no {
        assert!(!is_found(&facts, field, value), "{field:?} {value}");
    }
}

#[test]
fn long_domains_and_deep_paths_are_found_at_every_depth() {
    let labels: Vec<String> = (0..40).map(|n| format!("l{n}")).collect();
    let host = labels.join(".");
    let uri = format!("https://{host}/{}", labels.join("/"));
    let facts = facts(&certificate(&SubjectAltName::Uri(uri.clone()), &[]), &[]);
    for start in 0..39 {
        assert!(
            is_found(&facts, Field::Domain, &labels[start..].join(".")),
            "{start}"
        );
    }
    for end in (host.len() + 9)..=uri.len() {
        assert!(is_found(&facts, Field::Prefix, &uri[..end]), "{end}");
    }
    assert!(facts.attributes().len() < 24);
}

#[test]
fn a_name_that_looks_like_an_attribute_is_none() {
    let name = SubjectAltName::Dns(format!("issuer={ISSUER}"));
    let facts = facts(&certificate(&name, &[]), &[]);
    assert!(!is_found(&facts, Field::Issuer, ISSUER));
    // An in-toto digest named `https` makes an index key that looks like a URI.
    let facts = self::facts(
        &certificate(&SubjectAltName::Dns("x.example".to_owned()), &[]),
        &["https://github.com/octo/hello"],
    );
    assert!(!is_found(&facts, Field::Uri, "https://github.com/octo/hello"));
}

#[test]
fn what_could_never_be_found_is_refused() {
    let refused = [
        (Field::Email, ""),
        (Field::Email, "example.com"),
        (Field::Email, "sha256:aa@b"),
        (Field::Uri, "github.com/octo"),
        (Field::Domain, "https://example.com"),
        (Field::Domain, "a..b"),
        (Field::Prefix, "https://git"),
        (Field::Prefix, "dev"),
        (Field::Prefix, "@"),
        (Field::Commit, "abcdef"),
        (Field::Digest, "abc"),
        (Field::Digest, "sha256:abcd"),
        (Field::Key, "00"),
        (Field::Signature, "?"),
        (Field::Repository, "/"),
    ];
    for (field, value) in refused {
        let refused = Condition::new(field, value);
        assert!(refused.is_err(), "{field:?} {value:?}");
    }
    let long = format!("https://{}/", "x".repeat(600));
    assert!(
        Condition::new(Field::Prefix, &long).is_err(),
        "longer than any term"
    );
    assert_eq!(
        Condition::new(Field::Commit, "abcdef").unwrap_err().to_string(),
        "commit: expected a whole commit, 40 or 64 hexadecimal digits, got \"abcdef\""
    );
    assert!(Condition::new(Field::Digest, "gitCommit:abcdef").is_ok());
}

#[test]
fn fields_have_names() {
    for field in Field::ALL {
        assert_eq!(Field::from_name(field.name()), Some(field));
    }
}

#[test]
fn a_certificate_by_itself_is_found_by_all_that_is_in_it() {
    let found = Facts::of_certificate(&workflow()).unwrap();
    for (field, value) in [
        (Field::Uri, WORKFLOW),
        (Field::Domain, "github.com"),
        (Field::Prefix, "https://github.com/octo/"),
        (Field::Issuer, ISSUER),
        (Field::Repository, "octo/hello"),
    ] {
        assert!(found.meet(&Condition::new(field, value).unwrap()), "{field:?}");
    }
    let address = certificate(&SubjectAltName::Email("Dev@Example.com".to_owned()), &[]);
    let address = Facts::of_certificate(&address).unwrap();
    assert!(address.meet(&Condition::new(Field::Email, "dev@example.com").unwrap()));
}

#[test]
fn a_name_without_slashes_is_found_whole() {
    let pseudonym = "urn:uuid:A5209D5D-9f3c-8c1a-8e4b-2f6d0c7b9e11";
    let facts = facts(&certificate(&SubjectAltName::Uri(pseudonym.to_owned()), &[]), &[]);
    assert!(is_found(&facts, Field::Uri, pseudonym));
    assert!(is_found(&facts, Field::Uri, &pseudonym.to_uppercase()));
    assert!(!is_found(
        &facts,
        Field::Uri,
        "urn:uuid:a5209d5d-9f3c-8c1a-8e4b-2f6d0c7b9e12"
    ));
    assert!(!is_found(&facts, Field::Uri, "mailto:dev@example.com"));
    let digest = format!("sha256:{}", "11".repeat(32));
    for none in ["urn:", ":x", "1urn:x", "a b:x", digest.as_str()] {
        assert!(Condition::new(Field::Uri, none).is_err(), "{none:?}");
    }
}
