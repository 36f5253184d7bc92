//! Searches for entries at random places of a large log; each answer has the entry that it was made from.

use std::time::Instant;

use http::StatusCode;
use serde_json::Value;

use super::{Read, ReadError, Times, get, random, wrong};
use crate::bench::grow::GrownLog;
use crate::http::Client;

/// `count` searches of each kind, one after the other.
///
/// # Errors
/// [`ReadError`].
pub(super) async fn measure(
    client: &Client,
    log: GrownLog,
    size: u64,
    count: usize,
) -> Result<Vec<Read>, ReadError> {
    let number = number(client, log).await?;
    let kinds = [
        "search by digest",
        "search by key: one of 64 entries",
        "search by key and digest",
        "search by time: the entries before one",
    ];
    let mut times: [Times; 4] = Default::default();
    for _ in 0..count {
        let index = random(size)?;
        let path = format!("/api/sigbox/v1/logs/{number}/entries/{index}");
        let entry: Value = serde_json::from_slice(&get(client, &path).await?).unwrap_or_default();
        let text = |pointer: &str| entry.pointer(pointer).and_then(Value::as_str);
        let known = (text("/digest"), text("/signers/0/keySha256"), text("/time"));
        let (Some(digest), Some(key), Some(time)) = known else {
            return Err(wrong(&path, "not an entry with digest, key and time"));
        };
        let queries = [
            format!("digest={digest}"),
            format!("key={key}&limit=100"),
            format!("key={key}&digest={digest}"),
            format!("until={}", time.replace('+', "%2B")),
        ];
        for (n, (query, times)) in queries.iter().zip(&mut times).enumerate() {
            let path = format!("/api/sigbox/v1/search?log={number}&{query}");
            let began = Instant::now();
            let answer = client.get(&path).await?.expect(StatusCode::OK)?;
            times.add(began.elapsed());
            let answer: Value = serde_json::from_slice(&answer).unwrap_or_default();
            let found = answer.get("entries").and_then(Value::as_array);
            let found = found.ok_or_else(|| wrong(&path, "not a page"))?;
            let is_it = |found: &Value| found.get("index").and_then(Value::as_u64) == Some(index);
            // The last search is for what is older.
            if found.iter().any(is_it) != (n < 3) {
                return Err(wrong(&path, "the entry is not found by what it is"));
            }
        }
    }
    Ok(times
        .into_iter()
        .zip(kinds)
        .map(|(times, kind)| times.read(kind))
        .collect())
}

/// The instance's number of the log.
async fn number(client: &Client, log: GrownLog) -> Result<u64, ReadError> {
    let path = "/api/sigbox/v1/logs";
    let answer: Value = serde_json::from_slice(&get(client, path).await?).unwrap_or_default();
    let kind = match log {
        GrownLog::V1 => "rekor-v1",
        GrownLog::V2 => "rekor-v2",
    };
    let logs = answer.get("logs").and_then(Value::as_array);
    let of_kind = |log: &&Value| log.get("kind").and_then(Value::as_str) == Some(kind);
    logs.and_then(|logs| logs.iter().find(of_kind)?.get("log")?.as_u64())
        .ok_or_else(|| wrong(path, "no log of this kind"))
}
