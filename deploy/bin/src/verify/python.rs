//! What PEP 740 asks of an attestation object beyond its signature: one subject, the distribution by its file's name, and a
//! predicate type that indexes know (pypi-attestations `_impl.py`, Attestation.verify).

use std::collections::BTreeSet;
use std::path::Path;

use common_bundle::format::{Bundle, Content};
use common_bundle::slsa::Subject;
use serde::Deserialize;

use super::report::Refusal;
use crate::exit::Exit;

/// The predicate types of the index's own publish step and of SLSA provenance.
const PREDICATES: [&str; 2] = [
    "https://docs.pypi.org/attestations/publish/v1",
    "https://slsa.dev/provenance/v1",
];
/// The file formats of distributions: wheels (PEP 427), and the sources (PEP 625, and what came before it).
const FORMATS: [&str; 3] = [".whl", ".tar.gz", ".zip"];

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Statement {
    subject: Vec<Subject>,
    predicate_type: String,
}

/// Checks the statement of an attestation object, whose signature and digest are verified, against the file `artifact`. A wheel
/// under the name of another, of an older version for example, is not the one that was published.
///
/// # Errors
/// [`Refusal`] with what the statement says instead.
pub(super) fn check(bundle: &Bundle, artifact: &str) -> Result<(), Refusal> {
    let refuse = |check, why: String| Err(Refusal::new(check, Exit::OtherArtifact, why));
    let Content::Dsse(envelope) = &bundle.content else {
        return refuse("subject", "an attestation object without a statement".to_owned());
    };
    let statement: Statement = match serde_json::from_slice(&envelope.payload) {
        Ok(statement) => statement,
        Err(error) => return refuse("subject", format!("the statement cannot be read: {error}")),
    };
    let [subject] = statement.subject.as_slice() else {
        let got = statement.subject.len();
        return refuse(
            "subject",
            format!("expected one subject in an attestation object, got {got}"),
        );
    };
    let file = Path::new(artifact).file_name().map(|name| name.to_string_lossy());
    let file = file.as_deref().unwrap_or_default();
    let (Some(held), Some(named)) = (Distribution::parse(file), Distribution::parse(&subject.name)) else {
        return refuse(
            "subject",
            format!(
                "expected the file of a distribution ({}) by the name it was published under, got {file:?}, and {:?} in the statement",
                FORMATS.join(", "),
                subject.name
            ),
        );
    };
    if held != named {
        return refuse(
            "subject",
            format!(
                "expected a statement about {file:?}, got one about {:?}",
                subject.name
            ),
        );
    }
    if !PREDICATES.contains(&statement.predicate_type.as_str()) {
        return refuse(
            "predicate-type",
            format!(
                "expected {} in an attestation object, got {:?}",
                PREDICATES.join(" or "),
                statement.predicate_type
            ),
        );
    }
    Ok(())
}

/// What the name of a distribution's file says.
#[derive(Debug, PartialEq, Eq)]
struct Distribution {
    format: &'static str,
    /// As PEP 503 normalizes it.
    project: String,
    /// As written, but for its case: `1.0` and `1.0.0` are two.
    version: String,
    /// Of a wheel.
    build: Option<String>,
    /// Of a wheel: for which Pythons, interfaces and platforms, each in any order (PEP 425).
    tags: Vec<BTreeSet<String>>,
}

impl Distribution {
    fn parse(file: &str) -> Option<Self> {
        let (format, stem) = FORMATS
            .into_iter()
            .find_map(|format| Some((format, file.strip_suffix(format)?)))?;
        let plain = |text: &str| {
            let known =
                |letter: char| letter.is_alphanumeric() || matches!(letter, '_' | '.' | '-' | '+' | '!');
            !text.is_empty() && text.chars().all(known)
        };
        if !plain(stem) {
            return None;
        }
        let (project, version, build, tags) = if format == ".whl" {
            let parts: Vec<&str> = stem.split('-').collect();
            match parts.as_slice() {
                [project, version, tags @ ..] if tags.len() == 3 => (*project, *version, None, tags.to_vec()),
                [project, version, build, tags @ ..] if tags.len() == 3 => {
                    (*project, *version, Some((*build).to_owned()), tags.to_vec())
                }
                _ => return None,
            }
        } else {
            let (project, version) = stem.rsplit_once('-')?;
            (project, version, None, Vec::new())
        };
        if project.is_empty() || version.is_empty() || tags.iter().any(|tag| tag.is_empty()) {
            return None;
        }
        let set = |tags: &str| tags.split('.').map(str::to_lowercase).collect();
        Some(Self {
            format,
            project: normalized(project),
            version: version.to_lowercase(),
            build,
            tags: tags.into_iter().map(set).collect(),
        })
    }
}

/// PEP 503: lower case, and one hyphen for each run of hyphens, underscores and dots.
fn normalized(project: &str) -> String {
    let mut name = String::with_capacity(project.len());
    for letter in project.to_lowercase().chars() {
        match letter {
            '-' | '_' | '.' if name.ends_with('-') => {}
            '-' | '_' | '.' => name.push('-'),
            letter => name.push(letter),
        }
    }
    name
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use common_bundle::format::{Envelope, IN_TOTO_PAYLOAD_TYPE, KeyMaterial, MediaType};
    use serde_json::{Value, json};

    use super::*;

    const PUBLISH: &str = "https://docs.pypi.org/attestations/publish/v1";

    fn judged(file: &str, statement: &Value) -> Result<(), String> {
        let bundle = Bundle {
            media_type: MediaType::V03,
            key_material: KeyMaterial::Certificates(Vec::new()),
            tlog_entries: Vec::new(),
            timestamps: Vec::new(),
            content: Content::Dsse(Envelope {
                payload: statement.to_string().into_bytes(),
                payload_type: IN_TOTO_PAYLOAD_TYPE.to_owned(),
                signatures: Vec::new(),
            }),
        };
        check(&bundle, file).map_err(|refusal| refusal.reason().to_owned())
    }

    fn about(names: &[&str], kind: &str) -> Value {
        let subjects: Vec<Value> = names
            .iter()
            .map(|name| json!({ "name": name, "digest": {} }))
            .collect();
        json!({ "subject": subjects, "predicateType": kind })
    }

    #[test]
    fn an_attestation_object_is_about_the_file_of_its_name() {
        for (file, subject) in [
            ("dist/hello-1.0-py3-none-any.whl", "hello-1.0-py3-none-any.whl"),
            (
                "Hello_World-1.0-py3-none-any.whl",
                "hello.world-1.0-py3-none-any.whl",
            ),
            ("a-1.0-1-py2.py3-none-any.whl", "a-1.0-1-py3.py2-none-any.whl"),
            ("hello-world-1.0.tar.gz", "hello_world-1.0.tar.gz"),
            ("hello-1.0RC1.zip", "hello-1.0rc1.zip"),
        ] {
            judged(file, &about(&[subject], PUBLISH)).unwrap();
        }
        for (file, subject) in [
            // The older release, under the newer one's name.
            ("hello-1.1-py3-none-any.whl", "hello-1.0-py3-none-any.whl"),
            ("other-1.0-py3-none-any.whl", "hello-1.0-py3-none-any.whl"),
            ("hello-1.0-py3-none-any.whl", "hello-1.0-py2-none-any.whl"),
            ("hello-1.0-2-py3-none-any.whl", "hello-1.0-1-py3-none-any.whl"),
            ("hello-1.0-1-py3-none-any.whl", "hello-1.0-py3-none-any.whl"),
            ("hello-1.0.tar.gz", "hello-1.0.zip"),
            ("hello-1.0.tar.gz", ""),
            ("hello-1.0.tar.gz", "hello"),
            ("hello.txt", "hello.txt"),
            ("sha256:abcd", "hello-1.0.tar.gz"),
            ("-1.0.tar.gz", "-1.0.tar.gz"),
            ("hello-1.0-py3-none.whl", "hello-1.0-py3-none.whl"),
        ] {
            judged(file, &about(&[subject], PUBLISH)).unwrap_err();
        }
    }

    #[test]
    fn an_attestation_object_has_one_subject_and_a_known_predicate() {
        let file = "hello-1.0.tar.gz";
        judged(file, &about(&[file], "https://slsa.dev/provenance/v1")).unwrap();
        assert!(
            judged(file, &about(&[file, file], PUBLISH))
                .unwrap_err()
                .contains("one subject")
        );
        assert!(
            judged(file, &about(&[], PUBLISH))
                .unwrap_err()
                .contains("one subject")
        );
        for kind in [
            "https://slsa.dev/provenance/v0.2",
            "https://in-toto.io/Link/v1",
            "",
        ] {
            let refused = judged(file, &about(&[file], kind)).unwrap_err();
            assert!(refused.contains("docs.pypi.org"), "{refused}");
        }
    }
}
