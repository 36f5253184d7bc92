//! An issuer's public key, ready to verify with.
//!
//! `openidconnect` defines what a JWK is and how a set of them is read ([`JsonWebKeySet`]); its own key
//! type verifies with slow pure-Rust code and not at all with P-521, so this one parses each key once
//! for aws-lc-rs. RFC 7517, RFC 7518 §6, RFC 8037 §2.

use aws_lc_rs::digest;
use aws_lc_rs::rsa::PublicKeyComponents;
use aws_lc_rs::signature::{self, ParsedPublicKey, VerificationAlgorithm};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use common_pki::key::PublicKey;
use openidconnect::core::{CoreJsonWebKeyType, CoreJsonWebKeyUse, CoreJwsSigningAlgorithm as Jws};
use openidconnect::{
    JsonWebKey, JsonWebKeyAlgorithm, JsonWebKeyId, JsonWebKeySet, JsonWebKeyUse as _,
    SignatureVerificationError,
};
use serde::{Deserialize, Serialize};

use super::token::algorithm;

/// A published key set.
pub(crate) type Jwks = JsonWebKeySet<Jwk>;

/// The members of RFC 7517 §4 and RFC 7518 §6 that are used, as they came.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
struct Members {
    kty: String,
    #[serde(rename = "use", skip_serializing_if = "Option::is_none")]
    usage: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    kid: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    alg: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    crv: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    n: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    e: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    x: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    y: Option<String>,
}

/// A key of one of the families RSA, EC and OKP.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(try_from = "Members", into = "Members")]
pub(crate) struct Jwk {
    members: Members,
    id: Option<JsonWebKeyId>,
    family: CoreJsonWebKeyType,
    usage: Option<CoreJsonWebKeyUse>,
    /// What the key may verify: the algorithms of its family and curve, or the one its `alg` names.
    verifiers: Vec<(Jws, ParsedPublicKey)>,
}

/// RSA keys serve six algorithms unless `alg` says which (RFC 7518 §3.3 and §3.5: at least 2048 bits).
static RSA: [(Jws, &signature::RsaParameters); 6] = [
    (Jws::RsaSsaPkcs1V15Sha256, &signature::RSA_PKCS1_2048_8192_SHA256),
    (Jws::RsaSsaPkcs1V15Sha384, &signature::RSA_PKCS1_2048_8192_SHA384),
    (Jws::RsaSsaPkcs1V15Sha512, &signature::RSA_PKCS1_2048_8192_SHA512),
    (Jws::RsaSsaPssSha256, &signature::RSA_PSS_2048_8192_SHA256),
    (Jws::RsaSsaPssSha384, &signature::RSA_PSS_2048_8192_SHA384),
    (Jws::RsaSsaPssSha512, &signature::RSA_PSS_2048_8192_SHA512),
];

impl TryFrom<Members> for Jwk {
    type Error = &'static str;

    fn try_from(members: Members) -> Result<Self, &'static str> {
        // An encryption key, or one for an algorithm that is not verified here, verifies nothing.
        let named = match &members.alg {
            None => None,
            Some(name) => Some(algorithm(name).ok_or("alg is not a signing algorithm verified here")?),
        };
        let usage = match members.usage.as_deref() {
            None => None,
            // The latter in trust bundles of SPIFFE (SPIFFE Trust Domain and Bundle §4.2.2); `x509-svid` keys sign no tokens.
            Some("sig" | "jwt-svid") => Some(CoreJsonWebKeyUse::Signature),
            Some(_) => return Err("use is not sig or jwt-svid"),
        };
        let (family, mut verifiers) = match members.kty.as_str() {
            "RSA" => (CoreJsonWebKeyType::RSA, rsa(&members, named.as_ref())?),
            "EC" => (CoreJsonWebKeyType::EllipticCurve, vec![ec(&members)?]),
            "OKP" => (CoreJsonWebKeyType::OctetKeyPair, vec![okp(&members)?]),
            _ => return Err("kty is not RSA, EC or OKP"),
        };
        if let Some(named) = named {
            verifiers.retain(|(one, _)| *one == named);
        }
        if verifiers.is_empty() {
            return Err("alg does not fit the key's family");
        }
        Ok(Self {
            id: members.kid.clone().map(JsonWebKeyId::new),
            family,
            usage,
            verifiers,
            members,
        })
    }
}

impl From<Jwk> for Members {
    fn from(key: Jwk) -> Self {
        key.members
    }
}

fn member(text: Option<&String>) -> Result<Vec<u8>, &'static str> {
    let text = text.ok_or("a member of the key is missing")?;
    URL_SAFE_NO_PAD
        .decode(text)
        .map_err(|_| "a member of the key is not base64url")
}

fn rsa(members: &Members, named: Option<&Jws>) -> Result<Vec<(Jws, ParsedPublicKey)>, &'static str> {
    let trimmed = |bytes: Vec<u8>| {
        bytes
            .into_iter()
            .skip_while(|byte| *byte == 0)
            .collect::<Vec<u8>>()
    };
    let (n, e) = (
        trimmed(member(members.n.as_ref())?),
        trimmed(member(members.e.as_ref())?),
    );
    // RFC 7518 §3.3 sets the lower bound; the upper one bounds the work of a verification.
    if !(2048 / 8..=8192 / 8).contains(&n.len()) || e.len() > 8 {
        return Err("an RSA key must have 2048 to 8192 bits");
    }
    // RFC 8017 §3.1: both odd, the exponent at least 3. With 1 a signature is its own message, and anybody makes one.
    let odd = |number: &[u8]| number.last().is_some_and(|byte| byte & 1 == 1);
    if !odd(&n) || !odd(&e) || e == [1] {
        return Err("modulus and exponent of an RSA key must be odd, and the exponent at least 3");
    }
    let components = PublicKeyComponents { n, e };
    RSA.iter()
        .filter(|(one, _)| named.is_none_or(|named| named == one))
        .map(|(one, parameters)| {
            let key = components
                .to_parsed_public_key(parameters)
                .map_err(|_| "not an RSA public key")?;
            Ok((one.clone(), key))
        })
        .collect()
}

fn ec(members: &Members) -> Result<(Jws, ParsedPublicKey), &'static str> {
    let (algorithm, verifier, width): (_, &'static dyn VerificationAlgorithm, usize) =
        match members.crv.as_deref() {
            Some("P-256") => (Jws::EcdsaP256Sha256, &signature::ECDSA_P256_SHA256_FIXED, 32),
            Some("P-384") => (Jws::EcdsaP384Sha384, &signature::ECDSA_P384_SHA384_FIXED, 48),
            Some("P-521") => (Jws::EcdsaP521Sha512, &signature::ECDSA_P521_SHA512_FIXED, 66),
            _ => return Err("crv is not P-256, P-384 or P-521"),
        };
    let (x, y) = (member(members.x.as_ref())?, member(members.y.as_ref())?);
    // RFC 7518 §6.2.1.2: full size, leading zeros included.
    if x.len() != width || y.len() != width {
        return Err("a coordinate does not have the curve's size");
    }
    let point = [&[0x04], x.as_slice(), y.as_slice()].concat();
    let key = ParsedPublicKey::new(verifier, point).map_err(|_| "not a point of the curve")?;
    Ok((algorithm, key))
}

fn okp(members: &Members) -> Result<(Jws, ParsedPublicKey), &'static str> {
    if members.crv.as_deref() != Some("Ed25519") {
        return Err("crv is not Ed25519");
    }
    // RFC 8037 §2: the public key of RFC 8032 §5.1.5, 32 octets; aws-lc-rs would take other encodings.
    let x: [u8; 32] = member(members.x.as_ref())?
        .try_into()
        .map_err(|_| "x does not have 32 octets")?;
    PublicKey::from_ed25519(&x)
        .map_err(|_| "not an Ed25519 key")?
        .check_strength()
        .map_err(|_| "an Ed25519 key of small order verifies signatures nobody made")?;
    let key = ParsedPublicKey::new(&signature::ED25519, x).map_err(|_| "not an Ed25519 key")?;
    Ok((Jws::EdDsa, key))
}

impl JsonWebKey for Jwk {
    type KeyUse = CoreJsonWebKeyUse;
    type SigningAlgorithm = Jws;

    fn key_id(&self) -> Option<&JsonWebKeyId> {
        self.id.as_ref()
    }

    fn key_type(&self) -> &CoreJsonWebKeyType {
        &self.family
    }

    fn key_use(&self) -> Option<&CoreJsonWebKeyUse> {
        self.usage.as_ref()
    }

    fn signing_alg(&self) -> JsonWebKeyAlgorithm<&Jws> {
        match (&self.members.alg, self.verifiers.first()) {
            (None, _) => JsonWebKeyAlgorithm::Unspecified,
            (Some(_), Some((algorithm, _))) => JsonWebKeyAlgorithm::Algorithm(algorithm),
            (Some(_), None) => JsonWebKeyAlgorithm::Unsupported,
        }
    }

    /// The trait wants one; a shared secret verifies nothing here (RFC 8725 §2.1).
    fn new_symmetric(_key: Vec<u8>) -> Self {
        Self {
            members: Members {
                kty: "oct".to_owned(),
                ..Members::default()
            },
            id: None,
            family: CoreJsonWebKeyType::Symmetric,
            usage: None,
            verifiers: Vec::new(),
        }
    }

    fn verify_signature(
        &self,
        algorithm: &Jws,
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), SignatureVerificationError> {
        let (_, key) = self
            .verifiers
            .iter()
            .find(|(one, _)| one == algorithm)
            .ok_or_else(|| {
                SignatureVerificationError::InvalidKey("the key does not serve this algorithm".to_owned())
            })?;
        key.verify_sig(message, signature)
            .map_err(|_| SignatureVerificationError::CryptoError("the signature does not verify".to_owned()))
    }

    fn hash_bytes(&self, bytes: &[u8], algorithm: &Jws) -> Result<Vec<u8>, String> {
        let hash = match algorithm {
            Jws::RsaSsaPkcs1V15Sha256 | Jws::RsaSsaPssSha256 | Jws::EcdsaP256Sha256 => &digest::SHA256,
            Jws::RsaSsaPkcs1V15Sha384 | Jws::RsaSsaPssSha384 | Jws::EcdsaP384Sha384 => &digest::SHA384,
            Jws::RsaSsaPkcs1V15Sha512 | Jws::RsaSsaPssSha512 | Jws::EcdsaP521Sha512 | Jws::EdDsa => {
                &digest::SHA512
            }
            _ => return Err("the algorithm has no hash here".to_owned()),
        };
        Ok(digest::digest(hash, bytes).as_ref().to_vec())
    }
}

/// The keys of `set` that can have made a signature of `algorithm` under `kid`; all of the family when
/// the token names none, but never more than `limit`.
pub(crate) fn candidates<'a>(
    set: &'a Jwks,
    kid: Option<&'a str>,
    algorithm: &'a Jws,
    limit: usize,
) -> impl Iterator<Item = &'a Jwk> {
    set.keys()
        .iter()
        .filter(move |key| kid.is_none_or(|kid| key.key_id().is_some_and(|id| id.as_str() == kid)))
        .filter(|key| key.key_use().is_none_or(CoreJsonWebKeyUse::allows_signature))
        .filter(move |key| key.verifiers.iter().any(|(one, _)| one == algorithm))
        .take(limit)
}
