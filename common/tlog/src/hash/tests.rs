#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use super::*;

#[test]
fn known_values() {
    // RFC 6962 §2.1: the hash of the empty tree is SHA-256 of nothing; FIPS 180-4's own example.
    assert_eq!(
        empty_root().to_string(),
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    );
    // The first leaf and root of certificate-transparency's reference tree (cpp/merkletree test data).
    assert_eq!(
        leaf_hash(b"").to_string(),
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"
    );
    assert_eq!(
        node_hash(&leaf_hash(b""), &leaf_hash(&[0])).to_string(),
        "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"
    );
}

#[test]
fn hex_and_base64_read_back() {
    let hash = leaf_hash(b"leaf");
    assert_eq!(hash.to_string().parse(), Ok(hash));
    assert_eq!(hash.to_string().to_uppercase().parse(), Ok(hash));
    assert_eq!(hash.to_string(), hex::encode(hash.0));
    assert_eq!(format!("{hash:?}"), hash.to_string());
    assert_eq!(Hash::from_base64(&hash.to_base64()), Ok(hash));
    assert_eq!(Hash::from_slice(hash.as_ref()), Ok(hash));
}

#[test]
fn malformed_text_is_refused() {
    let hex = leaf_hash(b"leaf").to_string();
    for bad in [
        &hex[1..],
        "",
        &format!("{hex}0"),
        &hex.replacen(|_| true, "g", 1),
        &format!("+{}", &hex[1..]),
    ] {
        assert!(bad.parse::<Hash>().is_err(), "{bad}");
    }
    // As long as a hash, but in characters of more than one byte.
    assert!("é".repeat(32).parse::<Hash>().is_err());
    let base64 = leaf_hash(b"leaf").to_base64();
    for bad in [
        base64.trim_end_matches('='),
        "",
        "AAAA",
        &base64.repeat(2),
        &"A".repeat(44),
    ] {
        assert!(Hash::from_base64(bad).is_err(), "{bad}");
    }
    assert_eq!(Hash::from_slice(&[0; 31]), Err(HashParseError::Length(31)));
}
