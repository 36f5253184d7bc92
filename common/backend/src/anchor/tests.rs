#![allow(clippy::unwrap_used, reason = "tests")]

use common_tlog::Hash;

use super::*;

fn head(origin: &str, size: u64) -> Published {
    Published {
        origin: origin.to_owned(),
        size,
        root: Hash([u8::try_from(size).unwrap(); 32]),
    }
}

#[tokio::test]
async fn what_was_advanced_is_loaded_by_the_next_process() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("published");
    let anchor = FileAnchor::new(&path);
    assert_eq!(anchor.load().await.unwrap(), vec![]);
    anchor
        .advance(&[head("log.example - 7", 3), head("log.example", 0)])
        .await
        .unwrap();
    assert_eq!(
        FileAnchor::new(&path).load().await.unwrap(),
        vec![head("log.example", 0), head("log.example - 7", 3)]
    );
}

#[tokio::test]
async fn no_head_goes_back_and_no_log_is_forgotten() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("published");
    FileAnchor::new(&path)
        .advance(&[head("a", 5), head("b", 2)])
        .await
        .unwrap();
    let anchor = FileAnchor::new(&path);
    anchor.advance(&[head("a", 4)]).await.unwrap();
    assert_eq!(
        FileAnchor::new(&path).load().await.unwrap(),
        vec![head("a", 5), head("b", 2)]
    );
}

#[tokio::test]
async fn an_unreadable_record_is_an_error_and_never_empty() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("published");
    FileAnchor::new(&path).advance(&[head("a", 5)]).await.unwrap();
    let good = std::fs::read_to_string(&path).unwrap();
    for bad in [
        "",
        "something else\n",
        good.trim_end(),
        &good.replace(" a", ""),
        &good.replace("5 ", "five "),
    ] {
        std::fs::write(&path, bad).unwrap();
        FileAnchor::new(&path).load().await.unwrap_err();
        FileAnchor::new(&path).advance(&[head("a", 6)]).await.unwrap_err();
    }
}
