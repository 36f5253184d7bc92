//! Strict parsing of a SubjectPublicKeyInfo, and the one ECDSA encoding the back end does not read.

use der::asn1::{AnyRef, BitStringRef, ObjectIdentifier, UintRef};
use der::{Decode, Reader, SliceReader, Tag};

use super::{KeyAlgorithm, KeyError, MAX_SPKI_LEN};
use crate::oid;

pub(super) struct Parsed<'a> {
    pub(super) algorithm: KeyAlgorithm,
    pub(super) bits: &'a [u8],
    pub(super) rsa: Option<RsaNumbers>,
}

/// Modulus and public exponent, big endian without leading zeros.
pub(super) struct RsaNumbers {
    pub(super) modulus: Vec<u8>,
    pub(super) exponent: Vec<u8>,
}

pub(super) fn parse(spki: &[u8]) -> Result<Parsed<'_>, KeyError> {
    if spki.len() > MAX_SPKI_LEN {
        return Err(KeyError::TooLong(spki.len()));
    }
    let mut reader = SliceReader::new(spki)?;
    let (algorithm, parameters, bits) = reader.sequence(|r| {
        let (algorithm, parameters) = r.sequence(|r| {
            let algorithm = ObjectIdentifier::decode(r)?;
            let parameters = if r.is_finished() {
                None
            } else {
                Some(AnyRef::decode(r)?)
            };
            Ok::<_, der::Error>((algorithm, parameters))
        })?;
        Ok::<_, der::Error>((algorithm, parameters, BitStringRef::decode(r)?))
    })?;
    reader.finish()?;
    // All three kinds of key are whole octets (RFC 5480 §2.2, RFC 3279 §2.3.1, RFC 8410 §4).
    let bits = bits
        .as_bytes()
        .ok_or(KeyError::Invalid("subjectPublicKey has unused bits"))?;
    match algorithm {
        oid::EC_PUBLIC_KEY => parse_ec(parameters, bits),
        oid::RSA_ENCRYPTION => parse_rsa(parameters, bits),
        // RFC 8410 §3: the parameters MUST be absent.
        oid::ED25519 if parameters.is_some() => Err(KeyError::Invalid("Ed25519 key with parameters")),
        oid::ED25519 if bits.len() != 32 => Err(KeyError::Invalid("Ed25519 key is not 32 octets")),
        oid::ED25519 => Ok(Parsed {
            algorithm: KeyAlgorithm::Ed25519,
            bits,
            rsa: None,
        }),
        other => Err(KeyError::Unsupported(format!("algorithm {other}"))),
    }
}

fn parse_ec<'a>(parameters: Option<AnyRef<'_>>, bits: &'a [u8]) -> Result<Parsed<'a>, KeyError> {
    // RFC 5480 §2.1.1: namedCurve only; explicit parameters are how CVE-2020-0601 was done.
    let curve = match parameters {
        Some(any) if any.header().tag() == Tag::ObjectIdentifier => any.decode_as::<ObjectIdentifier>()?,
        _ => {
            return Err(KeyError::Unsupported(
                "elliptic curve that is not a named curve".to_owned(),
            ));
        }
    };
    let (algorithm, field) = match curve {
        oid::P256 => (KeyAlgorithm::EcdsaP256, 32_usize),
        oid::P384 => (KeyAlgorithm::EcdsaP384, 48),
        oid::P521 => (KeyAlgorithm::EcdsaP521, 66),
        other => return Err(KeyError::Unsupported(format!("elliptic curve {other}"))),
    };
    // Uncompressed only, as Go's crypto/x509 and every sigstore client: 04 ‖ x ‖ y (SEC 1 §2.3.3).
    if bits.first() != Some(&0x04) || bits.len() != field.saturating_mul(2).saturating_add(1) {
        return Err(KeyError::Invalid("not an uncompressed point of the named curve"));
    }
    Ok(Parsed {
        algorithm,
        bits,
        rsa: None,
    })
}

fn parse_rsa<'a>(parameters: Option<AnyRef<'_>>, bits: &'a [u8]) -> Result<Parsed<'a>, KeyError> {
    // RFC 3279 §2.3.1: the parameters MUST be NULL; Go's crypto/x509 insists as well.
    if !parameters.is_some_and(|any| any.is_null()) {
        return Err(KeyError::Invalid("RSA key without NULL parameters"));
    }
    let mut reader = SliceReader::new(bits)?;
    let (modulus, exponent) =
        reader.sequence(|r| Ok::<_, der::Error>((UintRef::decode(r)?, UintRef::decode(r)?)))?;
    reader.finish()?;
    let (modulus, exponent) = (modulus.as_bytes(), exponent.as_bytes());
    if modulus.last().is_none_or(|low| low & 1 == 0) {
        return Err(KeyError::Invalid("RSA modulus is not odd"));
    }
    // Go's crypto/x509 allows exponents below 2^31; even ones and 1 are no exponents at all.
    let small = exponent.len() <= 4
        && exponent
            .first()
            .is_some_and(|top| exponent.len() < 4 || *top < 0x80);
    if !small || exponent == [1] || exponent.last().is_none_or(|low| low & 1 == 0) {
        return Err(KeyError::Invalid(
            "RSA public exponent is not odd, above 1 and below 2^31",
        ));
    }
    Ok(Parsed {
        algorithm: KeyAlgorithm::rsa(bit_len(modulus)),
        bits,
        rsa: Some(RsaNumbers {
            modulus: modulus.to_vec(),
            exponent: exponent.to_vec(),
        }),
    })
}

/// Bits of a big-endian number without leading zero octets, at most [`MAX_SPKI_LEN`] octets long.
fn bit_len(number: &[u8]) -> u32 {
    let whole = u32::try_from(number.len()).unwrap_or(u32::MAX).saturating_mul(8);
    whole.saturating_sub(number.first().map_or(0, |top| top.leading_zeros()))
}

/// `Ecdsa-Sig-Value ::= SEQUENCE { r INTEGER, s INTEGER }` (RFC 3279 §2.2.3) of two big-endian numbers.
pub(super) fn ecdsa_der(r: &[u8], s: &[u8]) -> Vec<u8> {
    crate::asn1::sequence(&[&crate::asn1::unsigned(r), &crate::asn1::unsigned(s)])
}
