//! `openssl ts` as an independent client: it asks, and it verifies.

use std::path::Path;
use std::process::Command;

use super::*;

fn openssl(dir: &Path, args: &[&str]) -> Result<String, String> {
    let output = Command::new("openssl")
        .args(args)
        .current_dir(dir)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    if output.status.success() {
        Ok(text)
    } else {
        Err(text)
    }
}

#[tokio::test]
async fn openssl_asks_and_verifies() {
    let server = Server::start();
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    std::fs::write(dir.join("message"), MESSAGE).unwrap();
    std::fs::write(dir.join("other"), b"another message").unwrap();
    std::fs::write(dir.join("root.pem"), server.chain[2].to_pem()).unwrap();
    let chain = server
        .send(
            Request::get("/api/v1/timestamp/certchain")
                .body(Body::empty())
                .unwrap(),
        )
        .await;
    std::fs::write(dir.join("chain.pem"), chain.body).unwrap();
    let now = NOW.to_string();

    for (hash, certificates) in [
        ("-sha256", false),
        ("-sha256", true),
        ("-sha384", false),
        ("-sha512", true),
    ] {
        let mut query = vec!["ts", "-query", "-data", "message", hash, "-out", "query.tsq"];
        query.extend(certificates.then_some("-cert"));
        openssl(dir, &query).unwrap();
        let answer = server
            .post(QUERY, std::fs::read(dir.join("query.tsq")).unwrap())
            .await;
        assert_eq!(answer.status, StatusCode::OK);
        std::fs::write(dir.join("reply.tsr"), &answer.body).unwrap();

        let verify = |subject: &[&str]| {
            let mut args = vec!["ts", "-verify", "-in", "reply.tsr", "-CAfile", "root.pem"];
            args.extend(["-untrusted", "chain.pem", "-attime", &now]);
            args.extend(subject);
            openssl(dir, &args)
        };
        // The query includes hash, nonce and policy.
        let outcome = verify(&["-queryfile", "query.tsq"]);
        assert!(
            outcome
                .as_ref()
                .is_ok_and(|text| text.contains("Verification: OK")),
            "{hash}: {outcome:?}"
        );
        assert!(verify(&["-data", "message"]).is_ok(), "{hash}");
        assert!(verify(&["-data", "other"]).is_err(), "{hash}");

        let text = openssl(dir, &["ts", "-reply", "-in", "reply.tsr", "-text"]).unwrap();
        for line in [
            "Status: Granted.",
            "Accuracy: 0x01 seconds",
            "Ordering: no",
            "TSA: DirName:/O=sigbox/CN=tsa",
        ] {
            assert!(text.contains(line), "{line} is missing in {text}");
        }
    }
}
