//! Checking a log by its URL.

use std::path::Path;
use std::time::Instant;

use rekor_monitor::{
    At, Client, Dialect, Finding, Limits, LogKey, LogReader, Options, Report, Signature, check as check_log,
};
use serde_json::{Value, json};

use super::{FsckArgs, LISTED, LogLine, Outcome, rate};
use crate::console::Console;
use crate::disk;
use crate::exit::Failure;
use crate::progress::Progress;

const REMEDY: &str = "Keep these lines, fetch the named parts again from elsewhere, and tell the log's operator: a log that \
     serves what its checkpoint does not say is damaged or dishonest";
/// A wrong key accuses nobody, and is the likeliest of reasons.
pub(super) const WHOSE_KEY: &str = "Is this the log's key? What the log serves agrees with its checkpoint, and the key given \
     did not sign that: compare it with what the log's operator publishes. If it is the log's, the checkpoint is not";

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
        Signature::Wrong => ("checkpoint NOT signed with the key given".to_owned(), Some(false)),
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
        remedy: remedy(&report),
    })
}

/// What to do about findings.
fn remedy(report: &Report) -> &'static str {
    let of_the_signer = |finding: &Finding| {
        finding.at == At::Checkpoint && ["signatures", "origin"].contains(&&*finding.what)
    };
    let agrees = report.more == 0 && report.findings.iter().all(of_the_signer);
    match report.signature {
        Signature::Wrong if agrees => WHOSE_KEY,
        _ => REMEDY,
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn report(signature: Signature, at: &[(At, &str)]) -> Report {
        let finding = |(at, what): &(At, &str)| Finding {
            at: at.clone(),
            what: (*what).to_owned(),
            expected: String::new(),
            got: String::new(),
        };
        Report {
            origin: "log.example".to_owned(),
            size: 7,
            root: common_tlog::Hash::default(),
            dialect: None,
            signature,
            issuers: 0,
            findings: at.iter().map(finding).collect(),
            more: 0,
        }
    }

    #[test]
    fn a_wrong_key_alone_accuses_nobody() {
        let signatures = (At::Checkpoint, "signatures");
        let origin = (At::Checkpoint, "origin");
        let root = (At::Checkpoint, "root at size 7");
        let tile = (At::Tile("tile/0/000".to_owned()), "length");
        for alone in [vec![signatures.clone()], vec![origin.clone(), signatures.clone()]] {
            assert_eq!(remedy(&report(Signature::Wrong, &alone)), WHOSE_KEY);
        }
        for more in [root, tile] {
            assert_eq!(
                remedy(&report(Signature::Wrong, &[signatures.clone(), more])),
                REMEDY
            );
        }
        let verified = Signature::Verified("log.example".to_owned());
        assert_eq!(remedy(&report(verified, &[origin])), REMEDY);
    }
}
