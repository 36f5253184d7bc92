//! Where the entries are that a search asks for, and their IDs, within bounds on the work of one request.
//!
//! The index knows places in the trees, not leaf hashes, which is what an entry ID is made of. Every term is
//! one bounded index read; every 256 neighbouring places are one tile.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use common_engine::{LogId, LogKind, StoredLeaf};
use common_server::cpu;
use common_tlog::TileId;
use common_tlog::tile::node_in_tile;
use rekor_entry::committed;
use rekor_entry::v1::Kind;

use super::super::Service;
use super::super::entry_id::EntryId;
use super::super::error::ApiError;
use super::{Operator, Search};
use crate::terms::key_term;

/// Most bodies one request reads to decide about a term that is too common to be looked up.
const MAX_BODIES: usize = 256;

/// A leaf of one shard.
type Place = (LogId, u64);

impl Service {
    /// The places a search asks for, all of them or an error.
    pub(super) async fn places(&self, search: Search) -> Result<BTreeSet<Place>, ApiError> {
        match search.operator {
            Operator::Or => self.any_of(&search.terms).await,
            Operator::And => self.all_of(search.terms).await,
        }
    }

    fn too_many(&self) -> ApiError {
        ApiError::TooManyMatches {
            limit: self.limits.search_results,
        }
    }

    /// The places of one term, `None` when there are more than may be answered.
    async fn look_up(&self, term: &str) -> Result<Option<BTreeSet<Place>>, ApiError> {
        let limit = self.limits.search_results;
        // One more than may be answered tells whether there are more.
        let places = self
            .engine
            .search(&key_term(LogKind::RekorV1, term), limit.saturating_add(1))
            .await?;
        if u64::try_from(places.len()).is_ok_and(|found| found > u64::from(limit)) {
            return Ok(None);
        }
        let shards = self.shards.load();
        let ours = |(log, _): &Place| shards.by_log(*log).is_some();
        Ok(Some(places.into_iter().filter(ours).collect()))
    }

    async fn any_of(&self, terms: &[String]) -> Result<BTreeSet<Place>, ApiError> {
        let limit = usize::try_from(self.limits.search_results).unwrap_or(usize::MAX);
        let mut all = BTreeSet::new();
        for term in terms {
            all.extend(self.look_up(term).await?.ok_or_else(|| self.too_many())?);
            if all.len() > limit {
                return Err(self.too_many());
            }
        }
        Ok(all)
    }

    /// The rarest term decides where to look: a build identity with a million entries, `and` a digest, are the
    /// few entries of the digest whose bodies name the identity.
    async fn all_of(&self, terms: Vec<String>) -> Result<BTreeSet<Place>, ApiError> {
        let (mut rare, mut common) = (Vec::new(), Vec::new());
        for term in terms {
            match self.look_up(&term).await? {
                Some(places) if places.is_empty() => return Ok(places),
                Some(places) => rare.push(places),
                None => common.push(term),
            }
        }
        rare.sort_unstable_by_key(BTreeSet::len);
        let mut rare = rare.into_iter();
        let mut places = match (rare.next(), common.is_empty()) {
            (Some(places), _) => places,
            // Nothing was asked for.
            (None, true) => return Ok(BTreeSet::new()),
            (None, false) => return Err(self.too_many()),
        };
        for others in rare {
            places.retain(|place| others.contains(place));
        }
        if common.is_empty() {
            Ok(places)
        } else {
            self.with_terms(places, common).await
        }
    }

    /// Those of `places` whose entries have all of `terms`, told from their bodies.
    async fn with_terms(
        &self,
        places: BTreeSet<Place>,
        terms: Vec<String>,
    ) -> Result<BTreeSet<Place>, ApiError> {
        if places.len() > MAX_BODIES {
            return Err(self.too_many());
        }
        let mut with = BTreeSet::new();
        let terms = Arc::new(terms);
        for (log, index) in places {
            let Some(leaf) = self.engine.leaf(log, index).await? else {
                continue;
            };
            let terms = Arc::clone(&terms);
            match cpu::run(move || has_all(&leaf, &terms)).await? {
                Some(true) => drop(with.insert((log, index))),
                Some(false) => {}
                None => return Err(self.too_many()),
            }
        }
        Ok(with)
    }

    /// The IDs of entries by their places. Leaf hashes come from the tiles of level 0.
    pub(super) async fn entry_ids(&self, places: BTreeSet<Place>) -> Result<Vec<EntryId>, ApiError> {
        let mut ids = Vec::with_capacity(places.len());
        let mut by_tile: BTreeMap<(LogId, TileId), Vec<u16>> = BTreeMap::new();
        for (log, index) in places {
            let offset = u16::try_from(index.rem_euclid(256)).unwrap_or(u16::MAX);
            by_tile
                .entry((log, TileId::of_node(0, index)))
                .or_default()
                .push(offset);
        }
        let shards = self.shards.load();
        let limit = self.limits.search_tiles;
        if by_tile.len() > limit {
            return Err(ApiError::TooScattered { limit });
        }
        for ((log, tile), offsets) in by_tile.into_iter().rev() {
            let (Some(shard), Some(head)) = (shards.by_log(log), self.engine.head(log)) else {
                continue;
            };
            let hashes = self
                .engine
                .tile(log, tile.level, tile.index, tile.width(head.size))
                .await?
                .unwrap_or_default();
            // A place beyond the head that was read is not published yet.
            let hashes = offsets
                .into_iter()
                .rev()
                .filter_map(|offset| node_in_tile(&hashes, 0, offset));
            ids.extend(hashes.map(|leaf| EntryId {
                tree: shard.tree(),
                leaf,
            }));
        }
        Ok(ids)
    }
}

/// Whether an entry is indexed under all of `terms`; `None` where its body does not tell.
fn has_all(leaf: &StoredLeaf, terms: &[String]) -> Option<bool> {
    let entry = committed::read(&leaf.data).ok()?;
    let mut all = true;
    for term in terms.iter().filter(|term| !entry.index_keys.contains(term)) {
        let told = match entry.kind {
            kind if kind == Kind::Hashedrekord.as_str() => true,
            // The canonical form of an SSH key has no comment, and so no address.
            kind if kind == Kind::Rekord.as_str() => false,
            _ => !may_be_of_a_payload(term),
        };
        if !told {
            return None;
        }
        all = false;
    }
    Some(all)
}

/// Digests of an envelope's payload are index terms that its body does not repeat; a signer's name or key
/// hash is always told from the body.
fn may_be_of_a_payload(term: &str) -> bool {
    term.split_once(':')
        .is_some_and(|(_, digits)| digits.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

#[cfg(test)]
mod tests;
