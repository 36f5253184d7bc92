//! Why an entry is refused, whatever the API version.
//!
//! Texts that clients or upstream's own tests look for are kept (`rekor pkg/types/*/e2e_test.go`, `tests/*.sh`).

use common_bundle::tuf::TufError;
use common_pki::cert::{CertError, ChainError};
use common_pki::cms::CmsError;
use common_pki::key::{KeyAlgorithm, KeyError};
use common_pki::pem::PemError;
use common_pki::tsp::TspError;

use crate::pki::PgpError;
use crate::signature::SignatureFailure;

/// A field that breaks its schema, worded and numbered as `go-openapi/errors schema.go` does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldError {
    /// Dotted path of the field.
    pub field: &'static str,
    /// The rule it breaks.
    pub rule: FieldRule,
}

/// A schema rule.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FieldRule {
    /// Must be there.
    Required,
    /// Must be one of these.
    OneOf(&'static [&'static str]),
    /// Must match this regular expression.
    Pattern(&'static str),
    /// Must have this many items or more.
    MinItems(usize),
    /// Must not have more items than this.
    MaxItems(usize),
}

impl FieldError {
    pub(crate) fn required(field: &'static str) -> Self {
        Self {
            field,
            rule: FieldRule::Required,
        }
    }

    /// The number Rekor v1 puts into the `code` member of a 422 answer (`go-openapi/errors api.go`).
    #[must_use]
    pub fn code(&self) -> u16 {
        match self.rule {
            FieldRule::Required => 602,
            FieldRule::Pattern(_) => 605,
            FieldRule::OneOf(_) => 606,
            FieldRule::MaxItems(_) => 611,
            FieldRule::MinItems(_) => 612,
        }
    }
}

impl std::fmt::Display for FieldError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let field = self.field;
        match &self.rule {
            FieldRule::Required => write!(f, "{field} in body is required"),
            FieldRule::OneOf(values) => write!(f, "{field} in body should be one of [{}]", values.join(" ")),
            FieldRule::Pattern(pattern) => write!(f, "{field} in body should match '{pattern}'"),
            FieldRule::MinItems(n) => write!(f, "{field} in body should have at least {n} items"),
            FieldRule::MaxItems(n) => write!(f, "{field} in body should have at most {n} items"),
        }
    }
}

impl std::error::Error for FieldError {}

fn list(fields: &[FieldError]) -> String {
    fields
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join("\n")
}

/// What is wrong with the content of an entry.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Invalid {
    /// A member has a type the kind does not know.
    #[error("entry does not have the expected shape: {0}")]
    Shape(#[source] serde_json::Error),
    /// Fields that break the kind's schema.
    #[error("validation failure list:\n{}", list(.0))]
    Fields(Vec<FieldError>),
    /// A member that the kind needs.
    #[error("missing {0}")]
    Missing(&'static str),
    /// More of something than is taken.
    #[error("too many {what}: got {got}, at most {limit} are allowed")]
    TooMany {
        /// What there is too much of.
        what: &'static str,
        /// Count given.
        got: usize,
        /// Count allowed.
        limit: usize,
    },
    /// More terms to be found by than are indexed: none is left out silently.
    #[error(
        "too many digests and names to be found by: an entry has at most {limit}, got more; split the statement"
    )]
    TooManyTerms {
        /// How many are allowed.
        limit: usize,
    },
    /// A value that should be base64.
    #[error("failed parsing base64 data for {0}")]
    Base64(&'static str),
    /// A digest whose length is not its algorithm's.
    #[error("invalid value for hash: {algorithm} has {expected} hexadecimal digits, got {got}")]
    HashLength {
        /// Name of the algorithm.
        algorithm: &'static str,
        /// Digits expected.
        expected: usize,
        /// Octets given.
        got: usize,
    },
    /// A digest that is not hexadecimal.
    #[error("invalid value for hash: not hexadecimal")]
    HashDigits,
    /// A verifier that is not PEM.
    #[error("invalid public key: failure decoding PEM: {0}")]
    Pem(#[from] PemError),
    /// A PEM block that is no key and no certificate.
    #[error("invalid public key: cannot handle type {0}")]
    PemLabel(String),
    /// A key that does not parse or is of no kind we verify with.
    #[error("invalid public key: {0}")]
    Key(#[from] KeyError),
    /// Something of OpenPGP that does not parse or verify.
    #[error("{0}")]
    Pgp(#[from] PgpError),
    /// Not a signature of minisign or signify.
    #[error("invalid signature provided: {0}")]
    MinisignSignature(&'static str),
    /// Not a key of minisign or signify.
    #[error("unable to read minisign public key: neither a key file, nor base64 of 42 octets, nor 32 octets")]
    MinisignKey,
    /// Not a key of SSH.
    #[error("invalid SSH public key: {0}")]
    SshKey(String),
    /// Not a signature of SSH.
    #[error("invalid SSH signature: {0}")]
    SshSignature(String),
    /// Neither the content nor its hash.
    #[error("'content' must be specified for data")]
    NoContent,
    /// The hash given is not that of the content.
    #[error("SHA mismatch: {got} != {expected}")]
    HashMismatch {
        /// What the entry says.
        expected: String,
        /// What the content has.
        got: String,
    },
    /// Not a tagged COSE_Sign1.
    #[error("cbor: invalid COSE_Sign1_Tagged object: {0}")]
    CoseMessage(String),
    /// Neither the message nor its hash.
    #[error("envelope hash should have been previously computed")]
    CoseNoMessage,
    /// No `data` object.
    #[error("cose object data cannot be nil")]
    CoseData,
    /// A payload that is somewhere else.
    #[error("the payload must be inside the COSE message")]
    CosePayload,
    /// An algorithm that is not that of the key.
    #[error("the COSE message's algorithm is not that of the key: ES256 for P-256, PS256 for RSA")]
    CoseAlgorithm,
    /// Critical headers.
    #[error("the COSE message has critical headers that are not understood")]
    CoseCritical,
    /// A key that signs no COSE message here.
    #[error("unsupported algorithm type {0}: P-256 and RSA are supported")]
    CoseKey(KeyAlgorithm),
    /// The signature of a COSE message does not verify.
    #[error("verification error")]
    CoseSignature,
    /// A timestamp response that does not parse or verify.
    #[error("tsr verification error: {0}")]
    Timestamp(#[from] TspError),
    /// A package that lacks something, or does not hold together.
    #[error("{0}")]
    Package(&'static str),
    /// A list of digests that is no YAML of the expected shape.
    #[error("error occurred parsing SumCollection: {0}")]
    Sums(String),
    /// An archive that does not unpack.
    #[error("reading {0}: {1}")]
    Archive(&'static str, String),
    /// Something compressed that becomes larger than is read.
    #[error("decompressed size of {what} exceeds max allowed size {limit}")]
    Inflated {
        /// What it is.
        what: &'static str,
        /// Octets allowed.
        limit: u64,
    },
    /// A signature in CMS that does not parse or verify.
    #[error("{0}")]
    Cms(#[from] CmsError),
    /// TUF metadata that does not parse or is not signed.
    #[error("{0}")]
    Tuf(#[source] Box<TufError>),
    /// A certificate that does not parse.
    #[error("invalid certificate: {0}")]
    Certificate(#[source] CertError),
    /// A chain that does not hold together.
    #[error("verifying signature: certificate chain does not verify: {0}")]
    Chain(#[source] ChainError),
    /// The signature does not verify.
    #[error("verifying signature: {0}")]
    Signature(#[from] SignatureFailure),
    /// A key and hash the server does not take.
    #[error("entry algorithms are not allowed")]
    AlgorithmsNotAllowed,
    /// A label that names another key than the one given (v2).
    #[error("keyDetails {label} does not describe the key given, which is {key}")]
    KeyLabel {
        /// What `keyDetails` says.
        label: &'static str,
        /// What the key is.
        key: String,
    },
    /// A digest of another length than the label's hash (v2).
    #[error("digest has {got} octets, {label} needs {expected}")]
    DigestLength {
        /// What `keyDetails` says.
        label: &'static str,
        /// Octets expected.
        expected: usize,
        /// Octets given.
        got: usize,
    },
    /// Neither proposed nor committed form (dsse).
    #[error("either proposedContent or envelopeHash, payloadHash, and signatures must be present")]
    DsseNeither,
    /// Both proposed and committed form (dsse).
    #[error(
        "either proposedContent or envelopeHash, payloadHash, and signatures must be present but not both"
    )]
    DsseBoth,
    /// A committed form where a new entry is wanted.
    #[error("entry not insertable into log: missing {0}")]
    NotInsertable(&'static str),
    /// The envelope is not JSON of the right shape.
    #[error("DSSE envelope is not valid: {0}")]
    EnvelopeJson(#[source] serde_json::Error),
    /// An envelope without signatures.
    #[error("DSSE envelope must contain 1 or more signatures")]
    NoSignatures,
    /// Signature or payload of an envelope that is not base64.
    #[error("could not verify envelope: {0} is not base64")]
    EnvelopeBase64(&'static str),
    /// A verifier that verifies none of the signatures.
    #[error("could not verify envelope: accepted signatures do not match threshold, Found: 0, Expected 1")]
    NotVerified,
    /// A signature that no verifier matches.
    #[error("all signatures must have a key that verifies it")]
    Unmatched,
    /// An RSA key of an envelope that is costlier to verify with than any registered size.
    #[error("RSA key of {got} bits, at most {limit} are allowed in an envelope")]
    RsaBits {
        /// Bits of the modulus.
        got: u32,
        /// Bits allowed.
        limit: u32,
    },
    /// More Ed25519 signatures, keys and payload than are verified for one envelope.
    #[error(
        "Ed25519 signs the whole message: matching these signatures and verifiers would read {got} octets or more, at most {limit} are allowed"
    )]
    Ed25519Work {
        /// Octets with the verification that was not made any more.
        got: usize,
        /// Octets allowed.
        limit: usize,
    },
    /// The same verifier twice (v2).
    #[error("verifiers must be distinct")]
    RepeatedVerifier,
    /// More octets than a bundle (v2) or the kind takes.
    #[error("entry has {got} octets, at most {limit} are allowed")]
    TooLarge {
        /// Octets allowed.
        limit: usize,
        /// Octets of the body.
        got: usize,
    },
}
