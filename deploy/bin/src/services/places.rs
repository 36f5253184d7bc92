//! Where later shards are read: `/shards/NAME/…`. The first Rekor v2 log and the first certificate log keep the places
//! they always had, so that whoever follows a log finds the same one there for ever.

use std::collections::BTreeMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use axum::Router;
use axum::extract::{Path, Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use common_server::reply;
use http::{StatusCode, Uri};
use tower::ServiceExt;

/// Routers by the name of their shard. A shard is added while requests are served, none is ever removed.
#[derive(Clone, Default)]
pub(crate) struct Places(Arc<ArcSwap<BTreeMap<String, Router>>>);

impl Places {
    /// Serves a shard from now on.
    pub(crate) fn add(&self, name: &str, router: Router) {
        self.0.rcu(|places| {
            let mut places = BTreeMap::clone(places);
            places.insert(name.to_owned(), router.clone());
            places
        });
    }

    /// The routes under `/shards`.
    pub(crate) fn router(self) -> Router {
        Router::new()
            .route("/shards/{name}/{*path}", any(serve))
            .with_state(self)
    }
}

async fn serve(
    State(places): State<Places>,
    Path((name, _)): Path<(String, String)>,
    request: Request,
) -> Response {
    let Some(router) = places.0.load().get(&name).cloned() else {
        return reply::error(StatusCode::NOT_FOUND, "there is no shard of that name");
    };
    // As it came, escapes included: what follows `/shards/NAME`.
    let text = request.uri().path_and_query().map_or("/", |whole| whole.as_str());
    let below = text.splitn(4, '/').nth(3).unwrap_or_default();
    let Ok(uri) = format!("/{below}").parse::<Uri>() else {
        return reply::error(StatusCode::NOT_FOUND, "there is no such path");
    };
    // Without extensions: the parameters of this route are in them, and the shard's would be counted after those.
    let (parts, body) = request.into_parts();
    let mut below = Request::new(body);
    *below.method_mut() = parts.method;
    *below.uri_mut() = uri;
    *below.headers_mut() = parts.headers;
    match router.oneshot(below).await {
        Ok(response) => response,
        Err(never) => match never {},
    }
    .into_response()
}
