//! POST `/api/v2/log/entries`: a request is read, verified and canonicalised, then logged, and answered as a
//! `TransparencyLogEntry`.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use common_engine::{Entry, LogKind, Outcome, Receipt};
use common_server::cpu;
use common_tlog::{Hash, leaf_hash};
use http::StatusCode;
use http::header::CONTENT_TYPE;
use rekor_entry::facts::Facts;
use rekor_entry::v2::{Policy, parse_request};
use rekor_entry::{Canonical, committed};

use super::error::ApiError;
use super::{Service, Shard};
use crate::personality::whole_rest;
use crate::{json, terms};

/// Kind and version of an entry, part of its answer.
#[derive(Clone, Copy)]
pub(super) struct KindVersion {
    pub(super) kind: &'static str,
    pub(super) version: &'static str,
}

/// Everything that needs the CPU and no log: parsing, the signature, the canonical form and its hash.
fn prepare(body: &[u8], policy: &Policy) -> Result<(KindVersion, Entry), ApiError> {
    let canonical = parse_request(body, policy)?;
    let kind = KindVersion {
        kind: canonical.kind,
        version: canonical.api_version,
    };
    Ok((kind, engine_entry(canonical)?))
}

/// What the engine logs of a verified v2 entry.
///
/// # Errors
/// When its own body cannot be read back, or it has more terms than are indexed: it would not be found.
pub fn engine_entry(canonical: Canonical) -> Result<Entry, committed::ReadError> {
    let told = committed::read(&canonical.body)?;
    // A hashedrekord's body tells all its terms. Subjects of an envelope's payload are gone with it.
    let aux = if canonical.kind == "hashedrekord" {
        Bytes::new()
    } else {
        whole_rest("", &canonical.index_keys, &told.index_keys)
    };
    let facts = Facts {
        keys: canonical.index_keys,
        ..Facts::of(told, &[])
    };
    let body = Bytes::from(canonical.body);
    Ok(Entry {
        identity: leaf_hash(&body),
        body,
        aux,
        terms: terms::of_new(LogKind::RekorV2, &facts)?,
        attachments: Vec::new(),
    })
}

/// 201 with the entry, or 409 with the index of the one that is there already.
pub(super) async fn create(
    State(service): State<Arc<Service>>,
    request: Request,
) -> Result<Response, ApiError> {
    check(&service).await?;
    // The gateway reads any content type as JSON.
    let body = service.bodies.read(request).await?;
    let request = body.bytes.clone();
    log(
        &service,
        || request,
        |shard, kind, receipt| {
            let body = transparency_log_entry(&shard.key_id, kind, &receipt);
            (StatusCode::CREATED, [(CONTENT_TYPE, "application/json")], body).into_response()
        },
    )
    .await
}

/// Refuses what would not be taken, before its body is read.
pub(super) async fn check(service: &Service) -> Result<(), ApiError> {
    // A frozen log answers so whatever the body is. One that is frozen because the next shard is being opened is not meant:
    // whoever comes in that moment waits for the end of it.
    if service.engine.takes_entries(service.active.load().log).is_err() {
        let shard = service.active.enter().await;
        service.engine.takes_entries(shard.log)?;
    }
    Ok(service.writes.check()?)
}

/// Logs the entry of a request in proto-JSON, and answers it. Where the request is written as such first, that is work of the
/// processor too.
pub(super) async fn log<T>(
    service: &Service,
    request: impl FnOnce() -> Bytes + Send + 'static,
    answer: impl FnOnce(&Shard, KindVersion, Receipt) -> T,
) -> Result<T, ApiError> {
    // A body that takes its time takes no place.
    let _admitted = service.writes.enter()?;
    let policy = Arc::clone(&service.policy);
    let (kind, entry) = cpu::run(move || prepare(&request(), &policy)).await??;
    // Held until it is answered: a shard is not closed while an entry is on its way there.
    let shard = service.active.enter().await;
    match service.engine.submit(shard.log, entry).await? {
        Outcome::Sequenced(receipt) => {
            if kind.kind == "hashedrekord" {
                metrics::counter!("rekor_v2_new_hashedrekord_entries").increment(1);
            }
            Ok(answer(&shard, kind, receipt))
        }
        Outcome::Duplicate(receipt) => Err(ApiError::Duplicate {
            index: receipt.leaf.index,
        }),
    }
}

/// Room for an answer: base64 of the body, 44 characters and three marks for each hash, the note with its escapes,
/// and the fixed parts, which stay below 512.
fn size(receipt: &Receipt) -> usize {
    receipt
        .leaf
        .data
        .len()
        .saturating_mul(4)
        .div_euclid(3)
        .saturating_add(receipt.proof.len().saturating_mul(47))
        .saturating_add(receipt.head.checkpoint.len())
        .saturating_add(512)
}

/// `dev.sigstore.rekor.v1.TransparencyLogEntry` in proto-JSON: 64-bit integers are strings, and unset fields
/// are there, because sigstore-rust reads `integratedTime` unconditionally.
fn transparency_log_entry(key_id: &str, kind: KindVersion, receipt: &Receipt) -> String {
    let Receipt {
        leaf, proof, head, ..
    } = receipt;
    let mut out = String::with_capacity(size(receipt));
    out.push_str("{\"logIndex\":\"");
    json::number(&mut out, leaf.index);
    out.push_str("\",\"logId\":{\"keyId\":\"");
    out.push_str(key_id);
    out.push_str("\"},\"kindVersion\":{\"kind\":\"");
    out.push_str(kind.kind);
    out.push_str("\",\"version\":\"");
    out.push_str(kind.version);
    out.push_str(
        "\"},\"integratedTime\":\"0\",\"inclusionPromise\":null,\"inclusionProof\":{\"logIndex\":\"",
    );
    json::number(&mut out, leaf.index);
    out.push_str("\",\"rootHash\":");
    quoted_base64(&mut out, &head.root);
    out.push_str(",\"treeSize\":\"");
    json::number(&mut out, head.size);
    out.push_str("\",\"hashes\":");
    json::hashes(&mut out, proof, quoted_base64);
    out.push_str(",\"checkpoint\":{\"envelope\":");
    json::string(&mut out, &head.checkpoint);
    out.push_str("}},\"canonicalizedBody\":");
    json::base64(&mut out, &leaf.data);
    out.push('}');
    out
}

fn quoted_base64(out: &mut String, hash: &Hash) {
    json::base64(out, hash.as_bytes());
}

#[cfg(test)]
mod tests;
