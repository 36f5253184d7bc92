//! What `serve` runs: made where missing, else continued.

use std::sync::Arc;

use common_backend::anchor::FileAnchor;
use deploy_issuer::Exposure;
use fulcio_ca::IssuerConfig;

use crate::client_setup::Served;
use crate::clock::Clock;
use crate::exit::Failure;
use crate::keys::others::Others;
use crate::keys::{Keys, KeysError};
use crate::landing;
use crate::layout::Layout;
use crate::records::Kept;
use crate::repository::Repository;
use crate::rotate;
use crate::serve::config::Config;
use crate::serve::store::Store;
use crate::services::{self, Parts, Services, ServicesError, TrustFiles};
use crate::site::Part;
use crate::webhook::{self, Deliveries};

/// The process' part of an instance.
pub(super) struct Instance {
    pub(super) services: Services,
    pub(super) keys: Keys,
    /// Where trust is served.
    pub(super) repository: Option<Repository>,
    /// What other processes say of their keys.
    pub(super) others: Others,
    pub(super) deliveries: Option<Deliveries>,
}

/// Keys, logs, services and trust repository.
pub(super) async fn assemble(
    config: &Config,
    layout: &Layout,
    store: Option<&Store>,
    kept: &Kept,
    issuers: Vec<IssuerConfig>,
    issuer: &str,
    clock: &Clock,
) -> Result<Instance, Failure> {
    let site = &config.site;
    let listed = Keys::listed(layout).map_err(Failure::cannot_start)?;
    let storage = store.map(Store::storage);
    let (mut logs_exist, mut stored) = (false, Vec::new());
    if let Some(storage) = &storage {
        let logs = storage.logs().await.map_err(ServicesError::from);
        stored = logs.map_err(Failure::cannot_start)?;
        logs_exist = services::has_logs(&stored, site.roles(), &listed).map_err(Failure::cannot_start)?;
    }
    let opened = {
        let (layout, site, places, now) = (layout.clone(), site.clone(), config.places.clone(), clock());
        // Tokens and key services are waited for.
        tokio::task::spawn_blocking(move || Keys::open(&layout, &site, &places, now)).await
    };
    let opened: Result<Keys, KeysError> =
        opened.map_err(|error| Failure::cannot_start(format!("opening keys was interrupted: {error}")))?;
    let keys = opened.map_err(Failure::cannot_start)?;
    let keys = rotate::resume(keys, layout, &stored, clock).map_err(Failure::cannot_start)?;
    let others = Others::new(config.others.clone());
    let theirs = others.read().await.map_err(Failure::cannot_start)?;
    let keys = keys.with_others(theirs).map_err(Failure::cannot_start)?;
    let repository = match site.roles().has(common_bundle::trust::Role::TufOnline) {
        true => Some(open_repository(layout, &keys, logs_exist, clock).await?),
        false => None,
    };
    let trust = repository.as_ref().map(|repository| {
        let url = site.url_of(Part::Trust).as_str();
        let served = Served::new(url, url, &repository.root()).with_issuer(Some(issuer.to_owned()));
        TrustFiles {
            tuf: repository.tuf(),
            validity: repository.validity(),
            exported: repository.trust(),
            landing: landing::page(&served.instance()),
        }
    });
    let (v1_events, deliveries) = config.rekor.rekor_webhook.clone().map(webhook::start).unzip();
    let parts = Parts {
        keys: &keys,
        issuer_key: None,
        site,
        exposure: Exposure::LoopbackOnly,
        issuers,
        intake: config.intake.clone(),
        limits: &config.limits,
        v1_policy: config.rekor.policy(),
        v1_events,
        kept: Some(kept),
        storage,
        anchor: Arc::new(FileAnchor::new(layout.published())),
        clock: Arc::clone(clock),
        trust,
        scorecard: layout.scorecard(),
        scorecard_issuers: config.scorecard_issuers.clone(),
    };
    let services = services::start(parts).await.map_err(Failure::cannot_start)?;
    Ok(Instance {
        services,
        keys,
        repository,
        others,
        deliveries,
    })
}

async fn open_repository(
    layout: &Layout,
    keys: &Keys,
    logs_exist: bool,
    clock: &Clock,
) -> Result<Repository, Failure> {
    let (layout, keys, now) = (layout.clone(), keys.clone(), clock());
    let opened = tokio::task::spawn_blocking(move || Repository::open(layout, &keys, logs_exist, now)).await;
    opened
        .map_err(|error| {
            Failure::cannot_start(format!("signing the trust repository was interrupted: {error}"))
        })?
        .map_err(Failure::cannot_start)
}

/// Whose tokens the lines for clients speak of: those of the first issuer that has one URL.
pub(super) fn first_issuer(issuers: &[IssuerConfig]) -> String {
    let first = issuers.iter().find(|issuer| !issuer.is_meta());
    first.map_or_else(
        || "https://issuer.example".to_owned(),
        |issuer| issuer.issuer_url().to_owned(),
    )
}
