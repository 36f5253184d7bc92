//! The scripted workload of the failure matrix: two engines on one store that holds almost a full tile, two logs,
//! duplicates in flight and old ones, reads, a log that is closed and opened again, and restarts.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use common_tlog::leaf_hash;

use super::harness::*;
use crate::memory::{Contents, Fault, MemoryStorage};
use crate::{
    Anchor, AnchorError, Attachment, Engine, Entry, LogId, LogState, NoAnchor, OpenError, Options, Published,
    ReadError, Storage, StoreError, SubmitError,
};

/// Leaves of the log that is there from the beginning: the workload fills its first tile and goes on.
pub(super) const BEFORE: u64 = 254;
const TERM: &str = "email:a@example.com";
const ATTACHMENT: &str = "sha256:a";

/// What fails in one run.
#[derive(Clone, Debug, Default)]
pub(super) struct Case {
    /// Storage calls by number.
    pub(super) storage: Vec<(usize, Fault)>,
    /// A call to the anchor of one of the engines, by number.
    pub(super) anchor: Option<(usize, usize, Fault)>,
    /// Whether both engines are started anew once the first fault has come.
    pub(super) restart: bool,
}

#[derive(Clone)]
pub(super) enum Step {
    /// Starts an engine, or stops it and starts it again.
    Open(usize),
    Submit(usize, Vec<(LogId, Entry)>),
    Read(usize),
    State(usize, LogState),
}

/// What a caller was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Told {
    Done,
    Failed,
    Closed,
}

pub(super) struct StepReport {
    pub(super) step: Step,
    pub(super) calls: Range<usize>,
    pub(super) told: Vec<Told>,
}

/// What a run saw.
#[derive(Default)]
pub(super) struct Report {
    pub(super) calls: Vec<&'static str>,
    pub(super) anchor_calls: [usize; 2],
    pub(super) steps: Vec<StepReport>,
    /// The step in which the first fault came, and the number of the call with which its recovery was over.
    pub(super) struck: Option<(usize, usize)>,
    /// Whether all faults came.
    pub(super) complete: bool,
    pub(super) findings: Findings,
}

pub(super) fn script() -> Vec<Step> {
    let attached = |data: &'static str| Entry {
        terms: vec![TERM.to_owned()],
        attachments: vec![Attachment {
            key: ATTACHMENT.to_owned(),
            data: Bytes::from_static(data.as_bytes()),
        }],
        ..entry("a")
    };
    let entries = |of: &[(LogId, &str)]| of.iter().map(|(log, body)| (*log, entry(body))).collect();
    vec![
        Step::Open(0),
        Step::Open(1),
        // A duplicate in flight.
        Step::Submit(
            0,
            vec![
                (V1, attached("first")),
                (CT, entry("b")),
                (V1, attached("second")),
            ],
        ),
        // The second engine does not know of that batch: its compare-and-swap fails.
        Step::Submit(1, entries(&[(V1, "a"), (V1, "c"), (CT, "d"), (CT, "b")])),
        Step::Submit(0, entries(&[(V1, "e"), (CT, "b"), (V1, "f")])),
        Step::Read(0),
        // Proven from a full tile, which is read from the store.
        Step::Submit(1, entries(&[(V1, "old 3")])),
        Step::State(0, LogState::ReadOnly),
        Step::Submit(1, entries(&[(V1, "g"), (CT, "h")])),
        Step::Submit(0, entries(&[(CT, "i")])),
        Step::State(0, LogState::Active),
        Step::Submit(0, entries(&[(V1, "g"), (V1, "a")])),
        Step::Submit(1, entries(&[(CT, "k"), (CT, "b")])),
        Step::Submit(1, entries(&[(V1, "l"), (V1, "g")])),
        Step::Open(0),
        Step::Open(1),
    ]
}

/// Every entry of the script, once.
fn wanted() -> BTreeMap<(LogId, Bytes), Entry> {
    let submitted = script().into_iter().filter_map(|step| match step {
        Step::Submit(_, entries) => Some(entries),
        _ => None,
    });
    let entries = submitted.flatten();
    entries
        .map(|(log, entry)| ((log, entry.body.clone()), entry))
        .collect()
}

/// The store before the script.
fn prefilled() -> Contents {
    static CONTENTS: OnceLock<Contents> = OnceLock::new();
    let fill = || {
        run_paused(async {
            let storage = Arc::new(MemoryStorage::new());
            let logs = configs().into_iter().filter(|config| config.id == V1).collect();
            let millis = Arc::new(1_800_000_000_000.into());
            let engine = Engine::open(
                Arc::clone(&storage) as _,
                logs,
                Arc::new(NoAnchor),
                clock(&millis),
                Options::default(),
            );
            let engine = engine.await.unwrap();
            fill(&engine, V1, "old", BEFORE as usize).await;
            engine.shutdown().await;
            storage.contents()
        })
    };
    CONTENTS.get_or_init(fill).clone()
}

/// Runs with a clock that stands still until all wait for it.
pub(super) fn run_paused<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build();
    runtime.unwrap().block_on(work)
}

/// An anchor of which a call fails.
#[derive(Default)]
pub(super) struct FaultyAnchor {
    record: TestAnchor,
    calls: Mutex<usize>,
    fault: Mutex<Option<(usize, Fault)>>,
}

impl FaultyAnchor {
    fn call(&self) -> Option<Fault> {
        let mut calls = self.calls.lock().unwrap();
        *calls += 1;
        let fault = self.fault.lock().unwrap().take_if(|(at, _)| *at == *calls - 1);
        Some(fault?.1)
    }
}

fn injected() -> AnchorError {
    AnchorError {
        path: "anchor".to_owned(),
        reason: "injected".to_owned(),
    }
}

#[async_trait]
impl Anchor for FaultyAnchor {
    async fn load(&self) -> Result<Vec<Published>, AnchorError> {
        match self.call() {
            None => self.record.load().await,
            Some(_) => Err(injected()),
        }
    }

    async fn advance(&self, heads: &[Published]) -> Result<(), AnchorError> {
        match self.call() {
            None => self.record.advance(heads).await,
            Some(Fault::Fails) => Err(injected()),
            Some(_) => {
                self.record.advance(heads).await?;
                Err(injected())
            }
        }
    }
}

/// Two engines, their store and what they have promised.
struct World {
    /// What the engines use: the memory, or a wrapper that breaks an obligation.
    store: Arc<dyn Storage>,
    memory: Arc<MemoryStorage>,
    anchors: [Arc<FaultyAnchor>; 2],
    engines: [Option<Engine>; 2],
    promises: Promises,
}

/// Runs the script with the faults of `case` on the memory as `wrap` shows it, and audits all that was promised.
pub(super) fn run(case: &Case, wrap: fn(Arc<MemoryStorage>) -> Arc<dyn Storage>) -> Report {
    let contents = prefilled();
    run_paused(async move {
        let memory = Arc::new(MemoryStorage::with_contents(contents));
        for (call, fault) in &case.storage {
            memory.fail(*call, *fault);
        }
        let anchors = [Arc::default(), Arc::<FaultyAnchor>::default()];
        if let Some((engine, call, fault)) = case.anchor {
            *anchors[engine].fault.lock().unwrap() = Some((call, fault));
        }
        let mut world = World {
            store: wrap(Arc::clone(&memory)),
            memory,
            anchors,
            engines: [None, None],
            promises: Promises::default(),
        };
        let mut report = Report::default();
        if let Err(stuck) = world.play(case.restart, &mut report).await {
            report.findings.broken.push(stuck);
        }
        report
    })
}

impl World {
    async fn play(&mut self, restart: bool, report: &mut Report) -> Result<(), String> {
        let result = self.play_script(restart, report).await;
        report.calls = self.memory.calls();
        report.anchor_calls = [0, 1].map(|engine| *self.anchors[engine].calls.lock().unwrap());
        result?;
        self.all_get_in().await?;
        report.complete = self.faults_left() == 0;
        self.memory.heal();
        let engines = [self.engine(0)?, self.engine(1)?];
        // The other one is held to the same heads.
        report.findings = self.promises.examine(&engines[0], &self.memory).await;
        self.check_sizes(&engines, report);
        for engine in &engines {
            engine.shutdown().await;
        }
        self.check_anchors(report).await
    }

    async fn play_script(&mut self, restart: bool, report: &mut Report) -> Result<(), String> {
        for (number, step) in script().into_iter().enumerate() {
            let (first, left) = (self.memory.calls().len(), self.faults_left());
            let told = self.step(&step).await?;
            let struck = report.struck.is_none() && self.faults_left() < left;
            if struck && restart {
                for engine in [0, 1] {
                    if self.engines[engine].is_some() {
                        self.open(engine).await?;
                    }
                }
            }
            self.settle().await?;
            let last = self.memory.calls().len();
            if struck {
                report.struck = Some((number, last));
            }
            let calls = first..last;
            report.steps.push(StepReport { step, calls, told });
        }
        Ok(())
    }

    fn faults_left(&self) -> usize {
        let anchors = self.anchors.iter();
        let waiting = anchors.filter(|anchor| anchor.fault.lock().unwrap().is_some());
        self.memory.faults_left() + waiting.count()
    }

    fn engine(&self, number: usize) -> Result<Engine, String> {
        self.engines[number].clone().ok_or_else(|| "no engine".to_owned())
    }

    async fn step(&mut self, step: &Step) -> Result<Vec<Told>, String> {
        match step {
            Step::Open(engine) => self.open(*engine).await,
            Step::Submit(engine, entries) => {
                let engine = self.engine(*engine)?;
                let answers = submit_all(&engine, entries.clone()).await;
                let answers = answers.into_iter().map(|answer| match answer {
                    Ok(outcome) => {
                        self.promises.receipt(outcome.receipt());
                        Ok(Told::Done)
                    }
                    Err(SubmitError::Unavailable) => Ok(Told::Failed),
                    Err(SubmitError::ReadOnly) => Ok(Told::Closed),
                    Err(error) => Err(error.to_string()),
                });
                answers.collect()
            }
            Step::Read(engine) => self.read(*engine).await,
            Step::State(engine, state) => self.set_state(*engine, *state).await,
        }
    }

    /// Starts an engine, however often it takes; every refusal must be an injected one.
    async fn open(&mut self, number: usize) -> Result<Vec<Told>, String> {
        if let Some(engine) = self.engines[number].take() {
            engine.shutdown().await;
        }
        let mut told = Vec::new();
        for _ in 0..8 {
            let options = Options {
                threads: 1,
                ..Options::default()
            };
            let anchor = Arc::clone(&self.anchors[number]);
            match open_with(Arc::clone(&self.store), anchor, options).await {
                Ok(engine) => {
                    for (log, head) in engine
                        .logs()
                        .iter()
                        .filter_map(|log| Some((log.id, engine.head(log.id)?)))
                    {
                        self.promises.head(log, &head);
                    }
                    self.engines[number] = Some(engine);
                    told.push(Told::Done);
                    return Ok(told);
                }
                // A creation that was still on its way came first.
                Err(OpenError::Race(_)) => told.push(Told::Failed),
                Err(error) if error.to_string().contains("injected") => told.push(Told::Failed),
                Err(error) => return Err(format!("the engine does not start: {error}")),
            }
        }
        Err("the engine does not start any more".to_owned())
    }

    async fn set_state(&mut self, number: usize, state: LogState) -> Result<Vec<Told>, String> {
        let (engine, mut told) = (self.engine(number)?, Vec::new());
        for _ in 0..8 {
            if engine.set_state(V1, state).await.is_ok() {
                told.push(Told::Done);
                return Ok(told);
            }
            told.push(Told::Failed);
        }
        Err("the state of the log cannot be changed any more".to_owned())
    }

    /// Every kind of read: right, or an error.
    async fn read(&mut self, number: usize) -> Result<Vec<Told>, String> {
        let engine = self.engine(number)?;
        let head = engine.head(V1).ok_or("no head")?;
        let old = leaf_hash(b"old 3");
        let mut told = Vec::new();
        let mut see = |what: &str, answer: Result<bool, ReadError>| match answer {
            Ok(true) => {
                told.push(Told::Done);
                Ok(())
            }
            Err(ReadError::Store(StoreError::Storage(_))) => {
                told.push(Told::Failed);
                Ok(())
            }
            other => Err(format!("a wrong answer to a read of {what}: {other:?}")),
        };
        see(
            "a leaf",
            engine
                .leaf(V1, 3)
                .await
                .map(|leaf| leaf.is_some_and(|leaf| leaf.index == 3)),
        )?;
        let leaves = engine.leaves(V1, 0, 300).await;
        see("leaves", leaves.map(|leaves| leaves.len() as u64 == head.size))?;
        let found = engine.find_leaf(V1, &old).await;
        see(
            "a hash",
            found.map(|leaf| leaf.is_some_and(|leaf| leaf_hash(&leaf.data) == old)),
        )?;
        see(
            "a proof",
            engine
                .inclusion_proof(V1, 3, head.size)
                .await
                .map(|proof| !proof.is_empty()),
        )?;
        see(
            "a proof",
            engine
                .consistency_proof(V1, 100, head.size)
                .await
                .map(|proof| !proof.is_empty()),
        )?;
        let tile = engine.tile(V1, 0, 0, 100).await;
        see(
            "a tile",
            tile.map(|tile| tile.is_some_and(|tile| tile.len() == 3_200)),
        )?;
        // The entry with term and attachment may have been refused: then there is neither.
        let logged = self.memory.contents().attachments.contains_key(ATTACHMENT);
        see(
            "a term",
            engine.search(TERM, 9).await.map(|found| found.len() <= 1),
        )?;
        let data = engine.attachment(ATTACHMENT).await;
        see(
            "an attachment",
            data.map(|data| data.as_deref() == logged.then_some(b"first")),
        )?;
        Ok(told)
    }

    /// Waits until no engine recovers any more. Every reload makes a call, and no case has faults for so many.
    async fn settle(&self) -> Result<(), String> {
        let (start, calls) = (Instant::now(), self.memory.calls().len());
        while self.engines.iter().flatten().any(|engine| !engine.is_writable()) {
            if self.memory.calls().len() > calls + 500 || start.elapsed() > Duration::from_secs(60) {
                return Err("an engine does not recover".to_owned());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(())
    }

    /// Clients that were refused try again, at both engines, and all get in.
    async fn all_get_in(&mut self) -> Result<(), String> {
        for number in [0, 1] {
            self.set_state(number, LogState::Active).await?;
            let engine = self.engine(number)?;
            for ((log, _), entry) in wanted() {
                let mut answer = engine.submit(log, entry.clone()).await;
                for _ in 0..4 {
                    if answer.is_err() {
                        self.settle().await?;
                        answer = engine.submit(log, entry.clone()).await;
                    }
                }
                let outcome = answer.map_err(|error| format!("no progress: {error}"))?;
                self.promises.receipt(outcome.receipt());
            }
        }
        self.settle().await
    }

    fn check_sizes(&self, engines: &[Engine; 2], report: &mut Report) {
        let new = wanted().into_keys().filter(|(_, body)| !body.starts_with(b"old"));
        let logs: Vec<LogId> = new.map(|(log, _)| log).collect();
        for log in BTreeSet::from_iter(logs.iter().copied()) {
            let new = logs.iter().filter(|of| **of == log).count() as u64;
            let expected = if log == V1 { BEFORE + new } else { new };
            let heads = engines.each_ref().map(|engine| engine.head(log));
            if heads[0] != heads[1] || heads[0].as_ref().is_none_or(|head| head.size != expected) {
                let wrong = format!("log {log}: the heads are {heads:?}, expected size {expected}");
                report.findings.broken.push(wrong);
            }
        }
    }

    /// The anchors never ran ahead: a start on this store is allowed by each, and finds all that was logged.
    async fn check_anchors(&mut self, report: &mut Report) -> Result<(), String> {
        let contents = self.memory.contents();
        for anchor in &self.anchors {
            let records = anchor.record.load().await.map_err(|error| error.to_string())?;
            for published in records {
                let row = contents
                    .logs
                    .values()
                    .find(|log| log.info.spec.origin == published.origin);
                if row.is_none_or(|log| log.head.size < published.size) {
                    let lost = format!("the anchor has {published:?}, the store has not");
                    report.findings.lost.push(lost);
                }
            }
        }
        Ok(())
    }
}
