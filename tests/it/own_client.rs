//! Our own client beside the official ones: each verifies what the other signed, and ours says why it refuses.

use std::io::{Read as _, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;
use tests::clients::{Cosign, Python, Rekor, Sigbox};
use tests::stack::Stack;
use tests::{Ran, ok, on_a_terminal, openssl_key_pair, run};

const WHO: &str = "dev@example.com";

/// `sigbox VERB --url INSTANCE`.
fn client(stack: &Stack, verb: &str) -> Command {
    Sigbox::new(stack).command(verb)
}

/// `sigbox verify`, with the trust that the instance serves.
fn verify(stack: &Stack, bundle: &Path, who: &str, artifact: &Path) -> Command {
    let sigbox = Sigbox::new(stack);
    let mut command = sigbox.command("verify");
    sigbox.expecting(&mut command, bundle, who);
    command.arg(artifact);
    command
}

fn version(rekor: Rekor) -> &'static str {
    if rekor == Rekor::V1 { "1" } else { "2" }
}

#[track_caller]
fn code(ran: &Ran, expected: i32) {
    assert_eq!(ran.code, Some(expected), "{}\n{}", ran.line, ran.text());
}

#[test]
fn our_bundles_verify_with_the_official_clients_and_theirs_with_ours() {
    let stack = Stack::ephemeral();
    let (cosign, python) = (Cosign::initialize(&stack), Python::trust_instance(&stack));
    let predicate = stack.file(
        "predicate.json",
        r#"{"buildDefinition":{"buildType":"https://example.com/b","externalParameters":{},"internalParameters":{},"resolvedDependencies":[]},"runDetails":{"builder":{"id":"https://example.com/builder"},"metadata":{"invocationId":"1"}}}"#,
    );
    for rekor in Rekor::BOTH {
        let artifact = stack.file(&format!("artifact.{}", rekor.name()), rekor.name());
        let token = stack.token(WHO);
        // Beside the artifact, where `verify` looks for it.
        ok(client(&stack, "sign")
            .args(["--identity-token", &token, "--rekor-version", version(rekor)])
            .arg(&artifact));
        let ours = artifact.with_extension(format!("{}.sigstore.json", rekor.name()));
        ok(&mut cosign.verify_blob(&ours, WHO, &artifact));
        ok(&mut python.verify(&ours, WHO, &artifact));
        for bundle in [
            &ours,
            &cosign.sign_blob(rekor, WHO, &artifact),
            &python.sign(rekor, WHO, &artifact),
        ] {
            ok(&mut verify(&stack, bundle, WHO, &artifact));
        }
        let attested = stack.path(&format!("attested.{}.json", rekor.name()));
        ok(client(&stack, "attest")
            .args(["--rekor-version", version(rekor), "--type", "slsaprovenance1"])
            .env("SIGSTORE_ID_TOKEN", &token)
            .arg("--predicate")
            .arg(&predicate)
            .arg("--bundle")
            .arg(&attested)
            .arg(&artifact));
        ok(&mut cosign.verify_attestation(&attested, WHO, &artifact));
        ok(&mut python.verify(&attested, WHO, &artifact));
        ok(verify(&stack, &attested, WHO, &artifact).args(["--type", "slsaprovenance1"]));
        code(
            &run(verify(&stack, &attested, WHO, &artifact).args(["--type", "spdx"])),
            12,
        );
        ok(&mut verify(
            &stack,
            &python.attest(rekor, WHO, &artifact, &predicate),
            WHO,
            &artifact,
        ));
    }
}

#[test]
fn a_refusal_of_ours_has_its_own_exit_code_and_says_what_it_expected() {
    let stack = Stack::ephemeral();
    let artifact = stack.file("artifact", "signed");
    let other = stack.file("other", "not signed");
    ok(client(&stack, "sign")
        .args(["--identity-token", &stack.token(WHO)])
        .arg(&artifact));
    let bundle = stack.path("artifact.sigstore.json");

    let good = ok(verify(&stack, &bundle, WHO, &artifact).args(["--json", "--explain"]));
    let verdict: Value = serde_json::from_str(&good.stdout).unwrap();
    assert_eq!(verdict["verified"], true);
    let checks: Vec<&str> = verdict["checks"]
        .as_array()
        .unwrap()
        .iter()
        .map(|c| c["check"].as_str().unwrap())
        .collect();
    for check in [
        "entry-body",
        "inclusion",
        "timestamp",
        "certificate-chain",
        "certificate-timestamp",
        "identity",
        "signature",
    ] {
        assert!(checks.contains(&check), "{check}: {checks:?}");
        assert!(good.stderr.contains(check), "{}", good.stderr);
    }

    let stranger = run(verify(&stack, &bundle, "other@example.com", &artifact).arg("--json"));
    code(&stranger, 11);
    let verdict: Value = serde_json::from_str(&stranger.stdout).unwrap();
    assert_eq!(
        (&verdict["verified"], &verdict["refused"]["check"]),
        (&false.into(), &"identity".into())
    );
    assert!(
        stranger.stderr.contains("other@example.com") && stranger.stderr.contains(WHO),
        "{}",
        stranger.stderr
    );
    code(&run(&mut verify(&stack, &bundle, WHO, &other)), 12);
    // Whatever the verdict, also where there is nothing to read.
    let missing = run(verify(&stack, &stack.path("missing.json"), WHO, &artifact).arg("--json"));
    code(&missing, 1);
    let verdict: Value = serde_json::from_str(&missing.stdout).unwrap();
    assert_eq!(
        (&verdict["verified"], &verdict["refused"]["check"]),
        (&false.into(), &"bundle".into())
    );

    let matching = |subject: &str| {
        let mut command = client(&stack, "verify");
        command.args([
            "--certificate-identity-regexp",
            subject,
            "--certificate-oidc-issuer-regexp",
            "^http://",
        ]);
        command.arg(&artifact);
        command
    };
    ok(&mut matching("^dev@"));
    code(&run(&mut matching("^prod@")), 11);

    code(
        &run(verify(&stack, &bundle, WHO, &artifact).args(["--require", "tsa=2"])),
        10,
    );
    code(
        &run(verify(&stack, &bundle, WHO, &artifact).args(["--require", "tlog=2"])),
        13,
    );
    code(
        &run(verify(&stack, &bundle, WHO, &artifact).args(["--require", "witness=1"])),
        2,
    );
    let sigbox = Sigbox::new(&stack);
    let mut public = sigbox.bare("verify");
    sigbox.expecting(&mut public, &bundle, WHO);
    public.arg("--public-good").arg(&artifact);
    code(&run(&mut public), 13);
    let mut cut: Value = serde_json::from_slice(&std::fs::read(&bundle).unwrap()).unwrap();
    cut["messageSignature"]["signature"] = "AAAA".into();
    let damaged = stack.file("damaged.json", cut.to_string());
    code(&run(&mut verify(&stack, &damaged, WHO, &artifact)), 10);
}

#[test]
fn a_managed_key_signs_blobs_and_statements_of_every_bundle_version() {
    let stack = Stack::ephemeral();
    let (key, public) = (stack.path("key.pem"), stack.path("key.pub"));
    openssl_key_pair(&key, &public);
    let artifact = stack.file("artifact", "by key");
    let cosign = Cosign::initialize(&stack);
    for (rekor, format) in [("1", "0.1"), ("1", "0.2"), ("1", "0.3"), ("2", "0.3")] {
        let bundle = stack.path(&format!("{rekor}.{format}.json"));
        ok(client(&stack, "sign")
            .arg("--key")
            .arg(&key)
            .args(["--rekor-version", rekor, "--bundle-version", format, "--bundle"])
            .arg(&bundle)
            .arg(&artifact));
        let by_key = |file: &Path| {
            let mut command = client(&stack, "verify");
            command
                .arg("--bundle")
                .arg(&bundle)
                .arg("--key")
                .arg(&public)
                .arg(file);
            command
        };
        ok(&mut by_key(&artifact));
        code(&run(&mut by_key(&stack.file("other", "other"))), 12);
        // A key has no certificate that a log could have promised to include.
        ok(by_key(&artifact).args(["--require", "tlog=1,sct=0"]));
        code(&run(by_key(&artifact).args(["--require", "sct=1"])), 10);
        if format == "0.3" {
            ok(cosign
                .command()
                .arg("verify-blob")
                .arg("--bundle")
                .arg(&bundle)
                .arg("--key")
                .arg(&public)
                .arg(&artifact));
        }
    }
    let refused = run(client(&stack, "sign")
        .arg("--key")
        .arg(&key)
        .args(["--rekor-version", "2", "--bundle-version", "0.1"])
        .arg(&artifact));
    code(&refused, 1);
    assert!(refused.stderr.contains("version 0.1"), "{}", refused.stderr);
}

/// cosign's key pairs, and what OpenSSL encrypts.
#[test]
fn an_encrypted_key_signs_with_its_password_and_not_without() {
    const PASSWORD: &str = "correct horse";
    let stack = Stack::ephemeral();
    let cosign = Cosign::initialize(&stack);
    ok(cosign
        .command()
        .arg("generate-key-pair")
        .env("COSIGN_PASSWORD", PASSWORD));
    let (plain, public, pkcs8) = (
        stack.path("plain.pem"),
        stack.path("pkcs8.pub"),
        stack.path("pkcs8.pem"),
    );
    openssl_key_pair(&plain, &public);
    let pass = format!("pass:{PASSWORD}");
    ok(Command::new("openssl")
        .args(["pkcs8", "-topk8", "-v2", "aes256", "-passout", &pass, "-in"])
        .arg(&plain)
        .arg("-out")
        .arg(&pkcs8));
    for (key, public) in [
        (stack.path("cosign.key"), stack.path("cosign.pub")),
        (pkcs8, public),
    ] {
        let artifact = stack.file("artifact", "by key");
        let bundle = stack.path("bundle.json");
        let sign = || {
            let mut sign = client(&stack, "sign");
            sign.arg("--key")
                .arg(&key)
                .arg("--bundle")
                .arg(&bundle)
                .arg(&artifact);
            sign
        };
        ok(sign().env("COSIGN_PASSWORD", PASSWORD));
        ok(cosign
            .command()
            .arg("verify-blob")
            .arg("--key")
            .arg(&public)
            .arg("--bundle")
            .arg(&bundle)
            .arg(&artifact));
        std::fs::remove_file(&bundle).unwrap();
        let wrong = run(sign().env("COSIGN_PASSWORD", "wrong"));
        code(&wrong, 1);
        assert!(wrong.stderr.contains("wrong passphrase"), "{}", wrong.stderr);
        assert!(!wrong.stderr.contains(PASSWORD) && !bundle.exists());

        let (ended, shown) = asked_on_a_terminal(&sign(), "Password of", &[PASSWORD]);
        assert!(ended && bundle.exists(), "{shown}");
        assert!(!shown.contains(PASSWORD), "{shown}");
    }
}

/// Runs a command on a terminal, types a line each time it is asked for; whether all went well, and what the terminal showed.
pub(crate) fn asked_on_a_terminal(command: &Command, question: &str, answers: &[&str]) -> (bool, String) {
    let mut terminal = on_a_terminal(command)
        .env_remove("COSIGN_PASSWORD")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let (mut keyboard, mut screen) = (terminal.stdin.take().unwrap(), terminal.stdout.take().unwrap());
    let mut shown = Vec::new();
    let mut piece = [0; 256];
    let mut asked = 0;
    loop {
        let read = screen.read(&mut piece).unwrap();
        if read == 0 {
            break;
        }
        shown.extend_from_slice(&piece[..read]);
        let questions = String::from_utf8_lossy(&shown).matches(question).count();
        if let Some(answer) = answers.get(asked).filter(|_| questions > asked) {
            asked += 1;
            // It asks first and stops showing what is typed then; nobody is as fast.
            std::thread::sleep(std::time::Duration::from_millis(500));
            writeln!(keyboard, "{answer}").unwrap();
        }
    }
    let ended = terminal.wait().unwrap().success();
    (
        asked == answers.len() && ended,
        String::from_utf8_lossy(&shown).into_owned(),
    )
}

#[test]
fn without_an_identity_signing_says_how_to_have_one() {
    let stack = Stack::ephemeral();
    let artifact = stack.file("artifact", "x");
    let ran = run(client(&stack, "sign").arg(&artifact));
    code(&ran, 1);
    assert!(
        ran.stderr.contains("SIGSTORE_ID_TOKEN") && ran.stderr.contains("--key"),
        "{}",
        ran.stderr
    );
}
