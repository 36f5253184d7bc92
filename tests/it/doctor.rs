//! `doctor` and `client-setup`: what is printed works.

use std::process::Command;

use serde_json::Value;
use tests::stack::Stack;
use tests::{ok, refused, sigbox, tool};

#[test]
fn doctor_names_every_link() {
    let stack = Stack::ephemeral();
    let ran = ok(Command::new(sigbox()).args(["doctor", "--url", &stack.ready.url]));
    for link in ["OIDC", "Fulcio", "CT", "Rekor v1", "Rekor v2", "TSA", "TUF"] {
        assert!(ran.text().contains(link), "no word of {link}:\n{}", ran.text());
    }
    let ran = ok(Command::new(sigbox()).args(["doctor", "--json", "--url", &stack.ready.url]));
    let found: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(found["ok"], true, "{found}");
    assert_eq!(found["links"].as_array().unwrap().len(), 8, "{found}");
}

#[test]
fn doctor_says_when_nobody_answers() {
    let ran = refused(Command::new(sigbox()).args(["doctor", "--url", "http://localhost:9"]));
    assert!(ran.text().contains("http://localhost:9"), "{}", ran.text());
}

/// Runs the printed lines exactly as a user would: pasted into a shell.
fn paste(stack: &Stack, client: &str) {
    let printed = ok(Command::new(sigbox()).args(["client-setup", client, "--url", &stack.ready.url])).stdout;
    let bin = stack.path("bin");
    std::fs::create_dir_all(&bin).unwrap();
    for (name, target) in [
        ("sigbox", sigbox()),
        (client_binary(client), tool(client_binary(client))),
    ] {
        let link = bin.join(name);
        if !link.exists() {
            std::os::unix::fs::symlink(target.canonicalize().unwrap(), link).unwrap();
        }
    }
    let home = stack.path("paste-home");
    std::fs::create_dir_all(&home).unwrap();
    let mut shell = Command::new("bash");
    shell
        .args(["-euo", "pipefail", "-c", &printed])
        .current_dir(stack.work.path());
    shell
        .env_clear()
        .env("HOME", home)
        .env("PATH", format!("{}:/usr/bin:/bin", bin.display()));
    let ran = ok(&mut shell);
    assert!(!printed.trim().is_empty(), "{}", ran.text());
}

fn client_binary(client: &str) -> &str {
    if client == "python" { "sigstore" } else { client }
}

#[test]
fn the_lines_for_cosign_work_when_pasted() {
    paste(&Stack::ephemeral(), "cosign");
}

#[test]
fn the_lines_for_python_work_when_pasted() {
    paste(&Stack::ephemeral(), "python");
}

#[test]
fn the_lines_for_rekor_cli_work_when_pasted() {
    paste(&Stack::ephemeral(), "rekor-cli");
}
