//! The canary in the two signature logs, as entries of a bundle.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use common_bundle::format::{
    Checkpoint, InclusionPromise, InclusionProof, KindVersion, LogId, TransparencyLogEntry,
};
use common_pki::cert::Certificate;
use http::StatusCode;
use serde::Deserialize;
use serde_json::json;

use crate::doctor::report::{Broken, broken};
use crate::doctor::{Canary, JSON};
use crate::http::Client;

const ADVICE: &str =
    "see the server's log for the refusal or the failed write; /readyz says whether the store is writable";

fn fail(error: impl std::fmt::Display) -> Broken {
    broken(error, ADVICE)
}

/// An entry as Rekor v1 answers it (rekor `openapi.yaml`, LogEntry).
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct LogEntry {
    body: String,
    integrated_time: u64,
    #[serde(rename = "logID")]
    log_id: String,
    log_index: u64,
    verification: Verification,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Verification {
    inclusion_proof: Proof,
    signed_entry_timestamp: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Proof {
    checkpoint: String,
    hashes: Vec<String>,
    log_index: u64,
    root_hash: String,
    tree_size: u64,
}

/// Logs the canary in Rekor v1.
pub(crate) async fn v1(
    client: &Client,
    canary: &Canary,
    leaf: &Certificate,
) -> Result<TransparencyLogEntry, Broken> {
    let request = json!({
        "apiVersion": "0.0.1",
        "kind": "hashedrekord",
        "spec": {
            "data": { "hash": { "algorithm": "sha256", "value": hex::encode(canary.digest()) } },
            "signature": {
                "content": STANDARD.encode(&canary.signature),
                "publicKey": { "content": STANDARD.encode(leaf.to_pem()) },
            },
        },
    });
    let answer = client
        .post("/api/v1/log/entries", JSON, request.to_string().into_bytes())
        .await
        .map_err(fail)?;
    let body = answer.expect(StatusCode::CREATED).map_err(fail)?;
    let entries: BTreeMap<String, LogEntry> = serde_json::from_slice(&body).map_err(fail)?;
    let (_, entry) = entries
        .into_iter()
        .next()
        .ok_or_else(|| fail("the answer has no entry"))?;
    let Verification {
        inclusion_proof: proof,
        signed_entry_timestamp,
    } = entry.verification;
    Ok(TransparencyLogEntry {
        log_index: entry.log_index,
        log_id: LogId {
            key_id: hex::decode(&entry.log_id).map_err(fail)?,
        },
        kind_version: KindVersion {
            kind: "hashedrekord".to_owned(),
            version: "0.0.1".to_owned(),
        },
        integrated_time: entry.integrated_time,
        inclusion_promise: Some(InclusionPromise {
            signed_entry_timestamp: STANDARD.decode(&signed_entry_timestamp).map_err(fail)?,
        }),
        inclusion_proof: Some(InclusionProof {
            log_index: proof.log_index,
            root_hash: hex::decode(&proof.root_hash).map_err(fail)?,
            tree_size: proof.tree_size,
            hashes: proof
                .hashes
                .iter()
                .map(hex::decode)
                .collect::<Result<_, _>>()
                .map_err(fail)?,
            checkpoint: Checkpoint {
                envelope: proof.checkpoint,
            },
        }),
        canonicalized_body: STANDARD.decode(&entry.body).map_err(fail)?,
    })
}

/// Logs the canary in Rekor v2, which answers what a bundle keeps.
pub(crate) async fn v2(
    client: &Client,
    canary: &Canary,
    leaf: &Certificate,
) -> Result<TransparencyLogEntry, Broken> {
    let request = json!({
        "hashedRekordRequestV002": {
            "digest": STANDARD.encode(canary.digest()),
            "signature": {
                "content": STANDARD.encode(&canary.signature),
                "verifier": {
                    "x509Certificate": { "rawBytes": STANDARD.encode(leaf.to_der()) },
                    "keyDetails": "PKIX_ECDSA_P256_SHA_256",
                },
            },
        },
    });
    let answer = client
        .post("/api/v2/log/entries", JSON, request.to_string().into_bytes())
        .await
        .map_err(fail)?;
    serde_json::from_slice(&answer.expect(StatusCode::CREATED).map_err(fail)?).map_err(fail)
}
