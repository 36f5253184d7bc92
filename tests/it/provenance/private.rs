//! Provenance of an image at registries that want to know who asks.

use std::os::unix::fs::PermissionsExt as _;
use std::sync::{Arc, Mutex};

use tests::clients::Cosign;
use tests::http::{Request, Response, forward, serve, serve_at};

use super::*;
use crate::images::Registry;

const NAME: &str = "ann";
const PASSWORD: &str = "a password: with a colon";
const TOKEN: &str = "token-of-this-story";

fn basic() -> String {
    format!("Basic {}", BASE64_STANDARD.encode(format!("{NAME}:{PASSWORD}")))
}

/// The requests that something of the story's own was asked.
type Seen = Arc<Mutex<Vec<Request>>>;

/// A registry in front of another: it lets in whoever shows `wanted`, and keeps its blobs elsewhere.
fn guarded(behind: &str, wanted: String, challenge: String) -> (String, Seen) {
    let elsewhere = Seen::default();
    let (seen, address) = (Arc::clone(&elsewhere), behind.to_owned());
    let blobs = serve(move |request| {
        let answer = forward(&address, &request).unwrap();
        seen.lock().unwrap().push(request);
        answer
    });
    let address = behind.to_owned();
    let url = serve(move |request| {
        if request.header("authorization") != wanted {
            return Response::status(401).with("www-authenticate", &challenge);
        }
        if request.path.contains("/blobs/") {
            return Response::status(307).with("location", &format!("{blobs}{}", request.path));
        }
        forward(&address, &request).unwrap()
    });
    (url.replace("http://127.0.0.1", "localhost"), elsewhere)
}

/// A service that gives the token for the password, or for an identity token.
fn token_service() -> (String, Seen) {
    let asked = Seen::default();
    let seen = Arc::clone(&asked);
    let url = serve(move |request| {
        let is_known = request.header("authorization") == basic()
            || request.method == "POST"
                && String::from_utf8_lossy(&request.body).contains("refresh_token=identity-token");
        seen.lock().unwrap().push(request);
        if is_known {
            Response::json(
                200,
                &json!({ "token": TOKEN, "access_token": TOKEN, "expires_in": 60 }),
            )
        } else {
            Response::status(401)
        }
    });
    (format!("{url}/token?from=registry"), asked)
}

#[test]
fn an_image_is_verified_at_registries_that_want_credentials() {
    let ci = Ci::start();
    let stack = &ci.instance;
    let (registry, cosign) = (Registry::serve(), Cosign::initialize(stack));
    let image = registry.push(stack.work.path(), "app", "an image");
    let said = stack.file("predicate.json", predicate(BUILDER).to_string());
    let mut attest = cosign.command();
    attest.args(["attest", "--yes", "--identity-token", &ci.token(BUILDER)]);
    attest.args(["--type", "slsaprovenance02", "--predicate"]);
    ok(attest.arg(&said).arg(&image));
    let (behind, path) = image.split_once('/').unwrap();

    let home = stack.path("nobody");
    let ask = |host: &str, more: &[&str]| {
        let mut command = ci.asks("verify-image", SOURCE);
        command
            .arg(format!("{host}/{path}"))
            .args(["--source-tag", TAG])
            .args(more);
        command
            .env("DOCKER_CONFIG", &home)
            .env_remove("SIGBOX_REGISTRY_PASSWORD");
        command
    };
    let passes = |command: &mut Command| {
        let ran = run(command);
        assert_eq!(ran.code, Some(0), "{}\n{}", ran.line, ran.text());
        assert!(
            ran.stderr.contains("PASSED: SLSA verification passed"),
            "{}",
            ran.stderr
        );
    };
    let fails = |command: &mut Command, reason: &str| {
        let ran = run(command);
        assert_eq!(ran.code, Some(1), "{}\n{}", ran.line, ran.text());
        assert!(ran.stderr.contains(reason), "expected {reason:?}: {}", ran.stderr);
        assert!(
            !ran.text().contains(PASSWORD) && !ran.text().contains(TOKEN),
            "{}",
            ran.text()
        );
    };
    let by_name = ["--registry-username", NAME, "--registry-password", PASSWORD];

    // Basic.
    let (host, elsewhere) = guarded(behind, basic(), "Basic realm=\"registry\"".to_owned());
    passes(&mut ask(&host, &by_name));
    let mut from_environment = ask(&host, &["--registry-username", NAME]);
    passes(from_environment.env("SIGBOX_REGISTRY_PASSWORD", PASSWORD));
    fails(&mut ask(&host, &[]), "docker");
    let wrong = ["--registry-username", NAME, "--registry-password", "no"];
    fails(&mut ask(&host, &wrong), "does not take the password of \"ann\"");
    // What the blobs' host is shown is nothing.
    let blobs = elsewhere.lock().unwrap();
    assert!(
        !blobs.is_empty()
            && blobs
                .iter()
                .all(|request| request.header("authorization").is_empty())
    );
    drop(blobs);

    // As docker has it: by itself, by a helper of this host, by the store of all.
    let configured = |name: &str, config: &Value| {
        let folder = stack.path(name);
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("config.json"), config.to_string()).unwrap();
        folder
    };
    let with = |host: &str, folder: &Path| {
        let mut command = ask(host, &[]);
        let path = std::env::var("PATH").unwrap();
        command
            .env("DOCKER_CONFIG", folder)
            .env("PATH", format!("{}:{path}", stack.work.path().display()));
        command
    };
    let auth = BASE64_STANDARD.encode(format!("{NAME}:{PASSWORD}"));
    passes(&mut with(
        &host,
        &configured("auths", &json!({ "auths": { &host: { "auth": auth } } })),
    ));
    let other = configured("other", &json!({ "auths": { "localhost:1": { "auth": auth } } }));
    fails(&mut with(&host, &other), "no credentials for");
    let helper = |name: &str, answer: &Value| {
        let file = stack.file(
            &format!("docker-credential-{name}"),
            format!(
                "#!/bin/sh\nread -r server\n[ \"$1 $server\" = 'get {host}' ] || exit 1\necho '{answer}'\n"
            ),
        );
        std::fs::set_permissions(file, std::fs::Permissions::from_mode(0o755)).unwrap();
    };
    helper(
        "story",
        &json!({ "ServerURL": host, "Username": NAME, "Secret": PASSWORD }),
    );
    passes(&mut with(
        &host,
        &configured("helper", &json!({ "credHelpers": { &host: "story" } })),
    ));
    passes(&mut with(
        &host,
        &configured("store", &json!({ "credsStore": "story" })),
    ));
    let absent = configured("absent", &json!({ "credsStore": "nowhere-to-be-found" }));
    fails(&mut with(&host, &absent), "docker-credential-nowhere-to-be-found");

    // A token service, asked for this repository and for reading alone, whatever the registry proposes.
    let (realm, asked) = token_service();
    let challenge = |realm: &str| {
        format!(
            "Bearer realm=\"{realm}\",service=\"registry.test\",scope=\"repository:app:pull,push,delete\""
        )
    };
    let (host, _) = guarded(behind, format!("Bearer {TOKEN}"), challenge(&realm));
    passes(&mut ask(&host, &by_name));
    let requests = std::mem::take(&mut *asked.lock().unwrap());
    assert_eq!(requests.len(), 1, "one token serves all requests");
    assert_eq!(
        requests[0].path,
        "/token?from=registry&service=registry.test&scope=repository%3Aapp%3Apull"
    );
    let identity = json!({ "auths": { &host: { "identitytoken": "identity-token" } } });
    passes(&mut with(&host, &configured("identity", &identity)));
    assert_eq!(asked.lock().unwrap()[0].method, "POST");
    passes(&mut ask(&host, &["--registry-token", TOKEN]));
    fails(&mut ask(&host, &[]), "no credentials for");
    fails(&mut ask(&host, &wrong), "do not suffice");

    // Realms of others: no password goes there, and over plain HTTP nothing does.
    let stolen = Seen::default();
    let seen = Arc::clone(&stolen);
    let thief = serve_at("127.0.0.2", move |request| {
        seen.lock().unwrap().push(request);
        Response::json(200, &json!({ "token": TOKEN }))
    });
    for realm in [
        thief.as_str(),
        "http://registry.example/token",
        "ftp://localhost/",
        "token",
    ] {
        let (host, _) = guarded(behind, format!("Bearer {TOKEN}"), challenge(realm));
        fails(&mut ask(&host, &by_name), "sends its clients for tokens to");
    }
    assert!(stolen.lock().unwrap().is_empty());
}
