//! The root of the trust repository passes from the server's key to three holders of whom two must sign, while the server runs,
//! and every client that trusted the first root follows: cosign (go-tuf), sigstore-python (python-tuf) and tough.

use std::path::Path;
use std::process::Command;

use tests::clients::{Cosign, Python, Rekor};
use tests::stack::{Ports, Stack};
use tests::{ok, refused, sigbox, tool};
use url::Url;

use crate::own_client::asked_on_a_terminal;

const WHO: &str = "dev@example.com";
const PASSPHRASE: &str = "five words that nobody guesses";

fn tuf(folder: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(sigbox());
    command.current_dir(folder).arg("tuf").args(args);
    command
}

/// What tough sees of the served files with `root` as its first trust.
async fn tough_reads(stack: &Stack, root: &Path) -> Vec<String> {
    let folder = |name: &str| Url::from_directory_path(Path::new(&stack.ready.data_dir).join(name)).unwrap();
    let repository = tough::RepositoryLoader::new(
        &std::fs::read(root).unwrap(),
        folder("tuf"),
        folder("tuf/targets"),
    )
    .load()
    .await
    .unwrap();
    repository
        .targets()
        .signed
        .targets
        .keys()
        .map(|name| name.raw().to_owned())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_root_in_several_hands_is_followed_by_every_client() {
    let (data, ports) = (tempfile::tempdir().unwrap(), Ports::free());
    let mut stack = Stack::at(data.path(), &ports);
    let (cosign, python) = (Cosign::initialize(&stack), Python::trust_instance(&stack));
    let artifact = stack.file("artifact", "signed before");
    let bundle = cosign.sign_blob(Rekor::V1, WHO, &artifact);

    let folder = stack.work.path();
    let data = data.path();
    let first = stack.path("first-root.json");
    std::fs::copy(data.join("tuf/1.root.json"), &first).unwrap();
    let root = data.join("tuf/root.json");
    let root = root.to_str().unwrap();
    ok(&mut tuf(folder, &["keygen", "ann"]));
    // Ben types the passphrase of his key, Cho has hers in a file.
    let typed = tuf(folder, &["keygen", "ben", "--passphrase", "prompt"]);
    let (made, shown) = asked_on_a_terminal(&typed, "Password of", &[PASSPHRASE, PASSPHRASE]);
    assert!(made && !shown.contains(PASSPHRASE), "{shown}");
    let passphrase = format!("file:{}", stack.file("passphrase", PASSPHRASE).display());
    ok(&mut tuf(folder, &["keygen", "cho", "--passphrase", &passphrase]));
    for encrypted in ["ben", "cho"] {
        let pem = std::fs::read_to_string(stack.path(encrypted)).unwrap();
        assert!(pem.contains("BEGIN ENCRYPTED PRIVATE KEY"), "{encrypted}");
    }
    // A key is never made over another.
    refused(&mut tuf(folder, &["keygen", "ann"]));
    let twice = [
        "propose", "--root", root, "--holder", "ann.pub", "--holder", "ann.pub",
    ];
    let ran = refused(&mut tuf(folder, &twice));
    assert!(
        ran.code == Some(2) && ran.stderr.contains("the same key"),
        "{}",
        ran.text()
    );
    let propose = [
        "propose",
        "--root",
        root,
        "--holder",
        "ann.pub",
        "--holder",
        "ben.pub",
        "--holder",
        "cho.pub",
        "--threshold",
        "2",
        "--out",
        "next.json",
    ];
    ok(&mut tuf(folder, &propose));
    let own = data.join("keys/tuf-root-1.pem");
    let publish = ["publish", "next.json", "--data", data.to_str().unwrap()];
    ok(&mut tuf(folder, &["sign", "next.json", "--key", "ann"]));
    let said = refused(&mut tuf(folder, &publish)).text();
    assert!(
        said.contains("signatures are missing") && said.contains("1 of 2"),
        "{said}"
    );
    wrong_passphrases_sign_nothing(&stack);
    let with_file = ["sign", "next.json", "--key", "cho", "--passphrase", &passphrase];
    ok(&mut tuf(folder, &with_file));
    // The root in force has to agree, too; a stranger's key signs for nothing.
    ok(&mut tuf(
        folder,
        &[
            "sign",
            "next.json",
            "--root",
            root,
            "--key",
            own.to_str().unwrap(),
        ],
    ));
    ok(&mut tuf(folder, &["keygen", "eve"]));
    let said = refused(&mut tuf(
        folder,
        &["sign", "next.json", "--root", root, "--key", "eve"],
    ))
    .text();
    assert!(
        said.contains("neither in the root in force nor in the proposed one"),
        "{said}"
    );
    ok(&mut tuf(folder, &publish));
    assert!(data.join("tuf/2.root.json").exists());

    // Who trusted version 1 follows to version 2, and what was signed before still verifies.
    ok(&mut cosign.verify_blob(&bundle, WHO, &artifact));
    ok(&mut python.verify(&bundle, WHO, &artifact));
    let fresh = Cosign::initialize(&stack);
    let after = stack.file("after", "signed after");
    ok(&mut python.verify(&fresh.sign_blob(Rekor::V2, WHO, &after), WHO, &after));
    // sigstore-python is built on it, so it is there.
    let python_tuf = std::fs::canonicalize(tool("sigstore"))
        .unwrap()
        .with_file_name("python3");
    ok(Command::new(python_tuf)
        .arg("tests/clients/tuf_client.py")
        .args([&stack.ready.tuf_url, first.to_str().unwrap()])
        .arg(stack.path("python-tuf"))
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/..")));
    let names = tough_reads(&stack, &first).await;
    for name in [
        "trusted_root.json",
        "signing_config.v0.2.json",
        "rekor.pub",
        "ctfe.pub",
        "fulcio_v1.crt.pem",
    ] {
        assert!(names.iter().any(|target| target == name), "{name} in {names:?}");
    }

    // From now on the holders alone sign: the next root, with another threshold.
    let propose = [
        "propose",
        "--root",
        root,
        "--threshold",
        "3",
        "--out",
        "third.json",
    ];
    ok(&mut tuf(folder, &propose));
    all_three_sign(&stack, "third.json");
    ok(&mut tuf(
        folder,
        &["publish", "third.json", "--data", data.to_str().unwrap()],
    ));
    ok(&mut cosign.verify_blob(&bundle, WHO, &artifact));
    assert_eq!(tough_reads(&stack, &first).await.len(), names.len());
    let shown = ok(&mut tuf(folder, &["show", root])).text();
    assert!(
        shown.contains("root version 3") && shown.contains("3 of 3 must sign"),
        "{shown}"
    );

    a_new_online_key_waits_for_the_holders(&stack, root);
    ok(&mut cosign.verify_blob(&bundle, WHO, &artifact));
    ok(&mut python.verify(&bundle, WHO, &artifact));
    assert_eq!(tough_reads(&stack, &first).await.len(), names.len());

    // The first root key is not needed any more, and goes where nobody steals it.
    std::fs::remove_file(&own).unwrap();
    assert_eq!(stack.interrupt(), Some(0));
    let stack = Stack::at(data, &ports);
    let (fresh, python) = (Cosign::initialize(&stack), Python::trust_instance(&stack));
    let mut rotate = Command::new(sigbox());
    rotate.args(["rotate", "tsa", "--propagate", "0s", "--wait", "--data"]);
    ok(rotate.arg(data));
    let again = stack.file("again", "signed without the first root key");
    ok(&mut python.verify(&fresh.sign_blob(Rekor::V2, WHO, &again), WHO, &again));
}

/// Each as the key needs it: plain, asked for on the terminal, in the environment.
fn all_three_sign(stack: &Stack, proposal: &str) {
    let folder = stack.work.path();
    ok(&mut tuf(folder, &["sign", proposal, "--key", "ann"]));
    let typed = tuf(folder, &["sign", proposal, "--key", "ben"]);
    let (signed, shown) = asked_on_a_terminal(&typed, "Password of", &[PASSPHRASE]);
    assert!(signed && !shown.contains(PASSPHRASE), "{shown}");
    let mut from_environment = tuf(folder, &["sign", proposal, "--key", "cho"]);
    ok(from_environment
        .args(["--passphrase", "env:CHO"])
        .env("CHO", PASSPHRASE));
}

fn wrong_passphrases_sign_nothing(stack: &Stack) {
    let before = std::fs::read(stack.path("next.json")).unwrap();
    let sign = |key: &str, more: &[&str]| {
        let mut command = tuf(stack.work.path(), &["sign", "next.json", "--key", key]);
        command.args(more).env("CHO", "not it");
        command
    };
    for (key, more, reason) in [
        ("cho", &["--passphrase", "env:CHO"][..], "a wrong passphrase"),
        (
            "cho",
            &["--passphrase", "env:NOBODY"],
            "expected a secret in env:NOBODY",
        ),
        (
            "cho",
            &["--passphrase", PASSPHRASE],
            "never the passphrase itself",
        ),
        ("ann", &["--passphrase", "env:CHO"], "it is not encrypted"),
        (
            "file:cho",
            &["--passphrase", "env:CHO"],
            "a signer URI says itself",
        ),
    ] {
        let said = refused(&mut sign(key, more)).text();
        assert!(said.contains(reason), "{key} {more:?}: {said}");
        assert!(!said.contains(PASSPHRASE), "{key} {more:?}: {said}");
    }
    assert_eq!(std::fs::read(stack.path("next.json")).unwrap(), before);
}

/// The server makes it, three holders list it, and from then on it signs.
fn a_new_online_key_waits_for_the_holders(stack: &Stack, root: &str) {
    let (folder, data) = (stack.work.path(), stack.ready.data_dir.to_str().unwrap());
    let rotate = |more: &[&str]| {
        let mut command = Command::new(sigbox());
        command.args(["rotate", "tuf", "--data", data]).args(more);
        ok(&mut command).text()
    };
    let said = rotate(&["--key", "online"]);
    assert!(
        said.contains("once the holders of the root have signed"),
        "{said}"
    );
    assert!(rotate(&["--status"]).contains("tuf-online-2"));
    let public = format!("{data}/keys/tuf-online-2.pub");
    let hand_in = |online: &str, out: &str| {
        ok(&mut tuf(
            folder,
            &["propose", "--root", root, "--online", online, "--out", out],
        ));
        all_three_sign(stack, out);
        tuf(folder, &["publish", out, "--data", data])
    };
    // A key that the server does not have would end the repository.
    let said = refused(&mut hand_in("eve.pub", "eves.json")).text();
    assert!(said.contains("the server does not publish it"), "{said}");
    ok(&mut hand_in(&public, "fourth.json"));
    let begun = std::time::Instant::now();
    while rotate(&["--status"]).contains("tuf-online-2") {
        assert!(begun.elapsed().as_secs() < 30, "{}", stack.said());
        std::thread::sleep(std::time::Duration::from_millis(200));
    }
    let shown = ok(&mut tuf(folder, &["show", root])).text();
    assert!(shown.contains("root version 4"), "{shown}");
}
