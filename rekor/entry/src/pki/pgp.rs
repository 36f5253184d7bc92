//! OpenPGP (RFC 9580): rings of public keys, detached signatures, and messages signed in clear text.
//!
//! A leaf holds the ring as upstream's library writes it anew after reading it (`ProtonMail/go-crypto openpgp/keys.go`):
//! packets in one form, without what is not bound to the key. So what is kept is part of the contract, and with it the
//! order of every check: this is a port of behaviour, not a general implementation. The back end of everything else verifies.
//!
//! Left out on purpose: secret keys, encryption, and signatures by algorithms the back end does not have (DSA, Ed448,
//! brainpool, secp256k1, SHA-224, SHA-3). Keys of such algorithms are carried along where nothing depends on them.

mod armor;
mod clearsign;
mod error;
mod key;
mod packet;
mod ring;
mod signature;

#[cfg(test)]
mod tests;

pub(crate) use clearsign::Cleartext;
pub use error::PgpError;
pub(crate) use ring::Ring;

use armor::Armored;
use packet::{Packet, Packets};
use signature::Signature;

const SIGNATURE_LABEL: &str = "PGP SIGNATURE";
/// Longest signature, in octets: one packet of some hundred, perhaps several.
const MAX_SIGNATURE: usize = 64 * 1024;

/// A detached signature, armored or binary.
pub(crate) struct Detached {
    packets: Vec<u8>,
    /// What is logged: an armored signature as it came, in whatever encoding its comments are; a binary one armored.
    canonical: Vec<u8>,
}

impl Detached {
    /// `rekor pkg/pki/pgp/pgp.go NewSignature`
    pub(crate) fn parse(given: &[u8]) -> Result<Self, PgpError> {
        if given.len() > MAX_SIGNATURE {
            return Err(PgpError::TooLong {
                what: "signature",
                limit: MAX_SIGNATURE,
                got: given.len(),
            });
        }
        let parsed = match Armored::find(given)? {
            Some(block) if block.label != SIGNATURE_LABEL => return Err(PgpError::NotASignature),
            Some(block) => Self {
                packets: block.contents,
                canonical: given.to_vec(),
            },
            None => Self::binary(given.to_vec()),
        };
        match Packets::new(&parsed.packets).next()? {
            Some(Packet::Signature(_)) => Ok(parsed),
            Some(_) => Err(PgpError::NotASignature),
            None => Err(PgpError::Eof),
        }
    }

    fn binary(packets: Vec<u8>) -> Self {
        Self {
            canonical: armor::encode(SIGNATURE_LABEL, &packets).into_bytes(),
            packets,
        }
    }

    pub(crate) fn canonical(&self) -> &[u8] {
        &self.canonical
    }

    /// Verifies the first signature whose key is in the ring, as of the time the first one was made: keys that have expired
    /// since still verify what they signed.
    pub(crate) fn verify(&self, ring: &Ring, message: &[u8]) -> Result<(), PgpError> {
        let mut packets = Packets::new(&self.packets);
        let mut at = None;
        while let Some(packet) = packets.next()? {
            let Packet::Signature(signature) = packet else {
                return Err(PgpError::structural("non signature packet found"));
            };
            let at = *at.get_or_insert(signature.created);
            let issuer = signature
                .issuer_id
                .ok_or(PgpError::structural("signature doesn't have an issuer"))?;
            if ring.may_sign(issuer) {
                return ring.verify_message(&signature, message, at);
            }
        }
        Err(PgpError::UnknownIssuer)
    }
}

/// The one signature packet that a header of an RPM holds (`go-rpmutils verify_v4.go`).
pub(crate) struct PackageSignature(Box<Signature>);

impl PackageSignature {
    pub(crate) fn parse(octets: &[u8]) -> Result<Self, PgpError> {
        let mut packets = Packets::new(octets);
        match (packets.next()?, packets.is_at_end()) {
            (Some(Packet::Signature(_)), false) => Err(PgpError::structural(
                "trailing garbage after PGP signature packet",
            )),
            (Some(Packet::Signature(signature)), true) if signature.names_issuer() => Ok(Self(signature)),
            _ => Err(PgpError::structural("no supported PGP signature packet found")),
        }
    }

    /// Verifies it over the pieces of a package, one after the other. Neither expiry nor use of the key is asked, as
    /// upstream has it.
    pub(crate) fn verify(&self, ring: &Ring, pieces: &[&[u8]]) -> Result<(), PgpError> {
        let key = ring
            .find(&self.0)
            .ok_or_else(|| PgpError::KeyNotFound(self.0.issuer()))?;
        key.verify(&self.0, pieces)
    }
}
