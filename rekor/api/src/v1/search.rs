//! POST `/api/v1/index/retrieve`: entry IDs by e-mail, subject, artifact hash or public key.

mod places;

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use common_pki::key::sha256;
use common_server::cpu;
use http::StatusCode;
use rekor_entry::{Object, canonical_key};
use serde::Deserialize;

use super::error::{ApiError, Place, Rule, Violation};
use super::negotiate::{json_body, object};
use super::{Service, json_response};

/// The hash forms accepted. `sha384` is not in upstream's pattern although upstream indexes such digests.
const HASH_PATTERN: &str = "^(sha512:)?[0-9a-fA-F]{128}$|^(sha384:)?[0-9a-fA-F]{96}$|^(sha256:)?[0-9a-fA-F]{64}$|^(sha1:)?[0-9a-fA-F]{40}$";
/// Longest `subject`, in characters (rekor `openapi.yaml`, SearchIndex).
const MAX_SUBJECT: usize = 512;
/// Longest `email`, in octets (RFC 5321 §4.5.3.1).
const MAX_EMAIL: usize = 254;

/// The request. Empty strings count as absent, as go-openapi sees zero values.
#[derive(Deserialize, Default)]
struct Query {
    email: Option<String>,
    subject: Option<String>,
    hash: Option<String>,
    #[serde(rename = "publicKey")]
    public_key: Option<Object<PublicKeyQuery>>,
    operator: Option<String>,
}

#[derive(Deserialize)]
struct PublicKeyQuery {
    format: Option<String>,
    content: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operator {
    And,
    Or,
}

/// What a valid request asks for: the terms to look up, one for each member given, and how to combine them.
#[derive(Debug, PartialEq, Eq)]
struct Search {
    terms: Vec<String>,
    operator: Operator,
}

impl Search {
    fn parse(body: &[u8]) -> Result<Self, ApiError> {
        let query: Query = object(body, "query")?;
        let given = |member: Option<String>| member.filter(|text| !text.is_empty());
        // The schema's rules come first, in the order of the member names.
        let email = given(query.email).map(email_term).transpose()?;
        let hash = given(query.hash).map(|hash| hash_term(&hash)).transpose()?;
        let operator = match given(query.operator).as_deref() {
            None | Some("or") => Operator::Or,
            Some("and") => Operator::And,
            Some(_) => return Err(violation("operator", Rule::OneOf("and or"))),
        };
        if let Some(key) = &query.public_key {
            check_format(key.format.as_deref())?;
        }
        let subject = given(query.subject).map(subject_term).transpose()?;
        let public_key = query.public_key.as_deref().map(key_term).transpose()?;
        Ok(Search {
            terms: [hash, public_key, email, subject].into_iter().flatten().collect(),
            operator,
        })
    }
}

fn violation(name: &str, rule: Rule) -> ApiError {
    Violation::new(name, Place::Body, rule).into()
}

fn email_term(email: String) -> Result<String, ApiError> {
    let well_formed = email.len() <= MAX_EMAIL
        && !email.chars().any(|c| c.is_whitespace() || c.is_control())
        && email
            .rsplit_once('@')
            .is_some_and(|(local, domain)| !local.is_empty() && !domain.is_empty());
    match well_formed {
        true => Ok(email.to_lowercase()),
        false => Err(violation(
            "email",
            Rule::Type {
                expected: "email",
                got: email.chars().take(MAX_EMAIL).collect(),
            },
        )),
    }
}

fn subject_term(subject: String) -> Result<String, ApiError> {
    if subject.chars().count() > MAX_SUBJECT {
        return Err(violation("subject", Rule::AtMostChars(MAX_SUBJECT)));
    }
    Ok(subject.to_lowercase())
}

/// `algorithm:hex`, the algorithm taken from the length where it is not given.
fn hash_term(hash: &str) -> Result<String, ApiError> {
    let (name, digits) = match hash.split_once(':') {
        Some((name, digits)) => (Some(name), digits),
        None => (None, hash),
    };
    let algorithm = match digits.len() {
        40 => "sha1",
        64 => "sha256",
        96 => "sha384",
        128 => "sha512",
        _ => return Err(violation("hash", Rule::Pattern(HASH_PATTERN))),
    };
    if name.is_some_and(|name| name != algorithm) || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(violation("hash", Rule::Pattern(HASH_PATTERN)));
    }
    Ok(format!("{algorithm}:{}", digits.to_ascii_lowercase()))
}

/// Where go-openapi finds fault with the format it names the member twice.
fn check_format(format: Option<&str>) -> Result<(), ApiError> {
    let rule = match format {
        None => Rule::Required,
        Some("pgp" | "x509" | "minisign" | "ssh" | "tuf") => return Ok(()),
        Some(_) => Rule::OneOf("pgp x509 minisign ssh tuf"),
    };
    Err(violation("publicKey.publicKey.format", rule))
}

/// Hex SHA-256 of the key's canonical form, without a prefix (rekor `pkg/api/index.go`, SearchIndexHandler).
fn key_term(key: &PublicKeyQuery) -> Result<String, ApiError> {
    let content = STANDARD
        .decode(key.content.as_deref().unwrap_or_default())
        .map_err(|_| ApiError::UnparsableKey)?;
    match canonical_key(key.format.as_deref().unwrap_or_default(), &content) {
        Some(Ok(key)) => Ok(hex::encode(sha256(&key))),
        Some(Err(_)) => Err(ApiError::UnparsableKey),
        None => Err(ApiError::KeyFormat),
    }
}

/// Entry IDs without repetition, shard by shard, newest first.
pub(super) async fn retrieve(
    State(service): State<Arc<Service>>,
    request: Request,
) -> Result<Response, ApiError> {
    service.expensive_reads.check()?;
    let (_, body) = json_body(request, "query", &service.bodies).await?;
    let _admitted = service.expensive_reads.enter()?;
    let search = cpu::run(move || Search::parse(&body.bytes)).await??;
    let places = service.places(search).await?;
    let ids = service.entry_ids(places).await?;

    // 80 digits, two quotes and a comma each.
    let mut out = String::with_capacity(ids.len().saturating_mul(83).saturating_add(3));
    out.push('[');
    for (at, id) in ids.iter().enumerate() {
        out.push_str(if at == 0 { "\"" } else { ",\"" });
        id.write(&mut out);
        out.push('"');
    }
    out.push_str("]\n");
    Ok(json_response(StatusCode::OK, out))
}

#[cfg(test)]
mod tests;
