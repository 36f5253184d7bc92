use super::range_length;

#[test]
fn ranges_are_cut_and_aligned_like_upstream() {
    for (start, end, length) in [
        (0, 0, 1),
        (0, 998, 999),
        (0, 999, 1000),
        (0, u64::MAX, 1000),
        (1, 999, 999),
        (1, 1000, 999),
        (500, 5000, 500),
        (999, 1998, 1),
        (1000, 1999, 1000),
        (700, 1600, 901),
        (u64::MAX, u64::MAX, 1),
    ] {
        assert_eq!(range_length(start, end), length, "{start}..={end}");
    }
}
