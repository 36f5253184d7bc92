//! Reading a TimeStampResp and the SignedData in it.

use der::asn1::ObjectIdentifier;
use der::{Decode, Reader, SliceReader, Tag};

use super::request::hash_of_oid;
use super::{MAX_LEN, TspError, TstInfo};
use crate::cert::{Certificate, SignatureAlgorithm};
use crate::key::HashAlgorithm;
use crate::{asn1, oid};

/// Most certificates read from one token.
const MAX_CERTIFICATES: usize = 16;

/// Most signed attributes read.
const MAX_ATTRIBUTES: usize = 32;

/// A response: granted with a token, or not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TimeStampResponse {
    /// PKIStatus: 0 granted, 1 granted with modifications, above not granted (RFC 3161 §2.4.2).
    pub status: u32,
    /// The token, where there is one.
    pub token: Option<TimeStampToken>,
    /// Whether the status has a text or a failure beside it.
    pub(super) remarks: bool,
}

/// Which certificate signed (RFC 5652 §5.3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SignerId {
    /// By issuer and serial number.
    IssuerAndSerial {
        /// DER of the issuer's Name.
        issuer: Vec<u8>,
        /// Contents octets of the serial number INTEGER.
        serial: Vec<u8>,
    },
    /// By subjectKeyIdentifier.
    KeyIdentifier(Vec<u8>),
}

/// A timestamp token: parsed, not verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TimeStampToken {
    /// What was signed.
    pub info: TstInfo,
    /// Embedded certificates in the order they came, which says nothing about who signed.
    pub certificates: Vec<Certificate>,
    /// Who signed.
    pub signer: SignerId,
    /// What stands in it outside the signature and is of no use, where anything does.
    pub(super) unsigned: Option<&'static str>,
    /// TSTInfo as it was encoded: what the messageDigest attribute is over.
    pub(super) content: Vec<u8>,
    pub(super) hash: HashAlgorithm,
    /// Signed attributes as a SET OF: what the signature is over.
    pub(super) signed: Vec<u8>,
    pub(super) message_digest: Vec<u8>,
    pub(super) signing_certificate: CertificateId,
    pub(super) algorithm: SignatureAlgorithm,
    pub(super) signature: Vec<u8>,
}

/// The first ESSCertID or ESSCertIDv2 (RFC 5035 §4): the hash of the certificate that signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum CertificateId {
    Sha1(Vec<u8>),
    Sha2(HashAlgorithm, Vec<u8>),
}

impl TimeStampResponse {
    /// Parses a DER TimeStampResp with nothing after it.
    pub fn from_der(der: &[u8]) -> Result<TimeStampResponse, TspError> {
        let (status, remarks, token) = parts(der)?;
        Ok(TimeStampResponse {
            status,
            token: token.map(TimeStampToken::from_der).transpose()?,
            remarks,
        })
    }

    /// The token of a granted response. Modifications are refused, as by sigstore-python.
    pub fn granted(self) -> Result<TimeStampToken, TspError> {
        match (self.status, self.token) {
            (0, Some(token)) => Ok(token),
            (0, None) => Err(TspError::Malformed("granted without a token")),
            (status, _) => Err(TspError::NotGranted(status)),
        }
    }
}

/// PKIStatus of a DER TimeStampResp, and the DER of its token as it is.
///
/// # Errors
/// Too long, or not DER of this shape.
pub fn status_and_token(der: &[u8]) -> Result<(u32, Option<&[u8]>), TspError> {
    parts(der).map(|(status, _, token)| (status, token))
}

/// Status, whether anything stands beside it, and token.
fn parts(der: &[u8]) -> Result<(u32, bool, Option<&[u8]>), TspError> {
    if der.len() > MAX_LEN {
        return Err(TspError::TooLong(der.len()));
    }
    let mut reader = asn1::reader(der)?;
    let parts = reader.sequence(|r| {
        let (status, remarks) = r.sequence(|r| {
            let status = u32::decode(r)?;
            // statusString and failInfo say nothing we act upon.
            let remarks = !r.is_finished();
            while !r.is_finished() {
                r.tlv_bytes()?;
            }
            Ok::<_, TspError>((status, remarks))
        })?;
        let token = if r.is_finished() {
            None
        } else {
            Some(r.tlv_bytes()?)
        };
        Ok::<_, TspError>((status, remarks, token))
    })?;
    reader.finish()?;
    Ok(parts)
}

impl TimeStampToken {
    /// Parses a DER ContentInfo with SignedData over a TSTInfo, by exactly one signer.
    pub fn from_der(der: &[u8]) -> Result<TimeStampToken, TspError> {
        if der.len() > MAX_LEN {
            return Err(TspError::TooLong(der.len()));
        }
        let mut reader = asn1::reader(der)?;
        let token = reader.sequence(|r| {
            if ObjectIdentifier::decode(r)? != oid::SIGNED_DATA {
                return Err(TspError::Malformed("content is not SignedData"));
            }
            explicit(r, 0, signed_data)
        })?;
        reader.finish()?;
        Ok(token)
    }
}

fn signed_data(r: &mut SliceReader<'_>) -> Result<TimeStampToken, TspError> {
    r.sequence(|r| {
        // RFC 5652 §5.1: version 3 for this content; some authorities write others.
        if !(1..=5).contains(&u8::decode(r)?) {
            return Err(TspError::Malformed("SignedData version"));
        }
        let digests = asn1::expect(r, Tag::Set)?;
        let content = r.sequence(|r| {
            if ObjectIdentifier::decode(r)? != oid::TST_INFO {
                return Err(TspError::Malformed("signed content is not a TSTInfo"));
            }
            explicit(r, 0, |r| Ok(asn1::expect(r, Tag::OctetString)?))
        })?;
        let certificates = if asn1::next_is_context(r, 0) {
            certificates(r)?
        } else {
            Vec::new()
        };
        let mut unsigned = None;
        if asn1::next_is_context(r, 1) {
            r.tlv_bytes()?;
            unsigned = Some("revocation lists");
        }
        let signer_infos = asn1::expect(r, Tag::Set)?;
        let mut signers = asn1::reader(signer_infos)?;
        let signer = signer_info(&mut signers)?;
        // RFC 3161 §2.4.2: the token MUST NOT contain any signatures other than the authority's.
        signers
            .finish()
            .map_err(|_| TspError::Malformed("more than one signer"))?;
        if only_digest(digests) != Some(signer.hash) {
            unsigned = Some("digest algorithms other than the signer's");
        }
        Ok(TimeStampToken {
            info: TstInfo::from_der(content)?,
            certificates,
            signer: signer.id,
            unsigned: unsigned.or(signer.unsigned),
            content: content.to_vec(),
            hash: signer.hash,
            signed: signer.signed,
            message_digest: signer.attributes.message_digest,
            signing_certificate: signer.attributes.signing_certificate,
            algorithm: signer.algorithm,
            signature: signer.signature,
        })
    })
}

/// `certificates [0] IMPLICIT`: only plain X.509 certificates are read.
fn certificates(r: &mut SliceReader<'_>) -> Result<Vec<Certificate>, TspError> {
    let header = der::Header::decode(r)?;
    r.read_nested(header.length(), |r| {
        let mut found = Vec::new();
        while !r.is_finished() {
            if found.len() >= MAX_CERTIFICATES {
                return Err(TspError::Malformed("more than 16 certificates"));
            }
            found.push(Certificate::from_der(r.tlv_bytes()?)?);
        }
        Ok(found)
    })
}

struct SignerInfo {
    id: SignerId,
    hash: HashAlgorithm,
    signed: Vec<u8>,
    attributes: Attributes,
    algorithm: SignatureAlgorithm,
    signature: Vec<u8>,
    unsigned: Option<&'static str>,
}

fn signer_info(r: &mut SliceReader<'_>) -> Result<SignerInfo, TspError> {
    r.sequence(|r| {
        let _version = u8::decode(r)?;
        let id = if asn1::next_is_context(r, 0) {
            let any = der::asn1::AnyRef::decode(r)?;
            SignerId::KeyIdentifier(any.value().to_vec())
        } else {
            r.sequence(|r| {
                let issuer = r.tlv_bytes()?.to_vec();
                let serial = asn1::expect(r, Tag::Integer)?.to_vec();
                Ok::<_, TspError>(SignerId::IssuerAndSerial { issuer, serial })
            })?
        };
        let hash = r.tlv_bytes().map_err(TspError::from).and_then(digest_algorithm)?;
        if !asn1::next_is_context(r, 0) {
            // RFC 5652 §5.3: required, because the content is not id-data.
            return Err(TspError::Malformed("no signed attributes"));
        }
        let contents = der::asn1::AnyRef::decode(r)?.value();
        let attributes = attributes(contents)?;
        let algorithm = signature_algorithm(r.tlv_bytes()?, hash)?;
        let signature = asn1::expect(r, Tag::OctetString)?.to_vec();
        let mut unsigned = None;
        if asn1::next_is_context(r, 1) {
            r.tlv_bytes()?;
            unsigned = Some("unsigned attributes");
        }
        let signed = asn1::element(asn1::SET, &[contents]);
        Ok(SignerInfo {
            id,
            hash,
            signed,
            attributes,
            algorithm,
            signature,
            unsigned,
        })
    })
}

/// The hash in a `DigestAlgorithmIdentifiers` of one.
fn only_digest(contents: &[u8]) -> Option<HashAlgorithm> {
    let mut r = asn1::reader(contents).ok()?;
    let hash = r.tlv_bytes().ok().and_then(|der| digest_algorithm(der).ok())?;
    r.is_finished().then_some(hash)
}

fn digest_algorithm(der: &[u8]) -> Result<HashAlgorithm, TspError> {
    let (kind, parameters) = crate::cert::algorithm_identifier(der)?;
    let plain = parameters.is_none_or(|any| any.is_null());
    hash_of_oid(&kind)
        .filter(|_| plain)
        .ok_or(TspError::UnsupportedHash)
}

/// The signature algorithm, which may leave the hash to digestAlgorithm for RSA (RFC 5754 §3.2) but must not
/// contradict it: with two hashes in play the weaker would count (RFC 5652 §5.4 knows one alone). Pure Ed25519 names none
/// (RFC 8419 §3).
pub(super) fn signature_algorithm(der: &[u8], hash: HashAlgorithm) -> Result<SignatureAlgorithm, TspError> {
    let algorithm = match SignatureAlgorithm::from_der(der) {
        Some(algorithm) => algorithm,
        None if crate::cert::algorithm_identifier(der)?.0 == oid::RSA_ENCRYPTION => {
            SignatureAlgorithm::Rsa(hash)
        }
        None => return Err(TspError::Malformed("unsupported signature algorithm")),
    };
    if algorithm.hash().is_some_and(|named| named != hash) {
        return Err(TspError::Malformed(
            "the signature algorithm names another hash than digestAlgorithm",
        ));
    }
    Ok(algorithm)
}

struct Attributes {
    message_digest: Vec<u8>,
    signing_certificate: CertificateId,
}

/// The attributes RFC 3161 §2.4.2 and RFC 5652 §11 require, each exactly once.
fn attributes(contents: &[u8]) -> Result<Attributes, TspError> {
    let mut r = asn1::reader(contents)?;
    let mut seen: Vec<ObjectIdentifier> = Vec::new();
    let (mut content_type, mut message_digest, mut v1, mut v2) = (None, None, None, None);
    while !r.is_finished() {
        let (kind, values) =
            r.sequence(|r| Ok::<_, der::Error>((ObjectIdentifier::decode(r)?, asn1::expect(r, Tag::Set)?)))?;
        if seen.contains(&kind) || seen.len() >= MAX_ATTRIBUTES {
            return Err(TspError::Malformed("repeated or too many signed attributes"));
        }
        seen.push(kind);
        match kind {
            oid::CONTENT_TYPE => content_type = Some(asn1::decode::<ObjectIdentifier>(values)?),
            oid::MESSAGE_DIGEST => {
                message_digest = Some(
                    asn1::decode::<&der::asn1::OctetStringRef>(values)?
                        .as_bytes()
                        .to_vec(),
                );
            }
            oid::SIGNING_CERTIFICATE => v1 = Some(certificate_id(values, false)?),
            oid::SIGNING_CERTIFICATE_V2 => v2 = Some(certificate_id(values, true)?),
            _ => {}
        }
    }
    if content_type != Some(oid::TST_INFO) {
        return Err(TspError::Malformed("contentType attribute is not id-ct-TSTInfo"));
    }
    Ok(Attributes {
        message_digest: message_digest.ok_or(TspError::Malformed("no messageDigest attribute"))?,
        signing_certificate: v2
            .or(v1)
            .ok_or(TspError::Malformed("no signingCertificate attribute"))?,
    })
}

/// First entry of SigningCertificate or SigningCertificateV2 (RFC 5035 §3, §5).
fn certificate_id(values: &[u8], v2: bool) -> Result<CertificateId, TspError> {
    let mut outer = asn1::reader(values)?;
    let id = outer.sequence(|r| {
        let certs = asn1::expect(r, Tag::Sequence)?;
        while !r.is_finished() {
            r.tlv_bytes()?;
        }
        let mut certs = asn1::reader(certs)?;
        certs
            .sequence(|r| {
                // hashAlgorithm DEFAULT id-sha256, in the second version only.
                let named = v2 && Tag::peek(r)? == Tag::Sequence;
                let hash = if named {
                    digest_algorithm(r.tlv_bytes()?)?
                } else {
                    HashAlgorithm::Sha256
                };
                let digest = asn1::expect(r, Tag::OctetString)?.to_vec();
                while !r.is_finished() {
                    r.tlv_bytes()?;
                }
                Ok::<_, TspError>((hash, digest))
            })
            .map(|(hash, digest)| {
                if v2 {
                    CertificateId::Sha2(hash, digest)
                } else {
                    CertificateId::Sha1(digest)
                }
            })
    })?;
    outer.finish()?;
    Ok(id)
}

/// Contents of `[number] EXPLICIT`.
fn explicit<'a, T>(
    r: &mut SliceReader<'a>,
    number: u32,
    read: impl FnOnce(&mut SliceReader<'a>) -> Result<T, TspError>,
) -> Result<T, TspError> {
    if !asn1::next_is_context(r, number) {
        return Err(TspError::Malformed("missing content"));
    }
    let header = der::Header::decode(r)?;
    r.read_nested(header.length(), read)
}
