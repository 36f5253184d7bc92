//! The lines of `client-setup`, and the same under `/setup`, run as they are printed.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use tests::stack::Stack;
use tests::{Ran, ok, sigbox, tool};

/// Clients that run here, with a part of what they say in the end.
const RUN: [(&str, &str); 7] = [
    ("cosign", "Verified OK"),
    ("python", "OK: hello.txt"),
    ("js", "Verification succeeded"),
    ("go", "Verification successful!"),
    ("java", "signed and verified by dev@example.com"),
    ("rekor-cli", "Verification Successful!"),
    ("gitsign", "Validated Certificate claims: true"),
];
/// Those that are configured by a manifest or a file: the lines run, with a stand-in where the platform would be.
const CONFIGURED: [&str; 5] = [
    "policy-controller",
    "kyverno",
    "flux",
    "github-actions",
    "gitlab-ci",
];
/// Those whose lines nothing here can run, and why.
const NOT_RUN: [(&str, &str); 2] = [
    (
        "rust",
        "it would compile the library once more; the story `matrix` runs it",
    ),
    ("podman", "it writes to /etc"),
];

/// What is there before anybody signs in it.
const REPOSITORY: &str = "git init -q && git config user.name Dev && git config user.email dev@example.com";
/// After gitsign's lines: another identity, another issuer and another commit under the same signature are refused.
const FORGERIES: &str = r#"
issuer=$(git config gitsign.issuer)
refuses() { if gitsign verify "$@"; then echo "accepted: $*" >&2; exit 9; fi; }
refuses --certificate-identity=eve@example.com --certificate-oidc-issuer="$issuer" HEAD
refuses --certificate-identity=dev@example.com --certificate-oidc-issuer="$issuer/" HEAD
forged=$(git cat-file commit HEAD | sed 's/^signed with gitsign$/forged/' | git hash-object -t commit -w --stdin)
[ "$forged" != "$(git rev-parse HEAD)" ]
refuses --certificate-identity=dev@example.com --certificate-oidc-issuer="$issuer" "$forged"
"#;

/// A shell like a user's: the clients and `sigbox` are on the search path, what they download is there already.
fn shell(stack: &Stack, folder: &Path, script: &str) -> Ran {
    let bin = stack.path("bin");
    if !bin.exists() {
        std::fs::create_dir_all(&bin).unwrap();
        let link = |target: PathBuf, name: &str| {
            std::os::unix::fs::symlink(target.canonicalize().unwrap(), bin.join(name)).unwrap();
        };
        link(sigbox(), "sigbox");
        for (name, as_) in [
            ("cosign", "cosign"),
            ("sigstore", "sigstore"),
            ("rekor-cli", "rekor-cli"),
            ("client-gitsign/client", "gitsign"),
        ] {
            link(tool(name), as_);
        }
        for name in ["kubectl", "helm"] {
            let program = bin.join(name);
            std::fs::write(
                &program,
                "#!/bin/sh\ncase \"$*\" in *' -') cat ;; *) echo \"$*\" ;; esac >> applied\n",
            )
            .unwrap();
            std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
        }
    }
    std::fs::create_dir_all(folder).unwrap();
    let modules = ok(Command::new("go").args(["env", "GOMODCACHE"])).stdout;
    let modules = modules.trim();
    let go = ok(Command::new("go").args(["env", "GOROOT"])).stdout;
    let home = PathBuf::from(std::env::var_os("HOME").unwrap());
    let mut command = Command::new("bash");
    command
        .args(["-euo", "pipefail", "-c", script])
        .current_dir(folder);
    command.env_clear();
    command.env(
        "PATH",
        format!("{}:{}/bin:/usr/bin:/bin", bin.display(), go.trim()),
    );
    command.env("HOME", stack.path("setup-home"));
    command.env("SIGSTORE_ID_TOKEN", stack.token("dev@example.com"));
    // Nothing is downloaded twice: `tests/run install` did, with sums that are checked.
    command
        .env("GOMODCACHE", modules)
        .env("GOSUMDB", "off")
        .env("GOFLAGS", "-mod=mod");
    command.env("GOPROXY", format!("file://{modules}/cache/download"));
    command.env("GOCACHE", home.join(".cache/go-build"));
    command.env(
        "MAVEN_OPTS",
        format!("-Dmaven.repo.local={}", home.join(".m2/repository").display()),
    );
    command
        .env("npm_config_offline", "true")
        .env("npm_config_update_notifier", "false");
    ok(&mut command)
}

/// What `sigbox client-setup` prints, by its name as on a search path that finds it.
fn printed(stack: &Stack, client: &str) -> String {
    let lines = ok(Command::new(sigbox()).args(["client-setup", client, "--url", &stack.ready.url])).stdout;
    lines.replace(&sigbox().canonicalize().unwrap().display().to_string(), "sigbox")
}

#[test]
fn the_lines_of_each_client_work_as_printed() {
    let stack = Stack::ephemeral();
    for (client, says) in RUN {
        let folder = stack.path(client);
        std::fs::create_dir_all(&folder).unwrap();
        if client == "js" {
            // Where npx looks first.
            let installed = tool("client-js/node_modules").canonicalize().unwrap();
            std::os::unix::fs::symlink(installed, folder.join("node_modules")).unwrap();
        }
        let mut lines = printed(&stack, client);
        if client == "gitsign" {
            lines = format!("{REPOSITORY}\n{lines}\n{FORGERIES}");
        }
        let said = shell(&stack, &folder, &lines).text();
        assert!(said.contains(says), "{client}: {said}");
    }
}

#[tokio::test]
async fn the_instance_serves_the_same_lines() {
    let stack = Stack::ephemeral();
    let get = async |path: String| {
        let answer = stack.http.get(stack.url(&path)).send().await.unwrap();
        let plain = answer.headers()["content-type"]
            .to_str()
            .unwrap()
            .starts_with("text/plain");
        (answer.status().as_u16(), plain, answer.text().await.unwrap())
    };
    let (status, plain, index) = get("/setup".to_owned()).await;
    assert!(status == 200 && plain, "{index}");
    let listed: Vec<&str> = index
        .lines()
        .filter_map(|line| line.split("/setup/").nth(1))
        .collect();
    let known: Vec<&str> = RUN
        .iter()
        .map(|(client, _)| *client)
        .chain(CONFIGURED)
        .chain(NOT_RUN.iter().map(|(client, _)| *client))
        .collect();
    for client in &listed {
        assert!(known.contains(client), "{client} is neither run here nor excused");
        let (status, plain, lines) = get(format!("/setup/{client}")).await;
        assert!(status == 200 && plain, "{client}: {lines}");
        let (remark, lines) = lines.split_once('\n').unwrap();
        assert!(remark.starts_with("# "), "{remark}");
        assert_eq!(lines.trim_end(), printed(&stack, client).trim_end(), "{client}");
    }
    assert_eq!(listed.len(), known.len(), "{listed:?}");
    let (status, _, message) = get("/setup/notation".to_owned()).await;
    assert!(status == 404 && message.contains("/setup lists"), "{message}");
}

#[test]
fn clusters_get_the_root_of_this_instance_and_pipelines_sign() {
    let stack = Stack::ephemeral();
    let applied = |client: &str| {
        let folder = stack.path(client);
        shell(&stack, &folder, &printed(&stack, client));
        std::fs::read_to_string(folder.join("applied")).unwrap()
    };
    let root = std::fs::read(stack.ready.trust_dir.join("root.json")).unwrap();
    let manifests = applied("policy-controller");
    let encoded = manifests.split("root: ").nth(1).unwrap().lines().next().unwrap();
    assert_eq!(BASE64_STANDARD.decode(encoded).unwrap(), root);
    for (client, file, exported) in [
        ("kyverno", "sigbox-root.json", "root.json"),
        ("flux", "sigbox-trusted-root.json", "trusted_root.json"),
    ] {
        let manifests = applied(client);
        assert!(
            manifests.contains(&stack.ready.url) && manifests.contains(file),
            "{manifests}"
        );
        assert_eq!(
            std::fs::read(stack.path(client).join(file)).unwrap(),
            std::fs::read(stack.ready.trust_dir.join(exported)).unwrap()
        );
    }
    for (client, file) in [
        ("github-actions", ".github/workflows/sigbox.yml"),
        ("gitlab-ci", "sigbox.gitlab-ci.yml"),
    ] {
        let folder = stack.path(client);
        shell(&stack, &folder, &printed(&stack, client));
        std::fs::write(folder.join("README.md"), "a release").unwrap();
        let pipeline = std::fs::read_to_string(folder.join(file)).unwrap();
        let steps: Vec<&str> = pipeline
            .lines()
            .map(|line| line.trim_start_matches([' ', '-']))
            .filter(|line| line.starts_with("cosign "))
            .collect();
        assert_eq!(steps.len(), 2, "{pipeline}");
        shell(&stack, &folder, &steps.join("\n"));
        assert!(folder.join("README.md.sigstore.json").exists());
    }
}
