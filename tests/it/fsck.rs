//! Checking logs: a folder beside its running server and after a kill, our logs by URL with our tool and Tessera's, and
//! copies that somebody tampered with.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use common_pki::key::PublicKey;
use common_tlog::notekey::{NoteKey, VerifierKey};
use serde_json::Value;
use tests::entries::Key;
use tests::stack::{Ports, Stack};
use tests::{Ran, fsck, ok, refused, run, sigbox, tool};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

const WHO: &str = "dev@example.com";

/// One entry in each of the three logs.
async fn write(http: &reqwest::Client, url: &str, token: &str, name: &str) -> Result<(), reqwest::Error> {
    let key = Key::generate();
    let requests = [
        ("/api/v1/log/entries", key.v1(name.as_bytes())),
        ("/api/v2/log/entries", key.v2(name.as_bytes())),
        ("/api/v2/signingCert", key.certificate(token, WHO)),
    ];
    for (path, body) in requests {
        let request = http
            .post(format!("{url}{path}"))
            .header("content-type", "application/json");
        request.body(body.to_string()).send().await?.error_for_status()?;
    }
    Ok(())
}

async fn fill(stack: &Stack, count: usize) {
    let token = stack.token(WHO);
    for number in 0..count {
        let name = format!("entry {number}");
        write(&stack.http, &stack.ready.url, &token, &name).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_folder_is_clean_under_writes_and_after_a_kill() {
    let folder = tempfile::tempdir().unwrap();
    let (data, ports) = (folder.path().join("data"), Ports::free());
    let mut stack = Stack::at(&data, &ports);
    let (stop, written) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let writers: Vec<_> = (0..4)
        .map(|writer| {
            let (stop, written) = (Arc::clone(&stop), Arc::clone(&written));
            let (http, url, token) = (stack.http.clone(), stack.ready.url.clone(), stack.token(WHO));
            tokio::spawn(async move {
                for number in 0.. {
                    let name = format!("writer {writer} entry {number}");
                    if stop.load(Ordering::Relaxed) {
                        break;
                    }
                    // A busy machine may refuse; what it took counts.
                    if write(&http, &url, &token, &name).await.is_ok() {
                        written.fetch_add(3, Ordering::Relaxed);
                    }
                }
            })
        })
        .collect();
    let mut beside = 0;
    for _ in 0..60 {
        let before = written.load(Ordering::Relaxed);
        let data = data.clone();
        tokio::task::spawn_blocking(move || fsck(&data))
            .await
            .unwrap()
            .unwrap();
        beside += usize::from(written.load(Ordering::Relaxed) > before);
        if beside == 5 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    assert_eq!(beside, 5, "checks during which entries were written");
    stack.kill();
    stop.store(true, Ordering::Relaxed);
    for writer in writers {
        writer.await.unwrap();
    }
    // What the crash left in the write-ahead log is read, and stays for the next start.
    fsck(&data).unwrap();
    let report = json(&ok(Command::new(sigbox())
        .args(["fsck", "--json", "--data"])
        .arg(&data)));
    assert_eq!(report["ok"], true);
    for log in report["logs"].as_array().unwrap() {
        let size = usize::try_from(log["size"].as_u64().unwrap()).unwrap();
        assert!(size * 3 >= written.load(Ordering::Relaxed), "{log}");
    }
    let mut stack = Stack::at(&data, &ports);
    fill(&stack, 3).await;
    assert_eq!(stack.interrupt(), Some(0));
    fsck(&data).unwrap();
    let one = ok(Command::new(sigbox())
        .args(["fsck", "--log", "ct", "--data"])
        .arg(&data));
    assert!(
        one.stdout.starts_with("ok      ct ") && !one.stdout.contains("rekor"),
        "{}",
        one.stdout
    );
}

#[tokio::test]
async fn damage_is_named_and_ends_in_exit_code_1() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let mut stack = Stack::at(&data, &Ports::free());
    fill(&stack, 4).await;
    assert_eq!(stack.interrupt(), Some(0));
    // A bit of each stored v2 body, in pages whose links are all in order.
    let path = data.join("sigbox.db");
    let mut bytes = std::fs::read(&path).unwrap();
    let body = b"{\"apiVersion\":\"0.0.2\",\"kind\":\"hashedrekord\"";
    // A page that was split keeps a copy behind its content: every one is damaged.
    let found = bytes.windows(body.len()).enumerate();
    let found: Vec<usize> = found
        .filter(|(_, window)| *window == body)
        .map(|(at, _)| at)
        .collect();
    assert!(found.len() >= 5, "four entries and the canary's");
    for at in found {
        bytes[at + 16] ^= 1;
    }
    std::fs::write(&path, bytes).unwrap();
    let ran = refused(Command::new(sigbox()).args(["fsck", "--data"]).arg(&data));
    assert_eq!(ran.code, Some(1));
    let named = |line: &str| line.starts_with("found   log 3 leaf ") && line.contains("hash: expected ");
    assert!(ran.stdout.lines().any(named), "{}", ran.text());
    assert!(
        ran.stdout.contains("DAMAGED rekor-v2") && ran.stdout.contains("ok      ct "),
        "{}",
        ran.text()
    );
    let missing = refused(Command::new(sigbox()).args(["fsck", "--data"]).arg(folder.path()));
    assert!(
        missing.text().contains("registry.json is missing"),
        "{}",
        missing.text()
    );
}

/// Public keys of the instance, out of its registry: a verifier key of the v2 log, PEM of the certificate log.
fn keys(stack: &Stack) -> (String, String) {
    let registry = std::fs::read(stack.ready.data_dir.join("keys/registry.json")).unwrap();
    let registry: Value = serde_json::from_slice(&registry).unwrap();
    let key = |role: &str| {
        let keys = registry["keys"].as_array().unwrap();
        let record = keys
            .iter()
            .find(|key| key["id"].as_str().unwrap().starts_with(role))
            .unwrap();
        let spki = BASE64_STANDARD.decode(record["spki"].as_str().unwrap()).unwrap();
        (
            record["origin"].as_str().unwrap().to_owned(),
            PublicKey::from_spki_der(&spki).unwrap(),
        )
    };
    let (name, v2) = key("rekor-v2");
    let raw = v2.subject_public_key().try_into().unwrap();
    let vkey = VerifierKey {
        name,
        key: NoteKey::Ed25519(raw),
    };
    (vkey.to_string(), key("ct").1.to_pem())
}

fn by_url(url: &str, key: impl AsRef<std::ffi::OsStr>) -> Ran {
    let mut command = Command::new(sigbox());
    run(command.args(["fsck", "--url", url, "--key"]).arg(key))
}

fn json(ran: &Ran) -> Value {
    serde_json::from_str(&ran.stdout).unwrap_or_else(|_| panic!("{}", ran.text()))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn logs_verify_by_url_with_our_tool_and_with_tesseras() {
    let stack = Stack::ephemeral();
    fill(&stack, 270).await;
    let (v2, ct) = keys(&stack);
    let (v2_file, ct_file) = (stack.file("v2.vkey", &v2), stack.file("ct.pem", &ct));
    for base in ["", "/api/v2"] {
        let ran = by_url(&stack.url(base), &v2);
        assert_eq!(ran.code, Some(0), "{}", ran.text());
        assert!(
            ran.stdout
                .contains("tlog-tiles: leaves, tiles; checkpoint signed by "),
            "{}",
            ran.stdout
        );
    }
    let ran = by_url(&stack.url("/ct"), &ct_file);
    assert_eq!(ran.code, Some(0), "{}", ran.text());
    assert!(
        ran.stdout
            .contains("static-ct: leaves, tiles, 2 issuers; checkpoint signed by "),
        "{}",
        ran.stdout
    );
    let without = ok(Command::new(sigbox()).args(["fsck", "--url", &stack.url("")]));
    assert!(
        without.stdout.contains("signature NOT verified"),
        "{}",
        without.stdout
    );
    let other = by_url(&stack.url(""), &ct_file);
    assert_eq!(other.code, Some(1), "{}", other.text());
    assert!(
        other.stdout.contains("found   checkpoint: signatures"),
        "{}",
        other.stdout
    );

    let mut tessera = Command::new(tool("fsck"));
    tessera
        .args(["-ui=false", "-N=4", "-storage_url"])
        .arg(stack.url("/"));
    ok(tessera.arg("-public_key").arg(&v2_file));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tampered_copy_is_refused_by_the_name_of_what_was_changed() {
    let stack = Stack::ephemeral();
    fill(&stack, 270).await;
    let (v2, ct) = keys(&stack);
    let ct = stack.file("ct.pem", &ct);
    for (base, key, path, named) in [
        (
            "",
            Path::new(&v2),
            "tile/0/000",
            "found   tile/0/000: hash 3 of 256: expected ",
        ),
        ("", Path::new(&v2), "tile/entries/000", "found   leaf "),
        (
            "/ct",
            ct.as_path(),
            "tile/0/000",
            "found   tile/0/000: hash 3 of 256: expected ",
        ),
        (
            "/ct",
            ct.as_path(),
            "tile/data/000",
            "found   leaf 0 in tile/data/000: hash: expected ",
        ),
    ] {
        let url = copy(&stack, base, path).await;
        let key = key.to_owned();
        let ran = tokio::task::spawn_blocking(move || by_url(&url, key))
            .await
            .unwrap();
        assert_eq!(ran.code, Some(1), "{base} {path}: {}", ran.text());
        let found: Vec<&str> = ran
            .stdout
            .lines()
            .filter(|line| line.starts_with("found"))
            .collect();
        assert!(
            found.len() == 1 && found[0].starts_with(named),
            "{base} {path}: {}",
            ran.text()
        );
    }
}

/// Serves what the stack serves, one byte of `path` changed; its URL.
async fn copy(stack: &Stack, base: &str, path: &str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (http, from, bad) = (stack.http.clone(), stack.url(base), format!("/{path}"));
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            let (http, from, bad) = (http.clone(), from.clone(), bad.clone());
            tokio::spawn(async move {
                let mut request = vec![0; 8_192];
                let length = socket.read(&mut request).await.unwrap();
                let request = String::from_utf8_lossy(&request[..length]).into_owned();
                let asked = request.split(' ').nth(1).unwrap();
                let answer = http.get(format!("{from}{asked}")).send().await.unwrap();
                let status = answer.status().as_u16();
                let mut body = answer.bytes().await.unwrap().to_vec();
                if asked == bad {
                    // The fourth hash of a tile, the first leaf of a bundle.
                    body[100] ^= 1;
                }
                let head = format!(
                    "HTTP/1.1 {status} X\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
                    body.len()
                );
                let _ = socket.write_all(&[head.as_bytes(), &body].concat()).await;
            });
        }
    });
    url
}
