//! `docs/tutorials`, run as they are written.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use tests::stack::Stack;
use tests::{Ran, ok, run, sigbox, tool};

/// Makes a wheel and a source distribution of a package that greets. Both are archives with a few files: no build tool is
/// needed for them, and none is downloaded.
const BUILD: &str = r#"
import base64, hashlib, io, os, tarfile, zipfile
os.makedirs("dist")
code = b"def greet():\n    print('hello from a verified package')\n"
meta = b"Metadata-Version: 2.1\nName: hello\nVersion: 1.0\n"
files = {
    "hello.py": code,
    "hello-1.0.dist-info/METADATA": meta,
    "hello-1.0.dist-info/WHEEL": b"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
}
digest = lambda data: base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
record = "".join(f"{name},sha256={digest(data)},{len(data)}\n" for name, data in files.items())
files["hello-1.0.dist-info/RECORD"] = (record + "hello-1.0.dist-info/RECORD,,\n").encode()
with zipfile.ZipFile("dist/hello-1.0-py3-none-any.whl", "w") as wheel:
    for name, data in files.items():
        wheel.writestr(name, data)
with tarfile.open("dist/hello-1.0.tar.gz", "w:gz") as sdist:
    for name, data in (("PKG-INFO", meta), ("hello.py", code)):
        info = tarfile.TarInfo("hello-1.0/" + name)
        info.size = len(data)
        sdist.addfile(info, io.BytesIO(data))
"#;

/// A web server for the index, ended when dropped.
struct Index(Child);

impl Index {
    fn serve(folder: &Path) -> (Self, String) {
        let mut process = Command::new("python3")
            .args(["-u", "-m", "http.server", "--bind", "127.0.0.1", "--directory"])
            .arg(folder)
            .arg("0")
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let line = BufReader::new(process.stdout.take().unwrap())
            .lines()
            .next()
            .unwrap()
            .unwrap();
        let port = line
            .split("port ")
            .nth(1)
            .and_then(|rest| rest.split(' ').next())
            .unwrap()
            .to_owned();
        (Self(process), format!("http://localhost:{port}"))
    }
}

impl Drop for Index {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A tutorial's blocks, with the address of this run.
fn blocks(page: &str, stack: &Stack) -> Vec<String> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/tutorials");
    let page = std::fs::read_to_string(format!("{folder}/{page}")).unwrap();
    let here = |block: &str| {
        block.replace("http://localhost:3000", &stack.ready.url).replace(
            "$(sigbox token)",
            &format!("$(sigbox token --url {})", stack.ready.url),
        )
    };
    page.split("```").skip(1).step_by(2).map(here).collect()
}

fn shell(stack: &Stack, script: &str) -> Ran {
    let bin = stack.path("bin");
    std::fs::create_dir_all(&bin).unwrap();
    let tools = ["sigstore", "cosign", "crane", "pypi-attestations"].map(|name| (name, tool(name)));
    for (name, target) in tools.into_iter().chain([("sigbox", sigbox())]) {
        // A second script of the same story finds them there.
        let _ = std::os::unix::fs::symlink(target.canonicalize().unwrap(), bin.join(name));
    }
    let mut command = Command::new("bash");
    command
        .args(["-euo", "pipefail", "-c", script])
        .current_dir(stack.work.path());
    command
        .env("HOME", stack.path("home"))
        .env("SIGBOX_URL", &stack.ready.url)
        .env("PIP_CONFIG_FILE", "/dev/null");
    for name in ["PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_FIND_LINKS"] {
        command.env_remove(name);
    }
    let path = std::env::var("PATH").unwrap();
    run(command.env("PATH", format!("{}:{path}", bin.display())))
}

#[test]
fn a_python_package_is_verified_before_it_is_installed() {
    let stack = Stack::ephemeral();
    ok(Command::new("python3")
        .args(["-c", BUILD])
        .current_dir(stack.work.path()));
    let [publish, install, attest, check] = &blocks("python.md", &stack)[..] else {
        panic!("four blocks expected")
    };
    let published = shell(&stack, publish);
    assert_eq!(published.code, Some(0), "{}", published.text());
    assert!(
        stack
            .path("index/simple/hello/hello-1.0.tar.gz.sigstore.json")
            .exists()
    );

    let (_server, url) = Index::serve(&stack.path("index"));
    let install = install.replace("http://localhost:8000", &url);
    let installed = shell(&stack, &install);
    assert!(
        installed.stdout.contains("hello from a verified package"),
        "{}",
        installed.text()
    );

    // The same by attestation objects, which the official tool made and can read.
    let attested = shell(&stack, attest);
    assert_eq!(attested.code, Some(0), "{}", attested.text());
    let object = stack.path("index/simple/hello/hello-1.0-py3-none-any.whl.publish.attestation");
    let inspected = ok(Command::new(tool("pypi-attestations"))
        .arg("inspect")
        .arg(&object));
    assert!(
        inspected.text().contains("hello-1.0-py3-none-any.whl"),
        "{}",
        inspected.text()
    );
    let check = check.replace("http://localhost:8000", &url);
    let checked = shell(&stack, &check);
    assert_eq!(checked.code, Some(0), "{}", checked.text());
    let stranger = shell(&stack, &check.replace("dev@example.com", "other@example.com"));
    assert_eq!(stranger.code, Some(11), "{}", stranger.text());
    let other = shell(&stack, "echo >> download/hello-1.0-py3-none-any.whl");
    assert_eq!(other.code, Some(0), "{}", other.text());
    let changed = shell(&stack, &check);
    assert_eq!(changed.code, Some(12), "{}", changed.text());

    // A package that changed on the index never runs.
    for folder in ["download", "venv"] {
        std::fs::remove_dir_all(stack.path(folder)).unwrap();
    }
    let wheel = stack.path("index/simple/hello/hello-1.0-py3-none-any.whl");
    let mut changed = std::fs::read(&wheel).unwrap();
    changed.extend(b"a comment at the end of a zip");
    std::fs::write(&wheel, changed).unwrap();
    let refused = shell(&stack, &install);
    assert!(
        refused.code.is_some_and(|code| code != 0) && !stack.path("venv").exists(),
        "{}",
        refused.text()
    );
}

/// Runs a tutorial's blocks as one script, then again with what was signed changed before the last block.
fn signed_then_verified(stack: &Stack, page: &str, change: &str) -> Ran {
    let script = blocks(page, stack);
    let (verify, sign) = script.split_last().unwrap();
    let sign = sign.join("\n");
    let refused = shell(stack, &format!("{sign}\n{change}\n{verify}"));
    assert!(
        refused.code.is_some_and(|code| code != 0),
        "{page}: {}",
        refused.text()
    );
    let ran = shell(stack, &format!("{sign}\n{verify}"));
    assert_eq!(ran.code, Some(0), "{page}: {}", ran.text());
    ran
}

#[test]
fn an_npm_package_is_verified_before_it_is_installed() {
    let stack = Stack::ephemeral();
    stack.file(
        "package.json",
        r#"{"name": "hello", "version": "1.0.0", "files": ["index.js"]}"#,
    );
    stack.file("index.js", "console.log('hello')");
    signed_then_verified(&stack, "npm.md", "echo >> $tarball");
    assert!(stack.path("app/node_modules/hello").exists());
}

#[test]
fn a_java_archive_is_verified_before_it_is_used() {
    let stack = Stack::ephemeral();
    stack.file(
        "Hello.java",
        r#"class Hello { public static void main(String[] a) { System.out.println("hello from a jar"); } }"#,
    );
    let mut build = Command::new("bash");
    build.args(["-ec", "javac Hello.java && jar cf hello.jar Hello.class"]);
    ok(build.current_dir(stack.work.path()));
    let jar = std::fs::read(stack.path("hello.jar")).unwrap();
    let said = signed_then_verified(
        &stack,
        "maven.md",
        "cp hello.jar kept; echo >> hello.jar; trap 'mv kept hello.jar' EXIT",
    );
    assert!(said.stdout.contains("hello from a jar"), "{}", said.text());
    assert_eq!(std::fs::read(stack.path("hello.jar")).unwrap(), jar);
}
