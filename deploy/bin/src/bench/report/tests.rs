#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::float_cmp,
    reason = "tests"
)]

use super::*;

fn row(latencies: Vec<u32>, errors: &[(&str, u64)], wrong: Option<&str>) -> Row {
    let checked = Checked {
        verified: 1,
        wrong: wrong.map(str::to_owned),
    };
    row_of(latencies, errors, Some(checked))
}

fn row_of(latencies: Vec<u32>, errors: &[(&str, u64)], checked: Option<Checked>) -> Row {
    let outcome = Outcome {
        elapsed: Duration::from_secs(2),
        server_cpu: Some(Duration::from_millis(50)),
        errors: errors
            .iter()
            .map(|(name, number)| ((*name).to_owned(), *number))
            .collect(),
        latencies,
        ..Outcome::default()
    };
    Row::new(
        Work::V2,
        32,
        &outcome,
        Some(Memory {
            resident: 2_048,
            peak: 4_096,
        }),
        checked,
    )
}

#[test]
fn percentiles_are_of_the_nearest_rank() {
    let hundred: Vec<u32> = (1..=100).map(|n| n * 1_000).collect();
    assert_eq!(percentile(&hundred, 50), 50.0);
    assert_eq!(percentile(&hundred, 99), 99.0);
    assert_eq!(percentile(&[7_000], 50), 7.0);
    assert_eq!(percentile(&[7_000], 99), 7.0);
    assert_eq!(percentile(&[1_000, 2_000], 50), 1.0);
    assert_eq!(percentile(&[], 99), 0.0);
}

#[test]
fn figures_are_per_successful_request() {
    let row = row(vec![1_000; 100], &[], None);
    assert_eq!(
        (row.per_second, row.server_cpu_ms, row.client_cpu_ms),
        (50.0, Some(0.5), None)
    );
    assert_eq!((row.server_rss_mib, row.server_peak_mib), (Some(2.0), Some(4.0)));
    assert!(row.is_good());
}

#[test]
fn where_only_the_status_counts_none_is_verified() {
    let row = row_of(vec![1_000], &[], None);
    assert!(row.is_good());
    assert!(!row.summary().contains("verified"), "{}", row.summary());
    assert!(table(&[row]).contains("n/a"));
    assert!(!row_of(vec![1_000], &[("500", 1)], None).is_good());
    let none_of_the_sample = Checked {
        verified: 0,
        wrong: None,
    };
    assert!(!row_of(vec![1_000], &[], Some(none_of_the_sample)).is_good());
}

#[test]
fn refusals_wrong_answers_and_silence_are_failures() {
    assert!(!row(vec![1], &[("503", 2)], None).is_good());
    assert!(!row(vec![1], &[], Some("root hash")).is_good());
    let silent = row(vec![], &[], None);
    assert!(!silent.is_good());
    assert_eq!(silent.server_cpu_ms, None, "nothing to divide by");
}

#[test]
fn the_table_is_aligned_and_says_what_is_not_known() {
    let mut unknown = row(vec![1_500; 10], &[("503", 2), ("timeout", 1)], None);
    unknown.server_cpu_ms = None;
    let table = table(&[row(vec![1_500; 10], &[], None), unknown]);
    let lines: Vec<&str> = table.lines().collect();
    assert_eq!(lines.len(), 3);
    assert!(
        lines
            .iter()
            .all(|line| line.len() == lines.first().unwrap().len()),
        "{table}"
    );
    assert!(
        lines.get(2).unwrap().contains("n/a") && lines.get(2).unwrap().ends_with(" 3"),
        "{table}"
    );
}

#[test]
fn the_json_is_one_line() {
    let text = json("http://localhost:3000", 10, &[row(vec![1_000], &[], None)]).unwrap();
    assert!(!text.contains('\n'));
    let value: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(value["runs"][0]["work"], "v2");
    assert_eq!(value["runs"][0]["p50_ms"], 1.0);
}
