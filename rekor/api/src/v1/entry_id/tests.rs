#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use super::*;

const LEAF: &str = "357b3aefb2be6b6fe7b43cc3df645db7e51f639f7a38131d8e1ea60cfed14c96";

#[test]
fn tree_ids_are_positive_int64() {
    assert_eq!(TreeId::new(0), None);
    assert_eq!(TreeId::new(1).unwrap().get(), 1);
    assert_eq!(
        TreeId::new(0x7fff_ffff_ffff_ffff).unwrap().to_string(),
        "9223372036854775807"
    );
    assert_eq!(TreeId::new(0x8000_0000_0000_0000), None);
    assert_eq!(TreeId::new(u64::MAX), None);
}

#[test]
fn an_id_is_tree_then_leaf_in_lower_case() {
    let text = format!("6a6bcf21cf0b7514{LEAF}");
    let Some(EntryRef::Full { tree, leaf }) = EntryRef::parse(&text.to_uppercase()).unwrap() else {
        panic!("not a full ID")
    };
    assert_eq!(tree.get(), 7668450534642906388);
    let id = EntryId { tree, leaf };
    assert_eq!(id.to_string(), text);
    assert_eq!(id.header(), text);
    assert!(matches!(EntryRef::parse(LEAF).unwrap(), Some(EntryRef::Bare(bare)) if bare == leaf));
}

#[test]
fn other_shapes_are_none_and_impossible_trees_are_refused() {
    let odd = format!("6a6bcf21cf0b751{LEAF}");
    let accented = "é".repeat(40);
    let wide = "é".repeat(32);
    let not_hex = "z".repeat(80);
    for text in [
        "",
        "zz",
        odd.as_str(),
        accented.as_str(),
        wide.as_str(),
        not_hex.as_str(),
    ] {
        assert_eq!(EntryRef::parse(text).unwrap(), None, "{text}");
    }
    for tree in ["0000000000000000", "8000000000000000", "ffffffffffffffff"] {
        let refused = EntryRef::parse(&format!("{tree}{LEAF}")).unwrap_err();
        assert_eq!(
            refused.to_string(),
            format!("validation error: {tree} is not a valid TreeID")
        );
    }
}
