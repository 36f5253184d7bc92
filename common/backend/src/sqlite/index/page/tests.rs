#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "tests"
)]

use common_engine::LogId;

use super::*;

fn key(n: u64) -> IndexKey {
    // Spread like hashes.
    IndexKey(
        n.wrapping_mul(0xd134_2543_de82_ef95)
            .rotate_left(23)
            .wrapping_mul(MIX),
    )
}

fn rows(count: u64) -> Vec<Row> {
    let at = |index| Place { log: LogId(3), index };
    let mut rows: Vec<Row> = (0..count).map(|n| row(key(n), at(n)).unwrap()).collect();
    rows.sort_unstable();
    rows
}

#[test]
fn rows_keep_the_order_of_keys_and_places() {
    let place = |log, index| Place {
        log: LogId(log),
        index,
    };
    let ordered = [
        (IndexKey(1), place(1, 5)),
        (IndexKey(1), place(2, 0)),
        (IndexKey(2), place(0, 0)),
        (IndexKey(u64::MAX), place(0xffff, (1 << 40) - 1)),
    ];
    let rows: Vec<Row> = ordered.iter().map(|(key, at)| row(*key, *at).unwrap()).collect();
    assert!(rows.is_sorted());
    assert_eq!(rows.iter().map(|row| parts(*row)).collect::<Vec<_>>(), ordered);
    assert_eq!(row(IndexKey(1), place(0x1_0000, 0)), None);
}

#[test]
fn a_changed_byte_is_noticed_wherever_it_is() {
    let rows = rows(5);
    for (bytes, what) in [(encode(&rows), "page"), (Summary::of(&rows).encode(), "summary")] {
        assert!(decode(&bytes).is_some() || Summary::decode(&bytes).is_some());
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 0x10;
            let seen = if what == "page" {
                decode(&changed).is_none()
            } else {
                Summary::decode(&changed).is_none()
            };
            assert!(seen, "byte {at} of a {what}");
        }
        assert!(decode(&bytes[..bytes.len() - 1]).is_none());
    }
    assert_eq!(decode(&encode(&rows)), Some(rows));
}

#[test]
fn parts_between_two_rows_are_those_that_may_hold_them() {
    // Evenly spread or not, and where nothing tells the place: many rows of few keys.
    let at = |key: u64, place: u64| first_of(IndexKey(key)) | Row::from(place);
    let spread: Vec<u64> = vec![1 << 60, 2 << 60, 2 << 60, 3 << 60];
    let skewed: Vec<u64> = (0..40).chain([u64::MAX - 1]).collect();
    for keys in [vec![], spread, skewed, vec![7; 30]] {
        let firsts: Vec<Row> = keys
            .iter()
            .enumerate()
            .map(|(n, key)| at(*key, n as u64))
            .collect();
        let rows = firsts
            .iter()
            .flat_map(|row| [row.saturating_sub(1), *row, row + 1]);
        let rows: Vec<Row> = rows.chain([0, Row::MAX]).collect();
        for low in &rows {
            for high in rows.iter().filter(|high| *high >= low) {
                // By the definition: it begins before the end, and the next begins after the start.
                let may = |n: usize| firsts[n] <= *high && firsts.get(n + 1).is_none_or(|next| next > low);
                let expected: Vec<usize> = (0..firsts.len()).filter(|n| may(*n)).collect();
                let got: Vec<usize> = between(&firsts, *low, *high).collect();
                let told = format!("{low:x} to {high:x} of {firsts:x?}: {got:?}");
                assert!(expected.iter().all(|n| got.contains(n)), "{told}");
                assert!(got.len() <= expected.len() + 1, "{told}");
            }
        }
    }
}

#[test]
fn summaries_never_hide_a_row_and_rarely_promise_one() {
    let rows = rows((PAGES * ROWS) as u64);
    let summary = Summary::decode(&Summary::of(&rows).encode()).unwrap();
    for (n, row) in rows.iter().enumerate() {
        let key = parts(*row).0;
        let pages = between(&summary.firsts, first_of(key), last_of(key));
        assert!(pages.contains(&(n / ROWS)), "{n}");
        assert!(summary.filters[n / ROWS].may_hold(key), "{n}");
    }
    // As full as a page of 253 rows is in the filter: 253 × 7 of 2,816 bits.
    let mut filter = Filter([0; FILTER]);
    for n in 0..253 {
        bits(key(n)).for_each(|(byte, bit)| filter.0[byte] |= bit);
    }
    assert!((0..253).all(|n| filter.may_hold(key(n))));
    let wrong = (1_000..101_000).filter(|n| filter.may_hold(key(*n))).count();
    assert!(wrong < 800, "{wrong} of 100,000");
}
