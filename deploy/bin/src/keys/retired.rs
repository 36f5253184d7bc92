//! A key that has ended: known, and of no more use.

use common_pki::key::{PublicKey, SignError, Signer};

/// Verifies what it signed, signs nothing.
pub(super) struct Retired(PublicKey);

impl Retired {
    pub(super) fn new(key: PublicKey) -> Retired {
        Retired(key)
    }
}

impl Signer for Retired {
    fn public_key(&self) -> &PublicKey {
        &self.0
    }

    fn sign(&self, _message: &[u8]) -> Result<Vec<u8>, SignError> {
        Err(SignError::Failed("the key is retired".to_owned()))
    }
}
