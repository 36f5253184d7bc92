//! The model's schedules on the real engine: two engines on one store, of which every storage call waits until a
//! scheduler lets it pass, fail, fail and be applied, or fail and arrive later; crashes and restarts in between. The
//! seed decides everything, so that a schedule that fails can be run again: `SIGBOX_SEED=n`.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use common_tlog::TileId;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use super::harness::*;
use super::workload::run_paused;
use crate::memory::MemoryStorage;
use crate::{
    Attachment, Batch, Commit, Engine, IndexKey, IndexSecret, LogId, LogState, OpenError, Options, Outcome,
    Place, Storage, StorageError, StoredLeaf, StoredLog, SubmitError,
};

/// What the scheduler does with a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Passes,
    Fails,
    /// For a commit.
    FailsButApplied,
    /// For a commit: it is kept, to be applied whenever the scheduler likes.
    Late,
    /// For the reading of the log rows: they are seen as they once were.
    Stale,
}

struct Request {
    engine: usize,
    /// Which start of that engine made it.
    life: u64,
    name: &'static str,
    batch: Option<Batch>,
    reply: oneshot::Sender<Verdict>,
}

/// One engine's way to the store. Public reads pass at once.
struct Gate {
    inner: Arc<MemoryStorage>,
    /// The log rows after each commit.
    rows: Arc<Mutex<Vec<Vec<StoredLog>>>>,
    engine: usize,
    life: u64,
    gated: bool,
    requests: mpsc::UnboundedSender<Request>,
}

impl Gate {
    async fn ask(&self, name: &'static str, batch: Option<&Batch>) -> Verdict {
        if !self.gated {
            return Verdict::Passes;
        }
        let (reply, verdict) = oneshot::channel();
        let request = Request {
            engine: self.engine,
            life: self.life,
            name,
            batch: batch.cloned(),
            reply,
        };
        let _ = self.requests.send(request);
        match verdict.await {
            Ok(verdict) => verdict,
            // The process is dead: nothing that it does comes any further.
            Err(_) => std::future::pending().await,
        }
    }

    async fn read(&self, name: &'static str) -> Result<(), StorageError> {
        match self.ask(name, None).await {
            Verdict::Passes | Verdict::Stale => Ok(()),
            _ => Err(StorageError::new("injected")),
        }
    }

    async fn apply(&self, batch: &Batch) -> Result<Commit, StorageError> {
        apply(&self.inner, &self.rows, batch).await
    }
}

async fn apply(
    store: &MemoryStorage,
    rows: &Mutex<Vec<Vec<StoredLog>>>,
    batch: &Batch,
) -> Result<Commit, StorageError> {
    let outcome = store.commit(batch).await;
    let now = store.logs().await?;
    rows.lock().unwrap().push(now);
    outcome
}

#[async_trait]
impl Storage for Gate {
    fn reserved(self: Arc<Self>) -> Arc<dyn Storage> {
        Arc::new(Self {
            inner: Arc::clone(&self.inner),
            rows: Arc::clone(&self.rows),
            requests: self.requests.clone(),
            gated: true,
            ..*self
        })
    }

    async fn secret(&self) -> Result<IndexSecret, StorageError> {
        self.read("secret").await?;
        self.inner.secret().await
    }

    async fn logs(&self) -> Result<Vec<StoredLog>, StorageError> {
        match self.ask("logs", None).await {
            Verdict::Stale => {
                let rows = self.rows.lock().unwrap();
                Ok(rows[rows.len() / 2].clone())
            }
            Verdict::Passes => self.inner.logs().await,
            _ => Err(StorageError::new("injected")),
        }
    }

    async fn create_log(&self, log: &StoredLog) -> Result<Commit, StorageError> {
        self.inner.create_log(log).await
    }

    async fn set_state(&self, log: LogId, state: LogState) -> Result<Commit, StorageError> {
        self.inner.set_state(log, state).await
    }

    async fn commit(&self, batch: &Batch) -> Result<Commit, StorageError> {
        match self.ask("commit", Some(batch)).await {
            Verdict::Passes => return self.apply(batch).await,
            Verdict::FailsButApplied => drop(self.apply(batch).await),
            Verdict::Fails | Verdict::Late | Verdict::Stale => {}
        }
        Err(StorageError::new("injected"))
    }

    async fn probe(&self) -> Result<(), StorageError> {
        self.read("probe").await
    }

    async fn leaves(&self, log: LogId, start: u64, count: u32) -> Result<Vec<StoredLeaf>, StorageError> {
        self.read("leaves").await?;
        self.inner.leaves(log, start, count).await
    }

    async fn leaves_at(&self, places: &[Place]) -> Result<Vec<Option<StoredLeaf>>, StorageError> {
        self.read("leaves_at").await?;
        self.inner.leaves_at(places).await
    }

    async fn tiles(&self, log: LogId, tiles: &[TileId]) -> Result<Vec<Option<Bytes>>, StorageError> {
        self.read("tiles").await?;
        self.inner.tiles(log, tiles).await
    }

    async fn find(&self, keys: &[IndexKey], limit: u32) -> Result<Vec<(IndexKey, Place)>, StorageError> {
        self.read("find").await?;
        self.inner.find(keys, limit).await
    }

    async fn find_below(
        &self,
        key: IndexKey,
        log: LogId,
        below: u64,
        limit: u32,
    ) -> Result<Vec<u64>, StorageError> {
        self.inner.find_below(key, log, below, limit).await
    }

    async fn attachment(&self, key: &str) -> Result<Option<Bytes>, StorageError> {
        self.inner.attachment(key).await
    }

    async fn index_rows(
        &self,
        after: Option<(IndexKey, Place)>,
        limit: u32,
    ) -> Result<Vec<(IndexKey, Place)>, StorageError> {
        self.inner.index_rows(after, limit).await
    }

    async fn attachments(&self, after: Option<&str>, limit: u32) -> Result<Vec<Attachment>, StorageError> {
        self.inner.attachments(after, limit).await
    }
}

/// splitmix64.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % limit as u64) as usize
    }

    fn once_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }
}

#[derive(Default)]
struct Process {
    engine: Option<Engine>,
    opening: Option<JoinHandle<Result<Engine, OpenError>>>,
    life: u64,
    submitted: Vec<JoinHandle<Result<Outcome, SubmitError>>>,
}

struct Scheduler {
    random: Random,
    store: Arc<MemoryStorage>,
    rows: Arc<Mutex<Vec<Vec<StoredLog>>>>,
    anchor: Arc<TestAnchor>,
    processes: [Process; 2],
    requests: mpsc::UnboundedReceiver<Request>,
    sender: mpsc::UnboundedSender<Request>,
    waiting: Vec<Request>,
    late: Vec<Batch>,
    faults: usize,
    /// What was done, for whoever looks for the reason of a failure.
    trace: Vec<String>,
    promises: Promises,
    seen: BTreeMap<&'static str, usize>,
}

const ENTRIES: [(LogId, &str); 5] = [(V1, "x"), (CT, "x"), (V1, "y"), (V1, "z"), (CT, "z")];

impl Scheduler {
    async fn new(seed: u64) -> Self {
        let store = Arc::new(MemoryStorage::new());
        open(&store).await.shutdown().await;
        let rows = Arc::new(Mutex::new(vec![store.logs().await.unwrap()]));
        let (sender, requests) = mpsc::unbounded_channel();
        Self {
            random: Random(seed),
            store,
            rows,
            anchor: Arc::default(),
            processes: Default::default(),
            requests,
            sender,
            waiting: Vec::new(),
            late: Vec::new(),
            faults: 6,
            trace: Vec::new(),
            promises: Promises::default(),
            seen: BTreeMap::new(),
        }
    }

    fn note(&mut self, what: &'static str, who: usize) {
        *self.seen.entry(what).or_default() += 1;
        self.trace.push(format!("{what} ({who})"));
    }

    /// Waits until every engine either waits for a storage call or has nothing to do.
    async fn settle(&mut self) {
        loop {
            while let Ok(request) = self.requests.try_recv() {
                if request.life == self.processes[request.engine].life {
                    self.waiting.push(request);
                }
            }
            self.collect().await;
            let busy = self.processes.iter().enumerate().any(|(number, process)| {
                let works = process.opening.is_some()
                    || !process.submitted.is_empty()
                    || process
                        .engine
                        .as_ref()
                        .is_some_and(|engine| !engine.is_writable());
                works && !self.waiting.iter().any(|request| request.engine == number)
            });
            if !busy {
                return self.look();
            }
            // Lets the engines' threads work, and time pass for one that waits to try again.
            std::thread::yield_now();
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Takes what has been answered, and engines that have started.
    async fn collect(&mut self) {
        for number in 0..2 {
            let process = &mut self.processes[number];
            if let Some(opening) = process.opening.take_if(|opening| opening.is_finished()) {
                match opening.await.unwrap() {
                    Ok(engine) => process.engine = Some(engine),
                    // An injected failure, or a stale read that the anchor gives away.
                    Err(error) => self.trace.push(format!("refused to start: {error}")),
                }
            }
            let process = &mut self.processes[number];
            let (done, open): (Vec<_>, Vec<_>) = std::mem::take(&mut process.submitted)
                .into_iter()
                .partition(JoinHandle::is_finished);
            process.submitted = open;
            for answer in done {
                match answer.await.unwrap() {
                    Ok(outcome) => self.promises.receipt(outcome.receipt()),
                    Err(SubmitError::Unavailable) => {}
                    Err(other) => panic!("{other}: {:?}", self.trace),
                }
            }
        }
    }

    /// What readers see now.
    fn look(&mut self) {
        for engine in self
            .processes
            .iter()
            .filter_map(|process| process.engine.as_ref())
        {
            for log in [V1, CT] {
                let head = engine.head(log).unwrap();
                self.promises.head(log, &head);
            }
        }
    }

    fn start(&mut self, number: usize) {
        let process = &mut self.processes[number];
        process.life += 1;
        let gate = Arc::new(Gate {
            inner: Arc::clone(&self.store),
            rows: Arc::clone(&self.rows),
            engine: number,
            life: process.life,
            gated: false,
            requests: self.sender.clone(),
        });
        let anchor = Arc::clone(&self.anchor);
        let options = Options {
            threads: 1,
            ..Options::default()
        };
        process.opening = Some(tokio::spawn(
            async move { open_with(gate, anchor, options).await },
        ));
        self.note("start", number);
    }

    fn submit(&mut self, number: usize, (log, body): (LogId, &'static str)) {
        if let Some(engine) = self.processes[number].engine.clone() {
            let task = tokio::spawn(async move { engine.submit(log, entry(body)).await });
            self.processes[number].submitted.push(task);
            self.note("submit", number);
        }
    }

    /// Kills a process. A commit on its way may be applied, or later, or never.
    async fn crash(&mut self, number: usize) {
        self.note("crash", number);
        let process = &mut self.processes[number];
        process.life += 1;
        process.engine = None;
        if let Some(opening) = process.opening.take() {
            opening.abort();
        }
        process.submitted.drain(..).for_each(|task| task.abort());
        let (dead, alive) = std::mem::take(&mut self.waiting)
            .into_iter()
            .partition(|r| r.engine == number);
        self.waiting = alive;
        let dead: Vec<Request> = dead;
        for batch in dead.into_iter().filter_map(|request| request.batch) {
            match self.random.below(3) {
                0 => drop(apply(&self.store, &self.rows, &batch).await),
                1 => self.late.push(batch),
                _ => {}
            }
        }
    }

    fn decide(&mut self, at: usize, verdict: Verdict) {
        let request = self.waiting.remove(at);
        let name = match (verdict, request.name) {
            (Verdict::Passes, "commit") => "commit",
            (Verdict::Passes, _) => "read",
            (Verdict::Fails, "commit") => "commit fails",
            (Verdict::Fails, _) => "read fails",
            (Verdict::FailsButApplied, _) => "commit fails and is applied",
            (Verdict::Late, _) => "commit fails and is late",
            (Verdict::Stale, _) => "stale read",
        };
        self.note(name, request.engine);
        if verdict == Verdict::Late {
            self.late.extend(request.batch);
        }
        let _ = request.reply.send(verdict);
    }

    /// One step of the schedule.
    async fn step(&mut self) {
        self.settle().await;
        let number = self.random.below(2);
        let down = self.processes[number].engine.is_none() && self.processes[number].opening.is_none();
        if down && self.random.once_in(2) {
            return self.start(number);
        }
        if self.faults > 0 && !down && self.random.once_in(50) {
            self.faults -= 1;
            return self.crash(number).await;
        }
        if !self.late.is_empty() && self.random.once_in(5) {
            let at = self.random.below(self.late.len());
            let batch = self.late.remove(at);
            self.note("late commit arrives", 2);
            drop(apply(&self.store, &self.rows, &batch).await);
            return;
        }
        if !self.waiting.is_empty() && !self.random.once_in(4) {
            let at = self.random.below(self.waiting.len());
            let often = if self.waiting[at].name == "commit" { 2 } else { 20 };
            let fails = self.faults > 0 && self.random.once_in(often);
            let verdict = match (fails, self.waiting[at].name) {
                (false, _) => Verdict::Passes,
                (true, "commit") => {
                    [Verdict::Fails, Verdict::FailsButApplied, Verdict::Late][self.random.below(3)]
                }
                (true, "logs") => [Verdict::Fails, Verdict::Stale][self.random.below(2)],
                (true, _) => Verdict::Fails,
            };
            self.faults -= usize::from(fails);
            return self.decide(at, verdict);
        }
        let entry = ENTRIES[self.random.below(ENTRIES.len())];
        self.submit(number, entry);
    }

    /// Without another fault, everything that waits is answered.
    async fn drain(&mut self) {
        for _ in 0..2_000 {
            self.settle().await;
            if self.waiting.is_empty() {
                return;
            }
            self.decide(0, Verdict::Passes);
        }
        panic!("no progress: {:?}", self.trace);
    }

    async fn finish(mut self) -> (Findings, BTreeMap<&'static str, usize>) {
        self.drain().await;
        if self.random.once_in(2) {
            self.late.clear();
        }
        for batch in std::mem::take(&mut self.late) {
            drop(apply(&self.store, &self.rows, &batch).await);
        }
        for number in [0, 1] {
            if self.processes[number].engine.is_none() {
                self.start(number);
                self.drain().await;
            }
            // Clients try again until they are served.
            for entry in ENTRIES.into_iter().chain(ENTRIES) {
                self.submit(number, entry);
                self.drain().await;
            }
        }
        let engine = self.processes[1]
            .engine
            .clone()
            .expect("it starts without a fault");
        let mut findings = self.promises.examine(&engine, &self.store).await;
        let sizes = [V1, CT].map(|log| engine.head(log).unwrap().size);
        if sizes != [3, 2] {
            findings.broken.push(format!("sizes {sizes:?}"));
        }
        if !findings.faults().is_empty() {
            panic!("{findings:#?}: {:#?}", self.trace);
        }
        (findings, self.seen)
    }
}

fn schedule(seed: u64) -> (Findings, BTreeMap<&'static str, usize>) {
    run_paused(async {
        let mut scheduler = Scheduler::new(seed).await;
        for _ in 0..80 {
            scheduler.step().await;
        }
        scheduler.finish().await
    })
}

/// Seed 10 once found that a reload took the very same leaf, logged by the other engine at the same moment, for half
/// a commit, and never came back.
#[test]
fn two_engines_keep_their_promises_under_every_schedule() {
    if let Ok(seed) = std::env::var("SIGBOX_SEED") {
        schedule(seed.parse().unwrap());
        return;
    }
    let all = std::env::var("SIGBOX_FAULTS").is_ok_and(|value| value == "all");
    let schedules = if all { 20_000 } else { 1_000 };
    let (next, total) = (
        AtomicUsize::new(0),
        Mutex::new((Findings::default(), BTreeMap::new())),
    );
    let failed = AtomicU64::new(u64::MAX);
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(2, usize::from) {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed) as u64;
                    if seed >= schedules {
                        return;
                    }
                    let Ok((found, seen)) = std::panic::catch_unwind(|| schedule(seed)) else {
                        failed.fetch_min(seed, Ordering::Relaxed);
                        return;
                    };
                    let mut total = total.lock().unwrap();
                    total.0.merge(found);
                    for (what, count) in seen {
                        *total.1.entry(what).or_insert(0usize) += count;
                    }
                }
            });
        }
    });
    assert_eq!(
        failed.load(Ordering::Relaxed),
        u64::MAX,
        "the first seed that failed"
    );
    let (found, seen) = total.into_inner().unwrap();
    println!(
        "interleave: {schedules} schedules, {} receipts verified, {} checkpoints compared, lost {}, forks {}; {seen:?}",
        found.receipts,
        found.checkpoints,
        found.lost.len(),
        found.forks.len()
    );
    assert_eq!(seen.len(), 11, "every kind of step was taken");
}
