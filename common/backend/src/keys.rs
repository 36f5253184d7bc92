//! 64-bit keys of both databases: a rowid is the cheapest key SQLite has, and `bigint` the same in PostgreSQL.
//!
//! A place is the log's number above 40 bits of leaf index; a tile adds 4 bits of level. Both stay below 2⁶³, so
//! their order as signed integers is the order of logs and indexes.

use common_engine::{IndexKey, LogId, Place};
use common_tlog::TileId;

const INDEX_BITS: u32 = 40;
const INDEX_MASK: u64 = (1 << INDEX_BITS) - 1;
/// The highest index that a leaf can have.
pub(crate) const LAST_INDEX: u64 = INDEX_MASK;
const LEVEL_BITS: u32 = 4;

/// Key of a leaf; `None` for a place that no log here can have.
pub(crate) fn place(place: Place) -> Option<i64> {
    let fits = place.index <= INDEX_MASK && place.log <= LogId::MAX;
    fits.then(|| ((u64::from(place.log.0) << INDEX_BITS) | place.index).cast_signed())
}

pub(crate) fn from_place(key: i64) -> Place {
    let key = key.cast_unsigned();
    let log = u32::try_from(key >> INDEX_BITS).unwrap_or(u32::MAX);
    Place {
        log: LogId(log),
        index: key & INDEX_MASK,
    }
}

/// First key and the key behind the last one.
pub(crate) fn leaf_range(log: LogId, start: u64, count: u32) -> Option<(i64, i64)> {
    let from = place(Place { log, index: start })?;
    let end = start.saturating_add(u64::from(count)).min(INDEX_MASK);
    Some((from, place(Place { log, index: end })?))
}

/// Key of a tile; `None` for one that no tree of 2⁴⁰ leaves has.
pub(crate) fn tile_id(log: LogId, tile: TileId) -> Option<i64> {
    let fits = tile.index <= INDEX_MASK && tile.level < (1 << LEVEL_BITS) && log <= LogId::MAX;
    let above = (u64::from(log.0) << LEVEL_BITS) | u64::from(tile.level);
    fits.then(|| ((above << INDEX_BITS) | tile.index).cast_signed())
}

/// Moves the unsigned key into signed integers, in the same order.
pub(crate) fn key(key: IndexKey) -> i64 {
    (key.0 ^ (1 << 63)).cast_signed()
}

pub(crate) fn from_key(key: i64) -> IndexKey {
    IndexKey(key.cast_unsigned() ^ (1 << 63))
}
