//! `identities`, and where commands find the records of an instance: in its data folder, or where its configuration says.

use std::path::PathBuf;
use std::time::{Duration, UNIX_EPOCH};

use clap::{Args, Subcommand};
use common_bundle::trust::Timestamp;
use common_engine::{Record, Shelf};
use serde_json::{Value, json};

use super::denials::Denial;
use super::pseudonyms::{Behind, URN};
use super::{Place, RecordsError, Shelves, denials, pseudonyms};
use crate::console::{self, plain};
use crate::exit::Failure;
use crate::serve::config::{Config, Storage};

/// Records that are read at once.
const PAGE: u32 = 256;

#[derive(Debug, Args)]
pub(crate) struct InstanceArgs {
    /// Folder of the instance, which may be running.
    #[arg(
        long,
        value_name = "DIR",
        default_value = "sigbox-data",
        conflicts_with = "config"
    )]
    data: PathBuf,
    /// The configuration of `serve`, which says where the records are.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

impl InstanceArgs {
    fn place(&self) -> Result<Place, Failure> {
        let Some(config) = &self.config else {
            return Ok(Place::Folder(self.data.clone()));
        };
        let config = Config::read(config).map_err(Failure::failed)?;
        Ok(match config.storage {
            Storage::Sqlite => Place::Folder(config.data),
            Storage::Postgres(config) => Place::Postgres(config),
        })
    }

    /// The records of the instance, if it has any.
    ///
    /// # Errors
    /// [`Failure`] when they cannot be read.
    pub(crate) async fn shelves(&self) -> Result<Option<Shelves>, Failure> {
        Shelves::existing(self.place()?).await.map_err(Failure::failed)
    }
}

#[derive(Debug, Args)]
pub(crate) struct IdentitiesArgs {
    #[command(subcommand)]
    command: IdentitiesCommand,
}

#[derive(Debug, Subcommand)]
enum IdentitiesCommand {
    /// Say who is behind a pseudonym.
    Show(PseudonymArgs),
    /// Say under which pseudonyms certificates name somebody.
    Find(FindArgs),
    /// Delete who is behind a pseudonym, for good, and what was refused to them. Certificates and log entries stay, and nothing
    /// leads from them to a name any more; the next certificate has another pseudonym.
    Forget(PseudonymArgs),
}

#[derive(Debug, Args)]
struct PseudonymArgs {
    /// As the certificate has it: urn:uuid:…
    pseudonym: String,
    #[command(flatten)]
    instance: InstanceArgs,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct FindArgs {
    /// An address or a URI: whom the certificate would name without a pseudonym.
    subject: String,
    /// Of this issuer alone.
    #[arg(long, value_name = "URL")]
    issuer: Option<String>,
    #[command(flatten)]
    instance: InstanceArgs,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Runs the command.
///
/// # Errors
/// [`Failure`] when nothing is known.
pub(crate) async fn run(args: IdentitiesArgs) -> Result<(), Failure> {
    match args.command {
        IdentitiesCommand::Show(args) => show(&args).await,
        IdentitiesCommand::Find(args) => find(&args).await,
        IdentitiesCommand::Forget(args) => forget(&args).await,
    }
}

async fn show(args: &PseudonymArgs) -> Result<(), Failure> {
    let shelves = args
        .instance
        .shelves()
        .await?
        .ok_or_else(|| unknown(&args.pseudonym))?;
    let outcome = async {
        let records = shelves.records().await?;
        records
            .by_key(pseudonyms::SHELF, key(&args.pseudonym))
            .await
            .map_err(RecordsError::from)
    };
    let found = outcome.await;
    shelves.close().await;
    let record = found
        .map_err(Failure::failed)?
        .ok_or_else(|| unknown(&args.pseudonym))?;
    let known = Known::of(&record).map_err(Failure::failed)?;
    print(&known.told(args.json))
}

async fn find(args: &FindArgs) -> Result<(), Failure> {
    let nobody = || {
        Failure::failed(format!(
            "no certificate has named {:?} by a pseudonym",
            args.subject
        ))
    };
    let shelves = args.instance.shelves().await?.ok_or_else(nobody)?;
    let mut found = Vec::new();
    let outcome = each(&shelves, pseudonyms::SHELF, |record| {
        let known = Known::of(record)?;
        let issuer = args
            .issuer
            .as_ref()
            .is_none_or(|issuer| *issuer == known.behind.issuer);
        if issuer && known.behind.subject == args.subject {
            found.push(known);
        }
        Ok(true)
    });
    let outcome = outcome.await;
    shelves.close().await;
    outcome.map_err(Failure::failed)?;
    if found.is_empty() {
        return Err(nobody());
    }
    let lines: Vec<_> = found.iter().map(|known| known.told(args.json)).collect();
    print(&lines.join("\n"))
}

async fn forget(args: &PseudonymArgs) -> Result<(), Failure> {
    let shelves = args
        .instance
        .shelves()
        .await?
        .ok_or_else(|| unknown(&args.pseudonym))?;
    let outcome = forget_in(&shelves, key(&args.pseudonym)).await;
    shelves.close().await;
    let denials = outcome
        .map_err(Failure::failed)?
        .ok_or_else(|| unknown(&args.pseudonym))?;
    let said = if args.json {
        json!({"forgotten": args.pseudonym, "denials": denials}).to_string()
    } else {
        format!("forgotten, and {denials} records of what was refused to them")
    };
    print(&said)
}

/// How many refusals were deleted too; nothing where the pseudonym is not known.
async fn forget_in(shelves: &Shelves, key: &str) -> Result<Option<usize>, RecordsError> {
    let records = shelves.records().await?;
    let Some(record) = records.by_key(pseudonyms::SHELF, key).await? else {
        return Ok(None);
    };
    let Known { behind, .. } = Known::of(&record)?;
    let mut theirs = Vec::new();
    each(shelves, denials::SHELF, |record| {
        let denial: Denial = serde_json::from_slice(&record.data)?;
        if denial.issuer == behind.issuer && denial.subject == behind.subject {
            theirs.push(record.key.clone());
        }
        Ok(true)
    })
    .await?;
    for denial in &theirs {
        records.remove(denials::SHELF, denial).await?;
    }
    // Last: what failed before can be tried again.
    records.remove(pseudonyms::SHELF, key).await?;
    Ok(Some(theirs.len()))
}

/// Looks at each record of a shelf, the newest first, until `look` says that it is enough.
///
/// # Errors
/// [`RecordsError`].
pub(crate) async fn each(
    shelves: &Shelves,
    shelf: Shelf,
    mut look: impl FnMut(&Record) -> Result<bool, RecordsError>,
) -> Result<(), RecordsError> {
    let records = shelves.records().await?;
    let mut before: Option<String> = None;
    loop {
        let page = records.page(shelf, before.as_deref(), PAGE).await?;
        let Some(last) = page.last() else { return Ok(()) };
        before = Some(last.key.clone());
        for record in &page {
            if !look(record)? {
                return Ok(());
            }
        }
    }
}

/// A pseudonym and who is behind it.
struct Known {
    pseudonym: String,
    since: u64,
    behind: Behind,
}

impl Known {
    fn of(record: &Record) -> Result<Known, RecordsError> {
        Ok(Known {
            pseudonym: format!("{URN}{}", record.key),
            since: record.time,
            behind: serde_json::from_slice(&record.data)?,
        })
    }

    fn told(&self, json: bool) -> String {
        let Behind { issuer, subject, key } = &self.behind;
        let since = time(self.since);
        if json {
            let value: Value = json!({"pseudonym": self.pseudonym, "issuer": issuer, "subject": subject, "since": since,
                "key": key});
            return value.to_string();
        }
        plain(&format!(
            "{} is {subject} of {issuer}, since {since}; key {key}",
            self.pseudonym
        ))
    }
}

/// A time of a record, for people.
pub(crate) fn time(millis: u64) -> String {
    let time = UNIX_EPOCH.checked_add(Duration::from_millis(millis));
    let time = time.and_then(Timestamp::from_system_time);
    time.map_or_else(|| format!("{millis} ms"), |time| time.to_string())
}

fn key(pseudonym: &str) -> &str {
    pseudonym.strip_prefix(URN).unwrap_or(pseudonym)
}

fn unknown(pseudonym: &str) -> Failure {
    Failure::failed(format!("nobody is known behind {pseudonym:?}"))
}

fn print(text: &str) -> Result<(), Failure> {
    console::result(text).map_err(|error| Failure::failed(format!("cannot write: {error}")))
}
