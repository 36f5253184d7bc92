//! Rules about files: where they are, how long they may grow, and that links lead somewhere.

use std::collections::BTreeSet;

use crate::{none, root, tracked_files};

/// Lines a source file may have; tests, which grow by cases, are left out.
const LONGEST: usize = 600;

#[test]
fn top_level_is_what_the_readme_says() {
    let expected: BTreeSet<&str> = [
        "Cargo.lock",
        "Cargo.toml",
        "LICENSE",
        "README.md",
        "common",
        "deploy",
        "docs",
        "fulcio",
        "rekor",
        "tests",
    ]
    .into();
    let found: BTreeSet<String> = tracked_files()
        .iter()
        .filter_map(|p| p.components().next())
        .map(|c| c.as_os_str().to_string_lossy().into_owned())
        .filter(|name| !name.starts_with('.'))
        .collect();
    assert_eq!(
        found.iter().map(String::as_str).collect::<BTreeSet<_>>(),
        expected
    );
}

#[test]
fn source_files_stay_readable() {
    let mut findings = Vec::new();
    for path in tracked_files() {
        let name = path.to_string_lossy();
        let test = name.starts_with("tests/") || name.ends_with("tests.rs") || name.contains("/tests/");
        if !name.ends_with(".rs") || test || name.contains("/generated/") {
            continue;
        }
        let lines = std::fs::read_to_string(root().join(&path))
            .unwrap()
            .lines()
            .count();
        if lines > LONGEST {
            findings.push(format!("{name}: {lines} lines, {LONGEST} at most"));
        }
    }
    none("files too long to hold in one's head", findings);
}

#[test]
fn every_crate_says_what_it_is() {
    let mut findings = Vec::new();
    for path in tracked_files() {
        let name = path.to_string_lossy();
        if !(name.ends_with("src/lib.rs") || name.ends_with("src/main.rs")) {
            continue;
        }
        let text = std::fs::read_to_string(root().join(&path)).unwrap();
        let doc = text.lines().take_while(|l| l.starts_with("//!")).count();
        if doc < 3 {
            findings.push(format!(
                "{name}: opens with {doc} lines of documentation, 3 at least"
            ));
        }
    }
    none("crate documentation", findings);
}

#[test]
fn links_in_the_documents_lead_somewhere() {
    let mut findings = Vec::new();
    for path in tracked_files() {
        if path.extension().is_none_or(|e| e != "md") {
            continue;
        }
        let text = std::fs::read_to_string(root().join(&path)).unwrap();
        for target in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let file = target.split('#').next().unwrap_or_default();
            if file.is_empty() || file.contains("://") || file.starts_with("mailto:") {
                continue;
            }
            if !root().join(path.parent().unwrap()).join(file).exists() {
                findings.push(format!("{}: {target}", path.display()));
            }
        }
    }
    none("dead links", findings);
}
