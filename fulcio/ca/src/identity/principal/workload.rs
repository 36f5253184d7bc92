//! The types whose subject follows from `sub`, or from one claim.
//!
//! Upstream: fulcio `pkg/identity/{uri,username,spiffe,kubernetes,chainguard}/principal.go`.

use common_pki::cert::SubjectAltName;
use serde_json::Value;

use super::email::is_email;
use crate::identity::claims::{Claims, mismatch, missing};
use crate::identity::error::{TokenError, quote};
use crate::identity::kind::SubjectDomain;
use crate::identity::uri::{MAX_URI, Uri};

/// Longest user name, in bytes.
const MAX_USERNAME: usize = 256;

fn wrong(claim: &str, expected: String, got: &str) -> TokenError {
    TokenError::Claim {
        claim: claim.to_owned(),
        expected,
        got: quote(got),
    }
}

/// `sub` is a URI with the scheme and the host of the domain.
pub(super) fn uri(domain: &SubjectDomain, sub: &str) -> Result<SubjectAltName, TokenError> {
    if is_email(sub) {
        return Err(wrong("sub", "a URI, not an e-mail address".to_owned(), sub));
    }
    let uri = Uri::parse(sub).map_err(|expected| wrong("sub", expected.to_owned(), sub))?;
    if uri.scheme != domain.scheme || uri.host != domain.host {
        let expected = format!("a URI with scheme {:?} and host {:?}", domain.scheme, domain.host);
        return Err(wrong("sub", expected, sub));
    }
    Ok(SubjectAltName::Uri(uri.text))
}

/// `sub` is a name, to which the domain is added: `alice!example.com`.
pub(super) fn username(domain: &str, sub: &str) -> Result<SubjectAltName, TokenError> {
    if sub.contains('!') {
        return Err(wrong("sub", "a name without \"!\"".to_owned(), sub));
    }
    if is_email(sub) {
        return Err(wrong("sub", "a name, not an e-mail address".to_owned(), sub));
    }
    if sub.len() > MAX_USERNAME || sub.chars().any(char::is_control) {
        let expected = format!("a name of at most {MAX_USERNAME} bytes without control characters");
        return Err(wrong("sub", expected, sub));
    }
    Ok(SubjectAltName::Username(format!("{sub}!{domain}")))
}

/// `sub` is an ID of the trust domain (SPIFFE-ID §2).
pub(super) fn spiffe(trust_domain: &str, sub: &str) -> Result<SubjectAltName, TokenError> {
    let expected = || format!("a SPIFFE ID of trust domain {trust_domain:?}");
    let rest = sub
        .strip_prefix("spiffe://")
        .ok_or_else(|| wrong("sub", expected(), sub))?;
    let (domain, path) = rest
        .split_once('/')
        .map_or((rest, None), |(domain, path)| (domain, Some(path)));
    if domain != trust_domain || sub.len() > MAX_URI {
        return Err(wrong("sub", expected(), sub));
    }
    // SPIFFE-ID §2.2: no empty or relative segment, and nothing that would have to be escaped.
    let segment = |segment: &str| {
        !matches!(segment, "" | "." | "..")
            && segment
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_'))
    };
    match path {
        Some(path) if !path.split('/').all(segment) => {
            let expected =
                "a SPIFFE ID whose path has segments of letters, digits, dots, hyphens and underscores";
            Err(wrong("sub", expected.to_owned(), sub))
        }
        _ => Ok(SubjectAltName::Uri(sub.to_owned())),
    }
}

/// The claim `kubernetes.io` names a service account. Upstream does not look whether it is there.
pub(super) fn kubernetes(claims: &Claims) -> Result<SubjectAltName, TokenError> {
    let part = |path: &[&str], shown: &str| match claims.at(path) {
        // RFC 1123 labels and names, as Kubernetes has them: nothing that is special in a URI.
        Some(Value::String(text))
            if text.len() <= 253
                && text.starts_with(|c: char| c.is_ascii_alphanumeric())
                && text
                    .chars()
                    .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '.')) =>
        {
            Ok(text.clone())
        }
        Some(other) => Err(mismatch(
            shown,
            "a name of lower-case letters, digits, hyphens and dots",
            other,
        )),
        None => Err(missing(shown, "the claim of a Kubernetes service account token")),
    };
    let namespace = part(&["kubernetes.io", "namespace"], "kubernetes.io.namespace")?;
    let account = part(
        &["kubernetes.io", "serviceaccount", "name"],
        "kubernetes.io.serviceaccount.name",
    )?;
    Ok(SubjectAltName::Uri(format!(
        "https://kubernetes.io/namespaces/{namespace}/serviceaccounts/{account}"
    )))
}

/// The issuer's URL, and `sub` as a path under it.
pub(super) fn chainguard(issuer: &str, sub: &str) -> Result<SubjectAltName, TokenError> {
    if sub.split('/').any(|segment| matches!(segment, "" | "." | "..")) || sub.contains(['?', '#']) {
        return Err(wrong(
            "sub",
            "a path without empty or relative segments".to_owned(),
            sub,
        ));
    }
    let text = format!("{}/{sub}", issuer.trim_end_matches('/'));
    Ok(SubjectAltName::Uri(Uri::of_subject(&text)?.text))
}

/// What clients sign: the address if the token has one, and then it must be verified (sigstore `pkg/oauthflow`,
/// `SubjectFromToken`).
pub(super) fn chainguard_name<'a>(claims: &'a Claims, sub: &'a str) -> Result<&'a str, TokenError> {
    match claims.text("email")? {
        None | Some("") => Ok(sub),
        Some(email) if claims.flag("email_verified")? => Ok(email),
        Some(_) => Err(TokenError::Claim {
            claim: "email_verified".to_owned(),
            expected: "true".to_owned(),
            got: "false or none".to_owned(),
        }),
    }
}
