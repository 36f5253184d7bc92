//! The one thing a person tells this issuer: an e-mail address.

/// An e-mail address a certificate can carry: ASCII, because an rfc822Name is an IA5String (RFC 5280 §4.2.1.6), with a
/// dotted domain, because Fulcio's check of the claim wants one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Email(String);

/// Why a text is not an address we certify. The text itself is not repeated: it may be anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EmailError {
    /// Nothing was given.
    #[error("expected an e-mail address, got nothing")]
    Empty,
    /// RFC 5321 §4.5.3.1.3 gives a path 256 octets with its brackets.
    #[error("expected an e-mail address of at most 254 bytes, got {0}")]
    TooLong(usize),
    /// A character outside what this issuer accepts.
    #[error("expected letters, digits and the punctuation of an e-mail address, got {0:?}")]
    Character(char),
    /// Not `local@domain.tld`.
    #[error("expected the form name@example.com")]
    Form,
}

impl Email {
    /// Reads an address, ignoring white space around it.
    ///
    /// # Errors
    ///
    /// [`EmailError`] names the first thing that is wrong.
    pub fn parse(text: &str) -> Result<Self, EmailError> {
        let text = text.trim();
        if text.is_empty() {
            return Err(EmailError::Empty);
        }
        if text.len() > 254 {
            return Err(EmailError::TooLong(text.len()));
        }
        let (local, domain) = text.split_once('@').ok_or(EmailError::Form)?;
        // RFC 5322 §3.2.3 dot-atom: the quoted forms are not worth their trouble in a certificate.
        let atom = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-/=?^_`{|}~.".contains(c);
        if let Some(c) = local.chars().find(|&c| !atom(c)) {
            return Err(EmailError::Character(c));
        }
        let host = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '.';
        if let Some(c) = domain.chars().find(|&c| !host(c)) {
            return Err(EmailError::Character(c));
        }
        let dotted = |part: &str| !part.split('.').any(str::is_empty);
        let label = |label: &str| label.len() <= 63 && !label.starts_with('-') && !label.ends_with('-');
        if !dotted(local) || !dotted(domain) || !domain.contains('.') || !domain.split('.').all(label) {
            return Err(EmailError::Form);
        }
        Ok(Self(text.to_owned()))
    }

    /// The address.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}
