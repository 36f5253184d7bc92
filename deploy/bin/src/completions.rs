//! `completions`: what a shell needs to complete our command line.

use clap::{Args, CommandFactory as _};
use clap_complete::Shell;

use crate::cli::Cli;
use crate::exit::Failure;
use crate::verify::report::print;

/// Options of the command.
#[derive(Debug, Args)]
pub(crate) struct CompletionsArgs {
    /// The shell.
    shell: Shell,
}

/// Shown at the end of the long help.
pub(crate) const EXAMPLES: &str = "\
Examples:
  sigbox completions bash > /etc/bash_completion.d/sigbox
  sigbox completions zsh > \"${fpath[1]}/_sigbox\"
  sigbox completions fish > ~/.config/fish/completions/sigbox.fish";

/// Runs the command.
///
/// # Errors
/// [`Failure`] when nobody takes the script.
pub(crate) fn run(args: &CompletionsArgs) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "sigbox", &mut script);
    print(String::from_utf8_lossy(&script).trim_end())
}
