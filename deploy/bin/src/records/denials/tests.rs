#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "tests"
)]

use super::super::Place;
use super::*;

fn denied(subject: &str, seconds: u64) -> Denied {
    Denied {
        time: UNIX_EPOCH + Duration::from_secs(seconds),
        issuer: "https://i.example".to_owned(),
        subject: subject.to_owned(),
        token_subject: "sub".to_owned(),
        denial: fulcio_ca::Denial {
            rule: "r".to_owned(),
            reason: "é".repeat(600),
        },
        enforced: true,
    }
}

#[test]
fn what_says_the_same_is_counted() {
    let records = merged(vec![denied("a", 7), denied("b", 8), denied("a", 9)]);
    assert_eq!(records.len(), 2);
    let first: Denial = serde_json::from_slice(&records[0].data).unwrap();
    assert_eq!(
        (first.subject.as_str(), first.count, records[0].time),
        ("a", 2, 7_000)
    );
    assert_eq!(first.reason.len(), TEXT, "cut between letters");
    assert!(records[0].key < records[1].key, "in the order of time");
}

#[tokio::test]
async fn the_newest_are_kept_and_no_request_waits() {
    let folder = tempfile::tempdir().unwrap();
    let shelves = Arc::new(Shelves::new(Place::Folder(folder.path().to_owned())));
    let old: Vec<_> = (0..u64::from(MOST))
        .map(|number| Record {
            key: format!("{number:012x}"),
            alias: None,
            time: number,
            data: Bytes::new(),
        })
        .collect();
    shelves.records().await.unwrap().add(SHELF, &old).await.unwrap();
    let (audit, task) = keep(Arc::clone(&shelves));
    // More than can wait: the rest is lost, and counted.
    for number in 0..QUEUE + 100 {
        audit.denied(denied(&number.to_string(), 5_000_000_000));
    }
    drop(audit);
    task.await.unwrap();
    let records = shelves.records().await.unwrap();
    let kept = records.page(SHELF, None, MOST + 100).await.unwrap();
    // All of the old are more than ninety days before the new ones.
    assert_eq!(kept.len(), QUEUE);
    assert!(kept.iter().all(|record| record.time == 5_000_000_000_000));
    shelves.close().await;
}

#[tokio::test]
async fn where_nothing_is_refused_no_file_is_made() {
    let folder = tempfile::tempdir().unwrap();
    let (audit, task) = keep(Arc::new(Shelves::new(Place::Folder(folder.path().to_owned()))));
    drop(audit);
    task.await.unwrap();
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    assert!(
        Shelves::existing(Place::Folder(folder.path().to_owned()))
            .await
            .unwrap()
            .is_none()
    );
    let nowhere = Place::Folder(folder.path().join("none"));
    assert!(
        Shelves::existing(nowhere).await.is_err(),
        "a folder that is none is a mistake"
    );
}
