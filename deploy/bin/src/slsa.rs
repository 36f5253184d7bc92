//! What the commands that verify provenance share: who may have built, from what, and how an attestation is judged.

mod attestations;
mod judge;
mod lookup;
pub(crate) mod registry;

use std::path::PathBuf;

use clap::Args;
use common_bundle::slsa::{Asked, GITHUB_ISSUER, Git, Policy};
use common_pki::key::sha256;

pub(crate) use self::attestations::Attestations;
pub(crate) use self::judge::{Passed, Session};

use self::lookup::LookupError;
use crate::exit::Failure;
use crate::http::Client;
use crate::trust_source::{TrustArgs, Trusted, read};
use crate::verify::options::RequireArgs;
use crate::verify::report::ReportArgs;

/// Options with slsa-verifier's names, and where ours go further.
#[derive(Debug, Args)]
pub(crate) struct SlsaArgs {
    /// The source it must be built from, such as github.com/ORG/REPO; any host, without a tag or branch.
    #[arg(long, value_name = "URI", value_parser = repository)]
    pub(crate) source_uri: String,
    /// The tag it must be built from.
    #[arg(long, value_name = "TAG", conflicts_with = "source_versioned_tag")]
    source_tag: Option<String>,
    /// The version it must be built from; v1 is also every v1.N.
    #[arg(long, value_name = "TAG")]
    source_versioned_tag: Option<String>,
    /// The branch it must be built from.
    #[arg(long, value_name = "BRANCH")]
    source_branch: Option<String>,
    /// The builder; without its version, any release of it. One that is not built in must sign for itself, or be in --policy.
    #[arg(long, value_name = "ID")]
    pub(crate) builder_id: Option<String>,
    /// An input that the run must have been started with.
    #[arg(long, value_name = "NAME=VALUE", value_parser = pair)]
    build_workflow_input: Vec<(String, String)>,
    /// Print the verified provenance on standard output.
    #[arg(long)]
    pub(crate) print_provenance: bool,
    /// Trusted pairs of signer and builder, build types and their external parameters (JSON), instead of those built in.
    #[arg(long, value_name = "FILE", help_heading = "Policy")]
    pub(crate) policy: Option<PathBuf>,
    /// Whose tokens builders sign with [default: GitHub Actions, and the issuers of the instance].
    #[arg(long, value_name = "URL", help_heading = "Policy")]
    certificate_oidc_issuer: Vec<String>,
    /// The log in which an envelope without log entry is looked up [default: the instance].
    #[arg(long, value_name = "URL", help_heading = "Trust")]
    rekor_url: Option<String>,
    #[command(flatten)]
    require: RequireArgs,
    #[command(flatten)]
    pub(crate) trust: TrustArgs,
    #[command(flatten)]
    report: ReportArgs,
}

/// How a refusal begins.
pub(crate) const FAILED: &str = "FAILED: SLSA verification failed";

/// A source without a reference: whoever writes one there wants it checked, and only the repository is compared.
fn repository(text: &str) -> Result<String, String> {
    let Some(reference) = Git::parse(text).reference else {
        return Ok(text.to_owned());
    };
    let option = match (
        reference.strip_prefix("refs/tags/"),
        reference.strip_prefix("refs/heads/"),
    ) {
        (Some(tag), _) => format!("--source-tag {tag}"),
        (_, Some(branch)) => format!("--source-branch {branch}"),
        _ => "--source-tag or --source-branch".to_owned(),
    };
    Err(format!(
        "expected a repository without @{reference}: ask for that with {option}"
    ))
}

/// `NAME=VALUE`, cut at the first `=`.
fn pair(text: &str) -> Result<(String, String), String> {
    let (name, value) = text
        .split_once('=')
        .ok_or_else(|| format!("expected NAME=VALUE, got {text:?}"))?;
    Ok((name.to_owned(), value.to_owned()))
}

impl SlsaArgs {
    /// Whose certificates count, where no policy is given.
    pub(crate) async fn issuers(&self, trusted: &Trusted) -> Result<Vec<String>, Failure> {
        let mut issuers = self.certificate_oidc_issuer.clone();
        if issuers.is_empty() {
            issuers.push(GITHUB_ISSUER.to_owned());
            issuers.extend(trusted.issuers().await?);
        }
        Ok(issuers)
    }

    /// Which builders count, and the SHA-256 of the file that says so.
    pub(crate) async fn policy(&self, trusted: &Trusted) -> Result<(Policy, Option<[u8; 32]>), Failure> {
        if let Some(file) = &self.policy {
            let text = read(file)?;
            let policy = Policy::parse(&text)
                .map_err(|error| Failure::failed(format!("{}: {error}", file.display())))?;
            return Ok((policy, Some(sha256(&text))));
        }
        let issuers = self.issuers(trusted).await?;
        let mut policy = Policy::built_in(&issuers);
        if let Some(id) = &self.builder_id {
            policy.builders.push(Policy::own(id, &issuers));
        }
        Ok((policy, None))
    }

    /// The log that is asked about an envelope by itself: the one that is named, else that of the instance that is trusted.
    fn log(&self) -> Result<Client, LookupError> {
        let client = match (&self.rekor_url, self.trust.instance()) {
            (Some(url), _) => Client::new(url),
            (None, Some(url)) => Client::instance(url),
            (None, None) => return Err(LookupError::NoLog),
        };
        Ok(client?)
    }

    fn asked(&self) -> Asked {
        Asked {
            source: self.source_uri.clone(),
            tag: self.source_tag.clone(),
            versioned_tag: self.source_versioned_tag.clone(),
            branch: self.source_branch.clone(),
            builder: self.builder_id.clone(),
            inputs: self.build_workflow_input.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use clap::Parser as _;

    use crate::cli::Cli;

    /// Each command that has the option, but for its value.
    fn commands() -> [Vec<String>; 3] {
        let image = format!("registry.example.com/app@sha256:{}", "ab".repeat(32));
        [
            "verify-artifact app --provenance-path app.jsonl".to_owned(),
            format!("verify-image {image}"),
            "verify-npm-package app.tgz --attestations-path a.json --package-name app --package-version 1.0.0".to_owned(),
        ]
        .map(|line| line.split(' ').map(str::to_owned).collect())
    }

    fn parse(command: &[String], source: &str) -> Result<Cli, clap::Error> {
        let given = ["--source-uri".to_owned(), source.to_owned()];
        Cli::try_parse_from(["sigbox".to_owned()].iter().chain(command).chain(&given))
    }

    #[test]
    fn a_reference_in_the_source_is_a_wrong_command_line() {
        for command in commands() {
            for (source, option) in [
                ("github.com/o/r@refs/tags/v1", "--source-tag v1"),
                (
                    "git+https://github.com/o/r@refs/heads/main",
                    "--source-branch main",
                ),
                (
                    "https://user@git.example.com/o/r@refs/pull/1/merge",
                    "--source-tag or --source-branch",
                ),
            ] {
                let error = parse(&command, source).unwrap_err();
                assert_eq!(error.exit_code(), 2, "{error}");
                assert!(error.to_string().contains(option), "{error}");
            }
            for source in [
                "github.com/o/r",
                "https://user@git.example.com/o/r",
                "git+ssh://git@git.example.com/o/r.git",
                "git@git.example.com:o/r",
            ] {
                parse(&command, source).unwrap();
            }
        }
    }
}
