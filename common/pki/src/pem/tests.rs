#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use super::*;

#[test]
fn round_trip_at_every_length_around_a_line() {
    for len in 0..200_usize {
        let contents = vec![0xA5; len];
        let text = encode("TEST BLOCK", &contents);
        assert!(text.ends_with("-----END TEST BLOCK-----\n"));
        assert!(text.lines().all(|line| line.len() <= 64));
        assert_eq!(
            decode_one(text.as_bytes()).unwrap(),
            Block {
                label: "TEST BLOCK".to_owned(),
                contents
            }
        );
    }
}

/// What is reserved is what is needed: text or contents that move while they grow stay behind in freed memory.
#[test]
fn private_keys_are_written_and_read_without_leftover_copies() {
    for len in 0..500_usize {
        let contents = vec![0x5A; len];
        let text = encode("PRIVATE KEY", &contents);
        assert_eq!(text.capacity(), text.len(), "the text of {len} octets grew");
        assert_eq!(
            decode_private(text.as_bytes()).unwrap(),
            ("PRIVATE KEY".to_owned(), Zeroizing::new(contents))
        );
        let base64 = base64_text(text.as_bytes());
        assert_eq!(base64.capacity(), text.len(), "the base64 of {len} octets grew");
    }
    let text = encode("X", &[1, 2, 3]);
    let trailing = decode_private(format!("{text}{text}").as_bytes()).unwrap_err();
    assert_eq!(trailing, PemError::Trailing("X".to_owned()));
    let broken = decode_private(text.replace("AQID", "AQI*").as_bytes()).unwrap_err();
    assert_eq!(broken, PemError::Base64("X".to_owned()));
    for cut in 0..text.len() {
        let _ = decode_private(&text.as_bytes()[..cut]);
    }
}

#[test]
fn lenient_where_rfc_7468_is() {
    let text =
        "some words\r\n-----BEGIN X-----\r\nProc-Type: 4\r\n\r\nAQ\r\nID\r\n-----END X-----   \r\n\r\n";
    assert_eq!(decode_one(text.as_bytes()).unwrap().contents, [1, 2, 3]);
}

#[test]
fn refused() {
    let cases: [(&str, PemError); 7] = [
        ("", PemError::NoBlock),
        ("AQID", PemError::NoBlock),
        ("-----BEGIN -----\nAQID\n-----END -----\n", PemError::Label),
        ("-----BEGIN X-----\nAQID\n", PemError::NoEnd("X".to_owned())),
        (
            "-----BEGIN X-----\nAQID\n-----END Y-----\n",
            PemError::NoEnd("X".to_owned()),
        ),
        (
            "-----BEGIN X-----\nAQI*\n-----END X-----\n",
            PemError::Base64("X".to_owned()),
        ),
        (
            "-----BEGIN X-----\nAQID\n-----END X-----\nmore",
            PemError::Trailing("X".to_owned()),
        ),
    ];
    for (text, error) in cases {
        assert_eq!(decode_one(text.as_bytes()).unwrap_err(), error, "{text:?}");
    }
    let three = encode("X", &[1]).repeat(3);
    assert_eq!(decode_all(three.as_bytes(), 3).unwrap().len(), 3);
    assert_eq!(decode_all(three.as_bytes(), 2).unwrap_err(), PemError::TooMany(2));
}

#[test]
fn never_panics_on_cut_input() {
    let text = encode("LABEL", &[7; 100]);
    for cut in 0..text.len() {
        let _ = decode_all(&text.as_bytes()[..cut], 4);
        let _ = decode_all(&text.as_bytes()[cut..], 4);
    }
}
