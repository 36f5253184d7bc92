#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

use std::collections::HashMap;

use super::*;

struct Given(HashMap<&'static str, &'static str>);

impl Values for Given {
    fn get(&self, name: &str) -> Result<Cow<'_, str>, Unfilled> {
        let found = self.0.get(name).map(|text| Cow::Borrowed(*text));
        found.ok_or_else(|| Unfilled::Missing(name.to_owned()))
    }
}

fn given() -> Given {
    Given(HashMap::from([
        ("url", "https://ci.example"),
        ("ref", "main"),
        ("ref_type", "branch"),
        ("empty", ""),
        ("ci.example/id", "p1"),
        ("html", "a<b>&\"c\""),
    ]))
}

#[test]
fn actions_give_what_go_gives() {
    for (template, expected) in [
        ("plain", "plain"),
        ("{{ .url }}/{{.ref}}", "https://ci.example/main"),
        ("{{(index . \"ci.example/id\")}}!", "p1!"),
        ("{{index . `ci.example/id`}}", "p1"),
        (
            "refs/{{if eq .ref_type \"branch\"}}heads/{{ else }}tags/{{end}}{{ .ref }}",
            "refs/heads/main",
        ),
        (
            "{{if eq .ref_type \"tag\"}}t{{else if eq .ref_type \"branch\"}}b{{else}}x{{end}}",
            "b",
        ),
        ("{{if ne .ref \"main\"}}a{{end}}|", "|"),
        ("{{if eq .ref \"dev\" \"main\"}}one of{{end}}", "one of"),
        ("{{if and .url .empty}}a{{else}}b{{end}}", "b"),
        ("{{or .empty .ref}}", "main"),
        ("{{if not .empty}}none{{end}}", "none"),
        ("{{if not (eq .ref \"main\")}}a{{else}}\"\"{{end}}", "\"\""),
        ("a {{- .ref -}} b", "amainb"),
        ("a{{/* not said */}}b {{- /* nor this */ -}} c", "abc"),
        ("{{\"}}\"}}{{`{{`}}", "}}{{"),
        ("{{eq .ref \"main\"}}", "true"),
        // text/template, not html/template (fulcio #2023).
        ("{{.html}}", "a<b>&\"c\""),
        ("}}", "}}"),
    ] {
        let text = Template::parse(template).unwrap_or_else(|cause| panic!("{template}: {cause}"));
        assert_eq!(text.fill(&given()).unwrap(), expected, "{template}");
    }
}

#[test]
fn a_missing_name_is_an_error_also_for_index() {
    for template in [
        "{{.no}}",
        "{{index . \"no\"}}",
        "{{if eq .no \"x\"}}{{end}}",
        "{{if .no}}{{end}}",
    ] {
        let outcome = Template::parse(template).unwrap().fill(&given());
        assert_eq!(outcome, Err(Unfilled::Missing("no".to_owned())), "{template}");
    }
    // What is not chosen is not asked for, as in Go.
    let text = Template::parse("{{if .ref}}a{{else}}{{.no}}{{end}}{{if or .ref .no}}b{{end}}").unwrap();
    assert_eq!(text.fill(&given()).unwrap(), "ab");
}

#[test]
fn what_is_not_known_is_refused_when_it_is_read() {
    for (template, part) in [
        ("{{", "expected }}"),
        ("{{ .a", "expected }}"),
        ("{{}}", "the end of the action"),
        ("{{.}}", "got ."),
        ("{{.a.b}}", "got .b"),
        ("{{.a | printf}}", "'|'"),
        ("{{printf \"%s\" .a}}", "got printf"),
        ("{{call .a}}", "got call"),
        ("{{range .a}}{{end}}", "got range"),
        ("{{if .a}}", "{{end}} for every"),
        ("{{if .a}}{{else}}{{else}}{{end}}", "after {{else}}"),
        ("{{end}}", "unexpected {{end}}"),
        ("{{else}}", "unexpected {{else}}"),
        ("{{if}}{{end}}", "the end of the action"),
        ("{{index .a \"b\"}}", "index . \"name\""),
        ("{{index . .b}}", "index . \"name\""),
        ("{{eq .a}}", "number of arguments"),
        ("{{\"a}}", "closing quote"),
        ("{{`a}}", "closing quote"),
        ("{{\"\\n\"}}", "backslash"),
        ("{{/* a}}", "*/"),
        ("{{/* a */ .b}}", "after a comment"),
        ("{{(.a}}", "the end of the action"),
        ("{{.a)}}", "got )"),
        ("{{$x := .a}}", "'$'"),
    ] {
        let cause = Template::parse(template).expect_err(template).to_string();
        assert!(cause.contains(part), "{template}: {cause}");
    }
    for deep in [
        format!("{{{{{}.a{}}}}}", "(".repeat(1_000), ")".repeat(1_000)),
        format!("{}{}", "{{if .a}}".repeat(200), "{{end}}".repeat(200)),
        format!("{{{{if .a}}}}{}{{{{end}}}}", "{{else if .a}}".repeat(200)),
    ] {
        assert!(Template::parse(&deep).unwrap_err().to_string().contains("levels"));
    }
    assert!(
        Template::parse(&"a".repeat(5_000))
            .unwrap_err()
            .to_string()
            .contains("4096")
    );
}

#[test]
fn texts_are_bounded() {
    let text = Template::parse(&"{{.url}}".repeat(400)).unwrap();
    assert_eq!(text.fill(&given()), Err(Unfilled::TooLong));
}
