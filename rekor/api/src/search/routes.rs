//! The paths under `/api/sigbox/v1`.

use std::sync::Arc;

use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query as Pairs, Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, any, get};
use axum::{Json, Router};
use common_server::body::Reader;
use http::header::{ACCESS_CONTROL_ALLOW_ORIGIN, CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderValue, Method};
use serde::Serialize;

use super::query::Query;
use super::{Answer, EntryAnswer, Error, Service};

/// Where the logs are.
pub(super) const LOGS: &str = "/api/sigbox/v1/logs";
const SEARCH: &str = "/api/sigbox/v1/search";
const OPENAPI: &str = "/api/sigbox/v1/openapi.json";
/// Longest query in a body, in bytes.
const MAX_BODY: usize = 32 << 10;
/// The interface in OpenAPI 3.1.
const DESCRIPTION: &str = include_str!("openapi.json");

#[derive(Clone)]
struct Shared {
    service: Arc<Service>,
    bodies: Reader,
}

/// Search, logs, entries, and the description of all of them. Answers may be read by pages of any origin: all of it is
/// public.
pub fn router(service: Arc<Service>) -> Router {
    let shared = Shared {
        service,
        bodies: Reader::new(MAX_BODY),
    };
    let routes: [(&str, MethodRouter<Shared>); 4] = [
        (SEARCH, get(search).post(search_json)),
        (LOGS, get(logs)),
        ("/api/sigbox/v1/logs/{log}/entries/{index}", get(entry)),
        (OPENAPI, get(async || description())),
    ];
    let mut router = Router::new();
    for (path, methods) in routes {
        router = router.route(
            path,
            methods.fallback(async |method: Method| Error::Method(method)),
        );
    }
    router
        .route("/api/sigbox/v1/{*path}", any(async || Error::NotFound))
        .layer(axum::middleware::map_response(open))
        .with_state(shared)
}

async fn open(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    headers
        .entry(CACHE_CONTROL)
        .or_insert(HeaderValue::from_static("no-store"));
    response
}

fn description() -> Response {
    ([(CONTENT_TYPE, "application/json")], DESCRIPTION).into_response()
}

async fn search(
    State(shared): State<Shared>,
    pairs: Result<Pairs<Vec<(String, String)>>, QueryRejection>,
) -> Result<Json<Answer>, Error> {
    let Pairs(pairs) = pairs.map_err(|_| Error::Unreadable)?;
    let query = Query::from_pairs(pairs.iter().map(|(name, value)| (name.as_str(), value.as_str())))?;
    Ok(Json(shared.service.search(&query).await?))
}

async fn search_json(State(shared): State<Shared>, request: Request) -> Result<Json<Answer>, Error> {
    let body = shared.bodies.read(request).await?;
    let query = Query::from_json(&body.bytes)?;
    Ok(Json(shared.service.search(&query).await?))
}

#[derive(Serialize)]
struct Logs {
    logs: Vec<super::LogAnswer>,
}

async fn logs(State(shared): State<Shared>) -> Json<Logs> {
    Json(Logs {
        logs: shared.service.heads(),
    })
}

async fn entry(
    State(shared): State<Shared>,
    place: Result<Path<(u32, u64)>, PathRejection>,
) -> Result<Json<EntryAnswer>, Error> {
    let Path((log, index)) = place.map_err(|_| Error::NotFound)?;
    Ok(Json(shared.service.entry(log, index).await?))
}
