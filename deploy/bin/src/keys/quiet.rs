//! Arguments in which a secret may stand by mistake.

use std::ffi::OsStr;
use std::fmt::Display;
use std::marker::PhantomData;
use std::str::FromStr;

use clap::builder::TypedValueParser;
use clap::error::ErrorKind;
use clap::{Arg, Command, Error};

/// Parses what [`FromStr`] does. What is wrong is said in its words alone: the parser that clap would take repeats the argument,
/// and standard error is kept by journals and build servers.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Quiet<T>(PhantomData<T>);

/// A parser for an argument that is not repeated.
pub(crate) fn quiet<T>() -> Quiet<T> {
    Quiet(PhantomData)
}

impl<T> TypedValueParser for Quiet<T>
where
    T: FromStr<Err: Display> + Clone + Send + Sync + 'static,
{
    type Value = T;

    fn parse_ref(&self, cmd: &Command, arg: Option<&Arg>, value: &OsStr) -> Result<T, Error> {
        let name = arg.map(ToString::to_string).unwrap_or_default();
        let wrong = |problem: &dyn Display| {
            let message = format!("{name}: {problem}");
            cmd.clone().error(ErrorKind::ValueValidation, message)
        };
        let text = value.to_str().ok_or_else(|| wrong(&"expected UTF-8"))?;
        text.parse().map_err(|error: T::Err| wrong(&error))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use clap::Parser;

    use crate::cli::Cli;

    #[test]
    fn a_secret_in_an_argument_is_refused_without_being_repeated() {
        for words in [
            "keys init --public-url http://localhost:1 --signer file:?passphrase=hunter2",
            "keys init --public-url http://localhost:1 --signer tsa=pkcs11:token=t?pin-source=hunter2",
            "rotate tsa --signer tsa=file:?passphrase=hunter2",
            "tuf keygen ann --passphrase hunter2",
            "tuf sign next.json --key ann --passphrase hunter2",
        ] {
            let words = ["sigbox"].into_iter().chain(words.split(' '));
            let error = Cli::try_parse_from(words).unwrap_err();
            assert_eq!(error.exit_code(), 2, "{error}");
            let said = error.to_string();
            assert!(said.contains("never the") && !said.contains("hunter2"), "{said}");
            assert!(
                said.contains("--signer") || said.contains("--passphrase"),
                "{said}"
            );
        }
    }
}
