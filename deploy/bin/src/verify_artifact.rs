//! `verify-artifact` and `verify-vsa`: slsa-verifier's command lines and lines, against any trust.

mod lookup;
mod summary;

use std::path::{Path, PathBuf};

use clap::Args;
use common_bundle::format::{Bundle, CertifiedEnvelope, Content, KeyMaterial, TransparencyLogEntry};
use common_bundle::slsa::{Asked, Found, GITHUB_ISSUER, Policy, Provenance, SlsaError, Workload, check};
use common_bundle::verify::{self, Evidence, Matcher};
use common_tlog::leaf_hash;

use crate::console::Console;
use crate::exit::{Exit, Failure};
use crate::trust_source::{TrustArgs, Trusted, read};
use crate::verify::Held;
use crate::verify::options::RequireArgs;
use crate::verify::report::{Refusal, Report, ReportArgs, print};

pub(crate) use summary::{VsaArgs, run as verify_vsa};

/// Most lines of one provenance file.
const MAX_LINES: usize = 64;

/// Options of `verify-artifact`; the first block has slsa-verifier's names.
#[derive(Debug, Args)]
pub(crate) struct VerifyArtifactArgs {
    /// The artifacts, all of one build; or digests as sha256:HEX.
    #[arg(value_name = "ARTIFACT", required = true)]
    artifacts: Vec<String>,
    /// Provenance: a bundle, an envelope with a certificate in it, or lines of either.
    #[arg(long, value_name = "FILE")]
    provenance_path: PathBuf,
    /// The source it must be built from, such as github.com/ORG/REPO; any host.
    #[arg(long, value_name = "URI")]
    source_uri: String,
    /// The tag it must be built from.
    #[arg(long, value_name = "TAG", conflicts_with = "source_versioned_tag")]
    source_tag: Option<String>,
    /// The version it must be built from; v1 is also every v1.N.
    #[arg(long, value_name = "TAG")]
    source_versioned_tag: Option<String>,
    /// The branch it must be built from.
    #[arg(long, value_name = "BRANCH")]
    source_branch: Option<String>,
    /// The builder, with or without its version. A builder that is not built in must sign for itself, or be in --policy.
    #[arg(long, value_name = "ID")]
    builder_id: Option<String>,
    /// An input that the run must have been started with.
    #[arg(long, value_name = "NAME=VALUE", value_parser = pair)]
    build_workflow_input: Vec<(String, String)>,
    /// Print the verified provenance on standard output.
    #[arg(long)]
    print_provenance: bool,
    /// Trusted pairs of signer and builder, build types and their external parameters (JSON), instead of those built in.
    #[arg(long, value_name = "FILE", help_heading = "Policy")]
    policy: Option<PathBuf>,
    /// Whose tokens builders sign with [default: GitHub Actions, and the issuers of the instance].
    #[arg(long, value_name = "URL", help_heading = "Policy")]
    certificate_oidc_issuer: Vec<String>,
    /// The log in which an envelope without log entry is looked up [default: the instance].
    #[arg(long, value_name = "URL", help_heading = "Trust")]
    rekor_url: Option<String>,
    #[command(flatten)]
    require: RequireArgs,
    #[command(flatten)]
    trust: TrustArgs,
    #[command(flatten)]
    report: ReportArgs,
    #[command(flatten)]
    summary: summary::SummaryArgs,
}

/// Shown at the end of the long help.
pub(crate) const EXAMPLES: &str = "\
Examples:
  sigbox verify-artifact app --provenance-path multiple.intoto.jsonl \\
      --source-uri github.com/ORG/REPO --source-tag v1.2.3
  sigbox verify-artifact app --provenance-path app.intoto.sigstore.json --source-uri git.example.com/team/app \\
      --builder-id https://git.example.com/team/ci/build.yml --certificate-oidc-issuer https://git.example.com
  sigbox verify-artifact app --provenance-path app.build.slsa --source-uri github.com/ORG/REPO --public-good --explain";

/// `NAME=VALUE`, cut at the first `=`.
fn pair(text: &str) -> Result<(String, String), String> {
    let (name, value) = text
        .split_once('=')
        .ok_or_else(|| format!("expected NAME=VALUE, got {text:?}"))?;
    Ok((name.to_owned(), value.to_owned()))
}

/// Provenance as it came.
struct Attestation {
    bundle: Bundle,
    /// The envelope's own text, where it was not in a bundle.
    text: Option<Vec<u8>>,
}

/// An artifact's verdict.
struct Passed {
    found: Found,
    payload: Vec<u8>,
}

/// Runs `verify-artifact`.
///
/// # Errors
/// [`Failure`] names the artifact and what was not as asked; its exit code says of what kind it is.
pub(crate) async fn run(args: VerifyArtifactArgs, console: Console) -> Result<(), Failure> {
    let text = read(&args.provenance_path)?;
    let trusted = args.trust.resolve().await?;
    let policy = args.policy(&trusted).await?;
    let attestations = args.attestations(&text).await?;
    let mut all: Vec<(String, Passed)> = Vec::new();
    for artifact in &args.artifacts {
        let held = Held::new(artifact)?;
        let mut report = Report::new(artifact, &args.provenance_path, &trusted);
        match args.one(&held, &attestations, &trusted, &policy, &mut report, console) {
            Ok(passed) => {
                report.finish_quietly(None, &args.report, console)?;
                if all
                    .first()
                    .is_some_and(|(_, first)| first.found.builder != passed.found.builder)
                {
                    return Err(Failure {
                        exit: Exit::OtherBuilder,
                        message:
                            "FAILED: SLSA verification failed: the artifacts were built by different builders"
                                .to_owned(),
                    });
                }
                console.line(&format!("Verifying artifact {artifact}: PASSED\n"));
                all.push((artifact.clone(), passed));
            }
            Err(refusal) => {
                report.finish_quietly(Some(&refusal), &args.report, console)?;
                console.line(&format!(
                    "Verifying artifact {artifact}: FAILED: {}\n",
                    refusal.reason()
                ));
                return Err(refusal.failure("FAILED: SLSA verification failed"));
            }
        }
    }
    if let Some((_, first)) = all.first() {
        if args.print_provenance {
            print(&String::from_utf8_lossy(&first.payload))?;
        }
        args.write_summary(&all, &text, first.found.level)?;
    }
    console.line("PASSED: SLSA verification passed");
    Ok(())
}

impl VerifyArtifactArgs {
    async fn policy(&self, trusted: &Trusted) -> Result<Policy, Failure> {
        if let Some(file) = &self.policy {
            let policy = Policy::parse(&read(file)?);
            return policy.map_err(|error| Failure::failed(format!("{}: {error}", file.display())));
        }
        let mut issuers = self.certificate_oidc_issuer.clone();
        if issuers.is_empty() {
            issuers.push(GITHUB_ISSUER.to_owned());
            issuers.extend(trusted.issuers().await?);
        }
        let mut policy = Policy::built_in(&issuers);
        if let Some(id) = &self.builder_id {
            policy.builders.push(Policy::own(id, &issuers));
        }
        Ok(policy)
    }

    /// Everything the file holds. An envelope by itself is looked up in the log.
    async fn attestations(&self, text: &[u8]) -> Result<Vec<Attestation>, Failure> {
        let whole = serde_json::from_slice::<serde::de::IgnoredAny>(text).is_ok();
        let lines: Vec<&[u8]> = if whole {
            vec![text]
        } else {
            let lines = text.split(|octet| *octet == b'\n');
            lines.filter(|line| !line.trim_ascii().is_empty()).collect()
        };
        if lines.is_empty() || lines.len() > MAX_LINES {
            return Err(self.unreadable(format!(
                "expected 1 to {MAX_LINES} attestations, got {}",
                lines.len()
            )));
        }
        let mut attestations = Vec::new();
        for line in lines {
            let attestation = match (Bundle::from_json(line), CertifiedEnvelope::from_json(line)) {
                (Ok(bundle), _) => Attestation { bundle, text: None },
                (Err(_), Some(certified)) => self.looked_up(certified, line).await?,
                (Err(error), None) => {
                    return Err(self.unreadable(format!(
                        "neither an envelope with a certificate nor a bundle: {error}"
                    )));
                }
            };
            attestations.push(attestation);
        }
        Ok(attestations)
    }

    fn unreadable(&self, why: impl std::fmt::Display) -> Failure {
        Failure {
            exit: Exit::Unverified,
            message: format!(
                "FAILED: SLSA verification failed: {}: {why}",
                self.provenance_path.display()
            ),
        }
    }

    async fn looked_up(&self, certified: CertifiedEnvelope, text: &[u8]) -> Result<Attestation, Failure> {
        let url = match &self.rekor_url {
            Some(url) => url,
            None if self.trust.trusted_root.is_none() && !self.trust.public_good => &self.trust.url,
            None => {
                return Err(Failure::usage(
                    "the provenance has no log entry, so it is looked up: give the log with --rekor-url URL",
                ));
            }
        };
        let bundle = lookup::bundle(url, certified, text)
            .await
            .map_err(|error| error.failure(&self.provenance_path))?;
        Ok(Attestation {
            bundle,
            text: Some(text.to_vec()),
        })
    }

    /// The first attestation that passes for the artifact; else why the last did not.
    fn one(
        &self,
        held: &Held,
        attestations: &[Attestation],
        trusted: &Trusted,
        policy: &Policy,
        report: &mut Report,
        console: Console,
    ) -> Result<Passed, Refusal> {
        let mut refusal = Refusal::new("bundle", Exit::Unverified, "no attestation");
        for attestation in attestations {
            report.signed_by(&attestation.bundle);
            match self.attested(held, attestation, trusted, policy, report) {
                Ok(passed) => {
                    if let Some(entry) = attestation.bundle.tlog_entries.first() {
                        console.line(&entry_line(entry, &report.checks));
                    }
                    console.line(&format!(
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
        trusted: &Trusted,
        policy: &Policy,
        report: &mut Report,
    ) -> Result<Passed, Refusal> {
        let evidence = self
            .require
            .apply(verify::Policy::matching(Matcher::Any, Matcher::Any))
            .map_err(|failure| Refusal::new("options", failure.exit, failure.message))?;
        let mut checks = Vec::new();
        let examined = verify::examine_text(
            &attestation.bundle,
            attestation.text.as_deref(),
            held.artifact(),
            &trusted.root,
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
        let found = check(&provenance, &workload, &self.asked(), policy)?;
        Ok(Passed {
            found,
            payload: envelope.payload.clone(),
        })
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

impl From<SlsaError> for Refusal {
    fn from(error: SlsaError) -> Refusal {
        let (check, exit) = match &error {
            SlsaError::Untrusted { .. } | SlsaError::Builder { .. } | SlsaError::Delegated(_) => {
                ("builder", Exit::OtherBuilder)
            }
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

/// A file's name without its folders.
fn name(artifact: &str) -> String {
    let name = Path::new(artifact).file_name();
    name.map_or_else(|| artifact.to_owned(), |name| name.to_string_lossy().into_owned())
}
