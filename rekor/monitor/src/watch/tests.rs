#![allow(clippy::unwrap_used, reason = "tests")]

use common_pki::cert::{Serial, TbsCertificate, empty_name, ext};
use common_pki::key::{KeyAlgorithm, LocalSigner, Signer};
use common_pki::sct::{precert_entry, timestamped_entry};
use rekor_entry::facts::Field;

use super::*;

const ISSUER: &str = "https://token.example.com";

fn certificate(address: &str, issuer: &str) -> (Certificate, LocalSigner) {
    let (signer, _) = LocalSigner::generate(KeyAlgorithm::EcdsaP256).unwrap();
    let names = SubjectAltName::Email(address.to_owned()).to_extension().unwrap();
    let tbs = TbsCertificate {
        serial: Serial::new(&[1]).unwrap(),
        issuer: empty_name(),
        not_before: 1_800_000_000,
        not_after: 1_800_000_600,
        subject: empty_name(),
        key: signer.public_key().clone(),
        extensions: vec![names, ext::utf8_string(ext::sigstore_oid(8).unwrap(), issuer)],
    };
    (tbs.sign_precertificate(&signer).unwrap(), signer)
}

fn is(field: Field, value: &str) -> Condition {
    Condition::new(field, value).unwrap()
}

fn logged(entry: &SignedEntry) -> Content {
    Content::Certificate(timestamped_entry(77, entry, &[]).unwrap().into())
}

#[test]
fn names_are_taken_from_what_is_hashed() {
    let (certificate, signer) = certificate("dev@example.com", ISSUER);
    let both = [
        precert_entry(&certificate, signer.public_key()),
        SignedEntry::X509(certificate.to_der().to_vec()),
    ];
    for entry in both {
        let (facts, time) = facts(&logged(&entry)).unwrap();
        assert_eq!(time, Some(77));
        assert!(facts.meet(&is(Field::Email, "dev@example.com")));
        assert!(facts.meet(&is(Field::Issuer, ISSUER)));
    }
}

#[test]
fn whatever_cannot_be_looked_into_is_said_to_be_so() {
    for content in [
        Content::Entry("{}".into()),
        Content::Entry(r#"{"kind":"other","apiVersion":"0.0.1","spec":{}}"#.into()),
        Content::Certificate("torn".into()),
        logged(&SignedEntry::X509(b"no certificate".to_vec())),
        logged(&SignedEntry::Precert {
            issuer_key_hash: [0; 32],
            tbs: b"no certificate".to_vec(),
        }),
    ] {
        assert!(facts(&content).is_err(), "{content:?}");
    }
}

#[test]
fn values_of_a_field_are_alternatives_and_every_field_is_met() {
    let seen = |address: &str, issuer: &str, watch: &Watch| {
        let (certificate, _) = certificate(address, issuer);
        watch.look(&Facts::of_certificate(&certificate).unwrap())
    };
    let watch = Watch {
        name: "releases".to_owned(),
        of: vec![
            is(Field::Email, "a@example.com"),
            is(Field::Email, "b@example.com"),
        ],
        expected: vec![
            vec![is(Field::Email, "a@example.com"), is(Field::Issuer, ISSUER)],
            vec![is(Field::Issuer, "https://other.example.com")],
        ],
    };
    for (address, issuer, expected) in [
        ("a@example.com", ISSUER, Some(Sighting::Expected)),
        ("A@Example.com", ISSUER, Some(Sighting::Expected)),
        ("b@example.com", ISSUER, Some(Sighting::Unexpected)),
        (
            "b@example.com",
            "https://other.example.com",
            Some(Sighting::Expected),
        ),
        (
            "a@example.com",
            "https://evil.example.com",
            Some(Sighting::Unexpected),
        ),
        ("c@example.com", ISSUER, None),
    ] {
        assert_eq!(seen(address, issuer, &watch), expected, "{address} of {issuer}");
    }
    let nothing = Watch {
        name: String::new(),
        of: Vec::new(),
        expected: vec![Vec::new()],
    };
    assert_eq!(seen("a@example.com", ISSUER, &nothing), None);
}

#[test]
fn no_signer_makes_another_one_expected() {
    let facts = |address: &str, issuer: &str| {
        let (certificate, _) = certificate(address, issuer);
        Facts::of_certificate(&certificate).unwrap()
    };
    let both = |one: Facts, other: Facts| {
        let mut both = one;
        both.signers.extend(other.signers);
        both.keys.extend(other.keys);
        both
    };
    let watch = Watch {
        name: "us".to_owned(),
        of: vec![is(Field::Domain, "example.com")],
        expected: vec![vec![
            is(Field::Email, "release@example.com"),
            is(Field::Issuer, ISSUER),
        ]],
    };
    let (ours, thief) = (
        facts("release@example.com", ISSUER),
        facts("thief@example.com", ISSUER),
    );
    assert_eq!(watch.look(&ours), Some(Sighting::Expected));
    assert_eq!(
        watch.look(&both(ours.clone(), thief.clone())),
        Some(Sighting::Unexpected)
    );
    assert_eq!(watch.look(&both(thief, ours.clone())), Some(Sighting::Unexpected));
    let decoy = facts("release@example.com", "https://evil.example");
    let stranger = facts("x@elsewhere.org", ISSUER);
    assert_eq!(
        watch.look(&both(decoy, stranger.clone())),
        Some(Sighting::Unexpected)
    );
    assert_eq!(
        watch.look(&both(ours, stranger)),
        Some(Sighting::Expected),
        "it is not about the other"
    );
}

#[test]
fn a_name_that_somebody_chose_is_no_path() {
    let path = ".github/workflows/release.yml";
    let (signer, _) = LocalSigner::generate(KeyAlgorithm::EcdsaP256).unwrap();
    let workflow = "https://github.com/org/app/.github/workflows/evil.yml@refs/heads/main";
    let repository = "https://github.com/org/app";
    let text = |number, text| ext::utf8_string(ext::sigstore_oid(number).unwrap(), text);
    let tbs = TbsCertificate {
        serial: Serial::new(&[1]).unwrap(),
        issuer: empty_name(),
        not_before: 1_800_000_000,
        not_after: 1_800_000_600,
        subject: empty_name(),
        key: signer.public_key().clone(),
        extensions: vec![
            SubjectAltName::Uri(workflow.to_owned()).to_extension().unwrap(),
            ext::raw_text(ext::sigstore_oid(4).unwrap(), path),
            text(12, repository),
            text(18, workflow),
        ],
    };
    let facts = Facts::of_certificate(&tbs.sign(&signer).unwrap()).unwrap();
    let watch = |workflow: &str| Watch {
        name: String::new(),
        of: vec![is(Field::Repository, repository)],
        expected: vec![vec![is(Field::Workflow, workflow)]],
    };
    assert_eq!(watch(path).look(&facts), Some(Sighting::Unexpected));
    let own = ".github/workflows/evil.yml@refs/heads/main";
    assert_eq!(watch(own).look(&facts), Some(Sighting::Expected));
}
