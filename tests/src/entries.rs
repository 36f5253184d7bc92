//! Requests of our own making: keys, signatures and the bodies that carry them.

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _};
use base64::prelude::{BASE64_STANDARD, Engine as _};
use serde_json::{Value, json};

/// A fresh ECDSA P-256 key.
pub struct Key {
    pair: EcdsaKeyPair,
}

/// DER of a P-256 SubjectPublicKeyInfo up to the point (RFC 5480 §2).
const P256_SPKI: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86,
    0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];

impl Key {
    /// Makes one.
    pub fn generate() -> Self {
        let pkcs8 =
            EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &SystemRandom::new()).unwrap();
        Self {
            pair: EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, pkcs8.as_ref()).unwrap(),
        }
    }

    /// SubjectPublicKeyInfo, DER.
    pub fn spki(&self) -> Vec<u8> {
        [&P256_SPKI, self.pair.public_key().as_ref()].concat()
    }

    /// The same as PEM.
    pub fn pem(&self) -> String {
        let text = BASE64_STANDARD.encode(self.spki());
        let lines: Vec<&str> = text
            .as_bytes()
            .chunks(64)
            .map(|c| std::str::from_utf8(c).unwrap())
            .collect();
        format!(
            "-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n",
            lines.join("\n")
        )
    }

    /// ECDSA with SHA-256 over `message`, DER.
    pub fn sign(&self, message: &[u8]) -> Vec<u8> {
        self.pair
            .sign(&SystemRandom::new(), message)
            .unwrap()
            .as_ref()
            .to_vec()
    }

    /// A proposed `hashedrekord` 0.0.1 over `message`.
    pub fn v1(&self, message: &[u8]) -> Value {
        json!({
            "apiVersion": "0.0.1",
            "kind": "hashedrekord",
            "spec": {
                "data": {"hash": {"algorithm": "sha256", "value": hex::encode(digest(&SHA256, message))}},
                "signature": {
                    "content": BASE64_STANDARD.encode(self.sign(message)),
                    "publicKey": {"content": BASE64_STANDARD.encode(self.pem())},
                },
            },
        })
    }

    /// A `hashedRekordRequestV002` over `message`.
    pub fn v2(&self, message: &[u8]) -> Value {
        json!({
            "hashedRekordRequestV002": {
                "digest": BASE64_STANDARD.encode(digest(&SHA256, message)),
                "signature": {
                    "content": BASE64_STANDARD.encode(self.sign(message)),
                    "verifier": {
                        "publicKey": {"rawBytes": BASE64_STANDARD.encode(self.spki())},
                        "keyDetails": "PKIX_ECDSA_P256_SHA_256",
                    },
                },
            },
        })
    }

    /// A request for a certificate: the token, our key, and our signature over the name in the token.
    pub fn certificate(&self, token: &str, name: &str) -> Value {
        json!({
            "credentials": {"oidcIdentityToken": token},
            "publicKeyRequest": {
                "publicKey": {"algorithm": "ECDSA", "content": self.pem()},
                "proofOfPossession": BASE64_STANDARD.encode(self.sign(name.as_bytes())),
            },
        })
    }
}

/// `value` with each of its members, at every depth, deleted, nulled, emptied and given another type.
pub fn mutations(value: &Value) -> Vec<(String, Value)> {
    let mut all = Vec::new();
    for pointer in pointers(value, String::new()) {
        for (what, replacement) in [
            ("deleted", None),
            ("null", Some(Value::Null)),
            ("empty", Some(json!(""))),
            ("a number", Some(json!(7))),
            ("a list", Some(json!([]))),
            ("an object", Some(json!({}))),
        ] {
            let mut changed = value.clone();
            match replacement {
                Some(new) if changed.pointer(&pointer) != Some(&new) => {
                    *changed.pointer_mut(&pointer).unwrap() = new;
                }
                Some(_) => continue,
                None => {
                    let (parent, member) = pointer.rsplit_once('/').unwrap();
                    let Some(Value::Object(parent)) = changed.pointer_mut(parent) else {
                        continue;
                    };
                    parent.remove(member);
                }
            }
            all.push((format!("{pointer} {what}"), changed));
        }
    }
    all
}

fn pointers(value: &Value, at: String) -> Vec<String> {
    let members: Vec<(String, &Value)> = match value {
        Value::Object(map) => map.iter().map(|(k, v)| (format!("{at}/{k}"), v)).collect(),
        Value::Array(list) => list
            .iter()
            .enumerate()
            .map(|(i, v)| (format!("{at}/{i}"), v))
            .collect(),
        _ => Vec::new(),
    };
    members
        .into_iter()
        .flat_map(|(p, v)| std::iter::once(p.clone()).chain(pointers(v, p)))
        .collect()
}
