//! CMS SignedData (RFC 5652 §5, PKCS #7 before it) as others sign with it, verified with the certificates inside.
//!
//! What a log records of an archive or a timestamp of any origin. Whom a certificate belongs to is not asked, and how a
//! signer names its algorithm does not matter: the key says what it signs with, `digestAlgorithm` over what. The
//! timestamps that are trusted are verified by [`crate::tsp`], which allows one shape only.

use der::asn1::{AnyRef, ObjectIdentifier};
use der::{Decode, Reader, SliceReader, Tag};

use crate::cert::{CertError, Certificate, algorithm_identifier};
use crate::key::{HashAlgorithm, KeyAlgorithm, SignatureError};
use crate::tsp::hash_of_oid;
use crate::{asn1, oid};

#[cfg(test)]
mod tests;

/// Longest SignedData read, in octets.
pub const MAX_LEN: usize = 1024 * 1024;
/// Most certificates, and most signers.
const MAX_ITEMS: usize = 16;
/// Most signed attributes of a signer.
const MAX_ATTRIBUTES: usize = 32;

/// Why SignedData is not accepted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CmsError {
    /// More octets than are read.
    #[error("signed data of {0} octets exceeds the limit of {MAX_LEN}")]
    TooLong(usize),
    /// Not DER. BER with indefinite lengths is not read.
    #[error("not valid DER: {0}")]
    Der(#[from] der::Error),
    /// DER, but against a rule of RFC 5652.
    #[error("malformed signed data: {0}")]
    Malformed(&'static str),
    /// A hash other than SHA-256, SHA-384 and SHA-512.
    #[error("unsupported digest algorithm {0}")]
    UnsupportedHash(ObjectIdentifier),
    /// A certificate that does not parse.
    #[error("certificate in signed data: {0}")]
    Certificate(#[from] CertError),
    /// The digest attribute is not the digest of the content.
    #[error("the message digest is not that of the content")]
    Digest,
    /// A signature that does not verify.
    #[error("signature in signed data: {0}")]
    Signature(#[from] SignatureError),
}

/// Parsed, not verified.
#[derive(Debug)]
pub struct SignedData<'a> {
    /// Type of the content.
    pub content_type: ObjectIdentifier,
    /// The content, unless it is elsewhere.
    pub content: Option<&'a [u8]>,
    /// Certificates in the order they came, which says nothing about who signed.
    pub certificates: Vec<Certificate>,
    signers: Vec<SignerInfo<'a>>,
    parts: Parts<'a>,
}

/// A timestamp that is kept beside the signature it is about.
#[derive(Clone, Copy, Debug)]
pub struct SignatureTimestamp<'a> {
    /// DER of the token.
    pub token: &'a [u8],
    /// What it is about.
    pub signature: &'a [u8],
}

/// The elements around the content as they came.
#[derive(Debug)]
struct Parts<'a> {
    version: &'a [u8],
    digests: &'a [u8],
    /// Certificates, revocation lists and signers.
    rest: Vec<&'a [u8]>,
}

#[derive(Debug)]
struct SignerInfo<'a> {
    issuer: &'a [u8],
    serial: &'a [u8],
    hash: HashAlgorithm,
    /// Contents of the signed attributes, where there are any.
    attributes: Option<&'a [u8]>,
    signature: &'a [u8],
    unsigned: Option<&'a [u8]>,
}

impl<'a> SignedData<'a> {
    /// Parses a DER ContentInfo of SignedData with nothing after it.
    ///
    /// # Errors
    /// See [`CmsError`].
    pub fn from_der(der: &'a [u8]) -> Result<Self, CmsError> {
        if der.len() > MAX_LEN {
            return Err(CmsError::TooLong(der.len()));
        }
        let mut reader = asn1::reader(der)?;
        let parsed = reader.sequence(|r| {
            if ObjectIdentifier::decode(r)? != oid::SIGNED_DATA {
                return Err(CmsError::Malformed("content is not SignedData"));
            }
            let mut inner = asn1::reader(context(r, 0)?.ok_or(CmsError::Malformed("no content"))?)?;
            let parsed = signed_data(&mut inner)?;
            inner.finish()?;
            Ok(parsed)
        })?;
        reader.finish()?;
        Ok(parsed)
    }

    /// Verifies every signer over `content` with its certificate from inside, and gives these certificates.
    ///
    /// # Errors
    /// There is no signer, or one does not verify.
    pub fn verify(&self, content: &[u8]) -> Result<Vec<&Certificate>, CmsError> {
        if self.signers.is_empty() {
            return Err(CmsError::Malformed("no signer"));
        }
        self.signers
            .iter()
            .map(|signer| {
                let certificate = self
                    .certificates
                    .iter()
                    .find(|cert| cert.issuer_der() == signer.issuer && cert.serial() == signer.serial)
                    .ok_or(CmsError::Malformed("the signer's certificate is not inside"))?;
                signer.verify(self.content_type, content, certificate)?;
                Ok(certificate)
            })
            .collect()
    }

    /// Timestamps over the signers' signatures (RFC 3161 appendix A).
    ///
    /// # Errors
    /// Unsigned attributes that do not parse.
    pub fn timestamps(&self) -> Result<Vec<SignatureTimestamp<'a>>, CmsError> {
        let mut found = Vec::new();
        for signer in &self.signers {
            for (kind, values) in attributes(signer.unsigned.unwrap_or_default())? {
                if kind == oid::SIGNATURE_TIME_STAMP {
                    found.push(SignatureTimestamp {
                        token: values,
                        signature: signer.signature,
                    });
                }
            }
        }
        Ok(found)
    }

    /// DER of the same without its content: a detached signature.
    #[must_use]
    pub fn detached(&self) -> Vec<u8> {
        let content = asn1::sequence(&[&asn1::oid(&self.content_type)]);
        let mut parts = vec![self.parts.version, self.parts.digests, &content];
        parts.extend(&self.parts.rest);
        let signed = asn1::context(0, &[&asn1::sequence(&parts)]);
        asn1::sequence(&[&asn1::oid(&oid::SIGNED_DATA), &signed])
    }
}

fn signed_data<'a>(r: &mut SliceReader<'a>) -> Result<SignedData<'a>, CmsError> {
    r.sequence(|r| {
        let version = r.tlv_bytes()?;
        let digests = r.tlv_bytes()?;
        let (content_type, content) = r.sequence(|r| {
            let kind = ObjectIdentifier::decode(r)?;
            let content = context(r, 0)?
                .map(|explicit| {
                    let mut inner = asn1::reader(explicit)?;
                    let octets = asn1::expect(&mut inner, Tag::OctetString)?;
                    inner.finish()?;
                    Ok::<_, CmsError>(octets)
                })
                .transpose()?;
            Ok::<_, CmsError>((kind, content))
        })?;
        let mut rest = Vec::new();
        let mut certificates = Vec::new();
        let mut signers = Vec::new();
        while !r.is_finished() {
            let at = rest.len();
            let whole = r.tlv_bytes()?;
            rest.push(whole);
            let any = asn1::decode::<AnyRef<'_>>(whole)?;
            match any.header().tag() {
                tag if tag.is_context_specific() && tag.number().value() == 0 && at == 0 => {
                    certificates = items(any.value(), |der| Ok(Certificate::from_der(der)?))?;
                }
                tag if tag.is_context_specific() && tag.number().value() == 1 => {}
                Tag::Set if r.is_finished() => signers = items(any.value(), signer_info)?,
                _ => return Err(CmsError::Malformed("unexpected element")),
            }
        }
        Ok(SignedData {
            content_type,
            content,
            certificates,
            signers,
            parts: Parts {
                version,
                digests,
                rest,
            },
        })
    })
}

/// The elements of a SET OF, each read by `read`.
fn items<'a, T>(
    contents: &'a [u8],
    read: impl Fn(&'a [u8]) -> Result<T, CmsError>,
) -> Result<Vec<T>, CmsError> {
    let mut r = asn1::reader(contents)?;
    let mut found = Vec::new();
    while !r.is_finished() {
        if found.len() >= MAX_ITEMS {
            return Err(CmsError::Malformed("more than 16 certificates or signers"));
        }
        found.push(read(r.tlv_bytes()?)?);
    }
    Ok(found)
}

fn signer_info(der: &[u8]) -> Result<SignerInfo<'_>, CmsError> {
    let mut reader = asn1::reader(der)?;
    let signer = reader.sequence(|r| {
        r.tlv_bytes()?;
        let (issuer, serial) =
            r.sequence(|r| Ok::<_, CmsError>((r.tlv_bytes()?, asn1::expect(r, Tag::Integer)?)))?;
        let (kind, _) = algorithm_identifier(r.tlv_bytes()?)?;
        let hash = hash_of_oid(&kind).ok_or(CmsError::UnsupportedHash(kind))?;
        let attributes = context(r, 0)?;
        r.tlv_bytes()?;
        let signature = asn1::expect(r, Tag::OctetString)?;
        let unsigned = context(r, 1)?;
        Ok::<_, CmsError>(SignerInfo {
            issuer,
            serial,
            hash,
            attributes,
            signature,
            unsigned,
        })
    })?;
    reader.finish()?;
    Ok(signer)
}

impl SignerInfo<'_> {
    fn verify(
        &self,
        content_type: ObjectIdentifier,
        content: &[u8],
        signer: &Certificate,
    ) -> Result<(), CmsError> {
        let digest = self.hash.digest(content);
        let key = signer.public_key().map_err(CertError::from)?;
        let Some(contents) = self.attributes else {
            // RFC 5652 §5.3: without attributes only where the content is plain data.
            if content_type != oid::DATA {
                return Err(CmsError::Malformed("no signed attributes"));
            }
            let verified = match key.algorithm() {
                KeyAlgorithm::Ed25519 => key.verify(self.hash, content, self.signature),
                _ => key.verify_digest(self.hash, &digest, self.signature),
            };
            return verified.map_err(CmsError::from);
        };
        let attributes = attributes(contents)?;
        let value = |kind| {
            let mut of_kind = attributes.iter().filter(|(found, _)| *found == kind);
            match (of_kind.next(), of_kind.next()) {
                (Some((_, value)), None) => Ok(*value),
                _ => Err(CmsError::Malformed(
                    "a required signed attribute is not there once",
                )),
            }
        };
        if asn1::decode::<ObjectIdentifier>(value(oid::CONTENT_TYPE)?)? != content_type {
            return Err(CmsError::Malformed("the contentType attribute is another"));
        }
        let named = asn1::decode::<&der::asn1::OctetStringRef>(value(oid::MESSAGE_DIGEST)?)?;
        if named.as_bytes() != digest {
            return Err(CmsError::Digest);
        }
        // RFC 5652 §5.4: signed as a SET OF, not under the tag they came with.
        Ok(key.verify(self.hash, &asn1::element(asn1::SET, &[contents]), self.signature)?)
    }
}

/// Kind and contents of the value set of each attribute.
fn attributes(contents: &[u8]) -> Result<Vec<(ObjectIdentifier, &[u8])>, CmsError> {
    let mut r = asn1::reader(contents)?;
    let mut found = Vec::new();
    while !r.is_finished() {
        if found.len() >= MAX_ATTRIBUTES {
            return Err(CmsError::Malformed("more than 32 attributes"));
        }
        found.push(
            r.sequence(|r| Ok::<_, der::Error>((ObjectIdentifier::decode(r)?, asn1::expect(r, Tag::Set)?)))?,
        );
    }
    Ok(found)
}

/// Contents of the next element, if it has this context-specific tag.
fn context<'a>(r: &mut SliceReader<'a>, number: u32) -> der::Result<Option<&'a [u8]>> {
    if !asn1::next_is_context(r, number) {
        return Ok(None);
    }
    AnyRef::decode(r).map(|any| Some(any.value()))
}
