//! Keys on a PKCS #11 token (OASIS PKCS #11 v2.40 and 3.0): found by label or id, used there, never taken out.
//!
//! The token needs the private and the public key object under one label or id; certificates are not looked for there. Its
//! calls cannot be interrupted, so threads of their own make them, and whoever asked stops waiting after [`LIMIT`].

mod token;
mod uri;

use std::sync::Arc;

use common_pki::key::{KeyAlgorithm, PublicKey, SignError, Signer};

use super::guard::{Guarded, LIMIT, Outside};
use super::{Env, KeyringError, ecdsa, existing};
use token::{Find, Order, Token};
use uri::TokenUri;

/// Whether it is the URI of a token, or of a key on one.
pub(super) fn check(uri: &str) -> Result<(), KeyringError> {
    TokenUri::parse(uri).map(|_| ())
}

/// The key that the URI names.
pub(super) fn open(env: &Env, uri: &str) -> Result<Arc<dyn Signer>, KeyringError> {
    let parsed = TokenUri::parse(uri)?;
    let find = parsed.find().ok_or_else(|| KeyringError::Uri {
        uri: uri.to_owned(),
        problem: "expected object=LABEL or id=ID, which key of the token it is",
    })?;
    opened(env, uri, &parsed, find)
}

fn opened(env: &Env, uri: &str, parsed: &TokenUri, find: Find) -> Result<Arc<dyn Signer>, KeyringError> {
    let token = Token::get(env, parsed)?;
    let found = token.ask(Order::PublicKey(find.clone()));
    let key = found.map_err(|cause| failed(uri, cause))?.key();
    let key = key.ok_or_else(|| KeyringError::Missing(uri.to_owned()))?;
    Ok(Arc::new(Guarded::new(Key { token, find }, key)))
}

/// Generates a key on the token, under the label `id` unless the place names another.
pub(super) fn create(
    env: &Env,
    place: &str,
    id: &str,
    algorithm: KeyAlgorithm,
) -> Result<(Arc<dyn Signer>, String), KeyringError> {
    let mut parsed = TokenUri::parse(place)?;
    if let Some(find) = parsed.find() {
        // Named in full: a key that the operator made, or one of an interrupted first start.
        let uri = parsed.to_string();
        return existing(opened(env, &uri, &parsed, find)?, &uri, algorithm);
    }
    parsed.set_object(id);
    let uri = parsed.to_string();
    let find = parsed.find().ok_or_else(|| KeyringError::Missing(uri.clone()))?;
    let token = Token::get(env, &parsed)?;
    let ask = |order| token.ask(order).map_err(|cause| failed(&uri, cause));
    if ask(Order::PublicKey(find.clone()))?.key().is_some() {
        // Two logs with one key would be one log with two histories.
        return Err(KeyringError::Exists(uri));
    }
    ask(Order::Generate(find.clone(), algorithm))?;
    Ok((opened(env, &uri, &parsed, find)?, uri))
}

fn failed(uri: &str, source: SignError) -> KeyringError {
    KeyringError::Key {
        at: uri.to_owned(),
        source,
    }
}

/// A key on a token.
struct Key {
    token: Arc<Token>,
    find: Find,
}

impl Outside for Key {
    fn sign(&self, key: &PublicKey, message: &[u8]) -> Result<Vec<u8>, SignError> {
        let ecdsa = key.algorithm().is_ecdsa();
        // CKM_ECDSA signs a digest (PKCS #11 v2.40 mechanisms §2.3.6); the other two hash by themselves.
        let input = if ecdsa {
            key.default_hash().digest(message)
        } else {
            message.to_vec()
        };
        let signature = self
            .token
            .ask(Order::Sign(
                self.find.clone(),
                key.algorithm(),
                key.default_hash(),
                input,
            ))?
            .signature()?;
        if ecdsa {
            ecdsa::to_der(&signature)
        } else {
            Ok(signature)
        }
    }
}

#[cfg(test)]
mod tests;
