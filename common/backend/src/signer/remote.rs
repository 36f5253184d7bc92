//! Keys behind something that is asked and answers: a key service over HTTPS, a program. Asking is asynchronous, with a
//! time limit, on a thread of its own; whoever signs waits for it.

use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use common_pki::key::{PublicKey, SignError, Signer};
use tokio::runtime::{Builder, Runtime};

use super::KeyringError;
use super::guard::{Guarded, LIMIT, Outside};

/// How much longer than the limit of the call its caller waits.
const SLACK: Duration = Duration::from_millis(500);

/// What holds keys and signs with them.
#[async_trait]
pub(super) trait Service: Send + Sync + 'static {
    /// The public half.
    async fn public_key(&self) -> Result<PublicKey, SignError>;

    /// Signs as [`Signer::sign`] does.
    async fn sign(&self, key: &PublicKey, message: &[u8]) -> Result<Vec<u8>, SignError>;
}

/// The key of `service`, which `uri` names.
pub(super) fn open(uri: &str, service: impl Service) -> Result<Arc<dyn Signer>, KeyringError> {
    let service = Arc::new(service);
    let asked = Arc::clone(&service);
    let key = ask(async move { asked.public_key().await }).map_err(|source| KeyringError::Key {
        at: uri.to_owned(),
        source,
    })?;
    Ok(Arc::new(Guarded::new(Asked(service), key)))
}

struct Asked<S>(Arc<S>);

impl<S: Service> Outside for Asked<S> {
    fn sign(&self, key: &PublicKey, message: &[u8]) -> Result<Vec<u8>, SignError> {
        let (service, key, message) = (Arc::clone(&self.0), key.clone(), message.to_vec());
        ask(async move { service.sign(&key, &message).await })
    }
}

/// Runs `question` to its end or its limit, whatever thread this is.
fn ask<T: Send + 'static>(
    question: impl Future<Output = Result<T, SignError>> + Send + 'static,
) -> Result<T, SignError> {
    let late = || SignError::Unavailable("no answer in time".to_owned());
    let (reply, answer) = sync_channel(1);
    runtime()?.spawn(async move {
        let outcome = tokio::time::timeout(LIMIT, question).await;
        // Whoever asked may have given up.
        let _ = reply.send(outcome.unwrap_or_else(|_| Err(late())));
    });
    match answer.recv_timeout(LIMIT.saturating_add(SLACK)) {
        Ok(outcome) => outcome,
        Err(RecvTimeoutError::Timeout) => Err(late()),
        Err(RecvTimeoutError::Disconnected) => Err(SignError::Failed("the call broke off".to_owned())),
    }
}

/// Apart from the server's threads, which may be the ones that wait.
fn runtime() -> Result<&'static Runtime, SignError> {
    static RUNTIME: OnceLock<std::io::Result<Runtime>> = OnceLock::new();
    let runtime = RUNTIME.get_or_init(|| {
        let mut builder = Builder::new_multi_thread();
        builder
            .worker_threads(1)
            .thread_name("signer")
            .enable_all()
            .build()
    });
    runtime
        .as_ref()
        .map_err(|error| SignError::Failed(format!("no thread for the call: {error}")))
}
