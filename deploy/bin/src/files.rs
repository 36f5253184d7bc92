//! Static files from memory: the trust repository and the exported trust files. What is not in the set is a real 404,
//! because TUF clients stop looking for the next root at exactly that (go-tuf `metadata/updater/updater.go`).

use std::collections::BTreeMap;
use std::sync::{Arc, RwLock};

use axum::Router;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use bytes::Bytes;
use common_server::reply;
use http::{StatusCode, header};

/// How long a cache may keep a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Freshness {
    /// Its name changes with its content.
    Immutable,
    /// It is replaced in place.
    Revalidate,
}

/// A file as it is served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StaticFile {
    /// Its content.
    pub(crate) content: Bytes,
    /// How long a cache may keep it.
    pub(crate) freshness: Freshness,
}

/// A set of files that is replaced as a whole, so that no reader sees one version of one file beside another of the next.
#[derive(Debug, Clone, Default)]
pub(crate) struct FileSet(Arc<RwLock<Arc<BTreeMap<String, StaticFile>>>>);

impl FileSet {
    /// Publishes other files in place of all.
    pub(crate) fn replace(&self, files: BTreeMap<String, StaticFile>) {
        // A poisoned lock still holds a whole map: the only write is one assignment.
        *self.0.write().unwrap_or_else(std::sync::PoisonError::into_inner) = Arc::new(files);
    }

    /// Publishes one file in place of the one of its path; the others stay.
    pub(crate) fn put(&self, path: &str, file: StaticFile) {
        let mut files = self.0.write().unwrap_or_else(std::sync::PoisonError::into_inner);
        Arc::make_mut(&mut files).insert(path.to_owned(), file);
    }

    /// A file by its path.
    pub(crate) fn get(&self, path: &str) -> Option<StaticFile> {
        let files = Arc::clone(&self.0.read().unwrap_or_else(std::sync::PoisonError::into_inner));
        files.get(path).cloned()
    }

    /// The routes of the set.
    pub(crate) fn router(self) -> Router {
        Router::new().route("/{*path}", get(serve)).with_state(self)
    }
}

async fn serve(State(files): State<FileSet>, Path(path): Path<String>) -> Response {
    let Some(file) = files.get(&path) else {
        return reply::error(StatusCode::NOT_FOUND, "there is no such file in this repository");
    };
    let cache = match file.freshness {
        Freshness::Immutable => "public, max-age=31536000, immutable",
        Freshness::Revalidate => "no-cache",
    };
    (
        [
            (header::CONTENT_TYPE, media_type(&path)),
            (header::CACHE_CONTROL, cache),
        ],
        file.content,
    )
        .into_response()
}

fn media_type(path: &str) -> &'static str {
    match path.rsplit_once('.').map(|(_, extension)| extension) {
        Some("json") => "application/json",
        Some("pem") => "application/x-pem-file",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use axum::body::Body;
    use http::Request;
    use tower::ServiceExt;

    use super::*;

    #[tokio::test]
    async fn what_is_not_there_is_404_and_what_is_has_its_type() {
        let files = FileSet::default();
        let file = |freshness| StaticFile {
            content: Bytes::from_static(b"{}"),
            freshness,
        };
        files.replace(BTreeMap::from([
            ("1.root.json".to_owned(), file(Freshness::Immutable)),
            ("timestamp.json".to_owned(), file(Freshness::Revalidate)),
            ("targets/ab.ctfe.pub".to_owned(), file(Freshness::Immutable)),
        ]));
        for (path, status, media, cache) in [
            ("/1.root.json", 200, "application/json", Some("immutable")),
            ("/timestamp.json", 200, "application/json", Some("no-cache")),
            (
                "/targets/ab.ctfe.pub",
                200,
                "application/octet-stream",
                Some("immutable"),
            ),
            ("/2.root.json", 404, "application/json", None),
            ("/../1.root.json", 404, "application/json", None),
        ] {
            let request = Request::get(path).body(Body::empty()).unwrap();
            let answer = files.clone().router().oneshot(request).await.unwrap();
            assert_eq!(answer.status(), status, "{path}");
            assert_eq!(answer.headers()[header::CONTENT_TYPE], media, "{path}");
            let got = answer
                .headers()
                .get(header::CACHE_CONTROL)
                .map(|value| value.to_str().unwrap());
            assert!(
                cache.is_none_or(|part| got.unwrap().contains(part)),
                "{path}: {got:?}"
            );
        }
    }
}
