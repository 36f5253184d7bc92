//! Which verifier matches which signature of a DSSE envelope (`secure-systems-lab/dsse protocol.md`).

use common_bundle::format::pae_header;
use common_pki::key::{HashAlgorithm, PublicKey};

use serde::Deserialize;

use crate::encoding::decode_any;
use crate::error::Invalid;
use crate::json::{Object, Text};
use crate::list::List;
use crate::signature::{Scheme, has_length_of, verify_digest};
use crate::verifier::Verifier;

#[cfg(test)]
mod tests;

/// Most signatures and most verifiers of one envelope. The matching below costs their product in verifications, so a list
/// without end would be a cheap way to keep a server busy (`rekor-tiles e028746` set the same caps).
pub(crate) const MAX_SIGNATURES: usize = 10;

/// Largest RSA modulus of an envelope's verifier, in bits: the largest size with a registered algorithm (protobuf-specs
/// `sigstore_common.proto PublicKeyDetails`). Verification grows with the square of the size, for each pair.
const MAX_RSA_BITS: u32 = 4096;

/// Most octets that pure Ed25519 reads for one envelope. It hashes the whole message again for each signature and key
/// (RFC 8032 §5.1.7), where everything else is verified over a digest made once.
const MAX_ED25519_OCTETS: usize = 64 * 1024 * 1024;

/// An envelope as the text of its JSON, which is what Rekor v1 hashes.
pub(crate) struct EnvelopeText<'a> {
    /// Base64.
    pub(crate) payload: Text<'a>,
    pub(crate) payload_type: Text<'a>,
    items: Vec<Object<Item<'a>>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Wire<'a> {
    #[serde(borrow, default)]
    payload: Option<Text<'a>>,
    #[serde(borrow, default)]
    payload_type: Option<Text<'a>>,
    #[serde(borrow, default)]
    signatures: Option<List<Object<Item<'a>>>>,
}

#[derive(Deserialize)]
struct Item<'a> {
    #[serde(borrow, default)]
    sig: Option<Text<'a>>,
}

impl<'a> EnvelopeText<'a> {
    pub(crate) fn parse(json: &'a str) -> Result<Self, Invalid> {
        let Object(wire) = serde_json::from_str::<Object<Wire<'a>>>(json).map_err(Invalid::EnvelopeJson)?;
        let items = wire
            .signatures
            .unwrap_or_default()
            .bounded("envelope signatures")?;
        Ok(Self {
            payload: wire.payload.unwrap_or_default(),
            payload_type: wire.payload_type.unwrap_or_default(),
            items,
        })
    }

    pub(crate) fn signatures(&self) -> Result<Vec<EnvelopeSignature<'_>>, Invalid> {
        let decoded = self.items.iter().map(|item| {
            let text: &str = item.sig.as_deref().unwrap_or_default();
            let octets = decode_any(text).ok_or(Invalid::EnvelopeBase64("signature"))?;
            Ok(EnvelopeSignature { text, octets })
        });
        decoded.collect()
    }
}

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

/// The message every signature of an envelope is over, hashed once for each algorithm that is asked for.
struct Message<'a> {
    header: String,
    payload: &'a [u8],
    /// Both as one, for Ed25519 alone: a statement can be long.
    whole: Option<Vec<u8>>,
    digests: Vec<(HashAlgorithm, Vec<u8>)>,
    ed25519_octets: usize,
}

impl<'a> Message<'a> {
    fn new(payload_type: &str, payload: &'a [u8]) -> Self {
        Self {
            header: pae_header(payload_type, payload.len()),
            payload,
            whole: None,
            digests: Vec::new(),
            ed25519_octets: 0,
        }
    }

    /// The first of these signatures that `key` verifies.
    fn first_verified(
        &mut self,
        key: &PublicKey,
        scheme: Scheme,
        signatures: &[EnvelopeSignature<'_>],
    ) -> Result<Option<usize>, Invalid> {
        for (index, signature) in signatures.iter().enumerate() {
            if has_length_of(key.algorithm(), &signature.octets)
                && self.verifies(key, scheme, &signature.octets)?
            {
                return Ok(Some(index));
            }
        }
        Ok(None)
    }

    fn verifies(&mut self, key: &PublicKey, scheme: Scheme, signature: &[u8]) -> Result<bool, Invalid> {
        if let Some(hash) = scheme.hash(key.algorithm()) {
            return Ok(verify_digest(key, hash, self.digest(hash), signature).is_ok());
        }
        let length = self.header.len().saturating_add(self.payload.len());
        self.ed25519_octets = self.ed25519_octets.saturating_add(length);
        if self.ed25519_octets > MAX_ED25519_OCTETS {
            return Err(Invalid::Ed25519Work {
                got: self.ed25519_octets,
                limit: MAX_ED25519_OCTETS,
            });
        }
        let whole = self
            .whole
            .get_or_insert_with(|| [self.header.as_bytes(), self.payload].concat());
        Ok(key.verify(key.default_hash(), whole, signature).is_ok())
    }

    fn digest(&mut self, hash: HashAlgorithm) -> &[u8] {
        let at = match self.digests.iter().position(|(known, _)| *known == hash) {
            Some(at) => at,
            None => {
                let mut hasher = hash.hasher();
                hasher.update(self.header.as_bytes());
                hasher.update(self.payload);
                self.digests.push((hash, hasher.finish()));
                self.digests.len().saturating_sub(1)
            }
        };
        self.digests.get(at).map_or(&[], |(_, digest)| digest)
    }
}

/// Whether one of the signatures is the key's (`rekor pkg/types/intoto/v0.0.1/entry.go`).
pub(crate) fn first_verified(
    payload_type: &str,
    payload: &[u8],
    signatures: &[EnvelopeSignature<'_>],
    verifier: &Verifier,
    scheme: Scheme,
) -> Result<(), Invalid> {
    if signatures.is_empty() {
        return Err(Invalid::NoSignatures);
    }
    check_rsa_size(verifier)?;
    Message::new(payload_type, payload)
        .first_verified(verifier.key(), scheme, signatures)?
        .map(drop)
        .ok_or(Invalid::NotVerified)
}

fn check_rsa_size(verifier: &Verifier) -> Result<(), Invalid> {
    match verifier.key().algorithm().rsa_bits() {
        Some(got) if got > MAX_RSA_BITS => Err(Invalid::RsaBits {
            got,
            limit: MAX_RSA_BITS,
        }),
        _ => Ok(()),
    }
}

/// Finds a verifier for every signature. Each verifier takes the first signature it verifies, at most one, and must take
/// one; key identifiers are hints of the signer and are not looked at. Signatures that are the same text share a verifier.
///
/// The same key again takes the signature it took before, as upstream has it, but is not asked again.
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
    let mut message = Message::new(payload_type, payload);
    let mut matched: Vec<Option<usize>> = vec![None; signatures.len()];
    let mut looked_at = Vec::new();
    let mut asked: Vec<(PublicKey, Scheme, usize)> = Vec::new();
    for verifier in verifiers {
        if stop == Stop::WhenMatched && matched.iter().all(Option::is_some) {
            break;
        }
        let (verifier, scheme) = verifier?;
        let key = verifier.key();
        check_rsa_size(&verifier)?;
        let before = asked
            .iter()
            .find(|(known, by, _)| known == key && *by == scheme)
            .map(|(_, _, taken)| *taken);
        let taken = match before {
            Some(taken) => taken,
            None => {
                let taken = message
                    .first_verified(key, scheme, signatures)?
                    .ok_or(Invalid::NotVerified)?;
                asked.push((key.clone(), scheme, taken));
                taken
            }
        };
        let text = signatures.get(taken).map(|signature| signature.text);
        for (slot, signature) in matched.iter_mut().zip(signatures) {
            if Some(signature.text) == text {
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
