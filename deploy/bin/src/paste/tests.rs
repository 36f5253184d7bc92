#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use clap::ValueEnum;

use super::*;

fn instance(url: &str) -> Instance {
    Instance {
        url: url.to_owned(),
        tls_url: "https://localhost:3443".to_owned(),
        root_sha256: "ab".repeat(32),
        sigbox: "sigbox".to_owned(),
        issuer: None,
        elsewhere: Elsewhere::default(),
    }
}

/// What a shell makes of the lines, without running them.
fn accepted_by_shell(lines: &[String]) -> bool {
    let script = lines.join("\n");
    std::process::Command::new("sh")
        .args(["-n", "-c", &script])
        .status()
        .unwrap()
        .success()
}

#[test]
fn every_client_has_lines_a_shell_accepts() {
    for client in Client::value_variants() {
        let lines = instance("http://localhost:3100").lines(*client);
        assert!(accepted_by_shell(&lines), "{lines:#?}");
        assert!(
            lines.iter().all(|line| !line.contains('\n')),
            "one command a line: {lines:#?}"
        );
        assert!(
            lines.iter().any(|line| line.contains("http://localhost:3100")),
            "{lines:#?}"
        );
    }
}

#[test]
fn the_token_command_names_the_instance_unless_it_is_the_default() {
    let signing = |url: &str| {
        instance(url)
            .lines(Client::Cosign)
            .into_iter()
            .find(|l| l.contains("sign-blob"))
            .unwrap()
    };
    assert!(signing(DEFAULT_URL).contains("\"$(sigbox token)\""));
    assert!(signing("http://localhost:4000").contains("\"$(sigbox token --url http://localhost:4000)\""));
}

#[test]
fn where_another_issuer_gives_tokens_they_are_taken_from_the_environment() {
    let served = Instance {
        issuer: Some("https://login.example".to_owned()),
        ..instance("https://sigstore.example")
    };
    for client in Client::value_variants() {
        let lines = served.lines(*client);
        assert!(accepted_by_shell(&lines), "{lines:#?}");
        let text = lines.join("\n");
        for absent in ["sigbox token", "/oidc", "tls-ca.pem", "trustStore"] {
            assert!(!text.contains(absent), "{absent} in {text}");
        }
        if text.contains("SIGSTORE_ID_TOKEN\"") {
            assert!(
                lines[0].contains("a token of https://login.example"),
                "{lines:#?}"
            );
            // Without a token the shell stops there.
            let stopped = std::process::Command::new("sh")
                .args(["-c", &lines[0]])
                .env_remove("SIGSTORE_ID_TOKEN")
                .output();
            let said = String::from_utf8(stopped.unwrap().stderr).unwrap();
            assert!(
                said.contains("expected a token of https://login.example"),
                "{said}"
            );
        }
    }
}

#[test]
fn words_are_quoted_for_the_shell() {
    assert_eq!(quoted("/opt/sigbox-1.0/sigbox"), "/opt/sigbox-1.0/sigbox");
    for text in ["", "a b", "it's", "$(reboot)", "a;b", "ü", "*"] {
        let echoed = std::process::Command::new("sh")
            .args(["-c", &format!("printf %s {}", quoted(text))])
            .output();
        assert_eq!(String::from_utf8(echoed.unwrap().stdout).unwrap(), text);
    }
}

#[test]
fn the_program_goes_by_its_name_only_where_the_search_path_finds_it() {
    let folder = tempfile::tempdir().unwrap();
    let (built, installed) = (folder.path().join("my build"), folder.path().join("bin"));
    std::fs::create_dir_all(&built).unwrap();
    std::fs::create_dir_all(&installed).unwrap();
    let executable = built.join("sigbox");
    std::fs::write(&executable, b"").unwrap();
    assert_eq!(
        shell_name(&executable, std::slice::from_ref(&installed)),
        format!("'{}'", executable.display())
    );
    std::os::unix::fs::symlink(&executable, installed.join("sigbox")).unwrap();
    assert_eq!(
        shell_name(&executable, std::slice::from_ref(&installed)),
        "sigbox"
    );
    let other = folder.path().join("other");
    std::fs::create_dir_all(&other).unwrap();
    std::fs::write(other.join("sigbox"), b"").unwrap();
    assert_ne!(
        shell_name(&executable, &[other, installed]),
        "sigbox",
        "another sigbox comes first"
    );
}

#[test]
fn what_is_written_is_ours_by_its_name_or_made_where_there_is_nothing() {
    let mut written = Vec::new();
    for client in Client::value_variants() {
        for line in instance("http://localhost:3100").lines(*client) {
            let words: Vec<&str> = line.split_whitespace().collect();
            for pair in words.windows(2) {
                let [">" | "-o" | "-out" | "-keystore" | "--output" | "--bundle", file] = pair else {
                    continue;
                };
                // The runner of a pipeline has a checkout of its own.
                let ours = ["sigbox", "Sigbox", "hello", "README.md.sigstore.json"];
                let named = ours.iter().any(|name| file.contains(name));
                assert!(named || line.contains("if [ -e "), "{}: {line}", client.name());
                written.push((*file).to_owned());
            }
        }
    }
    assert!(written.len() > 20, "{written:?}");
}

/// Runs those lines that need no network, in a folder that stands for `/etc` too.
fn pasted(client: Client, folder: &Path) -> String {
    let lines = instance("http://localhost:3100").lines(client);
    let lines: Vec<String> = lines
        .into_iter()
        .filter(|line| !line.starts_with("curl "))
        .collect();
    let script = lines
        .join("\n")
        .replace("/etc/", &format!("{}/", folder.display()));
    let ran = std::process::Command::new("sh")
        .args(["-eu", "-c", &script])
        .current_dir(folder)
        .output()
        .unwrap();
    assert!(ran.status.success(), "{ran:?}");
    String::from_utf8(ran.stderr).unwrap()
}

#[test]
fn what_is_there_stays_and_what_it_should_have_is_said() {
    for (client, file, ours) in [
        (Client::GitlabCi, ".gitlab-ci.yml", "sigbox.gitlab-ci.yml"),
        (
            Client::Podman,
            "containers/policy.json",
            "containers/sigbox-policy.json",
        ),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(file);
        assert_eq!(pasted(client, folder.path()), "", "{file}");
        assert!(std::fs::read_to_string(&path).unwrap().contains("sigbox"));
        std::fs::write(&path, "mine").unwrap();
        let said = pasted(client, folder.path());
        assert!(said.contains("stays as it is") && said.contains(ours), "{said}");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "mine");
    }
}
