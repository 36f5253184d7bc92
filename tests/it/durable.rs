//! Acknowledged means durable: no answer leaves before the disk has said that the entry is on it.
//!
//! A kill cannot show it, because the kernel keeps what a killed process wrote. The order of the system calls can:
//! between the last write to the write-ahead log and the answer, the log was synced.

use std::time::Duration;

use tests::entries::Key;
use tests::reads::Log;
use tests::receipts::{Answer, Writer};
use tests::stack::{Launch, Ports, up_under};
use tests::strace;

/// Requests to each log.
const REQUESTS: usize = 10;

#[derive(Debug, Default)]
struct Wal {
    /// Writes since the last answer.
    written: usize,
    /// All of them are on the disk.
    synced: bool,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_answer_waits_for_the_disk() {
    let folder = tempfile::tempdir().unwrap();
    let (data, trace) = (folder.path().join("data"), folder.path().join("trace"));
    let command = strace::watching(&trace);
    let launch = Launch::new(&mut up_under(command, &data, &Ports::free()));
    let mut stack = launch
        .ready(Duration::from_secs(60))
        .unwrap_or_else(|not| panic!("{not}"));
    let (writer, key) = (Writer::new(&stack).await.unwrap(), Key::generate());
    // The canary's own answers are no part of it.
    let before = std::fs::read_to_string(&trace).unwrap().len();
    for n in 0..REQUESTS {
        for log in Log::ALL {
            let answer = writer.write(log, &key, &format!("durable {n}")).await.unwrap();
            assert!(matches!(answer, Answer::Promised(_)), "{answer:?}");
        }
    }
    assert_eq!(stack.interrupt(), Some(0), "{}", stack.said());
    let trace = std::fs::read_to_string(&trace).unwrap();
    let answers = follow(&trace[before..]);
    assert!(
        answers >= REQUESTS * Log::ALL.len(),
        "{answers} answers with an entry behind them"
    );
}

/// Goes through the calls in their order; the number of answers that came after a synced write.
fn follow(trace: &str) -> usize {
    let (mut wal, mut answers) = (Wal::default(), 0);
    let mut syncing: Option<&str> = None;
    for line in trace.lines() {
        let (thread, call) = line.split_once(' ').unwrap_or_default();
        let call = call.trim_start();
        let on_wal = call.contains("sigbox.db-wal");
        if on_wal && call.starts_with("pwrite") {
            wal.written += 1;
            wal.synced = false;
            syncing = None;
        } else if on_wal && (call.starts_with("fsync(") || call.starts_with("fdatasync(")) {
            // A write that begins while it goes on is not covered by it.
            match call.ends_with("= 0") {
                true => wal.synced = true,
                false => syncing = Some(thread),
            }
        } else if syncing == Some(thread) && call.starts_with("<... f") && call.ends_with("= 0") {
            wal.synced = true;
            syncing = None;
        } else if call.contains("\"HTTP/1.1 20") && wal.written > 0 {
            assert!(wal.synced, "answered before the disk had it: {line}");
            answers += 1;
            wal = Wal::default();
        }
    }
    answers
}
