#![allow(clippy::unwrap_used, clippy::arithmetic_side_effects, reason = "tests")]

use super::*;

const BOUNDS: Bounds = Bounds {
    most: 100,
    wait: Some(Duration::from_millis(50)),
    least: 4,
};

/// Windows of a server that finishes `rate` a window, with `arrivals` a window; what is at work at the end of each.
fn windows(flow: &mut Flow, start: Instant, count: u32, arrivals: usize, rate: usize) -> Instant {
    let mut now = start;
    for _ in 0..count {
        now += WINDOW;
        for _ in 0..arrivals.max(rate) {
            let _ = flow.take();
            if flow.finished < rate && flow.at_work > 0 {
                flow.leave();
            }
        }
        assert!(flow.look(BOUNDS, now));
    }
    now
}

#[test]
fn a_burst_up_to_the_bound_is_taken_and_no_more() {
    let gate = Gate::new("test", Bounds::fixed(3));
    let held: Vec<_> = (0..3).map(|_| gate.enter().unwrap()).collect();
    assert_eq!(gate.check(), Err(Refused));
    assert!(gate.enter().is_err());
    drop(held);
    assert_eq!(gate.check(), Ok(()));
    assert!(gate.enter().is_ok(), "what is done makes room");
}

#[test]
fn under_a_standing_excess_the_bound_is_what_is_finished_in_the_wait() {
    let start = Instant::now();
    let mut flow = Flow::new(BOUNDS, start);
    // 20 finished in each 100 ms are 10 in 50 ms.
    let now = windows(&mut flow, start, 20, 200, 20);
    assert!((9..=11).contains(&flow.limit), "{flow:?}");
    // A faster server lets more in.
    let now = windows(&mut flow, now, 20, 1_000, 100);
    assert!((45..=52).contains(&flow.limit), "{flow:?}");
    // A stalled one the least.
    let now = windows(&mut flow, now, 20, 1_000, 0);
    assert_eq!(flow.limit, BOUNDS.least);
    // And it opens again when nobody has to be refused.
    while flow.at_work > 0 {
        flow.leave();
    }
    windows(&mut flow, now, 70, 0, 0);
    assert_eq!(flow.limit, BOUNDS.most);
}

#[test]
fn a_full_house_without_refusals_keeps_its_bound() {
    let start = Instant::now();
    let mut flow = Flow::new(BOUNDS, start);
    let mut now = start;
    for _ in 0..10 {
        while flow.has_room() {
            flow.take().unwrap();
        }
        for _ in 0..5 {
            flow.leave();
        }
        now += WINDOW;
        flow.look(BOUNDS, now);
        assert_eq!(flow.limit, BOUNDS.most);
    }
}

#[test]
fn a_rare_refusal_changes_nothing() {
    let start = Instant::now();
    let mut flow = Flow::new(BOUNDS, start);
    for _ in 0..50 {
        flow.take().unwrap();
        flow.leave();
    }
    let _ = flow.refuse::<()>();
    flow.look(BOUNDS, start + WINDOW);
    assert_eq!(flow.limit, BOUNDS.most);
}

/// Those who are made to wait for their refusal come back less often.
#[test]
fn an_excess_lasts_for_as_long_as_anybody_is_refused() {
    let start = Instant::now();
    let mut flow = Flow::new(BOUNDS, start);
    let mut now = windows(&mut flow, start, 20, 200, 20);
    let held = flow.limit;
    for _ in 0..10 {
        for _ in 0..20 {
            let _ = flow.take();
            flow.leave();
        }
        let _ = flow.refuse::<()>();
        now += WINDOW;
        flow.look(BOUNDS, now);
        assert!(flow.limit <= held, "{flow:?}");
    }
    // Whoever was refused last may still be on the way back.
    let now = windows(&mut flow, now, 40, 0, 0);
    assert!(flow.limit <= held, "{flow:?}");
    windows(&mut flow, now, 30, 0, 0);
    assert_eq!(flow.limit, BOUNDS.most);
}

#[test]
fn a_bound_without_a_wait_stays() {
    let bounds = Bounds::fixed(2);
    let start = Instant::now();
    let mut flow = Flow::new(bounds, start);
    for _ in 0..100 {
        let _ = flow.take();
    }
    flow.look(bounds, start + WINDOW);
    assert_eq!(flow.limit, 2);
    assert_eq!(
        Bounds::WRITES.at_most(8),
        Bounds {
            most: 8,
            least: 8,
            ..Bounds::WRITES
        }
    );
}
