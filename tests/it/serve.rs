//! `serve`: real issuers, chosen services at each listener, every key on a token, logs in SQLite and in PostgreSQL.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use common_pki::cert::{CaProfile, Certificate, Serial, TbsCertificate, distinguished_name, empty_name, ext};
use common_pki::cert::{intermediate, self_signed_root};
use common_pki::key::{KeyAlgorithm, LocalSigner, Signer as _};
use common_pki::oid;
use serde_json::Value;
use tests::clients::{Cosign, ctclient};
use tests::postgres::Server;
use tests::softhsm::{Token, private_keys};
use tests::stack::{Ports, Stack, signal};
use tests::vault::{Mood, Vault};
use tests::{ok, refused, sigbox, tool};

const WHO: &str = "dev@example.com";

/// A running `sigbox serve`.
pub(crate) struct Served {
    child: Child,
    ready: Value,
}

impl Served {
    pub(crate) fn start(command: &mut Command) -> Self {
        let mut child = command.arg("--json").stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        let ready = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{line:?}: {error}"));
        Self { child, ready }
    }

    pub(crate) fn url(&self) -> &str {
        self.ready["url"].as_str().unwrap()
    }

    pub(crate) fn stop(mut self) -> Option<i32> {
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
pub(crate) fn configure(folder: &Path, issuer: &str, ports: &Ports, rest: &str) -> PathBuf {
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

pub(crate) fn serve(file: &Path) -> Command {
    let mut command = Command::new(sigbox());
    command.arg("serve").arg("--config").arg(file);
    command
}

/// cosign signs and verifies against the instance whose trust is in `data`.
pub(crate) fn cosign_works(issuer: &Stack, data: &Path, name: &str) {
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
    cosign_verifies(issuer, data, name);
}

/// cosign verifies what `cosign_works` made under that name.
pub(crate) fn cosign_verifies(issuer: &Stack, data: &Path, name: &str) {
    ok(Cosign::initialize(issuer)
        .verify_blob(&issuer.path(&format!("{name}.json")), WHO, &issuer.path(name))
        .arg("--trusted-root")
        .arg(data.join("trust/trusted_root.json")));
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

/// `serve` has no development issuer: whoever watches it brings a token of an issuer that it knows.
#[test]
fn doctor_watches_with_a_token_that_is_given() {
    let issuer = Stack::ephemeral();
    let folder = tempfile::tempdir().unwrap();
    let ports = Ports::free();
    let file = configure(folder.path(), &issuer.ready.issuer, &ports, "");
    let served = Served::start(&mut serve(&file));
    let url = format!("http://localhost:{}", ports.http);
    let (token, metrics) = (folder.path().join("token"), folder.path().join("canary.prom"));
    std::fs::write(&token, issuer.token(WHO)).unwrap();
    let doctor = |watch: &[&str]| {
        let mut command = Command::new(sigbox());
        command.args(["doctor", "--url", &url, "--identity-token"]);
        command.arg(&token).arg("--metrics").arg(&metrics).args(watch);
        command
    };
    let said = ok(&mut doctor(&[])).text();
    assert!(said.contains("Everything works") && said.contains(WHO), "{said}");
    let sound = |link: &str| {
        let text = std::fs::read_to_string(&metrics).unwrap();
        let line = format!("sigbox_canary_link_sound{{link=\"{link}\"}} ");
        let line = text.lines().find_map(|one| one.strip_prefix(&line));
        line.unwrap_or_else(|| panic!("no {link} in {text}")) == "1"
    };
    let links = ["tuf", "oidc", "fulcio", "ct", "tsa", "rekor-v1", "rekor-v2"];
    assert!(links.iter().all(|link| sound(link)));
    // Without one it says what is missing, and a token for another audience is the authority's to refuse.
    let without = refused(Command::new(sigbox()).args(["doctor", "--url", &url]));
    assert!(without.text().contains("--identity-token"), "{}", without.text());

    let mut watching = doctor(&["--watch", "5"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let until = |what: &str, link: &str, wanted: bool| {
        let began = std::time::Instant::now();
        while sound(link) != wanted {
            assert!(began.elapsed() < std::time::Duration::from_secs(60), "{what}");
            std::thread::sleep(std::time::Duration::from_millis(200));
        }
    };
    std::fs::write(&token, "no token").unwrap();
    until("a token that is none is found at the next look", "oidc", false);
    assert!(sound("tuf") && sound("tsa") && !sound("fulcio") && !sound("rekor-v2"));
    std::fs::write(&token, issuer.token(WHO)).unwrap();
    until("and the next one", "rekor-v2", true);
    assert_eq!(served.stop(), Some(0));
    until("a server that is gone is found too", "tuf", false);
    watching.kill().unwrap();
    watching.wait().unwrap();
}

/// Ready means that a canary has passed, and it goes on being sent; what it finds is in the metrics. Its issuer is its own:
/// nobody else has a key for it.
#[tokio::test(flavor = "multi_thread")]
async fn a_canary_passes_before_it_is_ready_and_again_at_intervals() {
    let issuer = Stack::ephemeral();
    let vault = Vault::start(&[("stamps", KeyAlgorithm::EcdsaP256)]);
    let folder = tempfile::tempdir().unwrap();
    let ports = Ports::free();
    let file = configure(
        folder.path(),
        &issuer.ready.issuer,
        &ports,
        "[keys]\ntsa = 'hashivault://stamps'\n",
    );
    let served = Served::start(vault.lend(serve(&file).env("SIGBOX_SERVE_CANARY_EVERY", "1s")));
    let get = async |port: u16, path: &str| {
        let url = format!("http://localhost:{port}{path}");
        let answer = issuer.http.get(url).send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    };
    let sound = async |link: &str| {
        let text = get(ports.metrics, "/metrics").await.1;
        let line = format!("sigbox_canary_link_sound{{link=\"{link}\"}} ");
        let line = text.lines().find_map(|one| one.strip_prefix(&line));
        line.unwrap_or_else(|| panic!("no {link} in {text}")) == "1"
    };
    assert_eq!(get(ports.http, "/readyz").await.0, 200);
    for link in ["tuf", "oidc", "fulcio", "ct", "tsa", "rekor-v1", "rekor-v2"] {
        assert!(sound(link).await, "{link}");
    }
    let until = async |link: &str, wanted: bool| {
        let began = std::time::Instant::now();
        while sound(link).await != wanted {
            assert!(
                began.elapsed() < std::time::Duration::from_secs(60),
                "{link} is not {wanted}"
            );
            tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        }
    };
    vault.set("stamps", Mood::Sealed);
    until("tsa", false).await;
    assert!(!sound("rekor-v2").await && sound("rekor-v1").await && sound("fulcio").await);
    // Others still have their certificates and entries.
    assert_eq!(get(ports.http, "/readyz").await.0, 200);
    vault.set("stamps", Mood::Sound);
    until("rekor-v2", true).await;
    assert_eq!(served.stop(), Some(0));

    // Where it cannot pass, the instance is served and not ready; with the key it becomes so.
    vault.set("stamps", Mood::Sealed);
    let mut child = vault
        .lend(&mut serve(&file))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let ready = async || {
        let url = format!("http://localhost:{}/readyz", ports.http);
        issuer
            .http
            .get(url)
            .send()
            .await
            .ok()
            .map(|answer| answer.status().as_u16())
    };
    let until = async |wanted: u16| {
        let began = std::time::Instant::now();
        while ready().await != Some(wanted) {
            assert!(
                began.elapsed() < std::time::Duration::from_secs(60),
                "/readyz is not {wanted}"
            );
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
    };
    until(503).await;
    tokio::time::sleep(std::time::Duration::from_secs(6)).await;
    assert_eq!(ready().await, Some(503));
    vault.set("stamps", Mood::Sound);
    until(200).await;
    signal(child.id(), "TERM");
    assert!(child.wait().unwrap().success());
}

/// `/setup` speaks of the operator's issuer and certificates, not of a development issuer that is not there.
#[tokio::test(flavor = "multi_thread")]
async fn the_lines_for_clients_work_as_printed_with_a_token_of_the_operators_issuer() {
    let issuer = Stack::ephemeral();
    let folder = tempfile::tempdir().unwrap();
    let ports = Ports::free();
    let file = configure(folder.path(), &issuer.ready.issuer, &ports, "");
    let served = Served::start(&mut serve(&file));
    let url = format!("http://localhost:{}", ports.http);
    let printed = ok(Command::new(sigbox()).args(["client-setup", "cosign", "--url", &url])).stdout;
    let paste = |token: Option<&str>| {
        let mut shell = Command::new("bash");
        shell
            .args(["-euo", "pipefail", "-c", &printed])
            .current_dir(folder.path());
        let tools = tool("cosign");
        let path = format!("{}:/usr/bin:/bin", tools.parent().unwrap().display());
        shell.env_clear().env("PATH", path).env("HOME", folder.path());
        shell.envs(token.map(|token| ("SIGSTORE_ID_TOKEN", token)));
        shell
    };
    let said = ok(&mut paste(Some(&issuer.token(WHO)))).text();
    assert!(said.contains("Verified OK"), "{said}");
    let without = refused(&mut paste(None)).text();
    assert!(
        without.contains(&format!("expected a token of {}", issuer.ready.issuer)),
        "{without}"
    );
    for (port, status) in [(ports.http, 200), (ports.tls, 200)] {
        let answer = issuer
            .http
            .get(format!("http://localhost:{port}/setup/java"))
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status().as_u16(), status);
        let lines = answer.text().await.unwrap();
        assert!(
            !lines.contains("tls-ca.pem") && !lines.contains(&format!("{url}/oidc")),
            "{lines}"
        );
    }
    assert_eq!(served.stop(), Some(0));
}

/// The chain of an authority that is none of ours, PEM, the precertificate first.
fn outside_chain(serial: u8) -> Vec<String> {
    let key = |algorithm| LocalSigner::generate(algorithm).unwrap().0;
    let profile = |name: &str, serial: u8| CaProfile {
        subject: distinguished_name("outside", name),
        serial: Serial::new(&[serial]).unwrap(),
        not_before: 1_700_000_000,
        not_after: 2_000_000_000,
    };
    let (root_key, issuing, holder) = (
        key(KeyAlgorithm::EcdsaP384),
        key(KeyAlgorithm::EcdsaP256),
        key(KeyAlgorithm::EcdsaP256),
    );
    let root = self_signed_root(profile("root", 1), &root_key).unwrap();
    let issuer = intermediate(
        profile("issuer", 2),
        issuing.public_key(),
        &oid::CODE_SIGNING,
        &root,
        &root_key,
    );
    let issuer = issuer.unwrap();
    let tbs = TbsCertificate {
        serial: Serial::new(&[serial]).unwrap(),
        issuer: issuer.subject_der().to_vec(),
        not_before: 1_790_000_000,
        not_after: 1_790_000_600,
        subject: empty_name(),
        extensions: vec![
            ext::digital_signature(),
            ext::extended_key_usage(&oid::CODE_SIGNING, false),
        ],
        key: holder.public_key().clone(),
    };
    let precertificate = tbs.sign_precertificate(&issuing).unwrap();
    [precertificate, issuer, root]
        .iter()
        .map(Certificate::to_pem)
        .collect()
}

/// RFC 6962 §4.2 by its own client: off by default, and where it is on for authorities whose roots are listed.
#[test]
fn an_outside_authority_logs_precertificates_with_the_official_client() {
    let issuer = Stack::ephemeral();
    let folder = tempfile::tempdir().unwrap();
    let (ours, others) = (outside_chain(7), outside_chain(8));
    let root = folder.path().join("outside-root.pem");
    std::fs::write(&root, &ours[2]).unwrap();
    let rest = format!("[ct]\nsubmission = true\nroots = ['{}']\n", root.display());
    let ports = Ports::free();
    let file = configure(folder.path(), &issuer.ready.issuer, &ports, &rest);
    let served = Served::start(&mut serve(&file));
    let trust = std::fs::read(folder.path().join("data/trust/trusted_root.json")).unwrap();
    let trust: Value = serde_json::from_slice(&trust).unwrap();
    let spki = trust["ctlogs"][0]["publicKey"]["rawBytes"].as_str().unwrap();
    let pem = format!("-----BEGIN PUBLIC KEY-----\n{spki}\n-----END PUBLIC KEY-----\n");
    let key = issuer.file("outside-ct.pub", pem);
    let upload = |url: &str, name: &str, chain: &[String]| {
        let chain = issuer.file(name, chain.concat());
        let mut client = ctclient(&issuer, "upload");
        client
            .args(["--log_uri", url, "--pub_key"])
            .arg(&key)
            .arg("--cert_chain")
            .arg(chain);
        client
    };
    let url = format!("http://localhost:{}", ports.http);
    // With the key it verifies the timestamp that it gets.
    let said = ok(&mut upload(&url, "ours.pem", &ours)).text();
    assert!(
        said.contains("Uploading pre-certificate") && said.contains("Uploaded chain of 3 certs"),
        "{said}"
    );
    let refused_for = |url: &str, name: &str, chain: &[String], why: &str| {
        let said = refused(&mut upload(url, name, chain)).text();
        assert!(said.contains(why), "{said}");
    };
    refused_for(&url, "others.pem", &others, "400");
    refused_for(&issuer.ready.url, "off.pem", &ours, "403");
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

/// Refusals and pseudonyms are where the logs are, and commands find them by the same configuration.
#[test]
fn what_is_kept_of_identities_is_in_postgresql() {
    let issuer = Stack::ephemeral();
    let server = Server::shared();
    let url = server.url(&server.database());
    let folder = tempfile::tempdir().unwrap();
    let file = configure(folder.path(), &issuer.ready.issuer, &Ports::free(), "");
    let identities = format!(
        "oidc-issuers:\n  {}:\n    preset: keycloak\n    privacy: {{pseudonym: true}}\n    \
         policy: {{allow: [{{name: ours, claims: {{email: '*@example.com'}}}}]}}\n",
        issuer.ready.issuer
    );
    std::fs::write(folder.path().join("fulcio.yaml"), identities).unwrap();
    let command = |args: &[&str]| {
        let mut command = Command::new(sigbox());
        command.args(args).arg("--config").arg(&file);
        command.env("SIGBOX_SERVE_STORAGE", &url);
        command
    };
    let served = Served::start(serve(&file).env("SIGBOX_SERVE_STORAGE", &url));
    let sign = |who: &str| {
        let mut command = Command::new(sigbox());
        let at = served.url();
        command.args([
            "sign",
            "--url",
            at,
            "--identity-token",
            &issuer.token(who),
            "--bundle",
        ]);
        command
            .arg(issuer.path("bundle"))
            .arg(issuer.file("artifact", who));
        command
    };
    refused(&mut sign("x@evil.example"));
    ok(&mut sign(WHO));
    // What was refused is written before the end.
    assert_eq!(served.stop(), Some(0));
    let denials = ok(&mut command(&["policy", "denials", "--json"]));
    assert!(
        denials.stdout.contains("x@evil.example") && denials.stdout.lines().count() == 1,
        "{}",
        denials.text()
    );
    let found: Value =
        serde_json::from_str(&ok(&mut command(&["identities", "find", WHO, "--json"])).stdout).unwrap();
    let pseudonym = found["pseudonym"].as_str().unwrap();
    ok(&mut command(&["identities", "forget", pseudonym]));
    refused(&mut command(&["identities", "show", pseudonym]));
    assert!(!folder.path().join("data/records.db").exists());
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

/// What `up` has as flags: a kind that is switched off is refused, and whoever is named is told of each new entry.
#[tokio::test(flavor = "multi_thread")]
async fn rekor_v1_takes_what_the_file_says_and_tells_of_it() {
    let issuer = Stack::ephemeral();
    let receiver = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let at = receiver.local_addr().unwrap();
    let told = std::thread::spawn(move || {
        use std::io::{Read as _, Write as _};
        let (mut peer, _) = receiver.accept().unwrap();
        let (mut said, mut part) = (String::new(), [0; 4096]);
        while !said.contains("dev.sigstore.rekor.events.v1.NewEntry") {
            let read = peer.read(&mut part).unwrap();
            assert_ne!(read, 0, "{said}");
            said.push_str(&String::from_utf8_lossy(&part[..read]));
        }
        peer.write_all(b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n")
            .unwrap();
        said
    });
    let folder = tempfile::tempdir().unwrap();
    let ports = Ports::free();
    let rest = format!("[rekor-v1]\nkinds = 'hashedrekord'\nwebhook = 'http://{at}/new'\n");
    let file = configure(folder.path(), &issuer.ready.issuer, &ports, &rest);
    let served = Served::start(&mut serve(&file));
    // The canary at the start was an entry.
    let said = told.join().unwrap();
    assert!(
        said.starts_with("POST /new ") && said.contains("application/cloudevents+json"),
        "{said}"
    );
    let answer = issuer
        .http
        .post(format!("http://localhost:{}/api/v1/log/entries", ports.http))
        .header("content-type", "application/json")
        .body(r#"{"kind": "intoto", "apiVersion": "0.0.2", "spec": {}}"#)
        .send()
        .await
        .unwrap();
    let (status, text) = (answer.status().as_u16(), answer.text().await.unwrap());
    assert!(status == 400 && text.contains("intoto"), "{status} {text}");
    assert_eq!(served.stop(), Some(0));
}
