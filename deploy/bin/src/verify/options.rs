//! Whom and what a verification asks for, as options.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use clap::Args;
use common_bundle::trust::ValidFor;
use common_bundle::verify::{Matcher, Policy, Witnesses};
use common_pki::key::PublicKey;
use common_tlog::notekey::VerifierKey;

use crate::exit::Failure;
use crate::trust_source::read;

/// Who must have signed; the names are cosign's, sigstore-python's are understood too.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Signer")]
pub(crate) struct IdentityArgs {
    /// The signer's name: an e-mail address or URI of the certificate, to the letter.
    #[arg(
        long,
        value_name = "NAME",
        alias = "cert-identity",
        group = "subject",
        required_unless_present_any = ["certificate_identity_regexp", "key"]
    )]
    pub(crate) certificate_identity: Option<String>,
    /// A regular expression found in the signer's name; anchor it with ^ and $.
    #[arg(long, value_name = "RE", group = "subject")]
    pub(crate) certificate_identity_regexp: Option<String>,
    /// Who certified that name. A name without it is anybody's.
    #[arg(
        long,
        value_name = "URL",
        alias = "cert-oidc-issuer",
        group = "issuer",
        required_unless_present_any = ["certificate_oidc_issuer_regexp", "key"]
    )]
    pub(crate) certificate_oidc_issuer: Option<String>,
    /// A regular expression found in the issuer's URL.
    #[arg(long, value_name = "RE", group = "issuer")]
    pub(crate) certificate_oidc_issuer_regexp: Option<String>,
    /// The signer's public key (PEM) instead.
    #[arg(long, value_name = "PEM", conflicts_with_all = ["subject", "issuer"])]
    pub(crate) key: Option<PathBuf>,
}

impl IdentityArgs {
    /// The policy for that signer.
    ///
    /// # Errors
    /// [`Failure`] for a key or expression that is none.
    pub(crate) fn policy(&self) -> Result<Policy, Failure> {
        if let Some(file) = &self.key {
            return Ok(Policy::key(public_key(file)?, ValidFor::default()));
        }
        Ok(Policy::matching(
            matcher(
                "identity",
                self.certificate_identity.as_deref(),
                self.certificate_identity_regexp.as_deref(),
            )?,
            matcher(
                "oidc-issuer",
                self.certificate_oidc_issuer.as_deref(),
                self.certificate_oidc_issuer_regexp.as_deref(),
            )?,
        ))
    }
}

fn matcher(what: &str, exact: Option<&str>, pattern: Option<&str>) -> Result<Matcher, Failure> {
    match (exact, pattern) {
        (Some(exact), _) => Ok(Matcher::Exact(exact.to_owned())),
        (None, Some(pattern)) => Matcher::pattern(pattern)
            .map_err(|error| Failure::usage(format!("--certificate-{what}-regexp: {error}"))),
        (None, None) => Err(Failure::usage(format!("--certificate-{what} is missing"))),
    }
}

/// A public key of a file.
///
/// # Errors
/// [`Failure`] names the file.
pub(crate) fn public_key(file: &Path) -> Result<PublicKey, Failure> {
    let wrong = |error: &dyn std::fmt::Display| Failure::failed(format!("{}: {error}", file.display()));
    let pem = read(file)?;
    let text = std::str::from_utf8(&pem).map_err(|error| wrong(&error))?;
    PublicKey::from_pem(text).map_err(|error| wrong(&error))
}

/// What must be proven.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Evidence")]
pub(crate) struct RequireArgs {
    /// How many different ones of each must vouch: signature logs (tlog), timestamp authorities (tsa), certificate logs
    /// (sct), witnesses of the log's checkpoint (witness) [default: tlog=1, and sct=1 for a certificate].
    #[arg(long, value_name = "WHAT=N,…", value_delimiter = ',')]
    pub(crate) require: Vec<Requirement>,
    /// A witness that counts: its verifier key (C2SP tlog-cosignature), or a file of such lines.
    #[arg(long, value_name = "VKEY|FILE")]
    pub(crate) witness: Vec<String>,
}

/// One of `--require`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Requirement {
    what: Kind,
    count: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Log,
    Timestamp,
    Sct,
    Witness,
}

impl FromStr for Requirement {
    type Err = String;

    fn from_str(text: &str) -> Result<Requirement, String> {
        let wrong = || format!("expected tlog=N, tsa=N, sct=N or witness=N, got {text:?}");
        let (name, count) = text.split_once('=').ok_or_else(wrong)?;
        let what = match name {
            "tlog" => Kind::Log,
            "tsa" => Kind::Timestamp,
            "sct" => Kind::Sct,
            "witness" => Kind::Witness,
            _ => return Err(wrong()),
        };
        let count = count.parse().map_err(|_| wrong())?;
        Ok(Requirement { what, count })
    }
}

impl RequireArgs {
    /// The policy, made stricter or laxer as asked for. A certificate always needs a proven time.
    ///
    /// # Errors
    /// [`Failure`] for a witness that is none, or for more witnesses than were named.
    pub(crate) fn apply(&self, mut policy: Policy) -> Result<Policy, Failure> {
        let mut expected = 0;
        for requirement in &self.require {
            match requirement.what {
                Kind::Log => policy.log_entries = requirement.count,
                Kind::Timestamp => policy.timestamps = requirement.count,
                Kind::Sct => policy.scts = requirement.count,
                Kind::Witness => expected = requirement.count,
            }
        }
        let mut keys = Vec::new();
        for given in &self.witness {
            keys.extend(witnesses(given)?);
        }
        if expected > keys.len() {
            return Err(Failure::usage(format!(
                "--require witness={expected} needs as many --witness, got {}",
                keys.len()
            )));
        }
        policy.witnesses = Witnesses { keys, expected };
        Ok(policy)
    }
}

fn witnesses(given: &str) -> Result<Vec<VerifierKey>, Failure> {
    let wrong = |error: &dyn std::fmt::Display| Failure::usage(format!("--witness {given}: {error}"));
    if given.matches('+').count() >= 2 && !Path::new(given).exists() {
        return Ok(vec![VerifierKey::parse(given).map_err(|error| wrong(&error))?]);
    }
    let text = String::from_utf8_lossy(&read(Path::new(given))?).into_owned();
    text.lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(|line| VerifierKey::parse(line).map_err(|error| wrong(&error)))
        .collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn requirements_change_what_they_name() {
        let require = ["tlog=2", "tsa=1", "sct=0"].map(|text| text.parse().unwrap());
        let args = RequireArgs {
            require: require.to_vec(),
            witness: Vec::new(),
        };
        let policy = args.apply(Policy::identity("a", "b")).unwrap();
        assert_eq!(
            (policy.log_entries, policy.timestamps, policy.scts, policy.times),
            (2, 1, 0, 1)
        );
        for wrong in ["tlog", "tlog=x", "log=1", "tlog=-1", ""] {
            assert!(wrong.parse::<Requirement>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn more_witnesses_than_are_known_cannot_be_required() {
        let args = RequireArgs {
            require: vec!["witness=1".parse().unwrap()],
            witness: Vec::new(),
        };
        assert!(args.apply(Policy::identity("a", "b")).is_err());
    }
}
