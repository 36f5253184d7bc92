//! A template's pieces: text, and the words of each action.

use std::fmt;
use std::iter::Peekable;
use std::str::CharIndices;

use super::BadTemplate;

/// Text between actions, or the words of one.
pub(super) enum Piece {
    Text(String),
    Action(Vec<Word>),
}

/// A word of an action.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Word {
    /// `.name`
    Field(String),
    /// `.`
    Dot,
    /// `name`
    Name(String),
    /// A quoted text.
    Text(String),
    Open,
    Close,
}

impl fmt::Display for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Field(name) => write!(f, ".{name}"),
            Self::Dot => f.write_str("."),
            Self::Name(name) => f.write_str(name),
            Self::Text(text) => write!(f, "{text:?}"),
            Self::Open => f.write_str("("),
            Self::Close => f.write_str(")"),
        }
    }
}

/// Takes `text` apart.
pub(super) fn pieces(text: &str) -> Result<Vec<Piece>, BadTemplate> {
    let mut pieces = Vec::new();
    let mut rest = text;
    // `-}}` takes the white space after it, as `{{-` does the one before.
    let mut trim_start = false;
    loop {
        let (before, after) = rest
            .split_once("{{")
            .map_or((rest, None), |(before, after)| (before, Some(after)));
        let before = if trim_start { before.trim_start() } else { before };
        let (trim_end, action) = match after.map(|after| (after.strip_prefix('-'), after)) {
            // A minus without a space after it would be a number's.
            Some((Some(trimmed), _)) if trimmed.starts_with(char::is_whitespace) => (true, Some(trimmed)),
            Some((_, action)) => (false, Some(action)),
            None => (false, None),
        };
        let before = if trim_end { before.trim_end() } else { before };
        if !before.is_empty() {
            pieces.push(Piece::Text(before.to_owned()));
        }
        let Some(action) = action else {
            return Ok(pieces);
        };
        let (words, after, trimmed) = match action.trim_start().strip_prefix("/*") {
            Some(comment) => comment_end(comment)?,
            None => words(action)?,
        };
        if let Some(words) = words {
            pieces.push(Piece::Action(words));
        }
        (rest, trim_start) = (after, trimmed);
    }
}

/// The words of an action (none for a comment), what comes after it, and whether that loses its leading white space.
type Action<'a> = (Option<Vec<Word>>, &'a str, bool);

fn comment_end(comment: &str) -> Result<Action<'_>, BadTemplate> {
    let (_, after) = comment
        .split_once("*/")
        .ok_or_else(|| BadTemplate("expected */ after /*".to_owned()))?;
    let after = after.trim_start();
    match (after.strip_prefix("-}}"), after.strip_prefix("}}")) {
        (Some(after), _) => Ok((None, after, true)),
        (None, Some(after)) => Ok((None, after, false)),
        (None, None) => Err(BadTemplate("expected }} after a comment".to_owned())),
    }
}

fn words(action: &str) -> Result<Action<'_>, BadTemplate> {
    let mut words = Vec::new();
    let mut chars = action.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        let here = action.get(at..).unwrap_or_default();
        if let Some(after) = here.strip_prefix("}}") {
            return Ok((Some(words), after, false));
        }
        // A minus before the end stands after white space.
        if let Some(after) = here.strip_prefix("-}}") {
            return Ok((Some(words), after, true));
        }
        match c {
            c if c.is_whitespace() => {}
            '(' => words.push(Word::Open),
            ')' => words.push(Word::Close),
            '"' => words.push(Word::Text(quoted(&mut chars)?)),
            '`' => words.push(Word::Text(raw(&mut chars)?)),
            '.' => {
                let name = identifier(String::new(), &mut chars);
                words.push(if name.is_empty() {
                    Word::Dot
                } else {
                    Word::Field(name)
                });
            }
            c if is_letter(c) => words.push(Word::Name(identifier(c.to_string(), &mut chars))),
            c => return Err(BadTemplate(format!("unexpected {c:?} in an action"))),
        }
    }
    Err(BadTemplate("expected }} after {{".to_owned()))
}

fn is_letter(c: char) -> bool {
    c == '_' || c.is_alphabetic()
}

type Chars<'a> = Peekable<CharIndices<'a>>;

fn identifier(mut name: String, chars: &mut Chars<'_>) -> String {
    while let Some((_, c)) = chars.next_if(|(_, c)| is_letter(*c) || c.is_numeric()) {
        name.push(c);
    }
    name
}

fn quoted(chars: &mut Chars<'_>) -> Result<String, BadTemplate> {
    let mut text = String::new();
    while let Some((_, c)) = chars.next() {
        match c {
            '"' => return Ok(text),
            '\\' => match chars.next() {
                Some((_, c @ ('"' | '\\'))) => text.push(c),
                _ => return Err(BadTemplate("expected \\\" or \\\\ after a backslash".to_owned())),
            },
            c => text.push(c),
        }
    }
    Err(BadTemplate("expected a closing quote".to_owned()))
}

fn raw(chars: &mut Chars<'_>) -> Result<String, BadTemplate> {
    let mut text = String::new();
    for (_, c) in chars {
        if c == '`' {
            return Ok(text);
        }
        text.push(c);
    }
    Err(BadTemplate("expected a closing quote".to_owned()))
}
