//! Templates over claims: what configurations of Fulcio use of Go's `text/template`.
//!
//! Field access (`.name`), `index . "any name"`, the functions `eq`, `ne`, `and`, `or` and `not`, `if` with `else if` and
//! `else`, comments, and `{{-`, `-}}`. A name without a value is an error everywhere (upstream's `missingkey=error`, which
//! `index` evades there). What is not known is refused when the configuration is read, not when a token comes.

mod lexer;

use std::borrow::Cow;

use lexer::{Piece, Word};

/// Longest template, in bytes.
const MAX_TEMPLATE: usize = 4_096;
/// Longest text made of one, in bytes: it becomes part of a certificate that is kept for ever.
pub(crate) const MAX_TEXT: usize = 4_096;
/// Parentheses and conditions inside each other.
const MAX_DEPTH: usize = 16;

/// A template that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Template(Vec<Node>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Node {
    Text(String),
    Value(Expression),
    If {
        condition: Expression,
        then: Vec<Node>,
        otherwise: Vec<Node>,
    },
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Expression {
    /// The value of that name.
    Named(String),
    Literal(String),
    Flag(bool),
    Call(Function, Vec<Expression>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Function {
    Eq,
    Ne,
    And,
    Or,
    Not,
}

/// Why a template cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct BadTemplate(pub(crate) String);

/// Why a template gives no text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unfilled {
    /// Neither a claim nor a default. Upstream's words.
    #[error("map has no entry for key {0:?}")]
    Missing(String),
    /// A claim that has no text.
    #[error("claim {name:?}: expected a string, a number or a boolean, got {got}")]
    NotText {
        /// The claim.
        name: String,
        /// What kind of value it is.
        got: &'static str,
    },
    /// Too long.
    #[error("expected at most {MAX_TEXT} bytes, got more")]
    TooLong,
}

/// Where names get their values.
pub(crate) trait Values {
    /// The value of `name`.
    fn get(&self, name: &str) -> Result<Cow<'_, str>, Unfilled>;
}

impl Template {
    /// Reads `text`.
    pub(crate) fn parse(text: &str) -> Result<Self, BadTemplate> {
        if text.len() > MAX_TEMPLATE {
            return Err(BadTemplate(format!(
                "expected at most {MAX_TEMPLATE} bytes, got {}",
                text.len()
            )));
        }
        let mut pieces = lexer::pieces(text)?.into_iter();
        let (nodes, end) = nodes(&mut pieces, 0)?;
        match end {
            None => Ok(Self(nodes)),
            Some(end) => Err(BadTemplate(format!("unexpected {{{{{}}}}}", end.name()))),
        }
    }

    /// The text with values filled in.
    pub(crate) fn fill(&self, values: &impl Values) -> Result<String, Unfilled> {
        let mut out = String::new();
        write(&self.0, values, &mut out)?;
        Ok(out)
    }
}

/// What ends a list of nodes.
enum End {
    Else(Option<Vec<Word>>),
    End,
}

impl End {
    fn name(&self) -> &'static str {
        match self {
            Self::Else(_) => "else",
            Self::End => "end",
        }
    }
}

type Pieces = std::vec::IntoIter<Piece>;

/// Nodes up to the end of the text, or of the condition they are inside of.
fn nodes(pieces: &mut Pieces, depth: usize) -> Result<(Vec<Node>, Option<End>), BadTemplate> {
    let mut nodes = Vec::new();
    while let Some(piece) = pieces.next() {
        let words = match piece {
            Piece::Text(text) => {
                nodes.push(Node::Text(text));
                continue;
            }
            Piece::Action(words) => words,
        };
        match words.split_first() {
            Some((Word::Name(name), rest)) if name == "if" => {
                nodes.push(condition(rest, pieces, depth.saturating_add(1))?);
            }
            Some((Word::Name(name), rest)) if name == "else" => {
                let chained = match rest.split_first() {
                    None => None,
                    Some((Word::Name(name), rest)) if name == "if" => Some(rest.to_vec()),
                    Some(_) => return Err(BadTemplate("expected {{else}} or {{else if …}}".to_owned())),
                };
                return Ok((nodes, Some(End::Else(chained))));
            }
            Some((Word::Name(name), rest)) if name == "end" => {
                if !rest.is_empty() {
                    return Err(BadTemplate("expected nothing after end".to_owned()));
                }
                return Ok((nodes, Some(End::End)));
            }
            _ => nodes.push(Node::Value(expression(&words)?)),
        }
    }
    Ok((nodes, None))
}

/// The rest of a condition, from after its `if`.
fn condition(words: &[Word], pieces: &mut Pieces, depth: usize) -> Result<Node, BadTemplate> {
    if depth > MAX_DEPTH {
        return Err(too_deep());
    }
    let condition_ = expression(words)?;
    let (then, end) = nodes(pieces, depth)?;
    let otherwise = match end {
        Some(End::End) => Vec::new(),
        // `else if` needs no `end` of its own: the one that ends it ends both.
        Some(End::Else(Some(words))) => vec![condition(&words, pieces, depth.saturating_add(1))?],
        Some(End::Else(None)) => match nodes(pieces, depth)? {
            (otherwise, Some(End::End)) => otherwise,
            _ => return Err(BadTemplate("expected {{end}} after {{else}}".to_owned())),
        },
        None => return Err(BadTemplate("expected {{end}} for every {{if}}".to_owned())),
    };
    Ok(Node::If {
        condition: condition_,
        then,
        otherwise,
    })
}

fn too_deep() -> BadTemplate {
    BadTemplate(format!("expected at most {MAX_DEPTH} levels"))
}

/// All of `words` as one expression.
fn expression(words: &[Word]) -> Result<Expression, BadTemplate> {
    let mut rest = words.iter();
    let found = call(&mut rest, 0)?;
    match rest.next() {
        None => Ok(found),
        Some(word) => Err(unexpected(Some(word))),
    }
}

type Words<'a> = std::slice::Iter<'a, Word>;

/// A function with its arguments, or one operand.
fn call(words: &mut Words<'_>, depth: usize) -> Result<Expression, BadTemplate> {
    let function = match words.as_slice().first() {
        Some(Word::Name(name)) => match name.as_str() {
            "index" => {
                words.next();
                return index(words);
            }
            "eq" => Function::Eq,
            "ne" => Function::Ne,
            "and" => Function::And,
            "or" => Function::Or,
            "not" => Function::Not,
            _ => return operand(words, depth),
        },
        _ => return operand(words, depth),
    };
    words.next();
    let mut arguments = Vec::new();
    while words.as_slice().first().is_some_and(|word| *word != Word::Close) {
        arguments.push(operand(words, depth)?);
    }
    let (least, most) = match function {
        Function::Not => (1, 1),
        Function::Ne => (2, 2),
        Function::Eq => (2, usize::MAX),
        Function::And | Function::Or => (1, usize::MAX),
    };
    if !(least..=most).contains(&arguments.len()) {
        return Err(BadTemplate(format!(
            "expected another number of arguments, got {}",
            arguments.len()
        )));
    }
    Ok(Expression::Call(function, arguments))
}

/// `index . "name"`: a name that is no identifier.
fn index(words: &mut Words<'_>) -> Result<Expression, BadTemplate> {
    match (words.next(), words.next()) {
        (Some(Word::Dot), Some(Word::Text(name))) => Ok(Expression::Named(name.clone())),
        _ => Err(BadTemplate("expected index . \"name\"".to_owned())),
    }
}

fn operand(words: &mut Words<'_>, depth: usize) -> Result<Expression, BadTemplate> {
    Ok(match words.next() {
        Some(Word::Field(name)) => Expression::Named(name.clone()),
        Some(Word::Text(text)) => Expression::Literal(text.clone()),
        Some(Word::Name(name)) if name == "true" || name == "false" => Expression::Flag(name == "true"),
        Some(Word::Open) => {
            if depth >= MAX_DEPTH {
                return Err(too_deep());
            }
            let inside = call(words, depth.saturating_add(1))?;
            match words.next() {
                Some(Word::Close) => inside,
                other => return Err(unexpected(other)),
            }
        }
        other => return Err(unexpected(other)),
    })
}

fn unexpected(word: Option<&Word>) -> BadTemplate {
    let got = match word {
        None => "the end of the action".to_owned(),
        Some(word) => word.to_string(),
    };
    BadTemplate(format!(
        "expected .name, index . \"name\", a quoted text, or one of eq, ne, and, or, not, if, else, end; got {got}"
    ))
}

/// Text, or the outcome of a comparison.
enum Value<'a> {
    Text(Cow<'a, str>),
    Flag(bool),
}

impl Value<'_> {
    /// Empty text counts as false, as every empty value does.
    fn truth(&self) -> bool {
        match self {
            Self::Text(text) => !text.is_empty(),
            Self::Flag(flag) => *flag,
        }
    }

    fn text(&self) -> &str {
        match self {
            Self::Text(text) => text,
            Self::Flag(true) => "true",
            Self::Flag(false) => "false",
        }
    }
}

fn write(nodes: &[Node], values: &impl Values, out: &mut String) -> Result<(), Unfilled> {
    for node in nodes {
        match node {
            Node::Text(text) => out.push_str(text),
            Node::Value(expression) => out.push_str(evaluate(expression, values)?.text()),
            Node::If {
                condition,
                then,
                otherwise,
            } => {
                let chosen = if evaluate(condition, values)?.truth() {
                    then
                } else {
                    otherwise
                };
                write(chosen, values, out)?;
            }
        }
        if out.len() > MAX_TEXT {
            return Err(Unfilled::TooLong);
        }
    }
    Ok(())
}

fn evaluate<'a>(expression: &'a Expression, values: &'a impl Values) -> Result<Value<'a>, Unfilled> {
    let (function, arguments) = match expression {
        Expression::Named(name) => return Ok(Value::Text(values.get(name)?)),
        Expression::Literal(text) => return Ok(Value::Text(Cow::Borrowed(text))),
        Expression::Flag(flag) => return Ok(Value::Flag(*flag)),
        Expression::Call(function, arguments) => (*function, arguments),
    };
    // The first value whose truth is `decides`, or else the last, as Go's `and` and `or` give.
    let first = |decides: bool| {
        let mut last = Value::Flag(!decides);
        for argument in arguments {
            last = evaluate(argument, values)?;
            if last.truth() == decides {
                break;
            }
        }
        Ok(last)
    };
    // `eq a b c` holds when a is one of the others.
    let equal = || -> Result<bool, Unfilled> {
        let Some((one, others)) = arguments.split_first() else {
            return Ok(false);
        };
        let one = evaluate(one, values)?;
        for other in others {
            if evaluate(other, values)?.text() == one.text() {
                return Ok(true);
            }
        }
        Ok(false)
    };
    match function {
        Function::Eq => Ok(Value::Flag(equal()?)),
        Function::Ne => Ok(Value::Flag(!equal()?)),
        Function::And => first(false),
        Function::Or => first(true),
        Function::Not => Ok(Value::Flag(!first(true)?.truth())),
    }
}

#[cfg(test)]
mod tests;
