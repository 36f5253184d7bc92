//! Entries of Rekor v1 (`rekor pkg/types`).

mod alpine;
mod cose;
mod dsse;
mod error;
mod hashedrekord;
mod helm;
mod intoto;
mod jar;
mod parts;
mod rekord;
mod rfc3161;
mod rpm;
mod tuf;

use serde::Deserialize;
use serde_json::value::RawValue;

pub use error::EntryError;
pub(crate) use tuf::canonical_root;

use crate::committed::CommittedEntry;
use crate::error::{FieldError, FieldRule, Invalid};
use crate::index::sha256_hex;
use crate::json::{Object, Text};
use crate::policy::AlgorithmPolicy;
use crate::{Attestation, Canonical};

/// The kinds of Rekor v1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "named as in the API")]
pub enum Kind {
    Alpine,
    Cose,
    Dsse,
    Hashedrekord,
    Helm,
    Intoto,
    Jar,
    Rekord,
    Rfc3161,
    Rpm,
    Tuf,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 11] = [
        Self::Alpine,
        Self::Cose,
        Self::Dsse,
        Self::Hashedrekord,
        Self::Helm,
        Self::Intoto,
        Self::Jar,
        Self::Rekord,
        Self::Rfc3161,
        Self::Rpm,
        Self::Tuf,
    ];

    /// The kind's name in JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Alpine => "alpine",
            Self::Cose => "cose",
            Self::Dsse => "dsse",
            Self::Hashedrekord => "hashedrekord",
            Self::Helm => "helm",
            Self::Intoto => "intoto",
            Self::Jar => "jar",
            Self::Rekord => "rekord",
            Self::Rfc3161 => "rfc3161",
            Self::Rpm => "rpm",
            Self::Tuf => "tuf",
        }
    }

    /// Whether its content is a package, which is read as a whole and may be unpacked for it.
    #[must_use]
    pub fn is_package(self) -> bool {
        matches!(self, Self::Alpine | Self::Helm | Self::Jar | Self::Rpm)
    }

    fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == name)
    }

    /// What the public instance takes (`rekor` `--enabled_entry_types` of its deployment).
    pub const PUBLIC_INSTANCE: [Self; 4] = [Self::Hashedrekord, Self::Dsse, Self::Intoto, Self::Helm];
}

/// A name that is no kind's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no entry kind {0:?}; there are {known}", known = Kind::ALL.map(Kind::as_str).join(", "))]
pub struct UnknownKind(pub String);

impl std::str::FromStr for Kind {
    type Err = UnknownKind;

    fn from_str(name: &str) -> Result<Self, UnknownKind> {
        Self::parse(name).ok_or_else(|| UnknownKind(name.to_owned()))
    }
}

impl std::fmt::Display for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What a server accepts for submission. Reading is not restricted (`rekor pkg/types/entries.go SetAllowedKindsForSubmission`).
#[derive(Clone, Debug)]
pub struct Policy {
    /// Keys and hashes of `hashedrekord`; other kinds fix their own.
    pub algorithms: AlgorithmPolicy,
    /// Kinds that may be submitted.
    pub kinds: Vec<Kind>,
    /// Largest attestation kept, in octets; a larger one is not kept, and its entry is logged all the same.
    pub max_attestation_size: usize,
    /// Whether the payloads of `dsse` are kept too, which upstream does not do.
    pub dsse_attestations: bool,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            algorithms: AlgorithmPolicy::rekor_v1(),
            kinds: Kind::ALL.to_vec(),
            max_attestation_size: 100 * 1024,
            dsse_attestations: false,
        }
    }
}

/// What the canonical form is wanted for.
#[derive(Clone, Copy)]
pub(crate) enum Purpose<'a> {
    /// Logging a new entry.
    Submit(&'a Policy),
    /// Looking for an entry that may be logged; the committed form is taken as well.
    Find,
}

impl Purpose<'_> {
    /// What becomes of a content of this SHA-256, in hex.
    fn attestation(self, digest: &str, data: Vec<u8>) -> Attestation {
        match self {
            Self::Find => Attestation::None,
            Self::Submit(policy) if data.len() > policy.max_attestation_size => Attestation::TooLarge {
                size: data.len(),
                limit: policy.max_attestation_size,
            },
            Self::Submit(_) => Attestation::Keep {
                name: format!("sha256:{digest}"),
                data,
            },
        }
    }
}

/// One kind in one version.
pub(crate) struct Implementation {
    pub(crate) kind: Kind,
    pub(crate) api_version: &'static str,
    /// Verifies a proposed spec and makes its canonical form.
    pub(crate) canonicalize: fn(&RawValue, Purpose<'_>) -> Result<Canonical, Invalid>,
    /// Reads a committed spec.
    pub(crate) read: fn(&RawValue) -> Result<CommittedEntry, Invalid>,
}

/// Each kind in each of its versions: one file and one line.
pub(crate) const IMPLEMENTATIONS: &[Implementation] = &[
    hashedrekord::V001,
    dsse::V001,
    intoto::V001,
    intoto::V002,
    cose::V001,
    rekord::V001,
    rfc3161::V001,
    tuf::V001,
    alpine::V001,
    jar::V001,
    rpm::V001,
    helm::V001,
];

/// Semantic versions, as the models' `apiVersion` demands (`rekor openapi.yaml`).
const API_VERSION_PATTERN: &str = r"^(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(?:-((?:0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*)(?:\.(?:0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*))*))?(?:\+([0-9a-zA-Z-]+(?:\.[0-9a-zA-Z-]+)*))?$";

/// The outer object of an entry: its kind and version are known to be well formed, its spec has not been looked at.
#[derive(Clone, Debug)]
pub struct ProposedEntry<'a> {
    kind: Kind,
    api_version: Text<'a>,
    spec: &'a RawValue,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Wire<'a> {
    #[serde(borrow)]
    kind: Option<Text<'a>>,
    #[serde(borrow)]
    api_version: Option<Text<'a>>,
    #[serde(borrow)]
    spec: Option<&'a RawValue>,
}

impl<'a> ProposedEntry<'a> {
    /// Reads the outer object of a proposed entry.
    ///
    /// # Errors
    /// [`EntryError::Json`], [`EntryError::Schema`] or [`EntryError::UnknownKind`].
    pub fn parse(json: &'a [u8]) -> Result<Self, EntryError> {
        let required = |field| EntryError::Schema(FieldError::required(field));
        if json.trim_ascii().is_empty() {
            return Err(required("proposedEntry"));
        }
        let wire = serde_json::from_slice::<Option<Object<Wire<'a>>>>(json).map_err(EntryError::Json)?;
        // `null` reads as an object without members, as in Go.
        let Object(Wire {
            kind,
            api_version,
            spec,
        }) = wire.unwrap_or(Object(Wire {
            kind: None,
            api_version: None,
            spec: None,
        }));
        let kind = kind
            .filter(|kind| !kind.is_empty())
            .ok_or_else(|| required("kind"))?;
        let kind =
            Kind::parse(&kind).ok_or_else(|| EntryError::UnknownKind(kind.chars().take(64).collect()))?;
        let api_version = api_version.ok_or_else(|| required("apiVersion"))?;
        if !is_semantic_version(&api_version) {
            let rule = FieldRule::Pattern(API_VERSION_PATTERN);
            return Err(EntryError::Schema(FieldError {
                field: "apiVersion",
                rule,
            }));
        }
        let spec = spec
            .filter(|spec| spec.get() != "null")
            .ok_or_else(|| required("spec"))?;
        Ok(Self {
            kind,
            api_version,
            spec,
        })
    }

    /// Kind of the entry.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Verifies a new entry and makes what is to be logged.
    ///
    /// # Errors
    /// Those of submission; see [`EntryError`].
    pub fn canonicalize(&self, policy: &Policy) -> Result<Canonical, EntryError> {
        if !policy.kinds.contains(&self.kind) {
            return Err(EntryError::KindNotEnabled(self.kind));
        }
        (self.implementation()?.canonicalize)(self.spec, Purpose::Submit(policy)).map_err(EntryError::Invalid)
    }

    /// The body an equivalent entry would have in the log, for looking it up. Takes the proposed and the committed form
    /// alike and applies no policy, because the entry may have been logged under another one.
    ///
    /// # Errors
    /// As [`canonicalize`](Self::canonicalize), without those of policy.
    pub fn canonicalize_committed(&self) -> Result<Vec<u8>, EntryError> {
        (self.implementation()?.canonicalize)(self.spec, Purpose::Find)
            .map(|canonical| canonical.body)
            .map_err(EntryError::Invalid)
    }

    fn implementation(&self) -> Result<&'static Implementation, EntryError> {
        IMPLEMENTATIONS
            .iter()
            .find(|known| known.kind == self.kind && known.api_version == &*self.api_version)
            .ok_or_else(|| EntryError::UnknownVersion {
                kind: self.kind,
                version: self.api_version.chars().take(64).collect(),
            })
    }
}

/// [`API_VERSION_PATTERN`] without a regular expression engine (semver.org 2.0.0 §2, §9, §10).
fn is_semantic_version(version: &str) -> bool {
    let (version, build) = version
        .split_once('+')
        .map_or((version, None), |(version, build)| (version, Some(build)));
    let (core, pre) = version
        .split_once('-')
        .map_or((version, None), |(core, pre)| (core, Some(pre)));
    let number = |text: &str| {
        text == "0"
            || (!text.starts_with('0') && !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()))
    };
    let word = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    core.split('.').count() == 3
        && core.split('.').all(number)
        && pre.is_none_or(|pre| {
            pre.split('.')
                .all(|part| word(part) && (number(part) || !part.bytes().all(|b| b.is_ascii_digit())))
        })
        && build.is_none_or(|build| build.split('.').all(word))
}

/// Reads a spec as the object a kind expects.
fn read_spec<'a, T: Deserialize<'a>>(spec: &'a RawValue) -> Result<T, Invalid> {
    serde_json::from_str::<Object<T>>(spec.get())
        .map(|object| object.0)
        .map_err(Invalid::Shape)
}

/// Collects the fields of a spec that break its schema.
#[derive(Default)]
struct Schema(Vec<FieldError>);

impl Schema {
    fn required<T>(&mut self, field: &'static str, value: Option<T>) -> Option<T> {
        if value.is_none() {
            self.0.push(FieldError::required(field));
        }
        value
    }

    fn rule(&mut self, field: &'static str, rule: FieldRule, holds: bool) {
        if !holds {
            self.0.push(FieldError { field, rule });
        }
    }

    fn finish(self) -> Result<(), Invalid> {
        if self.0.is_empty() {
            Ok(())
        } else {
            Err(Invalid::Fields(self.0))
        }
    }
}

/// A digest as specs hold it.
#[derive(Deserialize, Clone, Debug)]
struct HashSpec<'a> {
    #[serde(borrow)]
    algorithm: Option<Text<'a>>,
    #[serde(borrow)]
    value: Option<Text<'a>>,
}

/// A member that holds base64 and nothing else: a key, a timestamp.
#[derive(Deserialize)]
struct Content<'a> {
    #[serde(borrow)]
    content: Option<Text<'a>>,
}

impl<'a> Content<'a> {
    /// The content, unless it is empty: upstream's decoders drop it then.
    fn filled(self) -> Option<Text<'a>> {
        self.content.filter(|content| !content.is_empty())
    }
}

/// What was signed: its content when it is proposed, its hash alone in the log.
#[derive(Deserialize)]
struct Artifact<'a> {
    #[serde(borrow)]
    content: Option<Text<'a>>,
    #[serde(borrow)]
    hash: Option<Object<HashSpec<'a>>>,
}

/// The SHA-256 of a content, in hex, which has to be the one given, if one is.
fn hash_of(content: &[u8], given: Option<&str>) -> Result<String, Invalid> {
    let hash = sha256_hex(content);
    match given {
        Some(given) if given != hash => Err(Invalid::HashMismatch {
            expected: given.to_owned(),
            got: hash,
        }),
        _ => Ok(hash),
    }
}

/// Names of a hash's algorithm and value, as go-openapi reports them.
type HashFields = (&'static str, &'static str);

impl<'a> HashSpec<'a> {
    /// The value of a hash that only SHA-256 may have made. Any text will do: what is compared with it is hexadecimal.
    fn sha256(self, schema: &mut Schema, (algorithm, value): HashFields) -> Option<Text<'a>> {
        let name = schema.required(algorithm, self.algorithm);
        schema.rule(
            algorithm,
            FieldRule::OneOf(&["sha256"]),
            name.is_none_or(|name| &*name == "sha256"),
        );
        schema.required(value, self.value)
    }
}

#[cfg(test)]
mod tests;
