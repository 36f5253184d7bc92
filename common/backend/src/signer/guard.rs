//! Around every key outside the process: its signatures are verified before anybody sees them, and one that hangs is
//! asked less often, so that a dead token costs its callers one time limit now and then and not every request.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use common_pki::key::{PublicKey, SignError, Signer};

/// The longest a signature may take. A key service answers within a tenth of it.
pub(super) const LIMIT: Duration = Duration::from_secs(5);
/// How long a key is left alone after it did not answer in time.
const REST: Duration = Duration::from_secs(5);

/// Something that signs outside the process, within [`LIMIT`].
pub(super) trait Outside: Send + Sync {
    /// As [`Signer::sign`]. [`SignError::Unavailable`] says that another try may succeed.
    fn sign(&self, key: &PublicKey, message: &[u8]) -> Result<Vec<u8>, SignError>;
}

/// A key outside the process.
pub(super) struct Guarded<S> {
    outside: S,
    key: PublicKey,
    rests_until: Mutex<Option<Instant>>,
    rest: Duration,
}

impl<S: Outside> Guarded<S> {
    pub(super) fn new(outside: S, key: PublicKey) -> Self {
        Self {
            outside,
            key,
            rests_until: Mutex::new(None),
            rest: REST,
        }
    }

    /// Fails while the key rests. The first caller after that tries it, and the others wait for what it finds.
    fn awake(&self) -> Result<(), SignError> {
        let mut until = self.rests_until.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        match *until {
            Some(end) if now < end => Err(SignError::Unavailable(
                "it did not answer in time a moment ago".to_owned(),
            )),
            Some(_) => {
                *until = now.checked_add(self.rest);
                Ok(())
            }
            None => Ok(()),
        }
    }

    fn heard(&self, outcome: &Result<Vec<u8>, SignError>, took: Duration) {
        let hangs = took >= LIMIT && matches!(outcome, Err(SignError::Unavailable(_)));
        let mut until = self.rests_until.lock().unwrap_or_else(PoisonError::into_inner);
        *until = if hangs {
            Instant::now().checked_add(self.rest)
        } else {
            None
        };
    }
}

impl<S: Outside> Signer for Guarded<S> {
    fn public_key(&self) -> &PublicKey {
        &self.key
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignError> {
        self.awake()?;
        let began = Instant::now();
        let outcome = self.outside.sign(&self.key, message);
        self.heard(&outcome, began.elapsed());
        metrics::histogram!("sigbox_signer_seconds").record(began.elapsed().as_secs_f64());
        let verified = outcome.and_then(|signature| {
            match self.key.verify(self.key.default_hash(), message, &signature) {
                Ok(()) => Ok(signature),
                Err(error) => Err(SignError::Failed(format!(
                    "the signature that came does not verify: {error}"
                ))),
            }
        });
        if let Err(error) = &verified {
            metrics::counter!("sigbox_signer_failures_total").increment(1);
            tracing::error!(%error, "no signature");
        }
        verified
    }

    fn waits(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests;
