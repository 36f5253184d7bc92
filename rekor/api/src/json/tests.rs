#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;

#[test]
fn a_string_reads_back_whatever_it_holds() {
    let mut every = String::new();
    for code in 0..0x250_u32 {
        every.extend(char::from_u32(code));
    }
    for text in [
        "",
        "plain",
        "\"",
        "\\",
        "a\nb\n\n\u{2014} host c2ln\n",
        "\u{0}\u{1f}\u{7f}",
        "€\"€",
        every.as_str(),
    ] {
        let mut out = String::new();
        string(&mut out, text);
        assert_eq!(serde_json::from_str::<String>(&out).unwrap(), text, "{out}");
    }
}

#[test]
fn binary_forms_agree_with_the_libraries() {
    for length in 0..70_u8 {
        let bytes: Vec<u8> = (0..length).map(|at| at.wrapping_mul(37)).collect();
        let mut out = String::new();
        hex(&mut out, &bytes);
        assert_eq!(out, ::hex::encode(&bytes));
        let mut out = String::new();
        base64(&mut out, &bytes);
        assert_eq!(out, format!("\"{}\"", STANDARD.encode(&bytes)));
    }
}

#[test]
fn a_message_is_cut_between_characters() {
    for (text, kept) in [
        ("short".to_owned(), 5),
        ("x".repeat(5_000), 2_048),
        ("€".repeat(5_000), 2_046),
    ] {
        let mut out = String::new();
        message(&mut out, &text);
        assert_eq!(serde_json::from_str::<String>(&out).unwrap().len(), kept);
    }
}

#[test]
fn an_empty_proof_is_an_empty_array() {
    let mut out = String::new();
    hashes(&mut out, &[], |out, hash| hex(out, hash.as_bytes()));
    assert_eq!(out, "[]");
}
