//! Every exchange recorded from rekor-server, answered by ours. What differs is in [`wanted`], with its
//! reason; a difference that is no longer there fails too.

use serde_json::Value;

use super::verify_entry;
use crate::testing::{Exchange, Reply, Stack, exchanges, recorded, replay, same, unbase64};

/// What we answer instead, and why.
enum Wanted {
    /// The same status, another message.
    Message(&'static str),
    /// Another status and message.
    Answer(u16, &'static str),
    /// A valid entry that upstream refuses.
    Accepted,
    /// The same entries without these many that were logged before the recording began.
    FewerHits(usize),
}

/// Differences by name of the exchange. Each row is a row of `docs/divergences.md`.
fn wanted(exchange: &Exchange) -> Option<Wanted> {
    use Wanted::{Accepted, Answer, FewerHits, Message};
    Some(match exchange.name.as_str() {
        // A client error is never a 5xx: the Go client retries those.
        "shape array" | "shape not json" | "shape kind number" => Answer(400, "entry is not valid JSON: "),
        // Ours say what was expected and what came; upstream's are of Go's libraries, which no client reads.
        "hashedrekord secp256k1 sha256" => {
            Message("error processing entry: invalid public key: unsupported public key: elliptic curve ")
        }
        "hashedrekord short digest" => {
            Message("error processing entry: invalid value for hash: sha256 has 64 hexadecimal digits, got 4")
        }
        "hashedrekord algorithm mismatch" => Message(
            "error processing entry: invalid value for hash: sha512 has 128 hexadecimal digits, got 64",
        ),
        "hashedrekord not hex" => Message("error processing entry: invalid value for hash: not hexadecimal"),
        "hashedrekord key not pem" | "hashedrekord key der" => {
            Message("error processing entry: invalid public key: failure decoding PEM: ")
        }
        "hashedrekord two certificates in one pem" => {
            Message("error processing entry: verifying signature: certificate chain does not verify: ")
        }
        "dsse envelope not json" => Message("error processing entry: DSSE envelope is not valid: "),
        "cose not cbor" => Message("error processing entry: cbor: invalid COSE_Sign1_Tagged object: "),
        // Upstream writes these signatures anew under another hash, and then cannot verify them.
        "rekord ssh ed25519 sha256" | "rekord ssh ecdsa sha256" | "rekord ssh rsa sha256" => Accepted,
        "retrieve nojson" => Message("parsing entry body from \"\" failed, because "),
        // SHA-384 digests are indexed, so they can be asked for.
        "index {\"hash\": \"abcd\"}" => {
            Message("hash in body should match '^(sha512:)?[0-9a-fA-F]{128}$|^(sha384:)?[0-9a-fA-F]{96}$|")
        }
        // The other entry of this address is in no recorded request.
        "index {\"email\": \"dev@example.com\"}" | "index {\"email\": \"Dev@Example.com\"}" => FewerHits(1),
        name if name.starts_with("index {\"email\": \"dev@example.com\", \"hash\"")
            && exchange.request.contains("\"or\"") =>
        {
            FewerHits(1)
        }
        _ => return None,
    })
}

#[tokio::test]
async fn recorded_exchanges_are_answered_alike() {
    let Some(mut exchanges) = exchanges("rekor-v1") else {
        return;
    };
    exchanges.extend(recorded("rekor-v1/packages.jsonl").unwrap_or_default());
    let stack = Stack::new().await;
    replay(&stack.v1, &exchanges, |exchange, reply| {
        compare(exchange, reply, &stack)
    })
    .await;
}

fn compare(exchange: &Exchange, reply: &Reply, stack: &Stack) -> Result<(), String> {
    let status = reply.status.as_u16();
    match wanted(exchange) {
        Some(Wanted::Answer(other, _)) if other == exchange.status => {
            Err("the status is upstream's: not a difference in status".to_owned())
        }
        Some(Wanted::Message(message)) if message == exchange.recorded_message() => {
            Err("not a difference".to_owned())
        }
        Some(Wanted::Answer(other, message)) => starts((status, reply.message()), (other, message)),
        Some(Wanted::Message(message)) => starts((status, reply.message()), (exchange.status, message)),
        Some(Wanted::Accepted) => {
            same((status, exchange.status), (201, 400))?;
            verify_entry(&reply.json(), &stack.shard);
            Ok(())
        }
        Some(Wanted::FewerHits(missing)) => hits(exchange, reply, missing),
        None if exchange.status == 201 => accepted(exchange, reply, stack),
        None if exchange.path.starts_with("/api/v1/index") && exchange.status == 200 => {
            hits(exchange, reply, 0)
        }
        None if exchange.path.starts_with("/api/v1/log/entries/retrieve") && exchange.status == 200 => {
            retrieved(exchange, reply, stack)
        }
        None if exchange.path.starts_with("/api/v1/log?") => info(exchange, reply),
        None => literally(exchange, reply),
    }
}

fn starts(got: (u16, String), expected: (u16, &str)) -> Result<(), String> {
    if got.0 == expected.0 && got.1.starts_with(expected.1) {
        Ok(())
    } else {
        Err(format!("got      {got:?}\n  expected {expected:?}…"))
    }
}

/// A 201: the leaf to the byte, members and headers by shape.
fn accepted(exchange: &Exchange, reply: &Reply, stack: &Stack) -> Result<(), String> {
    same(reply.status.as_u16(), 201).map_err(|fault| format!("{fault}\n  {:?}", reply.body))?;
    let answer = reply.json();
    let id = verify_entry(&answer, &stack.shard);
    let entry = &answer[&id];
    same(
        String::from_utf8_lossy(&unbase64(&entry["body"])).as_ref(),
        exchange.recorded["canonical_body"].as_str().unwrap(),
    )?;
    same(&id[16..], exchange.recorded["leaf_hash"].as_str().unwrap())?;
    let mut members: Vec<_> = entry.as_object().unwrap().keys().cloned().collect();
    members.sort();
    same(Value::from(members), exchange.recorded["entry_keys"].clone())?;
    for (name, recorded) in exchange.recorded["headers"].as_object().unwrap() {
        // The tree ID is the only part that is not the entry's own, and the test log has the recorded one.
        same(reply.header(name), recorded.as_str().unwrap())?;
    }
    Ok(())
}

/// Index hits: the same leaves, in any order.
fn hits(exchange: &Exchange, reply: &Reply, missing: usize) -> Result<(), String> {
    let leaves = |answer: &Value| -> Vec<String> {
        let mut leaves: Vec<_> = answer
            .as_array()
            .unwrap()
            .iter()
            .map(|id| id.as_str().unwrap()[16..].to_owned())
            .collect();
        leaves.sort();
        leaves
    };
    let recorded = leaves(&serde_json::from_str(exchange.recorded["response"].as_str().unwrap()).unwrap());
    let got = leaves(&reply.json());
    if let Some(unknown) = got.iter().find(|leaf| !recorded.contains(leaf)) {
        return Err(format!("{unknown} is not a recorded hit"));
    }
    same(recorded.len() - got.len(), missing)
}

/// Entries by index: ours hold other leaves there, so only number and members are compared, and every proof.
fn retrieved(exchange: &Exchange, reply: &Reply, stack: &Stack) -> Result<(), String> {
    let recorded: Value = serde_json::from_str(exchange.recorded["response"].as_str().unwrap()).unwrap();
    let (recorded, got) = (
        recorded.as_array().unwrap().clone(),
        reply.json().as_array().unwrap().clone(),
    );
    same(got.len(), recorded.len())?;
    for (got, recorded) in got.iter().zip(&recorded) {
        let id = verify_entry(got, &stack.shard);
        let members = |entry: &Value| entry.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
        same(
            members(&got[&id]),
            members(recorded.as_object().unwrap().values().next().unwrap()),
        )?;
    }
    Ok(())
}

fn info(exchange: &Exchange, reply: &Reply) -> Result<(), String> {
    let recorded: Value = serde_json::from_str(exchange.recorded["response"].as_str().unwrap()).unwrap();
    let got = reply.json();
    same(
        got.as_object().unwrap().keys().collect::<Vec<_>>(),
        recorded.as_object().unwrap().keys().collect(),
    )?;
    for name in ["treeID", "inactiveShards"] {
        same(&got[name], &recorded[name])?;
    }
    Ok(())
}

/// Status and body, JSON compared as JSON, anything else to the byte. The size of the recorded tree is not
/// ours.
fn literally(exchange: &Exchange, reply: &Reply) -> Result<(), String> {
    same(reply.status.as_u16(), exchange.status).map_err(|fault| format!("{fault}\n  {:?}", reply.body))?;
    let recorded = exchange.recorded["response"].as_str().unwrap_or_default();
    let got = std::str::from_utf8(&reply.body).unwrap();
    match (
        serde_json::from_str::<Value>(got),
        serde_json::from_str::<Value>(recorded),
    ) {
        (Ok(got), Ok(recorded)) => {
            let neutral = |value: Value| {
                let text = value.to_string();
                text.split_once("currently observable(")
                    .map_or(text.clone(), |(before, _)| before.to_owned())
            };
            same(neutral(got), neutral(recorded))
        }
        _ => same(got, recorded),
    }
}
