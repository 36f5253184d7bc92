//! Services of one instance in several processes, on hosts of their own: each opens what it signs with and nothing else, and
//! to the official clients they are one.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;
use tests::clients::{Cosign, Python};
use tests::stack::{Ports, Stack};
use tests::{ok, refused, sigbox};

use crate::serve::{Served, serve};

const WHO: &str = "dev@example.com";

/// A configuration of a process at `folder/NAME`.
fn configure(folder: &Path, name: &str, metrics: u16, text: &str) -> PathBuf {
    let file = folder.join(format!("{name}.toml"));
    let data = folder.join(name);
    // What belongs to no table comes first.
    let text = format!(
        "data = '{}'\nmetrics = 'localhost:{metrics}'\n{text}",
        data.display()
    );
    std::fs::write(&file, text).unwrap();
    file
}

fn keys(command: &str, data: &Path) -> Command {
    let mut keys = Command::new(sigbox());
    keys.args(["keys", command, "--data"]).arg(data);
    keys
}

/// The files of private keys.
fn private(data: &Path) -> Vec<String> {
    let names = std::fs::read_dir(data.join("keys")).unwrap();
    let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<_> = names.filter(|name| name.ends_with(".pem")).collect();
    names.sort();
    names
}

/// A key that another process uses may be out of reach: here it leaves a trace when anybody as much as asks for it.
#[test]
fn a_process_opens_the_keys_and_the_store_of_its_services_alone() {
    let folder = tempfile::tempdir().unwrap();
    let (data, trace) = (folder.path().join("all"), folder.path().join("trace"));
    ok(keys("init", &data).args(["--public-url", "http://localhost:3000"]));
    let snare = folder.path().join("snare");
    let script = format!("#!/bin/sh\necho \"$@\" >> {}\nexit 1\n", trace.display());
    std::fs::write(&snare, script).unwrap();
    ok(Command::new("chmod").arg("755").arg(&snare));
    let registry = data.join("keys/registry.json");
    let mut text: Value = serde_json::from_slice(&std::fs::read(&registry).unwrap()).unwrap();
    for key in text["keys"].as_array_mut().unwrap() {
        if key["role"] != "rekor-v2" {
            key["signer"] = format!("exec:{}?key={}", snare.display(), key["id"].as_str().unwrap()).into();
        }
    }
    std::fs::write(&registry, text.to_string()).unwrap();

    let ports = Ports::free();
    let listen = |services: &str| {
        let text = format!(
            "url = 'http://localhost:3000'\n[[listen]]\naddress = 'localhost:{}'\nservices = [{services}]\n",
            ports.http
        );
        configure(folder.path(), "all", ports.metrics, &text)
    };
    // Ready means that it logged a canary.
    let served = Served::start(&mut serve(&listen("'rekor-v2'")));
    assert_eq!(served.stop(), Some(0));
    assert!(!trace.exists(), "{}", std::fs::read_to_string(&trace).unwrap());
    assert!(!data.join("tuf").exists() && !data.join("trust").exists());
    // With one service more the snare is found.
    let said = refused(&mut serve(&listen("'rekor-v2', 'tsa'")));
    assert!(said.text().contains("tsa-1") && trace.exists(), "{}", said.text());

    // Without a log there is no store. Keys are made for the service that there is.
    let ports = Ports::free();
    let text = format!(
        "url = 'http://localhost:3000'\n[[listen]]\naddress = 'localhost:{}'\nservices = ['tsa']\n[keys]\n\
         fulcio-ca = 'exec:{snare}'\nct-log = 'exec:{snare}'\n",
        ports.http,
        snare = snare.display()
    );
    std::fs::remove_file(&trace).unwrap();
    let file = configure(folder.path(), "stamps", ports.metrics, &text);
    let said = ok(serve(&file).arg("--check")).stdout;
    assert!(
        said.contains("none is opened") && !said.contains("ct-log"),
        "{said}"
    );
    let served = Served::start(&mut serve(&file));
    assert_eq!(served.stop(), Some(0));
    let data = folder.path().join("stamps");
    assert_eq!(
        private(&data),
        ["tsa-1.pem", "tsa-intermediate-1.pem", "tsa-root-1.pem"]
    );
    assert!(!trace.exists() && !data.join("sigbox.db").exists());
}

/// An authority, and certificates of it for the two names that this machine has.
const CERTIFICATES: &str = r"
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout ca.key -out ca.pem -days 2 -subj /CN=story \
    -addext keyUsage=critical,keyCertSign
for name in DNS:localhost IP:127.0.0.1; do
    file=${name#*:}
    openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout $file.key -out $file.csr -subj /CN=$file
    printf 'subjectAltName=%s\nsubjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\n' $name > ext
    openssl x509 -req -in $file.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile ext -out $file.pem
done
";

/// Certificates and trust in one process, entries and timestamps in another, three listeners with certificates of their own:
/// cosign and sigstore-python start from the trust repository and find everything.
#[tokio::test(flavor = "multi_thread")]
async fn two_processes_on_hosts_of_their_own_are_one_instance() {
    let issuer = Stack::ephemeral();
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    ok(Command::new("bash").args(["-euc", CERTIFICATES]).current_dir(at));
    let (one, two) = (Ports::free(), Ports::free());
    let listen = |host: &str, port: u16, services: &str| {
        let tls = at.join(host).display().to_string();
        format!(
            "[[listen]]\naddress = '{host}:{port}'\nservices = [{services}]\ntls-certificate = '{tls}.pem'\n\
             tls-key = '{tls}.key'\n"
        )
    };
    let logging = |services: &str| {
        let text = format!(
            "url = 'https://127.0.0.1:{}'\n{}{}[urls]\ntsa = 'https://localhost:{}'\n\
             trust = 'https://localhost:{}'\n",
            two.http,
            listen("127.0.0.1", two.http, services),
            listen("localhost", two.tls, "'tsa'"),
            two.tls,
            one.http,
        );
        configure(at, "logging", two.metrics, &text)
    };
    let (logs, certificates) = (at.join("logging"), at.join("issuing"));
    let authority = at.join("ca.pem");
    let start = |file: &Path| Served::start(serve(file).env("SSL_CERT_FILE", &authority));
    let served_logs = start(&logging("'rekor-v2'"));
    let exported = at.join("logging-keys.json");
    let export = || std::fs::write(&exported, ok(&mut keys("export", &logs)).stdout).unwrap();
    let identities = at.join("fulcio.yaml");
    let issuers = format!(
        "oidc-issuers:\n  {0}:\n    issuer-url: {0}\n    client-id: sigstore\n    type: email\n",
        issuer.ready.issuer
    );
    std::fs::write(&identities, issuers).unwrap();
    let text = format!(
        "url = 'https://localhost:{}'\nfulcio-config = '{}'\n{}[trust]\nkeys = ['{}']\n",
        one.http,
        identities.display(),
        listen("localhost", one.http, "'fulcio', 'ct', 'trust'"),
        exported.display()
    );
    let file = configure(at, "issuing", one.metrics, &text);
    let early = refused(&mut serve(&file)).text();
    assert!(early.contains("sigbox keys export"), "{early}");
    export();
    assert!(!std::fs::read_to_string(&exported).unwrap().contains("file:"));
    let served = Served::start(&mut serve(&file));

    // No private key, and nothing else, is in two places.
    assert!(private(&certificates).iter().all(|name| {
        ["ct-log-", "fulcio-", "tuf-"]
            .iter()
            .any(|own| name.starts_with(own))
    }));
    assert!(
        private(&logs)
            .iter()
            .all(|name| name.starts_with("rekor-v2-") || name.starts_with("tsa-"))
    );
    assert!(!logs.join("tuf").exists());

    let trusting = |mut command: Command| {
        command
            .env("SSL_CERT_FILE", &authority)
            .env("REQUESTS_CA_BUNDLE", &authority);
        command
    };
    let mirror = format!("https://localhost:{}/tuf", one.http);
    let root = certificates.join("trust/root.json");
    let (cosign, python) = (Cosign::initialize(&issuer), Python::trust_instance(&issuer));
    let cosign = || trusting(cosign.command());
    let python = || {
        let mut command = trusting(python.command());
        command.args(["--instance", &mirror]);
        command
    };
    ok(cosign()
        .args(["initialize", "--mirror", &mirror, "--root"])
        .arg(&root));
    ok(python().arg("trust-instance").arg(&root));
    let artifact = issuer.file("separate.txt", "signed here and logged there");
    let sign = |client: &str| {
        let bundle = issuer.path(&format!("{client}.separate.json"));
        let mut command = match client {
            "cosign" => cosign(),
            _ => python(),
        };
        match client {
            "cosign" => command.args(["sign-blob", "--yes"]),
            _ => command.args(["sign", "--overwrite"]),
        };
        command
            .args(["--identity-token", &issuer.token(WHO), "--bundle"])
            .arg(&bundle);
        ok(command.arg(&artifact));
        bundle
    };
    let verify = |bundle: &Path| {
        let mut command = cosign();
        command.args([
            "verify-blob",
            "--certificate-identity",
            WHO,
            "--certificate-oidc-issuer",
        ]);
        command.arg(&issuer.ready.issuer).arg("--bundle").arg(bundle);
        ok(command.arg(&artifact));
        let mut command = python();
        command.args(["verify", "identity", "--cert-identity", WHO, "--cert-oidc-issuer"]);
        command.arg(&issuer.ready.issuer).arg("--bundle").arg(bundle);
        ok(command.arg(&artifact));
    };
    let kind = |bundle: &Path| {
        let bundle: Value = serde_json::from_slice(&std::fs::read(bundle).unwrap()).unwrap();
        let entry = &bundle["verificationMaterial"]["tlogEntries"][0];
        entry["kindVersion"]["version"].as_str().unwrap().to_owned()
    };
    let bundles = ["cosign", "python"].map(sign);
    for bundle in &bundles {
        assert_eq!(kind(bundle), "0.0.2", "Rekor v2 is all there is");
        verify(bundle);
    }
    // The lines for clients name each service where it is.
    let client = reqwest::Client::builder()
        .add_root_certificate(reqwest::Certificate::from_pem(&std::fs::read(&authority).unwrap()).unwrap())
        .build()
        .unwrap();
    let get = async |url: String| {
        let answer = client.get(url).send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    };
    let (_, lines) = get(format!("https://localhost:{}/setup/js", one.http)).await;
    assert!(
        lines.contains(&format!("--rekor-url https://127.0.0.1:{}", two.http))
            && lines.contains(&format!("--tsa-server-url https://localhost:{} ", two.tls)),
        "{lines}"
    );
    for (port, path) in [(one.http, "/api/v2/checkpoint"), (two.tls, "/api/v2/trustBundle")] {
        assert_eq!(
            get(format!("https://localhost:{port}{path}")).await.0,
            404,
            "{path}"
        );
    }

    let doctor = || {
        let url = format!("https://localhost:{}", one.http);
        let mut doctor = Command::new(sigbox());
        doctor.args(["doctor", "--url", &url, "--identity-token", &issuer.token(WHO)]);
        ok(doctor.env("SSL_CERT_FILE", &authority)).text()
    };
    let said = doctor();
    assert!(said.contains("Rekor v2") && !said.contains("Rekor v1"), "{said}");

    // A service that the other process takes on later is published while this one runs.
    assert_eq!(served_logs.stop(), Some(0));
    let served_logs = start(&logging("'rekor-v1', 'rekor-v2'"));
    export();
    let began = Instant::now();
    let config = async || {
        get(format!(
            "https://localhost:{}/trust/signing_config.v0.2.json",
            one.http
        ))
        .await
        .1
    };
    let version = |config: &str| {
        let config: Value = serde_json::from_str(config).unwrap();
        config["rekorTlogUrls"][0]["majorApiVersion"].clone()
    };
    while version(&config().await) != 1 {
        assert!(began.elapsed() < Duration::from_secs(60), "{}", config().await);
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    // What would take back what was published changes nothing.
    std::fs::write(
        &exported,
        std::fs::read(certificates.join("keys/registry.json")).unwrap(),
    )
    .unwrap();
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert!(config().await.contains("127.0.0.1"));
    ok(cosign()
        .args(["initialize", "--mirror", &mirror, "--root"])
        .arg(&root));
    let bundle = sign("cosign");
    assert_eq!(kind(&bundle), "0.0.1");
    for bundle in bundles.iter().chain([&bundle]) {
        verify(bundle);
    }

    // A new key waits until the other process publishes it, which it sees there.
    let rotate = |rest: &[&str]| {
        let mut command = Command::new(sigbox());
        ok(command
            .args(["rotate", "tsa"])
            .args(rest)
            .arg("--data")
            .arg(&logs))
        .text()
    };
    let said = rotate(&["--propagate", "1s"]);
    assert!(
        said.contains("tsa-2 is registered") && said.contains("sigbox keys export"),
        "{said}"
    );
    tokio::time::sleep(Duration::from_secs(6)).await;
    assert!(rotate(&["--status"]).contains("once it is published"));
    export();
    let began = Instant::now();
    while !rotate(&["--status"]).contains("no key is on its way") {
        assert!(
            began.elapsed() < Duration::from_secs(60),
            "{}",
            rotate(&["--status"])
        );
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    export();
    // The end of the old one is published in the files, and then in the repository.
    let root = async || {
        get(format!("https://localhost:{}/trust/trusted_root.json", one.http))
            .await
            .1
    };
    let ended = |root: &str| {
        let root: Value = serde_json::from_str(root).unwrap();
        root["timestampAuthorities"][0]["validFor"]["end"].is_string()
    };
    let began = Instant::now();
    while !ended(&root().await) {
        assert!(began.elapsed() < Duration::from_secs(60), "{}", root().await);
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert!(doctor().contains("Rekor v1"));
    let bundle = sign("python");
    for bundle in bundles.iter().chain([&bundle]) {
        verify(bundle);
    }
    assert_eq!(served_logs.stop(), Some(0));
    assert_eq!(served.stop(), Some(0));
}
