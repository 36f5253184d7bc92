//! Checking a log by its URL.

use std::path::Path;
use std::time::Instant;

use rekor_monitor::{Client, Dialect, Limits, LogKey, LogReader, Options, Signature, check as check_log};
use serde_json::{Value, json};

use super::{FsckArgs, LISTED, LogLine, Outcome, rate};
use crate::console::Console;
use crate::disk;
use crate::exit::Failure;
use crate::progress::Progress;

const REMEDY: &str = "Keep these lines, fetch the named parts again from elsewhere, and tell the log's operator: a log that \
     serves what its checkpoint does not say is damaged or dishonest";

/// Checks the log at `url`.
pub(super) async fn check(args: &FsckArgs, url: &str, console: Console) -> Result<Outcome, Failure> {
    let options = Options {
        key: args.key.as_deref().map(read_key).transpose()?,
        origin: args.origin.clone(),
        limit: LISTED,
    };
    let client = Client::new(url, Limits::default()).map_err(Failure::failed)?;
    let progress = Progress::new(console);
    let began = Instant::now();
    let report = check_log(&LogReader::new(client), &options, &|done, size| {
        progress.at("leaves", done, Some(size));
    })
    .await;
    progress.finish();
    let report = report.map_err(Failure::failed)?;
    let rate = rate(report.size, began.elapsed());
    let (signature, signed) = match &report.signature {
        Signature::Verified(name) => (format!("checkpoint signed by {name}"), Some(true)),
        Signature::NotVerified => ("checkpoint signature NOT verified: no --key".to_owned(), None),
        Signature::Wrong => ("checkpoint signature wrong".to_owned(), Some(false)),
    };
    let served = report.dialect.map_or("no leaves yet", Dialect::name);
    let issuers = match report.issuers {
        0 => String::new(),
        issuers => format!(", {issuers} issuers"),
    };
    let sound = report.findings.is_empty() && report.more == 0;
    let log = LogLine {
        sound,
        text: format!(
            "{:?}: {} leaves, root {}, {rate} leaves/s ({served}: leaves, tiles{issuers}; {signature})",
            report.origin, report.size, report.root
        ),
        json: json!({
            "url": url,
            "origin": report.origin,
            "size": report.size,
            "root": report.root.to_string(),
            "leaves_per_second": rate,
            "dialect": report.dialect.map(Dialect::name),
            "signature_verified": signed,
            "ok": sound,
        }),
    };
    let findings = report.findings.iter().map(|finding| {
        let json: Value = json!({
            "at": finding.at.to_string(),
            "what": finding.what,
            "expected": finding.expected,
            "got": finding.got,
        });
        (finding.to_string(), json)
    });
    Ok(Outcome {
        logs: vec![log],
        findings: findings.collect(),
        more: report.more,
        rest: None,
        remedy: REMEDY,
    })
}

/// A key, or the file that holds it.
pub(crate) fn read_key(given: &str) -> Result<LogKey, Failure> {
    let file = disk::read(Path::new(given)).unwrap_or_default();
    let text = match &file {
        Some(content) => std::str::from_utf8(content)
            .map_err(|_| Failure::failed(format!("--key {given}: expected text, got other octets")))?,
        None => given,
    };
    LogKey::parse(text).map_err(|error| {
        let expected = "expected a verifier key, or the file of one or of a public key in PEM";
        Failure::failed(format!("--key {given}: {expected}: {error}"))
    })
}
