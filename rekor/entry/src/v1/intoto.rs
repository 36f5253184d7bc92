//! `intoto`: an attestation that is kept beside the log (`rekor pkg/types/intoto`).

mod v001;
mod v002;

pub(super) use v001::V001;
pub(super) use v002::V002;

use common_pki::key::HashAlgorithm;

use super::HashFields;
use crate::signature::Scheme;

/// Envelopes are verified over SHA-256 whatever the key (`rekor pkg/types/intoto/v0.0.2/entry.go verifyEnvelope`).
const SCHEME: Scheme = Scheme::Message(HashAlgorithm::Sha256);

// The doubled paths are what go-openapi makes of nested inline schemas.
const HASH_FIELDS: HashFields = (
    "content.content.hash.content.hash.algorithm",
    "content.content.hash.content.hash.value",
);
const PAYLOAD_HASH_FIELDS: HashFields = (
    "content.content.payloadHash.content.payloadHash.algorithm",
    "content.content.payloadHash.content.payloadHash.value",
);
