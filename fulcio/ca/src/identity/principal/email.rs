//! The `email` issuer type: a verified address becomes an rfc822Name.
//!
//! Upstream: fulcio `pkg/identity/email/principal.go`.

use common_pki::cert::SubjectAltName;

use crate::extensions::{Extension, Extensions};

use super::Principal;
use crate::identity::claims::{Claims, mismatch, missing};
use crate::identity::error::{TokenError, quote};
use crate::identity::kind::Email;

/// RFC 5321 §4.5.3.1.3 leaves 254 octets for an address.
const MAX_ADDRESS: usize = 254;
/// RFC 5321 §4.5.3.1.1.
const MAX_LOCAL: usize = 64;

/// The principal of a verified token from the issuer `iss` of type `email`.
pub(super) fn principal(config: &Email, iss: &str, claims: &Claims) -> Result<Principal, TokenError> {
    let email = claims.required("email")?;
    let verified = claims.flag("email_verified")?;
    if !config.skip_verification && !verified {
        return Err(TokenError::Claim {
            claim: "email_verified".to_owned(),
            expected: "true".to_owned(),
            got: "false or none".to_owned(),
        });
    }
    if !email.is_ascii() && is_address(email, char::is_alphanumeric) {
        // rfc822Name is an IA5String (RFC 5280 §4.2.1.6); RFC 8398 names are not part of the profile.
        return Err(TokenError::NotIa5 { email: quote(email) });
    }
    if !is_email(email) {
        return Err(TokenError::Claim {
            claim: "email".to_owned(),
            expected: "an address such as \"name@example.com\"".to_owned(),
            got: quote(email),
        });
    }
    let issuer = match &config.issuer_claim {
        None => iss,
        Some(path) => match claims.at(path.steps()) {
            Some(serde_json::Value::String(issuer)) if !issuer.is_empty() => issuer,
            Some(other) => return Err(mismatch(path.as_str(), "a string", other)),
            None => return Err(missing(path.as_str(), "a string")),
        },
    };
    let mut extensions = Extensions::default();
    extensions.set_issuer(issuer);
    extensions.set(Extension::Subject, claims.text("sub")?.unwrap_or_default());
    Ok(Principal {
        name: email.to_owned(),
        subject: SubjectAltName::Email(email.to_owned()),
        extensions,
    })
}

/// Whether the text is an address that a certificate may have.
pub(crate) fn is_email(text: &str) -> bool {
    is_address(text, |c| c.is_ascii_alphanumeric())
}

/// A dot-atom, `@`, and at least two labels of which the last starts and ends with a letter: what
/// govalidator's `IsEmail` accepts (fulcio checks with it), without its quoted local parts, which may hold
/// spaces and controls. `letter_or_digit` says which characters count beside punctuation.
fn is_address(text: &str, letter_or_digit: fn(char) -> bool) -> bool {
    let Some((local, domain)) = text.rsplit_once('@') else {
        return false;
    };
    if text.len() > MAX_ADDRESS || local.len() > MAX_LOCAL {
        return false;
    }
    // RFC 5322 §3.2.3 atext.
    let atom = |atom: &str| {
        !atom.is_empty()
            && atom
                .chars()
                .all(|c| letter_or_digit(c) || "!#$%&'*+-/=?^_`{|}~".contains(c))
    };
    let label = |label: &str| {
        !label.is_empty()
            && label.chars().all(|c| letter_or_digit(c) || c == '-' || c == '_')
            && label.starts_with(letter_or_digit)
            && label.ends_with(letter_or_digit)
    };
    let top = |label: &str| {
        let letter = |c: char| letter_or_digit(c) && !c.is_numeric();
        label.starts_with(letter) && label.ends_with(letter)
    };
    local.split('.').all(atom)
        && domain.contains('.')
        && domain.split('.').all(label)
        && domain.rsplit('.').next().is_some_and(top)
}
