//! One look at all logs, and the next.

use std::collections::{BTreeSet, HashMap};
use std::time::{Duration, Instant};

use common_bundle::trust::Timestamp;
use common_tlog::compact::CompactRange;
use rekor_monitor::{FollowError, Found, Inconsistent, advance, extends, join};
use serde_json::json;

use super::deliver::Delivery;
use super::event::{Event, Kind, log_json, log_text};
use super::examine::Examiner;
use super::state::{Place, State, StateError, key_of, log_id};
use super::subject::{Present, Subject};
use super::{Begin, MonitorArgs};
use crate::clock::{self, Clock};
use crate::console::{self, Console};
use crate::exit::Failure;
use crate::up::signal::Stop;

/// How long one log is read at one look before the next one's turn.
const AT_ONCE: Duration = Duration::from_secs(30);

/// What came of one look.
#[derive(Default)]
pub(super) struct Pass {
    /// Entries that are watched for and not expected.
    pub(super) unexpected: u64,
    /// Logs that are not what they were.
    pub(super) inconsistent: Vec<String>,
    /// What could not be looked at.
    pub(super) troubles: Vec<String>,
    /// Each log, and how far it was read.
    logs: Vec<serde_json::Value>,
    /// What could not be looked at, by a name that stays, with the reason.
    silent: HashMap<String, String>,
}

/// How far a log was followed.
#[derive(PartialEq, Eq)]
enum Followed {
    /// To its head, or as far as it can be now.
    Wholly,
    /// There is more, and its time was over.
    Partly,
}

/// Since when something is silent.
struct Silence {
    since: Instant,
    told: bool,
}

/// What goes on between looks.
pub(super) struct Monitor {
    subject: Subject,
    examiner: Examiner,
    state: State,
    delivery: Delivery,
    console: Console,
    clock: Clock,
    /// When it began: the time, should the clock fall behind 1970.
    began: Timestamp,
    once: bool,
    from: Begin,
    every: Duration,
    silent_after: Duration,
    alive: Duration,
    silences: HashMap<String, Silence>,
    last_alive: Option<Instant>,
}

impl Monitor {
    pub(super) fn new(
        args: &MonitorArgs,
        examiner: Examiner,
        state: State,
        delivery: Delivery,
        console: Console,
    ) -> Result<Monitor, Failure> {
        let clock = clock::system();
        let began = Timestamp::from_system_time(clock());
        let began = began.ok_or_else(|| Failure::failed("the clock is before 1970"))?;
        let seconds = |seconds: u32| Duration::from_secs(seconds.into());
        Ok(Monitor {
            subject: Subject::new(args),
            examiner,
            state,
            delivery,
            console,
            clock,
            began,
            once: args.once,
            from: args.from,
            every: seconds(args.every),
            silent_after: seconds(args.silent_after),
            alive: seconds(args.alive),
            silences: HashMap::new(),
            last_alive: None,
        })
    }

    /// Looks until it is time to stop, or once; gives the last look.
    pub(super) async fn run(&mut self, stop: &Stop) -> Result<Pass, StateError> {
        loop {
            let pass = self.look(stop).await?;
            if self.once || stop.is_asked() {
                return Ok(pass);
            }
            tokio::select! {
                () = tokio::time::sleep(self.every) => {}
                () = stop.wait() => return Ok(pass),
            }
        }
    }

    fn now(&self) -> Timestamp {
        Timestamp::from_system_time((self.clock)()).unwrap_or(self.began)
    }

    async fn look(&mut self, stop: &Stop) -> Result<Pass, StateError> {
        let mut pass = Pass::default();
        let Present {
            mut logs,
            keys,
            silent,
        } = self.subject.find((self.clock)()).await;
        pass.silent = silent;
        self.state.begin(&keys)?;
        self.miss(&logs, &keys, &mut pass)?;
        let present: Vec<(String, String)> = logs.iter().map(|log| (key_of(log), log_id(log))).collect();
        // Each log has its time, so that none starves the others by being large, slow or endless.
        loop {
            let mut unread = Vec::new();
            for found in logs {
                if stop.is_asked() {
                    return Ok(pass);
                }
                if self.follow(&found, &mut pass, stop).await? == Followed::Partly {
                    unread.push(found);
                }
                self.tell(&mut pass).await?;
            }
            if !self.once || unread.is_empty() {
                break;
            }
            logs = unread;
        }
        self.state.enter(&present)?;
        if pass.silent.is_empty() {
            let unused = self.examiner.overdue(self.now());
            pass.unexpected = pass.unexpected.saturating_add(unused.len() as u64);
            self.state.add(unused)?;
        }
        if self.examiner.is_full() {
            let reason = "too many wait for their entries; more are not remembered".to_owned();
            pass.silent.insert("certificates".to_owned(), reason);
        }
        self.examiner.keep(&self.state)?;
        self.notice_silence(&mut pass)?;
        self.be_alive(&pass)?;
        self.tell(&mut pass).await?;
        metrics::gauge!("sigbox_monitor_look_time_seconds").set(now_metric(self.now()));
        Ok(pass)
    }

    /// Tells that all is well, when it is time.
    fn be_alive(&mut self, pass: &Pass) -> Result<(), StateError> {
        let due = self.last_alive.is_none_or(|last| last.elapsed() >= self.alive);
        let well = pass.silent.is_empty() && pass.inconsistent.is_empty();
        if self.once || self.alive.is_zero() || !due || !well {
            return Ok(());
        }
        self.last_alive = Some(Instant::now());
        let text = format!(
            "{} logs are consistent and were read to their ends",
            pass.logs.len()
        );
        let (now, data) = (self.now(), json!({ "logs": pass.logs }));
        let event = Event::new(Kind::Alive, now, &now.to_string(), &text, data);
        self.state.add(vec![event])
    }

    /// A log does not escape its past under another name, or by leaving the trust: what was followed must be there.
    fn miss(&self, logs: &[Found], keys: &BTreeSet<String>, pass: &mut Pass) -> Result<(), StateError> {
        if keys.is_empty() {
            // Without trust nothing is there, and that is told.
            return Ok(());
        }
        for place in self.state.places()? {
            if logs.iter().any(|log| log_id(log) == place.log_id()) {
                continue;
            }
            let reason = match keys.contains(&place.key) {
                true => format!("nothing at {} has its name and its key any more", place.url),
                // Several logs, each by itself, may be watched from one folder.
                false if self.subject.is_one_log() => continue,
                false => "its key is not trusted any more".to_owned(),
            };
            pass.silent.insert(format!("the log {:?}", place.origin), reason);
        }
        Ok(())
    }

    /// Follows one log to its head, or as far as it gets in its time.
    async fn follow(&mut self, found: &Found, pass: &mut Pass, stop: &Stop) -> Result<Followed, StateError> {
        let log = log_id(found);
        let (mut suspected, mut is_kept) = (None, false);
        let mut tree = match self.state.place(&log)? {
            Some(place) => {
                if let Some(message) = place.inconsistent {
                    mark(found, true);
                    pass.inconsistent.push(message);
                    return Ok(Followed::Wholly);
                }
                let root = self.state.root(&log, &place.head)?;
                if let Err(error) = extends(&found.log, place.head.size, root, &found.head).await {
                    return self.failed(found, error, pass);
                }
                is_kept = place.head.size == found.head.size;
                suspected.clone_from(&place.suspected);
                self.state.tree(&log, &place)?
            }
            None if self.state.has_all_logs()? => {
                let reason = "too many logs are followed to follow another one".to_owned();
                pass.silent.insert(log_text(found), reason);
                return Ok(Followed::Wholly);
            }
            None => match self.enter(found).await? {
                Ok(tree) => tree,
                Err(error) => return self.failed(found, error, pass),
            },
        };
        // Kept before anything is read: whatever the log shows next must go on from it.
        if !is_kept {
            self.state
                .keep(&log, &Place::new(found, &tree).suspected(suspected.clone()))?;
        }
        let (began, first) = (Instant::now(), tree.size());
        while tree.size() < found.head.size {
            if self.state.is_full() {
                let reason = "too many events wait to be taken".to_owned();
                pass.silent.insert(log_text(found), reason);
                return Ok(Followed::Wholly);
            }
            if stop.is_asked() || began.elapsed() >= AT_ONCE {
                let reason = format!("{} of {} entries were read so far", tree.size(), found.head.size);
                if !self.once {
                    pass.silent.insert(log_text(found), reason);
                }
                return Ok(Followed::Partly);
            }
            let step = match advance(&found.log, &tree, &found.head).await {
                Ok(step) => step,
                Err(error) => return self.failed(found, error, pass),
            };
            let examined = self.examiner.examine(found, &step, self.now());
            pass.unexpected = pass.unexpected.saturating_add(examined.unexpected);
            self.state.add(examined.events)?;
            self.examiner.keep(&self.state)?;
            let place = Place::new(found, &step.tree).suspected(suspected.clone());
            self.state.keep(&log, &place)?;
            tree = step.tree;
        }
        if let Err(error) = advance(&found.log, &tree, &found.head).await {
            return self.failed(found, error, pass);
        }
        if suspected.is_some() {
            self.state.keep(&log, &Place::new(found, &tree))?;
            let (now, text) = (self.now(), format!("{} is consistent again", log_text(found)));
            let data = json!({ "log": log_json(found) });
            let event = Event::new(Kind::Back, now, &format!("{log}\n{now}"), &text, data);
            self.state.add(vec![event])?;
        }
        self.note(found, &tree, first, pass);
        Ok(Followed::Wholly)
    }

    /// Enters a log that was never followed.
    async fn enter(&mut self, found: &Found) -> Result<Result<CompactRange, FollowError>, StateError> {
        let first = self.state.is_first(&key_of(found))?;
        let tree = match self.from {
            Begin::Now if first => match join(&found.log, &found.head).await {
                Ok(tree) => tree,
                Err(error) => return Ok(Err(error)),
            },
            // Of a log that appeared since the first look, nobody has seen the beginning.
            Begin::Now | Begin::Start => CompactRange::new(),
        };
        let text = format!(
            "{} at {} is followed from entry {} on",
            log_text(found),
            found.url,
            tree.size()
        );
        if first {
            // All logs are new then, and nobody needs to be told.
            self.console.remark(&text);
        } else {
            let event = Event::new(
                Kind::NewLog,
                self.now(),
                &log_id(found),
                &text,
                json!({ "log": log_json(found), "from": tree.size() }),
            );
            self.state.add(vec![event])?;
        }
        Ok(Ok(tree))
    }

    fn failed(&mut self, found: &Found, error: FollowError, pass: &mut Pass) -> Result<Followed, StateError> {
        match error {
            FollowError::Inconsistent(error) => self.inconsistent(found, &error, pass)?,
            other => {
                let reason = console::plain(&other.to_string());
                pass.silent.insert(log_text(found), reason);
            }
        }
        Ok(Followed::Wholly)
    }

    /// A log is not what it was, or not what it signs: told once. Two heads of one size settle it, and it is followed no further; a
    /// wrong answer may be another one the next time.
    fn inconsistent(
        &mut self,
        found: &Found,
        error: &Inconsistent,
        pass: &mut Pass,
    ) -> Result<(), StateError> {
        let log = log_id(found);
        mark(found, true);
        let place = self.state.place(&log)?;
        let before = place.as_ref().map(|place| &place.head);
        let evidence = self.state.keep_evidence(&log, before, &found.head)?;
        let mut message = format!(
            "{}: {error}. The signed heads are in {}",
            log_text(found),
            evidence.display()
        );
        let settled = matches!(error, Inconsistent::Contradiction { .. });
        if settled {
            let file = self.state.file(&log);
            message.push_str(&format!(
                ". Once it is understood, and to follow the log anew, remove {}",
                file.display()
            ));
        }
        pass.inconsistent.push(message.clone());
        // Of a log that was never entered nothing is known that it could contradict.
        let Some(mut place) = place else {
            pass.silent.insert(log_text(found), error.to_string());
            return Ok(());
        };
        let kind = match error {
            Inconsistent::Contradiction { .. } => "contradiction",
            Inconsistent::Forked { .. } => "fork",
            Inconsistent::Leaves { .. } => "leaves",
        };
        if place.suspected.as_deref() != Some(kind) {
            let event = Event::new(
                Kind::Inconsistent,
                self.now(),
                &format!("{log}\n{error}"),
                &message,
                json!({ "log": log_json(found), "headBefore": place.head.signed, "headNow": found.head.signed }),
            );
            self.state.add(vec![event])?;
        }
        place.suspected = Some(kind.to_owned());
        place.inconsistent = settled.then_some(message);
        self.state.keep(&log, &place)
    }

    /// Says how far a log was read.
    fn note(&self, found: &Found, tree: &CompactRange, began: u64, pass: &mut Pass) {
        let new = tree.size().saturating_sub(began);
        let origin = || found.head.origin.clone();
        metrics::gauge!("sigbox_monitor_log_size", "log" => origin()).set(as_figure(found.head.size));
        metrics::gauge!("sigbox_monitor_log_read", "log" => origin()).set(as_figure(tree.size()));
        mark(found, false);
        let mut line = log_json(found);
        if let Some(line) = line.as_object_mut() {
            line.insert("read".to_owned(), tree.size().into());
            line.insert("new".to_owned(), new.into());
        }
        pass.logs.push(line);
        if self.once {
            let evidence = format!(
                "{:?}: {} entries, {new} new, consistent",
                found.head.origin,
                tree.size()
            );
            self.console.good(found.log.name(), &evidence);
        }
    }

    /// Tells of what has been silent for too long, and of what is back.
    fn notice_silence(&mut self, pass: &mut Pass) -> Result<(), StateError> {
        let now = self.now();
        let mut events = Vec::new();
        for (what, reason) in &pass.silent {
            let text = format!("{what}: {reason}");
            pass.troubles.push(text.clone());
            let silence = self.silences.entry(what.clone()).or_insert_with(|| Silence {
                since: Instant::now(),
                told: false,
            });
            if self.once {
                self.console.bad("silent", &text);
            } else if !silence.told {
                self.console.warning(&text);
            }
            if !silence.told && silence.since.elapsed() >= self.silent_after && !self.once {
                silence.told = true;
                let data = json!({ "what": what, "reason": reason });
                events.push(Event::new(
                    Kind::Silent,
                    now,
                    &format!("{what}\n{now}"),
                    &text,
                    data,
                ));
            }
        }
        let back = self
            .silences
            .extract_if(|what, _| !pass.silent.contains_key(what));
        for (what, _) in back.filter(|(_, silence)| silence.told) {
            let text = format!("{what} can be read again");
            let data = json!({ "what": what });
            events.push(Event::new(
                Kind::Back,
                now,
                &format!("{what}\n{now}"),
                &text,
                data,
            ));
        }
        metrics::gauge!("sigbox_monitor_silent").set(as_figure(pass.silent.len() as u64));
        self.state.add(events)
    }

    /// Tells what waits; what is not taken waits on.
    async fn tell(&mut self, pass: &mut Pass) -> Result<(), StateError> {
        if self.state.waiting().is_empty() {
            return Ok(());
        }
        let mut waiting = self.state.waiting().to_vec();
        for problem in self.delivery.tell(&mut waiting).await {
            if !pass.troubles.contains(&problem) {
                self.console
                    .warning(&format!("{problem}; events are kept, and told again"));
                pass.troubles.push(problem);
            }
        }
        waiting.retain(|event| !self.delivery.is_told(event));
        metrics::gauge!("sigbox_monitor_events_waiting").set(as_figure(waiting.len() as u64));
        self.state.set_waiting(waiting)
    }
}

fn mark(found: &Found, inconsistent: bool) {
    metrics::gauge!("sigbox_monitor_log_inconsistent", "log" => found.head.origin.clone())
        .set(if inconsistent { 1 } else { 0 });
}

#[expect(clippy::cast_precision_loss, reason = "sizes of logs are far below 2^52")]
fn as_figure(count: u64) -> f64 {
    count as f64
}

fn now_metric(time: Timestamp) -> f64 {
    as_figure(u64::try_from(time.unix()).unwrap_or_default())
}
