//! JSON Web Tokens signed with RS256, and the key set that verifies them.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use common_pki::key::{PublicKey, SignError, Signer};
use der::asn1::UintRef;
use der::{Decode, Sequence};
use serde_json::{Map, Value, json};
use std::sync::Arc;

/// `RSAPublicKey` of RFC 8017 §A.1.1.
#[derive(Sequence)]
struct RsaPublicKey<'a> {
    modulus: UintRef<'a>,
    public_exponent: UintRef<'a>,
}

/// The issuer's key with what a token says about it.
pub(crate) struct TokenSigner {
    signer: Arc<dyn Signer>,
    header: String,
    key_set: Value,
}

impl TokenSigner {
    /// `None` unless the key is RSA.
    ///
    /// RS256 it must be: cosign's `--identity-token` takes a token for a file name unless it parses as RS256
    /// (`cosign internal/auth/auth.go`), and RS256 is the default of OpenID Connect Core §15.1.
    pub(crate) fn new(signer: Arc<dyn Signer>) -> Option<Self> {
        let (modulus, exponent) = rsa_components(signer.public_key())?;
        let digest = |text: &str| aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, text.as_bytes());
        // RFC 7638 §3: the thumbprint of the required members in lexicographic order.
        let kid = URL_SAFE_NO_PAD.encode(digest(&format!(
            r#"{{"e":"{exponent}","kty":"RSA","n":"{modulus}"}}"#
        )));
        let header = URL_SAFE_NO_PAD.encode(format!(r#"{{"alg":"RS256","kid":"{kid}","typ":"JWT"}}"#));
        let key =
            json!({ "kty": "RSA", "use": "sig", "alg": "RS256", "kid": kid, "n": modulus, "e": exponent });
        Some(Self {
            signer,
            header,
            key_set: json!({ "keys": [key] }),
        })
    }

    /// The JSON Web Key Set (RFC 7517 §5).
    pub(crate) fn key_set(&self) -> &Value {
        &self.key_set
    }

    /// The compact serialisation (RFC 7515 §7.1). Takes about a millisecond of processor time: not for async threads.
    pub(crate) fn sign(&self, claims: Map<String, Value>) -> Result<String, SignError> {
        let mut token = format!(
            "{}.{}",
            self.header,
            URL_SAFE_NO_PAD.encode(Value::Object(claims).to_string())
        );
        let signature = self.signer.sign(token.as_bytes())?;
        token.push('.');
        token.push_str(&URL_SAFE_NO_PAD.encode(signature));
        Ok(token)
    }
}

/// Modulus and exponent as RFC 7518 §6.3.1 writes them: base64url of the big-endian octets, no leading zero.
fn rsa_components(key: &PublicKey) -> Option<(String, String)> {
    key.algorithm().rsa_bits()?;
    let rsa = RsaPublicKey::from_der(key.subject_public_key()).ok()?;
    let encode = |number: UintRef<'_>| URL_SAFE_NO_PAD.encode(number.as_bytes());
    Some((encode(rsa.modulus), encode(rsa.public_exponent)))
}
