//! The v2 API through its router, on the engine's in-memory storage.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "tests"
)]

mod hostile;
mod overload;
mod reads;
mod replay;
mod rolling;
mod writes;

use common_tlog::checkpoint::Checkpoint;
use common_tlog::{Hash, leaf_hash, proof};
use serde_json::{Value, json};

use crate::testing::{self, HOST, Stack, unbase64};

const ENTRIES: &str = "/api/v2/log/entries";

/// Checks an answer the way a client does; returns the leaf's hash.
fn verify_entry(answer: &Value, stack: &Stack) -> Hash {
    let log_id = crate::personality::log_id(HOST, &stack.v2_key).unwrap();
    assert_eq!(answer["logId"]["keyId"], log_id.to_base64());
    assert_eq!(
        (&answer["integratedTime"], &answer["inclusionPromise"]),
        (&json!("0"), &Value::Null)
    );
    let number = |value: &Value| {
        value
            .as_str()
            .expect("64-bit numbers are strings")
            .parse::<u64>()
            .unwrap()
    };
    let inclusion = &answer["inclusionProof"];
    assert_eq!(inclusion["logIndex"], answer["logIndex"]);

    let checkpoint = verify_checkpoint(inclusion["checkpoint"]["envelope"].as_str().unwrap(), stack);
    assert_eq!(checkpoint.size, number(&inclusion["treeSize"]));
    assert_eq!(checkpoint.root.0[..], unbase64(&inclusion["rootHash"])[..]);

    let leaf = leaf_hash(&unbase64(&answer["canonicalizedBody"]));
    let path: Vec<Hash> = inclusion["hashes"]
        .as_array()
        .expect("never null")
        .iter()
        .map(|hash| Hash::from_base64(hash.as_str().unwrap()).unwrap())
        .collect();
    proof::verify_inclusion(
        number(&answer["logIndex"]),
        checkpoint.size,
        &leaf,
        &path,
        &checkpoint.root,
    )
    .expect("the proof verifies");
    leaf
}

fn verify_checkpoint(text: &str, stack: &Stack) -> Checkpoint {
    let key_id = crate::personality::log_id(HOST, &stack.v2_key).unwrap();
    let checkpoint = testing::verify_checkpoint(text, &stack.v2_key, key_id.as_bytes());
    assert_eq!(checkpoint.origin, HOST);
    checkpoint
}
