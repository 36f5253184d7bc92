//! `sigbox`: a private Sigstore in one binary.
//!
//! This crate is the composition root. It parses the command line ([`cli`]), lays out the data folder ([`layout`],
//! [`keys`], [`repository`]), puts the services on one origin ([`services`]) and runs them ([`up`]); the other commands
//! are clients of a running instance. The real clock, the TLS provider, standard output and signals are met here and
//! nowhere else.
//!
//! It leaves out what a service does: each has its own crate. Nothing builds on this one; `tests` runs the executable.

mod backup;
mod bench;
mod cli;
mod client_setup;
mod clock;
mod completions;
mod conditions;
mod conformance;
mod console;
mod control;
mod disk;
mod doctor;
mod exit;
mod export_trust;
mod files;
mod fsck;
mod http;
mod identities;
mod import;
mod in_process;
mod keys;
mod landing;
mod layout;
mod local_tls;
mod log;
mod log_checks;
mod log_entry;
mod monitor;
mod oidc;
mod output;
mod paste;
mod policy;
mod progress;
mod public_url;
mod records;
mod repository;
mod restore;
mod rotate;
mod scorecard;
mod serve;
mod services;
mod sign;
mod signing;
mod site;
mod slsa;
mod token;
mod trust_source;
mod tuf;
mod tuf_fetch;
mod tuf_seen;
mod up;
mod verify;
mod verify_artifact;
mod verify_image;
mod verify_npm;
mod webhook;
mod xdg;

use std::process::ExitCode;

use clap::Parser;

use crate::cli::{Cli, Command};
use crate::console::Console;
use crate::exit::{Exit, Failure};

/// A request allocates hundreds of small values that other threads free, which glibc's allocator is slow at; what SQLite and
/// the cryptography allocate goes here too. Figures: `docs/performance.md`.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let console = Console::new();
    common_server::telemetry::init_tracing("warn");
    // A second provider is never installed: this is the first thing that could.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            console.error(&format!("cannot start threads: {error}"));
            return Exit::CannotStart.into();
        }
    };
    let outcome = runtime.block_on(async {
        match cli.command {
            Command::Up(args) => up::run(args, console).await,
            Command::Serve(args) => serve::run(args, console).await,
            Command::Token(args) => token::run(args).await,
            Command::Oidc(args) => oidc::run(args).await,
            Command::Policy(args) => policy::run(args, console).await,
            Command::Identities(args) => records::command::run(args).await,
            Command::Doctor(args) => doctor::run(args, console).await,
            Command::ClientSetup(args) => client_setup::run(args, console).await,
            Command::ExportTrust(args) => export_trust::run(args, console).await,
            Command::Fsck(args) => fsck::run(args, console).await,
            Command::Log(args) => log::run(args, console).await,
            Command::Monitor(args) => monitor::run(*args, console).await,
            Command::Backup(args) => backup::run(args, console).await,
            Command::Restore(args) => restore::run(args, console).await,
            Command::Import(args) => import::run(args, console).await,
            Command::Rotate(args) => rotate::command::run(args, console).await,
            Command::Shard(args) => rotate::command::shard(args, console).await,
            Command::Keys(args) => keys::command::run(args, console).await,
            Command::Tuf(args) => tuf::run(args, console).await,
            Command::Sign(args) => sign::run(args, console).await,
            Command::Attest(args) => sign::attest(args, console).await,
            Command::Verify(args) => verify::run(args, console).await,
            Command::VerifyArtifact(args) => verify_artifact::run(*args, console).await,
            Command::VerifyImage(args) => verify_image::run(*args, console).await,
            Command::VerifyNpmPackage(args) => verify_npm::run(*args, console).await,
            Command::VerifyVsa(args) => verify_artifact::verify_vsa(args, console),
            Command::Conformance(args) => conformance::run(args).await,
            Command::Completions(args) => completions::run(&args),
            Command::Bench(args) => bench::run(args, console).await,
        }
    });
    match outcome {
        Ok(()) => Exit::Done.into(),
        Err(Failure { exit, message }) => {
            console.error(&message);
            exit.into()
        }
    }
}
