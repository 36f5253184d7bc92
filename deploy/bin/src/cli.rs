//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use common_server::listen::ListenAddr;

use crate::backup::BackupArgs;
use crate::bench::BenchArgs;
use crate::completions::{self, CompletionsArgs};
use crate::conformance::ConformanceArgs;

use crate::exit::EXIT_CODES;
use crate::export_trust::ExportTrustArgs;
use crate::fsck::FsckArgs;
use crate::import::ImportArgs;
use crate::keys::command::KeysArgs;
use crate::log::LogArgs;
use crate::monitor::{self, MonitorArgs};
use crate::oidc::OidcArgs;
use crate::policy::PolicyArgs;
use crate::records::command::IdentitiesArgs;
use crate::restore::RestoreArgs;
use crate::rotate::command::{RotateArgs, ShardArgs};
use crate::serve::ServeArgs;
use crate::sign::{self, AttestArgs, SignArgs};
use crate::tuf::TufArgs;
use crate::up::limits::LimitArgs;
use crate::up::rekor::RekorArgs;
use crate::verify::{self, VerifyArgs};
use crate::verify_artifact::{self, VerifyArtifactArgs, VsaArgs};
use crate::verify_image::{self, VerifyImageArgs};
use crate::verify_npm::{self, VerifyNpmArgs};

/// Where `up` answers unless told otherwise, and where the other commands look for it.
pub(crate) const DEFAULT_URL: &str = "http://localhost:3000";
/// Whom tokens are for unless told otherwise.
pub(crate) const DEFAULT_EMAIL: &str = "dev@example.com";

/// A private Sigstore in one binary.
#[derive(Debug, Parser)]
#[command(name = "sigbox", version, about, after_long_help = EXIT_CODES)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Start a complete private Sigstore on this machine.
    ///
    /// The first start creates keys, logs and the trust repository in the data folder; later starts continue with them.
    Up(UpArgs),
    /// Run the services for production, by a configuration file: real issuers, TLS, PostgreSQL, keys on tokens.
    Serve(ServeArgs),
    /// Print an identity token of the development issuer.
    Token(TokenArgs),
    /// Look at identity tokens without using them.
    Oidc(OidcArgs),
    /// Try the issuance policy of a configuration out, and see what it has refused.
    Policy(PolicyArgs),
    /// Say who is behind a pseudonym, and delete that.
    Identities(IdentitiesArgs),
    /// Sign and verify a canary through every service, and name the link that fails.
    Doctor(DoctorArgs),
    /// Print the exact lines that set up a client and make its first signature.
    ClientSetup(ClientSetupArgs),
    /// Write everything that clients trust into one signed archive, for machines without a network, or check one.
    ExportTrust(ExportTrustArgs),
    /// Check every leaf, tile, index row and attachment of a data folder, or a whole log by its URL.
    ///
    /// Nothing is changed, and a server may go on writing meanwhile. Exit code 1 if anything is found.
    Fsck(FsckArgs),
    /// Search the logs of an instance, and read and prove single entries of any log by its URL.
    Log(LogArgs),
    /// Follow logs from the outside, an instance's own or anybody's: prove that they only grow, and tell who signs as whom.
    #[command(after_long_help = monitor::EXAMPLES)]
    Monitor(Box<MonitorArgs>),
    /// Copy logs, keys and trust of a data folder into one file, while the server runs or not.
    Backup(BackupArgs),
    /// Make a data folder from a backup, verified from the first entry on.
    ///
    /// A log is never continued from before a checkpoint that was published: exit code 4, with the ways out.
    Restore(RestoreArgs),
    /// Put a new key in use for a role, while the server runs: trusted first, then used, and no request fails.
    ///
    /// For Rekor and the certificate log it is a new log with a new key; the old one stays readable for ever.
    Rotate(RotateArgs),
    /// Open a new Rekor shard: `rotate rekor` by its other name.
    Shard(ShardArgs),
    /// Make, list and move the private keys of an instance: in files, on tokens, in key services.
    Keys(KeysArgs),
    /// Keep the root key of the trust repository with several holders, offline: propose, sign and publish roots.
    Tuf(TufArgs),
    /// Sign a file: certificate, log entry and timestamp in one bundle beside it.
    #[command(after_long_help = sign::SIGN_EXAMPLES)]
    Sign(SignArgs),
    /// Sign a statement about files: provenance, a bill of materials, any in-toto predicate.
    #[command(after_long_help = sign::ATTEST_EXAMPLES)]
    Attest(AttestArgs),
    /// Verify a bundle, and show what proves it.
    #[command(after_long_help = verify::EXAMPLES)]
    Verify(VerifyArgs),
    /// Verify what an artifact was built from and by whom (SLSA provenance), as slsa-verifier does.
    #[command(after_long_help = verify_artifact::EXAMPLES)]
    VerifyArtifact(Box<VerifyArtifactArgs>),
    /// Verify what a container image was built from and by whom, by what is attached to it in its registry.
    #[command(after_long_help = verify_image::EXAMPLES)]
    VerifyImage(Box<VerifyImageArgs>),
    /// Verify what an npm package was built from and by whom, by what its registry has.
    #[command(after_long_help = verify_npm::EXAMPLES)]
    VerifyNpmPackage(Box<VerifyNpmArgs>),
    /// Verify a signed verification summary, as slsa-verifier does.
    VerifyVsa(VsaArgs),
    /// Be driven by sigstore-conformance.
    Conformance(ConformanceArgs),
    /// Print the script by which a shell completes this command line.
    #[command(after_long_help = completions::EXAMPLES)]
    Completions(CompletionsArgs),
    /// Take over a Rekor v1 or v2 log of another instance, to be served as an old shard.
    ///
    /// Every timestamp, the tree and its checkpoint are verified; an interrupted import goes on where it was.
    Import(ImportArgs),
    /// Measure an instance: throughput, latency, processor time and memory of each kind of write.
    Bench(BenchArgs),
}

#[derive(Debug, Args)]
pub(crate) struct UpArgs {
    /// Folder of keys, logs and trust; created when missing.
    #[arg(
        long,
        value_name = "DIR",
        default_value = "sigbox-data",
        conflicts_with = "ephemeral"
    )]
    pub(crate) data: PathBuf,
    /// Where all services answer over HTTP/1.1 and HTTP/2; `localhost` is both loopback families [default: localhost:3000].
    #[arg(long, value_name = "ADDR")]
    pub(crate) listen: Option<ListenAddr>,
    /// The same over TLS, with a certificate of a local authority (DIR/tls/ca.pem) [default: localhost:3443].
    #[arg(long, value_name = "ADDR")]
    pub(crate) tls_listen: Option<ListenAddr>,
    /// Where Prometheus metrics are [default: localhost:2112].
    #[arg(long, value_name = "ADDR")]
    pub(crate) metrics_listen: Option<ListenAddr>,
    /// How clients reach this instance; its host name becomes part of the logs for good [default: what the folder has, else http:// and --listen].
    #[arg(long, value_name = "URL")]
    pub(crate) public_url: Option<String>,
    /// Use a temporary folder and free ports, and leave nothing behind.
    #[arg(long)]
    pub(crate) ephemeral: bool,
    /// Print one line of JSON on standard output when everything answers.
    #[arg(long)]
    pub(crate) json: bool,
    /// Allow listening on interfaces other than loopback. Whoever reaches the development issuer can sign as anyone.
    #[arg(long)]
    pub(crate) expose_development_issuer_to_the_network: bool,
    /// Identity provider whose certificates may publish Scorecard results; repeat it for several [default: all].
    #[arg(long = "scorecard-issuer", value_name = "URL")]
    pub(crate) scorecard_issuers: Vec<String>,
    /// OIDC issuers to trust beside the development issuer, in Fulcio's own configuration format (JSON or YAML); read again
    /// when it changes and on SIGHUP.
    #[arg(long, value_name = "FILE")]
    pub(crate) fulcio_config: Option<PathBuf>,
    /// How much clients may ask for.
    #[command(flatten)]
    pub(crate) limits: LimitArgs,
    /// What the Rekor v1 log takes.
    #[command(flatten)]
    pub(crate) rekor: RekorArgs,
}

/// The three listen addresses of `up`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Addresses {
    /// All services in clear text.
    pub(crate) http: ListenAddr,
    /// All services over TLS.
    pub(crate) tls: ListenAddr,
    /// Metrics.
    pub(crate) metrics: ListenAddr,
}

impl UpArgs {
    /// What was asked for; else the default ports, or free ones for `--ephemeral`.
    pub(crate) fn addresses(&self) -> Addresses {
        let or_default = |asked: &Option<ListenAddr>, port| {
            asked
                .clone()
                .unwrap_or_else(|| ListenAddr::localhost(if self.ephemeral { 0 } else { port }))
        };
        Addresses {
            http: or_default(&self.listen, 3000),
            tls: or_default(&self.tls_listen, 3443),
            metrics: or_default(&self.metrics_listen, 2112),
        }
    }
}

#[derive(Debug, Args)]
pub(crate) struct TokenArgs {
    /// The instance.
    #[arg(long, value_name = "URL", default_value = DEFAULT_URL, env = "SIGBOX_URL")]
    pub(crate) url: String,
    /// The e-mail address that the token certifies.
    #[arg(long, value_name = "E", default_value = DEFAULT_EMAIL, conflicts_with = "claims")]
    pub(crate) email: String,
    /// A JSON object of claims instead, `-` for standard input; `null` removes a default claim.
    #[arg(long, value_name = "FILE")]
    pub(crate) claims: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct DoctorArgs {
    /// The instance.
    #[arg(long, value_name = "URL", default_value = DEFAULT_URL, env = "SIGBOX_URL")]
    pub(crate) url: String,
    /// Sign as whom this token certifies, instead of asking the development issuer for one, which `serve` has not: the token, or a
    /// file that holds it, read at each look.
    #[arg(long, value_name = "TOKEN")]
    pub(crate) identity_token: Option<String>,
    /// Look again every so many seconds, until it is stopped; each look signs and logs anew.
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(5..=86_400))]
    pub(crate) watch: Option<u64>,
    /// After each look, write what was found into this file for Prometheus (node_exporter's textfile collector).
    #[arg(long, value_name = "FILE")]
    pub(crate) metrics: Option<PathBuf>,
    /// Print the links as one line of JSON on standard output instead, of each look.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ClientSetupArgs {
    /// The client to set up.
    pub(crate) client: Client,
    /// The instance.
    #[arg(long, value_name = "URL", default_value = DEFAULT_URL, env = "SIGBOX_URL")]
    pub(crate) url: String,
}

/// Clients whose setup is known here. The argument parser lists them when another is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Client {
    /// cosign 3.
    Cosign,
    /// sigstore-python 4.
    Python,
    /// @sigstore/cli 0.10.
    Js,
    /// sigstore-go 1.
    Go,
    /// sigstore-java 2.
    Java,
    /// sigstore-rust 0.15.
    Rust,
    /// gitsign: commits and tags.
    Gitsign,
    /// rekor-cli 1.5.
    RekorCli,
    /// Sigstore's admission controller for Kubernetes.
    PolicyController,
    /// Kyverno.
    Kyverno,
    /// Flux 2.9 or newer.
    Flux,
    /// podman, CRI-O, skopeo and buildah.
    Podman,
    /// GitHub Actions.
    GithubActions,
    /// GitLab CI.
    GitlabCi,
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_definition_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn defaults_are_loopback_only() {
        let addresses = |args: &[&str]| match Cli::parse_from(args).command {
            Command::Up(up) => up.addresses(),
            other => unreachable!("asked for up, got {other:?}"),
        };
        let Addresses { http, tls, metrics } = addresses(&["sigbox", "up"]);
        assert!(http.is_loopback() && tls.is_loopback() && metrics.is_loopback());
        assert_eq!((http.port(), tls.port(), metrics.port()), (3000, 3443, 2112));
        let Addresses { http, tls, metrics } =
            addresses(&["sigbox", "up", "--ephemeral", "--listen", "[::1]:4000"]);
        assert_eq!((http.port(), tls.port(), metrics.port()), (4000, 0, 0));
        assert!(tls.is_loopback() && metrics.is_loopback());
    }

    #[test]
    fn an_unknown_client_is_told_which_are_supported() {
        let error = Cli::try_parse_from(["sigbox", "client-setup", "notation"])
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("cosign, python, js, go, java, rust, gitsign, rekor-cli"),
            "{error}"
        );
    }

    #[test]
    fn contradictions_are_refused() {
        assert!(Cli::try_parse_from(["sigbox", "up", "--ephemeral", "--data", "x"]).is_err());
        assert!(Cli::try_parse_from(["sigbox", "token", "--email", "a@b.c", "--claims", "x"]).is_err());
        assert!(Cli::try_parse_from(["sigbox", "up", "--listen", "example.com:80"]).is_err());
    }
}
