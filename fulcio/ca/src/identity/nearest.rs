//! Which configured issuer an unknown `iss` was probably meant for: a slash too many, the other scheme, a slip of the pen.

use std::sync::Arc;

use super::config::{IssuerConfig, MAX_ISSUER, matches};
use super::quote;

/// How alike two URLs must be, of which none is the other's host.
const ALIKE: f64 = 0.9;

/// The configuration that is most like `iss`, and what differs; none if nothing is alike. Costly for long texts, so not
/// for every refusal.
pub(super) fn nearest(configs: &[Arc<IssuerConfig>], iss: &str) -> Option<String> {
    if iss.len() > MAX_ISSUER {
        return None;
    }
    let got = Parts::of(iss);
    let alike = |config: &&Arc<IssuerConfig>| {
        let url = config.issuer_url();
        let alike = strsim::jaro_winkler(url, iss);
        let same_host = matches(Parts::of(url).authority, got.authority);
        (same_host || alike >= ALIKE).then_some((same_host, alike))
    };
    let found = configs
        .iter()
        .filter_map(|config| Some((alike(&config)?, config)));
    let (_, config) =
        found.max_by(|((host_a, a), _), ((host_b, b), _)| host_a.cmp(host_b).then(a.total_cmp(b)))?;
    let url = config.issuer_url();
    Some(format!("{} is configured: {}", quote(url), difference(url, iss)))
}

/// What of `got` is not as in `expected`, where `*` stands for a name.
fn difference(expected: &str, got: &str) -> String {
    let (ours, theirs) = (Parts::of(expected), Parts::of(got));
    if expected.strip_suffix('/') == Some(got) {
        return "it ends with a slash".to_owned();
    }
    if got.strip_suffix('/') == Some(expected) {
        return "it has no slash at its end".to_owned();
    }
    let parts = [
        ("scheme", ours.scheme, theirs.scheme),
        ("host", ours.authority, theirs.authority),
        ("path", ours.path, theirs.path),
    ];
    let differing: Vec<_> = parts
        .into_iter()
        .filter(|(_, expected, got)| !matches(expected, got))
        .map(|(name, expected, got)| format!("{name}: expected {}, got {}", quote(expected), quote(got)))
        .collect();
    if differing.is_empty() {
        return "it is another text".to_owned();
    }
    let star = if expected.contains('*') {
        "; * stands for one or more of [-_a-zA-Z0-9]"
    } else {
        ""
    };
    format!("{}{star}", differing.join(", "))
}

/// A URL, or a pattern of URLs, cut up without judging it.
struct Parts<'a> {
    scheme: &'a str,
    authority: &'a str,
    path: &'a str,
}

impl<'a> Parts<'a> {
    fn of(url: &'a str) -> Self {
        let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
        let end = rest.find('/').unwrap_or(rest.len());
        let (authority, path) = rest.split_at_checked(end).unwrap_or((rest, ""));
        Self {
            scheme,
            authority,
            path,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::identity::IdentityType;

    #[test]
    fn what_was_probably_meant_is_named_with_what_differs() {
        let exact = |url: &str| IssuerConfig::new(url, "sigstore", IdentityType::email()).unwrap();
        let meta = IssuerConfig::meta(
            "https://oidc.eks.*.amazonaws.com/id/*",
            "sigstore",
            IdentityType::Kubernetes,
        );
        let configs: Vec<_> = [
            exact("https://accounts.example.com"),
            exact("https://login.example.com/tenant/v2.0/"),
            meta.unwrap(),
        ]
        .into_iter()
        .map(Arc::new)
        .collect();
        for (iss, expected) in [
            ("https://accounts.example.com/", Some("no slash at its end")),
            (
                "https://login.example.com/tenant/v2.0",
                Some("it ends with a slash"),
            ),
            (
                "http://accounts.example.com",
                Some("scheme: expected \"https\", got \"http\""),
            ),
            (
                "https://acounts.example.com",
                Some("host: expected \"accounts.example.com\", got \"acounts.example.com\""),
            ),
            (
                "https://login.example.com/other/v2.0/",
                Some("path: expected \"/tenant/v2.0/\", got \"/other/v2.0/\""),
            ),
            (
                "https://oidc.eks.eu-west-1.amazonaws.com/id/a/b",
                Some("path: expected \"/id/*\", got \"/id/a/b\"; * stands for"),
            ),
            (
                "accounts.example.com",
                Some("scheme: expected \"https\", got \"\""),
            ),
            ("https://evil.test/x", None),
            ("", None),
        ] {
            let found = nearest(&configs, iss);
            match (&found, expected) {
                (Some(found), Some(expected)) => assert!(found.contains(expected), "{iss}: {found}"),
                (found, expected) => assert_eq!(found.is_some(), expected.is_some(), "{iss}: {found:?}"),
            }
        }
        assert_eq!(
            nearest(&configs, &"https://accounts.example.com/".repeat(100)),
            None
        );
    }
}
