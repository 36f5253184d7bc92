#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "tests"
)]

mod hostile;

use common_pki::key::{KeyAlgorithm, sha256};
use serde_json::{Value, json};

use super::*;
use crate::Verifier;
use crate::committed;
use crate::tests::{Exchange, exchanges};

fn submit(json: &str) -> Result<Canonical, EntryError> {
    ProposedEntry::parse(json.as_bytes())?.canonicalize(&Policy::default())
}

/// Status and body code as Rekor answers them.
fn status(error: &EntryError) -> (u64, u64) {
    match error {
        EntryError::Schema(field) => (422, u64::from(field.code())),
        EntryError::UnknownKind(_) => (422, 422),
        EntryError::Json(_)
        | EntryError::KindNotEnabled(_)
        | EntryError::UnknownVersion { .. }
        | EntryError::Invalid(_) => (400, 400),
    }
}

#[test]
fn recorded_submissions_give_the_same_leaves_and_refusals() {
    let mut seen = 0;
    let packages = exchanges("rekor-v1/packages.jsonl");
    for exchange in exchanges("rekor-v1/exchanges.jsonl").into_iter().chain(packages) {
        if !exchange.posts_to("/api/v1/log/entries") {
            continue;
        }
        seen += 1;
        let name = exchange.name();
        match (submit(exchange.request()), exchange.status()) {
            (Ok(canonical), 201) => {
                let read = exchange.assert_same_leaf(&canonical);
                // What was logged is found again in the form it was logged in.
                let committed = ProposedEntry::parse(&canonical.body)
                    .unwrap()
                    .canonicalize_committed()
                    .unwrap();
                assert_eq!(committed, canonical.body, "{name}");
                let proposed = ProposedEntry::parse(exchange.request().as_bytes()).unwrap();
                assert_eq!(
                    proposed.canonicalize_committed().unwrap(),
                    canonical.body,
                    "{name}"
                );
                assert!(
                    read.index_keys
                        .iter()
                        .all(|key| canonical.index_keys.contains(key)),
                    "{name}"
                );
                match canonical.attestation {
                    Attestation::Keep { name: kept, .. } => {
                        assert_eq!(read.attestation_key, Some(kept), "{name}");
                    }
                    // Of dsse nothing is kept unless asked for.
                    _ => assert!(read.attestation_key.is_none() || read.kind == "dsse", "{name}"),
                }
            }
            (Err(error), 201) => panic!("{name}: refused, upstream takes it: {error}"),
            // Upstream answers malformed JSON with 500; we do with 400.
            (Err(error @ EntryError::Json(_)), 500) => assert_eq!(status(&error), (400, 400), "{name}"),
            (Err(error), expected) => {
                let (message, code) = exchange.answer();
                assert_eq!(status(&error), (expected, code), "{name}: {error}");
                assert_message(
                    name,
                    &error,
                    message.trim_start_matches("error processing entry: "),
                );
            }
            // Upstream spoils the hash's name when it writes the signature anew, and then cannot verify it.
            (Ok(canonical), 400) if name.starts_with("rekord ssh ") && name.ends_with(" sha256") => {
                let read = committed::read(&canonical.body).unwrap();
                assert!(
                    read.index_keys
                        .iter()
                        .all(|key| canonical.index_keys.contains(key)),
                    "{name}"
                );
            }
            (Ok(_), other) => panic!("{name}: accepted, upstream answers {other}"),
        }
    }
    assert!(
        seen == 0 || seen > 40,
        "only {seen} recorded submissions were replayed"
    );
}

/// Texts are upstream's, but for those that quote a Go library; of these the part before the quotation is.
fn assert_message(name: &str, error: &EntryError, upstream: &str) {
    const QUOTED: &[(&str, &str)] = &[
        (
            "x509: unsupported elliptic curve",
            "invalid public key: unsupported public key",
        ),
        ("encoding/hex: invalid byte", "invalid value for hash"),
        ("invalid character 'z'", "DSSE envelope is not valid"),
        (
            "verifying signature: x509: certificate signed by unknown authority",
            "verifying signature: certificate chain",
        ),
    ];
    let ours = error.to_string();
    let expected = QUOTED
        .iter()
        .find(|(theirs, _)| upstream.starts_with(theirs))
        .map_or(upstream, |(_, ours)| ours);
    assert!(
        ours.starts_with(expected),
        "{name}:\n ours     {ours}\n upstream {upstream}"
    );
}

fn recorded(name: &str) -> Option<Exchange> {
    exchanges("rekor-v1/exchanges.jsonl")
        .into_iter()
        .find(|exchange| exchange.name() == name)
}

fn edited(name: &str, edit: impl FnOnce(&mut Value)) -> Option<Result<Canonical, EntryError>> {
    let mut request: Value = serde_json::from_str(recorded(name)?.request()).unwrap();
    edit(&mut request);
    Some(submit(&request.to_string()))
}

fn assert_refused(outcome: Option<Result<Canonical, EntryError>>, expected: &str) {
    if let Some(outcome) = outcome {
        assert_eq!(outcome.expect_err("accepted").to_string(), expected);
    }
}

const HASHEDREKORD: &str = "hashedrekord secp256r1 sha256";

#[test]
fn hashedrekord_is_found_by_key_names_and_digest() {
    let Some(exchange) = recorded("hashedrekord certificate with SANs") else {
        return;
    };
    let canonical = submit(exchange.request()).unwrap();
    let request: Value = serde_json::from_str(exchange.request()).unwrap();
    let read = committed::read(&canonical.body).unwrap();
    assert_eq!(read.signatures.len(), 1);
    assert_eq!(
        hex::encode(&read.digest.value),
        request["spec"]["data"]["hash"]["value"].as_str().unwrap()
    );
    let key_hash = hex::encode(sha256(read.signatures[0].verifier.canonical_pem().as_bytes()));
    assert_eq!(
        canonical.index_keys,
        [
            key_hash,
            "a.example.com".to_owned(),
            "dev@example.com".to_owned(),
            "https://example.com/path".to_owned(),
            format!("sha256:{}", hex::encode(&read.digest.value)),
        ]
    );
}

#[test]
fn upper_case_digests_are_other_leaves_under_the_same_term() {
    let Some(exchange) = recorded("hashedrekord upper") else {
        return;
    };
    let canonical = submit(exchange.request()).unwrap();
    assert!(canonical.index_keys.iter().all(|key| *key == key.to_lowercase()));
    let request: Value = serde_json::from_str(exchange.request()).unwrap();
    let value = request["spec"]["data"]["hash"]["value"].as_str().unwrap();
    assert!(String::from_utf8(canonical.body).unwrap().contains(value));
}

#[test]
fn a_restricted_policy_refuses_submission_but_not_finding() {
    let Some(exchange) = recorded(HASHEDREKORD) else {
        return;
    };
    let entry = ProposedEntry::parse(exchange.request().as_bytes()).unwrap();
    let algorithms = AlgorithmPolicy::rekor_v1().restricted_to(["ed25519-ph"]).unwrap();
    let refused = entry
        .canonicalize(&Policy {
            algorithms,
            ..Policy::default()
        })
        .unwrap_err();
    assert_eq!(refused.to_string(), "entry algorithms are not allowed");
    assert!(entry.canonicalize_committed().is_ok());
    let refused = entry
        .canonicalize(&Policy {
            kinds: vec![Kind::Dsse],
            ..Policy::default()
        })
        .unwrap_err();
    assert_eq!(
        refused.to_string(),
        "entry kind 'hashedrekord' is not enabled for submission on this server"
    );
    assert!(entry.canonicalize_committed().is_ok());
}

#[test]
fn kinds_that_are_off_are_told_from_kinds_nobody_knows() {
    let none = Policy {
        kinds: Vec::new(),
        ..Policy::default()
    };
    for kind in Kind::ALL {
        let json = json!({ "kind": kind.as_str(), "apiVersion": "0.0.1", "spec": {} }).to_string();
        let error = submit(&json).unwrap_err();
        assert!(matches!(error, EntryError::Invalid(_)), "{kind}: {error}");
        assert_eq!(status(&error).0, 400);
        let error = ProposedEntry::parse(json.as_bytes()).unwrap().canonicalize(&none);
        assert!(matches!(error, Err(EntryError::KindNotEnabled(off)) if off == kind));
    }
    let error = submit(r#"{"kind":"Hashedrekord","apiVersion":"0.0.1","spec":{}}"#).unwrap_err();
    assert_eq!(error.to_string(), "invalid kind value: \"Hashedrekord\"");
    assert_eq!(status(&error), (422, 422));
}

#[test]
fn the_outer_object_is_checked_before_anything_else() {
    for (json, expected) in [
        ("", Some(602)),
        ("null", Some(602)),
        ("{}", Some(602)),
        (r#"{"kind":""}"#, Some(602)),
        (r#"{"kind":"dsse"}"#, Some(602)),
        (r#"{"kind":"dsse","apiVersion":"1"}"#, Some(605)),
        (r#"{"kind":"dsse","apiVersion":"01.0.0","spec":{}}"#, Some(605)),
        (r#"{"kind":"dsse","apiVersion":"0.0.1","spec":null}"#, Some(602)),
        (
            r#"{"kind":"dsse","kind":"intoto","apiVersion":"0.0.1","spec":{}}"#,
            None,
        ),
        (r#"["dsse","0.0.1",{}]"#, None),
        (r#"{"kind":1}"#, None),
        (r#"{"kind":"dsse","apiVersion":"0.0.1","spec":{}} {}"#, None),
    ] {
        match (ProposedEntry::parse(json.as_bytes()).unwrap_err(), expected) {
            (EntryError::Schema(field), Some(code)) => assert_eq!(field.code(), code, "{json}"),
            (EntryError::Json(_), None) => {}
            (other, _) => panic!("{json}: {other}"),
        }
    }
    let deep = format!(
        r#"{{"kind":"dsse","apiVersion":"0.0.1","spec":{{"proposedContent":{}}}}}"#,
        "[".repeat(100_000)
    );
    assert!(submit(&deep).is_err());
    assert!(
        is_semantic_version("1.2.3-rc.1+build.7")
            && !is_semantic_version("1.2.3-01")
            && !is_semantic_version("1.2")
    );
}

/// GHSA-frqx-jfcm-6jjr, GHSA-273p-m2cw-6833: upstream fell over members that were missing, null, empty or of another type.
#[test]
fn no_member_can_be_replaced_by_anything_that_panics() {
    for name in [HASHEDREKORD, "dsse two signatures", "intoto 0.0.2 two signatures"] {
        let Some(exchange) = recorded(name) else { return };
        let request: Value = serde_json::from_str(exchange.request()).unwrap();
        let canonical: Value = serde_json::from_slice(&submit(exchange.request()).unwrap().body).unwrap();
        for base in [request, canonical] {
            let mut paths = Vec::new();
            pointers(&base, String::new(), &mut paths);
            for path in paths {
                for replacement in [
                    Value::Null,
                    json!(""),
                    json!({}),
                    json!([]),
                    json!(7),
                    json!("!"),
                    json!("AA=="),
                    json!([null]),
                ] {
                    let mut changed = base.clone();
                    *changed.pointer_mut(&path).unwrap() = replacement;
                    let text = changed.to_string();
                    if let Ok(entry) = ProposedEntry::parse(text.as_bytes()) {
                        let _ = entry.canonicalize(&Policy::default());
                        let _ = entry.canonicalize_committed();
                    }
                    let _ = committed::read(text.as_bytes());
                }
            }
        }
    }
}

fn pointers(value: &Value, at: String, out: &mut Vec<String>) {
    match value {
        Value::Object(members) => members
            .iter()
            .for_each(|(key, value)| pointers(value, format!("{at}/{key}"), out)),
        Value::Array(items) => {
            items
                .iter()
                .enumerate()
                .for_each(|(index, value)| pointers(value, format!("{at}/{index}"), out));
        }
        _ => {}
    }
    out.push(at);
}

#[test]
fn dsse_wants_the_proposed_form_alone() {
    let Some(exchange) = recorded("dsse one signature in-toto") else {
        return;
    };
    let canonical = submit(exchange.request()).unwrap();
    let committed: Value = serde_json::from_slice(&canonical.body).unwrap();

    let refused = submit(&committed.to_string()).unwrap_err().to_string();
    assert_eq!(refused, "entry not insertable into log: missing proposed content");

    let both = edited("dsse one signature in-toto", |request| {
        request["spec"]["payloadHash"] = committed["spec"]["payloadHash"].clone();
    });
    assert_refused(
        both,
        "either proposedContent or envelopeHash, payloadHash, and signatures must be present but not both",
    );

    let mut neither = committed;
    neither["spec"].as_object_mut().unwrap().remove("payloadHash");
    let refused = submit(&neither.to_string()).unwrap_err().to_string();
    assert_eq!(
        refused,
        "either proposedContent or envelopeHash, payloadHash, and signatures must be present"
    );
    assert_eq!(
        canonical.attestation,
        Attestation::None,
        "dsse stores no attestation"
    );
    let keeping = Policy {
        dsse_attestations: true,
        ..Policy::default()
    };
    let entry = ProposedEntry::parse(exchange.request().as_bytes()).unwrap();
    let kept = entry.canonicalize(&keeping).unwrap();
    assert_eq!(kept.body, canonical.body);
    let Attestation::Keep { name, data } = kept.attestation else {
        panic!("dropped");
    };
    assert_eq!(name, format!("sha256:{}", hex::encode(sha256(&data))));
    assert_eq!(committed::read(&kept.body).unwrap().attestation_key, Some(name));
}

#[test]
fn dsse_matches_verifiers_in_order() {
    const NAME: &str = "dsse two signatures";
    let Some(exchange) = recorded(NAME) else { return };
    let plain = submit(exchange.request()).unwrap();
    let verifiers = |edit: fn(&mut Vec<Value>)| {
        edited(NAME, |request| {
            edit(
                request["spec"]["proposedContent"]["verifiers"]
                    .as_array_mut()
                    .unwrap(),
            )
        })
        .unwrap()
    };
    assert_eq!(verifiers(|list| list.reverse()).unwrap().body, plain.body);
    // What follows the last verifier needed is not looked at.
    assert_eq!(
        verifiers(|list| list.push(json!("bm90IGEga2V5"))).unwrap().body,
        plain.body
    );
    let missing = verifiers(|list| list.truncate(1)).unwrap_err().to_string();
    assert_eq!(missing, "all signatures must have a key that verifies it");
    let twice = verifiers(|list| list[1] = list[0].clone())
        .unwrap_err()
        .to_string();
    assert_eq!(twice, "all signatures must have a key that verifies it");
    let many = verifiers(|list| list.resize(11, Value::String("AA==".into())))
        .unwrap_err()
        .to_string();
    assert_eq!(many, "too many verifiers: got 11, at most 10 are allowed");
    let stranger = Verifier::from_pem(other_key().as_bytes()).unwrap();
    let strange = edited(NAME, |request| {
        let mut pem = String::new();
        crate::encoding::push_base64(&mut pem, stranger.canonical_pem().as_bytes());
        request["spec"]["proposedContent"]["verifiers"]
            .as_array_mut()
            .unwrap()
            .insert(0, json!(pem));
    });
    let strange = strange.unwrap().unwrap_err().to_string();
    assert!(strange.starts_with("could not verify envelope"));
    // Both forms of the key hash, once for each verifier.
    let hashes = plain
        .index_keys
        .iter()
        .filter(|key| plain.index_keys.contains(&format!("sha256:{key}")))
        .count();
    assert_eq!(hashes, 2);
    assert!(plain.index_keys.iter().any(|key| key.starts_with("gitcommit:")));
    assert!(
        plain.index_keys.iter().any(|key| key.starts_with("sha1:")),
        "materials"
    );
}

fn other_key() -> String {
    let (signer, _) = common_pki::key::LocalSigner::generate(KeyAlgorithm::EcdsaP256).unwrap();
    common_pki::key::Signer::public_key(&signer).to_pem()
}

#[test]
fn intoto_keeps_its_payload_up_to_a_size() {
    let Some(exchange) = recorded("intoto 0.0.2") else {
        return;
    };
    let entry = ProposedEntry::parse(exchange.request().as_bytes()).unwrap();
    let canonical = entry.canonicalize(&Policy::default()).unwrap();
    let Attestation::Keep {
        name: key,
        data: payload,
    } = canonical.attestation
    else {
        panic!("dropped");
    };
    assert_eq!(key, format!("sha256:{}", hex::encode(sha256(&payload))));
    assert!(canonical.index_keys.contains(&key));

    let tight = Policy {
        max_attestation_size: payload.len() - 1,
        ..Policy::default()
    };
    let skipped = entry.canonicalize(&tight).unwrap();
    let told = Attestation::TooLarge {
        size: payload.len(),
        limit: payload.len() - 1,
    };
    assert_eq!(
        (skipped.attestation, skipped.body),
        (told, canonical.body.clone())
    );

    let refused = submit(std::str::from_utf8(&canonical.body).unwrap())
        .unwrap_err()
        .to_string();
    assert_eq!(refused, "entry not insertable into log: missing envelope content");

    // Upstream answers 500 here.
    let no_hash = edited("intoto 0.0.2", |request| {
        request["spec"]["content"].as_object_mut().unwrap().remove("hash");
    });
    assert_refused(no_hash, "missing envelope digest");
}

#[test]
fn key_identifiers_and_payload_types_are_escaped_not_interpreted() {
    let Some(Ok(canonical)) = edited("intoto 0.0.2", |request| {
        request["spec"]["content"]["envelope"]["signatures"][0]["keyid"] = json!("a\"b\\c\u{1}\n</é");
    }) else {
        return;
    };
    let value: Value = serde_json::from_slice(&canonical.body).unwrap();
    assert_eq!(
        value["spec"]["content"]["envelope"]["signatures"][0]["keyid"],
        "a\"b\\c\u{1}\n</é"
    );
    assert_eq!(serde_json_canonicalizer::to_vec(&value).unwrap(), canonical.body);
}

#[test]
fn pem_that_is_no_key_is_refused_by_name() {
    let pkcs1 = "LS0tLS1CRUdJTiBSU0EgUFVCTElDIEtFWS0tLS0tCk1BQT0KLS0tLS1FTkQgUlNBIFBVQkxJQyBLRVktLS0tLQo=";
    let outcome = edited(HASHEDREKORD, |request| {
        request["spec"]["signature"]["publicKey"]["content"] = json!(pkcs1)
    });
    assert_refused(outcome, "invalid public key: cannot handle type RSA PUBLIC KEY");
}

/// Empty items are a few octets each: neither they nor what is wrong with each of them may fill the memory or the answer.
#[test]
fn long_lists_of_signatures_and_verifiers_are_refused_in_one_line() {
    let envelope =
        json!({ "payload": "", "payloadType": "x", "signatures": vec![json!({}); 50_000] }).to_string();
    for (kind, version, spec, what) in [
        (
            "dsse",
            "0.0.1",
            json!({ "signatures": vec![json!({}); 50_000] }),
            "signatures",
        ),
        (
            "dsse",
            "0.0.1",
            json!({ "proposedContent": { "envelope": "{}", "verifiers": vec![""; 50_000] } }),
            "verifiers",
        ),
        (
            "dsse",
            "0.0.1",
            json!({ "proposedContent": { "envelope": envelope, "verifiers": ["AA=="] } }),
            "envelope signatures",
        ),
        (
            "intoto",
            "0.0.2",
            json!({ "content": { "envelope": { "signatures": vec![json!({}); 50_000] } } }),
            "signatures",
        ),
    ] {
        let request = json!({ "kind": kind, "apiVersion": version, "spec": spec }).to_string();
        assert_eq!(
            submit(&request).unwrap_err().to_string(),
            format!("too many {what}: got 50000, at most 10 are allowed")
        );
    }
}
