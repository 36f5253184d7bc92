//! `sign` and `attest`: a bundle for an artifact, or for a statement about artifacts.

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use common_bundle::format::MediaType;
use common_bundle::verify::Evidence;
use common_pki::key::sha256;
use serde_json::{Value, json};

use crate::clock;
use crate::console::Console;
use crate::exit::Failure;
use crate::signing::identity::SignerArgs;
use crate::signing::services::{self, Services};
use crate::signing::{self, Message, Order, Signed};
use crate::trust_source::{TrustArgs, Trusted, read};
use crate::verify::predicate_uri;
use crate::verify::report::print;

/// Most artifacts of one statement, as verifiers bound them.
const MAX_SUBJECTS: usize = 1024;

/// Where and how to sign.
#[derive(Debug, Args)]
pub(crate) struct SigningArgs {
    #[command(flatten)]
    signer: SignerArgs,
    /// Where to sign [default: what belongs to the trust].
    #[arg(long, value_name = "FILE", help_heading = "Services")]
    signing_config: Option<PathBuf>,
    /// The API of the signature log, 1 or 2 [default: the signing configuration's highest].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=2), help_heading = "Services")]
    rekor_version: Option<u32>,
    #[command(flatten)]
    trust: TrustArgs,
    /// Version of the bundle.
    #[arg(long, value_name = "VERSION", default_value = "0.3", help_heading = "Output")]
    bundle_version: Format,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Format {
    #[value(name = "0.1")]
    V01,
    #[value(name = "0.2")]
    V02,
    #[value(name = "0.3")]
    V03,
}

impl From<Format> for MediaType {
    fn from(format: Format) -> MediaType {
        match format {
            Format::V01 => MediaType::V01,
            Format::V02 => MediaType::V02,
            Format::V03 => MediaType::V03,
        }
    }
}

impl SigningArgs {
    /// Trust and services.
    async fn resolve(&self) -> Result<(Trusted, Services), Failure> {
        let trusted = self.trust.resolve().await?;
        let config = trusted
            .signing_config(self.signing_config.as_deref(), self.rekor_version)
            .await?;
        let services =
            services::choose(&config, self.rekor_version, clock::system()()).map_err(Failure::failed)?;
        Ok((trusted, services))
    }

    async fn sign(&self, message: Message<'_>) -> Result<Signed, Failure> {
        let (trusted, services) = self.resolve().await?;
        let holder = self.signer.holder(&services).await?;
        let order = Order {
            services: &services,
            trusted: &trusted.root,
            format: self.bundle_version.into(),
        };
        signing::sign(&order, holder, message)
            .await
            .map_err(Failure::failed)
    }
}

/// Options of `sign`.
#[derive(Debug, Args)]
pub(crate) struct SignArgs {
    /// What to sign.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Where the bundle is written [default: the file's name and .sigstore.json].
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    bundle: Option<PathBuf>,
    #[command(flatten)]
    signing: SigningArgs,
}

/// Options of `attest`.
#[derive(Debug, Args)]
pub(crate) struct AttestArgs {
    /// The artifacts that the statement is about.
    #[arg(value_name = "FILE", required_unless_present = "statement")]
    files: Vec<PathBuf>,
    /// What is said about the artifacts: a JSON file.
    #[arg(
        long,
        value_name = "FILE",
        required_unless_present = "statement",
        requires = "predicate_type"
    )]
    predicate: Option<PathBuf>,
    /// Type of the predicate: a URI, or one of cosign's names (slsaprovenance1, spdxjson, cyclonedx, …).
    #[arg(long = "type", value_name = "TYPE", requires = "predicate")]
    predicate_type: Option<String>,
    /// A whole in-toto statement instead.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["files", "predicate"])]
    statement: Option<PathBuf>,
    /// Where the bundle is written [default: the first file's name and .intoto.sigstore.json].
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    bundle: Option<PathBuf>,
    /// Also write the envelope with the certificate in it, as slsa-verifier reads it (multiple.intoto.jsonl).
    #[arg(long, value_name = "FILE", conflicts_with = "key", help_heading = "Output")]
    envelope: Option<PathBuf>,
    #[command(flatten)]
    signing: SigningArgs,
}

/// Shown at the end of the long help of `sign`.
pub(crate) const SIGN_EXAMPLES: &str = "\
Examples:
  sigbox sign --identity-token \"$(sigbox token)\" hello.txt
  sigbox sign --key release.key --rekor-version 2 app.tar.gz
  sigbox sign --url https://sigstore.example.com app.tar.gz     # in a CI job, with its own token";

/// Shown at the end of the long help of `attest`.
pub(crate) const ATTEST_EXAMPLES: &str = "\
Examples:
  sigbox attest --predicate sbom.json --type spdxjson app.tar.gz
  sigbox attest --statement provenance.json --envelope multiple.intoto.jsonl";

/// Runs `sign`.
///
/// # Errors
/// [`Failure`] names the service or the file.
pub(crate) async fn run(args: SignArgs, console: Console) -> Result<(), Failure> {
    let content = read(&args.file)?;
    let signed = args.signing.sign(Message::Artifact(&content)).await?;
    let path = args
        .bundle
        .unwrap_or_else(|| with_suffix(&args.file, ".sigstore.json"));
    finish(&signed, &path, console)
}

/// Runs `attest`.
///
/// # Errors
/// [`Failure`] names the service or the file.
pub(crate) async fn attest(args: AttestArgs, console: Console) -> Result<(), Failure> {
    let statement = match (&args.statement, &args.predicate, &args.predicate_type) {
        (Some(file), ..) => read(file)?,
        (None, Some(predicate), Some(kind)) => statement(&args.files, predicate, kind)?,
        (None, ..) => return Err(Failure::usage("expected --statement, or --predicate and --type")),
    };
    let signed = args.signing.sign(Message::Statement(&statement)).await?;
    let named = args.statement.as_ref().or(args.files.first());
    let path = args
        .bundle
        .or_else(|| named.map(|file| with_suffix(file, ".intoto.sigstore.json")))
        .ok_or_else(|| Failure::usage("expected --bundle FILE"))?;
    if let (Some(file), Some(envelope)) = (&args.envelope, &signed.envelope) {
        // No line break at the end: what is logged is the hash of these octets.
        std::fs::write(file, envelope)
            .map_err(|error| Failure::failed(format!("{}: {error}", file.display())))?;
    }
    finish(&signed, &path, console)
}

/// An in-toto statement, version 1 (`in-toto/attestation spec/v1/statement.md`).
fn statement(files: &[PathBuf], predicate: &Path, kind: &str) -> Result<Vec<u8>, Failure> {
    if files.len() > MAX_SUBJECTS {
        return Err(Failure::usage(format!(
            "a statement is about at most {MAX_SUBJECTS} artifacts, got {}",
            files.len()
        )));
    }
    let wrong = |error: &dyn std::fmt::Display| Failure::failed(format!("{}: {error}", predicate.display()));
    let predicate: Value = serde_json::from_slice(&read(predicate)?).map_err(|error| wrong(&error))?;
    let subjects = files.iter().map(|file| {
        let name = file.file_name().unwrap_or(file.as_os_str()).to_string_lossy();
        Ok(json!({ "name": name, "digest": { "sha256": hex::encode(sha256(&read(file)?)) } }))
    });
    let statement = json!({
        "_type": "https://in-toto.io/Statement/v1",
        "subject": subjects.collect::<Result<Vec<_>, Failure>>()?,
        "predicateType": predicate_uri(kind),
        "predicate": predicate,
    });
    Ok(statement.to_string().into_bytes())
}

/// Writes the bundle and says what it is.
fn finish(signed: &Signed, path: &Path, console: Console) -> Result<(), Failure> {
    signing::write(path, &signed.bundle)?;
    for check in &signed.verified.evidence {
        match check {
            Evidence::Identity { .. } | Evidence::Key { .. } | Evidence::Inclusion { .. } => {
                console.remark(&check.to_string());
            }
            _ => {}
        }
    }
    print(&path.display().to_string())
}

fn with_suffix(file: &Path, suffix: &str) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}
