#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use common_pki::sct::{SignedEntry, leaf_index_extension, merkle_tree_leaf, timestamped_entry};

use super::*;

fn read(dialect: Dialect, bundle: &[u8], first: u64) -> Result<Vec<Leaf>, Malformed> {
    dialect.leaves(&Bytes::copy_from_slice(bundle), first)
}

fn precertificate(index: u64) -> (Vec<u8>, Vec<u8>) {
    let entry = SignedEntry::Precert {
        issuer_key_hash: [7; 32],
        tbs: b"to be signed".to_vec(),
    };
    let extensions = leaf_index_extension(index).unwrap();
    let leaf = merkle_tree_leaf(1_800_000_000_000, &entry, &extensions).unwrap();
    let mut tile = timestamped_entry(1_800_000_000_000, &entry, &extensions).unwrap();
    tile.extend_from_slice(&[0, 0, 3, 1, 2, 3]);
    tile.extend_from_slice(&[0, 64]);
    tile.extend_from_slice(&[[8; 32], [9; 32]].concat());
    (leaf, tile)
}

fn certificate(index: u64) -> (Vec<u8>, Vec<u8>) {
    let entry = SignedEntry::X509(b"certificate".to_vec());
    let extensions = leaf_index_extension(index).unwrap();
    let leaf = merkle_tree_leaf(5, &entry, &extensions).unwrap();
    let mut tile = timestamped_entry(5, &entry, &extensions).unwrap();
    tile.extend_from_slice(&[0, 0]);
    (leaf, tile)
}

#[test]
fn certificates_hash_as_their_merkle_leaves_and_say_their_place() {
    let ((first, mut bundle), (second, rest)) = (precertificate(512), certificate(513));
    bundle.extend_from_slice(&rest);
    let leaves = read(Dialect::Certificates, &bundle, 512).unwrap();
    let expected = [
        Leaf {
            hash: leaf_hash(&first),
            index: Some(512),
            issuers: vec![Hash([8; 32]), Hash([9; 32])],
            content: Bytes::copy_from_slice(&first[2..]),
        },
        Leaf {
            hash: leaf_hash(&second),
            index: Some(513),
            issuers: Vec::new(),
            content: Bytes::copy_from_slice(&second[2..]),
        },
    ];
    assert_eq!(leaves, expected);
}

#[test]
fn whatever_is_cut_or_torn_is_refused_with_its_leaf() {
    let (_, bundle) = precertificate(512);
    for length in 1..bundle.len() {
        let refused = read(Dialect::Certificates, &bundle[..length], 512).unwrap_err();
        assert_eq!(
            refused,
            Malformed("leaf 512 is cut short or malformed".to_owned())
        );
    }
    let mut unknown = bundle.clone();
    unknown[9] = 2;
    assert!(read(Dialect::Certificates, &unknown, 0).is_err());
    let mut odd = bundle.clone();
    let at = odd.len() - 65;
    odd[at] = 63;
    odd.pop();
    assert!(read(Dialect::Certificates, &odd, 0).is_err());
    let many = certificate(0).1.repeat(257);
    assert!(read(Dialect::Certificates, &many, 0).is_err());
    assert!(read(Dialect::Entries, &[0, 5, 1], 0).is_err());
    assert_eq!(
        read(Dialect::Entries, &[0, 1, 7], 0).unwrap()[0].hash,
        leaf_hash(&[7])
    );
}
