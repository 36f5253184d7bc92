//! Object identifiers, each with the document that assigns it.

use der::asn1::ObjectIdentifier;

const fn oid(text: &'static str) -> ObjectIdentifier {
    ObjectIdentifier::new_unwrap(text)
}

// Keys and curves.
/// id-ecPublicKey (RFC 5480 §2.1.1).
pub const EC_PUBLIC_KEY: ObjectIdentifier = oid("1.2.840.10045.2.1");
/// secp256r1 (RFC 5480 §2.1.1.1).
pub const P256: ObjectIdentifier = oid("1.2.840.10045.3.1.7");
/// secp384r1 (RFC 5480 §2.1.1.1).
pub const P384: ObjectIdentifier = oid("1.3.132.0.34");
/// secp521r1 (RFC 5480 §2.1.1.1).
pub const P521: ObjectIdentifier = oid("1.3.132.0.35");
/// rsaEncryption (RFC 8017 appendix A.1).
pub const RSA_ENCRYPTION: ObjectIdentifier = oid("1.2.840.113549.1.1.1");
/// id-Ed25519, key and signature (RFC 8410 §3).
pub const ED25519: ObjectIdentifier = oid("1.3.101.112");

// Signatures.
/// ecdsa-with-SHA256 (RFC 5758 §3.2).
pub const ECDSA_SHA256: ObjectIdentifier = oid("1.2.840.10045.4.3.2");
/// ecdsa-with-SHA384 (RFC 5758 §3.2).
pub const ECDSA_SHA384: ObjectIdentifier = oid("1.2.840.10045.4.3.3");
/// ecdsa-with-SHA512 (RFC 5758 §3.2).
pub const ECDSA_SHA512: ObjectIdentifier = oid("1.2.840.10045.4.3.4");
/// sha256WithRSAEncryption (RFC 8017 appendix A.2.4).
pub const RSA_SHA256: ObjectIdentifier = oid("1.2.840.113549.1.1.11");
/// sha384WithRSAEncryption (RFC 8017 appendix A.2.4).
pub const RSA_SHA384: ObjectIdentifier = oid("1.2.840.113549.1.1.12");
/// sha512WithRSAEncryption (RFC 8017 appendix A.2.4).
pub const RSA_SHA512: ObjectIdentifier = oid("1.2.840.113549.1.1.13");

// Digests.
/// id-sha1 (RFC 3279 §2.2.1).
pub const SHA1: ObjectIdentifier = oid("1.3.14.3.2.26");
/// id-sha256 (RFC 5754 §2.2).
pub const SHA256: ObjectIdentifier = oid("2.16.840.1.101.3.4.2.1");
/// id-sha384 (RFC 5754 §2.3).
pub const SHA384: ObjectIdentifier = oid("2.16.840.1.101.3.4.2.2");
/// id-sha512 (RFC 5754 §2.4).
pub const SHA512: ObjectIdentifier = oid("2.16.840.1.101.3.4.2.3");

// Names (RFC 5280 appendix A.1).
/// id-at-commonName.
pub const COMMON_NAME: ObjectIdentifier = oid("2.5.4.3");
/// id-at-organizationName.
pub const ORGANIZATION: ObjectIdentifier = oid("2.5.4.10");

// Certificate extensions (RFC 5280 §4.2.1).
/// id-ce-subjectKeyIdentifier (§4.2.1.2).
pub const SUBJECT_KEY_IDENTIFIER: ObjectIdentifier = oid("2.5.29.14");
/// id-ce-keyUsage (§4.2.1.3).
pub const KEY_USAGE: ObjectIdentifier = oid("2.5.29.15");
/// id-ce-subjectAltName (§4.2.1.6).
pub const SUBJECT_ALT_NAME: ObjectIdentifier = oid("2.5.29.17");
/// id-ce-basicConstraints (§4.2.1.9).
pub const BASIC_CONSTRAINTS: ObjectIdentifier = oid("2.5.29.19");
/// id-ce-nameConstraints (§4.2.1.10).
pub const NAME_CONSTRAINTS: ObjectIdentifier = oid("2.5.29.30");
/// id-ce-certificatePolicies (§4.2.1.4).
pub const CERTIFICATE_POLICIES: ObjectIdentifier = oid("2.5.29.32");
/// id-ce-authorityKeyIdentifier (§4.2.1.1).
pub const AUTHORITY_KEY_IDENTIFIER: ObjectIdentifier = oid("2.5.29.35");
/// id-ce-extKeyUsage (§4.2.1.12).
pub const EXTENDED_KEY_USAGE: ObjectIdentifier = oid("2.5.29.37");
/// anyExtendedKeyUsage (§4.2.1.12).
pub const ANY_EXTENDED_KEY_USAGE: ObjectIdentifier = oid("2.5.29.37.0");
/// id-kp-codeSigning (§4.2.1.12).
pub const CODE_SIGNING: ObjectIdentifier = oid("1.3.6.1.5.5.7.3.3");
/// id-kp-timeStamping (§4.2.1.12).
pub const TIME_STAMPING: ObjectIdentifier = oid("1.3.6.1.5.5.7.3.8");

// Certificate Transparency (RFC 6962 §3.1, §3.3).
/// The list of embedded signed certificate timestamps.
pub const SCT_LIST: ObjectIdentifier = oid("1.3.6.1.4.1.11129.2.4.2");
/// The poison that makes a certificate a precertificate.
pub const CT_POISON: ObjectIdentifier = oid("1.3.6.1.4.1.11129.2.4.3");

// Sigstore (fulcio `docs/oid-info.md`).
/// otherName type of a user name, `user!domain`.
pub const FULCIO_USERNAME: ObjectIdentifier = oid("1.3.6.1.4.1.57264.1.7");
/// Default policy of a Sigstore timestamp authority.
pub const TSA_POLICY: ObjectIdentifier = oid("1.3.6.1.4.1.57264.2");

// Cryptographic messages and timestamps.
/// id-signedData (RFC 5652 §5.1).
pub const SIGNED_DATA: ObjectIdentifier = oid("1.2.840.113549.1.7.2");
/// `id-data`: octets that say nothing about themselves.
pub const DATA: ObjectIdentifier = oid("1.2.840.113549.1.7.1");
/// `id-aa-timeStampToken` (RFC 3161 appendix A).
pub const SIGNATURE_TIME_STAMP: ObjectIdentifier = oid("1.2.840.113549.1.9.16.2.14");
/// id-contentType (RFC 5652 §11.1).
pub const CONTENT_TYPE: ObjectIdentifier = oid("1.2.840.113549.1.9.3");
/// id-messageDigest (RFC 5652 §11.2).
pub const MESSAGE_DIGEST: ObjectIdentifier = oid("1.2.840.113549.1.9.4");
/// id-signingTime (RFC 5652 §11.3).
pub const SIGNING_TIME: ObjectIdentifier = oid("1.2.840.113549.1.9.5");
/// id-aa-signingCertificate, the SHA-1 form (RFC 2634 §5.4).
pub const SIGNING_CERTIFICATE: ObjectIdentifier = oid("1.2.840.113549.1.9.16.2.12");
/// id-aa-signingCertificateV2 (RFC 5035 §3).
pub const SIGNING_CERTIFICATE_V2: ObjectIdentifier = oid("1.2.840.113549.1.9.16.2.47");
/// id-ct-TSTInfo (RFC 3161 §2.4.2).
pub const TST_INFO: ObjectIdentifier = oid("1.2.840.113549.1.9.16.1.4");
