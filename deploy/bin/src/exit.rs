//! How a command ends.

use std::process::ExitCode;

/// Exit codes, the same for every command. The text of the long help repeats them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Done.
    Done = 0,
    /// The request or the check failed: nobody answers, an answer is wrong, `doctor` found a broken link.
    Failed = 1,
    /// The command line is wrong; mostly answered by the argument parser.
    Usage = 2,
    /// The server cannot start: a port or the data folder is taken, or what it holds cannot be used.
    CannotStart = 3,
    /// `restore`: a log would go on from before what was published.
    WouldFork = 4,
    /// `monitor`: a log is not what it was, or not what it says.
    Inconsistent = 5,
    /// `monitor --once`: an entry that is watched for and not expected.
    Sighted = 6,
    /// A signature, or evidence that it needs, does not verify.
    Unverified = 10,
    /// Signed by someone else.
    OtherSigner = 11,
    /// Signed, and about something else.
    OtherArtifact = 12,
    /// Signed, and in no log that is trusted.
    NotLogged = 13,
    /// Built from another source.
    OtherSource = 14,
    /// Built from another tag or branch.
    OtherReference = 15,
    /// Built by another builder, or one that is not trusted.
    OtherBuilder = 16,
    /// Built in another way than the policy allows.
    OtherProvenance = 17,
    /// Signed Scorecard results that are not good enough.
    BelowThreshold = 18,
}

/// Shown at the end of the long help.
pub(crate) const EXIT_CODES: &str = "\
Standard output carries results only (a token, one line of JSON, lines to paste); progress and errors go to standard error.

Exit codes:
  0  done
  1  the request or the check failed
  2  the command line is wrong
  3  the server cannot start (a port or the data folder is taken, or its content cannot be used)
  4  restore: a log would be forked; nothing was written
  5  monitor: a log is inconsistent with what it showed before, or with what it signs
  6  monitor --once: an entry was found that is watched for and not expected
 10  verify: a signature, or evidence that it needs, does not verify
 11  verify: signed by someone else
 12  verify: signed, and about something else
 13  verify: signed, and in no trusted log
 14  verify-artifact: built from another source
 15  verify-artifact: built from another tag or branch
 16  verify-artifact: built by another builder, or one that is not trusted
 17  verify-artifact: built in another way than the policy allows
 18  verify: Scorecard results below a threshold";

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

    /// Options that contradict each other in a way the argument parser does not see.
    pub(crate) fn usage(message: impl std::fmt::Display) -> Failure {
        Failure {
            exit: Exit::Usage,
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
