//! `up`: everything on one origin, from an empty folder to a served request.

mod descriptors;
pub(crate) mod folder;
pub(crate) mod limits;
mod ready;
pub(crate) mod rekor;
pub(crate) mod signal;
mod sockets;

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use common_backend::anchor::FileAnchor;
use common_backend::sqlite::SqliteStorage;
use common_engine::{Anchor, Engine, LogKind, NoAnchor, Storage};
use common_pki::key::Signer;
use common_server::serve::{Drained, Limits, serve};
use common_server::{client, layers, telemetry};
use deploy_issuer::Exposure;
use fulcio_ca::{Configuration, IssuerConfig};
use rekor_api::v1;

use crate::cli::UpArgs;
use crate::client_setup::{self, Origins, Served, own_name};
use crate::clock::{self, Clock};
use crate::console::Console;
use crate::control;
use crate::doctor;
use crate::exit::Failure;
use crate::identities::{Follower, IssuersFile};
use crate::keys::others::Others;
use crate::keys::{self, Keys, KeysError, Places, runner};
use crate::landing;
use crate::layout::Layout;
use crate::local_tls;
use crate::paste::{self, quoted};
use crate::public_url::PublicUrl;
use crate::records::{Kept, Place};
use crate::repository::Repository;
use crate::rotate::{self, Keeper};
use crate::services::{self, Parts, Services, ServicesError, TrustFiles};
use crate::site::Roles;
use crate::up::folder::Folder;
use crate::up::ready::Ready;
use crate::up::signal::Stop;
use crate::up::sockets::Sockets;
use crate::webhook::{self, Deliveries};

/// The longest an answer may take; a client has given up by then.
const REQUEST_LIMIT: Duration = Duration::from_secs(60);
/// How often the store is asked for by its last user, and how long apart: two seconds in all.
const CLOSE_ATTEMPTS: u32 = 200;
const CLOSE_PAUSE: Duration = Duration::from_millis(10);
/// A scraper or two.
const METRICS_CONNECTIONS: usize = 64;

/// Runs the command: returns after a signal and a drain.
///
/// # Errors
/// [`Failure`] when the instance cannot start.
pub(crate) async fn run(args: UpArgs, console: Console) -> Result<(), Failure> {
    let began = Instant::now();
    // Before anything is made, so that a signal during the start also ends it in order.
    let stop = Stop::listen().map_err(Failure::cannot_start)?;
    let stored = stored_url(&args).map_err(Failure::cannot_start)?;
    let sockets = Sockets::bind(&args).map_err(Failure::cannot_start)?;
    // Also before anything is made: keys carry the host for good.
    let url = sockets.public_url(&args, stored.as_ref());
    let url = url.map_err(Failure::cannot_start)?;
    services::issuer_config(&url, exposure(&args))
        .check()
        .map_err(Failure::cannot_start)?;
    let issuers = args.fulcio_config.clone();
    let issuers = issuers.map(|file| IssuersFile::open(file, console));
    let issuers = issuers.transpose().map_err(Failure::cannot_start)?;
    let folder = Folder::open(&args).map_err(Failure::cannot_start)?;
    let outcome = serve_on(&args, console, stop, sockets, &url, &folder, issuers, began).await;
    folder.close().map_err(Failure::failed)?;
    outcome
}

/// The URL that the instance in the folder has, if there is one. A folder of `serve` is refused before anything in it is touched;
/// [`Keys::open`] looks again, once nobody else can change it.
fn stored_url(args: &UpArgs) -> Result<Option<PublicUrl>, KeysError> {
    if args.ephemeral {
        return Ok(None);
    }
    let registry = keys::read_registry(&Layout::new(args.data.clone()))?;
    let url = |registry| runner::development_url(&registry).ok_or(KeysError::Production);
    registry.map(url).transpose()
}

#[expect(clippy::too_many_arguments, reason = "the parts of a start, each made before")]
async fn serve_on(
    args: &UpArgs,
    console: Console,
    stop: Stop,
    sockets: Sockets,
    url: &PublicUrl,
    folder: &Folder,
    issuers: Option<(Follower, Configuration)>,
    began: Instant,
) -> Result<(), Failure> {
    let metrics = telemetry::init_metrics(&v1::metrics::HISTOGRAMS, &v1::metrics::BUCKETS)
        .map_err(Failure::cannot_start)?;
    let clock = clock::system();
    let Instance {
        storage,
        services,
        keys,
        repository,
        root,
        deliveries,
        kept,
    } = assemble(
        args,
        &clock,
        url,
        folder,
        issuers
            .as_ref()
            .map(|(_, configuration)| configuration.issuers.clone())
            .unwrap_or_default(),
    )
    .await?;
    warn_of_exposed_keys(console, folder.layout());
    let acceptor = local_tls::prepare(folder.layout(), url.host(), clock()).map_err(Failure::cannot_start)?;

    let tls_authority =
        std::fs::read_to_string(folder.layout().tls_authority()).map_err(Failure::cannot_start)?;
    let origins = Origins::Development { tls_authority };
    let setup = client_setup::routes(
        url.as_str(),
        &sockets.tls_url(),
        origins,
        repository.tuf(),
        repository.trust(),
    );
    let lines = Served::new(url.as_str(), &sockets.tls_url(), &root).instance();

    let (local, ready) = (sockets.local_url(), Ready::new(url, &sockets, folder.layout()));
    let mut http = vec![sockets.http, sockets.tls.with_tls(acceptor)];
    http.extend(sockets.loopback);
    let router_for_previews = services.router.clone();
    let router = services.router.merge(setup);
    let router = match args.limits.per_address() {
        Some(limit) => client::limit(router, limit),
        None => router,
    };
    let router = layers::wrap(router, REQUEST_LIMIT);
    let public = tokio::spawn(serve(http, router, args.limits.connections(), stop.wait()));
    let internal = layers::wrap(telemetry::metrics_router(metrics.clone()), REQUEST_LIMIT);
    let limits = Limits {
        connections: METRICS_CONNECTIONS,
        ..Limits::default()
    };
    let internal = tokio::spawn(serve(vec![sockets.metrics], internal, limits, stop.wait()));
    let upkeep = tokio::spawn(telemetry::upkeep(metrics));
    let keeper = Keeper::new(
        folder.layout().clone(),
        url.clone().into(),
        clock,
        services.running,
        router_for_previews,
        keys,
        Some((repository, Others::default())),
    );
    let keeping = tokio::spawn(Arc::clone(&keeper).keep());
    let control = control::listen(folder.layout(), keeper).map_err(Failure::cannot_start)?;

    let follow = match (issuers, &services.ca) {
        (Some((file, _)), Some(ca)) => {
            let own = services::own_issuers(url).map_err(Failure::cannot_start)?;
            Some(tokio::spawn(file.follow(Arc::clone(ca), own)))
        }
        _ => None,
    };

    let frozen = frozen_logs(services.engine.as_ref(), console);
    let outcome = tokio::select! {
        passed = doctor::canary(&local, &frozen) => match passed {
            Ok(()) => {
                services.ready.set(true);
                ready.announce(args.json, console, &paste::Instance { sigbox: own_name(), ..lines }, began.elapsed())
            }
            Err(broken) => Err(Failure::cannot_start(format!("the first canary did not pass: {broken}"))),
        },
        () = stop.wait() => Ok(()),
    };
    if outcome.is_ok() {
        stop.wait().await;
        console.remark("stopping: open requests finish first, Ctrl-C again cuts them");
    }
    // After a failed start nobody has asked for the end yet.
    stop.now();
    services.ready.set(false);
    if matches!(public.await, Ok(Drained::Cut)) {
        tracing::warn!("requests that were still open at the end of the drain were cut");
    }
    let _ = internal.await;
    upkeep.abort();
    for task in [keeping, control].into_iter().chain(follow) {
        task.abort();
        // What it had begun is done, or undone, by the next start.
        let _ = task.await;
    }
    if let Some(deliveries) = deliveries {
        deliveries.finish().await;
    }
    drop(services.ca);
    kept.close().await;
    if let Some(engine) = services.engine {
        engine.shutdown().await;
    }
    close(storage).await;
    outcome
}

/// The kinds of logs that are served for reading alone: they take no canary.
fn frozen_logs(engine: Option<&Engine>, console: Console) -> Vec<LogKind> {
    let kinds = engine.into_iter().flat_map(services::frozen).map(|log| {
        console.warning(&format!(
            "log {} is frozen: it is read and never written again",
            log.spec.origin
        ));
        log.spec.kind
    });
    kinds.collect()
}

/// Moves everything into the main file and closes it. Commits are durable without it, but the next start is spared the
/// recovery, and a temporary folder is not written to while it is removed.
pub(crate) async fn close(mut storage: Arc<SqliteStorage>) {
    // A request that was cut lets go of the store when its task notices.
    for _ in 0..CLOSE_ATTEMPTS {
        match Arc::try_unwrap(storage) {
            Ok(last) => return last.close().await,
            Err(shared) => storage = shared,
        }
        tokio::time::sleep(CLOSE_PAUSE).await;
    }
    tracing::warn!("the store is still in use and was not closed; the next start recovers it");
}

/// What `up` runs.
pub(crate) struct Instance {
    /// To be given to [`close`].
    pub(crate) storage: Arc<SqliteStorage>,
    /// Over the logs.
    pub(crate) services: Services,
    keys: Keys,
    repository: Repository,
    /// The current `root.json`, whose digest is part of the lines to paste.
    root: bytes::Bytes,
    /// Sends the events of new entries, until nothing makes any.
    deliveries: Option<Deliveries>,
    /// What the authority keeps beside the logs.
    kept: Kept,
}

/// Keys, logs, services and trust repository of the folder: created where missing, else continued.
pub(crate) async fn assemble(
    args: &UpArgs,
    clock: &Clock,
    url: &PublicUrl,
    folder: &Folder,
    issuers: Vec<IssuerConfig>,
) -> Result<Instance, Failure> {
    let layout = folder.layout();
    let storage = Arc::new(
        SqliteStorage::open(folder.lock())
            .await
            .map_err(Failure::cannot_start)?,
    );
    let listed = Keys::listed(layout).map_err(Failure::cannot_start)?;
    let stored = storage.logs().await.map_err(ServicesError::from);
    let stored = stored.map_err(Failure::cannot_start)?;
    let logs_exist = services::has_logs(&stored, &Roles::all(), &listed).map_err(Failure::cannot_start)?;
    let (keys, issuer_key) = open_keys(layout.clone(), url.clone(), clock()).await?;
    let keys = rotate::resume(keys, layout, &stored, clock).map_err(Failure::cannot_start)?;
    let repository =
        Repository::open(layout.clone(), &keys, logs_exist, clock()).map_err(Failure::cannot_start)?;
    let root = repository.root();
    // A store that does not outlive the process has no past to be compared with.
    let anchor: Arc<dyn Anchor> = if args.ephemeral {
        Arc::new(NoAnchor)
    } else {
        Arc::new(FileAnchor::new(layout.published()))
    };
    let (v1_events, deliveries) = args.rekor.rekor_webhook.clone().map(webhook::start).unzip();
    let kept = Kept::new(Place::Folder(layout.root().to_owned()));
    let parts = Parts {
        keys: &keys,
        issuer_key: Some(issuer_key),
        site: &url.clone().into(),
        exposure: exposure(args),
        issuers,
        intake: services::handover::Intake::default(),
        limits: &args.limits,
        v1_policy: args.rekor.policy(),
        v1_events,
        kept: Some(&kept),
        storage: Some(Arc::clone(&storage) as Arc<dyn Storage>),
        anchor,
        clock: Arc::clone(clock),
        trust: Some(TrustFiles {
            tuf: repository.tuf(),
            validity: repository.validity(),
            exported: repository.trust(),
            // It shows no client that needs TLS.
            landing: landing::page(&Served::new(url.as_str(), url.as_str(), &root).instance()),
        }),
        scorecard: layout.scorecard(),
        scorecard_issuers: args.scorecard_issuers.clone(),
    };
    let services = services::start(parts).await.map_err(Failure::cannot_start)?;
    Ok(Instance {
        storage,
        services,
        keys,
        repository,
        root,
        deliveries,
        kept,
    })
}

fn exposure(args: &UpArgs) -> Exposure {
    if args.expose_development_issuer_to_the_network {
        Exposure::AnyInterface
    } else {
        Exposure::LoopbackOnly
    }
}

/// Only a warning: a folder on a file system without permissions cannot be made better.
fn warn_of_exposed_keys(console: Console, layout: &Layout) {
    for path in keys::exposed(layout) {
        console.warning(&format!(
            "{0} is accessible to other users of this machine, who can then sign as this instance: chmod go= {1}",
            path.display(),
            quoted(&path.to_string_lossy())
        ));
    }
}

/// Generating an RSA key takes a while, and every file is flushed: not on a thread that serves.
async fn open_keys(
    layout: Layout,
    url: PublicUrl,
    now: SystemTime,
) -> Result<(Keys, Arc<dyn Signer>), Failure> {
    let open = move || {
        Ok((
            Keys::open(&layout, &url.into(), &Places::default(), now)?,
            keys::development_issuer(&layout)?,
        ))
    };
    let opened: Result<_, KeysError> = tokio::task::spawn_blocking(open)
        .await
        .map_err(|error| Failure::cannot_start(format!("making keys was interrupted: {error}")))?;
    opened.map_err(Failure::cannot_start)
}
