#![allow(clippy::unwrap_used, reason = "tests")]

use http::HeaderValue;

use super::*;

fn headers(name: http::HeaderName, value: &'static str) -> HeaderMap {
    HeaderMap::from_iter([(name, HeaderValue::from_static(value))])
}

#[test]
fn accept_is_matched_by_type_family_and_quality() {
    assert!(accepts(&HeaderMap::new(), &[JSON]).is_ok());
    for taken in [
        "application/json",
        "APPLICATION/JSON",
        "*/*",
        "application/*",
        "text/html, */*;q=0.8",
        "application/json;q=0.1",
        "",
    ] {
        assert!(accepts(&headers(ACCEPT, taken), &[JSON]).is_ok(), "{taken}");
    }
    for refused in [
        "text/html",
        "application/x-pem-file",
        "application/json;q=0",
        "*/*; Q=0.0",
        "json",
    ] {
        assert!(accepts(&headers(ACCEPT, refused), &[JSON]).is_err(), "{refused}");
    }
    assert!(accepts(&headers(ACCEPT, "application/x-pem-file"), &[PEM]).is_ok());
    let of_key = |range| accepts(&headers(ACCEPT, range), &[PEM, JSON]);
    assert_eq!(of_key("*/*").unwrap(), PEM);
    assert_eq!(of_key("application/json").unwrap(), JSON);
    assert_eq!(
        of_key("text/html").unwrap_err().to_string(),
        "unsupported media type requested, only [application/x-pem-file application/json] are available"
    );
}

#[test]
fn a_body_is_an_object() {
    #[derive(Deserialize, Default, PartialEq, Debug)]
    struct Pair {
        a: Option<u8>,
        b: Option<u8>,
    }
    let read = |body: &str| object::<Pair>(body.as_bytes(), "query");
    assert_eq!(read("null").unwrap(), Pair::default());
    assert_eq!(read(r#"{"b":2}"#).unwrap(), Pair { a: None, b: Some(2) });
    for (body, cause) in [
        ("[1,2]", "invalid type: sequence, expected an object"),
        ("7", "invalid type: integer `7`, expected an object"),
    ] {
        let said = read(body).unwrap_err().to_string();
        let expected = format!("parsing query body from \"\" failed, because {cause}");
        assert!(said.starts_with(&expected), "{said}");
    }
}

#[test]
fn only_json_is_read() {
    for taken in [
        "application/json",
        "application/json; charset=utf-8",
        "Application/JSON",
    ] {
        assert!(content_type(&headers(CONTENT_TYPE, taken)).is_ok(), "{taken}");
    }
    for refused in ["text/plain", "", "application/jsonx"] {
        assert!(
            content_type(&headers(CONTENT_TYPE, refused)).is_err(),
            "{refused}"
        );
    }
    let none = content_type(&HeaderMap::new()).unwrap_err();
    assert_eq!(
        none.to_string(),
        "unsupported media type \"application/octet-stream\", only [application/json] are allowed"
    );
}

#[test]
fn parameters_are_checked_in_go_openapis_words() {
    let params = |query: &str| Params::of(&format!("/x?{query}").parse::<Uri>().unwrap());
    assert_eq!(params("a=1&a=2&b=3").integer("a", 1).unwrap(), Some(2));
    assert_eq!(params("a=").integer("a", 1).unwrap(), None);
    assert_eq!(params("a=%37").integer("a", 1).unwrap(), Some(7));
    for (query, message) in [
        ("", "a in query is required"),
        ("a=x", "a in query must be of type int64: \"x\""),
        (
            "a=9223372036854775808",
            "a in query must be of type int64: \"9223372036854775808\"",
        ),
        ("a=0", "a in query should be greater than or equal to 1"),
        ("a=-1", "a in query should be greater than or equal to 1"),
    ] {
        assert_eq!(
            params(query).required_integer("a", 1).unwrap_err().to_string(),
            message
        );
    }
    assert_eq!(params("treeID=").tree_id().unwrap(), None);
    assert_eq!(params("treeID=12").tree_id().unwrap(), Some("12"));
    assert_eq!(
        params("treeID=1a").tree_id().unwrap_err().to_string(),
        "treeID in query should match '^[0-9]+$'"
    );
}
