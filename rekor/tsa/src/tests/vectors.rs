//! Every exchange recorded from timestamp-authority 2.1.2, replayed.

#![allow(clippy::print_stderr, reason = "tests")]

use common_pki::tsp::TimeStampResponse;
use serde_json::Value;

use super::*;

/// Where we answer otherwise: name, our status, our message, and why. Each is in `docs/divergences.md`.
const DIFFERENCES: [(&str, u16, &str, &str); 2] = [
    (
        "content type with parameter",
        200,
        "",
        "RFC 9110 §8.3.1: parameters belong to a media type; upstream compares the whole header and refuses",
    ),
    (
        "digest too short",
        400,
        "Error generating timestamp response",
        "the recorded request is not DER (a stray octet inside messageImprint), which Go's decoder passes over; \
         a well-formed one gets upstream's message, see `short_digests_are_named`",
    ),
];

/// Answered by the server this router is composed into.
const ELSEWHERE: [&str; 2] = ["ping", "unknown"];

#[tokio::test]
async fn recorded_exchanges_are_answered_alike() {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../../shared/vectors/tsa/exchanges.jsonl"
    );
    let Ok(text) = std::fs::read_to_string(path) else {
        eprintln!("skipped: no captured vectors at ../shared/vectors");
        return;
    };
    let server = Server::start();
    let mut seen = 0;
    for line in text.lines() {
        seen += 1;
        let recorded: Value = serde_json::from_str(line).unwrap();
        let text = |key: &str| recorded[key].as_str().unwrap_or_default();
        let (name, bytes) = (text("name"), |key: &str| STANDARD.decode(text(key)).unwrap());
        if ELSEWHERE.contains(&name) {
            continue;
        }
        let request = Request::builder().method(text("method")).uri(text("path"));
        let request = request.header("content-type", text("content_type"));
        let answer = server
            .send(request.body(Body::from(bytes("request_b64"))).unwrap())
            .await;

        let body = match recorded["response"].as_str() {
            Some(text) => text.as_bytes().to_vec(),
            None => bytes("response_b64"),
        };
        if let Some((_, status, message, _)) = DIFFERENCES.iter().find(|(what, ..)| *what == name) {
            assert_eq!(answer.status.as_u16(), *status, "{name}");
            if message.is_empty() {
                TimeStampResponse::from_der(&answer.body)
                    .unwrap()
                    .granted()
                    .unwrap();
            } else {
                assert_eq!(answer.refusal().1, *message, "{name}");
            }
            continue;
        }
        assert_eq!(
            u64::from(answer.status.as_u16()),
            recorded["status"].as_u64().unwrap(),
            "{name}"
        );
        match text("path") {
            "/api/v1/timestamp/certchain" => compare_chains(&answer, &body),
            _ if answer.status != StatusCode::OK => compare_refusals(name, &answer, &body),
            _ => compare_timestamps(name, &server, &answer, &body),
        }
    }
    assert_eq!(seen, 31);
}

fn compare_refusals(name: &str, answer: &Answer, recorded: &[u8]) {
    let ours: Value = serde_json::from_slice(&answer.body).unwrap();
    let theirs: Value = serde_json::from_slice(recorded).unwrap();
    assert_eq!(ours, theirs, "{name}");
}

fn compare_chains(answer: &Answer, recorded: &[u8]) {
    let parse = |bytes: &[u8]| Certificate::chain_from_pem(std::str::from_utf8(bytes).unwrap(), 5).unwrap();
    let (ours, theirs) = (parse(&answer.body), parse(recorded));
    assert_eq!(ours.len(), theirs.len());
    for (ours, theirs) in ours.iter().zip(&theirs) {
        assert_eq!(ours.is_ca(), theirs.is_ca());
        assert_eq!(ours.is_self_issued(), theirs.is_self_issued());
        // The same purposes, and what is critical is critical.
        for kind in [oid::EXTENDED_KEY_USAGE, oid::KEY_USAGE] {
            let (ours, theirs) = (ours.extension(&kind), theirs.extension(&kind));
            let flags =
                |ext: Option<&common_pki::cert::Extension>| ext.map(|ext| (ext.critical, ext.value.clone()));
            if theirs.is_some_and(|ext| ext.critical) {
                assert_eq!(flags(ours).is_some(), flags(theirs).is_some());
            }
        }
    }
}

fn compare_timestamps(name: &str, server: &Server, answer: &Answer, recorded: &[u8]) {
    assert_eq!(
        answer.header("content-type"),
        "application/timestamp-reply",
        "{name}"
    );
    let token = |der: &[u8]| TimeStampResponse::from_der(der).unwrap().granted().unwrap();
    let (ours, theirs) = (token(&answer.body), token(recorded));
    assert_eq!(ours.certificates.len(), theirs.certificates.len(), "{name}");
    let expected = TstInfo {
        time: NOW,
        serial: ours.info.serial.clone(),
        tsa: ours.info.tsa.clone(),
        ..theirs.info.clone()
    };
    assert_eq!(ours.info, expected, "{name}");
    // The authority names itself in the same form: directoryName [4] of the leaf's subject.
    let leaf = &server.chain[0];
    assert_eq!(
        ours.info.tsa.as_deref().map(|name| &name[2..]),
        Some(leaf.subject_der()),
        "{name}"
    );
    assert_eq!(
        theirs.info.tsa.as_deref().map(|name| name[0]),
        Some(0xA4),
        "{name}"
    );
    assert!(ours.info.serial.len() <= 20, "{name}");
    assert_eq!(ours.verify_signature(leaf), Ok(()), "{name}");
}
