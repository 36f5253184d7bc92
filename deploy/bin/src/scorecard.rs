//! What published Scorecard results are kept in, and where their evidence is looked up.

use std::path::PathBuf;

use async_trait::async_trait;
use axum::Router;
use axum::body::Body;
use common_bundle::format::TransparencyLogEntry;
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Limited};
use rekor_scorecard::{Log, LogError, Project, Publication, Store, StoreError};
use tower::ServiceExt;

use crate::disk;
use crate::log_entry;

/// Largest answer of the log: an entry of the largest leaf in base64, with its proof.
const MAX_ANSWER: usize = 4 << 20;

/// Publications as files: `PLATFORM/ORG/REPO@COMMIT.json` and `…@newest.json`. An `@` is in no name, so none can be taken
/// for another's.
pub(crate) struct Folder(pub(crate) PathBuf);

impl Folder {
    fn path(&self, project: &Project, which: &str) -> PathBuf {
        let [platform, org, repo] = project.segments();
        self.0
            .join(platform)
            .join(org)
            .join(format!("{repo}@{which}.json"))
    }
}

#[async_trait]
impl Store for Folder {
    async fn get(&self, project: &Project, commit: Option<&str>) -> Result<Option<Publication>, StoreError> {
        let path = self.path(project, commit.unwrap_or("newest"));
        blocking(move || {
            let Some(json) = disk::read(&path).map_err(failed)? else {
                return Ok(None);
            };
            serde_json::from_slice(&json).map(Some).map_err(failed)
        })
        .await
    }

    async fn put(&self, project: &Project, publication: &Publication) -> Result<(), StoreError> {
        let of_commit = self.path(project, &publication.commit);
        let newest = self.path(project, "newest");
        let json = serde_json::to_vec(publication).map_err(failed)?;
        blocking(move || {
            if let Some(folder) = newest.parent() {
                disk::create_folder(folder).map_err(failed)?;
            }
            // The newest last: what it says is then there under its commit, too.
            disk::write(&of_commit, &json).map_err(failed)?;
            disk::write(&newest, &json).map_err(failed)
        })
        .await
    }
}

/// Files are flushed: that does not belong on the threads that serve.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    tokio::task::spawn_blocking(work).await.map_err(failed)?
}

fn failed(error: impl std::fmt::Display) -> StoreError {
    StoreError(error.to_string())
}

/// The Rekor v1 log of this process, through the interface it has for the network.
pub(crate) struct OwnLog(pub(crate) Router);

#[async_trait]
impl Log for OwnLog {
    async fn entry(&self, index: u64) -> Result<Option<TransparencyLogEntry>, LogError> {
        let path = format!("/api/v1/log/entries?logIndex={index}");
        let request = Request::get(path).body(Body::empty()).map_err(|_| LogError)?;
        let answer = match self.0.clone().oneshot(request).await {
            Ok(answer) => answer,
            Err(never) => match never {},
        };
        match answer.status() {
            StatusCode::OK => {}
            // An index beyond what the log can ever count to is one it does not have.
            StatusCode::NOT_FOUND | StatusCode::UNPROCESSABLE_ENTITY => return Ok(None),
            _ => return Err(LogError),
        }
        let body = Limited::new(answer.into_body(), MAX_ANSWER).collect().await;
        let body = body.map_err(|_| LogError)?.to_bytes();
        log_entry::parse(&body).map(Some).map_err(|error| {
            tracing::error!(%error, "our own log's answer cannot be read");
            LogError
        })
    }
}
