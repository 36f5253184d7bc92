//! `/setup`: the lines for every client, as the instance knows itself, for people with `curl` and for `client-setup`.

use std::sync::Arc;

use aws_lc_rs::digest;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use clap::ValueEnum;
use common_server::reply;
use http::{StatusCode, header};
use serde::{Deserialize, Serialize};

use super::remark;
use crate::cli::Client;
use crate::files::FileSet;
use crate::paste::Instance;

/// Where an instance says what the lines depend on.
pub(crate) const INSTANCE: &str = "/setup/instance.json";

/// What an instance says of itself.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Served {
    url: String,
    tls_url: String,
    root_sha256: String,
}

impl Served {
    /// For an instance at `url`, given its current `root.json`.
    pub(crate) fn new(url: &str, tls_url: &str, root: &[u8]) -> Served {
        Served {
            url: url.to_owned(),
            tls_url: tls_url.to_owned(),
            root_sha256: hex::encode(digest::digest(&digest::SHA256, root)),
        }
    }

    /// The lines' input. Where the program is on the server is nobody's business and no use elsewhere: it goes by its name.
    pub(crate) fn instance(self) -> Instance {
        Instance {
            url: self.url,
            tls_url: self.tls_url,
            root_sha256: self.root_sha256,
            sigbox: "sigbox".to_owned(),
        }
    }
}

struct Setup {
    url: String,
    tls_url: String,
    tls_authority: String,
    tuf: FileSet,
}

impl Setup {
    /// With the root of this moment: it may be another after a rotation.
    fn served(&self) -> Served {
        let root = self
            .tuf
            .get("root.json")
            .map(|file| file.content)
            .unwrap_or_default();
        Served::new(&self.url, &self.tls_url, &root)
    }
}

/// The routes. `tls_authority` is the certificate, PEM, that the TLS listener's own is issued by.
pub(crate) fn routes(url: &str, tls_url: &str, tls_authority: String, tuf: FileSet) -> Router {
    let setup = Setup {
        url: url.to_owned(),
        tls_url: tls_url.to_owned(),
        tls_authority,
        tuf,
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
    (
        [(header::CONTENT_TYPE, "application/x-pem-file")],
        setup.tls_authority.clone(),
    )
        .into_response()
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
