//! Pages of index rows, and the summaries that say which page may hold a key.

use common_engine::{IndexKey, Place};

use crate::keys::{from_place, place};

/// An index row: the key above the packed place, so that the order of rows is that of the numbers.
pub(super) type Row = u128;

/// Rows of a full page: with its checksum it fills a leaf of the B-tree and overflows nowhere.
pub(super) const ROWS: usize = if cfg!(test) { 5 } else { 253 };
/// `sqlite.org/fileformat2.html` §1.6: 4,096 bytes less 35, of which the record's header takes 4.
const _: () = assert!(ROWS * ROW + 8 <= 4_096 - 35 - 4);
/// Pages that are written, summarised and deleted together.
pub(super) const PAGES: usize = if cfg!(test) { 4 } else { 64 };
const ROW: usize = size_of::<Row>();
/// 2,816 bits for 253 keys, seven of them for each: 0.5 % of the keys that are not there seem to be.
const FILTER: usize = 352;
const BITS: u64 = FILTER as u64 * 8;
const HASHES: u32 = 7;
/// Any odd number of which half the bits are set, without a pattern: 2⁶⁴ divided by the golden ratio.
const MIX: u64 = 0x9e37_79b9_7f4a_7c15;

/// `None` for a place that no log here can have.
pub(super) fn row(key: IndexKey, at: Place) -> Option<Row> {
    Some(first_of(key) | Row::from(place(at)?.cast_unsigned()))
}

/// The lowest row that a key can have.
pub(super) fn first_of(key: IndexKey) -> Row {
    Row::from(key.0) << 64
}

/// The highest row that a key can have.
pub(super) fn last_of(key: IndexKey) -> Row {
    first_of(key) | Row::from(u64::MAX)
}

#[expect(clippy::cast_possible_truncation, reason = "the two halves of the number")]
pub(super) fn parts(row: Row) -> (IndexKey, Place) {
    (
        IndexKey((row >> 64) as u64),
        from_place((row as u64).cast_signed()),
    )
}

/// Rows as they are stored, with a checksum behind them.
pub(super) fn encode(rows: &[Row]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(rows.len().saturating_mul(ROW).saturating_add(8));
    for row in rows {
        bytes.extend_from_slice(&row.to_be_bytes());
    }
    seal(bytes)
}

/// `None` if they are not as they were written: a row that a flipped bit hides would let a duplicate in.
pub(super) fn decode(bytes: &[u8]) -> Option<Vec<Row>> {
    let (rows, rest) = unseal(bytes)?.as_chunks::<ROW>();
    rest.is_empty()
        .then(|| rows.iter().map(|row| Row::from_be_bytes(*row)).collect())
}

fn seal(mut bytes: Vec<u8>) -> Vec<u8> {
    let sum = checksum(&bytes);
    bytes.extend_from_slice(&sum.to_be_bytes());
    bytes
}

fn unseal(bytes: &[u8]) -> Option<&[u8]> {
    let (bytes, sum) = bytes.split_last_chunk::<8>()?;
    (checksum(bytes) == u64::from_be_bytes(*sum)).then_some(bytes)
}

/// Each step is one-to-one in the sum and in the word, so that no change within one word goes unseen.
fn checksum(bytes: &[u8]) -> u64 {
    let (words, rest) = bytes.as_chunks::<8>();
    let mut last = [0; 8];
    for (to, from) in last.iter_mut().zip(rest) {
        *to = *from;
    }
    let start = (bytes.len() as u64).wrapping_add(MIX);
    words.iter().chain([&last]).fold(start, |sum, word| {
        (sum ^ u64::from_le_bytes(*word))
            .wrapping_mul(MIX)
            .rotate_left(29)
    })
}

/// Says of a key whether a page may have a row of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Filter([u8; FILTER]);

/// The bits of a key. Keys are hashes under a secret, so nobody chooses them.
fn bits(key: IndexKey) -> impl Iterator<Item = (usize, u8)> {
    // The keys of one page share their upper bits. Kirsch, Mitzenmacher, "Less hashing, same performance", 2006.
    let hash = key.0.wrapping_mul(MIX);
    let (start, step) = (hash >> 32, (hash & 0xffff_ffff) | 1);
    (0..HASHES).map(move |n| {
        let at = start.wrapping_add(step.wrapping_mul(u64::from(n))) & 0xffff_ffff;
        let bit = at.wrapping_mul(BITS) >> 32;
        (usize::try_from(bit >> 3).unwrap_or(0), 1 << (bit & 7))
    })
}

impl Filter {
    fn of(rows: &[Row]) -> Self {
        let mut filter = [0; FILTER];
        for row in rows {
            for (byte, bit) in bits(parts(*row).0) {
                if let Some(byte) = filter.get_mut(byte) {
                    *byte |= bit;
                }
            }
        }
        Self(filter)
    }

    /// False is certain.
    pub(super) fn may_hold(&self, key: IndexKey) -> bool {
        bits(key).all(|(byte, bit)| self.0.get(byte).is_some_and(|byte| byte & bit != 0))
    }
}

/// What is known of up to [`PAGES`] pages, which are written at once and never changed.
#[derive(Debug)]
pub(super) struct Summary {
    /// The first row of each page.
    pub(super) firsts: Vec<Row>,
    pub(super) filters: Vec<Filter>,
}

impl Summary {
    /// Of rows in order.
    pub(super) fn of(rows: &[Row]) -> Self {
        let pages = rows.chunks(ROWS);
        Self {
            firsts: pages.clone().filter_map(|page| page.first().copied()).collect(),
            filters: pages.map(Filter::of).collect(),
        }
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let pages = self.firsts.len();
        let mut bytes = Vec::with_capacity(pages.saturating_mul(FILTER + ROW).saturating_add(8));
        for (first, filter) in self.firsts.iter().zip(&self.filters) {
            bytes.extend_from_slice(&first.to_be_bytes());
            bytes.extend_from_slice(&filter.0);
        }
        seal(bytes)
    }

    /// `None` if it is not as it was written.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let (pages, rest) = unseal(bytes)?.as_chunks::<{ FILTER + ROW }>();
        let mut summary = Self {
            firsts: Vec::with_capacity(pages.len()),
            filters: Vec::with_capacity(pages.len()),
        };
        for page in pages {
            let (first, filter) = page.split_first_chunk::<ROW>()?;
            summary.firsts.push(Row::from_be_bytes(*first));
            summary.filters.push(Filter(filter.try_into().ok()?));
        }
        (rest.is_empty() && (1..=PAGES).contains(&pages.len())).then_some(summary)
    }
}

/// Of pages in order that begin with `firsts`, those that may hold rows from `low` to `high`.
pub(super) fn between(firsts: &[Row], low: Row, high: Row) -> std::ops::Range<usize> {
    let behind = first_above(firsts, low);
    // Keys are hashes: the rows of nearly every one are within one page, and its end is found without a search.
    let more = match firsts.get(behind) {
        Some(first) if *first <= high => firsts
            .get(behind..)
            .unwrap_or_default()
            .partition_point(|first| *first <= high),
        _ => 0,
    };
    behind.saturating_sub(1)..behind.saturating_add(more)
}

/// The first page that begins above a row. Keys are hashes, so the value of one tells where it is, give or take a few
/// pages: looking around there meets one or two cache lines, where halving would wait for the memory of each step.
fn first_above(firsts: &[Row], row: Row) -> usize {
    let share = u128::from(parts(row).0.0).saturating_mul(firsts.len() as u128) >> 64;
    let guess = usize::try_from(share).unwrap_or(usize::MAX).min(firsts.len());
    let is_above = |at: usize| firsts.get(at).is_none_or(|first| *first > row);
    let (mut low, mut high, mut step) = (guess, guess, 4usize);
    while low > 0 && is_above(low.saturating_sub(1)) {
        high = low.saturating_sub(1);
        low = low.saturating_sub(step);
        step = step.saturating_mul(2);
    }
    while !is_above(high) {
        low = high.saturating_add(1);
        high = high.saturating_add(step).min(firsts.len());
        step = step.saturating_mul(2);
    }
    let found = firsts.get(low..high).unwrap_or_default();
    low.saturating_add(found.partition_point(|first| *first <= row))
}

/// Key of a page in the database.
pub(super) fn page_id(group: i64, page: usize) -> i64 {
    let page = i64::try_from(page).unwrap_or(i64::MAX);
    group.saturating_mul(PAGES as i64).saturating_add(page)
}

#[cfg(test)]
mod tests;
