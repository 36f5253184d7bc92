//! The workload that a certificate names: which builder ran, for which source (fulcio `docs/oid-info.md`).

use common_pki::cert::{CertError, Certificate};

use super::Git;

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
    /// Two extensions that must say the same do not.
    #[error("the certificate contradicts itself about the {what}: {one:?} and {other:?}")]
    Contradiction {
        /// What about.
        what: &'static str,
        /// What one says: of two generations the current one.
        one: String,
        /// What the other says.
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
    /// The file of the source that says how to build, where it is said.
    pub config: Option<String>,
    /// What it ran on, such as `github-hosted`, where it is said.
    pub runner: Option<String>,
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
        let repository = Git::parse(&repository).repository;
        let commit = missing("commit", both("commit", 13, 3)?)?;
        let said = |number| {
            certificate
                .sigstore_extension(number)
                .filter(|text| !text.is_empty())
        };
        let signer = name.text();
        same_signer(&signer, said(9))?;
        Ok(Self {
            signer,
            issuer: missing("issuer", both("issuer", 8, 1)?)?,
            config: config(&repository, &commit, said(18), said(19))?,
            repository,
            commit,
            reference: both("reference", 14, 6)?,
            trigger: both("trigger", 20, 2)?,
            runner: said(11),
        })
    }
}

fn contradiction<T>(what: &'static str, one: &str, other: &str) -> Result<T, WorkloadError> {
    Err(WorkloadError::Contradiction {
        what,
        one: one.to_owned(),
        other: other.to_owned(),
    })
}

/// Whether a URI names a file of a repository at a reference, and not a page of a build service.
fn is_file(uri: &str) -> bool {
    uri.contains("@refs/")
}

/// The instructions that signed (`.9`) are the certificate's name, where that is a file.
pub(super) fn same_signer(name: &str, signer: Option<String>) -> Result<(), WorkloadError> {
    match signer.filter(|uri| is_file(uri)) {
        Some(signer) if signer != name => contradiction("signer", name, &signer),
        _ => Ok(()),
    }
}

/// The file that says how to build (`.18`) is one of the source, at the commit that was built (`.19`;
/// `slsa-verifier verifiers/internal/gha/builder.go`). Its path in the source.
pub(super) fn config(
    repository: &str,
    commit: &str,
    uri: Option<String>,
    digest: Option<String>,
) -> Result<Option<String>, WorkloadError> {
    if let Some(digest) = digest
        && digest != commit
    {
        return contradiction("commit of the build configuration", commit, &digest);
    }
    let Some(uri) = uri.filter(|uri| is_file(uri)) else {
        return Ok(None);
    };
    let file = Git::parse(&uri).repository;
    match file
        .strip_prefix(repository)
        .and_then(|path| path.strip_prefix('/'))
    {
        // GitLab has two slashes.
        Some(path) => Ok(Some(path.trim_start_matches('/').to_owned())),
        None => contradiction("repository of the build configuration", repository, &uri),
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
