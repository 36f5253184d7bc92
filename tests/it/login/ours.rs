//! The same ways in, with our own client.

use tests::clients::Sigbox;
use tests::{on_a_terminal, run};

use super::*;

/// `sigbox sign` without a token: the command, and where its bundle will be.
fn sign(stack: &Stack, more: &[&str]) -> (Command, PathBuf, PathBuf) {
    let (artifact, bundle) = (stack.file("artifact", "mine"), stack.path("bundle.json"));
    let mut sign = Sigbox::new(stack).command("sign");
    sign.args(more).arg("--bundle").arg(&bundle).arg(&artifact);
    (sign, bundle, artifact)
}

#[track_caller]
fn is_hers(stack: &Stack, bundle: &Path, artifact: &Path) {
    let sigbox = Sigbox::new(stack);
    ok(&mut sigbox.verify(bundle, WHO, artifact));
    refused(&mut sigbox.verify(bundle, "dev@example.com", artifact));
}

#[test]
fn sigbox_opens_a_browser() {
    let stack = Stack::ephemeral();
    let person = Person::at(&stack);
    let (mut sign, bundle, artifact) = sign(&stack, &["--fulcio-auth-flow", "normal"]);
    person.sits_before(&mut sign);
    ok(&mut sign);
    let seen = person.saw();
    assert!(
        seen.text.contains("Signed in") && seen.url.contains("/auth/callback?code="),
        "{seen:?}"
    );
    is_hers(&stack, &bundle, &artifact);
}

/// Somebody at a terminal needs to say nothing.
#[test]
fn sigbox_on_a_terminal_opens_a_browser_by_itself() {
    let stack = Stack::ephemeral();
    let person = Person::at(&stack);
    let (inner, bundle, artifact) = sign(&stack, &[]);
    let mut terminal = on_a_terminal(&inner);
    terminal
        .env_remove("SIGSTORE_ID_TOKEN")
        .current_dir(stack.work.path());
    person.sits_before(&mut terminal);
    ok(&mut terminal);
    assert!(person.saw().text.contains("Signed in"));
    is_hers(&stack, &bundle, &artifact);
}

#[test]
fn sigbox_names_a_page_for_another_device() {
    let stack = Stack::ephemeral();
    let person = Person::at(&stack);
    let (mut sign, bundle, artifact) = sign(&stack, &["--fulcio-auth-flow", "device"]);
    let mut client = sign.stdin(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut said = BufReader::new(client.stderr.take().unwrap());
    let line = line_with(&stack.ready.issuer, &mut said);
    let seen = person.opens(address(&line));
    assert!(seen.title.starts_with("Done"), "{seen:?}");
    said.read_to_string(&mut String::new()).unwrap();
    ended_well(client);
    is_hers(&stack, &bundle, &artifact);
}

#[test]
fn sigbox_takes_the_code_by_hand() {
    let stack = Stack::ephemeral();
    let person = Person::at(&stack);
    let (mut sign, bundle, artifact) = sign(&stack, &["--oauth-force-oob"]);
    sign.stdin(Stdio::piped()).stderr(Stdio::piped());
    let mut client = sign.spawn().unwrap();
    let mut said = BufReader::new(client.stderr.take().unwrap());
    let line = line_with(&stack.ready.issuer, &mut said);
    let seen = person.opens(address(&line));
    let code = shown_code(&seen);
    writeln!(client.stdin.take().unwrap(), "{code}").unwrap();
    said.read_to_string(&mut String::new()).unwrap();
    ended_well(client);
    is_hers(&stack, &bundle, &artifact);
}

/// Nobody is there, so nobody is asked.
#[test]
fn sigbox_without_a_terminal_says_how_to_sign_in() {
    let stack = Stack::ephemeral();
    let (mut unattended, bundle, _) = sign(&stack, &[]);
    let ran = run(&mut unattended);
    assert_eq!(ran.code, Some(1), "{}", ran.text());
    assert!(ran.stderr.contains("--fulcio-auth-flow"), "{}", ran.stderr);
    assert!(!bundle.exists());
    let (mut wrong, ..) = sign(
        &stack,
        &["--fulcio-auth-flow", "device", "--oidc-issuer", &stack.ready.url],
    );
    let ran = run(&mut wrong);
    assert_eq!(ran.code, Some(1), "{}", ran.text());
    assert!(ran.stderr.contains("signing in at"), "{}", ran.stderr);
}
