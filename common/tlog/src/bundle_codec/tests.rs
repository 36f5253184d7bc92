#![allow(clippy::unwrap_used, reason = "tests")]

use proptest::prelude::*;

use super::*;

#[test]
fn lengths_are_big_endian() {
    assert_eq!(encode(["", "ab"]).unwrap(), [0, 0, 0, 2, b'a', b'b']);
    assert_eq!(
        encode([vec![7; 258]]).unwrap().split_at(2),
        (&[1, 2][..], &[7; 258][..])
    );
    assert!(encode([""; 0]).unwrap().is_empty());
}

#[test]
fn limits_are_kept() {
    assert_eq!(
        encode([vec![0; MAX_LEAF]]).map(|bundle| bundle.len()),
        Ok(MAX_LEAF + 2)
    );
    assert_eq!(
        encode([vec![0; MAX_LEAF + 1]]),
        Err(BundleError::LeafTooLarge(MAX_LEAF + 1))
    );
    assert_eq!(encode(["x"; 257]), Err(BundleError::TooManyLeaves));
    assert_eq!(decode(&[0; 512]).map(|leaves| leaves.len()), Ok(256));
    assert_eq!(decode(&[0; 514]), Err(BundleError::TooManyLeaves));
    for (bundle, leaf) in [
        (&[0][..], 0),
        (&[0, 1], 0),
        (&[0, 1, 9, 0], 1),
        (&[0xff, 0xff, 1], 0),
    ] {
        assert_eq!(decode(bundle), Err(BundleError::Truncated(leaf)), "{bundle:?}");
    }
}

proptest! {
    #[test]
    fn bundles_read_back(leaves in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..=256)) {
        let bundle = encode(&leaves).unwrap();
        prop_assert_eq!(decode(&bundle).unwrap(), leaves);
    }

    #[test]
    fn any_bytes_are_read_back_or_refused(bundle: Vec<u8>) {
        if let Ok(leaves) = decode(&bundle) {
            prop_assert_eq!(encode(leaves).unwrap(), bundle);
        }
    }
}
