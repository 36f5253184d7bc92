#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use serde_json::{Value, json};

use super::*;

fn apply(kind: &str, claims: &Value) -> Result<(SubjectAltName, Extensions), TokenError> {
    let Value::Object(members) = claims.clone() else {
        unreachable!()
    };
    Legacy::named(kind)
        .unwrap()
        .apply("https://issuer.example", &Claims::new(members))
}

#[track_caller]
fn refused(kind: &str, claims: &Value, part: &str) {
    let cause = apply(kind, claims).unwrap_err().to_string();
    assert!(cause.contains(part), "{cause}");
}

fn text_of(extensions: &Extensions, wanted: Extension) -> Option<&str> {
    extensions
        .iter()
        .find(|(kind, _)| *kind == wanted)
        .map(|(_, text)| text)
}

fn gitlab_claims() -> Value {
    json!({"ci_config_ref_uri": "gitlab.com/a/b//.gitlab-ci.yml@refs/heads/main", "pipeline_id": "5",
        "pipeline_source": "push", "project_path": "a/b", "project_id": "7", "namespace_path": "a", "namespace_id": "9",
        "ref": "main", "ref_type": "branch", "sha": "d", "runner_id": 1, "runner_environment": "x", "job_id": "11"})
}

#[test]
fn every_claim_of_a_type_must_be_a_text() {
    for rules in &RULES {
        let whole: serde_json::Map<_, _> = rules
            .required
            .iter()
            .map(|name| ((*name).to_owned(), json!("branch")))
            .collect();
        for name in rules.required {
            for (value, part) in [
                (json!(null), "got none"),
                (json!(""), "got none"),
                (json!(7), "expected a string, got 7"),
            ] {
                let mut claims = whole.clone();
                claims.insert((*name).to_owned(), value);
                refused(rules.name, &Value::Object(claims.clone()), &format!("{name}: "));
                refused(rules.name, &Value::Object(claims), part);
            }
        }
    }
}

/// Go's `url.JoinPath` escapes what it joins, in the subject and in the extensions alike.
#[test]
fn what_is_joined_is_escaped() {
    let mut claims = json!({"job_workflow_ref": "a/b c/w.yml@refs/heads/dév", "workflow_ref": "a/b/w?.yml", "run_id": "1"});
    for name in RULES[0].required {
        if claims.get(name).is_none() {
            claims[*name] = json!("x y");
        }
    }
    let (subject, extensions) = apply("github-workflow", &claims).unwrap();
    assert_eq!(
        subject.text(),
        "https://github.com/a/b%20c/w.yml@refs/heads/d%C3%A9v"
    );
    for (extension, text) in [
        (
            Extension::BuildSignerUri,
            "https://github.com/a/b%20c/w.yml@refs/heads/d%C3%A9v",
        ),
        (Extension::BuildConfigUri, "https://github.com/a/b/w%3F.yml"),
        (
            Extension::RunInvocationUri,
            "https://github.com/x%20y/actions/runs/1/attempts/x%20y",
        ),
        (Extension::SourceRepositoryRef, "x y"),
    ] {
        assert_eq!(text_of(&extensions, extension), Some(text));
    }
    claims["run_id"] = json!("100%zz");
    refused("github-workflow", &claims, "every % begins a code");

    let mut claims = gitlab_claims();
    claims["ci_config_ref_uri"] = json!("gitlab.com/a/b c.yml@x");
    let (subject, extensions) = apply("gitlab-pipeline", &claims).unwrap();
    assert_eq!(subject.text(), "https://gitlab.com/a/b%20c.yml@x");
    assert_eq!(
        text_of(&extensions, Extension::BuildConfigUri),
        Some("https://gitlab.com/a/b%20c.yml@x")
    );
    claims["ci_config_ref_uri"] = json!("https://evil.example/x");
    refused("gitlab-pipeline", &claims, "without a scheme");
}

/// Upstream reads them into strings, whether they are used or not.
#[test]
fn optional_claims_are_texts() {
    for rules in &RULES {
        let mut whole = match rules.name {
            "gitlab-pipeline" => gitlab_claims(),
            _ => json!({}),
        };
        for name in rules.required {
            if whole.get(name).is_none() {
                whole[*name] = json!("x");
            }
        }
        apply(rules.name, &whole).unwrap();
        for name in rules.optional {
            let mut claims = whole.clone();
            claims[*name] = json!(7);
            refused(rules.name, &claims, "expected a string, got 7");
        }
    }
}

#[test]
fn gitlab_wants_a_runner_and_a_branch_or_tag() {
    apply("gitlab-pipeline", &gitlab_claims()).unwrap();
    for (name, value, part) in [
        (
            "runner_id",
            json!(0),
            "runner_id: expected a number other than 0, got 0",
        ),
        ("runner_id", json!("1"), "got \"1\""),
        ("runner_id", json!(null), "got null"),
        (
            "ref_type",
            json!("commit"),
            "expected \"branch\" or \"tag\", got \"commit\"",
        ),
        (
            "project_path",
            json!("a/../b"),
            "without empty or relative segments",
        ),
        (
            "namespace_path",
            json!("a//b"),
            "without empty or relative segments",
        ),
    ] {
        let mut claims = gitlab_claims();
        claims[name] = value;
        refused("gitlab-pipeline", &claims, part);
    }
}

#[test]
fn codefresh_knows_its_platform() {
    let mut claims = json!({"account_id": "1", "account_name": "a", "pipeline_id": "2", "pipeline_name": "p/b",
        "workflow_id": "w"});
    let subject = |claims: &Value| apply("codefresh-workflow", claims).unwrap().0.text();
    assert_eq!(subject(&claims), "https://g.codefresh.io/a/p/b:1/2");
    claims["platform_url"] = json!("");
    assert_eq!(subject(&claims), "https://g.codefresh.io/a/p/b:1/2");
    claims["platform_url"] = json!("https://own.example");
    assert_eq!(subject(&claims), "https://own.example/a/p/b:1/2");
    claims["account_name"] = json!(null);
    assert_eq!(subject(&claims), "https://own.example/p/b:1/2");
}

#[test]
fn only_the_deprecated_names_are_legacy() {
    assert!(Legacy::named("circleci-job").is_none());
    assert!(Legacy::named("email").is_none());
}
