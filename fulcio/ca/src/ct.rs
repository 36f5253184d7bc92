//! The certificate log, as the authority sees it.

use async_trait::async_trait;
use common_pki::key::PublicKey;

/// Where precertificates go before a certificate may exist (RFC 6962 §3.1).
#[async_trait]
pub trait CtLog: Send + Sync {
    /// Submits a precertificate with the certificates above it, issuer first, root last.
    ///
    /// Answers the signed certificate timestamp in its TLS encoding (RFC 6962 §3.2), once the entry is durable.
    async fn add_pre_chain(&self, precertificate: &[u8], chain: &[Vec<u8>]) -> Result<Vec<u8>, CtError>;

    /// The key of the log with this identifier (SHA-256 of its SubjectPublicKeyInfo), if it is one that
    /// certificates may carry timestamps of.
    fn public_key(&self, log_id: &[u8; 32]) -> Option<PublicKey>;
}

/// Why there is no timestamp. The text is for our log, not for clients.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CtError {
    /// Try again: overloaded, read-only, shutting down, unreachable.
    #[error("not available: {0}")]
    Unavailable(String),
    /// The log will not take this precertificate.
    #[error("refused: {0}")]
    Refused(String),
}
