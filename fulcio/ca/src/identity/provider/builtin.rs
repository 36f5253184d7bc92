//! The mappings of upstream's public configuration (fulcio `config/identity/config.yaml`, `docs/oid-info.md`), and of
//! Forgejo, whose tokens have GitHub's claims. A file's `ci-issuer-metadata` of the same name comes before them.

use crate::extensions::Extension::{self, *};

use super::CiProviderText;

/// A mapping that is known without configuration.
pub(in crate::identity) struct Builtin {
    pub(in crate::identity) name: &'static str,
    defaults: &'static [(&'static str, &'static str)],
    overridable: &'static [&'static str],
    subject: &'static str,
    extensions: &'static [(Extension, &'static str)],
}

impl Builtin {
    pub(in crate::identity) fn text(&self) -> CiProviderText {
        let owned = |text: &str| text.to_owned();
        CiProviderText {
            defaults: self
                .defaults
                .iter()
                .map(|(name, text)| (owned(name), owned(text)))
                .collect(),
            overridable: self.overridable.iter().map(|name| owned(name)).collect(),
            subject: owned(self.subject),
            extensions: self
                .extensions
                .iter()
                .map(|(kind, text)| (*kind, owned(text)))
                .collect(),
        }
    }
}

/// Every known mapping.
pub(in crate::identity) static BUILTIN: [Builtin; 7] = [
    Builtin {
        name: "github-workflow",
        defaults: &[("url", "https://github.com"), ("environment", "")],
        overridable: &[],
        subject: "{{ .url }}/{{ .job_workflow_ref }}",
        extensions: &[
            (GithubWorkflowTrigger, "event_name"),
            (GithubWorkflowSha, "sha"),
            (GithubWorkflowName, "workflow"),
            (GithubWorkflowRepository, "repository"),
            (GithubWorkflowRef, "ref"),
            (BuildSignerUri, "{{ .url }}/{{ .job_workflow_ref }}"),
            (BuildSignerDigest, "job_workflow_sha"),
            (RunnerEnvironment, "runner_environment"),
            (SourceRepositoryUri, "{{ .url }}/{{ .repository }}"),
            (SourceRepositoryDigest, "sha"),
            (SourceRepositoryRef, "ref"),
            (SourceRepositoryIdentifier, "repository_id"),
            (SourceRepositoryOwnerUri, "{{ .url }}/{{ .repository_owner }}"),
            (SourceRepositoryOwnerIdentifier, "repository_owner_id"),
            (BuildConfigUri, "{{ .url }}/{{ .workflow_ref }}"),
            (BuildConfigDigest, "workflow_sha"),
            (BuildTrigger, "event_name"),
            (
                RunInvocationUri,
                "{{ .url }}/{{ .repository }}/actions/runs/{{ .run_id }}/attempts/{{ .run_attempt }}",
            ),
            (SourceRepositoryVisibilityAtSigning, "repository_visibility"),
            (DeploymentEnvironment, "environment"),
        ],
    },
    Builtin {
        name: "gitlab-pipeline",
        defaults: &[("url", "https://gitlab.com"), ("environment", "")],
        overridable: &[],
        subject: "https://{{ .ci_config_ref_uri }}",
        extensions: &[
            (BuildSignerUri, "https://{{ .ci_config_ref_uri }}"),
            (BuildSignerDigest, "ci_config_sha"),
            (RunnerEnvironment, "runner_environment"),
            (SourceRepositoryUri, "{{ .url }}/{{ .project_path }}"),
            (SourceRepositoryDigest, "sha"),
            (
                SourceRepositoryRef,
                "refs/{{if eq .ref_type \"branch\"}}heads/{{ else }}tags/{{end}}{{ .ref }}",
            ),
            (SourceRepositoryIdentifier, "project_id"),
            (SourceRepositoryOwnerUri, "{{ .url }}/{{ .namespace_path }}"),
            (SourceRepositoryOwnerIdentifier, "namespace_id"),
            (BuildConfigUri, "https://{{ .ci_config_ref_uri }}"),
            (BuildConfigDigest, "ci_config_sha"),
            (BuildTrigger, "pipeline_source"),
            (
                RunInvocationUri,
                "{{ .url }}/{{ .project_path }}/-/jobs/{{ .job_id }}",
            ),
            (SourceRepositoryVisibilityAtSigning, "project_visibility"),
            (DeploymentEnvironment, "environment"),
        ],
    },
    Builtin {
        name: "buildkite-job",
        defaults: &[("url", "https://buildkite.com")],
        overridable: &[],
        subject: "{{.url}}/{{.organization_slug}}/{{.pipeline_slug}}",
        extensions: &[
            (
                RunInvocationUri,
                "{{.url}}/{{.organization_slug}}/{{.pipeline_slug}}/builds/{{.build_number}}#{{.job_id}}",
            ),
            (RunnerEnvironment, "runner_environment"),
            (SourceRepositoryDigest, "build_commit"),
            (BuildTrigger, "build_source"),
        ],
    },
    Builtin {
        name: "codefresh-workflow",
        defaults: &[
            ("platform_url", "https://g.codefresh.io"),
            ("scm_repo_url", ""),
            ("scm_ref", ""),
            ("runner_environment", ""),
        ],
        // Codefresh mints it itself, for platforms under other names, and upstream's deprecated type reads it.
        overridable: &["platform_url"],
        subject: "{{.platform_url}}/{{.account_name}}/{{.pipeline_name}}:{{.account_id}}/{{.pipeline_id}}",
        extensions: &[
            (BuildSignerUri, "{{.platform_url}}/build/{{ .workflow_id }}"),
            (RunnerEnvironment, "runner_environment"),
            (SourceRepositoryUri, "scm_repo_url"),
            (SourceRepositoryRef, "scm_ref"),
            (
                BuildConfigUri,
                "{{.platform_url}}/api/pipelines/{{ .pipeline_id }}",
            ),
            (RunInvocationUri, "{{.platform_url}}/build/{{ .workflow_id }}"),
        ],
    },
    Builtin {
        name: "circleci-job",
        defaults: &[
            ("api_url", "https://circleci.com/api/v2"),
            // Upstream's slash at the end, which doubles the one in the template: identities are compared as text.
            ("platform_url", "https://app.circleci.com/"),
        ],
        overridable: &[],
        subject: "{{.api_url}}/projects/{{(index . \"oidc.circleci.com/project-id\")}}/pipeline-definitions/\
                  {{(index . \"oidc.circleci.com/pipeline-definition-id\")}}",
        extensions: &[
            (
                BuildSignerUri,
                "{{.api_url}}/projects/{{(index . \"oidc.circleci.com/project-id\")}}/pipeline-definitions/\
                 {{(index . \"oidc.circleci.com/pipeline-definition-id\")}}",
            ),
            (
                BuildConfigUri,
                "{{.api_url}}/pipeline/{{(index . \"oidc.circleci.com/pipeline-id\")}}/config",
            ),
            (
                RunInvocationUri,
                "{{.platform_url}}/workflow/{{(index . \"oidc.circleci.com/workflow-id\")}}/job/\
                 {{(index . \"oidc.circleci.com/job-id\")}}",
            ),
            // Two quotation marks where it is not a rerun, as upstream has it.
            (
                RunnerEnvironment,
                "{{if eq (index . \"oidc.circleci.com/ssh-rerun\") \"true\"}}ssh-rerun{{ else }}\"\"{{end}}",
            ),
            (SourceRepositoryRef, "{{index . \"oidc.circleci.com/vcs-ref\"}}"),
            (
                SourceRepositoryUri,
                "{{index . \"oidc.circleci.com/vcs-origin\"}}",
            ),
        ],
    },
    Builtin {
        name: "buddy-pipeline",
        defaults: &[
            ("base_url", "https://app.buddy.works"),
            ("revision", ""),
            ("ref", ""),
        ],
        overridable: &[],
        subject: "{{.base_url}}/{{.workspace_domain}}/{{.project_name}}/pipelines/pipeline/{{.pipeline_id}}",
        extensions: &[
            (
                BuildSignerUri,
                "{{.base_url}}/{{.workspace_domain}}/{{.project_name}}/pipelines/pipeline/{{.pipeline_id}}",
            ),
            (BuildTrigger, "triggered_on"),
            (RunnerEnvironment, "runner_environment"),
            (
                SourceRepositoryUri,
                "{{.base_url}}/{{.workspace_domain}}/{{.project_name}}",
            ),
            (SourceRepositoryDigest, "revision"),
            (SourceRepositoryRef, "ref"),
            (SourceRepositoryOwnerUri, "{{.base_url}}/{{.workspace_domain}}"),
            (
                RunInvocationUri,
                "{{.base_url}}/{{.workspace_domain}}/{{.project_name}}/pipelines/pipeline/{{.pipeline_id}}\
                 /execution/{{.execution_id}}",
            ),
        ],
    },
    // The claims of Forgejo's runner tokens are GitHub's, less what GitHub has about reusable workflows. The URL is the
    // instance's: a preset or `default-template-values` gives it.
    Builtin {
        name: "forgejo-workflow",
        defaults: &[("url", "https://codeberg.org"), ("environment", "")],
        overridable: &[],
        subject: "{{ .url }}/{{ .workflow_ref }}",
        extensions: &[
            (BuildSignerUri, "{{ .url }}/{{ .workflow_ref }}"),
            (SourceRepositoryUri, "{{ .url }}/{{ .repository }}"),
            (SourceRepositoryDigest, "sha"),
            (SourceRepositoryRef, "ref"),
            (SourceRepositoryOwnerUri, "{{ .url }}/{{ .repository_owner }}"),
            (BuildConfigUri, "{{ .url }}/{{ .workflow_ref }}"),
            (BuildTrigger, "event_name"),
            (
                RunInvocationUri,
                "{{ .url }}/{{ .repository }}/actions/runs/{{ .run_number }}",
            ),
        ],
    },
];
