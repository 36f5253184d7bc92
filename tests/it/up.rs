//! Starting, stopping, continuing.

use std::io::{BufRead as _, BufReader};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value;
use tests::clients::{Cosign, Rekor};
use tests::stack::{Ports, Stack, up};
use tests::{log, ok, refused, sigbox};

#[tokio::test]
async fn ready_means_that_everything_answers() {
    let stack = Stack::ephemeral();
    for path in [
        "/healthz",
        "/readyz",
        "/ping",
        "/",
        "/api/v1/log",
        "/api/v1/log/publicKey",
        "/api/v1/timestamp/certchain",
        "/api/v2/checkpoint",
        "/checkpoint",
        "/api/v2/trustBundle",
        "/api/v2/configuration",
        "/api/v1/rootCert",
        "/ct/v1/get-sth",
        "/tuf/1.root.json",
        "/tuf/timestamp.json",
        "/trust/root.json",
        "/trust/trusted_root.json",
        "/trust/signing_config.v0.2.json",
        "/trust/signing_config_rekor_v2.v0.2.json",
        "/trust/client_trust_config.json",
        "/oidc/.well-known/openid-configuration",
    ] {
        let status = stack.http.get(stack.url(path)).send().await.unwrap().status();
        assert_eq!(status, 200, "GET {path}");
    }
    let metrics = stack
        .http
        .get(format!("{}/metrics", stack.ready.metrics_url))
        .send()
        .await
        .unwrap();
    assert_eq!(metrics.status(), 200);
    let metrics = metrics.text().await.unwrap();
    assert!(metrics.contains("sigbox_build_info{version=\""), "{metrics}");
    // A missing root must be a real 404, or TUF clients never stop asking (go-tuf updater.go).
    assert_eq!(
        stack
            .http
            .get(stack.url("/tuf/2.root.json"))
            .send()
            .await
            .unwrap()
            .status(),
        404
    );
}

#[tokio::test]
async fn tls_answers_with_the_certificate_of_the_local_authority() {
    let stack = Stack::ephemeral();
    let authority = stack.ready.data_dir.join("tls/ca.pem");
    let pem = std::fs::read(&authority).unwrap_or_else(|e| panic!("{}: {e}", authority.display()));
    let client = reqwest::Client::builder()
        .tls_certs_only([reqwest::Certificate::from_pem(&pem).unwrap()])
        .build()
        .unwrap();
    let answer = client
        .get(format!("{}/healthz", stack.ready.tls_url))
        .send()
        .await
        .unwrap();
    assert_eq!(
        (answer.status(), answer.version()),
        (reqwest::StatusCode::OK, reqwest::Version::HTTP_2)
    );
}

#[test]
fn ephemeral_leaves_nothing_behind() {
    let mut stack = Stack::ephemeral();
    assert!(stack.ready.data_dir.exists());
    assert_eq!(stack.interrupt(), Some(0), "Ctrl-C drains and exits 0");
    assert!(
        !stack.ready.data_dir.exists(),
        "{} is still there",
        stack.ready.data_dir.display()
    );
}

#[tokio::test]
async fn a_second_start_continues_with_the_same_keys_and_logs() {
    let folder = tempfile::tempdir().unwrap();
    let (data, ports) = (folder.path().join("data"), Ports::free());
    let mut first = Stack::at(&data, &ports);
    let artifact = first.file("artifact", "kept across a restart");
    let bundle = Cosign::initialize(&first).sign_blob(Rekor::V1, "dev@example.com", &artifact);
    let head = log::head(&first).await;
    let before = trust(&first).await;
    assert_eq!(first.interrupt(), Some(0), "SIGINT drains and exits 0");
    assert!(
        TcpStream::connect(("127.0.0.1", ports.http)).is_err(),
        "the port is free again"
    );

    let second = Stack::at(&data, &ports);
    assert_eq!(
        trust(&second).await,
        before,
        "trusted root changed over a restart"
    );
    log::consistent(&second, &head, &log::head(&second).await).await;
    ok(&mut Cosign::initialize(&second).verify_blob(&bundle, "dev@example.com", &artifact));
}

async fn trust(stack: &Stack) -> Value {
    log::json(stack, "/trust/trusted_root.json").await
}

#[test]
fn a_second_process_on_the_same_folder_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let _first = Stack::at(&data, &Ports::free());
    let ran = refused(&mut up(&data, &Ports::free()));
    let said = ran.text();
    assert!(said.contains(data.to_str().unwrap()), "names the folder: {said}");
    assert!(
        said.contains("another"),
        "says that another process has it: {said}"
    );
}

#[test]
fn another_interface_is_refused_unless_told_so_in_words() {
    let folder = tempfile::tempdir().unwrap();
    let ports = Ports::free();
    let mut command = Command::new(sigbox());
    command
        .args(["up", "--json", "--data"])
        .arg(folder.path().join("data"));
    command.args(["--listen", &format!("0.0.0.0:{}", ports.http)]);
    command.args(["--tls-listen", &format!("localhost:{}", ports.tls)]);
    command.args(["--metrics-listen", &format!("localhost:{}", ports.metrics)]);
    let said = refused(&mut command).text();
    assert!(said.contains("loopback"), "{said}");
}

#[test]
fn idle_memory_is_small() {
    let stack = Stack::ephemeral();
    std::thread::sleep(Duration::from_secs(1));
    let status = std::fs::read_to_string(format!("/proc/{}/status", stack.ready.pid)).unwrap();
    let line = status.lines().find(|l| l.starts_with("VmRSS:")).unwrap();
    let kib: u64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    assert!(kib <= 80 * 1024, "idle: {} MiB resident, 80 at most", kib / 1024);
}

#[test]
fn up_prints_the_lines_that_client_setup_prints() {
    let folder = tempfile::tempdir().unwrap();
    let ports = Ports::free();
    let mut command = Command::new(sigbox());
    command
        .arg("up")
        .arg("--data")
        .arg(folder.path().join("data"))
        .stderr(Stdio::piped());
    command.args(["--listen", &format!("localhost:{}", ports.http)]);
    command.args(["--tls-listen", &format!("localhost:{}", ports.tls)]);
    command.args(["--metrics-listen", &format!("localhost:{}", ports.metrics)]);
    let mut child = command.spawn().unwrap();
    let mut said = String::new();
    for line in BufReader::new(child.stderr.take().unwrap()).lines() {
        let line = line.unwrap();
        said.push_str(&format!("{line}\n"));
        if line.starts_with("Ctrl-C stops") {
            break;
        }
    }
    let url = format!("http://localhost:{}", ports.http);
    // `doctor` runs these lines of `client-setup` as they are, so they work.
    for client in ["cosign", "python"] {
        let lines = ok(Command::new(sigbox()).args(["client-setup", client, "--url", &url])).stdout;
        for line in lines
            .lines()
            .filter(|l| l.starts_with("cosign ") || l.starts_with("sigstore "))
        {
            let command = line.split("--identity-token").next().unwrap();
            assert!(said.contains(command), "{command}\nis not in\n{said}");
        }
    }
    let _ = Command::new("kill").arg(child.id().to_string()).status();
    assert_eq!(child.wait().unwrap().code(), Some(0));
}
