//! Everything Rekor v1 can answer instead of a result, and how each case looks on the wire.
//!
//! Two families share the body `{"code":…,"message":…}`. What go-openapi checks before a handler runs answers
//! 422 with one of its own 6xx numbers as `code` (go-openapi/errors `schema.go`); what a handler refuses
//! answers with the HTTP status as `code` (rekor `pkg/api/error.go`). Clients read both: substrings of the
//! messages are asserted in rekor's own end-to-end tests.

use std::fmt;

use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use common_engine::{ReadError, StoreError, SubmitError};
use common_server::admission::Refused;
use common_server::body::BodyError;
use common_server::{cpu, reply};
use http::header::{ALLOW, CONTENT_TYPE, ETAG, LOCATION, RETRY_AFTER};
use http::{HeaderValue, Method, StatusCode};
use rekor_entry::Invalid;
use rekor_entry::committed::ReadError as ReadBackError;
use rekor_entry::v1::EntryError;

use super::entry_id::EntryId;
use crate::json;

/// What a v1 request is answered with when it does not succeed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ApiError {
    /// No route: go-openapi's own 404.
    #[error("path {0} was not found")]
    UnknownPath(String),
    /// A route, but not for this method.
    #[error("method {got} is not allowed, but [{}] are", .allowed.join(","))]
    Method {
        got: Method,
        allowed: &'static [&'static str],
    },
    /// The body is declared as something that is not JSON.
    #[error("unsupported media type \"{0}\", only [application/json] are allowed")]
    ContentType(String),
    /// The client takes nothing this route can produce.
    #[error("unsupported media type requested, only [{available}] are available", available = .0.join(" "))]
    NotAcceptable(&'static [&'static str]),
    /// The body is larger than the configured limit in bytes.
    #[error("Request Entity Too Large. Limit set to {limit}")]
    BodyTooLarge { limit: usize },
    /// The body broke off or was not readable as HTTP.
    #[error("the request body could not be read to its end")]
    BodyUnreadable,
    /// The body came too slowly.
    #[error("the request body came too slowly")]
    BodyTooSlow,
    /// A value broke a rule of the API's schema.
    #[error(transparent)]
    Violation(#[from] Violation),
    /// The body is not the JSON this operation reads.
    #[error("parsing {parameter} body from \"\" failed, because {cause}")]
    Malformed {
        /// Name of the body in the schema.
        parameter: &'static str,
        /// Where and why.
        cause: serde_json::Error,
    },
    /// The entry to be logged was refused.
    #[error("{}{}", Refusal::of(.0).prefix(), .0)]
    Entry(EntryError),
    /// An entry to be looked up was refused: what go-openapi would have found fails the reading of the whole
    /// query.
    #[error("{}{}", if Refusal::of(.0) == Refusal::Content { "" } else { "parsing entry body from \"\" failed, because " }, .0)]
    Lookup(EntryError),
    /// The canonical form is larger than a leaf of this log may be.
    #[error(
        "error processing entry: the canonical entry has {got} bytes, a leaf of this log at most {limit}"
    )]
    LeafTooLarge { limit: u64, got: u64 },
    /// The same leaf is in the active shard already.
    #[error("an equivalent entry already exists in the transparency log with UUID {id}")]
    Duplicate { id: EntryId, location: HeaderValue },
    /// No such entry: 404 without a body.
    #[error("no such entry")]
    EntryNotFound,
    /// The first 16 digits of an entry ID are not the ID of any possible tree.
    #[error("validation error: {0} is not a valid TreeID")]
    BadTreeIdPart(String),
    /// A decimal tree ID that does not fit.
    #[error("invalid tree ID specified: {0}")]
    BadTreeId(String),
    /// A tree ID that names no shard here.
    #[error("no log range found for tree ID {0}")]
    UnknownTree(u64),
    /// The key of a tree that is not here: upstream says no more than this.
    #[error("Bad Request")]
    UnknownTreeKey,
    /// A consistency proof from a larger to a smaller size.
    #[error("firstSize({first}) must be less than lastSize({last})")]
    SizesSwapped { first: u64, last: u64 },
    /// A consistency proof to a size the log has not reached.
    #[error("the tree size requested({requested}) was greater than what is currently observable({size})")]
    SizeAhead { requested: u64, size: u64 },
    /// More look-ups in one request than allowed.
    #[error("more than max allowed {max} entries in request")]
    TooManyLookups { max: usize },
    /// A public key format whose reader is not part of this log.
    #[error("the PKI format requested is not supported by this server")]
    KeyFormat,
    /// A public key that could not be read in the format it names.
    #[error("public key provided could not be parsed")]
    UnparsableKey,
    /// A search that would have to answer with more entry IDs than allowed; a part of them would look like
    /// all of them.
    #[error("more than {limit} entries match one of the terms; search for a narrower term")]
    TooManyMatches { limit: u32 },
    /// A search whose matches lie too far apart to be named with a bounded number of reads.
    #[error(
        "the entries that match are spread over more than {limit} tiles of the log; search for a narrower term"
    )]
    TooScattered { limit: usize },
    /// The active shard takes no entries.
    #[error("this log is read-only: no entry can be added")]
    ReadOnly,
    /// A queue is full.
    #[error("the log is overloaded, retry later")]
    Overloaded,
    /// The commit failed, or its outcome is not known, or the log is going down.
    #[error("the log could not store the entry, retry later")]
    Unavailable,
    /// The store did not answer.
    #[error("the log could not be read, retry later")]
    Unreadable,
    /// Something of ours failed; the cause is in the log file only.
    #[error("unexpected error communicating with transparency log")]
    Internal,
}

/// Where upstream finds the fault of an entry, which decides status and wording.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Refusal {
    /// In the JSON. Upstream answers 500 here, which its client retries (rekor
    /// `pkg/generated/models/proposed_entry.go`); we answer 400.
    Json,
    /// In the outer object, before any handler: 422 with this number.
    Schema(u16),
    /// In what the entry says or in its signatures: 400.
    Content,
}

impl Refusal {
    fn of(cause: &EntryError) -> Self {
        match cause {
            EntryError::Json(_) => Refusal::Json,
            EntryError::Schema(field) => Refusal::Schema(field.code()),
            EntryError::UnknownKind(_) => Refusal::Schema(StatusCode::UNPROCESSABLE_ENTITY.as_u16()),
            EntryError::KindNotEnabled(_) | EntryError::UnknownVersion { .. } | EntryError::Invalid(_) => {
                Refusal::Content
            }
        }
    }

    /// What a submission's answer says before the cause (rekor `pkg/api/error.go`, validationError).
    fn prefix(self) -> &'static str {
        match self {
            Refusal::Json | Refusal::Schema(_) => "",
            Refusal::Content => "error processing entry: ",
        }
    }
}

/// A value that breaks a rule of the schema, in go-openapi's words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Violation {
    /// The parameter or the path of members to the value.
    pub(crate) name: String,
    pub(crate) place: Place,
    pub(crate) rule: Rule,
}

/// Where the value was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    Body,
    Query,
    Path,
}

/// The rule that was broken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Rule {
    Type { expected: &'static str, got: String },
    Required,
    AtMostChars(usize),
    Pattern(&'static str),
    OneOf(&'static str),
    AtLeast(u64),
    AtMostItems(usize),
    AtLeastItems(usize),
}

impl Violation {
    pub(crate) fn new(name: impl Into<String>, place: Place, rule: Rule) -> Self {
        Violation {
            name: name.into(),
            place,
            rule,
        }
    }

    /// The number go-openapi/errors `schema.go` gives this rule.
    fn code(&self) -> u16 {
        match self.rule {
            Rule::Type { .. } => 601,
            Rule::Required => 602,
            Rule::AtMostChars(_) => 603,
            Rule::Pattern(_) => 605,
            Rule::OneOf(_) => 606,
            Rule::AtLeast(_) => 609,
            Rule::AtMostItems(_) => 611,
            Rule::AtLeastItems(_) => 612,
        }
    }
}

impl std::error::Error for Violation {}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = match self.place {
            Place::Body => "body",
            Place::Query => "query",
            Place::Path => "path",
        };
        write!(f, "{} in {place} ", self.name)?;
        match &self.rule {
            Rule::Type { expected, got } => write!(f, "must be of type {expected}: {got:?}"),
            Rule::Required => f.write_str("is required"),
            Rule::AtMostChars(max) => write!(f, "should be at most {max} chars long"),
            Rule::Pattern(pattern) => write!(f, "should match '{pattern}'"),
            Rule::OneOf(values) => write!(f, "should be one of [{values}]"),
            Rule::AtLeast(min) => write!(f, "should be greater than or equal to {min}"),
            Rule::AtMostItems(max) => write!(f, "should have at most {max} items"),
            Rule::AtLeastItems(min) => write!(f, "should have at least {min} items"),
        }
    }
}

impl From<BodyError> for ApiError {
    fn from(cause: BodyError) -> Self {
        match cause {
            BodyError::TooLarge { limit } => ApiError::BodyTooLarge { limit },
            BodyError::Overloaded => ApiError::Overloaded,
            BodyError::TooSlow => ApiError::BodyTooSlow,
            BodyError::Unreadable => ApiError::BodyUnreadable,
        }
    }
}

impl From<Refused> for ApiError {
    fn from(_: Refused) -> Self {
        ApiError::Overloaded
    }
}

impl From<cpu::Overloaded> for ApiError {
    fn from(_: cpu::Overloaded) -> Self {
        ApiError::Overloaded
    }
}

impl From<ReadError> for ApiError {
    fn from(cause: ReadError) -> Self {
        // Being busy is no fault, and a line for each refusal would be one.
        if !matches!(cause, ReadError::Busy) {
            tracing::error!(%cause, "reading the log failed");
        }
        match cause {
            // A full pool, a lost connection, a disk that comes back: the client may ask again.
            ReadError::Busy | ReadError::Store(StoreError::Storage(_)) => ApiError::Unreadable,
            // Asking again changes nothing: what is stored is wrong, or the request should not have got here.
            ReadError::Store(StoreError::Corrupt(_))
            | ReadError::UnknownLog(_)
            | ReadError::OutOfRange { .. } => ApiError::Internal,
        }
    }
}

impl From<ReadBackError> for ApiError {
    fn from(cause: ReadBackError) -> Self {
        if let ReadBackError::Malformed(cause @ Invalid::TooManyTerms { .. }) = cause {
            return ApiError::Entry(EntryError::Invalid(cause));
        }
        tracing::error!(%cause, "a canonical body cannot be read back");
        ApiError::Internal
    }
}

impl From<SubmitError> for ApiError {
    fn from(cause: SubmitError) -> Self {
        match cause {
            SubmitError::Overloaded => ApiError::Overloaded,
            SubmitError::Unavailable | SubmitError::ShuttingDown => ApiError::Unavailable,
            SubmitError::ReadOnly | SubmitError::Frozen => ApiError::ReadOnly,
            SubmitError::TooLarge { limit, got } => ApiError::LeafTooLarge { limit, got },
            // Nothing was stored; what failed is a signer, which may be back in a moment.
            SubmitError::Seal(_) => {
                tracing::error!(%cause, "an entry could not be sealed");
                ApiError::Unavailable
            }
            SubmitError::UnknownLog(_) => {
                tracing::error!(%cause, "an entry could not be logged");
                ApiError::Internal
            }
        }
    }
}

impl ApiError {
    /// The HTTP status and, where it differs, the number in the body.
    fn status(&self) -> (StatusCode, u16) {
        let status = match self {
            ApiError::UnknownPath(_) | ApiError::EntryNotFound => StatusCode::NOT_FOUND,
            ApiError::Method { .. } | ApiError::ReadOnly => StatusCode::METHOD_NOT_ALLOWED,
            ApiError::ContentType(_) => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            ApiError::NotAcceptable(_) => StatusCode::NOT_ACCEPTABLE,
            ApiError::BodyTooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            ApiError::BodyTooSlow => StatusCode::REQUEST_TIMEOUT,
            ApiError::Violation(violation) => return (StatusCode::UNPROCESSABLE_ENTITY, violation.code()),
            ApiError::Entry(cause) => match Refusal::of(cause) {
                Refusal::Schema(code) => return (StatusCode::UNPROCESSABLE_ENTITY, code),
                Refusal::Json | Refusal::Content => StatusCode::BAD_REQUEST,
            },
            ApiError::TooManyLookups { .. } => StatusCode::UNPROCESSABLE_ENTITY,
            ApiError::BodyUnreadable
            | ApiError::Malformed { .. }
            | ApiError::Lookup(_)
            | ApiError::LeafTooLarge { .. }
            | ApiError::BadTreeIdPart(_)
            | ApiError::BadTreeId(_)
            | ApiError::UnknownTree(_)
            | ApiError::UnknownTreeKey
            | ApiError::SizesSwapped { .. }
            | ApiError::SizeAhead { .. }
            | ApiError::KeyFormat
            | ApiError::UnparsableKey
            | ApiError::TooManyMatches { .. }
            | ApiError::TooScattered { .. } => StatusCode::BAD_REQUEST,
            ApiError::Duplicate { .. } => StatusCode::CONFLICT,
            // The Go client retries these and honours Retry-After (hashicorp/go-retryablehttp `client.go`).
            ApiError::Overloaded | ApiError::Unavailable | ApiError::Unreadable => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            ApiError::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        };
        (status, status.as_u16())
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let (status, code) = self.status();
        let mut response = Response::new(axum::body::Body::empty());
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        match &self {
            ApiError::Method { allowed, .. } => {
                if let Ok(allow) = HeaderValue::try_from(allowed.join(",")) {
                    headers.insert(ALLOW, allow);
                }
            }
            ApiError::ReadOnly => {
                headers.insert(ALLOW, HeaderValue::from_static("GET"));
            }
            ApiError::Duplicate { id, location } => {
                headers.insert(LOCATION, location.clone());
                headers.insert(ETAG, id.header());
            }
            ApiError::Overloaded | ApiError::Unavailable | ApiError::Unreadable => {
                headers.insert(RETRY_AFTER, reply::retry_after());
            }
            // rekor `pkg/api/error.go`: getLogEntry*NotFound has no payload.
            ApiError::EntryNotFound => {
                headers.remove(CONTENT_TYPE);
                return response;
            }
            _ => {}
        }
        let mut body = String::with_capacity(192);
        body.push_str("{\"code\":");
        json::number(&mut body, u64::from(code));
        body.push_str(",\"message\":");
        json::message(&mut body, &self.to_string());
        body.push_str("}\n");
        *response.body_mut() = Bytes::from(body).into();
        response
    }
}

#[cfg(test)]
mod tests;
