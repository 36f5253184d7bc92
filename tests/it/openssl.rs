//! `openssl ts` accepts our timestamps.

use std::process::Command;

use tests::ok;
use tests::refused;
use tests::stack::Stack;

fn openssl(stack: &Stack, args: &[&str]) -> Command {
    let mut command = Command::new("openssl");
    command.args(args).current_dir(stack.work.path());
    command
}

#[tokio::test]
async fn timestamps_verify_with_and_without_embedded_certificates() {
    let stack = Stack::ephemeral();
    stack.file("data", "what was there at that time");
    stack.file("other", "what was not");
    let chain = stack
        .http
        .get(stack.url("/api/v1/timestamp/certchain"))
        .send()
        .await
        .unwrap()
        .text()
        .await
        .unwrap();
    let root = chain
        .rfind("-----BEGIN CERTIFICATE-----")
        .map(|at| &chain[at..])
        .unwrap();
    stack.file("chain.pem", &chain);
    stack.file("root.pem", root);

    for (query, extra) in [("bare", None), ("embedded", Some("-cert"))] {
        let (tsq, tsr) = (format!("{query}.tsq"), format!("{query}.tsr"));
        let mut command = openssl(
            &stack,
            &["ts", "-query", "-data", "data", "-sha256", "-out", &tsq],
        );
        command.args(extra);
        ok(&mut command);
        let answer = stack
            .http
            .post(stack.url("/api/v1/timestamp"))
            .header("content-type", "application/timestamp-query")
            .body(std::fs::read(stack.path(&tsq)).unwrap())
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.headers()["content-type"], "application/timestamp-reply");
        stack.file(&tsr, answer.bytes().await.unwrap());
        let trust = ["-CAfile", "root.pem", "-untrusted", "chain.pem"];
        ok(openssl(&stack, &["ts", "-verify", "-queryfile", &tsq, "-in", &tsr]).args(trust));
        ok(openssl(&stack, &["ts", "-verify", "-data", "data", "-in", &tsr]).args(trust));
        refused(openssl(&stack, &["ts", "-verify", "-data", "other", "-in", &tsr]).args(trust));
    }
}
