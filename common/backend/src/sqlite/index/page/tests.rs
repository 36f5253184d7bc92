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
    for (bytes, what) in [(encode(&rows), "page"), (Group::of(7, &rows).encode(), "group")] {
        assert!(decode(&bytes).is_some() || Group::decode(7, &bytes).is_some());
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 0x10;
            let seen = if what == "page" {
                decode(&changed).is_none()
            } else {
                Group::decode(7, &changed).is_none()
            };
            assert!(seen, "byte {at} of a {what}");
        }
        assert!(decode(&bytes[..bytes.len() - 1]).is_none());
    }
    assert_eq!(decode(&encode(&rows)), Some(rows));
}

#[test]
fn parts_between_two_rows_are_those_that_may_hold_them() {
    let firsts: Vec<Row> = vec![10, 20, 20, 30];
    for low in 0..40 {
        for high in low..40 {
            // By the definition: it begins before the end, and the next begins after the start.
            let may = |n: usize| firsts[n] <= high && firsts.get(n + 1).is_none_or(|next| *next > low);
            let expected: Vec<usize> = (0..firsts.len()).filter(|n| may(*n)).collect();
            let got: Vec<usize> = between(&firsts, low, high).collect();
            assert!(
                expected.iter().all(|n| got.contains(n)),
                "{low} to {high}: {got:?}"
            );
            assert!(got.len() <= expected.len() + 1, "{low} to {high}: {got:?}");
        }
    }
    assert!(between(&[], 0, Row::MAX).is_empty());
}

#[test]
fn summaries_never_hide_a_row_and_rarely_promise_one() {
    let rows = rows((PAGES * ROWS) as u64);
    let group = Group::of(1, &rows);
    let group = Group::decode(1, &group.encode()).unwrap();
    for (n, row) in rows.iter().enumerate() {
        let key = parts(*row).0;
        let pages = group.between(first_of(key), last_of(key));
        assert!(pages.contains(&(n / ROWS)), "{n}");
        assert!(group.may_hold(n / ROWS, key), "{n}");
    }
    // As full as a page of 253 rows is in the filter: 253 × 5 of 2,560 bits.
    let mut filter = [0u8; FILTER];
    for n in 0..253 {
        bits(key(n)).for_each(|(byte, bit)| filter[byte] |= bit);
    }
    let holds = |n: u64| bits(key(n)).all(|(byte, bit)| filter[byte] & bit != 0);
    assert!((0..253).all(holds));
    let wrong = (1_000..101_000).filter(|n| holds(*n)).count();
    assert!(wrong < 1_500, "{wrong} of 100,000");
}
