//! What kind of thing a statement says: the type of its predicate.

use common_bundle::format::{Bundle, Content};
use serde::Deserialize;

use crate::exit::Exit;
use crate::verify::report::Refusal;

/// cosign's names for predicate types (`cosign cmd/cosign/cli/options/predicate.go`); of those with one type, the first is ours.
const NAMES: [(&str, &str); 11] = [
    ("slsaprovenance1", "https://slsa.dev/provenance/v1"),
    ("slsaprovenance", "https://slsa.dev/provenance/v0.2"),
    ("slsaprovenance02", "https://slsa.dev/provenance/v0.2"),
    ("spdxjson", "https://spdx.dev/Document"),
    ("spdx", "https://spdx.dev/Document"),
    ("cyclonedx", "https://cyclonedx.org/bom"),
    ("link", "https://in-toto.io/Link/v1"),
    ("vuln", "https://cosign.sigstore.dev/attestation/vuln/v1"),
    ("openvex", "https://openvex.dev/ns"),
    ("scorecard", "https://scorecard.dev/result/v0.1"),
    ("custom", "https://cosign.sigstore.dev/attestation/v1"),
];

/// The type that an option names: a URI, or one of [`NAMES`].
///
/// # Errors
/// What was expected.
pub(crate) fn parse(text: &str) -> Result<String, String> {
    if let Some((_, uri)) = NAMES.iter().find(|(name, _)| *name == text) {
        return Ok((*uri).to_owned());
    }
    if is_uri(text) {
        return Ok(text.to_owned());
    }
    let names = NAMES.map(|(name, _)| name).join(", ");
    Err(format!("expected a URI, or one of {names}"))
}

/// Whether a text is a URI and no relative reference: it begins with a scheme (RFC 3986 §3.1), as a predicate type must
/// (`in-toto/attestation spec/v1/field_types.md`, TypeURI).
pub(crate) fn is_uri(text: &str) -> bool {
    text.split_once(':').is_some_and(|(scheme, rest)| {
        scheme.starts_with(|c: char| c.is_ascii_alphabetic())
            && scheme
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b))
            && !rest.is_empty()
            && rest.bytes().all(|b| b.is_ascii_graphic())
    })
}

/// The type that a statement has; `None` for what is no statement.
pub(crate) fn of_statement(payload: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Statement {
        predicate_type: String,
    }
    let statement: Statement = serde_json::from_slice(payload).ok()?;
    Some(statement.predicate_type)
}

/// A bundle's statement has the predicate type that was asked for.
///
/// # Errors
/// [`Refusal`].
pub(super) fn check(bundle: &Bundle, expected: Option<&str>) -> Result<(), Refusal> {
    let Some(expected) = expected else { return Ok(()) };
    let got = match &bundle.content {
        Content::Dsse(envelope) => match of_statement(&envelope.payload) {
            Some(got) if got == expected => return Ok(()),
            got => got.unwrap_or_else(|| "no statement".to_owned()),
        },
        Content::Message { .. } => "a signature over the artifact itself".to_owned(),
    };
    let why = format!("expected a statement with predicate type {expected}, got {got}");
    Err(Refusal::new("predicate-type", Exit::OtherArtifact, why))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use clap::Parser as _;

    use super::*;
    use crate::cli::Cli;

    #[test]
    fn a_predicate_type_is_a_uri_or_a_known_name() {
        for (text, uri) in [
            ("slsaprovenance1", "https://slsa.dev/provenance/v1"),
            ("spdxjson", "https://spdx.dev/Document"),
            ("https://example.com/p", "https://example.com/p"),
            ("urn:example:p", "urn:example:p"),
        ] {
            assert_eq!(parse(text).unwrap(), uri);
        }
        for text in [
            "bogus",
            "",
            "a b:c",
            "1a:b",
            ":b",
            "a:",
            "example.com/p",
            "https:/ /",
        ] {
            let error = parse(text).unwrap_err();
            assert!(
                error.contains("slsaprovenance1, ") && error.contains("cyclonedx"),
                "{error}"
            );
        }
    }

    #[test]
    fn another_type_is_a_wrong_command_line() {
        for words in [
            "sigbox attest --predicate p.json --type bogus app",
            "sigbox verify --key k.pub --type bogus app",
        ] {
            let error = Cli::try_parse_from(words.split(' ')).unwrap_err();
            assert_eq!(error.exit_code(), 2, "{error}");
            assert!(error.to_string().contains("spdxjson"), "{error}");
        }
    }
}
