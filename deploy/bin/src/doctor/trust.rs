//! The trust repository, walked as a client does.

use std::time::SystemTime;

use common_bundle::trust::{
    CertificateAuthority, SIGNING_CONFIG, SIGNING_CONFIG_V2, SigningConfig, TrustedRoot,
};
use common_pki::cert::Certificate;
use http::StatusCode;

use crate::doctor::report::{Broken, broken};
use crate::http::{Client, HttpError};
use crate::tuf_fetch::Repository;

const ADVICE: &str = "clients cannot start from this repository: see the server's log, compare the clocks, and if the \
                      tuf folder was changed by hand restore it";
/// Nothing is known of a repository that cannot be asked.
const SILENCE: &str =
    "nothing answers there: is `sigbox up` or `sigbox serve` running, and is --url where it listens?";

/// What the repository says to trust.
pub(crate) struct Trust {
    /// Keys and certificates.
    pub(crate) root: TrustedRoot,
    /// The token issuer clients are sent to.
    pub(crate) issuer: String,
    /// How to sign, for each kind of log.
    pub(crate) configs: Vec<SigningConfig>,
}

/// Updates from the `root.json` served now, and fetches every target.
pub(crate) async fn fetch(client: &Client, now: SystemTime) -> Result<(Trust, String), Broken> {
    let root = client
        .get("/trust/root.json")
        .await
        .and_then(|answer| answer.expect(StatusCode::OK));
    let root = root.map_err(|error| broken(&error, advice(&error)))?;
    let repository = Repository::update(client.below("/tuf"), &root, None, now)
        .await
        .map_err(|error| broken(error, ADVICE))?;
    let mut count = 0_usize;
    // sigstore-java downloads every target, so every one has to be there.
    for name in repository.targets().names() {
        target(&repository, name).await?;
        count = count.saturating_add(1);
    }
    let trusted_root = target(&repository, "trusted_root.json").await?;
    let root = TrustedRoot::parse(&trusted_root).map_err(|error| broken(error, ADVICE))?;
    // They are not there while services of other processes are not known.
    let mut configs = Vec::new();
    for name in [SIGNING_CONFIG, SIGNING_CONFIG_V2] {
        if repository.targets().names().any(|target| target == name) {
            let config = target(&repository, name).await?;
            configs.push(SigningConfig::parse(&config).map_err(|error| broken(error, ADVICE))?);
        }
    }
    let exported = client
        .get("/trust/trusted_root.json")
        .await
        .and_then(|answer| answer.expect(StatusCode::OK));
    if exported.map_err(|error| broken(error, ADVICE))? != trusted_root {
        return Err(broken(
            "/trust/trusted_root.json differs from the TUF target of that name",
            ADVICE,
        ));
    }
    let issuers = configs.iter().flat_map(|config| &config.oidc_urls);
    let issuer = issuers
        .map(|service| service.url.clone())
        .next()
        .unwrap_or_default();
    let evidence = format!(
        "root {} leads to {count} targets, all there",
        repository.targets().root().version
    );
    Ok((
        Trust {
            root,
            issuer,
            configs,
        },
        evidence,
    ))
}

/// What to do about the first question's failure.
fn advice(error: &HttpError) -> &'static str {
    match error {
        HttpError::NoAnswer { .. } => SILENCE,
        _ => ADVICE,
    }
}

async fn target(repository: &Repository, name: &str) -> Result<Vec<u8>, Broken> {
    repository
        .target(name)
        .await
        .map_err(|error| broken(error, ADVICE))
}

/// The certificates of an authority, in its order.
pub(crate) fn certificates(authority: &CertificateAuthority) -> Result<Vec<Certificate>, Broken> {
    let parse =
        |certificate: &common_bundle::trust::RawCertificate| Certificate::from_der(&certificate.raw_bytes);
    authority
        .cert_chain
        .certificates
        .iter()
        .map(parse)
        .collect::<Result<_, _>>()
        .map_err(|error| broken(error, ADVICE))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[tokio::test]
    async fn where_nothing_answers_the_repository_is_not_blamed() {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let nobody = Client::new("http://127.0.0.1:1").unwrap();
        let silent = fetch(&nobody, SystemTime::UNIX_EPOCH).await.err().unwrap();
        assert_eq!(silent.advice, SILENCE);
        let empty = Client::within(axum::Router::new(), "http://localhost:3000");
        let other = fetch(&empty, SystemTime::UNIX_EPOCH).await.err().unwrap();
        assert_eq!(other.advice, ADVICE);
    }
}
