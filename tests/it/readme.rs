//! The README's first signature, run as it is written.

use std::process::Command;

use tests::stack::Stack;
use tests::{ok, sigbox, tool};

/// The first fenced block after `heading`.
fn block(readme: &str, heading: &str) -> String {
    let after = readme
        .split(heading)
        .nth(1)
        .unwrap_or_else(|| panic!("README has no {heading:?}"));
    after.split("```").nth(1).unwrap().to_owned()
}

#[test]
fn the_first_signature_works_as_written() {
    let stack = Stack::ephemeral();
    let readme = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../README.md")).unwrap();
    let mut script = block(&readme, "## The first signature");
    for (written, here) in [
        ("http://localhost:3000", stack.ready.url.as_str()),
        ("sigbox-data/trust", stack.ready.trust_dir.to_str().unwrap()),
        // The defaults name port 3000, which a test must not take.
        (
            "$(sigbox token)",
            &format!("$(sigbox token --url {})", stack.ready.url),
        ),
        (
            "sigbox client-setup cosign",
            &format!("sigbox client-setup cosign --url {}", stack.ready.url),
        ),
    ] {
        assert!(script.contains(written), "README no longer says {written}");
        script = script.replace(written, here);
    }
    let script: Vec<&str> = script.lines().filter(|l| !l.starts_with("alias")).collect();
    let bin = stack.path("bin");
    std::fs::create_dir_all(&bin).unwrap();
    for (name, target) in [("sigbox", sigbox()), ("cosign", tool("cosign"))] {
        std::os::unix::fs::symlink(target.canonicalize().unwrap(), bin.join(name)).unwrap();
    }
    let mut shell = Command::new("bash");
    shell
        .args(["-euo", "pipefail", "-c", &script.join("\n")])
        .current_dir(stack.work.path());
    shell
        .env_clear()
        .env("HOME", stack.work.path())
        .env("PATH", format!("{}:/usr/bin:/bin", bin.display()));
    let said = ok(&mut shell).text();
    assert!(said.contains("Verified OK"), "{said}");
}
