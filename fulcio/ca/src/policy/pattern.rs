//! Patterns of claim values: a text in which `*` stands for anything but a slash, and `**` for anything.

use regex::Regex;

/// One pattern. It is compared with whole values.
#[derive(Clone, Debug)]
pub struct Pattern {
    text: String,
    regex: Regex,
}

impl Pattern {
    /// A pattern.
    ///
    /// # Errors
    /// If it is longer than can be compared.
    pub fn new(text: &str) -> Result<Self, String> {
        let mut regex = "^(?s:".to_owned();
        // `**` is looked for before `*`.
        for (at, part) in text.split("**").enumerate() {
            if at > 0 {
                regex.push_str(".*");
            }
            regex.push_str(&regex::escape(part).replace(r"\*", "[^/]*"));
        }
        regex.push_str(")$");
        let regex = Regex::new(&regex).map_err(|_| "a shorter pattern".to_owned())?;
        Ok(Self {
            text: text.to_owned(),
            regex,
        })
    }

    pub(super) fn matches(&self, value: &str) -> bool {
        self.regex.is_match(value)
    }

    /// As it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Pattern {}
