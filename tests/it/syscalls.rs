//! Every system call on the data folder fails once, in the real binary, and nothing is lost.
//!
//! A run under strace shows which calls `sigbox up` makes on which file. Then, for each occurrence of each, the run is
//! repeated on a fresh copy of the folder with that one call failing, or the process killed before it, or (for writes)
//! the write left out and said to be done. The server may refuse to start, refuse writes, or end. Afterwards a start
//! without faults must find every receipt, and no head ever shown may be contradicted (tessera
//! `integration/fault/posix/fault_test.go` does the same with `fsck` alone).
//!
//! strace cannot cut a write short honestly, so a file size limit does: the kernel writes up to it and says how much.
//!
//! A sample runs with the other stories; `SIGBOX_FAULTS=all`, as in `tests/run torture syscalls`, runs everything, a number
//! in place of `all` about so many cases.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::Value;
use tests::entries::Key;
use tests::reads::{Broken, Log};
use tests::receipts::{Answer, Receipts, Writer};
use tests::stack::{Launch, Ports, Stack, up, up_under};
use tests::strace::{self, Fault, Site};
use tests::{fsck, say, sigbox};

/// Cases that run at the same time; each waits for the disk as long as it works.
const LANES: usize = 4;
/// Cases of the short form.
const SAMPLE: usize = 90;
/// The longest a start or a script may take: longer is a hang.
const LIMIT: Duration = Duration::from_secs(30);

/// What is done with the folder while the fault strikes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Run {
    /// From nothing: keys, logs and trust repository are made.
    First,
    /// On a folder with entries, as after any restart.
    Continue,
    /// The same, at another address: registry, trust repository and trust files are written anew.
    Move,
}

impl Run {
    const ALL: [Self; 3] = [Self::First, Self::Continue, Self::Move];
}

/// One repetition of a run.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Case {
    run: Run,
    how: How,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum How {
    /// By strace: the call, which one of them, and what in its place.
    Fault(Site, u32, Fault),
    /// No file grows beyond so many bytes.
    Short(u64),
}

impl Case {
    /// The column and row of the table.
    fn kind(&self) -> (String, String) {
        match &self.how {
            How::Fault(site, _, fault) => (site.call.clone(), fault.to_string()),
            How::Short(_) => ("(any write)".to_owned(), "SHORT".to_owned()),
        }
    }

    /// Cases of one class are alike for the sample.
    fn class(&self) -> (Run, String, String, bool) {
        let (call, fault) = self.kind();
        let database = matches!(&self.how, How::Fault(site, ..) if site.file.starts_with("sigbox.db"));
        (self.run, call, fault, database)
    }

    fn lies(&self) -> bool {
        matches!(self.how, How::Fault(_, _, Fault::Lie(_)))
    }

    fn kills(&self) -> bool {
        matches!(self.how, How::Fault(_, _, Fault::Kill))
    }
}

/// Where cases run one after the other: always the same paths and ports, because both are in what is stored.
struct Lane {
    folder: PathBuf,
    home: Ports,
    elsewhere: Ports,
    /// What was promised by the folder that is copied for each case.
    promised: Receipts,
}

impl Lane {
    async fn new(folder: PathBuf) -> Self {
        fs::create_dir(&folder).unwrap();
        let mut lane = Self {
            folder,
            home: Ports::free(),
            elsewhere: Ports::free(),
            promised: Receipts::default(),
        };
        let mut stack = Stack::at(&lane.base(), &lane.home);
        for seed in ["base", "more"] {
            write(&stack, &mut lane.promised, seed).await.unwrap();
        }
        assert_eq!(stack.interrupt(), Some(0), "{}", stack.said());
        assert_eq!(lane.promised.len(), 2 * Log::ALL.len());
        lane
    }

    fn base(&self) -> PathBuf {
        self.folder.join("base")
    }

    fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    fn trace(&self) -> PathBuf {
        self.folder.join("trace")
    }

    fn ports(&self, run: Run) -> &Ports {
        match run {
            Run::First | Run::Continue => &self.home,
            Run::Move => &self.elsewhere,
        }
    }

    /// The folder as the run finds it, and what it has promised.
    fn reset(&self, run: Run) -> Receipts {
        let _ = fs::remove_dir_all(self.data());
        let _ = fs::remove_file(self.trace());
        match run {
            Run::First => Receipts::default(),
            Run::Continue | Run::Move => {
                copy(&self.base(), &self.data());
                self.promised.clone()
            }
        }
    }

    /// The run without a fault, watched: its sites, and the size of its largest file while it served.
    async fn discover(&self, run: Run) -> (BTreeMap<Site, u32>, u64) {
        let mut promised = self.reset(run);
        let command = strace::watching(&self.trace());
        let mut stack = Launch::new(&mut up_under(command, &self.data(), self.ports(run)))
            .ready(LIMIT)
            .unwrap_or_else(|not| panic!("{not}"));
        let before = promised.len();
        write(&stack, &mut promised, "watched").await.unwrap();
        assert_eq!(
            promised.len(),
            before + Log::ALL.len(),
            "without a fault everything is acknowledged"
        );
        let largest = fs::read_dir(self.data()).unwrap();
        let largest = largest
            .map(|entry| entry.unwrap().metadata().unwrap().len())
            .max();
        assert_eq!(stack.interrupt(), Some(0), "{}", stack.said());
        let sites = strace::sites(&finished(&self.trace()), &self.data());
        assert!(sites.len() > 20, "{sites:?}");
        (sites, largest.unwrap_or_default())
    }

    fn command(&self, case: &Case) -> Command {
        let command = match &case.how {
            How::Fault(site, nth, fault) => {
                strace::injecting(&self.trace(), &self.data(), site, *nth, *fault)
            }
            How::Short(limit) => {
                let mut command = Command::new("prlimit");
                command.arg(format!("--fsize={limit}"));
                // Else the kernel ends the process instead of telling it.
                command.args(["env", "--ignore-signal=XFSZ"]).arg(sigbox());
                command
            }
        };
        up_under(command, &self.data(), self.ports(case.run))
    }

    /// Runs a case; what came of it, or what is wrong.
    async fn run(&self, case: &Case) -> Result<Done, String> {
        let mut promised = self.reset(case.run);
        let known = promised.len();
        let launch = Launch::new(&mut self.command(case));
        let mut done = Done::default();
        let launched = tokio::task::spawn_blocking(move || launch.ready(LIMIT));
        let (status, said) = match launched.await.map_err(|e| e.to_string())? {
            Ok(mut stack) => {
                done.started = true;
                let script = write(&stack, &mut promised, "faulty");
                match tokio::time::timeout(LIMIT, script).await {
                    Err(_) => return Err("requests hang".to_owned()),
                    Ok(Err(Broken::Wrong(wrong))) if !excused(&wrong) => return Err(wrong),
                    Ok(_) => {}
                }
                (stack.stop(), stack.said())
            }
            Err(not) => (not.status, not.said),
        };
        ended(case, done.started, status, &said)?;
        done.hit = match case.how {
            How::Fault(..) => strace::was_injected(&finished(&self.trace())),
            How::Short(_) => true,
        };
        done.acknowledged = promised.len() - known;

        let keys = registered(&self.data());
        let mut again = match Launch::new(&mut up(&self.data(), self.ports(case.run))).ready(LIMIT) {
            Ok(stack) => stack,
            // What was acknowledged is gone with the write that the disk left out; the refusal says so.
            Err(not) if case.lies() && not.status.and_then(|s| s.code()) == Some(3) => {
                done.refused = not.said.lines().last().map(str::to_owned);
                return Ok(done);
            }
            Err(not) => return Err(format!("the next start does not succeed: {not}")),
        };
        if let Some(keys) = keys {
            let now = registered(&self.data());
            if now.as_ref() != Some(&keys) {
                return Err("the registered keys are others after the next start".to_owned());
            }
        }
        let verified = promised.verify(&again).await;
        again.kill();
        let checked = fsck(&self.data());
        match (verified, checked) {
            (Ok(_), Ok(())) => Ok(done),
            // Found, and by the tool for it.
            (_, Err(found)) if case.lies() => {
                done.refused = Some(found.lines().last().unwrap_or_default().to_owned());
                Ok(done)
            }
            (Err(wrong), _) => Err(wrong.to_string()),
            (_, Err(found)) => Err(found),
        }
    }
}

/// What came of a case that went well.
#[derive(Debug, Default)]
struct Done {
    /// The fault was met.
    hit: bool,
    /// The server served in spite of it.
    started: bool,
    /// Receipts given during it.
    acknowledged: usize,
    /// After a lie: the words in which the next start or `fsck` refused the store.
    refused: Option<String>,
}

/// An entry in each log, then a look at the heads.
async fn write(stack: &Stack, promised: &mut Receipts, seed: &str) -> Result<(), Broken> {
    let (writer, key) = (Writer::new(stack).await?, Key::generate());
    for log in Log::ALL {
        if let Answer::Promised(receipt) = writer.write(log, &key, seed).await? {
            promised.keep(&receipt)?;
        }
    }
    promised.see(stack).await
}

/// A server whose disk fails may answer so; it may not answer wrongly.
fn excused(wrong: &str) -> bool {
    ["503", "500", "busy for too long"]
        .iter()
        .any(|status| wrong.contains(status))
}

/// The end of a faulty process was in order: no panic, no hang, and a refusal has words.
fn ended(case: &Case, started: bool, status: Option<ExitStatus>, said: &str) -> Result<(), String> {
    use std::os::unix::process::ExitStatusExt;
    if said.contains("panicked at") {
        // Rust's own answer to a folder that cannot be closed after it was listed (`std/src/sys/fs/unix.rs`).
        return match said.contains("unexpected error during closedir") {
            true => Ok(()),
            false => Err(format!("a panic: {said}")),
        };
    }
    match status {
        None => Err(format!("the process hangs; it said: {said}")),
        Some(status) if status.signal() == Some(9) && case.kills() => Ok(()),
        Some(status) if status.code() == Some(0) && started => Ok(()),
        Some(status) if matches!(status.code(), Some(1 | 3)) => match said.contains("error: ") {
            true => Ok(()),
            false => Err(format!("{status} without an error message: {said}")),
        },
        Some(status) => Err(format!("{status}; it said: {said}")),
    }
}

/// The names and public keys of the registry, once there is one that can be read: a disk that lies leaves others.
fn registered(data: &Path) -> Option<Vec<(Value, Value)>> {
    let json = fs::read(data.join("keys/registry.json")).ok()?;
    let registry: Value = serde_json::from_slice(&json).ok()?;
    let keys = registry["keys"].as_array()?;
    Some(
        keys.iter()
            .map(|key| (key["id"].clone(), key["spki"].clone()))
            .collect(),
    )
}

/// What strace wrote, once it has written all: it ends after the process it watches.
fn finished(trace: &Path) -> String {
    let start = Instant::now();
    loop {
        let text = fs::read_to_string(trace).unwrap_or_default();
        let last = text.lines().last().unwrap_or_default();
        let ends = last.contains("+++ exited with") || last.contains("+++ killed by");
        if ends || start.elapsed() > Duration::from_secs(5) {
            return text;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        let kind = entry.file_type().unwrap();
        if kind.is_dir() {
            copy(&entry.path(), &target);
        } else if kind.is_file() {
            // A socket left by the process that was killed is no part of the data.
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// All cases of a run.
fn cases(run: Run, sites: &BTreeMap<Site, u32>, largest: u64) -> Vec<Case> {
    let mut cases = Vec::new();
    for (site, count) in sites {
        // The same database calls as in `Continue`.
        if run == Run::Move && site.file.starts_with("sigbox.db") {
            continue;
        }
        // Another name in every run; its twin without the digest is written by the same code.
        if is_named_by_digest(&site.file) {
            continue;
        }
        for fault in site.faults() {
            let faults = (1..=*count).map(|nth| How::Fault(site.clone(), nth, fault));
            cases.extend(faults.map(|how| Case { run, how }));
        }
    }
    // Not a divisor of a page or a frame: limits fall on headers, pages and their edges. A move writes small files.
    let (step, end) = match run {
        Run::First => (8_209, largest),
        Run::Continue => (2_053, largest),
        Run::Move => (97, 8_192),
    };
    let limits = (0..end).step_by(step).map(How::Short);
    cases.extend(limits.map(|how| Case { run, how }));
    cases
}

/// Whether a target of the trust repository has its content's digest in its name (TUF §6.2, consistent snapshots).
fn is_named_by_digest(file: &str) -> bool {
    let name = file.strip_prefix("tuf/targets/").unwrap_or_default();
    let digest = name.split('.').next().unwrap_or_default();
    digest.len() == 64 && digest.chars().all(|c| c.is_ascii_hexdigit())
}

/// The first, middle and last case of each class, thinned to about the number wanted.
fn sample(cases: Vec<Case>) -> Vec<Case> {
    let mut classes: BTreeMap<_, Vec<Case>> = BTreeMap::new();
    for case in cases {
        classes.entry(case.class()).or_default().push(case);
    }
    let mut chosen = BTreeSet::new();
    for part in [2, 1, 3] {
        for class in classes.values() {
            if chosen.len() == SAMPLE {
                return chosen.into_iter().collect();
            }
            chosen.insert(class[(class.len() - 1) * (part - 1) / 2].clone());
        }
    }
    chosen.into_iter().collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn every_failing_system_call_loses_nothing() {
    // What the disk does is up to strace here, so a file system in memory will do.
    let memory = Path::new("/dev/shm");
    let folder = if memory.is_dir() {
        tempfile::tempdir_in(memory)
    } else {
        tempfile::tempdir()
    };
    let (folder, began) = (folder.unwrap(), Instant::now());
    let mut lanes = Vec::new();
    for lane in 0..LANES {
        lanes.push(Lane::new(folder.path().join(lane.to_string())).await);
    }
    let asked = std::env::var("SIGBOX_FAULTS").ok();
    let mut all = Vec::new();
    for run in Run::ALL {
        let (sites, largest) = lanes[0].discover(run).await;
        let cases = cases(run, &sites, largest);
        if asked.is_some() {
            say(&format!("{run:?}: {} cases", cases.len()));
        }
        all.extend(cases);
    }
    let total = all.len();
    all = match asked.as_deref() {
        None => sample(all),
        Some("all") => all,
        Some(count) => {
            let stride = total.div_ceil(count.parse().unwrap());
            all.into_iter().step_by(stride).collect()
        }
    };

    let queue = Arc::new(Mutex::new(all.into_iter()));
    let results = Arc::new(Mutex::new(Vec::new()));
    let workers: Vec<_> = lanes
        .into_iter()
        .map(|lane| {
            let (queue, results) = (Arc::clone(&queue), Arc::clone(&results));
            tokio::spawn(async move {
                loop {
                    let next = queue.lock().unwrap().next();
                    let Some(case) = next else { return };
                    let outcome = lane.run(&case).await;
                    if let Err(wrong) = &outcome {
                        say(&format!("FAILED {case:?}: {wrong}"));
                    }
                    let mut results = results.lock().unwrap();
                    results.push((case, outcome));
                    if results.len().is_multiple_of(250) {
                        say(&format!(
                            "{} cases, {} s",
                            results.len(),
                            began.elapsed().as_secs()
                        ));
                    }
                }
            })
        })
        .collect();
    for worker in workers {
        worker.await.unwrap();
    }
    let results = std::mem::take(&mut *results.lock().unwrap());
    report(&results, total, began.elapsed());
    let failed: Vec<_> = results.iter().filter(|(_, outcome)| outcome.is_err()).collect();
    assert!(failed.is_empty(), "{} cases failed: {failed:#?}", failed.len());
    let hit = results
        .iter()
        .filter(|(_, outcome)| outcome.as_ref().is_ok_and(|done| done.hit));
    assert!(hit.count() * 10 > results.len() * 9, "nearly every fault is met");
}

/// The counts, by system call and fault.
fn report(results: &[(Case, Result<Done, String>)], total: usize, took: Duration) {
    const FAULTS: [&str; 5] = ["EIO", "ENOSPC", "KILL", "LIE", "SHORT"];
    let mut table: BTreeMap<String, BTreeMap<String, usize>> = BTreeMap::new();
    let (mut hit, mut acknowledged, mut served, mut refused) = (0, 0, 0, BTreeMap::<&str, usize>::new());
    for (case, outcome) in results {
        let Ok(done) = outcome else { continue };
        let (call, fault) = case.kind();
        if done.hit {
            hit += 1;
            *table.entry(call).or_default().entry(fault).or_default() += 1;
        }
        acknowledged += done.acknowledged;
        served += usize::from(done.started);
        if let Some(words) = &done.refused {
            *refused.entry(words).or_default() += 1;
        }
    }
    let columns: String = FAULTS.iter().map(|fault| format!("{fault:>8}")).collect();
    say(&format!("{:<12}{columns}", "call"));
    for (call, counts) in &table {
        let cells: String = FAULTS
            .iter()
            .map(|fault| format!("{:>8}", counts.get(*fault).copied().unwrap_or_default()))
            .collect();
        say(&format!("{call:<12}{cells}"));
    }
    for (words, count) in &refused {
        say(&format!("a lying disk, found {count} times: {words}"));
    }
    let failed = results.iter().filter(|(_, outcome)| outcome.is_err()).count();
    say(&format!(
        "{} of {total} cases in {} s, {hit} faults met, {served} served in spite of it; {acknowledged} receipts given \
         meanwhile, each verified after a restart; failed {failed}: lost 0, forks 0, keys replaced 0 in the others",
        results.len(),
        took.as_secs()
    ));
}
