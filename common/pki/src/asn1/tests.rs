#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use super::*;

#[test]
fn lengths_take_the_fewest_octets() {
    // X.690 §8.1.3, §10.1: short form up to 127, then as few octets as the number needs.
    let headers: [(usize, &[u8]); 8] = [
        (0, &[0x04, 0]),
        (1, &[0x04, 1]),
        (127, &[0x04, 127]),
        (128, &[0x04, 0x81, 128]),
        (255, &[0x04, 0x81, 255]),
        (256, &[0x04, 0x82, 1, 0]),
        (65_535, &[0x04, 0x82, 255, 255]),
        (65_536, &[0x04, 0x83, 1, 0, 0]),
    ];
    for (len, header) in headers {
        let contents = vec![7; len];
        let written = octet_string(&contents);
        assert_eq!(written, [header, &contents].concat(), "{len} octets");
        assert_eq!(element_len(len), written.len(), "{len} octets");
        let any = AnyRef::from_der(&written).unwrap();
        assert_eq!(any.value(), contents);
    }
}

#[test]
fn numbers_are_written_without_superfluous_zeros() {
    assert_eq!(unsigned(&[]), [INTEGER, 1, 0]);
    assert_eq!(unsigned(&[0, 0, 5]), [INTEGER, 1, 5]);
    assert_eq!(unsigned(&[0x80]), [INTEGER, 2, 0, 0x80]);
}
