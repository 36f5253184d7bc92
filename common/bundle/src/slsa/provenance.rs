//! Predicates of version 0.2 and 1, as far as a verifier compares them. What is unknown is ignored, as the specification
//! asks of consumers; what decides is compared.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::format::is_statement_type;

/// Most subjects and dependencies that are read.
const MAX_LIST: usize = 1024;

/// Why a statement is no provenance.
#[derive(Debug, thiserror::Error)]
pub enum ProvenanceError {
    /// Not JSON of the shape.
    #[error("provenance: {0}")]
    Json(#[from] serde_json::Error),
    /// No statement of in-toto.
    #[error("provenance: expected a statement of in-toto, got one of type {0:?}")]
    StatementType(String),
    /// Another kind of statement.
    #[error("expected a predicate https://slsa.dev/provenance/v0.2 or /v1, got {0:?}")]
    PredicateType(String),
    /// Too long a list.
    #[error("provenance has more than {MAX_LIST} subjects or dependencies")]
    TooMany,
}

/// A repository at a point: `git+https://HOST/PATH@REF`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Git {
    /// Without `git+` and scheme: `github.com/org/repo`.
    pub repository: String,
    /// Such as `refs/tags/v1`, where it is said.
    pub reference: Option<String>,
}

impl Git {
    /// Reads such a URI. The reference begins at the first `@refs/`: tags may have an `@`.
    #[must_use]
    pub fn parse(uri: &str) -> Self {
        let uri = uri.strip_prefix("git+").unwrap_or(uri);
        let uri = uri.strip_prefix("https://").unwrap_or(uri);
        match uri.find("@refs/") {
            Some(at) => {
                let (repository, reference) = uri.split_at(at);
                Self {
                    repository: repository.to_owned(),
                    reference: reference.strip_prefix('@').map(ToOwned::to_owned),
                }
            }
            None => Self {
                repository: uri.trim_end_matches('@').to_owned(),
                reference: None,
            },
        }
    }

    /// The repository without what may stand behind its name.
    pub(super) fn name(&self) -> &str {
        self.repository.trim_end_matches('/').trim_end_matches(".git")
    }
}

/// What the statement is about.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Subject {
    /// Free text.
    #[serde(default)]
    pub name: String,
    /// By algorithm, hex.
    #[serde(default)]
    pub digest: BTreeMap<String, String>,
}

/// What a builder says about a build.
#[derive(Clone, Debug, PartialEq)]
pub struct Provenance {
    /// The artifacts.
    pub subjects: Vec<Subject>,
    /// Says what the parameters mean.
    pub build_type: String,
    /// Who built.
    pub builder_id: String,
    /// What was built.
    pub source: Option<Git>,
    /// The commit of it, hex.
    pub commit: Option<String>,
    /// What made the build run.
    pub trigger: Option<Git>,
    /// The file of the source that says how to build.
    pub config: Option<String>,
    /// The commit of that file, hex.
    pub config_commit: Option<String>,
    /// The branch that a tag was pushed from, where the event tells.
    pub base: Option<String>,
    /// The event, such as `push`.
    pub event: Option<String>,
    /// Inputs of a run that a person started.
    pub inputs: Map<String, Value>,
    /// What the tenant of the builder chose.
    pub external: Map<String, Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Statement {
    #[serde(rename = "_type", default)]
    kind: String,
    #[serde(default)]
    subject: Vec<Subject>,
    predicate_type: String,
    predicate: Value,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Material {
    #[serde(default)]
    uri: String,
    #[serde(default)]
    digest: BTreeMap<String, String>,
    /// Of a version 0.2 `configSource`.
    entry_point: Option<String>,
}

#[derive(Deserialize)]
struct Id {
    id: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct V02 {
    builder: Id,
    build_type: String,
    #[serde(default)]
    invocation: InvocationV02,
    #[serde(default)]
    materials: Vec<Material>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct InvocationV02 {
    config_source: Option<Material>,
    #[serde(default)]
    parameters: Option<Map<String, Value>>,
    #[serde(default)]
    environment: Option<Map<String, Value>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct V1 {
    build_definition: DefinitionV1,
    run_details: DetailsV1,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct DefinitionV1 {
    build_type: String,
    external_parameters: Option<Map<String, Value>>,
    internal_parameters: Option<Map<String, Value>>,
    resolved_dependencies: Option<Vec<Material>>,
}

#[derive(Deserialize)]
struct DetailsV1 {
    builder: Id,
}

impl Provenance {
    /// Reads the payload of an envelope.
    ///
    /// # Errors
    /// [`ProvenanceError`].
    pub fn parse(payload: &[u8]) -> Result<Self, ProvenanceError> {
        let statement: Statement = serde_json::from_slice(payload)?;
        if !is_statement_type(&statement.kind) {
            let kind = statement.kind.chars().take(128).collect();
            return Err(ProvenanceError::StatementType(kind));
        }
        let provenance = match statement.predicate_type.as_str() {
            "https://slsa.dev/provenance/v0.2" => v02(statement.subject, statement.predicate)?,
            "https://slsa.dev/provenance/v1" => v1(statement.subject, statement.predicate)?,
            other => {
                return Err(ProvenanceError::PredicateType(other.chars().take(128).collect()));
            }
        };
        if provenance.subjects.len() > MAX_LIST {
            return Err(ProvenanceError::TooMany);
        }
        Ok(provenance)
    }
}

fn v02(subjects: Vec<Subject>, predicate: Value) -> Result<Provenance, ProvenanceError> {
    let V02 {
        builder,
        build_type,
        invocation,
        materials,
    } = serde_json::from_value(predicate)?;
    let environment = invocation.environment.unwrap_or_default();
    let payload = environment.get("github_event_payload");
    let event = text(&environment, "github_event_name");
    let config = invocation.config_source.as_ref();
    // A workflow with a name of its own is called by that, and elsewhere the entry point is a job.
    let workflow = |path: &&String| path.starts_with(".github/workflows/");
    Ok(Provenance {
        subjects,
        build_type,
        builder_id: builder.id,
        commit: materials.first().and_then(commit),
        source: materials.first().map(|material| Git::parse(&material.uri)),
        trigger: config.map(|source| Git::parse(&source.uri)),
        config: config
            .and_then(|source| source.entry_point.as_ref())
            .filter(workflow)
            .cloned(),
        config_commit: config.and_then(commit),
        base: base(text(&environment, "github_base_ref"), event.as_deref(), payload),
        event,
        inputs: inputs(payload),
        external: invocation.parameters.unwrap_or_default(),
    })
}

fn v1(subjects: Vec<Subject>, predicate: Value) -> Result<Provenance, ProvenanceError> {
    let V1 {
        build_definition: definition,
        run_details,
    } = serde_json::from_value(predicate)?;
    let external = definition.external_parameters.unwrap_or_default();
    let internal = definition.internal_parameters.unwrap_or_default();
    let dependencies = definition.resolved_dependencies.unwrap_or_default();
    let first = dependencies.first();
    let payload = internal.get("GITHUB_EVENT_PAYLOAD");
    let event = text(&internal, "GITHUB_EVENT_NAME").or_else(|| {
        let github = internal.get("github")?.as_object()?;
        text(github, "event_name")
    });
    Ok(Provenance {
        subjects,
        build_type: definition.build_type,
        builder_id: run_details.builder.id,
        commit: first.and_then(commit),
        source: first.map(|dependency| Git::parse(&dependency.uri)),
        trigger: trigger(&external, &internal),
        config: config(&external, &internal),
        config_commit: text(&internal, "GITHUB_WORKFLOW_SHA"),
        base: base(text(&internal, "GITHUB_BASE_REF"), event.as_deref(), payload),
        event,
        inputs: inputs(payload),
        external,
    })
}

/// Where a version 1 predicate says what made the build run depends on its build type.
fn trigger(external: &Map<String, Value>, internal: &Map<String, Value>) -> Option<Git> {
    if let Some(workflow) = external.get("workflow").and_then(Value::as_object) {
        let mut git = Git::parse(workflow.get("repository")?.as_str()?);
        git.reference = text(workflow, "ref");
        return Some(git);
    }
    if internal.contains_key("GITHUB_WORKFLOW_REF") {
        return workflow_ref(internal).map(|(git, _)| git);
    }
    let source = external.get("source")?;
    source
        .as_str()
        .or_else(|| source.get("uri")?.as_str())
        .map(Git::parse)
}

/// Where a version 1 predicate says which file says how to build, also depends on it.
fn config(external: &Map<String, Value>, internal: &Map<String, Value>) -> Option<String> {
    let workflow = external.get("workflow").and_then(Value::as_object);
    workflow
        .and_then(|workflow| text(workflow, "path"))
        .or_else(|| workflow_ref(internal).map(|(_, path)| path))
}

/// `ORG/REPO/.github/workflows/FILE@REF`: the repository, and the file in it.
fn workflow_ref(internal: &Map<String, Value>) -> Option<(Git, String)> {
    let workflow = internal.get("GITHUB_WORKFLOW_REF")?.as_str()?;
    let (path, reference) = workflow.split_at(workflow.find("@refs/")?);
    let mut parts = path.splitn(3, '/');
    let (owner, name, file) = (parts.next()?, parts.next()?, parts.next()?);
    let git = Git {
        repository: format!("github.com/{owner}/{name}"),
        reference: reference.strip_prefix('@').map(ToOwned::to_owned),
    };
    Some((git, file.to_owned()))
}

fn commit(material: &Material) -> Option<String> {
    ["gitCommit", "sha1"]
        .iter()
        .find_map(|name| material.digest.get(*name))
        .cloned()
}

fn text(map: &Map<String, Value>, name: &str) -> Option<String> {
    map.get(name)
        .and_then(Value::as_str)
        .filter(|text| !text.is_empty())
        .map(ToOwned::to_owned)
}

/// The branch of a tag: of the run itself, of the push, or of the release. The payload of another event has members of the
/// same names that say something else (`slsa-verifier slsaprovenance/common/common.go`, getBranchForTag).
fn base(of_run: Option<String>, event: Option<&str>, payload: Option<&Value>) -> Option<String> {
    of_run.or_else(|| {
        let branch = match event? {
            "push" => payload?.get("base_ref")?,
            "release" => payload?.get("release")?.get("target_commitish")?,
            _ => return None,
        };
        branch.as_str().map(ToOwned::to_owned)
    })
}

fn inputs(payload: Option<&Value>) -> Map<String, Value> {
    let inputs = payload.and_then(|payload| payload.get("inputs")?.as_object());
    inputs.cloned().unwrap_or_default()
}
