//! `import`: a log of another instance, taken over into a data folder and served from there as an old shard.
//!
//! What it promised stays as it was: bodies, times, indexes, signed entry timestamps and the last checkpoint, each
//! verified with the other log's key, and the tree built anew. Nothing is signed for it, because its key is not ours.
//! Its key joins the registry when the last leaf is in, as one that has ended.

mod tiled;
mod v1;

use std::collections::{BTreeMap, VecDeque};
use std::num::NonZeroU64;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use clap::{Args, ValueEnum};
use common_backend::folder::{DataFolder, FolderError};
use common_bundle::trust::{KeyRecord, Role, Timestamp, TrustError};
use common_engine::{
    Import, ImportError, ImportTarget, ImportedLeaf, LogId, LogKind, LogSpec, Storage, StorageError,
};
use common_pki::key::{KeyAlgorithm, PublicKey};

use crate::cli::DEFAULT_URL;
use crate::clock::{self, unix_millis};
use crate::console::Console;
use crate::exit::Failure;
use crate::fsck;
use crate::http::HttpError;
use crate::keys::{Keys, KeysError, Places, read_registry};
use crate::layout::Layout;
use crate::progress::Progress;
use crate::public_url::{BadPublicUrl, PublicUrl};
use crate::repository::{Repository, RepositoryError};
use crate::serve::config::{Config, Storage as Database};
use crate::serve::store::{Store, StoreError as StoreOpenError};
use crate::services::{REKOR_V1, REKOR_V2, logs};
use crate::site::Site;

/// Leaves of one transaction.
const BATCH: usize = 512;
/// Requests that the other log answers at a time.
const AT_A_TIME: usize = 8;

/// What the other log speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Source {
    /// Rekor v1, by its API, with all of its shards, each of which must have a key of its own.
    V1,
    /// A Rekor v2 log, by its tiles.
    V2,
}

#[derive(Debug, Args)]
pub(crate) struct ImportArgs {
    /// Where the other log is: the base URL of a Rekor v1, or of the tiles of a Rekor v2.
    pub(crate) url: String,
    /// What it is.
    #[arg(long, value_enum, value_name = "KIND", default_value = "v1")]
    pub(crate) kind: Source,
    /// Its public key: a PEM file, or a verifier key (`name+hint+base64`). A Rekor v1 gives its own, which is then as
    /// good as the connection.
    #[arg(long, value_name = "FILE|KEY", required_if_eq("kind", "v2"))]
    pub(crate) key: Option<String>,
    /// The folder that takes it; created when missing. Its server must not run.
    #[arg(long, value_name = "DIR", default_value = "sigbox-data")]
    pub(crate) data: PathBuf,
    /// The configuration of the `serve` that takes it, on its folder and its database, PostgreSQL too. It must not run.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["data", "public_url"])]
    pub(crate) config: Option<PathBuf>,
    /// How clients will reach the instance, if the folder is new.
    #[arg(long, value_name = "URL", default_value = DEFAULT_URL)]
    pub(crate) public_url: String,
}

/// A log is not taken over.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TakeOverError {
    /// The other side.
    #[error(transparent)]
    Http(#[from] HttpError),
    /// The other side's tiles.
    #[error(transparent)]
    Tiles(#[from] rekor_monitor::FetchError),
    /// The other side's checkpoint.
    #[error(transparent)]
    Read(#[from] rekor_monitor::ReadError),
    /// What the other side says is not what a log says.
    #[error("{what}: {problem}")]
    Source {
        /// Which part.
        what: String,
        /// Expected and got.
        problem: String,
    },
    /// The other log's key cannot be read.
    #[error("{0}")]
    Key(String),
    /// Own entries have the indexes that the other log's have.
    #[error(
        "the Rekor v1 log of this folder has {0} entries, whose timestamps name the indexes that the imported entries have: \
         import into a new folder, before its first `sigbox up`"
    )]
    IndexesTaken(u64),
    /// Another one was imported.
    #[error("this folder has imported Rekor v1 tree {0} already, and its indexes begin at 0 as well")]
    OtherImported(u64),
    /// Shards that only their trees tell apart.
    #[error(
        "trees {trees} of that Rekor v1 share one key (SHA-256 {key}): importing shards that repeat a key is not supported, \
         because a log is found by its key here. No entry was taken"
    )]
    SharedKey {
        /// The trees.
        trees: String,
        /// SHA-256 of their key, in hexadecimal.
        key: String,
    },
    /// The folder.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// The database.
    #[error(transparent)]
    Open(#[from] StoreOpenError),
    /// The store.
    #[error("the log store: {0}")]
    Storage(#[from] StorageError),
    /// Its leaves.
    #[error(transparent)]
    Import(#[from] ImportError),
    /// Keys.
    #[error(transparent)]
    Keys(#[from] KeysError),
    /// The registry.
    #[error(transparent)]
    Trust(#[from] TrustError),
    /// The trust repository of a new folder.
    #[error(transparent)]
    Repository(#[from] RepositoryError),
    /// The URL.
    #[error("--public-url: {0}")]
    Url(#[from] BadPublicUrl),
    /// The clock.
    #[error("the clock is before 1970")]
    Clock,
}

fn source(what: impl Into<String>, problem: impl ToString) -> TakeOverError {
    TakeOverError::Source {
        what: what.into(),
        problem: problem.to_string(),
    }
}

/// The other log's key, with its name if it came with one.
fn read_key(given: &str) -> Result<(Option<String>, PublicKey), TakeOverError> {
    let log_key = fsck::read_key(given).map_err(|failure| TakeOverError::Key(failure.message))?;
    let (name, key) = (log_key.name().map(str::to_owned), log_key.public_key().clone());
    if name.is_some() && key.algorithm() != KeyAlgorithm::Ed25519 {
        let problem = "expected an Ed25519 key: no other signs a Rekor v2 log here";
        return Err(source("--key", problem));
    }
    Ok((name, key))
}

/// Runs the command.
///
/// # Errors
/// [`Failure`]; what was taken over before stays, and the same command goes on from there.
pub(crate) async fn run(args: ImportArgs, console: Console) -> Result<(), Failure> {
    let place = place(&args)?;
    let lock = DataFolder::open(place.data.clone()).map_err(Failure::cannot_start)?;
    let outcome = take_over(&args, place, Arc::new(lock), console).await;
    outcome.map_err(|error| match error {
        // No command goes on from there.
        TakeOverError::SharedKey { .. } => Failure::failed(error),
        error => Failure::failed(format!(
            "{error}; what is in stays, and the same command goes on from there"
        )),
    })
}

/// The instance that takes the log.
struct Instance {
    data: PathBuf,
    site: Where,
    database: Database,
    places: Places,
}

/// Which services it has, and where clients reach them.
enum Where {
    /// As its configuration has it.
    Configured(Site),
    /// As its folder has it, or everything at this URL if the folder is new.
    Folder { new: String },
}

/// As the flags have it, or the configuration.
fn place(args: &ImportArgs) -> Result<Instance, Failure> {
    match &args.config {
        Some(file) => {
            let config = Config::read(file, std::env::vars()).map_err(Failure::cannot_start)?;
            Ok(Instance {
                data: config.data,
                site: Where::Configured(config.site),
                database: config.storage,
                places: config.places,
            })
        }
        None => Ok(Instance {
            data: std::path::absolute(&args.data).map_err(Failure::failed)?,
            site: Where::Folder {
                new: args.public_url.clone(),
            },
            database: Database::Sqlite,
            places: Places::default(),
        }),
    }
}

async fn take_over(
    args: &ImportArgs,
    place: Instance,
    lock: Arc<DataFolder>,
    console: Console,
) -> Result<(), TakeOverError> {
    let now = clock::system()();
    let store = Store::open(&place.database, &lock).await?;
    let outcome = async {
        let (layout, storage) = (Layout::new(place.data.clone()), store.storage());
        let keys = prepare(&place, &layout, storage.as_ref(), now).await?;
        let destination = Destination {
            layout,
            keys,
            storage,
            now,
            progress: Progress::new(console),
        };
        match args.kind {
            Source::V1 => v1::take_over(args, destination, console).await,
            Source::V2 => tiled::take_over(args, destination, console).await,
        }
    }
    .await;
    store.close().await;
    outcome
}

/// The keys of the folder. A new folder gets keys and a trust repository as from its first start, so that the start
/// that follows finds logs and a repository alike.
async fn prepare(
    place: &Instance,
    layout: &Layout,
    storage: &dyn Storage,
    now: SystemTime,
) -> Result<Keys, TakeOverError> {
    let keys = Keys::open(layout, &site(place, layout)?, &place.places, now)?;
    if storage.logs().await?.is_empty() {
        Repository::open(layout.clone(), &keys, false, now)?;
    }
    Ok(keys)
}

/// What the instance runs, and where.
fn site(place: &Instance, layout: &Layout) -> Result<Site, TakeOverError> {
    let new = match &place.site {
        Where::Configured(site) => return Ok(site.clone()),
        Where::Folder { new } => new,
    };
    let Some(registry) = read_registry(layout)? else {
        return Ok(new.parse::<PublicUrl>()?.into());
    };
    let in_use = registry.in_use(Role::RekorV1);
    let url = in_use.ok_or(KeysError::NoKey(Role::RekorV1))?.url.parse()?;
    // What another process runs is not made here.
    let roles = registry.keys.iter().map(|key| key.role).collect();
    Ok(Site::new(url, BTreeMap::new(), roles))
}

/// The folder that takes a log over.
struct Destination {
    layout: Layout,
    keys: Keys,
    storage: Arc<dyn Storage>,
    now: SystemTime,
    progress: Progress,
}

/// A log of the other side.
struct Foreign {
    kind: LogKind,
    origin: String,
    tree_id: u64,
    key: PublicKey,
    target: ImportTarget,
    terms_version: u32,
}

impl Destination {
    /// The number of the foreign log here, and what it is: what an earlier attempt has made of it, or the next number.
    async fn place(&self, mut spec: LogSpec) -> Result<(LogId, LogSpec), TakeOverError> {
        let stored = self.storage.logs().await?;
        if let Some(known) = stored
            .iter()
            .find(|log| log.info.spec.kind == spec.kind && log.info.spec.key_id == spec.key_id)
        {
            spec.leaf_limit = known.info.spec.leaf_limit;
            return Ok((known.info.id, spec));
        }
        // The first numbers belong to the logs that an instance begins with.
        let last = stored.iter().map(|log| log.info.id).chain([REKOR_V2]).max();
        Ok((LogId(last.map_or(0, |last| last.0).saturating_add(1)), spec))
    }

    async fn begin(
        &mut self,
        record: &KeyRecord,
        log: &Foreign,
        leaf_limit: u32,
    ) -> Result<Import, TakeOverError> {
        let spec = LogSpec {
            kind: log.kind,
            origin: log.origin.clone(),
            tree_id: log.tree_id,
            key_id: logs::key_id(record),
            leaf_limit,
            created: unix_millis(self.now),
        };
        let (id, spec) = self.place(spec).await?;
        let import = Import::open(Arc::clone(&self.storage), id, spec, log.terms_version).await?;
        if import.is_closed() {
            // An attempt that ended between the two; what the source has taken since is not waited for.
            self.list(record.clone())?;
        }
        Ok(import)
    }

    /// Closes the log, registers its key as one that has ended, and has the trust repository list it.
    async fn end(&mut self, import: Import, log: &Foreign, record: KeyRecord) -> Result<(), TakeOverError> {
        import.finish(&log.target).await?;
        self.list(record)
    }

    /// Registers the key of a closed log as one that has ended, and has the trust repository list it.
    fn list(&mut self, record: KeyRecord) -> Result<(), TakeOverError> {
        let mut registry = self.keys.registry().clone();
        if registry.keys.iter().all(|key| key.id != record.id) {
            registry.add(record)?;
        }
        self.keys = self.keys.with_registry(&self.layout, registry)?;
        // With logs in the store a repository is never created anew, only continued.
        Repository::open(self.layout.clone(), &self.keys, true, self.now)?;
        Ok(())
    }

    fn today(&self) -> Result<Timestamp, TakeOverError> {
        Timestamp::from_system_time(self.now).ok_or(TakeOverError::Clock)
    }

    /// How many entries our own v1 log has.
    async fn own_v1_entries(&self) -> Result<u64, TakeOverError> {
        let stored = self.storage.logs().await?;
        let own = stored.iter().find(|log| log.info.id == REKOR_V1);
        Ok(own.map_or(0, |log| log.head.size))
    }

    /// Takes what `read` gives from the first leaf that is not in to the last, in order and in whole transactions. It is asked
    /// for pieces of at most `piece` leaves that begin at multiples of that, some of them at once.
    async fn fill<F>(
        &self,
        import: &mut Import,
        log: &Foreign,
        piece: NonZeroU64,
        read: impl Fn(Range<u64>) -> F,
    ) -> Result<(), TakeOverError>
    where
        F: Future<Output = Result<Vec<ImportedLeaf>, TakeOverError>> + Send + 'static,
    {
        let mut waiting = Vec::with_capacity(BATCH);
        let mut asked = VecDeque::with_capacity(AT_A_TIME);
        let (mut next, mut ahead) = (import.size(), import.size());
        while next < log.target.size {
            while asked.len() < AT_A_TIME && ahead < log.target.size {
                let end = (ahead / piece).saturating_add(1).saturating_mul(piece.get());
                let end = end.min(log.target.size);
                asked.push_back((ahead..end, tokio::spawn(read(ahead..end))));
                ahead = end;
            }
            let Some((range, leaves)) = asked.pop_front() else {
                break;
            };
            let leaves = leaves.await.map_err(|error| source("reading", error))??;
            let (expected, got) = (range.end.saturating_sub(range.start), leaves.len() as u64);
            if expected != got {
                let problem = format!("expected {expected} leaves, got {got}");
                return Err(source(format!("leaf {next}"), problem));
            }
            next = range.end;
            waiting.extend(leaves);
            if waiting.len() >= BATCH || next >= log.target.size {
                import.append(std::mem::take(&mut waiting), &log.target).await?;
                self.progress.at("entries", next, Some(log.target.size));
            }
        }
        self.progress.finish();
        Ok(())
    }
}
