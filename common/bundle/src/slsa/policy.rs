//! Which signers may speak for which builders: built in for the public generators, or of a file.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use super::{GITHUB_ISSUER, Git};
use crate::verify::Matcher;

/// Largest policy file.
const MAX_POLICY: usize = 1 << 20;

/// Why a file is no policy.
#[derive(Debug, thiserror::Error)]
pub enum PolicyError {
    /// Too large.
    #[error("policy: at most {MAX_POLICY} bytes, got {0}")]
    TooLarge(usize),
    /// Not JSON of the shape; a member that is not known is refused, because it was meant to decide something.
    #[error("policy: {0}")]
    Json(#[from] serde_json::Error),
    /// Another version.
    #[error("policy: expected version 1, got {0}")]
    Version(u32),
    /// An expression that is none.
    #[error("policy: {0}")]
    Pattern(#[from] regex::Error),
    /// A builder that nobody said the build types of: to judge none is a decision too.
    #[error(
        "policy: builder {0:?} needs buildTypes: a list of at least one, or \"any\" for any type with any external parameters"
    )]
    BuildTypes(String),
    /// A signer that is nobody or everybody.
    #[error("policy: the signer of builder {0:?} needs exactly one of san and sanRegexp")]
    Signer(String),
}

/// The builders that count.
#[derive(Clone, Debug)]
pub struct Policy {
    /// Each with those who may speak for it.
    pub builders: Vec<Builder>,
}

/// A builder.
#[derive(Clone, Debug)]
pub struct Builder {
    /// Its `builder.id`; `None`: the signer's own name. A name without `@` stands for every version of it.
    pub id: Option<String>,
    /// Who may speak for it.
    pub signer: SignerRule,
    /// SLSA Build level that it attains.
    pub level: u8,
    /// What it builds.
    pub build_types: BuildTypes,
}

/// What a builder may build.
#[derive(Clone, Debug)]
pub enum BuildTypes {
    /// Anything, with any external parameters.
    Any,
    /// One of these.
    These(Vec<BuildType>),
}

/// Whose certificate.
#[derive(Clone, Debug)]
pub struct SignerRule {
    /// Identity providers.
    pub issuers: Vec<String>,
    /// Subject alternative name.
    pub name: Matcher,
}

/// A build type and what its external parameters may be.
#[derive(Clone, Debug)]
pub struct BuildType {
    /// Its URI.
    pub uri: String,
    /// By name; `None`: not judged, for the built-in profiles, whose parameters are those of the public generators.
    pub parameters: Option<BTreeMap<String, Parameter>>,
}

/// What an external parameter may be.
#[derive(Clone, Debug)]
pub enum Parameter {
    /// Anything.
    Any,
    /// This.
    Equals(Value),
    /// One of these.
    OneOf(Vec<Value>),
    /// Text in which this is found.
    Matches(Matcher),
}

impl Parameter {
    /// Whether `value` may be.
    #[must_use]
    pub fn allows(&self, value: &Value) -> bool {
        match self {
            Self::Any => true,
            Self::Equals(expected) => expected == value,
            Self::OneOf(list) => list.contains(value),
            Self::Matches(matcher) => value.as_str().is_some_and(|text| matcher.matches(text)),
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Wire {
    version: u32,
    builders: Vec<WireBuilder>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct WireBuilder {
    id: String,
    signer: WireSigner,
    #[serde(default = "three")]
    level: u8,
    /// A list of build types, or `any`.
    build_types: Option<Value>,
}

fn three() -> u8 {
    3
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct WireSigner {
    issuer: String,
    san: Option<String>,
    san_regexp: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct WireBuildType {
    uri: String,
    #[serde(default)]
    external_parameters: BTreeMap<String, WireParameter>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
enum WireParameter {
    Any,
    Equals(Value),
    OneOf(Vec<Value>),
    Matches(String),
}

impl Policy {
    /// Reads a policy file.
    ///
    /// # Errors
    /// [`PolicyError`].
    pub fn parse(json: &[u8]) -> Result<Self, PolicyError> {
        if json.len() > MAX_POLICY {
            return Err(PolicyError::TooLarge(json.len()));
        }
        let wire: Wire = serde_json::from_slice(json)?;
        if wire.version != 1 {
            return Err(PolicyError::Version(wire.version));
        }
        let builders = wire.builders.into_iter().map(builder);
        Ok(Self {
            builders: builders.collect::<Result<_, _>>()?,
        })
    }

    /// The public generators, whose certificates are issued for `issuers`' tokens.
    #[must_use]
    pub fn built_in(issuers: &[String]) -> Self {
        const GENERATOR: &str = "https://github.com/slsa-framework/slsa-github-generator/.github/workflows/";
        const ITS_TYPES: &str = "https://github.com/slsa-framework/slsa-github-generator/";
        const WORKFLOW: &str = "https://actions.github.io/buildtypes/workflow/v1";
        let rows: [(&str, &str, bool, String); 7] = [
            (
                GENERATOR,
                "generator_generic_slsa3.yml",
                false,
                format!("{ITS_TYPES}generic@v1"),
            ),
            (
                GENERATOR,
                "builder_go_slsa3.yml",
                false,
                format!("{ITS_TYPES}go@v1"),
            ),
            (
                GENERATOR,
                "generator_container_slsa3.yml",
                false,
                format!("{ITS_TYPES}container@v1"),
            ),
            (
                GENERATOR,
                "builder_container-based_slsa3.yml",
                false,
                "https://slsa.dev/container-based-build/v0.1?draft".to_owned(),
            ),
            (
                GENERATOR,
                "delegator_generic_slsa3.yml",
                true,
                format!("{ITS_TYPES}delegator-generic@v0"),
            ),
            (
                GENERATOR,
                "delegator_lowperms-generic_slsa3.yml",
                true,
                format!("{ITS_TYPES}delegator-generic@v0"),
            ),
            (
                "https://github.com/bazel-contrib/",
                "publish-to-bcr/.github/workflows/publish.yaml",
                false,
                WORKFLOW.to_owned(),
            ),
        ];
        let builders = rows.into_iter().map(|(base, file, delegates, uri)| Builder {
            // A delegator speaks for the workflow that called it; who asks must say which.
            id: delegates.then(String::new),
            signer: SignerRule {
                issuers: issuers.to_vec(),
                name: released(&format!("{base}{file}")),
            },
            level: 3,
            build_types: BuildTypes::These(vec![BuildType {
                uri,
                parameters: None,
            }]),
        });
        Self {
            builders: builders.collect(),
        }
    }

    /// npm in a workflow of `source`: the workflow signs, and the builder is the runner that it ran on
    /// (slsa-verifier `verifiers/internal/gha/npm.go`).
    #[must_use]
    pub fn npm(source: &str, issuers: &[String]) -> Self {
        const RUNNER: &str = "https://github.com/actions/runner";
        let repository = regex::escape(Git::parse(source).name());
        let workflow = anchored(&format!(r"https://{repository}/\.github/workflows/[^@]+@refs/.+"));
        let build_types = [
            "https://github.com/npm/cli/gha/v1",
            "https://github.com/npm/cli/gha/v2",
            "https://slsa-framework.github.io/github-actions-buildtypes/workflow/v1",
        ];
        let builders = ["", "/github-hosted", "/self-hosted"].map(|runs| Builder {
            id: Some(format!("{RUNNER}{runs}")),
            signer: SignerRule {
                issuers: issuers.to_vec(),
                name: workflow.clone(),
            },
            // The job that is built has the runner to itself, and no more is known of it.
            level: 2,
            build_types: BuildTypes::These(
                build_types
                    .iter()
                    .map(|uri| BuildType {
                        uri: (*uri).to_owned(),
                        parameters: None,
                    })
                    .collect(),
            ),
        });
        Self {
            builders: builders.into(),
        }
    }

    /// A builder that signs for itself, by the name that the caller gave: without a version, any release of it.
    #[must_use]
    pub fn own(id: &str, issuers: &[String]) -> Builder {
        Builder {
            id: None,
            signer: SignerRule {
                issuers: issuers.to_vec(),
                name: if id.contains('@') {
                    Matcher::Exact(id.to_owned())
                } else {
                    released(id)
                },
            },
            level: 3,
            build_types: BuildTypes::Any,
        }
    }
}

/// A workflow at a released version: a full semantic version without pre-release (`slsa-verifier gha/builder.go`,
/// verifyTrustedBuilderRef). A branch or another tag can be moved.
pub(super) fn released(workflow: &str) -> Matcher {
    anchored(&format!(
        r"{}@refs/tags/v[0-9]+\.[0-9]+\.[0-9]+",
        regex::escape(workflow)
    ))
}

/// Made from literals and escaped text, so it compiles; if not, it matches nothing.
fn anchored(pattern: &str) -> Matcher {
    Matcher::pattern(&format!("^(?:{pattern})$")).unwrap_or(Matcher::Exact(String::new()))
}

fn builder(wire: WireBuilder) -> Result<Builder, PolicyError> {
    let name = match (wire.signer.san, wire.signer.san_regexp) {
        (Some(san), None) => Matcher::Exact(san),
        (None, Some(pattern)) => Matcher::pattern(&pattern)?,
        _ => return Err(PolicyError::Signer(wire.id)),
    };
    let build_types = match wire.build_types {
        Some(Value::String(word)) if word == "any" => BuildTypes::Any,
        Some(list @ Value::Array(_)) => {
            let list: Vec<WireBuildType> = serde_json::from_value(list)?;
            BuildTypes::These(list.into_iter().map(build_type).collect::<Result<_, _>>()?)
        }
        _ => return Err(PolicyError::BuildTypes(wire.id)),
    };
    if matches!(&build_types, BuildTypes::These(list) if list.is_empty()) {
        return Err(PolicyError::BuildTypes(wire.id));
    }
    Ok(Builder {
        id: Some(wire.id),
        signer: SignerRule {
            issuers: vec![wire.signer.issuer],
            name,
        },
        level: wire.level,
        build_types,
    })
}

fn build_type(wire: WireBuildType) -> Result<BuildType, PolicyError> {
    let parameters = wire.external_parameters.into_iter().map(|(name, rule)| {
        let rule = match rule {
            WireParameter::Any => Parameter::Any,
            WireParameter::Equals(value) => Parameter::Equals(value),
            WireParameter::OneOf(list) => Parameter::OneOf(list),
            WireParameter::Matches(pattern) => Parameter::Matches(Matcher::pattern(&pattern)?),
        };
        Ok((name, rule))
    });
    Ok(BuildType {
        uri: wire.uri,
        parameters: Some(parameters.collect::<Result<_, PolicyError>>()?),
    })
}

impl Default for Policy {
    /// The public generators on GitHub.
    fn default() -> Self {
        Self::built_in(&[GITHUB_ISSUER.to_owned()])
    }
}

#[cfg(test)]
mod tests;
