//! What a person reads: standard error, short, with colour only on a terminal. Results alone go to standard output.
//!
//! Much of it was written by others: a bundle's names, what a server refuses with. No text moves the cursor or has a colour but
//! ours.

use std::io::{self, IsTerminal, Write};

/// The code of a piece of a line that has no colour.
const PLAIN: &str = "";

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

    /// Everything that is printed: pieces, each with the code of its colour.
    fn print(self, pieces: &[(&str, &str)]) {
        // Nobody listening is no reason to stop serving.
        let _ = writeln!(io::stderr().lock(), "{}", self.painted(pieces));
    }

    fn painted(self, pieces: &[(&str, &str)]) -> String {
        let paint = |(code, text): &(&str, &str)| {
            let text = escaped(text, |c| c.is_control() && c != '\n');
            match *code {
                PLAIN => text,
                code if self.colour => format!("\x1b[{code}m{text}\x1b[0m"),
                _ => text,
            }
        };
        pieces.iter().map(paint).collect()
    }

    /// A line or several, without colour.
    pub(crate) fn line(self, text: &str) {
        self.print(&[(PLAIN, text)]);
    }

    /// A heading.
    pub(crate) fn heading(self, text: &str) {
        self.print(&[("1", text)]);
    }

    /// A lesser remark.
    pub(crate) fn remark(self, text: &str) {
        self.print(&[("2", text)]);
    }

    /// Something that holds, and the evidence.
    pub(crate) fn good(self, what: &str, evidence: &str) {
        self.print(&[("32", "✓"), (PLAIN, &format!(" {what:<10} {evidence}"))]);
    }

    /// Something that does not hold.
    pub(crate) fn bad(self, what: &str, evidence: &str) {
        self.print(&[("1;31", "✗"), (PLAIN, &format!(" {what:<10} {evidence}"))]);
    }

    /// Something that could not be looked at.
    pub(crate) fn skipped(self, what: &str, why: &str) {
        self.print(&[("2", "-"), (PLAIN, &format!(" {what:<10} ")), ("2", why)]);
    }

    /// Something that does not stop the command and should not stay as it is.
    pub(crate) fn warning(self, message: &str) {
        self.print(&[("1;33", "warning:"), (PLAIN, &format!(" {message}"))]);
    }

    /// Why the command failed.
    pub(crate) fn error(self, message: &str) {
        self.print(&[("1;31", "error:"), (PLAIN, &format!(" {message}"))]);
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

/// A text of others on one line of a terminal: what would move the cursor is shown as a code.
pub(crate) fn plain(text: &str) -> String {
    escaped(text, char::is_control)
}

fn escaped(text: &str, is_shown_as_code: impl Fn(char) -> bool) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match is_shown_as_code(c) {
            true => out.extend(c.escape_default()),
            false => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_wrote_does_not_move_the_cursor() {
        assert_eq!(plain("a\u{1b}[2Jb\r\nc\u{9b}é"), "a\\u{1b}[2Jb\\r\\nc\\u{9b}é");
    }

    #[test]
    fn nothing_on_the_console_has_a_colour_but_ours() {
        let forged = "unknown field `\u{1b}[2K\r\u{1b}[32mVerified\u{9b}8m`\nnext line";
        let shown = "unknown field `\\u{1b}[2K\\r\\u{1b}[32mVerified\\u{9b}8m`\nnext line";
        let pieces = [("1;31", "error:"), (PLAIN, " "), ("2", forged), (PLAIN, forged)];
        let colour = Console { colour: true }.painted(&pieces);
        assert_eq!(
            colour,
            format!("\x1b[1;31merror:\x1b[0m \x1b[2m{shown}\x1b[0m{shown}")
        );
        let none = Console { colour: false }.painted(&pieces);
        assert_eq!(none, format!("error: {shown}{shown}"));
        // What was escaped before is not escaped twice.
        let once = Console { colour: false }.painted(&[(PLAIN, &plain(forged))]);
        assert_eq!(once, plain(forged));
    }
}
