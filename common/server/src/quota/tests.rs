#![allow(clippy::unwrap_used, clippy::arithmetic_side_effects, reason = "tests")]

use super::*;

fn quota(rate: &str) -> Quota {
    Quota::new("test", rate.parse().unwrap())
}

#[test]
fn rates_are_numbers_a_second_and_at_once() {
    assert_eq!("10".parse::<Rate>().unwrap().to_string(), "10/20");
    assert_eq!("10/1".parse::<Rate>().unwrap().to_string(), "10/1");
    assert_eq!("1000000".parse::<Rate>().unwrap().to_string(), "1000000/1000000");
    for wrong in [
        "", "0", "-1", "+1", "1/", "/1", "1/0", "1000001", "1.5", "1/2/3", " 1",
    ] {
        assert!(wrong.parse::<Rate>().is_err(), "{wrong:?}");
    }
}

#[test]
fn a_burst_then_the_rate() {
    let quota = quota("10/3");
    let at = |millis| quota.0.take(7, Duration::from_millis(millis));
    for _ in 0..3 {
        at(1_000).unwrap();
    }
    assert_eq!(at(1_000).unwrap_err().seconds, 1);
    assert!(at(1_099).is_err());
    at(1_100).unwrap();
    assert!(at(1_100).is_err());
    // After a long pause there is one burst, not more.
    for _ in 0..3 {
        at(60_000).unwrap();
    }
    assert!(at(60_000).is_err());
    // Another principal has a bucket of its own.
    quota.0.take(8, Duration::from_millis(60_000)).unwrap();
}

#[test]
fn a_rate_may_be_of_a_longer_time() {
    let hundred = NonZeroU32::new(100).unwrap();
    let quota = Quota::new("test", Rate::in_a_time(hundred, Duration::from_secs(3_600)));
    let at = |seconds| quota.0.take(7, Duration::from_secs(seconds));
    for _ in 0..100 {
        at(10).unwrap();
    }
    assert!((30..=37).contains(&at(10).unwrap_err().seconds), "{:?}", at(10));
    at(46).unwrap();
    assert!(at(46).is_err());
    for _ in 0..100 {
        at(4_000).unwrap();
    }
    assert!(at(4_000).is_err());
}

#[test]
fn a_refusal_says_when_there_is_a_token() {
    let quota = quota("1/1");
    quota.0.take(7, Duration::from_millis(500)).unwrap();
    let refused = quota.0.take(7, Duration::from_millis(600)).unwrap_err();
    assert_eq!(refused.seconds, 1);
    assert!(refused.to_string().contains("at most 1/1"), "{refused}");
    // Waiting as long as it says is enough.
    quota.0.take(7, Duration::from_millis(1_600)).unwrap();
}

#[test]
fn what_is_given_back_may_be_spent_again() {
    let quota = quota("1/2");
    for _ in 0..100 {
        quota.spend(&"somebody").unwrap().give_back();
    }
    let _first = quota.spend(&"somebody").unwrap();
    let _second = quota.spend(&"somebody").unwrap();
    assert!(quota.spend(&"somebody").is_err());
}

#[test]
fn the_table_has_a_bound() {
    let quota = quota("1/1");
    for principal in 0..u64::try_from(REMEMBERED).unwrap() * 5 {
        quota.0.take(principal, Duration::from_secs(1)).unwrap();
        let table = quota.0.table();
        assert!(table.newer.len() <= REMEMBERED && table.older.len() <= REMEMBERED);
    }
    // The last ones are remembered, in either half.
    let last = u64::try_from(REMEMBERED).unwrap() * 5 - 1;
    assert!(quota.0.take(last, Duration::from_secs(1)).is_err());
    let _ = quota.0.take(u64::MAX, Duration::from_secs(1));
    assert!(quota.0.take(last, Duration::from_secs(1)).is_err());
}
