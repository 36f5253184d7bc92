#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "tests"
)]

use super::*;

fn key(n: u64) -> IndexKey {
    // Spread over all heaps.
    IndexKey(n.wrapping_mul(0x9e37_79b9_7f4a_7c15))
}

fn at(index: u64) -> Place {
    Place { log: LogId(2), index }
}

/// The rows that are there, in order; every second leaf has a further row that nobody asked for.
fn rows(count: u64) -> Vec<(IndexKey, Place)> {
    let mut rows: Vec<_> = (0..count).map(|n| (key(n), at(n))).collect();
    rows.extend((0..count).step_by(2).map(|n| (key(n ^ 0x5555_0000_0000), at(n))));
    rows.sort_unstable();
    rows
}

fn check(asked: &[(IndexKey, Place)], rows: &[(IndexKey, Place)]) -> Result<(), Missing> {
    let scratch = tempfile::tempdir().unwrap();
    let mut expected = Expected::new(scratch.path());
    for (key, place) in asked {
        expected.ask(*key, *place, Why::LeafHash).unwrap();
    }
    for row in rows {
        expected.there_is(*row).unwrap()?;
    }
    expected.finish().unwrap()
}

#[test]
fn rows_that_are_all_there() {
    for count in [0, 1, 2, 300, 5_000] {
        let asked: Vec<_> = (0..count).map(|n| (key(n), at(n))).collect();
        assert_eq!(check(&asked, &rows(count)), Ok(()), "{count}");
    }
}

#[test]
fn any_row_that_is_missing_is_found() {
    let count = 300;
    let asked: Vec<_> = (0..count).map(|n| (key(n), at(n))).collect();
    for gone in 0..count {
        let mut rows = rows(count);
        rows.retain(|row| *row != (key(gone), at(gone)));
        assert_eq!(check(&asked, &rows).unwrap_err().place, at(gone));
    }
    // The key alone does not do: the place must be right.
    let mut rows = rows(count);
    let wrong = rows.iter_mut().find(|row| **row == (key(7), at(7))).unwrap();
    wrong.1.index = 8;
    rows.sort_unstable();
    assert_eq!(check(&asked, &rows).unwrap_err().place, at(7));
}

#[test]
fn heaps_larger_than_memory_go_through_files() {
    // All in one heap, so that it is written out several times.
    let count = 20_000;
    let rows: Vec<_> = (0..count).map(|n| (IndexKey(n), at(n))).collect();
    assert_eq!(check(&rows, &rows), Ok(()));
    let mut less = rows.clone();
    less.remove(12_345);
    assert_eq!(check(&rows, &less).unwrap_err().place, rows[12_345].1);
    less = rows.clone();
    less.pop();
    assert_eq!(check(&rows, &less).unwrap_err().place, at(count - 1));
}
