//! Why a token was refused: what was expected and what came, never the token itself.

/// A refused identity token, or an issuer that could not be asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TokenError {
    /// The request carries none.
    #[error(
        "token: expected one in credentials.oidcIdentityToken or in an Authorization: Bearer header, got none"
    )]
    Missing,
    /// More than one header carries a token.
    #[error("token: expected exactly one {header} header, got {got}")]
    Ambiguous {
        /// The header's name.
        header: &'static str,
        /// How often it came.
        got: usize,
    },
    /// Longer than [`super::token::MAX_TOKEN`].
    #[error("token: expected at most {limit} bytes, got {got}")]
    TooLong {
        /// The limit, in bytes.
        limit: usize,
        /// The token's length, in bytes.
        got: usize,
    },
    /// Not three segments.
    #[error("token: expected a signed JWT of 3 segments, got {got}")]
    Segments {
        /// How many segments came.
        got: usize,
    },
    /// A segment is not base64url without padding (RFC 7515 §2).
    #[error("token {part}: expected base64url without padding, got something else")]
    Encoding {
        /// Which segment.
        part: &'static str,
    },
    /// A segment is not the JSON it should be.
    #[error("token {part}: expected a JSON object with the members a signed JWT needs, got something else")]
    Json {
        /// Which segment.
        part: &'static str,
    },
    /// The header names critical extensions (RFC 7515 §4.1.11).
    #[error("token header: expected no critical extensions, got crit")]
    Critical,
    /// The algorithm is not allowed.
    #[error("alg: expected one of {expected}, got {got}")]
    Algorithm {
        /// The allowed names.
        expected: String,
        /// The token's.
        got: String,
    },
    /// No configuration for this `iss`.
    #[error("iss: expected a configured issuer (see /api/v2/configuration), got {got}")]
    UnknownIssuer {
        /// The token's issuer.
        got: String,
    },
    /// A claim is missing or is not what it must be.
    #[error("{claim}: expected {expected}, got {got}")]
    Claim {
        /// The claim's name.
        claim: String,
        /// What would have been right.
        expected: String,
        /// What came.
        got: String,
    },
    /// `exp` is not in the future.
    #[error("exp: expected a time after {now}, got {exp}: the token has expired")]
    Expired {
        /// The token's end, RFC 3339.
        exp: String,
        /// This server's time, RFC 3339.
        now: String,
    },
    /// `nbf` is further ahead than clocks may differ.
    #[error("nbf: expected a time no later than {latest}, got {nbf}: the token is not valid yet")]
    NotYetValid {
        /// The token's start, RFC 3339.
        nbf: String,
        /// The latest start that would be accepted now, RFC 3339.
        latest: String,
    },
    /// The address cannot stand in a certificate. Upstream's words, which clients may match.
    #[error("x509: {email} cannot be encoded as an IA5String")]
    NotIa5 {
        /// The address, quoted.
        email: String,
    },
    /// The token has no value for a part of the certificate. Upstream's words, then what helps.
    #[error("{0}")]
    Mapping(String),
    /// What would be the certificate's name is none.
    #[error("subject alternative name: expected {expected}, got {got}")]
    Subject {
        /// What would have been right.
        expected: &'static str,
        /// What the token gives, quoted.
        got: String,
    },
    /// The issuer publishes no key of that identifier for that algorithm.
    #[error("kid: expected a key that {issuer} publishes for {algorithm}, got {kid}")]
    UnknownKey {
        /// The issuer's URL.
        issuer: String,
        /// The token's algorithm.
        algorithm: &'static str,
        /// The token's key identifier.
        kid: String,
    },
    /// No key of the issuer verifies the signature.
    #[error("signature: expected one by a key of {issuer}, got one that does not verify")]
    Signature {
        /// The issuer's URL.
        issuer: String,
    },
    /// The issuer's keys could not be read; not the client's fault.
    #[error("keys of {issuer} cannot be read now: {cause}")]
    KeysUnavailable {
        /// The issuer's URL.
        issuer: String,
        /// What went wrong, without internals.
        cause: String,
    },
}

/// How much of a claim's value an error repeats, in characters.
const QUOTED: usize = 128;

/// A value from the token for an error message: quoted, control characters escaped, shortened.
pub(crate) fn quote(text: &str) -> String {
    let mut short: String = text.chars().take(QUOTED).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    format!("{short:?}")
}
