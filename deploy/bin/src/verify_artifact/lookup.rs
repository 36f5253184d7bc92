//! The log entry of an envelope that came without one (`slsa-verifier verifiers/internal/gha/rekor.go`).

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use common_bundle::format::{Bundle, CertifiedEnvelope, Content, MediaType};
use http::StatusCode;
use serde_json::json;

use super::certificates;
use crate::exit::{Exit, Failure};
use crate::http::{Client, HttpError};
use crate::log_entry::{self, LogEntryError};
use crate::signing::entry::dsse_v1;

/// Why there is no entry.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LookupError {
    /// The log did not answer.
    #[error(transparent)]
    Http(#[from] HttpError),
    /// Its answer is not one.
    #[error("{0}")]
    Entry(#[from] LogEntryError),
    /// The file is no text.
    #[error("the envelope is not UTF-8")]
    Text,
    /// The certificate of the envelope is none.
    #[error("the certificate in the envelope: {0}")]
    Certificate(#[from] common_pki::cert::CertError),
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
            LookupError::None(_) => Exit::NotLogged,
            _ => Exit::Unverified,
        };
        Failure {
            exit,
            message: format!("FAILED: SLSA verification failed: {}: {self}", file.display()),
        }
    }
}

/// Looks for the entry of either kind that generators made, and puts it into a bundle. What the log says is verified
/// later, with everything else.
pub(crate) async fn bundle(
    url: &str,
    certified: CertifiedEnvelope,
    text: &[u8],
) -> Result<Bundle, LookupError> {
    let envelope = std::str::from_utf8(text).map_err(|_| LookupError::Text)?;
    let verifier = STANDARD.encode(&certified.certificate);
    let intoto = json!({
        "apiVersion": "0.0.1",
        "kind": "intoto",
        "spec": { "content": { "envelope": envelope }, "publicKey": verifier },
    });
    let query = json!({ "entries": [intoto, dsse_v1(envelope, &verifier)] });
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
    Ok(Bundle {
        media_type: MediaType::V03,
        key_material: certificates(&certified.certificate)?,
        tlog_entries: vec![entry],
        timestamps: Vec::new(),
        content: Content::Dsse(certified.envelope),
    })
}
