//! The composition: all logs in one engine, and every service on one origin.

pub(crate) mod handover;
pub(crate) mod logs;
mod places;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, UNIX_EPOCH};

use axum::Router;
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use common_bundle::trust::{Role, TrustedRoot};
use common_engine::{Anchor, Engine, LogId, LogInfo, LogState, Options, Storage};
use common_pki::key::Signer;
use common_server::admission::Bounds;
use common_server::reply;
use deploy_issuer::{Exposure, Issuer};
use fulcio_ca::{Ca, CaChain, CaConfig, HttpFetcher, IdentityType, IssuerConfig};
use http::{StatusCode, header};
use rekor_api::{search, v1, v2};
use rekor_scorecard::Scorecard;

use crate::clock::{Clock, unix_millis};
use crate::doctor::frozen_line;
use crate::files::FileSet;
use crate::identities::fetch_for;
use crate::in_process::{OwnCtLog, OwnIssuer};
use crate::keys::Keys;
use crate::public_url::PublicUrl;
use crate::records::Kept;
use crate::repository::Validity;
use crate::scorecard;
use crate::services::handover::{Intake, Running};
use crate::services::logs::{Kind, Shards};
use crate::services::places::Places;
use crate::up::limits::LimitArgs;

/// Numbers of the logs in the store, never used for another.
pub(crate) const CT: LogId = LogId(1);
/// As [`CT`].
pub(crate) const REKOR_V1: LogId = LogId(2);
/// As [`CT`].
pub(crate) const REKOR_V2: LogId = LogId(3);

/// Longest canonical v1 entry: what is large in a request is hashed, not stored.
pub(crate) const V1_LEAF_LIMIT: u32 = 1 << 20;
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
        "the store holds logs ({0}) but keys/registry.json is missing: restore the keys folder from your backup; \
         a log never continues with another key"
    )]
    LogsWithoutKeys(String),
    /// The log of a key is not in the store.
    #[error(
        "keys/registry.json lists key {0:?}, and the store has no log of it although other logs take entries: keys and \
         store are not of one instance; restore both from the same backup"
    )]
    ShardMissing(String),
    /// A log cannot be closed or opened now.
    #[error("a log cannot be handed over: {0}")]
    Read(#[from] common_engine::ReadError),
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

/// Whether the store holds logs. One whose keys are lost is refused, before new keys are made for it.
///
/// # Errors
/// [`ServicesError::LogsWithoutKeys`].
pub(crate) async fn has_logs(storage: &dyn Storage, keys_exist: bool) -> Result<bool, ServicesError> {
    let logs = storage.logs().await?;
    if keys_exist || logs.is_empty() {
        return Ok(!logs.is_empty());
    }
    let names: Vec<_> = logs.into_iter().map(|log| log.info.spec.origin).collect();
    Err(ServicesError::LogsWithoutKeys(names.join(", ")))
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
    /// Where clients reach the instance.
    pub(crate) url: &'a PublicUrl,
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
    /// The store of the logs.
    pub(crate) storage: Arc<dyn Storage>,
    /// The record of what was published.
    pub(crate) anchor: Arc<dyn Anchor>,
    /// The time.
    pub(crate) clock: Clock,
    /// The TUF repository.
    pub(crate) tuf: FileSet,
    /// Until when clients accept it.
    pub(crate) validity: Validity,
    /// The exported trust files.
    pub(crate) trust: FileSet,
    /// Folder of published Scorecard results.
    pub(crate) scorecard: PathBuf,
    /// Identity providers that may publish them; with none, all.
    pub(crate) scorecard_issuers: Vec<String>,
    /// The page at `/`.
    pub(crate) landing: String,
}

/// The running services.
pub(crate) struct Services {
    /// The logs.
    pub(crate) engine: Engine,
    /// The certificate authority.
    pub(crate) ca: Arc<Ca>,
    /// Every route.
    pub(crate) router: Router,
    /// What `/readyz` says.
    pub(crate) ready: Readiness,
    /// What a key can be handed over in.
    pub(crate) running: Running,
}

/// Whether the instance has proved that it works, and is not stopping.
#[derive(Debug, Clone, Default)]
pub(crate) struct Readiness(Arc<AtomicBool>);

impl Readiness {
    /// Says from now on that requests are welcome, or not.
    pub(crate) fn set(&self, ready: bool) {
        self.0.store(ready, Ordering::Release);
    }

    fn get(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

/// Opens the logs and builds every service over them.
///
/// # Errors
/// [`ServicesError`] names the service.
pub(crate) async fn start(parts: Parts<'_>) -> Result<Services, ServicesError> {
    let Parts {
        keys,
        issuer_key,
        url,
        exposure,
        issuers,
        intake,
        limits,
        v1_policy,
        v1_events,
        kept,
        storage,
        anchor,
        clock,
        tuf,
        validity,
        trust,
        scorecard,
        scorecard_issuers,
        landing,
    } = parts;
    let now = clock()
        .duration_since(UNIX_EPOCH)
        .map_err(|_| ServicesError::System("the clock is before 1970"))?;
    let created = unix_millis(clock());

    let stored = storage.logs().await?;
    let mut shards = Shards::new(keys, &stored, created);
    let ct_shards = shards.of(Role::CtLog, None)?;
    let v1_shards = shards.of(Role::RekorV1, None)?;
    let v2_shards = shards.of(Role::RekorV2, None)?;
    let all = ct_shards.iter().chain(&v1_shards).chain(&v2_shards);
    let configs = all.map(|shard| shard.config.clone()).collect();
    let mut waits = false;
    for role in [Role::CtLog, Role::RekorV1, Role::RekorV2] {
        waits |= keys.active(role)?.1.waits();
    }
    let engine = Engine::open(
        Arc::clone(&storage),
        configs,
        anchor,
        Arc::clone(&clock).into(),
        engine_options(waits),
    )
    .await?;

    let places = Places::default();
    let mut ct_logs = Vec::new();
    for shard in &ct_shards {
        if let Kind::Ct(personality) = &shard.kind {
            let personality = Arc::clone(personality);
            let log = intake.log(&engine, shard.config.id, personality, keys)?;
            ct_logs.push((shard.name.clone(), log));
        }
    }
    let no_ct = || crate::keys::KeysError::NoKey(Role::CtLog);
    let is_first = |name: &str| logs::first_number(name).is_some();
    let first_ct = ct_logs.iter().find(|(name, _)| is_first(name));
    let (_, first_ct) = first_ct.cloned().ok_or_else(no_ct)?;
    for (name, log) in ct_logs.iter().filter(|(name, _)| !is_first(name)) {
        places.add(name, fulcio_ct::router(Arc::clone(log)));
    }
    let ct = Arc::new(OwnCtLog::new(ct_logs.into_iter().map(|(_, log)| log).collect()).ok_or_else(no_ct)?);

    let (ca_record, ca_signer) = keys.active(Role::FulcioCa)?;
    let ca_certificates = Keys::chain(ca_record)?;
    let development = match issuer_key {
        Some(key) => {
            let issuer = Issuer::new(issuer_config(url, exposure), key, Arc::clone(&clock))?;
            Some(deploy_issuer::router(Arc::new(issuer)))
        }
        None => None,
    };
    let (own, fetch) = match &development {
        Some(routes) => {
            let fetch = OwnIssuer {
                url: url.issuer(),
                routes: routes.clone(),
            };
            (own_issuers(url)?, fetch_for(url.issuer(), Arc::new(fetch)))
        }
        None => (Vec::new(), HttpFetcher::for_each()),
    };
    let mut ca = CaConfig::new(
        Arc::new(CaChain::new(ca_certificates, ca_signer, now.as_secs())?),
        Arc::clone(&ct) as Arc<dyn fulcio_ca::CtLog>,
        [own, issuers].concat(),
        fetch,
        Arc::clone(&clock),
    );
    ca.former = handover::former_chains(keys)?;
    ca.writes = limits.writes();
    ca.quota = limits.per_identity();
    ca.audit = kept.map(Kept::audit);
    ca.pseudonyms = kept.map(Kept::pseudonyms);
    let ca = Arc::new(Ca::new(ca)?);

    let searched = logs::searched(v1_shards.iter().chain(&v2_shards));
    let finder = search::Service::new(engine.clone(), searched, Bounds::EXPENSIVE_READS);
    let finder = Arc::new(finder);
    let mut v1 = v1::Service::new(
        engine.clone(),
        logs::v1(&v1_shards),
        v1_policy,
        v1::Limits {
            writes: limits.writes(),
            ..v1::Limits::default()
        },
    )?;
    if let Some(events) = v1_events {
        v1 = v1.announcing(events);
    }
    let v1 = Arc::new(v1);
    let no_v2 = || crate::keys::KeysError::NoKey(Role::RekorV2);
    let (v2_record, v2_signer) = keys.active(Role::RekorV2)?;
    let v2 = Arc::new(v2::Service::new(
        engine.clone(),
        v2_shards.last().ok_or_else(no_v2)?.config.id,
        &v2_record.origin,
        v2_signer.public_key(),
        v2::Policy::default(),
        v2::Limits {
            writes: limits.writes(),
            ..v2::Limits::default()
        },
    )?);
    let first_v2 = v2_shards.iter().find(|shard| is_first(&shard.name));
    let first_v2 = first_v2.ok_or_else(no_v2)?.config.id;
    for shard in v2_shards.iter().filter(|shard| !is_first(&shard.name)) {
        places.add(&shard.name, v2::router(Arc::clone(&v2), shard.config.id));
    }

    let (tsa_record, tsa_signer) = keys.active(Role::Tsa)?;
    let tsa = rekor_tsa::Tsa::new(Keys::chain(tsa_record)?, tsa_signer, Arc::clone(&clock))?;
    let tsa = Arc::new(tsa.at_most(limits.writes().most));

    let v1_routes = v1::router(Arc::clone(&v1));
    let trusted = trust.clone();
    let scorecard = Scorecard::new(rekor_scorecard::Config {
        store: Arc::new(scorecard::Folder(scorecard)),
        log: Arc::new(scorecard::OwnLog(v1_routes.clone())),
        // As it is published at this moment.
        trust: Arc::new(move || TrustedRoot::parse(&trusted.get("trusted_root.json")?.content).ok()),
        issuers: scorecard_issuers,
        url: url.as_str().to_owned(),
    });

    let ready = Readiness::default();
    let router = Router::new()
        .merge(fulcio_ca::router(Arc::clone(&ca)))
        .merge(v1_routes)
        .merge(rekor_scorecard::router(Arc::new(scorecard)))
        .merge(v2::router(Arc::clone(&v2), first_v2))
        .merge(v2::grpc::router(Arc::clone(&v2)))
        .merge(search::router(Arc::clone(&finder)))
        .merge(rekor_web::router(Arc::clone(&finder)))
        .merge(rekor_tsa::router(Arc::clone(&tsa)))
        .merge(places.clone().router())
        .nest("/ct", fulcio_ct::router(first_ct))
        .merge(development.map_or_else(Router::new, |routes| Router::new().nest("/oidc", routes)))
        .nest("/tuf", tuf.router())
        .nest("/trust", trust.router())
        .merge(health(
            engine.clone(),
            ready.clone(),
            validity,
            Arc::clone(&clock),
        ))
        .route(
            "/",
            get(async move || ([(header::CACHE_CONTROL, "no-cache")], Html(landing.clone()))),
        )
        .fallback(async || {
            reply::error(
                StatusCode::NOT_FOUND,
                "there is no such path; / lists the services",
            )
        });
    let running = Running {
        engine: engine.clone(),
        storage,
        clock,
        ca: Arc::clone(&ca),
        ct,
        v1,
        v2,
        finder,
        tsa,
        places,
        intake,
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

/// The newest log of each kind that takes no entries for good. A shard that has handed over is none of them.
pub(crate) fn frozen(engine: &Engine) -> Vec<Arc<LogInfo>> {
    let logs = engine.logs();
    let mut frozen: Vec<Arc<LogInfo>> = Vec::new();
    for log in &logs {
        let of_kind = |other: &&Arc<LogInfo>| other.spec.kind == log.spec.kind;
        if logs
            .iter()
            .filter(of_kind)
            .all(|other| other.state == LogState::Frozen)
        {
            frozen.retain(|other| other.spec.kind != log.spec.kind);
            frozen.push(Arc::clone(log));
        }
    }
    frozen
}

/// The health of the gateways of fulcio and rekor-tiles, to the byte.
const SERVING: &str = "{\"status\":\"SERVING\"}\n";

/// `/healthz` says that the process answers, `/readyz` that it may be sent requests.
fn health(engine: Engine, ready: Readiness, validity: Validity, clock: Clock) -> Router {
    let readiness = async move || -> Response {
        if !ready.get() {
            return reply::unavailable(
                1,
                "not ready: the first canary has not passed yet, or the server is stopping",
            );
        }
        if !engine.is_writable() {
            return reply::unavailable(
                5,
                "not ready: the last write to the log store failed; see the server's log",
            );
        }
        if !validity.includes(clock()) {
            return reply::unavailable(
                60,
                "not ready: the trust repository has expired and clients refuse it; see the server's log",
            );
        }
        // A frozen log is as it should be: whoever asks is told, and sent requests all the same.
        let lines = frozen(&engine).into_iter().map(|log| frozen_line(&log));
        std::iter::once("ready\n".to_owned())
            .chain(lines)
            .collect::<String>()
            .into_response()
    };
    Router::new()
        .route(
            "/healthz",
            get(async || ([(header::CONTENT_TYPE, "application/json")], SERVING)),
        )
        .route("/readyz", get(readiness))
}

#[cfg(test)]
mod tests;
