//! SSH keys, and signatures as `ssh-keygen -Y sign -n file` makes them (`openssh-portable PROTOCOL.sshsig`).
//!
//! `ssh-key` reads and writes the formats; the back end of everything else verifies.

use common_pki::key::{self, HashAlgorithm};
use common_pki::pem;
use ssh_encoding::{Decode as _, Encode as _, Reader as _};
use ssh_key::authorized_keys::AuthorizedKeys;
use ssh_key::public::KeyData;
use ssh_key::{Algorithm, SshSig};

use crate::error::Invalid;
use crate::signature::SignatureFailure;

/// Longest text of a key (`rekor pkg/pki/ssh/ssh.go`).
const MAX_KEY: usize = 65_536;
const LABEL: &str = "SSH SIGNATURE";
/// The only namespace that is taken: a signature for another purpose proves nothing about a file.
const NAMESPACE: &str = "file";

pub(crate) struct PublicKey(ssh_key::PublicKey);

impl PublicKey {
    /// The first key of an `authorized_keys` file, whose options say nothing here.
    pub(super) fn parse(text: &[u8]) -> Result<Self, Invalid> {
        if text.len() > MAX_KEY {
            return Err(Invalid::SshKey(format!(
                "{} octets, at most {MAX_KEY} are allowed",
                text.len()
            )));
        }
        let text = std::str::from_utf8(text).map_err(|_| Invalid::SshKey("not text".to_owned()))?;
        let entry = AuthorizedKeys::new(text).next();
        let entry = entry.ok_or_else(|| Invalid::SshKey("no key found".to_owned()))?;
        let entry = entry.map_err(|error| Invalid::SshKey(error.to_string()))?;
        Ok(Self(entry.public_key().clone()))
    }

    /// The line without its comment, and so without the address in it.
    pub(super) fn canonical(&self) -> String {
        let bare = ssh_key::PublicKey::from(self.0.key_data().clone());
        // Encoding what was decoded cannot fail.
        bare.to_openssh().map(|line| line + "\n").unwrap_or_default()
    }

    /// The comment, if it is an e-mail address.
    pub(super) fn subjects(&self) -> Vec<String> {
        let comment = self.0.comment();
        crate::index::is_email(comment)
            .then(|| comment.to_owned())
            .into_iter()
            .collect()
    }
}

pub(crate) struct Signature(SshSig);

impl Signature {
    pub(super) fn parse(text: &[u8]) -> Result<Self, Invalid> {
        let invalid = |what: &str| Invalid::SshSignature(what.to_owned());
        let (block, _) = pem::decode(text).map_err(|_| invalid("unable to decode pem file"))?;
        if block.label != LABEL {
            let got = block.label;
            return Err(invalid(&format!(
                "wrong pem block type: {got}. Expected SSH-SIGNATURE"
            )));
        }
        let mut reader = block.contents.as_slice();
        let parsed = SshSig::decode(&mut reader).map_err(|error| invalid(&error.to_string()))?;
        if !reader.is_finished() {
            return Err(invalid("data behind the signature"));
        }
        if parsed.namespace() != NAMESPACE {
            let got: String = parsed.namespace().chars().take(64).collect();
            return Err(invalid(&format!("invalid signature namespace: {got}")));
        }
        Ok(Self(parsed))
    }

    /// Armored with 64 columns, as Go's `encoding/pem` does, where OpenSSH has 70.
    ///
    /// Upstream writes `sha512` whatever the hash was, which spoils signatures over SHA-256; here they stay what they are.
    pub(super) fn canonical(&self) -> Result<String, Invalid> {
        let mut contents = Vec::new();
        self.0
            .encode(&mut contents)
            .map_err(|error| Invalid::SshSignature(error.to_string()))?;
        Ok(pem::encode(LABEL, &contents))
    }

    /// Verifies with the key given. The key inside the signature is not compared with it, as upstream has it.
    pub(super) fn verify(&self, key: &PublicKey, message: &[u8]) -> Result<(), Invalid> {
        let signed = SshSig::signed_data(NAMESPACE, self.0.hash_alg(), message)
            .map_err(|error| Invalid::SshSignature(error.to_string()))?;
        let signature = self.0.signature();
        let failed = || Invalid::from(SignatureFailure::Ssh);
        if key.0.algorithm() != signature_key(&signature.algorithm()) {
            return Err(failed());
        }
        let octets = signature.as_bytes();
        match (key.0.key_data(), signature.algorithm()) {
            (KeyData::Ed25519(key), _) => verify_ed25519(&key.0, &signed, octets),
            (KeyData::Ecdsa(key), _) => verify_ecdsa(key.as_sec1_bytes(), &signed, octets),
            (KeyData::Rsa(key), Algorithm::Rsa { hash: Some(hash) }) => {
                let (modulus, exponent) = (key.n.as_positive_bytes(), key.e.as_positive_bytes());
                let (modulus, exponent) = modulus.zip(exponent).ok_or_else(failed)?;
                let key = key::PublicKey::from_rsa_numbers(modulus, exponent).map_err(Invalid::Key)?;
                let hash = match hash {
                    ssh_key::HashAlg::Sha256 => HashAlgorithm::Sha256,
                    ssh_key::HashAlg::Sha512 => HashAlgorithm::Sha512,
                    _ => return Err(failed()),
                };
                key.verify(hash, &signed, octets)
                    .map_err(|_| SignatureFailure::Rsa.into())
            }
            (KeyData::SkEd25519(key), _) => {
                let (octets, signed) = security_key(key.application(), &signed, octets).ok_or_else(failed)?;
                verify_ed25519(&key.public_key().0, &signed, octets)
            }
            (KeyData::SkEcdsaSha2NistP256(key), _) => {
                let (octets, signed) = security_key(key.application(), &signed, octets).ok_or_else(failed)?;
                verify_ecdsa(key.ec_point().as_bytes(), &signed, octets)
            }
            // DSA, RSA over SHA-1 (which PROTOCOL.sshsig forbids), certificates, and what we do not know.
            _ => Err(failed()),
        }
    }
}

/// The algorithm of the keys that make such signatures: those of RSA name a hash, the keys do not.
fn signature_key(signature: &Algorithm) -> Algorithm {
    match signature {
        Algorithm::Rsa { .. } => Algorithm::Rsa { hash: None },
        other => other.clone(),
    }
}

fn verify_ed25519(key: &[u8; 32], signed: &[u8], signature: &[u8]) -> Result<(), Invalid> {
    let key = key::PublicKey::from_ed25519(key).map_err(Invalid::Key)?;
    key.verify(key.default_hash(), signed, signature)
        .map_err(|_| SignatureFailure::Ssh.into())
}

/// A signature of two integers, each with its length (RFC 5656 §3.1.2), over the hash of the curve's size (§6.2.1).
fn verify_ecdsa(point: &[u8], signed: &[u8], signature: &[u8]) -> Result<(), Invalid> {
    let key = key::PublicKey::from_ec_point(point).map_err(Invalid::Key)?;
    let failed = || Invalid::from(SignatureFailure::Ssh);
    let mut reader = signature;
    let mut integer = || -> Result<Vec<u8>, Invalid> {
        let number = ssh_key::Mpint::decode(&mut reader).map_err(|_| failed())?;
        number.as_positive_bytes().map(<[u8]>::to_vec).ok_or_else(failed)
    };
    let (r, s) = (integer()?, integer()?);
    if !reader.is_finished() {
        return Err(failed());
    }
    let hash = key.default_hash();
    key.verify_digest_integers(hash, &hash.digest(signed), &r, &s)
        .map_err(|_| failed())
}

/// Takes flags and counter off the signature of a security key, and gives what the device signed
/// (`openssh-portable PROTOCOL.u2f` "SSH U2F Signatures").
fn security_key<'a>(application: &str, signed: &[u8], signature: &'a [u8]) -> Option<(&'a [u8], Vec<u8>)> {
    let (signature, flags_and_counter) = signature.split_at_checked(signature.len().checked_sub(5)?)?;
    let mut message = key::sha256(application.as_bytes()).to_vec();
    message.extend_from_slice(flags_and_counter);
    message.extend_from_slice(&key::sha256(signed));
    Some((signature, message))
}
