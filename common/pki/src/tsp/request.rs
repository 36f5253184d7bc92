//! TimeStampReq (RFC 3161 §2.4.1).

use der::asn1::{AnyRef, ObjectIdentifier};
use der::{Decode, Reader, SliceReader, Tag};

use super::{MAX_LEN, TspError};
use crate::key::HashAlgorithm;
use crate::{asn1, oid};

/// Longest nonce, in octets of the INTEGER; clients send 8 to 20.
const MAX_NONCE: usize = 128;

/// Longest policy identifier, in octets of its encoding: 128 arcs of the longest common size.
const MAX_POLICY: usize = 640;

/// The hash a message imprint names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ImprintAlgorithm {
    /// One a timestamp may be made over.
    Strong(HashAlgorithm),
    /// SHA-1: named so that the answer can say why not.
    Sha1,
    /// Anything else.
    Unknown,
}

/// Digest of the message and the algorithm that made it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MessageImprint {
    /// The algorithm.
    pub algorithm: ImprintAlgorithm,
    /// The digest.
    pub digest: Vec<u8>,
}

impl MessageImprint {
    /// The hash, once it is known to be strong and the digest to have its length.
    pub fn checked(&self) -> Result<HashAlgorithm, TspError> {
        let ImprintAlgorithm::Strong(hash) = self.algorithm else {
            return Err(TspError::UnsupportedHash);
        };
        match self.digest.len() {
            got if got == hash.len() => Ok(hash),
            got => Err(TspError::DigestLength {
                hash,
                expected: hash.len(),
                got,
            }),
        }
    }

    /// True where it is `message` that was digested.
    pub fn is_of(&self, message: &[u8]) -> bool {
        self.checked()
            .is_ok_and(|hash| hash.digest(message) == self.digest)
    }

    /// DER, with the NULL parameters upstream writes; none for an algorithm that is not strong.
    pub(super) fn to_der(&self) -> Result<Vec<u8>, TspError> {
        let kind = hash_oid(self.checked()?);
        Ok(asn1::sequence(&[
            &asn1::sequence(&[&asn1::oid(&kind), asn1::NULL]),
            &asn1::octet_string(&self.digest),
        ]))
    }

    pub(super) fn read(r: &mut SliceReader<'_>) -> Result<MessageImprint, TspError> {
        r.sequence(|r| {
            let algorithm = r.sequence(|r| {
                let kind = ObjectIdentifier::decode(r)?;
                // RFC 5754 §2: parameters absent or NULL.
                let plain = r.is_finished() || AnyRef::decode(r)?.is_null();
                let algorithm = match hash_of_oid(&kind) {
                    Some(hash) => ImprintAlgorithm::Strong(hash),
                    None if kind == oid::SHA1 => ImprintAlgorithm::Sha1,
                    None => ImprintAlgorithm::Unknown,
                };
                Ok::<_, TspError>(if plain {
                    algorithm
                } else {
                    ImprintAlgorithm::Unknown
                })
            })?;
            let digest = asn1::expect(r, Tag::OctetString)?;
            if digest.is_empty() || digest.len() > 128 {
                return Err(TspError::Malformed("digest is empty or longer than 128 octets"));
            }
            Ok(MessageImprint {
                algorithm,
                digest: digest.to_vec(),
            })
        })
    }
}

/// A request, as far as an authority acts upon it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TimeStampRequest {
    /// What is to be timestamped.
    pub imprint: MessageImprint,
    /// Contents octets of the policy's OBJECT IDENTIFIER, where one is asked for.
    pub policy: Option<Vec<u8>>,
    /// Contents octets of the nonce INTEGER, to be returned as they came.
    pub nonce: Option<Vec<u8>>,
    /// Whether the signer's certificate is to be included.
    pub certificates: bool,
    /// Whether the request carries extensions.
    pub extensions: bool,
}

impl TimeStampRequest {
    /// Parses a DER TimeStampReq of version 1 with nothing after it.
    pub fn from_der(der: &[u8]) -> Result<TimeStampRequest, TspError> {
        if der.len() > MAX_LEN {
            return Err(TspError::TooLong(der.len()));
        }
        let mut reader = asn1::reader(der)?;
        let request = reader.sequence(|r| {
            if u8::decode(r)? != 1 {
                return Err(TspError::Malformed("version is not 1"));
            }
            let imprint = MessageImprint::read(r)?;
            let policy = optional(r, Tag::ObjectIdentifier, MAX_POLICY)?;
            if policy.as_deref().is_some_and(|oid| !is_oid(oid)) {
                return Err(TspError::Malformed("policy is not an OBJECT IDENTIFIER"));
            }
            let nonce = optional(r, Tag::Integer, MAX_NONCE)?;
            if nonce.as_deref().is_some_and(|nonce| !is_integer(nonce)) {
                return Err(TspError::Malformed("nonce is not a minimal INTEGER"));
            }
            let certificates = !r.is_finished() && Tag::peek(r)? == Tag::Boolean && bool::decode(r)?;
            let extensions = asn1::next_is_context(r, 0);
            if extensions {
                r.tlv_bytes()?;
            }
            Ok(TimeStampRequest {
                imprint,
                policy,
                nonce,
                certificates,
                extensions,
            })
        })?;
        reader.finish()?;
        Ok(request)
    }

    /// DER of the request; extensions are never written.
    pub fn to_der(&self) -> Result<Vec<u8>, TspError> {
        let policy = self
            .policy
            .as_ref()
            .map(|oid| asn1::element(0x06, &[oid]))
            .unwrap_or_default();
        let nonce = self
            .nonce
            .as_ref()
            .map(|nonce| asn1::element(asn1::INTEGER, &[nonce]))
            .unwrap_or_default();
        let certificates = if self.certificates { asn1::TRUE } else { &[] };
        Ok(asn1::sequence(&[
            &asn1::unsigned(&[1]),
            &self.imprint.to_der()?,
            &policy,
            &nonce,
            certificates,
        ]))
    }
}

/// Contents of the next element where it has that tag.
fn optional(r: &mut SliceReader<'_>, tag: Tag, max: usize) -> Result<Option<Vec<u8>>, TspError> {
    if r.is_finished() || Tag::peek(r)? != tag {
        return Ok(None);
    }
    let contents = asn1::expect(r, tag)?;
    if contents.is_empty() || contents.len() > max {
        return Err(TspError::Malformed("nonce or policy of an impossible length"));
    }
    Ok(Some(contents.to_vec()))
}

/// Two's complement in the fewest octets (X.690 §8.3.2).
pub(super) fn is_integer(contents: &[u8]) -> bool {
    match contents {
        [] => false,
        [0x00, next, ..] => *next >= 0x80,
        [0xFF, next, ..] => *next < 0x80,
        _ => true,
    }
}

/// Every arc ends and none begins with a padding octet (X.690 §8.19.2).
fn is_oid(contents: &[u8]) -> bool {
    let starts = std::iter::once(true).chain(contents.iter().map(|octet| octet & 0x80 == 0));
    contents.last().is_some_and(|last| last & 0x80 == 0)
        && starts
            .zip(contents)
            .all(|(starts_arc, octet)| !(starts_arc && *octet == 0x80))
}

pub(super) fn hash_oid(hash: HashAlgorithm) -> ObjectIdentifier {
    match hash {
        HashAlgorithm::Sha256 => oid::SHA256,
        HashAlgorithm::Sha384 => oid::SHA384,
        HashAlgorithm::Sha512 => oid::SHA512,
    }
}

pub(crate) fn hash_of_oid(kind: &ObjectIdentifier) -> Option<HashAlgorithm> {
    HashAlgorithm::ALL
        .into_iter()
        .find(|hash| hash_oid(*hash) == *kind)
}
