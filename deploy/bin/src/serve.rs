//! `serve`: the services for production, by a configuration file: real issuers, chosen services at each listener, logs in
//! SQLite or PostgreSQL, keys wherever the file says. No development issuer, so nobody signs as anyone.

mod canary;
pub(crate) mod config;
mod parts;
pub(crate) mod store;
mod tls;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Args;
use common_backend::anchor::FileAnchor;
use common_backend::folder::DataFolder;
use common_server::listen::Bound;
use common_server::serve::{Drained, Limits, serve};
use common_server::{client, layers, telemetry};
use deploy_issuer::Exposure;
use rekor_api::v1;
use serde::Serialize;

use crate::client_setup::{self, Origins, Served};
use crate::clock::{self, Clock};
use crate::console::{self, Console};
use crate::control;
use crate::exit::Failure;
use crate::http::Client;
use crate::identities::IssuersFile;
use crate::keys::{Keys, KeysError};
use crate::landing;
use crate::layout::Layout;
use crate::records::{Kept, Place};
use crate::repository::Repository;
use crate::rotate::{self, Keeper};
use crate::serve::canary::{Canary, CanaryIssuer};
use crate::serve::config::{Config, Listen, Storage};
use crate::serve::store::Store;
use crate::services::{self, Parts, Services};
use crate::up::signal::Stop;
use crate::webhook::{self, Deliveries};

/// The longest an answer may take.
const REQUEST_LIMIT: Duration = Duration::from_secs(60);
/// A scraper or two.
const METRICS_CONNECTIONS: usize = 64;

#[derive(Debug, Args)]
pub(crate) struct ServeArgs {
    /// The configuration file; deploy/serve.example.toml shows every key.
    #[arg(long, value_name = "FILE", env = config::FILE)]
    config: PathBuf,
    /// Check the configuration and say what would run, without running it.
    #[arg(long)]
    check: bool,
    /// Print one line of JSON on standard output when everything answers.
    #[arg(long)]
    json: bool,
}

/// Runs the command: returns after a signal and a drain.
///
/// # Errors
/// [`Failure`] when the services cannot start.
pub(crate) async fn run(args: ServeArgs, console: Console) -> Result<(), Failure> {
    let began = Instant::now();
    let config = Config::read(&args.config, std::env::vars()).map_err(Failure::cannot_start)?;
    let issuers = IssuersFile::new(config.fulcio_config.clone());
    let configuration = issuers.read().map_err(Failure::cannot_start)?;
    for warning in &configuration.warnings {
        console.warning(warning);
    }
    let certificates = tls::read(&config.listen).map_err(Failure::cannot_start)?;
    if args.check {
        return check(&config, configuration.issuers.len());
    }
    let stop = Stop::listen().map_err(Failure::cannot_start)?;
    let (bound, metrics_bound) = bind(&config).await?;
    let metrics = telemetry::init_metrics(&v1::metrics::HISTOGRAMS, &v1::metrics::BUCKETS)
        .map_err(Failure::cannot_start)?;
    let clock = clock::system();
    let folder = DataFolder::open(config.data.clone()).map_err(Failure::cannot_start)?;
    let folder = Arc::new(folder);
    let layout = Layout::new(config.data.clone());
    let store = Store::open(&config.storage, &folder)
        .await
        .map_err(Failure::cannot_start)?;
    let kept = Kept::new(match &config.storage {
        Storage::Sqlite => Place::Folder(config.data.clone()),
        Storage::Postgres(postgres) => Place::Postgres(postgres.clone()),
    });
    let issuer = first_issuer(&configuration.issuers);
    let canary_issuer = CanaryIssuer::new()?;
    let own = vec![canary_issuer.config().map_err(Failure::cannot_start)?];
    let all = own.iter().cloned().chain(configuration.issuers).collect();
    let Instance {
        services,
        keys,
        repository,
        deliveries,
    } = assemble(&config, &layout, &store, &kept, all, &issuer, &clock).await?;
    let canary = Canary {
        issuer: canary_issuer,
        client: Client::within(services.router.clone(), config.url.as_str()),
        engine: services.engine.clone(),
        clock: Arc::clone(&clock),
    };
    let origins = Origins::Operator { issuer };
    let setup = client_setup::routes(
        config.url.as_str(),
        config.url.as_str(),
        origins,
        repository.tuf(),
    );
    let router = services.router.clone().merge(setup);
    let keeper = Keeper::new(
        layout.clone(),
        config.url.clone(),
        Arc::clone(&clock),
        services.running,
        services.router.clone(),
        keys,
        repository,
    );

    let limits = share(&config, bound.len());
    let mut serving = Vec::new();
    let mut urls = Vec::new();
    for ((listen, bound), certificate) in config.listen.iter().zip(bound).zip(&certificates) {
        urls.push(url(listen, &bound));
        let bound = match certificate {
            Some(certificate) => bound.with_tls(certificate.acceptor().map_err(Failure::cannot_start)?),
            None => bound,
        };
        let router = parts::only(router.clone(), &listen.services);
        let router = match config.limits.per_address() {
            Some(limit) => client::limit(router, limit),
            None => router,
        };
        let router = layers::wrap(router, REQUEST_LIMIT);
        serving.push(tokio::spawn(serve(
            vec![bound],
            router,
            limits.clone(),
            stop.wait(),
        )));
    }
    let internal = layers::wrap(telemetry::metrics_router(metrics.clone()), REQUEST_LIMIT);
    let few = Limits {
        connections: METRICS_CONNECTIONS,
        ..Limits::default()
    };
    let metrics_url = format!("http://{}:{}", config.metrics.url_host(), metrics_bound.port());
    serving.push(tokio::spawn(serve(
        vec![metrics_bound],
        internal,
        few,
        stop.wait(),
    )));
    let mut background = vec![
        tokio::spawn(telemetry::upkeep(metrics)),
        tokio::spawn(Arc::clone(&keeper).keep()),
        control::listen(&layout, keeper).map_err(Failure::cannot_start)?,
        tokio::spawn(issuers.follow(Arc::clone(&services.ca), own, configuration.files)),
        tokio::spawn(tls::follow(certificates)),
    ];
    let ready = Ready {
        url: config.url.as_str().to_owned(),
        listen: urls,
        metrics_url,
        data_dir: layout.root().display().to_string(),
        trust_dir: layout.trust().display().to_string(),
        pid: std::process::id(),
    };
    tokio::select! {
        () = canary.pass() => {
            services.ready.set(true);
            ready.announce(args.json, console, began.elapsed())?;
        }
        () = stop.wait() => {}
    }
    match config.canary_every {
        // It holds on to the engine, which is to end.
        Duration::ZERO => drop(canary),
        every => background.push(tokio::spawn(canary.watch(every))),
    }

    stop.wait().await;
    console.remark("stopping: open requests finish first, Ctrl-C again cuts them");
    services.ready.set(false);
    for served in serving {
        if matches!(served.await, Ok(Drained::Cut)) {
            tracing::warn!("requests that were still open at the end of the drain were cut");
        }
    }
    for task in background {
        task.abort();
        let _ = task.await;
    }
    services.engine.shutdown().await;
    drop((services.engine, services.ca, services.router, router));
    if let Some(deliveries) = deliveries {
        deliveries.finish().await;
    }
    kept.close().await;
    store.close().await;
    Ok(())
}

async fn bind(config: &Config) -> Result<(Vec<Bound>, Bound), Failure> {
    let mut bound = Vec::new();
    for Listen { address, .. } in &config.listen {
        let at = Bound::bind(address).await;
        bound.push(at.map_err(|error| {
            Failure::cannot_start(format!(
                "cannot listen at {}:{}: {error}",
                address.url_host(),
                address.port()
            ))
        })?);
    }
    let metrics = Bound::bind(&config.metrics).await;
    let metrics =
        metrics.map_err(|error| Failure::cannot_start(format!("cannot listen for metrics: {error}")))?;
    Ok((bound, metrics))
}

/// What `serve` runs.
struct Instance {
    services: Services,
    keys: Keys,
    repository: Repository,
    deliveries: Option<Deliveries>,
}

/// Keys, logs, services and trust repository: created where missing, else continued.
async fn assemble(
    config: &Config,
    layout: &Layout,
    store: &Store,
    kept: &Kept,
    issuers: Vec<fulcio_ca::IssuerConfig>,
    issuer: &str,
    clock: &Clock,
) -> Result<Instance, Failure> {
    let known = Keys::exist(layout).map_err(Failure::cannot_start)?;
    let logs_exist = services::has_logs(&*store.storage(), known)
        .await
        .map_err(Failure::cannot_start)?;
    let opened = {
        let (layout, url, places, now) = (layout.clone(), config.url.clone(), config.places.clone(), clock());
        // Tokens and key services are waited for.
        tokio::task::spawn_blocking(move || Keys::open(&layout, &url, &places, now)).await
    };
    let opened: Result<Keys, KeysError> =
        opened.map_err(|error| Failure::cannot_start(format!("opening keys was interrupted: {error}")))?;
    let keys = opened.map_err(Failure::cannot_start)?;
    let keys = rotate::resume(keys, layout, &*store.storage(), clock)
        .await
        .map_err(Failure::cannot_start)?;
    let repository = {
        let (layout, keys, now) = (layout.clone(), keys.clone(), clock());
        tokio::task::spawn_blocking(move || Repository::open(layout, &keys, logs_exist, now)).await
    };
    let repository = repository
        .map_err(|error| {
            Failure::cannot_start(format!("signing the trust repository was interrupted: {error}"))
        })?
        .map_err(Failure::cannot_start)?;
    let served = Served::new(config.url.as_str(), config.url.as_str(), &repository.root())
        .with_issuer(Some(issuer.to_owned()));
    let (v1_events, deliveries) = config.rekor.rekor_webhook.clone().map(webhook::start).unzip();
    let parts = Parts {
        keys: &keys,
        issuer_key: None,
        url: &config.url,
        exposure: Exposure::LoopbackOnly,
        issuers,
        intake: config.intake.clone(),
        limits: &config.limits,
        v1_policy: config.rekor.policy(),
        v1_events,
        kept: Some(kept),
        storage: store.storage(),
        anchor: Arc::new(FileAnchor::new(layout.published())),
        clock: Arc::clone(clock),
        tuf: repository.tuf(),
        validity: repository.validity(),
        trust: repository.trust(),
        scorecard: layout.scorecard(),
        scorecard_issuers: config.scorecard_issuers.clone(),
        landing: landing::page(&served.instance()),
    };
    let services = services::start(parts).await.map_err(Failure::cannot_start)?;
    Ok(Instance {
        services,
        keys,
        repository,
        deliveries,
    })
}

/// Whose tokens the lines for clients speak of: those of the first issuer that has one URL.
fn first_issuer(issuers: &[fulcio_ca::IssuerConfig]) -> String {
    let first = issuers.iter().find(|issuer| !issuer.is_meta());
    first.map_or_else(
        || "https://issuer.example".to_owned(),
        |issuer| issuer.issuer_url().to_owned(),
    )
}

/// Limits of each of `listeners`, so that all together stay within what the process may open.
fn share(config: &Config, listeners: usize) -> Limits {
    let limits = config.limits.connections();
    Limits {
        connections: limits.connections.div_ceil(listeners.max(1)),
        ..limits
    }
}

fn url(listen: &Listen, bound: &Bound) -> String {
    let scheme = if listen.tls.is_some() { "https" } else { "http" };
    format!("{scheme}://{}:{}", listen.address.url_host(), bound.port())
}

/// What would run, on standard output.
fn check(config: &Config, issuers: usize) -> Result<(), Failure> {
    let mut lines = vec![
        format!("url       {}", config.url.as_str()),
        format!("data      {}", config.data.display()),
        format!(
            "storage   {}",
            match config.storage {
                Storage::Sqlite => "SQLite, in the data folder",
                Storage::Postgres(_) => "PostgreSQL",
            }
        ),
        format!("issuers   {issuers}, of {}", config.fulcio_config.display()),
        format!(
            "metrics   {}:{}",
            config.metrics.url_host(),
            config.metrics.port()
        ),
    ];
    for listen in &config.listen {
        let shown = if listen.services.is_empty() {
            "every service".to_owned()
        } else {
            let names = listen.services.iter().map(|part| part.name());
            names.collect::<Vec<_>>().join(", ")
        };
        let scheme = if listen.tls.is_some() { "https" } else { "http" };
        let (host, port) = (listen.address.url_host(), listen.address.port());
        lines.push(format!("listen    {scheme}://{host}:{port}: {shown}"));
    }
    let layout = Layout::new(config.data.clone());
    if Keys::exist(&layout).map_err(Failure::cannot_start)? {
        lines.push(format!("keys      those of {}", layout.registry().display()));
    } else {
        for name in crate::keys::places::NAMES {
            let place = config.places.of(&format!("{name}-1"));
            lines.push(format!("keys      {name} is made at {place}"));
        }
    }
    console::result(&lines.join("\n")).map_err(|error| Failure::failed(format!("cannot write: {error}")))
}

/// What is said once everything answers.
#[derive(Debug, Serialize)]
struct Ready {
    url: String,
    listen: Vec<String>,
    metrics_url: String,
    data_dir: String,
    trust_dir: String,
    pid: u32,
}

impl Ready {
    fn announce(&self, json: bool, console: Console, took: Duration) -> Result<(), Failure> {
        if json {
            let line = serde_json::to_string(self).map_err(Failure::failed)?;
            return console::result(&line)
                .map_err(|error| Failure::failed(format!("cannot write the line: {error}")));
        }
        console.heading(&format!(
            "sigbox serves {} ({:.1} s)",
            self.url,
            took.as_secs_f64()
        ));
        for listen in &self.listen {
            console.line(&format!("  at {listen}"));
        }
        console.line(&format!("  metrics at {}", self.metrics_url));
        console.remark(&format!(
            "Clients start from {}/root.json and {}/tuf.",
            self.trust_dir, self.url
        ));
        Ok(())
    }
}
