use super::*;

#[test]
fn keys_depend_on_the_secret_the_kind_the_log_and_the_whole_of_what_is_sought() {
    let hash = Hash([5; 32]);
    let (one, two) = (IndexSecret([1; 32]), IndexSecret([2; 32]));
    let keys = [
        one.term("a"),
        one.term("ab"),
        one.term("A"),
        two.term("a"),
        one.leaf(LogId(1), &hash),
        one.leaf(LogId(2), &hash),
        two.leaf(LogId(1), &hash),
        one.leaf(LogId(1), &Hash([6; 32])),
    ];
    let distinct: std::collections::BTreeSet<IndexKey> = keys.into_iter().collect();
    assert_eq!(distinct.len(), keys.len());
    assert_eq!(one.term("a"), one.term("a"));
}

#[test]
fn a_key_is_the_first_eight_bytes_of_the_hash() {
    let digest = aws_lc_rs::digest::digest(&SHA256, &[&[3; 32][..], b"t", b"email:a@example.com"].concat());
    let mut first = [0; 8];
    first.copy_from_slice(digest.as_ref().get(..8).unwrap_or_default());
    assert_eq!(
        IndexSecret([3; 32]).term("email:a@example.com"),
        IndexKey(u64::from_be_bytes(first))
    );
}

#[test]
fn the_secret_is_not_shown() {
    assert_eq!(format!("{:?}", IndexSecret([0xab; 32])), "IndexSecret(…)");
}
