//! `serve`: the services for production, by a configuration file: real issuers, chosen services at each listener, logs in
//! SQLite or PostgreSQL, keys wherever the file says. No development issuer, so nobody signs as anyone.

mod canary;
pub(crate) mod config;
mod instance;
mod parts;
pub(crate) mod store;
mod tls;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Args;
use common_backend::folder::DataFolder;
use common_server::listen::Bound;
use common_server::serve::{Drained, Limits, serve};
use common_server::{client, layers, telemetry};
use fulcio_ca::{IssuerConfig, Rehearsal};
use fulcio_ct::AcceptedRoots;
use rekor_api::v1;
use serde::Serialize;

use crate::client_setup::{self, Origins};
use crate::clock;
use crate::console::{self, Console};
use crate::control;
use crate::exit::Failure;
use crate::http::Client;
use crate::identities::IssuersFile;
use crate::keys::others::Others;
use crate::keys::places::NAMES;
use crate::keys::{Keys, read_registry, runner};
use crate::layout::Layout;
use crate::records::{Kept, Place};
use crate::rotate::Keeper;
use crate::serve::canary::{Canary, CanaryIssuer};
use crate::serve::config::{Config, Listen, Storage};
use crate::serve::instance::Instance;
use crate::serve::store::Store;
use crate::site::Part;
use crate::up::signal::Stop;

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
    let config = Config::read(&args.config).map_err(Failure::cannot_start)?;
    let roles = config.site.roles();
    let issuers = config.fulcio_config.clone();
    let issuers = issuers.map(|file| IssuersFile::open(file, console));
    let (issuers, configuration) = issuers.transpose().map_err(Failure::cannot_start)?.unzip();
    let configuration = configuration.unwrap_or_default();
    let certificates = tls::read(&config.listen).map_err(Failure::cannot_start)?;
    if args.check {
        return check(&config, configuration.issuers).await;
    }
    let stop = Stop::listen().map_err(Failure::cannot_start)?;
    let (bound, metrics_bound) = bind(&config)?;
    let metrics = telemetry::init_metrics(&v1::metrics::HISTOGRAMS, &v1::metrics::BUCKETS)
        .map_err(Failure::cannot_start)?;
    let clock = clock::system();
    let folder = DataFolder::open(config.data.clone()).map_err(Failure::cannot_start)?;
    let folder = Arc::new(folder);
    let layout = Layout::new(config.data.clone());
    let store = match roles.have_logs() {
        true => Some(
            Store::open(&config.storage, &folder)
                .await
                .map_err(Failure::cannot_start)?,
        ),
        false => None,
    };
    let kept = Kept::new(match &config.storage {
        Storage::Sqlite => Place::Folder(config.data.clone()),
        Storage::Postgres(postgres) => Place::Postgres(postgres.clone()),
    });
    let issuer = instance::first_issuer(&configuration.issuers);
    let canary_issuer = CanaryIssuer::new()?;
    let own = vec![canary_issuer.config().map_err(Failure::cannot_start)?];
    let all = own.iter().cloned().chain(configuration.issuers).collect();
    let Instance {
        services,
        keys,
        repository,
        others,
        deliveries,
    } = instance::assemble(&config, &layout, store.as_ref(), &kept, all, &issuer, &clock).await?;
    let mut router = services.router.clone();
    if let Some(repository) = &repository {
        let (url, origins) = (
            config.site.url_of(Part::Trust).as_str(),
            Origins::Operator { issuer },
        );
        router = router.merge(client_setup::routes(
            url,
            url,
            origins,
            repository.tuf(),
            repository.trust(),
        ));
    }
    let publishes = repository.is_some();
    let keeper = Keeper::new(
        layout.clone(),
        config.site.clone(),
        Arc::clone(&clock),
        services.running,
        services.router.clone(),
        keys,
        repository.map(|repository| (repository, others)),
    );
    let canary = Canary {
        issuer: canary_issuer,
        client: Client::within(services.router.clone(), config.site.url().as_str()),
        engine: services.engine.clone(),
        roles: roles.clone(),
        keeper: Arc::clone(&keeper),
        clock: Arc::clone(&clock),
    };

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
        tokio::spawn(tls::follow(certificates)),
    ];
    if let (Some(ca), Some(file)) = (&services.ca, issuers) {
        background.push(tokio::spawn(file.follow(Arc::clone(ca), own)));
    }
    let ready = Ready {
        url: config.site.url().as_str().to_owned(),
        listen: urls,
        metrics_url,
        data_dir: layout.root().display().to_string(),
        trust_dir: publishes.then(|| layout.trust().display().to_string()),
        tuf_url: publishes.then(|| config.site.url_of(Part::Trust).join("/tuf")),
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
    if let Some(engine) = &services.engine {
        engine.shutdown().await;
    }
    drop((services.engine, services.ca, services.router, router));
    if let Some(deliveries) = deliveries {
        deliveries.finish().await;
    }
    kept.close().await;
    if let Some(store) = store {
        store.close().await;
    }
    Ok(())
}

fn bind(config: &Config) -> Result<(Vec<Bound>, Bound), Failure> {
    let mut bound = Vec::new();
    for Listen { address, .. } in &config.listen {
        let at = Bound::bind(address);
        bound.push(at.map_err(|error| {
            Failure::cannot_start(format!(
                "cannot listen at {}:{}: {error}",
                address.url_host(),
                address.port()
            ))
        })?);
    }
    let metrics = Bound::bind(&config.metrics);
    let metrics =
        metrics.map_err(|error| Failure::cannot_start(format!("cannot listen for metrics: {error}")))?;
    Ok((bound, metrics))
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
async fn check(config: &Config, issuers: Vec<IssuerConfig>) -> Result<(), Failure> {
    let count = issuers.len();
    // What the services would find only when they are made.
    Rehearsal::new(issuers).map_err(Failure::cannot_start)?;
    let outside = AcceptedRoots::new(config.intake.roots.clone());
    outside.map_err(|error| Failure::cannot_start(format!("ct.roots: {error}")))?;
    let roles = config.site.roles();
    let mut lines = vec![
        format!("url       {}", config.site.url().as_str()),
        format!("data      {}", config.data.display()),
        format!(
            "storage   {}",
            match config.storage {
                _ if !roles.have_logs() => "none is opened: no log is served",
                Storage::Sqlite => "SQLite, in the data folder",
                Storage::Postgres(_) => "PostgreSQL",
            }
        ),
        match &config.fulcio_config {
            Some(file) => format!("issuers   {count}, of {}", file.display()),
            None => "issuers   none: no certificate is issued".to_owned(),
        },
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
    for part in Part::ALL {
        let url = config.site.url_of(part);
        if url != config.site.url() {
            lines.push(format!("url       {} for {}", url.as_str(), part.name()));
        }
    }
    let layout = Layout::new(config.data.clone());
    if let Some(registry) = read_registry(&layout).map_err(Failure::cannot_start)? {
        runner::check(&registry, &config.site).map_err(Failure::cannot_start)?;
    }
    let others = Others::new(config.others.clone());
    others.read().await.map_err(Failure::cannot_start)?;
    let listed = Keys::listed(&layout).map_err(Failure::cannot_start)?;
    if !listed.is_empty() {
        lines.push(format!("keys      those of {}", layout.registry().display()));
    }
    for (name, role) in NAMES {
        if roles.has(role) && !listed.contains(&role) {
            let place = config.places.of(&format!("{name}-1"));
            lines.push(format!("keys      {name} is made at {place}"));
        }
    }
    for file in &config.others {
        lines.push(format!("trust     keys of {} as well", file.display()));
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
    #[serde(skip_serializing_if = "Option::is_none")]
    trust_dir: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tuf_url: Option<String>,
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
        if let (Some(folder), Some(tuf)) = (&self.trust_dir, &self.tuf_url) {
            console.remark(&format!("Clients start from {folder}/root.json and {tuf}."));
        }
        Ok(())
    }
}
