//! What is far too large, or becomes so when it is unpacked (GHSA-2h5h-59f5-c5x9): a clear refusal, again and again, and the memory
//! of the process stays where it was.

use std::path::Path;
use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tests::entries::Key;
use tests::stack::Stack;
use tests::{ok, say};

/// What the members of the archives inflate to, in bytes.
const INFLATED: usize = 1 << 30;
/// How often each is sent.
const TIMES: usize = 8;
/// Most that the peak of memory may rise by, in KiB: Rekor v1 reads 32 MiB of a body that does not say how long it is.
const RISE: u64 = 56 << 10;
/// Most of it that may stay, in KiB.
const KEPT: u64 = 24 << 10;

/// A JAR and a package of Alpine, of a megabyte each.
const MAKE: &str = r#"
import gzip, io, struct, sys, zipfile
size, piece = int(sys.argv[1]), bytes(1 << 20)
archive = io.BytesIO()
with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as jar:
    with jar.open("META-INF/MANIFEST.MF", "w", force_zip64=True) as member:
        for _ in range(size // len(piece)):
            member.write(piece)
bomb = archive.getvalue()
open("bomb.jar", "wb").write(bomb)
# The same, and its directory says that it has ten bytes.
at = bomb.rindex(b"PK\x01\x02")
open("lying.jar", "wb").write(bomb[:at + 24] + struct.pack("<I", 10) + bomb[at + 28:])
with gzip.open("bomb.apk", "wb") as member:
    for _ in range(size // len(piece)):
        member.write(piece)
"#;

/// Resident memory now and at most since the last call, in KiB.
fn memory(pid: u32) -> (u64, u64) {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let field = |name: &str| -> u64 {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.split_whitespace().next().unwrap().parse().unwrap()
    };
    let seen = (field("VmRSS:"), field("VmHWM:"));
    // proc(5): 5 resets the peak.
    std::fs::write(format!("/proc/{pid}/clear_refs"), "5").unwrap();
    seen
}

/// Status and message of what `path` answers to `body`, whose length curl tells before, or does not.
fn post(stack: &Stack, path: &str, body: &Path, told: bool) -> (u16, String) {
    let mut curl = Command::new("curl");
    curl.args([
        "--silent",
        "--show-error",
        "--max-time",
        "60",
        "--write-out",
        "\n%{http_code}",
    ]);
    curl.args([
        "--header",
        "content-type: application/json",
        "--header",
        "expect:",
    ]);
    if !told {
        curl.args(["--header", "transfer-encoding: chunked"]);
    }
    curl.arg("--data-binary").arg(format!("@{}", body.display()));
    let said = ok(curl.arg(stack.url(path))).stdout;
    let (said, status) = said.rsplit_once('\n').unwrap();
    (status.parse().unwrap(), said.to_owned())
}

#[test]
fn bombs_and_oversized_statements_are_refused_at_flat_memory() {
    let stack = Stack::ephemeral();
    let pid = stack.ready.pid;
    ok(Command::new("python3")
        .args(["-c", MAKE, &INFLATED.to_string()])
        .current_dir(stack.work.path()));
    let content = |name: &str| STANDARD.encode(std::fs::read(stack.path(name)).unwrap());
    let jar = |name: &str| json!({"kind": "jar", "apiVersion": "0.0.1", "spec": {"archive": {"content": content(name)}, "signature": {}}});
    let key = STANDARD.encode(Key::generate().pem());
    let apk = json!({"kind": "alpine", "apiVersion": "0.0.1", "spec": {
        "package": {"content": content("bomb.apk")}, "publicKey": {"content": key},
    }});
    // A bill of materials of 46 MB as a statement in an envelope.
    let payload = "A".repeat(46_000_000_usize.div_ceil(3) * 4);
    let envelope = json!({"payload": payload, "payloadType": "application/vnd.in-toto+json", "signatures": [{"sig": "AAAA"}]});
    let v1 = json!({"kind": "dsse", "apiVersion": "0.0.1", "spec": {"proposedContent": {
        "envelope": envelope.to_string(), "verifiers": [&key],
    }}});
    let v2 = json!({"dsseRequestV002": {"envelope": envelope, "verifiers": []}});
    let (one, two) = ("/api/v1/log/entries", "/api/v2/log/entries");
    let cases: [(&str, &str, Value, u16, &str); 5] = [
        (
            "a JAR",
            one,
            jar("bomb.jar"),
            400,
            "decompressed size of jar metadata exceeds max allowed size",
        ),
        (
            "a JAR that lies",
            one,
            jar("lying.jar"),
            400,
            "File is larger than its declared uncompressed size",
        ),
        (
            "an APK",
            one,
            apk,
            400,
            "decompressed size of signature.tar.gz exceeds max allowed size",
        ),
        ("46 MB, v1", one, v1, 413, "Too Large. Limit set to 32792576"),
        ("46 MB, v2", two, v2, 400, "at most 4194304 bytes"),
    ];
    let (before, _) = memory(pid);
    let mut figures = Vec::new();
    for (name, path, body, status, message) in cases {
        let body = stack.file("request.json", body.to_string());
        for time in 0..TIMES {
            let (got, said) = post(&stack, path, &body, time % 2 == 0);
            assert_eq!(got, status, "{name}: {said}");
            assert!(said.contains(message), "{name}: expected {message:?}, got {said}");
            assert!(said.len() < 1_000, "{name}: {} bytes of answer", said.len());
        }
        let (now, peak) = memory(pid);
        figures.push(format!("{name}: at most {peak} KiB, then {now}"));
        assert!(peak < before + RISE, "{name}: from {before} to {peak} KiB");
        assert!(now < before + KEPT, "{name}: {before} KiB before, {now} after");
    }
    say(&format!("{before} KiB before; {}", figures.join("; ")));
}
