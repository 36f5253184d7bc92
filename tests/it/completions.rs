//! Each shell that is installed loads its script, and completes our commands and options with it.

use std::path::Path;
use std::process::Command;

use tests::{ok, refused, say, sigbox};

fn script(shell: &str) -> String {
    let mut command = Command::new(sigbox());
    ok(command.args(["completions", shell])).stdout
}

/// Whether the shell is there; one that is not is no failure.
fn installed(shell: &str) -> bool {
    let found = Command::new(shell).arg("--version").output().is_ok();
    if !found {
        say(&format!("skipped: {shell} is not installed"));
    }
    found
}

/// The commands as the help lists them.
fn commands() -> Vec<String> {
    let help = ok(Command::new(sigbox()).arg("--help")).stdout;
    let listed = help.split_once("Commands:\n").unwrap().1;
    let lines = listed.lines().take_while(|line| !line.is_empty());
    // A description that goes on is further to the right.
    let names = lines.filter(|line| line.starts_with("  ") && !line.starts_with("   "));
    names
        .map(|line| line.split_whitespace().next().unwrap().to_owned())
        .collect()
}

#[track_caller]
fn has_all(what: &str, offered: &str, expected: &[&str]) {
    let offered: Vec<&str> = offered.split_whitespace().collect();
    for word in expected {
        assert!(offered.contains(word), "{what}: expected {word} in {offered:?}");
    }
}

#[test]
fn every_script_names_every_command() {
    let commands = commands();
    assert!(commands.len() > 20, "{commands:?}");
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = script(shell);
        for command in &commands {
            assert!(script.contains(command.as_str()), "{shell}: {command}");
        }
    }
    refused(Command::new(sigbox()).args(["completions", "cmd"]));
}

/// The script in a file, for a shell to load.
fn file(folder: &Path, shell: &str) -> String {
    let path = folder.join(format!("_sigbox.{shell}"));
    std::fs::write(&path, script(shell)).unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn bash_completes_commands_and_options() {
    if !installed("bash") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let loaded = file(folder.path(), "bash");
    // As readline calls it: the words so far, the one that the cursor is in.
    let offered = |words: &[&str]| {
        let line = words
            .iter()
            .map(|word| format!("'{word}'"))
            .collect::<Vec<_>>()
            .join(" ");
        let (last, before) = (words.len() - 1, words.len().saturating_sub(2));
        let text = format!(
            ". '{loaded}'; complete -p sigbox >&2 || exit 9; COMP_WORDS=({line}); COMP_CWORD={last}; \
             _sigbox sigbox '{}' '{}'; printf '%s\n' \"${{COMPREPLY[@]}}\"",
            words[last], words[before]
        );
        let ran = ok(Command::new("bash").args(["--norc", "-c", &text]));
        assert!(
            ran.stderr.contains("-F _sigbox") && ran.stderr.trim_end().ends_with("sigbox"),
            "{}",
            ran.stderr
        );
        ran.stdout
    };
    let all = commands();
    let all: Vec<&str> = all.iter().map(String::as_str).collect();
    has_all("commands", &offered(&["sigbox", ""]), &all);
    let verifying = offered(&["sigbox", "verify"]);
    has_all(
        "verify…",
        &verifying,
        &["verify", "verify-artifact", "verify-image"],
    );
    assert!(!verifying.contains("rotate"), "{verifying}");
    has_all(
        "options of verify",
        &offered(&["sigbox", "verify", "--"]),
        &[
            "--bundle",
            "--trusted-root",
            "--certificate-identity",
            "--explain",
        ],
    );
    has_all(
        "below tuf",
        &offered(&["sigbox", "tuf", ""]),
        &["keygen", "propose", "sign", "publish", "show"],
    );
    has_all(
        "options below tuf",
        &offered(&["sigbox", "tuf", "sign", "--"]),
        &["--key", "--root"],
    );
    has_all(
        "values",
        &offered(&["sigbox", "completions", ""]),
        &["bash", "zsh", "fish"],
    );
}

#[test]
fn zsh_loads_its_script() {
    if !installed("zsh") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let loaded = file(folder.path(), "zsh");
    let text = format!("autoload -Uz compinit; compinit -u -D; . '{loaded}'; print ${{_comps[sigbox]}}");
    let ran = ok(Command::new("zsh").args(["-f", "-c", &text]));
    assert_eq!(ran.stdout.trim(), "_sigbox", "{}", ran.stderr);
}

#[test]
fn fish_completes_commands_and_options() {
    if !installed("fish") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let loaded = file(folder.path(), "fish");
    let offered = |line: &str| {
        let text = format!("source '{loaded}'; complete -C '{line}'");
        ok(Command::new("fish").args(["--no-config", "-c", &text])).stdout
    };
    has_all(
        "verify…",
        &offered("sigbox verify"),
        &["verify", "verify-artifact"],
    );
    has_all(
        "options",
        &offered("sigbox verify --"),
        &["--bundle", "--trusted-root"],
    );
}
