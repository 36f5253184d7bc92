//! How a command ends.

use std::process::ExitCode;

/// Exit codes, the same for every command. The text of the long help repeats them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Done.
    Done = 0,
    /// The request or the check failed: nobody answers, an answer is wrong, `doctor` found a broken link.
    Failed = 1,
    // 2 is a wrong command line, answered by the argument parser.
    /// The server cannot start: a port or the data folder is taken, or what it holds cannot be used.
    CannotStart = 3,
    /// `restore`: a log would go on from before what was published.
    WouldFork = 4,
}

/// Shown at the end of the long help.
pub(crate) const EXIT_CODES: &str = "\
Standard output carries results only (a token, one line of JSON, lines to paste); progress and errors go to standard error.

Exit codes:
  0  done
  1  the request or the check failed
  2  the command line is wrong
  3  the server cannot start (a port or the data folder is taken, or its content cannot be used)
  4  restore: a log would be forked; nothing was written";

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(exit as u8)
    }
}

/// Why a command did not do what it was asked: one line for a person, with what to do, and the exit code.
#[derive(Debug)]
pub(crate) struct Failure {
    /// The exit code.
    pub(crate) exit: Exit,
    /// What was expected, what came, what to do.
    pub(crate) message: String,
}

impl Failure {
    /// The command reached its end with a bad result.
    pub(crate) fn failed(message: impl std::fmt::Display) -> Failure {
        Failure {
            exit: Exit::Failed,
            message: message.to_string(),
        }
    }

    /// The server cannot start.
    pub(crate) fn cannot_start(message: impl std::fmt::Display) -> Failure {
        Failure {
            exit: Exit::CannotStart,
            message: message.to_string(),
        }
    }
}
