#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use super::*;
use crate::empty_root;

const ROOT: &str = "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=";

#[test]
fn the_text_of_an_empty_log() {
    let checkpoint = Checkpoint::new("rekor.example.com", 0, empty_root());
    let text = checkpoint.to_string();
    assert_eq!(text, format!("rekor.example.com\n0\n{ROOT}\n"));
    assert_eq!(Checkpoint::parse(&text), Ok(checkpoint));
}

#[test]
fn extensions_are_kept_in_order() {
    let text = format!("rekor.example.com - 42\n{}\n{ROOT}\nLog frozen\nmore\n", MAX_SIZE);
    let checkpoint = Checkpoint::parse(&text).unwrap();
    assert_eq!(checkpoint.extensions, ["Log frozen", "more"]);
    assert_eq!(checkpoint.to_string(), text);
}

#[test]
fn malformed_checkpoints_are_refused() {
    let parse = |text: &str| Checkpoint::parse(text).map(|_| ());
    for bad in ["", "\n", &format!("\n1\n{ROOT}\n")] {
        assert_eq!(parse(bad), Err(CheckpointError::Origin), "{bad:?}");
    }
    for size in [
        "",
        "01",
        "-1",
        "+1",
        " 1",
        "1 ",
        "0x1",
        "9223372036854775808",
        "99999999999999999999999",
        "١",
    ] {
        assert_eq!(
            parse(&format!("origin\n{size}\n{ROOT}\n")),
            Err(CheckpointError::Size),
            "{size}"
        );
    }
    assert_eq!(parse("origin"), Err(CheckpointError::Size));
    // A missing line moves the root up, or leaves none.
    assert_eq!(parse(&format!("origin\n{ROOT}\n")), Err(CheckpointError::Size));
    for root in ["", "AAAA", &ROOT[1..], &ROOT.replace('=', "")] {
        assert_eq!(
            parse(&format!("origin\n1\n{root}\n")),
            Err(CheckpointError::Root),
            "{root}"
        );
    }
    assert_eq!(parse("origin\n1"), Err(CheckpointError::Root));
    for rest in ["", "\n\n", "\nmore", "\n\nmore\n", "\nmore\n\n"] {
        assert_eq!(
            parse(&format!("origin\n1\n{ROOT}{rest}")),
            Err(CheckpointError::Extensions),
            "{rest:?}"
        );
    }
    let many = "line\n".repeat(MAX_EXTENSIONS);
    assert_eq!(parse(&format!("origin\n1\n{ROOT}\n{many}")), Ok(()));
    assert_eq!(
        parse(&format!("origin\n1\n{ROOT}\n{many}x\n")),
        Err(CheckpointError::Extensions)
    );
}
