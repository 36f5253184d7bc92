//! The failure matrix: every storage call of the workload failed, and failed but applied, and applied later; alone,
//! in pairs with every call of the recovery that follows, and in chains of three; with and without a restart. After
//! each case everything that was ever promised is held against both engines (Cloudflare Raio2025h2a was lost to two
//! faults in a row, July 2025). The shape is that of sunlight `internal/ctlog/ctlog_test.go`.
//!
//! Every single fault runs always. `SIGBOX_FAULTS=all` runs every pair too, and a part of the chains of three and of what
//! combines late writes or the anchor with a second fault, spread evenly; without it, a part of the pairs.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use super::harness::Findings;
use super::workload::*;
use crate::Storage;
use crate::memory::{Fault, MemoryStorage};

const FAULTS: [Fault; 2] = [Fault::Fails, Fault::FailsButApplied];
/// Calls after which a late write still arrives.
const LATEST: usize = 30;

/// What a call is made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum For {
    Start,
    LookUp,
    Commit,
    /// A commit that finds another writer's.
    LostRace,
    Reload,
    Proof,
    Read,
    State,
}

/// What a failed call leads to: whether a caller is told so, and how many reloads follow. The writer is unusable until
/// the last of them has succeeded.
type Effect = (bool, usize);

/// The expected effects: not applied, and applied.
fn expected(made_for: For) -> [Effect; 2] {
    match made_for {
        // Refused; the next start succeeds, whatever the failed one had created.
        For::Start => [(true, 0), (true, 0)],
        // No progress, fatal until reload: absent and unknown are not the same.
        For::LookUp => [(true, 1), (true, 1)],
        // No progress, fatal until reload; or progress, acknowledged by the reload.
        For::Commit => [(true, 1), (false, 1)],
        // Nobody is known to have been first, so it is not tried again at once: no progress, fatal until reload.
        For::LostRace => [(true, 1), (true, 1)],
        // The reload fails, and is tried again until it succeeds: progress.
        For::Reload => [(false, 1), (false, 1)],
        // The leaf is durable, its receipt is withheld; not fatal.
        For::Proof => [(true, 0), (true, 0)],
        For::Read | For::State => [(true, 0), (true, 0)],
    }
}

fn plain(memory: Arc<MemoryStorage>) -> Arc<dyn Storage> {
    memory
}

/// What each call of a run without faults is made for.
fn purposes(baseline: &Report) -> Vec<For> {
    let mut purposes = Vec::new();
    for step in &baseline.steps {
        let mut now = For::LookUp;
        for at in step.calls.clone() {
            let next = baseline.calls.get(at + 1).filter(|_| at + 1 < step.calls.end);
            now = match (&step.step, baseline.calls[at]) {
                (Step::Open(_), _) => For::Start,
                (Step::Read(_), _) => For::Read,
                (Step::State(..), _) => For::State,
                (_, "find" | "leaves_at") => For::LookUp,
                (_, "commit") if next == Some(&"logs") => For::LostRace,
                (_, "commit") => For::Commit,
                (_, "logs") => For::Reload,
                (_, _) if now == For::Reload => For::Reload,
                (_, "tiles") => For::Proof,
                (_, other) => panic!("a call that nobody expects: {other}"),
            };
            purposes.push(now);
        }
    }
    purposes
}

fn effect(case: &Case, report: &Report) -> Effect {
    let (step, _) = report.struck.unwrap();
    let seen = &report.steps[step];
    let after = case.storage[0].0 + 1..seen.calls.end;
    let reloads = match seen.step {
        Step::Submit(..) => report.calls[after].iter().filter(|call| **call == "logs").count(),
        _ => 0,
    };
    (seen.told.contains(&Told::Failed), reloads)
}

/// Runs the cases on all processors. Gives a report for each, in order.
fn run_all(cases: &[Case]) -> Vec<Report> {
    let (next, reports) = (AtomicUsize::new(0), Mutex::new(BTreeMap::new()));
    let threads = std::thread::available_parallelism().map_or(2, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let Some((number, case)) = {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    cases.get(number).map(|case| (number, case))
                } {
                    let report = run(case, plain);
                    assert!(
                        report.findings.faults().is_empty(),
                        "{case:?}: {:#?}",
                        report.findings
                    );
                    reports.lock().unwrap().insert(number, report);
                }
            });
        }
    });
    reports.into_inner().unwrap().into_values().collect()
}

#[derive(Default)]
struct Counts {
    singles: usize,
    pairs: usize,
    chains: usize,
    anchors: usize,
    found: Findings,
}

impl Counts {
    fn add(&mut self, reports: Vec<Report>, of: fn(&mut Self) -> &mut usize) {
        for report in reports {
            // A fault that never came is no case.
            *of(self) += usize::from(report.complete);
            self.found.merge(report.findings);
        }
    }
}

/// One case of `short`, or in the full form of `full`.
fn thin(cases: Vec<Case>, short: usize, full: usize) -> Vec<Case> {
    let all = std::env::var("SIGBOX_FAULTS").is_ok_and(|value| value == "all");
    cases
        .into_iter()
        .step_by(if all { full } else { short })
        .collect()
}

/// Each case with one more fault: at every call of the recovery of its last one.
fn followed(cases: &[Case], reports: &[Report]) -> Vec<Case> {
    let mut longer = Vec::new();
    for (case, report) in cases.iter().zip(reports) {
        let (Some((last, _)), Some((_, recovered))) = (case.storage.last(), report.struck) else {
            continue;
        };
        for (second, fault) in (last + 1..recovered).flat_map(|call| FAULTS.map(|fault| (call, fault))) {
            let mut case = case.clone();
            case.storage.push((second, fault));
            longer.push(case);
        }
    }
    longer
}

#[test]
fn every_call_may_fail_and_then_any_call_of_its_recovery() {
    let baseline = run(&Case::default(), plain);
    assert!(baseline.findings.faults().is_empty(), "{:#?}", baseline.findings);
    let closed = |told: &&Told| **told != Told::Done;
    let refusals: Vec<Told> = baseline
        .steps
        .iter()
        .flat_map(|step| step.told.iter().filter(closed).copied())
        .collect();
    assert_eq!(
        refusals,
        [Told::Closed],
        "only the entry for the closed log is refused"
    );
    let purposes = purposes(&baseline);
    let mut counts = Counts::default();

    // One fault, and its effect.
    let numbers = 0..purposes.len();
    let mut singles: Vec<Case> = numbers
        .flat_map(|call| FAULTS.map(|fault| (call, fault)))
        .flat_map(|fault| [false, true].map(|restart| (fault, restart)))
        .map(|(fault, restart)| Case {
            storage: vec![fault],
            restart,
            ..Case::default()
        })
        .collect();
    // All of those without a restart in any form of the test.
    let (restarted, stayed) = singles.into_iter().partition(|single| single.restart);
    singles = stayed;
    singles.extend(thin(restarted, 3, 1));
    let reports = run_all(&singles);
    let mut rows: BTreeMap<(For, &str, Fault), (Effect, usize)> = BTreeMap::new();
    for (case, report) in singles.iter().zip(&reports).filter(|(case, _)| !case.restart) {
        let (call, fault) = case.storage[0];
        let (made_for, name) = (purposes[call], baseline.calls[call]);
        let effect = effect(case, report);
        let expected = expected(made_for)[usize::from(fault == Fault::FailsButApplied)];
        assert_eq!(effect, expected, "{case:?}: {name} for {made_for:?}");
        rows.entry((made_for, name, fault)).or_insert((effect, 0)).1 += 1;
    }
    for ((made_for, name, fault), ((failed, reloads), cases)) in &rows {
        let told = if *failed {
            "caller told to try again"
        } else {
            "acknowledged"
        };
        println!("{made_for:?} {name}, {fault:?}: {told}, {reloads} reloads ({cases} cases)");
    }
    assert!(rows.len() >= 38, "the script makes every call for every purpose");

    // A second one at every call of the recovery, and a third.
    let pairs = thin(followed(&singles, &reports), 61, 1);
    counts.add(reports, |counts| &mut counts.singles);
    let reports = run_all(&pairs);
    let chains = thin(followed(&pairs, &reports), 151, 101);
    counts.add(reports, |counts| &mut counts.pairs);
    counts.add(run_all(&chains), |counts| &mut counts.chains);

    // A write that was still on its way arrives before any later call.
    let writes = (0..purposes.len()).filter(|call| matches!(baseline.calls[*call], "commit" | "create_log"));
    let late = writes
        .flat_map(|call| (1..=LATEST).map(move |after| (call, Fault::AppliedLater(after))))
        .flat_map(|fault| [false, true].map(|restart| (fault, restart)))
        .map(|(fault, restart)| Case {
            storage: vec![fault],
            restart,
            ..Case::default()
        });
    let late = thin(late.collect(), 13, 1);
    let reports = run_all(&late);
    let pairs = thin(followed(&late, &reports), 97, 7);
    counts.add(reports, |counts| &mut counts.singles);
    counts.add(run_all(&pairs), |counts| &mut counts.pairs);

    // The anchor, alone and with every storage call.
    let mut anchors = Vec::new();
    for (engine, calls) in baseline.anchor_calls.into_iter().enumerate() {
        for (call, fault) in (0..calls).flat_map(|call| FAULTS.map(|fault| (call, fault))) {
            for restart in [false, true] {
                anchors.push(Case {
                    anchor: Some((engine, call, fault)),
                    restart,
                    ..Case::default()
                });
            }
        }
    }
    let both = anchors.iter().flat_map(|anchor| {
        let storage = singles.iter().filter(|single| !single.restart);
        storage.map(|single| Case {
            storage: single.storage.clone(),
            ..anchor.clone()
        })
    });
    let both = thin(both.collect(), 151, 7);
    counts.add(run_all(&anchors), |counts| &mut counts.anchors);
    counts.add(run_all(&both), |counts| &mut counts.anchors);

    let found = &counts.found;
    println!(
        "matrix: {} cases ({} of one storage fault, {} of two, {} of three, {} with the anchor's), \
         {} receipts verified, {} checkpoints compared, lost {}, forks {}",
        counts.singles + counts.pairs + counts.chains + counts.anchors,
        counts.singles,
        counts.pairs,
        counts.chains,
        counts.anchors,
        found.receipts,
        found.checkpoints,
        found.lost.len(),
        found.forks.len(),
    );
    assert!(found.receipts > 0 && found.checkpoints > 0);
}
