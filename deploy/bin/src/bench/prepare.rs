//! Requests made before the clock runs: each has a digest, a key and a signature of its own, as real ones do.

use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use common_pki::key::{HashAlgorithm, KeyAlgorithm, LocalSigner, SignError, Signer, sha256};
use common_pki::tsp::{ImprintAlgorithm, MessageImprint, TimeStampRequest, TspError};
use serde_json::json;

use super::work::Work;
use crate::console::Console;
use crate::http::{Client, HttpError};
use crate::token::{self, TokenError};

/// Identities that ask for certificates in turn.
const IDENTITIES: usize = 32;
/// From this many requests on it takes seconds, and each quarter is reported.
const MANY: usize = 20_000;

/// Why requests could not be made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PrepareError {
    /// The issuer gave no token.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// The instance's URL is none.
    #[error(transparent)]
    Http(#[from] HttpError),
    /// No key or no signature.
    #[error(transparent)]
    Sign(#[from] SignError),
    /// A timestamp request could not be written.
    #[error(transparent)]
    Timestamp(#[from] TspError),
    /// The operating system has no randomness.
    #[error("no randomness is available")]
    Random,
    /// A thread ended early.
    #[error("a thread that makes requests failed")]
    Thread,
}

/// An e-mail address with a token that proves it.
#[derive(Clone, Debug)]
struct Identity {
    email: String,
    token: String,
}

/// What requests are made of beyond keys: tokens, where the work needs them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Materials(Vec<Identity>);

impl Materials {
    /// Fresh tokens of the instance's development issuer.
    ///
    /// # Errors
    /// [`PrepareError`] when it gives none.
    pub(crate) async fn fetch(work: Work, url: &str) -> Result<Materials, PrepareError> {
        let mut identities = Vec::new();
        if work == Work::Certificate {
            let client = Client::new(url)?;
            for number in 0..IDENTITIES {
                let email = format!("bench-{number}@example.com");
                let token = token::get(&client, &json!({ "email": email })).await?;
                identities.push(Identity { email, token });
            }
        }
        Ok(Materials(identities))
    }
}

/// Makes `count` bodies on every core, with progress on standard error.
///
/// # Errors
/// [`PrepareError`] of the first one that could not be made.
pub(crate) fn bodies(
    work: Work,
    count: usize,
    materials: &Materials,
    console: Console,
) -> Result<Vec<Bytes>, PrepareError> {
    let maker = Maker::new(work, materials)?;
    let progress = Progress {
        work,
        count,
        done: AtomicUsize::new(0),
        console,
    };
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let share = count.div_ceil(threads).max(1);
    thread::scope(|scope| {
        let workers: Vec<_> = (0..count)
            .step_by(share)
            .map(|start| {
                let (maker, progress) = (&maker, &progress);
                scope.spawn(move || maker.range(start..start.saturating_add(share).min(count), progress))
            })
            .collect();
        let joined = workers
            .into_iter()
            .map(|worker| worker.join().map_err(|_| PrepareError::Thread)?);
        Ok(joined
            .collect::<Result<Vec<_>, PrepareError>>()?
            .into_iter()
            .flatten()
            .collect())
    })
}

/// How far all threads together are.
struct Progress {
    work: Work,
    count: usize,
    done: AtomicUsize,
    console: Console,
}

impl Progress {
    fn one_more(&self) {
        let done = self.done.fetch_add(1, Ordering::Relaxed).saturating_add(1);
        let quarter = self.count.div_ceil(4).max(1);
        if self.count >= MANY && (done == self.count || done.is_multiple_of(quarter)) {
            self.console.remark(&format!(
                "  prepared {done} of {} {} requests",
                self.count,
                self.work.name()
            ));
        }
    }
}

/// Makes bodies of one kind; no two makers make the same.
struct Maker<'a> {
    work: Work,
    materials: &'a Materials,
    seed: [u8; 16],
}

impl<'a> Maker<'a> {
    fn new(work: Work, materials: &'a Materials) -> Result<Self, PrepareError> {
        let mut seed = [0; 16];
        aws_lc_rs::rand::fill(&mut seed).map_err(|_| PrepareError::Random)?;
        Ok(Self {
            work,
            materials,
            seed,
        })
    }

    fn range(&self, numbers: Range<usize>, progress: &Progress) -> Result<Vec<Bytes>, PrepareError> {
        let mut bodies = Vec::with_capacity(numbers.len());
        for number in numbers {
            bodies.push(self.body(number)?.into());
            progress.one_more();
        }
        Ok(bodies)
    }

    fn body(&self, number: usize) -> Result<Vec<u8>, PrepareError> {
        let message = [self.seed.as_slice(), &number.to_be_bytes()].concat();
        match self.work {
            Work::V1 => v1(&message),
            Work::V2 => v2(&message),
            Work::Certificate => {
                let identity = number
                    .checked_rem(self.materials.0.len())
                    .and_then(|turn| self.materials.0.get(turn));
                certificate(identity.ok_or(PrepareError::Random)?)
            }
            Work::Timestamp => timestamp(&message),
        }
    }
}

/// rekor `openapi.yaml`, `hashedrekord` 0.0.1.
fn v1(message: &[u8]) -> Result<Vec<u8>, PrepareError> {
    let (signer, _) = LocalSigner::generate(KeyAlgorithm::EcdsaP256)?;
    let (signature, key) = (signer.sign(message)?, signer.public_key().to_pem());
    let body = json!({
        "apiVersion": "0.0.1",
        "kind": "hashedrekord",
        "spec": {
            "data": { "hash": { "algorithm": "sha256", "value": hex::encode(sha256(message)) } },
            "signature": { "content": STANDARD.encode(signature), "publicKey": { "content": STANDARD.encode(key) } },
        },
    });
    Ok(body.to_string().into_bytes())
}

/// rekor-tiles `api/proto/rekor/v2/hashedrekord.proto`.
fn v2(message: &[u8]) -> Result<Vec<u8>, PrepareError> {
    let (signer, _) = LocalSigner::generate(KeyAlgorithm::EcdsaP256)?;
    let (signature, key) = (signer.sign(message)?, signer.public_key().spki_der());
    let body = json!({
        "hashedRekordRequestV002": {
            "digest": STANDARD.encode(sha256(message)),
            "signature": {
                "content": STANDARD.encode(signature),
                "verifier": {
                    "publicKey": { "rawBytes": STANDARD.encode(key) },
                    "keyDetails": "PKIX_ECDSA_P256_SHA_256",
                },
            },
        },
    });
    Ok(body.to_string().into_bytes())
}

/// fulcio `fulcio.proto`, CreateSigningCertificateRequest: the proof of possession is over the address.
fn certificate(identity: &Identity) -> Result<Vec<u8>, PrepareError> {
    let (signer, _) = LocalSigner::generate(KeyAlgorithm::EcdsaP256)?;
    let proof = signer.sign(identity.email.as_bytes())?;
    let body = json!({
        "credentials": { "oidcIdentityToken": identity.token },
        "publicKeyRequest": {
            "publicKey": { "algorithm": "ECDSA", "content": signer.public_key().to_pem() },
            "proofOfPossession": STANDARD.encode(proof),
        },
    });
    Ok(body.to_string().into_bytes())
}

/// RFC 3161 §2.4.1, with a nonce as sigstore-python sends it.
fn timestamp(message: &[u8]) -> Result<Vec<u8>, PrepareError> {
    let digest = sha256(message);
    // A leading 1 makes the contents a positive, minimal INTEGER.
    let nonce = [&[1], digest.get(..8).unwrap_or_default()].concat();
    let imprint = MessageImprint {
        algorithm: ImprintAlgorithm::Strong(HashAlgorithm::Sha256),
        digest: digest.to_vec(),
    };
    let request = TimeStampRequest {
        imprint,
        policy: None,
        nonce: Some(nonce),
        certificates: false,
        extensions: false,
    };
    Ok(request.to_der()?)
}

#[cfg(test)]
mod tests;
