//! `verify-artifact` and `verify-vsa`: slsa-verifier's command lines and lines, against any trust.

mod summary;

use std::path::{Path, PathBuf};

use clap::Args;
use common_pki::key::HashAlgorithm;

use crate::console::Console;
use crate::exit::Failure;
use crate::slsa::{Attestations, Passed, Session, SlsaArgs};
use crate::trust_source::read;
use crate::verify::Held;

pub(crate) use summary::{VsaArgs, run as verify_vsa};

/// Options of `verify-artifact`.
#[derive(Debug, Args)]
pub(crate) struct VerifyArtifactArgs {
    /// The artifacts, all of one build; or digests as sha256:HEX.
    #[arg(value_name = "ARTIFACT", required = true)]
    artifacts: Vec<String>,
    /// Provenance: a bundle, an envelope by itself, which is looked up in the log, or lines of either.
    #[arg(long, value_name = "FILE")]
    provenance_path: PathBuf,
    #[command(flatten)]
    slsa: SlsaArgs,
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

/// Runs `verify-artifact`.
///
/// # Errors
/// [`Failure`] names the artifact and what was not as asked; its exit code says of what kind it is.
pub(crate) async fn run(args: VerifyArtifactArgs, console: Console) -> Result<(), Failure> {
    let text = read(&args.provenance_path)?;
    let mut session = Session::new(&args.slsa, console).await?;
    let mut attestations = Attestations::of_file(&text, &args.provenance_path)?;
    let mut all: Vec<Verified> = Vec::new();
    for artifact in &args.artifacts {
        let held = Held::new(artifact)?;
        let passed = session
            .judge(
                "artifact",
                artifact,
                &held,
                &mut attestations,
                &args.provenance_path,
                |_| Ok(()),
            )
            .await?;
        all.push(Verified {
            name: name(artifact),
            sha256: held.digest(HashAlgorithm::Sha256),
            passed,
        });
    }
    if let Some(Verified { passed, .. }) = all.first()
        && args.slsa.print_provenance
    {
        passed.print_provenance()?;
    }
    args.write_summary(&all, &text, session.policy_digest)?;
    session.passed();
    Ok(())
}

/// An artifact that passed, as it was read then: the file may be another since.
struct Verified {
    /// Without its folders.
    name: String,
    /// Where it can be had.
    sha256: Option<Vec<u8>>,
    passed: Passed,
}

/// A file's name without its folders.
fn name(artifact: &str) -> String {
    let name = Path::new(artifact).file_name();
    name.map_or_else(|| artifact.to_owned(), |name| name.to_string_lossy().into_owned())
}
