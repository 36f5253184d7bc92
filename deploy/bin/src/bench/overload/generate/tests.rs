#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use super::*;

#[test]
fn an_answer_is_read_to_its_end_and_no_further() {
    let whole =
        b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 2\r\ncontent-length: 3\r\n\r\nabcHTTP/1.1 2";
    for length in 0..whole.len() - 10 {
        assert_eq!(Answer::parse(&whole[..length]).unwrap(), None, "{length}");
    }
    let answer = Answer::parse(whole).unwrap().unwrap();
    assert_eq!(
        (answer.status, answer.retry_after, answer.close),
        (503, true, false)
    );
    assert_eq!(&whole[answer.body..answer.end], b"abc");
}

#[test]
fn a_refusal_without_a_time_is_told_apart() {
    let parse = |head: &str| Answer::parse(format!("HTTP/1.1 {head}\r\n\r\n").as_bytes());
    assert!(!parse("503 x\r\ncontent-length: 0").unwrap().unwrap().retry_after);
    let soon = parse("503 x\r\nretry-after: soon\r\ncontent-length: 0\r\nconnection: close");
    let soon = soon.unwrap().unwrap();
    assert!(!soon.retry_after && soon.close);
    assert!(parse("503 x").is_err(), "no length");
    assert!(parse("abc x\r\ncontent-length: 0").is_err());
}

#[test]
fn the_index_is_the_first_bare_or_quoted() {
    assert_eq!(index(br#"{"logIndex":"17","x":{"logIndex":"18"}}"#), Some(17));
    assert_eq!(index(br#"{"a":{"body":"..","logIndex":9,"#), Some(9));
    assert_eq!(index(b"{}"), None);
}
