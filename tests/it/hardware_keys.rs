//! Every key of an instance on a token: no private key of the registry is on the disk, and clients notice nothing.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use tests::clients::{Cosign, Python, Rekor};
use tests::softhsm::{PIN, Token, private_keys};
use tests::stack::{Launch, Ports, Stack, up};
use tests::{ok, refused, sigbox};

const WHO: &str = "dev@example.com";

fn start(token: &Token, data: &Path, ports: &Ports) -> Stack {
    Launch::new(token.lend(&mut up(data, ports)))
        .ready(Duration::from_secs(60))
        .unwrap_or_else(|not| panic!("{not}"))
}

/// `sigbox keys`, with the token at hand.
fn keys(token: &Token, data: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(sigbox());
    command.arg("keys").args(arguments).arg("--data").arg(data);
    token.lend(&mut command);
    command
}

#[test]
fn with_every_key_on_a_token_clients_sign_and_verify() {
    let token = Token::new();
    let folder = tempfile::tempdir().unwrap();
    let (data, ports) = (folder.path().join("data"), Ports::free());
    let url = format!("http://localhost:{}", ports.http);
    let keys = |arguments: &[&str]| keys(&token, &data, arguments);
    ok(&mut keys(&[
        "init",
        "--public-url",
        &url,
        "--signer",
        &token.uri(),
    ]));
    assert_eq!(private_keys(&data), Vec::<String>::new());
    refused(&mut keys(&[
        "init",
        "--public-url",
        &url,
        "--signer",
        &token.uri(),
    ]));

    let stack = start(&token, &data, &ports);
    let (cosign, python) = (Cosign::initialize(&stack), Python::trust_instance(&stack));
    for rekor in Rekor::BOTH {
        let artifact = stack.file(&format!("artifact.{}", rekor.name()), rekor.name());
        for bundle in [
            cosign.sign_blob(rekor, WHO, &artifact),
            python.sign(rekor, WHO, &artifact),
        ] {
            ok(&mut cosign.verify_blob(&bundle, WHO, &artifact));
            ok(&mut python.verify(&bundle, WHO, &artifact));
        }
    }
    // What `up` makes for itself: its development issuer, and its local TLS.
    assert_eq!(private_keys(&data), ["ca.key.pem", "development-issuer.pem"]);
    let list = ok(&mut keys(&["list"])).stdout;
    for id in [
        "fulcio-ca-1",
        "ct-log-1",
        "rekor-v1-1",
        "rekor-v2-1",
        "tsa-1",
        "tuf-root-1",
        "tuf-online-1",
    ] {
        let line = list.lines().find(|line| line.starts_with(id)).unwrap();
        assert!(
            line.contains(&format!("pkcs11:token=sigbox;object={id}")),
            "{line}"
        );
    }
    drop(stack);

    // The same keys after a restart; without the PIN none.
    let stack = start(&token, &data, &ports);
    drop(stack);
    let without = refused(up(&data, &ports).env("SOFTHSM2_CONF", token.config()));
    assert!(without.stderr.contains("SIGBOX_PKCS11_PIN"), "{}", without.stderr);
    let wrong = refused(
        token
            .lend(&mut up(&data, &ports))
            .env("SIGBOX_PKCS11_PIN", "4321"),
    );
    assert!(
        wrong.stderr.contains("PIN") && !wrong.stderr.contains("4321"),
        "{}",
        wrong.stderr
    );
}

#[test]
fn a_key_is_moved_to_where_it_was_imported_and_never_to_another() {
    let token = Token::new();
    let folder = tempfile::tempdir().unwrap();
    let (data, ports) = (folder.path().join("data"), Ports::free());
    let url = format!("http://localhost:{}", ports.http);
    let keys = |arguments: &[&str]| keys(&token, &data, arguments);
    ok(&mut keys(&["init", "--public-url", &url]));
    let import = |id: &str, label: &str, number: &str| {
        let pem = data.join(format!("keys/{id}.pem"));
        let mut command = Command::new("softhsm2-util");
        command.args([
            "--token", "sigbox", "--pin", PIN, "--label", label, "--id", number, "--import",
        ]);
        ok(token.lend(command.arg(pem)));
    };
    import("tsa-1", "stamps", "a1");
    let uri = |object: &str| token.uri().replace('?', &format!(";object={object}?"));
    let other = refused(&mut keys(&["move", "ct-log-1", &uri("stamps")]));
    assert!(other.stderr.contains("another key"), "{}", other.stderr);
    ok(&mut keys(&["move", "tsa-1", &uri("stamps")]));
    std::fs::remove_file(data.join("keys/tsa-1.pem")).unwrap();
    let shown = ok(&mut keys(&["show", "tsa-1"]));
    assert!(shown.stdout.contains("object=stamps"), "{}", shown.stdout);
    // It starts, so its canary was stamped by the token.
    drop(start(&token, &data, &ports));
}
