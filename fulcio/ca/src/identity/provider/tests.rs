#![allow(clippy::unwrap_used, reason = "tests")]

use serde_json::{Value, json};

use super::*;

fn claims(value: Value) -> Claims {
    let Value::Object(members) = value else {
        unreachable!()
    };
    Claims::new(members)
}

fn provider(subject: &str, defaults: &[(&str, &str)], overridable: &[&str]) -> CiProvider {
    let text = CiProviderText {
        defaults: defaults
            .iter()
            .map(|(name, text)| ((*name).to_owned(), (*text).to_owned()))
            .collect(),
        overridable: overridable.iter().map(|name| (*name).to_owned()).collect(),
        subject: subject.to_owned(),
        extensions: vec![(Extension::BuildTrigger, "trigger".to_owned())],
    };
    CiProvider::new("ci", text).unwrap()
}

#[test]
fn every_builtin_can_be_read() {
    for known in &BUILTIN {
        assert_eq!(CiProvider::builtin(known.name).unwrap().name(), known.name);
    }
    assert!(CiProvider::builtin("jenkins").is_none());
}

/// `spec`, "Security": an issuer whose users mint claims must not let them choose where a URI leads.
#[test]
fn claims_do_not_override_defaults_that_say_something() {
    let token =
        claims(json!({"url": "https://evil.example", "environment": "production", "trigger": "push"}));
    let fixed = provider(
        "{{.url}}/x",
        &[("url", "https://ci.example"), ("environment", "")],
        &[],
    );
    let (subject, _) = fixed.apply("https://issuer.example", &token).unwrap();
    assert_eq!(subject, SubjectAltName::Uri("https://ci.example/x".to_owned()));
    let open = provider("{{.url}}/x", &[("url", "https://ci.example")], &["url"]);
    let (subject, _) = open.apply("https://issuer.example", &token).unwrap();
    assert_eq!(subject, SubjectAltName::Uri("https://evil.example/x".to_owned()));
    // An empty default stands in for a claim that may be missing.
    let optional = provider("https://ci.example/{{.environment}}", &[("environment", "")], &[]);
    let (subject, _) = optional.apply("https://issuer.example", &token).unwrap();
    assert_eq!(
        subject,
        SubjectAltName::Uri("https://ci.example/production".to_owned())
    );
}

/// Fulcio #2406: 123456789012 became 1.23456789012e+11.
#[test]
fn fulcio_2406_numbers_are_written_without_an_exponent() {
    for (number, text) in [
        (json!(123_456_789_012_u64), "123456789012"),
        (json!(12), "12"),
        (json!(-3), "-3"),
        (json!(1.0), "1"),
        (json!(1e21), "1000000000000000000000"),
        (json!(0.5), "0.5"),
        (json!(18_446_744_073_709_551_615_u64), "18446744073709551615"),
        (json!(true), "true"),
        (json!("x"), "x"),
    ] {
        let provider = provider("https://ci.example/{{.id}}", &[], &[]);
        let token = claims(json!({"id": number, "trigger": "push"}));
        let (subject, _) = provider.apply("https://issuer.example", &token).unwrap();
        assert_eq!(subject, SubjectAltName::Uri(format!("https://ci.example/{text}")));
    }
}

/// Fulcio #2023: upstream filled templates by an engine for HTML, which changed what stood in them.
#[test]
fn fulcio_2023_what_html_would_escape_stays_as_it_is() {
    let text = r#"a&b <c> "d" 'e' +f =g `h` {{.trigger}} \u003c"#;
    let provider = provider("https://ci.example/{{.path}}", &[], &[]);
    let token = claims(json!({"path": "a&b'c+d=e", "trigger": text}));
    let (subject, extensions) = provider.apply("https://issuer.example", &token).unwrap();
    assert_eq!(
        subject,
        SubjectAltName::Uri("https://ci.example/a&b'c+d=e".to_owned())
    );
    assert_eq!(
        extensions.iter().collect::<Vec<_>>(),
        [(Extension::BuildTrigger, text)]
    );
}

#[test]
fn what_is_missing_or_no_text_is_named() {
    let provider = provider("https://ci.example/{{.id}}", &[], &[]);
    for (token, parts) in [
        (
            json!({"id": "1"}),
            [
                "value <trigger> not present in either claims or defaults. {",
                "\"BuildTrigger\"",
            ],
        ),
        (
            json!({"trigger": "x"}),
            [
                "template: map has no entry for key \"id\". {",
                "\"SubjectAlternativeName\"",
            ],
        ),
        (
            json!({"id": null, "trigger": "x"}),
            ["map has no entry for key \"id\"", "Issuer"],
        ),
        (
            json!({"id": ["1"], "trigger": "x"}),
            ["claim \"id\": expected a string", "got an array"],
        ),
        (
            json!({"id": {}, "trigger": "x"}),
            ["claim \"id\": expected a string", "got an object"],
        ),
        (
            json!({"id": "a\nb", "trigger": "x"}),
            ["expected a URI without control", "a\\nb"],
        ),
        (
            json!({"id": "x", "trigger": "x".repeat(5_000)}),
            ["expected at most 4096", "BuildTrigger"],
        ),
    ] {
        let message = provider
            .apply("https://issuer.example", &claims(token))
            .unwrap_err()
            .to_string();
        for part in parts {
            assert!(message.contains(part), "{part}: {message}");
        }
    }
}

#[test]
fn a_mapping_that_cannot_work_is_refused_when_it_is_read() {
    let text = |subject: &str, template: &str| CiProviderText {
        subject: subject.to_owned(),
        extensions: vec![(Extension::BuildSignerUri, template.to_owned())],
        ..CiProviderText::default()
    };
    for (text, part) in [
        (
            text(" ", "a"),
            "subject-alternative-name-template: expected a template, got none",
        ),
        (
            text("{{.a", "a"),
            "subject-alternative-name-template: expected }}",
        ),
        (text("{{.a}}", "{{range .b}}"), "BuildSignerURI: expected .name"),
    ] {
        let cause = CiProvider::new("ci", text).unwrap_err().to_string();
        assert!(
            cause.starts_with("ci-issuer-metadata \"ci\": ") && cause.contains(part),
            "{cause}"
        );
    }
    // White space alone is no mapping, as upstream has it.
    assert!(
        CiProvider::new("ci", text("a", " "))
            .unwrap()
            .extensions
            .is_empty()
    );
}
