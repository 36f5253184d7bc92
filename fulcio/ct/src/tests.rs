#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "tests"
)]
//! The log from submission to every read, on the engine's in-memory store.

mod adding;
mod refusals;
mod rfc6962;
mod staticct;
mod submission;

use crate::{AcceptedRoots, CtLog, CtPersonality, router};
use axum::Router;
use axum::body::Body;
use common_engine::memory::MemoryStorage;
use common_engine::{Clock, Engine, LogConfig, LogId, NoAnchor, Options, Storage};
use common_pki::cert::{CaProfile, Certificate, Serial, TbsCertificate, distinguished_name, empty_name, ext};
use common_pki::cert::{intermediate, self_signed_root};
use common_pki::key::{KeyAlgorithm, LocalSigner, Signer};
use common_pki::oid;
use http::{HeaderMap, Method, Request, StatusCode, header};
use http_body_util::BodyExt as _;
use serde_json::Value;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};
use tower::ServiceExt as _;

pub(crate) const ORIGIN: &str = "localhost:3000/ct";
/// Unix milliseconds, with a fraction of a second: CT is finer than certificates.
pub(crate) const START: u64 = 1_800_000_000_123;
pub(crate) const LOG: LogId = LogId(7);

/// A certificate authority of two levels.
pub(crate) struct Authority {
    pub(crate) root_signer: LocalSigner,
    pub(crate) root: Certificate,
    pub(crate) signer: LocalSigner,
    pub(crate) issuer: Certificate,
}

pub(crate) fn signer(algorithm: KeyAlgorithm) -> LocalSigner {
    LocalSigner::generate(algorithm).unwrap().0
}

fn profile(name: &str, serial: u8) -> CaProfile {
    CaProfile {
        subject: distinguished_name("sigbox", name),
        serial: Serial::new(&[serial]).unwrap(),
        not_before: 1_700_000_000,
        not_after: 2_000_000_000,
    }
}

impl Authority {
    pub(crate) fn new() -> Self {
        let root_signer = signer(KeyAlgorithm::EcdsaP384);
        let root = self_signed_root(profile("root", 1), &root_signer).unwrap();
        let issuing = signer(KeyAlgorithm::EcdsaP256);
        let issuer = intermediate(
            profile("issuer", 2),
            issuing.public_key(),
            &oid::CODE_SIGNING,
            &root,
            &root_signer,
        )
        .unwrap();
        Self {
            root_signer,
            root,
            signer: issuing,
            issuer,
        }
    }

    pub(crate) fn tbs(&self, serial: u64) -> TbsCertificate {
        let key = signer(KeyAlgorithm::EcdsaP256).public_key().clone();
        TbsCertificate {
            serial: Serial::new(&serial.to_be_bytes()).unwrap(),
            issuer: self.issuer.subject_der().to_vec(),
            not_before: 1_800_000_000,
            not_after: 1_800_000_600,
            subject: empty_name(),
            extensions: vec![
                ext::digital_signature(),
                ext::extended_key_usage(&oid::CODE_SIGNING, false),
            ],
            key,
        }
    }

    pub(crate) fn precertificate(&self, serial: u64) -> Certificate {
        self.tbs(serial).sign_precertificate(&self.signer).unwrap()
    }

    pub(crate) fn chain(&self) -> Vec<Vec<u8>> {
        vec![self.issuer.to_der().to_vec(), self.root.to_der().to_vec()]
    }
}

pub(crate) struct World {
    pub(crate) authority: Authority,
    pub(crate) personality: Arc<CtPersonality>,
    pub(crate) storage: Arc<MemoryStorage>,
    pub(crate) engine: Engine,
    pub(crate) log: Arc<CtLog>,
    pub(crate) router: Router,
    now: Arc<AtomicU64>,
}

impl World {
    pub(crate) async fn new() -> Self {
        let personality = CtPersonality::new(Arc::new(signer(KeyAlgorithm::EcdsaP256)), ORIGIN).unwrap();
        let now = Arc::new(AtomicU64::new(START));
        Self::open(
            Authority::new(),
            Arc::new(personality),
            Arc::new(MemoryStorage::new()),
            now,
        )
        .await
    }

    async fn open(
        authority: Authority,
        personality: Arc<CtPersonality>,
        storage: Arc<MemoryStorage>,
        now: Arc<AtomicU64>,
    ) -> Self {
        let config = LogConfig {
            id: LOG,
            spec: personality.spec(START),
            personality: personality.clone(),
        };
        let time = Arc::clone(&now);
        let clock =
            Clock::new(move || SystemTime::UNIX_EPOCH + Duration::from_millis(time.load(Ordering::Relaxed)));
        let store: Arc<dyn Storage> = storage.clone();
        let engine = Engine::open(store, vec![config], Arc::new(NoAnchor), clock, Options::default())
            .await
            .unwrap();
        let roots = AcceptedRoots::new(vec![authority.root.clone()]).unwrap();
        let log = Arc::new(CtLog::new(engine.clone(), LOG, Arc::clone(&personality), roots));
        let router = Router::new().nest("/ct", router(Arc::clone(&log)));
        Self {
            authority,
            personality,
            storage,
            engine,
            log,
            router,
            now,
        }
    }

    /// The same log, open to submissions over HTTP.
    pub(crate) fn taking_submissions(&self) -> Arc<CtLog> {
        let roots = AcceptedRoots::new(vec![self.authority.root.clone()]).unwrap();
        let log = CtLog::new(self.engine.clone(), LOG, Arc::clone(&self.personality), roots);
        Arc::new(log.taking_submissions(common_server::admission::Bounds::WRITES))
    }

    /// The same store, key and authority in a new process.
    pub(crate) async fn restart(self) -> Self {
        self.engine.shutdown().await;
        Self::open(self.authority, self.personality, self.storage, self.now).await
    }

    pub(crate) fn advance(&self, milliseconds: u64) {
        self.now.fetch_add(milliseconds, Ordering::Relaxed);
    }

    /// Logs `count` precertificates one after the other, so that each has the next index.
    pub(crate) async fn fill(&self, count: u64) -> Vec<Certificate> {
        let mut logged = Vec::new();
        for serial in 1..=count {
            let precertificate = self.authority.precertificate(serial);
            self.log
                .add_pre_chain(precertificate.to_der(), &self.authority.chain())
                .await
                .unwrap();
            logged.push(precertificate);
        }
        logged
    }

    pub(crate) async fn send(&self, method: Method, uri: &str) -> Reply {
        let request = Request::builder()
            .method(method)
            .uri(uri)
            .body(Body::empty())
            .unwrap();
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        Reply {
            status: parts.status,
            headers: parts.headers,
            body: body.collect().await.unwrap().to_bytes().to_vec(),
        }
    }

    pub(crate) async fn get(&self, uri: &str) -> Reply {
        self.send(Method::GET, uri).await
    }

    pub(crate) async fn json(&self, uri: &str) -> Value {
        let reply = self.get(uri).await;
        assert_eq!(reply.status, StatusCode::OK, "{uri}: {}", reply.text());
        serde_json::from_slice(&reply.body).unwrap()
    }

    /// Percent-encoded, as a careful client sends it.
    pub(crate) async fn proof_by_hash(&self, hash: &common_tlog::Hash, size: u64) -> Reply {
        let hash = hash
            .to_base64()
            .replace('+', "%2B")
            .replace('/', "%2F")
            .replace('=', "%3D");
        self.get(&format!("/ct/v1/get-proof-by-hash?hash={hash}&tree_size={size}"))
            .await
    }
}

pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Reply {
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn cache(&self) -> &str {
        self.headers[header::CACHE_CONTROL].to_str().unwrap()
    }
}

pub(crate) fn base64(value: &Value) -> Vec<u8> {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD
        .decode(value.as_str().unwrap())
        .unwrap()
}

pub(crate) fn path(value: &Value) -> Vec<common_tlog::Hash> {
    value
        .as_array()
        .unwrap()
        .iter()
        .map(|hash| common_tlog::Hash::from_slice(&base64(hash)).unwrap())
        .collect()
}
