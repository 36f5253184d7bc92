//! Every key takes over from another under load: no request fails, what was signed before verifies after, and clients
//! learn of it through TUF alone. A roll that is killed half-way goes on.

mod trouble;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use common_pki::key::KeyAlgorithm;
use common_tlog::sha256;
use serde_json::{Value, json};
use tests::clients::{Cosign, Python, Rekor, rekor_cli};
use tests::entries::Key;
use tests::postgres::Server;
use tests::softhsm::private_keys;
use tests::stack::{Launch, Ports, Stack, up};
use tests::vault::Vault;
use tests::{fsck, ok, refused, say, sigbox};

use crate::serve::{Served, configure, cosign_verifies, cosign_works, serve};

const WHO: &str = "dev@example.com";

/// `sigbox` on the folder of a running instance.
fn command(data: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(sigbox());
    command.args(args).arg("--data").arg(data);
    command
}

/// What a writer was promised of v1: IDs and virtual indexes. Or which request failed, and how.
type Written = Result<Vec<(String, u64)>, String>;

/// Writers that stop at the first request that fails.
struct Load {
    stop: Arc<AtomicBool>,
    done: Arc<AtomicUsize>,
    failed: Arc<OnceLock<String>>,
    writers: Vec<tokio::task::JoinHandle<Written>>,
}

impl Load {
    /// One writer for each of v1, v2, certificates and timestamps, twice.
    fn start(stack: &Stack, token: &str) -> Self {
        Self::on(&stack.http, &stack.ready.url, token)
    }

    /// The same on an instance at `url`.
    fn on(http: &reqwest::Client, url: &str, token: &str) -> Self {
        let (stop, done) = (Arc::<AtomicBool>::default(), Arc::<AtomicUsize>::default());
        let failed = Arc::<OnceLock<String>>::default();
        let writers = (0..8).map(|number| {
            let (http, url, token) = (http.clone(), url.to_owned(), token.to_owned());
            let (stop, done, failed) = (Arc::clone(&stop), Arc::clone(&done), Arc::clone(&failed));
            tokio::spawn(async move {
                let (key, mut entries) = (Key::generate(), Vec::new());
                let mut round = 0;
                while !stop.load(Ordering::Relaxed) {
                    round += 1;
                    let message = format!("writer {number} round {round}");
                    let (path, body) = match number % 4 {
                        0 => ("/api/v1/log/entries", key.v1(message.as_bytes())),
                        1 => ("/api/v2/log/entries", key.v2(message.as_bytes())),
                        2 => ("/api/v2/signingCert", key.certificate(&token, WHO)),
                        _ => (
                            "/api/v1/timestamp",
                            json!({"artifactHash": "LCa0a2j/xo/5m0U8HTBBNBNCLXBkg7+g+YpeiGJm564=", "hashAlgorithm": "sha256"}),
                        ),
                    };
                    let request = http.post(format!("{url}{path}"));
                    let request = request.header("content-type", "application/json");
                    let answer = request.body(body.to_string()).send().await;
                    let told = |error| failed.get_or_init(|| format!("{path}: {error}")).clone();
                    let answer = answer.map_err(|error| told(error.to_string()))?;
                    let status = answer.status().as_u16();
                    let body = answer.bytes().await.map_err(|error| told(error.to_string()))?;
                    if !matches!(status, 200 | 201) {
                        return Err(told(format!("{status} {}", String::from_utf8_lossy(&body))));
                    }
                    if number % 4 == 0 {
                        let entry: Value = serde_json::from_slice(&body).unwrap();
                        let (id, entry) = entry.as_object().unwrap().iter().next().unwrap();
                        entries.push((id.clone(), entry["logIndex"].as_u64().unwrap()));
                    }
                    done.fetch_add(1, Ordering::Relaxed);
                }
                Ok(entries)
            })
        });
        let writers = writers.collect();
        Self {
            stop,
            done,
            failed,
            writers,
        }
    }

    /// Requests so far. The first that failed is reported at once: what comes later would only show its consequences.
    fn count(&self) -> usize {
        if let Some(error) = self.failed.get() {
            panic!("a request failed: {error}");
        }
        self.done.load(Ordering::Relaxed)
    }

    /// Every v1 entry by its virtual index.
    async fn end(self) -> BTreeMap<u64, String> {
        self.stop.store(true, Ordering::Relaxed);
        let mut entries = BTreeMap::new();
        for writer in self.writers {
            for (id, index) in writer.await.unwrap().unwrap() {
                assert!(entries.insert(index, id).is_none(), "two entries at {index}");
            }
        }
        entries
    }
}

async fn info(stack: &Stack) -> Value {
    let answer = stack.http.get(stack.url("/api/v1/log")).send().await.unwrap();
    serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap()
}

async fn text(stack: &Stack, path: &str) -> String {
    let answer = stack.http.get(stack.url(path)).send().await.unwrap();
    assert_eq!(answer.status().as_u16(), 200, "{path}");
    answer.text().await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_key_takes_over_under_load_and_clients_follow_through_tuf() {
    let mut stack = Stack::ephemeral();
    let data = stack.ready.data_dir.clone();
    let (cosign, python) = (Cosign::initialize(&stack), Python::trust_instance(&stack));
    ok(rekor_cli(&stack).arg("loginfo"));
    let artifact = stack.file("artifact", "signed before, between and after");
    let mut bundles: Vec<PathBuf> = Vec::new();
    let mut sign = |name: &str| {
        for rekor in Rekor::BOTH {
            for made in [
                cosign.sign_blob(rekor, WHO, &artifact),
                python.sign(rekor, WHO, &artifact),
            ] {
                let kept = made.with_extension(format!("{name}.json"));
                std::fs::rename(&made, &kept).unwrap();
                bundles.push(kept);
            }
        }
        for bundle in &bundles {
            ok(&mut cosign.verify_blob(bundle, WHO, &artifact));
            ok(&mut python.verify(bundle, WHO, &artifact));
        }
    };
    sign("before");
    let checkpoint = text(&stack, "/checkpoint").await;
    let load = Load::start(&stack, &stack.token(WHO));

    // Published, and not used: old keys sign, new ones are trusted, and the way back is open.
    ok(&mut command(&data, &["rotate", "fulcio", "--propagate", "1h"]));
    let again = refused(&mut command(&data, &["rotate", "fulcio"])).text();
    assert!(again.contains("fulcio-ca-2 is on its way already"), "{again}");
    let status = ok(&mut command(&data, &["rotate", "fulcio", "--status"])).stdout;
    assert!(
        status.contains("fulcio-ca: fulcio-ca-2 takes over at"),
        "{status}"
    );
    let status = ok(&mut command(&data, &["rotate", "fulcio", "--status", "--json"])).stdout;
    let status: Value = serde_json::from_str(&status).unwrap();
    assert_eq!(status["keys"][0]["id"], "fulcio-ca-2", "{status}");
    assert!(status["keys"][0]["due"].is_string(), "{status}");
    sign("published");
    ok(&mut command(&data, &["rotate", "fulcio", "--cancel"]));
    refused(&mut command(&data, &["rotate", "fulcio", "--cancel"]));

    for what in [
        &["rotate", "tsa"][..],
        &["rotate", "ctlog"],
        &["rotate", "fulcio"],
        &["shard", "--log", "v1"],
        &["rotate", "rekor", "--log", "v2"],
        &["rotate", "tuf"],
        &["rotate", "tuf", "--key", "root"],
    ] {
        let before = load.count();
        let said = ok(&mut command(
            &data,
            &[what, &["--propagate", "1s", "--wait"]].concat(),
        ))
        .text();
        assert!(said.contains("has taken over"), "{what:?}: {said}");
        while load.count() < before + 40 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    sign("after");
    // Another shard, and the certificate log and its authority once more.
    for what in [&["shard"][..], &["rotate", "fulcio"], &["rotate", "ctlog"]] {
        ok(&mut command(&data, &[what, &["--propagate", "0s"]].concat()));
    }
    sign("again");
    ok(rekor_cli(&stack).arg("loginfo"));

    let requests = load.count();
    let entries = load.end().await;
    let log = info(&stack).await;
    let inactive = log["inactiveShards"].as_array().unwrap();
    assert_eq!(inactive.len(), 2);
    // Virtual indexes go on, and every entry is where it was promised, by index and by either form of its ID.
    let last = *entries.keys().last().unwrap();
    for index in [*entries.keys().next().unwrap(), last / 2, last] {
        let Some(id) = entries.get(&index) else { continue };
        for path in [
            format!("?logIndex={index}"),
            format!("/{id}"),
            format!("/{}", &id[16..]),
        ] {
            let entry: Value =
                serde_json::from_str(&text(&stack, &format!("/api/v1/log/entries{path}")).await).unwrap();
            assert_eq!(entry[id]["logIndex"], index, "{path}");
        }
        ok(rekor_cli(&stack).args(["get", "--log-index", &index.to_string()]));
        ok(rekor_cli(&stack).args(["verify", "--log-index", &index.to_string()]));
    }
    // Whoever follows the first v2 log finds the same log there, at its end; the next one has a place of its own.
    let final_checkpoint = text(&stack, "/checkpoint").await;
    assert_eq!(final_checkpoint.lines().next(), checkpoint.lines().next());
    let next = text(&stack, "/shards/rekor-v2-2/checkpoint").await;
    assert_eq!(next.lines().next(), Some("rekor-v2-2.localhost"));
    // Each new one begins with a leaf of ours: no client has index 0.
    let first = |origin: &str| sha256(&[format!("sigbox: first leaf of {origin}\n").as_bytes()]);
    let origin = inactive[1]["signedTreeHead"]
        .as_str()
        .unwrap()
        .lines()
        .next()
        .unwrap();
    let index = &inactive[0]["treeSize"];
    let entry: Value =
        serde_json::from_str(&text(&stack, &format!("/api/v1/log/entries?logIndex={index}")).await).unwrap();
    let body = entry.as_object().unwrap().values().next().unwrap()["body"]
        .as_str()
        .unwrap();
    let body = String::from_utf8(STANDARD.decode(body).unwrap()).unwrap();
    assert!(body.contains(&first(origin).to_string()), "{body}");
    let bundle = match next.lines().nth(1).unwrap().parse().unwrap() {
        width @ 0..256_u64 => format!("000.p/{width}"),
        _ => "000".to_owned(),
    };
    let leaves = text(&stack, &format!("/shards/rekor-v2-2/tile/entries/{bundle}")).await;
    let leaf = leaves.split(r#"{"apiVersion""#).nth(1).unwrap();
    let digest = STANDARD.encode(first("rekor-v2-2.localhost").as_bytes());
    assert!(leaf.contains(&digest), "{leaf}");
    text(&stack, "/shards/ct-log-2/ct/v1/get-sth").await;
    text(&stack, "/shards/ct-log-3/checkpoint").await;
    ok(Command::new(sigbox()).args(["doctor", "--url", &stack.ready.url]));
    fsck(&data).unwrap();
    assert!(stack.stop().is_some_and(|status| status.success()));
    say(&format!(
        "{requests} requests while ten keys took over, none failed"
    ));
}

/// The logs in PostgreSQL, the first keys in files, the next ones in a key service.
#[tokio::test(flavor = "multi_thread")]
async fn every_key_takes_over_on_postgresql_from_a_file_to_a_key_service() {
    let (p256, p384) = (KeyAlgorithm::EcdsaP256, KeyAlgorithm::EcdsaP384);
    let vault = Vault::start(&[
        ("issuer", p256),
        ("issuer-root", p384),
        ("certificates", p256),
        ("v1", p256),
        ("v2", KeyAlgorithm::Ed25519),
        ("stamps", p256),
        ("stamps-above", p384),
        ("stamps-root", p384),
        ("online", p256),
    ]);
    let (issuer, server) = (Stack::ephemeral(), Server::shared());
    let storage = server.url(&server.database());
    let folder = tempfile::tempdir().unwrap();
    let (data, ports) = (folder.path().join("data"), Ports::free());
    let file = configure(folder.path(), &issuer.ready.issuer, &ports, "");
    let start = || Served::start(vault.lend(serve(&file).env("SIGBOX_SERVE_STORAGE", &storage)));
    let served = start();
    let first_keys = private_keys(&data);
    cosign_works(&issuer, &data, "before");

    let url = format!("http://localhost:{}", ports.http);
    let load = Load::on(&issuer.http, &url, &issuer.token(WHO));
    let at = |name: &str, key: &str| format!("{name}=hashivault://{key}");
    let rolls: [(&[&str], Vec<String>); 6] = [
        (&["rotate", "ctlog"], vec![at("ct-log", "certificates")]),
        (
            &["rotate", "fulcio"],
            vec![at("fulcio-ca", "issuer"), at("fulcio-root", "issuer-root")],
        ),
        (&["rotate", "rekor"], vec![at("rekor-v1", "v1")]),
        (&["shard", "--log", "v2"], vec![at("rekor-v2", "v2")]),
        (
            &["rotate", "tsa"],
            vec![
                at("tsa", "stamps"),
                at("tsa-intermediate", "stamps-above"),
                at("tsa-root", "stamps-root"),
            ],
        ),
        (&["rotate", "tuf"], vec![at("tuf-online", "online")]),
    ];
    for (what, signers) in &rolls {
        let mut roll = command(&data, &[*what, &["--propagate", "1s", "--wait"]].concat());
        for signer in signers {
            roll.args(["--signer", signer]);
        }
        let said = ok(&mut roll).text();
        assert!(said.contains("has taken over"), "{what:?}: {said}");
        let before = load.count();
        while load.count() < before + 20 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        cosign_works(
            &issuer,
            &data,
            &format!("after-{}", what.join("-").replace("--", "")),
        );
        cosign_verifies(&issuer, &data, "before");
    }
    let requests = load.count();
    load.end().await;
    let list = ok(&mut command(&data, &["keys", "list"])).stdout;
    for (_, signers) in &rolls {
        let (_, uri) = signers[0].split_once('=').unwrap();
        assert!(list.contains(uri), "{uri} expected in {list}");
    }
    assert_eq!(private_keys(&data), first_keys, "no new key is on the disk");
    // Without another key the same one would take over from itself.
    let again = refused(&mut command(&data, &["rotate", "ctlog"])).text();
    assert!(again.contains("--signer ct-log=URI"), "{again}");
    assert_eq!(served.stop(), Some(0));
    let served = start();
    cosign_works(&issuer, &data, "restarted");
    cosign_verifies(&issuer, &data, "before");
    assert_eq!(served.stop(), Some(0));
    say(&format!(
        "{requests} requests while six keys moved into a key service, none failed"
    ));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_preview_changes_nothing_and_a_cancelled_key_leaves_nothing() {
    let stack = Stack::ephemeral();
    let data = stack.ready.data_dir.clone();
    let files = || {
        let mut files = BTreeMap::new();
        for name in [
            "trusted_root.json",
            "signing_config.v0.2.json",
            "client_trust_config.json",
        ] {
            files.insert(name, std::fs::read(data.join("trust").join(name)).unwrap());
        }
        (files, std::fs::read(data.join("keys/registry.json")).unwrap())
    };
    let (before, root) = (files(), info(&stack).await);
    for what in [
        &["shard"][..],
        &["shard", "--log", "v2", "--host", "log-2.example.com"],
        &["rotate", "fulcio"],
        &["rotate", "ctlog"],
        &["rotate", "tsa"],
        &["rotate", "tuf"],
    ] {
        let shown = ok(&mut command(&data, &[what, &["--dry-run"]].concat())).stdout;
        assert!(shown.contains("# 1. When it is published"), "{what:?}: {shown}");
        let told = match what {
            ["shard"] => "+  \"inactiveShards\": [",
            ["shard", ..] => "http://log-2.example.com:",
            [_, "tuf"] => "one more root version",
            _ => "+++ trusted_root.json",
        };
        assert!(shown.contains(told), "{what:?}: {told} expected in {shown}");
        let later = if what.contains(&"tuf") {
            "# 2. 0s"
        } else {
            "# 2. 7d"
        };
        assert!(shown.contains(later), "{what:?}: {later} expected in {shown}");
        assert_eq!(files(), before, "{what:?}");
    }
    assert_eq!(info(&stack).await, root);
    for what in ["fulcio", "ctlog", "tsa", "rekor"] {
        ok(&mut command(&data, &["rotate", what, "--propagate", "1h"]));
        assert_ne!(files(), before);
        ok(&mut command(&data, &["rotate", what, "--cancel"]));
        assert_eq!(files(), before, "{what}");
    }
    let elsewhere = tempfile::tempdir().unwrap();
    let said = refused(&mut command(elsewhere.path(), &["shard"])).text();
    assert!(said.contains("no instance runs on"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_roll_that_is_killed_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let (data, ports) = (folder.path().join("data"), Ports::free());
    let (mut rolled, mut kept) = (0, 0);
    let mut entries: BTreeMap<u64, String> = BTreeMap::new();
    for round in 0..8_u64 {
        let mut stack = Launch::new(&mut up(&data, &ports))
            .ready(Duration::from_secs(60))
            .unwrap();
        let load = Load::start(&stack, &stack.token(WHO));
        while load.count() < 8 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let log = if round % 2 == 0 { "v1" } else { "v2" };
        let mut child = command(&data, &["shard", "--log", log, "--propagate", "0s"])
            .stderr(std::process::Stdio::null())
            .spawn()
            .unwrap();
        tokio::time::sleep(Duration::from_millis(15 * round * round)).await;
        stack.kill();
        let _ = child.wait();
        for writer in load.writers {
            // Cut off by the kill: what each had been promised so far is only counted.
            let _ = writer.await.unwrap();
        }

        // It starts, and every shard there is takes part; nothing waits for a person.
        let mut stack = Launch::new(&mut up(&data, &ports))
            .ready(Duration::from_secs(60))
            .unwrap();
        let mut waited = 0;
        while !ok(&mut command(&data, &["shard", "--status"]))
            .stdout
            .contains("no key is on its way")
        {
            tokio::time::sleep(Duration::from_millis(100)).await;
            waited += 1;
            assert!(waited < 100, "{}", stack.said());
        }
        let registry: Value =
            serde_json::from_slice(&std::fs::read(data.join("keys/registry.json")).unwrap()).unwrap();
        let ids: Vec<&str> = registry["keys"]
            .as_array()
            .unwrap()
            .iter()
            .map(|key| key["id"].as_str().unwrap())
            .collect();
        let shards = ids.iter().filter(|id| id.starts_with("rekor-v")).count();
        if shards > rolled + 2 {
            rolled = shards - 2;
        } else {
            kept += 1;
        }
        let load = Load::start(&stack, &stack.token(WHO));
        while load.count() < 16 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        for (index, id) in load.end().await {
            assert!(entries.insert(index, id).is_none(), "two entries at {index}");
        }
        for (index, id) in &entries {
            let entry: Value =
                serde_json::from_str(&text(&stack, &format!("/api/v1/log/entries?logIndex={index}")).await)
                    .unwrap();
            assert_eq!(entry[id]["logIndex"], *index);
        }
        stack.kill();
        fsck(&data).unwrap();
    }
    assert!(rolled > 0, "at least one roll had begun before its kill");
    say(&format!(
        "8 kills: {rolled} rolls went on, {kept} had not begun, fsck clean"
    ));
}
