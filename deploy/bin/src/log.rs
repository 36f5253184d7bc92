//! `log`: what is in a log, and the proof of it.
//!
//! An instance of sigbox is asked through its own interface, which has all its logs and can search them. Anything else
//! is read as C2SP tlog-tiles. Either way an entry is only shown once its proof was verified here.

mod read;
mod search;

use clap::{Args, Subcommand};

use crate::cli::DEFAULT_URL;
use crate::console::Console;
use crate::exit::Failure;

#[derive(Debug, Args)]
pub(crate) struct LogArgs {
    #[command(subcommand)]
    command: LogCommand,
}

#[derive(Debug, Subcommand)]
enum LogCommand {
    /// Show size, root and origin of a log's newest checkpoint, or of all logs of an instance.
    Info(Place),
    /// Print an entry, after its proof was verified.
    Get(EntryArgs),
    /// Print the proof that an entry is in a log (C2SP tlog-proof), after it was verified.
    Proof(EntryArgs),
    /// Find entries of an instance's logs by who signed, with what, and what was signed.
    ///
    /// Different flags must all be met (--any: one of them); a flag given several times is met by any of its values. Case
    /// is ignored. At the end stands up to which checkpoint of each log the answer is complete.
    Search(Box<search::SearchArgs>),
}

/// Where a log is, and who signs it.
#[derive(Debug, Args)]
struct Place {
    /// An instance, or where a log's `checkpoint` and `tile/` are (C2SP tlog-tiles).
    #[arg(long, value_name = "URL", default_value = DEFAULT_URL, env = "SIGBOX_URL")]
    url: String,
    /// The log's number within an instance; `log info` shows them.
    #[arg(long, value_name = "N")]
    log: Option<u32>,
    /// The log's key: a verifier key (name+hint+base64), or a file with it or with a public key in PEM.
    #[arg(long, value_name = "VKEY|FILE")]
    key: Option<String>,
    /// Print one JSON object on standard output.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct EntryArgs {
    /// Place of the entry in its tree.
    index: u64,
    #[command(flatten)]
    place: Place,
}

/// Runs the command.
///
/// # Errors
/// [`Failure`] if the log cannot be read or does not prove what it says.
pub(crate) async fn run(args: LogArgs, console: Console) -> Result<(), Failure> {
    match args.command {
        LogCommand::Info(place) => read::info(&place, console).await,
        LogCommand::Get(args) => read::get(&args, console).await,
        LogCommand::Proof(args) => read::proof(&args, console).await,
        LogCommand::Search(args) => search::run(&args, console).await,
    }
}
