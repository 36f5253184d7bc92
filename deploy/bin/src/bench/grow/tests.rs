use super::*;

#[test]
fn stretches_end_at_powers_of_ten_and_then_at_millions() {
    let ends = [0, 9_999, 10_000, 99_999, 100_000, 999_999, 1_000_000, 1_000_001].map(end_of_stretch);
    let expected = [
        10_000, 10_000, 100_000, 100_000, 1_000_000, 1_000_000, 2_000_000, 2_000_000,
    ];
    assert_eq!(ends, expected);
}

#[test]
fn a_course_counts_every_entry_once() {
    let mut course = Course::start(5, Some(Duration::ZERO), Console::new());
    assert_eq!(course.passed(9_999), None);
    assert!(course.passed(10_400).is_some());
    assert_eq!(course.passed(10_500), None);
    course.finish(10_500);
    course.finish(10_500);
    let seen: Vec<_> = course.stretches.iter().map(|s| (s.from, s.to)).collect();
    assert_eq!(seen, [(5, 10_400), (10_400, 10_500)]);
}
