//! Extensions: the ones we write, and typed readers for the ones we act upon.

use der::asn1::{ObjectIdentifier, OctetString};
use x509_cert::ext::pkix::{AuthorityKeyIdentifier, BasicConstraints, ExtendedKeyUsage, KeyUsage, KeyUsages};

use super::{CertError, Certificate};
use crate::key::PublicKey;
use crate::{asn1, oid};

/// One extension: kind, criticality, and the octets inside extnValue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Extension {
    /// extnID.
    pub oid: ObjectIdentifier,
    /// Whether a verifier that does not understand it must refuse the certificate.
    pub critical: bool,
    /// Contents of extnValue: DER, except for the oldest Fulcio extensions, which hold bare text.
    pub value: Vec<u8>,
}

impl Extension {
    /// Octets of the Extension's DER, and of what is inside it.
    fn lens(&self) -> (usize, usize) {
        let kind = asn1::element_len(self.oid.as_bytes().len());
        let critical = if self.critical { asn1::TRUE.len() } else { 0 };
        let value = asn1::element_len(self.value.len());
        let contents = kind.saturating_add(critical).saturating_add(value);
        (asn1::element_len(contents), contents)
    }

    /// Appends the Extension's DER; FALSE, being the default, is left out (X.690 §11.5).
    fn put(&self, out: &mut Vec<u8>) {
        asn1::put_header(out, asn1::SEQUENCE, self.lens().1);
        asn1::put_header(out, asn1::OBJECT_IDENTIFIER, self.oid.as_bytes().len());
        out.extend_from_slice(self.oid.as_bytes());
        if self.critical {
            out.extend_from_slice(asn1::TRUE);
        }
        asn1::put_header(out, asn1::OCTET_STRING, self.value.len());
        out.extend_from_slice(&self.value);
    }
}

/// The explicit `[3]` of a TBSCertificate (RFC 5280 §4.1): the extensions in this order, or nothing where there are none.
/// It is written several times for each certificate, so it takes its memory once.
pub(crate) fn extensions_der<'a>(extensions: impl Iterator<Item = &'a Extension> + Clone) -> Vec<u8> {
    let inside = extensions
        .clone()
        .fold(0_usize, |sum, extension| sum.saturating_add(extension.lens().0));
    if inside == 0 {
        return Vec::new();
    }
    let list = asn1::element_len(inside);
    let mut out = Vec::with_capacity(asn1::element_len(list));
    asn1::put_header(&mut out, asn1::context_tag(3), list);
    asn1::put_header(&mut out, asn1::SEQUENCE, inside);
    extensions.for_each(|extension| extension.put(&mut out));
    out
}

/// 1.3.6.1.4.1.57264.1.`number`.
pub fn sigstore_oid(number: u32) -> Option<ObjectIdentifier> {
    const FULCIO: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.57264.1");
    FULCIO.push_arc(number).ok()
}

/// keyUsage with digitalSignature only: `03 02 07 80` (RFC 5280 §4.2.1.3).
pub fn digital_signature() -> Extension {
    Extension {
        oid: oid::KEY_USAGE,
        critical: true,
        value: vec![asn1::BIT_STRING, 2, 7, 0x80],
    }
}

/// keyUsage with keyCertSign and cRLSign: `03 02 01 06` (RFC 5280 §4.2.1.3).
pub fn certificate_signing() -> Extension {
    Extension {
        oid: oid::KEY_USAGE,
        critical: true,
        value: vec![asn1::BIT_STRING, 2, 1, 0x06],
    }
}

/// extKeyUsage with one purpose.
pub fn extended_key_usage(purpose: &ObjectIdentifier, critical: bool) -> Extension {
    Extension {
        oid: oid::EXTENDED_KEY_USAGE,
        critical,
        value: asn1::sequence(&[&asn1::oid(purpose)]),
    }
}

/// basicConstraints of a certificate authority, critical (RFC 5280 §4.2.1.9).
pub fn certificate_authority(path_len: Option<u8>) -> Extension {
    let path_len = path_len.map(|len| asn1::unsigned(&[len])).unwrap_or_default();
    let value = asn1::sequence(&[asn1::TRUE, &path_len]);
    Extension {
        oid: oid::BASIC_CONSTRAINTS,
        critical: true,
        value,
    }
}

/// subjectKeyIdentifier, method 1 of RFC 5280 §4.2.1.2: SHA-1 of the key's bits.
pub fn subject_key_identifier(key: &PublicKey) -> Extension {
    let value = asn1::octet_string(&key_identifier(key));
    Extension {
        oid: oid::SUBJECT_KEY_IDENTIFIER,
        critical: false,
        value,
    }
}

/// authorityKeyIdentifier in its keyid form only, as Fulcio writes it (fulcio `pkg/ca/common.go`).
pub fn authority_key_identifier(key_id: &[u8]) -> Extension {
    let value = asn1::sequence(&[&asn1::context_primitive(0, key_id)]);
    Extension {
        oid: oid::AUTHORITY_KEY_IDENTIFIER,
        critical: false,
        value,
    }
}

/// The poison of a precertificate: critical, NULL (RFC 6962 §3.1).
pub fn poison() -> Extension {
    Extension {
        oid: oid::CT_POISON,
        critical: true,
        value: asn1::NULL.to_vec(),
    }
}

/// A Fulcio extension whose value is the text itself (numbers 1 to 6).
pub fn raw_text(kind: ObjectIdentifier, text: &str) -> Extension {
    Extension {
        oid: kind,
        critical: false,
        value: text.as_bytes().to_vec(),
    }
}

/// A Fulcio extension whose value is a DER UTF8String (numbers from 8).
pub fn utf8_string(kind: ObjectIdentifier, text: &str) -> Extension {
    let value = asn1::element(asn1::UTF8_STRING, &[text.as_bytes()]);
    Extension {
        oid: kind,
        critical: false,
        value,
    }
}

/// SHA-1 of the subjectPublicKey bits: a name for the key, not a commitment to it.
pub fn key_identifier(key: &PublicKey) -> Vec<u8> {
    use aws_lc_rs::digest;
    digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, key.subject_public_key())
        .as_ref()
        .to_vec()
}

impl Certificate {
    /// basicConstraints: whether it is an authority, and how many authorities may follow below.
    pub fn basic_constraints(&self) -> Result<Option<(bool, Option<u8>)>, CertError> {
        let parsed = self.typed::<BasicConstraints>(&oid::BASIC_CONSTRAINTS)?;
        Ok(parsed.map(|value| (value.ca, value.path_len_constraint)))
    }

    /// keyUsage includes `usage`; nothing where the extension is absent.
    pub fn allows_key_usage(&self, usage: KeyUsages) -> Result<Option<bool>, CertError> {
        Ok(self
            .typed::<KeyUsage>(&oid::KEY_USAGE)?
            .map(|value| value.0.contains(usage)))
    }

    /// extKeyUsage purposes; nothing where the extension is absent.
    pub fn extended_key_usage(&self) -> Result<Option<Vec<ObjectIdentifier>>, CertError> {
        Ok(self
            .typed::<ExtendedKeyUsage>(&oid::EXTENDED_KEY_USAGE)?
            .map(|value| value.0))
    }

    /// subjectKeyIdentifier.
    pub fn subject_key_identifier(&self) -> Result<Option<Vec<u8>>, CertError> {
        let parsed = self.typed::<OctetString>(&oid::SUBJECT_KEY_IDENTIFIER)?;
        Ok(parsed.map(|value| value.as_bytes().to_vec()))
    }

    /// The keyid of authorityKeyIdentifier.
    pub fn authority_key_identifier(&self) -> Result<Option<Vec<u8>>, CertError> {
        let parsed = self.typed::<AuthorityKeyIdentifier>(&oid::AUTHORITY_KEY_IDENTIFIER)?;
        Ok(parsed
            .and_then(|value| value.key_identifier)
            .map(|id| id.as_bytes().to_vec()))
    }

    /// True where basicConstraints says it is a certificate authority.
    pub fn is_ca(&self) -> bool {
        matches!(self.basic_constraints(), Ok(Some((true, _))))
    }

    fn typed<T>(&self, kind: &ObjectIdentifier) -> Result<Option<T>, CertError>
    where
        T: for<'a> der::Decode<'a, Error = der::Error>,
    {
        self.extension(kind)
            .map(|extension| T::from_der(&extension.value))
            .transpose()
            .map_err(CertError::from)
    }
}
