//! Backups of a running and of a stopped instance, and everything that may happen on the way back.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;
use tests::clients::{Cosign, Rekor, rekor_cli};
use tests::entries::Key;
use tests::reads::Log;
use tests::receipts::{Answer, Receipts, Writer};
use tests::stack::{Ports, Stack};
use tests::{Ran, fsck, log, ok, run, sigbox};

const EMAIL: &str = "dev@example.com";
/// Exit code of a restore that would fork a log.
const WOULD_FORK: i32 = 4;

fn backup(data: &Path, file: &Path) -> Command {
    let mut command = Command::new(sigbox());
    command
        .arg("backup")
        .arg("--json")
        .arg("--data")
        .arg(data)
        .arg(file);
    command
}

fn restore(file: &Path, data: &Path) -> Command {
    let mut command = Command::new(sigbox());
    command
        .arg("restore")
        .arg("--json")
        .arg(file)
        .arg("--data")
        .arg(data);
    command
}

fn json(ran: &Ran) -> Value {
    serde_json::from_str(&ran.stdout).unwrap()
}

/// Refused with that code, and nothing was made.
#[track_caller]
fn refused(command: &mut Command, code: i32, data: &Path) -> String {
    let ran = run(command);
    assert_eq!(ran.code, Some(code), "{}\n{}", ran.line, ran.text());
    let mut partial = data.as_os_str().to_owned();
    partial.push(".partial");
    assert!(!data.exists() && !PathBuf::from(partial).exists(), "{}", ran.line);
    ran.stderr
}

/// Size of each log by its kind.
fn size(summary: &Value, kind: &str) -> u64 {
    let logs = summary["logs"].as_array().unwrap();
    let log = logs.iter().find(|log| log["kind"] == kind).unwrap();
    log["size"].as_u64().unwrap()
}

/// A stopped instance with some entries in each log, and what it promised.
async fn stopped(data: &Path, ports: &Ports, entries: usize) -> Receipts {
    let mut stack = Stack::at(data, ports);
    let receipts = write_some(&stack, entries).await;
    assert_eq!(stack.interrupt(), Some(0));
    receipts
}

async fn write_some(stack: &Stack, entries: usize) -> Receipts {
    let (writer, key, mut receipts) = (
        Writer::new(stack).await.unwrap(),
        Key::generate(),
        Receipts::default(),
    );
    for n in 0..entries {
        for log in Log::ALL {
            match writer.write(log, &key, &format!("entry {n}")).await.unwrap() {
                Answer::Promised(receipt) => receipts.keep(&receipt).unwrap(),
                other => panic!("{log:?} answered {other:?}"),
            }
        }
    }
    receipts.see(stack).await.unwrap();
    receipts
}

/// Entries in all logs until the end is asked for.
async fn keep_writing(writer: Writer, receipts: Arc<Mutex<Receipts>>, stop: Arc<AtomicBool>, seed: usize) {
    let key = Key::generate();
    for n in 0.. {
        if stop.load(Ordering::Relaxed) {
            return;
        }
        for log in Log::ALL {
            let answer = writer.write(log, &key, &format!("{seed} {n}")).await.unwrap();
            if let Answer::Promised(receipt) = answer {
                receipts.lock().unwrap().keep(&receipt).unwrap();
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_of_a_running_instance_never_forks_it() {
    let folder = TempDir::new().unwrap();
    let (data, file) = (folder.path().join("data"), folder.path().join("one.backup"));
    let (new, ports) = (folder.path().join("new"), Ports::free());
    let mut stack = Stack::at(&data, &ports);
    let (receipts, stop) = (
        Arc::new(Mutex::new(Receipts::default())),
        Arc::new(AtomicBool::new(false)),
    );
    let writer = Writer::new(&stack).await.unwrap();
    let writers: Vec<_> = (0..4)
        .map(|n| {
            tokio::spawn(keep_writing(
                writer.clone(),
                Arc::clone(&receipts),
                Arc::clone(&stop),
                n,
            ))
        })
        .collect();
    tokio::time::sleep(Duration::from_millis(500)).await;
    let before = receipts.lock().unwrap().clone();
    let (from, to) = (data.clone(), file.clone());
    let made = tokio::task::spawn_blocking(move || json(&ok(&mut backup(&from, &to))))
        .await
        .unwrap();
    tokio::time::sleep(Duration::from_millis(300)).await;
    stop.store(true, Ordering::Relaxed);
    for writer in writers {
        writer.await.unwrap();
    }
    assert!(before.len() > 30, "the load was real: {}", before.len());
    assert!(receipts.lock().unwrap().len() > before.len() + 10);
    // What somebody keeps: the newest checkpoint.
    let kept = folder.path().join("checkpoint");
    let newest = log::v2_head(&stack).await;
    let note = stack
        .http
        .get(stack.url("/api/v2/checkpoint"))
        .send()
        .await
        .unwrap()
        .bytes()
        .await
        .unwrap();
    std::fs::write(&kept, &note).unwrap();

    // The old server publishes more while it runs.
    let said = refused(restore(&file, &new).arg("--replaces").arg(&data), 1, &new);
    assert!(said.contains("in use"), "{said}");
    assert_eq!(stack.interrupt(), Some(0));

    let said = refused(
        restore(&file, &new).arg("--replaces").arg(&data),
        WOULD_FORK,
        &new,
    );
    let v2 = size(&made, "rekor-v2");
    assert!(newest.size > v2);
    for part in [
        format!("ends at size {v2}, but size {} was published", newest.size),
        format!("ends at size {}", size(&made, "rekor-v1")),
        format!("ends at size {}", size(&made, "ct")),
        "--frozen".to_owned(),
        "newer backup".to_owned(),
    ] {
        assert!(said.contains(&part), "{part}: {said}");
    }
    // Words do not help against evidence.
    let published = data.join("published");
    let mut command = restore(&file, &new);
    command
        .arg("--nothing-was-published-since-this-backup")
        .arg("--published")
        .arg(&published);
    refused(&mut command, WOULD_FORK, &new);
    let said = refused(
        restore(&file, &new).arg("--checkpoint").arg(&kept),
        WOULD_FORK,
        &new,
    );
    assert!(
        said.contains(&newest.size.to_string()) && said.contains("checkpoint"),
        "{said}"
    );
    // Without any evidence it is not assumed that all is well.
    let said = refused(&mut restore(&file, &new), WOULD_FORK, &new);
    assert!(
        said.contains("--nothing-was-published-since-this-backup"),
        "{said}"
    );
    // Evidence that is none.
    let forged = folder.path().join("forged");
    std::fs::write(
        &forged,
        String::from_utf8_lossy(&note).replacen(&newest.size.to_string(), "999999", 1),
    )
    .unwrap();
    let said = refused(restore(&file, &new).arg("--checkpoint").arg(&forged), 1, &new);
    assert!(said.contains("forged"), "{said}");
    // Another root for the backup's own size: two histories, whatever else is said.
    let fork = folder.path().join("fork");
    let record = format!(
        "sigbox published checkpoints 1\n{v2} {} localhost\n",
        "00".repeat(32)
    );
    std::fs::write(&fork, record).unwrap();
    let said = refused(
        restore(&file, &new).arg("--frozen").arg("--published").arg(&fork),
        WOULD_FORK,
        &new,
    );
    assert!(said.contains("two histories"), "{said}");

    let restored = json(&ok(restore(&file, &new)
        .arg("--frozen")
        .arg("--replaces")
        .arg(&data)));
    assert!(
        restored["logs"]
            .as_array()
            .unwrap()
            .iter()
            .all(|log| log["state"] == "frozen"),
        "{restored}"
    );
    let stack = Stack::at(&new, &ports);
    let verified = before
        .verify(&stack)
        .await
        .unwrap_or_else(|broken| panic!("{broken:?}"));
    assert_eq!(verified.receipts.iter().sum::<usize>(), before.len());
    assert_eq!(log::v2_head(&stack).await.size, v2);
    let writer = Writer::new(&stack).await.unwrap();
    for log in Log::ALL {
        let answer = writer
            .write(log, &Key::generate(), "after the end")
            .await
            .unwrap();
        assert!(matches!(answer, Answer::Refused), "{log:?} answered {answer:?}");
    }
    assert_eq!(log::v2_head(&stack).await.size, v2);
    let ready = stack.http.get(stack.url("/readyz")).send().await.unwrap();
    assert_eq!(ready.status(), 200);
    let ready = ready.text().await.unwrap();
    assert_eq!(ready.matches("frozen: ").count(), 3, "{ready}");
    let doctor = ok(Command::new(sigbox()).args(["doctor", "--url", &stack.ready.url]));
    assert!(doctor.stderr.contains("frozen"), "{}", doctor.text());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_of_a_stopped_instance_goes_on_where_it_stopped() {
    let folder = TempDir::new().unwrap();
    let (data, file) = (folder.path().join("data"), folder.path().join("one.backup"));
    let (new, ports) = (folder.path().join("new"), Ports::free());
    let mut first = Stack::at(&data, &ports);
    let receipts = write_some(&first, 20).await;
    let artifact = first.file("artifact", "signed before the disk died");
    let bundle = Cosign::initialize(&first).sign_blob(Rekor::V1, EMAIL, &artifact);
    let trusted = log::json(&first, "/trust/trusted_root.json").await;
    let below = ["timestamp", "snapshot", "targets"];
    let mut seen = Vec::new();
    for role in below {
        seen.push(log::json(&first, &format!("/tuf/{role}.json")).await);
    }
    assert_eq!(first.interrupt(), Some(0));
    let made = json(&ok(&mut backup(&data, &file)));
    let said = refused(&mut backup(&data, &file), 1, &new);
    assert!(said.contains("exists"), "a backup is never overwritten: {said}");

    // The bundle shows an older head of the v1 log, which the tree must have had; it does not show the end.
    let said = refused(
        restore(&file, &new).arg("--checkpoint").arg(&bundle),
        WOULD_FORK,
        &new,
    );
    assert!(said.contains("does not show the end"), "{said}");
    let mut command = restore(&file, &new);
    let restored = json(&ok(command
        .arg("--replaces")
        .arg(&data)
        .arg("--checkpoint")
        .arg(&bundle)));
    assert_eq!(restored["logs"], made["logs"]);
    let again = run(restore(&file, &new).arg("--replaces").arg(&data));
    assert_eq!(
        again.code,
        Some(1),
        "what is there is not restored over: {}",
        again.text()
    );

    let second = Stack::at(&new, &ports);
    receipts
        .verify(&second)
        .await
        .unwrap_or_else(|broken| panic!("{broken:?}"));
    assert_eq!(log::json(&second, "/trust/trusted_root.json").await, trusted);
    let version = |metadata: &Value| metadata["signed"]["version"].as_u64().unwrap();
    for (role, seen) in below.into_iter().zip(&seen) {
        let now = log::json(&second, &format!("/tuf/{role}.json")).await;
        assert!(
            version(&now) >= version(seen) + 100,
            "clients that saw a later {role} than the backup's accept this one"
        );
    }
    let cosign = Cosign::initialize(&second);
    ok(&mut cosign.verify_blob(&bundle, EMAIL, &artifact));
    for rekor in Rekor::BOTH {
        let fresh = second.file(&format!("fresh {}", rekor.name()), "signed after");
        let bundle = cosign.sign_blob(rekor, EMAIL, &fresh);
        ok(&mut cosign.verify_blob(&bundle, EMAIL, &fresh));
    }
    let more = write_some(&second, 5).await;
    more.verify(&second)
        .await
        .unwrap_or_else(|broken| panic!("{broken:?}"));
    receipts
        .verify(&second)
        .await
        .unwrap_or_else(|broken| panic!("{broken:?}"));
}

/// A copy of the record, however new, and the record itself, which follows its database: a log that went on from there
/// would sign a second history of what came after.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_of_checkpoints_never_proves_the_end_of_a_log() {
    let folder = TempDir::new().unwrap();
    let (data, file) = (folder.path().join("data"), folder.path().join("one.backup"));
    let (new, ports) = (folder.path().join("new"), Ports::free());
    stopped(&data, &ports, 3).await;
    let made = json(&ok(&mut backup(&data, &file)));
    // As the nightly script does it, right behind the backup.
    let copy = folder.path().join("published");
    std::fs::copy(data.join("published"), &copy).unwrap();
    let mut stack = Stack::at(&data, &ports);
    write_some(&stack, 4).await;
    assert_eq!(stack.interrupt(), Some(0));

    let said = refused(
        restore(&file, &new).arg("--published").arg(&copy),
        WOULD_FORK,
        &new,
    );
    assert!(said.contains("does not show the end of the log"), "{said}");
    // A record that could not be written any more, beside a database that could.
    std::fs::copy(&copy, data.join("published")).unwrap();
    let said = refused(
        restore(&file, &new).arg("--replaces").arg(&data),
        WOULD_FORK,
        &new,
    );
    // The canary of the start, and the entries.
    let v2 = size(&made, "rekor-v2");
    let grown = v2 + 1 + 4;
    assert!(
        said.contains(&format!("ends at size {v2}, but size {grown} was published")),
        "{said}"
    );
    // Nothing is left but the record.
    for name in ["sigbox.db", "sigbox.db-wal", "sigbox.db-shm"] {
        let _ = std::fs::remove_file(data.join(name));
    }
    let said = refused(
        restore(&file, &new).arg("--replaces").arg(&data),
        WOULD_FORK,
        &new,
    );
    assert!(said.contains("there is no database"), "{said}");
    assert!(
        said.contains("nothing shows whether more was published"),
        "{said}"
    );
}

/// The way out of a lost machine: what the backup has is closed, new logs take what comes, and no entry gets an index that
/// one may have which is lost.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn new_shards_follow_on_logs_that_were_restored_from_before_their_end() {
    let folder = TempDir::new().unwrap();
    let (data, file) = (folder.path().join("data"), folder.path().join("one.backup"));
    let (new, ports) = (folder.path().join("new"), Ports::free());
    stopped(&data, &ports, 3).await;
    let mut stack = Stack::at(&data, &ports);
    let roll = |data: &Path, what: &[&str]| {
        let mut roll = Command::new(sigbox());
        roll.args(what).arg("--data").arg(data);
        ok(&mut roll)
    };
    // On its way when the backup is made, and logging when the machine is lost.
    roll(&data, &["rotate", "ctlog", "--propagate", "8s"]);
    let made = json(&ok(&mut backup(&data, &file)));
    let taken_over = |data: &Path| {
        let registry = std::fs::read_to_string(data.join("keys/registry.json")).unwrap();
        !registry.contains("\"successor\"")
    };
    let lost = write_some(&stack, 4).await;
    assert_eq!(lost.len(), 12);
    assert!(!taken_over(&data), "the backup came too late");
    for _ in 0..300 {
        if taken_over(&data) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(taken_over(&data));
    let logged_there = stack.file("logged-there", "with a certificate that is in the second log");
    let lost_bundle = Cosign::initialize(&stack).sign_blob(Rekor::V1, EMAIL, &logged_there);
    assert_eq!(stack.interrupt(), Some(0));
    std::fs::remove_dir_all(&data).unwrap();

    let said = ok(restore(&file, &new).arg("--frozen")).text();
    let lost_machine = std::mem::replace(&mut stack, Stack::at(&new, &ports));
    let second = stack.http.get(stack.url("/shards/ct-log-2/checkpoint"));
    let second = second.send().await.unwrap();
    assert_eq!(second.status().as_u16(), 404, "a second history: {said}");
    // What only waits can be given up.
    roll(&new, &["rotate", "ctlog", "--propagate", "1h"]);
    roll(&new, &["rotate", "ctlog", "--cancel"]);
    for what in [&["shard"][..], &["shard", "--log", "v2"], &["rotate", "ctlog"]] {
        let mut roll = Command::new(sigbox());
        roll.args(what).args(["--propagate", "0s", "--wait", "--data"]);
        ok(roll.arg(&new));
    }
    let artifact = stack.file("artifact", "signed after the machine was lost");
    let cosign = Cosign::initialize(&stack);
    for rekor in Rekor::BOTH {
        let bundle = cosign.sign_blob(rekor, EMAIL, &artifact);
        ok(&mut cosign.verify_blob(&bundle, EMAIL, &artifact));
    }
    ok(&mut cosign.verify_blob(&lost_bundle, EMAIL, &logged_there));
    drop(lost_machine);
    let before = size(&made, "rekor-v1");
    let at = async |stack: &Stack, index: u64| {
        let path = format!("/api/v1/log/entries?logIndex={index}");
        let answer = stack.http.get(stack.url(&path)).send().await.unwrap();
        answer.status().as_u16()
    };
    let first = before + (1 << 40);
    for _ in 0..2 {
        assert_eq!(at(&stack, before - 1).await, 200, "the last that is left");
        assert_eq!(at(&stack, before).await, 404, "lost, and given to no other");
        assert_eq!(at(&stack, first).await, 200, "the first of the new shard");
        for index in [before - 1, first] {
            let index = index.to_string();
            ok(rekor_cli(&stack).args(["verify", "--log-index", &index]));
        }
        assert_eq!(stack.interrupt(), Some(0));
        fsck(&new).unwrap();
        stack = Stack::at(&new, &ports);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn private_keys_can_stay_where_they_are() {
    let folder = TempDir::new().unwrap();
    let (data, file) = (folder.path().join("data"), folder.path().join("one.backup"));
    let (new, ports) = (folder.path().join("new"), Ports::free());
    let receipts = stopped(&data, &ports, 2).await;
    let ran = ok(backup(&data, &file).arg("--without-keys"));
    assert_eq!(json(&ran)["with_keys"], false);
    let content = std::fs::read(&file).unwrap();
    let secret = b"PRIVATE KEY";
    assert!(!content.windows(secret.len()).any(|window| window == secret));
    let said = refused(restore(&file, &new).arg("--replaces").arg(&data), 1, &new);
    assert!(said.contains("--keys"), "{said}");
    // Other keys are not these keys.
    let other = folder.path().join("other");
    stopped(&other, &Ports::free(), 0).await;
    let mut command = restore(&file, &new);
    command
        .arg("--replaces")
        .arg(&data)
        .arg("--keys")
        .arg(other.join("keys"));
    let said = refused(&mut command, 1, &new);
    assert!(said.contains("another key"), "{said}");
    ok(restore(&file, &new)
        .arg("--replaces")
        .arg(&data)
        .arg("--keys")
        .arg(data.join("keys")));
    let stack = Stack::at(&new, &ports);
    receipts
        .verify(&stack)
        .await
        .unwrap_or_else(|broken| panic!("{broken:?}"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_backup_is_named_or_restores_the_same() {
    let folder = TempDir::new().unwrap();
    let (data, file) = (folder.path().join("data"), folder.path().join("one.backup"));
    stopped(&data, &Ports::free(), 10).await;
    let made = json(&ok(&mut backup(&data, &file)));
    let whole = std::fs::read(&file).unwrap();
    let (damaged, new) = (folder.path().join("damaged.backup"), folder.path().join("new"));
    let mut found = 0;
    let stride = whole.len() / 60;
    for (n, offset) in (0..whole.len()).step_by(stride).chain([18, 60, 100]).enumerate() {
        let mut bytes = whole.clone();
        bytes[offset] ^= [0x01, 0x80, 0xff][n % 3];
        std::fs::write(&damaged, &bytes).unwrap();
        let ran = run(restore(&damaged, &new).arg("--replaces").arg(&data));
        if ran.code == Some(0) {
            assert_eq!(json(&ran)["logs"], made["logs"], "byte {offset}");
            for kept in ["keys/registry.json", "trust/trusted_root.json", "tuf/1.root.json"] {
                let (before, after) = (std::fs::read(data.join(kept)), std::fs::read(new.join(kept)));
                assert_eq!(before.unwrap(), after.unwrap(), "byte {offset}: {kept}");
            }
            std::fs::remove_dir_all(&new).unwrap();
        } else {
            assert_eq!(ran.code, Some(1), "byte {offset}: {}", ran.text());
            assert!(
                ran.stderr.contains("damaged.backup"),
                "byte {offset}: {}",
                ran.stderr
            );
            assert!(!new.exists(), "byte {offset}");
            found += 1;
        }
    }
    assert!(found >= 20, "{found} of the flips were found");
    for length in [0, 100, whole.len() / 2, whole.len() - 1] {
        std::fs::write(&damaged, &whole[..length]).unwrap();
        refused(restore(&damaged, &new).arg("--replaces").arg(&data), 1, &new);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_that_is_cut_off_is_none() {
    let folder = TempDir::new().unwrap();
    let data = folder.path().join("data");
    stopped(&data, &Ports::free(), 30).await;
    let (mut unfinished, new) = (0, folder.path().join("new"));
    for delay in (1..60u64).step_by(2) {
        let target = TempDir::new().unwrap();
        let file = target.path().join("one.backup");
        let mut child = backup(&data, &file)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(Duration::from_millis(delay));
        let _ = child.kill();
        child.wait().unwrap();
        for found in target.path().read_dir().unwrap() {
            let found = found.unwrap().path();
            let ran = run(restore(&found, &new).arg("--replaces").arg(&data));
            match ran.code {
                // It is whole: it had its name already, or was to get it next.
                Some(0) => std::fs::remove_dir_all(&new).unwrap(),
                Some(1) if found != file => unfinished += 1,
                other => panic!("after {delay} ms {other:?}: {}", ran.text()),
            }
        }
    }
    assert!(unfinished > 0, "some were cut half-way");
}

/// A limit on the size of files, whose signal is ignored so that the write fails as it does on a full disk.
fn cramped(command: &Command, blocks: u32) -> Command {
    let mut shell = Command::new("sh");
    let script = format!("trap '' XFSZ; ulimit -f {blocks}; exec \"$0\" \"$@\"");
    shell
        .arg("-c")
        .arg(script)
        .arg(command.get_program())
        .args(command.get_args());
    shell
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_leaves_nothing() {
    let folder = TempDir::new().unwrap();
    let (data, target) = (folder.path().join("data"), TempDir::new().unwrap());
    stopped(&data, &Ports::free(), 30).await;
    let (file, new) = (target.path().join("one.backup"), target.path().join("new"));
    // More than the 32 KiB that a reader of the database needs by itself, less than the backup.
    for blocks in [80, 120, 200] {
        let said = refused(&mut cramped(&backup(&data, &file), blocks), 1, &new);
        assert!(said.contains("one.backup"), "{said}");
        assert_eq!(
            target.path().read_dir().unwrap().count(),
            0,
            "{blocks} blocks: something is left"
        );
    }
    ok(&mut backup(&data, &file));
    // The old database is read as well.
    for blocks in [80, 100, 120] {
        let mut whole = restore(&file, &new);
        whole.arg("--replaces").arg(&data);
        refused(&mut cramped(&whole, blocks), 1, &new);
    }
    ok(restore(&file, &new).arg("--replaces").arg(&data));
}
