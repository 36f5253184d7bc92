#![allow(clippy::unwrap_used, reason = "tests")]

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::timeout;

use super::*;

const PATIENCE: Duration = Duration::from_secs(20);
const IDLE: Duration = Duration::from_millis(200);

#[tokio::test]
async fn a_peer_that_talks_and_takes_nothing_is_given_up() {
    let (ours, mut theirs) = tokio::io::duplex(64);
    let (mut read, mut write) = tokio::io::split(Idle::new(ours, PATIENCE, IDLE));
    let talking = tokio::spawn(async move {
        loop {
            if theirs.write_all(b"PING and no end to it").await.is_err() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
    let listening = tokio::spawn(async move {
        let mut heard = [0; 64];
        while read.read(&mut heard).await.is_ok_and(|length| length > 0) {}
    });
    let started = Instant::now();
    let error = timeout(PATIENCE, write.write_all(&[0; 4096]))
        .await
        .unwrap()
        .unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    assert!(started.elapsed() >= IDLE, "not before its time");
    listening.abort();
    talking.abort();
}

#[tokio::test]
async fn a_peer_that_takes_a_little_at_a_time_is_served() {
    let (ours, mut theirs) = tokio::io::duplex(64);
    let mut idle = Idle::new(ours, PATIENCE, IDLE);
    let taking = tokio::spawn(async move {
        let mut taken = [0; 64];
        for _ in 0..8 {
            tokio::time::sleep(Duration::from_millis(50)).await;
            theirs.read_exact(&mut taken).await.unwrap();
        }
        theirs
    });
    let started = Instant::now();
    timeout(PATIENCE, idle.write_all(&[7; 512]))
        .await
        .unwrap()
        .unwrap();
    assert!(started.elapsed() > IDLE, "longer than one wait may be");
    drop(taking.await.unwrap());
}
