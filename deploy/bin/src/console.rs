//! What a person reads: standard error, short, with colour only on a terminal. Results alone go to standard output.

use std::io::{self, IsTerminal, Write};

/// Prints progress to standard error.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Console {
    colour: bool,
}

impl Console {
    /// For this process's standard error; colour on a terminal unless `NO_COLOR` is set (no-color.org).
    pub(crate) fn new() -> Console {
        let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Console {
            colour: !plain && io::stderr().is_terminal(),
        }
    }

    fn paint(self, code: &str, text: &str) -> String {
        if self.colour {
            format!("\x1b[{code}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }

    /// A line as it is.
    pub(crate) fn line(self, text: &str) {
        // Nobody listening is no reason to stop serving.
        let _ = writeln!(io::stderr().lock(), "{text}");
    }

    /// A heading.
    pub(crate) fn heading(self, text: &str) {
        self.line(&self.paint("1", text));
    }

    /// A lesser remark.
    pub(crate) fn remark(self, text: &str) {
        self.line(&self.paint("2", text));
    }

    /// Something that holds, and the evidence.
    pub(crate) fn good(self, what: &str, evidence: &str) {
        self.line(&format!("{} {what:<10} {evidence}", self.paint("32", "✓")));
    }

    /// Something that does not hold.
    pub(crate) fn bad(self, what: &str, evidence: &str) {
        self.line(&format!("{} {what:<10} {evidence}", self.paint("1;31", "✗")));
    }

    /// Something that could not be looked at.
    pub(crate) fn skipped(self, what: &str, why: &str) {
        self.line(&format!(
            "{} {what:<10} {}",
            self.paint("2", "-"),
            self.paint("2", why)
        ));
    }

    /// Something that does not stop the command and should not stay as it is.
    pub(crate) fn warning(self, message: &str) {
        self.line(&format!("{} {message}", self.paint("1;33", "warning:")));
    }

    /// Why the command failed.
    pub(crate) fn error(self, message: &str) {
        self.line(&format!("{} {message}", self.paint("1;31", "error:")));
    }
}

/// A result, on standard output.
///
/// # Errors
/// The reader has gone away or the disk is full: the result did not arrive, so the command failed.
pub(crate) fn result(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{text}")?;
    out.flush()
}

/// A text of others on a terminal: what would move the cursor is shown as a code.
pub(crate) fn plain(text: &str) -> String {
    text.chars()
        .map(|c| {
            if c.is_control() {
                c.escape_default().to_string()
            } else {
                c.to_string()
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_wrote_does_not_move_the_cursor() {
        assert_eq!(plain("a\u{1b}[2Jb\r\nc\u{9b}é"), "a\\u{1b}[2Jb\\r\\nc\\u{9b}é");
    }
}
