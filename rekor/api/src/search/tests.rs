#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "tests"
)]
//! Searches over a v1 and a v2 log with entries of every shape.

mod interface;
mod older;

use std::collections::BTreeSet;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use common_engine::Place;
use common_engine::fsck::{Fsck, LogCheck};
use common_pki::cert::{Certificate, Serial, SubjectAltName, TbsCertificate, empty_name, ext};
use common_pki::key::{KeyAlgorithm, Signer};
use common_tlog::checkpoint::Checkpoint;
use common_tlog::note::Note;
use serde_json::{Value, json};

use crate::testing::{HOST, NEW, Reply, Stack, TILES, dsse_request, get, hashedrekord, post, signer};
use crate::{RekorV1Check, RekorV2Check};

const ISSUER: &str = "https://issuer.example/realm";

/// A certificate for a name, and nothing behind it: a log takes it.
fn certificate(name: SubjectAltName, key: &dyn Signer) -> Certificate {
    let issuer = ext::sigstore_oid(8).unwrap();
    let tbs = TbsCertificate {
        serial: Serial::new(&[7]).unwrap(),
        issuer: empty_name(),
        not_before: 1_800_000_000,
        not_after: 1_800_000_600,
        subject: empty_name(),
        key: key.public_key().clone(),
        extensions: vec![name.to_extension().unwrap(), ext::utf8_string(issuer, ISSUER)],
    };
    tbs.sign(key).unwrap()
}

fn digest_of(content: &[u8]) -> String {
    common_tlog::sha256(&[content]).to_string()
}

fn v2_request(signer: &dyn Signer, content: &[u8], certificate: Option<&Certificate>) -> Value {
    let mut verifier = json!({"keyDetails": "PKIX_ECDSA_P256_SHA_256"});
    match certificate {
        Some(certificate) => {
            verifier["x509Certificate"] = json!({"rawBytes": STANDARD.encode(certificate.to_der())});
        }
        None => {
            verifier["publicKey"] = json!({"rawBytes": STANDARD.encode(signer.public_key().spki_der())});
        }
    }
    json!({"hashedRekordRequestV002": {
        "digest": STANDARD.encode(common_tlog::sha256(&[content]).0),
        "signature": {
            "content": STANDARD.encode(signer.sign(content).unwrap()),
            "verifier": verifier,
        },
    }})
}

/// Logs something into v1 or v2.
async fn log(stack: &Stack, v2: bool, key: &dyn Signer, content: &[u8], certificate: Option<&Certificate>) {
    let reply = if v2 {
        let request = v2_request(key, content, certificate);
        post(&stack.v2, "/api/v2/log/entries", request.to_string()).await
    } else {
        let mut request = hashedrekord(key, content);
        if let Some(certificate) = certificate {
            request["spec"]["signature"]["publicKey"]["content"] =
                json!(STANDARD.encode(certificate.to_pem()));
        }
        post(&stack.v1, "/api/v1/log/entries", request.to_string()).await
    };
    assert_eq!(reply.status, 201, "{:?}", reply.body);
}

async fn search(stack: &Stack, query: &str) -> Value {
    let reply = get(&stack.search, &format!("/api/sigbox/v1/search?{query}")).await;
    assert_eq!(reply.status, 200, "{query}: {:?}", reply.body);
    reply.json()
}

/// Log and index of each entry found.
fn places(answer: &Value) -> Vec<(u64, u64)> {
    let entries = answer["entries"].as_array().unwrap();
    let place = |entry: &Value| (entry["log"].as_u64().unwrap(), entry["index"].as_u64().unwrap());
    entries.iter().map(place).collect()
}

const V1: u64 = NEW.0 as u64;
const V2: u64 = TILES.0 as u64;

/// Every store that was written through the APIs is one that `fsck` finds complete.
async fn assert_sound(stack: &Stack) {
    let v1 = RekorV1Check::new(stack.shard.clone(), HOST);
    let v2 = RekorV2Check::new(HOST, stack.v2_key.clone()).unwrap();
    let logs = [
        LogCheck {
            id: NEW,
            spec: stack.engine.log(NEW).unwrap().spec.clone(),
            kind: Arc::new(v1),
        },
        LogCheck {
            id: TILES,
            spec: stack.engine.log(TILES).unwrap().spec.clone(),
            kind: Arc::new(v2),
        },
    ];
    let fsck = Fsck {
        storage: stack.storage.as_ref(),
        logs: &logs,
        published: &[],
        limit: 10,
        progress: &|_| {},
    };
    let report = fsck.run().await.unwrap();
    assert_eq!(report.findings, []);
}

#[tokio::test]
async fn entries_of_both_logs_are_found_by_all_that_is_known_of_them() {
    let stack = Stack::new().await;
    let key = signer(KeyAlgorithm::EcdsaP256);
    let dev = certificate(SubjectAltName::Email("Dev@mail.example.com".to_owned()), &*key);
    let build = certificate(
        SubjectAltName::Uri("https://git.example.com/org/repo/build".to_owned()),
        &*key,
    );
    log(&stack, false, &*key, b"one", Some(&dev)).await;
    log(&stack, true, &*key, b"one", Some(&build)).await;
    log(&stack, true, &*key, b"two", None).await;
    let dsse = post(&stack.v2, "/api/v2/log/entries", dsse_request().to_string()).await;
    assert_eq!(dsse.status, 201, "{:?}", dsse.body);

    let spki = hex::encode(key.public_key().fingerprint());
    let pem = hex::encode(common_tlog::sha256(&[key.public_key().to_pem().as_bytes()]).0);
    let one = digest_of(b"one");
    let queries = [
        (format!("digest={one}"), vec![(V2, 0), (V1, 0)]),
        (format!("digest=sha256:{}", digest_of(b"two")), vec![(V2, 1)]),
        (format!("digest={}", "ab".repeat(32)), vec![(V2, 2)]),
        ("email=dev@mail.example.com".to_owned(), vec![(V1, 0)]),
        ("prefix=dev@".to_owned(), vec![(V1, 0)]),
        ("domain=example.com".to_owned(), vec![(V2, 0), (V1, 0)]),
        ("domain=git.example.com".to_owned(), vec![(V2, 0)]),
        ("prefix=https://git.example.com/org/re".to_owned(), vec![(V2, 0)]),
        (
            "uri=https://git.example.com/org/repo/build".to_owned(),
            vec![(V2, 0)],
        ),
        (format!("issuer={ISSUER}"), vec![(V2, 0), (V1, 0)]),
        (format!("key={spki}"), vec![(V2, 1), (V2, 0), (V1, 0)]),
        (format!("key={pem}"), vec![(V2, 1)]),
        (
            format!("digest={one}&issuer={ISSUER}&email=dev@mail.example.com"),
            vec![(V1, 0)],
        ),
        (
            "match=any&email=dev@mail.example.com&domain=git.example.com".to_owned(),
            vec![(V2, 0), (V1, 0)],
        ),
        (
            format!("digest={one}&digest={}&key={pem}", digest_of(b"two")),
            vec![(V2, 1)],
        ),
        (format!("digest={one}&log={V1}"), vec![(V1, 0)]),
        (String::new(), vec![(V2, 2), (V2, 1), (V2, 0), (V1, 0)]),
        (format!("q={one}"), vec![(V2, 0), (V1, 0)]),
        (format!("q={spki}"), vec![(V2, 1), (V2, 0), (V1, 0)]),
        ("q=dev@mail.example.com".to_owned(), vec![(V1, 0)]),
        ("q=example.com".to_owned(), vec![(V2, 0), (V1, 0)]),
        (format!("q={ISSUER}&email=dev@mail.example.com"), vec![(V1, 0)]),
        ("q=https://git.example.com/org/".to_owned(), vec![(V2, 0)]),
        ("email=nobody@example.com".to_owned(), vec![]),
        ("since=2100-01-01".to_owned(), vec![]),
        ("until=1800000000".to_owned(), vec![]),
        (
            "since=2027-01-15T08:00:00Z".to_owned(),
            vec![(V2, 2), (V2, 1), (V2, 0), (V1, 0)],
        ),
    ];
    for (query, expected) in queries {
        let answer = search(&stack, &query).await;
        assert_eq!(places(&answer), expected, "{query}");
        assert_eq!(
            (&answer["complete"], &answer["next"]),
            (&json!(true), &Value::Null),
            "{query}"
        );
    }
    // What the signature is found by is shown with the entry.
    let all = search(&stack, "").await;
    for entry in all["entries"].as_array().unwrap() {
        let signature = entry["signers"][0]["signatureSha256"].as_str().unwrap();
        let found = search(&stack, &format!("signature={signature}")).await;
        assert_eq!(found["entries"], json!([entry]));
        let whole = get(&stack.search, entry["url"].as_str().unwrap()).await.json();
        assert_eq!(whole["leafHash"], entry["leafHash"]);
    }
    assert_sound(&stack).await;
}

#[tokio::test]
async fn every_page_says_up_to_which_checkpoint_it_is_complete() {
    let stack = Stack::new().await;
    let (mine, other) = (signer(KeyAlgorithm::EcdsaP256), signer(KeyAlgorithm::EcdsaP256));
    for number in 0..60_u32 {
        let key = if number % 3 == 0 { &other } else { &mine };
        log(&stack, number % 2 == 0, &**key, &number.to_be_bytes(), None).await;
    }
    let query = format!("key={}&limit=7", hex::encode(mine.public_key().fingerprint()));
    let (mut cursor, mut seen, mut times) = (String::new(), Vec::new(), Vec::new());
    let mut below = [30, 30];
    loop {
        let page = search(&stack, &format!("{query}{cursor}")).await;
        assert!(page["complete"].as_bool().unwrap());
        for (log, below) in page["logs"].as_array().unwrap().iter().zip(&mut below) {
            assert_eq!(log["searched"]["to"], json!(*below), "pages adjoin");
            *below = log["searched"]["from"].as_u64().unwrap();
            let note = Note::parse(log["checkpoint"].as_str().unwrap().as_bytes()).unwrap();
            let checkpoint = Checkpoint::parse(note.text()).unwrap();
            assert_eq!(
                (json!(checkpoint.size), json!(checkpoint.root.to_string())),
                (log["size"].clone(), log["root"].clone())
            );
            assert_eq!(log["origin"], json!(checkpoint.origin));
        }
        seen.extend(places(&page));
        let entries = page["entries"].as_array().unwrap();
        assert!(entries.len() <= 7);
        times.extend(
            entries
                .iter()
                .map(|entry| entry["time"].as_str().unwrap().to_owned()),
        );
        match page["next"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(below, [0, 0]);
    assert_eq!(seen.len(), 40);
    assert_eq!(seen.iter().collect::<BTreeSet<_>>().len(), 40, "each once");
    assert!(times.is_sorted_by(|a, b| a >= b), "newest first: {times:?}");

    // A cursor goes with its search.
    let first = search(&stack, &query).await;
    let cursor = first["next"].as_str().unwrap();
    for other in [
        format!("limit=7&cursor={cursor}"),
        "cursor=AQ".to_owned(),
        "cursor=%21".to_owned(),
    ] {
        let reply = get(&stack.search, &format!("/api/sigbox/v1/search?{other}")).await;
        assert_eq!(reply.status, 400, "{other}");
    }
}

#[tokio::test]
async fn two_frequent_terms_that_never_meet_end_after_some_pages() {
    let stack = Stack::new().await;
    let (one, two) = (signer(KeyAlgorithm::EcdsaP256), signer(KeyAlgorithm::EcdsaP256));
    let dev = certificate(SubjectAltName::Email("dev@example.com".to_owned()), &*two);
    for number in 0..400_u32 {
        match number % 2 {
            0 => log(&stack, true, &*one, &number.to_be_bytes(), None).await,
            _ => log(&stack, true, &*two, &number.to_be_bytes(), Some(&dev)).await,
        }
    }
    let never = format!(
        "key={}&email=dev@example.com",
        hex::encode(one.public_key().fingerprint())
    );
    let answer = search(&stack, &never).await;
    assert_eq!(places(&answer), []);
    assert_eq!(answer["logs"][1]["exhausted"], json!(true));
    assert_eq!(answer["logs"][1]["searched"], json!({"from": 0, "to": 400}));
    let both = format!(
        "key={}&email=dev@example.com&limit=100",
        hex::encode(two.public_key().fingerprint())
    );
    let (mut cursor, mut seen) = (String::new(), 0);
    loop {
        let answer = search(&stack, &format!("{both}{cursor}")).await;
        seen += places(&answer).len();
        match answer["next"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(seen, 200);
}

#[tokio::test]
async fn a_row_that_leads_to_another_entry_is_not_believed() {
    let stack = Stack::new().await;
    let key = signer(KeyAlgorithm::EcdsaP256);
    for content in [b"one", b"two"] {
        log(&stack, true, &*key, content, None).await;
    }
    let query = format!("digest={}", digest_of(b"one"));
    // As if two terms had the same 64 bits.
    stack.storage.damage(|contents| {
        let place = |index| Place { log: TILES, index };
        let of_one: Vec<_> = contents
            .index
            .iter()
            .filter(|row| row.1 == place(0))
            .copied()
            .collect();
        contents
            .index
            .extend(of_one.into_iter().map(|(key, _)| (key, place(1))));
    });
    assert_eq!(places(&search(&stack, &query).await), [(V2, 0)]);
}

#[tokio::test]
async fn times_bound_a_search_to_the_leaf() {
    let stack = Stack::new().await;
    let key = signer(KeyAlgorithm::EcdsaP256);
    for number in 0..20_u32 {
        log(&stack, true, &*key, &number.to_be_bytes(), None).await;
    }
    let all = search(&stack, "").await;
    let all = all["entries"].as_array().unwrap();
    for (at, entry) in all.iter().enumerate() {
        let time = entry["time"].as_str().unwrap().replace('+', "%2B");
        let since = search(&stack, &format!("since={time}")).await;
        assert_eq!(since["entries"], json!(all[..=at]), "{time}");
        assert_eq!(since["next"], Value::Null, "nothing older is asked for");
        let until = search(&stack, &format!("until={time}")).await;
        assert_eq!(until["entries"], json!(all[at + 1..]), "{time}");
        assert_eq!(until["logs"][1]["searched"]["to"], entry["index"]);
    }
}

#[tokio::test]
async fn a_pseudonym_is_found_in_both_logs_by_all_ways_to_ask() {
    let stack = Stack::new().await;
    let key = signer(KeyAlgorithm::EcdsaP256);
    let pseudonym = "urn:uuid:a5209d5d-9f3c-8c1a-8e4b-2f6d0c7b9e11";
    let certificate = certificate(SubjectAltName::Uri(pseudonym.to_owned()), &*key);
    log(&stack, false, &*key, b"one", Some(&certificate)).await;
    log(&stack, true, &*key, b"two", Some(&certificate)).await;
    for query in [
        format!("q={pseudonym}"),
        format!("uri={pseudonym}"),
        format!("uri={}", pseudonym.to_uppercase()),
        format!("q=%20{pseudonym}&issuer={ISSUER}"),
    ] {
        let answer = search(&stack, &query).await;
        assert_eq!(places(&answer), [(V2, 0), (V1, 0)], "{query}");
    }
    assert_eq!(places(&search(&stack, "q=urn:uuid:a5209d5d").await), [], "whole");
    // What has a colon and is neither a digest nor a URI is still told so.
    let reply = get(&stack.search, "/api/sigbox/v1/search?q=sha256:abcd").await;
    assert_eq!(reply.status, 400);
    assert!(
        message(&reply).contains("expected an address, a URI"),
        "{}",
        message(&reply)
    );
}

fn message(reply: &Reply) -> String {
    reply.json()["message"].as_str().unwrap_or_default().to_owned()
}
