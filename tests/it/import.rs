//! A log of one instance is taken over by another: what it promised stays as it was, what clients made with it verifies and is
//! found, an import that is killed goes on, and what the log did not sign is refused.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use tests::clients::{Attested, Cosign, Python, Rekor, rekor_cli};
use tests::entries::Key;
use tests::postgres::Server;
use tests::stack::{Launch, Ports, Stack, up};
use tests::{fsck, ok, openssl_key_pair, refused, say, sigbox};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::serve::{Served, configure, serve};

/// More than one transaction of an import.
const ENTRIES: usize = 560;

async fn write(stack: &Stack, path: &str, count: usize) {
    let key = Key::generate();
    for number in 0..count {
        let message = format!("{path} {number}");
        let body = match path {
            "/api/v1/log/entries" => key.v1(message.as_bytes()),
            _ => key.v2(message.as_bytes()),
        };
        let request = stack
            .http
            .post(stack.url(path))
            .header("content-type", "application/json");
        let answer = request.body(body.to_string()).send().await.unwrap();
        assert_eq!(answer.status().as_u16(), 201);
    }
}

async fn get(stack: &Stack, path: &str) -> Vec<u8> {
    let answer = stack.http.get(stack.url(path)).send().await.unwrap();
    assert_eq!(answer.status().as_u16(), 200, "{path}");
    answer.bytes().await.unwrap().to_vec()
}

async fn json(stack: &Stack, path: &str) -> Value {
    serde_json::from_slice(&get(stack, path).await).unwrap()
}

/// Into `data`, of an instance that will be at `url`.
fn import(source: &str, data: &Path, url: &str, more: &[&str]) -> Command {
    let mut command = Command::new(sigbox());
    command.args(["import", source, "--data"]).arg(data).args(more);
    command.args(["--public-url", url]);
    command
}

/// Starts it and kills it, ever later, until it ends by itself; how often it was killed.
fn kill_until_done(mut command: impl FnMut() -> Command) -> u32 {
    for killed in 0.. {
        let mut child = command().stderr(Stdio::piped()).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(400 * u64::from(killed + 1)));
        if child.try_wait().unwrap().is_some() {
            let ended = child.wait_with_output().unwrap();
            let said = String::from_utf8_lossy(&ended.stderr);
            assert!(ended.status.success(), "after {killed} kills: {said}");
            return killed;
        }
        child.kill().unwrap();
        child.wait().unwrap();
    }
    unreachable!("it ends")
}

const WHO: &str = "dev@example.com";

/// What clients made with the log before it moved.
struct Signed {
    artifact: PathBuf,
    /// By certificates: cosign's and sigstore-python's.
    bundles: [PathBuf; 2],
    /// By a key of one's own, and the key.
    managed: (PathBuf, PathBuf),
}

fn sign(source: &Stack) -> Signed {
    let (cosign, python) = (Cosign::initialize(source), Python::trust_instance(source));
    let artifact = source.file("artifact", "signed before the move");
    ok(cosign
        .command()
        .env("COSIGN_PASSWORD", "")
        .arg("generate-key-pair"));
    let managed = source.path("managed.json");
    let mut by_key = cosign.command();
    by_key.env("COSIGN_PASSWORD", "");
    by_key.args(["sign-blob", "--yes", "--key", "cosign.key", "--bundle"]);
    ok(by_key.arg(&managed).arg(&artifact));
    // A statement's subjects are in its payload, which no log keeps.
    let predicate = source.file("predicate.json", "{}");
    cosign.attest_blob(Rekor::V1, WHO, &artifact, Attested::Predicate(&predicate));
    Signed {
        bundles: [
            cosign.sign_blob(Rekor::V1, WHO, &artifact),
            python.sign(Rekor::V1, WHO, &artifact),
        ],
        managed: (managed, source.path("cosign.pub")),
        artifact,
    }
}

/// The bundles verify with the logs that `target` trusts, and its search finds them.
async fn still_verify(source: &Stack, target: &Stack, signed: &Signed) {
    // By a key: with all that the new instance publishes.
    let (bundle, key) = &signed.managed;
    let mut command = Cosign::initialize(target).command();
    command.arg("verify-blob").arg("--key").arg(key);
    ok(command.arg("--bundle").arg(bundle).arg(&signed.artifact));
    // By certificates, whose authority stays the other one: its trusted root with the new instance's logs in it.
    let mut root = json(source, "/trust/trusted_root.json").await;
    root["tlogs"] = json(target, "/trust/trusted_root.json").await["tlogs"].take();
    let mut config = json(source, "/trust/client_trust_config.json").await;
    config["trustedRoot"] = root.clone();
    let root = source.file("moved-root.json", root.to_string());
    let config = source.file("moved-config.json", config.to_string());
    let (cosign, python) = (Cosign::initialize(source), Python::trust_instance(source));
    for bundle in &signed.bundles {
        let mut command = cosign.verify_blob(bundle, WHO, &signed.artifact);
        ok(command.arg("--trusted-root").arg(&root));
        ok(&mut python.verify_trusting(&config, bundle, WHO, &signed.artifact));
    }
    let mut search = Command::new(sigbox());
    search.args([
        "log",
        "search",
        "--json",
        "--email",
        WHO,
        "--url",
        &target.ready.url,
    ]);
    let found: Value = serde_json::from_str(&ok(&mut search).stdout).unwrap();
    assert_eq!(found["entries"].as_array().unwrap().len(), 3, "{found:#}");
    let search = rekor_cli(target)
        .args(["search", "--artifact"])
        .arg(&signed.artifact)
        .output()
        .unwrap();
    let search = String::from_utf8_lossy(&search.stdout).into_owned();
    assert_eq!(
        search.lines().filter(|line| line.len() == 80).count(),
        3,
        "{search}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rekor_v1_with_two_shards_is_taken_over() {
    let source = Stack::ephemeral();
    let signed = sign(&source);
    write(&source, "/api/v1/log/entries", ENTRIES).await;
    let roll = ["shard", "--propagate", "0s", "--data"];
    ok(Command::new(sigbox()).args(roll).arg(&source.ready.data_dir));
    write(&source, "/api/v1/log/entries", 30).await;
    let before = json(&source, "/api/v1/log").await;
    let sizes = [&before["inactiveShards"][0]["treeSize"], &before["treeSize"]];
    let total: u64 = sizes.iter().map(|size| size.as_u64().unwrap()).sum();

    let folder = tempfile::tempdir().unwrap();
    let (data, ports) = (folder.path().join("data"), Ports::free());
    let url = format!("http://localhost:{}", ports.http);
    let again = || import(&source.ready.url, &data, &url, &[]);
    let killed = kill_until_done(again);
    ok(&mut again());

    let target = Stack::at(&data, &ports);
    let after = json(&target, "/api/v1/log").await;
    let inactive = after["inactiveShards"].as_array().unwrap();
    assert_eq!(inactive[0], before["inactiveShards"][0]);
    for member in ["rootHash", "signedTreeHead", "treeID", "treeSize"] {
        assert_eq!(inactive[1][member], before[member], "{member}");
    }
    for index in [0, 1, 255, 511, 512, ENTRIES as u64, total - 1] {
        let path = format!("/api/v1/log/entries?logIndex={index}");
        let (mut there, mut here) = (json(&source, &path).await, json(&target, &path).await);
        // The proof of the source's active shard is of its newest head, which is the one that was taken over.
        let id = there.as_object().unwrap().keys().next().unwrap().clone();
        assert_eq!(here[&id].take(), there[&id].take(), "{index}");
        ok(rekor_cli(&target).args(["get", "--log-index", &index.to_string()]));
        ok(rekor_cli(&target).args(["verify", "--log-index", &index.to_string()]));
    }
    ok(rekor_cli(&target).arg("loginfo"));
    still_verify(&source, &target, &signed).await;
    let own = json(&target, &format!("/api/v1/log/entries?logIndex={total}")).await;
    assert_eq!(
        own.as_object().unwrap().values().next().unwrap()["logIndex"],
        total,
        "ours follow"
    );
    let trusted: Value = serde_json::from_slice(&get(&target, "/trust/trusted_root.json").await).unwrap();
    let ended = trusted["tlogs"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|log| log["publicKey"]["validFor"]["end"].is_string());
    assert_eq!(ended.count(), 2);
    drop(target);
    fsck(&data).unwrap();
    let late = refused(&mut again()).text();
    assert!(late.contains("import into a new folder"), "{late}");
    say(&format!("{total} entries of two shards, after {killed} kills"));
}

/// Into the database of `serve`, whose log goes on behind it.
#[tokio::test(flavor = "multi_thread")]
async fn a_log_is_taken_over_into_postgresql() {
    let source = Stack::ephemeral();
    write(&source, "/api/v1/log/entries", 30).await;
    let server = Server::shared();
    let database = server.url(&server.database());
    let folder = tempfile::tempdir().unwrap();
    let file = configure(folder.path(), &source.ready.issuer, &Ports::free(), "");
    let mut command = Command::new(sigbox());
    command.args(["import", &source.ready.url, "--config"]).arg(&file);
    ok(command.env("SIGBOX_SERVE_STORAGE", &database));

    let served = Served::start(serve(&file).env("SIGBOX_SERVE_STORAGE", &database));
    let there = json(&source, "/api/v1/log").await;
    let here = async |path: &str| -> Value {
        let answer = source.http.get(format!("{}{path}", served.url())).send().await;
        serde_json::from_slice(&answer.unwrap().bytes().await.unwrap()).unwrap()
    };
    for index in [0, 9, 10, 30] {
        let path = format!("/api/v1/log/entries?logIndex={index}");
        assert_eq!(here(&path).await, json(&source, &path).await, "{index}");
    }
    let log = here("/api/v1/log").await;
    assert_eq!(
        log["inactiveShards"][0]["signedTreeHead"],
        there["signedTreeHead"]
    );
    assert!(!folder.path().join("data/sigbox.db").exists());
    assert_eq!(served.stop(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rekor_v2_log_is_taken_over_by_its_tiles() {
    let source = Stack::ephemeral();
    write(&source, "/api/v2/log/entries", ENTRIES).await;
    let trusted = json(&source, "/trust/trusted_root.json").await;
    let log = trusted["tlogs"]
        .as_array()
        .unwrap()
        .iter()
        .find(|log| log["publicKey"]["keyDetails"] == "PKIX_ED25519");
    let key = log.unwrap()["publicKey"]["rawBytes"].as_str().unwrap();
    let pem = format!("-----BEGIN PUBLIC KEY-----\n{key}\n-----END PUBLIC KEY-----\n");
    let file = source.file("log.pem", pem);
    let other = source.file("other.pem", {
        let mut raw = STANDARD.decode(key).unwrap();
        *raw.last_mut().unwrap() ^= 1;
        format!(
            "-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n",
            STANDARD.encode(raw)
        )
    });

    let folder = tempfile::tempdir().unwrap();
    let (data, ports) = (folder.path().join("data"), Ports::free());
    let url = format!("http://127.0.0.1:{}", ports.http);
    let with = |key: &Path| {
        let more = ["--kind", "v2", "--key", key.to_str().unwrap()];
        import(&source.ready.url, &data, &url, &more)
    };
    let said = refused(&mut with(&other)).text();
    assert!(said.contains("--key") || said.contains("no signature"), "{said}");
    let killed = kill_until_done(|| with(&file));
    let said = ok(&mut with(&file)).text();
    let place = said
        .split_whitespace()
        .find(|word| word.starts_with("/shards/"))
        .unwrap()
        .to_owned();

    let namesake = tempfile::tempdir().unwrap();
    let more = ["--kind", "v2", "--key", file.to_str().unwrap()];
    let same = &mut import(&source.ready.url, namesake.path(), "http://localhost:3000", &more);
    let said = refused(same).text();
    assert!(said.contains("has that name already"), "{said}");

    let mut command = up(&data, &ports);
    command.args(["--public-url", &url]);
    let target = Launch::new(&mut command).ready(Duration::from_secs(60)).unwrap();
    for path in [
        "checkpoint",
        "tile/0/000",
        "tile/0/001",
        "tile/entries/000",
        "tile/entries/001",
    ] {
        assert_eq!(
            get(&target, &format!("{place}{path}")).await,
            get(&source, &format!("/{path}")).await,
            "{path}"
        );
    }
    drop(target);
    fsck(&data).unwrap();
    say(&format!("{ENTRIES} entries by tiles, after {killed} kills"));
}

/// How a change of an answer is made, by the path that was asked for.
type Change = fn(&str, Vec<u8>) -> Vec<u8>;

/// The URL of something that passes requests on to `origin` and changes its answers.
async fn between(origin: &Stack, change: Change) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (http, origin) = (origin.http.clone(), origin.ready.url.clone());
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(pass_on(stream, http.clone(), origin.clone(), change));
        }
    });
    url
}

async fn pass_on(
    mut stream: TcpStream,
    http: reqwest::Client,
    origin: String,
    change: Change,
) -> std::io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    let head = String::from_utf8(head).unwrap();
    let path = head.split(' ').nth(1).unwrap();
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(": ")?;
        name.eq_ignore_ascii_case("content-length")
            .then(|| value.parse().unwrap())
    });
    let mut body = vec![0; length.unwrap_or(0)];
    stream.read_exact(&mut body).await?;
    let url = format!("{origin}{path}");
    let request = if head.starts_with("POST") {
        http.post(url)
            .header("content-type", "application/json")
            .body(body)
    } else {
        http.get(url)
    };
    let answer = request.send().await.unwrap();
    let status = answer.status();
    let body = change(path, answer.bytes().await.unwrap().to_vec());
    let head = format!(
        "HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(&[head.as_bytes(), &body].concat()).await
}

fn replace(body: Vec<u8>, from: &str, to: &str) -> Vec<u8> {
    let text = String::from_utf8(body).unwrap();
    assert!(text.contains(from), "{text}");
    text.replacen(from, to, 1).into_bytes()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_that_is_given_up_is_in_nobodys_way() {
    let source = Stack::ephemeral();
    write(&source, "/api/v2/log/entries", ENTRIES).await;
    let trusted = json(&source, "/trust/trusted_root.json").await;
    let mut logs = trusted["tlogs"].as_array().unwrap().iter();
    let log = logs.find(|log| log["publicKey"]["keyDetails"] == "PKIX_ED25519");
    let key = log.unwrap()["publicKey"]["rawBytes"].as_str().unwrap();
    let key = source.file(
        "log.pem",
        format!("-----BEGIN PUBLIC KEY-----\n{key}\n-----END PUBLIC KEY-----\n"),
    );
    let folder = tempfile::tempdir().unwrap();
    let (data, ports) = (folder.path().join("data"), Ports::free());
    let url = format!("http://127.0.0.1:{}", ports.http);
    let mut command = up(&data, &ports);
    command.args(["--public-url", &url]);
    let mut start = || Launch::new(&mut command).ready(Duration::from_secs(60)).unwrap();
    let mut target = start();
    write(&target, "/api/v2/log/entries", 3).await;
    assert_eq!(target.interrupt(), Some(0));
    // Most of the log is in before it shows that it is not what was signed.
    let last: Change = |path, mut body| {
        if path.contains("/tile/entries/002") {
            *body.last_mut().unwrap() ^= 1;
        }
        body
    };
    let between = between(&source, last).await;
    let more = ["--kind", "v2", "--key", key.to_str().unwrap()];
    let said = refused(&mut import(&between, &data, &url, &more)).text();
    assert!(said.contains("the leaves hash to root"), "{said}");

    let file = folder.path().join("one.backup");
    let backup = |data: &Path, file: &Path| {
        let mut command = Command::new(sigbox());
        command.args(["backup", "--data"]).arg(data).arg(file);
        command
    };
    let said = ok(&mut backup(&data, &file)).text();
    assert!(
        said.contains("its import did not come to its end, with 512 entries"),
        "{said}"
    );
    let mut target = start();
    let roll = ["shard", "--log", "v2", "--propagate", "0s", "--wait", "--data"];
    ok(Command::new(sigbox()).args(roll).arg(&data));
    write(&target, "/api/v2/log/entries", 3).await;
    assert_eq!(target.interrupt(), Some(0));
    let mut target = start();
    write(&target, "/api/v2/log/entries", 3).await;
    assert_eq!(target.interrupt(), Some(0));

    // What was given up is gone from what a backup brings back.
    let (file, new) = (folder.path().join("two.backup"), folder.path().join("new"));
    ok(&mut backup(&data, &file));
    let mut restore = Command::new(sigbox());
    restore.arg("restore").arg(&file).arg("--data").arg(&new);
    ok(restore.arg("--replaces").arg(&data));
    fsck(&new).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_log_did_not_sign_is_refused_with_the_reason() {
    let source = Stack::ephemeral();
    write(&source, "/api/v1/log/entries", 3).await;
    write(&source, "/api/v2/log/entries", 3).await;
    openssl_key_pair(&source.path("another"), &source.path("another.pem"));
    let another = source.path("another.pem").display().to_string();
    let trusted = json(&source, "/trust/trusted_root.json").await;
    let logs = trusted["tlogs"].as_array().unwrap().iter();
    let mut tiled = logs.filter(|log| log["publicKey"]["keyDetails"] == "PKIX_ED25519");
    let key = tiled.next().unwrap()["publicKey"]["rawBytes"].as_str().unwrap();
    let key = source.file(
        "v2.pem",
        format!("-----BEGIN PUBLIC KEY-----\n{key}\n-----END PUBLIC KEY-----\n"),
    );
    let v2 = ["--kind", "v2", "--key", key.to_str().unwrap()];

    let unchanged: Change = |_, body| body;
    let later: Change = |path, body| match path {
        "/api/v1/log/entries/retrieve" => replace(body, "\"integratedTime\":1", "\"integratedTime\":2"),
        _ => body,
    };
    let grown: Change = |path, body| match path {
        // The size is the second line of the note.
        "/api/v1/log" => replace(body, "\\n4\\n", "\\n3\\n"),
        _ => body,
    };
    let missing: Change = |path, body| match path {
        "/api/v1/log/entries/retrieve" => b"[]".to_vec(),
        _ => body,
    };
    let leaf: Change = |path, mut body| {
        if path.contains("/tile/entries/") {
            *body.last_mut().unwrap() ^= 1;
        }
        body
    };
    let note: Change = |path, body| match path {
        "/checkpoint" => replace(body, "\n4\n", "\n3\n"),
        _ => body,
    };
    for (change, more, reason) in [
        (
            unchanged,
            &["--key", &another][..],
            "its key is another one than --key",
        ),
        (later, &[][..], "its signed entry timestamp does not verify"),
        (grown, &[][..], "signature of the checkpoint: expected"),
        (missing, &[][..], "expected 1 entries, one at each index, got 0"),
        (leaf, &v2[..], "the leaves hash to root"),
        (
            note,
            &v2[..],
            "no signature on the checkpoint is of the key given",
        ),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let url = between(&source, change).await;
        let mut command = import(&url, &folder.path().join("data"), "http://127.0.0.1:3000", more);
        let said = refused(&mut command).text();
        assert!(said.contains(reason), "expected {reason:?}, got {said}");
    }
}
