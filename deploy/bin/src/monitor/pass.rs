//! One look at all logs, and the next.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use common_bundle::trust::Timestamp;
use common_tlog::compact::CompactRange;
use rekor_monitor::{FollowError, Found, Inconsistent, advance, join};
use serde_json::json;

use super::deliver::Delivery;
use super::event::{Event, Kind, log_json, log_text};
use super::examine::Examiner;
use super::state::{Place, State, StateError, log_id};
use super::subject::{Present, Subject};
use super::{Begin, MonitorArgs};
use crate::clock::{self, Clock};
use crate::console::Console;
use crate::exit::Failure;
use crate::up::signal::Stop;

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
        let first = self.state.is_first()?;
        let Present { logs, keys, silent } = self.subject.find((self.clock)()).await;
        pass.silent = silent;
        // A log may not escape its past under another name: what was followed must be there as long as its key is trusted.
        for place in self.state.places()? {
            let gone = !logs.iter().any(|log| log_id(log) == place.log_id());
            if gone && keys.contains(place.key()) {
                let reason = format!("nothing at {} has its name and its key any more", place.url());
                pass.silent.insert(format!("the log {:?}", place.origin), reason);
            }
        }
        for found in logs {
            if stop.is_asked() {
                break;
            }
            self.follow(&found, first, &mut pass, stop).await?;
        }
        if pass.silent.is_empty() && !stop.is_asked() {
            if first {
                self.state.mark_entered()?;
            }
            let unused = self.examiner.overdue(self.now());
            pass.unexpected = pass.unexpected.saturating_add(unused.len() as u64);
            self.state.add(unused)?;
        }
        self.examiner.keep(&self.state)?;
        self.notice_silence(&mut pass)?;
        let due = self.last_alive.is_none_or(|last| last.elapsed() >= self.alive);
        if !self.once
            && !self.alive.is_zero()
            && due
            && pass.silent.is_empty()
            && pass.inconsistent.is_empty()
        {
            self.last_alive = Some(Instant::now());
            let text = format!(
                "{} logs are consistent and were read to their ends",
                pass.logs.len()
            );
            let now = self.now();
            let event = Event::new(
                Kind::Alive,
                now,
                &now.to_string(),
                &text,
                json!({ "logs": pass.logs }),
            );
            self.state.add(vec![event])?;
        }
        self.tell(&mut pass).await?;
        metrics::gauge!("sigbox_monitor_look_time_seconds").set(now_metric(self.now()));
        Ok(pass)
    }

    /// Follows one log to its head.
    async fn follow(
        &mut self,
        found: &Found,
        first: bool,
        pass: &mut Pass,
        stop: &Stop,
    ) -> Result<(), StateError> {
        let log = log_id(found);
        let (mut tree, before) = match self.state.place(&log)? {
            Some(place) => {
                if let Some(message) = place.inconsistent {
                    mark(found, true);
                    pass.inconsistent.push(message);
                    return Ok(());
                }
                (self.state.tree(&log, &place)?, Some(place.head().to_owned()))
            }
            None => match self.enter(found, first).await? {
                Ok(tree) => (tree, None),
                Err(error) => return self.failed(found, error, None, pass),
            },
        };
        let began = tree.size();
        loop {
            if self.state.is_full() {
                let reason = "too many events wait to be taken".to_owned();
                pass.silent.insert(log_text(found), reason);
                break;
            }
            let step = match advance(&found.log, &tree, &found.head).await {
                Ok(step) => step,
                Err(error) => return self.failed(found, error, before.as_deref(), pass),
            };
            let examined = self.examiner.examine(found, &step, self.now());
            pass.unexpected = pass.unexpected.saturating_add(examined.unexpected);
            self.state.add(examined.events)?;
            self.examiner.keep(&self.state)?;
            if step.tree.size() > tree.size() || before.is_none() {
                self.state.keep(&log, &Place::new(found, &step.tree))?;
            }
            tree = step.tree;
            self.tell(pass).await?;
            if tree.size() >= found.head.size || stop.is_asked() {
                break;
            }
        }
        self.note(found, &tree, began, pass);
        Ok(())
    }

    /// Enters a log that was never followed.
    async fn enter(
        &mut self,
        found: &Found,
        first: bool,
    ) -> Result<Result<CompactRange, FollowError>, StateError> {
        let tree = match self.from {
            // Of a log that appeared since the last look, nobody has seen the beginning.
            Begin::Start => CompactRange::new(),
            Begin::Now if !first => CompactRange::new(),
            Begin::Now => match join(&found.log, &found.head).await {
                Ok(tree) => tree,
                Err(error) => return Ok(Err(error)),
            },
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

    fn failed(
        &mut self,
        found: &Found,
        error: FollowError,
        before: Option<&str>,
        pass: &mut Pass,
    ) -> Result<(), StateError> {
        match error {
            FollowError::Inconsistent(error) => self.inconsistent(found, &error, before, pass),
            other => {
                pass.silent.insert(log_text(found), other.to_string());
                Ok(())
            }
        }
    }

    /// A log is not what it was: told once, and not followed any more.
    fn inconsistent(
        &mut self,
        found: &Found,
        error: &Inconsistent,
        before: Option<&str>,
        pass: &mut Pass,
    ) -> Result<(), StateError> {
        let log = log_id(found);
        let evidence = self.state.keep_evidence(&log, before, &found.head)?;
        let message = format!(
            "{}: {error}. The signed heads are in {}. Once it is understood, and to follow the log anew, remove {}",
            log_text(found),
            evidence.display(),
            self.state.place_file(&log).display(),
        );
        let event = Event::new(
            Kind::Inconsistent,
            self.now(),
            &format!("{log}\n{error}"),
            &message,
            json!({ "log": log_json(found), "headBefore": before, "headNow": found.head.signed }),
        );
        self.state.add(vec![event])?;
        let mut place = match self.state.place(&log)? {
            Some(place) => place,
            None => Place::new(found, &CompactRange::new()),
        };
        place.inconsistent = Some(message.clone());
        self.state.keep(&log, &place)?;
        mark(found, true);
        pass.inconsistent.push(message);
        Ok(())
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

    /// Tells what waits, in order; what is not taken waits on.
    async fn tell(&mut self, pass: &mut Pass) -> Result<(), StateError> {
        if self.state.waiting().is_empty() {
            return Ok(());
        }
        let mut waiting = self.state.waiting().to_vec();
        let mut told = 0;
        for event in &mut waiting {
            if let Err(undelivered) = self.delivery.tell(event).await {
                let text = undelivered.to_string();
                if !pass.troubles.contains(&text) {
                    self.console
                        .warning(&format!("{text}; the event is kept, and told again"));
                    pass.troubles.push(text);
                }
                break;
            }
            told = usize::saturating_add(told, 1);
        }
        waiting.drain(..told);
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
