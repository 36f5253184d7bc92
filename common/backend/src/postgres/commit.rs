//! The statements of one commit: as many as there are tables, whatever the size of the batch.

use common_engine::{Attachment, Batch, LogState, Place};
use sqlx::postgres::PgConnection;

use crate::keys::{key, place, tile_id};

/// What a commit found when it had locked the heads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Heads {
    /// All where the batch was built.
    Stand,
    /// One is elsewhere: another replica was first.
    Moved,
    /// There is no such log, or it takes no entries.
    Closed,
}

/// Numbers of the logs of a batch.
pub(super) fn logs_of(batch: &Batch) -> Vec<i64> {
    batch.logs.iter().map(|part| i64::from(part.log.0)).collect()
}

/// Locks the heads of the batch until the transaction ends, and compares them. They are locked in the order of their
/// numbers, so that two commits never wait for each other; the rows are the newest once the locks are there, also
/// where it had to wait (PostgreSQL manual §13.2.1, "Read Committed Isolation Level").
pub(super) async fn lock_heads(connection: &mut PgConnection, batch: &Batch) -> Result<Heads, sqlx::Error> {
    let select = "SELECT id, size, root, state FROM logs WHERE id = ANY($1) ORDER BY id FOR UPDATE";
    let rows: Vec<(i64, i64, Vec<u8>, String)> = sqlx::query_as(select)
        .bind(logs_of(batch))
        .fetch_all(connection)
        .await?;
    let mut found = Heads::Stand;
    for part in &batch.logs {
        let row = rows.iter().find(|(id, ..)| *id == i64::from(part.log.0));
        match row {
            Some((_, size, root, state)) if state == LogState::Active.name() => {
                if size.cast_unsigned() != part.head.from_size || root.as_slice() != part.head.from_root.0 {
                    found = Heads::Moved;
                }
            }
            _ => return Ok(Heads::Closed),
        }
    }
    Ok(found)
}

/// Moves the heads and stores the batch, in the transaction that has locked the heads.
pub(super) async fn store(connection: &mut PgConnection, batch: &Batch) -> Result<(), sqlx::Error> {
    move_heads(connection, batch).await?;
    insert_leaves(connection, batch).await?;
    upsert_tiles(connection, batch).await?;
    insert_rows(connection, batch).await?;
    insert_attachments(connection, &batch.attachments).await
}

async fn move_heads(connection: &mut PgConnection, batch: &Batch) -> Result<(), sqlx::Error> {
    let update = "UPDATE logs SET size = n.size, root = n.root, checkpoint = n.checkpoint, time = n.time \
         FROM unnest($1::bigint[], $2::bigint[], $3::bytea[], $4::text[], $5::bigint[]) \
         AS n(id, size, root, checkpoint, time) WHERE logs.id = n.id";
    let heads = || batch.logs.iter().map(|part| &part.head.to);
    let query = sqlx::query(update)
        .bind(logs_of(batch))
        .bind(heads().map(|to| to.size.cast_signed()).collect::<Vec<_>>())
        .bind(heads().map(|to| to.root.0.as_slice()).collect::<Vec<_>>())
        .bind(heads().map(|to| to.checkpoint.as_str()).collect::<Vec<_>>())
        .bind(heads().map(|to| to.time.cast_signed()).collect::<Vec<_>>());
    let moved = query.execute(connection).await?.rows_affected();
    if usize::try_from(moved) == Ok(batch.logs.len()) {
        Ok(())
    } else {
        Err(sqlx::Error::Protocol(format!(
            "{moved} heads moved, not {}",
            batch.logs.len()
        )))
    }
}

/// Leaves must be new: the primary key refuses a place that is taken.
async fn insert_leaves(connection: &mut PgConnection, batch: &Batch) -> Result<(), sqlx::Error> {
    let count = batch.logs.iter().map(|part| part.leaves.len()).sum();
    let (mut places, mut times) = (Vec::with_capacity(count), Vec::with_capacity(count));
    let (mut data, mut extra) = (Vec::with_capacity(count), Vec::with_capacity(count));
    for part in &batch.logs {
        for leaf in &part.leaves {
            let at = Place {
                log: part.log,
                index: leaf.index,
            };
            places.push(place(at).ok_or_else(too_large)?);
            times.push(leaf.time.cast_signed());
            data.push(leaf.data.as_ref());
            extra.push(leaf.extra.as_ref());
        }
    }
    let insert =
        "INSERT INTO leaves SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::bytea[], $4::bytea[])";
    let query = sqlx::query(insert)
        .bind(places)
        .bind(times)
        .bind(data)
        .bind(extra);
    query.execute(connection).await.map(drop)
}

async fn upsert_tiles(connection: &mut PgConnection, batch: &Batch) -> Result<(), sqlx::Error> {
    let (mut ids, mut hashes) = (Vec::new(), Vec::new());
    for part in &batch.logs {
        for (tile, bytes) in &part.tiles {
            ids.push(tile_id(part.log, *tile).ok_or_else(too_large)?);
            hashes.push(bytes.as_ref());
        }
    }
    let upsert = "INSERT INTO tiles SELECT * FROM unnest($1::bigint[], $2::bytea[]) \
         ON CONFLICT (tile) DO UPDATE SET hashes = excluded.hashes";
    let query = sqlx::query(upsert).bind(ids).bind(hashes);
    query.execute(connection).await.map(drop)
}

async fn insert_rows(connection: &mut PgConnection, batch: &Batch) -> Result<(), sqlx::Error> {
    if batch.index.is_empty() {
        return Ok(());
    }
    let keys: Vec<i64> = batch.index.iter().map(|(index_key, _)| key(*index_key)).collect();
    let places = batch.index.iter().map(|(_, at)| place(*at).ok_or_else(too_large));
    let places = places.collect::<Result<Vec<i64>, _>>()?;
    // Two replicas may write the terms of the same older leaf.
    let insert = "INSERT INTO lookup SELECT * FROM unnest($1::bigint[], $2::bigint[]) ON CONFLICT DO NOTHING";
    let query = sqlx::query(insert).bind(keys).bind(places);
    query.execute(connection).await.map(drop)
}

/// Attachments belong to no log, so two commits may bring the same ones: in one order, or they could wait for each
/// other. The sort is stable, and what comes first under a key stays.
async fn insert_attachments(
    connection: &mut PgConnection,
    attachments: &[Attachment],
) -> Result<(), sqlx::Error> {
    if attachments.is_empty() {
        return Ok(());
    }
    let mut sorted: Vec<&Attachment> = attachments.iter().collect();
    sorted.sort_by_key(|attachment| attachment.key.as_bytes());
    let (keys, data): (Vec<&[u8]>, Vec<&[u8]>) = sorted
        .into_iter()
        .map(|attachment| (attachment.key.as_bytes(), attachment.data.as_ref()))
        .unzip();
    let insert =
        "INSERT INTO attachments SELECT * FROM unnest($1::bytea[], $2::bytea[]) ON CONFLICT DO NOTHING";
    let query = sqlx::query(insert).bind(keys).bind(data);
    query.execute(connection).await.map(drop)
}

/// A place beyond 2⁴⁰ leaves: the transaction is given up.
fn too_large() -> sqlx::Error {
    sqlx::Error::Configuration("a log of this store holds at most 2^40 leaves".into())
}
