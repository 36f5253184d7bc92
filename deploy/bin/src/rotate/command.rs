//! `rotate` and `shard`: what the running instance of a data folder is asked to do.

use std::fmt;
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use common_bundle::trust::Role;
use serde::{Deserialize, Serialize};

use crate::console::{self, Console};
use crate::control;
use crate::exit::Failure;
use crate::keys::Places;
use crate::keys::places::Place;
use crate::keys::quiet::quiet;
use crate::layout::Layout;

/// Seven days, the life of a TUF timestamp: a client that has not come back by then refuses what it has, and gets
/// the new trust with the next.
const PROPAGATION: &str = "7d";

/// Whose key takes over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Subject {
    /// The certificate authority: a new chain.
    Fulcio,
    /// The certificate log: a new log with a new key.
    Ctlog,
    /// A Rekor log (`--log`): a new shard with a new key.
    Rekor,
    /// The timestamp authority: a new chain.
    Tsa,
    /// The trust repository (`--key`): a new root version that lists the new key.
    Tuf,
}

/// Which Rekor log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum RekorLog {
    /// Rekor v1: virtual indexes go on.
    V1,
    /// Rekor v2: a log of its own, named by a host of its own.
    V2,
}

/// Which TUF key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum TufKey {
    /// The key that the server signs with by itself.
    Online,
    /// The root key: signed by the old and the new.
    Root,
}

#[derive(Debug, Args)]
pub(crate) struct RotateArgs {
    /// Whose key takes over.
    pub(crate) subject: Subject,
    /// Which Rekor log, of `rekor` [default: v1].
    #[arg(long, value_enum, value_name = "LOG")]
    pub(crate) log: Option<RekorLog>,
    /// Which TUF key, of `tuf` [default: online].
    #[arg(long, value_enum, value_name = "KEY")]
    pub(crate) key: Option<TufKey>,
    #[command(flatten)]
    pub(crate) how: HowArgs,
}

#[derive(Debug, Args)]
pub(crate) struct ShardArgs {
    /// Which Rekor log.
    #[arg(long, value_enum, default_value = "v1", value_name = "LOG")]
    pub(crate) log: RekorLog,
    #[command(flatten)]
    pub(crate) how: HowArgs,
}

#[derive(Debug, Args)]
pub(crate) struct HowArgs {
    /// Folder of the instance, which must be running.
    #[arg(long, value_name = "DIR", default_value = "sigbox-data")]
    pub(crate) data: PathBuf,
    /// Time between the publication of the new key and its first use: 0s, 90s, 30m, 12h, 7d. The default is the life
    /// of a TUF timestamp; a TUF key needs none.
    #[arg(long, value_name = "TIME", default_value = PROPAGATION, value_parser = parse_time)]
    pub(crate) propagate: u32,
    /// Host name of a new Rekor v2 shard, part of its checkpoints for good [default: NAME-OF-ITS-KEY.HOST].
    #[arg(long, value_name = "HOST", value_parser = parse_host)]
    pub(crate) host: Option<String>,
    /// Where the new key is made, or which key takes over: URI, or NAME=URI for one of several (fulcio-ca and fulcio-root; tsa,
    /// tsa-intermediate and tsa-root), as in `keys init` [default: where its predecessor is].
    #[arg(long = "signer", value_name = "[NAME=]URI", value_parser = quiet::<Place>(),
        conflicts_with_all = ["dry_run", "cancel", "status"])]
    pub(crate) signers: Vec<Place>,
    /// Show what clients will see, and do nothing.
    #[arg(long, conflicts_with_all = ["cancel", "status", "wait"])]
    pub(crate) dry_run: bool,
    /// Give up the key that is on its way: possible until it takes over.
    #[arg(long, conflicts_with_all = ["status", "wait"])]
    pub(crate) cancel: bool,
    /// List every key that is on its way, and do nothing.
    #[arg(long, conflicts_with = "wait")]
    pub(crate) status: bool,
    /// Print the list as one JSON object on standard output.
    #[arg(long, requires = "status")]
    pub(crate) json: bool,
    /// Return only when it has taken over.
    #[arg(long)]
    pub(crate) wait: bool,
}

/// What the instance is asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) enum Ask {
    /// A key is to take over.
    Begin {
        /// Its role.
        role: Role,
        /// Seconds to propagate.
        propagation: u32,
        /// Host of a Rekor v2 shard.
        host: Option<String>,
        /// Where its keys are made, where that is not beside their predecessors.
        #[serde(default)]
        signers: Vec<Place>,
        /// Answer only when it has.
        wait: bool,
    },
    /// What clients would see.
    Preview {
        /// Its role.
        role: Role,
        /// Seconds to propagate.
        propagation: u32,
        /// Host of a Rekor v2 shard.
        host: Option<String>,
    },
    /// Give it up.
    Cancel {
        /// Its role.
        role: Role,
    },
    /// What is on its way.
    Status,
    /// The same for programs.
    StatusJson,
    /// What would become of a token.
    Explain {
        /// The token.
        token: Secret,
    },
}

/// A text that is not printed by accident.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Secret(pub(crate) String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("…")
    }
}

/// `rotate`.
///
/// # Errors
/// [`Failure`] with what the instance said.
pub(crate) async fn run(args: RotateArgs, console: Console) -> Result<(), Failure> {
    ask(args.role()?, args.how, console).await
}

impl RotateArgs {
    /// Whose key it is. A flag of another subject is a slip, after which the wrong key would be on its way.
    fn role(&self) -> Result<Role, Failure> {
        Ok(match (self.subject, self.log, self.key) {
            (Subject::Fulcio, None, None) => Role::FulcioCa,
            (Subject::Ctlog, None, None) => Role::CtLog,
            (Subject::Tsa, None, None) => Role::Tsa,
            (Subject::Rekor, log, None) => role_of(log.unwrap_or(RekorLog::V1)),
            (Subject::Tuf, None, Some(TufKey::Root)) => Role::TufRoot,
            (Subject::Tuf, None, Some(TufKey::Online) | None) => Role::TufOnline,
            (_, Some(_), None) | (Subject::Tuf, Some(_), _) => {
                return Err(Failure::usage("--log is of `rotate rekor`: nothing was done"));
            }
            (_, _, Some(_)) => {
                return Err(Failure::usage("--key is of `rotate tuf`: nothing was done"));
            }
        })
    }
}

/// `shard`.
///
/// # Errors
/// [`Failure`] with what the instance said.
pub(crate) async fn shard(args: ShardArgs, console: Console) -> Result<(), Failure> {
    ask(role_of(args.log), args.how, console).await
}

fn role_of(log: RekorLog) -> Role {
    match log {
        RekorLog::V1 => Role::RekorV1,
        RekorLog::V2 => Role::RekorV2,
    }
}

async fn ask(role: Role, how: HowArgs, console: Console) -> Result<(), Failure> {
    let HowArgs {
        propagate: propagation,
        host,
        signers,
        wait,
        ..
    } = how;
    Places::new(signers.iter().cloned()).map_err(Failure::usage)?;
    if let Some(other) = signers.iter().find_map(|place| place.of_another_role(role)) {
        return Err(Failure::usage(format!(
            "--signer {other}=… is no key of {role}: nothing was done"
        )));
    }
    if host.is_some() && role != Role::RekorV2 {
        return Err(Failure::usage(
            "--host names a Rekor v2 shard: expected --log v2 with it",
        ));
    }
    // Clients walk from root to root whenever they look: publication and change are one.
    let propagation = match role {
        Role::TufRoot | Role::TufOnline => 0,
        _ => propagation,
    };
    let ask = if how.status && how.json {
        Ask::StatusJson
    } else if how.status {
        Ask::Status
    } else if how.cancel {
        Ask::Cancel { role }
    } else if how.dry_run {
        Ask::Preview {
            role,
            propagation,
            host,
        }
    } else {
        Ask::Begin {
            role,
            propagation,
            host,
            signers,
            wait: wait || propagation == 0,
        }
    };
    let layout = Layout::new(std::path::absolute(&how.data).map_err(Failure::failed)?);
    let said = control::ask(&layout, &ask, |progress| console.remark(progress)).await;
    let said = said.map_err(Failure::failed)?;
    match ask {
        Ask::Preview { .. } | Ask::Status | Ask::StatusJson => console::result(said.trim_end())
            .map_err(|error| Failure::failed(format!("cannot write: {error}"))),
        _ => {
            console.line(&said);
            Ok(())
        }
    }
}

/// Seconds of a whole number and its unit.
///
/// # Errors
/// What was expected.
pub(crate) fn parse_time(text: &str) -> Result<u32, String> {
    let expected = || format!("expected a number and s, m, h or d (0s, 90s, 30m, 12h, 7d), got {text:?}");
    let digits = text.len().saturating_sub(1);
    let (number, unit) = text.split_at_checked(digits).ok_or_else(expected)?;
    let factor = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        _ => return Err(expected()),
    };
    let number: u32 = number.parse().map_err(|_| expected())?;
    number.checked_mul(factor).ok_or_else(expected)
}

/// What [`parse_time`] reads: in the largest unit that leaves nothing over.
pub(crate) fn time_text(seconds: u32) -> String {
    let units = [(86_400_u32, 'd'), (3_600, 'h'), (60, 'm')];
    let whole = units
        .into_iter()
        .find(|(factor, _)| seconds > 0 && seconds.is_multiple_of(*factor));
    let (factor, unit) = whole.unwrap_or((1, 's'));
    format!("{}{unit}", seconds.checked_div(factor).unwrap_or_default())
}

/// What can be the host of a URL and the name of a note key: letters, digits, hyphens and dots.
fn parse_host(text: &str) -> Result<String, String> {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
    };
    let last_is_a_name = text
        .rsplit('.')
        .next()
        .is_some_and(|last| last.starts_with(|c: char| c.is_ascii_lowercase()));
    if text.len() <= 253 && text.split('.').all(label) && last_is_a_name {
        Ok(text.to_owned())
    } else {
        Err(format!(
            "expected a host name in lower case without port, got {text:?}"
        ))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use clap::Parser;

    use super::*;
    use crate::cli::{Cli, Command};
    use crate::exit::Exit;

    /// What `sigbox` of these words would rotate, or how it ends.
    async fn role(words: &str) -> Result<Role, Exit> {
        let words = ["sigbox"].into_iter().chain(words.split(' '));
        let Command::Rotate(args) = Cli::parse_from(words).command else {
            unreachable!("asked for rotate");
        };
        let role = args.role().map_err(|failure| failure.exit)?;
        match run(args, Console::new()).await {
            // Nobody is there to be asked.
            Err(Failure {
                exit: Exit::Failed, ..
            }) => Ok(role),
            other => Err(other.map_or_else(|failure| failure.exit, |()| Exit::Done)),
        }
    }

    #[tokio::test]
    async fn a_flag_of_another_subject_is_a_wrong_command_line() {
        let nowhere = "--data /nonexistent";
        for (words, expected) in [
            ("rotate fulcio", Some(Role::FulcioCa)),
            ("rotate rekor", Some(Role::RekorV1)),
            ("rotate rekor --log v2 --host log-2.example", Some(Role::RekorV2)),
            ("rotate tuf", Some(Role::TufOnline)),
            ("rotate tuf --key root", Some(Role::TufRoot)),
            (
                "rotate fulcio --signer fulcio-root=exec:/a --signer fulcio-ca=exec:/b",
                Some(Role::FulcioCa),
            ),
            ("rotate fulcio --key root", None),
            ("rotate tuf --log v2", None),
            ("rotate rekor --key online", None),
            ("rotate tsa --log v1", None),
            ("rotate rekor --host log-2.example", None),
            ("rotate fulcio --signer tsa=exec:/a", None),
            ("rotate tsa --signer exec:/a --signer exec:/b", None),
        ] {
            let got = role(&format!("{words} {nowhere}")).await;
            assert_eq!(got, expected.ok_or(Exit::Usage), "{words}");
        }
    }

    #[test]
    fn times_have_a_unit() {
        for (text, seconds) in [
            ("0s", 0),
            ("90s", 90),
            ("30m", 1_800),
            ("12h", 43_200),
            ("7d", 604_800),
        ] {
            assert_eq!(parse_time(text).unwrap(), seconds, "{text}");
            assert_eq!(time_text(seconds), text);
        }
        for text in ["", "7", "d", "7 d", "-1s", "1.5h", "7w", "99999999999d", "µ"] {
            assert!(parse_time(text).is_err(), "{text}");
        }
    }

    #[test]
    fn hosts_are_names_without_port() {
        for text in ["rekor-2.example.com", "log2026.localhost", "a"] {
            assert!(parse_host(text).is_ok(), "{text}");
        }
        for text in [
            "",
            "A.example",
            "a:80",
            "a/b",
            "a..b",
            "-a",
            "127.0.0.1",
            "a b",
            "a+b",
        ] {
            assert!(parse_host(text).is_err(), "{text}");
        }
    }
}
