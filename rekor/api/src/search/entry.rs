//! One entry, with what proves that it is in the log.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use common_engine::{LogId, LogKind};
use common_server::cpu;

use super::answer::{EntryAnswer, Found, InclusionProof, LogAnswer};
use super::scan::Hit;
use super::{Error, Service};
use crate::personality::{Extra, integrated_time};
use crate::terms;

impl Service {
    /// Every log with its newest checkpoint.
    #[must_use]
    pub fn heads(&self) -> Vec<LogAnswer> {
        let head = |log: &super::Log| Some(LogAnswer::new(self, log, &*self.engine.head(log.id)?));
        self.logs().iter().filter_map(head).collect()
    }

    /// The entry at a place, proven in the newest checkpoint.
    ///
    /// # Errors
    /// [`Error::NotFound`] where there is none.
    pub async fn entry(&self, log: u32, index: u64) -> Result<EntryAnswer, Error> {
        let _admitted = self.gate.enter()?;
        let logs = self.logs();
        let log = logs.iter().find(|known| known.id == LogId(log));
        let log = log.ok_or(Error::NotFound)?;
        let head = self.engine.head(log.id).ok_or(Error::NotFound)?;
        if index >= head.size {
            return Err(Error::NotFound);
        }
        let leaf = self.engine.leaf(log.id, index).await?.ok_or(Error::NotFound)?;
        let hashes = self.engine.inclusion_proof(log.id, index, head.size).await?;
        let kind = log.kind();
        let hit = cpu::run(move || {
            let (facts, _) = terms::facts(kind, &leaf)?;
            Ok::<_, terms::Unreadable>((Hit::new(&leaf, facts, true), leaf))
        });
        let (hit, leaf) = hit.await?.map_err(|error| {
            tracing::error!(index, %error, "a stored entry cannot be read");
            Error::Internal
        })?;
        let set = match kind {
            LogKind::RekorV1 => Extra::decode(&leaf.extra).map(|record| STANDARD.encode(record.set)),
            LogKind::RekorV2 | LogKind::Ct => None,
        };
        Ok(EntryAnswer {
            entry: Found::whole(&self.origin(log), log, &hit),
            body: STANDARD.encode(&leaf.data),
            integrated_time: set.as_ref().map(|_| integrated_time(leaf.time)),
            signed_entry_timestamp: set,
            inclusion_proof: InclusionProof {
                index,
                size: head.size,
                root: head.root.to_string(),
                hashes: hashes.iter().map(ToString::to_string).collect(),
                checkpoint: head.checkpoint.clone(),
            },
        })
    }
}
