//! Whether every leaf can be found: the index rows that the leaves ask for, held against the rows there are.
//!
//! Leaves come by place, index rows by key, and neither fits into memory for a large log. So the rows asked for are dealt
//! out by the first byte of their key into 256 heaps, each kept in an anonymous file once it is large; the keys are
//! hashes, so the heaps are of one size. One heap at a time is then sorted and merged with the rows.

use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::path::PathBuf;

use common_engine::{IndexKey, LogId, Place};

/// Bytes of a heap that stay in memory.
const BUFFER: usize = 64 << 10;
/// Bytes of a row in a heap: key, log, leaf, why.
const ROW: usize = 21;

/// Why a leaf asks for a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Why {
    LeafHash,
    Identity,
}

impl Why {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::LeafHash => "leaf hash",
            Self::Identity => "identity",
        }
    }
}

/// A row that is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Missing {
    pub(super) place: Place,
    pub(super) why: Why,
}

type Asked = (IndexKey, Place, Why);

#[derive(Default)]
struct Heap {
    buffer: Vec<u8>,
    file: Option<File>,
}

/// The rows asked for.
pub(super) struct Expected {
    scratch: PathBuf,
    heaps: Vec<Heap>,
    /// The heap being merged, sorted with the smallest last, and its number.
    merging: Vec<Asked>,
    next_heap: usize,
}

impl Expected {
    /// With large heaps in files in `scratch`; they have no names there.
    pub(super) fn new(scratch: impl Into<PathBuf>) -> Self {
        Self {
            scratch: scratch.into(),
            heaps: std::iter::repeat_with(Heap::default).take(256).collect(),
            merging: Vec::new(),
            next_heap: 0,
        }
    }

    /// Asks for a row.
    pub(super) fn ask(&mut self, key: IndexKey, place: Place, why: Why) -> io::Result<()> {
        let Some(heap) = self.heaps.get_mut(heap_of(key)) else {
            return Ok(());
        };
        heap.buffer.extend_from_slice(&key.0.to_be_bytes());
        heap.buffer.extend_from_slice(&place.log.0.to_be_bytes());
        heap.buffer.extend_from_slice(&place.index.to_be_bytes());
        heap.buffer.push(u8::from(why == Why::Identity));
        if heap.buffer.len() >= BUFFER {
            let file = match &mut heap.file {
                Some(file) => file,
                none => none.insert(tempfile::tempfile_in(&self.scratch)?),
            };
            file.write_all(&heap.buffer)?;
            heap.buffer.clear();
        }
        Ok(())
    }

    /// A row that is there. Rows come in ascending order.
    pub(super) fn there_is(&mut self, row: (IndexKey, Place)) -> io::Result<Result<(), Missing>> {
        while self.next_heap <= heap_of(row.0) {
            if let Some(missing) = self.merging.last() {
                return Ok(Err(missing_of(missing)));
            }
            self.next()?;
        }
        while let Some(asked) = self.merging.last() {
            match (asked.0, asked.1).cmp(&row) {
                std::cmp::Ordering::Less => return Ok(Err(missing_of(asked))),
                std::cmp::Ordering::Greater => break,
                // A leaf whose identity is its hash asks twice for one row.
                std::cmp::Ordering::Equal => _ = self.merging.pop(),
            }
        }
        Ok(Ok(()))
    }

    /// There are no more rows.
    pub(super) fn finish(mut self) -> io::Result<Result<(), Missing>> {
        loop {
            if let Some(missing) = self.merging.last() {
                return Ok(Err(missing_of(missing)));
            }
            if self.next_heap >= self.heaps.len() {
                return Ok(Ok(()));
            }
            self.next()?;
        }
    }

    /// Takes up the next heap.
    fn next(&mut self) -> io::Result<()> {
        let Some(heap) = self.heaps.get_mut(self.next_heap) else {
            return Ok(());
        };
        let Heap { mut buffer, file } = std::mem::take(heap);
        if let Some(mut file) = file {
            file.rewind()?;
            file.read_to_end(&mut buffer)?;
        }
        self.merging = buffer.chunks_exact(ROW).filter_map(parse).collect();
        self.merging.sort_unstable_by(|a, b| b.cmp(a));
        self.next_heap = self.next_heap.saturating_add(1);
        Ok(())
    }
}

fn heap_of(key: IndexKey) -> usize {
    usize::from(key.0.to_be_bytes()[0])
}

fn parse(row: &[u8]) -> Option<Asked> {
    let (key, row) = row.split_first_chunk()?;
    let (log, row) = row.split_first_chunk()?;
    let (index, why) = row.split_first_chunk()?;
    let place = Place {
        log: LogId(u32::from_be_bytes(*log)),
        index: u64::from_be_bytes(*index),
    };
    let why = if why == [0] { Why::LeafHash } else { Why::Identity };
    Some((IndexKey(u64::from_be_bytes(*key)), place, why))
}

fn missing_of((_, place, why): &Asked) -> Missing {
    Missing {
        place: *place,
        why: *why,
    }
}

#[cfg(test)]
mod tests;
