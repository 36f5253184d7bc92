//! Public keys (RFC 9580 §5.5) and what they verify (`go-crypto openpgp/packet/public_key.go`).

use common_pki::key::{self, HashAlgorithm, KeyAlgorithm, SignatureError, sha1};

use super::PgpError;
use super::packet::{self, Fields};
use super::signature::{Hash, Signature};

/// Curves by their object identifiers (RFC 9580 §9.2).
pub(super) const P256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
pub(super) const P384: &[u8] = &[0x2b, 0x81, 0x04, 0x00, 0x22];
const P521: &[u8] = &[0x2b, 0x81, 0x04, 0x00, 0x23];
const ED25519: &[u8] = &[0x2b, 0x06, 0x01, 0x04, 0x01, 0xda, 0x47, 0x0f, 0x01];
/// Known, and carried along: secp256k1, Curve25519, X448, Ed448, and three of brainpool.
const OTHER_CURVES: [&[u8]; 7] = [
    &[0x2b, 0x81, 0x04, 0x00, 0x0a],
    &[0x2b, 0x06, 0x01, 0x04, 0x01, 0x97, 0x55, 0x01, 0x05, 0x01],
    &[0x2b, 0x65, 0x6f],
    &[0x2b, 0x65, 0x71],
    &[0x2b, 0x24, 0x03, 0x03, 0x02, 0x08, 0x01, 0x01, 0x07],
    &[0x2b, 0x24, 0x03, 0x03, 0x02, 0x08, 0x01, 0x01, 0x0b],
    &[0x2b, 0x24, 0x03, 0x03, 0x02, 0x08, 0x01, 0x01, 0x0d],
];

pub(super) struct PublicKey {
    pub(super) is_subkey: bool,
    pub(super) version: u8,
    created: u32,
    algorithm: u8,
    /// The packet's body, which is written as it came.
    body: Vec<u8>,
    pub(super) fingerprint: Vec<u8>,
    pub(super) id: [u8; 8],
    /// What verifies, or why nothing does.
    verifier: Result<key::PublicKey, String>,
}

impl PublicKey {
    pub(super) fn parse(body: &[u8], is_subkey: bool) -> Result<Self, PgpError> {
        let mut fields = Fields(body);
        let version = fields.octet()?;
        if !matches!(version, 4 | 6) {
            return Err(PgpError::Unsupported(format!("public key version {version}")));
        }
        let created = fields.u32()?;
        let algorithm = fields.octet()?;
        if version == 6 {
            let length = packet::size(fields.u32()?);
            if length != fields.0.len() {
                return Err(PgpError::structural("length of the key's own part is wrong"));
            }
        }
        let verifier = match material(algorithm, version, &mut fields)? {
            Material::Key(key) => key.map_err(|error| error.to_string()),
            Material::Carried(name) => Err(name.to_owned()),
        };
        fields.finish()?;
        let (fingerprint, id) = identifiers(version, body);
        Ok(Self {
            is_subkey,
            version,
            created,
            algorithm,
            body: body.to_vec(),
            fingerprint,
            id,
            verifier,
        })
    }

    /// Whether the algorithm signs at all.
    pub(super) fn can_sign(&self) -> bool {
        !matches!(self.algorithm, 2 | 16 | 18)
    }

    /// Appends the packet.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        packet::push(out, if self.is_subkey { 14 } else { 6 }, &self.body);
    }

    /// The key as signatures over keys hash it (RFC 9580 §5.2.4).
    pub(super) fn hashed(&self) -> Vec<u8> {
        let mut hashed = prefix(self.version, self.body.len());
        hashed.extend_from_slice(&self.body);
        hashed
    }

    pub(super) fn is_expired(&self, self_signature: &Signature, at: u32) -> bool {
        self.created > at || super::signature::has_passed(self.created, self_signature.key_lifetime, at)
    }

    /// Verifies a signature over these pieces, one after the other.
    pub(super) fn verify(&self, signature: &Signature, pieces: &[&[u8]]) -> Result<(), PgpError> {
        self.verify_digest(signature, &signature.digest(pieces)?)
    }

    /// Verifies a signature by the digest that it is over, [`Signature::digest`].
    pub(super) fn verify_digest(&self, signature: &Signature, digest: &[u8]) -> Result<(), PgpError> {
        if !self.can_sign() {
            return Err(PgpError::signature("public key cannot generate signatures"));
        }
        if self.algorithm != signature.algorithm {
            return Err(PgpError::Algorithm);
        }
        let key = self
            .verifier
            .as_ref()
            .map_err(|cause| PgpError::Unsupported(format!("verifying with {cause}")))?;
        if signature.tag_contradicts(digest) {
            return Err(PgpError::signature("hash tag doesn't match"));
        }
        verify_value(key, signature, digest)
    }
}

fn verify_value(key: &key::PublicKey, signature: &Signature, digest: &[u8]) -> Result<(), PgpError> {
    let mut value = Fields(&signature.value);
    match key.algorithm() {
        KeyAlgorithm::Ed25519 => {
            // The digest is the message (RFC 9580 §5.2.3.3, §5.2.3.4).
            let octets = if signature.algorithm == 27 {
                value.take(64)?.to_vec()
            } else {
                [padded(value.mpi()?, 32), padded(value.mpi()?, 32)].concat()
            };
            key.verify(HashAlgorithm::Sha512, digest, &octets)
                .map_err(|error| failed(error, "EdDSA verification failure"))
        }
        algorithm if algorithm.is_ecdsa() => {
            let Hash::Sha2(hash) = signature.hash else {
                return Err(PgpError::Unsupported("ECDSA over SHA-1".to_owned()));
            };
            key.verify_digest_integers(hash, digest, value.mpi()?, value.mpi()?)
                .map_err(|error| failed(error, "ECDSA verification failure"))
        }
        algorithm => {
            let length = algorithm.rsa_bits().unwrap_or_default().div_ceil(8);
            let octets = padded(value.mpi()?, packet::size(length));
            let verified = match signature.hash {
                Hash::Sha2(hash) => key.verify_digest(hash, digest, &octets),
                _ => key.verify_legacy_sha1(digest, &octets),
            };
            verified.map_err(|error| failed(error, "RSA verification failure"))
        }
    }
}

fn failed(error: SignatureError, otherwise: &'static str) -> PgpError {
    match error {
        SignatureError::Invalid => PgpError::signature(otherwise),
        other => PgpError::Unsupported(other.to_string()),
    }
}

/// A number in the length it should have: leading zeros are not written.
fn padded(number: &[u8], length: usize) -> Vec<u8> {
    let mut octets = vec![0; length.saturating_sub(number.len())];
    octets.extend_from_slice(number);
    octets
}

/// What precedes a key where it is hashed.
fn prefix(version: u8, length: usize) -> Vec<u8> {
    let length = u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes();
    let [_, _, short @ ..] = length;
    match version {
        6 => [&[0x9b], length.as_slice()].concat(),
        _ => [&[0x99], short.as_slice()].concat(),
    }
}

/// Fingerprint and key ID (RFC 9580 §5.5.4).
fn identifiers(version: u8, body: &[u8]) -> (Vec<u8>, [u8; 8]) {
    let prefix = prefix(version, body.len());
    if version == 6 {
        let fingerprint = key::sha256(&[prefix.as_slice(), body].concat());
        let id = fingerprint.first_chunk().copied().unwrap_or_default();
        return (fingerprint.to_vec(), id);
    }
    let fingerprint = sha1(&[&prefix, body]);
    let id = fingerprint.last_chunk().copied().unwrap_or_default();
    (fingerprint.to_vec(), id)
}

enum Material {
    Key(Result<key::PublicKey, key::KeyError>),
    /// Of an algorithm that this server does not verify with.
    Carried(&'static str),
}

/// Reads the numbers of a key (RFC 9580 §5.5.5).
fn material(algorithm: u8, version: u8, fields: &mut Fields<'_>) -> Result<Material, PgpError> {
    Ok(match algorithm {
        1..=3 => {
            let (modulus, exponent) = (fields.mpi()?, fields.mpi()?);
            if exponent.len() > 3 {
                return Err(PgpError::Unsupported("large public exponent".to_owned()));
            }
            Material::Key(key::PublicKey::from_rsa_numbers(modulus, exponent))
        }
        17 => {
            for _ in 0..4 {
                fields.mpi()?;
            }
            Material::Carried("DSA")
        }
        16 => {
            for _ in 0..3 {
                fields.mpi()?;
            }
            Material::Carried("ElGamal")
        }
        18 => {
            curve(fields)?;
            fields.mpi()?;
            fields.short()?;
            Material::Carried("ECDH")
        }
        19 => {
            let curve = curve(fields)?;
            let point = fields.mpi()?;
            match curve {
                P256 | P384 | P521 => {
                    let key = key::PublicKey::from_ec_point(point).ok();
                    let on_curve = key.filter(|key| Some(key.algorithm()) == of_curve(curve));
                    // A malformed key is no unknown one: what precedes it in a ring is dropped with it.
                    Material::Key(Ok(
                        on_curve.ok_or(PgpError::structural("failed to parse EC point"))?
                    ))
                }
                _ => Material::Carried("ECDSA on a curve other than P-256, P-384 and P-521"),
            }
        }
        22 if version == 6 => {
            return Err(PgpError::structural(
                "cannot generate v6 key with deprecated algorithm: EdDSALegacy",
            ));
        }
        22 => {
            let curve = curve(fields)?;
            match (curve, fields.mpi()?) {
                // Marked as what it is by its first octet (RFC 9580 §11.2.1).
                (ED25519, [0x40, point @ ..]) => {
                    let point = point
                        .try_into()
                        .map_err(|_| PgpError::structural("Ed25519 key of a wrong length"))?;
                    Material::Key(key::PublicKey::from_ed25519(point))
                }
                (_, [0x40, ..]) => Material::Carried("EdDSA on a curve other than Ed25519"),
                _ => return Err(PgpError::Unsupported("unsupported EdDSA compression".to_owned())),
            }
        }
        25 => {
            fields.take(32)?;
            Material::Carried("X25519")
        }
        26 => {
            fields.take(56)?;
            Material::Carried("X448")
        }
        27 => Material::Key(key::PublicKey::from_ed25519(&fields.array()?)),
        28 => {
            fields.take(57)?;
            Material::Carried("Ed448")
        }
        other => return Err(PgpError::Unsupported(format!("public key type: {other}"))),
    })
}

fn of_curve(oid: &[u8]) -> Option<KeyAlgorithm> {
    match oid {
        P256 => Some(KeyAlgorithm::EcdsaP256),
        P384 => Some(KeyAlgorithm::EcdsaP384),
        P521 => Some(KeyAlgorithm::EcdsaP521),
        _ => None,
    }
}

fn curve<'a>(fields: &mut Fields<'a>) -> Result<&'a [u8], PgpError> {
    let oid = fields.short()?;
    let known = [P256, P384, P521, ED25519].contains(&oid) || OTHER_CURVES.contains(&oid);
    known
        .then_some(oid)
        .ok_or_else(|| PgpError::Unsupported(format!("unknown oid: {}", hex::encode(oid))))
}
