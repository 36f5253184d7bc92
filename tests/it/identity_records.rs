//! What an instance keeps of identities beside its logs: refusals of the policy, and who is behind a pseudonym.

use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tests::clients::Cosign;
use tests::issuer::Issuer;
use tests::stack::Stack;
use tests::{Ran, ok, refused, run, sigbox};

use crate::identities::verify;

fn cli(args: &[&str]) -> Command {
    let mut command = Command::new(sigbox());
    command.args(args);
    command
}

fn sign(stack: &Stack, token: &str) -> Ran {
    let artifact = stack.file("artifact", "signed");
    let bundle = stack.path("bundle.json");
    run(cli(&[
        "sign",
        "--url",
        &stack.ready.url,
        "--identity-token",
        token,
        "--bundle",
    ])
    .arg(bundle)
    .arg(artifact))
}

/// The lines of `policy denials`, once there are so many: they are written a moment after the answer.
fn denials(stack: &Stack, args: &[&str], expected: usize) -> Vec<Value> {
    let began = Instant::now();
    loop {
        let mut command = cli(&["policy", "denials", "--json", "--data"]);
        let ran = ok(command.arg(&stack.ready.data_dir).args(args));
        let lines: Vec<Value> = ran
            .stdout
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        if lines.len() >= expected || began.elapsed() > Duration::from_secs(20) {
            assert_eq!(lines.len(), expected, "{}", ran.text());
            return lines;
        }
        std::thread::sleep(Duration::from_millis(200));
    }
}

#[test]
fn refusals_are_kept_and_quotas_count() {
    let issuer = Issuer::start();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("fulcio.json");
    let enforced = json!({"allow": [{"name": "ours", "claims": {"email": "*@acme.example"}}],
        "quotas": [{"per": "team", "certificates": 2, "every": "1h"}]});
    let dry = json!({"mode": "dry-run", "deny": [{"name": "left", "claims": {"email": "**"}}]});
    let text = json!({"oidc-issuers": {
        issuer.url("/people"): {"preset": "keycloak", "policy": enforced},
        issuer.url("/trial"): {"preset": "keycloak", "policy": dry},
    }});
    std::fs::write(&file, text.to_string()).unwrap();
    let mut stack = Stack::with_issuers(&file);
    assert!(
        !stack.ready.data_dir.join("records.db").exists(),
        "made although nothing is kept"
    );
    let token = |path: &str, email: &str| {
        issuer.token(
            path,
            &json!({"sub": "s-1", "email": email, "email_verified": true, "team": "red"}),
        )
    };

    let stranger = token("/people", "x@evil.example");
    let ran = sign(&stack, &stranger);
    assert_eq!(ran.code, Some(1), "{}", ran.text());
    assert!(
        ran.stderr.contains("got status 403") || ran.stderr.contains("403"),
        "{}",
        ran.text()
    );
    let kept = denials(&stack, &[], 1);
    assert_eq!(kept[0]["subject"], "x@evil.example");
    assert_eq!(kept[0]["issuer"], issuer.url("/people"));
    assert_eq!(
        (&kept[0]["rule"], &kept[0]["enforced"]),
        (&json!("ours"), &json!(true))
    );
    assert_eq!(kept[0]["token_subject"], "s-1");
    assert_eq!(
        kept[0]["reason"],
        "email: expected \"*@acme.example\", got \"x@evil.example\""
    );

    // The quota: two of the team, whoever asks; then 429 and when to come back.
    for email in ["a@acme.example", "b@acme.example"] {
        let ran = sign(&stack, &token("/people", email));
        assert_eq!(ran.code, Some(0), "{}", ran.text());
    }
    let ran = sign(&stack, &token("/people", "c@acme.example"));
    assert!(
        ran.stderr.contains("429") && ran.stderr.contains("expected at most 2 certificates in 3600 s"),
        "{}",
        ran.text()
    );

    // A dry run issues, and is kept as what it is.
    let ran = sign(&stack, &token("/trial", "y@evil.example"));
    assert_eq!(ran.code, Some(0), "{}", ran.text());
    assert_eq!(denials(&stack, &[], 3).len(), 3);
    assert_eq!(denials(&stack, &["--dry-run"], 1)[0]["subject"], "y@evil.example");
    assert_eq!(denials(&stack, &["--enforced"], 2).len(), 2);
    assert_eq!(
        denials(&stack, &["--rule", "quota per team"], 1)[0]["subject"],
        "c@acme.example"
    );
    assert_eq!(denials(&stack, &["--subject", "evil"], 2).len(), 2);
    assert_eq!(denials(&stack, &["--issuer", &issuer.url("/trial")], 1).len(), 1);
    assert_eq!(denials(&stack, &["--since", "1h", "--limit", "2"], 2).len(), 2);
    assert_eq!(denials(&stack, &["--subject", "nobody"], 0).len(), 0);
    let data = stack.ready.data_dir.to_str().unwrap().to_owned();
    let told = ok(&mut cli(&[
        "policy", "denials", "--data", &data, "--rule", "ours",
    ]));
    let expected = "refused: x@evil.example of";
    assert!(
        told.stdout.contains(expected) && told.stdout.contains("rule \"ours\": email: expected"),
        "{}",
        told.text()
    );
    for part in stranger.split('.').skip(1) {
        assert!(
            !format!("{kept:?}{}", stack.said()).contains(part),
            "a token was kept"
        );
    }
    assert_eq!(stack.interrupt(), Some(0), "{}", stack.said());
    // Somewhere else nothing is known, and a folder that is none is a mistake.
    assert_eq!(
        ok(&mut cli(&[
            "policy",
            "denials",
            "--data",
            folder.path().to_str().unwrap()
        ]))
        .stdout,
        ""
    );
    refused(&mut cli(&["policy", "denials", "--data", "/nonexistent"]));
}

#[test]
fn a_pseudonym_is_verified_looked_up_and_forgotten() {
    let issuer = Issuer::start();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("fulcio.json");
    let text = json!({"oidc-issuers": {issuer.url("/people"): {"preset": "keycloak", "privacy": {"pseudonym": true}}}});
    std::fs::write(&file, text.to_string()).unwrap();
    let stack = Stack::with_issuers(&file);
    let cosign = Cosign::initialize(&stack);
    let artifact = stack.file("artifact", "signed by somebody");
    let who = "alice@acme.example";
    let token = issuer.token(
        "/people",
        &json!({"sub": "s-1", "email": who, "email_verified": true}),
    );
    let explained = || {
        let ran = ok(&mut cli(&[
            "oidc",
            "explain",
            &token,
            "--url",
            &stack.ready.url,
            "--json",
        ]));
        let told: Value = serde_json::from_str(&ran.stdout).unwrap();
        told["certificate"]["subject_alternative_name"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    assert!(explained().contains("a new pseudonym"), "{}", explained());
    let signed = |name: &str| {
        let bundle = stack.path(name);
        let mut command = cosign.command();
        command.args(["sign-blob", "--yes", "--identity-token", &token, "--bundle"]);
        ok(command.arg(&bundle).arg(&artifact));
        bundle
    };
    let bundle = signed("one.json");
    let pseudonym = explained();
    assert!(pseudonym.starts_with("urn:uuid:"), "{pseudonym}");
    let from = issuer.url("/people");
    ok(&mut verify(&cosign, &bundle, &pseudonym, &from, &artifact));
    refused(&mut verify(&cosign, &bundle, who, &from, &artifact));
    // The address is nowhere in what is published.
    let text = std::fs::read_to_string(&bundle).unwrap();
    assert!(!text.contains(who), "{text}");
    let name = run(&mut cli(&[
        "log",
        "search",
        "--url",
        &stack.ready.url,
        "--email",
        who,
    ]));
    assert!(!name.stdout.contains("alice"), "{}", name.text());

    let data = stack.ready.data_dir.to_str().unwrap().to_owned();
    let identities = |args: &[&str]| {
        let mut command = cli(&["identities"]);
        command.args(args).args(["--data", &data, "--json"]);
        command
    };
    let shown: Value = serde_json::from_str(&ok(&mut identities(&["show", &pseudonym])).stdout).unwrap();
    assert_eq!((&shown["subject"], &shown["issuer"]), (&json!(who), &json!(from)));
    let found: Value = serde_json::from_str(&ok(&mut identities(&["find", who])).stdout).unwrap();
    assert_eq!(found["pseudonym"], pseudonym.as_str());
    refused(&mut identities(&["find", "bob@acme.example"]));
    refused(&mut identities(&[
        "find",
        who,
        "--issuer",
        "https://other.example",
    ]));

    // Forgotten while the server runs: the signature still verifies, nothing says whose it is, and the next certificate
    // has another pseudonym.
    ok(&mut identities(&["forget", &pseudonym]));
    refused(&mut identities(&["show", &pseudonym]));
    refused(&mut identities(&["forget", &pseudonym]));
    for file in ["records.db", "records.db-wal"] {
        let content = std::fs::read(stack.ready.data_dir.join(file)).unwrap_or_default();
        assert!(
            !content.windows(who.len()).any(|part| part == who.as_bytes()),
            "{file} still has the address"
        );
    }
    ok(&mut verify(&cosign, &bundle, &pseudonym, &from, &artifact));
    let second = signed("two.json");
    let other = explained();
    assert_ne!(other, pseudonym);
    ok(&mut verify(&cosign, &second, &other, &from, &artifact));
    refused(&mut verify(&cosign, &second, &pseudonym, &from, &artifact));
}
