#![allow(clippy::unwrap_used, reason = "tests")]

use common_engine::{Head, LogId, StoredLeaf};

use super::*;

#[test]
fn an_answer_fits_the_buffer_reserved_for_it() {
    let largest = i64::MAX.unsigned_abs();
    let kind = KindVersion {
        kind: "hashedrekord",
        version: "0.0.2",
    };
    let head = Arc::new(Head {
        size: largest,
        root: Hash([0xff; 32]),
        checkpoint: format!("{}\n1\n2\n\n\u{2014} a\n", "host.".repeat(50)),
        time: 0,
    });
    for length in [0, 1, 2, 1_500, 65_535] {
        let receipt = Receipt {
            log: LogId(1),
            leaf: StoredLeaf {
                index: largest,
                time: 0,
                data: vec![1; length].into(),
                extra: Bytes::new(),
            },
            proof: vec![Hash([0xff; 32]); 40],
            head: Arc::clone(&head),
        };
        let answer = transparency_log_entry(&Hash([0xff; 32]).to_base64(), kind, &receipt);
        let size = size(&receipt);
        assert!(answer.len() <= size, "{} in {size}", answer.len());
        assert!(
            size < answer.len().saturating_add(256),
            "nor much more than it needs"
        );
    }
}
