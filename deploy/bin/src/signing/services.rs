//! Which of the services of a signing configuration are used.

use std::time::SystemTime;

use common_bundle::trust::{Selector, Service, ServiceConfiguration, SigningConfig};

/// Where to sign.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Services {
    /// Certificate authority, where there is one.
    pub(crate) authority: Option<String>,
    /// Issuer of identity tokens, where there is one.
    pub(crate) issuer: Option<String>,
    /// Signature logs with the version of their API.
    pub(crate) logs: Vec<(String, u32)>,
    /// Timestamp authorities.
    pub(crate) timestamps: Vec<String>,
}

/// A configuration that one cannot sign by.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ServicesError {
    /// None of the kind can be used.
    #[error("the signing configuration lists no {what} that is in use now")]
    None {
        /// Which kind.
        what: String,
    },
    /// Fewer than it says must be used.
    #[error(
        "the signing configuration asks for {expected} {what}, and lists {got} operators of one in use now"
    )]
    TooFew {
        /// Which kind.
        what: &'static str,
        /// How many must be used.
        expected: usize,
        /// How many there are.
        got: usize,
    },
}

/// Chooses among the services in use at `now`, as sigstore-go does: the highest version, the newest first, one of each
/// operator, as many as the configuration says (`sigstore-go pkg/root/signing_config.go` SelectServices).
///
/// # Errors
/// [`ServicesError`].
pub(crate) fn choose(
    config: &SigningConfig,
    rekor_version: Option<u32>,
    now: SystemTime,
) -> Result<Services, ServicesError> {
    let one = |list: &[Service]| in_use(list, &[1], now).first().map(|service| service.url.clone());
    let versions: &[u32] = match &rekor_version {
        Some(version) => std::slice::from_ref(version),
        None => &[2, 1],
    };
    let logs = selected(
        "signature logs",
        in_use(&config.rekor_tlog_urls, versions, now),
        config.rekor_tlog_config,
    )?;
    if logs.is_empty() {
        let what = rekor_version.map_or_else(
            || "signature log".to_owned(),
            |version| format!("signature log with API version {version}"),
        );
        return Err(ServicesError::None { what });
    }
    let timestamps = selected(
        "timestamp authorities",
        in_use(&config.tsa_urls, &[1], now),
        config.tsa_config,
    )?;
    // A Rekor v2 log signs no time, and without a time no certificate is valid.
    if timestamps.is_empty() && logs.iter().any(|log| log.major_api_version == 2) {
        return Err(ServicesError::None {
            what: "timestamp authority".to_owned(),
        });
    }
    Ok(Services {
        authority: one(&config.ca_urls),
        issuer: one(&config.oidc_urls),
        logs: logs
            .into_iter()
            .map(|log| (log.url.clone(), log.major_api_version))
            .collect(),
        timestamps: timestamps
            .into_iter()
            .map(|authority| authority.url.clone())
            .collect(),
    })
}

/// Services of these versions, the best first, one of each operator.
fn in_use<'a>(list: &'a [Service], versions: &[u32], now: SystemTime) -> Vec<&'a Service> {
    let mut usable: Vec<&Service> = list
        .iter()
        .filter(|service| versions.contains(&service.major_api_version) && service.valid_for.contains(now))
        .collect();
    usable.sort_by_key(|service| {
        let start = service.valid_for.start.map(|start| start.unix());
        std::cmp::Reverse((service.major_api_version, start))
    });
    let mut operators = Vec::new();
    usable.retain(|service| {
        let new = !operators.contains(&&service.operator);
        operators.push(&service.operator);
        new
    });
    usable
}

fn selected<'a>(
    what: &'static str,
    mut usable: Vec<&'a Service>,
    config: Option<ServiceConfiguration>,
) -> Result<Vec<&'a Service>, ServicesError> {
    let (selector, count) = config.map_or((Selector::Any, None), |config| (config.selector, config.count));
    match selector {
        Selector::All => {}
        Selector::Any | Selector::Undefined => usable.truncate(1),
        Selector::Exact => {
            let expected = usize::try_from(count.unwrap_or_default()).unwrap_or(usize::MAX);
            if usable.len() < expected {
                return Err(ServicesError::TooFew {
                    what,
                    expected,
                    got: usable.len(),
                });
            }
            usable.truncate(expected);
        }
    }
    Ok(usable)
}

#[cfg(test)]
mod tests;
