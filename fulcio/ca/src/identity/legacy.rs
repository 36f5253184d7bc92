//! Upstream's deprecated types, which have their mapping in code: the known templates, and claims that must be there.
//!
//! Upstream: fulcio `pkg/identity/{github,gitlabcom,buildkite,codefresh}/principal.go`. It joins paths there, which
//! cleans them; here a claim with a relative or empty path segment is refused instead, where upstream would change it.

use std::sync::Arc;

use common_pki::cert::SubjectAltName;

use crate::extensions::{Extension, Extensions};

use super::claims::{Claims, mismatch};
use super::error::{TokenError, quote};
use super::provider::{BUILTIN, CiProvider};

/// One deprecated type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Legacy {
    rules: &'static Rules,
    provider: Arc<CiProvider>,
}

/// What the type wants of a token.
#[derive(Debug, PartialEq, Eq)]
struct Rules {
    name: &'static str,
    /// Strings that are not empty.
    required: &'static [&'static str],
    /// Joined to a URL as a path.
    paths: &'static [&'static str],
    /// Whether the provider's extensions are there as well.
    extensions: bool,
}

static RULES: [Rules; 4] = [
    Rules {
        name: "github-workflow",
        required: &[
            "job_workflow_ref",
            "sha",
            "event_name",
            "repository",
            "workflow",
            "ref",
            "job_workflow_sha",
            "runner_environment",
            "repository_id",
            "repository_owner",
            "repository_owner_id",
            "repository_visibility",
            "workflow_ref",
            "workflow_sha",
            "run_id",
            "run_attempt",
        ],
        paths: &[
            "job_workflow_ref",
            "repository",
            "repository_owner",
            "workflow_ref",
            "run_id",
            "run_attempt",
        ],
        extensions: true,
    },
    Rules {
        name: "gitlab-pipeline",
        required: &[
            "project_path",
            "pipeline_source",
            "pipeline_id",
            "ci_config_ref_uri",
            "job_id",
            "ref",
            "ref_type",
            "namespace_path",
            "namespace_id",
            "project_id",
            "sha",
            "runner_environment",
        ],
        paths: &["project_path", "namespace_path", "job_id"],
        extensions: true,
    },
    Rules {
        name: "buildkite-job",
        required: &["organization_slug", "pipeline_slug"],
        paths: &[],
        extensions: false,
    },
    Rules {
        name: "codefresh-workflow",
        required: &["account_id", "pipeline_id", "workflow_id"],
        paths: &["account_name", "pipeline_name", "pipeline_id", "workflow_id"],
        extensions: true,
    },
];

impl Legacy {
    /// The type of that name.
    pub(super) fn named(name: &str) -> Option<Self> {
        let rules = RULES.iter().find(|rules| rules.name == name)?;
        let known = BUILTIN.iter().find(|known| known.name == name)?;
        let mut text = known.text();
        match name {
            // The old types know nothing of environments.
            "github-workflow" | "gitlab-pipeline" => {
                text.extensions
                    .retain(|(kind, _)| *kind != Extension::DeploymentEnvironment);
            }
            // A claim that is missing is empty there.
            "codefresh-workflow" => {
                text.defaults
                    .extend(["account_name", "pipeline_name"].map(|name| (name.to_owned(), String::new())));
            }
            _ => {}
        }
        if name == "gitlab-pipeline" {
            text.defaults
                .extend(["ci_config_sha", "project_visibility"].map(|name| (name.to_owned(), String::new())));
        }
        if !rules.extensions {
            text.extensions.clear();
        }
        let provider = CiProvider::new(name, text).ok()?;
        Some(Self {
            rules,
            provider: Arc::new(provider),
        })
    }

    /// The name in configuration files.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.rules.name
    }

    /// Subject and extensions, without issuer and token subject.
    pub(super) fn apply(
        &self,
        issuer: &str,
        claims: &Claims,
    ) -> Result<(SubjectAltName, Extensions), TokenError> {
        for name in self.rules.required {
            claims.required(name)?;
        }
        for name in self.rules.paths {
            let text = claims.text(name)?.unwrap_or_default();
            if text.split('/').any(|segment| matches!(segment, "." | "..")) || text.contains("//") {
                return Err(TokenError::Claim {
                    claim: (*name).to_owned(),
                    expected: "a path without empty or relative segments".to_owned(),
                    got: quote(text),
                });
            }
        }
        if self.rules.name == "gitlab-pipeline" {
            gitlab(claims)?;
        }
        self.provider.apply(issuer, claims)
    }
}

/// A runner that is one, and a reference that is a branch or a tag.
fn gitlab(claims: &Claims) -> Result<(), TokenError> {
    match claims.at(&["runner_id"]) {
        Some(value) if value.as_i64().is_some_and(|id| id != 0) => {}
        Some(other) => return Err(mismatch("runner_id", "a number other than 0", other)),
        None => return Err(super::claims::missing("runner_id", "a number other than 0")),
    }
    let kind = claims.required("ref_type")?;
    if matches!(kind, "branch" | "tag") {
        return Ok(());
    }
    Err(TokenError::Claim {
        claim: "ref_type".to_owned(),
        expected: "\"branch\" or \"tag\"".to_owned(),
        got: quote(kind),
    })
}

#[cfg(test)]
mod tests;
