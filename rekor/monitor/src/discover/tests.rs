#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "tests"
)]

use std::sync::Arc;

use axum::Router;
use axum::extract::{Json, Query, State};
use axum::routing::{get, post};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use common_pki::key::{KeyAlgorithm, LocalSigner, Signer};
use common_pki::sct;
use common_tlog::checkpoint::Checkpoint;
use common_tlog::compact::CompactRange;
use common_tlog::note::Note;
use common_tlog::notekey::NoteKey;
use common_tlog::proof::consistency;
use common_tlog::tile::MissingNode;
use common_tlog::{Hash, NodeReader, leaf_hash, node_hash};
use serde_json::{Value, json};

use super::*;
use crate::follow::advance;
use crate::source::Content;

/// A tree kept as its leaves.
#[derive(Clone)]
struct Tree(Vec<Hash>);

impl Tree {
    fn root(&self) -> Hash {
        let mut range = CompactRange::new();
        for leaf in &self.0 {
            range.append_hash(*leaf).unwrap();
        }
        range.root()
    }

    fn proof(&self, from: u64, to: u64) -> Vec<Hash> {
        consistency(from, to, self).unwrap()
    }
}

impl NodeReader for Tree {
    type Error = MissingNode;

    fn node(&self, level: u8, index: u64) -> Result<Hash, MissingNode> {
        match level.checked_sub(1) {
            None => Ok(self.0[usize::try_from(index).unwrap()]),
            Some(below) => Ok(node_hash(
                &self.node(below, index * 2)?,
                &self.node(below, index * 2 + 1)?,
            )),
        }
    }
}

fn signer() -> LocalSigner {
    LocalSigner::generate(KeyAlgorithm::EcdsaP256).unwrap().0
}

fn key(signer: &LocalSigner) -> LogKey {
    LogKey::from_public_key(signer.public_key().clone())
}

async fn start(router: Router) -> String {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    url
}

fn quick() -> Limits {
    Limits {
        attempts: 1,
        ..Limits::default()
    }
}

/// Reads a log to its end; gives its leaves.
async fn whole(found: &Found) -> Vec<Content> {
    let (mut tree, mut leaves) = (CompactRange::new(), Vec::new());
    loop {
        let step = advance(&found.log, &tree, &found.head).await.unwrap();
        leaves.extend(step.leaves.into_iter().map(|leaf| leaf.content));
        tree = step.tree;
        if tree.size() == found.head.size {
            return leaves;
        }
    }
}

/// A shard of a Rekor v1.
struct Shard {
    tree_id: u64,
    signer: LocalSigner,
    bodies: Vec<String>,
}

impl Shard {
    fn new(tree_id: u64, size: usize) -> Shard {
        Shard {
            tree_id,
            signer: signer(),
            bodies: (0..size)
                .map(|index| format!("entry {index} of {tree_id}"))
                .collect(),
        }
    }

    fn tree(&self) -> Tree {
        Tree(
            self.bodies
                .iter()
                .map(|body| leaf_hash(body.as_bytes()))
                .collect(),
        )
    }

    fn info(&self) -> Value {
        let origin = format!("rekor.example - {}", self.tree_id);
        let checkpoint = Checkpoint::new(origin, self.bodies.len() as u64, self.tree().root());
        let mut note = Note::new(checkpoint.to_string()).unwrap();
        let signature = self.signer.sign(note.text().as_bytes()).unwrap();
        let spki = self.signer.public_key().spki_der().to_vec();
        note.push(
            "rekor.example",
            NoteKey::Ecdsa(spki).hint("rekor.example"),
            signature,
        )
        .unwrap();
        json!({ "treeID": self.tree_id.to_string(), "signedTreeHead": note.to_string() })
    }
}

#[derive(serde::Deserialize)]
#[serde(rename_all = "camelCase")]
struct Sizes {
    first_size: u64,
    last_size: u64,
    #[serde(rename = "treeID")]
    tree_id: u64,
}

fn rekor(shards: Arc<Vec<Shard>>) -> Router {
    let info = async |State(shards): State<Arc<Vec<Shard>>>| {
        let mut all: Vec<Value> = shards.iter().map(Shard::info).collect();
        let mut active = all.pop().unwrap();
        active["inactiveShards"] = Value::Array(all);
        Json(active)
    };
    let proof = async |State(shards): State<Arc<Vec<Shard>>>, Query(sizes): Query<Sizes>| {
        let shard = shards
            .iter()
            .find(|shard| shard.tree_id == sizes.tree_id)
            .unwrap();
        let hashes = shard.tree().proof(sizes.first_size, sizes.last_size);
        let hashes: Vec<String> = hashes.iter().map(ToString::to_string).collect();
        Json(json!({ "hashes": hashes, "rootHash": "" }))
    };
    let retrieve = async |State(shards): State<Arc<Vec<Shard>>>, Json(query): Json<Value>| {
        let all: Vec<&String> = shards.iter().flat_map(|shard| &shard.bodies).collect();
        let indexes = query["logIndexes"].as_array().unwrap();
        assert!(indexes.len() <= 10);
        let entries = indexes.iter().rev().map(|index| {
            let number = index.as_u64().unwrap();
            let body = STANDARD.encode(all[usize::try_from(number).unwrap()]);
            json!({ "id": { "body": body, "integratedTime": 1_800_000_000, "logIndex": number } })
        });
        Json(Value::Array(entries.collect()))
    };
    Router::new()
        .route("/api/v1/log", get(info))
        .route("/api/v1/log/proof", get(proof))
        .route("/api/v1/log/entries/retrieve", post(retrieve))
        .with_state(shards)
}

#[tokio::test]
async fn every_shard_of_a_rekor_v1_is_a_log_by_its_key() {
    let shards = Arc::new(vec![
        Shard::new(7, 3),
        Shard::new(8, 0),
        Shard::new(9, 905),
        Shard::new(10, 2),
    ]);
    let url = start(rekor(Arc::clone(&shards))).await;
    // The last one's key is not trusted.
    let keys: Vec<LogKey> = shards[..3].iter().map(|shard| key(&shard.signer)).collect();
    let at = discover(&url, LogKind::Signatures, &keys, quick()).await.unwrap();
    assert_eq!(at.logs.len(), 3);
    for (found, shard) in at.logs.iter().zip(shards.iter()) {
        assert_eq!(found.log.name(), "rekor-v1");
        assert_eq!(found.head.origin, format!("rekor.example - {}", shard.tree_id));
        assert_eq!(found.key.public_key(), shard.signer.public_key());
        let expected = shard
            .bodies
            .iter()
            .map(|body| Content::Entry(body.clone().into()));
        assert!(whole(found).await.into_iter().eq(expected), "{}", shard.tree_id);
    }
    assert_eq!(at.problems.len(), 1, "{:?}", at.problems);
    assert!(at.problems[0].contains("rekor.example - 10"), "{:?}", at.problems);
}

fn certificate_log(signer: &LocalSigner, size: u64) -> Router {
    let inputs: Vec<Vec<u8>> = (0..size)
        .map(|index| format!("\0\0leaf {index}").into_bytes())
        .collect();
    let tree = Tree(inputs.iter().map(|input| leaf_hash(input)).collect());
    let root = tree.root();
    let signature = signer.sign(&sct::sth_signed_data(5, size, &root.0)).unwrap();
    let signed = sct::digitally_signed(signer.public_key(), &signature).unwrap();
    let head = json!({
        "tree_size": size,
        "timestamp": 5,
        "sha256_root_hash": root.to_base64(),
        "tree_head_signature": STANDARD.encode(signed),
    });
    let number = |query: &Value, name: &str| query[name].as_str().unwrap().parse::<u64>().unwrap();
    let consistency = async move |Query(query): Query<Value>| {
        let proof = tree.proof(number(&query, "first"), number(&query, "second"));
        let proof: Vec<String> = proof.iter().map(Hash::to_base64).collect();
        Json(json!({ "consistency": proof }))
    };
    // Fewer than asked for, as logs may.
    let entries = async move |Query(query): Query<Value>| {
        let (start, end) = (number(&query, "start"), number(&query, "end"));
        let range = usize::try_from(start).unwrap()..usize::try_from(end.min(start + 99) + 1).unwrap();
        let entries = inputs[range]
            .iter()
            .map(|input| json!({ "leaf_input": STANDARD.encode(input), "extra_data": "" }));
        Json(json!({ "entries": entries.collect::<Vec<_>>() }))
    };
    Router::new()
        .route("/log/ct/v1/get-sth", get(async || Json(head)))
        .route("/log/ct/v1/get-sth-consistency", get(consistency))
        .route("/log/ct/v1/get-entries", get(entries))
}

#[tokio::test]
async fn a_certificate_log_without_tiles_is_read_as_rfc6962_has_it() {
    let signer = signer();
    let url = format!("{}/log", start(certificate_log(&signer, 700)).await);
    let at = discover(&url, LogKind::Certificates, &[key(&signer)], quick())
        .await
        .unwrap();
    let [found] = at.logs.as_slice() else {
        panic!("{at:?}")
    };
    assert_eq!((found.log.name(), &found.head.origin), ("rfc6962", &url));
    let expected = (0..700).map(|index| Content::Certificate(format!("leaf {index}").into()));
    assert!(whole(found).await.into_iter().eq(expected));
    let other = discover(&url, LogKind::Certificates, &[key(&self::signer())], quick())
        .await
        .unwrap();
    assert!(other.logs.is_empty());
    assert!(
        other.problems[0].contains("signed by a key that is trusted"),
        "{other:?}"
    );
}

#[tokio::test]
async fn nothing_is_found_where_no_log_is() {
    let page = Router::new().fallback(async || "<html>a page</html>");
    let url = start(page).await;
    for kind in [LogKind::Signatures, LogKind::Certificates] {
        let at = discover(&url, kind, &[key(&signer())], quick()).await.unwrap();
        assert!(at.logs.is_empty() && !at.problems.is_empty(), "{at:?}");
    }
    assert!(
        discover("file:///etc", LogKind::Signatures, &[], quick())
            .await
            .is_err()
    );
}
