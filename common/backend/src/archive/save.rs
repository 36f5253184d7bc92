//! Copying a store into a backup, while a server writes to it.

use std::sync::Arc;

use common_engine::{Attachment, IndexKey, Marks, Place, Storage, StorageError, StoredLeaf, StoredLog};
use common_tlog::{Hash, RightEdge, leaf_hash};
use rayon::prelude::*;
use tokio::sync::mpsc;

use super::schema::Part;
use super::{ArchiveError, Progress, Watch, Writer};

/// Pages that are read ahead of the writing.
const AHEAD: usize = 2;
/// A page of leaves holds at most about this many bytes.
const PAGE_BYTES: u32 = 16 << 20;

/// What was copied.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Saved {
    /// Leaves of all logs.
    pub leaves: u64,
    /// Index rows.
    pub index_rows: u64,
    /// Attachments.
    pub attachments: u64,
}

/// Copies what stands at the heads of `logs`, as [`Storage::logs`] gave them, and recomputes each root on the way: a
/// store that does not hold what its log signed makes no backup. Of what the index says of itself it copies `marks`, which
/// were read before: an older log may be getting its search terms while the rows are read.
///
/// # Errors
/// The store or the backup failed, or the store is damaged.
pub async fn save(
    storage: &Arc<dyn Storage>,
    logs: &[StoredLog],
    marks: &Marks,
    writer: &mut Writer,
    watch: Watch<'_>,
) -> Result<Saved, ArchiveError> {
    let mut saved = Saved::default();
    for log in logs {
        save_leaves(storage, log, writer, watch).await?;
        saved.leaves = saved.leaves.saturating_add(log.head.size);
    }
    let mut rows = index_pages(Arc::clone(storage));
    while let Some(page) = rows.recv().await {
        let copied = |row: &(IndexKey, Place)| is_below(logs, row.1) && marks.had(row);
        let page: Vec<_> = page?.into_iter().filter(copied).collect();
        if page.is_empty() {
            continue;
        }
        writer.index(&page).await?;
        saved.index_rows = saved.index_rows.saturating_add(page.len() as u64);
        let done = saved.index_rows;
        watch(Progress::Index { done, total: None });
    }
    let mut attachments = attachment_pages(Arc::clone(storage));
    while let Some(page) = attachments.recv().await {
        let page = page?;
        writer.attachments(&page).await?;
        saved.attachments = saved.attachments.saturating_add(page.len() as u64);
        watch(Progress::Attachments(saved.attachments));
    }
    Ok(saved)
}

/// Whether a leaf is among those that are copied. A row of any other was committed after the heads were read.
fn is_below(logs: &[StoredLog], place: Place) -> bool {
    let log = logs.iter().find(|log| log.info.id == place.log);
    log.is_some_and(|log| place.index < log.head.size)
}

async fn save_leaves(
    storage: &Arc<dyn Storage>,
    log: &StoredLog,
    writer: &mut Writer,
    watch: Watch<'_>,
) -> Result<(), ArchiveError> {
    let (origin, head) = (&log.info.spec.origin, &log.head);
    let mut edge = RightEdge::empty();
    let mut pages = leaf_pages(Arc::clone(storage), log);
    while let Some(page) = pages.recv().await {
        let page = page?;
        check_run(origin, edge.size(), &page)?;
        let hashes: Vec<Hash> = page.par_iter().map(|leaf| leaf_hash(&leaf.data)).collect();
        writer.leaves(log.info.id, &page).await?;
        edge = edge.grow(&hashes).map_err(StorageError::new)?.into_edge();
        watch(Progress::Leaves {
            origin: origin.clone(),
            done: edge.size(),
            total: head.size,
        });
    }
    check_root(log, &edge)
}

/// The leaves follow each other from `start` on.
pub(super) fn check_run(origin: &str, start: u64, leaves: &[StoredLeaf]) -> Result<(), ArchiveError> {
    match (start..).zip(leaves).find(|(index, leaf)| leaf.index != *index) {
        None => Ok(()),
        Some((index, _)) => Err(ArchiveError::LeafMissing {
            origin: origin.to_owned(),
            index,
        }),
    }
}

/// All leaves are there, and they are those of the head.
pub(super) fn check_root(log: &StoredLog, edge: &RightEdge) -> Result<(), ArchiveError> {
    let (origin, head) = (&log.info.spec.origin, &log.head);
    if edge.size() != head.size {
        return Err(ArchiveError::LeafMissing {
            origin: origin.clone(),
            index: edge.size(),
        });
    }
    let got = edge.root();
    if got == head.root {
        Ok(())
    } else {
        Err(ArchiveError::Root {
            origin: origin.clone(),
            size: head.size,
            expected: head.root,
            got,
        })
    }
}

type Pages<T> = mpsc::Receiver<Result<Vec<T>, StorageError>>;

/// The leaves below the head, read ahead of whoever takes them. A page that is too short ends them.
fn leaf_pages(storage: Arc<dyn Storage>, log: &StoredLog) -> Pages<StoredLeaf> {
    let (sender, receiver) = mpsc::channel(AHEAD);
    let (id, size) = (log.info.id, log.head.size);
    let limit = log.info.spec.leaf_limit.max(1);
    let at_once = PAGE_BYTES
        .checked_div(limit)
        .unwrap_or_default()
        .clamp(64, Part::Leaves.most_rows());
    tokio::spawn(async move {
        let mut start = 0u64;
        while start < size {
            let left = u32::try_from(size.saturating_sub(start)).unwrap_or(u32::MAX);
            let page = storage.leaves(id, start, left.min(at_once)).await;
            let read = page.as_ref().map_or(0, |page| page.len() as u64);
            // Nobody takes any more: the copy has failed.
            if sender.send(page).await.is_err() || read == 0 {
                return;
            }
            start = start.saturating_add(read);
        }
    });
    receiver
}

fn index_pages(storage: Arc<dyn Storage>) -> Pages<(IndexKey, Place)> {
    let (sender, receiver) = mpsc::channel(AHEAD);
    tokio::spawn(async move {
        let mut after = None;
        loop {
            let page = storage.index_rows(after, Part::Index.most_rows()).await;
            after = page.as_ref().map_or(None, |page| page.last().copied());
            if after.is_none() && page.is_ok() {
                return;
            }
            if sender.send(page).await.is_err() || after.is_none() {
                return;
            }
        }
    });
    receiver
}

fn attachment_pages(storage: Arc<dyn Storage>) -> Pages<Attachment> {
    let (sender, receiver) = mpsc::channel(AHEAD);
    tokio::spawn(async move {
        let mut after: Option<String> = None;
        loop {
            let page = storage
                .attachments(after.as_deref(), Part::Attachments.most_rows())
                .await;
            after = page
                .as_ref()
                .map_or(None, |page| page.last().map(|last| last.key.clone()));
            if after.is_none() && page.is_ok() {
                return;
            }
            if sender.send(page).await.is_err() || after.is_none() {
                return;
            }
        }
    });
    receiver
}
