//! Nothing dials out: a start, a whole signing flow and its verification reach loopback addresses alone, and trust crosses an
//! air gap as one file.

use std::net::IpAddr;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use tests::clients::{Cosign, Rekor};
use tests::stack::{Launch, Ports, Stack, up_under};
use tests::{ok, refused, sigbox, strace};

const WHO: &str = "dev@example.com";

/// Every internet address in a trace of calls that name a peer.
fn peers(trace: &Path) -> Vec<IpAddr> {
    let trace = std::fs::read_to_string(trace).unwrap();
    let quoted = |line: &str, before: &str| -> Option<IpAddr> {
        line.split_once(before)?.1.split('"').next()?.parse().ok()
    };
    let mut found = Vec::new();
    for line in trace.lines().filter(|line| line.contains("AF_INET")) {
        let peer = quoted(line, "inet_addr(\"").or_else(|| quoted(line, "AF_INET6, \""));
        found.push(peer.unwrap_or_else(|| panic!("no address in {line}")));
    }
    found
}

/// Adds `strace` in front of a command: of the calls that can name a peer, those that do.
fn traced(trace: &Path, command: &Command) -> Command {
    let mut strace = strace::naming_peers(trace);
    strace.arg(command.get_program()).args(command.get_args());
    strace.env_clear();
    strace.envs(
        command
            .get_envs()
            .filter_map(|(name, value)| Some((name, value?))),
    );
    if let Some(folder) = command.get_current_dir() {
        strace.current_dir(folder);
    }
    strace
}

#[test]
fn a_start_and_a_signing_flow_stay_on_this_machine() {
    let folder = tempfile::tempdir().unwrap();
    let server = folder.path().join("server");
    let mut command = strace::naming_peers(&server);
    command.arg(sigbox());
    let launch = Launch::new(&mut up_under(
        command,
        &folder.path().join("data"),
        &Ports::free(),
    ));
    let mut stack = launch
        .ready(Duration::from_secs(120))
        .unwrap_or_else(|not| panic!("{not}"));
    let cosign = Cosign::initialize(&stack);
    let artifact = stack.file("artifact", "never leaves");

    let signing = folder.path().join("signing");
    let bundle = stack.path("bundle.json");
    let mut sign = cosign.writing("sign-blob", Rekor::V2, WHO);
    sign.arg("--bundle").arg(&bundle).arg(&artifact);
    ok(&mut traced(&signing, &sign));
    let verifying = folder.path().join("verifying");
    let mut verify = cosign.verify_blob(&bundle, WHO, &artifact);
    verify
        .arg("--trusted-root")
        .arg(stack.ready.trust_dir.join("trusted_root.json"));
    ok(&mut traced(&verifying, &verify));
    assert_eq!(stack.interrupt(), Some(0), "{}", stack.said());

    for (what, trace) in [
        ("the server", &server),
        ("signing", &signing),
        ("verifying", &verifying),
    ] {
        let reached = peers(trace);
        let outside: Vec<_> = reached.iter().filter(|peer| !peer.is_loopback()).collect();
        assert!(outside.is_empty(), "{what} reached {outside:?}");
    }
    assert!(
        !peers(&signing).is_empty(),
        "the trace sees a client that does reach somebody"
    );
    assert!(peers(&verifying).is_empty(), "cosign verifies offline");
}

#[test]
fn trust_crosses_an_air_gap_as_one_signed_file() {
    let stack = Stack::ephemeral();
    let cosign = Cosign::initialize(&stack);
    let artifact = stack.file("artifact", "on both sides");
    let bundle = cosign.sign_blob(Rekor::V2, WHO, &artifact);
    let archive = stack.path("trust.tar");
    let export = |verb: &[&str]| {
        let mut command = Command::new(sigbox());
        command.arg("export-trust").args(verb);
        command
    };
    let exported = ok(export(&["--url", &stack.ready.url]).arg(&archive));
    assert!(exported.stderr.contains("until 20"), "{}", exported.stderr);
    // What was carried is never overwritten.
    refused(export(&["--url", &stack.ready.url]).arg(&archive));

    let root = stack.ready.trust_dir.join("root.json");
    let inside = stack.path("inside");
    let check = |archive: &Path, root: &Path| {
        let mut command = export(&["--verify", "--root"]);
        command.arg(root).arg("--into").arg(&inside).arg(archive);
        command
    };
    let trace = stack.path("checking");
    let listed = ok(&mut traced(&trace, &check(&archive, &root))).stdout;
    assert!(peers(&trace).is_empty());
    assert!(
        listed.contains("target trusted_root.json") && listed.contains("log "),
        "{listed}"
    );
    let mut verify = cosign.verify_blob(&bundle, WHO, &artifact);
    ok(verify.arg("--trusted-root").arg(inside.join("trusted_root.json")));

    // Unpacked it is a mirror, whose files are the served ones.
    let mirror = stack.path("mirror");
    std::fs::create_dir_all(&mirror).unwrap();
    ok(Command::new("tar")
        .arg("-xf")
        .arg(&archive)
        .arg("-C")
        .arg(&mirror));
    for file in ["1.root.json", "timestamp.json"] {
        let served = std::fs::read(stack.ready.data_dir.join("tuf").join(file)).unwrap();
        assert_eq!(std::fs::read(mirror.join(file)).unwrap(), served);
    }

    // A changed byte in any file, and another instance's root, are refused.
    let sound = std::fs::read(&archive).unwrap();
    for (n, marker) in ["\"tlogs\"", "\"timestamp.json\"", "\"snapshot.json\""]
        .iter()
        .enumerate()
    {
        let Some(at) = find(&sound, marker.as_bytes()) else {
            continue;
        };
        let mut changed = sound.clone();
        changed[at + 1] ^= 1;
        let changed = stack.file(&format!("changed-{n}.tar"), changed);
        refused(&mut check(&changed, &root));
    }
    assert!(find(&sound, b"\"tlogs\"").is_some() && find(&sound, b"\"snapshot.json\"").is_some());
    let other = Stack::ephemeral();
    let said = refused(&mut check(&archive, &other.ready.trust_dir.join("root.json"))).text();
    assert!(said.contains("does not verify"), "{said}");
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}
