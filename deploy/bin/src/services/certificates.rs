//! The certificate logs, and the authority that issues nothing they have not taken.

use std::sync::Arc;

use axum::Router;
use common_bundle::trust::Role;
use common_engine::Engine;
use deploy_issuer::Issuer;
use fulcio_ca::{Ca, CaChain, CaConfig, HttpFetcher, IssuerConfig};

use crate::identities::fetch_for;
use crate::in_process::{OwnCtLog, OwnIssuer};
use crate::keys::{Keys, KeysError};
use crate::services::logs::{self, Kind, Shard};
use crate::services::places::Places;
use crate::services::{Parts, ServicesError, handover, issuer_config, own_issuers};

/// The certificate logs of a process.
pub(super) struct CtLogs {
    /// All of them, the last one takes precertificates.
    pub(super) all: Arc<OwnCtLog>,
    /// At `/ct`.
    pub(super) first: Arc<fulcio_ct::CtLog>,
}

/// The logs of `shards`; each but the first gets a place of its own.
///
/// # Errors
/// [`ServicesError`].
pub(super) fn ct_logs(
    parts: &Parts<'_>,
    engine: &Engine,
    shards: &[Shard],
    places: &Places,
) -> Result<CtLogs, ServicesError> {
    let mut logs = Vec::new();
    for shard in shards {
        if let Kind::Ct(personality) = &shard.kind {
            let (id, personality) = (shard.config.id, Arc::clone(personality));
            let log = parts.intake.log(engine, id, personality, parts.keys)?;
            logs.push((shard.name.clone(), log));
        }
    }
    let none = || KeysError::NoKey(Role::CtLog);
    let is_first = |name: &str| logs::first_number(name).is_some();
    let first = logs.iter().find(|(name, _)| is_first(name));
    let (_, first) = first.cloned().ok_or_else(none)?;
    for (name, log) in logs.iter().filter(|(name, _)| !is_first(name)) {
        places.add(name, fulcio_ct::router(Arc::clone(log)));
    }
    let all = OwnCtLog::new(logs.into_iter().map(|(_, log)| log).collect());
    Ok(CtLogs {
        all: Arc::new(all.ok_or_else(none)?),
        first,
    })
}

/// The development issuer's routes, where there is one.
///
/// # Errors
/// [`ServicesError`].
pub(super) fn development_issuer(parts: &Parts<'_>) -> Result<Option<Router>, ServicesError> {
    let Some(key) = parts.issuer_key.clone() else {
        return Ok(None);
    };
    let config = issuer_config(parts.site.url(), parts.exposure);
    let issuer = Issuer::new(config, key, Arc::clone(&parts.clock))?;
    Ok(Some(deploy_issuer::router(Arc::new(issuer))))
}

/// The authority, issuing at Unix time `now` and later.
///
/// # Errors
/// [`ServicesError`].
pub(super) fn authority(
    parts: &Parts<'_>,
    ct: &CtLogs,
    development: Option<&Router>,
    now: u64,
) -> Result<Arc<Ca>, ServicesError> {
    let url = parts.site.url();
    let (own, fetch) = match development {
        Some(routes) => {
            let fetch = OwnIssuer {
                url: url.issuer(),
                routes: routes.clone(),
            };
            (own_issuers(url)?, fetch_for(url.issuer(), Arc::new(fetch)))
        }
        None => (Vec::new(), HttpFetcher::for_each()),
    };
    let issuers: Vec<IssuerConfig> = own.into_iter().chain(parts.issuers.iter().cloned()).collect();
    let (record, signer) = parts.keys.active(Role::FulcioCa)?;
    let mut ca = CaConfig::new(
        Arc::new(CaChain::new(Keys::chain(record)?, signer, now)?),
        Arc::clone(&ct.all) as Arc<dyn fulcio_ca::CtLog>,
        issuers,
        fetch,
        Arc::clone(&parts.clock),
    );
    ca.former = handover::former_chains(parts.keys)?;
    ca.writes = parts.limits.writes();
    ca.quota = parts.limits.per_identity();
    ca.audit = parts.kept.map(crate::records::Kept::audit);
    ca.pseudonyms = parts.kept.map(crate::records::Kept::pseudonyms);
    Ok(Arc::new(Ca::new(ca)?))
}
