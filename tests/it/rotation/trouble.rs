//! What stands in the way of a key that is to take over is found out while the one before it is still in use, told, and tried
//! again.

use std::path::Path;
use std::time::Duration;

use common_pki::key::KeyAlgorithm;
use tests::entries::Key;
use tests::stack::{Launch, Ports, Stack, up};
use tests::vault::{Mood, Vault};
use tests::{fsck, ok, refused};

use super::{command, text};

/// The key before stays trusted until it is published that it has ended, so that is tried until it succeeds.
#[tokio::test(flavor = "multi_thread")]
async fn a_publication_that_failed_is_made_up_for() {
    let stack = Stack::ephemeral();
    let data = Path::new(&stack.ready.data_dir);
    let (tuf, away) = (data.join("tuf"), data.join("tuf.away"));
    // Nothing can be written below a file, not even by root.
    let block = || {
        std::fs::rename(&tuf, &away).unwrap();
        std::fs::write(&tuf, "in the way").unwrap();
    };
    let unblock = || {
        std::fs::remove_file(&tuf).unwrap();
        std::fs::rename(&away, &tuf).unwrap();
    };
    let until = async |what: &str, holds: &dyn Fn() -> bool| {
        for _ in 0..600 {
            if holds() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("{what}: {}", stack.said());
    };
    block();
    refused(&mut command(data, &["rotate", "tsa", "--propagate", "3s"]));
    unblock();
    let registry = || std::fs::read_to_string(data.join("keys/registry.json")).unwrap();
    until("its publication", &|| registry().contains("\"published\"")).await;

    block();
    let told = |stack: &Stack| stack.said().matches("is not what the key registry lists").count();
    let before = told(&stack);
    until("it has taken over", &|| !registry().contains("\"successor\"")).await;
    until("it is told", &|| told(&stack) > before).await;
    let trusted = || std::fs::read_to_string(data.join("trust/trusted_root.json")).unwrap();
    let ends = |root: String| root.matches("\"end\"").count();
    assert_eq!(ends(trusted()), 0);
    unblock();
    until("it is published", &|| ends(trusted()) == 1).await;
    let served = text(&stack, "/trust/trusted_root.json").await;
    assert_eq!(ends(served), 1);
}

/// A key service that gives public keys and no signatures, or one key under several names, is found out before anything is
/// registered.
#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_does_not_sign_or_serves_already_is_not_registered() {
    let vault = Vault::start(&[
        ("tsa", KeyAlgorithm::EcdsaP256),
        ("root", KeyAlgorithm::EcdsaP384),
    ]);
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let mut started = up(&data, &Ports::free());
    let stack = Launch::new(vault.lend(&mut started));
    let stack = stack.ready(Duration::from_secs(60)).unwrap();
    let registry = || std::fs::read(data.join("keys/registry.json")).unwrap();
    let before = registry();
    let rotate = |signers: &[&str]| {
        let mut rotate = command(&data, &["rotate", "tsa", "--propagate", "0s", "--wait"]);
        for signer in signers {
            rotate.args(["--signer", signer]);
        }
        rotate
    };
    vault.set("tsa", Mood::Sealed);
    let said = refused(&mut rotate(&["tsa=hashivault://tsa"])).text();
    assert!(said.contains("key tsa-2"), "{said}");
    let twice = ["tsa-root=hashivault://root", "tsa-intermediate=hashivault://root"];
    let said = refused(&mut rotate(&twice)).text();
    assert!(said.contains("which is in use as tsa-root-2"), "{said}");
    assert_eq!(registry(), before);
    vault.set("tsa", Mood::Sound);
    ok(&mut rotate(&["tsa=hashivault://tsa"]));
    let said = refused(&mut rotate(&["tsa=hashivault://tsa"])).text();
    assert!(said.contains("which is in use as tsa-2"), "{said}");
    assert!(!text(&stack, "/healthz").await.is_empty());
}

/// Status of the answer to a new entry, and whether it says when to come again.
async fn logs(stack: &Stack, path: &str, message: &str) -> (u16, bool) {
    let key = Key::generate();
    let body = match path {
        "/api/v1/log/entries" => key.v1(message.as_bytes()),
        _ => key.v2(message.as_bytes()),
    };
    let request = stack.http.post(stack.url(path));
    let request = request.header("content-type", "application/json");
    let answer = request.body(body.to_string()).send().await.unwrap();
    (
        answer.status().as_u16(),
        answer.headers().contains_key("retry-after"),
    )
}

/// A key that does not sign is found out before the log in use is closed for it. One that fails right behind its trial has
/// writers come again, and turns none of them away for good.
#[tokio::test(flavor = "multi_thread")]
async fn a_successor_that_does_not_sign_leaves_the_log_open() {
    let vault = Vault::start(&[("v1", KeyAlgorithm::EcdsaP256), ("v2", KeyAlgorithm::Ed25519)]);
    let folder = tempfile::tempdir().unwrap();
    let (data, ports) = (folder.path().join("data"), Ports::free());
    let mut started = up(&data, &ports);
    let stack = Launch::new(vault.lend(&mut started));
    let stack = stack.ready(Duration::from_secs(60)).unwrap();
    for (log, path) in [("v1", "/api/v1/log/entries"), ("v2", "/api/v2/log/entries")] {
        let signer = format!("rekor-{log}=hashivault://{log}");
        let roll = ["shard", "--log", log, "--propagate", "3s", "--signer", &signer];
        ok(&mut command(&data, &roll));
        vault.set(log, Mood::Sealed);
        let tried = format!("rekor-{log}-2");
        let refused = |line: &str| line.contains(&tried) && line.contains("did not sign a head on trial");
        let waited = tokio::time::timeout(Duration::from_secs(60), async {
            while !stack.said().lines().any(refused) {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        });
        waited.await.unwrap_or_else(|_| panic!("{}", stack.said()));
        assert_eq!(logs(&stack, path, "while it is sealed").await.0, 201, "{log}");

        vault.set(log, Mood::SealedAfter(1));
        let answer_changes = async |to: u16| {
            let change = async {
                for turn in 0.. {
                    let (status, again) = logs(&stack, path, &format!("{to} {turn}")).await;
                    if status == to {
                        return again;
                    }
                    assert!([201, 503].contains(&status), "{log}: {status}");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
                unreachable!("it ends")
            };
            tokio::time::timeout(Duration::from_secs(60), change)
                .await
                .unwrap()
        };
        assert!(answer_changes(503).await, "{log}: it says when to come again");
        vault.set(log, Mood::Sound);
        answer_changes(201).await;
        let status = ok(&mut command(&data, &["shard", "--status"])).stdout;
        assert!(!status.contains(&format!("rekor-{log}")), "{status}");
    }
    fsck(&data).unwrap();
}
