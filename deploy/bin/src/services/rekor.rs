//! The two signature logs, and the search over both.

use std::sync::Arc;

use axum::Router;
use common_bundle::trust::{Role, TrustedRoot};
use common_engine::{Engine, LogId};
use common_server::admission::Bounds;
use rekor_api::{search, v1, v2};
use rekor_scorecard::Scorecard;

use crate::files::FileSet;
use crate::keys::KeysError;
use crate::scorecard;
use crate::services::logs::{self, Shard};
use crate::services::places::Places;
use crate::services::{Parts, ServicesError};
use crate::site::Part;

/// Rekor v1 over `shards`.
///
/// # Errors
/// [`ServicesError`].
pub(super) fn v1(
    parts: &Parts<'_>,
    engine: &Engine,
    shards: &[Shard],
) -> Result<Arc<v1::Service>, ServicesError> {
    let limits = v1::Limits {
        writes: parts.limits.writes(),
        ..v1::Limits::default()
    };
    let service = v1::Service::new(engine.clone(), logs::v1(shards), parts.v1_policy.clone(), limits)?;
    Ok(Arc::new(match parts.v1_events.clone() {
        Some(events) => service.announcing(events),
        None => service,
    }))
}

/// Rekor v2 over `shards`, and the log at its first place; each other one gets a place of its own.
///
/// # Errors
/// [`ServicesError`].
pub(super) fn v2(
    parts: &Parts<'_>,
    engine: &Engine,
    shards: &[Shard],
    places: &Places,
) -> Result<(Arc<v2::Service>, LogId), ServicesError> {
    let none = || KeysError::NoKey(Role::RekorV2);
    let (record, signer) = parts.keys.active(Role::RekorV2)?;
    let service = Arc::new(v2::Service::new(
        engine.clone(),
        shards.last().ok_or_else(none)?.config.id,
        &record.origin,
        signer.public_key(),
        v2::Policy::default(),
        v2::Limits {
            writes: parts.limits.writes(),
            ..v2::Limits::default()
        },
    )?);
    let is_first = |shard: &&Shard| logs::first_number(&shard.name).is_some();
    let first = shards.iter().find(is_first).ok_or_else(none)?.config.id;
    for shard in shards.iter().filter(|shard| !is_first(shard)) {
        places.add(&shard.name, v2::router(Arc::clone(&service), shard.config.id));
    }
    Ok((service, first))
}

/// The search over shards of both.
pub(super) fn finder<'a>(engine: &Engine, shards: impl Iterator<Item = &'a Shard>) -> Arc<search::Service> {
    let searched = logs::searched(shards);
    Arc::new(search::Service::new(
        engine.clone(),
        searched,
        Bounds::EXPENSIVE_READS,
    ))
}

/// Scorecard results, which count under the trust that is published at the moment.
pub(super) fn scorecard(parts: &Parts<'_>, v1_routes: Router, trust: FileSet) -> Router {
    let scorecard = Scorecard::new(rekor_scorecard::Config {
        store: Arc::new(scorecard::Folder(parts.scorecard.clone())),
        log: Arc::new(scorecard::OwnLog(v1_routes)),
        trust: Arc::new(move || TrustedRoot::parse(&trust.get("trusted_root.json")?.content).ok()),
        issuers: parts.scorecard_issuers.clone(),
        url: parts.site.url_of(Part::RekorV1).as_str().to_owned(),
    });
    rekor_scorecard::router(Arc::new(scorecard))
}
