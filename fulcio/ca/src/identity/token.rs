//! Taking a compact JWS apart, before anything in it is believed.
//!
//! RFC 7515 §7.1: three base64url segments joined by dots. Lengths and dots are checked on the raw
//! bytes, so that a token of a million dots costs one scan and no allocation (GHSA-f83f-xpx7-ffpw).

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use openidconnect::core::CoreJwsSigningAlgorithm;
use serde::de::IgnoredAny;
use serde::{Deserialize, Deserializer};

use super::claims::Claims;
use super::error::{TokenError, quote};

/// The longest identity token that is read, in bytes. Real ones are 1 to 3 KiB.
pub const MAX_TOKEN: usize = 16 * 1024;

/// A token that could be read. Nothing in it is verified; it has no `Debug`, so that it is not logged.
pub(crate) struct Token {
    raw: String,
    /// Length of `header.payload`, which is what the signature covers.
    signed: usize,
    signature: Vec<u8>,
    pub(crate) algorithm: CoreJwsSigningAlgorithm,
    pub(crate) key_id: Option<String>,
    pub(crate) claims: Claims,
}

/// The header parameters that matter. Keys offered inside a token (`jwk`, `jku`, `x5c`) are not among
/// them: RFC 8725 §3.10.
#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: Option<String>,
    /// Whether there is one: `null` is one too, and not a list that is understood.
    #[serde(default, deserialize_with = "present")]
    crit: bool,
}

fn present<'de, D: Deserializer<'de>>(value: D) -> Result<bool, D::Error> {
    IgnoredAny::deserialize(value).map(|_| true)
}

impl Token {
    /// Splits and decodes `raw`.
    pub(crate) fn parse(raw: &str) -> Result<Self, TokenError> {
        if raw.is_empty() {
            return Err(TokenError::Missing);
        }
        if raw.len() > MAX_TOKEN {
            return Err(TokenError::TooLong {
                limit: MAX_TOKEN,
                got: raw.len(),
            });
        }
        let dots = raw.bytes().filter(|byte| *byte == b'.').count();
        if dots != 2 {
            return Err(TokenError::Segments {
                got: dots.saturating_add(1),
            });
        }
        let (signed, signature) = raw.rsplit_once('.').unwrap_or((raw, ""));
        let (header, payload) = signed.split_once('.').unwrap_or((signed, ""));

        let header: Header = json(header, "header")?;
        if header.crit {
            // RFC 7515 §4.1.11: an extension we do not understand makes the token invalid.
            return Err(TokenError::Critical);
        }
        let algorithm = algorithm(&header.alg).ok_or_else(|| TokenError::Algorithm {
            expected: SUPPORTED.join(", "),
            got: quote(&header.alg),
        })?;
        Ok(Self {
            signed: signed.len(),
            signature: decode(signature, "signature")?,
            algorithm,
            key_id: header.kid,
            claims: Claims::new(json(payload, "payload")?),
            raw: raw.to_owned(),
        })
    }

    /// The bytes under the signature.
    pub(crate) fn signed(&self) -> &[u8] {
        self.raw.as_bytes().get(..self.signed).unwrap_or_default()
    }

    pub(crate) fn signature(&self) -> &[u8] {
        &self.signature
    }
}

/// The names of RFC 7518 §3.1 and RFC 8037 §3.1 that are verified here. `none` and the HMAC family
/// are not: a public key must never serve as a shared secret (RFC 8725 §2.1).
pub(crate) const SUPPORTED: [&str; 10] = [
    "RS256", "RS384", "RS512", "ES256", "ES384", "ES512", "PS256", "PS384", "PS512", "EdDSA",
];

/// The algorithm of that name, if it is one that is verified here.
pub(crate) fn algorithm(name: &str) -> Option<CoreJwsSigningAlgorithm> {
    Some(match name {
        "RS256" => CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha256,
        "RS384" => CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha384,
        "RS512" => CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha512,
        "ES256" => CoreJwsSigningAlgorithm::EcdsaP256Sha256,
        "ES384" => CoreJwsSigningAlgorithm::EcdsaP384Sha384,
        "ES512" => CoreJwsSigningAlgorithm::EcdsaP521Sha512,
        "PS256" => CoreJwsSigningAlgorithm::RsaSsaPssSha256,
        "PS384" => CoreJwsSigningAlgorithm::RsaSsaPssSha384,
        "PS512" => CoreJwsSigningAlgorithm::RsaSsaPssSha512,
        "EdDSA" => CoreJwsSigningAlgorithm::EdDsa,
        _ => return None,
    })
}

/// The registered name of `algorithm`, for messages.
pub(crate) fn algorithm_name(algorithm: &CoreJwsSigningAlgorithm) -> &'static str {
    SUPPORTED
        .into_iter()
        .find(|name| self::algorithm(name).as_ref() == Some(algorithm))
        .unwrap_or("unsupported")
}

fn decode(segment: &str, part: &'static str) -> Result<Vec<u8>, TokenError> {
    URL_SAFE_NO_PAD
        .decode(segment)
        .map_err(|_| TokenError::Encoding { part })
}

fn json<T: for<'de> Deserialize<'de>>(segment: &str, part: &'static str) -> Result<T, TokenError> {
    // The parser's own message may quote the input, and the input is a secret: only the part is named.
    serde_json::from_slice(&decode(segment, part)?).map_err(|_| TokenError::Json { part })
}
