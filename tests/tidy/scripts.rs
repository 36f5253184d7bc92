//! Scripts too long for a test run: what can be said of them without running them.

use std::ffi::OsStr;
use std::process::Command;

use crate::{none, root, tracked_files};

/// How a script for bash begins where its name does not say so.
const SHELL: &str = "#!/usr/bin/env bash";

#[test]
fn shell_scripts_parse() {
    let mut findings = Vec::new();
    for path in tracked_files() {
        let shell = path.extension() == Some(OsStr::new("sh"))
            || std::fs::read(root().join(&path)).is_ok_and(|text| text.starts_with(SHELL.as_bytes()));
        if shell && let Err(said) = run("bash", &["-n".as_ref(), path.as_os_str()]) {
            findings.push(format!("{}: {said}", path.display()));
        }
    }
    none("shell scripts that do not parse", findings);
}

#[test]
fn the_comparison_with_the_peers_starts_and_its_table_is_right() {
    let help = ["-B", "tests/bench/peers", "--help"].map(OsStr::new);
    run("python3", &help).unwrap();
    let table = [
        "-B",
        "-m",
        "unittest",
        "discover",
        "--start-directory",
        "tests/bench",
    ]
    .map(OsStr::new);
    run("python3", &table).unwrap();
}

/// Runs a program in the root of the repository; gives what it said if it failed.
fn run(program: &str, arguments: &[&OsStr]) -> Result<(), String> {
    let out = Command::new(program)
        .args(arguments)
        .current_dir(root())
        .output()
        .unwrap();
    if out.status.success() {
        Ok(())
    } else {
        Err(String::from_utf8_lossy(&out.stderr).into_owned())
    }
}
