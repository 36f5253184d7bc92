//! The one transaction of a batch.

use common_engine::{Batch, Commit, LogBatch, LogState, Place};
use common_tlog::TileId;
use sqlx::sqlite::SqliteConnection;
use sqlx::{Connection, Sqlite, Transaction};

use super::index::{Index, too_large};
use super::rows::insert;
use crate::keys::{place, tile_id};

/// Commits the batch, or finds that a head is elsewhere. `BEGIN IMMEDIATE` takes the write lock before the heads are
/// compared, so nothing moves between the comparison and the commit.
pub(super) async fn commit(
    connection: &mut SqliteConnection,
    index: &Index,
    batch: &Batch,
) -> Result<Commit, sqlx::Error> {
    let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
    for part in &batch.logs {
        if !swap_head(&mut transaction, part).await? {
            transaction.rollback().await?;
            return Ok(Commit::Conflict);
        }
    }
    for part in &batch.logs {
        store(&mut transaction, part).await?;
    }
    let pending = index.store(&mut transaction, &batch.index).await?;
    let kept = "ON CONFLICT DO NOTHING";
    insert(
        &mut transaction,
        "INSERT INTO attachments VALUES",
        2,
        kept,
        &batch.attachments,
        |query, attachment| query.bind(attachment.key.as_str()).bind(attachment.data.as_ref()),
    )
    .await?;
    let half_done = index.half_done().await;
    transaction.commit().await?;
    pending.committed();
    drop(half_done);
    Ok(Commit::Committed)
}

/// Compare-and-swap of a head: false if it is not where the batch was built on.
async fn swap_head(transaction: &mut Transaction<'_, Sqlite>, part: &LogBatch) -> Result<bool, sqlx::Error> {
    let to = &part.head.to;
    let update = "UPDATE logs SET size = ?, root = ?, checkpoint = ?, time = ? \
         WHERE id = ? AND size = ? AND root = ? AND state = ?";
    let query = sqlx::query(update)
        .bind(to.size.cast_signed())
        .bind(to.root.0.as_slice())
        .bind(to.checkpoint.as_str())
        .bind(to.time.cast_signed())
        .bind(i64::from(part.log.0))
        .bind(part.head.from_size.cast_signed())
        .bind(part.head.from_root.0.as_slice())
        .bind(LogState::Active.name());
    Ok(query.execute(&mut **transaction).await?.rows_affected() == 1)
}

/// Leaves, which must be new, and tiles, which may have grown.
async fn store(transaction: &mut Transaction<'_, Sqlite>, part: &LogBatch) -> Result<(), sqlx::Error> {
    let mut leaves = Vec::with_capacity(part.leaves.len());
    for leaf in &part.leaves {
        leaves.push((
            place(Place {
                log: part.log,
                index: leaf.index,
            })
            .ok_or_else(too_large)?,
            leaf,
        ));
    }
    insert(
        &mut *transaction,
        "INSERT INTO leaves VALUES",
        4,
        "",
        &leaves,
        |query, (place, leaf)| {
            query
                .bind(*place)
                .bind(leaf.time.cast_signed())
                .bind(leaf.data.as_ref())
                .bind(leaf.extra.as_ref())
        },
    )
    .await?;
    let mut tiles = Vec::with_capacity(part.tiles.len());
    for (tile, bytes) in &part.tiles {
        tiles.push((
            tile_id(part.log, TileId { ..*tile }).ok_or_else(too_large)?,
            bytes,
        ));
    }
    let grown = "ON CONFLICT (tile) DO UPDATE SET hashes = excluded.hashes";
    insert(
        &mut *transaction,
        "INSERT INTO tiles VALUES",
        2,
        grown,
        &tiles,
        |query, (tile, bytes)| query.bind(*tile).bind(bytes.as_ref()),
    )
    .await
}
