//! `import`: a log of another instance, taken over into a data folder and served from there as an old shard.
//!
//! What it promised stays as it was: bodies, times, indexes, signed entry timestamps and the last checkpoint, each
//! verified with the other log's key, and the tree built anew. Nothing is signed for it, because its key is not ours.
//! Its key joins the registry when the last leaf is in, as one that has ended.

mod tiled;
mod v1;

use std::collections::VecDeque;
use std::num::NonZeroU64;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use clap::{Args, ValueEnum};
use common_backend::folder::{DataFolder, FolderError};
use common_bundle::trust::{KeyRecord, Registry, Timestamp, TrustError};
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
use crate::keys::{Keys, KeysError, Places, read_registry, runner};
use crate::layout::Layout;
use crate::progress::Progress;
use crate::public_url::PublicUrl;
use crate::repository::{Repository, RepositoryError};
use crate::serve::config::{Config, Storage as Database};
use crate::serve::store::{Store, StoreError as StoreOpenError};
use crate::services::{REKOR_V2, logs};
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
    /// How clients will reach the instance [default: as the folder has it, or http://localhost:3000 if it is new].
    #[arg(long, value_name = "URL")]
    pub(crate) public_url: Option<PublicUrl>,
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
         import into a new folder, before its first start"
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
    /// The clock.
    #[error("the clock is before 1970")]
    Clock,
    /// It stopped on the way.
    #[error("{0}; what is in stays, and the same command goes on from there")]
    Underway(Box<TakeOverError>),
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

/// Runs the command. The other log answers before anything is made here: a slip in an argument leaves no trace.
///
/// # Errors
/// [`Failure`]; it says so where what was taken over stays, and the same command goes on from there.
pub(crate) async fn run(args: ImportArgs, console: Console) -> Result<(), Failure> {
    let place = Instance::of(&args)?;
    let other = Other::ask(&args).await.map_err(Failure::failed)?;
    let lock = DataFolder::open(place.layout.root()).map_err(Failure::cannot_start)?;
    let taken = take_over(&other, place, Arc::new(lock), console).await;
    taken.map_err(Failure::failed)
}

/// The instance that takes the log.
struct Instance {
    layout: Layout,
    site: Site,
    database: Database,
    places: Places,
    /// The keys that it has, unless it is new.
    registry: Option<Registry>,
    /// What runs it.
    server: &'static str,
}

impl Instance {
    /// As the configuration has it, or the flags and the folder.
    fn of(args: &ImportArgs) -> Result<Instance, Failure> {
        let config = args.config.as_deref().map(Config::read);
        let config = config.transpose().map_err(Failure::cannot_start)?;
        let data = match &config {
            Some(config) => config.data.clone(),
            None => std::path::absolute(&args.data).map_err(Failure::failed)?,
        };
        let layout = Layout::new(data);
        let registry = read_registry(&layout).map_err(Failure::failed)?;
        let (site, database, places, server) = match config {
            Some(config) => (config.site, config.storage, config.places, "`sigbox serve`"),
            None => {
                let url = url_of(args.public_url.as_ref(), registry.as_ref())?;
                let server = "`sigbox up`, or `sigbox serve`,";
                (url.into(), Database::Sqlite, Places::default(), server)
            }
        };
        if let Some(registry) = &registry {
            runner::check(registry, &site).map_err(Failure::failed)?;
        }
        Ok(Instance {
            layout,
            site,
            database,
            places,
            registry,
            server,
        })
    }
}

/// The one that is given, else that of the folder, else where `up` answers.
fn url_of(given: Option<&PublicUrl>, registry: Option<&Registry>) -> Result<PublicUrl, Failure> {
    match (given, registry) {
        (Some(given), _) => Ok(given.clone()),
        (None, Some(registry)) => {
            runner::development_url(registry).ok_or_else(|| Failure::failed(KeysError::Production))
        }
        (None, None) => DEFAULT_URL.parse().map_err(Failure::failed),
    }
}

/// The other side, as it described itself.
enum Other {
    V1(v1::Shards),
    V2(tiled::Tiled),
}

impl Other {
    /// What it is, with the signatures on its heads verified.
    async fn ask(args: &ImportArgs) -> Result<Other, TakeOverError> {
        Ok(match args.kind {
            Source::V1 => Other::V1(v1::Shards::ask(args).await?),
            Source::V2 => Other::V2(tiled::Tiled::ask(args).await?),
        })
    }

    /// That the instance can take it.
    async fn check(&self, place: &Instance, storage: &dyn Storage) -> Result<(), TakeOverError> {
        match self {
            Other::V1(shards) => shards.check(storage).await,
            Other::V2(log) => log.check(place),
        }
    }

    async fn take(&self, to: &mut Destination, console: Console) -> Result<(), TakeOverError> {
        match self {
            Other::V1(shards) => shards.take(to, console).await,
            Other::V2(log) => log.take(to, console).await,
        }
    }
}

async fn take_over(
    other: &Other,
    place: Instance,
    lock: Arc<DataFolder>,
    console: Console,
) -> Result<(), TakeOverError> {
    let now = clock::system()();
    let store = Store::open(&place.database, &lock).await?;
    let outcome = async {
        let storage = store.storage();
        other.check(&place, storage.as_ref()).await?;
        let mut to = Destination {
            keys: prepare(&place, storage.as_ref(), now).await?,
            layout: place.layout,
            server: place.server,
            storage,
            now,
            progress: Progress::new(console),
        };
        let taken = other.take(&mut to, console).await;
        taken.map_err(|error| TakeOverError::Underway(Box::new(error)))
    }
    .await;
    store.close().await;
    outcome
}

/// The keys of the folder. A new folder gets keys and a trust repository as from its first start, so that the start
/// that follows finds logs and a repository alike.
async fn prepare(place: &Instance, storage: &dyn Storage, now: SystemTime) -> Result<Keys, TakeOverError> {
    let keys = Keys::open(&place.layout, &place.site, &place.places, now)?;
    if storage.logs().await?.is_empty() {
        Repository::open(place.layout.clone(), &keys, false, now)?;
    }
    Ok(keys)
}

/// The folder that takes a log over.
struct Destination {
    layout: Layout,
    keys: Keys,
    /// What runs the instance.
    server: &'static str,
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use std::path::Path;
    use std::time::Duration;

    use clap::Parser;

    use super::*;
    use crate::cli::{Cli, Command};

    fn args(source: &str, data: &Path, more: &[&str]) -> ImportArgs {
        let words = ["sigbox", "import", source, "--data", data.to_str().unwrap()];
        match Cli::parse_from(words.iter().chain(more)).command {
            Command::Import(args) => args,
            other => unreachable!("asked for import, got {other:?}"),
        }
    }

    #[test]
    fn the_instance_keeps_its_url_and_refuses_another_host() {
        let folder = tempfile::tempdir().unwrap();
        let of = |more: &[&str]| Instance::of(&args("http://localhost:9", folder.path(), more));
        let url = |more: &[&str]| of(more).unwrap().site.url().as_str().to_owned();
        assert_eq!(url(&[]), DEFAULT_URL);
        assert_eq!(
            url(&["--public-url", "http://127.0.0.1:4000"]),
            "http://127.0.0.1:4000"
        );
        let made = of(&["--public-url", "http://127.0.0.1:4000"]).unwrap();
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
        Keys::open(&made.layout, &made.site, &made.places, now).unwrap();
        assert_eq!(url(&[]), "http://127.0.0.1:4000");
        let refused = of(&["--public-url", "https://sigstore.example"]).err().unwrap();
        assert!(
            refused.message.contains("belongs to host \"127.0.0.1\""),
            "{}",
            refused.message
        );
    }

    #[tokio::test]
    async fn a_log_that_does_not_answer_leaves_no_trace() {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("new");
        let key = common_pki::key::LocalSigner::generate(KeyAlgorithm::Ed25519)
            .unwrap()
            .0;
        let file = folder.path().join("key.pem");
        std::fs::write(&file, common_pki::key::Signer::public_key(&key).to_pem()).unwrap();
        let v2 = ["--kind", "v2", "--key", file.to_str().unwrap()];
        for (source, more) in [
            ("http://127.0.0.1:1", &[][..]),
            ("no URL", &[]),
            ("http://127.0.0.1:1", &v2),
            ("no URL", &v2),
        ] {
            let refused = run(args(source, &data, more), Console::new()).await.unwrap_err();
            assert!(!refused.message.contains("goes on"), "{}", refused.message);
            assert!(!data.exists(), "{source} {more:?}");
        }
    }
}
