//! The terms an entry is found by (`rekor pkg/types/*/entry.go IndexKeys`).

use std::collections::{BTreeMap, HashSet};

use common_bundle::format::IN_TOTO_PAYLOAD_TYPE;
use common_pki::key::sha256;
use serde::Deserialize;

use crate::pki::Key;
use crate::verifier::Verifier;

/// Longest term kept: the key column of upstream's MySQL index (`rekor scripts/storage`).
pub(crate) const MAX_TERM: usize = 512;
/// Most terms of one entry, so that one request cannot write an unbounded number of rows: enough for the subjects of any statement
/// that sigstore-go verifies (`internal/limits`, 1,024 of them) with several digests each. What has more is refused, see
/// [`Invalid::TooManyTerms`](crate::Invalid::TooManyTerms).
pub const MAX_TERMS: usize = 4096;
/// Before the type of a statement's predicate, which upstream has no key for.
pub(crate) const PREDICATE_TYPE: &str = "predicate-type:";

#[derive(Deserialize)]
struct Digested {
    #[serde(default)]
    digest: BTreeMap<String, String>,
}

/// Collects lower-case terms, each once, in order; at most one more than [`MAX_TERMS`].
#[derive(Default)]
pub(crate) struct IndexKeys {
    terms: Vec<String>,
    seen: HashSet<String>,
}

impl IndexKeys {
    /// Takes the term over: the most frequent ones are made for this and need no lower-case copy.
    pub(crate) fn push(&mut self, mut term: String) {
        if term.is_empty() || term.len() > MAX_TERM || self.terms.len() > MAX_TERMS {
            return;
        }
        if term.is_ascii() {
            term.make_ascii_lowercase();
        } else {
            term = term.to_lowercase();
        }
        if self.terms.len() < 8 {
            if self.terms.contains(&term) {
                return;
            }
        } else {
            if self.seen.is_empty() {
                self.seen.extend(self.terms.iter().cloned());
            }
            if !self.seen.insert(term.clone()) {
                return;
            }
        }
        self.terms.push(term);
    }

    pub(crate) fn digest(&mut self, algorithm: &str, value: &str) {
        self.push(format!("{algorithm}:{value}"));
    }

    /// Key hash and subject names, the hash as a public-key search asks for it.
    pub(crate) fn verifier(&mut self, verifier: &Verifier) {
        self.push(verifier.key_hash());
        for subject in verifier.subjects() {
            self.push(subject.clone());
        }
    }

    /// As [`verifier`](Self::verifier), for a key of any format.
    pub(crate) fn key(&mut self, key: &Key) {
        self.push(sha256_hex(&key.canonical));
        for subject in &key.subjects {
            self.push(subject.clone());
        }
    }

    /// As [`verifier`](Self::verifier), and with the prefixed hash: upstream stores only that one for envelopes, which its
    /// own public-key search never finds (`rekor pkg/types/dsse/v0.0.1/entry.go`, `pkg/api/index.go`).
    pub(crate) fn envelope_verifier(&mut self, verifier: &Verifier) {
        self.digest("sha256", &verifier.key_hash());
        self.verifier(verifier);
    }

    /// Digests of the subjects and of the SLSA materials of an in-toto statement, and its predicate's type; other
    /// payloads name nothing.
    pub(crate) fn statement(&mut self, payload_type: &str, payload: &[u8]) {
        if payload_type == IN_TOTO_PAYLOAD_TYPE {
            self.predicate_type(payload);
            self.subjects(payload);
            self.materials(payload);
        }
    }

    /// Type of an in-toto statement's predicate.
    pub(crate) fn predicate_type(&mut self, statement: &[u8]) {
        #[derive(Deserialize)]
        struct Statement {
            #[serde(rename = "predicateType")]
            predicate_type: String,
        }
        if let Ok(statement) = serde_json::from_slice::<Statement>(statement)
            && !statement.predicate_type.is_empty()
        {
            self.push([PREDICATE_TYPE, &statement.predicate_type].concat());
        }
    }

    /// Digests of an in-toto statement's subjects.
    pub(crate) fn subjects(&mut self, statement: &[u8]) {
        #[derive(Deserialize)]
        struct Statement {
            #[serde(default)]
            subject: Vec<Digested>,
        }
        if let Ok(statement) = serde_json::from_slice::<Statement>(statement) {
            self.digests(&statement.subject);
        }
    }

    fn materials(&mut self, statement: &[u8]) {
        #[derive(Deserialize)]
        struct Statement {
            predicate: Predicate,
        }
        #[derive(Deserialize)]
        struct Predicate {
            #[serde(default)]
            materials: Vec<Digested>,
        }
        if let Ok(statement) = serde_json::from_slice::<Statement>(statement) {
            self.digests(&statement.predicate.materials);
        }
    }

    fn digests(&mut self, digested: &[Digested]) {
        for (algorithm, value) in digested.iter().flat_map(|digested| &digested.digest) {
            self.digest(algorithm, value);
            // in-toto names a commit by the version control that made it, a search by the hash it is.
            if algorithm.eq_ignore_ascii_case("gitCommit") {
                match value.len() {
                    40 => self.digest("sha1", value),
                    64 => self.digest("sha256", value),
                    _ => {}
                }
            }
        }
    }

    pub(crate) fn into_terms(self) -> Vec<String> {
        self.terms
    }
}

/// Whether a key's comment or user ID is an address to be found by: one `@` between a name and a host, nothing to escape.
pub(crate) fn is_email(text: &str) -> bool {
    let plain = |part: &str, more: &[u8]| {
        !part.is_empty()
            && part
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte >= 0x80 || more.contains(&byte))
    };
    text.split_once('@').is_some_and(|(name, host)| {
        plain(name, b"!#$%&'*+-/=?^_`{|}~.")
            && plain(host, b"-.")
            && !host.starts_with(['.', '-'])
            && host.contains('.')
    })
}

/// Lower-case hex of SHA-256.
pub(crate) fn sha256_hex(data: &[u8]) -> String {
    hex::encode(sha256(data))
}

/// The terms that an in-toto statement has beside those of the entry that holds it; none if it is no such statement.
#[must_use]
pub fn statement_keys(statement: &[u8]) -> Vec<String> {
    let mut keys = IndexKeys::default();
    keys.statement(IN_TOTO_PAYLOAD_TYPE, statement);
    keys.terms
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn terms(statement: &str) -> Vec<String> {
        let mut keys = IndexKeys::default();
        keys.statement(IN_TOTO_PAYLOAD_TYPE, statement.as_bytes());
        keys.into_terms()
    }

    #[test]
    fn statements_name_subjects_and_materials_once_and_in_lower_case() {
        let found = terms(
            r#"{"subject":[{"digest":{"sha256":"AA","gitCommit":"bb"}},{"digest":{"sha256":"aa"}}],
                "predicate":{"materials":[{"uri":"x","digest":{"sha1":"cc"}}]}}"#,
        );
        assert_eq!(found, ["gitcommit:bb", "sha256:aa", "sha1:cc"]);
    }

    #[test]
    fn commits_are_found_by_their_hash_too() {
        let commit = "c".repeat(40);
        let found = terms(&format!(
            r#"{{"subject":[],"predicate":{{"materials":[{{"digest":{{"gitCommit":"{commit}"}}}}]}}}}"#
        ));
        assert_eq!(found, [format!("gitcommit:{commit}"), format!("sha1:{commit}")]);
    }

    #[test]
    fn payloads_of_another_shape_name_nothing() {
        assert!(terms("not json").is_empty());
        assert!(terms(r#"{"subject":"x","predicateType":7}"#).is_empty());
        assert_eq!(
            terms(r#"{"predicateType":"https://slsa.dev/Provenance/v1"}"#),
            ["predicate-type:https://slsa.dev/provenance/v1"]
        );
        assert_eq!(
            terms(r#"{"subject":[{"digest":{"sha256":"aa"}}],"predicate":[]}"#),
            ["sha256:aa"]
        );
        let mut keys = IndexKeys::default();
        keys.statement("text/plain", br#"{"subject":[{"digest":{"sha256":"aa"}}]}"#);
        assert!(keys.into_terms().is_empty());
    }

    #[test]
    fn terms_are_bounded_in_length_and_number() {
        let mut keys = IndexKeys::default();
        keys.push("x".repeat(MAX_TERM + 1));
        for n in 0..2 * MAX_TERMS {
            keys.push(format!("term-{n}"));
            keys.push(format!("term-{n}"));
        }
        let terms = keys.into_terms();
        // One more than there may be: so that they are refused.
        assert_eq!(terms.len(), MAX_TERMS + 1);
        assert_eq!(terms.iter().collect::<HashSet<_>>().len(), terms.len());
    }

    #[test]
    fn terms_are_lower_case_in_any_script() {
        let mut keys = IndexKeys::default();
        for term in ["Dev@Example.COM", "dev@example.com", "ÄRGER@example.com"] {
            keys.push(term.to_owned());
        }
        assert_eq!(keys.into_terms(), ["dev@example.com", "ärger@example.com"]);
    }
}
