//! The exploration of the model, breadth first, and what it must and must not find.

use std::collections::{HashMap, VecDeque};

use super::*;

/// What an exploration saw.
struct Explored {
    states: usize,
    transitions: usize,
    /// The shortest way into a state that breaks an invariant, and which.
    counterexample: Option<(&'static str, Vec<&'static str>)>,
    /// The way into a state from which no client is served any more.
    stuck: Option<Vec<&'static str>>,
}

/// Breadth first, so that a counterexample is a shortest one.
fn explore(bounds: Bounds) -> Explored {
    let model = Model(bounds);
    let start = model.start();
    let mut numbers = HashMap::from([(start, 0usize)]);
    let mut states = vec![(start, 0usize, "start")];
    // Steps that need no fault, backwards.
    let mut before: Vec<Vec<u32>> = vec![Vec::new()];
    let mut queue = VecDeque::from([0usize]);
    let mut explored = Explored {
        states: 0,
        transitions: 0,
        counterexample: None,
        stuck: None,
    };
    let way = |states: &[(State, usize, &'static str)], mut number: usize| {
        let mut way = Vec::new();
        while number != 0 {
            way.push(states[number].2);
            number = states[number].1;
        }
        way.reverse();
        way
    };
    while let Some(number) = queue.pop_front() {
        let state = states[number].0;
        for (name, good, next) in model.steps(&state) {
            explored.transitions += 1;
            let reached = *numbers.entry(next).or_insert_with(|| {
                states.push((next, number, name));
                before.push(Vec::new());
                queue.push_back(states.len() - 1);
                states.len() - 1
            });
            if good {
                before[reached].push(number as u32);
            }
            if let Some(broken) = next.broken {
                explored.states = states.len();
                explored.counterexample = Some((broken, way(&states, reached)));
                return explored;
            }
        }
    }
    explored.states = states.len();
    // Progress: every client is served at the end of some way without another fault.
    let served = |state: &State| state.wanted == [0; 2] && state.exchanged.is_none();
    let mut reaches: Vec<bool> = states.iter().map(|(state, ..)| served(state)).collect();
    let mut queue: VecDeque<usize> = (0..states.len()).filter(|number| reaches[*number]).collect();
    while let Some(number) = queue.pop_front() {
        for from in &before[number] {
            if !std::mem::replace(&mut reaches[*from as usize], true) {
                queue.push_back(*from as usize);
            }
        }
    }
    let stuck = reaches.iter().position(|reaches| !reaches);
    explored.stuck = stuck.map(|number| way(&states, number));
    explored
}

fn all() -> bool {
    std::env::var("SIGBOX_FAULTS").is_ok_and(|value| value == "all")
}

/// Two writers with an entry that both are given and others of their own.
fn two_writers(mutant: Option<Mutant>) -> Bounds {
    Bounds {
        writers: 2,
        wanted: if all() { [0b1010, 0b1110] } else { [0b0010, 0b0110] },
        faults: if all() { 4 } else { 3 },
        exchange: false,
        mutant,
    }
}

/// One writer under which the store is exchanged, or an older copy put in its place.
fn exchanged(mutant: Option<Mutant>) -> Bounds {
    Bounds {
        writers: 1,
        wanted: [0b1110, 0],
        faults: 3,
        exchange: true,
        mutant,
    }
}

#[test]
fn every_reachable_state_of_the_protocol_keeps_its_promises() {
    for (name, bounds) in [
        ("two writers", two_writers(None)),
        ("exchanged store", exchanged(None)),
    ] {
        let explored = explore(bounds);
        assert_eq!(explored.counterexample, None, "{name}");
        assert_eq!(explored.stuck, None, "{name}");
        println!(
            "model: {name}: {} states, {} transitions, no invariant broken, progress from each",
            explored.states, explored.transitions
        );
        assert!(explored.states > 10_000, "{name}: {} states", explored.states);
    }
}

#[test]
fn a_protocol_that_leaves_out_one_rule_is_caught() {
    use Mutant::*;
    const STUCK: &str = "no progress";
    for (mutant, exchange, expected) in [
        (ComparesNothing, false, "a published head is not in the store"),
        (
            ComparesSizeOnly,
            true,
            "the leaves do not hash to the signed head",
        ),
        (
            TakesUnknownForNotApplied,
            false,
            "an entry is in the tree that was denied",
        ),
        (
            TakesUnknownForApplied,
            false,
            "a published head is not in the store",
        ),
        (
            PublishesBeforeCommit,
            false,
            "a published head is not in the store",
        ),
        (
            AnswersBeforeCommit,
            false,
            "an acknowledged entry is not in the tree",
        ),
        (SkipsReload, false, STUCK),
        (AcceptsStaleReload, false, "a published head was taken back"),
        (LooksUpStale, false, "an entry is in the tree twice"),
        (RetriesWithoutLookUp, false, "an entry is in the tree twice"),
        (IgnoresAnchor, true, "two roots were published for one size"),
    ] {
        let bounds = if exchange { exchanged } else { two_writers };
        let explored = explore(bounds(Some(mutant)));
        let (broken, way) = explored
            .counterexample
            .or_else(|| Some((STUCK, explored.stuck?)))
            .unwrap_or_else(|| panic!("{mutant:?} was not caught"));
        println!("model: {mutant:?}: {broken}, after {}", way.join(", "));
        assert_eq!(broken, expected, "{mutant:?}: {way:?}");
    }
}
