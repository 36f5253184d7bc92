//! `sigbox monitor`: what unmodified clients sign is seen in every log it is in, once; a log with two histories is told of with the
//! evidence; nothing that is to be told is lost.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};

use serde_json::Value;
use tests::clients::{Cosign, Rekor};
use tests::entries::Key;
use tests::http::{Response, serve};
use tests::stack::{Ports, Stack, signal};
use tests::{Ran, ok, refused, run, sigbox};

const WHO: &str = "release@example.com";
/// Exit codes.
const INCONSISTENT: i32 = 5;
const SIGHTED: i32 = 6;
/// Long enough for anything that is to come.
const SOON: Duration = Duration::from_secs(20);

/// `sigbox monitor --json`, with its state in the stack's scratch folder.
fn monitor(stack: &Stack, args: &[&str]) -> Command {
    monitor_in(&stack.path("monitor"), stack, args)
}

/// The same with its state elsewhere.
fn monitor_in(state: &Path, stack: &Stack, args: &[&str]) -> Command {
    let mut command = Command::new(sigbox());
    command.args(["monitor", "--json", "--url", &stack.ready.url, "--state"]);
    command.arg(state).args(args);
    command
}

fn events(ran: &Ran) -> Vec<Value> {
    let lines = ran.stdout.lines();
    lines.map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Kind of event, interface and index of each.
fn seen(ran: &Ran) -> Vec<(String, String, u64)> {
    let text = |event: &Value, pointer: &str| event.pointer(pointer).unwrap().as_str().unwrap().to_owned();
    let mut seen: Vec<_> = events(ran)
        .iter()
        .map(|event| {
            (
                text(event, "/event"),
                text(event, "/log/interface"),
                event["index"].as_u64().unwrap(),
            )
        })
        .collect();
    seen.sort_unstable();
    seen
}

fn found(kind: &str, interface: &str, index: u64) -> (String, String, u64) {
    (kind.to_owned(), interface.to_owned(), index)
}

#[test]
fn what_cosign_signs_is_seen_once_in_every_log_it_is_in() {
    let stack = Stack::ephemeral();
    let cosign = Cosign::initialize(&stack);
    let artifact = stack.file("artifact", "watched");
    // Joined before anything is signed: only what comes after is looked at.
    let all = ["--once", "--email", WHO];
    let joined = ok(&mut monitor(&stack, &all));
    assert_eq!(joined.stdout, "");
    assert_eq!(
        joined.stderr.matches("consistent").count(),
        3,
        "{}",
        joined.stderr
    );
    cosign.sign_blob(Rekor::V1, WHO, &artifact);
    cosign.sign_blob(Rekor::V2, WHO, &artifact);
    cosign.sign_blob(Rekor::V1, "other@example.com", &artifact);
    let sighted = run(&mut monitor(&stack, &all));
    assert_eq!(sighted.code, Some(SIGHTED), "{}", sighted.text());
    // The canary of the start is the first entry of each.
    let expected = [
        found("found", "rekor-v1", 1),
        found("found", "static-ct", 1),
        found("found", "static-ct", 2),
        found("found", "tlog-tiles", 1),
    ];
    assert_eq!(seen(&sighted), expected, "{}", sighted.text());
    for event in events(&sighted) {
        let signer = &event["entry"]["signers"][0];
        assert_eq!(signer["names"][0], WHO);
        assert_eq!(signer["issuer"], stack.ready.issuer.as_str());
        assert_eq!(event["watch"], "command line");
    }
    assert_eq!(ok(&mut monitor(&stack, &all)).stdout, "", "each is told once");
    // From the start, with a folder of its own, in other words, and by what is expected.
    let watches = stack.file(
        "watches.toml",
        format!(
            "[[watch]]\nname = 'releases'\ndomain = ['example.com']\n\
             [[watch.expect]]\nemail = ['{WHO}']\nissuer = ['{}']\n",
            stack.ready.issuer
        ),
    );
    let again = |state: &str, more: &[&str]| {
        let args = ["--once", "--from", "start", "--watch"];
        let mut command = monitor_in(&stack.path(state), &stack, &args);
        run(command.arg(&watches).args(more))
    };
    let others = [found("found", "rekor-v1", 2), found("found", "static-ct", 3)];
    let unexpected = again("second", &[]);
    assert_eq!(
        (unexpected.code, seen(&unexpected)),
        (Some(SIGHTED), others.to_vec())
    );
    let all = again("third", &["--all"]);
    let kinds: Vec<Value> = events(&all).iter().map(|event| event["event"].clone()).collect();
    assert_eq!(
        kinds.iter().filter(|kind| **kind == "expected").count(),
        4,
        "{}",
        all.text()
    );
    assert_eq!(kinds.len(), 6);
}

#[test]
fn a_log_by_itself_is_followed_by_its_key_in_either_dialect() {
    let stack = Stack::ephemeral();
    let keys: Value =
        serde_json::from_slice(&std::fs::read(stack.ready.trust_dir.join("trusted_root.json")).unwrap())
            .unwrap();
    let pem = |pointer: &str| {
        let der = keys.pointer(pointer).unwrap().as_str().unwrap();
        format!("-----BEGIN PUBLIC KEY-----\n{der}\n-----END PUBLIC KEY-----\n")
    };
    let (rekor, ct) = (
        stack.file("rekor.pub", pem("/tlogs/0/publicKey/rawBytes")),
        stack.file("ct.pub", pem("/ctlogs/0/publicKey/rawBytes")),
    );
    let watch = |url: &str, key: &Path| {
        let mut command = Command::new(sigbox());
        command
            .args(["monitor", "--once", "--from", "start", "--log", url, "--log-key"])
            .arg(key);
        run(command.arg("--state").arg(stack.path("single")))
    };
    for (url, key, interface) in [
        (stack.ready.url.clone(), &rekor, "rekor-v1"),
        (stack.url("/ct"), &ct, "static-ct"),
    ] {
        let ran = watch(&url, key);
        assert_eq!(ran.code, Some(0), "{}", ran.text());
        assert!(ran.stderr.contains(interface), "{}", ran.text());
    }
    let other = watch(&stack.ready.url, &ct);
    assert_eq!(other.code, Some(1));
    assert!(
        other.stderr.contains("signed by a key that is trusted"),
        "{}",
        other.text()
    );
}

#[test]
fn a_new_shard_is_followed_and_told_of() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let stack = Stack::at(&data, &Ports::free());
    let all = ["--once", "--email", WHO];
    ok(&mut monitor(&stack, &all));
    for role in [
        &["rekor", "--log", "v1"][..],
        &["rekor", "--log", "v2"],
        &["ctlog"],
    ] {
        let mut rotate = Command::new(sigbox());
        ok(rotate
            .arg("rotate")
            .args(role)
            .args(["--propagate", "0s", "--wait", "--data"])
            .arg(&data));
    }
    let cosign = Cosign::initialize(&stack);
    let artifact = stack.file("artifact", "in new shards");
    cosign.sign_blob(Rekor::V1, WHO, &artifact);
    cosign.sign_blob(Rekor::V2, WHO, &artifact);
    let ran = run(&mut monitor(&stack, &all));
    assert_eq!(ran.code, Some(SIGHTED), "{}", ran.text());
    let of = |kind: &str| events(&ran).iter().filter(|event| event["event"] == kind).count();
    assert_eq!((of("new-log"), of("found")), (3, 4), "{}", ran.text());
    assert_eq!(
        ran.stderr.matches("consistent").count(),
        6,
        "the old ones too: {}",
        ran.stderr
    );
}

#[tokio::test]
async fn a_certificate_that_signed_nothing_is_told_of() {
    let stack = Stack::ephemeral();
    let cosign = Cosign::initialize(&stack);
    let watches = stack.file(
        "watches.toml",
        format!(
            "[[watch]]\nname = 'us'\nemail = ['{WHO}']\n[[watch.expect]]\nissuer = ['{}']\n",
            stack.ready.issuer
        ),
    );
    let look = |after: &str| {
        let args = ["--once", "--from", "start", "--unused-after", after, "--watch"];
        run(monitor(&stack, &args).arg(&watches))
    };
    // One that signs, and one that does not.
    cosign.sign_blob(Rekor::V1, WHO, &stack.file("artifact", "signed"));
    let body = Key::generate().certificate(&stack.token(WHO), WHO);
    let request = stack.http.post(stack.url("/api/v2/signingCert"));
    let request = request
        .header("content-type", "application/json")
        .body(body.to_string());
    assert!(request.send().await.unwrap().status().is_success());
    let early = look("1h");
    assert_eq!(
        (early.code, early.stdout.as_str()),
        (Some(0), ""),
        "{}",
        early.text()
    );
    tokio::time::sleep(Duration::from_secs(3)).await;
    let late = look("1s");
    assert_eq!(late.code, Some(SIGHTED), "{}", late.text());
    assert_eq!(seen(&late), [found("unused", "static-ct", 2)], "{}", late.text());
    assert_eq!(look("1s").code, Some(0), "told once");
}

#[test]
fn a_log_does_not_escape_its_past_under_another_name() {
    let stack = Stack::ephemeral();
    let look = || run(&mut monitor(&stack, &["--once"]));
    assert_eq!(look().code, Some(0));
    // As if the log had gone by another name before.
    let logs = stack.path("monitor").join("logs");
    let place = std::fs::read_dir(&logs).unwrap().next().unwrap().unwrap().path();
    let mut kept: Value = serde_json::from_slice(&std::fs::read(&place).unwrap()).unwrap();
    kept["origin"] = "its name before".into();
    std::fs::write(logs.join("before.json"), kept.to_string()).unwrap();
    let ran = look();
    assert_eq!(ran.code, Some(1), "{}", ran.text());
    assert!(
        ran.stderr.contains("\"its name before\": nothing at http"),
        "{}",
        ran.stderr
    );
}

/// Copies a folder whose server has stopped.
fn copy(from: &Path, to: &Path) {
    ok(Command::new("cp").arg("-a").arg(from).arg(to));
}

#[test]
fn a_log_with_two_histories_is_told_once_with_the_evidence() {
    let folder = tempfile::tempdir().unwrap();
    let (data, other) = (folder.path().join("data"), folder.path().join("other"));
    let ports = Ports::free();
    let mut stack = Stack::at(&data, &ports);
    let state = folder.path().join("state");
    let look = |stack: &Stack| run(&mut monitor_in(&state, stack, &["--once"]));
    stack.stop();
    copy(&data, &other);
    let signed = |data: &Path, entries: usize| {
        let stack = Stack::at(data, &ports);
        let cosign = Cosign::initialize(&stack);
        for number in 0..entries {
            let artifact = stack.file(
                &format!("artifact {number}"),
                format!("{} {number}", data.display()),
            );
            cosign.sign_blob(Rekor::V1, WHO, &artifact);
        }
        stack
    };
    let mut first = signed(&data, 1);
    assert_eq!(look(&first).code, Some(0));
    first.stop();
    // The same key, another history: an operator who answers people differently.
    let second = signed(&other, 2);
    let ran = look(&second);
    assert_eq!(ran.code, Some(INCONSISTENT), "{}", ran.text());
    let told = events(&ran);
    let of = |interface: &str| {
        told.iter()
            .find(|event| event["log"]["interface"] == interface)
            .unwrap()
    };
    // The canaries of the starts differ too.
    assert_eq!(told.len(), 3, "{}", ran.text());
    for event in [of("rekor-v1"), of("tlog-tiles"), of("static-ct")] {
        assert_eq!(event["event"], "inconsistent");
        let said = event["text"].as_str().unwrap();
        assert!(
            said.contains("another history than before") || said.contains("signed two trees of 2 leaves"),
            "{said}"
        );
        for head in ["headBefore", "headNow"] {
            assert!(
                event[head].as_str().unwrap().contains("\n\u{2014} "),
                "a signed note: {event}"
            );
        }
        assert_ne!(event["headBefore"], event["headNow"]);
    }
    let again = look(&second);
    assert_eq!(
        (again.code, again.stdout.as_str()),
        (Some(INCONSISTENT), ""),
        "told once, and not forgotten"
    );
    // A log that is behind is no fork, and no success.
    drop(second);
    let third = Stack::at(&data, &ports);
    let behind = look(&third);
    assert_eq!(
        behind.code,
        Some(INCONSISTENT),
        "what was seen stays seen: {}",
        behind.text()
    );
}

#[test]
fn events_wait_until_they_are_taken() {
    let stack = Stack::ephemeral();
    let cosign = Cosign::initialize(&stack);
    let artifact = stack.file("artifact", "to be told of");
    cosign.sign_blob(Rekor::V2, WHO, &artifact);
    let (taken, status) = (Arc::new(Mutex::new(Vec::new())), Arc::new(Mutex::new(410)));
    let (took, answers) = (Arc::clone(&taken), Arc::clone(&status));
    let receiver = serve(move |request| {
        let event: Value = serde_json::from_slice(&request.body).unwrap();
        took.lock().unwrap().push(event);
        Response::status(*answers.lock().unwrap())
    });
    let log = stack.path("told");
    let program = stack.file(
        "program",
        format!(
            "#!/bin/sh\n[ -e '{0}.down' ] && exit 1\ncat >> '{0}'\n",
            log.display()
        ),
    );
    ok(Command::new("chmod").arg("+x").arg(&program));
    let look = || {
        let args = [
            "--once",
            "--from",
            "start",
            "--email",
            WHO,
            "--webhook",
            &receiver,
            "--exec",
        ];
        let mut command = monitor(&stack, &args);
        run(command.arg(&program))
    };
    // The receiver refuses and the program fails: what was seen is printed, and kept.
    std::fs::write(stack.path("told.down"), "").unwrap();
    let refused = look();
    assert_eq!(refused.code, Some(SIGHTED), "{}", refused.text());
    assert!(
        refused.stderr.contains("the webhook refuses events"),
        "{}",
        refused.stderr
    );
    let first = taken.lock().unwrap()[0].clone();
    taken.lock().unwrap().clear();
    // It takes them, and the program still fails: neither holds up the other.
    *status.lock().unwrap() = 204;
    let failed = look();
    assert_eq!(failed.code, Some(1), "{}", failed.text());
    assert!(
        failed.stderr.contains("expected it to succeed"),
        "{}",
        failed.stderr
    );
    assert_eq!(
        taken.lock().unwrap()[0],
        first,
        "the same event, with the same ID"
    );
    assert_eq!(first["type"], "dev.sigbox.monitor.found");
    assert_eq!(first["specversion"], "1.0");
    std::fs::remove_file(stack.path("told.down")).unwrap();
    let done = look();
    assert_eq!(done.code, Some(0), "{}", done.text());
    assert_eq!(
        taken.lock().unwrap().len(),
        2,
        "one for each log it is in, and each once"
    );
    let told = std::fs::read_to_string(&log).unwrap();
    assert_eq!(told.lines().count(), 2, "{told}");
    assert!(told.contains(first["id"].as_str().unwrap()));
    assert_eq!(look().code, Some(0));
}

/// A monitor that goes on, and its events.
struct Watching {
    child: Child,
    events: mpsc::Receiver<Value>,
}

impl Watching {
    fn start(command: &mut Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let (sender, events) = mpsc::channel();
        let output = BufReader::new(child.stdout.take().unwrap());
        std::thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                let _ = sender.send(serde_json::from_str(&line).unwrap());
            }
        });
        Self { child, events }
    }

    fn next(&self, kind: &str) -> Value {
        let until = Instant::now() + SOON;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let event = self
                .events
                .recv_timeout(left)
                .unwrap_or_else(|_| panic!("no {kind:?} came"));
            if event["event"] == kind {
                return event;
            }
        }
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        let _ = self.child.kill();
    }
}

#[test]
fn a_monitor_that_goes_on_tells_when_it_happens_and_when_it_cannot_look() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let ports = Ports::free();
    let mut stack = Stack::at(&data, &ports);
    let metrics = Ports::free().metrics;
    let state = folder.path().join("state");
    let args = ["--every", "1s", "--silent-after", "0s", "--email", WHO];
    let mut command = monitor_in(&state, &stack, &args);
    command.args(["--metrics-listen", &format!("localhost:{metrics}")]);
    let mut watching = Watching::start(&mut command);
    assert_eq!(watching.next("alive")["logs"].as_array().unwrap().len(), 3);
    let cosign = Cosign::initialize(&stack);
    cosign.sign_blob(Rekor::V2, WHO, &stack.file("artifact", "while somebody watches"));
    // Of the certificate, and of the entry.
    for interface in ["static-ct", "tlog-tiles"] {
        let found = watching.next("found");
        assert_eq!(found["log"]["interface"], interface);
        assert_eq!(found["entry"]["signers"][0]["names"][0], WHO);
    }
    let answer =
        ok(Command::new("curl").args(["-fsS", &format!("http://localhost:{metrics}/metrics")])).stdout;
    for figure in [
        "sigbox_monitor_log_read{log=\"localhost\"} 2",
        "sigbox_monitor_entries_total{watch=\"command line\",kind=\"found\"}",
        "sigbox_monitor_silent 0",
    ] {
        assert!(answer.contains(figure), "{figure}: {answer}");
    }
    stack.stop();
    let silent = watching.next("silent");
    assert!(
        silent["text"].as_str().unwrap().contains("does not answer"),
        "{silent}"
    );
    let stack = Stack::at(&data, &ports);
    watching.next("back");
    signal(watching.child.id(), "TERM");
    assert_eq!(watching.child.wait().unwrap().code(), Some(0));
    // Its folder is free again.
    let held = run(&mut monitor_in(&state, &stack, &["--once"]));
    assert_eq!(held.code, Some(0), "{}", held.text());
}

#[test]
fn a_slip_in_the_command_line_is_named() {
    for (args, said) in [
        (
            &["--once", "--email", "nobody"][..],
            "email: expected an e-mail address",
        ),
        (&["--once", "--log", "http://localhost:9"], "--log-key"),
        (&["--once", "--every", "1s"], "cannot be used with"),
        (&["--watch", "/nowhere/watches.toml"], "/nowhere/watches.toml"),
        (&["--webhook", "ftp://example.com/secret"], "--webhook: expected"),
    ] {
        let ran = refused(Command::new(sigbox()).arg("monitor").args(args));
        assert!(ran.stderr.contains(said), "{args:?}: {}", ran.stderr);
        assert!(!ran.stderr.contains("secret"), "{}", ran.stderr);
    }
}
