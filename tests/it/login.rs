//! Signing in as people do: the official clients open a browser, or name a page to open elsewhere, and Chromium answers the
//! development issuer's question.

mod ours;

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde::Deserialize;
use serde_json::json;
use tests::clients::{Content, Cosign, JsCli, Python};
use tests::stack::Stack;
use tests::{ok, refused, tool};

const WHO: &str = "carol@example.com";
/// A browser takes a while on a busy machine.
const LIMIT: Duration = Duration::from_secs(90);

/// What the person saw in the end: `tests/clients/js/browser.mjs`.
#[derive(Debug, Deserialize)]
struct Seen {
    url: String,
    title: String,
    text: String,
    complaints: Vec<String>,
}

/// Somebody who signs in as [`WHO`] wherever a page opens.
struct Person {
    folder: PathBuf,
}

impl Person {
    fn at(stack: &Stack) -> Self {
        let folder = stack.path("person");
        std::fs::create_dir_all(&folder).unwrap();
        let person = Self { folder };
        // As xdg-open does, it returns while the browser goes on.
        let script = format!(
            "#!/bin/sh\n{} \"$1\" {WHO} {folder} > {folder}/seen.part 2>&1 && mv {folder}/seen.part {folder}/seen &\n",
            Self::program().display(),
            folder = person.folder.display(),
        );
        std::fs::write(person.browser(), script).unwrap();
        std::fs::set_permissions(person.browser(), std::fs::Permissions::from_mode(0o755)).unwrap();
        person
    }

    fn program() -> PathBuf {
        tool("client-js/browser.mjs")
    }

    fn browser(&self) -> PathBuf {
        self.folder.join("xdg-open")
    }

    /// Lets a client find the browser by both ways that clients look for one.
    fn sits_before(&self, client: &mut Command) {
        client.env("PATH", format!("{}:/usr/bin:/bin", self.folder.display()));
        client.env("BROWSER", self.browser());
    }

    /// What the browser that a client opened showed in the end.
    fn saw(&self) -> Seen {
        let (seen, start) = (self.folder.join("seen"), Instant::now());
        while !seen.exists() {
            assert!(
                start.elapsed() < LIMIT,
                "{:?}",
                std::fs::read_to_string(self.folder.join("seen.part"))
            );
            std::thread::sleep(Duration::from_millis(100));
        }
        let line = std::fs::read_to_string(&seen).unwrap();
        std::fs::remove_file(&seen).unwrap();
        Self::content(&line)
    }

    /// Opens a page that a client named.
    fn opens(&self, url: &str) -> Seen {
        Self::content(&ok(Command::new(Self::program()).args([url, WHO]).arg(&self.folder)).stdout)
    }

    fn content(line: &str) -> Seen {
        let seen: Seen = serde_json::from_str(line.trim()).unwrap_or_else(|e| panic!("{e}: {line}"));
        assert!(seen.complaints.is_empty(), "{seen:?}");
        seen
    }
}

/// The first line of a client's output that has an address of the instance in it.
fn line_with(url: &str, output: &mut impl std::io::BufRead) -> String {
    output
        .lines()
        .map(Result::unwrap)
        .find(|line| line.contains(url))
        .expect("a client names the page")
}

fn address(line: &str) -> &str {
    line.split_whitespace()
        .find(|word| word.starts_with("http://"))
        .unwrap()
}

/// The code of the page for those without a way back, which is on a line of its own.
fn shown_code(seen: &Seen) -> &str {
    assert!(seen.title.starts_with("Your code"), "{seen:?}");
    let mut lines = seen.text.lines().map(str::trim);
    lines
        .find(|line| line.len() >= 40 && !line.contains(' '))
        .unwrap()
}

fn ended_well(mut client: Child) {
    assert!(client.wait().unwrap().success());
}

#[test]
fn cosign_opens_a_browser() {
    let stack = Stack::ephemeral();
    let (cosign, person) = (Cosign::initialize(&stack), Person::at(&stack));
    let (artifact, bundle) = (stack.file("artifact", "mine"), stack.path("bundle.json"));
    let mut sign = cosign.command();
    sign.args(["sign-blob", "--yes", "--fulcio-auth-flow", "normal", "--bundle"])
        .arg(&bundle)
        .arg(&artifact);
    person.sits_before(&mut sign);
    ok(&mut sign);
    let seen = person.saw();
    assert!(
        seen.text.contains("successful") && seen.url.contains("/auth/callback?code="),
        "{seen:?}"
    );
    ok(&mut cosign.verify_blob(&bundle, WHO, &artifact));
    refused(&mut cosign.verify_blob(&bundle, "dev@example.com", &artifact));
}

#[test]
fn sigstore_python_opens_a_browser() {
    let stack = Stack::ephemeral();
    let (python, person) = (Python::trust_instance(&stack), Person::at(&stack));
    let (artifact, bundle) = (stack.file("artifact", "mine"), stack.path("bundle.json"));
    let mut sign = python.command();
    sign.args(["sign", "--bundle"]).arg(&bundle).arg(&artifact);
    person.sits_before(&mut sign);
    ok(&mut sign);
    assert!(person.saw().text.contains("successful"));
    ok(&mut python.verify(&bundle, WHO, &artifact));
}

#[test]
fn sigstore_js_opens_a_browser() {
    let stack = Stack::ephemeral();
    let (js, person) = (JsCli::initialize(&stack), Person::at(&stack));
    let artifact = stack.file("artifact", "mine");
    let statement = stack.file("statement.json", statement(&artifact));
    let bundle = stack.path("bundle.json");
    let mut attest = js.attest(&statement, &bundle);
    attest.args(["--oidc-issuer", &stack.ready.issuer]);
    person.sits_before(&mut attest);
    ok(&mut attest);
    assert!(person.saw().text.contains("successful"));
    ok(&mut js.verify(Content::Statement, &bundle, WHO, &artifact));
}

fn statement(artifact: &Path) -> String {
    let sum = ok(Command::new("sha256sum").arg(artifact)).stdout;
    json!({
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"name": "artifact", "digest": {"sha256": sum.split_whitespace().next().unwrap()}}],
        "predicateType": "https://example.com/greeting/v1",
        "predicate": {},
    })
    .to_string()
}

#[test]
fn cosign_without_a_terminal_names_a_page_for_another_device() {
    let stack = Stack::ephemeral();
    let (cosign, person) = (Cosign::initialize(&stack), Person::at(&stack));
    let (artifact, bundle) = (stack.file("artifact", "mine"), stack.path("bundle.json"));
    let mut sign = cosign.command();
    sign.args(["sign-blob", "--yes", "--bundle"])
        .arg(&bundle)
        .arg(&artifact);
    let mut client = sign.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
    let mut said = BufReader::new(client.stdout.take().unwrap());
    let line = line_with(&stack.ready.issuer, &mut said);
    let seen = person.opens(address(&line));
    assert!(
        seen.title.starts_with("Done") && seen.text.contains(WHO),
        "{seen:?}"
    );
    said.read_to_string(&mut String::new()).unwrap();
    ended_well(client);
    ok(&mut cosign.verify_blob(&bundle, WHO, &artifact));
}

#[test]
fn sigstore_python_takes_the_code_by_hand() {
    let stack = Stack::ephemeral();
    let (python, person) = (Python::trust_instance(&stack), Person::at(&stack));
    let (artifact, bundle) = (stack.file("artifact", "mine"), stack.path("bundle.json"));
    let mut sign = python.command();
    sign.env("PYTHONUNBUFFERED", "1");
    sign.args(["sign", "--oauth-force-oob", "--bundle"])
        .arg(&bundle)
        .arg(&artifact);
    let mut client = sign
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = BufReader::new(client.stderr.take().unwrap());
    let line = line_with(&stack.ready.issuer, &mut said);
    let seen = person.opens(address(&line));
    let code = shown_code(&seen);
    writeln!(client.stdin.take().unwrap(), "{code}").unwrap();
    said.read_to_string(&mut String::new()).unwrap();
    ended_well(client);
    ok(&mut python.verify(&bundle, WHO, &artifact));
}
