//! Keys handed over while requests are served. What signs is exchanged between two requests: those under way are
//! finished by who began them, those that come are held up for the moment that a log is closed and another opened.

use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use common_bundle::trust::{KeyRecord, Role};
use common_engine::{Engine, LogId, ReadError, Storage, StorageError, StoredLog};
use common_pki::cert::Certificate;
use common_server::admission::Bounds;
use common_tlog::empty_root;
use fulcio_ca::{Ca, CaChain};
use fulcio_ct::{AcceptedRoots, CtLog, CtPersonality};
use rekor_api::{search, v1, v2};
use tokio::time::{sleep, timeout};

use crate::clock::{Clock, unix_millis};
use crate::in_process::OwnCtLog;
use crate::keys::{self, Keys, KeysError};
use crate::services::ServicesError;
use crate::services::first_leaf::{FirstLeafError, first_leaf};
use crate::services::logs::{self, Kind, Shard, Shards};
use crate::services::places::Places;

/// How long entries on their way are waited for. Those that come wait as long.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);
/// How often a log that is closed is asked for its final head, and how long apart.
const ATTEMPTS: u32 = 50;
const PAUSE: Duration = Duration::from_millis(100);

/// The services of the process, as far as a key can be handed over in them.
pub(crate) struct Running {
    pub(super) logs: Option<(Engine, Arc<dyn Storage>)>,
    pub(super) clock: Clock,
    pub(super) ca: Option<Arc<Ca>>,
    pub(super) ct: Option<Arc<OwnCtLog>>,
    pub(super) v1: Option<Arc<v1::Service>>,
    pub(super) v2: Option<Arc<v2::Service>>,
    pub(super) finder: Option<Arc<search::Service>>,
    pub(super) tsa: Option<Arc<rekor_tsa::Tsa>>,
    pub(super) places: Places,
    pub(super) intake: Intake,
}

impl Running {
    /// The certificate authority.
    pub(crate) fn authority(&self) -> Option<&Arc<Ca>> {
        self.ca.as_ref()
    }
}

/// Whose precertificates the certificate logs take beside the own authority's.
#[derive(Clone, Default)]
pub(crate) struct Intake {
    /// Bounds of submission over HTTP; without them it is off.
    pub(crate) submission: Option<Bounds>,
    /// Roots of authorities outside.
    pub(crate) roots: Vec<Certificate>,
}

impl Intake {
    /// A log that takes them.
    pub(super) fn log(
        &self,
        engine: &Engine,
        id: LogId,
        personality: Arc<CtPersonality>,
        keys: &Keys,
    ) -> Result<Arc<CtLog>, ServicesError> {
        let log = CtLog::new(engine.clone(), id, personality, self.accepted_roots(keys)?);
        Ok(Arc::new(match self.submission {
            Some(writes) => log.taking_submissions(writes),
            None => log,
        }))
    }

    /// The root of every authority that `keys` lists, and those outside.
    fn accepted_roots(&self, keys: &Keys) -> Result<AcceptedRoots, ServicesError> {
        let mut roots = Vec::new();
        for record in keys.registry().by_role(Role::FulcioCa) {
            roots.extend(Keys::chain(record)?.pop());
        }
        roots.extend(self.roots.iter().cloned());
        Ok(AcceptedRoots::new(roots)?)
    }
}

impl Running {
    /// Has the certificate logs accept the root of every authority that `keys` lists, those to come included: the log
    /// must know a root before the first precertificate under it.
    ///
    /// # Errors
    /// [`ServicesError`].
    pub(crate) fn accept_roots(&self, keys: &Keys) -> Result<(), ServicesError> {
        if let Some(ct) = &self.ct {
            ct.set_roots(&self.intake.accepted_roots(keys)?);
        }
        Ok(())
    }

    /// The rows of the store.
    ///
    /// # Errors
    /// When it cannot be read.
    pub(crate) async fn logs(&self) -> Result<Vec<StoredLog>, StorageError> {
        match &self.logs {
            Some((_, storage)) => storage.logs().await,
            None => Ok(Vec::new()),
        }
    }

    /// Puts the successor of `role` in use. It can be called again after an error, and after it succeeded.
    ///
    /// # Errors
    /// [`ServicesError`]. A log may be closed already: then writers are told to come again, until the next call succeeds.
    pub(crate) async fn hand_over(
        &self,
        role: Role,
        keys: &Keys,
        next: &KeyRecord,
    ) -> Result<(), ServicesError> {
        // What cannot be done is found out while the key in use still is.
        if role.is_log() {
            self.rehearse(role, keys, next).await?;
        } else if role.is_authority() {
            let (id, signer) = (next.id.clone(), keys.signer(next)?);
            off_thread(move || keys::try_out(&id, &*signer)).await??;
        }
        let elsewhere = || KeysError::NoKey(role);
        match role {
            Role::FulcioCa => {
                let now = self.unix()?.as_secs();
                let chain = CaChain::new(Keys::chain(next)?, keys.signer(next)?, now)?;
                self.ca.as_ref().ok_or_else(elsewhere)?.take_over(Arc::new(chain));
                Ok(())
            }
            Role::Tsa => Ok(self
                .tsa
                .as_ref()
                .ok_or_else(elsewhere)?
                .take_over(Keys::chain(next)?, keys.signer(next)?)?),
            Role::RekorV1 => {
                let v1 = self.v1.as_ref().ok_or_else(elsewhere)?;
                let closed = timeout(PATIENCE, v1.close()).await;
                let closed = closed.map_err(|_| ServicesError::Busy)?;
                let shards = self.roll(role, keys, next).await?;
                Ok(closed.reopen(logs::v1(&shards))?)
            }
            Role::RekorV2 => {
                let v2 = self.v2.as_ref().ok_or_else(elsewhere)?;
                let closed = timeout(PATIENCE, v2.close()).await;
                let closed = closed.map_err(|_| ServicesError::Busy)?;
                let id = last(&self.roll(role, keys, next).await?)?.config.id;
                self.places.add(&next.id, v2::router(Arc::clone(v2), id));
                let key = next.public_key().map_err(KeysError::from)?;
                Ok(closed.reopen(id, &next.origin, &key)?)
            }
            Role::CtLog => {
                let ct = self.ct.as_ref().ok_or_else(elsewhere)?;
                let (engine, _) = self.logs.as_ref().ok_or_else(elsewhere)?;
                let closed = timeout(PATIENCE, ct.close()).await;
                let closed = closed.map_err(|_| ServicesError::Busy)?;
                let shards = self.roll(role, keys, next).await?;
                let shard = last(&shards)?;
                if let Kind::Ct(personality) = &shard.kind {
                    let (id, personality) = (shard.config.id, Arc::clone(personality));
                    let log = self.intake.log(engine, id, personality, keys)?;
                    self.places.add(&next.id, fulcio_ct::router(Arc::clone(&log)));
                    ct.add(&log);
                    closed.reopen(log);
                }
                Ok(())
            }
            // The trust repository signs with these, not a service.
            Role::TufRoot | Role::TufOnline => Ok(()),
        }
    }

    /// Makes the next log as it will be opened and has it sign a head, while the one in use goes on: what cannot be done is
    /// found out before that one is closed for good.
    async fn rehearse(&self, role: Role, keys: &Keys, next: &KeyRecord) -> Result<(), ServicesError> {
        let (_, storage) = self.logs.as_ref().ok_or(KeysError::NoKey(role))?;
        let now = unix_millis((self.clock)());
        let shards = Shards::new(keys, &storage.logs().await?, now).of(role, Some(next))?;
        let personality = Arc::clone(&last(&shards)?.config.personality);
        let signed = off_thread(move || personality.checkpoint(0, &empty_root(), now)).await?;
        signed.map_err(|error| ServicesError::Trial(next.id.clone(), error))?;
        Ok(())
    }

    /// Closes the log in use and opens the next one, whose first entry follows on the last of the closed.
    async fn roll(&self, role: Role, keys: &Keys, next: &KeyRecord) -> Result<Vec<Shard>, ServicesError> {
        let (engine, storage) = self.logs.as_ref().ok_or(KeysError::NoKey(role))?;
        let created = unix_millis((self.clock)());
        let stored = storage.logs().await?;
        let before = Shards::new(keys, &stored, created).of(role, None)?;
        freeze(engine, last(&before)?.config.id).await?;
        let stored = storage.logs().await?;
        let shards = Shards::new(keys, &stored, created).of(role, Some(next))?;
        let shard = last(&shards)?;
        if engine.log(shard.config.id).is_none() {
            engine.open_log(shard.config.clone()).await?;
        }
        begin(engine, shard).await?;
        if let Some(finder) = &self.finder {
            finder.add(logs::searched(shards.iter()));
        }
        Ok(shards)
    }

    fn unix(&self) -> Result<Duration, ServicesError> {
        let since = (self.clock)().duration_since(UNIX_EPOCH);
        since.map_err(|_| ServicesError::System("the clock is before 1970"))
    }
}

/// Runs `work`, which signs, where it may take its time.
async fn off_thread<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, ServicesError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|_| ServicesError::System("a thread panicked"))
}

/// Writes the first leaf of a Rekor shard, before any client can.
async fn begin(engine: &Engine, shard: &Shard) -> Result<(), ServicesError> {
    let (id, spec) = (shard.config.id, &shard.config.spec);
    if engine.head(id).is_some_and(|head| head.size == 0)
        && let Some(leaf) = first_leaf(spec.kind, &spec.origin)?
    {
        engine.submit(id, leaf).await.map_err(FirstLeafError::from)?;
    }
    Ok(())
}

async fn freeze(engine: &Engine, log: LogId) -> Result<(), ServicesError> {
    for _ in 0..ATTEMPTS {
        match engine.freeze(log).await {
            Ok(_) => return Ok(()),
            Err(ReadError::Busy) => sleep(PAUSE).await,
            Err(error) => return Err(error.into()),
        }
    }
    Err(ReadError::Busy.into())
}

fn last(shards: &[Shard]) -> Result<&Shard, ServicesError> {
    shards
        .last()
        .ok_or(ServicesError::System("the registry lists no log of this kind"))
}

/// The chains of authorities that issue no more, in PEM, newest first.
pub(super) fn former_chains(keys: &Keys) -> Result<Vec<Vec<String>>, ServicesError> {
    let ended = keys.registry().by_role(Role::FulcioCa).into_iter().rev();
    let ended = ended.filter(|record| record.valid_to.is_some());
    let pem = |certificate: &Certificate| certificate.to_pem().trim_end().to_owned();
    ended
        .map(|record| Ok(Keys::chain(record)?.iter().map(pem).collect()))
        .collect()
}
