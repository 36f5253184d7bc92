//! `verify-image`: slsa-verifier's command line, on an image by its digest.

use std::path::PathBuf;

use clap::Args;

use crate::console::Console;
use crate::exit::Failure;
use crate::slsa::registry::{Image, Registry, RegistryArgs};
use crate::slsa::{Attestations, Session, SlsaArgs};
use crate::trust_source::read;
use crate::verify::Held;

/// Options of `verify-image`.
#[derive(Debug, Args)]
pub(crate) struct VerifyImageArgs {
    /// The image by its digest: HOST/NAME@sha256:HEX. A tag may be another image tomorrow.
    #[arg(value_name = "IMAGE")]
    image: Image,
    /// Provenance in a file [default: what is attached to the image in its registry].
    #[arg(long, value_name = "FILE")]
    provenance_path: Option<PathBuf>,
    #[command(flatten)]
    registry: RegistryArgs,
    #[command(flatten)]
    slsa: SlsaArgs,
}

/// Shown at the end of the long help.
pub(crate) const EXAMPLES: &str = "\
Examples:
  sigbox verify-image registry.example.com/app@sha256:HEX --source-uri github.com/ORG/REPO --source-tag v1.2.3
  docker login registry.example.com                             # or --registry-username, $SIGBOX_REGISTRY_PASSWORD";

/// Runs `verify-image`.
///
/// # Errors
/// [`Failure`] names what was not as asked; its exit code says of what kind it is.
pub(crate) async fn run(args: VerifyImageArgs, console: Console) -> Result<(), Failure> {
    let (image, name) = (&args.image, args.image.to_string());
    let mut session = Session::new(&args.slsa, console).await?;
    let from = args
        .provenance_path
        .clone()
        .unwrap_or_else(|| PathBuf::from(&name));
    let mut attestations = match &args.provenance_path {
        Some(file) => Attestations::of_file(&read(file)?, file)?,
        None => {
            let attached = Registry::of(image, &args.registry).attached().await;
            attached.map_err(|error| error.failure())?
        }
    };
    let held = Held::Digest(image.algorithm, image.digest.clone());
    let passed = session
        .judge("image", &name, &held, &mut attestations, &from, |_| Ok(()))
        .await?;
    if args.slsa.print_provenance {
        passed.print_provenance()?;
    }
    session.passed();
    Ok(())
}
