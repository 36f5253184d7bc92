#![allow(clippy::unwrap_used, clippy::arithmetic_side_effects, reason = "tests")]

use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::time::UNIX_EPOCH;

use async_trait::async_trait;
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::json;
use tokio::task::JoinSet;
use tokio::time::Instant;
use url::Url;

use super::super::{FetchError, IdentityType};
use super::*;

const ISSUER: &str = "http://127.0.0.1:1/email";

/// An issuer that answers at once or hangs.
struct Web {
    key: String,
    hangs: Mutex<bool>,
    attempts: AtomicUsize,
}

#[async_trait]
impl Fetch for Web {
    async fn get(&self, url: &Url) -> Result<Vec<u8>, FetchError> {
        let discovery = url.path().ends_with("openid-configuration");
        self.attempts.fetch_add(usize::from(discovery), Ordering::SeqCst);
        let hangs = *self.hangs.lock().unwrap();
        if hangs {
            std::future::pending::<()>().await;
        }
        let document = if discovery {
            json!({"issuer": ISSUER, "jwks_uri": format!("{ISSUER}/keys")})
        } else {
            json!({"keys": [{"kty": "OKP", "crv": "Ed25519", "x": self.key}]})
        };
        Ok(document.to_string().into_bytes())
    }
}

struct Stage {
    web: Arc<Web>,
    source: Arc<KeySource>,
    /// Seconds by which the wall clock is off the runtime's paused one.
    step: Arc<AtomicI64>,
}

impl Stage {
    fn new() -> Self {
        let key = URL_SAFE_NO_PAD.encode(Ed25519KeyPair::generate().unwrap().public_key());
        let web = Arc::new(Web {
            key,
            hangs: Mutex::new(false),
            attempts: AtomicUsize::new(0),
        });
        let (start, step) = (Instant::now(), Arc::new(AtomicI64::new(0)));
        let offset = Arc::clone(&step);
        let clock: Clock = Arc::new(move || {
            let step = offset.load(Ordering::SeqCst);
            let base = u64::try_from(1_800_000_000 + step).unwrap();
            UNIX_EPOCH + Duration::from_secs(base) + start.elapsed()
        });
        let config = IssuerConfig::new(ISSUER, "sigstore", IdentityType::email()).unwrap();
        let fetch = Arc::clone(&web) as Arc<dyn Fetch>;
        let source = Arc::new(KeySource::new(
            Arc::new(config),
            KeyCache::default(),
            fetch,
            clock,
        ));
        Self { web, source, step }
    }

    fn hang(&self, hangs: bool) {
        *self.web.hangs.lock().unwrap() = hangs;
    }

    fn attempts(&self) -> usize {
        self.web.attempts.load(Ordering::SeqCst)
    }

    /// So many requests at once: how many got keys, and how long the last one took.
    async fn requests(&self, count: usize) -> (usize, Duration) {
        let started = Instant::now();
        let mut all = JoinSet::new();
        for _ in 0..count {
            let source = Arc::clone(&self.source);
            all.spawn(async move { source.current().await.is_ok() });
        }
        let served = all.join_all().await.into_iter().filter(|ok| *ok).count();
        (served, started.elapsed())
    }
}

#[tokio::test(start_paused = true)]
async fn requests_do_not_queue_for_a_hanging_issuer() {
    let stage = Stage::new();
    stage.hang(true);
    let (served, took) = stage.requests(30).await;
    assert_eq!((served, stage.attempts()), (0, 1), "one attempt for all of them");
    assert!(took < Duration::from_secs(11), "{took:?}");
    // The interval runs from the end of the attempt, so that the next ones are answered at once.
    assert_eq!(stage.requests(30).await, (0, Duration::ZERO));
    assert_eq!(stage.attempts(), 1);
    tokio::time::sleep(KeyCache::default().min_interval).await;
    stage.hang(false);
    assert_eq!(stage.requests(30).await.0, 30);
    assert_eq!(stage.attempts(), 2);
}

#[tokio::test(start_paused = true)]
async fn held_keys_serve_at_once_while_one_refresh_runs() {
    let stage = Stage::new();
    assert_eq!(stage.requests(1).await.0, 1);
    stage.hang(true);
    tokio::time::sleep(KeyCache::default().lifetime).await;
    for _ in 0..3 {
        assert_eq!(stage.requests(30).await, (30, Duration::ZERO));
        tokio::task::yield_now().await;
    }
    assert_eq!(stage.attempts(), 2, "one refresh behind all of them");
    // A refresh that succeeds is used from then on.
    tokio::time::sleep(Duration::from_secs(60)).await;
    stage.hang(false);
    let old = stage.source.current().await.unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    let new = stage.source.current().await.unwrap();
    assert!(!Arc::ptr_eq(&old, &new));
    // What is too old serves no longer.
    stage.hang(true);
    tokio::time::sleep(KeyCache::default().max_stale).await;
    assert_eq!(stage.requests(5).await.0, 0);
}

#[tokio::test(start_paused = true)]
async fn a_clock_set_back_changes_neither_cooldown_nor_keys() {
    let stage = Stage::new();
    assert_eq!(stage.requests(1).await.0, 1);
    let seen = stage.source.current().await.unwrap();
    stage.step.store(-86_400, Ordering::SeqCst);
    // The cooldown holds: a token with an unknown key does not reach the issuer.
    assert!(stage.source.newer(&seen).await.is_none());
    assert_eq!(stage.attempts(), 1);
    // Nor does it last for a day.
    tokio::time::sleep(KeyCache::default().min_interval).await;
    assert!(stage.source.newer(&seen).await.is_some());
    assert_eq!(stage.attempts(), 2);
    // Stale keys serve on while the issuer is silent, however the clock is set.
    stage.hang(true);
    tokio::time::sleep(KeyCache::default().lifetime).await;
    stage.step.store(-2 * 86_400, Ordering::SeqCst);
    assert_eq!(stage.requests(5).await, (5, Duration::ZERO));
}
