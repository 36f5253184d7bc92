//! More than it can do: what is refused, what is kept, and who is not disturbed.

use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use reqwest::StatusCode;
use reqwest::header::RETRY_AFTER;
use serde_json::Value;
use tests::entries::Key;
use tests::stack::{Launch, Stack};
use tests::{ok, run, say, sigbox};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// The longest a start may take.
const START: Duration = Duration::from_secs(60);

/// An instance with these flags.
fn with(flags: &[&str]) -> Stack {
    let mut command = Command::new(sigbox());
    command.args(["up", "--ephemeral", "--json"]).args(flags);
    Launch::new(&mut command)
        .ready(START)
        .unwrap_or_else(|not| panic!("{not}"))
}

/// The whole proof in a short form. Its bounds hold on any machine; the latencies are for those who read.
#[test]
fn ten_times_its_capacity_loses_nothing_and_says_when_to_come_back() {
    let mut bench = Command::new(sigbox());
    bench.args(["bench", "--overload", "10", "--work", "v2,v1,certificate"]);
    let ran = ok(bench.args(["--seconds", "3", "--json"]));
    let figures: Value = serde_json::from_str(ran.stdout.trim()).unwrap();
    let runs = figures["runs"].as_array().unwrap();
    assert_eq!(runs.len(), 3);
    for run in runs {
        say(&run.to_string());
        assert_eq!(run["acknowledged"], run["found"], "{run}");
        assert!(run["acknowledged"].as_u64().unwrap() > 0 && run["verified"].as_u64().unwrap() > 0);
        assert_eq!(run["wrong"], Value::Array(Vec::new()));
        for (status, counts) in run["refusals"].as_object().unwrap() {
            assert_eq!(status, "503", "{run}");
            assert_eq!(counts[0], counts[1], "each has Retry-After: {run}");
        }
        // Not that of the queue of everything that was offered, which would be hundreds of MiB in some seconds.
        let grown = run["rss_peak_mib"].as_f64().unwrap() - run["rss_before_mib"].as_f64().unwrap();
        assert!(grown < 256.0, "{grown} MiB more: {run}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_client_comes_back_on_the_same_connection() {
    let stack = with(&["--writes-at-once", "1"]);
    let key = Arc::new(Key::generate());
    let (refused, kept) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let clients: Vec<_> = (0..16)
        .map(|client| {
            let address = stack.ready.url.trim_start_matches("http://").to_owned();
            let (key, refused, kept) = (Arc::clone(&key), Arc::clone(&refused), Arc::clone(&kept));
            tokio::spawn(async move {
                let mut stream = TcpStream::connect(&address).await.unwrap();
                for n in 0..25 {
                    let body = key
                        .v2(format!("client {client} entry {n}").as_bytes())
                        .to_string();
                    loop {
                        let answer = post(&mut stream, "/api/v2/log/entries", &body).await;
                        let head = answer.to_ascii_lowercase();
                        if head.starts_with("http/1.1 201") {
                            kept.fetch_add(1, Ordering::Relaxed);
                            break;
                        }
                        assert!(
                            head.starts_with("http/1.1 503") && head.contains("\r\nretry-after: "),
                            "{answer}"
                        );
                        refused.fetch_add(1, Ordering::Relaxed);
                    }
                }
            })
        })
        .collect();
    for client in clients {
        client.await.unwrap();
    }
    assert!(refused.load(Ordering::Relaxed) > 0, "the load was real");
    let head = tests::log::v2_head(&stack).await;
    assert!(head.size >= kept.load(Ordering::Relaxed));
    assert_eq!(kept.load(Ordering::Relaxed), 16 * 25);
}

/// One exchange by hand; the connection must survive it.
async fn post(stream: &mut TcpStream, path: &str, body: &str) -> String {
    let request = format!(
        "POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&answer).into_owned();
        if let Some((head, rest)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| {
                let (name, value) = line.split_once(':')?;
                name.eq_ignore_ascii_case("content-length")
                    .then(|| value.trim().parse::<usize>().unwrap())
            });
            if rest.len() >= length.unwrap() {
                return text;
            }
        }
        assert_ne!(
            stream.read_buf(&mut answer).await.unwrap(),
            0,
            "closed after {text}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_client_and_each_identity_has_its_own_limit() {
    let stack = with(&["--limit-per-client", "40/80", "--limit-loopback"]);
    let limited = |status: StatusCode| status == StatusCode::TOO_MANY_REQUESTS;
    let mut first = None;
    for n in 0..2_000 {
        let answer = stack.http.get(stack.url("/api/v1/log")).send().await.unwrap();
        if limited(answer.status()) {
            let after = answer.headers().get(RETRY_AFTER).unwrap().to_str().unwrap();
            assert!(after.parse::<u32>().unwrap() >= 1);
            first = Some(n);
            break;
        }
        assert_eq!(answer.status(), StatusCode::OK);
    }
    first.expect("there is a limit");
    let probe = stack.http.get(stack.url("/readyz")).send().await.unwrap();
    assert_eq!(probe.status(), StatusCode::OK, "probes are exempt");

    // The address has spent what it had; identities have not, and one does not spend what is another's.
    tokio::time::sleep(Duration::from_secs(3)).await;
    let tokens = ["greedy@example.com", "modest@example.com"].map(|email| (email, stack.token(email)));
    let key = Key::generate();
    let certificate = async |(email, token): &(&str, String)| {
        let body = key.certificate(token, email).to_string();
        let request = stack.http.post(stack.url("/api/v2/signingCert"));
        let request = request.header("content-type", "application/json").body(body);
        request.send().await.unwrap()
    };
    let mut spent = false;
    let start = Instant::now();
    while !spent && start.elapsed() < Duration::from_secs(30) {
        let burst: Vec<_> = (0..32).map(|_| certificate(&tokens[0])).collect();
        for answer in futures(burst).await {
            spent |= limited(answer.status());
            assert!(
                limited(answer.status()) || answer.status() == StatusCode::OK,
                "{}",
                answer.status()
            );
        }
    }
    assert!(spent, "there is a limit");
    assert_eq!(certificate(&tokens[1]).await.status(), StatusCode::OK);
    let metrics = stack
        .http
        .get(format!("{}/metrics", stack.ready.metrics_url))
        .send()
        .await
        .unwrap();
    let metrics = metrics.text().await.unwrap();
    for principal in ["address", "identity"] {
        let name = format!("sigbox_quota_refused_total{{principal=\"{principal}\"}}");
        assert!(metrics.contains(&name), "{name}");
    }
}

/// All of them at once.
async fn futures<T>(all: Vec<impl Future<Output = T>>) -> Vec<T> {
    let mut running: Vec<_> = all.into_iter().map(|one| (Box::pin(one), None)).collect();
    std::future::poll_fn(|context| {
        for (future, done) in &mut running {
            if done.is_none()
                && let std::task::Poll::Ready(value) = future.as_mut().poll(context)
            {
                *done = Some(value);
            }
        }
        match running.iter().all(|(_, done)| done.is_some()) {
            true => std::task::Poll::Ready(()),
            false => std::task::Poll::Pending,
        }
    })
    .await;
    running.into_iter().filter_map(|(_, done)| done).collect()
}

/// Writes one after the other, and how long each took, sorted.
async fn writes(stack: &Stack, seed: &str, count: usize) -> Vec<Duration> {
    let key = Key::generate();
    let mut took = Vec::new();
    for n in 0..count {
        let body = key.v1(format!("{seed} {n}").as_bytes()).to_string();
        let started = Instant::now();
        let request = stack.http.post(stack.url("/api/v1/log/entries"));
        let request = request.header("content-type", "application/json").body(body);
        let answer = request.send().await.unwrap();
        assert_eq!(
            answer.status(),
            StatusCode::CREATED,
            "reads do not make writes fail"
        );
        answer.bytes().await.unwrap();
        took.push(started.elapsed());
    }
    took.sort_unstable();
    took
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_reads_starves_no_write() {
    let stack = Arc::new(Stack::ephemeral());
    let quiet = writes(&stack, "quiet", 300).await;
    let (over, served, busy) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicU64::new(0)),
        Arc::new(AtomicU64::new(0)),
    );
    let readers: Vec<_> = (0..64u64)
        .map(|reader| {
            let (stack, over) = (Arc::clone(&stack), Arc::clone(&over));
            let (served, busy) = (Arc::clone(&served), Arc::clone(&busy));
            tokio::spawn(async move {
                for n in 0u64.. {
                    if over.load(Ordering::Relaxed) {
                        return;
                    }
                    let path = match (reader + n) % 3 {
                        0 => format!("/api/v1/log/entries?logIndex={}", n % 300),
                        1 => format!("/api/v1/log/proof?firstSize={}&lastSize=300", n % 299 + 1),
                        _ => "/ct/ct/v1/get-entries?start=0&end=255".to_owned(),
                    };
                    let answer = stack.http.get(stack.url(&path)).send().await.unwrap();
                    let counter = match answer.status() {
                        StatusCode::OK => &served,
                        StatusCode::SERVICE_UNAVAILABLE => {
                            assert!(answer.headers().contains_key(RETRY_AFTER), "{path}");
                            &busy
                        }
                        other => panic!("{path}: {other}"),
                    };
                    counter.fetch_add(1, Ordering::Relaxed);
                    answer.bytes().await.unwrap();
                }
            })
        })
        .collect();
    let flooded = writes(&stack, "flooded", 300).await;
    over.store(true, Ordering::Relaxed);
    for reader in readers {
        reader.await.unwrap();
    }
    assert!(served.load(Ordering::Relaxed) > 300, "the load was real");
    let p99 = |sorted: &[Duration]| sorted[sorted.len() * 99 / 100];
    say(&format!(
        "p99 of a write: {:?} alone, {:?} beside 64 readers ({} reads served, {} refused)",
        p99(&quiet),
        p99(&flooded),
        served.load(Ordering::Relaxed),
        busy.load(Ordering::Relaxed)
    ));
    // No figure, only what no starved write would reach: the readers and this client share the machine.
    assert!(p99(&flooded) < Duration::from_secs(5), "{:?}", p99(&flooded));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thousands_of_silent_connections_disturb_nobody() {
    let stack = Stack::ephemeral();
    let address = stack.ready.url.trim_start_matches("http://").to_owned();
    let before = resident(stack.ready.pid);
    let mut silent = Vec::new();
    for _ in 0..10_000 {
        match TcpStream::connect(&address).await {
            Ok(stream) => silent.push(stream),
            // This process, or the machine, has no more to give.
            Err(_) => break,
        }
        if silent.len() % 500 == 0 {
            writes(&stack, &format!("beside {}", silent.len()), 1).await;
        }
    }
    writes(&stack, "beside them all", 20).await;
    let after = resident(stack.ready.pid);
    say(&format!(
        "{} silent connections: {before} KiB before, {after} KiB with them",
        silent.len()
    ));
    assert!(silent.len() >= 500, "{} connections", silent.len());
    assert!(
        after < before + (256 << 10),
        "{before} KiB before, {after} KiB with {}",
        silent.len()
    );
}

fn resident(pid: u32) -> u64 {
    let status = run(Command::new("ps").args(["-o", "rss=", "-p", &pid.to_string()]));
    status
        .stdout
        .trim()
        .parse()
        .unwrap_or_else(|e| panic!("{e}: {}", status.text()))
}
