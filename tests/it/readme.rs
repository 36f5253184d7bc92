//! The README's first minute: its lines as they are written, from `up` to the first verification with each client.

use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use tests::stack::{Ports, Stack};
use tests::{ok, say, sigbox, tool};

/// What the README promises.
const MINUTE: Duration = Duration::from_secs(60);

/// The fenced blocks of a section.
fn blocks(heading: &str) -> Vec<String> {
    let readme = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../README.md")).unwrap();
    let after = readme
        .split(heading)
        .nth(1)
        .unwrap_or_else(|| panic!("README has no {heading:?}"));
    let section = after.split("\n## ").next().unwrap();
    section
        .split("```")
        .skip(1)
        .step_by(2)
        .map(ToOwned::to_owned)
        .collect()
}

/// From an empty folder: starts the instance as the README does, except for the ports, which a test must not take, and runs a block.
fn first_minute(client: &str, program: PathBuf, block: usize, says: &str) {
    let blocks = blocks("## The first signature");
    let [setup, block] = [&blocks[0], &blocks[block]];
    assert!(
        block.contains(client),
        "README's block is not {client}'s:\n{block}"
    );
    let folder = tempfile::tempdir().unwrap();
    let bin = folder.path().join("bin");
    std::fs::create_dir(&bin).unwrap();
    for (name, target) in [("sigbox", sigbox()), (client, program)] {
        let link = bin.join(name);
        if !link.exists() {
            std::os::unix::fs::symlink(target.canonicalize().unwrap(), link).unwrap();
        }
    }
    let script: Vec<&str> = setup
        .lines()
        .chain(block.lines())
        // The binary is where `cargo run --release` built it.
        .filter(|line| !line.starts_with("alias "))
        .collect();
    let ports = Ports::free();

    let start = Instant::now();
    let stack = Stack::at(&folder.path().join("sigbox-data"), &ports);
    let script = script
        .join("\n")
        .replace("http://localhost:3000", &stack.ready.url);
    let said = ok(Command::new("bash")
        .args(["-euo", "pipefail", "-c", &script])
        .current_dir(folder.path())
        .env_clear()
        .env("HOME", folder.path())
        .env("SIGBOX_URL", &stack.ready.url)
        .env("PATH", format!("{}:/usr/bin:/bin", bin.display())))
    .text();
    let took = start.elapsed();

    assert!(said.contains(says), "{said}");
    assert!(took < MINUTE, "{client}: {took:?}");
    say(&format!(
        "from `up` on an empty folder to the first verification with {client}: {:.1} s",
        took.as_secs_f32()
    ));
}

#[test]
fn the_first_minute_with_cosign() {
    first_minute("cosign", tool("cosign"), 1, "Verified OK");
}

#[test]
fn the_first_minute_with_sigstore_python() {
    first_minute("sigstore", tool("sigstore"), 2, "OK: hello.txt");
}

#[test]
fn the_first_minute_with_our_own_client() {
    first_minute("sigbox", sigbox(), 3, "certificate-timestamp");
}
