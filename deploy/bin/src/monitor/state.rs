//! What is kept between two runs: the place in each log, and events that nobody has taken yet.
//!
//! One process at a time. Each file is replaced as a whole, durably. Events are written before the place behind their entries, so
//! a power cut repeats events and loses none.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use common_backend::folder::{DataFolder, FolderError};
use common_tlog::compact::CompactRange;
use common_tlog::{Hash, ProofError};
use rekor_monitor::{Found, Head};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::event::{self, Event};
use super::unused::Unused;
use crate::disk::{self, FileError};

/// Of the files here.
const VERSION: u32 = 1;
/// The file of the keys that were trusted at the first look.
const ENTERED: &str = "entered.json";
/// The file of certificates whose entry is still to come.
const CERTIFICATES: &str = "certificates.json";
/// Events that wait at most before nothing more is read.
const MOST_WAITING: usize = 2_000;
/// Logs that are followed at most: whoever signs heads can do so under any number of names.
const MOST_LOGS: usize = 256;

/// The folder, and what waits in it.
pub(super) struct State {
    folder: DataFolder,
    waiting: Vec<Event>,
}

/// The place in one log.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Place {
    version: u32,
    /// For people who look here.
    pub(super) origin: String,
    pub(super) url: String,
    /// Hexadecimal SHA-256 of its key.
    pub(super) key: String,
    size: u64,
    /// The perfect subtrees of the leaves so far, the largest first.
    peaks: Vec<String>,
    /// The largest head that was seen, whether it was read up to or not.
    pub(super) head: Signed,
    /// What was told of it that may turn out to be a wrong answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) suspected: Option<String>,
    /// Why the log is not followed any more: it signed two histories.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) inconsistent: Option<String>,
}

/// A head, as the log signed it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Signed {
    pub(super) size: u64,
    /// Hexadecimal.
    root: String,
    /// Evidence, should there be another history.
    pub(super) signed: String,
}

/// The folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum StateError {
    /// Another process, or no folder.
    #[error("{0}; --state DIR names another folder")]
    Folder(#[from] FolderError),
    /// A file of it.
    #[error(transparent)]
    File(#[from] FileError),
    /// Changed by somebody else, or damaged.
    #[error("{}: not what was written there: {cause}\nWithout the file, its log is followed anew from --from on", .path.display())]
    Content {
        /// Which.
        path: PathBuf,
        /// What is wrong with it.
        cause: String,
    },
}

impl State {
    pub(super) fn open(folder: &Path) -> Result<State, StateError> {
        let folder = DataFolder::open(folder)?;
        disk::create_folder(&folder.path().join("logs"))?;
        let waiting = read(&folder.path().join("events.json"))?.unwrap_or_default();
        Ok(State { folder, waiting })
    }

    /// Whether a log with this key is entered where the first look enters logs: its key was trusted then, and no look has entered
    /// the logs of that key since. Every other log appeared later, and nobody has seen its beginning.
    pub(super) fn is_first(&self, key: &str) -> Result<bool, StateError> {
        Ok(self.entered()?.get(key) == Some(&false))
    }

    /// The keys that were trusted at the first look, and whether their logs have been entered.
    fn entered(&self) -> Result<BTreeMap<String, bool>, StateError> {
        Ok(read(&self.folder.path().join(ENTERED))?.unwrap_or_default())
    }

    /// At the first look these keys are trusted.
    pub(super) fn begin(&self, keys: &BTreeSet<String>) -> Result<(), StateError> {
        if keys.is_empty() || !self.entered()?.is_empty() {
            return Ok(());
        }
        let entered: BTreeMap<&String, bool> = keys.iter().map(|key| (key, false)).collect();
        write(&self.folder.path().join(ENTERED), &entered)
    }

    /// These logs, by key and name, are there. A key of which all are known has been entered.
    pub(super) fn enter(&self, logs: &[(String, String)]) -> Result<(), StateError> {
        let mut entered = self.entered()?;
        let before = entered.clone();
        for (key, done) in entered.iter_mut().filter(|(_, done)| !**done) {
            let mut of_key = logs.iter().filter(|(of, _)| of == key).peekable();
            *done = of_key.peek().is_some() && of_key.all(|(_, log)| self.file(log).exists());
        }
        match entered == before {
            true => Ok(()),
            false => write(&self.folder.path().join(ENTERED), &entered),
        }
    }

    /// Whether no more logs are followed.
    pub(super) fn has_all_logs(&self) -> Result<bool, StateError> {
        Ok(self.places()?.len() >= MOST_LOGS)
    }

    /// Where the place in a log is written down.
    pub(super) fn file(&self, log: &str) -> PathBuf {
        self.folder.path().join("logs").join(format!("{log}.json"))
    }

    /// Where the log was left; `None` if it was never followed.
    pub(super) fn place(&self, log: &str) -> Result<Option<Place>, StateError> {
        read(&self.file(log))
    }

    /// The places in all logs that were ever followed.
    pub(super) fn places(&self) -> Result<Vec<Place>, StateError> {
        let logs = self.folder.path().join("logs");
        let files = disk::names(&logs)?
            .into_iter()
            .filter(|name| name.ends_with(".json"));
        let places = files.map(|name| read(&logs.join(name)));
        Ok(places
            .collect::<Result<Vec<Option<Place>>, _>>()?
            .into_iter()
            .flatten()
            .collect())
    }

    pub(super) fn keep(&self, log: &str, place: &Place) -> Result<(), StateError> {
        write(&self.file(log), place)
    }

    /// The tree that the place is in.
    pub(super) fn tree(&self, log: &str, place: &Place) -> Result<CompactRange, StateError> {
        let wrong = |cause: String| StateError::Content {
            path: self.file(log),
            cause,
        };
        let peaks: Result<Vec<Hash>, _> = place.peaks.iter().map(|peak| peak.parse()).collect();
        let peaks = peaks.map_err(|error| wrong(format!("{error}")))?;
        CompactRange::from_peaks(place.size, peaks).map_err(|error: ProofError| wrong(error.to_string()))
    }

    /// Keeps the two heads that speak against a log. Gives the file's name.
    pub(super) fn keep_evidence(
        &self,
        log: &str,
        before: Option<&Signed>,
        now: &Head,
    ) -> Result<PathBuf, StateError> {
        let path = self.folder.path().join(format!("evidence-{log}.json"));
        let before = before.map(|head| head.signed.as_str());
        write(&path, &serde_json::json!({ "before": before, "now": now.signed }))?;
        Ok(path)
    }

    /// The root of a head that was kept.
    pub(super) fn root(&self, log: &str, head: &Signed) -> Result<Hash, StateError> {
        head.root.parse().map_err(|error| StateError::Content {
            path: self.file(log),
            cause: format!("{error}"),
        })
    }

    /// Certificates whose entry is still to come.
    pub(super) fn unused(&self) -> Result<Unused, StateError> {
        Ok(read(&self.folder.path().join(CERTIFICATES))?.unwrap_or_default())
    }

    pub(super) fn keep_unused(&self, unused: &Unused) -> Result<(), StateError> {
        write(&self.folder.path().join(CERTIFICATES), unused)
    }

    /// Events that are still to be told.
    pub(super) fn waiting(&self) -> &[Event] {
        &self.waiting
    }

    /// Whether too many events wait for more to be read.
    pub(super) fn is_full(&self) -> bool {
        self.waiting.len() >= MOST_WAITING
    }

    /// Takes events that are to be told.
    pub(super) fn add(&mut self, events: Vec<Event>) -> Result<(), StateError> {
        if events.is_empty() {
            return Ok(());
        }
        self.waiting.extend(events);
        self.keep_waiting()
    }

    /// Replaces the events that wait.
    pub(super) fn set_waiting(&mut self, waiting: Vec<Event>) -> Result<(), StateError> {
        self.waiting = waiting;
        self.keep_waiting()
    }

    fn keep_waiting(&self) -> Result<(), StateError> {
        write(&self.folder.path().join("events.json"), &self.waiting)
    }
}

impl Place {
    /// Behind `tree`, with the newest head that was seen.
    pub(super) fn new(found: &Found, tree: &CompactRange) -> Place {
        let head = &found.head;
        Place {
            version: VERSION,
            origin: head.origin.clone(),
            url: found.url.clone(),
            key: key_of(found),
            size: tree.size(),
            peaks: tree.peaks().iter().map(ToString::to_string).collect(),
            head: Signed {
                size: head.size,
                root: head.root.to_string(),
                signed: head.signed.clone(),
            },
            suspected: None,
            inconsistent: None,
        }
    }

    /// With what was told of it before.
    pub(super) fn suspected(self, suspected: Option<String>) -> Place {
        Place { suspected, ..self }
    }

    pub(super) fn log_id(&self) -> String {
        id(&self.key, &self.origin)
    }
}

/// Hexadecimal SHA-256 of a log's key.
pub(super) fn key_of(found: &Found) -> String {
    hex::encode(found.key.public_key().fingerprint())
}

/// The name of a log here: who signs it, and under which name, since several shards may have one key.
pub(super) fn log_id(found: &Found) -> String {
    id(&key_of(found), &found.head.origin)
}

fn id(key: &str, origin: &str) -> String {
    event::id(&format!("{key} {origin}"))
}

fn read<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, StateError> {
    let Some(text) = disk::read(path)? else {
        return Ok(None);
    };
    let read = serde_json::from_slice(&text);
    read.map(Some).map_err(|error| StateError::Content {
        path: path.to_owned(),
        cause: error.to_string(),
    })
}

fn write<T: Serialize>(path: &Path, value: &T) -> Result<(), StateError> {
    let text = serde_json::to_vec_pretty(value).map_err(|error| StateError::Content {
        path: path.to_owned(),
        cause: error.to_string(),
    })?;
    Ok(disk::write(path, &text)?)
}
