#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "tests"
)]

use common_bundle::format::{Envelope, EnvelopeSignature, IN_TOTO_PAYLOAD_TYPE, protojson::encode_bytes};
use common_pki::key::{KeyAlgorithm, LocalSigner, Signer as _};
use common_pki::registry::SigningAlgorithm;
use serde_json::{Value, json};

use super::*;
use crate::committed;
use crate::tests::exchanges;

fn submit(json: &str) -> Result<Canonical, RequestError> {
    parse_request(json.as_bytes(), &Policy::default())
}

/// Accepted upstream although the label names another key; we refuse them.
const WRONG_LABELS: &[&str] = &["rsa label of another size", "label of another key type"];

#[test]
fn recorded_requests_give_the_same_leaves_and_refusals() {
    let mut seen = 0;
    for exchange in exchanges("rekor-v2/exchanges.jsonl") {
        if !exchange.posts_to("/api/v2/log/entries") {
            continue;
        }
        seen += 1;
        let name = exchange.name();
        match (submit(exchange.request()), exchange.status()) {
            (Ok(canonical), 201) => {
                let read = exchange.assert_same_leaf(&canonical);
                assert_eq!(read.index_keys, canonical.index_keys, "{name}");
            }
            // The second submission of the same entry: refused by the log, not here.
            (Ok(_), 409) => assert_eq!(name, "duplicate"),
            (Err(RequestError::HashedRekord(Invalid::KeyLabel { .. })), 201) => {
                assert!(WRONG_LABELS.contains(&name), "{name}");
            }
            // Upstream panics on pure Ed25519 and answers 500.
            (Err(RequestError::HashedRekord(_)), 500) => assert_eq!(name, "ed25519 pure"),
            // Taken here, and refused because its signature is not one.
            (Err(RequestError::Dsse(_)), 400) => assert_eq!(name, "dsse request"),
            (Err(error), 400) => {
                let (message, _) = exchange.answer();
                let fixed = [
                    "invalid hashedrekord request",
                    "invalid type, must be hashedrekord",
                ];
                if let Some(fixed) = fixed.iter().find(|fixed| message == **fixed) {
                    assert!(error.to_string().starts_with(fixed), "{name}: {error}");
                }
            }
            (outcome, status) => panic!("{name}: upstream answers {status}, ours {outcome:?}"),
        }
    }
    assert!(
        seen == 0 || seen > 30,
        "only {seen} recorded requests were replayed"
    );
}

struct Signer(LocalSigner);

impl Signer {
    fn new(algorithm: KeyAlgorithm) -> Self {
        Self(LocalSigner::generate(algorithm).unwrap().0)
    }

    fn verifier(&self) -> Value {
        let key = self.0.public_key();
        let label = SigningAlgorithm::default_for(key.algorithm()).unwrap();
        json!({ "publicKey": { "rawBytes": encode_bytes(key.spki_der()) }, "keyDetails": label.proto_name() })
    }
}

fn envelope(signers: &[&Signer]) -> Envelope {
    let mut envelope = Envelope {
        payload: br#"{"subject":[{"digest":{"sha256":"aa"}}]}"#.to_vec(),
        payload_type: IN_TOTO_PAYLOAD_TYPE.into(),
        signatures: Vec::new(),
    };
    let pae = envelope.pae();
    envelope.signatures = signers
        .iter()
        .map(|signer| EnvelopeSignature {
            sig: signer.0.sign(&pae).unwrap(),
            keyid: None,
        })
        .collect();
    envelope
}

fn dsse(envelope: &Envelope, verifiers: &[Value]) -> String {
    json!({ "dsseRequestV002": { "envelope": envelope, "verifiers": verifiers } }).to_string()
}

#[test]
fn dsse_requests_become_dsse_bodies() {
    let (p256, p384, ed25519) = (
        Signer::new(KeyAlgorithm::EcdsaP256),
        Signer::new(KeyAlgorithm::EcdsaP384),
        Signer::new(KeyAlgorithm::Ed25519),
    );
    let envelope = envelope(&[&p256, &p384, &ed25519]);
    let canonical = submit(&dsse(
        &envelope,
        &[ed25519.verifier(), p256.verifier(), p384.verifier()],
    ))
    .unwrap();
    assert_eq!((canonical.kind, canonical.api_version), ("dsse", "0.0.2"));
    let body: Value = serde_json::from_slice(&canonical.body).unwrap();
    assert_eq!(serde_json_canonicalizer::to_vec(&body).unwrap(), canonical.body);
    let logged = body["spec"]["dsseV002"]["signatures"].as_array().unwrap();
    let mut sorted: Vec<String> = envelope.signatures.iter().map(|s| hex::encode(&s.sig)).collect();
    sorted.sort();
    let read = committed::read(&canonical.body).unwrap();
    let in_order: Vec<String> = read
        .signatures
        .iter()
        .map(|s| hex::encode(s.signature.as_ref().unwrap()))
        .collect();
    assert_eq!((logged.len(), in_order), (3, sorted));
    assert!(canonical.index_keys.contains(&"sha256:aa".to_owned()));
    for committed in &read.signatures {
        let position = envelope
            .signatures
            .iter()
            .position(|s| Some(&s.sig) == committed.signature.as_ref())
            .unwrap();
        assert_eq!(
            committed.verifier.key(),
            [&p256, &p384, &ed25519][position].0.public_key()
        );
    }
}

/// rekor-tiles e028746: lists had no limit.
#[test]
fn dsse_lists_are_bounded_distinct_and_all_used() {
    let (one, two) = (
        Signer::new(KeyAlgorithm::EcdsaP256),
        Signer::new(KeyAlgorithm::EcdsaP256),
    );
    let signed = envelope(&[&one]);
    let refusal = |envelope: &Envelope, verifiers: &[Value]| {
        submit(&dsse(envelope, verifiers)).unwrap_err().to_string()
    };
    assert!(submit(&dsse(&signed, &[one.verifier()])).is_ok());
    assert!(refusal(&signed, &[one.verifier(), one.verifier()]).contains("distinct"));
    assert!(refusal(&signed, &[one.verifier(), two.verifier()]).contains("could not verify envelope"));
    assert!(refusal(&envelope(&[&one, &two]), &[one.verifier()]).contains("all signatures must have a key"));
    assert!(refusal(&signed, &[]).contains("missing verifiers"));
    let mut many = signed.clone();
    many.signatures.resize(11, signed.signatures[0].clone());
    assert!(refusal(&many, &[one.verifier()]).contains("at most 10"));
    // The same signature twice is one signature.
    let mut twice = signed.clone();
    twice.signatures.push(signed.signatures[0].clone());
    let body = submit(&dsse(&twice, &[one.verifier()])).unwrap().body;
    assert_eq!(committed::read(&body).unwrap().signatures.len(), 1);
}

/// Three octets of JSON each became an item of many, and hexadecimal text beside it, before they were counted.
#[test]
fn signatures_beyond_the_bound_are_counted_and_not_read() {
    let signer = Signer::new(KeyAlgorithm::EcdsaP256);
    let request = dsse(&envelope(&[&signer]), &[signer.verifier()]);
    let with = |signatures: Vec<Value>| {
        let mut request: Value = serde_json::from_str(&request).unwrap();
        request["dsseRequestV002"]["envelope"]["signatures"] = signatures.into();
        submit(&request.to_string()).unwrap_err().to_string()
    };
    let refusal = "invalid dsse request: too many envelope signatures: got 100000, at most 10 are allowed";
    assert_eq!(with(vec![json!({}); 100_000]), refusal);
    // What cannot be read behind the tenth shows that it is not.
    let mut unreadable = vec![json!(7); 100_000];
    unreadable[..10].fill(json!({ "sig": "AAAA", "keyid": "a hint" }));
    assert_eq!(with(unreadable.clone()), refusal);
    unreadable.truncate(11);
    assert_eq!(with(unreadable), refusal.replace("100000", "11"));
    assert!(with(vec![json!({ "sig": "AAAA", "keyid": null }); 10]).contains("could not verify envelope"));
    assert!(with(vec![json!({ "sig": "AAAA", "other": 1 })]).contains("unknown field `other`"));
    assert!(with(vec![json!(["AAAA"])]).contains("expected an object"));
}

#[test]
fn lists_in_another_form_are_refused_as_they_are_in_json() {
    let check = |verifiers, signatures| check_dsse_lengths(verifiers, signatures, &Policy::default());
    assert!(check(10, 10).is_ok());
    assert_eq!(
        check(11, 0).unwrap_err().to_string(),
        "invalid dsse request: too many verifiers: got 11, at most 10 are allowed"
    );
    assert_eq!(
        check(1, 11).unwrap_err().to_string(),
        "invalid dsse request: too many envelope signatures: got 11, at most 10 are allowed"
    );
    let policy = Policy {
        accept_dsse: false,
        ..Policy::default()
    };
    assert!(matches!(
        check_dsse_lengths(11, 11, &policy),
        Err(RequestError::NoEntry)
    ));
}

#[test]
fn dsse_can_be_switched_off() {
    let signer = Signer::new(KeyAlgorithm::EcdsaP256);
    let request = dsse(&envelope(&[&signer]), &[signer.verifier()]);
    let policy = Policy {
        accept_dsse: false,
        ..Policy::default()
    };
    let refused = parse_request(request.as_bytes(), &policy).unwrap_err();
    assert_eq!(refused.to_string(), "invalid type, must be hashedrekord");
}

#[test]
fn bodies_that_no_bundle_can_hold_are_refused() {
    // Ten keys of 8 KiB certificates would do; a long list of certificates is simpler to imitate with the cap itself.
    assert!(matches!(
        body::fits("x".repeat(MAX_BODY + 1)),
        Err(Invalid::TooLarge { got: 65_536, .. })
    ));
    assert!(body::fits("x".repeat(MAX_BODY)).is_ok());
}

#[test]
fn members_of_other_types_are_errors_and_never_panics() {
    let Some(exchange) = exchanges("rekor-v2/exchanges.jsonl")
        .into_iter()
        .find(|exchange| exchange.name() == "p256")
    else {
        return;
    };
    let text = exchange.request();
    for end in 0..text.len() {
        assert!(submit(&text[..end]).is_err());
    }
    for replacement in ["null", "\"\"", "{}", "[]", "7", "\"AA==\"", "-1"] {
        for path in [
            "/hashedRekordRequestV002",
            "/hashedRekordRequestV002/digest",
            "/hashedRekordRequestV002/signature",
            "/hashedRekordRequestV002/signature/content",
            "/hashedRekordRequestV002/signature/verifier",
            "/hashedRekordRequestV002/signature/verifier/keyDetails",
            "/hashedRekordRequestV002/signature/verifier/publicKey",
            "/hashedRekordRequestV002/signature/verifier/publicKey/rawBytes",
        ] {
            let mut request: Value = serde_json::from_str(text).unwrap();
            *request.pointer_mut(path).unwrap() = serde_json::from_str(replacement).unwrap();
            assert!(submit(&request.to_string()).is_err(), "{path} = {replacement}");
        }
    }
}
