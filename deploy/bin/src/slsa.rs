//! What the commands that verify provenance share: who may have built, from what, and how an attestation is judged.

pub(crate) mod lookup;
pub(crate) mod registry;

use std::path::{Path, PathBuf};

use clap::Args;
use common_bundle::format::{BareEnvelope, Bundle, Content, KeyMaterial, TransparencyLogEntry};
use common_bundle::slsa::{Asked, Found, GITHUB_ISSUER, Git, Policy, Provenance, SlsaError, Workload, check};
use common_bundle::verify::{self, Evidence, Matcher};
use common_pki::key::sha256;
use common_tlog::leaf_hash;

use crate::console::Console;
use crate::exit::{Exit, Failure};
use crate::slsa::lookup::LookupError;
use crate::trust_source::{TrustArgs, Trusted, read};
use crate::verify::Held;
use crate::verify::options::RequireArgs;
use crate::verify::report::{Refusal, Report, ReportArgs};

/// Most lines of one provenance file.
const MAX_LINES: usize = 64;

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

fn unreadable(from: &Path, why: impl std::fmt::Display) -> Failure {
    Failure {
        exit: Exit::Unverified,
        message: format!("{FAILED}: {}: {why}", from.display()),
    }
}

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

/// Provenance as it came.
pub(crate) struct Attestation {
    pub(crate) bundle: Bundle,
    /// The envelope's own text, where it was not in a bundle.
    pub(crate) text: Option<Vec<u8>>,
}

/// An artifact's verdict.
pub(crate) struct Passed {
    /// What was found.
    pub(crate) found: Found,
    /// Whose certificate.
    pub(crate) workload: Workload,
    /// What it says.
    pub(crate) provenance: Provenance,
    /// The statement's own octets.
    pub(crate) payload: Vec<u8>,
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

    /// Everything the file holds. An envelope by itself is looked up in the log.
    pub(crate) async fn attestations(&self, text: &[u8], from: &Path) -> Result<Vec<Attestation>, Failure> {
        let whole = serde_json::from_slice::<serde::de::IgnoredAny>(text).is_ok();
        let lines: Vec<&[u8]> = if whole {
            vec![text]
        } else {
            let lines = text.split(|octet| *octet == b'\n');
            lines.filter(|line| !line.trim_ascii().is_empty()).collect()
        };
        if lines.is_empty() || lines.len() > MAX_LINES {
            return Err(unreadable(
                from,
                format!("expected 1 to {MAX_LINES} attestations, got {}", lines.len()),
            ));
        }
        let mut attestations = Vec::new();
        for line in lines {
            match (Bundle::from_json(line), BareEnvelope::from_json(line)) {
                (Ok(bundle), _) => attestations.push(Attestation { bundle, text: None }),
                (Err(_), Some(bare)) => attestations.extend(self.looked_up(bare, line, from).await?),
                (Err(error), None) => {
                    return Err(unreadable(
                        from,
                        format!("neither a bundle nor an envelope with one signature: {error}"),
                    ));
                }
            }
        }
        Ok(attestations)
    }

    /// An envelope by itself, with the entry that the log has.
    pub(crate) async fn looked_up(
        &self,
        bare: BareEnvelope,
        text: &[u8],
        from: &Path,
    ) -> Result<Vec<Attestation>, Failure> {
        let url = match &self.rekor_url {
            Some(url) => url,
            None if self.trust.trusted_root.is_none() && !self.trust.public_good => &self.trust.url,
            None => return Err(LookupError::NoLog.failure(from)),
        };
        let BareEnvelope {
            envelope,
            certificate,
        } = bare;
        let found = match certificate {
            Some(certificate) => lookup::by_certificate(url, envelope, &certificate, text)
                .await
                .map(|bundle| vec![bundle]),
            None => lookup::by_payload(url, &envelope).await,
        };
        let found = found.map_err(|error| error.failure(from))?;
        let attestation = |bundle| Attestation {
            bundle,
            text: Some(text.to_vec()),
        };
        Ok(found.into_iter().map(attestation).collect())
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

/// One run of a command: what is trusted, and who may have built.
pub(crate) struct Session<'a> {
    args: &'a SlsaArgs,
    trusted: Trusted,
    policy: Policy,
    /// SHA-256 of the file that the policy is of.
    pub(crate) policy_digest: Option<[u8; 32]>,
    console: Console,
    /// The builder of all, once there is one.
    builder: Option<String>,
}

impl<'a> Session<'a> {
    /// Trust as the options say, and the builders of the policy.
    pub(crate) async fn new(args: &'a SlsaArgs, console: Console) -> Result<Self, Failure> {
        let trusted = args.trust.resolve().await?;
        let (policy, digest) = args.policy(&trusted).await?;
        let mut session = Self::with(args, trusted, policy, console);
        session.policy_digest = digest;
        Ok(session)
    }

    /// The same with other builders.
    pub(crate) fn with(args: &'a SlsaArgs, trusted: Trusted, policy: Policy, console: Console) -> Self {
        Self {
            args,
            trusted,
            policy,
            policy_digest: None,
            console,
            builder: None,
        }
    }

    /// Judges an artifact, image or package by the attestations that are said to be about it, and says the verdict as slsa-verifier does. All that one run
    /// judges must come from one builder.
    ///
    /// # Errors
    /// [`Failure`] with what was not as asked.
    pub(crate) fn judge(
        &mut self,
        kind: &str,
        name: &str,
        held: &Held,
        attestations: &[Attestation],
        from: &Path,
        more: impl Fn(&Passed) -> Result<(), Refusal>,
    ) -> Result<Passed, Failure> {
        let mut report = Report::new(name, from, &self.trusted);
        let outcome = self.one(held, attestations, &mut report).and_then(|passed| {
            more(&passed)?;
            Ok(passed)
        });
        match outcome {
            Ok(passed) => {
                report.finish_quietly(None, &self.args.report, self.console)?;
                let builder = self.builder.get_or_insert_with(|| passed.found.builder.clone());
                if *builder != passed.found.builder {
                    return Err(Failure {
                        exit: Exit::OtherBuilder,
                        message: format!("{FAILED}: the artifacts were built by different builders"),
                    });
                }
                self.console.line(&format!("Verifying {kind} {name}: PASSED\n"));
                Ok(passed)
            }
            Err(refusal) => {
                report.finish_quietly(Some(&refusal), &self.args.report, self.console)?;
                self.console.line(&format!(
                    "Verifying {kind} {name}: FAILED: {}\n",
                    refusal.reason()
                ));
                Err(refusal.failure(FAILED))
            }
        }
    }

    /// The last line.
    pub(crate) fn passed(&self) {
        self.console.line("PASSED: SLSA verification passed");
    }

    /// The first attestation that passes for the artifact; else why the last did not.
    fn one(&self, held: &Held, attestations: &[Attestation], report: &mut Report) -> Result<Passed, Refusal> {
        let mut refusal = Refusal::new("bundle", Exit::Unverified, "no attestation");
        for attestation in attestations {
            report.signed_by(&attestation.bundle);
            match self.attested(held, attestation, report) {
                Ok(passed) => {
                    if let Some(entry) = attestation.bundle.tlog_entries.first() {
                        self.console.line(&entry_line(entry, &report.checks));
                    }
                    self.console.line(&format!(
                        "Verified build using builder \"{}\" at commit {}",
                        passed.found.builder, passed.found.commit
                    ));
                    return Ok(passed);
                }
                Err(error) => refusal = error,
            }
        }
        Err(refusal)
    }

    fn attested(
        &self,
        held: &Held,
        attestation: &Attestation,
        report: &mut Report,
    ) -> Result<Passed, Refusal> {
        let evidence = self
            .args
            .require
            .apply(verify::Policy::matching(Matcher::Any, Matcher::Any))
            .map_err(|failure| Refusal::new("options", failure.exit, failure.message))?;
        let mut checks = Vec::new();
        let examined = verify::examine_text(
            &attestation.bundle,
            attestation.text.as_deref(),
            held.artifact(),
            &self.trusted.root,
            &evidence,
            &mut checks,
        );
        report.checks = checks;
        let (times, certificate) = examined?;
        report.times = times;
        let Content::Dsse(envelope) = &attestation.bundle.content else {
            return Err(Refusal::new(
                "provenance",
                Exit::OtherArtifact,
                "expected an envelope",
            ));
        };
        let unusable =
            |error: &dyn std::fmt::Display| Refusal::new("provenance", Exit::OtherProvenance, error);
        let certificate = certificate.ok_or_else(|| unusable(&"expected a certificate"))?;
        let workload = Workload::of(&certificate).map_err(|error| unusable(&error))?;
        let provenance = Provenance::parse(&envelope.payload).map_err(|error| unusable(&error))?;
        let found = check(&provenance, &workload, &self.args.asked(), &self.policy)?;
        Ok(Passed {
            found,
            workload,
            provenance,
            payload: envelope.payload.clone(),
        })
    }
}

impl From<SlsaError> for Refusal {
    fn from(error: SlsaError) -> Refusal {
        let (check, exit) = match &error {
            SlsaError::Untrusted { .. }
            | SlsaError::Builder { .. }
            | SlsaError::Unreleased(_)
            | SlsaError::Delegated(_) => ("builder", Exit::OtherBuilder),
            SlsaError::Source { .. } => ("source", Exit::OtherSource),
            SlsaError::Reference { .. } => ("reference", Exit::OtherReference),
            _ => ("provenance", Exit::OtherProvenance),
        };
        Refusal::new(check, exit, error)
    }
}

/// Where the entry is, as slsa-verifier says it. A Rekor v1 entry is found under the hash of its leaf.
fn entry_line(entry: &TransparencyLogEntry, checks: &[Evidence]) -> String {
    let log = checks.iter().find_map(|check| match check {
        Evidence::InclusionPromise { log, .. } | Evidence::Inclusion { log, .. } => Some(log.as_str()),
        _ => None,
    });
    let log = log.unwrap_or_default().trim_end_matches('/');
    let index = entry.log_index;
    if entry.inclusion_promise.is_some() {
        let leaf = leaf_hash(&entry.canonicalized_body);
        return format!(
            "Verified signature against tlog entry index {index} at URL: {log}/api/v1/log/entries/{leaf}"
        );
    }
    format!("Verified signature against tlog entry index {index} of the log at URL: {log}")
}

/// The certificate of a bundle, for what is looked up before it is verified.
fn certificates(pem: &str) -> Result<KeyMaterial, common_pki::cert::CertError> {
    let chain = common_pki::cert::Certificate::chain_from_pem(pem, 10)?;
    let leaf = chain.first().map(|leaf| leaf.to_der().to_vec());
    Ok(KeyMaterial::Certificates(leaf.into_iter().collect()))
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
