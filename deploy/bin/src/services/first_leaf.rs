//! The first leaf of a Rekor shard, which is ours.
//!
//! JSON of protobuf leaves out numbers that are 0 (protobuf.dev "ProtoJSON format"), and cosign writes bundles so; sigstore-python 4.5
//! refuses a proof without an index. At a first start the canary comes before every client. A shard that opens while entries
//! wait for it begins with an entry that says what it is, by a key that made nothing else.

use common_engine::{Entry, LogKind};
use common_pki::key::{HashAlgorithm, KeyAlgorithm, LocalSigner, SignError, Signer};
use rekor_api::{v1, v2};
use rekor_entry::v1::ProposedEntry;
use rekor_entry::v2::parse_request;

use crate::signing::entry::{self, Proposal, Verifier};

/// There is no first leaf.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FirstLeafError {
    /// No key, or no signature.
    #[error("key: {0}")]
    Sign(#[from] SignError),
    /// What was made is no entry.
    #[error("{0}")]
    Refused(String),
    /// Not logged.
    #[error("{0}")]
    Submit(#[from] common_engine::SubmitError),
}

fn refused(error: impl ToString) -> FirstLeafError {
    FirstLeafError::Refused(error.to_string())
}

/// A hashedrekord over `sigbox: first leaf of ORIGIN` and a line feed; `None` of a certificate log.
///
/// # Errors
/// [`FirstLeafError`].
pub(super) fn first_leaf(kind: LogKind, origin: &str) -> Result<Option<Entry>, FirstLeafError> {
    let message = format!("sigbox: first leaf of {origin}\n");
    let (signer, _) = LocalSigner::generate(KeyAlgorithm::EcdsaP256)?;
    let hash = HashAlgorithm::Sha256;
    let proposal = Proposal::Digest {
        hash,
        digest: hash.digest(message.as_bytes()),
        signature: &signer.sign(message.as_bytes())?,
    };
    let verifier = Verifier::Key(signer.public_key());
    let leaf = match kind {
        LogKind::Ct => return Ok(None),
        LogKind::RekorV1 => {
            let request = entry::v1_request(&proposal, &verifier).to_string();
            let proposed = ProposedEntry::parse(request.as_bytes()).map_err(refused)?;
            let canonical = proposed.canonicalize(&v1::Policy::default()).map_err(refused)?;
            v1::engine_entry(canonical)
        }
        LogKind::RekorV2 => {
            let request = entry::v2_request(&proposal, &verifier)
                .map_err(refused)?
                .to_string();
            let canonical = parse_request(request.as_bytes(), &v2::Policy::default()).map_err(refused)?;
            v2::engine_entry(canonical)
        }
    };
    leaf.map(Some).map_err(refused)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use rekor_entry::committed;

    use super::*;

    #[test]
    fn a_first_leaf_says_what_it_is() {
        for kind in [LogKind::RekorV1, LogKind::RekorV2] {
            let leaf = first_leaf(kind, "rekor-2.example.com").unwrap().unwrap();
            let read = committed::read(&leaf.body).unwrap();
            let message = b"sigbox: first leaf of rekor-2.example.com\n";
            assert_eq!(
                read.digest.value,
                HashAlgorithm::Sha256.digest(message),
                "{kind:?}"
            );
            assert_eq!(read.signatures.len(), 1);
        }
    }
}
