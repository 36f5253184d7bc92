//! One thing to look for.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use common_pki::cert::SubjectAltName;
use common_pki::key::{HashAlgorithm, sha256};

use super::{
    Facts, LABELS, Signer, Term, attribute, domain, plain_repository, slashes, split_uri, without_ref,
};
use crate::index::{MAX_TERM, PREDICATE_TYPE};

/// What can be looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Field {
    /// An e-mail address.
    Email,
    /// A URI that names the signer.
    Uri,
    /// The domain of an address, host of a URI or DNS name; it finds its subdomains too.
    Domain,
    /// The beginning of a URI, or of an address up to its `@`.
    Prefix,
    /// Issuer of the token behind a certificate.
    Issuer,
    /// A source repository, as a URI or `owner/name`.
    Repository,
    /// A workflow: its name, its URI, or its path in the repository.
    Workflow,
    /// A commit.
    Commit,
    /// Digest of an artifact, payload or subject.
    Digest,
    /// SHA-256 of a key, in either form.
    Key,
    /// A signature, or its SHA-256.
    Signature,
    /// Type of an in-toto predicate.
    PredicateType,
}

impl Field {
    /// All of them.
    pub const ALL: [Self; 12] = [
        Self::Email,
        Self::Uri,
        Self::Domain,
        Self::Prefix,
        Self::Issuer,
        Self::Repository,
        Self::Workflow,
        Self::Commit,
        Self::Digest,
        Self::Key,
        Self::Signature,
        Self::PredicateType,
    ];

    /// The name in queries.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Email => "email",
            Self::Uri => "uri",
            Self::Domain => "domain",
            Self::Prefix => "prefix",
            Self::Issuer => "issuer",
            Self::Repository => "repository",
            Self::Workflow => "workflow",
            Self::Commit => "commit",
            Self::Digest => "digest",
            Self::Key => "key",
            Self::Signature => "signature",
            Self::PredicateType => "predicateType",
        }
    }

    /// The reverse of [`Field::name`].
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|field| field.name() == name)
    }
}

/// Why a value cannot be looked for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}: expected {expected}, got {got:?}", .field.name())]
pub struct Unsearchable {
    /// What it was given for.
    pub field: Field,
    /// What is looked for there.
    pub expected: &'static str,
    /// The value, cut.
    pub got: String,
}

/// A value of a field, in lower case: no search here tells cases apart, as none of upstream's does.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Condition {
    field: Field,
    value: String,
}

impl Condition {
    /// Checks and normalises a value.
    ///
    /// # Errors
    /// [`Unsearchable`]: nothing could ever be found, or not all of it.
    pub fn new(field: Field, given: &str) -> Result<Self, Unsearchable> {
        let wrong = |expected| Unsearchable {
            field,
            expected,
            got: given.chars().take(120).collect(),
        };
        let text = given.trim();
        if text.is_empty() || (text.len() > MAX_TERM && field != Field::Signature) {
            return Err(wrong("1 to 512 bytes"));
        }
        let lower = text.to_lowercase();
        let checked = match field {
            Field::Email => is_address(&lower).then_some(lower).ok_or("an e-mail address"),
            Field::Uri => is_uri(&lower)
                .then_some(lower)
                .ok_or("a URI with its scheme, as https://… or urn:uuid:…"),
            Field::Domain => {
                let bare = lower.trim_start_matches("*.").trim_start_matches('@');
                let plain = !bare.is_empty()
                    && bare
                        .split('.')
                        .all(|label| !label.is_empty() && !label.contains(['/', '@', ':', '*', ' ', '!']));
                plain.then(|| bare.to_owned()).ok_or("a domain name")
            }
            Field::Prefix => {
                let of_address = lower
                    .find('@')
                    .is_some_and(|at| at.saturating_add(1) == lower.len())
                    && lower.len() > 1
                    && !lower.contains("://");
                (of_address || split_uri(&lower).is_some())
                    .then_some(lower)
                    .ok_or("the beginning of a URI with its whole host and a slash, or of an address up to its @")
            }
            Field::Repository => Ok(plain_repository(&lower).to_owned()),
            Field::Issuer | Field::Workflow | Field::PredicateType => Ok(lower),
            Field::Commit => is_hex(&lower, &[40, 64])
                .then_some(lower)
                .ok_or("a whole commit, 40 or 64 hexadecimal digits"),
            Field::Digest => digest(&lower).ok_or(
                "hexadecimal digits of SHA-1, SHA-256, SHA-384 or SHA-512, or algorithm:hexadecimal digits",
            ),
            Field::Key => {
                let digits = lower.strip_prefix("sha256:").unwrap_or(&lower);
                is_hex(digits, &[64])
                    .then(|| digits.to_owned())
                    .ok_or("SHA-256 of a key in 64 hexadecimal digits")
            }
            Field::Signature => {
                signature(text).ok_or("a signature in base64, or its SHA-256 in 64 hexadecimal digits")
            }
        };
        let value = checked.map_err(wrong)?;
        if value.is_empty() {
            return Err(wrong("1 to 512 bytes"));
        }
        Ok(Self { field, value })
    }

    /// What is looked for.
    #[must_use]
    pub fn field(&self) -> Field {
        self.field
    }

    /// The normalised value.
    #[must_use]
    pub fn value(&self) -> &str {
        &self.value
    }

    /// The terms under which all entries are that meet this; others may be under them too.
    #[must_use]
    pub fn lookups(&self) -> Vec<Term> {
        let key = |key: &str| vec![Term::Key(key.to_owned())];
        let under = |value: &str| vec![attribute(self.field, value)];
        match self.field {
            Field::Email | Field::Uri | Field::Digest => key(&self.value),
            Field::PredicateType => vec![Term::Key([PREDICATE_TYPE, &self.value].concat())],
            Field::Key => vec![Term::Key(self.value.clone()), attribute(self.field, &self.value)],
            Field::Domain => {
                let mut dots = self.value.rmatch_indices('.').map(|(at, _)| at.saturating_add(1));
                let shortened = dots
                    .nth(LABELS.saturating_sub(1))
                    .and_then(|at| self.value.get(at..));
                under(shortened.unwrap_or(&self.value))
            }
            Field::Prefix => under(slashes(&self.value).last().unwrap_or(&self.value)),
            Field::Workflow if self.value.contains("://") => under(without_ref(&self.value)),
            Field::Issuer | Field::Repository | Field::Workflow | Field::Commit | Field::Signature => {
                under(&self.value)
            }
        }
    }
}

impl Facts {
    /// Whether the entry is one that was looked for.
    #[must_use]
    pub fn meet(&self, condition: &Condition) -> bool {
        let value = condition.value.as_str();
        let keyed = |key: &str| self.keys.iter().any(|known| known == key);
        let signed = |by: &dyn Fn(&Signer) -> bool| self.signers.iter().any(by);
        let one_of = |list: &[String]| list.iter().any(|text| text.to_lowercase() == value);
        let named = |is: &dyn Fn(&SubjectAltName) -> bool| signed(&|signer| signer.names.iter().any(is));
        match condition.field {
            // Keys of other formats than X.509 have addresses too.
            Field::Email | Field::Digest => keyed(value),
            Field::PredicateType => self.predicate_types().any(|found| found == value),
            Field::Uri => named(&|name| match name {
                SubjectAltName::Uri(text) => text.to_lowercase() == value,
                _ => false,
            }),
            Field::Domain => named(&|name| domain(name).is_some_and(|domain| is_within(&domain, value))),
            Field::Prefix => named(&|name| match name {
                SubjectAltName::Email(text) | SubjectAltName::Uri(text) => {
                    text.to_lowercase().starts_with(value)
                }
                _ => false,
            }),
            Field::Issuer => signed(&|signer| {
                signer
                    .issuer
                    .as_ref()
                    .is_some_and(|issuer| issuer.to_lowercase() == value)
            }),
            Field::Repository => signed(&|signer| {
                let mut forms = signer.repositories.iter();
                forms.any(|form| plain_repository(&form.to_lowercase()) == value)
            }),
            Field::Workflow => signed(&|signer| {
                let with_or_without = |workflow: &String| {
                    let workflow = workflow.to_lowercase();
                    workflow == value || without_ref(&workflow) == value
                };
                signer.workflows.iter().any(with_or_without)
            }),
            Field::Commit => signed(&|signer| one_of(&signer.commits)),
            Field::Key => keyed(value) || signed(&|signer| one_of(&signer.key_hashes)),
            Field::Signature => signed(&|signer| signer.signature_hash.as_deref() == Some(value)),
        }
    }
}

/// A domain of one label has no subdomains that one would want to see.
fn is_within(domain: &str, of: &str) -> bool {
    domain == of
        || of.contains('.')
            && domain
                .strip_suffix(of)
                .is_some_and(|before| before.ends_with('.'))
}

/// What may be the address of a certificate or key, and no digest: those have a colon.
fn is_address(text: &str) -> bool {
    let odd = |c: char| c.is_whitespace() || c.is_control() || c == ':';
    !text.contains(odd)
        && text
            .rsplit_once('@')
            .is_some_and(|(name, domain)| !name.is_empty() && !domain.is_empty())
}

/// A scheme, a colon and more (RFC 3986 §3): a pseudonym, `urn:uuid:…`, has no `//`. A digest looks the same and names nobody.
fn is_uri(text: &str) -> bool {
    let Some((scheme, rest)) = text.split_once(':') else {
        return false;
    };
    let of_a_scheme = |byte: u8| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte);
    let is_hash = HashAlgorithm::ALL.iter().any(|hash| hash.name() == scheme);
    scheme.starts_with(|first: char| first.is_ascii_alphabetic())
        && scheme.bytes().all(of_a_scheme)
        && !rest.is_empty()
        && !is_hash
}

fn is_hex(text: &str, lengths: &[usize]) -> bool {
    lengths.contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// `algorithm:hex`, the algorithm from the length where it is not given. Statements may name any algorithm.
fn digest(text: &str) -> Option<String> {
    if let Some((algorithm, digits)) = text.split_once(':') {
        let known = HashAlgorithm::ALL.iter().find(|hash| hash.name() == algorithm);
        let fits = known.is_none_or(|hash| digits.len() == hash.len().saturating_mul(2));
        let plain = !algorithm.is_empty() && algorithm.bytes().all(|byte| byte.is_ascii_graphic());
        let even = !digits.is_empty() && digits.len().is_multiple_of(2);
        return (fits && plain && even && is_hex(digits, &[digits.len()])).then(|| text.to_owned());
    }
    let algorithm = match text.len() {
        40 => "sha1",
        64 => "sha256",
        96 => "sha384",
        128 => "sha512",
        _ => return None,
    };
    is_hex(text, &[text.len()]).then(|| format!("{algorithm}:{text}"))
}

/// SHA-256 of a signature in lower-case hex.
fn signature(text: &str) -> Option<String> {
    let lower = text.to_ascii_lowercase();
    let digits = lower.strip_prefix("sha256:").unwrap_or(&lower);
    if is_hex(digits, &[64]) {
        return Some(digits.to_owned());
    }
    // The longest signature there is has some thousand octets.
    let octets = (text.len() <= 16_384)
        .then(|| STANDARD.decode(text).ok())
        .flatten()?;
    (!octets.is_empty()).then(|| hex::encode(sha256(&octets)))
}
