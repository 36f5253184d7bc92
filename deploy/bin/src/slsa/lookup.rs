//! The log entries of an envelope that came without one (`slsa-verifier verifiers/internal/gha/rekor.go`).
//!
//! Anybody may log what is public: the same envelope as an entry of another kind, the same payload under a key of their own. So
//! each entry that may be the envelope's is tried, and one that is not, or cannot be read, hides no other.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use common_bundle::format::{Bundle, Content, Envelope, KeyMaterial, MediaType, TransparencyLogEntry};
use common_pki::cert::{CertError, Certificate};
use common_pki::key::sha256;
use http::StatusCode;
use serde_json::{Value, json};

use super::attestations::Bare;
use crate::exit::Exit;
use crate::http::{Client, HttpError};
use crate::log_entry::{self, LogEntryError};
use crate::signing::entry::dsse_v1;
use crate::verify::report::Refusal;

/// Most entries that are looked at from either end of a list.
const MAX_ENTRIES: usize = 32;
/// Most certificates beside each other in an envelope or an entry.
const MAX_CERTIFICATES: usize = 10;

/// Why there is no entry.
#[derive(Debug, thiserror::Error)]
pub(super) enum LookupError {
    /// The log did not answer.
    #[error(transparent)]
    Http(#[from] HttpError),
    /// Its answer is not one.
    #[error("{0}")]
    Entry(#[from] LogEntryError),
    /// Its answer to a search is none.
    #[error("{url}: expected a list of UUIDs, got {problem}")]
    Search {
        /// The log.
        url: String,
        /// What is wrong.
        problem: serde_json::Error,
    },
    /// The file is no text.
    #[error("the envelope is not UTF-8")]
    Text,
    /// The certificate of the envelope is none.
    #[error("the certificate in the envelope: {0}")]
    Certificate(#[from] CertError),
    /// Nobody to ask.
    #[error(
        "no log entry: expected one in the provenance, or a log to look it up in (--rekor-url URL), got neither"
    )]
    NoLog,
    /// Not there.
    #[error("no matching rekor entries: the log at {0} does not have this envelope")]
    None(String),
}

impl From<LookupError> for Refusal {
    fn from(error: LookupError) -> Refusal {
        let exit = match error {
            LookupError::Http(_) => Exit::Failed,
            LookupError::NoLog | LookupError::None(_) => Exit::NotLogged,
            _ => Exit::Unverified,
        };
        Refusal::new("log-entry", exit, error)
    }
}

/// An entry that may be of an envelope, and the certificate that it would be signed with.
#[derive(Debug)]
pub(super) struct Logged {
    certificate: KeyMaterial,
    entry: TransparencyLogEntry,
}

impl Logged {
    /// Everything in one. What the log says is verified later, with everything else.
    pub(super) fn bundle(&self, envelope: &Envelope) -> Bundle {
        Bundle {
            media_type: MediaType::V03,
            key_material: self.certificate.clone(),
            tlog_entries: vec![self.entry.clone()],
            timestamps: Vec::new(),
            content: Content::Dsse(envelope.clone()),
        }
    }
}

/// Looks for the entries of an envelope, one at least. Which of them counts, their verification decides: a time that one of them
/// proves is proven, whatever the others say.
///
/// # Errors
/// [`LookupError`].
pub(super) async fn entries(client: &Client, bare: &Bare) -> Result<Vec<Logged>, LookupError> {
    let found = match &bare.envelope.certificate {
        Some(certificate) => by_certificate(client, certificate, &bare.text).await?,
        None => by_payload(client, &bare.envelope.envelope.payload).await?,
    };
    if found.is_empty() {
        return Err(LookupError::None(client.base().to_owned()));
    }
    Ok(found)
}

/// The entries of either kind that generators made of an envelope and its certificate.
async fn by_certificate(client: &Client, pem: &str, text: &[u8]) -> Result<Vec<Logged>, LookupError> {
    let certificate = leaf(pem)?;
    let whole = std::str::from_utf8(text).map_err(|_| LookupError::Text)?;
    let verifier = STANDARD.encode(pem);
    let intoto = json!({
        "apiVersion": "0.0.1",
        "kind": "intoto",
        "spec": { "content": { "envelope": whole }, "publicKey": verifier },
    });
    let query = json!({ "entries": [intoto, dsse_v1(whole, &verifier)] });
    let answer = asked(client, "/api/v1/log/entries/retrieve", &query).await?;
    let found = log_entry::parse_list(&answer)?.into_iter().take(MAX_ENTRIES);
    let logged = |(_, entry)| Logged {
        certificate: certificate.clone(),
        entry,
    };
    Ok(found.map(logged).collect())
}

/// The entries about the payload of an envelope that does not carry its certificate, which the log then has.
async fn by_payload(client: &Client, payload: &[u8]) -> Result<Vec<Logged>, LookupError> {
    let query = json!({ "hash": format!("sha256:{}", hex::encode(sha256(payload))) });
    let answer = asked(client, "/api/v1/index/retrieve", &query).await?;
    let uuids: Vec<String> = serde_json::from_slice(&answer).map_err(|problem| LookupError::Search {
        url: client.base().to_owned(),
        problem,
    })?;
    let (mut found, mut unanswered) = (Vec::new(), None);
    for uuid in ends(&uuids) {
        match by_uuid(client, uuid).await {
            Ok(logged) => found.extend(logged),
            Err(error) => {
                let nobody = matches!(error, HttpError::NoAnswer { .. });
                unanswered.get_or_insert(error);
                if nobody {
                    break;
                }
            }
        }
    }
    match unanswered {
        Some(error) if found.is_empty() => Err(error.into()),
        _ => Ok(found),
    }
}

/// The beginning and the end of a list. Logs list in the order of logging or backwards, and whoever signed logged before anyone
/// else had the payload: however many log it again, the signer's own entry stays at one end.
fn ends<T>(list: &[T]) -> impl Iterator<Item = &T> {
    let (first, rest) = list.split_at_checked(MAX_ENTRIES).unwrap_or((list, &[]));
    let between = rest.len().saturating_sub(MAX_ENTRIES);
    first.iter().chain(rest.iter().skip(between))
}

/// An entry by its name. One that certifies nobody is not the envelope's: a key of somebody's own signed the same payload, or
/// what is there cannot be read.
async fn by_uuid(client: &Client, uuid: &str) -> Result<Option<Logged>, HttpError> {
    if uuid.is_empty() || !uuid.bytes().all(|octet| octet.is_ascii_hexdigit()) {
        return Ok(None);
    }
    let answer = client.get(&format!("/api/v1/log/entries/{uuid}")).await?;
    let Ok(entry) = log_entry::parse(&answer.expect(StatusCode::OK)?) else {
        return Ok(None);
    };
    let certificate = certificate_of(&entry).and_then(|pem| leaf(&pem).ok());
    Ok(certificate.map(|certificate| Logged { certificate, entry }))
}

async fn asked(client: &Client, path: &str, query: &Value) -> Result<bytes::Bytes, HttpError> {
    let query = query.to_string().into_bytes();
    client
        .post(path, "application/json", query)
        .await?
        .expect(StatusCode::OK)
}

/// The certificate in the body of an envelope's entry: base64 of PEM, in a place for each kind.
fn certificate_of(entry: &TransparencyLogEntry) -> Option<String> {
    let body: Value = serde_json::from_slice(&entry.canonicalized_body).ok()?;
    [
        "/spec/publicKey",
        "/spec/signatures/0/verifier",
        "/spec/content/envelope/signatures/0/publicKey",
    ]
    .iter()
    .filter_map(|place| body.pointer(place)?.as_str())
    .filter_map(|text| String::from_utf8(STANDARD.decode(text).ok()?).ok())
    .find(|pem| pem.contains("BEGIN CERTIFICATE"))
}

/// The first certificate, for a bundle that is not verified yet.
fn leaf(pem: &str) -> Result<KeyMaterial, CertError> {
    let chain = Certificate::chain_from_pem(pem, MAX_CERTIFICATES)?;
    let leaf = chain.first().map(|leaf| leaf.to_der().to_vec());
    Ok(KeyMaterial::Certificates(leaf.into_iter().collect()))
}

#[cfg(test)]
mod tests;
