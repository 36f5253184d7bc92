//! `conformance`: the entry point that sigstore-conformance drives (`sigstore-conformance docs/cli_protocol.md`). Its
//! command line is the suite's, so it says less than `sign` and `verify` do, and its trust is by default the public
//! instance's.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use common_bundle::format::{Bundle, MediaType};
use common_bundle::trust::ValidFor;
use common_bundle::verify::{self, Artifact, Policy};
use common_pki::key::HashAlgorithm;

use crate::clock;
use crate::exit::{Exit, Failure};
use crate::signing::{self, Holder, Message, Order, services};
use crate::trust_source::{Trusted, read};
use crate::verify::options::public_key;

/// Options of the command.
#[derive(Debug, Args)]
pub(crate) struct ConformanceArgs {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Sign a file and write the bundle.
    SignBundle(SignBundle),
    /// Verify a bundle; the exit code is the verdict.
    VerifyBundle(VerifyBundle),
}

#[derive(Debug, Args)]
struct Instance {
    /// The public staging instance, as built in.
    #[arg(long)]
    staging: bool,
    /// What to trust [default: the public instance, as built in].
    #[arg(long, value_name = "FILE")]
    trusted_root: Option<PathBuf>,
}

impl Instance {
    fn trusted(&self) -> Result<Trusted, Failure> {
        match (&self.trusted_root, self.staging) {
            (Some(file), _) => Trusted::from_file(file),
            (None, true) => Trusted::staging(),
            (None, false) => Trusted::public_good(),
        }
    }
}

#[derive(Debug, Args)]
struct SignBundle {
    #[command(flatten)]
    instance: Instance,
    /// The file is an in-toto statement.
    #[arg(long)]
    in_toto: bool,
    /// Who signs.
    #[arg(long, value_name = "TOKEN")]
    identity_token: String,
    /// Where the bundle is written.
    #[arg(long, value_name = "FILE")]
    bundle: PathBuf,
    /// Where to sign [default: the public instance, as built in].
    #[arg(long, value_name = "FILE")]
    signing_config: Option<PathBuf>,
    /// What to sign.
    file: PathBuf,
}

#[derive(Debug, Args)]
struct VerifyBundle {
    #[command(flatten)]
    instance: Instance,
    /// The bundle.
    #[arg(long, value_name = "FILE")]
    bundle: PathBuf,
    /// Subject alternative name of the signer's certificate.
    #[arg(
        long,
        value_name = "IDENTITY",
        required_unless_present = "key",
        requires = "certificate_oidc_issuer"
    )]
    certificate_identity: Option<String>,
    /// Who certified that identity.
    #[arg(long, value_name = "URL", requires = "certificate_identity")]
    certificate_oidc_issuer: Option<String>,
    /// The signer's public key instead.
    #[arg(long, value_name = "PEM", conflicts_with = "certificate_identity")]
    key: Option<PathBuf>,
    /// The artifact, or its digest as sha256:HEX.
    file_or_digest: String,
}

/// Runs the command.
///
/// # Errors
/// [`Failure`] is the verdict.
pub(crate) async fn run(args: ConformanceArgs) -> Result<(), Failure> {
    match args.command {
        Command::SignBundle(args) => sign(args).await,
        Command::VerifyBundle(args) => verify_bundle(&args),
    }
}

async fn sign(args: SignBundle) -> Result<(), Failure> {
    signing::check_target(&args.bundle)?;
    let trusted = args.instance.trusted()?;
    let config = trusted
        .signing_config(args.signing_config.as_deref(), None)
        .await?;
    let services = services::choose(&config, None, clock::system()()).map_err(Failure::failed)?;
    let content = read(&args.file)?;
    let message = if args.in_toto {
        Message::Statement(&content)
    } else {
        Message::Artifact(&content)
    };
    let order = Order {
        services: &services,
        trusted: &trusted.root,
        format: MediaType::V03,
    };
    let signed = signing::sign(&order, Holder::Token(args.identity_token), message)
        .await
        .map_err(Failure::failed)?;
    signing::write(&args.bundle, &signed.bundle)
}

fn verify_bundle(args: &VerifyBundle) -> Result<(), Failure> {
    let policy = match (
        &args.key,
        &args.certificate_identity,
        &args.certificate_oidc_issuer,
    ) {
        (Some(file), ..) => Policy::key(public_key(file)?, ValidFor::default()),
        (None, Some(identity), Some(issuer)) => Policy::identity(identity, issuer),
        (None, ..) => return Err(Failure::failed("expected a key, or identity and issuer")),
    };
    let trusted = args.instance.trusted()?;
    let refused = |error: &dyn std::fmt::Display| Failure {
        exit: Exit::Unverified,
        message: format!("{}: {error}", args.bundle.display()),
    };
    let bundle = Bundle::from_json(&read(&args.bundle)?).map_err(|error| refused(&error))?;
    let content;
    let digest = sha256(&args.file_or_digest);
    let artifact = match &digest {
        Some(value) => Artifact::Digest {
            algorithm: HashAlgorithm::Sha256,
            value,
        },
        None => {
            content = read(Path::new(&args.file_or_digest))?;
            Artifact::Bytes(&content)
        }
    };
    verify::verify(&bundle, artifact, &trusted.root, &policy)
        .map(drop)
        .map_err(|error| refused(&error))
}

/// A digest begins with `sha256:`, has the length of one, and is no file.
fn sha256(text: &str) -> Option<Vec<u8>> {
    let digest = hex::decode(text.strip_prefix("sha256:")?).ok()?;
    (digest.len() == HashAlgorithm::Sha256.len() && !Path::new(text).exists()).then_some(digest)
}
