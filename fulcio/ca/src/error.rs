//! Why no certificate was issued, and the one place that says how it is told.
//!
//! The first sentence is upstream's (fulcio `pkg/server/error.go`), which clients and their tests match;
//! after the colon comes the cause. Internal causes are logged and stay inside.

use common_pki::cert::BuildError;
use common_pki::key::{KeyError, SignError, SignatureError, WeakKey};
use common_server::admission::Refused;
use common_server::body::BodyError;
use common_server::cpu;
use common_server::quota::Exhausted;

use crate::identity::TokenError;
use crate::policy::Denial;

/// A refused request, or a failure on our side.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The request's body cannot be read.
    #[error("{field}: expected {expected}, got {got}")]
    Request {
        /// Where in the request.
        field: String,
        /// What would have been right.
        expected: String,
        /// What came; never a value of the request, only its kind.
        got: String,
    },
    /// The body is longer than is read.
    #[error("request body: expected at most {limit} bytes, got more")]
    TooLarge {
        /// The limit, in bytes.
        limit: usize,
    },
    /// The token is missing or refused, or its issuer does not answer.
    #[error("{}", token_message(.0))]
    Token(#[from] TokenError),
    /// The issuer vouches for the identity, and the operator's rules do not let it have a certificate.
    #[error("The identity is not permitted by the issuance policy of {issuer}: {denial}")]
    Policy {
        /// The issuer's URL.
        issuer: String,
        /// The rule, and what it expected.
        denial: Denial,
    },
    /// It lets it have one, and not so many.
    #[error(
        "The issuance policy of {issuer} allows no more for now: {denial}; there is one again in {seconds} s"
    )]
    Quota {
        /// The issuer's URL.
        issuer: String,
        /// The quota, and for whom.
        denial: Denial,
        /// When there is one again, in seconds.
        seconds: u32,
    },
    /// Certificates of the issuer have pseudonyms, and there is none to be had now.
    #[error("error communicating with CA backend: pseudonyms are not available now; retry shortly")]
    Pseudonyms(String),
    /// The certificate signing request is not one.
    #[error(
        "The certificate signing request could not be parsed: expected a PKCS#10 request in PEM, got one with this fault: {0}"
    )]
    Csr(String),
    /// The public key is not one.
    #[error(
        "The public key supplied in the request could not be parsed: expected a SubjectPublicKeyInfo in PEM or DER, got one with this fault: {0}"
    )]
    PublicKey(#[from] KeyError),
    /// The request has neither a public key nor a certificate signing request.
    #[error(
        "The public key supplied in the request could not be parsed: expected publicKeyRequest or certificateSigningRequest, got neither"
    )]
    NoKey,
    /// The public key is weak.
    #[error("The public key supplied in the request is insecure: {0}")]
    WeakKey(#[from] WeakKey),
    /// The proof of possession is not one.
    #[error("The signature supplied in the request could not be verified: expected {expected}, got {got}")]
    Possession {
        /// What must have been signed, and how.
        expected: String,
        /// What is wrong.
        got: String,
    },
    /// The key's algorithm is switched off.
    #[error("signing algorithm not permitted: {got}; permitted: {permitted}")]
    NotPermitted {
        /// Algorithm and hash.
        got: String,
        /// Those that are.
        permitted: String,
    },
    /// The log refused, or answered what does not verify.
    #[error("Error entering certificate in CTL")]
    Log(String),
    /// The log cannot take more now, or cannot be reached.
    #[error("Error entering certificate in CTL: the log is not available now; retry shortly")]
    LogUnavailable(String),
    /// The certificate could not be built or signed.
    #[error("error communicating with CA backend")]
    Backend(String),
    /// The key that issues does not answer now.
    #[error("error communicating with CA backend: the signing key is not available now; retry shortly")]
    SignerUnavailable(String),
    /// The authority's own certificates are not valid for as long as the certificate would be.
    #[error(
        "error communicating with CA backend: expected an authority that is valid from {expected}, got one whose chain is valid from {got}; its operator must renew it"
    )]
    Validity {
        /// The certificate's validity, RFC 3339.
        expected: String,
        /// The chain's, RFC 3339.
        got: String,
    },
    /// This identity asks too often.
    #[error(transparent)]
    Limited(#[from] Exhausted),
    /// No room for more work.
    #[error("the certificate authority is at its limit of work; retry shortly")]
    Overloaded,
}

fn token_message(cause: &TokenError) -> String {
    match cause {
        // Upstream finds these only while it fills in the certificate, and says so in these words alone.
        TokenError::NotIa5 { .. } | TokenError::Mapping(_) => cause.to_string(),
        _ => format!("There was an error processing the identity token: {cause}"),
    }
}

/// gRPC status codes, which the JSON body repeats as numbers (`google.rpc.Code`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    /// 3, HTTP 400.
    InvalidArgument = 3,
    /// 7, HTTP 403.
    PermissionDenied = 7,
    /// 8, HTTP 429.
    ResourceExhausted = 8,
    /// 12, HTTP 501.
    Unimplemented = 12,
    /// 13, HTTP 500.
    Internal = 13,
    /// 14, HTTP 503.
    Unavailable = 14,
}

impl From<Refused> for Error {
    fn from(_: Refused) -> Self {
        Self::Overloaded
    }
}

impl From<cpu::Overloaded> for Error {
    fn from(_: cpu::Overloaded) -> Self {
        Self::Overloaded
    }
}

impl From<BuildError> for Error {
    fn from(cause: BuildError) -> Self {
        match cause {
            BuildError::Sign(SignError::Unavailable(cause)) => Self::SignerUnavailable(cause),
            _ => Self::Backend(cause.to_string()),
        }
    }
}

impl From<BodyError> for Error {
    fn from(cause: BodyError) -> Self {
        match cause {
            BodyError::TooLarge { limit } => Self::TooLarge { limit },
            BodyError::Overloaded => Self::Overloaded,
            BodyError::TooSlow => Self::Request {
                field: "request body".to_owned(),
                expected: "one that is sent without long pauses".to_owned(),
                got: "one that came too slowly".to_owned(),
            },
            BodyError::Unreadable => Self::Request {
                field: "request body".to_owned(),
                expected: "one that is sent to its end".to_owned(),
                got: "one that broke off".to_owned(),
            },
        }
    }
}

impl Error {
    /// How it is told. HTTP and gRPC both follow it.
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            Self::Token(TokenError::KeysUnavailable { .. }) => Code::Unavailable,
            Self::Request { .. }
            | Self::TooLarge { .. }
            | Self::Token(_)
            | Self::Csr(_)
            | Self::PublicKey(_)
            | Self::NoKey
            | Self::WeakKey(_)
            | Self::Possession { .. }
            | Self::NotPermitted { .. } => Code::InvalidArgument,
            Self::Log(_) | Self::Backend(_) | Self::Validity { .. } => Code::Internal,
            Self::Policy { .. } => Code::PermissionDenied,
            Self::Limited(_) | Self::Quota { .. } => Code::ResourceExhausted,
            Self::LogUnavailable(_) | Self::SignerUnavailable(_) | Self::Pseudonyms(_) | Self::Overloaded => {
                Code::Unavailable
            }
        }
    }

    /// When to come back, in seconds, where that is known to the second.
    pub(crate) fn retry_after(&self) -> Option<u32> {
        match self {
            Self::Limited(exhausted) => Some(exhausted.seconds),
            Self::Quota { seconds, .. } => Some(*seconds),
            _ => None,
        }
    }

    /// Writes the log line: the client's mistakes as warnings, ours as errors with what stays inside.
    pub(crate) fn log(&self) {
        match self {
            Self::Log(cause)
            | Self::LogUnavailable(cause)
            | Self::SignerUnavailable(cause)
            | Self::Pseudonyms(cause)
            | Self::Backend(cause) => {
                tracing::error!(error = %self, %cause, "no certificate issued");
            }
            Self::Validity { .. } => tracing::error!(error = %self, "no certificate issued"),
            // Counted; a line for each would make a refusal dear.
            Self::Overloaded | Self::Limited(_) | Self::Quota { .. } => {}
            _ => tracing::warn!(error = %self, "no certificate issued"),
        }
    }
}

impl Error {
    /// A signature that was meant to prove possession and does not.
    pub(crate) fn possession(message: &str, cause: SignatureError) -> Self {
        Self::Possession {
            expected: format!(
                "a signature by the private half of the key over {}",
                crate::identity::quote(message)
            ),
            got: cause.to_string(),
        }
    }
}
