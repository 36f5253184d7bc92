//! Verification summaries: made by `verify-artifact --vsa-out`, checked by `verify-vsa`.

use std::path::PathBuf;

use clap::Args;
use common_bundle::slsa::vsa;
use common_bundle::trust::Timestamp;
use common_pki::key::sha256;

use super::{Verified, VerifyArtifactArgs, name};
use crate::clock;
use crate::console::Console;
use crate::exit::{Exit, Failure};
use crate::output;
use crate::signing::key::private_key;
use crate::trust_source::read;
use crate::verify::options::public_key;

/// Options about the summary.
#[derive(Debug, Args)]
#[command(next_help_heading = "Verification summary")]
pub(crate) struct SummaryArgs {
    /// Write a signed verification summary, which `slsa-verifier verify-vsa` accepts.
    #[arg(long, value_name = "FILE", requires_all = ["vsa_key", "vsa_verifier_id", "vsa_resource_uri"])]
    vsa_out: Option<PathBuf>,
    /// The private key of the verifier (PEM: PKCS #8, or cosign's; ECDSA P-256), with a password as for `sign --key`.
    #[arg(long, value_name = "PEM", requires = "vsa_out")]
    vsa_key: Option<PathBuf>,
    /// Who verified.
    #[arg(long, value_name = "URI", requires = "vsa_out")]
    vsa_verifier_id: Option<String>,
    /// What the artifact is to its users.
    #[arg(long, value_name = "URI", requires = "vsa_out")]
    vsa_resource_uri: Option<String>,
}

impl VerifyArtifactArgs {
    /// Writes the summary of what was verified, where one was asked for: the digests are of the octets that were judged, the
    /// policy is the one that judged them, and the level is what every one of them attains.
    pub(super) fn write_summary(
        &self,
        all: &[Verified],
        attestation: &[u8],
        policy: Option<[u8; 32]>,
    ) -> Result<(), Failure> {
        let SummaryArgs {
            vsa_out: Some(out),
            vsa_key: Some(key),
            vsa_verifier_id: Some(verifier),
            vsa_resource_uri: Some(resource),
        } = &self.summary
        else {
            return Ok(());
        };
        let failed = |file: &PathBuf, why: &dyn std::fmt::Display| {
            Failure::failed(format!("{}: {why}", file.display()))
        };
        let signer = private_key(key)?;
        let mut subjects = Vec::new();
        for Verified { name, sha256, .. } in all {
            let digest = sha256.as_ref().ok_or_else(|| {
                Failure::usage("a summary names SHA-256 digests: give the file or sha256:HEX")
            })?;
            subjects.push((name.clone(), hex::encode(digest)));
        }
        let policy = policy.map(hex::encode);
        let level = all.iter().map(|one| one.passed.found.level).min().unwrap_or(0);
        let uri = self.slsa.policy.as_ref().map_or_else(
            || "https://slsa.dev/spec/v1.2/verifying-artifacts".to_owned(),
            |file| name(&file.to_string_lossy()),
        );
        let time = Timestamp::from_system_time(clock::system()()).map(|time| time.to_string());
        let input = hex::encode(sha256(attestation));
        let summary = vsa::Summary {
            subjects: &subjects,
            verifier,
            time: time.as_deref().unwrap_or_default(),
            resource,
            policy: (&uri, policy.as_deref()),
            input: &input,
            level,
        };
        let json = vsa::sign(&summary, &signer).map_err(|error| failed(key, &error))?;
        output::replace(out, json.as_bytes()).map_err(|error| failed(out, &error))
    }
}

/// Options of `verify-vsa`, named as slsa-verifier names them.
#[derive(Debug, Args)]
pub(crate) struct VsaArgs {
    /// The summary.
    #[arg(long, value_name = "FILE")]
    attestation_path: PathBuf,
    /// The verifier's public key (PEM).
    #[arg(long, value_name = "PEM")]
    public_key_path: PathBuf,
    /// A digest that it must be about, as ALGORITHM:VALUE.
    #[arg(long, value_name = "DIGEST", required = true, value_parser = digest)]
    subject_digest: Vec<(String, String)>,
    /// Who must have verified.
    #[arg(long, value_name = "URI")]
    verifier_id: String,
    /// What the artifact must be.
    #[arg(long, value_name = "URI")]
    resource_uri: String,
    /// A level that it must attain.
    #[arg(long, value_name = "LEVEL")]
    verified_level: Vec<String>,
}

fn digest(text: &str) -> Result<(String, String), String> {
    let (algorithm, value) = text
        .split_once(':')
        .ok_or_else(|| format!("expected ALGORITHM:VALUE, got {text:?}"))?;
    Ok((algorithm.to_owned(), value.to_owned()))
}

/// Runs `verify-vsa`.
///
/// # Errors
/// [`Failure`] names what was not as asked.
pub(crate) fn run(args: VsaArgs, console: Console) -> Result<(), Failure> {
    let asked = vsa::Asked {
        digests: args.subject_digest,
        verifier: args.verifier_id,
        resource: args.resource_uri,
        levels: args.verified_level,
    };
    let key = public_key(&args.public_key_path)?;
    vsa::check(&read(&args.attestation_path)?, &key, &asked).map_err(|error| Failure {
        exit: match error {
            vsa::VsaError::Other { what: "subject", .. } => Exit::OtherArtifact,
            vsa::VsaError::Other { .. } => Exit::OtherProvenance,
            _ => Exit::Unverified,
        },
        message: format!("FAILED: SLSA verification failed: {error}"),
    })?;
    console.line("Verifying VSA: PASSED\n\nPASSED: SLSA verification passed");
    Ok(())
}
