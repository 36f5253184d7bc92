//! `verify`: does this bundle say that this signer signed this artifact? Each check is named with its evidence.

pub(crate) mod options;
mod python;
pub(crate) mod report;
mod scorecard;

use std::path::{Path, PathBuf};

use clap::Args;
use common_bundle::format::{Bundle, Content};
use common_bundle::verify::{Artifact, VerifyError, examine};
use common_pki::key::HashAlgorithm;
use serde::Deserialize;

use crate::console::Console;
use crate::exit::{Exit, Failure};
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
    /// The predicate type that an attestation must have: a URI, or one of cosign's names for it.
    #[arg(long = "type", value_name = "TYPE")]
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
    let text = read(&path)?;
    let trusted = args.trust.resolve().await?;
    let mut report = Report::new(&args.artifact, &path, &trusted);
    // A Python index keeps its attestations in words of its own.
    let object = Bundle::from_attestation_object(&text);
    let of_index = object.is_some();
    let parsed = object.unwrap_or_else(|| Bundle::from_json(&text));
    let outcome = match parsed {
        Err(error) => Err(Refusal::new("bundle", Exit::Unverified, error)),
        Ok(bundle) => {
            report.signed_by(&bundle);
            let held = Held::new(&args.artifact)?;
            let mut evidence = Vec::new();
            let examined = examine(&bundle, held.artifact(), &trusted.root, &policy, &mut evidence);
            report.checks = evidence;
            examined
                .map(|(times, _)| report.times = times)
                .map_err(Refusal::from)
                .and_then(|()| predicate_type(&bundle, args.predicate_type.as_deref()))
                .and_then(|()| match of_index {
                    true => python::check(&bundle, &args.artifact),
                    false => Ok(()),
                })
                .and_then(|()| args.scorecard.check(&bundle, &held))
        }
    };
    report.finish(outcome, &args.report, console)
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
        None => Ok(PathBuf::from(format!("{artifact}.sigstore.json"))),
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

/// The statement's predicate type is the one that was asked for.
fn predicate_type(bundle: &Bundle, expected: Option<&str>) -> Result<(), Refusal> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Statement {
        predicate_type: String,
    }
    let Some(expected) = expected else { return Ok(()) };
    let expected = predicate_uri(expected);
    let refuse = |got: &str| {
        let why = format!("expected a statement with predicate type {expected}, got {got}");
        Err(Refusal::new("predicate-type", Exit::OtherArtifact, why))
    };
    let Content::Dsse(envelope) = &bundle.content else {
        return refuse("a signature over the artifact itself");
    };
    match serde_json::from_slice::<Statement>(&envelope.payload) {
        Ok(statement) if statement.predicate_type == expected => Ok(()),
        Ok(statement) => refuse(&statement.predicate_type),
        Err(_) => refuse("no statement"),
    }
}

/// cosign's names for predicate types (`cosign cmd/cosign/cli/options/predicate.go`); anything else is itself.
pub(crate) fn predicate_uri(name: &str) -> &str {
    match name {
        "custom" => "https://cosign.sigstore.dev/attestation/v1",
        "slsaprovenance" | "slsaprovenance02" => "https://slsa.dev/provenance/v0.2",
        "slsaprovenance1" => "https://slsa.dev/provenance/v1",
        "spdx" | "spdxjson" => "https://spdx.dev/Document",
        "cyclonedx" => "https://cyclonedx.org/bom",
        "link" => "https://in-toto.io/Link/v1",
        "vuln" => "https://cosign.sigstore.dev/attestation/vuln/v1",
        "openvex" => "https://openvex.dev/ns",
        "scorecard" => "https://scorecard.dev/result/v0.1",
        other => other,
    }
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

    use super::*;

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
}
