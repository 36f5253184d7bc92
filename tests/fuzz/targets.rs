//! What the fuzzers call; an ordinary test calls it with each file of the corpus (`rekor/entry/tests/corpus.rs`).
#![allow(dead_code, reason = "each fuzzer uses one of them")]

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rekor_entry::{canonical_key, committed, v1, v2};

/// A request of either API, or a body read back from a log.
pub(crate) fn entry(data: &[u8]) {
    if let Ok(entry) = v1::ProposedEntry::parse(data) {
        if let Ok(canonical) = entry.canonicalize(&v1::Policy::default()) {
            reads_back(&canonical.body);
        }
        let _ = entry.canonicalize_committed();
    }
    if let Ok(canonical) = v2::parse_request(data, &v2::Policy::default()) {
        committed::read(&canonical.body).expect("a v2 body reads back");
    }
    let _ = committed::read(data);
}

/// A key of every format. What one is read as is its one form.
pub(crate) fn key(data: &[u8]) {
    for format in ["pgp", "minisign", "x509", "ssh", "tuf"] {
        if let Some(Ok(canonical)) = canonical_key(format, data) {
            let again = canonical_key(format, &canonical).expect("the format exists");
            assert_eq!(again.ok(), Some(canonical), "{format}");
        }
    }
}

/// What entries hold in base64: the first octet chooses the member, the rest is in it.
pub(crate) fn content(data: &[u8]) {
    let Some((choice, content)) = data.split_first() else {
        return;
    };
    let content = STANDARD.encode(content);
    let (pgp, pem) = (STANDARD.encode(PGP_KEY), STANDARD.encode(PEM_KEY));
    let (kind, spec) = match choice % 10 {
        0 => (
            "rpm",
            format!(r#"{{"package":{{"content":"{content}"}},"publicKey":{{"content":"{pgp}"}}}}"#),
        ),
        1 => (
            "alpine",
            format!(r#"{{"package":{{"content":"{content}"}},"publicKey":{{"content":"{pem}"}}}}"#),
        ),
        2 => ("jar", format!(r#"{{"archive":{{"content":"{content}"}}}}"#)),
        3 => (
            "helm",
            format!(
                r#"{{"chart":{{"provenance":{{"content":"{content}"}}}},"publicKey":{{"content":"{pgp}"}}}}"#
            ),
        ),
        4 => ("rfc3161", format!(r#"{{"tsr":{{"content":"{content}"}}}}"#)),
        5 => (
            "cose",
            format!(r#"{{"message":"{content}","data":{{"aad":""}},"publicKey":"{pem}"}}"#),
        ),
        6 => (
            "tuf",
            format!(r#"{{"metadata":{{"content":"{content}"}},"root":{{"content":"{content}"}}}}"#),
        ),
        7 => rekord("pgp", &content, &pgp),
        8 => rekord("ssh", &content, &STANDARD.encode(SSH_KEY)),
        _ => rekord("minisign", &content, &STANDARD.encode([7; 32])),
    };
    let json = format!(r#"{{"kind":"{kind}","apiVersion":"0.0.1","spec":{spec}}}"#);
    entry(json.as_bytes());
}

fn rekord(format: &str, signature: &str, key: &str) -> (&'static str, String) {
    let spec = format!(
        r#"{{"data":{{"content":"YQ=="}},"signature":{{"format":"{format}","content":"{signature}","publicKey":{{"content":"{key}"}}}}}}"#
    );
    ("rekord", spec)
}

/// What was logged is found in the form it was logged in.
fn reads_back(body: &[u8]) {
    committed::read(body).expect("a body reads back");
    let entry = v1::ProposedEntry::parse(body).expect("a body is an entry");
    assert_eq!(entry.canonicalize_committed().expect("a body is canonical"), body);
}

const SSH_KEY: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBERERERERERERERERERERERERERERERERERERERERER x@example.com";

const PGP_KEY: &str = r"-----BEGIN PGP PUBLIC KEY BLOCK-----

mDMEawMZuRYJKwYBBAHaRw8BAQdA4F8l+YH7DjaoGLNMKYwEJtIF4LVfq1kX2DED
FhSDbRe0FVR3byA8dHdvQGV4YW1wbGUuY29tPoiWBBMWCAA+FiEECQAujbJLJeIi
Fdm8hiIJesMxSXQFAmsDGbkCGwMFCQPCZwAFCwkIBwIGFQoJCAsCBBYCAwECHgEC
F4AACgkQhiIJesMxSXSl7AEAsnUQsBwXK78cjOkrqh6aT8hQKtxdFY6ZRjad9LG3
JbABAM5Y/91GAmHsl54YqQr2I0yQN/oqA8o1I3+6M7NyWYIC
=rpG5
-----END PGP PUBLIC KEY BLOCK-----";

const PEM_KEY: &str = r"-----BEGIN PUBLIC KEY-----
MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAyBimbh2elW10mmwyS23f
b+SVGiN+hyk+a1/IRyIHKv6k3wfcwTwHesf1EV1GYdFfG0wunwPOzY2G8+goxhEn
Qjdqt1RVgEOfa9qI9CWlEjAlWnFqIWcq6Q0d8S1sJtPjQDxYIWdN5j+Mk8XWvYw1
fVBsmTyFVgj8Y2AJwhzvaA766PKivYXj+0eGsU28Hr/jrlOT0OJV+TW537gOfo97
7Ry7Se3E9qL2ta/jDdyHKi9h6gps7B0Yc/7pSqqM2ozKKdM/QUOlaeTdWjH2wrRQ
t0E/modaSBzCw4tN+Dv5wkt2lij/Cv+F2NtNWZw6b/wHNgRE/LJH8s1M3XQPBs6m
3QIDAQAB
-----END PUBLIC KEY-----
";
