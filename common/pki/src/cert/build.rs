//! Building and signing certificates, to the octet.

use der::asn1::{GeneralizedTime, UtcTime};
use der::{DateTime, Encode};
use std::time::Duration;

use super::{CertError, Certificate, Extension, SignatureAlgorithm, ext};
use crate::key::{PublicKey, SignError, Signer};
use crate::{asn1, oid, sct};

/// Why a certificate could not be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// The signer failed.
    #[error(transparent)]
    Sign(#[from] SignError),
    /// A serial number that RFC 5280 §4.1.2.2 forbids.
    #[error("serial number must be positive and at most 20 octets long")]
    Serial,
    /// A time no certificate can carry.
    #[error("time {0} cannot be written into a certificate")]
    Time(u64),
    /// A certificate in the parent's place that cannot issue.
    #[error("issuer cannot issue: {0}")]
    Issuer(&'static str),
    /// What came out is not a certificate: a part handed in was not DER.
    #[error("built certificate does not parse: {0}")]
    Malformed(#[from] CertError),
}

/// A positive serial number of at most 20 octets, as contents of an INTEGER.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Serial(Vec<u8>);

impl Serial {
    /// A serial number from random octets: the top bit is cleared, so that it is positive and fits 20 octets
    /// (fulcio `pkg/ca/common.go`). 159 bits remain.
    pub fn from_random(random: [u8; 20]) -> Serial {
        let mut octets = random.to_vec();
        if let Some(top) = octets.first_mut() {
            *top &= 0x7F;
        }
        Serial::new(&octets).unwrap_or_else(|_| Serial(vec![1]))
    }

    /// A serial number from a big-endian number.
    pub fn new(big_endian: &[u8]) -> Result<Serial, BuildError> {
        let start = big_endian
            .iter()
            .position(|octet| *octet != 0)
            .ok_or(BuildError::Serial)?;
        let digits = big_endian.get(start..).unwrap_or_default();
        let sign: &[u8] = if digits.first().is_some_and(|top| *top >= 0x80) {
            &[0]
        } else {
            &[]
        };
        let contents = [sign, digits].concat();
        if contents.len() > 20 {
            Err(BuildError::Serial)
        } else {
            Ok(Serial(contents))
        }
    }

    /// Contents octets of the INTEGER.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// Everything a CA says in a certificate, before it signs.
#[derive(Clone, Debug)]
pub struct TbsCertificate {
    /// Serial number.
    pub serial: Serial,
    /// DER of the issuer's Name, as the issuer's own certificate has its subject.
    pub issuer: Vec<u8>,
    /// First second of validity, Unix time.
    pub not_before: u64,
    /// Last second of validity, Unix time.
    pub not_after: u64,
    /// DER of the subject's Name; [`empty_name`] where the name is in subjectAltName.
    pub subject: Vec<u8>,
    /// The subject's key.
    pub key: PublicKey,
    /// Extensions, written in this order.
    pub extensions: Vec<Extension>,
}

impl TbsCertificate {
    /// The TBSCertificate's DER for an issuer that signs with `algorithm`.
    pub fn to_der(&self, algorithm: SignatureAlgorithm) -> Result<Vec<u8>, BuildError> {
        self.to_der_with(algorithm, None)
    }

    /// Signs the certificate as it stands.
    pub fn sign(&self, issuer: &dyn Signer) -> Result<Certificate, BuildError> {
        self.sign_with(issuer, None)
    }

    /// Signs it as a precertificate: the poison is the last extension (RFC 6962 §3.1).
    pub fn sign_precertificate(&self, issuer: &dyn Signer) -> Result<Certificate, BuildError> {
        self.sign_with(issuer, Some(&ext::poison()))
    }

    /// Signs the final certificate of that precertificate: the list of SCTs is the last extension, so that
    /// taking it out again leaves what the log signed (RFC 6962 §3.3).
    pub fn sign_with_scts(&self, issuer: &dyn Signer, scts: &[Vec<u8>]) -> Result<Certificate, BuildError> {
        let list = sct::list_extension(scts).map_err(|_| CertError::Malformed("SCT list too long"))?;
        self.sign_with(issuer, Some(&list))
    }

    fn sign_with(&self, issuer: &dyn Signer, last: Option<&Extension>) -> Result<Certificate, BuildError> {
        let algorithm = SignatureAlgorithm::of_key(issuer.public_key());
        let tbs = self.to_der_with(algorithm, last)?;
        let signature = issuer.sign(&tbs)?;
        let der = asn1::sequence(&[&tbs, &algorithm.to_der(), &asn1::bit_string(&signature)]);
        Ok(Certificate::from_der(&der)?)
    }

    fn to_der_with(
        &self,
        algorithm: SignatureAlgorithm,
        last: Option<&Extension>,
    ) -> Result<Vec<u8>, BuildError> {
        let validity = asn1::sequence(&[&time(self.not_before)?, &time(self.not_after)?]);
        let extensions = ext::extensions_der(self.extensions.iter().chain(last));
        Ok(asn1::sequence(&[
            // Version 3 is the number 2.
            &asn1::context(0, &[&asn1::unsigned(&[2])]),
            &asn1::element(asn1::INTEGER, &[self.serial.as_bytes()]),
            &algorithm.to_der(),
            &self.issuer,
            &validity,
            &self.subject,
            self.key.spki_der(),
            &extensions,
        ]))
    }
}

/// A Name of organisation and common name, each a UTF8String in an RDN of its own.
pub fn distinguished_name(organization: &str, common_name: &str) -> Vec<u8> {
    let rdn = |kind, text: &str| {
        let value = asn1::element(asn1::UTF8_STRING, &[text.as_bytes()]);
        asn1::set_of(vec![asn1::sequence(&[&asn1::oid(&kind), &value])])
    };
    asn1::sequence(&[
        &rdn(oid::ORGANIZATION, organization),
        &rdn(oid::COMMON_NAME, common_name),
    ])
}

/// The empty Name.
pub fn empty_name() -> Vec<u8> {
    asn1::sequence(&[])
}

/// UTCTime through 2049, GeneralizedTime from 2050 (RFC 5280 §4.1.2.5).
fn time(unix: u64) -> Result<Vec<u8>, BuildError> {
    let date = DateTime::from_unix_duration(Duration::from_secs(unix)).map_err(|_| BuildError::Time(unix))?;
    let encoded = match UtcTime::from_date_time(date) {
        Ok(short) => short.to_der(),
        Err(_) => GeneralizedTime::from_date_time(date).to_der(),
    };
    encoded.map_err(|_| BuildError::Time(unix))
}
