//! Reading entries: by virtual index and by UUID, with a proof for the newest tree head of their shard.

use std::sync::Arc;

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::response::Response;
use bytes::Bytes;
use common_engine::{Head, LogId, StoredLeaf};
use common_tlog::{Hash, leaf_hash};
use http::{HeaderMap, StatusCode, Uri};

use super::entry_id::{EntryId, EntryRef, PATTERN};
use super::error::{ApiError, Place, Rule, Violation};
use super::negotiate::{JSON, Params, accepts};
use super::shards::{Shard, Shards};
use super::view::EntryView;
use super::{Service, json_response};
use crate::personality::{Extra, attestation_key};

/// An entry with everything its answer needs.
pub(crate) struct Found<'a> {
    shard: &'a Shard,
    leaf: StoredLeaf,
    hash: Hash,
    proof: Vec<Hash>,
    head: Arc<Head>,
    attestation: Option<Bytes>,
}

impl Found<'_> {
    /// Appends the one-member object of the entry.
    pub(crate) fn write(&self, out: &mut String) -> Result<(), ApiError> {
        let view = EntryView {
            shard: self.shard,
            id: EntryId {
                tree: self.shard.tree(),
                leaf: self.hash,
            },
            leaf: &self.leaf,
            set: extra(&self.leaf)?.set,
            proof: &self.proof,
            head: &self.head,
            attestation: self.attestation.as_ref(),
        };
        view.write(out);
        Ok(())
    }
}

/// The record beside a v1 leaf. That it cannot be read means that another kind of log wrote it.
pub(crate) fn extra(leaf: &StoredLeaf) -> Result<Extra<'_>, ApiError> {
    Extra::decode(&leaf.extra).ok_or_else(|| {
        tracing::error!(
            index = leaf.index,
            "a leaf of a Rekor v1 log has no signed entry timestamp beside it"
        );
        ApiError::Internal
    })
}

impl Service {
    /// The entry at a virtual index, if the log reaches that far.
    pub(crate) async fn by_index<'a>(
        &self,
        shards: &'a Shards,
        index: u64,
    ) -> Result<Option<Found<'a>>, ApiError> {
        let Some((shard, index)) = shards.locate(index) else {
            return Ok(None);
        };
        let Some(head) = self.engine.head(shard.0) else {
            return Ok(None);
        };
        if index >= head.size {
            return Ok(None);
        }
        match self.engine.leaf(shard.0, index).await? {
            Some(leaf) => {
                let hash = leaf_hash(&leaf.data);
                self.complete(shard, leaf, hash).await
            }
            None => Ok(None),
        }
    }

    /// The entry of this leaf hash in one shard.
    pub(crate) async fn in_shard<'a>(
        &self,
        shard: &'a (LogId, Shard),
        hash: Hash,
    ) -> Result<Option<Found<'a>>, ApiError> {
        match self.engine.find_leaf(shard.0, &hash).await? {
            Some(leaf) => self.complete(shard, leaf, hash).await,
            None => Ok(None),
        }
    }

    async fn complete<'a>(
        &self,
        (log, shard): &'a (LogId, Shard),
        leaf: StoredLeaf,
        hash: Hash,
    ) -> Result<Option<Found<'a>>, ApiError> {
        let Some(head) = self.engine.head(*log) else {
            return Ok(None);
        };
        let proof = self.engine.inclusion_proof(*log, leaf.index, head.size).await?;
        let name = extra(&leaf)?.attestation;
        let attestation = if name.is_empty() {
            None
        } else {
            self.engine.attachment(&attestation_key(name)).await?
        };
        Ok(Some(Found {
            shard,
            leaf,
            hash,
            proof,
            head,
            attestation,
        }))
    }
}

fn answer(found: Option<Found<'_>>) -> Result<Response, ApiError> {
    let mut out = String::new();
    found.ok_or(ApiError::EntryNotFound)?.write(&mut out)?;
    out.push('\n');
    Ok(json_response(StatusCode::OK, out))
}

/// GET `/api/v1/log/entries?logIndex=`
pub(super) async fn get_by_index(
    State(service): State<Arc<Service>>,
    headers: HeaderMap,
    uri: Uri,
) -> Result<Response, ApiError> {
    accepts(&headers, &[JSON])?;
    let index = Params::of(&uri).required_integer("logIndex", 0)?;
    let _admitted = service.reads.enter()?;
    answer(service.by_index(&service.shards.load(), index).await?)
}

/// GET `/api/v1/log/entries/{entryUUID}`
pub(super) async fn get_by_uuid(
    State(service): State<Arc<Service>>,
    uuid: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    accepts(&headers, &[JSON])?;
    let malformed = || ApiError::from(Violation::new("entryUUID", Place::Path, Rule::Pattern(PATTERN)));
    // What is not UTF-8 once its percent signs are decoded does not have the shape either.
    let Path(uuid) = uuid.map_err(|_| malformed())?;
    let reference = EntryRef::parse(&uuid)?.ok_or_else(malformed)?;
    let _admitted = service.reads.enter()?;
    let shards = service.shards.load();
    answer(match reference {
        EntryRef::Full { tree, leaf } => match shards.by_tree(tree) {
            Some(shard) => service.in_shard(shard, leaf).await?,
            None => None,
        },
        EntryRef::Bare(leaf) => {
            let mut found = None;
            for shard in shards.lookup_order() {
                found = service.in_shard(shard, leaf).await?;
                if found.is_some() {
                    break;
                }
            }
            found
        }
    })
}
