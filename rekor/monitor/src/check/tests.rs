#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "tests"
)]

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::get;
use common_pki::key::{KeyAlgorithm, LocalSigner, Signer};
use common_pki::sct::{self, SignedEntry};
use common_tlog::checkpoint::Checkpoint;
use common_tlog::note::Note;
use common_tlog::notekey::NoteKey;
use common_tlog::tile::tiles_for;
use common_tlog::{RightEdge, bundle_codec, leaf_hash};

use super::*;
use crate::client::{Client, Limits};

type Files = Arc<Mutex<BTreeMap<String, Vec<u8>>>>;

/// A log as files, and the key of its checkpoint.
pub(crate) struct Log {
    pub(crate) files: Files,
    key: LogKey,
    pub(crate) reader: LogReader,
}

async fn serve(files: Files) -> LogReader {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let answer = async |State(files): State<Files>, Path(path): Path<String>| {
        let found = files.lock().unwrap().get(&path).cloned();
        found.ok_or(StatusCode::NOT_FOUND)
    };
    let router = Router::new().route("/{*path}", get(answer)).with_state(files);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    let limits = Limits {
        attempts: 2,
        first_delay: Duration::from_millis(1),
        ..Limits::default()
    };
    LogReader::new(Client::new(&url, limits).unwrap())
}

fn issuer() -> Vec<u8> {
    b"an issuer".to_vec()
}

/// The leaf, and its part of a bundle.
fn leaf(dialect: Dialect, index: u64) -> (Vec<u8>, Vec<u8>) {
    let name = format!("leaf {index}").into_bytes();
    match dialect {
        Dialect::Entries => {
            let bundle = bundle_codec::encode([&name]).unwrap();
            (name, bundle)
        }
        Dialect::Certificates => {
            let entry = SignedEntry::X509(name);
            let extensions = sct::leaf_index_extension(index).unwrap();
            let mut bundle = sct::timestamped_entry(9, &entry, &extensions).unwrap();
            bundle.extend_from_slice(&[0, 32]);
            bundle.extend_from_slice(&sha256(&[&issuer()]).0);
            (sct::merkle_tree_leaf(9, &entry, &extensions).unwrap(), bundle)
        }
    }
}

pub(crate) async fn log(dialect: Dialect, size: u64) -> Log {
    let (signer, _) = LocalSigner::generate(KeyAlgorithm::Ed25519).unwrap();
    let mut files = BTreeMap::new();
    let leaves: Vec<_> = (0..size).map(|index| leaf(dialect, index)).collect();
    let hashes: Vec<Hash> = leaves.iter().map(|(leaf, _)| leaf_hash(leaf)).collect();
    let grown = RightEdge::empty().grow(&hashes).unwrap();
    let tiles = grown.full_tiles().map(|(id, bytes)| (id, 256, bytes));
    for (id, width, bytes) in tiles.chain(grown.partial_tiles()) {
        files.insert(id.path(width), bytes);
    }
    for (id, width) in tiles_for(size).filter(|(id, _)| id.level == 0) {
        let first = usize::try_from(id.index * 256).unwrap();
        let parts = leaves[first..first + usize::from(width)].iter();
        let bundle = parts.flat_map(|(_, part)| part.clone()).collect();
        files.insert(bundle_path(dialect, id.index, width), bundle);
    }
    if dialect == Dialect::Certificates && size > 0 {
        files.insert(format!("issuer/{}", sha256(&[&issuer()])), issuer());
    }
    let checkpoint = Checkpoint::new("log.example", size, grown.edge().root());
    let mut note = Note::new(checkpoint.to_string()).unwrap();
    let signature = signer.sign(note.text().as_bytes()).unwrap();
    let raw = signer.public_key().subject_public_key().try_into().unwrap();
    note.push(
        "log.example",
        NoteKey::Ed25519(raw).hint("log.example"),
        signature,
    )
    .unwrap();
    files.insert("checkpoint".to_owned(), note.to_string().into_bytes());
    let files: Files = Arc::new(Mutex::new(files));
    Log {
        reader: serve(Arc::clone(&files)).await,
        key: LogKey::from_public_key(signer.public_key().clone()),
        files,
    }
}

impl Log {
    async fn check(&self) -> Report {
        let options = Options {
            key: Some(self.key.clone()),
            origin: Some("log.example".to_owned()),
            limit: 20,
        };
        check(&self.reader, &options, &|_, _| {}).await.unwrap()
    }

    /// Changes one file, checks, and puts it back.
    async fn with(&self, path: &str, change: impl FnOnce(&mut Vec<u8>)) -> Vec<Finding> {
        let before = self.files.lock().unwrap()[path].clone();
        change(self.files.lock().unwrap().get_mut(path).unwrap());
        let report = self.check().await;
        self.files.lock().unwrap().insert(path.to_owned(), before);
        report.findings
    }
}

#[tokio::test]
async fn sound_logs_of_both_kinds_are_clean() {
    for dialect in Dialect::ALL {
        for size in [0, 1, 255, 256, 700, 66_000] {
            let log = log(dialect, size).await;
            let report = log.check().await;
            assert_eq!(report.findings, [], "{dialect:?} {size}");
            assert_eq!(report.size, size);
            assert_eq!(report.signature, Signature::Verified("log.example".to_owned()));
            assert_eq!(report.dialect, (size > 0).then_some(dialect));
            let issuers = u64::from(dialect == Dialect::Certificates && size > 0);
            assert_eq!(report.issuers, issuers);
        }
    }
}

#[tokio::test]
async fn a_tampered_copy_is_refused_by_the_name_of_its_part() {
    for dialect in Dialect::ALL {
        let log = log(dialect, 700).await;
        let bundle = bundle_path(dialect, 1, 256);
        let position = log.files.lock().unwrap()[&bundle].len() / 2;
        let findings = log.with(&bundle, |bytes| bytes[position] ^= 1).await;
        assert!(
            matches!(&findings[0].at, At::Leaf(256..512, path) | At::Tile(path) if *path == bundle),
            "{findings:?}"
        );
        for path in ["tile/0/002.p/188", "tile/0/001", "tile/1/000.p/2"] {
            let findings = log.with(path, |bytes| bytes[33] ^= 1).await;
            let [finding] = findings.as_slice() else {
                panic!("{findings:?}")
            };
            assert_eq!(finding.at, At::Tile(path.to_owned()));
            assert!(finding.what.starts_with("hash 1 of "), "{finding}");
            let findings = log.with(path, |bytes| bytes.truncate(40)).await;
            assert_eq!(findings[0].at, At::Tile(path.to_owned()));
        }
        let findings = log.with(&bundle, |bytes| bytes.truncate(position)).await;
        assert_eq!(findings[0].at, At::Tile(bundle.clone()));
        log.files.lock().unwrap().remove(&bundle);
        let findings = log.check().await.findings;
        let [finding] = findings.as_slice() else {
            panic!("{findings:?}")
        };
        assert_eq!(
            finding.to_string(),
            format!("{bundle}: bundle: expected 256 leaves, got 404")
        );
    }
}

#[tokio::test]
async fn a_certificate_log_has_its_issuers_and_its_leaves_their_place() {
    let log = log(Dialect::Certificates, 10).await;
    let name = format!("issuer/{}", sha256(&[&issuer()]));
    let findings = log.with(&name, |bytes| bytes.push(0)).await;
    assert_eq!(findings.len(), 1);
    assert_eq!(findings[0].at, At::Issuer(name));
}

#[tokio::test]
async fn checkpoints_of_others_are_not_taken() {
    let log = log(Dialect::Entries, 10).await;
    let (stranger, _) = LocalSigner::generate(KeyAlgorithm::Ed25519).unwrap();
    let mut options = Options {
        key: Some(LogKey::from_public_key(stranger.public_key().clone())),
        origin: Some("other.example".to_owned()),
        limit: 20,
    };
    let report = check(&log.reader, &options, &|_, _| {}).await.unwrap();
    assert_eq!(report.signature, Signature::Wrong);
    let what: Vec<&str> = report.findings.iter().map(|f| f.what.as_str()).collect();
    assert_eq!(what, ["origin", "signatures"]);
    options.key = None;
    options.origin = None;
    let report = check(&log.reader, &options, &|_, _| {}).await.unwrap();
    assert_eq!(
        (report.signature, report.findings),
        (Signature::NotVerified, vec![])
    );
    let findings = log
        .with("checkpoint", |note| {
            let text = String::from_utf8(note.clone()).unwrap();
            *note = text.replacen("log.example\n", "log.exampl3\n", 1).into_bytes();
        })
        .await;
    let what: Vec<&str> = findings.iter().map(|f| f.what.as_str()).collect();
    assert_eq!(what, ["origin", "signatures"]);
}

#[tokio::test]
async fn a_log_that_grows_serves_full_tiles_for_partial_ones() {
    let log = log(Dialect::Entries, 700).await;
    let larger = self::log(Dialect::Entries, 800).await;
    {
        let mut files = log.files.lock().unwrap();
        // A partial tile may go once the full one is there.
        files.retain(|path, _| !path.contains("/002.p/"));
        for (path, bytes) in larger.files.lock().unwrap().iter() {
            files.entry(path.clone()).or_insert_with(|| bytes.clone());
        }
    }
    let report = log.check().await;
    assert_eq!((report.size, report.findings), (700, vec![]));
}

#[tokio::test]
async fn what_is_no_log_is_an_error() {
    let nothing = serve(Files::default()).await;
    let options = Options {
        key: None,
        origin: None,
        limit: 20,
    };
    let error = check(&nothing, &options, &|_, _| {}).await.unwrap_err();
    assert!(
        matches!(error, CheckError::Read(ReadError::NoCheckpoint(_))),
        "{error}"
    );
    let log = log(Dialect::Entries, 700).await;
    log.files
        .lock()
        .unwrap()
        .retain(|path, _| !path.contains("entries"));
    let error = check(&log.reader, &options, &|_, _| {}).await.unwrap_err();
    assert!(matches!(error, CheckError::NoLeaves { .. }), "{error}");
}
