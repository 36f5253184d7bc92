//! The canary in the two signature logs, as entries of a bundle.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use common_bundle::format::TransparencyLogEntry;
use common_pki::cert::Certificate;
use http::StatusCode;
use serde_json::json;

use crate::doctor::report::{Broken, broken};
use crate::doctor::{Canary, JSON};
use crate::http::Client;
use crate::log_entry;

const ADVICE: &str =
    "see the server's log for the refusal or the failed write; /readyz says whether the store is writable";

fn fail(error: impl std::fmt::Display) -> Broken {
    broken(error, ADVICE)
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
    log_entry::parse(&body).map_err(fail)
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
