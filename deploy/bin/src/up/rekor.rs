//! What `up` lets into its Rekor v1 log.

use std::str::FromStr;

use clap::Args;
use rekor_api::v1::{AlgorithmPolicy, Kind, Policy};

use crate::http::Client;

/// What the Rekor v1 log takes.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct RekorArgs {
    /// Entry kinds that may be submitted to Rekor v1: `all`, `public` (those of the public instance), or names with commas
    /// between them, hashedrekord among them [default: all].
    #[arg(long, value_name = "KINDS")]
    pub(crate) rekor_kinds: Option<Kinds>,
    /// Signing algorithms of a hashedrekord in Rekor v1, with commas between them, ecdsa-sha2-256-nistp256 among them
    /// [default: all].
    #[arg(long, value_name = "ALGORITHMS")]
    pub(crate) rekor_algorithms: Option<Algorithms>,
    /// Longest attestation kept beside the Rekor v1 log, in bytes; the header `x-attestation-not-kept` tells of a longer one
    /// [default: 102400].
    #[arg(long, value_name = "BYTES", value_parser = clap::value_parser!(u32).range(..=i64::from(MAX_ATTESTATION)))]
    pub(crate) rekor_max_attestation_size: Option<u32>,
    /// Send a CloudEvent for each new entry of Rekor v1 to this URL [default: to nobody].
    #[arg(long, value_name = "URL", value_parser = webhook)]
    pub(crate) rekor_webhook: Option<Client>,
    /// Keep the payloads of dsse entries too.
    #[arg(long)]
    pub(crate) rekor_dsse_attestations: bool,
}

/// Who is told of new entries.
///
/// # Errors
/// What was expected.
pub(crate) fn webhook(url: &str) -> Result<Client, String> {
    // Not what was given: it may hold a secret.
    Client::new(url).map_err(|_| "expected an http:// or https:// URL without query or fragment".to_owned())
}

/// What one transaction can take without holding up the others.
const MAX_ATTESTATION: u32 = 8 << 20;

/// A bound on attestations, within bounds itself.
///
/// # Errors
/// What was expected.
pub(crate) fn attestation_size(bytes: u32) -> Result<u32, String> {
    if bytes <= MAX_ATTESTATION {
        Ok(bytes)
    } else {
        Err(format!("expected at most {MAX_ATTESTATION} bytes, got {bytes}"))
    }
}

impl RekorArgs {
    /// The policy asked for.
    pub(crate) fn policy(&self) -> Policy {
        let mut policy = Policy {
            dsse_attestations: self.rekor_dsse_attestations,
            ..Policy::default()
        };
        if let Some(Kinds(kinds)) = &self.rekor_kinds {
            policy.kinds.clone_from(kinds);
        }
        if let Some(Algorithms(algorithms)) = &self.rekor_algorithms {
            policy.algorithms = algorithms.clone();
        }
        if let Some(size) = self.rekor_max_attestation_size {
            policy.max_attestation_size = usize::try_from(size).unwrap_or(usize::MAX);
        }
        policy
    }
}

/// The kinds of the public instance.
pub(crate) const PUBLIC: &str = "public";

/// A choice of kinds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Kinds(Vec<Kind>);

impl FromStr for Kinds {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let kinds = match text {
            "all" => Kind::ALL.to_vec(),
            PUBLIC => Kind::PUBLIC_INSTANCE.to_vec(),
            names => names
                .split(',')
                .map(|name| name.trim().parse())
                .collect::<Result<_, rekor_api::v1::UnknownKind>>()
                .map_err(|unknown| unknown.to_string())?,
        };
        if !kinds.contains(&Kind::Hashedrekord) {
            return Err("hashedrekord has to be among them: the canary of every start is one".to_owned());
        }
        Ok(Self(kinds))
    }
}

/// A choice of signing algorithms.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Algorithms(AlgorithmPolicy);

impl FromStr for Algorithms {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        const CANARY: &str = "ecdsa-sha2-256-nistp256";
        let names: Vec<_> = text.split(',').map(str::trim).collect();
        if !names.contains(&CANARY) {
            return Err(format!(
                "{CANARY} has to be among them: the canary of every start is signed with it"
            ));
        }
        AlgorithmPolicy::rekor_v1()
            .restricted_to(names)
            .map(Self)
            .map_err(|unknown| unknown.to_string())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn kinds_are_chosen_by_name_or_as_the_public_instance_does() {
        assert_eq!("all".parse(), Ok(Kinds(Kind::ALL.to_vec())));
        assert_eq!("public".parse(), Ok(Kinds(Kind::PUBLIC_INSTANCE.to_vec())));
        let two = Kinds(vec![Kind::Hashedrekord, Kind::Rpm]);
        assert_eq!("hashedrekord, rpm".parse(), Ok(two));
        let unknown = "hashedrekord,deb".parse::<Kinds>().unwrap_err();
        assert!(
            unknown.starts_with("no entry kind \"deb\"; there are alpine, cose,"),
            "{unknown}"
        );
        assert!("rpm".parse::<Kinds>().unwrap_err().contains("canary"));
        assert!("".parse::<Kinds>().is_err());
    }

    #[test]
    fn what_is_asked_for_is_the_policy() {
        assert_eq!(RekorArgs::default().policy().kinds, Kind::ALL);
        let args = RekorArgs {
            rekor_kinds: Some("public".parse().unwrap()),
            rekor_algorithms: Some("ecdsa-sha2-256-nistp256,ed25519-ph".parse().unwrap()),
            rekor_max_attestation_size: Some(7),
            rekor_dsse_attestations: true,
            rekor_webhook: None,
        };
        let policy = args.policy();
        assert_eq!(policy.kinds, Kind::PUBLIC_INSTANCE);
        assert_eq!((policy.max_attestation_size, policy.dsse_attestations), (7, true));
        assert_ne!(policy.algorithms, AlgorithmPolicy::rekor_v1());
        assert!("ed25519-ph".parse::<Algorithms>().unwrap_err().contains("canary"));
        assert!("ecdsa-sha2-256-nistp256,md5".parse::<Algorithms>().is_err());
    }
}
