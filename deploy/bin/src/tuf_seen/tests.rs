#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, Uri};
use axum::response::IntoResponse as _;
use common_bundle::tuf::{
    Files, KeySet, Lifetimes, Repository as Written, RootKeys, Signers, Target, TufError,
};
use common_pki::key::{KeyAlgorithm, LocalSigner, Signer};

use super::*;
use crate::http::Client;
use crate::tuf_fetch::{FetchError, Repository};

fn seen(version: u64, timestamp: u64) -> Seen {
    Seen {
        version,
        timestamp,
        snapshot: 1,
        targets: 1,
        root: "{}".to_owned(),
    }
}

#[test]
fn what_is_kept_never_becomes_older() {
    let folder = tempfile::tempdir().unwrap();
    let below = folder.path().join("a/b");
    let kept = Kept::new(&below, "http://localhost/tuf", b"root");
    assert_eq!(kept.read().unwrap(), None);
    for (now, expected) in [
        (seen(1, 5), seen(1, 5)),
        (seen(1, 4), seen(1, 5)),
        (seen(1, 6), seen(1, 6)),
        // Another root counts its timestamps anew.
        (seen(2, 1), seen(2, 1)),
        (seen(1, 9), seen(2, 1)),
    ] {
        kept.keep(&now).unwrap();
        assert_eq!(kept.read().unwrap(), Some(expected));
    }
    let same = Kept::new(&below, "http://localhost/tuf/", b"root");
    assert_eq!(same.read().unwrap(), Some(seen(2, 1)));
    for (url, root) in [
        ("http://localhost/other", &b"root"[..]),
        ("http://localhost/tuf", b"other root"),
    ] {
        assert_eq!(Kept::new(&below, url, root).read().unwrap(), None);
    }
    std::fs::write(&kept.file, "{}").unwrap();
    assert!(matches!(kept.read(), Err(SeenError::Json { .. })));
    assert!(matches!(kept.keep(&seen(3, 1)), Err(SeenError::Json { .. })));
}

/// Files that a server has, which the test changes.
type Served = Arc<Mutex<BTreeMap<String, Vec<u8>>>>;

async fn serve(files: Served) -> String {
    let router = Router::new()
        .fallback(|State(files): State<Served>, uri: Uri| async move {
            match files.lock().unwrap().get(uri.path().trim_start_matches('/')) {
                Some(content) => content.clone().into_response(),
                None => StatusCode::NOT_FOUND.into_response(),
            }
        })
        .with_state(files);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    url
}

fn publish(served: &Served, files: Files) {
    served.lock().unwrap().extend(files);
}

/// An attacker who can answer for the server has an old copy of everything that was ever signed.
#[tokio::test]
async fn a_server_that_shows_an_earlier_state_is_refused() {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
    let key = LocalSigner::generate(KeyAlgorithm::EcdsaP256).unwrap().0;
    let all = KeySet::single(key.public_key());
    let keys = RootKeys {
        root: all.clone(),
        targets: all.clone(),
        snapshot: all.clone(),
        timestamp: all,
    };
    let one: [&dyn Signer; 1] = [&key];
    let signers = || Signers {
        root: &one,
        targets: &one,
        snapshot: &one,
        timestamp: &one,
    };
    let target = |content: &str| Target {
        name: "a".to_owned(),
        bytes: content.as_bytes().to_vec(),
        custom: None,
    };
    let (mut written, files) =
        Written::create(&keys, &[target("1")], Lifetimes::default(), now, signers()).unwrap();
    let served = Served::default();
    publish(&served, files);
    let first = served.lock().unwrap().clone();
    let root = first.get("1.root.json").unwrap().clone();

    let url = serve(Arc::clone(&served)).await;
    let folder = tempfile::tempdir().unwrap();
    let kept = Kept::new(folder.path(), &url, &root);
    let update = || Repository::update(Client::new(&url).unwrap(), &root, Some(&kept), now);
    update().await.unwrap();
    publish(
        &served,
        written
            .set_targets(&[target("2")], Lifetimes::default(), now, signers())
            .unwrap(),
    );
    update().await.unwrap();

    let second = std::mem::replace(&mut *served.lock().unwrap(), first.clone());
    let outcome = update().await.map(|_| ());
    assert!(
        matches!(outcome, Err(FetchError::Tuf(TufError::Older { .. }))),
        "{outcome:?}"
    );
    // Who keeps nothing does not notice.
    let forgetful = Repository::update(Client::new(&url).unwrap(), &root, None, now);
    forgetful.await.map(|_| ()).unwrap();

    // The next root says that another key signs timestamps; then it is not there any more.
    *served.lock().unwrap() = second;
    let other = LocalSigner::generate(KeyAlgorithm::EcdsaP256).unwrap().0;
    let timestamp: [&dyn Signer; 1] = [&other];
    let next = RootKeys {
        timestamp: KeySet::single(other.public_key()),
        ..keys
    };
    let signers = Signers {
        timestamp: &timestamp,
        ..signers()
    };
    publish(
        &served,
        written
            .rotate_root(&next, Lifetimes::default(), now, signers)
            .unwrap(),
    );
    update().await.unwrap();
    *served.lock().unwrap() = first;
    let outcome = update().await.map(|_| ());
    assert!(
        matches!(outcome, Err(FetchError::Tuf(TufError::Threshold { root: 2, .. }))),
        "{outcome:?}"
    );
}
