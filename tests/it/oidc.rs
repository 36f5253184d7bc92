//! Tokens looked at without using them: `oidc explain` and `policy test`, by files and by a running instance.

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};
use tests::issuer::Issuer;
use tests::stack::Stack;
use tests::{Ran, ok, refused, run, sigbox};

/// An issuer of e-mail addresses with a policy, and GitHub's.
fn configuration(issuer: &Issuer) -> String {
    let policy = json!({"allow": [{"name": "ours", "claims": {"email": "*@acme.example"}}]});
    json!({"oidc-issuers": {
        issuer.url("/people"): {"preset": "keycloak", "policy": policy},
        issuer.url("/github"): {"preset": "github", "issuer-url": issuer.url("/github")},
    }})
    .to_string()
}

fn explain(args: &[&str]) -> Command {
    let mut command = Command::new(sigbox());
    command.args(["oidc", "explain"]).args(args);
    command
}

#[track_caller]
fn no_token_in(text: &str, token: &str) {
    for part in token.split('.').skip(1) {
        assert!(!text.contains(part), "a token came back in {text}");
    }
}

fn parsed(ran: &Ran) -> Value {
    serde_json::from_str(&ran.stdout).unwrap_or_else(|error| panic!("{error}: {}", ran.text()))
}

/// How a check ended.
fn outcome(explanation: &Value, name: &str) -> String {
    let checks = explanation["checks"].as_array().unwrap();
    let check = checks.iter().find(|check| check["name"] == name).unwrap();
    format!(
        "{} {}",
        check["outcome"].as_str().unwrap(),
        check["detail"].as_str().unwrap()
    )
}

#[test]
fn a_token_is_explained_by_files_and_by_a_running_instance() {
    let issuer = Issuer::start();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("fulcio.json");
    std::fs::write(&file, configuration(&issuer)).unwrap();
    let stack = Stack::with_issuers(&file);
    let (url, data) = (
        stack.ready.url.as_str(),
        stack.ready.data_dir.to_str().unwrap().to_owned(),
    );
    let config = file.to_str().unwrap();
    let serve = folder.path().join("serve.toml");
    let text = format!(
        "url = 'http://localhost:1'\ndata = 'd'\nfulcio-config = '{config}'\n[[listen]]\naddress = 'localhost:1'"
    );
    std::fs::write(&serve, text).unwrap();
    let serve = serve.to_str().unwrap();
    let sources = [
        ["--url", url],
        ["--data", &data],
        ["--fulcio-config", config],
        ["--config", serve],
    ];

    let person = json!({"sub": "1", "email": "dev@acme.example", "email_verified": true});
    let good = issuer.token("/people", &person);
    for source in sources {
        let ran = ok(&mut explain(&[&good, source[0], source[1]]));
        for part in [
            "✓ signature  by key \"k1\" of the issuer",
            "✓ policy     allowed by rule \"ours\"",
            "would name dev@acme.example",
            "1.3.6.1.4.1.57264.1.24",
            "for who signs \"dev@acme.example\"",
        ] {
            assert!(
                ran.stdout.contains(part),
                "{source:?}: expected {part:?} in\n{}",
                ran.text()
            );
        }
        no_token_in(&ran.text(), &good);
    }
    // From a file, from standard input, from the environment.
    let kept = stack.file("token", format!("{good}\n"));
    ok(explain(&[kept.to_str().unwrap(), "--url", url]).env_remove("SIGSTORE_ID_TOKEN"));
    ok(explain(&["--url", url]).env("SIGSTORE_ID_TOKEN", &good));
    let piped = format!(
        "'{}' oidc explain - --url {url} < '{}'",
        sigbox().display(),
        kept.display()
    );
    ok(Command::new("sh").args(["-c", &piped]));
    assert_eq!(
        run(explain(&["--url", url]).env_remove("SIGSTORE_ID_TOKEN")).code,
        Some(2)
    );

    // The certificate there would be is the one there is.
    let told = parsed(&ok(&mut explain(&[&good, "--url", url, "--json"])));
    let bundle = stack.path("bundle.json");
    let artifact = stack.file("artifact", "signed");
    ok(Command::new(sigbox())
        .args(["sign", "--url", url, "--identity-token", &good, "--bundle"])
        .arg(&bundle)
        .arg(&artifact));
    let name = told["certificate"]["subject_alternative_name"].as_str().unwrap();
    assert!(issued_name(&bundle).contains(&format!("email:{name}")));

    // A stranger with somebody's old token learns nothing of the rules; the operator does.
    let expired = issuer.token(
        "/people",
        &json!({"email": "x@evil.example", "email_verified": true, "exp": 1_700_000_000}),
    );
    for (source, told_all) in sources.into_iter().zip([false, true, true, true]) {
        let ran = refused(&mut explain(&[&expired, source[0], source[1], "--json"]));
        let told = parsed(&ran);
        assert!(
            outcome(&told, "time").starts_with("failed exp: expected a time after"),
            "{told}"
        );
        assert_eq!(told["certificate"].is_object(), told_all, "{source:?}: {told}");
        assert_eq!(
            told.to_string().contains("rule \\\"ours\\\""),
            told_all,
            "{source:?}: {told}"
        );
    }
    // A slash too many.
    let near = issuer.token("/people", &json!({"iss": issuer.url("/people/")}));
    let ran = refused(&mut explain(&[&near, "--url", url]));
    assert!(
        ran.stdout.contains("it has no slash at its end"),
        "{}",
        ran.text()
    );
    // What a refused issuance says names the claim too.
    let other = issuer.token(
        "/people",
        &json!({"email": "x@evil.example", "email_verified": true}),
    );
    let ran = refused(
        Command::new(sigbox())
            .args(["sign", "--url", url, "--identity-token", &other])
            .arg(&artifact),
    );
    assert!(
        ran.stderr
            .contains("email: expected \"*@acme.example\", got \"x@evil.example\""),
        "{}",
        ran.text()
    );
    for token in [&good, &expired, &near, &other] {
        no_token_in(&stack.said(), token);
    }
}

/// The subject alternative name of a bundle's certificate, as openssl reads it.
fn issued_name(bundle: &Path) -> String {
    let text: Value = serde_json::from_slice(&std::fs::read(bundle).unwrap()).unwrap();
    let der = text["verificationMaterial"]["certificate"]["rawBytes"]
        .as_str()
        .unwrap();
    let pem = bundle.with_extension("pem");
    std::fs::write(
        &pem,
        format!("-----BEGIN CERTIFICATE-----\n{der}\n-----END CERTIFICATE-----\n"),
    )
    .unwrap();
    let mut command = Command::new("openssl");
    let shown = ok(command
        .args(["x509", "-noout", "-ext", "subjectAltName", "-in"])
        .arg(pem));
    shown.stdout
}

#[test]
fn a_policy_is_tried_out_on_recorded_tokens() {
    let issuer = Issuer::start();
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: String| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let config = write("fulcio.json", configuration(&issuer));
    let token = issuer.token("/people", &json!({"email": "x@evil.example"}));
    write("evil.jwt", token.clone());
    let claims = |email: &str| json!({"iss": issuer.url("/people"), "email": email, "email_verified": true});
    let ours = claims("dev@acme.example");
    let cases = |expect: &str| {
        json!({"cases": [
            {"name": "one of us", "claims": ours, "expect": "allow", "rule": "ours"},
            {"name": "a stranger", "token-file": "evil.jwt", "expect": expect},
        ]})
    };
    let test = |files: &[&str]| {
        let mut command = Command::new(sigbox());
        command
            .args(["policy", "test", "--fulcio-config", &config])
            .args(files);
        command
    };
    let good = write("cases.json", cases("deny").to_string());
    let ran = ok(&mut test(&[&good]));
    let expected = "✓ allow     one of us: rule \"ours\"\n\
        ✓ deny      a stranger: rule \"ours\"; email: expected \"*@acme.example\", got \"x@evil.example\"\n";
    assert_eq!(ran.stdout, expected);
    let bad = write("bad.json", cases("allow").to_string());
    let ran = run(&mut test(&[&bad]));
    assert_eq!(ran.code, Some(1), "{}", ran.text());
    assert!(
        ran.stdout.contains("✗ deny      a stranger") && ran.stdout.contains("expected allow"),
        "{}",
        ran.text()
    );
    // A token, and claims, by themselves: told, and nothing expected.
    let alone = write("claims.json", ours.to_string());
    let jwt = folder.path().join("evil.jwt");
    let ran = ok(test(&[&alone, "--json"]).arg(&jwt));
    let told = parsed(&ran);
    assert_eq!(
        (&told[0]["verdict"], &told[1]["verdict"]),
        (&json!("allow"), &json!("deny")),
        "{told}"
    );
    no_token_in(&ran.text(), &token);
    // A policy with a slip is no policy.
    let slip = write(
        "slip.json",
        json!({"oidc-issuers": {issuer.url("/p"): {"preset": "keycloak", "policy": {"alow": []}}}})
            .to_string(),
    );
    let mut command = Command::new(sigbox());
    let ran = refused(command.args(["policy", "test", "--fulcio-config", &slip, &alone]));
    assert!(
        ran.stderr.contains("expected one of mode, allow, deny"),
        "{}",
        ran.text()
    );
}
