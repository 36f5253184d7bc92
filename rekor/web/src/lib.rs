//! The search page: what is in the logs, for people.
//!
//! Implements: `/search`, a box for anything and a form for every field, with results from all logs; and
//! `/entry/<log>/<index>`, one entry with its signer, its body and the proof that it is in the log. Pages are made here and
//! need no script; where there is one, the browser computes the proof again.
//!
//! Leaves out: searching and reading (`rekor-api`, which also has the interface for programs), listeners, sessions: there is
//! nothing to log in to.
//!
//! Names in certificates are whatever somebody put there. Everything is escaped by the templates, and the content security
//! policy allows nothing but the two files that are served beside the pages.
//!
//! Built upon by `deploy-bin`.

mod pages;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use axum::Router;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query as Pairs, State};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderValue, StatusCode};
use rekor_api::search::{Error, Query, Service};

use self::pages::{EntryPage, Form, Problem, ResultsPage, rendered};

const STYLE: &str = include_str!("assets/search.css");
const SCRIPT: &str = include_str!("assets/search.js");

/// Two files of our own, and a form that leads back here; nothing else, from nowhere.
const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; form-action 'self'; base-uri 'none'; \
                      frame-ancestors 'none'";

/// The pages.
pub fn router(service: Arc<Service>) -> Router {
    Router::new()
        .route("/search", get(search))
        .route("/entry/{log}/{index}", get(entry))
        .route(
            "/search/style.css",
            get(async || asset("text/css; charset=utf-8", STYLE)),
        )
        .route(
            "/search/script.js",
            get(async || asset("text/javascript; charset=utf-8", SCRIPT)),
        )
        .layer(axum::middleware::map_response(guarded))
        .with_state(service)
}

async fn guarded(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers
        .entry(CACHE_CONTROL)
        .or_insert(HeaderValue::from_static("no-store"));
    response
}

fn asset(media_type: &'static str, text: &'static str) -> Response {
    let headers = [(CONTENT_TYPE, media_type), (CACHE_CONTROL, "public, max-age=300")];
    (headers, text).into_response()
}

async fn search(
    State(service): State<Arc<Service>>,
    pairs: Result<Pairs<Vec<(String, String)>>, QueryRejection>,
) -> Response {
    let Ok(Pairs(pairs)) = pairs else {
        return problem(&Error::Unreadable, Form::default());
    };
    let form = Form::of(&pairs);
    let query = Query::from_pairs(pairs.iter().map(|(name, value)| (name.as_str(), value.as_str())));
    let answer = match query {
        Ok(query) => service.search(&query).await,
        Err(error) => Err(error),
    };
    match answer {
        Ok(answer) => page(StatusCode::OK, rendered(&ResultsPage::new(form, answer))),
        Err(error) => problem(&error, form),
    }
}

async fn entry(
    State(service): State<Arc<Service>>,
    place: Result<Path<(u32, u64)>, PathRejection>,
) -> Response {
    let found = match place {
        Ok(Path((log, index))) => service.entry(log, index).await,
        Err(_) => Err(Error::NotFound),
    };
    match found {
        Ok(entry) => page(StatusCode::OK, rendered(&EntryPage::new(entry))),
        Err(error) => problem(&error, Form::default()),
    }
}

/// The form again, with what was wrong.
fn problem(error: &Error, form: Form) -> Response {
    let text = rendered(&Problem {
        form,
        message: error.to_string(),
    });
    page(error.status(), text)
}

fn page(status: StatusCode, text: Option<String>) -> Response {
    match text {
        Some(text) => (status, Html(text)).into_response(),
        None => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}
