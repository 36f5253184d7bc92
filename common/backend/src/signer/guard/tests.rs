#![allow(clippy::unwrap_used, reason = "tests")]

use std::sync::atomic::{AtomicUsize, Ordering};

use common_pki::key::{KeyAlgorithm, LocalSigner};

use super::*;

struct Token {
    key: LocalSigner,
    calls: AtomicUsize,
    answer: fn(&LocalSigner, &[u8]) -> Result<Vec<u8>, SignError>,
}

impl Outside for Token {
    fn sign(&self, _key: &PublicKey, message: &[u8]) -> Result<Vec<u8>, SignError> {
        self.calls.fetch_add(1, Ordering::Relaxed);
        (self.answer)(&self.key, message)
    }
}

fn guarded(answer: fn(&LocalSigner, &[u8]) -> Result<Vec<u8>, SignError>) -> Guarded<Token> {
    let (key, _) = LocalSigner::generate(KeyAlgorithm::EcdsaP256).unwrap();
    let public = key.public_key().clone();
    let calls = AtomicUsize::new(0);
    Guarded::new(Token { key, calls, answer }, public)
}

#[test]
fn a_signature_that_does_not_verify_is_never_used() {
    let key = guarded(|key, _| key.sign(b"something else"));
    let error = key.sign(b"a message").unwrap_err();
    assert!(matches!(error, SignError::Failed(_)), "{error}");
    let key = guarded(|key, message| key.sign(message));
    key.sign(b"a message").unwrap();
    assert!(key.waits());
}

#[test]
fn a_key_that_hangs_is_left_alone_for_a_while() {
    let mut key = guarded(|_, _| Err(SignError::Unavailable("no answer".to_owned())));
    key.rest = Duration::from_millis(50);
    // A quick refusal is no reason to rest.
    key.sign(b"1").unwrap_err();
    key.sign(b"2").unwrap_err();
    assert_eq!(key.outside.calls.load(Ordering::Relaxed), 2);
    key.heard(&Err(SignError::Unavailable(String::new())), LIMIT);
    for _ in 0..10 {
        assert!(matches!(key.sign(b"3"), Err(SignError::Unavailable(_))));
    }
    assert_eq!(key.outside.calls.load(Ordering::Relaxed), 2, "it rests");
    std::thread::sleep(Duration::from_millis(60));
    key.outside.answer = |key, message| key.sign(message);
    key.sign(b"4").unwrap();
    key.sign(b"5").unwrap();
    assert_eq!(key.outside.calls.load(Ordering::Relaxed), 4);
}
