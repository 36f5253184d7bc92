//! `serve`: real issuers, chosen services at each listener, every key on a token, logs in SQLite and in PostgreSQL.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::Value;
use tests::clients::Cosign;
use tests::postgres::Server;
use tests::softhsm::{Token, private_keys};
use tests::stack::{Ports, Stack, signal};
use tests::{ok, refused, sigbox};

const WHO: &str = "dev@example.com";

/// A running `sigbox serve`.
struct Served {
    child: Child,
    ready: Value,
}

impl Served {
    fn start(command: &mut Command) -> Self {
        let mut child = command.arg("--json").stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        let ready = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{line:?}: {error}"));
        Self { child, ready }
    }

    fn stop(mut self) -> Option<i32> {
        signal(self.child.id(), "TERM");
        self.child.wait().unwrap().code()
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The configuration of an instance that takes the tokens of `issuer`.
fn configure(folder: &Path, issuer: &str, ports: &Ports, rest: &str) -> PathBuf {
    let identities = folder.join("fulcio.yaml");
    let text = format!(
        "oidc-issuers:\n  {issuer}:\n    issuer-url: {issuer}\n    client-id: sigstore\n    type: email\n"
    );
    std::fs::write(&identities, text).unwrap();
    let file = folder.join("serve.toml");
    let text = format!(
        "url = 'http://localhost:{}'\ndata = '{}'\nfulcio-config = '{}'\nmetrics = 'localhost:{}'\n\
         [[listen]]\naddress = 'localhost:{}'\n[[listen]]\naddress = 'localhost:{}'\nservices = ['ct', 'trust']\n{rest}",
        ports.http,
        folder.join("data").display(),
        identities.display(),
        ports.metrics,
        ports.http,
        ports.tls,
    );
    std::fs::write(&file, text).unwrap();
    file
}

fn serve(file: &Path) -> Command {
    let mut command = Command::new(sigbox());
    command.arg("serve").arg("--config").arg(file);
    command
}

/// cosign signs and verifies against the instance whose trust is in `data`.
fn cosign_works(issuer: &Stack, data: &Path, name: &str) {
    let cosign = Cosign::initialize(issuer);
    let trust = data.join("trust");
    let (artifact, bundle) = (issuer.file(name, name), issuer.path(&format!("{name}.json")));
    ok(cosign
        .command()
        .args([
            "sign-blob",
            "--yes",
            "--identity-token",
            &issuer.token(WHO),
            "--bundle",
        ])
        .arg(&bundle)
        .arg("--signing-config")
        .arg(trust.join("signing_config.v0.2.json"))
        .arg("--trusted-root")
        .arg(trust.join("trusted_root.json"))
        .arg(&artifact));
    ok(cosign
        .verify_blob(&bundle, WHO, &artifact)
        .arg("--trusted-root")
        .arg(trust.join("trusted_root.json")));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_key_is_on_a_token_and_no_private_key_on_the_disk() {
    let (issuer, token) = (Stack::ephemeral(), Token::new());
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let ports = Ports::free();
    let rest = format!("[keys]\nall = '{}'\n", token.uri());
    let file = configure(folder.path(), &issuer.ready.issuer, &ports, &rest);

    let said = ok(serve(&file).arg("--check")).stdout;
    assert!(
        said.contains("ct-log is made at pkcs11:") && said.contains("ct, trust"),
        "{said}"
    );
    assert!(!data.exists(), "a check makes nothing");

    let served = Served::start(token.lend(&mut serve(&file)));
    assert_eq!(served.ready["url"], format!("http://localhost:{}", ports.http));
    cosign_works(&issuer, &data, "one");
    assert_eq!(private_keys(&data), Vec::<String>::new());

    // No development issuer, and at the second listener only what it is for.
    let status = async |port: u16, path: &str| {
        let url = format!("http://localhost:{port}{path}");
        issuer.http.get(url).send().await.unwrap().status().as_u16()
    };
    assert_eq!(status(ports.http, "/readyz").await, 200);
    assert_eq!(
        status(ports.http, "/oidc/.well-known/openid-configuration").await,
        404
    );
    assert_eq!(status(ports.http, "/api/v1/log").await, 200);
    assert_eq!(status(ports.tls, "/tuf/timestamp.json").await, 200);
    assert_eq!(status(ports.tls, "/ct/v1/get-sth").await, 200);
    assert_eq!(status(ports.tls, "/api/v1/log").await, 404);
    assert_eq!(status(ports.tls, "/readyz").await, 200);
    assert_eq!(served.stop(), Some(0));

    let served = Served::start(token.lend(&mut serve(&file)));
    cosign_works(&issuer, &data, "two");
    assert_eq!(served.stop(), Some(0));
}

#[test]
fn the_logs_are_in_postgresql() {
    let issuer = Stack::ephemeral();
    let server = Server::shared();
    let url = server.url(&server.database());
    let folder = tempfile::tempdir().unwrap();
    let file = configure(folder.path(), &issuer.ready.issuer, &Ports::free(), "");
    let data = folder.path().join("data");
    for name in ["one", "two"] {
        let served = Served::start(serve(&file).env("SIGBOX_SERVE_STORAGE", &url));
        cosign_works(&issuer, &data, name);
        assert_eq!(served.stop(), Some(0));
    }
    assert!(!data.join("sigbox.db").exists());
}

#[test]
fn a_slip_in_the_file_or_the_environment_is_named_before_anything_is_made() {
    let folder = tempfile::tempdir().unwrap();
    let file = configure(
        folder.path(),
        "http://localhost:1/oidc",
        &Ports::free(),
        "[limits]\nper-clinet = '5'\n",
    );
    let ran = refused(&mut serve(&file));
    assert!(
        ran.stderr.contains("did you mean `per-client`?"),
        "{}",
        ran.stderr
    );
    let file = configure(folder.path(), "http://localhost:1/oidc", &Ports::free(), "");
    let ran = refused(serve(&file).env("SIGBOX_SERVE_STORGE", "sqlite"));
    assert!(ran.stderr.contains("did you mean `storage`?"), "{}", ran.stderr);
    assert!(!folder.path().join("data").exists());
}
