//! Which verifier matches which signature of a DSSE envelope (`secure-systems-lab/dsse protocol.md`).

use common_bundle::format::pae;

use crate::error::Invalid;
use crate::signature::Scheme;
use crate::verifier::Verifier;

/// Most signatures and most verifiers of one envelope. The matching below costs their product in verifications, so a list
/// without end would be a cheap way to keep a server busy (`rekor-tiles e028746` set the same caps).
pub(crate) const MAX_SIGNATURES: usize = 10;

/// A decoded signature and the text it came as, which is its identity in Rekor v1.
pub(crate) struct EnvelopeSignature<'a> {
    pub(crate) text: &'a str,
    pub(crate) octets: Vec<u8>,
}

/// When no more verifiers are looked at.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stop {
    /// Once every signature is matched: what follows may be anything (`rekor pkg/types/dsse/v0.0.1/entry.go`).
    WhenMatched,
    /// Never: each verifier given has to verify a signature (`rekor pkg/types/intoto/v0.0.2/entry.go`).
    AtEnd,
}

/// The verifiers that were looked at, and which of them goes with which signature.
pub(crate) struct Matched {
    pub(crate) verifiers: Vec<Verifier>,
    /// For each signature the index of its verifier.
    pub(crate) by_signature: Vec<usize>,
}

impl Matched {
    /// Each signature with its verifier.
    pub(crate) fn pairs<'m, 's, 't>(
        &'m self,
        signatures: &'s [EnvelopeSignature<'t>],
    ) -> impl Iterator<Item = (&'s EnvelopeSignature<'t>, &'m Verifier)> {
        signatures
            .iter()
            .zip(&self.by_signature)
            .filter_map(|(signature, index)| self.verifiers.get(*index).map(|verifier| (signature, verifier)))
    }
}

/// Finds a verifier for every signature. Each verifier takes the first signature it verifies, at most one, and must take
/// one; key identifiers are hints of the signer and are not looked at. Signatures that are the same text share a verifier.
pub(crate) fn match_signatures(
    payload_type: &str,
    payload: &[u8],
    signatures: &[EnvelopeSignature<'_>],
    verifiers: impl IntoIterator<Item = Result<(Verifier, Scheme), Invalid>>,
    stop: Stop,
) -> Result<Matched, Invalid> {
    if signatures.is_empty() {
        return Err(Invalid::NoSignatures);
    }
    at_most("envelope signatures", signatures.len())?;
    let message = pae(payload_type, payload);
    let mut matched: Vec<Option<usize>> = vec![None; signatures.len()];
    let mut looked_at = Vec::new();
    for verifier in verifiers {
        if stop == Stop::WhenMatched && matched.iter().all(Option::is_some) {
            break;
        }
        let (verifier, scheme) = verifier?;
        let digest = scheme.hash().digest(&message);
        let taken = signatures
            .iter()
            .find(|signature| {
                scheme
                    .verify(verifier.key(), &message, &digest, &signature.octets)
                    .is_ok()
            })
            .ok_or(Invalid::NotVerified)?;
        for (slot, signature) in matched.iter_mut().zip(signatures) {
            if signature.text == taken.text {
                *slot = Some(looked_at.len());
            }
        }
        looked_at.push(verifier);
    }
    let by_signature = matched
        .into_iter()
        .collect::<Option<Vec<_>>>()
        .ok_or(Invalid::Unmatched)?;
    Ok(Matched {
        verifiers: looked_at,
        by_signature,
    })
}

pub(crate) fn at_most(what: &'static str, got: usize) -> Result<(), Invalid> {
    if got > MAX_SIGNATURES {
        Err(Invalid::TooMany {
            what,
            got,
            limit: MAX_SIGNATURES,
        })
    } else {
        Ok(())
    }
}
