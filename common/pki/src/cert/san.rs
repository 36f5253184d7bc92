//! Subject alternative names.

use std::net::IpAddr;

use der::Decode as _;
use der::asn1::Utf8StringRef;
use x509_cert::ext::pkix::name::{GeneralName, GeneralNames};

use super::{CertError, Certificate, Extension};
use crate::{asn1, oid};

/// Most names read from one certificate.
const MAX_NAMES: usize = 256;

/// One name of a certificate, or one to put into it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum SubjectAltName {
    /// dNSName.
    Dns(String),
    /// rfc822Name.
    Email(String),
    /// iPAddress.
    Ip(IpAddr),
    /// uniformResourceIdentifier.
    Uri(String),
    /// otherName of type 1.3.6.1.4.1.57264.1.7: Fulcio's `user!domain`.
    Username(String),
}

impl SubjectAltName {
    /// The name as text, which is how Rekor indexes it and how clients compare it.
    pub fn text(&self) -> String {
        match self {
            SubjectAltName::Ip(address) => address.to_string(),
            SubjectAltName::Dns(text)
            | SubjectAltName::Email(text)
            | SubjectAltName::Uri(text)
            | SubjectAltName::Username(text) => text.clone(),
        }
    }

    /// A critical subjectAltName extension with this one name, as an empty subject demands (RFC 5280
    /// §4.2.1.6). E-mail, DNS and URI are IA5String: nothing is returned for text that is not ASCII.
    pub fn to_extension(&self) -> Option<Extension> {
        let ia5 = |number: u8, text: &str| {
            text.is_ascii()
                .then(|| asn1::context_primitive(number, text.as_bytes()))
        };
        let name = match self {
            SubjectAltName::Email(text) => ia5(1, text)?,
            SubjectAltName::Dns(text) => ia5(2, text)?,
            SubjectAltName::Uri(text) => ia5(6, text)?,
            SubjectAltName::Ip(IpAddr::V4(address)) => asn1::context_primitive(7, &address.octets()),
            SubjectAltName::Ip(IpAddr::V6(address)) => asn1::context_primitive(7, &address.octets()),
            SubjectAltName::Username(text) => {
                let value = asn1::element(asn1::UTF8_STRING, &[text.as_bytes()]);
                asn1::context(
                    0,
                    &[&asn1::oid(&oid::FULCIO_USERNAME), &asn1::context(0, &[&value])],
                )
            }
        };
        Some(Extension {
            oid: oid::SUBJECT_ALT_NAME,
            critical: true,
            value: asn1::sequence(&[&name]),
        })
    }
}

impl SubjectAltName {
    /// The one name in the value of a subjectAltName extension, if there is one alone and it is of a kind known here.
    pub fn only(value: &[u8]) -> Option<SubjectAltName> {
        let names = GeneralNames::from_der(value).ok()?;
        match names.as_slice() {
            [name] => read(name).ok()?,
            _ => None,
        }
    }
}

impl Certificate {
    /// The names Sigstore looks at, in its order: DNS, e-mail, IP, URI, then Fulcio's user name (sigstore
    /// `pkg/cryptoutils/sans.go`). Other kinds are passed over.
    pub fn subject_alt_names(&self) -> Result<Vec<SubjectAltName>, CertError> {
        let Some(extension) = self.extension(&oid::SUBJECT_ALT_NAME) else {
            return Ok(Vec::new());
        };
        let names = GeneralNames::from_der(&extension.value)?;
        if names.len() > MAX_NAMES {
            return Err(CertError::Malformed("more than 256 subject alternative names"));
        }
        let mut found = names
            .iter()
            .filter_map(|name| read(name).transpose())
            .collect::<Result<Vec<_>, _>>()?;
        found.sort_by_key(order);
        Ok(found)
    }
}

fn order(name: &SubjectAltName) -> u8 {
    match name {
        SubjectAltName::Dns(_) => 0,
        SubjectAltName::Email(_) => 1,
        SubjectAltName::Ip(_) => 2,
        SubjectAltName::Uri(_) => 3,
        SubjectAltName::Username(_) => 4,
    }
}

fn read(name: &GeneralName) -> Result<Option<SubjectAltName>, CertError> {
    Ok(match name {
        GeneralName::DnsName(text) => Some(SubjectAltName::Dns(text.to_string())),
        GeneralName::Rfc822Name(text) => Some(SubjectAltName::Email(text.to_string())),
        GeneralName::UniformResourceIdentifier(text) => Some(SubjectAltName::Uri(text.to_string())),
        GeneralName::IpAddress(octets) => match octets.as_bytes().len() {
            4 => <[u8; 4]>::try_from(octets.as_bytes())
                .ok()
                .map(|octets| SubjectAltName::Ip(octets.into())),
            16 => <[u8; 16]>::try_from(octets.as_bytes())
                .ok()
                .map(|octets| SubjectAltName::Ip(octets.into())),
            // RFC 5280 §4.2.1.6: four or sixteen octets.
            _ => return Err(CertError::Malformed("iPAddress of neither 4 nor 16 octets")),
        },
        GeneralName::OtherName(other) if other.type_id == oid::FULCIO_USERNAME => Some(
            SubjectAltName::Username(other.value.decode_as::<Utf8StringRef<'_>>()?.as_str().to_owned()),
        ),
        _ => None,
    })
}
