//! The dependency rules of `docs/ARCHITECTURE.md`, read from `cargo metadata`.

use cargo_metadata::{DependencyKind, Metadata, MetadataCommand, Package};

use crate::{none, root};

fn metadata() -> Metadata {
    MetadataCommand::new()
        .current_dir(root())
        .no_deps()
        .other_options(["--locked".to_owned()])
        .exec()
        .unwrap()
}

/// Names of our own crates that `package` depends on, development dependencies left out:
/// a test may look where the library must not.
fn ours<'a>(metadata: &Metadata, package: &'a Package) -> Vec<&'a str> {
    package
        .dependencies
        .iter()
        .filter(|d| d.kind != DependencyKind::Development)
        .map(|d| d.name.as_str())
        .filter(|name| metadata.packages.iter().any(|p| p.name.as_str() == *name))
        .collect()
}

/// Every edge between two of our crates for which `forbidden` gives a reason.
fn edges(forbidden: impl Fn(&str, &str) -> bool) -> Vec<String> {
    let metadata = metadata();
    let mut found = Vec::new();
    for package in &metadata.packages {
        for dependency in ours(&metadata, package) {
            if forbidden(&package.name, dependency) {
                found.push(format!("{} depends on {dependency}", package.name));
            }
        }
    }
    found
}

#[test]
fn package_name_is_its_path() {
    let metadata = metadata();
    let findings = metadata
        .packages
        .iter()
        .filter_map(|p| {
            let folder = p.manifest_path.parent()?.strip_prefix(root().to_str()?).ok()?;
            let expected = folder.as_str().trim_matches('/').replace('/', "-");
            (p.name.as_str() != expected).then(|| format!("{folder} holds package {}", p.name))
        })
        .collect();
    none("a package's name is its path joined by hyphens", findings);
}

#[test]
fn r1_common_sees_only_common() {
    none(
        "R1",
        edges(|from, to| from.starts_with("common-") && !to.starts_with("common-")),
    );
}

#[test]
fn r2_fulcio_and_rekor_never_see_each_other() {
    none(
        "R2",
        edges(|from, to| {
            (from.starts_with("fulcio-") && to.starts_with("rekor-"))
                || (from.starts_with("rekor-") && to.starts_with("fulcio-"))
        }),
    );
}

#[test]
fn r3_only_the_executable_and_the_tests_see_the_backend() {
    none(
        "R3",
        edges(|from, to| to == "common-backend" && !matches!(from, "deploy-bin" | "tests")),
    );
}

#[test]
fn r4_pure_crates_have_no_runtime_no_clock_no_files() {
    const PURE: [&str; 4] = ["common-tlog", "common-pki", "common-bundle", "rekor-entry"];
    const BANNED_CRATES: [&str; 8] = [
        "async-trait",
        "axum",
        "hyper",
        "rand",
        "reqwest",
        "sqlx",
        "tempfile",
        "tokio",
    ];
    const BANNED_TEXT: [&str; 5] = [
        "SystemTime::now",
        "Instant::now",
        "OffsetDateTime::now",
        "std::fs",
        "SystemRandom::new",
    ];
    let metadata = metadata();
    let mut findings = Vec::new();
    for package in metadata
        .packages
        .iter()
        .filter(|p| PURE.contains(&p.name.as_str()))
    {
        for dependency in package
            .dependencies
            .iter()
            .filter(|d| d.kind == DependencyKind::Normal)
        {
            if BANNED_CRATES.contains(&dependency.name.as_str()) {
                findings.push(format!("{} depends on {}", package.name, dependency.name));
            }
        }
    }
    for path in crate::tracked_files() {
        let name = path.to_string_lossy().replace('\\', "/");
        let pure = PURE
            .iter()
            .any(|p| name.starts_with(&format!("{}/src/", p.replacen('-', "/", 1))));
        if !pure || !name.ends_with(".rs") || is_test(&name) {
            continue;
        }
        let text = std::fs::read_to_string(root().join(&path)).unwrap();
        for banned in BANNED_TEXT {
            // A signature's own nonce and a new key are the two exceptions (common/pki).
            let exempt = banned == "SystemRandom::new" && name.starts_with("common/pki/");
            if !exempt && text.contains(banned) {
                findings.push(format!("{name} uses {banned}"));
            }
        }
    }
    none("R4", findings);
}

/// `tests.rs`, `tests/…`, and what only they use: `testkit.rs`, `testdata.rs`.
fn is_test(path: &str) -> bool {
    path.split('/').any(|part| part.starts_with("test"))
}

#[test]
fn r5_the_monitor_never_sees_the_engine() {
    none(
        "R5",
        edges(|from, to| from == "rekor-monitor" && to == "common-engine"),
    );
}

#[test]
fn r6_nothing_depends_on_deploy() {
    none(
        "R6",
        edges(|from, to| to.starts_with("deploy-") && !matches!(from, "deploy-bin" | "tests")),
    );
}

#[test]
fn every_crate_takes_the_workspace_lints() {
    let findings = metadata()
        .packages
        .iter()
        .filter(|p| {
            let manifest: toml::Table = std::fs::read_to_string(&p.manifest_path)
                .unwrap()
                .parse()
                .unwrap();
            manifest.get("lints").and_then(|l| l.get("workspace")) != Some(&toml::Value::Boolean(true))
        })
        .map(|p| p.name.to_string())
        .collect();
    none(
        "crates without `[lints] workspace = true` (which forbids unsafe code)",
        findings,
    );
}
