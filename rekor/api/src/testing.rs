//! What the tests of both APIs share: a log of each kind in memory, requests through the routers, recorded
//! exchanges, mutations.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::arithmetic_side_effects,
    reason = "tests"
)]

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, UNIX_EPOCH};

use axum::Router;
use axum::body::Body;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use common_engine::memory::MemoryStorage;
use common_engine::{Clock, Engine, LogConfig, LogId, LogKind, LogSpec, NoAnchor, Options, Personality};
use common_pki::key::{KeyAlgorithm, LocalSigner, PublicKey, Signer};
use common_server::admission::Bounds;
use common_tlog::checkpoint::Checkpoint;
use common_tlog::note::Note;
use http::{HeaderMap, Method, Request, StatusCode};
use serde_json::{Value, json};
use tower::ServiceExt as _;

use crate::v1::{self, Shard, TreeId};
use crate::{RekorV1, RekorV2, search, v2};

pub(crate) const HOST: &str = "log.example.com";
/// Shards of the v1 log, oldest first, and the v2 log.
pub(crate) const OLD: LogId = LogId(1);
pub(crate) const NEW: LogId = LogId(2);
pub(crate) const TILES: LogId = LogId(3);

/// A signer that tests can share.
pub(crate) fn signer(algorithm: KeyAlgorithm) -> Arc<dyn Signer> {
    Arc::new(LocalSigner::generate(algorithm).unwrap().0)
}

/// A clock that moves by one second with every look at it, and goes on where the store's heads are.
fn clock(storage: &MemoryStorage) -> Clock {
    let heads = storage.contents().logs;
    let newest = heads.values().map(|log| log.head.time.div_ceil(1_000)).max();
    let seconds = AtomicU64::new(newest.unwrap_or(1_800_000_000));
    Clock::new(move || UNIX_EPOCH + Duration::from_secs(seconds.fetch_add(1, Ordering::Relaxed)))
}

pub(crate) fn config(
    id: LogId,
    kind: LogKind,
    origin: String,
    tree_id: u64,
    personality: Arc<dyn Personality>,
) -> LogConfig {
    let spec = LogSpec {
        kind,
        origin,
        tree_id,
        key_id: format!("key-{id}"),
        leaf_limit: 65_535,
        created: 0,
    };
    LogConfig {
        id,
        spec,
        personality,
    }
}

pub(crate) async fn open(storage: Arc<MemoryStorage>, logs: Vec<LogConfig>) -> Engine {
    let clock = clock(&storage);
    Engine::open(storage, logs, Arc::new(NoAnchor), clock, Options::default())
        .await
        .unwrap()
}

/// One v1 shard and one v2 log, as `sigbox up` runs them.
pub(crate) struct Stack {
    pub(crate) storage: Arc<MemoryStorage>,
    pub(crate) engine: Engine,
    pub(crate) shard: Shard,
    pub(crate) v2_key: PublicKey,
    pub(crate) v1: Router,
    pub(crate) v2: Router,
    pub(crate) grpc: Router,
    pub(crate) search: Router,
}

pub(crate) fn shard(tree: u64, first_index: u64, signer: &Arc<dyn Signer>) -> (Shard, Arc<RekorV1>) {
    let shard = Shard::new(
        TreeId::new(tree).unwrap(),
        first_index,
        signer.public_key().clone(),
    );
    let personality = Arc::new(RekorV1::new(shard.clone(), HOST, Arc::clone(signer)));
    (shard, personality)
}

impl Stack {
    pub(crate) async fn new() -> Self {
        Self::with(v1::Limits::default(), v2::Limits::default()).await
    }

    pub(crate) async fn with(v1_limits: v1::Limits, v2_limits: v2::Limits) -> Self {
        Self::on(Arc::new(MemoryStorage::new()), v1_limits, v2_limits).await
    }

    /// On a store that may have logs already; keys are always new.
    pub(crate) async fn on(
        storage: Arc<MemoryStorage>,
        v1_limits: v1::Limits,
        v2_limits: v2::Limits,
    ) -> Self {
        let (shard, v1_personality) = shard(7_668_450_534_642_906_388, 0, &signer(KeyAlgorithm::EcdsaP256));
        let v2_signer = signer(KeyAlgorithm::Ed25519);
        let v2_key = v2_signer.public_key().clone();
        let v2_personality = Arc::new(RekorV2::new(HOST, v2_signer).unwrap());
        let logs = vec![
            config(
                NEW,
                LogKind::RekorV1,
                shard.origin(HOST),
                shard.tree().get(),
                v1_personality,
            ),
            config(TILES, LogKind::RekorV2, HOST.to_owned(), 0, v2_personality),
        ];
        let engine = open(Arc::clone(&storage), logs).await;
        let one = v1::Service::new(
            engine.clone(),
            vec![(NEW, shard.clone())],
            v1::Policy::default(),
            v1_limits,
        )
        .unwrap();
        let two = Arc::new(
            v2::Service::new(
                engine.clone(),
                TILES,
                HOST,
                &v2_key,
                v2::Policy::default(),
                v2_limits,
            )
            .unwrap(),
        );
        let logs = vec![
            search::Log {
                id: NEW,
                v1: Some(shard.clone()),
            },
            search::Log { id: TILES, v1: None },
        ];
        let finder = search::Service::new(engine.clone(), logs, Bounds::EXPENSIVE_READS);
        Stack {
            search: search::router(Arc::new(finder)),
            storage,
            engine,
            shard,
            v2_key,
            v1: v1::router(Arc::new(one)),
            grpc: v2::grpc::router(Arc::clone(&two)),
            v2: v2::router(two, TILES),
        }
    }

    pub(crate) fn size(&self, log: LogId) -> u64 {
        self.engine.head(log).unwrap().size
    }
}

/// An answer, read to its end.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Reply {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {:?}", self.body))
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// The message of an error, nothing where the body is no JSON.
    pub(crate) fn message(&self) -> String {
        message(&serde_json::from_slice(&self.body).unwrap_or_default())
    }
}

pub(crate) async fn send(router: &Router, request: Request<Body>) -> Reply {
    let (parts, body) = router.clone().oneshot(request).await.unwrap().into_parts();
    Reply {
        status: parts.status,
        headers: parts.headers,
        body: axum::body::to_bytes(body, usize::MAX).await.unwrap(),
    }
}

pub(crate) async fn get(router: &Router, path: &str) -> Reply {
    send(router, Request::get(path).body(Body::empty()).unwrap()).await
}

pub(crate) async fn post(router: &Router, path: &str, body: impl Into<Body>) -> Reply {
    let request = Request::post(path)
        .header("content-type", "application/json")
        .body(body.into())
        .unwrap();
    send(router, request).await
}

/// A `hashedrekord` request for the signature of `content`.
pub(crate) fn hashedrekord(signer: &dyn Signer, content: &[u8]) -> Value {
    json!({"kind": "hashedrekord", "apiVersion": "0.0.1", "spec": {
        "data": {"hash": {"algorithm": "sha256", "value": common_tlog::sha256(&[content]).to_string()}},
        "signature": {
            "content": STANDARD.encode(signer.sign(content).unwrap()),
            "publicKey": {"content": STANDARD.encode(signer.public_key().to_pem())},
        },
    }})
}

/// A v2 `dsse` request for an in-toto statement, signed by a new key.
pub(crate) fn dsse_request() -> Value {
    let digest = "ab".repeat(32);
    signed_statement(&format!(
        r#"{{"subject":[{{"digest":{{"sha256":"{digest}"}}}}]}}"#
    ))
    .1
}

/// The same for any statement, and for v1.
pub(crate) fn signed_statement(payload: &str) -> (Value, Value) {
    let signer = signer(KeyAlgorithm::EcdsaP256);
    let payload_type = "application/vnd.in-toto+json";
    // The DSSE pre-authentication encoding.
    let signed = format!(
        "DSSEv1 {} {payload_type} {} {payload}",
        payload_type.len(),
        payload.len()
    );
    let signature = signer.sign(signed.as_bytes()).unwrap();
    let envelope = json!({
        "payload": STANDARD.encode(payload),
        "payloadType": payload_type,
        "signatures": [{"sig": STANDARD.encode(signature)}],
    });
    let v1 = json!({"kind": "dsse", "apiVersion": "0.0.1", "spec": {"proposedContent": {
        "envelope": envelope.to_string(),
        "verifiers": [STANDARD.encode(signer.public_key().to_pem())],
    }}});
    let v2 = json!({"dsseRequestV002": {
        "envelope": envelope,
        "verifiers": [{
            "publicKey": {"rawBytes": STANDARD.encode(signer.public_key().spki_der())},
            "keyDetails": "PKIX_ECDSA_P256_SHA_256",
        }],
    }});
    (v1, v2)
}

pub(crate) fn unbase64(value: &Value) -> Vec<u8> {
    STANDARD
        .decode(value.as_str().unwrap_or_else(|| panic!("not a string: {value}")))
        .unwrap()
}

fn message(answer: &Value) -> String {
    answer
        .get("message")
        .and_then(Value::as_str)
        .unwrap_or_default()
        .to_owned()
}

/// One recorded request and upstream's answer to it.
pub(crate) struct Exchange {
    pub(crate) name: String,
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) content_type: String,
    pub(crate) request: String,
    pub(crate) status: u16,
    pub(crate) recorded: Value,
}

impl Exchange {
    pub(crate) fn to_request(&self) -> Request<Body> {
        let mut request = Request::builder().method(&self.method).uri(&self.path);
        if !self.request.is_empty() {
            request = request.header("content-type", &self.content_type);
        }
        request.body(Body::from(self.request.clone())).unwrap()
    }

    /// Upstream's answer, null where it was no JSON.
    pub(crate) fn recorded_answer(&self) -> Value {
        let response = self
            .recorded
            .get("response")
            .and_then(Value::as_str)
            .unwrap_or_default();
        serde_json::from_str(response).unwrap_or_default()
    }

    pub(crate) fn recorded_message(&self) -> String {
        message(&self.recorded_answer())
    }
}

/// The recorded exchanges of one server, or `None` with a printed reason where they are not at hand.
pub(crate) fn exchanges(server: &str) -> Option<Vec<Exchange>> {
    recorded(&format!("{server}/exchanges.jsonl"))
}

/// The same from one file.
#[allow(clippy::print_stderr, reason = "tells why a test did nothing")]
pub(crate) fn recorded(file: &str) -> Option<Vec<Exchange>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../../shared/vectors")
        .join(file);
    let Ok(text) = std::fs::read_to_string(&path) else {
        eprintln!("skipped: the recorded exchanges {file} are not here");
        return None;
    };
    let text_of = |value: &Value, name: &str| {
        value
            .get(name)
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned()
    };
    let exchanges = text.lines().map(|line| {
        let recorded: Value = serde_json::from_str(line).unwrap();
        let content_type = recorded
            .get("content_type")
            .and_then(Value::as_str)
            .unwrap_or("application/json")
            .to_owned();
        Exchange {
            name: text_of(&recorded, "name"),
            method: text_of(&recorded, "method").parse().unwrap(),
            path: text_of(&recorded, "path"),
            request: text_of(&recorded, "request"),
            status: u16::try_from(recorded.get("status").and_then(Value::as_u64).unwrap()).unwrap(),
            content_type,
            recorded,
        }
    });
    Some(exchanges.collect())
}

/// The request of a recorded exchange.
pub(crate) fn recorded_request(server: &str, name: &str) -> Option<String> {
    let found = exchanges(server)?
        .into_iter()
        .find(|exchange| exchange.name == name);
    Some(
        found
            .unwrap_or_else(|| panic!("no exchange named {name}"))
            .request,
    )
}

/// Sends every exchange and fails with a list of all that `compare` finds fault with.
pub(crate) async fn replay(
    router: &Router,
    exchanges: &[Exchange],
    compare: impl Fn(&Exchange, &Reply) -> Result<(), String>,
) {
    let mut faults = Vec::new();
    for exchange in exchanges {
        let reply = send(router, exchange.to_request()).await;
        if let Err(fault) = compare(exchange, &reply) {
            faults.push(format!(
                "{} ({} {}):\n  {fault}",
                exchange.name, exchange.method, exchange.path
            ));
        }
    }
    assert!(
        faults.is_empty(),
        "{} of {} exchanges:\n{}",
        faults.len(),
        exchanges.len(),
        faults.join("\n")
    );
}

pub(crate) fn same<T: PartialEq + std::fmt::Debug>(got: T, expected: T) -> Result<(), String> {
    if got == expected {
        Ok(())
    } else {
        Err(format!("got      {got:?}\n  expected {expected:?}"))
    }
}

/// Reads a checkpoint as a client does: one signature line by [`HOST`] with this hint, made with this key.
pub(crate) fn verify_checkpoint(text: &str, key: &PublicKey, key_id: &[u8; 32]) -> Checkpoint {
    assert_eq!(
        text.matches("\n\n").count(),
        1,
        "sigstore-python wants exactly one blank line"
    );
    let note = Note::parse(text.as_bytes()).unwrap();
    let [line] = note.signatures() else {
        panic!("exactly one signature line")
    };
    assert_eq!(line.name, HOST);
    assert_eq!(Some(&line.hint.0), key_id.first_chunk());
    key.verify(key.default_hash(), note.text().as_bytes(), &line.signature)
        .expect("the checkpoint verifies");
    Checkpoint::parse(note.text()).unwrap()
}

/// Every document that differs from `valid` in one place: the member or item gone, null, emptied, or of every
/// other type. Each comes with the path of the place.
pub(crate) fn mutations(valid: &Value) -> Vec<(String, Value)> {
    let mut places = Vec::new();
    collect(valid, String::new(), &mut places);
    let mut out = Vec::new();
    for place in places {
        let others = [
            json!(null),
            json!(""),
            json!({}),
            json!([]),
            json!(7),
            json!(-1.5),
            json!(true),
            json!("zzz"),
            json!([[]]),
            json!({"a": 1}),
        ];
        for other in others {
            let mut mutated = valid.clone();
            let target = mutated.pointer_mut(&place).unwrap();
            if *target != other {
                *target = other;
                out.push((place.clone(), mutated));
            }
        }
        if let Some((parent, name)) = place.rsplit_once('/') {
            let mut mutated = valid.clone();
            match mutated.pointer_mut(parent).unwrap() {
                Value::Object(members) => drop(members.remove(name)),
                Value::Array(items) => drop(items.remove(name.parse().unwrap())),
                _ => continue,
            }
            out.push((format!("{place} removed"), mutated));
        }
    }
    out
}

fn collect(value: &Value, place: String, out: &mut Vec<String>) {
    match value {
        Value::Object(members) => members
            .iter()
            .for_each(|(name, member)| collect(member, format!("{place}/{name}"), out)),
        Value::Array(items) => items
            .iter()
            .enumerate()
            .for_each(|(at, item)| collect(item, format!("{place}/{at}"), out)),
        _ => {}
    }
    out.push(place);
}
