//! Checkpoint, tiles and entry bundles.

use bytes::Bytes;
use common_engine::Entry;
use common_tlog::compact::CompactRange;
use common_tlog::{Hash, TileId, bundle_codec, leaf_hash};
use serde_json::json;

use super::verify_checkpoint;
use crate::testing::{Stack, TILES, get};

const FOREVER: &str = "public, max-age=31536000, immutable";

/// Fills the log past one full tile, through the engine: what a leaf says does not matter here.
async fn filled(size: u64) -> (Stack, Vec<Vec<u8>>) {
    let stack = Stack::new().await;
    let mut leaves = Vec::new();
    let mut submitted = Vec::new();
    for number in 0..size {
        let body = format!("{{\"number\":{number}}}").into_bytes();
        let engine = stack.engine.clone();
        let entry = Entry {
            identity: leaf_hash(&body),
            body: Bytes::from(body),
            aux: Bytes::new(),
            terms: vec![],
            attachments: vec![],
        };
        submitted.push(tokio::spawn(
            async move { engine.submit(TILES, entry).await.unwrap() },
        ));
    }
    let mut receipts = Vec::new();
    for task in submitted {
        receipts.push(task.await.unwrap().receipt().leaf.clone());
    }
    receipts.sort_by_key(|leaf| leaf.index);
    leaves.extend(receipts.into_iter().map(|leaf| leaf.data.to_vec()));
    (stack, leaves)
}

#[tokio::test]
async fn tiles_and_bundles_give_the_tree_of_the_checkpoint() {
    let (stack, leaves) = filled(600).await;
    for prefix in ["", "/api/v2"] {
        let reply = get(&stack.v2, &format!("{prefix}/checkpoint")).await;
        assert_eq!(
            (reply.header("content-type"), reply.header("cache-control")),
            ("text/plain; charset=utf-8", "no-store")
        );
        let checkpoint = verify_checkpoint(std::str::from_utf8(&reply.body).unwrap(), &stack);
        assert_eq!(checkpoint.size, 600);

        let mut hashes = Vec::new();
        let mut logged = Vec::new();
        for (number, width, suffix) in [("000", 256, ""), ("001", 256, ""), ("002", 88, ".p/88")] {
            let tile = get(&stack.v2, &format!("{prefix}/tile/0/{number}{suffix}")).await;
            let bundle = get(&stack.v2, &format!("{prefix}/tile/entries/{number}{suffix}")).await;
            for reply in [&tile, &bundle] {
                assert_eq!(
                    (reply.status.as_u16(), reply.header("content-type")),
                    (200, "application/octet-stream")
                );
                assert_eq!(
                    reply.header("cache-control"),
                    if width == 256 {
                        FOREVER
                    } else {
                        "public, max-age=60"
                    }
                );
            }
            assert_eq!(tile.body.len(), width * 32);
            hashes.extend(tile.body.chunks(32).map(|hash| Hash::from_slice(hash).unwrap()));
            logged.extend(
                bundle_codec::decode(&bundle.body)
                    .unwrap()
                    .into_iter()
                    .map(<[u8]>::to_vec),
            );
        }
        assert_eq!(logged, leaves);
        assert_eq!(
            hashes,
            logged.iter().map(|leaf| leaf_hash(leaf)).collect::<Vec<_>>()
        );
        let mut range = CompactRange::new();
        for hash in &hashes {
            range.append_hash(*hash).unwrap();
        }
        assert_eq!(range.root(), checkpoint.root);
        // The tile above holds the roots of the two full ones.
        let above = get(&stack.v2, &format!("{prefix}/tile/1/000.p/2")).await;
        assert_eq!(above.body.len(), 64);
    }
}

#[tokio::test]
async fn every_width_up_to_the_published_size_is_there_and_none_beyond() {
    let (stack, _) = filled(259).await;
    for width in 1..256 {
        for kind in ["0", "entries"] {
            let reply = get(&stack.v2, &format!("/tile/{kind}/000.p/{width}")).await;
            assert_eq!(reply.status, 200, "partials of every size that was a checkpoint");
        }
    }
    for path in [
        "0/001.p/4",
        "0/001",
        "0/002.p/1",
        "1/000.p/2",
        "1/000",
        "2/000.p/1",
        "entries/001.p/4",
        "entries/001",
        "entries/002",
        "0/000.p/0",
        "0/000.p/256",
        "0/000.p/01",
        "0/0",
        "0/x000/000",
        "00/000",
        "64/000",
        "256/000",
        "-1/000",
        "0/x001",
        "entries",
        "0",
        "0/000/",
        "0/000.p/1/",
        "0/..%2f000",
        "0/999",
        "0/x999/x999/x999/x999/x999/x999/999",
        "0/x018/x446/x744/x073/x709/x551/615",
        "0/x018/x446/x744/x073/x709/x551/616",
        "entries/x018/x446/x744/x073/x709/x551/615",
        "0/000.p/٣",
    ] {
        let path: String = path
            .bytes()
            .map(|byte| {
                if byte.is_ascii() {
                    char::from(byte).to_string()
                } else {
                    format!("%{byte:02X}")
                }
            })
            .collect();
        let reply = get(&stack.v2, &format!("/tile/{path}")).await;
        assert_eq!(reply.status, 404, "{path}: clients fall back on 404 only");
        assert_eq!(
            reply.header("cache-control"),
            "no-store",
            "{path}: a tile that is not there yet will be"
        );
    }
}

#[tokio::test]
async fn the_empty_log_has_a_checkpoint_and_no_tiles() {
    let stack = Stack::new().await;
    let reply = get(&stack.v2, "/checkpoint").await;
    let checkpoint = verify_checkpoint(std::str::from_utf8(&reply.body).unwrap(), &stack);
    assert_eq!((checkpoint.size, checkpoint.root), (0, common_tlog::empty_root()));
    for path in [
        "/tile/0/000",
        "/tile/0/000.p/1",
        "/tile/entries/000",
        "/tile/entries/000.p/1",
        "/tile/63/000.p/1",
    ] {
        assert_eq!(get(&stack.v2, path).await.status, 404);
    }
    assert_eq!((TileId { level: 0, index: 0 }).width(0), 0);
}

#[tokio::test]
async fn a_path_that_is_no_text_is_404_in_the_apis_shape() {
    let stack = Stack::new().await;
    for prefix in ["", "/api/v2"] {
        for path in ["%ff", "0/%ff", "entries/%c3%28", "0/000%fe"] {
            let reply = get(&stack.v2, &format!("{prefix}/tile/{path}")).await;
            assert_eq!(reply.status, 404, "{path}");
            assert_eq!(
                reply.json(),
                json!({"code": 5, "message": "Not Found", "details": []}),
                "{path}"
            );
            assert_eq!(reply.header("cache-control"), "no-store", "{path}");
        }
    }
}
