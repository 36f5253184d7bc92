//! The composition: three logs in one engine, and every service on one origin.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, UNIX_EPOCH};

use aws_lc_rs::rand;
use axum::Router;
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use common_bundle::trust::{Role, TrustedRoot};
use common_engine::{
    Anchor, Engine, LogConfig, LogId, LogKind, LogSpec, LogState, Options, Storage, StoredLog,
};
use common_pki::key::Signer;
use common_server::reply;
use deploy_issuer::{Exposure, Issuer};
use fulcio_ca::{Ca, CaChain, CaConfig, IdentityType, IssuerConfig};
use fulcio_ct::{AcceptedRoots, CtPersonality};
use http::{StatusCode, header};
use rekor_api::{RekorV1, RekorV2, v1, v2};
use rekor_scorecard::Scorecard;

use crate::clock::Clock;
use crate::doctor::frozen_line;
use crate::files::FileSet;
use crate::in_process::{OwnCtLog, OwnIssuer};
use crate::keys::Keys;
use crate::public_url::PublicUrl;
use crate::repository::Validity;
use crate::scorecard;
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
const AUDIENCE: &str = "sigstore";

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

/// What the services are made of.
pub(crate) struct Parts<'a> {
    /// Registry and private keys.
    pub(crate) keys: &'a Keys,
    /// The development issuer's key.
    pub(crate) issuer_key: Arc<dyn Signer>,
    /// Where clients reach the instance.
    pub(crate) url: &'a PublicUrl,
    /// Who may talk to the development issuer.
    pub(crate) exposure: Exposure,
    /// What clients may ask for.
    pub(crate) limits: &'a LimitArgs,
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
    /// Every route.
    pub(crate) router: Router,
    /// What `/readyz` says.
    pub(crate) ready: Readiness,
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
        limits,
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
    let created = u64::try_from(now.as_millis()).unwrap_or(u64::MAX);

    let (ct_record, ct_signer) = keys.active(Role::CtLog)?;
    let ct_personality = Arc::new(CtPersonality::new(Arc::clone(&ct_signer), &ct_record.origin)?);
    let (_, v1_signer) = keys.active(Role::RekorV1)?;
    let tree = tree_id(&storage.logs().await?)?;
    let shard = v1::Shard::new(tree, 0, v1_signer.public_key().clone());
    let (v2_record, v2_signer) = keys.active(Role::RekorV2)?;
    let v2_key = v2_signer.public_key().clone();

    let configs = vec![
        LogConfig {
            id: CT,
            spec: ct_personality.spec(created),
            personality: Arc::clone(&ct_personality) as Arc<dyn common_engine::Personality>,
        },
        LogConfig {
            id: REKOR_V1,
            spec: LogSpec {
                kind: LogKind::RekorV1,
                origin: shard.origin(url.host()),
                tree_id: tree.get(),
                key_id: shard.log_id().to_owned(),
                leaf_limit: V1_LEAF_LIMIT,
                created,
            },
            personality: Arc::new(RekorV1::new(shard.clone(), url.host(), Arc::clone(&v1_signer))),
        },
        LogConfig {
            id: REKOR_V2,
            spec: LogSpec {
                kind: LogKind::RekorV2,
                origin: url.host().to_owned(),
                tree_id: 0,
                key_id: hex::encode(&v2_record.log_id),
                leaf_limit: V2_LEAF_LIMIT,
                created,
            },
            personality: Arc::new(RekorV2::new(url.host(), Arc::clone(&v2_signer))?),
        },
    ];
    let waits = [&ct_signer, &v1_signer, &v2_signer]
        .into_iter()
        .any(|signer| signer.waits());
    let engine = Engine::open(
        storage,
        configs,
        anchor,
        Arc::clone(&clock).into(),
        engine_options(waits),
    )
    .await?;

    let (ca_record, ca_signer) = keys.active(Role::FulcioCa)?;
    let ca_certificates = Keys::chain(ca_record)?;
    let roots = AcceptedRoots::new(ca_certificates.last().cloned().into_iter().collect())?;
    let ct = Arc::new(fulcio_ct::CtLog::new(engine.clone(), CT, ct_personality, roots));

    let issuer = Issuer::new(issuer_config(url, exposure), issuer_key, Arc::clone(&clock))?;
    let issuer_routes = deploy_issuer::router(Arc::new(issuer));
    let fetch = OwnIssuer {
        url: url.issuer(),
        routes: issuer_routes.clone(),
    };
    let mut ca = CaConfig::new(
        Arc::new(CaChain::new(ca_certificates, ca_signer, now.as_secs())?),
        Arc::new(OwnCtLog {
            log: Arc::clone(&ct),
            key: ct_signer.public_key().clone(),
        }),
        vec![IssuerConfig::new(&url.issuer(), AUDIENCE, IdentityType::Email)?],
        Arc::new(fetch),
        Arc::clone(&clock),
    );
    ca.writes = limits.writes();
    ca.quota = limits.per_identity();
    let ca = Ca::new(ca)?;

    let v1 = v1::Service::new(
        engine.clone(),
        vec![(REKOR_V1, shard)],
        v1::Policy::default(),
        v1::Limits {
            writes: limits.writes(),
            ..v1::Limits::default()
        },
    )?;
    let v2 = v2::Service::new(
        engine.clone(),
        REKOR_V2,
        url.host(),
        &v2_key,
        v2::Policy::default(),
        v2::Limits {
            writes: limits.writes(),
            ..v2::Limits::default()
        },
    )?;

    let (tsa_record, tsa_signer) = keys.active(Role::Tsa)?;
    let tsa = rekor_tsa::Tsa::new(Keys::chain(tsa_record)?, tsa_signer, Arc::clone(&clock))?
        .bounded(limits.writes());

    let v1_routes = v1::router(Arc::new(v1));
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
        .merge(fulcio_ca::router(Arc::new(ca)))
        .merge(v1_routes)
        .merge(rekor_scorecard::router(Arc::new(scorecard)))
        .merge(v2::router(Arc::new(v2)))
        .merge(rekor_tsa::router(Arc::new(tsa)))
        .nest("/ct", fulcio_ct::router(ct))
        .nest("/oidc", issuer_routes)
        .nest("/tuf", tuf.router())
        .nest("/trust", trust.router())
        .merge(health(engine.clone(), ready.clone(), validity, clock))
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
    Ok(Services {
        engine,
        router,
        ready,
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

/// The tree ID of the stored Rekor v1 log; a random one for a log that is not there yet. It is drawn anew for a new
/// database, never derived: rekor-cli keeps the last state it saw of a tree ID (`~/.rekor/state.json`) and would take a
/// second log of the same number for a fork.
fn tree_id(logs: &[StoredLog]) -> Result<v1::TreeId, ServicesError> {
    if let Some(log) = logs.iter().find(|log| log.info.id == REKOR_V1) {
        let stored = log.info.spec.tree_id;
        return v1::TreeId::new(stored).ok_or(ServicesError::TreeId(stored));
    }
    loop {
        let mut random = [0; 8];
        rand::fill(&mut random).map_err(|_| ServicesError::System("no random numbers"))?;
        if let Some(tree) = v1::TreeId::new(u64::from_be_bytes(random) >> 1) {
            return Ok(tree);
        }
    }
}

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
        let frozen = engine
            .logs()
            .into_iter()
            .filter(|log| log.state == LogState::Frozen);
        let lines = frozen.map(|log| frozen_line(&log));
        std::iter::once("ready\n".to_owned())
            .chain(lines)
            .collect::<String>()
            .into_response()
    };
    Router::new()
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(readiness))
}

#[cfg(test)]
mod tests;
