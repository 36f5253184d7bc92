#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use std::sync::Mutex;

use super::*;

/// Keeps every record; the first ones fail.
struct Recorder {
    records: Mutex<Vec<Vec<Published>>>,
    failures: Mutex<u32>,
}

#[async_trait]
impl Anchor for Recorder {
    async fn load(&self) -> Result<Vec<Published>, AnchorError> {
        Ok(Vec::new())
    }

    async fn advance(&self, heads: &[Published]) -> Result<(), AnchorError> {
        let mut failures = self.failures.lock().unwrap();
        if *failures > 0 {
            *failures = failures.saturating_sub(1);
            return Err(AnchorError {
                path: "nowhere".to_owned(),
                reason: "injected".to_owned(),
            });
        }
        self.records.lock().unwrap().push(heads.to_vec());
        Ok(())
    }
}

fn heads(size: u64) -> Vec<Published> {
    vec![Published {
        origin: "log".to_owned(),
        size,
        root: Hash([1; 32]),
    }]
}

#[tokio::test(start_paused = true)]
async fn fast_heads_are_recorded_together_and_the_last_one_always() {
    let recorder = Arc::new(Recorder {
        records: Mutex::default(),
        failures: Mutex::new(0),
    });
    let (sender, receiver) = watch::channel(Vec::new());
    let task = tokio::spawn(follow(Arc::clone(&recorder) as _, receiver, |_| ()));
    for size in 0..100 {
        sender.send_replace(heads(size));
        tokio::time::sleep(INTERVAL / 50).await;
    }
    drop(sender);
    task.await.unwrap().unwrap();
    let records = recorder.records.lock().unwrap();
    assert!(records.len() <= 5, "{} records in two intervals", records.len());
    assert_eq!(records.last(), Some(&heads(99)));
}

#[tokio::test(start_paused = true)]
async fn a_failed_record_is_made_again() {
    let recorder = Arc::new(Recorder {
        records: Mutex::default(),
        failures: Mutex::new(1),
    });
    let (sender, receiver) = watch::channel(Vec::new());
    let task = tokio::spawn(follow(Arc::clone(&recorder) as _, receiver, |_| ()));
    sender.send_replace(heads(1));
    tokio::time::sleep(INTERVAL.saturating_mul(2)).await;
    assert_eq!(*recorder.records.lock().unwrap(), vec![heads(1)]);
    sender.send_replace(heads(2));
    tokio::time::sleep(INTERVAL.saturating_mul(9)).await;
    drop(sender);
    task.await.unwrap().unwrap();
    assert_eq!(*recorder.records.lock().unwrap(), vec![heads(1), heads(2)]);
}

#[tokio::test(start_paused = true)]
async fn a_record_that_failed_last_is_tried_once_more_at_the_end() {
    for (failures, recorded) in [(1, true), (2, false)] {
        let recorder = Arc::new(Recorder {
            records: Mutex::default(),
            failures: Mutex::new(failures),
        });
        let (sender, receiver) = watch::channel(Vec::new());
        let task = tokio::spawn(follow(Arc::clone(&recorder) as _, receiver, |_| ()));
        sender.send_replace(heads(1));
        tokio::time::sleep(INTERVAL / 2).await;
        drop(sender);
        assert_eq!(task.await.unwrap().is_ok(), recorded, "the failure is reported");
        assert_eq!(recorder.records.lock().unwrap().len(), usize::from(recorded));
    }
}
