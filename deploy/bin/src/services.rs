//! The composition: all logs in one engine, and every service on one origin.

mod certificates;
mod first_leaf;
pub(crate) mod handover;
mod health;
pub(crate) mod logs;
mod places;
mod rekor;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use axum::Router;
use axum::response::Html;
use axum::routing::get;
use common_bundle::trust::Role;
use common_engine::{Anchor, Engine, LogId, Options, Storage, StoredLog};
use common_pki::key::Signer;
use common_server::reply;
use deploy_issuer::Exposure;
use fulcio_ca::{Ca, IdentityType, IssuerConfig};
use http::{StatusCode, header};
use rekor_api::{search, v1, v2};

use crate::clock::{Clock, unix_millis};
use crate::files::FileSet;
use crate::keys::Keys;
use crate::log_checks::role;
use crate::public_url::PublicUrl;
use crate::records::Kept;
use crate::repository::Validity;
use crate::services::handover::{Intake, Running};
pub(crate) use crate::services::health::{Readiness, frozen};
use crate::services::logs::{Shard, Shards};
use crate::services::places::Places;
use crate::site::{Roles, Site};
use crate::up::limits::LimitArgs;

/// Numbers of the logs in the store, never used for another.
pub(crate) const CT: LogId = LogId(1);
/// As [`CT`].
pub(crate) const REKOR_V1: LogId = LogId(2);
/// As [`CT`].
pub(crate) const REKOR_V2: LogId = LogId(3);

/// Longest canonical v1 entry: what is large in a request is hashed, not stored.
pub(crate) const V1_LEAF_LIMIT: u32 = 1 << 20;
/// Longest entry of a v1 log that is taken over: others kept what they were sent, and none answers with much more.
pub(crate) const IMPORTED_V1_LEAF_LIMIT: u32 = 16 << 20;
/// Longest v2 entry: its length has 16 bits in an entry bundle (C2SP tlog-tiles "Log entries").
pub(crate) const V2_LEAF_LIMIT: u32 = u16::MAX as u32;
/// Fulcio's own tokens live as long as those of most providers.
const TOKEN_LIFETIME: Duration = Duration::from_secs(3600);
/// Threads that seal entries where keys wait: as many signatures at once as a token or a key service may have to make.
const SEALING_THREADS: usize = 32;
/// Client ID of every Sigstore tool.
pub(crate) const AUDIENCE: &str = "sigstore";

/// The services cannot be put together.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ServicesError {
    /// A key is missing or cannot be used.
    #[error(transparent)]
    Keys(#[from] crate::keys::KeysError),
    /// The store cannot be read.
    #[error("the log store cannot be read: {0}")]
    Storage(#[from] common_engine::StorageError),
    /// The store does not verify, or belongs to other keys.
    #[error("the logs cannot be opened: {0}")]
    Engine(#[from] common_engine::OpenError),
    /// The store holds logs, and their keys are gone.
    #[error(
        "the store holds logs ({0}) but keys/registry.json is missing or lists no key of theirs: restore the keys folder from \
         your backup; a log never continues with another key"
    )]
    LogsWithoutKeys(String),
    /// The log of a key is not in the store.
    #[error(
        "keys/registry.json lists key {0:?}, and the store has no log of it although other logs take entries: keys and \
         store are not of one instance; restore both from the same backup"
    )]
    ShardMissing(String),
    /// The key of a log that is to be opened does not sign.
    #[error("key {0:?} is to take over a log and did not sign a head on trial: {1}")]
    Trial(String, common_engine::SealError),
    /// A log cannot be closed or opened now.
    #[error("a log cannot be handed over: {0}")]
    Read(#[from] common_engine::ReadError),
    /// The entry that a new shard begins with.
    #[error("the first leaf of the new shard: {0}")]
    FirstLeaf(#[from] first_leaf::FirstLeafError),
    /// Requests do not finish.
    #[error("entries on their way did not finish within {} seconds; nothing was changed", handover::PATIENCE.as_secs())]
    Busy,
    /// The stored tree ID is not one.
    #[error("the stored tree ID {0} of the Rekor v1 log is not a positive 63-bit number")]
    TreeId(u64),
    /// The certificate log.
    #[error("certificate log: {0}")]
    Ct(#[from] fulcio_ct::PersonalityError),
    /// Its accepted roots.
    #[error("certificate log: {0}")]
    CtRoots(#[from] fulcio_ct::ChainError),
    /// The Rekor v1 log.
    #[error("Rekor v1: {0}")]
    V1(#[from] v1::ShardsError),
    /// The Rekor v2 log.
    #[error("Rekor v2: {0}")]
    V2(#[from] v2::NotEd25519),
    /// Its service.
    #[error("Rekor v2: {0}")]
    V2Service(#[from] v2::ServiceError),
    /// The authority's chain.
    #[error("certificate authority: {0}")]
    CaChain(#[from] fulcio_ca::ChainError),
    /// The authority's issuers.
    #[error("certificate authority: {0}")]
    CaIssuers(#[from] fulcio_ca::ConfigError),
    /// The development issuer.
    #[error("development issuer: {0}")]
    Issuer(#[from] deploy_issuer::ConfigError),
    /// The timestamp authority.
    #[error("timestamp authority: {0}")]
    Tsa(#[from] rekor_tsa::TsaError),
    /// The system has no random numbers, or its clock is before 1970.
    #[error("cannot create the logs: {0}")]
    System(&'static str),
}

/// Whether logs of `roles` are `stored`. One whose keys are lost, because they are not among those `listed`, is refused
/// before new keys are made for it. Logs of other processes may be in the same database.
///
/// # Errors
/// [`ServicesError::LogsWithoutKeys`].
pub(crate) fn has_logs(
    stored: &[StoredLog],
    roles: &Roles,
    listed: &BTreeSet<Role>,
) -> Result<bool, ServicesError> {
    let specs = stored.iter().map(|log| &log.info.spec);
    let ours: Vec<_> = specs.filter(|spec| roles.has(role(spec.kind))).collect();
    let orphans = ours.iter().filter(|spec| !listed.contains(&role(spec.kind)));
    let names: Vec<_> = orphans.map(|spec| spec.origin.as_str()).collect();
    if names.is_empty() {
        Ok(!ours.is_empty())
    } else {
        Err(ServicesError::LogsWithoutKeys(names.join(", ")))
    }
}

/// The development issuer at `url`: its configuration can be checked before there is a key for it.
#[must_use]
pub(crate) fn issuer_config(url: &PublicUrl, exposure: Exposure) -> deploy_issuer::Config {
    deploy_issuer::Config {
        url: url.issuer(),
        exposure,
        clients: vec![deploy_issuer::Client::sigstore()],
        token_lifetime: TOKEN_LIFETIME,
    }
}

/// The issuers of the composition itself: the development issuer.
///
/// # Errors
/// If its URL cannot be an issuer's.
pub(crate) fn own_issuers(url: &PublicUrl) -> Result<Vec<IssuerConfig>, fulcio_ca::ConfigError> {
    Ok(vec![IssuerConfig::new(
        &url.issuer(),
        AUDIENCE,
        IdentityType::email(),
    )?])
}

/// What the services are made of.
pub(crate) struct Parts<'a> {
    /// Registry and private keys.
    pub(crate) keys: &'a Keys,
    /// The development issuer's key; without it there is no development issuer.
    pub(crate) issuer_key: Option<Arc<dyn Signer>>,
    /// Which services there are, and where clients reach them.
    pub(crate) site: &'a Site,
    /// Who may talk to the development issuer.
    pub(crate) exposure: Exposure,
    /// Issuers whose tokens are taken beside those of the development issuer.
    pub(crate) issuers: Vec<IssuerConfig>,
    /// Whose precertificates are taken beside the own authority's.
    pub(crate) intake: Intake,
    /// What clients may ask for.
    pub(crate) limits: &'a LimitArgs,
    /// What Rekor v1 takes.
    pub(crate) v1_policy: v1::Policy,
    /// Who is told of its new entries.
    pub(crate) v1_events: Option<v1::events::Events>,
    /// Where refusals and pseudonyms are kept, if they are.
    pub(crate) kept: Option<&'a Kept>,
    /// The store of the logs, where there are logs.
    pub(crate) storage: Option<Arc<dyn Storage>>,
    /// The record of what was published.
    pub(crate) anchor: Arc<dyn Anchor>,
    /// The time.
    pub(crate) clock: Clock,
    /// The trust repository, where there is one.
    pub(crate) trust: Option<TrustFiles>,
    /// Folder of published Scorecard results.
    pub(crate) scorecard: PathBuf,
    /// Identity providers that may publish them; with none, all.
    pub(crate) scorecard_issuers: Vec<String>,
}

/// What clients start from.
pub(crate) struct TrustFiles {
    /// The TUF repository.
    pub(crate) tuf: FileSet,
    /// Until when clients accept it.
    pub(crate) validity: Validity,
    /// The exported files.
    pub(crate) exported: FileSet,
    /// The page at `/`.
    pub(crate) landing: String,
}

/// The running services.
pub(crate) struct Services {
    /// The logs, where there are any.
    pub(crate) engine: Option<Engine>,
    /// The certificate authority, where there is one.
    pub(crate) ca: Option<Arc<Ca>>,
    /// Every route.
    pub(crate) router: Router,
    /// What `/readyz` says.
    pub(crate) ready: Readiness,
    /// What a key can be handed over in.
    pub(crate) running: Running,
}

/// The logs of a process, open.
struct Logs {
    engine: Engine,
    storage: Arc<dyn Storage>,
    ct: Vec<Shard>,
    v1: Vec<Shard>,
    v2: Vec<Shard>,
}

/// Opens the logs of the process' roles.
///
/// # Errors
/// [`ServicesError`].
async fn open_logs(parts: &Parts<'_>, storage: Arc<dyn Storage>) -> Result<Logs, ServicesError> {
    let keys = parts.keys;
    let stored = storage.logs().await?;
    let mut shards = Shards::new(keys, &stored, unix_millis((parts.clock)()));
    let mut waits = false;
    let mut of = |role| -> Result<Vec<Shard>, ServicesError> {
        if !keys.roles().has(role) {
            return Ok(Vec::new());
        }
        waits |= keys.active(role)?.1.waits();
        shards.of(role, None)
    };
    let (ct, v1, v2) = (of(Role::CtLog)?, of(Role::RekorV1)?, of(Role::RekorV2)?);
    let all = ct.iter().chain(&v1).chain(&v2);
    let engine = Engine::open(
        Arc::clone(&storage),
        all.map(|shard| shard.config.clone()).collect(),
        Arc::clone(&parts.anchor),
        Arc::clone(&parts.clock).into(),
        engine_options(waits),
    )
    .await?;
    Ok(Logs {
        engine,
        storage,
        ct,
        v1,
        v2,
    })
}

/// Opens the logs and builds every service over them that the process has a role for.
///
/// # Errors
/// [`ServicesError`] names the service.
pub(crate) async fn start(parts: Parts<'_>) -> Result<Services, ServicesError> {
    let (keys, clock) = (parts.keys, Arc::clone(&parts.clock));
    let now = clock()
        .duration_since(UNIX_EPOCH)
        .map_err(|_| ServicesError::System("the clock is before 1970"))?;
    let logs = match parts.storage.clone() {
        Some(storage) => Some(open_logs(&parts, storage).await?),
        None => None,
    };
    let places = Places::default();
    let mut router = Router::new();

    let has = |role| keys.roles().has(role);
    let (mut ct, mut ca, mut v1, mut v2, mut finder, mut tsa) = (None, None, None, None, None, None);
    if let Some(logs) = logs.as_ref().filter(|logs| !logs.ct.is_empty()) {
        let own = certificates::ct_logs(&parts, &logs.engine, &logs.ct, &places)?;
        router = router.nest("/ct", fulcio_ct::router(Arc::clone(&own.first)));
        if has(Role::FulcioCa) {
            let development = certificates::development_issuer(&parts)?;
            let authority = certificates::authority(&parts, &own, development.as_ref(), now.as_secs())?;
            router = router.merge(fulcio_ca::router(Arc::clone(&authority)));
            if let Some(routes) = development {
                router = router.nest("/oidc", routes);
            }
            ca = Some(authority);
        }
        ct = Some(own.all);
    }
    if let Some(logs) = logs.as_ref().filter(|logs| !logs.v1.is_empty()) {
        let service = rekor::v1(&parts, &logs.engine, &logs.v1)?;
        let routes = v1::router(Arc::clone(&service));
        if let Some(trust) = &parts.trust {
            router = router.merge(rekor::scorecard(&parts, routes.clone(), trust.exported.clone()));
        }
        router = router.merge(routes);
        v1 = Some(service);
    }
    if let Some(logs) = logs.as_ref().filter(|logs| !logs.v2.is_empty()) {
        let (service, first) = rekor::v2(&parts, &logs.engine, &logs.v2, &places)?;
        router = router
            .merge(v2::router(Arc::clone(&service), first))
            .merge(v2::grpc::router(Arc::clone(&service)));
        v2 = Some(service);
    }
    if let Some(logs) = logs
        .as_ref()
        .filter(|logs| !(logs.v1.is_empty() && logs.v2.is_empty()))
    {
        let service = rekor::finder(&logs.engine, logs.v1.iter().chain(&logs.v2));
        router = router
            .merge(search::router(Arc::clone(&service)))
            .merge(rekor_web::router(Arc::clone(&service)));
        finder = Some(service);
    }
    if has(Role::Tsa) {
        let (record, signer) = keys.active(Role::Tsa)?;
        let authority = rekor_tsa::Tsa::new(Keys::chain(record)?, signer, Arc::clone(&clock))?;
        let authority = Arc::new(authority.at_most(parts.limits.writes().most));
        router = router.merge(rekor_tsa::router(Arc::clone(&authority)));
        tsa = Some(authority);
    }

    let engine = logs.as_ref().map(|logs| logs.engine.clone());
    let ready = Readiness::default();
    let validity = parts.trust.as_ref().map(|trust| trust.validity.clone());
    router = router.merge(places.clone().router()).merge(health::health(
        engine.clone(),
        ready.clone(),
        validity,
        Arc::clone(&clock),
    ));
    if let Some(trust) = parts.trust {
        let landing = trust.landing;
        router = router
            .nest("/tuf", trust.tuf.router())
            .nest("/trust", trust.exported.router())
            .route(
                "/",
                get(async move || ([(header::CACHE_CONTROL, "no-cache")], Html(landing.clone()))),
            );
    }
    let router = router.fallback(async || {
        reply::error(
            StatusCode::NOT_FOUND,
            "there is no such path; / lists the services",
        )
    });
    let running = Running {
        logs: logs.map(|logs| (logs.engine, logs.storage)),
        clock,
        ca: ca.clone(),
        ct,
        v1,
        v2,
        finder,
        tsa,
        places,
        intake: parts.intake,
    };
    Ok(Services {
        engine,
        ca,
        router,
        ready,
        running,
    })
}

/// Keys that wait for something outside the process keep a thread of the engine waiting for each signature.
fn engine_options(waits: bool) -> Options {
    let options = Options::default();
    Options {
        threads: if waits {
            options.threads.max(SEALING_THREADS)
        } else {
            options.threads
        },
        ..options
    }
}

#[cfg(test)]
mod tests;
