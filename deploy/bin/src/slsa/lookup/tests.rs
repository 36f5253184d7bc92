#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "tests"
)]

use std::future::ready;

use axum::Router;
use axum::extract::Path;
use axum::routing::{get, post};
use common_bundle::format::BareEnvelope;

use super::*;
use crate::trust_source::Trusted;

/// Certificates of somebody.
fn pems() -> Vec<String> {
    let root = Trusted::public_good().unwrap().root;
    let chains = root.certificate_authorities.iter();
    let all = chains.flat_map(|authority| &authority.cert_chain.certificates);
    all.map(|raw| Certificate::from_der(&raw.raw_bytes).unwrap().to_pem())
        .collect()
}

fn bare(certificate: Option<&str>) -> Bare {
    let text = json!({ "payloadType": "t", "payload": "e30=", "signatures": [{ "sig": "AQ==", "cert": certificate.unwrap_or_default() }] })
        .to_string()
        .into_bytes();
    Bare {
        envelope: BareEnvelope::from_json(&text).unwrap(),
        text,
    }
}

/// What a log answers for an entry of that kind; the place says which it is.
fn entry(kind: &str, spec: &Value, place: usize) -> Value {
    let body = json!({ "apiVersion": "0.0.1", "kind": kind, "spec": spec });
    json!({
        "body": STANDARD.encode(body.to_string()), "integratedTime": 1, "logID": "00", "logIndex": place,
        "verification": {
            "inclusionProof": { "checkpoint": "", "hashes": [], "logIndex": place, "rootHash": "00", "treeSize": 1 },
            "signedEntryTimestamp": "AA==",
        },
    })
}

/// An entry of `dsse` by whom the PEM names.
fn dsse(pem: &str, place: usize) -> Value {
    entry(
        "dsse",
        &json!({ "signatures": [{ "verifier": STANDARD.encode(pem) }] }),
        place,
    )
}

/// A log that has these entries of any payload, in this order; `None` is one that it cannot give.
fn log_of(entries: Vec<Option<Value>>) -> Client {
    let uuids: Vec<String> = (0..entries.len()).map(|place| format!("{place:04x}")).collect();
    let index = Value::from(uuids).to_string();
    let one = move |Path(uuid): Path<String>| {
        let place = usize::from_str_radix(&uuid, 16).unwrap();
        let answer = match &entries[place] {
            Some(entry) => (StatusCode::OK, json!({ uuid: entry }).to_string()),
            None => (StatusCode::INTERNAL_SERVER_ERROR, "{}".to_owned()),
        };
        ready(answer)
    };
    let router = Router::new()
        .route("/api/v1/index/retrieve", post(move || ready(index)))
        .route("/api/v1/log/entries/{uuid}", get(one));
    Client::within(router, "http://log.example")
}

fn places(found: &[Logged]) -> Vec<u64> {
    found.iter().map(|logged| logged.entry.log_index).collect()
}

#[tokio::test]
async fn an_envelope_that_was_logged_as_two_kinds_has_two_entries() {
    let pems = pems();
    let pem = &pems[0];
    let verifier = STANDARD.encode(pem);
    let intoto = entry("intoto", &json!({ "publicKey": verifier }), 0);
    let answer = json!([{ "00": intoto }, { "01": dsse(pem, 1) }]).to_string();
    let retrieve = post(move || ready(answer));
    let router = Router::new().route("/api/v1/log/entries/retrieve", retrieve);
    let client = Client::within(router, "http://log.example");
    let bare = bare(Some(pem));
    let found = entries(&client, &bare).await.unwrap();
    assert_eq!(places(&found), [0, 1]);
    let bundle = found[1].bundle(&bare.envelope.envelope);
    assert_eq!(bundle.content, Content::Dsse(bare.envelope.envelope));
    assert_eq!(bundle.tlog_entries[0].kind_version.kind, "dsse");
    assert_eq!(bundle.key_material, leaf(pem).unwrap());
}

#[tokio::test]
async fn what_strangers_logged_about_a_payload_hides_nobodys_entry() {
    let pems = pems();
    let garbage = || {
        vec![
            // A key of somebody's own, a certificate that is none, an entry that is none, one that the log cannot give.
            Some(dsse("-----BEGIN PUBLIC KEY-----\n", 0)),
            Some(dsse(
                "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
                0,
            )),
            Some(json!({ "body": "!" })),
            None,
        ]
    };
    let signers = dsse(&pems[0], 9);
    for flood in [1, 17, 100] {
        let strangers: Vec<Option<Value>> = (0..flood).flat_map(|_| garbage()).collect();
        // Older and newer than all of them, by logs that list in either order.
        for place in [0, strangers.len()] {
            let mut all = strangers.clone();
            all.insert(place, Some(signers.clone()));
            let found = entries(&log_of(all), &bare(None)).await.unwrap();
            assert_eq!(places(&found), [9], "{flood} at {place}");
        }
    }
    // Others that certify somebody are judged as well.
    let two = vec![Some(dsse(&pems[1], 3)), Some(signers)];
    let found = entries(&log_of(two), &bare(None)).await.unwrap();
    assert_eq!(places(&found), [3, 9]);
}

#[tokio::test]
async fn no_entry_and_no_answer_are_two_things() {
    let exit = |error: LookupError| Refusal::from(error).failure("").exit;
    let strangers = vec![Some(dsse("-----BEGIN PUBLIC KEY-----\n", 0))];
    for absent in [Vec::new(), strangers] {
        let error = entries(&log_of(absent), &bare(None)).await.unwrap_err();
        assert!(matches!(error, LookupError::None(_)), "{error}");
        assert_eq!(exit(error), Exit::NotLogged);
    }
    let error = entries(&log_of(vec![None]), &bare(None)).await.unwrap_err();
    assert_eq!(exit(error), Exit::Failed);
}

#[test]
fn a_list_is_looked_at_from_both_ends() {
    for len in [0, 1, 31, 32, 33, 64, 65, 1000] {
        let list: Vec<usize> = (0..len).collect();
        let looked: Vec<usize> = ends(&list).copied().collect();
        assert_eq!(looked.len(), len.min(64), "{len}");
        assert_eq!(looked.first(), list.first());
        assert_eq!(looked.last(), list.last());
        assert!(looked.is_sorted(), "{looked:?}");
    }
}
