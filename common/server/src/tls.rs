//! TLS for a listener: TLS 1.2 and 1.3, HTTP/2 and HTTP/1.1 by ALPN (RFC 7301), which grpc-java insists on.

use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
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
    Identity::new(chain_pem, key_pem)?.acceptor()
}

/// A certificate with its key that may be exchanged while listeners use it: new connections get the new one.
#[derive(Clone)]
pub struct Identity(Arc<Current>);

struct Current(ArcSwap<CertifiedKey>);

impl Identity {
    /// From a PEM chain (leaf first) and its PKCS#8 PEM key.
    ///
    /// # Errors
    /// [`TlsError`] names the text that is wrong.
    pub fn new(chain_pem: &str, key_pem: &str) -> Result<Identity, TlsError> {
        let current = certified(chain_pem, key_pem)?;
        Ok(Identity(Arc::new(Current(ArcSwap::from_pointee(current)))))
    }

    /// Uses another chain and key from now on.
    ///
    /// # Errors
    /// [`TlsError`]; the former ones stay in use then.
    pub fn exchange(&self, chain_pem: &str, key_pem: &str) -> Result<(), TlsError> {
        let next = certified(chain_pem, key_pem)?;
        self.0.0.store(Arc::new(next));
        Ok(())
    }

    /// What a listener speaks TLS with.
    ///
    /// # Errors
    /// [`TlsError::Config`].
    pub fn acceptor(&self) -> Result<TlsAcceptor, TlsError> {
        let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])?
            .with_no_client_auth()
            .with_cert_resolver(Arc::clone(&self.0) as Arc<dyn ResolvesServerCert>);
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(TlsAcceptor::from(Arc::new(config)))
    }
}

impl ResolvesServerCert for Current {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.load_full())
    }
}

impl fmt::Debug for Current {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Current")
    }
}

/// The chain and the key, which must fit together.
fn certified(chain_pem: &str, key_pem: &str) -> Result<CertifiedKey, TlsError> {
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
    if chain.is_empty() {
        return Err(rustls::Error::NoCertificatesPresented.into());
    }
    Ok(CertifiedKey::from_der(
        chain,
        key,
        &aws_lc_rs::default_provider(),
    )?)
}

#[cfg(test)]
mod tests;
