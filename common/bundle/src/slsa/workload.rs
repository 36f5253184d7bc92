//! The workload that a certificate names: which builder ran, for which source (fulcio `docs/oid-info.md`).

use common_pki::cert::{CertError, Certificate};

/// Why a certificate names no workload.
#[derive(Debug, thiserror::Error)]
pub enum WorkloadError {
    /// Its names cannot be read.
    #[error("certificate: {0}")]
    Names(#[from] CertError),
    /// Not exactly one name.
    #[error("expected a certificate with one name, the builder's URI, got {0} names")]
    Name(usize),
    /// An extension that a workload's certificate must have.
    #[error("the certificate does not say the {0} of the build")]
    Missing(&'static str),
    /// The two generations of an extension differ.
    #[error("the certificate contradicts itself about the {what}: {one:?} and {other:?}")]
    Contradiction {
        /// What about.
        what: &'static str,
        /// The current extension.
        one: String,
        /// The deprecated one.
        other: String,
    },
}

/// What the certificate says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Workload {
    /// Subject alternative name: the builder's URI with its reference.
    pub signer: String,
    /// Who certified it.
    pub issuer: String,
    /// `HOST/PATH` of the source.
    pub repository: String,
    /// Commit of the source, hex.
    pub commit: String,
    /// Reference of the source, where it is said.
    pub reference: Option<String>,
    /// What made the build run, where it is said.
    pub trigger: Option<String>,
}

impl Workload {
    /// Reads a certificate that was verified.
    ///
    /// # Errors
    /// [`WorkloadError`].
    pub fn of(certificate: &Certificate) -> Result<Self, WorkloadError> {
        let names = certificate.subject_alt_names()?;
        let [name] = names.as_slice() else {
            return Err(WorkloadError::Name(names.len()));
        };
        let both = |what, new, old| agreed(certificate, what, new, old);
        let missing = |what: &'static str, value: Option<String>| value.ok_or(WorkloadError::Missing(what));
        let uri = certificate.sigstore_extension(12);
        let path = certificate.sigstore_extension(5);
        let repository = match (uri, path) {
            (Some(uri), path) => {
                // The deprecated one has no host.
                if let Some(path) = path
                    && !uri.ends_with(&format!("/{path}"))
                {
                    return Err(WorkloadError::Contradiction {
                        what: "source",
                        one: uri,
                        other: path,
                    });
                }
                uri
            }
            (None, Some(path)) => format!("https://github.com/{path}"),
            (None, None) => return Err(WorkloadError::Missing("source")),
        };
        Ok(Self {
            signer: name.text(),
            issuer: missing("issuer", both("issuer", 8, 1)?)?,
            repository: super::Git::parse(&repository).repository,
            commit: missing("commit", both("commit", 13, 3)?)?,
            reference: both("reference", 14, 6)?,
            trigger: both("trigger", 20, 2)?,
        })
    }
}

/// An extension and the deprecated one it replaced say the same.
fn agreed(
    certificate: &Certificate,
    what: &'static str,
    new: u32,
    old: u32,
) -> Result<Option<String>, WorkloadError> {
    match (
        certificate.sigstore_extension(new),
        certificate.sigstore_extension(old),
    ) {
        (Some(one), Some(other)) if one != other => Err(WorkloadError::Contradiction { what, one, other }),
        (new, old) => Ok(new.or(old).filter(|text| !text.is_empty())),
    }
}
