//! Certificates of the listeners, read again when their files change.

use std::path::PathBuf;
use std::time::Duration;

use common_server::tls::{Identity, TlsError};
use zeroize::Zeroizing;

use crate::serve::config::{Listen, TlsFiles};

/// How often the files are looked at. A certificate is renewed weeks before its end.
const LOOK: Duration = Duration::from_secs(10);

/// A certificate cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CertificateError {
    /// A file cannot be read.
    #[error("{path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// The operating system's reason.
        source: std::io::Error,
    },
    /// The files make no TLS.
    #[error("{path}: {source}")]
    Tls {
        /// The certificate's file.
        path: PathBuf,
        /// What is wrong.
        source: TlsError,
    },
}

/// The certificate of one listener.
pub(crate) struct Certificate {
    files: TlsFiles,
    identity: Identity,
    seen: Pair,
}

type Pair = (String, Zeroizing<String>);

/// The certificates of the listeners that have one.
///
/// # Errors
/// [`CertificateError`].
pub(crate) fn read(listen: &[Listen]) -> Result<Vec<Option<Certificate>>, CertificateError> {
    let one = |listen: &Listen| listen.tls.clone().map(Certificate::read).transpose();
    listen.iter().map(one).collect()
}

impl Certificate {
    fn read(files: TlsFiles) -> Result<Certificate, CertificateError> {
        let seen = pair(&files)?;
        let identity = Identity::new(&seen.0, &seen.1).map_err(|source| CertificateError::Tls {
            path: files.certificate.clone(),
            source,
        })?;
        Ok(Certificate {
            files,
            identity,
            seen,
        })
    }

    /// What a listener speaks TLS with.
    ///
    /// # Errors
    /// [`TlsError`].
    pub(crate) fn acceptor(&self) -> Result<tokio_rustls::TlsAcceptor, TlsError> {
        self.identity.acceptor()
    }

    fn look(&mut self) {
        let path = self.files.certificate.display();
        let next = match pair(&self.files) {
            Ok(next) if next == self.seen => return,
            Ok(next) => next,
            Err(error) => return tracing::error!(%error, "the certificate in use stays"),
        };
        match self.identity.exchange(&next.0, &next.1) {
            Ok(()) => tracing::warn!(%path, "certificate read again; it is in use from now on"),
            // Between the writes of the two files they do not fit.
            Err(error) => tracing::error!(%path, %error, "the certificate in use stays"),
        }
        self.seen = next;
    }
}

fn pair(files: &TlsFiles) -> Result<Pair, CertificateError> {
    let read = |path: &PathBuf| {
        std::fs::read_to_string(path).map_err(|source| CertificateError::Read {
            path: path.clone(),
            source,
        })
    };
    Ok((read(&files.certificate)?, Zeroizing::new(read(&files.key)?)))
}

/// Reads them again whenever they change, for ever.
pub(crate) async fn follow(certificates: Vec<Option<Certificate>>) {
    let mut certificates: Vec<_> = certificates.into_iter().flatten().collect();
    loop {
        tokio::time::sleep(LOOK).await;
        let looked = tokio::task::spawn_blocking(move || {
            certificates.iter_mut().for_each(Certificate::look);
            certificates
        });
        match looked.await {
            Ok(same) => certificates = same,
            Err(error) => return tracing::error!(%error, "certificates are not followed any more"),
        }
    }
}
