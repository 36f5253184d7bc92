//! Making timestamps: TimeStampResp around CMS SignedData, in the shape of timestamp-authority
//! (digitorus/timestamp `timestamp.go`), which clients index into.

use std::sync::Arc;
use std::time::Duration;

use der::asn1::UtcTime;
use der::{DateTime, Encode};

use super::request::hash_oid;
use super::{TimeStampRequest, TspError, TstInfo};
use crate::cert::{BuildError, Certificate, Serial, SignatureAlgorithm};
use crate::key::{HashAlgorithm, Signer};
use crate::{asn1, oid};

/// `Accuracy ::= SEQUENCE { seconds INTEGER … }`: one second.
const ONE_SECOND: [u8; 5] = [asn1::SEQUENCE, 3, asn1::INTEGER, 1, 1];

/// What the authority decides about one timestamp.
#[derive(Clone, Debug)]
pub struct Grant {
    /// Contents octets of the policy's OBJECT IDENTIFIER.
    pub policy: Vec<u8>,
    /// Serial number, never used twice.
    pub serial: Serial,
    /// The time, Unix seconds.
    pub time: u64,
}

/// A signer with its certificate chain, and everything about them that each timestamp repeats.
pub struct TimestampAuthority {
    signer: Arc<dyn Signer>,
    chain: Vec<Certificate>,
    include_chain: bool,
    hash: HashAlgorithm,
    digest_algorithm: Vec<u8>,
    signature_algorithm: Vec<u8>,
    issuer_and_serial: Vec<u8>,
    signing_certificate: Vec<u8>,
    tsa: Vec<u8>,
}

impl TimestampAuthority {
    /// An authority that signs with `signer` under `chain`: leaf, intermediates, root. With `include_chain` the
    /// whole chain is embedded where a request asks for certificates, otherwise the leaf alone.
    pub fn new(
        signer: Arc<dyn Signer>,
        chain: Vec<Certificate>,
        include_chain: bool,
    ) -> Result<TimestampAuthority, TspError> {
        let leaf = chain
            .first()
            .ok_or(TspError::SignerCertificate("no certificate"))?;
        let key = signer.public_key();
        if leaf.spki_der() != key.spki_der() {
            return Err(TspError::SignerCertificate("its key is not the signer's"));
        }
        super::verify::check_signer_certificate(leaf)?;
        let algorithm = SignatureAlgorithm::of_key(key);
        let hash = key.default_hash();
        let serial = asn1::element(asn1::INTEGER, &[leaf.serial()]);
        // ESSCertIDv2 (RFC 5035 §4): SHA-256 is the default algorithm and therefore left out.
        let issuer_name = asn1::sequence(&[&asn1::context(4, &[leaf.issuer_der()])]);
        let cert_id = asn1::sequence(&[
            &asn1::octet_string(&leaf.fingerprint()),
            &asn1::sequence(&[&issuer_name, &serial]),
        ]);
        Ok(TimestampAuthority {
            include_chain,
            hash,
            digest_algorithm: asn1::sequence(&[&asn1::oid(&hash_oid(hash))]),
            signature_algorithm: algorithm.to_der(),
            issuer_and_serial: asn1::sequence(&[leaf.issuer_der(), &serial]),
            signing_certificate: attribute(
                &oid::SIGNING_CERTIFICATE_V2,
                &asn1::sequence(&[&asn1::sequence(&[&cert_id])]),
            ),
            tsa: asn1::context(4, &[leaf.subject_der()]),
            signer,
            chain,
        })
    }

    /// Whether signing waits for something outside the process ([`Signer::waits`]).
    #[must_use]
    pub fn waits(&self) -> bool {
        self.signer.waits()
    }

    /// The chain: leaf, intermediates, root.
    pub fn chain(&self) -> &[Certificate] {
        &self.chain
    }

    /// Answers `request`, whose imprint must be strong and of the right length. Signing may block.
    pub fn respond(&self, request: &TimeStampRequest, grant: Grant) -> Result<Vec<u8>, TspError> {
        let info = TstInfo {
            policy: grant.policy,
            imprint: request.imprint.clone(),
            serial: grant.serial.as_bytes().to_vec(),
            time: grant.time,
            nanos: 0,
            accuracy: Some(ONE_SECOND.to_vec()),
            ordering: false,
            nonce: request.nonce.clone(),
            tsa: Some(self.tsa.clone()),
        };
        let token = self.token(&info.to_der()?, grant.time, request.certificates)?;
        // PKIStatusInfo { status granted (0) } (RFC 3161 §2.4.2).
        let status = asn1::sequence(&[&asn1::unsigned(&[0])]);
        Ok(asn1::sequence(&[&status, &token]))
    }

    /// ContentInfo around SignedData (RFC 5652 §3, §5.1).
    fn token(&self, info: &[u8], time: u64, certificates: bool) -> Result<Vec<u8>, TspError> {
        let attributes = self.signed_attributes(info, time)?;
        // RFC 5652 §5.4: the signature is over the attributes as a SET OF, not as the [0] they are sent in.
        let signature = self.signer.sign(&asn1::element(asn1::SET, &[&attributes]))?;
        let signer_info = asn1::sequence(&[
            &asn1::unsigned(&[1]),
            &self.issuer_and_serial,
            &self.digest_algorithm,
            &asn1::context(0, &[&attributes]),
            &self.signature_algorithm,
            &asn1::octet_string(&signature),
        ]);
        let content = asn1::sequence(&[
            &asn1::oid(&oid::TST_INFO),
            &asn1::context(0, &[&asn1::octet_string(info)]),
        ]);
        let signed_data = asn1::sequence(&[
            // Version 3, because the content is not id-data (RFC 5652 §5.1).
            &asn1::unsigned(&[3]),
            &asn1::element(asn1::SET, &[&self.digest_algorithm]),
            &content,
            &self.embedded_certificates(certificates),
            &asn1::element(asn1::SET, &[&signer_info]),
        ]);
        Ok(asn1::sequence(&[
            &asn1::oid(&oid::SIGNED_DATA),
            &asn1::context(0, &[&signed_data]),
        ]))
    }

    /// `certificates [0]`, left out entirely where none were asked for: sigstore-java takes the first of any
    /// embedded set for the leaf.
    fn embedded_certificates(&self, wanted: bool) -> Vec<u8> {
        let count = match (wanted, self.include_chain) {
            (false, _) => return Vec::new(),
            (true, false) => 1,
            (true, true) => self.chain.len(),
        };
        let certificates: Vec<&[u8]> = self.chain.iter().take(count).map(Certificate::to_der).collect();
        asn1::context(0, &certificates)
    }

    /// Contents of the signed attributes, in the order DER wants of a SET OF (X.690 §11.6).
    fn signed_attributes(&self, info: &[u8], time: u64) -> Result<Vec<u8>, TspError> {
        let signing_time = DateTime::from_unix_duration(Duration::from_secs(time))
            .and_then(UtcTime::from_date_time)
            .and_then(|time| time.to_der())
            .map_err(|_| BuildError::Time(time))?;
        let mut attributes = [
            attribute(&oid::CONTENT_TYPE, &asn1::oid(&oid::TST_INFO)),
            attribute(&oid::MESSAGE_DIGEST, &asn1::octet_string(&self.hash.digest(info))),
            attribute(&oid::SIGNING_TIME, &signing_time),
            self.signing_certificate.clone(),
        ];
        attributes.sort();
        Ok(attributes.concat())
    }
}

/// Attribute with one value (RFC 5652 §5.3).
fn attribute(kind: &der::asn1::ObjectIdentifier, value: &[u8]) -> Vec<u8> {
    asn1::sequence(&[&asn1::oid(kind), &asn1::element(asn1::SET, &[value])])
}
