//! Licences and bans of everything that is linked, from the tables in `.deny.toml`.

use std::process::Command;

use spdx::{Expression, Licensee, ParseMode};

use crate::{none, root};

struct Rules {
    licences: Vec<Licensee>,
    banned: Vec<String>,
}

fn rules() -> Rules {
    let text = std::fs::read_to_string(root().join(".deny.toml")).unwrap();
    let table: toml::Table = text.parse().unwrap();
    let licences = table["licenses"]["allow"].as_array().unwrap();
    let banned = table["bans"]["deny"].as_array().unwrap();
    Rules {
        licences: licences
            .iter()
            .map(|l| Licensee::parse(l.as_str().unwrap()).unwrap())
            .collect(),
        banned: banned
            .iter()
            .map(|b| b["crate"].as_str().unwrap().to_owned())
            .collect(),
    }
}

/// What is really compiled, with its licence. `cargo metadata` would also list what an optional dependency of a
/// dependency might have been.
fn compiled() -> Vec<(String, String)> {
    let out = Command::new(env!("CARGO"))
        .args(["tree", "--locked", "--workspace", "--edges", "normal,build,dev"])
        .args([
            "--prefix",
            "none",
            "--format",
            "{p}\t{l}",
            "--target",
            "x86_64-unknown-linux-gnu",
        ])
        .current_dir(root())
        .output()
        .unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    let mut rows: Vec<(String, String)> = String::from_utf8(out.stdout)
        .unwrap()
        .lines()
        .filter_map(|line| line.trim_end_matches(" (*)").split_once('\t'))
        .map(|(package, licence)| (package.split(' ').next().unwrap().to_owned(), licence.to_owned()))
        .collect();
    rows.sort();
    rows.dedup();
    rows
}

#[test]
fn licences_and_bans_hold() {
    let rules = rules();
    let mut findings = Vec::new();
    for (package, licence) in compiled() {
        if rules.banned.contains(&package) {
            findings.push(format!("{package} is banned"));
        }
        match Expression::parse_mode(&licence, ParseMode::LAX) {
            Ok(e) if e.evaluate(|r| rules.licences.iter().any(|l| l.satisfies(r))) => {}
            Ok(_) => findings.push(format!("{package}: licence {licence:?} is not allowed")),
            Err(e) => findings.push(format!("{package}: licence {licence:?}: {e}")),
        }
    }
    none(".deny.toml", findings);
}

#[test]
fn bundled_sqlite_has_the_wal_reset_fix() {
    // Everything before 3.51.3 can silently corrupt a WAL database that two connections
    // write and checkpoint at once; libsqlite3-sys 0.37 is the first to bundle the fix.
    let lock: toml::Table = std::fs::read_to_string(root().join("Cargo.lock"))
        .unwrap()
        .parse()
        .unwrap();
    let versions: Vec<&str> = lock["package"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|p| p["name"].as_str() == Some("libsqlite3-sys"))
        .map(|p| p["version"].as_str().unwrap())
        .collect();
    let [version] = versions[..] else {
        panic!("one libsqlite3-sys expected, got {versions:?}")
    };
    let minor: u32 = version.split('.').nth(1).unwrap().parse().unwrap();
    assert!(minor >= 37, "libsqlite3-sys >= 0.37 expected, got {version}");
}
