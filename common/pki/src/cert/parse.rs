//! Reading a certificate: where each part lies, and the rules a hostile one may break.

use std::ops::Range;
use std::sync::OnceLock;

use der::asn1::ObjectIdentifier;
use der::{Decode, Reader, SliceReader, Tag};
use x509_cert::time::Time;

use super::{CertError, Extension, Inner};
use crate::asn1;

/// Most extensions accepted; Fulcio's certificates have fewer than thirty.
const MAX_EXTENSIONS: usize = 64;

/// Longest serial number accepted. RFC 5280 §4.1.2.2 says 20 octets; some issuers never counted.
const MAX_SERIAL_LEN: usize = 64;

pub(super) fn parse(der: &[u8]) -> Result<Inner, CertError> {
    let mut reader = asn1::reader(der)?;
    let (tbs, signature_algorithm, signature) = reader.sequence(|r| {
        let tbs = tlv(r)?;
        let algorithm = tlv(r)?;
        Ok::<_, CertError>((tbs, algorithm, bit_string(r)?))
    })?;
    reader.finish()?;
    let mut inner = Inner {
        der: der.to_vec(),
        tbs,
        tbs_head: 0..0,
        serial: 0..0,
        signature_algorithm,
        issuer: 0..0,
        not_before: 0,
        not_after: 0,
        subject: 0..0,
        spki: 0..0,
        extensions: Vec::new(),
        signature,
        key: OnceLock::new(),
        fingerprint: OnceLock::new(),
    };
    // A second pass over the TBSCertificate with positions in the whole document.
    let mut reader = asn1::reader(der)?;
    reader.sequence(|r| {
        r.sequence(|r| parse_tbs(der, r, &mut inner))?;
        r.tlv_bytes()?;
        r.tlv_bytes()?;
        Ok::<_, CertError>(())
    })?;
    Ok(inner)
}

/// The AlgorithmIdentifier inside a TBSCertificate, header included.
pub(super) fn tbs_algorithm(tbs: &[u8]) -> Result<&[u8], CertError> {
    let mut reader = asn1::reader(tbs)?;
    let algorithm = reader.sequence(|r| {
        if asn1::next_is_context(r, 0) {
            r.tlv_bytes()?;
        }
        r.tlv_bytes()?;
        let algorithm = tlv(r)?;
        while !r.is_finished() {
            r.tlv_bytes()?;
        }
        Ok::<_, CertError>(algorithm)
    })?;
    reader.finish()?;
    tbs.get(algorithm).ok_or(CertError::Malformed(
        "TBSCertificate without a signature algorithm",
    ))
}

fn parse_tbs(der: &[u8], r: &mut SliceReader<'_>, inner: &mut Inner) -> Result<(), CertError> {
    let start = position(r)?;
    let version = if asn1::next_is_context(r, 0) {
        version(r)?
    } else {
        0
    };
    // X.690 §11.5: a DEFAULT value is not encoded; version 2 has been used by nobody since 1993.
    let version_ok = version == 2 || (version == 0 && der.get(start) != Some(&0xA0));
    if !version_ok {
        return Err(CertError::Malformed("version is neither 1 nor 3"));
    }
    inner.serial = serial(der, r)?;
    let signature = tlv(r)?;
    // RFC 5280 §4.1.1.2: the signed and the unsigned algorithm MUST be the same.
    if der.get(signature) != der.get(inner.signature_algorithm.clone()) {
        return Err(CertError::Malformed(
            "signature algorithms inside and outside differ",
        ));
    }
    inner.issuer = sequence_tlv(r, "issuer is not a Name")?;
    (inner.not_before, inner.not_after) =
        r.sequence(|r| Ok::<_, CertError>((unix_time(r)?, unix_time(r)?)))?;
    inner.subject = sequence_tlv(r, "subject is not a Name")?;
    inner.spki = sequence_tlv(r, "subjectPublicKeyInfo is not a SEQUENCE")?;
    // issuerUniqueID [1] and subjectUniqueID [2], which nobody uses, stay part of the head.
    for number in [1, 2] {
        if asn1::next_is_context(r, number) {
            r.tlv_bytes()?;
        }
    }
    inner.tbs_head = start..position(r)?;
    if asn1::next_is_context(r, 3) {
        if version != 2 {
            return Err(CertError::Malformed(
                "extensions in a certificate that is not version 3",
            ));
        }
        inner.extensions = extensions(r)?;
    }
    Ok(())
}

fn version(r: &mut SliceReader<'_>) -> Result<u8, CertError> {
    let bytes = r.tlv_bytes()?;
    match bytes {
        [0xA0, 0x03, 0x02, 0x01, version] => Ok(*version),
        _ => Err(CertError::Malformed("version is not a small INTEGER")),
    }
}

fn serial(der: &[u8], r: &mut SliceReader<'_>) -> Result<Range<usize>, CertError> {
    let before = position(r)?;
    let contents = asn1::expect(r, Tag::Integer)?;
    let end = position(r)?;
    let minimal = match contents {
        [] => false,
        [0x00, next, ..] => *next >= 0x80,
        [0xFF, next, ..] => *next < 0x80,
        _ => true,
    };
    if !minimal || contents.len() > MAX_SERIAL_LEN {
        return Err(CertError::Malformed(
            "serial number is not a minimal INTEGER of at most 64 octets",
        ));
    }
    if contents.first().is_some_and(|top| *top >= 0x80) {
        return Err(CertError::Malformed("serial number is negative"));
    }
    debug_assert!(before < end && end <= der.len());
    Ok(end.saturating_sub(contents.len())..end)
}

pub(super) fn extensions(r: &mut SliceReader<'_>) -> Result<Vec<Extension>, CertError> {
    let header = der::Header::decode(r)?;
    r.read_nested(header.length(), |r| {
        r.sequence(|r| {
            let mut found: Vec<Extension> = Vec::new();
            while !r.is_finished() {
                if found.len() >= MAX_EXTENSIONS {
                    return Err(CertError::Malformed("more than 64 extensions"));
                }
                let extension = extension(r)?;
                // RFC 5280 §4.2: not more than one instance of an extension.
                if found.iter().any(|other| other.oid == extension.oid) {
                    return Err(CertError::Malformed("duplicate extension"));
                }
                found.push(extension);
            }
            if found.is_empty() {
                return Err(CertError::Malformed("empty list of extensions"));
            }
            Ok(found)
        })
    })
}

fn extension(r: &mut SliceReader<'_>) -> Result<Extension, CertError> {
    r.sequence(|r| {
        let oid = ObjectIdentifier::decode(r)?;
        let critical = if Tag::peek(r)? == Tag::Boolean {
            bool::decode(r)?
        } else {
            false
        };
        let value = asn1::expect(r, Tag::OctetString)?;
        Ok(Extension {
            oid,
            critical,
            value: value.to_vec(),
        })
    })
}

fn unix_time(r: &mut SliceReader<'_>) -> Result<u64, CertError> {
    Ok(Time::decode(r)?.to_unix_duration().as_secs())
}

/// Contents of a BIT STRING of whole octets.
fn bit_string(r: &mut SliceReader<'_>) -> Result<Range<usize>, CertError> {
    let contents = asn1::expect(r, Tag::BitString)?;
    match contents.split_first() {
        Some((0, bits)) => {
            let end = position(r)?;
            Ok(end.saturating_sub(bits.len())..end)
        }
        _ => Err(CertError::Malformed("signature is not a whole number of octets")),
    }
}

fn sequence_tlv(r: &mut SliceReader<'_>, otherwise: &'static str) -> Result<Range<usize>, CertError> {
    if Tag::peek(r)? == Tag::Sequence {
        tlv(r)
    } else {
        Err(CertError::Malformed(otherwise))
    }
}

/// The next element, header included.
fn tlv(r: &mut SliceReader<'_>) -> Result<Range<usize>, CertError> {
    let start = position(r)?;
    r.tlv_bytes()?;
    Ok(start..position(r)?)
}

fn position(r: &SliceReader<'_>) -> Result<usize, CertError> {
    Ok(usize::try_from(r.position())?)
}
