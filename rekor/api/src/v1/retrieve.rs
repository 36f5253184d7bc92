//! POST `/api/v1/log/entries/retrieve`: up to ten entries by UUID, virtual index or proposed entry.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::Response;
use common_tlog::{Hash, leaf_hash};
use http::StatusCode;
use rekor_entry::v1::ProposedEntry;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::capped::Capped;
use super::entry_id::{EntryRef, PATTERN};
use super::error::{ApiError, Place, Rule, Violation};
use super::negotiate::{json_body, object};
use super::packages::{self, Here};
use super::{Service, json_response};

/// Most items of one list, and of all lists together (rekor `pkg/api/entries.go`, maxSearchQueries).
const MAX: usize = 10;

/// The request. A list may be absent or null, but only that of entries may be empty.
#[derive(Deserialize, Default)]
struct Query<'a> {
    #[serde(borrow)]
    entries: Option<Capped<&'a RawValue, MAX>>,
    #[serde(rename = "entryUUIDs")]
    entry_uuids: Option<Capped<String, MAX>>,
    #[serde(rename = "logIndexes")]
    log_indexes: Option<Capped<i64, MAX>>,
}

/// What is looked up, in the order of the answer (rekor `pkg/api/entries.go`, SearchLogQueryHandler).
struct Lookups {
    references: Vec<EntryRef>,
    leaves: Vec<Hash>,
    indexes: Vec<u64>,
}

impl Lookups {
    /// Reads, checks and canonicalises; runs on the CPU pool because a proposed entry is verified in full. `None` when this is
    /// no place for a package.
    fn parse(body: &[u8], here: Here) -> Result<Option<Self>, ApiError> {
        let query: Query<'_> = object(body, "entry")?;
        let proposed = list(query.entries, "entries", 0)?;
        let uuids = list(query.entry_uuids, "entryUUIDs", 1)?;
        let mut references = Vec::with_capacity(uuids.len());
        for (at, uuid) in uuids.iter().enumerate() {
            let reference = EntryRef::parse(uuid)?;
            references.push(reference.ok_or_else(|| item("entryUUIDs", at, Rule::Pattern(PATTERN)))?);
        }
        let mut indexes = Vec::new();
        for (at, index) in list(query.log_indexes, "logIndexes", 1)?.into_iter().enumerate() {
            indexes.push(u64::try_from(index).map_err(|_| item("logIndexes", at, Rule::AtLeast(0)))?);
        }
        if proposed
            .len()
            .saturating_add(references.len())
            .saturating_add(indexes.len())
            > MAX
        {
            return Err(ApiError::TooManyLookups { max: MAX });
        }
        let mut leaves = Vec::with_capacity(proposed.len());
        for entry in proposed {
            let entry = ProposedEntry::parse(entry.get().as_bytes()).map_err(ApiError::Lookup)?;
            if !here.takes(entry.kind()) {
                return Ok(None);
            }
            leaves.push(leaf_hash(
                &entry.canonicalize_committed().map_err(ApiError::Lookup)?,
            ));
        }
        Ok(Some(Lookups {
            references,
            leaves,
            indexes,
        }))
    }
}

fn item(name: &str, at: usize, rule: Rule) -> ApiError {
    Violation::new(format!("{name}.{at}"), Place::Body, rule).into()
}

/// The items of a list of `min` to ten, if it is there at all (rekor `pkg/generated/models/search_log_query.go`).
fn list<T>(list: Option<Capped<T, MAX>>, name: &str, min: usize) -> Result<Vec<T>, ApiError> {
    let Some(Capped { items, more }) = list else {
        return Ok(Vec::new());
    };
    let broken = |rule| Err(Violation::new(name, Place::Body, rule).into());
    if more {
        return broken(Rule::AtMostItems(MAX));
    }
    if items.len() < min {
        return broken(Rule::AtLeastItems(min));
    }
    Ok(items)
}

/// Entries that are not there are left out; one asked for twice is there twice.
pub(super) async fn retrieve(
    State(service): State<Arc<Service>>,
    request: Request,
) -> Result<Response, ApiError> {
    service.expensive_reads.check()?;
    let (_, body) = json_body(request, "entry", &service.bodies).await?;
    let _admitted = service.expensive_reads.enter()?;
    let lookups = packages::run(body, Lookups::parse).await?;

    let (full, bare): (Vec<_>, Vec<_>) = lookups
        .references
        .into_iter()
        .partition(|one| matches!(one, EntryRef::Full { .. }));
    let shards = service.shards.load();
    let mut found = Vec::new();
    for reference in full
        .into_iter()
        .chain(bare)
        .chain(lookups.leaves.into_iter().map(EntryRef::Bare))
    {
        match reference {
            EntryRef::Full { tree, leaf } => {
                if let Some(shard) = shards.by_tree(tree) {
                    found.extend(service.in_shard(shard, leaf).await?);
                }
            }
            // A leaf can be in several shards: each of them is a hit.
            EntryRef::Bare(leaf) => {
                for shard in shards.lookup_order() {
                    found.extend(service.in_shard(shard, leaf).await?);
                }
            }
        }
    }
    for index in lookups.indexes {
        found.extend(service.by_index(&shards, index).await?);
    }

    let mut out = String::from("[");
    for (at, entry) in found.iter().enumerate() {
        if at > 0 {
            out.push(',');
        }
        entry.write(&mut out)?;
    }
    out.push_str("]\n");
    Ok(json_response(StatusCode::OK, out))
}
