#![allow(clippy::indexing_slicing, clippy::arithmetic_side_effects, reason = "tests")]

use super::*;

/// The answer, and how many rounds and leaves it took.
fn search(times: &[u64], time: u64) -> (u64, usize, usize) {
    let mut bracket = Bracket::new(times.len() as u64, times.last().copied().unwrap_or(0));
    let (mut rounds, mut leaves) = (0, 0);
    while let Some(probes) = bracket.probes(time) {
        assert!(probes.is_sorted() && !probes.is_empty(), "{bracket:?}");
        rounds += 1;
        for index in probes {
            leaves += 1;
            if !bracket.narrow(index, times[index as usize], time) {
                break;
            }
        }
    }
    (bracket.low, rounds, leaves)
}

#[test]
fn the_first_leaf_of_every_time_is_found() {
    let even: Vec<u64> = (0..500).map(|n| 1_000 + n * 3).collect();
    let batches: Vec<u64> = (0..500).map(|n| 1_000 + n / 64 * 200).collect();
    let pauses: Vec<u64> = (0..500)
        .map(|n| if n < 400 { n } else { n * 1_000_000 })
        .collect();
    for times in [vec![], vec![7], vec![7; 300], even, batches, pauses] {
        let around = times
            .iter()
            .flat_map(|time| [time.saturating_sub(1), *time, time + 1]);
        for time in around.chain([0, u64::MAX]) {
            let expected = times.partition_point(|other| *other < time) as u64;
            assert_eq!(search(&times, time).0, expected, "{time} in {times:?}");
        }
    }
}

#[test]
fn a_million_leaves_that_came_evenly_take_few_looks() {
    let times: Vec<u64> = (0..1_000_000).map(|n| 1_700_000_000_000 + n / 64 * 13).collect();
    for time in (0..100).map(|n| 1_700_000_000_000 + n * 2_029) {
        let (_, rounds, leaves) = search(&times, time);
        assert!(
            rounds <= 5 && leaves <= 50,
            "{time}: {rounds} rounds, {leaves} leaves"
        );
    }
}
