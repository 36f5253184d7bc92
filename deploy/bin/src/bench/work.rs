//! The kinds of work.

use clap::ValueEnum;
use http::StatusCode;
use serde::Serialize;

/// A kind of request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Work {
    /// `hashedrekord` 0.0.1 into Rekor v1.
    V1,
    /// `hashedrekord` 0.0.2 into Rekor v2.
    V2,
    /// A certificate for an e-mail identity.
    Certificate,
    /// An RFC 3161 timestamp.
    Timestamp,
}

impl Work {
    /// The name on the command line and in the table.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::V1 => "v1",
            Self::V2 => "v2",
            Self::Certificate => "certificate",
            Self::Timestamp => "timestamp",
        }
    }

    /// Where it is posted to.
    pub(crate) fn path(self) -> &'static str {
        match self {
            Self::V1 => "/api/v1/log/entries",
            Self::V2 => "/api/v2/log/entries",
            Self::Certificate => "/api/v2/signingCert",
            Self::Timestamp => "/api/v1/timestamp",
        }
    }

    /// What is posted.
    pub(crate) fn media_type(self) -> &'static str {
        match self {
            Self::V1 | Self::V2 | Self::Certificate => "application/json",
            Self::Timestamp => "application/timestamp-query",
        }
    }

    /// Whether a status is success. Timestamp authorities answer either (timestamp-authority `--use-http-201`).
    pub(crate) fn is_success(self, status: StatusCode) -> bool {
        match self {
            Self::V1 | Self::V2 => status == StatusCode::CREATED,
            Self::Certificate => status == StatusCode::OK,
            Self::Timestamp => status == StatusCode::OK || status == StatusCode::CREATED,
        }
    }
}
