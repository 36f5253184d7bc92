use super::range_length;

#[test]
fn ranges_are_cut_and_aligned_like_upstream() {
    for (start, end, length) in [
        (0, 0, 1),
        (0, 254, 255),
        (0, 255, 256),
        (0, u64::MAX, 256),
        (1, 255, 255),
        (1, 256, 255),
        (100, 5000, 156),
        (255, 510, 1),
        (256, 511, 256),
        (200, 400, 201),
        (u64::MAX, u64::MAX, 1),
    ] {
        assert_eq!(range_length(start, end), length, "{start}..={end}");
    }
}
