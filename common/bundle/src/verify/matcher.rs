//! How an identity is compared with the one that was asked for.

use std::fmt;

use regex::Regex;

/// Most octets that the automaton of a pattern may take.
const MAX_PATTERN: usize = 1 << 20;

/// What a name must be like.
#[derive(Clone, Debug)]
pub enum Matcher {
    /// Equal, to the letter. The empty text matches nothing.
    Exact(String),
    /// Found somewhere in the name, as cosign's `--certificate-identity-regexp` does: anchor with `^` and `$`.
    Pattern(Regex),
    /// Any name: the caller judges it. An identity that nobody judges is no identity.
    Any,
}

impl Matcher {
    /// A pattern.
    ///
    /// # Errors
    /// The pattern is malformed, empty, or larger than is compiled.
    pub fn pattern(text: &str) -> Result<Self, regex::Error> {
        if text.is_empty() {
            return Err(regex::Error::Syntax("the pattern is empty".to_owned()));
        }
        let pattern = regex::RegexBuilder::new(text).size_limit(MAX_PATTERN).build()?;
        Ok(Self::Pattern(pattern))
    }

    /// Whether `name` passes.
    #[must_use]
    pub fn matches(&self, name: &str) -> bool {
        match self {
            Self::Exact(expected) => !expected.is_empty() && expected == name,
            Self::Pattern(pattern) => pattern.is_match(name),
            Self::Any => true,
        }
    }
}

impl fmt::Display for Matcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(expected) => write!(f, "{expected:?}"),
            Self::Pattern(pattern) => write!(f, "a match of /{pattern}/"),
            Self::Any => f.write_str("any"),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn patterns_are_found_anywhere_unless_anchored() {
        let found = Matcher::pattern("@example\\.com").unwrap();
        assert!(found.matches("a@example.com.evil.org"));
        let anchored = Matcher::pattern("^[a-z]+@example\\.com$").unwrap();
        assert!(anchored.matches("a@example.com"));
        assert!(!anchored.matches("a@example.com.evil.org") && !anchored.matches("A@example.com"));
    }

    #[test]
    fn what_cannot_be_a_pattern_is_refused() {
        for text in ["", "(", "a{1000}{1000}{1000}"] {
            assert!(Matcher::pattern(text).is_err(), "{text}");
        }
        assert!(!Matcher::Exact(String::new()).matches(""));
    }
}
