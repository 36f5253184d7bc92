//! `.PKGINFO` as upstream reads it: with an INI parser, whose rules decide what is in the leaf
//! (`gopkg.in/ini.v1 parser.go`, default options).

use std::collections::BTreeMap;

use crate::error::Invalid;

/// Most keys, each of which becomes part of the leaf.
const MAX_KEYS: usize = 1_024;

/// Keys and values of the part before any section. A key that comes again replaces what it was.
pub(super) fn parse(text: &[u8]) -> Result<BTreeMap<String, String>, Invalid> {
    let text = std::str::from_utf8(text).map_err(|_| Invalid::Package(".PKGINFO is not UTF-8"))?;
    let mut lines = text
        .strip_prefix('\u{feff}')
        .unwrap_or(text)
        .split_inclusive('\n');
    let mut found = BTreeMap::new();
    // Keys behind a heading belong to another section, unless it is the default one by name.
    let mut wanted = true;
    let mut unnamed = 1_u32;
    while let Some(line) = lines.next() {
        let line = line.trim_start();
        if line.is_empty() || line.starts_with(['#', ';']) {
            continue;
        }
        if let Some(heading) = line.strip_prefix('[') {
            let (name, _) = heading
                .rsplit_once(']')
                .ok_or(Invalid::Package(".PKGINFO has an unclosed section"))?;
            wanted = matches!(name, "" | "DEFAULT");
            unnamed = 1;
            continue;
        }
        let (mut name, rest) = key(line)?;
        if name == "-" {
            name = format!("#{unnamed}");
            unnamed = unnamed.saturating_add(1);
        }
        let value = value(rest, &mut lines)?;
        if wanted {
            found.insert(name, value);
        }
        if found.len() > MAX_KEYS {
            return Err(Invalid::Package(".PKGINFO has more than 1,024 keys"));
        }
    }
    Ok(found)
}

const NO_DELIMITER: Invalid = Invalid::Package(".PKGINFO has a line without a key-value delimiter");

/// The key of a line, which may be in quotes, and what follows its delimiter.
fn key(line: &str) -> Result<(String, &str), Invalid> {
    let quote = match line.as_bytes() {
        [b'"', b'"', b'"', _, _, _, _, ..] => r#"""""#,
        [b'"', ..] => "\"",
        [b'`', ..] => "`",
        _ => {
            let (name, rest) = line.split_once(['=', ':']).ok_or(NO_DELIMITER)?;
            return match name.trim() {
                "" => Err(Invalid::Package(".PKGINFO has an empty key")),
                name => Ok((name.to_owned(), rest)),
            };
        }
    };
    let inside = line.strip_prefix(quote).unwrap_or(line);
    let (name, rest) = inside
        .split_once(quote)
        .ok_or(Invalid::Package(".PKGINFO has a key without its closing quote"))?;
    let (_, rest) = rest.split_once(['=', ':']).ok_or(NO_DELIMITER)?;
    Ok((name.trim().to_owned(), rest))
}

/// The value that begins on this line, and goes on over the next ones behind a backslash or within quotes.
fn value<'a>(rest: &str, lines: &mut impl Iterator<Item = &'a str>) -> Result<String, Invalid> {
    let line = rest.trim_start();
    let quote = match line.as_bytes() {
        [b'"', b'"', b'"', _, ..] => Some(r#"""""#),
        [b'`', ..] => Some("`"),
        _ => None,
    };
    if let Some(quote) = quote {
        let inside = line.strip_prefix(quote).unwrap_or(line);
        return match inside.rsplit_once(quote) {
            Some((value, _)) => Ok(value.to_owned()),
            None => quoted(inside, quote, lines),
        };
    }
    let line = line.trim_end();
    if let Some(begun) = line.strip_suffix('\\') {
        return Ok(continued(begun, lines));
    }
    let line = line.split(['#', ';']).next().unwrap_or(line).trim();
    for quote in ['\'', '"'] {
        let inside = line.strip_prefix(quote).and_then(|rest| rest.strip_suffix(quote));
        if let Some(inside) = inside.filter(|inside| !inside.contains(quote)) {
            return Ok(inside.to_owned());
        }
    }
    Ok(line.to_owned())
}

fn quoted<'a>(
    begun: &str,
    quote: &str,
    lines: &mut impl Iterator<Item = &'a str>,
) -> Result<String, Invalid> {
    let mut value = begun.to_owned();
    for next in lines {
        match next.rsplit_once(quote) {
            // A backslash behind the quote: the value goes on.
            Some((_, rest)) if rest.trim_end().ends_with('\\') => value.push_str(next),
            Some((end, _)) => {
                value.push_str(end);
                return Ok(value);
            }
            None => value.push_str(next),
        }
    }
    Err(Invalid::Package(".PKGINFO has a value without its closing quote"))
}

fn continued<'a>(begun: &str, lines: &mut impl Iterator<Item = &'a str>) -> String {
    let mut value = begun.to_owned();
    for next in lines {
        let next = next.trim();
        if next.is_empty() {
            break;
        }
        value.push_str(next);
        match value.strip_suffix('\\') {
            Some(begun) => value.truncate(begun.len()),
            None => break,
        }
    }
    value
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn pairs(text: &str) -> Vec<(String, String)> {
        parse(text.as_bytes()).unwrap().into_iter().collect()
    }

    fn pair(name: &str, value: &str) -> (String, String) {
        (name.to_owned(), value.to_owned())
    }

    #[test]
    fn what_abuild_writes_is_read() {
        let text = "# Generated by abuild\n# using fakeroot\npkgname = a\npkgver = 1-r0\n\ndepend = so:libc.so\ndepend = b\n";
        assert_eq!(
            pairs(text),
            [pair("depend", "b"), pair("pkgname", "a"), pair("pkgver", "1-r0")]
        );
    }

    #[test]
    fn comments_quotes_and_continuations_are_those_of_the_ini_parser() {
        for (line, name, value) in [
            ("url = https://a/#b", "url", "https://a/"),
            ("a = b ; c", "a", "b"),
            ("a: b = c", "a", "b = c"),
            ("a = 'b c'", "a", "b c"),
            ("a = \"b\"", "a", "b"),
            ("a = \"b\" \"c\"", "a", "\"b\" \"c\""),
            ("a = `b # c`", "a", "b # c"),
            ("a = \"\"\"b\nc\"\"\"", "a", "b\nc"),
            ("a = b \\\n  c", "a", "b c"),
            ("a =", "a", ""),
            ("\"a = b\" = c", "a = b", "c"),
            ("- = x", "#1", "x"),
            ("\u{feff}a = b\r\n", "a", "b"),
        ] {
            assert_eq!(pairs(line), [pair(name, value)], "{line:?}");
        }
        assert_eq!(
            pairs("a = b\n[other]\nc = d\n[DEFAULT]\ne = f"),
            [pair("a", "b"), pair("e", "f")]
        );
    }

    #[test]
    fn what_the_ini_parser_refuses_is_refused() {
        for text in ["a", "= b", "[a", "`a = b", "a = `b", "a = \"\"\"b"] {
            assert!(parse(text.as_bytes()).is_err(), "{text:?}");
        }
        assert!(parse(b"a = \xff").is_err());
        let many: String = (0..2_000).map(|n| format!("k{n} = v\n")).collect();
        assert!(parse(many.as_bytes()).is_err());
    }
}
