//! POST `/api/v1/log/entries`: an entry is read, verified and canonicalised, then logged, and answered with
//! its proof.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::Response;
use bytes::Bytes;
use common_engine::{Attachment, Entry, LogKind, Outcome, Receipt};
use common_tlog::leaf_hash;
use http::header::{ETAG, HeaderName, LOCATION};
use http::{HeaderValue, StatusCode, Uri};
use rekor_entry::facts::Facts;
use rekor_entry::v1::ProposedEntry;
use rekor_entry::{Attestation, Canonical, committed};

use super::entry_id::EntryId;
use super::error::ApiError;
use super::negotiate::json_body;
use super::packages::{self, Here};
use super::read::extra;
use super::shards::Shard;
use super::view::EntryView;
use super::{ENTRIES, Policy, Service, json_response};
use crate::personality::{attestation_key, rest};
use crate::terms;

/// Says that an attestation was too large to be kept, where upstream drops it without a word.
const NOT_KEPT: HeaderName = HeaderName::from_static("x-attestation-not-kept");

/// Everything that needs the CPU and no log: parsing, the signatures, the canonical form and its hash. Also what is to be
/// said of an attestation that is not kept. `None` when this is no place for a package.
fn prepare(body: &[u8], policy: &Policy, here: Here) -> Result<Option<(Entry, Option<String>)>, ApiError> {
    let proposed = ProposedEntry::parse(body).map_err(ApiError::Entry)?;
    if !here.takes(proposed.kind()) {
        return Ok(None);
    }
    let canonical = proposed.canonicalize(policy).map_err(ApiError::Entry)?;
    let notice = match &canonical.attestation {
        Attestation::TooLarge { size, limit } => Some(format!("{size} bytes, at most {limit} are kept")),
        Attestation::None | Attestation::Keep { .. } => None,
    };
    Ok(Some((engine_entry(canonical)?, notice)))
}

/// What the engine logs of a verified v1 entry.
///
/// # Errors
/// When its own body cannot be read back, or it has more terms than are indexed: it would not be found.
pub fn engine_entry(canonical: Canonical) -> Result<Entry, committed::ReadError> {
    let (name, attachments) = match canonical.attestation {
        Attestation::Keep { name, data } => {
            let attachment = Attachment {
                key: attestation_key(&name),
                data: data.into(),
            };
            (name, vec![attachment])
        }
        Attestation::None | Attestation::TooLarge { .. } => (String::new(), Vec::new()),
    };
    let told = committed::read(&canonical.body)?;
    let aux = rest(&name, &canonical.index_keys, &told.index_keys);
    let facts = Facts {
        keys: canonical.index_keys,
        ..Facts::of(told, &[])
    };
    let body = Bytes::from(canonical.body);
    Ok(Entry {
        identity: leaf_hash(&body),
        body,
        aux,
        terms: terms::of_new(LogKind::RekorV1, &facts)?,
        attachments,
    })
}

/// 201 with the entry, or 409 with the place of the one that is there already.
pub(super) async fn create(
    State(service): State<Arc<Service>>,
    request: Request,
) -> Result<Response, ApiError> {
    service.writes.check()?;
    let (parts, body) = json_body(request, "proposedEntry", &service.bodies).await?;
    // A body that takes its time takes no place.
    let _admitted = service.writes.enter()?;
    let policy = Arc::clone(&service.policy);
    let (entry, notice) = packages::run(body, move |body, here| prepare(body, &policy, here)).await?;

    // Held until it is answered: a shard is not closed while an entry is on its way there.
    let shards = service.shards.enter().await;
    let (log, shard) = shards.active();
    let id = EntryId {
        tree: shard.tree(),
        leaf: entry.identity,
    };
    match service.engine.submit(*log, entry).await? {
        Outcome::Sequenced(receipt) => {
            let mut response = created(&parts.uri, shard, id, &receipt)?;
            if let Some(events) = &service.events {
                events.announce(shard, id, &receipt);
            }
            if let Some(notice) = notice.and_then(|notice| HeaderValue::try_from(notice).ok()) {
                response.headers_mut().insert(NOT_KEPT, notice);
            }
            Ok(response)
        }
        Outcome::Duplicate(_) => Err(ApiError::Duplicate {
            id,
            location: location(&parts.uri, &id),
        }),
    }
}

fn created(uri: &Uri, shard: &Shard, id: EntryId, receipt: &Receipt) -> Result<Response, ApiError> {
    let Receipt {
        leaf, proof, head, ..
    } = receipt;
    let set = extra(leaf)?.set;
    let mut out = String::new();
    // A stored attestation is shown by reads only (rekor `pkg/api/entries.go`, createLogEntry).
    EntryView {
        shard,
        id,
        leaf,
        set,
        proof,
        head,
        attestation: None,
    }
    .write(&mut out);
    out.push('\n');
    let mut response = json_response(StatusCode::CREATED, out);
    response.headers_mut().insert(LOCATION, location(uri, &id));
    response.headers_mut().insert(ETAG, id.header());
    metrics::counter!("rekor_new_entries").increment(1);
    Ok(response)
}

/// Path-absolute, because clients resolve it or take its segments by number; the query stays, without the
/// `apiKey` of Google's gateways (rekor `pkg/api/entries.go`, getEntryURL).
fn location(uri: &Uri, id: &EntryId) -> HeaderValue {
    let mut text = String::with_capacity(ENTRIES.len().saturating_add(81));
    text.push_str(ENTRIES);
    text.push('/');
    id.write(&mut text);
    let kept = uri
        .query()
        .into_iter()
        .flat_map(|query| query.split('&'))
        .filter(|pair| {
            let name = pair.split('=').next().unwrap_or_default();
            !name.is_empty() && name != "apiKey"
        });
    for (at, pair) in kept.enumerate() {
        text.push(if at == 0 { '?' } else { '&' });
        text.push_str(pair);
    }
    HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static(ENTRIES))
}
