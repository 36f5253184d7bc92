//! Checking both Rekor logs from their public answers alone, with the tree mathematics of `common/tlog`.

use base64::prelude::{BASE64_STANDARD, Engine as _};
use common_tlog::compact::CompactRange;
use common_tlog::{Hash, leaf_hash, proof};
use serde_json::Value;

use crate::stack::Stack;

/// One state of a tree that somebody saw.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// Leaves.
    pub size: u64,
    /// Root over them.
    pub root: Hash,
}

/// The current head of the v1 log.
pub async fn head(stack: &Stack) -> Head {
    let info = json(stack, "/api/v1/log").await;
    Head {
        size: info["treeSize"].as_u64().unwrap(),
        root: info["rootHash"].as_str().unwrap().parse().unwrap(),
    }
}

/// `GET path` must answer 200 with JSON.
pub async fn json(stack: &Stack, path: &str) -> Value {
    let answer = stack.http.get(stack.url(path)).send().await.unwrap();
    let (status, text) = (answer.status(), answer.text().await.unwrap());
    assert_eq!(status, 200, "GET {path}: {text}");
    serde_json::from_str(&text).unwrap()
}

/// The later head contains everything the earlier one did.
pub async fn consistent(stack: &Stack, from: &Head, to: &Head) {
    if from.size == 0 || from == to {
        return;
    }
    let answer = json(
        stack,
        &format!("/api/v1/log/proof?firstSize={}&lastSize={}", from.size, to.size),
    )
    .await;
    let hashes = hashes(&answer["hashes"]);
    proof::verify_consistency(from.size, to.size, &from.root, &to.root, &hashes).unwrap_or_else(|e| {
        panic!(
            "tree of {} is not a prefix of that of {}: {e}",
            from.size, to.size
        )
    });
}

/// The entry that was acknowledged is still there, unchanged, and provable.
pub async fn included(stack: &Stack, id: &str, acknowledged: &Value) {
    let answer = json(stack, &format!("/api/v1/log/entries/{id}")).await;
    let entry = answer
        .get(id)
        .unwrap_or_else(|| panic!("asked for {id}, got {answer}"));
    for field in ["body", "integratedTime", "logID", "logIndex"] {
        assert_eq!(entry[field], acknowledged[field], "{field} of {id} changed");
    }
    assert_eq!(
        entry["verification"]["signedEntryTimestamp"], acknowledged["verification"]["signedEntryTimestamp"],
        "the promise given for {id} changed"
    );
    let body = BASE64_STANDARD.decode(entry["body"].as_str().unwrap()).unwrap();
    let given = &entry["verification"]["inclusionProof"];
    proof::verify_inclusion(
        given["logIndex"].as_u64().unwrap(),
        given["treeSize"].as_u64().unwrap(),
        &leaf_hash(&body),
        &hashes(&given["hashes"]),
        &given["rootHash"].as_str().unwrap().parse().unwrap(),
    )
    .unwrap_or_else(|e| panic!("{id}: {e}"));
}

/// The checkpoint of the v2 log: its size and root.
pub async fn v2_head(stack: &Stack) -> Head {
    let text = stack
        .http
        .get(stack.url("/api/v2/checkpoint"))
        .send()
        .await
        .unwrap()
        .text()
        .await
        .unwrap();
    let mut lines = text.lines().skip(1);
    Head {
        size: lines.next().unwrap().parse().unwrap(),
        root: Hash::from_base64(lines.next().unwrap()).unwrap(),
    }
}

/// Every leaf of the v2 log up to `size`, read from its entry bundles.
pub async fn v2_leaves(stack: &Stack, size: u64) -> Vec<Vec<u8>> {
    let mut leaves = Vec::new();
    for bundle in 0..size.div_ceil(256) {
        let width = (size - bundle * 256).min(256);
        let partial = if width < 256 {
            format!(".p/{width}")
        } else {
            String::new()
        };
        let path = format!("/api/v2/tile/entries/{bundle:03}{partial}");
        let answer = stack.http.get(stack.url(&path)).send().await.unwrap();
        assert_eq!(answer.status(), 200, "GET {path}");
        let bytes = answer.bytes().await.unwrap();
        // C2SP tlog-tiles "Log entries": big-endian u16 length, then the entry.
        let mut rest = &bytes[..];
        while let [high, low, tail @ ..] = rest {
            let (leaf, tail) = tail.split_at(usize::from(u16::from_be_bytes([*high, *low])));
            leaves.push(leaf.to_vec());
            rest = tail;
        }
    }
    assert_eq!(leaves.len() as u64, size);
    leaves
}

/// Each of `heads` is the root over that many of `leaves`.
pub fn roots_match(leaves: &[Vec<u8>], heads: &[Head]) {
    let mut tree = CompactRange::default();
    let mut roots = vec![tree.root()];
    for leaf in leaves {
        tree.append(leaf).unwrap();
        roots.push(tree.root());
    }
    for head in heads {
        let size = usize::try_from(head.size).unwrap();
        assert_eq!(roots[size], head.root, "root of the first {size} leaves");
    }
}

/// A list of hashes in hexadecimal.
pub(crate) fn hashes(list: &Value) -> Vec<Hash> {
    list.as_array()
        .unwrap()
        .iter()
        .map(|h| h.as_str().unwrap().parse().unwrap())
        .collect()
}
