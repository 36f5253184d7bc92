#![allow(clippy::unwrap_used, reason = "tests")]

use common_pki::key::KeyAlgorithm;

use super::*;
use crate::testing::signer;
use crate::v1::TreeId;

#[test]
fn an_answer_fits_the_buffer_reserved_for_it() {
    let key = signer(KeyAlgorithm::EcdsaP256).public_key().clone();
    let largest = i64::MAX.unsigned_abs();
    let shard = Shard::new(TreeId::new(largest).unwrap(), 0, key);
    let head = Head {
        size: largest,
        root: Hash([0xff; 32]),
        checkpoint: format!("{}\n1\n2\n\n\u{2014} a\n", "host.".repeat(50)),
        time: u64::MAX,
    };
    for length in [0, 1, 2, 1_500, 65_535] {
        let leaf = StoredLeaf {
            index: largest,
            time: u64::MAX,
            data: vec![1; length].into(),
            extra: Bytes::new(),
        };
        let attestation = Bytes::from(vec![2; length]);
        for attestation in [None, Some(&attestation)] {
            let view = EntryView {
                shard: &shard,
                id: EntryId {
                    tree: shard.tree(),
                    leaf: Hash([0xff; 32]),
                },
                leaf: &leaf,
                set: &[3; 72],
                proof: &[Hash([0xff; 32]); 40],
                head: &head,
                attestation,
            };
            let mut out = String::new();
            view.write(&mut out);
            out.push('\n');
            assert!(out.len() <= view.size(), "{} in {}", out.len(), view.size());
            assert!(
                view.size() < out.len().saturating_add(256),
                "nor much more than it needs"
            );
        }
    }
}
