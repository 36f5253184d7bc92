#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stderr,
    clippy::indexing_slicing,
    reason = "tests"
)]

use std::fs;
use std::path::PathBuf;

use common_pki::key::{KeyAlgorithm, LocalSigner, PublicKey, Signer as _};
use serde_json::{Value, json};

use super::*;
use crate::format::{Bundle, Content, Envelope};
use crate::trust::TrustedRoot;
use crate::verify::{Artifact, Matcher, Policy as Evidence, verify};

fn vectors() -> Option<PathBuf> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/vectors");
    if path.is_dir() {
        return Some(path);
    }
    eprintln!("skipped: the recorded vectors are not beside this repository");
    None
}

/// Certificate and provenance of a published bundle, its signature verified.
fn published(artifact: &str, bundle: &str) -> Option<(Provenance, Workload)> {
    let all = vectors()?;
    let read = |name: &str| fs::read(all.join(name)).unwrap();
    let bundle = Bundle::from_json(&read(&format!("slsa/{bundle}"))).unwrap();
    let root = TrustedRoot::parse(&read("public-good/trusted_root.json")).unwrap();
    let policy = Evidence::matching(Matcher::Any, Matcher::Any);
    let artifact = read(&format!("slsa/{artifact}"));
    let verified = verify(&bundle, Artifact::Bytes(&artifact), &root, &policy).unwrap();
    let Content::Dsse(envelope) = &bundle.content else {
        panic!("no envelope")
    };
    let workload = Workload::of(&verified.certificate.unwrap()).unwrap();
    Some((Provenance::parse(&envelope.payload).unwrap(), workload))
}

fn container() -> Option<(Provenance, Workload)> {
    let name = "gha_container-based/v2.1.0/binary-linux-amd64-push-v13.0.30";
    published(name, &format!("{name}.intoto.build.slsa"))
}

fn asked(source: &str, tag: &str) -> Asked {
    Asked {
        source: source.to_owned(),
        tag: Some(tag.to_owned()),
        ..Asked::default()
    }
}

const PACKAGE: &str = "github.com/slsa-framework/example-package";

#[test]
fn published_provenance_passes_as_slsa_verifier_passes_it() {
    let Some((provenance, workload)) = container() else {
        return;
    };
    let found = check(
        &provenance,
        &workload,
        &asked(PACKAGE, "v13.0.30"),
        &Policy::default(),
    )
    .unwrap();
    assert_eq!(found.commit, "4d329c75e7ec1725f7c9ce917a8799d408d06be3");
    assert!(
        found
            .builder
            .ends_with("builder_container-based_slsa3.yml@refs/tags/v2.1.0")
    );
    for source in [
        "git+https://github.com/slsa-framework/example-package",
        "https://github.com/slsa-framework/example-package.git",
    ] {
        assert!(
            check(
                &provenance,
                &workload,
                &asked(source, "v13.0.30"),
                &Policy::default()
            )
            .is_ok()
        );
    }
    for (version, passes) in [
        ("v13", true),
        ("v13.0", true),
        ("v13.0.30", true),
        ("v13.0.3", false),
        ("v1", false),
        ("13", false),
    ] {
        let asked = Asked {
            source: PACKAGE.to_owned(),
            versioned_tag: Some(version.to_owned()),
            ..Asked::default()
        };
        assert_eq!(
            check(&provenance, &workload, &asked, &Policy::default()).is_ok(),
            passes,
            "{version}"
        );
    }
}

#[test]
fn each_expectation_is_refused_for_its_own_reason() {
    let Some((provenance, workload)) = container() else {
        return;
    };
    let refused = |asked: &Asked| check(&provenance, &workload, asked, &Policy::default()).unwrap_err();
    assert!(matches!(
        refused(&asked("github.com/other/repo", "v13.0.30")),
        SlsaError::Source {
            place: "certificate",
            ..
        }
    ));
    assert!(matches!(
        refused(&asked(PACKAGE, "v13.0.31")),
        SlsaError::Reference { what: "tag", .. }
    ));
    let mut other = asked(PACKAGE, "v13.0.30");
    other.builder = Some("https://example.com/builder".to_owned());
    assert!(matches!(refused(&other), SlsaError::Builder { .. }));
    let mut input = asked(PACKAGE, "v13.0.30");
    input.inputs = vec![("release".to_owned(), "true".to_owned())];
    assert!(matches!(refused(&input), SlsaError::Input { .. }));
    let mut branch = asked(PACKAGE, "v13.0.30");
    branch.branch = Some("other".to_owned());
    assert!(matches!(
        refused(&branch),
        SlsaError::Reference { what: "branch", .. }
    ));
}

#[test]
fn certificate_and_predicate_must_tell_of_one_build() {
    let Some((provenance, workload)) = container() else {
        return;
    };
    let asked = asked(PACKAGE, "v13.0.30");
    let policy = Policy::default();
    let changed = |change: fn(&mut Provenance)| {
        let mut changed = provenance.clone();
        change(&mut changed);
        check(&changed, &workload, &asked, &policy).unwrap_err()
    };
    assert!(matches!(
        changed(|it| it.commit = Some("00".to_owned())),
        SlsaError::Disagree { what: "commit", .. }
    ));
    assert!(matches!(
        changed(|it| it.source.as_mut().unwrap().reference = Some("refs/tags/v1".to_owned())),
        SlsaError::Disagree {
            what: "reference",
            ..
        }
    ));
    assert!(matches!(
        changed(|it| it.source = None),
        SlsaError::Source {
            place: "provenance",
            ..
        }
    ));
    assert!(matches!(
        changed(|it| it.trigger = Some(Git::parse("git+https://github.com/other/repo@refs/tags/v13.0.30"))),
        SlsaError::Source {
            place: "provenance's trigger",
            ..
        }
    ));
    assert!(matches!(
        changed(|it| it.config = Some(".github/workflows/other.yml".to_owned())),
        SlsaError::Disagree {
            what: "build configuration",
            ..
        }
    ));
    assert!(matches!(
        changed(|it| it.config_commit = Some("00".to_owned())),
        SlsaError::Disagree {
            what: "commit of the build configuration",
            ..
        }
    ));
    assert!(matches!(
        changed(|it| it.builder_id.push('0')),
        SlsaError::Untrusted { .. }
    ));
    assert!(matches!(
        changed(|it| it.build_type.push('0')),
        SlsaError::BuildType(_)
    ));
    assert!(matches!(
        changed(|it| it.event = Some("release".to_owned())),
        SlsaError::Disagree { what: "trigger", .. }
    ));
    let mut unsafe_issuer = workload.clone();
    unsafe_issuer.issuer = "https://issuer.example".to_owned();
    assert!(matches!(
        check(&provenance, &unsafe_issuer, &asked, &policy),
        Err(SlsaError::Untrusted { .. })
    ));
}

/// The published ones say which file said how to build, and certificate and predicate name the same.
#[test]
fn the_build_configuration_is_read_from_both() {
    let Some((provenance, workload)) = container() else {
        return;
    };
    let file = workload.config.unwrap();
    assert!(file.starts_with(".github/workflows/"), "{file}");
    assert_eq!(provenance.config.as_ref(), Some(&file));
    assert_eq!(provenance.config_commit.as_ref(), Some(&workload.commit));
    let (provenance, workload) = published("bcr/MODULE.bazel", "bcr/MODULE.bazel.intoto.jsonl").unwrap();
    assert!(provenance.config.is_some());
    assert_eq!(provenance.config, workload.config);
}

#[test]
fn a_certificate_must_not_contradict_itself_about_the_build_configuration() {
    use workload::{config, same_signer};
    let of = |uri: &str, digest: &str| {
        let given = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
        config("git.example/org/repo", "c0ffee", given(uri), given(digest)).map_err(|error| error.to_string())
    };
    let file = "https://git.example/org/repo/.github/workflows/a.yml@refs/tags/pkg@1.0.0";
    assert_eq!(
        of(file, "c0ffee").unwrap().as_deref(),
        Some(".github/workflows/a.yml")
    );
    let lab = "https://git.example/org/repo//.gitlab-ci.yml@refs/heads/main";
    assert_eq!(of(lab, "").unwrap().as_deref(), Some(".gitlab-ci.yml"));
    assert_eq!(of("https://builds.example/pipelines/7", "").unwrap(), None);
    assert!(
        of(file, "decaf")
            .unwrap_err()
            .contains("commit of the build configuration")
    );
    for elsewhere in [
        "https://git.example/org/repository/.github/workflows/a.yml@refs/heads/main",
        "https://git.example/org/other/.github/workflows/a.yml@refs/heads/main",
        "https://other.example/org/repo/.github/workflows/a.yml@refs/heads/main",
    ] {
        assert!(
            of(elsewhere, "")
                .unwrap_err()
                .contains("repository of the build configuration")
        );
    }
    let signer = |uri: &str| {
        same_signer(
            "https://git.example/ci/build.yml@refs/tags/v1",
            Some(uri.to_owned()),
        )
    };
    assert!(signer("https://git.example/ci/build.yml@refs/tags/v1").is_ok());
    assert!(signer("https://builds.example/build/7").is_ok());
    assert!(signer("https://git.example/ci/build.yml@refs/tags/v2").is_err());
}

#[test]
fn a_delegator_speaks_only_for_whom_was_named() {
    let name = "gha_delegator/v1.10.0/binary-linux-amd64-push-v14";
    let Some((provenance, workload)) = published(name, &format!("{name}.build.slsa")) else {
        return;
    };
    let mut asked = asked(PACKAGE, "v14");
    let refused = check(&provenance, &workload, &asked, &Policy::default());
    assert!(matches!(refused, Err(SlsaError::Delegated(_))), "{refused:?}");
    asked.builder = Some(
        "https://github.com/slsa-framework/example-trw/.github/workflows/builder_high-perms_slsa3.yml"
            .to_owned(),
    );
    assert!(check(&provenance, &workload, &asked, &Policy::default()).is_ok());
}

/// What a pull request would be merged into is not what was built, and whose workflow signs for itself says what it likes.
#[test]
fn a_branch_is_what_was_built_and_not_what_the_build_says() {
    let Some((provenance, workload)) = container() else {
        return;
    };
    let on_main = Asked {
        source: PACKAGE.to_owned(),
        branch: Some("main".to_owned()),
        ..Asked::default()
    };
    let of = |reference: &str, base: &str, signer: Option<&str>| {
        let (mut provenance, mut workload) = (provenance.clone(), workload.clone());
        provenance.base = Some(base.to_owned());
        for git in [&mut provenance.source, &mut provenance.trigger]
            .into_iter()
            .flatten()
        {
            git.reference = Some(reference.to_owned());
        }
        workload.reference = Some(reference.to_owned());
        let mut policy = Policy::default();
        if let Some(signer) = signer {
            signer.clone_into(&mut workload.signer);
            signer.clone_into(&mut provenance.builder_id);
            policy
                .builders
                .push(Policy::own(signer, &[GITHUB_ISSUER.to_owned()]));
        }
        check(&provenance, &workload, &on_main, &policy)
    };
    of("refs/tags/v1", "refs/heads/main", None).unwrap();
    of("refs/tags/v1", "main", None).unwrap();
    of("refs/heads/main", "dev", None).unwrap();
    let own = format!("https://{PACKAGE}/.github/workflows/release.yml@refs/tags/v1.0.0");
    of("refs/heads/main", "", Some(&own)).unwrap();
    for (reference, base, signer) in [
        ("refs/tags/v1", "refs/heads/dev", None),
        ("refs/heads/dev", "refs/heads/main", None),
        ("refs/pull/7/merge", "main", None),
        ("refs/pull/7/merge", "refs/heads/main", None),
        ("refs/merge-requests/7/head", "main", None),
        ("", "main", None),
        ("refs/tags/v1", "refs/heads/main", Some(own.as_str())),
    ] {
        let outcome = of(reference, base, signer);
        assert!(
            matches!(outcome, Err(SlsaError::Reference { what: "branch", .. })),
            "{reference} {base} {signer:?}: {outcome:?}"
        );
    }
}

#[test]
fn provenance_is_a_statement() {
    let of = |kind: &str| {
        let text = json!({ "_type": kind, "predicateType": "https://slsa.dev/provenance/v0.2",
            "predicate": { "builder": { "id": "b" }, "buildType": "t" } });
        Provenance::parse(text.to_string().as_bytes())
    };
    of("https://in-toto.io/Statement/v0.1").unwrap();
    of("https://in-toto.io/Statement/v1").unwrap();
    for kind in ["", "link", "https://in-toto.io/Statement/v2"] {
        assert!(
            matches!(of(kind), Err(ProvenanceError::StatementType(_))),
            "{kind}"
        );
    }
}

#[test]
fn only_the_event_that_has_a_branch_says_it() {
    let base = |event: &str| {
        let payload =
            json!({ "base_ref": "refs/heads/pushed", "release": { "target_commitish": "released" } });
        let old = json!({ "predicateType": "https://slsa.dev/provenance/v0.2", "_type": "https://in-toto.io/Statement/v0.1",
            "predicate": { "builder": { "id": "b" }, "buildType": "t", "invocation": { "environment": {
                "github_event_name": event, "github_event_payload": payload } } } });
        let new = json!({ "predicateType": "https://slsa.dev/provenance/v1", "_type": "https://in-toto.io/Statement/v1",
            "predicate": { "runDetails": { "builder": { "id": "b" } }, "buildDefinition": { "buildType": "t",
                "internalParameters": { "GITHUB_EVENT_NAME": event, "GITHUB_EVENT_PAYLOAD": payload } } } });
        let [old, new] = [old, new].map(|it| Provenance::parse(it.to_string().as_bytes()).unwrap().base);
        assert_eq!(old, new);
        old
    };
    assert_eq!(base("push").as_deref(), Some("refs/heads/pushed"));
    assert_eq!(base("release").as_deref(), Some("released"));
    assert_eq!(base("pull_request"), None);
    assert_eq!(base("workflow_dispatch"), None);
}

#[test]
fn a_builder_without_version_is_any_release_of_it_and_no_branch() {
    const BUILDER: &str = "https://github.com/acme/ci/.github/workflows/build.yml";
    let Some((provenance, workload)) = container() else {
        return;
    };
    let of = |at: &str, named: &str| {
        let (mut provenance, mut workload) = (provenance.clone(), workload.clone());
        workload.signer = format!("{BUILDER}@{at}");
        provenance.builder_id.clone_from(&workload.signer);
        let mut asked = asked(PACKAGE, "v13.0.30");
        asked.builder = Some(named.to_owned());
        let mut policy = Policy::default();
        policy
            .builders
            .push(Policy::own(named, &[GITHUB_ISSUER.to_owned()]));
        check(&provenance, &workload, &asked, &policy)
    };
    of("refs/tags/v1.2.3", BUILDER).unwrap();
    for at in [
        "refs/heads/main",
        "refs/heads/v1.2.3",
        "refs/tags/v1",
        "refs/tags/v1.2.3-rc.1",
        "refs/tags/latest",
        "refs/pull/7/merge",
    ] {
        let outcome = of(at, BUILDER);
        assert!(
            matches!(outcome, Err(SlsaError::Unreleased(_))),
            "{at}: {outcome:?}"
        );
        of(at, &format!("{BUILDER}@{at}")).unwrap();
    }
}

#[test]
fn a_delegator_speaks_for_a_release_of_whom_was_named() {
    let name = "gha_delegator/v1.10.0/binary-linux-amd64-push-v14";
    let Some((mut provenance, workload)) = published(name, &format!("{name}.build.slsa")) else {
        return;
    };
    let (builder, _) = provenance.builder_id.split_once('@').unwrap();
    let mut asked = asked(PACKAGE, "v14");
    asked.builder = Some(builder.to_owned());
    check(&provenance, &workload, &asked, &Policy::default()).unwrap();
    provenance.builder_id = format!("{builder}@refs/heads/main");
    let refused = check(&provenance, &workload, &asked, &Policy::default());
    assert!(matches!(refused, Err(SlsaError::Unreleased(_))), "{refused:?}");
    asked.builder = Some(provenance.builder_id.clone());
    check(&provenance, &workload, &asked, &Policy::default()).unwrap();
}

/// To judge nothing has to be said in words.
#[test]
fn a_policy_says_what_a_builder_builds() {
    let policy = |types: Option<Value>| {
        let mut builder = json!({ "id": "https://git.example/ci/build.yml", "signer": { "issuer": GITHUB_ISSUER, "san": "x" } });
        if let Some(types) = types {
            builder["buildTypes"] = types;
        }
        Policy::parse(
            json!({ "version": 1, "builders": [builder] })
                .to_string()
                .as_bytes(),
        )
    };
    let any = policy(Some(json!("any"))).unwrap();
    assert!(matches!(any.builders[0].build_types, BuildTypes::Any));
    let some = policy(Some(json!([{ "uri": "https://git.example/build/v1" }]))).unwrap();
    assert!(matches!(&some.builders[0].build_types, BuildTypes::These(list) if list.len() == 1));
    for nothing in [None, Some(json!([])), Some(json!("all")), Some(Value::Null)] {
        let refused = policy(nothing.clone());
        assert!(
            matches!(refused, Err(PolicyError::BuildTypes(_))),
            "{nothing:?}: {refused:?}"
        );
    }
    assert!(matches!(
        policy(Some(json!([{ "url": "x" }]))),
        Err(PolicyError::Json(_))
    ));
}

#[test]
fn the_wrong_signer_of_the_registry_is_refused() {
    let bcr = Asked {
        source: "github.com/aspect-build/rules_lint".to_owned(),
        ..Asked::default()
    };
    let Some((provenance, workload)) = published("bcr/MODULE.bazel", "bcr/MODULE.bazel.intoto.jsonl") else {
        return;
    };
    check(&provenance, &workload, &bcr, &Policy::default()).unwrap();
    let (provenance, workload) = published(
        "bcr/MODULE-wrong-signer.bazel",
        "bcr/MODULE-wrong-signer.bazel.intoto.jsonl",
    )
    .unwrap();
    let refused = check(&provenance, &workload, &bcr, &Policy::default());
    assert!(matches!(refused, Err(SlsaError::Untrusted { .. })), "{refused:?}");
}

#[test]
fn a_policy_file_judges_every_external_parameter() {
    let Some((provenance, workload)) = container() else {
        return;
    };
    let policy = |parameters: Value| {
        let file = json!({ "version": 1, "builders": [{
            "id": "https://github.com/slsa-framework/slsa-github-generator/.github/workflows/builder_container-based_slsa3.yml",
            "signer": { "issuer": GITHUB_ISSUER, "sanRegexp": "^https://github.com/slsa-framework/" },
            "buildTypes": [{ "uri": "https://slsa.dev/container-based-build/v0.1?draft", "externalParameters": parameters }],
        }]});
        Policy::parse(file.to_string().as_bytes()).unwrap()
    };
    let asked = asked(PACKAGE, "v13.0.30");
    let outcome = |parameters| check(&provenance, &workload, &asked, &policy(parameters));
    let mut all = json!({ "source": "any", "builderImage": "any", "configPath": { "matches": "^\\.github/" }, "buildConfig": "any" });
    outcome(all.clone()).unwrap();
    all["configPath"] = json!({ "equals": "elsewhere" });
    assert!(matches!(outcome(all.clone()), Err(SlsaError::Parameter { .. })));
    all["configPath"] = json!("any");
    all["required"] = json!({ "oneOf": ["a", "b"] });
    assert!(matches!(
        outcome(all),
        Err(SlsaError::Parameter {
            problem: "the provenance does not have it",
            ..
        })
    ));
    let unjudged = outcome(json!({ "source": "any" }));
    assert!(matches!(
        unjudged,
        Err(SlsaError::Parameter {
            problem: "the policy does not judge it",
            ..
        })
    ));
    for wrong in [
        r#"{"version":2,"builders":[]}"#,
        r#"{"version":1,"builders":[],"x":1}"#,
        "[]",
    ] {
        assert!(Policy::parse(wrong.as_bytes()).is_err());
    }
}

#[test]
fn a_recorded_summary_passes_and_its_changes_do_not() {
    let Some(all) = vectors() else { return };
    let read = |name: &str| fs::read(all.join("slsa/vsa").join(name)).unwrap();
    let summary = read("gke-gce-pre.bcid-vsa.jsonl");
    let pem = String::from_utf8(read("vsa_signing_public_key.pem")).unwrap();
    let key = PublicKey::from_pem(&pem).unwrap();
    let good = vsa::Asked {
        digests: vec![("gce_image_id".to_owned(), "8970095005306000053".to_owned())],
        verifier: "https://bcid.corp.google.com/verifier/bcid_package_enforcer/v0.1".to_owned(),
        resource: "gce_image://gke-node-images:gke-12615-gke1418000-cos-101-17162-463-29-c-cgpv1-pre"
            .to_owned(),
        levels: vec!["SLSA_BUILD_LEVEL_1".to_owned(), "BCID_L1".to_owned()],
    };
    vsa::check(&summary, &key, &good).unwrap();
    let refused = |change: fn(&mut vsa::Asked)| {
        let mut asked = good.clone();
        change(&mut asked);
        vsa::check(&summary, &key, &asked).unwrap_err().to_string()
    };
    assert!(refused(|it| it.digests[0].1.push('1')).starts_with("subject"));
    assert!(refused(|it| it.verifier.push('1')).starts_with("verifier"));
    assert!(refused(|it| it.resource.push('1')).starts_with("resource"));
    assert!(refused(|it| it.levels.push("SLSA_BUILD_LEVEL_3".to_owned())).starts_with("levels"));
    let (other, _) = LocalSigner::generate(KeyAlgorithm::EcdsaP256).unwrap();
    assert!(matches!(
        vsa::check(&summary, other.public_key(), &good),
        Err(vsa::VsaError::Signature)
    ));
}

#[test]
fn a_summary_of_ours_passes_the_same_checks() {
    let (key, _) = LocalSigner::generate(KeyAlgorithm::EcdsaP256).unwrap();
    let sha256 = "ab".repeat(32);
    let summary = vsa::Summary {
        subjects: &[("app".to_owned(), sha256.clone())],
        verifier: "https://verifier.example",
        time: "2026-01-01T00:00:00Z",
        resource: "pkg:generic/app",
        policy: ("https://policy.example", None),
        input: &sha256,
        level: 3,
    };
    let json = vsa::sign(&summary, &key).unwrap();
    let asked = vsa::Asked {
        digests: vec![("sha256".to_owned(), sha256)],
        verifier: "https://verifier.example".to_owned(),
        resource: "pkg:generic/app".to_owned(),
        levels: vec!["SLSA_BUILD_LEVEL_3".to_owned()],
    };
    vsa::check(json.as_bytes(), key.public_key(), &asked).unwrap();
    let mut envelope: Envelope = serde_json::from_str(&json).unwrap();
    let payload = String::from_utf8(envelope.payload).unwrap();
    envelope.payload = payload.replacen("Statement/v1", "Statement/v2", 1).into_bytes();
    envelope.signatures[0].sig = key.sign(&envelope.pae()).unwrap();
    let other = vsa::check(
        serde_json::to_string(&envelope).unwrap().as_bytes(),
        key.public_key(),
        &asked,
    );
    assert!(other.unwrap_err().to_string().starts_with("statement type"));
    let cut = json.replacen("payload\":\"", "payload\":\"AA", 1);
    assert!(vsa::check(cut.as_bytes(), key.public_key(), &asked).is_err());
}
