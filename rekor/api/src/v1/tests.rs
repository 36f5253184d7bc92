//! The v1 API through its router, on the engine's in-memory storage.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "tests"
)]

mod headers;
mod hostile;
mod lifecycle;
mod overload;
mod replay;
mod rolling;
mod sharding;

use common_tlog::checkpoint::Checkpoint;
use common_tlog::{Hash, leaf_hash, proof};
use serde_json::{Value, json};

use super::Shard;
use crate::testing::{self, HOST, unbase64};

/// Checks one entry of an answer the way a client does, from nothing but the answer and the shard's key;
/// returns its ID.
fn verify_entry(answer: &Value, shard: &Shard) -> String {
    let members = answer.as_object().expect("an object");
    assert_eq!(members.len(), 1, "clients refuse more or less than one entry");
    let (id, entry) = members.iter().next().unwrap();
    let body = unbase64(&entry["body"]);
    let hash = leaf_hash(&body);
    assert_eq!(*id, format!("{:016x}{hash}", shard.tree().get()));
    assert_eq!(entry["logID"], shard.log_id());

    // The signed entry timestamp, over a library's canonical JSON.
    let signed = json!({
        "body": entry["body"], "integratedTime": entry["integratedTime"], "logID": entry["logID"], "logIndex": entry["logIndex"],
    });
    let signed = serde_json_canonicalizer::to_vec(&signed).unwrap();
    let set = unbase64(&entry["verification"]["signedEntryTimestamp"]);
    let key = shard.public_key();
    key.verify(key.default_hash(), &signed, &set)
        .expect("the timestamp verifies");

    // The checkpoint: one signature line, hint of the SPKI, bare host name.
    let inclusion = &entry["verification"]["inclusionProof"];
    let checkpoint = verify_checkpoint(inclusion["checkpoint"].as_str().unwrap(), shard);
    assert_eq!(checkpoint.size, inclusion["treeSize"].as_u64().unwrap());
    assert_eq!(
        checkpoint.root.to_string(),
        inclusion["rootHash"].as_str().unwrap()
    );

    let path: Vec<Hash> = inclusion["hashes"]
        .as_array()
        .expect("never null")
        .iter()
        .map(|hash| hash.as_str().unwrap().parse().unwrap())
        .collect();
    let index = inclusion["logIndex"].as_u64().unwrap();
    proof::verify_inclusion(index, checkpoint.size, &hash, &path, &checkpoint.root)
        .expect("the proof verifies");
    assert_eq!(entry["logIndex"].as_u64().unwrap(), shard.virtual_index(index));
    id.clone()
}

fn verify_checkpoint(text: &str, shard: &Shard) -> Checkpoint {
    // The hint is of the SPKI, not the one of C2SP signed-note.
    let checkpoint = testing::verify_checkpoint(text, shard.public_key(), shard.key_digest());
    assert_eq!(checkpoint.origin, format!("{HOST} - {}", shard.tree()));
    checkpoint
}
