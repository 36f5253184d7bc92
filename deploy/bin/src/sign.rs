//! `sign` and `attest`: a bundle for an artifact, or for a statement about artifacts.

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use common_bundle::format::{Bundle, Content, MediaType};
use common_bundle::verify::Evidence;
use common_pki::key::sha256;
use serde_json::{Value, json};

use crate::clock;
use crate::console::Console;
use crate::exit::Failure;
use crate::output;
use crate::signing::identity::SignerArgs;
use crate::signing::services::{self, Services};
use crate::signing::{self, Message, Order, Signed};
use crate::trust_source::{TrustArgs, Trusted, read};
use crate::verify::predicate;
use crate::verify::report::print;

/// What a bundle's name has behind its artifact's.
pub(crate) const BUNDLE_SUFFIX: &str = ".sigstore.json";
/// What an attestation's name has behind its first artifact's.
pub(crate) const ATTESTATION_SUFFIX: &str = ".intoto.sigstore.json";
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
    #[arg(long = "type", value_name = "TYPE", requires = "predicate", value_parser = predicate::parse)]
    predicate_type: Option<String>,
    /// A whole in-toto statement instead.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["files", "predicate"])]
    statement: Option<PathBuf>,
    /// Where the bundle is written [default: the first file's name and .intoto.sigstore.json, unless an attestation of another
    /// type is there].
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
    let path = args
        .bundle
        .unwrap_or_else(|| with_suffix(&args.file, BUNDLE_SUFFIX));
    signing::check_target(&path)?;
    let signed = args.signing.sign(Message::Artifact(&content)).await?;
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
    let path = match (args.bundle, args.statement.as_ref().or(args.files.first())) {
        (Some(path), _) => path,
        (None, Some(named)) => {
            let path = with_suffix(named, ATTESTATION_SUFFIX);
            keep_another(&path, &statement)?;
            path
        }
        (None, None) => return Err(Failure::usage("expected --bundle FILE")),
    };
    signing::check_target(&path)?;
    if let Some(file) = &args.envelope {
        signing::check_target(file)?;
    }
    let signed = args.signing.sign(Message::Statement(&statement)).await?;
    if let (Some(file), Some(envelope)) = (&args.envelope, &signed.envelope) {
        // No line break at the end: what is logged is the hash of these octets.
        output::replace(file, envelope.as_bytes())
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
        "predicateType": kind,
        "predicate": predicate,
    });
    Ok(statement.to_string().into_bytes())
}

/// Refuses to replace an attestation that says something else, where nobody asked for that name: an artifact's bill of materials is
/// not out of date because its provenance is attested too.
fn keep_another(path: &Path, statement: &[u8]) -> Result<(), Failure> {
    let old = std::fs::read(path)
        .ok()
        .and_then(|text| Bundle::from_json(&text).ok());
    let Some(Content::Dsse(envelope)) = old.map(|bundle| bundle.content) else {
        return Ok(());
    };
    let types = (
        predicate::of_statement(&envelope.payload),
        predicate::of_statement(statement),
    );
    match types {
        (Some(old), Some(new)) if old != new => Err(Failure::failed(format!(
            "{} is an attestation of another type, {old}, and is not replaced: name a file with --bundle; nothing was signed",
            path.display()
        ))),
        _ => Ok(()),
    }
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

    use std::ffi::OsString;

    use clap::Parser as _;
    use common_bundle::format::{Envelope, EnvelopeSignature, IN_TOTO_PAYLOAD_TYPE, KeyMaterial};

    use super::*;
    use crate::cli::{Cli, Command};

    /// Why `sigbox` of these words signs nothing. Who would sign is asked where nobody answers.
    async fn refused(words: &[&str], files: &[&Path]) -> String {
        let nowhere = ["--url", "http://127.0.0.1:1", "--identity-token", "a.b.c"];
        let words = ["sigbox"].iter().chain(words).chain(&nowhere).map(OsString::from);
        let files = files.iter().map(|file| file.as_os_str().to_owned());
        let ended = match Cli::try_parse_from(words.chain(files)).unwrap().command {
            Command::Sign(args) => run(args, Console::new()).await,
            Command::Attest(args) => attest(args, Console::new()).await,
            other => panic!("asked to sign, got {other:?}"),
        };
        ended.unwrap_err().message
    }

    #[tokio::test]
    async fn where_no_bundle_can_be_written_nothing_is_signed() {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("app");
        std::fs::write(&file, "{}").unwrap();
        let predicate = [
            "attest",
            "--type",
            "custom",
            "--predicate",
            file.to_str().unwrap(),
        ];
        let absent = ["--bundle", "/absent/x.json"];
        for words in [
            [&["sign"][..], &absent].concat(),
            [&predicate[..], &absent].concat(),
            [&predicate[..], &["--envelope", "/absent/x.json"]].concat(),
        ] {
            let said = refused(&words, &[&file]).await;
            assert!(
                said.starts_with("/absent/x.json: ") && said.ends_with("nothing was signed"),
                "{said}"
            );
        }
        // What can be written comes to who signs, and leaves nothing behind.
        for words in [&["sign"][..], &predicate] {
            let said = refused(words, &[&file]).await;
            assert!(said.contains("http://127.0.0.1:1"), "{said}");
        }
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[tokio::test]
    async fn an_attestation_of_another_type_is_replaced_only_by_name() {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("app");
        std::fs::write(&file, "{}").unwrap();
        let kept = with_suffix(&file, ATTESTATION_SUFFIX);
        let bundle = Bundle {
            media_type: MediaType::V03,
            key_material: KeyMaterial::PublicKey {
                hint: "key".to_owned(),
            },
            tlog_entries: Vec::new(),
            timestamps: Vec::new(),
            content: Content::Dsse(Envelope {
                payload: statement(std::slice::from_ref(&file), &file, "https://spdx.dev/Document").unwrap(),
                payload_type: IN_TOTO_PAYLOAD_TYPE.to_owned(),
                signatures: vec![EnvelopeSignature {
                    sig: b"signature".to_vec(),
                    keyid: None,
                }],
            }),
        };
        signing::write(&kept, &bundle).unwrap();
        let attested = async |kind: &str, more: &[&str]| {
            let predicate = file.to_str().unwrap();
            let words = ["attest", "--predicate", predicate, "--type", kind];
            refused(&[&words[..], more].concat(), &[&file]).await
        };
        let said = attested("slsaprovenance1", &[]).await;
        assert!(
            said.contains("https://spdx.dev/Document") && said.contains("--bundle"),
            "{said}"
        );
        for (kind, more) in [
            ("spdxjson", &[] as &[&str]),
            ("slsaprovenance1", &["--bundle", kept.to_str().unwrap()]),
        ] {
            let said = attested(kind, more).await;
            assert!(said.contains("http://127.0.0.1:1"), "{said}");
        }
    }
}
