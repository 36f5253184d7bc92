//! The logs of the key registry, as the engine runs them: every shard that takes entries, and every one that did.
//!
//! A shard is found in the store by the key that its row names. So there is one list of shards, the registry, and the
//! store cannot hold one under another number.

use std::sync::Arc;

use aws_lc_rs::rand;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use common_bundle::trust::{KeyRecord, Role};
use common_engine::{LogConfig, LogId, LogKind, LogSpec, LogState, StoredLog};
use fulcio_ct::CtPersonality;
use rekor_api::{RekorV1, RekorV2, search, v1};

use crate::keys::Keys;
use crate::services::{CT, REKOR_V1, REKOR_V2, ServicesError, V1_LEAF_LIMIT, V2_LEAF_LIMIT};

/// One log of an instance.
pub(crate) struct Shard {
    /// The name of its key, and of its place under `/shards`.
    pub(crate) name: String,
    /// What the engine needs to know.
    pub(crate) config: LogConfig,
    /// What its service needs to know.
    pub(crate) kind: Kind,
}

/// What the services need to know beside the configuration.
pub(crate) enum Kind {
    /// Certificates.
    Ct(Arc<CtPersonality>),
    /// Rekor v1.
    V1(v1::Shard),
    /// Rekor v2: the record has it all.
    V2,
}

/// Makes the shards of one start, or of one take-over, out of what the registry and the store say.
pub(crate) struct Shards<'a> {
    keys: &'a Keys,
    stored: &'a [StoredLog],
    /// When new logs are made, Unix milliseconds.
    created: u64,
    /// The next number for a log that the store does not have.
    next: u32,
}

impl<'a> Shards<'a> {
    /// For an instance whose store has `stored`.
    pub(crate) fn new(keys: &'a Keys, stored: &'a [StoredLog], created: u64) -> Self {
        let last = stored.iter().map(|log| log.info.id).chain([REKOR_V2]).max();
        Shards {
            keys,
            stored,
            created,
            next: last.map_or(0, |last| last.0).saturating_add(1),
        }
    }

    /// The shards of a role, oldest first; the last one takes entries. A key that is still to take over has none,
    /// unless it is `next`, and neither has one whose log is lost.
    ///
    /// # Errors
    /// [`ServicesError`].
    pub(crate) fn of(&mut self, role: Role, next: Option<&KeyRecord>) -> Result<Vec<Shard>, ServicesError> {
        let mut shards = Vec::new();
        let mut first_index = 0;
        let keys = self.keys.registry().by_role(role);
        let present = keys
            .into_iter()
            .filter(|key| key.successor.is_none() && !key.lost);
        for record in present.chain(next) {
            let shard = self.shard(record, first_index)?;
            let row = self.stored.iter().find(|log| log.info.id == shard.config.id);
            first_index = indexes(record, row).saturating_add(first_index);
            shards.push(shard);
        }
        if shards.is_empty() {
            return Err(crate::keys::KeysError::NoKey(role).into());
        }
        Ok(shards)
    }

    /// The shard of one record; `first_index` is the virtual index of its first entry, where the kind has such.
    ///
    /// # Errors
    /// [`ServicesError`].
    fn shard(&mut self, record: &KeyRecord, first_index: u64) -> Result<Shard, ServicesError> {
        let signer = self.keys.signer(record)?;
        let name = record.id.clone();
        match record.role {
            Role::CtLog => {
                let personality = Arc::new(CtPersonality::new(signer, &record.origin)?);
                let spec = personality.spec(self.created);
                let (id, _) = self.row(record, LogKind::Ct)?;
                let config = LogConfig {
                    id,
                    spec,
                    personality: Arc::clone(&personality) as Arc<dyn common_engine::Personality>,
                };
                Ok(Shard {
                    name,
                    config,
                    kind: Kind::Ct(personality),
                })
            }
            Role::RekorV2 => {
                let (id, _) = self.row(record, LogKind::RekorV2)?;
                let spec = LogSpec {
                    kind: LogKind::RekorV2,
                    origin: record.origin.clone(),
                    tree_id: 0,
                    key_id: key_id(record),
                    leaf_limit: V2_LEAF_LIMIT,
                    created: self.created,
                };
                let personality = Arc::new(RekorV2::new(&record.origin, signer)?);
                Ok(Shard {
                    name,
                    config: LogConfig {
                        id,
                        spec,
                        personality,
                    },
                    kind: Kind::V2,
                })
            }
            _ => {
                let key = signer.public_key().clone();
                let (id, row) = self.row(record, LogKind::RekorV1)?;
                let tree = match row {
                    Some(row) => {
                        let stored = row.info.spec.tree_id;
                        v1::TreeId::new(stored).ok_or(ServicesError::TreeId(stored))?
                    }
                    None => new_tree_id()?,
                };
                let shard = v1::Shard::new(tree, first_index, key);
                let leaf_limit = match row {
                    // One that was taken over came with its own.
                    Some(row) if record.valid_to.is_some() => row.info.spec.leaf_limit,
                    _ => V1_LEAF_LIMIT,
                };
                let spec = LogSpec {
                    kind: LogKind::RekorV1,
                    origin: shard.origin(&record.origin),
                    tree_id: tree.get(),
                    key_id: key_id(record),
                    leaf_limit,
                    created: self.created,
                };
                let personality = Arc::new(RekorV1::new(shard.clone(), &record.origin, signer));
                Ok(Shard {
                    name,
                    config: LogConfig {
                        id,
                        spec,
                        personality,
                    },
                    kind: Kind::V1(shard),
                })
            }
        }
    }

    /// The number of the log of a record, and its row if there is one. The first log of a kind has a number of its
    /// own, so that a store of another instance is found out by its key. A later one gets a row when it takes over,
    /// which is after the logs before it were closed: without that, keys or store are not those of this instance. Rows
    /// that no key of the registry names (an import that was never finished) say nothing of it.
    fn row(
        &mut self,
        record: &KeyRecord,
        kind: LogKind,
    ) -> Result<(LogId, Option<&'a StoredLog>), ServicesError> {
        let stored = self.stored;
        let listed: Vec<String> = self
            .keys
            .registry()
            .by_role(record.role)
            .into_iter()
            .map(key_id)
            .collect();
        let mut of_kind = stored
            .iter()
            .filter(|log| log.info.spec.kind == kind && listed.contains(&log.info.spec.key_id));
        if let Some(first) = first_number(&record.id) {
            return Ok((first, stored.iter().find(|log| log.info.id == first)));
        }
        if let Some(row) = of_kind.clone().find(|log| log.info.spec.key_id == key_id(record)) {
            return Ok((row.info.id, Some(row)));
        }
        let open = |log: &StoredLog| log.info.state != LogState::Frozen;
        if record.valid_to.is_some() || (record.successor.is_none() && of_kind.any(open)) {
            return Err(ServicesError::ShardMissing(record.id.clone()));
        }
        let id = LogId(self.next);
        self.next = self.next.saturating_add(1);
        Ok((id, None))
    }
}

/// How many virtual indexes the log of a record takes up: one for each entry, and those that entries may have which came
/// after a backup that was restored.
pub(crate) fn indexes(record: &KeyRecord, row: Option<&StoredLog>) -> u64 {
    let entries = row.map_or(0, |row| row.head.size);
    record.indexes.map_or(entries, |indexes| indexes.max(entries))
}

/// How the row of a record's log names its key.
pub(crate) fn key_id(record: &KeyRecord) -> String {
    match record.role {
        Role::CtLog => STANDARD.encode(&record.log_id),
        _ => hex::encode(&record.log_id),
    }
}

/// Of the keys that an instance begins with.
pub(super) fn first_number(name: &str) -> Option<LogId> {
    match name {
        "ct-log-1" => Some(CT),
        "rekor-v1-1" => Some(REKOR_V1),
        "rekor-v2-1" => Some(REKOR_V2),
        _ => None,
    }
}

/// A tree ID for a log that is not there yet. It is drawn anew, never derived: rekor-cli keeps the last state it saw
/// of a tree ID (`~/.rekor/state.json`) and would take a second log of the same number for a fork.
fn new_tree_id() -> Result<v1::TreeId, ServicesError> {
    loop {
        let mut random = [0; 8];
        rand::fill(&mut random).map_err(|_| ServicesError::System("no random numbers"))?;
        if let Some(tree) = v1::TreeId::new(u64::from_be_bytes(random) >> 1) {
            return Ok(tree);
        }
    }
}

/// The shards as the v1 service takes them.
pub(crate) fn v1(shards: &[Shard]) -> Vec<(LogId, v1::Shard)> {
    let shards = shards.iter().filter_map(|shard| match &shard.kind {
        Kind::V1(tree) => Some((shard.config.id, tree.clone())),
        Kind::Ct(_) | Kind::V2 => None,
    });
    shards.collect()
}

/// The shards as the search takes them.
pub(crate) fn searched<'a>(shards: impl Iterator<Item = &'a Shard>) -> Vec<search::Log> {
    let log = |shard: &Shard| {
        let v1 = match &shard.kind {
            Kind::V1(tree) => Some(tree.clone()),
            Kind::V2 => None,
            Kind::Ct(_) => return None,
        };
        let id = shard.config.id;
        Some(search::Log { id, v1 })
    };
    shards.filter_map(log).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::new_tree_id;

    #[test]
    fn a_new_database_gets_a_new_tree_id() {
        assert_ne!(new_tree_id().unwrap().get(), new_tree_id().unwrap().get());
    }
}
