//! cosign signs, attests and verifies container images, in a registry on this machine.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use tests::clients::{Cosign, Rekor};
use tests::stack::Stack;
use tests::{ok, refused, tool};

const WHO: &str = "dev@example.com";

/// `crane registry serve`, ended when dropped.
pub(crate) struct Registry {
    process: Child,
    address: String,
}

impl Registry {
    pub(crate) fn serve() -> Self {
        let mut process = Command::new(tool("crane"))
            .args(["registry", "serve", "--address", "127.0.0.1:0"])
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stderr.take().unwrap()).lines();
        let said = lines.find_map(|line| {
            let line = line.ok()?;
            Some(line.split_once("serving on port ")?.1.trim().to_owned())
        });
        let address = format!("localhost:{}", said.expect("the registry says where it is"));
        // A pipe nobody reads would stop it.
        std::thread::spawn(move || lines.for_each(drop));
        Self { process, address }
    }

    /// Pushes an image that holds `content`; its name with digest.
    pub(crate) fn push(&self, folder: &Path, name: &str, content: &str) -> String {
        std::fs::write(folder.join(name), content).unwrap();
        let layer = folder.join(format!("{name}.tar"));
        ok(Command::new("tar")
            .arg("-C")
            .arg(folder)
            .arg("-cf")
            .arg(&layer)
            .arg(name));
        let tag = format!("{}/{name}:1", self.address);
        let pushed = ok(Command::new(tool("crane"))
            .args(["append", "--new_tag", &tag, "--new_layer"])
            .arg(&layer));
        pushed.stdout.trim().to_owned()
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
fn images_are_signed_attested_and_verified() {
    let stack = Stack::ephemeral();
    let cosign = Cosign::initialize(&stack);
    let registry = Registry::serve();
    let predicate = stack.file("predicate.json", r#"{"greeting": "hello"}"#);
    let verify = |verb: &str, who: &str, image: &str| {
        let mut command = cosign.command();
        command.args([verb, "--certificate-identity", who]);
        command.args(["--certificate-oidc-issuer", &stack.ready.issuer]);
        if verb == "verify-attestation" {
            command.args(["--type", "https://example.com/greeting/v1"]);
        }
        command.arg(image);
        command
    };
    for rekor in Rekor::BOTH {
        let image = registry.push(stack.work.path(), &format!("app-{}", rekor.name()), rekor.name());
        let mut sign = cosign.writing("sign", rekor, WHO);
        ok(sign.arg(&image));
        let mut attest = cosign.writing("attest", rekor, WHO);
        attest.args(["--type", "https://example.com/greeting/v1", "--predicate"]);
        ok(attest.arg(&predicate).arg(&image));
        for verb in ["verify", "verify-attestation"] {
            ok(&mut verify(verb, WHO, &image));
            refused(&mut verify(verb, "other@example.com", &image));
        }
        let other = registry.push(stack.work.path(), &format!("other-{}", rekor.name()), "unsigned");
        refused(&mut verify("verify", WHO, &other));
    }
}

#[test]
fn the_tutorial_works_as_written() {
    let (stack, registry) = (Stack::ephemeral(), Registry::serve());
    registry.push(stack.work.path(), "app", "what runs");
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/tutorials/containers.md");
    let page = std::fs::read_to_string(page).unwrap();
    let script: String = page.split("```").skip(1).step_by(2).collect();
    let script = script
        .replace("http://localhost:3000", &stack.ready.url)
        .replace("localhost:5000", &registry.address)
        .replace("$(sigbox token)", &stack.token(WHO));
    let mut shell = Command::new("bash");
    shell
        .args(["-euo", "pipefail", "-c", &script])
        .current_dir(stack.work.path());
    let tools = tool("cosign").parent().unwrap().to_owned();
    shell
        .env("PATH", format!("{}:/usr/bin:/bin", tools.display()))
        .env("HOME", stack.path("home"));
    ok(&mut shell);
    assert!(stack.path("app.tar").exists());
}
