//! Upstream's deprecated types, which have their mapping in code: the known templates, and claims that must be there.
//!
//! Upstream: fulcio `pkg/identity/{github,gitlabcom,buildkite,codefresh}/principal.go`. It joins paths there, which
//! cleans them; here a claim with a relative or empty path segment is refused instead, where upstream would change it. What
//! is joined is escaped as Go's `url.JoinPath` does it.

use std::sync::Arc;

use common_pki::cert::SubjectAltName;

use crate::extensions::{Extension, Extensions};

use super::claims::{Claims, mismatch};
use super::error::{TokenError, quote};
use super::provider::{BUILTIN, CiProvider};
use super::uri::Uri;

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
    /// Strings too, where they are there.
    optional: &'static [&'static str],
    /// Joined to a URL as a path.
    paths: &'static [&'static str],
    /// The URIs that are joined of origin and path.
    joined: &'static [Extension],
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
        optional: &[],
        paths: &[
            "job_workflow_ref",
            "repository",
            "repository_owner",
            "workflow_ref",
            "run_id",
            "run_attempt",
        ],
        joined: &[
            Extension::BuildSignerUri,
            Extension::SourceRepositoryUri,
            Extension::SourceRepositoryOwnerUri,
            Extension::BuildConfigUri,
            Extension::RunInvocationUri,
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
        optional: &["ci_config_sha", "project_visibility"],
        paths: &["project_path", "namespace_path", "job_id"],
        joined: &[
            Extension::SourceRepositoryUri,
            Extension::SourceRepositoryOwnerUri,
            Extension::RunInvocationUri,
        ],
        extensions: true,
    },
    Rules {
        name: "buildkite-job",
        required: &["organization_slug", "pipeline_slug"],
        optional: &[],
        paths: &[],
        joined: &[],
        extensions: false,
    },
    Rules {
        name: "codefresh-workflow",
        required: &["account_id", "pipeline_id", "workflow_id"],
        optional: &[
            "account_name",
            "pipeline_name",
            "initiator",
            "scm_repo_url",
            "scm_user_name",
            "scm_ref",
            "scm_pull_request_target_branch",
            "runner_environment",
            "platform_url",
        ],
        paths: &[
            "account_id",
            "account_name",
            "pipeline_name",
            "pipeline_id",
            "workflow_id",
        ],
        joined: &[
            Extension::BuildSignerUri,
            Extension::BuildConfigUri,
            Extension::RunInvocationUri,
        ],
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
        for name in self.rules.optional {
            claims.text(name)?;
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
        self.provider
            .apply_with(issuer, claims, |extension, text| self.finish(extension, text))
    }

    /// The text of an extension, or of the subject, as upstream's code leaves it.
    fn finish(&self, extension: Option<Extension>, text: String) -> Result<String, TokenError> {
        let whole = match self.rules.name {
            // The URI of the configuration is read as one, with query and fragment.
            "gitlab-pipeline" => matches!(
                extension,
                Some(Extension::BuildSignerUri | Extension::BuildConfigUri)
            ),
            _ => false,
        };
        match extension {
            _ if whole => Ok(Uri::of_subject(&text)?.text),
            Some(extension) if self.rules.joined.contains(&extension) => Uri::joined(&text),
            None if matches!(self.rules.name, "github-workflow" | "codefresh-workflow") => Uri::joined(&text),
            _ => Ok(text),
        }
    }
}

/// A runner that is one, a reference that is a branch or a tag, and a configuration named without a scheme, as GitLab names it.
fn gitlab(claims: &Claims) -> Result<(), TokenError> {
    let configuration = claims.required("ci_config_ref_uri")?;
    if configuration.contains("://") {
        return Err(TokenError::Claim {
            claim: "ci_config_ref_uri".to_owned(),
            expected: "a host and a path, without a scheme".to_owned(),
            got: quote(configuration),
        });
    }
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
