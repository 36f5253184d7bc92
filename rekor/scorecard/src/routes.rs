//! The endpoints.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, Query, Request, State};
use axum::response::{IntoResponse, Response};
use common_bundle::format::{IN_TOTO_PAYLOAD_TYPE, KeyMaterial};
use common_pki::cert::Certificate;
use common_pki::key::HashAlgorithm;
use common_server::admission::Admitted;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use serde::{Deserialize, Serialize};

use crate::Scorecard;
use crate::badge::{self, Style};
use crate::error::Refusal;
use crate::evidence::{Submission, is_commit};
use crate::project::Project;
use crate::results::Results;
use crate::store::Publication;

/// Upstream's lifetime for what it serves; the newest result changes with the next publication.
const CACHED: HeaderValue = HeaderValue::from_static("max-age=600");
/// Index of the log entry that proves the publisher.
const LOG_INDEX: HeaderName = HeaderName::from_static("sigbox-log-index");

type Named = Path<(String, String, String)>;

#[derive(Deserialize)]
pub(crate) struct Which {
    commit: Option<String>,
    style: Option<String>,
}

/// `POST`: verify, then keep.
pub(crate) async fn publish(
    State(scorecard): State<Arc<Scorecard>>,
    Path((platform, org, repo)): Named,
    request: Request,
) -> Result<Response, Refusal> {
    scorecard.writes.check()?;
    let project = Project::new(&platform, &org, &repo)?;
    let body = scorecard.bodies.read(request).await?;
    let _admitted = scorecard.writes.enter()?;
    let submission: Submission = serde_json::from_slice(&body.bytes).map_err(Refusal::Json)?;
    let bundle = submission.bundle(scorecard.config.log.as_ref()).await?;
    let trust = (scorecard.config.trust)().ok_or(Refusal::Internal)?;
    let (named, issuers) = (project.clone(), scorecard.config.issuers.clone());
    let judged = common_server::cpu::run(move || submission.judge(&named, &bundle, &trust, &issuers)).await?;
    let publication = judged?;
    // Not before: the submission is as large, and counts until here.
    drop(body);

    // One at a time: between look and put another could publish something newer.
    let _turn = scorecard.turn.lock().await;
    let store = &scorecard.config.store;
    if let Some(newest) = store.get(&project, None).await? {
        publication.replaces(&newest)?;
    }
    store.put(&project, &publication).await?;
    let said = format!("published {project} at commit {}", publication.commit);
    Ok((StatusCode::CREATED, Json(said)).into_response())
}

/// `GET`: exactly the bytes that were signed.
pub(crate) async fn signed(
    State(scorecard): State<Arc<Scorecard>>,
    Path(named): Named,
    Query(which): Query<Which>,
) -> Result<Response, Refusal> {
    let (project, publication, _admitted) = find(&scorecard, named, &which).await?;
    let mut headers = headers(&publication);
    let describedby = format!(
        "<{}>; rel=\"describedby\"",
        link(&scorecard, &project, &publication, "/evidence")
    );
    for (name, value) in [
        (header::CONTENT_TYPE, publication.media_type.clone()),
        (header::LINK, describedby),
    ] {
        headers.insert(name, value.parse().map_err(|_| Refusal::Internal)?);
    }
    if let Some(index) = publication.log_index {
        headers.insert(LOG_INDEX, HeaderValue::from(index));
    }
    Ok((headers, publication.signed).into_response())
}

/// `GET …/bundle`: what proves them, for `cosign verify-blob --bundle` and its like.
pub(crate) async fn bundle(
    State(scorecard): State<Arc<Scorecard>>,
    Path(named): Named,
    Query(which): Query<Which>,
) -> Result<Response, Refusal> {
    let (_, publication, _admitted) = find(&scorecard, named, &which).await?;
    let mut headers = headers(&publication);
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok((headers, publication.bundle).into_response())
}

/// What the evidence says, in words.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Summary {
    project: String,
    commit: String,
    branch: String,
    score: f64,
    /// Unix seconds.
    signed_at: u64,
    /// Digest of what `GET` on the project answers.
    sha256: String,
    identity: String,
    issuer: String,
    log_index: Option<u64>,
    /// The entry in the log, where it is Rekor v1's.
    log_entry: Option<String>,
    bundle: String,
}

/// `GET …/evidence`: a summary with links.
pub(crate) async fn evidence(
    State(scorecard): State<Arc<Scorecard>>,
    Path(named): Named,
    Query(which): Query<Which>,
) -> Result<Response, Refusal> {
    let (project, publication, _admitted) = find(&scorecard, named, &which).await?;
    let bundle = publication.evidence().ok_or(Refusal::Internal)?;
    let KeyMaterial::Certificates(chain) = &bundle.key_material else {
        return Err(Refusal::Internal);
    };
    let leaf = chain.first().and_then(|der| Certificate::from_der(der).ok());
    let leaf = leaf.ok_or(Refusal::Internal)?;
    let identity = leaf.subject_alt_names().unwrap_or_default();
    let entry = bundle.tlog_entries.first();
    let v1 = entry.filter(|entry| entry.inclusion_promise.is_some());
    let summary = Summary {
        score: score(&publication)?,
        sha256: digest(&publication),
        identity: identity.first().map(|name| name.text()).unwrap_or_default(),
        issuer: leaf.sigstore_extension(8).unwrap_or_default(),
        log_index: entry.map(|entry| entry.log_index),
        log_entry: v1.map(|entry| {
            format!(
                "{}/api/v1/log/entries?logIndex={}",
                scorecard.config.url, entry.log_index
            )
        }),
        bundle: link(&scorecard, &project, &publication, "/bundle"),
        project: publication.project.clone(),
        commit: publication.commit.clone(),
        branch: publication.branch.clone(),
        signed_at: publication.signed_at,
    };
    Ok((headers(&publication), Json(summary)).into_response())
}

/// `GET …/badge`.
pub(crate) async fn badge(
    State(scorecard): State<Arc<Scorecard>>,
    Path(named): Named,
    Query(which): Query<Which>,
) -> Result<Response, Refusal> {
    let style = match which.style.as_deref() {
        None => Style::Flat,
        Some(name) => Style::parse(name).ok_or_else(|| Refusal::Style {
            expected: Style::ALL.map(|(name, _)| name).join(", "),
            got: name.chars().take(32).collect(),
        })?,
    };
    const SVG: HeaderValue = HeaderValue::from_static("image/svg+xml; charset=utf-8");
    let (project, publication, _admitted) = match find(&scorecard, named, &which).await {
        Ok(found) => found,
        // A picture all the same: most who ask are pages that show it.
        Err(refusal @ Refusal::NotPublished(_)) => {
            let svg = badge::draw(style, None, &refusal.to_string(), &scorecard.config.url);
            return Ok((StatusCode::NOT_FOUND, [(header::CONTENT_TYPE, SVG)], svg).into_response());
        }
        Err(refusal) => return Err(refusal),
    };
    let found = score(&publication)?;
    let entry = publication.log_index;
    let entry = entry.map_or_else(String::new, |index| format!(", log entry {index}"));
    let title = format!(
        "OpenSSF Scorecard of {project}: {found} at commit {}{entry}",
        publication.commit
    );
    let svg = badge::draw(
        style,
        Some(found),
        &title,
        &link(&scorecard, &project, &publication, "/evidence"),
    );
    let mut headers = headers(&publication);
    headers.insert(header::CONTENT_TYPE, SVG);
    headers.remove(header::ETAG);
    Ok((headers, svg).into_response())
}

/// What is published, and the place that reading it takes: it is read and parsed whole, so hold on to that until it is answered.
async fn find(
    scorecard: &Scorecard,
    (platform, org, repo): (String, String, String),
    which: &Which,
) -> Result<(Project, Publication, Admitted), Refusal> {
    let admitted = scorecard.reads.enter()?;
    let project = Project::new(&platform, &org, &repo)?;
    let commit = which.commit.as_deref();
    if let Some(commit) = commit.filter(|commit| !is_commit(commit)) {
        return Err(Refusal::Commit(commit.chars().take(64).collect()));
    }
    let found = scorecard.config.store.get(&project, commit).await?;
    let publication = found.ok_or_else(|| {
        let at = commit.map_or_else(String::new, |commit| format!(" at commit {commit}"));
        Refusal::NotPublished(format!("{project}{at}"))
    })?;
    Ok((project, publication, admitted))
}

fn headers(publication: &Publication) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(header::CACHE_CONTROL, CACHED);
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    if let Ok(tag) = format!("\"{}\"", digest(publication)).parse() {
        headers.insert(header::ETAG, tag);
    }
    headers
}

fn link(scorecard: &Scorecard, project: &Project, publication: &Publication, what: &str) -> String {
    format!(
        "{}/projects/{project}{what}?commit={}",
        scorecard.config.url, publication.commit
    )
}

fn digest(publication: &Publication) -> String {
    hex::encode(HashAlgorithm::Sha256.digest(publication.signed.as_bytes()))
}

/// What was accepted once can be read again.
fn score(publication: &Publication) -> Result<f64, Refusal> {
    let signed = publication.signed.as_bytes();
    let results = if publication.media_type == IN_TOTO_PAYLOAD_TYPE {
        Results::from_statement(signed)
    } else {
        Results::from_json(signed)
    };
    Ok(results?.score)
}
