//! The trust repository, walked as a client does.

use std::time::SystemTime;

use common_bundle::trust::{
    CertificateAuthority, SIGNING_CONFIG, SIGNING_CONFIG_V2, SigningConfig, TrustedRoot,
};
use common_pki::cert::Certificate;
use http::StatusCode;

use crate::doctor::report::{Broken, broken};
use crate::http::Client;
use crate::tuf_fetch::Repository;

const ADVICE: &str = "clients cannot start from this repository: see the server's log, compare the clocks, and if the \
                      tuf folder was changed by hand restore it";

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
    let root = root.map_err(|error| broken(error, ADVICE))?;
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
