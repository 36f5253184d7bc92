//! The Sigstore bundle in its JSON form (`protobuf-specs protos/sigstore_bundle.proto`, `sigstore_rekor.proto`, `sigstore_common.proto`).
//!
//! Everything here is shape: a value of one of these types has passed the caps and the structural rules of its media type,
//! and nothing else. Whether a signature in it is good is [`crate::verify`]'s question.

mod bundle;
mod dsse;
mod pep740;
pub mod protojson;
mod tlog_entry;

pub use bundle::{
    Bundle, BundleError, Content, KeyMaterial, MAX_BUNDLE_BYTES, MAX_CERTIFICATES, MAX_TIMESTAMPS,
    MAX_TLOG_ENTRIES, MediaType, MessageDigest,
};
pub use dsse::{
    BareEnvelope, Envelope, EnvelopeSignature, IN_TOTO_PAYLOAD_TYPE, STATEMENT_TYPE, is_statement_type, pae,
    pae_header,
};
pub use tlog_entry::{
    Checkpoint, InclusionPromise, InclusionProof, KindVersion, LogId, TransparencyLogEntry,
};

#[cfg(test)]
mod tests;
