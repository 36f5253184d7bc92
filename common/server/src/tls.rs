//! TLS for a listener: TLS 1.2 and 1.3, HTTP/2 and HTTP/1.1 by ALPN (RFC 7301), which grpc-java insists on.

use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, crypto::aws_lc_rs};
use tokio_rustls::TlsAcceptor;

/// A certificate or key that cannot serve TLS.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// Not PEM, or no certificate or key in it.
    #[error("{what}: expected {expected}: {reason}")]
    Pem {
        /// Which of the two texts.
        what: &'static str,
        /// What it should hold.
        expected: &'static str,
        /// The parser's finding.
        reason: rustls::pki_types::pem::Error,
    },
    /// The key does not fit the certificate, or the algorithm is not supported.
    #[error("certificate and key cannot serve TLS: {0}")]
    Config(#[from] rustls::Error),
}

/// An acceptor for a PEM chain (leaf first) and its PKCS#8 PEM key.
///
/// # Errors
/// [`TlsError`] names the text that is wrong.
pub fn acceptor(chain_pem: &str, key_pem: &str) -> Result<TlsAcceptor, TlsError> {
    let chain = CertificateDer::pem_slice_iter(chain_pem.as_bytes())
        .collect::<Result<Vec<_>, _>>()
        .map_err(|reason| TlsError::Pem {
            what: "TLS certificate",
            expected: "PEM CERTIFICATE blocks",
            reason,
        })?;
    let key = PrivateKeyDer::from_pem_slice(key_pem.as_bytes()).map_err(|reason| TlsError::Pem {
        what: "TLS key",
        expected: "one PEM PRIVATE KEY block",
        reason,
    })?;
    let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])?
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}
