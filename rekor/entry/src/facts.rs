//! What an entry is found by: who signed, with what, and what was signed.
//!
//! [`Facts`] are told from a stored body and from the terms that were kept beside it, the same way when an entry is
//! logged, when it is indexed anew and when a search has found it by a shortened key and must make sure. A [`Condition`]
//! is one thing to look for; [`Condition::lookups`] are terms under which every entry that meets it is indexed,
//! and [`Facts::meet`] decides.
//!
//! Names and Fulcio's extensions are read as the certificate has them. A log verifies signatures; whether a certificate
//! was issued by anybody one trusts is not its business, and a search does not say so either.
//!
//! The number of terms stays small: a domain is a term with each of its parent domains, the beginning of a URI is one at
//! each of the first slashes. What lies between or beyond is looked up by the nearest of them and then compared.

mod condition;

#[cfg(test)]
mod tests;

use common_pki::cert::{Certificate, SubjectAltName};
use common_pki::key::{HashAlgorithm, sha256};

pub use condition::{Condition, Field, Unsearchable};

use crate::Invalid;
use crate::committed::{self, CommittedEntry, CommittedSignature, Digest, ReadError};
use crate::index::{IndexKeys, MAX_TERM, MAX_TERMS, PREDICATE_TYPE};
use crate::verifier::Verifier;

/// Labels of the longest domain that is a term.
const LABELS: usize = 8;
/// Slashes of a URI behind which its beginning is a term.
const SLASHES: usize = 6;
/// Most attributes of the signers of one entry.
const MAX_ATTRIBUTES: usize = 1024;

/// A term of the index.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Term {
    /// One of upstream's index keys, and what else is kept like them: `sha256:…`, `dev@example.com`.
    Key(String),
    /// An attribute of a signer, `name=value`, apart from the keys so that no name in a certificate can pass for one.
    Attribute(String),
}

/// What is known of an entry.
#[derive(Clone, Debug)]
pub struct Facts {
    /// Entry kind.
    pub kind: &'static str,
    /// Version of the kind.
    pub api_version: &'static str,
    /// The digest the entry commits to.
    pub digest: Digest,
    /// One for each signature whose verifier is a key or certificate of X.509.
    pub signers: Vec<Signer>,
    /// Lower-case index keys, those that were kept beside the body among them.
    pub keys: Vec<String>,
}

/// Who made one of the signatures.
#[derive(Clone, Debug, Default)]
pub struct Signer {
    /// Names in the certificate.
    pub names: Vec<SubjectAltName>,
    /// The certificate.
    pub certificate: Option<Certificate>,
    /// Issuer of the token that the certificate was given for.
    pub issuer: Option<String>,
    /// The repository, in the forms it goes by: the first is the certificate's own.
    pub repositories: Vec<String>,
    /// The workflow: name, URI, and path within the repository.
    pub workflows: Vec<String>,
    /// Commits of sources and of build instructions.
    pub commits: Vec<String>,
    /// Hex SHA-256 of the key as DER SubjectPublicKeyInfo, and of key or certificate as PEM, which is Rekor's key hash.
    pub key_hashes: [String; 2],
    /// Hex SHA-256 of the signature's octets, where the body has them.
    pub signature_hash: Option<String>,
}

impl Facts {
    /// Reads a canonical body. `kept` are the index keys that it does not tell.
    ///
    /// # Errors
    /// See [`ReadError`].
    pub fn read(body: &[u8], kept: &[String]) -> Result<Self, ReadError> {
        Ok(Self::of(committed::read(body)?, kept))
    }

    /// The facts of an entry that was read.
    #[must_use]
    pub fn of(entry: CommittedEntry, kept: &[String]) -> Self {
        let signers = entry.signatures.iter().map(|signature| {
            let verifier = &signature.verifier;
            let mut signer = verifier.certificate().map(Signer::certified).unwrap_or_default();
            signer.names = verifier.names().to_vec();
            signer.key_hashes = [hex::encode(verifier.key().fingerprint()), verifier.key_hash()];
            signer.signature_hash = signature
                .signature
                .as_ref()
                .map(|octets| hex::encode(sha256(octets)));
            signer
        });
        let signers = signers.collect();
        let mut keys = entry.index_keys;
        keys.extend(kept.iter().cloned());
        Self {
            kind: entry.kind,
            api_version: entry.api_version,
            digest: entry.digest,
            signers,
            keys,
        }
    }

    /// The facts of a certificate by itself, as certificate logs have it: what an entry signed with it would be found by,
    /// but for what was signed. Its digest is that of its TBSCertificate.
    ///
    /// # Errors
    /// A certificate for a key of no kind we verify with.
    pub fn of_certificate(certificate: &Certificate) -> Result<Self, Invalid> {
        let verifier = Verifier::from_certificate(certificate.to_der())?;
        let mut keys = IndexKeys::default();
        keys.verifier(&verifier);
        let entry = CommittedEntry {
            kind: "certificate",
            api_version: "",
            digest: Digest {
                algorithm: HashAlgorithm::Sha256,
                value: sha256(certificate.tbs_der()).to_vec(),
            },
            signatures: vec![CommittedSignature {
                signature: None,
                verifier,
            }],
            index_keys: keys.into_terms(),
            attestation_key: None,
        };
        Ok(Self::of(entry, &[]))
    }

    /// The facts of each signer by itself, with what was signed: names and keys of the others are not in them. Where none has a
    /// key of X.509, those of the entry.
    #[must_use]
    pub fn by_signer(&self) -> Vec<Self> {
        if self.signers.is_empty() {
            return vec![self.clone()];
        }
        let types = self.predicate_types().map(|kind| [PREDICATE_TYPE, kind].concat());
        let signed: Vec<String> = self.digests().map(str::to_owned).chain(types).collect();
        let of = |signer: &Signer| {
            let mut keys = signed.clone();
            keys.extend(signer.names.iter().map(|name| name.text().to_lowercase()));
            keys.extend(signer.key_hashes.iter().cloned());
            Self {
                signers: vec![signer.clone()],
                keys,
                digest: self.digest.clone(),
                ..*self
            }
        };
        self.signers.iter().map(of).collect()
    }

    /// Types of the predicates of in-toto statements, in lower case.
    pub fn predicate_types(&self) -> impl Iterator<Item = &str> {
        self.keys
            .iter()
            .filter_map(|key| key.strip_prefix(PREDICATE_TYPE))
    }

    /// Digests that are named, `algorithm:hex`, in lower case.
    pub fn digests(&self) -> impl Iterator<Item = &str> {
        let is_digest = |key: &&str| {
            key.split_once(':').is_some_and(|(algorithm, digits)| {
                !algorithm.is_empty()
                    && digits.len() >= 40
                    && digits.bytes().all(|byte| byte.is_ascii_hexdigit())
            })
        };
        self.keys.iter().map(String::as_str).filter(is_digest)
    }

    /// Whether all of it is found: there is a bound on the terms of one entry.
    ///
    /// # Errors
    /// [`Invalid::TooManyTerms`].
    pub fn findable(&self, attributes: usize) -> Result<(), Invalid> {
        for (got, limit) in [(self.keys.len(), MAX_TERMS), (attributes, MAX_ATTRIBUTES)] {
            if got > limit {
                return Err(Invalid::TooManyTerms { limit });
            }
        }
        Ok(())
    }

    /// The attributes of the signers as terms, each once; at most one more than is [`findable`](Self::findable).
    #[must_use]
    pub fn attributes(&self) -> Vec<Term> {
        let mut terms = Terms::default();
        for signer in &self.signers {
            signer.collect(&mut terms);
        }
        terms.found
    }
}

/// Attributes, each once, within bounds.
#[derive(Default)]
struct Terms {
    found: Vec<Term>,
}

impl Terms {
    fn push(&mut self, field: Field, value: &str) {
        if value.is_empty() || value.len() > MAX_TERM || self.found.len() > MAX_ATTRIBUTES {
            return;
        }
        let term = attribute(field, value);
        if !self.found.contains(&term) {
            self.found.push(term);
        }
    }
}

fn attribute(field: Field, value: &str) -> Term {
    Term::Attribute(format!("{}={}", field.name(), value.to_lowercase()))
}

impl Signer {
    /// What Fulcio writes into its certificates (fulcio `docs/oid-info.md`).
    fn certified(certificate: &Certificate) -> Self {
        let text = |number| {
            certificate
                .sigstore_extension(number)
                .filter(|text| !text.is_empty())
        };
        let mut signer = Self {
            certificate: Some(certificate.clone()),
            // 8 replaced 1, which holds the same without an encoding around it.
            issuer: text(8).or_else(|| text(1)),
            ..Self::default()
        };
        // Source repository URI, GitHub's repository.
        for repository in [text(12), text(5)].into_iter().flatten() {
            let path = split_uri(&repository).map(|(_, path)| path.trim_matches('/').to_owned());
            add(&mut signer.repositories, repository);
            signer.repositories.extend(path.filter(|path| !path.is_empty()));
        }
        signer.repositories.dedup();
        // GitHub's name, build configuration, build signer.
        for workflow in [text(4), text(18), text(9)].into_iter().flatten() {
            let inside = signer.repositories.iter().find_map(|repository| {
                let path = workflow.strip_prefix(repository.as_str())?;
                path.strip_prefix('/').map(str::to_owned)
            });
            add(&mut signer.workflows, workflow);
            if let Some(path) = inside {
                add(&mut signer.workflows, path);
            }
        }
        // GitHub's commit, source, build signer, build configuration.
        for commit in [text(3), text(13), text(10), text(19)].into_iter().flatten() {
            add(&mut signer.commits, commit);
        }
        signer
    }

    fn collect(&self, terms: &mut Terms) {
        let [spki, _] = &self.key_hashes;
        terms.push(Field::Key, spki);
        terms.push(
            Field::Signature,
            self.signature_hash.as_deref().unwrap_or_default(),
        );
        terms.push(Field::Issuer, self.issuer.as_deref().unwrap_or_default());
        for repository in &self.repositories {
            terms.push(Field::Repository, plain_repository(repository));
        }
        for workflow in &self.workflows {
            terms.push(Field::Workflow, without_ref(workflow));
        }
        for commit in &self.commits {
            terms.push(Field::Commit, commit);
        }
        for name in &self.names {
            if let Some(domain) = domain(name) {
                for parent in domains(&domain) {
                    terms.push(Field::Domain, parent);
                }
            }
            for beginning in beginnings(name) {
                terms.push(Field::Prefix, beginning);
            }
        }
    }
}

fn add(list: &mut Vec<String>, text: String) {
    if !list.contains(&text) {
        list.push(text);
    }
}

/// A repository without what its URI may have or lack at the end.
fn plain_repository(repository: &str) -> &str {
    let repository = repository.trim_matches('/');
    repository.strip_suffix(".git").unwrap_or(repository)
}

/// A workflow's URI without the reference it ran on, `…/release.yml@refs/tags/v1`.
fn without_ref(workflow: &str) -> &str {
    workflow
        .split_once('@')
        .map_or(workflow, |(workflow, _)| workflow)
}

/// What stands before the path, `https://host`, and the path with its slash.
fn split_uri(uri: &str) -> Option<(&str, &str)> {
    let authority = uri.find("://")?.saturating_add(3);
    let path = uri.get(authority..)?.find('/')?.saturating_add(authority);
    uri.split_at_checked(path)
}

/// The domain of a name, in lower case.
fn domain(name: &SubjectAltName) -> Option<String> {
    let domain = match name {
        SubjectAltName::Email(text) => text.rsplit_once('@')?.1,
        SubjectAltName::Username(text) => text.rsplit_once('!')?.1,
        SubjectAltName::Dns(text) => text,
        SubjectAltName::Uri(text) => {
            let (_, rest) = text.split_once("://")?;
            let authority = rest.split(['/', '?', '#']).next()?;
            let host = authority.rsplit('@').next()?;
            match host.rsplit_once(':') {
                Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
                _ => host,
            }
        }
        SubjectAltName::Ip(_) => return None,
    };
    Some(domain.to_lowercase()).filter(|domain| !domain.is_empty())
}

/// A domain and its parents of two labels and more, as far as they are terms.
fn domains(domain: &str) -> impl Iterator<Item = &str> {
    let labels = domain.split('.').count();
    let whole = std::iter::once(domain).filter(move |_| labels <= LABELS);
    let parents = domain
        .match_indices('.')
        .enumerate()
        .filter_map(move |(n, (at, _))| {
            let left = labels.saturating_sub(n).saturating_sub(1);
            let parent = domain.get(at.saturating_add(1)..)?;
            (2..=LABELS).contains(&left).then_some(parent)
        });
    whole.chain(parents)
}

/// The beginnings of a name that are terms.
fn beginnings(name: &SubjectAltName) -> Vec<&str> {
    match name {
        SubjectAltName::Email(text) => text
            .rfind('@')
            .and_then(|at| text.get(..=at))
            .into_iter()
            .collect(),
        SubjectAltName::Uri(text) => slashes(text).collect(),
        _ => Vec::new(),
    }
}

/// A URI up to and with each of the first slashes behind its host.
fn slashes(uri: &str) -> impl Iterator<Item = &str> {
    let authority = uri.find("://").map(|at| at.saturating_add(3));
    let slashes = authority.into_iter().flat_map(move |authority| {
        let rest = uri.get(authority..).unwrap_or_default();
        rest.match_indices('/')
            .map(move |(at, _)| at.saturating_add(authority))
    });
    slashes.take(SLASHES).filter_map(move |at| uri.get(..=at))
}
