//! A stand-in for the transit engine of Vault, on loopback: it holds keys and signs as the documented interface says, or fails as it
//! is told to. No real Vault was asked.

use std::collections::HashMap;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_lc_rs::digest::{Digest, SHA256, SHA384};
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1_SIGNING, EcdsaKeyPair};
use base64::prelude::{BASE64_STANDARD, Engine as _};
use common_pki::key::{KeyAlgorithm, LocalSigner, Signer as _};
use common_pki::pem;
use serde_json::{Value, json};

use crate::http::{Request, Response, serve};

/// What the server must say to be let in.
const TOKEN: &str = "S3CRET";

/// How a key behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mood {
    /// Signs.
    Sound,
    /// 503, as a sealed Vault answers.
    Sealed,
    /// Does not answer for longer than anybody waits.
    Hanging,
    /// A signature over something else.
    Lying,
    /// Signs so many times more, then as a sealed Vault.
    SealedAfter(u32),
}

/// A key, in its private form for whatever has to be signed.
struct Key {
    signer: LocalSigner,
    pair: Option<EcdsaKeyPair>,
    mood: Mood,
}

/// A running stand-in, on threads that end with the process.
pub struct Vault {
    address: String,
    keys: Arc<Mutex<HashMap<String, Key>>>,
}

impl Vault {
    /// With a key of each of these names and kinds.
    pub fn start(keys: &[(&str, KeyAlgorithm)]) -> Self {
        let keys: HashMap<_, _> = keys
            .iter()
            .map(|(name, algorithm)| ((*name).to_owned(), Key::generate(*algorithm)))
            .collect();
        let keys = Arc::new(Mutex::new(keys));
        let held = Arc::clone(&keys);
        let address = serve(move |request| answer(&request, &held));
        Self { address, keys }
    }

    /// Lets a command use the keys.
    pub fn lend<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        command.env("VAULT_ADDR", &self.address).env("VAULT_TOKEN", TOKEN)
    }

    /// From now on the key `name` behaves like that.
    pub fn set(&self, name: &str, mood: Mood) {
        self.keys.lock().unwrap().get_mut(name).unwrap().mood = mood;
    }
}

impl Key {
    fn generate(algorithm: KeyAlgorithm) -> Self {
        let (signer, private) = LocalSigner::generate(algorithm).unwrap();
        let curve = match algorithm {
            KeyAlgorithm::EcdsaP256 => Some(&ECDSA_P256_SHA256_ASN1_SIGNING),
            KeyAlgorithm::EcdsaP384 => Some(&ECDSA_P384_SHA384_ASN1_SIGNING),
            _ => None,
        };
        let pair = curve.map(|curve| {
            let (_, der) = pem::decode_private(private.as_bytes()).unwrap();
            EcdsaKeyPair::from_pkcs8(curve, &der).unwrap()
        });
        Self {
            signer,
            pair,
            mood: Mood::Sound,
        }
    }

    /// What a sign request is answered with: a signature over its digest, or over its message for Ed25519.
    fn sign(&self, input: &[u8]) -> Vec<u8> {
        let Some(pair) = &self.pair else {
            return self.signer.sign(input).unwrap();
        };
        let hash = if input.len() == 32 { &SHA256 } else { &SHA384 };
        let digest = Digest::import_less_safe(input, hash).unwrap();
        pair.sign_digest(&digest).unwrap().as_ref().to_vec()
    }

    fn public(&self) -> Value {
        let key = self.signer.public_key();
        match key.algorithm() {
            // The 32 octets behind the header of RFC 8410.
            KeyAlgorithm::Ed25519 => BASE64_STANDARD.encode(&key.spki_der()[12..]).into(),
            _ => key.to_pem().into(),
        }
    }
}

fn answer(request: &Request, keys: &Mutex<HashMap<String, Key>>) -> Response {
    if request.header("x-vault-token") != TOKEN {
        return Response::json(403, &json!({"errors": ["permission denied"]}));
    }
    let asked = serde_json::from_slice(&request.body).unwrap_or(Value::Null);
    let (status, document) = grant(request.path.trim_start_matches("/v1/transit/"), &asked, keys);
    Response::json(status, &document)
}

/// `keys/NAME`, `sign/NAME` or `sign/NAME/sha2-256`.
fn grant(path: &str, asked: &Value, keys: &Mutex<HashMap<String, Key>>) -> (u16, Value) {
    let mut steps = path.split('/');
    let (operation, name) = (steps.next().unwrap_or_default(), steps.next().unwrap_or_default());
    let sealed = (503, json!({"errors": ["Vault is sealed"]}));
    let mut held = keys.lock().unwrap();
    let Some(key) = held.get_mut(name) else {
        return (404, json!({"errors": []}));
    };
    if operation == "keys" {
        let versions = json!({"1": {"public_key": key.public()}});
        return (200, json!({"data": {"latest_version": 1, "keys": versions}}));
    }
    let mut input = BASE64_STANDARD
        .decode(asked["input"].as_str().unwrap_or_default())
        .unwrap();
    match key.mood {
        Mood::Sound => {}
        Mood::Sealed | Mood::SealedAfter(0) => return sealed,
        Mood::SealedAfter(left) => key.mood = Mood::SealedAfter(left - 1),
        Mood::Lying => input[0] ^= 1,
        Mood::Hanging => {
            drop(held);
            std::thread::sleep(Duration::from_secs(30));
            return sealed;
        }
    }
    let signature = format!("vault:v1:{}", BASE64_STANDARD.encode(key.sign(&input)));
    (200, json!({"data": {"signature": signature}}))
}
