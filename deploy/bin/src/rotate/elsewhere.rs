//! Whether clients know a key that another process publishes: what is trusted there is read, at the URL that the configuration
//! names, because a signature by a key that nobody knows is worth nothing.

use std::time::Duration;

use common_bundle::trust::{KeyRecord, TrustedRoot};
use http::StatusCode;

use super::RotateError;
use crate::http::Client;
use crate::public_url::PublicUrl;

/// How often it is looked whether a key is published by now.
pub(super) const LOOK_EVERY: Duration = Duration::from_secs(2);
/// Where an instance has its trusted root.
const PATH: &str = "/trust/trusted_root.json";

/// What is trusted, as published at `url`.
///
/// # Errors
/// [`RotateError::Unseen`].
pub(super) async fn trusted_root(url: &PublicUrl) -> Result<TrustedRoot, RotateError> {
    let unseen = |problem: &dyn std::fmt::Display| RotateError::Unseen {
        url: url.join(PATH),
        problem: problem.to_string(),
    };
    let client = Client::new(url.as_str()).map_err(|error| unseen(&error))?;
    let answer = client
        .get(PATH)
        .await
        .and_then(|answer| answer.expect(StatusCode::OK));
    let json = answer.map_err(|error| unseen(&error))?;
    TrustedRoot::parse(&json).map_err(|error| unseen(&error))
}

/// Whether `root` has the key.
pub(super) fn lists(root: &TrustedRoot, key: &KeyRecord) -> bool {
    let mut logs = root.tlogs.iter().chain(&root.ctlogs);
    let authorities = root.certificate_authorities.iter();
    let mut authorities = authorities.chain(&root.timestamp_authorities);
    let chain = |certificates: &[common_bundle::trust::RawCertificate]| {
        let listed = certificates.iter().map(|certificate| &certificate.raw_bytes);
        !key.cert_chain.is_empty() && listed.eq(&key.cert_chain)
    };
    logs.any(|log| log.public_key.raw_bytes == key.spki)
        || authorities.any(|authority| chain(&authority.cert_chain.certificates))
}
