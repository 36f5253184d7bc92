//! Certificate Transparency as bytes (RFC 6962, and the leaf_index extension of C2SP static-ct-api).
//!
//! Integers are big endian, lengths come before contents, times are milliseconds since the Unix epoch. A log
//! signs exactly the octets it puts into its tree, so [`signed_data`] and [`merkle_tree_leaf`] are one.
//!
//! Left out: Precertificate Signing Certificates (RFC 6962 §3.1), which no Fulcio uses.

mod embedded;
mod wire;

#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

#[cfg(test)]
pub(crate) use embedded::precert_tbs;
pub use embedded::{embedded_scts, is_precertificate, list_extension, precert_entry, verify_embedded};
use wire::Reader;

use crate::key::{HashAlgorithm, PublicKey, SignError, SignatureError, Signer};

/// Hash and signature numbers of RFC 5246 §7.4.1.4.1: SHA-256, ECDSA.
const SHA256_ECDSA: [u8; 2] = [4, 3];
/// SHA-256, RSA.
const SHA256_RSA: [u8; 2] = [4, 1];

/// Most octets of one certificate or TBSCertificate in a structure (its length has 24 bits).
const MAX_U24: usize = 0xFF_FFFF;

/// Why bytes are not what RFC 6962 describes, or a signature does not hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SctError {
    /// Too short, too long, or not the version or type it should be.
    #[error("malformed {0}")]
    Malformed(&'static str),
    /// A part too long for its length field.
    #[error("{0} is too long for its length field")]
    TooLong(&'static str),
    /// The poison or the list of SCTs is not as RFC 6962 §3.1, §3.3 say.
    #[error("certificate is not a valid precertificate: {0}")]
    Precertificate(&'static str),
    /// No SCT in the certificate.
    #[error("certificate holds no signed certificate timestamp")]
    NoSct,
    /// No SCT in the certificate is from this log.
    #[error("certificate holds no signed certificate timestamp of the expected log")]
    OtherLog,
    /// The signature does not verify.
    #[error(transparent)]
    Signature(#[from] SignatureError),
    /// There is no signature.
    #[error(transparent)]
    Sign(#[from] SignError),
}

/// What a log entry is about (RFC 6962 §3.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SignedEntry {
    /// entry_type 0: a certificate.
    X509(Vec<u8>),
    /// entry_type 1: what a precertificate and its final certificate have in common.
    Precert {
        /// SHA-256 of the issuer's SubjectPublicKeyInfo.
        issuer_key_hash: [u8; 32],
        /// TBSCertificate without poison and without list of SCTs.
        tbs: Vec<u8>,
    },
}

/// A leaf of the tree: time, entry and the extensions the log added.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TimestampedEntry {
    /// Milliseconds since the Unix epoch.
    pub timestamp: u64,
    /// What was logged.
    pub entry: SignedEntry,
    /// CtExtensions, contents without their length.
    pub extensions: Vec<u8>,
}

/// Octets covered by an SCT's signature (RFC 6962 §3.2): version, signature type, time, entry, extensions.
pub fn signed_data(timestamp: u64, entry: &SignedEntry, extensions: &[u8]) -> Result<Vec<u8>, SctError> {
    // sct_version v1 (0), signature_type certificate_timestamp (0).
    let mut out = vec![0, 0];
    out.extend_from_slice(&timestamped_entry(timestamp, entry, extensions)?);
    Ok(out)
}

/// The leaf of the Merkle tree (RFC 6962 §3.4): version v1 (0), leaf_type timestamped_entry (0), and the entry.
/// Byte for byte the same as [`signed_data`].
pub fn merkle_tree_leaf(timestamp: u64, entry: &SignedEntry, extensions: &[u8]) -> Result<Vec<u8>, SctError> {
    signed_data(timestamp, entry, extensions)
}

/// TimestampedEntry alone: time, entry type, entry, extensions (what C2SP static-ct-api tiles begin with).
pub fn timestamped_entry(
    timestamp: u64,
    entry: &SignedEntry,
    extensions: &[u8],
) -> Result<Vec<u8>, SctError> {
    let mut out = Vec::with_capacity(64);
    out.extend_from_slice(&timestamp.to_be_bytes());
    match entry {
        SignedEntry::X509(cert) => {
            out.extend_from_slice(&[0, 0]);
            wire::put_u24(&mut out, cert, "certificate")?;
        }
        SignedEntry::Precert { issuer_key_hash, tbs } => {
            out.extend_from_slice(&[0, 1]);
            out.extend_from_slice(issuer_key_hash);
            wire::put_u24(&mut out, tbs, "TBSCertificate")?;
        }
    }
    wire::put_u16(&mut out, extensions, "extensions")?;
    Ok(out)
}

impl TimestampedEntry {
    /// Reads a MerkleTreeLeaf with nothing after it.
    pub fn from_leaf(leaf: &[u8]) -> Result<TimestampedEntry, SctError> {
        let mut r = Reader::new(leaf, "MerkleTreeLeaf");
        if r.take(2)? != [0, 0] {
            return Err(SctError::Malformed("MerkleTreeLeaf version or type"));
        }
        let timestamp = r.u64()?;
        let entry = match r.take(2)? {
            [0, 0] => SignedEntry::X509(r.u24_vec()?),
            [0, 1] => SignedEntry::Precert {
                issuer_key_hash: r.array()?,
                tbs: r.u24_vec()?,
            },
            _ => return Err(SctError::Malformed("entry type")),
        };
        let extensions = r.u16_vec()?;
        r.finish()?;
        Ok(TimestampedEntry {
            timestamp,
            entry,
            extensions,
        })
    }
}

/// extra_data of a certificate: the chain above it (RFC 6962 §4.6).
pub fn x509_extra_data(chain: &[&[u8]]) -> Result<Vec<u8>, SctError> {
    let mut list = Vec::new();
    for cert in chain {
        wire::put_u24(&mut list, cert, "certificate")?;
    }
    let mut out = Vec::new();
    wire::put_u24(&mut out, &list, "certificate chain")?;
    Ok(out)
}

/// extra_data of a precertificate: itself, then the chain above it (RFC 6962 §4.6, PrecertChainEntry).
pub fn precert_extra_data(precertificate: &[u8], chain: &[&[u8]]) -> Result<Vec<u8>, SctError> {
    let mut out = Vec::new();
    wire::put_u24(&mut out, precertificate, "precertificate")?;
    out.extend(x509_extra_data(chain)?);
    Ok(out)
}

/// The extension of C2SP static-ct-api "SCT Extension": type 0, length 5, the leaf's index in 40 bits.
pub fn leaf_index_extension(index: u64) -> Result<[u8; 8], SctError> {
    let [0, 0, 0, a, b, c, d, e] = index.to_be_bytes() else {
        return Err(SctError::TooLong("leaf index"));
    };
    Ok([0, 0, 5, a, b, c, d, e])
}

/// The index in CtExtensions, where they hold a leaf_index (other extensions are passed over).
pub fn leaf_index(extensions: &[u8]) -> Option<u64> {
    let mut r = Reader::new(extensions, "extensions");
    while !r.is_empty() {
        let kind = r.take(1).ok()?;
        let data = r.u16_vec().ok()?;
        if kind == [0] {
            let [a, b, c, d, e] = *data.as_slice() else {
                return None;
            };
            return Some(u64::from_be_bytes([0, 0, 0, a, b, c, d, e]));
        }
    }
    None
}

/// Octets covered by a tree head's signature (RFC 6962 §3.5): 50 of them. `time` is in milliseconds.
pub fn sth_signed_data(time: u64, size: u64, root: &[u8; 32]) -> Vec<u8> {
    // version v1 (0), signature_type tree_hash (1).
    let mut out = vec![0, 1];
    out.extend_from_slice(&time.to_be_bytes());
    out.extend_from_slice(&size.to_be_bytes());
    out.extend_from_slice(root);
    out
}

/// A DigitallySigned of RFC 5246 §4.7: algorithm numbers, length, signature. Logs sign over SHA-256.
pub fn digitally_signed(key: &PublicKey, signature: &[u8]) -> Result<Vec<u8>, SctError> {
    let mut out = algorithm_numbers(key)?.to_vec();
    wire::put_u16(&mut out, signature, "signature")?;
    Ok(out)
}

/// Verifies a DigitallySigned over `message`.
pub fn verify_digitally_signed(key: &PublicKey, message: &[u8], signed: &[u8]) -> Result<(), SctError> {
    let mut r = Reader::new(signed, "DigitallySigned");
    let numbers = r.take(2)?;
    let signature = r.u16_vec()?;
    r.finish()?;
    // The numbers must fit the key, or the signature means something else.
    if numbers != algorithm_numbers(key)? {
        return Err(SctError::Malformed("signature algorithm for this key"));
    }
    Ok(key.verify(HashAlgorithm::Sha256, message, &signature)?)
}

fn algorithm_numbers(key: &PublicKey) -> Result<[u8; 2], SctError> {
    let algorithm = key.algorithm();
    if algorithm.is_ecdsa() && key.default_hash() == HashAlgorithm::Sha256 {
        Ok(SHA256_ECDSA)
    } else if algorithm.rsa_bits().is_some() {
        Ok(SHA256_RSA)
    } else {
        // RFC 6962 §2.1.4: ECDSA on P-256 or RSA, both over SHA-256.
        Err(SignatureError::Unsupported {
            key: algorithm,
            hash: "SHA-256 in a log",
        }
        .into())
    }
}

/// A signed certificate timestamp (RFC 6962 §3.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sct {
    /// SHA-256 of the log key's SubjectPublicKeyInfo.
    pub log_id: [u8; 32],
    /// Milliseconds since the Unix epoch.
    pub timestamp: u64,
    /// CtExtensions, contents without their length.
    pub extensions: Vec<u8>,
    /// The DigitallySigned.
    pub signature: Vec<u8>,
}

impl Sct {
    /// Signs an SCT; the signer's key is the log's: ECDSA P-256 (or RSA).
    pub fn sign(
        log: &dyn Signer,
        timestamp: u64,
        entry: &SignedEntry,
        extensions: &[u8],
    ) -> Result<Sct, SctError> {
        let key = log.public_key();
        algorithm_numbers(key)?;
        let raw = log.sign(&signed_data(timestamp, entry, extensions)?)?;
        Ok(Sct {
            log_id: key.fingerprint(),
            timestamp,
            extensions: extensions.to_vec(),
            signature: digitally_signed(key, &raw)?,
        })
    }

    /// Verifies that the log with this key signed `entry` at this time.
    pub fn verify(&self, entry: &SignedEntry, log_key: &PublicKey) -> Result<(), SctError> {
        if self.log_id != log_key.fingerprint() {
            return Err(SctError::OtherLog);
        }
        let message = signed_data(self.timestamp, entry, &self.extensions)?;
        verify_digitally_signed(log_key, &message, &self.signature)
    }

    /// SignedCertificateTimestamp as octets.
    pub fn to_bytes(&self) -> Result<Vec<u8>, SctError> {
        let mut out = vec![0];
        out.extend_from_slice(&self.log_id);
        out.extend_from_slice(&self.timestamp.to_be_bytes());
        wire::put_u16(&mut out, &self.extensions, "extensions")?;
        out.extend_from_slice(&self.signature);
        Ok(out)
    }

    /// Reads one SignedCertificateTimestamp of version 1 with nothing after it.
    pub fn from_bytes(bytes: &[u8]) -> Result<Sct, SctError> {
        let mut r = Reader::new(bytes, "SignedCertificateTimestamp");
        if r.take(1)? != [0] {
            return Err(SctError::Malformed("SCT version"));
        }
        let log_id = r.array()?;
        let timestamp = r.u64()?;
        let extensions = r.u16_vec()?;
        let signature = r.rest().to_vec();
        let mut signed = Reader::new(&signature, "SCT signature");
        signed.take(2)?;
        signed.u16_vec()?;
        signed.finish()?;
        Ok(Sct {
            log_id,
            timestamp,
            extensions,
            signature,
        })
    }
}

/// The answer to add-chain and add-pre-chain (RFC 6962 §4.1), and the form of a detached SCT in Fulcio.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AddChainResponse {
    /// 0.
    pub sct_version: u8,
    /// Log ID, base64.
    pub id: String,
    /// Milliseconds since the Unix epoch.
    pub timestamp: u64,
    /// CtExtensions, base64; empty text where there are none.
    pub extensions: String,
    /// DigitallySigned, base64.
    pub signature: String,
}

impl From<&Sct> for AddChainResponse {
    fn from(sct: &Sct) -> AddChainResponse {
        use base64::Engine as _;
        let b64 = |bytes: &[u8]| base64::engine::general_purpose::STANDARD.encode(bytes);
        AddChainResponse {
            sct_version: 0,
            id: b64(&sct.log_id),
            timestamp: sct.timestamp,
            extensions: b64(&sct.extensions),
            signature: b64(&sct.signature),
        }
    }
}

impl TryFrom<&AddChainResponse> for Sct {
    type Error = SctError;

    fn try_from(response: &AddChainResponse) -> Result<Sct, SctError> {
        use base64::Engine as _;
        let malformed = |_| SctError::Malformed("base64 in AddChainResponse");
        let b64 = |text: &str| {
            base64::engine::general_purpose::STANDARD
                .decode(text)
                .map_err(malformed)
        };
        let log_id = b64(&response.id)?;
        let sct = Sct {
            log_id: log_id.try_into().map_err(|_| SctError::Malformed("log ID"))?,
            timestamp: response.timestamp,
            extensions: b64(&response.extensions)?,
            signature: b64(&response.signature)?,
        };
        if response.sct_version != 0 {
            return Err(SctError::Malformed("SCT version"));
        }
        Sct::from_bytes(&sct.to_bytes()?)
    }
}
