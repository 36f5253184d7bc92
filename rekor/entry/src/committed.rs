//! Reading bodies back out of a log: what was signed, by which key, with which signature.
//!
//! Works on the octets of a leaf of either API version. It does not verify: the log did, and who does not believe it has
//! [`Verifier::key`] and the digest.

use common_pki::key::HashAlgorithm;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::error::Invalid;
use crate::json::{Object, Text};
use crate::verifier::Verifier;
use crate::{v1, v2};

/// The digest an entry commits to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Digest {
    /// Its algorithm.
    pub algorithm: HashAlgorithm,
    /// Its octets.
    pub value: Vec<u8>,
}

impl Digest {
    pub(crate) fn from_hex(algorithm: HashAlgorithm, hex: &str) -> Result<Self, Invalid> {
        let expected = algorithm.len().saturating_mul(2);
        if hex.len() != expected {
            return Err(Invalid::HashLength {
                algorithm: algorithm.name(),
                expected,
                got: hex.len(),
            });
        }
        let value = hex::decode(hex).map_err(|_| Invalid::HashDigits)?;
        Ok(Self { algorithm, value })
    }
}

/// One signature of an entry and what verifies it.
#[derive(Clone, Debug)]
pub struct CommittedSignature {
    /// The signature's octets; `None` where the kind logs only what verified it.
    pub signature: Option<Vec<u8>>,
    /// Key or certificate.
    pub verifier: Verifier,
}

/// A body that was read.
#[derive(Clone, Debug)]
pub struct CommittedEntry {
    /// Entry kind.
    pub kind: &'static str,
    /// Version of the kind.
    pub api_version: &'static str,
    /// `hashedrekord`: digest of the artifact. Envelopes: SHA-256 of the payload.
    pub digest: Digest,
    /// One or more signatures.
    pub signatures: Vec<CommittedSignature>,
    /// Terms that can be told from the body; subjects of a `dsse` payload are gone with it.
    pub index_keys: Vec<String>,
    /// Where an attestation is kept, if this kind keeps one.
    pub attestation_key: Option<String>,
}

/// Why a body cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// Not JSON, or not an entry.
    #[error("not an entry body: {0}")]
    Json(#[from] serde_json::Error),
    /// A kind or version this crate does not implement.
    #[error("entry kind {kind:?} of version {version:?} is not implemented")]
    NotImplemented {
        /// Kind, cut to 64 characters.
        kind: String,
        /// Version, cut to 64 characters.
        version: String,
    },
    /// The kind's own part is not as it should be.
    #[error("malformed entry body: {0}")]
    Malformed(#[from] Invalid),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Wire<'a> {
    #[serde(borrow)]
    kind: Text<'a>,
    #[serde(borrow)]
    api_version: Text<'a>,
    #[serde(borrow)]
    spec: &'a RawValue,
}

/// Reads a canonical body.
///
/// # Errors
/// See [`ReadError`].
pub fn read(body: &[u8]) -> Result<CommittedEntry, ReadError> {
    let Object(Wire {
        kind,
        api_version,
        spec,
    }) = serde_json::from_slice::<Object<Wire<'_>>>(body)?;
    let v1 = v1::IMPLEMENTATIONS
        .iter()
        .find(|implementation| {
            implementation.kind.as_str() == &*kind && implementation.api_version == &*api_version
        })
        .map(|implementation| implementation.read);
    let read = v1
        .or_else(|| v2::reader(&kind, &api_version))
        .ok_or_else(|| ReadError::NotImplemented {
            kind: kind.chars().take(64).collect(),
            version: api_version.chars().take(64).collect(),
        })?;
    Ok(read(spec)?)
}
