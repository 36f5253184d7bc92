//! `log`: what is in a log, and the proof of it.
//!
//! An instance of sigbox is asked through its own interface, which has all its logs and can search them. Anything else
//! is read as C2SP tlog-tiles. Either way an entry is only shown once its proof was verified here, and the checkpoint's
//! signature where it is known whose that must be ([`keys`]).

mod keys;
mod read;
mod search;

use clap::{Args, Subcommand};

use crate::console::Console;
use crate::exit::Failure;
use crate::trust_source::TrustArgs;

#[derive(Debug, Args)]
pub(crate) struct LogArgs {
    #[command(subcommand)]
    command: LogCommand,
}

#[derive(Debug, Subcommand)]
enum LogCommand {
    /// Show size, root and origin of a log's newest checkpoint, or of all logs of an instance, and who has signed them.
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
#[command(mut_arg("url", |url| url.help(URL).help_heading(None::<&'static str>)))]
struct Place {
    /// The log's number within an instance; `log info` shows them.
    #[arg(long, value_name = "N")]
    log: Option<u32>,
    /// The log's key, instead of those that are trusted: a verifier key (name+hint+base64), or a file with it or with a public
    /// key in PEM. A log that is not an instance's needs it, or one of the options below.
    #[arg(long, value_name = "VKEY|FILE", conflicts_with_all = ["trust", "root"])]
    key: Option<String>,
    /// Print one JSON object on standard output.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    trust: TrustArgs,
}

/// The option of [`TrustArgs`] says here where the logs are, and of an instance also whose keys are trusted.
const URL: &str = "An instance, which is trusted by the root.json it serves unless one of the options below is given; or where a \
                   log's `checkpoint` and `tile/` are (C2SP tlog-tiles)";

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

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use crate::cli::Cli;

    #[test]
    fn a_key_is_given_or_trusted() {
        let is_taken = |more: &[&str]| {
            let line = [&["sigbox", "log", "get", "7", "--log", "3"][..], more].concat();
            Cli::try_parse_from(line).is_ok()
        };
        let key = ["--key", "log.pem"];
        assert!(is_taken(&[]) && is_taken(&key));
        for trust in [["--root", "root.json"], ["--trusted-root", "trusted_root.json"]] {
            assert!(is_taken(&trust), "{trust:?}");
            assert!(!is_taken(&[key, trust].concat()), "{trust:?}");
        }
    }
}
