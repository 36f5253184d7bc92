#![allow(clippy::unwrap_used, reason = "tests")]

use serde_json::json;

use super::*;

/// Of a run that `event` started, with `inputs`.
fn provenance(event: &str, inputs: &Value) -> Provenance {
    let statement = json!({
        "_type": "https://in-toto.io/Statement/v1", "predicateType": "https://slsa.dev/provenance/v1",
        "predicate": {
            "buildDefinition": { "buildType": "t", "internalParameters": {
                "GITHUB_EVENT_NAME": event, "GITHUB_EVENT_PAYLOAD": { "inputs": inputs },
            }},
            "runDetails": { "builder": { "id": "b" } },
        },
    });
    Provenance::parse(statement.to_string().as_bytes()).unwrap()
}

#[test]
fn an_input_that_a_run_did_not_have_is_not_an_empty_one() {
    let judged = |event: &str, inputs: &Value, name: &str, expected: &str| {
        let asked = Asked {
            inputs: vec![(name.to_owned(), expected.to_owned())],
            ..Asked::default()
        };
        check_inputs(&provenance(event, inputs), &asked)
    };
    let inputs = json!({ "release": "true", "empty": "", "count": 3, "none": "none" });
    for (name, expected) in [("release", "true"), ("empty", ""), ("count", "3")] {
        judged("workflow_dispatch", &inputs, name, expected).unwrap();
    }
    for (event, name, expected) in [
        ("workflow_dispatch", "absent", ""),
        ("workflow_dispatch", "absent", "none"),
        // Nobody started it, so it has no inputs, whatever its event says.
        ("push", "empty", ""),
        ("push", "release", "true"),
    ] {
        let error = judged(event, &inputs, name, expected).unwrap_err();
        assert!(matches!(error, SlsaError::Input { got: None, .. }), "{error:?}");
        assert!(error.to_string().ends_with("got none"), "{error}");
    }
    let error = judged("workflow_dispatch", &inputs, "none", "").unwrap_err();
    assert!(error.to_string().ends_with("got \"none\""), "{error}");
}

#[test]
fn the_name_of_a_builder_that_signs_for_itself_is_said_once() {
    let said = |signer: &str| {
        let error = SlsaError::Untrusted {
            signer: signer.to_owned(),
            issuer: "https://issuer.example".to_owned(),
            builder: "https://git.example/ci.yml@refs/tags/v1.2.3".to_owned(),
        };
        error.to_string()
    };
    let own = said("https://git.example/ci.yml@refs/tags/v1.2.3");
    assert_eq!(own.matches("ci.yml").count(), 1, "{own}");
    assert!(own.ends_with("is no builder that is trusted"), "{own}");
    let other = said("https://git.example/other.yml");
    assert!(
        other.ends_with(
            "is no signer that is trusted for builder \"https://git.example/ci.yml@refs/tags/v1.2.3\""
        ),
        "{other}"
    );
}
