#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;

#[test]
fn texts_are_those_of_go() {
    for (text, expected) in [
        (
            "https://github.com/a/b@refs/heads/main",
            "https://github.com/a/b@refs/heads/main",
        ),
        (
            "https://gitlab.com/a/b//.gitlab-ci.yml@x",
            "https://gitlab.com/a/b//.gitlab-ci.yml@x",
        ),
        ("HTTPS://Example.com:8443/A", "https://Example.com:8443/A"),
        ("https://e.com/a b", "https://e.com/a%20b"),
        ("https://e.com/a%20b", "https://e.com/a%20b"),
        ("https://e.com/ä(1)", "https://e.com/%C3%A4%281%29"),
        ("https://e.com/a(1)!", "https://e.com/a(1)!"),
        ("https://e.com/a%2Fb c", "https://e.com/a/b%20c"),
        ("spiffe://example.org/ns/a", "spiffe://example.org/ns/a"),
        ("https://[::1]:80/x", "https://[::1]:80/x"),
        ("https://e.com", "https://e.com"),
        ("https://e.com/p?q=a b#f g", "https://e.com/p?q=a%20b#f%20g"),
        ("urn:a:b", "urn:a:b"),
    ] {
        assert_eq!(
            Uri::parse(text).map(|uri| uri.text),
            Ok(expected.to_owned()),
            "{text}"
        );
    }
}

#[test]
fn hosts_are_what_is_compared() {
    for (text, host) in [
        ("https://user:pw@e.com:1/x", "e.com"),
        ("https://e.com@evil.example/x", "evil.example"),
        ("https://a@b@evil.example", ""),
        ("https://evil.example?e.com", "evil.example"),
        ("https://evil.example#e.com/", "evil.example"),
        ("https://[2001:db8::1]/", "2001:db8::1"),
        ("urn:x", ""),
    ] {
        assert_eq!(
            Uri::parse(text).map(|uri| uri.host).unwrap_or_default(),
            host,
            "{text}"
        );
    }
}

#[test]
fn what_is_no_uri_is_refused() {
    for text in [
        "",
        ":",
        "alice",
        "a/b:c",
        "1https://e.com",
        "https:",
        "https://",
        "https:///x",
        "https://e.com\\@evil.com/",
        "https://e com/",
        "https://e.com:port/",
        "https://[::1/",
        "https://[x]/",
        "https://e.com/%",
        "https://e.com/%4",
        "https://e.com/%zz",
        "https://e.com/\n",
        "https://e.com/\u{7f}",
        "https://ä.example/",
        "https://[::1]x/",
        "https://../../x",
        "https://a..b/",
        "https://example.com./",
    ] {
        assert!(Uri::parse(text).is_err(), "{text:?}");
    }
    assert!(Uri::parse(&format!("https://e.com/{}", "a".repeat(3_000))).is_err());
    assert!(Uri::parse(&format!("https://e.com/{}", " ".repeat(1_000))).is_err());
}

#[test]
fn joined_paths_are_those_of_go() {
    for (text, expected) in [
        (
            "https://e.com/a/b@refs/heads/main",
            "https://e.com/a/b@refs/heads/main",
        ),
        ("https://e.com/a b/ü", "https://e.com/a%20b/%C3%BC"),
        ("https://e.com/a?b#c", "https://e.com/a%3Fb%23c"),
        ("https://e.com//a/b", "https://e.com/a/b"),
        ("https://e.com", "https://e.com"),
        ("https://e.com/{{.x}}", "https://e.com/%7B%7B.x%7D%7D"),
    ] {
        assert_eq!(Uri::joined(text).ok().as_deref(), Some(expected), "{text}");
    }
    assert!(Uri::joined("https://e.com/100%41%zz").is_err());
}
