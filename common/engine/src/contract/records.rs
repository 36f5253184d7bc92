//! The obligations of [`Records`].

use std::sync::Arc;

use crate::records::{Record, Records, Shelf};

const A: Shelf = Shelf("a");
const B: Shelf = Shelf("b");

fn record(key: &str, alias: Option<&str>, time: u64) -> Record {
    Record {
        key: key.to_owned(),
        alias: alias.map(str::to_owned),
        time,
        data: format!("ünïcode \0 {key}").into_bytes().into(),
    }
}

async fn keys<R: Records>(records: &R, shelf: Shelf, before: Option<&str>, limit: u32) -> Vec<String> {
    let page = records.page(shelf, before, limit).await.unwrap();
    page.into_iter().map(|record| record.key).collect()
}

/// Runs the suite on two handles of one store, which `new_store` makes empty each time.
pub async fn check_records<R: Records>(new_store: impl AsyncFn() -> [Arc<R>; 2]) {
    what_is_added_comes_back(new_store().await).await;
    the_first_stays(new_store().await).await;
    pages_are_in_order_of_bytes(new_store().await).await;
    what_is_deleted_is_gone(new_store().await).await;
    the_old_and_the_many_are_pruned(new_store().await).await;
    many_at_once_agree(new_store().await).await;
}

async fn what_is_added_comes_back<R: Records>([one, other]: [Arc<R>; 2]) {
    let full = record("k", Some("alias"), (1 << 53) + 1);
    let bare = Record {
        data: Vec::new().into(),
        ..record("", None, 0)
    };
    one.add(A, &[full.clone(), bare.clone()]).await.unwrap();
    one.add(A, &[]).await.unwrap();
    for records in [one, other] {
        assert_eq!(records.by_key(A, "k").await.unwrap(), Some(full.clone()));
        assert_eq!(records.by_alias(A, "alias").await.unwrap(), Some(full.clone()));
        assert_eq!(records.by_key(A, "").await.unwrap(), Some(bare.clone()));
        assert_eq!(
            records.by_key(A, "alias").await.unwrap(),
            None,
            "an alias is no key"
        );
        assert_eq!(records.by_alias(A, "k").await.unwrap(), None, "a key is no alias");
        assert_eq!(records.by_key(B, "k").await.unwrap(), None, "another shelf");
    }
}

async fn the_first_stays<R: Records>([one, other]: [Arc<R>; 2]) {
    let first = record("k", Some("x"), 1);
    one.add(A, std::slice::from_ref(&first)).await.unwrap();
    // The same key, the same alias, and one that is new: only that is added.
    let later = [
        record("k", Some("y"), 2),
        record("m", Some("x"), 3),
        record("n", Some("z"), 4),
    ];
    other.add(A, &later).await.unwrap();
    assert_eq!(one.by_key(A, "k").await.unwrap(), Some(first.clone()));
    assert_eq!(one.by_alias(A, "x").await.unwrap(), Some(first));
    assert_eq!(keys(&*one, A, None, 9).await, ["n", "k"]);
    // Records without alias do not exclude each other, nor do those of two shelves.
    one.add(A, &[record("o", None, 5), record("p", None, 6)])
        .await
        .unwrap();
    one.add(B, &[record("k", Some("x"), 7)]).await.unwrap();
    assert_eq!(keys(&*other, A, None, 9).await, ["p", "o", "n", "k"]);
    assert_eq!(keys(&*other, B, None, 9).await, ["k"]);
}

async fn pages_are_in_order_of_bytes<R: Records>([one, other]: [Arc<R>; 2]) {
    let unsorted = ["a", "B", "é", "10", "9", "b", "a-", "aa"];
    let records: Vec<_> = unsorted.iter().map(|key| record(key, None, 1)).collect();
    one.add(A, &records).await.unwrap();
    one.add(B, &[record("c", None, 1)]).await.unwrap();
    let mut sorted = unsorted.to_vec();
    sorted.sort_unstable_by(|a, b| b.cmp(a));
    assert_eq!(keys(&*other, A, None, 100).await, sorted);
    let mut paged = Vec::new();
    while let page = keys(&*other, A, paged.last().map(String::as_str), 3).await
        && !page.is_empty()
    {
        paged.extend(page);
    }
    assert_eq!(paged, sorted);
    assert!(keys(&*one, A, None, 0).await.is_empty());
}

async fn what_is_deleted_is_gone<R: Records>([one, other]: [Arc<R>; 2]) {
    let first = record("k", Some("x"), 1);
    one.add(A, &[first, record("l", None, 1)]).await.unwrap();
    assert!(other.remove(A, "k").await.unwrap());
    assert!(!other.remove(A, "k").await.unwrap());
    assert!(!other.remove(B, "l").await.unwrap());
    assert_eq!(one.by_alias(A, "x").await.unwrap(), None);
    // Its names are free again.
    let second = record("k", Some("x"), 2);
    one.add(A, std::slice::from_ref(&second)).await.unwrap();
    assert_eq!(other.by_alias(A, "x").await.unwrap(), Some(second));
}

async fn the_old_and_the_many_are_pruned<R: Records>([one, other]: [Arc<R>; 2]) {
    let records: Vec<_> = (0..20_u64)
        .map(|time| record(&format!("{time:02}"), None, time))
        .collect();
    one.add(A, &records).await.unwrap();
    one.add(B, &[record("00", None, 0)]).await.unwrap();
    assert_eq!(other.prune(A, 5, 100).await.unwrap(), 5);
    assert_eq!(other.prune(A, 5, 100).await.unwrap(), 0);
    assert_eq!(other.prune(A, 5, 3).await.unwrap(), 12);
    assert_eq!(keys(&*one, A, None, 100).await, ["19", "18", "17"]);
    assert_eq!(keys(&*one, B, None, 100).await, ["00"]);
    assert_eq!(other.prune(A, 0, 0).await.unwrap(), 3);
}

/// Two requests of one identity make one pseudonym.
async fn many_at_once_agree<R: Records>(handles: [Arc<R>; 2]) {
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..24_usize {
        let records = Arc::clone(&handles[number % 2]);
        tasks.spawn(async move {
            let mine = record(&format!("{number}"), Some("one"), 1);
            records.add(A, &[mine]).await.unwrap();
            records.by_alias(A, "one").await.unwrap().unwrap().key
        });
    }
    let mut seen = tasks.join_all().await;
    seen.dedup();
    assert_eq!(seen.len(), 1, "{seen:?}");
}
