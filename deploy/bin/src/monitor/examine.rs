//! What of new leaves concerns somebody.

use std::time::Duration;

use common_bundle::trust::Timestamp;
use rekor_entry::facts::Facts;
use rekor_monitor::{Content, Found, Sighting, Step, Unreadable, Watch, facts};
use serde_json::json;

use super::MonitorArgs;
use super::event::{Entry, Event, Kind, cut, log_json, log_text};
use super::state::{State, StateError, log_id};
use super::unused::Unused;
use crate::console;

/// Most places that are listed of entries that cannot be looked into, and the longest reason: it may quote an entry.
const LISTED: usize = 100;
const REASON: usize = 300;

/// What is looked for, and what was seen of it before.
pub(super) struct Examiner {
    watches: Vec<Watch>,
    /// Whether expected entries are told of too.
    all: bool,
    /// Where certificates are held against entries: how long an entry may take.
    unused_after: Option<Duration>,
    unused: Unused,
    /// Whether `unused` is other than what is kept.
    changed: bool,
}

/// What of a step is to be told.
#[derive(Default)]
pub(super) struct Examined {
    pub(super) events: Vec<Event>,
    /// How many of them are about what nobody expected.
    pub(super) unexpected: u64,
}

impl Examiner {
    pub(super) fn new(
        args: &MonitorArgs,
        watches: Vec<Watch>,
        state: &State,
    ) -> Result<Examiner, StateError> {
        let seconds = |seconds: u32| Duration::from_secs(seconds.into());
        Ok(Examiner {
            watches,
            all: args.all,
            unused_after: args.unused_after.map(seconds),
            unused: state.unused()?,
            changed: false,
        })
    }

    /// Looks into every leaf of a step.
    pub(super) fn examine(&mut self, found: &Found, step: &Step, now: Timestamp) -> Examined {
        let mut examined = Examined::default();
        if self.watches.is_empty() {
            return examined;
        }
        let mut unreadable = Vec::new();
        for (index, leaf) in (step.first..).zip(&step.leaves) {
            match facts(&leaf.content) {
                Ok((facts, logged)) => {
                    let entry = Entry {
                        index,
                        leaf: leaf.hash,
                        facts: &facts,
                        logged: logged.or(leaf.time),
                    };
                    self.entry(found, &entry, &mut examined, now);
                    self.hold(found, &entry, &leaf.content, now);
                }
                Err(error) => unreadable.push((index, error)),
            }
        }
        examined.events.extend(not_read(found, &unreadable, now));
        examined
    }

    fn entry(&self, found: &Found, entry: &Entry<'_>, examined: &mut Examined, now: Timestamp) {
        for watch in &self.watches {
            let kind = match watch.look(entry.facts) {
                None => continue,
                Some(Sighting::Expected) => Kind::Expected,
                Some(Sighting::Unexpected) => Kind::Found,
            };
            let labels = [("watch", watch.name.clone()), ("kind", kind.name().to_owned())];
            metrics::counter!("sigbox_monitor_entries_total", &labels).increment(1);
            if kind == Kind::Found {
                examined.unexpected = examined.unexpected.saturating_add(1);
            }
            if kind == Kind::Found || self.all {
                examined.events.push(Event::seen(kind, found, watch, entry, now));
            }
        }
    }

    /// Remembers a certificate that somebody watches for until its entry comes.
    fn hold(&mut self, found: &Found, entry: &Entry<'_>, content: &Content, now: Timestamp) {
        if self.unused_after.is_none() {
            return;
        }
        let is_watched = |facts: &Facts| self.watches.iter().find(|watch| watch.look(facts).is_some());
        let changed = match content {
            Content::Entry(_) => self.unused.used(entry.facts),
            Content::Certificate(_) => match (is_watched(entry.facts), entry.logged) {
                (Some(watch), Some(issued)) => {
                    let event = Event::seen(Kind::Unused, found, watch, entry, now);
                    self.unused.issued(entry.facts, issued, event)
                }
                _ => false,
            },
        };
        self.changed |= changed;
    }

    /// Certificates whose entry should have come by now. Only for when every log was read to its end.
    pub(super) fn overdue(&mut self, now: Timestamp) -> Vec<Event> {
        let Some(time) = self.unused_after else {
            return Vec::new();
        };
        let seconds = i64::try_from(time.as_secs()).unwrap_or(i64::MAX);
        let before = now
            .plus_seconds(seconds.saturating_neg())
            .unix()
            .saturating_mul(1_000);
        let overdue = self.unused.overdue(u64::try_from(before).unwrap_or_default());
        self.changed |= !overdue.is_empty();
        overdue
    }

    /// Whether certificates pass that would have to be remembered.
    pub(super) fn is_full(&self) -> bool {
        self.unused.is_full()
    }

    /// Writes down which certificates are remembered.
    pub(super) fn keep(&mut self, state: &State) -> Result<(), StateError> {
        if std::mem::take(&mut self.changed) {
            state.keep_unused(&self.unused)?;
        }
        Ok(())
    }
}

/// One event for all leaves of a step that cannot be looked into.
fn not_read(found: &Found, unreadable: &[(u64, Unreadable)], now: Timestamp) -> Option<Event> {
    let (first, error) = unreadable.first()?;
    let text = format!(
        "{} entries of {} cannot be looked into, from {first} on: {error}",
        unreadable.len(),
        log_text(found)
    );
    let indexes: Vec<u64> = unreadable.iter().map(|(index, _)| *index).take(LISTED).collect();
    let reason = cut(&console::plain(&error.to_string()), REASON);
    let data =
        json!({ "log": log_json(found), "indexes": indexes, "inAll": unreadable.len(), "reason": reason });
    let subject = format!("{}\n{first}", log_id(found));
    Some(Event::new(Kind::Unreadable, now, &subject, &text, data))
}
