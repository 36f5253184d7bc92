//! The log entry of an envelope that came without one (`slsa-verifier verifiers/internal/gha/rekor.go`).

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use common_bundle::format::{Bundle, Content, Envelope, MediaType, TransparencyLogEntry};
use common_pki::key::sha256;
use http::StatusCode;
use serde_json::{Value, json};

use super::{FAILED, certificates};
use crate::exit::{Exit, Failure};
use crate::http::{Client, HttpError};
use crate::log_entry::{self, LogEntryError};
use crate::signing::entry::dsse_v1;

/// Most entries about one payload that are looked at.
const MAX_ENTRIES: usize = 64;

/// Why there is no entry.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LookupError {
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
        problem: String,
    },
    /// The file is no text.
    #[error("the envelope is not UTF-8")]
    Text,
    /// The certificate of the envelope is none.
    #[error("the certificate in the envelope: {0}")]
    Certificate(#[from] common_pki::cert::CertError),
    /// Nobody to ask.
    #[error(
        "no log entry: expected one in the provenance, or a log to look it up in (--rekor-url URL), got neither"
    )]
    NoLog,
    /// Not there.
    #[error("no matching rekor entries: the log at {0} does not have this envelope")]
    None(String),
    /// There more than once: which of the times counts?
    #[error("the log at {url} has {count} entries for this envelope, expected one")]
    Several {
        /// The log.
        url: String,
        /// How many.
        count: usize,
    },
}

impl LookupError {
    /// For the end of the command.
    pub(crate) fn failure(&self, file: &Path) -> Failure {
        let exit = match self {
            LookupError::Http(_) => Exit::Failed,
            LookupError::NoLog | LookupError::None(_) => Exit::NotLogged,
            _ => Exit::Unverified,
        };
        Failure {
            exit,
            message: format!("{FAILED}: {}: {self}", file.display()),
        }
    }
}

/// Looks for the entry of either kind that generators made, and puts it into a bundle. What the log says is verified
/// later, with everything else.
pub(crate) async fn by_certificate(
    url: &str,
    envelope: Envelope,
    certificate: &str,
    text: &[u8],
) -> Result<Bundle, LookupError> {
    let whole = std::str::from_utf8(text).map_err(|_| LookupError::Text)?;
    let verifier = STANDARD.encode(certificate);
    let intoto = json!({
        "apiVersion": "0.0.1",
        "kind": "intoto",
        "spec": { "content": { "envelope": whole }, "publicKey": verifier },
    });
    let query = json!({ "entries": [intoto, dsse_v1(whole, &verifier)] });
    let client = Client::new(url)?;
    let answer = client
        .post(
            "/api/v1/log/entries/retrieve",
            "application/json",
            query.to_string().into_bytes(),
        )
        .await?;
    let mut found = log_entry::parse_list(&answer.expect(StatusCode::OK)?)?;
    let entry = match (found.pop(), found.len()) {
        (Some((_, entry)), 0) => entry,
        (None, _) => return Err(LookupError::None(client.base().to_owned())),
        (Some(_), more) => {
            return Err(LookupError::Several {
                url: client.base().to_owned(),
                count: more.saturating_add(1),
            });
        }
    };
    with_entry(envelope, certificate, entry)
}

/// Looks for entries about the payload of an envelope that does not carry its certificate, which the log then has. Several
/// may have signed the same; which of them counts, their verification decides.
pub(crate) async fn by_payload(url: &str, envelope: &Envelope) -> Result<Vec<Bundle>, LookupError> {
    let client = Client::new(url)?;
    let wrong = |problem: String| LookupError::Search {
        url: client.base().to_owned(),
        problem,
    };
    let query = json!({ "hash": format!("sha256:{}", hex::encode(sha256(&envelope.payload))) });
    let answer = client
        .post(
            "/api/v1/index/retrieve",
            "application/json",
            query.to_string().into_bytes(),
        )
        .await?;
    let uuids: Vec<String> =
        serde_json::from_slice(&answer.expect(StatusCode::OK)?).map_err(|error| wrong(error.to_string()))?;
    if uuids.len() > MAX_ENTRIES {
        return Err(wrong(format!("{} of them, more than {MAX_ENTRIES}", uuids.len())));
    }
    let mut bundles = Vec::new();
    for uuid in uuids {
        if uuid.is_empty() || !uuid.bytes().all(|octet| octet.is_ascii_hexdigit()) {
            return Err(wrong(format!("{uuid:?}")));
        }
        let answer = client.get(&format!("/api/v1/log/entries/{uuid}")).await?;
        let entry = log_entry::parse(&answer.expect(StatusCode::OK)?)?;
        // Entries of managed keys are about the same payload too, and certify nobody.
        if let Some(certificate) = certificate_of(&entry) {
            bundles.push(with_entry(envelope.clone(), &certificate, entry)?);
        }
    }
    if bundles.is_empty() {
        return Err(LookupError::None(client.base().to_owned()));
    }
    Ok(bundles)
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

fn with_entry(
    envelope: Envelope,
    certificate: &str,
    entry: TransparencyLogEntry,
) -> Result<Bundle, LookupError> {
    Ok(Bundle {
        media_type: MediaType::V03,
        key_material: certificates(certificate)?,
        tlog_entries: vec![entry],
        timestamps: Vec::new(),
        content: Content::Dsse(envelope),
    })
}
