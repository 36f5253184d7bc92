//! `verify`: does this bundle say that this signer signed this artifact? Each check is named with its evidence.

pub(crate) mod options;
pub(crate) mod predicate;
mod python;
pub(crate) mod report;
mod scorecard;

use std::io;
use std::path::{Path, PathBuf};

use clap::Args;
use common_bundle::format::Bundle;
use common_bundle::verify::{Artifact, Policy, VerifyError, examine};
use common_pki::key::HashAlgorithm;

use crate::console::Console;
use crate::exit::{Exit, Failure};
use crate::sign::{ATTESTATION_SUFFIX, BUNDLE_SUFFIX};
use crate::trust_source::{TrustArgs, read};
use crate::verify::options::{IdentityArgs, RequireArgs};
use crate::verify::report::{Refusal, Report, ReportArgs};
use crate::verify::scorecard::ScorecardArgs;

/// Options of the command.
#[derive(Debug, Args)]
pub(crate) struct VerifyArgs {
    /// The artifact, or its digest as sha256:HEX (sha384, sha512).
    #[arg(value_name = "FILE|sha256:HEX")]
    artifact: String,
    /// The bundle, or an attestation object of a Python index (PEP 740) [default: the artifact's name and .sigstore.json].
    #[arg(long, value_name = "FILE")]
    bundle: Option<PathBuf>,
    #[command(flatten)]
    identity: IdentityArgs,
    /// The predicate type that an attestation must have: a URI, or one of cosign's names (slsaprovenance1, spdxjson, …).
    #[arg(long = "type", value_name = "TYPE", value_parser = predicate::parse)]
    predicate_type: Option<String>,
    #[command(flatten)]
    require: RequireArgs,
    #[command(flatten)]
    scorecard: ScorecardArgs,
    #[command(flatten)]
    trust: TrustArgs,
    #[command(flatten)]
    report: ReportArgs,
}

/// Shown at the end of the long help.
pub(crate) const EXAMPLES: &str = "\
Examples:
  sigbox verify --certificate-identity dev@example.com --certificate-oidc-issuer http://localhost:3000/oidc hello.txt
  sigbox verify --key release.pub --trusted-root trusted_root.json --bundle app.sigstore.json app.tar.gz
  sigbox verify --public-good --certificate-identity-regexp '^https://github.com/ORG/' \\
      --certificate-oidc-issuer https://token.actions.githubusercontent.com --require tlog=1,tsa=1 --explain app.tar.gz
  sigbox verify --certificate-identity WORKFLOW --certificate-oidc-issuer ISSUER --scorecard-min 7 \
      --scorecard-check Branch-Protection=8 results.json";

/// Runs the command.
///
/// # Errors
/// [`Failure`] names the check that failed; its exit code says of what kind it is.
pub(crate) async fn run(args: VerifyArgs, console: Console) -> Result<(), Failure> {
    let path = bundle_path(args.bundle.as_deref(), &args.artifact)?;
    let policy = args.require.apply(args.identity.policy()?)?;
    let mut report = Report::new(&args.artifact, &path);
    let outcome = judge(&args, &path, &policy, &mut report).await;
    report.finish(outcome, &args.report, console)
}

/// Everything that can stand against the bundle, from its absence on.
async fn judge(args: &VerifyArgs, path: &Path, policy: &Policy, report: &mut Report) -> Result<(), Refusal> {
    let text = std::fs::read(path)
        .map_err(|error| Refusal::new("bundle", Exit::Failed, unread(args, path, &error)))?;
    let trusted = args.trust.resolve().await;
    let trusted = trusted.map_err(|failure| Refusal::instead("trust", failure))?;
    report.trusts(&trusted);
    // A Python index keeps its attestations in words of its own.
    let object = Bundle::from_attestation_object(&text);
    let of_index = object.is_some();
    let parsed = object.unwrap_or_else(|| Bundle::from_json(&text));
    let bundle = parsed.map_err(|error| Refusal::new("bundle", Exit::Unverified, error))?;
    report.signed_by(&bundle);
    let held = Held::new(&args.artifact).map_err(|failure| Refusal::instead("artifact", failure))?;
    let (times, _) = examine(
        &bundle,
        held.artifact(),
        &trusted.root,
        policy,
        &mut report.checks,
    )?;
    report.times = times;
    predicate::check(&bundle, args.predicate_type.as_deref())?;
    if of_index {
        python::check(&bundle, &args.artifact)?;
    }
    args.scorecard.check(&bundle, &held)
}

/// Why there is no bundle to read, and where there may be one.
fn unread(args: &VerifyArgs, path: &Path, error: &io::Error) -> String {
    let mut why = format!("{}: {error}", path.display());
    if args.bundle.is_none() && error.kind() == io::ErrorKind::NotFound {
        let attestation = format!("{}{ATTESTATION_SUFFIX}", args.artifact);
        why.push_str(&match Path::new(&attestation).exists() {
            true => format!("; there is an attestation: --bundle {attestation}"),
            false => "; say with --bundle FILE where the bundle is".to_owned(),
        });
    }
    why
}

/// The bundle's path: as given, else beside the artifact, where sigstore-python and we write it.
///
/// # Errors
/// [`Failure`] for a digest without a bundle.
pub(crate) fn bundle_path(given: Option<&Path>, artifact: &str) -> Result<PathBuf, Failure> {
    match given {
        Some(path) => Ok(path.to_owned()),
        None if digest(artifact).is_some() => Err(Failure::usage(
            "a digest has no name to find the bundle by: give --bundle FILE",
        )),
        None => Ok(PathBuf::from(format!("{artifact}{BUNDLE_SUFFIX}"))),
    }
}

/// The artifact, as far as it was given.
pub(crate) enum Held {
    /// Its content.
    Bytes(Vec<u8>),
    /// Its digest.
    Digest(HashAlgorithm, Vec<u8>),
}

impl Held {
    /// Reads the file; a digest is one only where there is no file of that name.
    ///
    /// # Errors
    /// [`Failure`] when the file cannot be read.
    pub(crate) fn new(artifact: &str) -> Result<Held, Failure> {
        match digest(artifact) {
            Some((algorithm, value)) => Ok(Held::Digest(algorithm, value)),
            None => read(Path::new(artifact)).map(Held::Bytes),
        }
    }

    /// For the verification.
    pub(crate) fn artifact(&self) -> Artifact<'_> {
        match self {
            Held::Bytes(bytes) => Artifact::Bytes(bytes),
            Held::Digest(algorithm, value) => Artifact::Digest {
                algorithm: *algorithm,
                value,
            },
        }
    }

    /// Its digest by `algorithm`, where it can be had.
    pub(crate) fn digest(&self, algorithm: HashAlgorithm) -> Option<Vec<u8>> {
        match self {
            Held::Bytes(bytes) => Some(algorithm.digest(bytes)),
            Held::Digest(known, value) => (*known == algorithm).then(|| value.clone()),
        }
    }
}

/// `sha256:HEX` and its siblings, with the length of one and no file of that name.
fn digest(text: &str) -> Option<(HashAlgorithm, Vec<u8>)> {
    let (name, value) = text.split_once(':')?;
    let algorithm = HashAlgorithm::from_name(name)?;
    let value = hex::decode(value).ok()?;
    (value.len() == algorithm.len() && !Path::new(text).exists()).then_some((algorithm, value))
}

impl From<VerifyError> for Refusal {
    fn from(error: VerifyError) -> Refusal {
        let check = error.check();
        let exit = match check {
            "identity" | "key" | "key-material" => Exit::OtherSigner,
            "subject" => Exit::OtherArtifact,
            _ if matches!(
                error,
                VerifyError::TooFewEntries { .. } | VerifyError::UnknownLog { .. }
            ) =>
            {
                Exit::NotLogged
            }
            _ => Exit::Unverified,
        };
        Refusal::new(check, exit, error)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use clap::Parser as _;

    use super::*;
    use crate::cli::{Cli, Command};

    #[test]
    fn a_digest_is_one_only_with_its_length() {
        assert!(digest(&format!("sha256:{}", "ab".repeat(32))).is_some());
        assert!(digest(&format!("sha512:{}", "ab".repeat(64))).is_some());
        for not in [
            format!("sha256:{}", "ab".repeat(31)),
            format!("sha512:{}", "ab".repeat(32)),
            format!("md5:{}", "ab".repeat(16)),
            format!("sha256:{}", "xy".repeat(32)),
            "file".to_owned(),
        ] {
            assert!(digest(&not).is_none(), "{not}");
        }
    }

    #[test]
    fn a_bundle_is_looked_for_beside_its_artifact() {
        assert_eq!(
            bundle_path(None, "a/b.txt").unwrap(),
            PathBuf::from("a/b.txt.sigstore.json")
        );
        assert!(bundle_path(None, &format!("sha256:{}", "ab".repeat(32))).is_err());
    }

    #[test]
    fn who_finds_no_bundle_is_told_where_there_may_be_one() {
        let folder = tempfile::tempdir().unwrap();
        let artifact = folder.path().join("app").display().to_string();
        let said = |more: &[&str]| {
            let line = ["sigbox", "verify", "--key", "k.pub", &artifact];
            let Command::Verify(args) = Cli::parse_from(line.iter().chain(more)).command else {
                unreachable!("asked for verify");
            };
            let path = bundle_path(args.bundle.as_deref(), &args.artifact).unwrap();
            unread(&args, &path, &io::ErrorKind::NotFound.into())
        };
        let missing = said(&[]);
        assert!(
            missing.contains("app.sigstore.json: ") && missing.ends_with("--bundle FILE where the bundle is"),
            "{missing}"
        );
        std::fs::write(format!("{artifact}.intoto.sigstore.json"), "").unwrap();
        assert!(said(&[]).ends_with(&format!("--bundle {artifact}.intoto.sigstore.json")));
        // Who has said where it is knows.
        assert!(!said(&["--bundle", "elsewhere"]).contains("--bundle"));
    }
}
