//! Every exchange recorded from rekor-tiles, answered by ours. What differs is in [`wanted`], with its
//! reason; a difference that is no longer there fails too.

use serde_json::Value;

use super::verify_entry;
use crate::testing::{Exchange, Reply, Stack, exchanges, replay, same, unbase64};

/// What we answer instead, and why.
pub(super) enum Wanted {
    /// The same status and code; the message says more than upstream's, which it begins with.
    Longer,
    /// Another text after the same status and code: the wording of a Go parser.
    Parser(&'static str),
    /// Refused with this message.
    Refused(&'static str),
    /// Answered with this status although upstream leaves it to a storage bucket.
    Served(u16),
    /// Not a route of this API but of the composed server.
    Elsewhere,
}

/// Differences by name and path of the exchange. Each row is a row of `docs/divergences.md`.
pub(super) fn wanted(exchange: &Exchange) -> Option<Wanted> {
    use Wanted::{Elsewhere, Longer, Parser, Refused, Served};
    Some(match (exchange.name.as_str(), exchange.path.as_str()) {
        // Ours say what was expected and what came.
        (
            "p384 sha256"
            | "p521 sha256"
            | "rsa pss"
            | "wrong signature"
            | "short digest"
            | "unspecified key details"
            | "key not der"
            | "empty request"
            | "no signature",
            _,
        ) => Longer,
        // A label that does not describe the key would be logged as the truth about it.
        ("rsa label of another size", _) => Refused(
            "invalid hashedrekord request: keyDetails PKIX_RSA_PKCS1V15_2048_SHA256 does not describe the key given, which is RSA 4096",
        ),
        ("label of another key type", _) => Refused(
            "invalid hashedrekord request: keyDetails PKIX_RSA_PKCS1V15_2048_SHA256 does not describe the key given, which is ECDSA P-256",
        ),
        // Pure Ed25519 cannot verify a digest; upstream panics.
        ("ed25519 pure", _) => Refused("invalid hashedrekord request: entry algorithms are not allowed"),
        ("array" | "null" | "not json" | "unknown field", _) => Parser("invalid request: "),
        ("unknown key details", _) => {
            Parser("invalid hashedrekord request: missing keyDetails of a known algorithm")
        }
        ("both key and certificate", _) => Parser(
            "invalid hashedrekord request: missing verifier: exactly one of publicKey and x509Certificate",
        ),
        ("bad base64", _) => Parser("invalid hashedrekord request: "),
        // Requests of this kind are taken (clients of 2025 send them); this one's signature is wrong.
        ("dsse request", _) => Parser("invalid dsse request: could not verify envelope: "),
        // Upstream leaves these to the bucket behind it. The tile is not full yet.
        (_, "/api/v2/checkpoint") => Served(200),
        (_, "/api/v2/tile/0/000") => Served(404),
        (_, "/healthz") => Elsewhere,
        _ => return None,
    })
}

#[tokio::test]
async fn recorded_exchanges_are_answered_alike() {
    let Some(exchanges) = exchanges("rekor-v2") else {
        return;
    };
    let stack = Stack::new().await;
    replay(&stack.v2, &exchanges, |exchange, reply| {
        compare(exchange, reply, &stack)
    })
    .await;
}

fn compare(exchange: &Exchange, reply: &Reply, stack: &Stack) -> Result<(), String> {
    let status = reply.status.as_u16();
    let Some(wanted) = wanted(exchange) else {
        return if exchange.status == 201 {
            accepted(exchange, reply, stack)
        } else {
            refused(exchange, reply)
        };
    };
    let (message, upstream) = (reply.message(), exchange.recorded_message());
    let code_3 = || same((status, reply.json()["code"].as_u64()), (400, Some(3)));
    match wanted {
        Wanted::Longer => {
            same(
                (status, &reply.json()["code"]),
                (exchange.status, &exchange.recorded_answer()["code"]),
            )?;
            if message.starts_with(&upstream) && message != upstream {
                Ok(())
            } else {
                Err(format!("{message:?} is not longer than {upstream:?}"))
            }
        }
        Wanted::Parser(text) => {
            same(exchange.status, 400).and_then(|()| code_3())?;
            if message == upstream {
                Err("not a difference".to_owned())
            } else if message.starts_with(text) {
                Ok(())
            } else {
                Err(message)
            }
        }
        Wanted::Refused(text) => {
            code_3()?;
            if exchange.status == 400 {
                Err("upstream refuses it too".to_owned())
            } else if message.starts_with(text) {
                Ok(())
            } else {
                Err(message)
            }
        }
        Wanted::Served(expected) => {
            same(exchange.status, 501)?;
            same(status, expected)
        }
        Wanted::Elsewhere => same((status, reply.body.len()), (404, 0)),
    }
}

/// A 201: the leaf to the byte, members by name.
fn accepted(exchange: &Exchange, reply: &Reply, stack: &Stack) -> Result<(), String> {
    same(reply.status.as_u16(), 201).map_err(|fault| format!("{fault}\n  {:?}", reply.body))?;
    let answer = reply.json();
    let leaf = verify_entry(&answer, stack);
    same(
        String::from_utf8_lossy(&unbase64(&answer["canonicalizedBody"])).as_ref(),
        exchange.recorded["canonical_body"].as_str().unwrap(),
    )?;
    same(
        leaf.to_string().as_str(),
        exchange.recorded["leaf_hash"].as_str().unwrap(),
    )?;
    let mut members: Vec<_> = answer.as_object().unwrap().keys().cloned().collect();
    members.sort();
    same(Value::from(members), exchange.recorded["response_keys"].clone())?;
    same(&answer["kindVersion"], &exchange.recorded["kindVersion"])
}

/// Status, code, message and details; the index of a duplicate is that of our log.
fn refused(exchange: &Exchange, reply: &Reply) -> Result<(), String> {
    same(reply.status.as_u16(), exchange.status).map_err(|fault| format!("{fault}\n  {:?}", reply.body))?;
    same(
        !reply.header("x-log-index").is_empty(),
        exchange.recorded["x-log-index"].as_bool().unwrap(),
    )?;
    let neutral = |value: Value| {
        let text = value.to_string();
        text.split_once("with index ")
            .map_or(text.clone(), |(before, _)| before.to_owned())
    };
    same(neutral(reply.json()), neutral(exchange.recorded_answer()))
}
