//! Licences and bans of everything that is linked, from the tables in `.deny.toml`.

use cargo_metadata::MetadataCommand;
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

#[test]
fn licences_and_bans_hold() {
    let rules = rules();
    let metadata = MetadataCommand::new()
        .current_dir(root())
        .other_options(
            ["--locked", "--filter-platform", "x86_64-unknown-linux-gnu"]
                .map(str::to_owned)
                .to_vec(),
        )
        .exec()
        .unwrap();
    let linked = metadata.resolve.as_ref().unwrap().nodes.iter().map(|n| &n.id);
    let mut findings = Vec::new();
    for id in linked {
        let package = &metadata[id];
        if rules.banned.iter().any(|b| package.name.as_str() == b.as_str()) {
            findings.push(format!("{} is banned", package.name));
        }
        let Some(licence) = &package.license else {
            findings.push(format!("{} states no licence", package.name));
            continue;
        };
        match Expression::parse_mode(licence, ParseMode::LAX) {
            Ok(e) if e.evaluate(|r| rules.licences.iter().any(|l| l.satisfies(r))) => {}
            Ok(_) => findings.push(format!("{}: licence {licence} is not allowed", package.name)),
            Err(e) => findings.push(format!("{}: licence {licence}: {e}", package.name)),
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
