//! `client-setup`: lines for a shell on standard output, remarks on standard error. The instance itself says the same under
//! `/setup` ([`routes`]).

mod routes;

use http::StatusCode;

use crate::cli::{Client as Which, ClientSetupArgs};
use crate::console::{self, Console};
use crate::exit::Failure;
use crate::http::Client;
use crate::paste::{Instance, shell_name};

pub(crate) use self::routes::{Origins, Served, routes};

/// Runs the command.
///
/// # Errors
/// [`Failure`] when the instance does not answer: lines for it would not work.
pub(crate) async fn run(args: ClientSetupArgs, console: Console) -> Result<(), Failure> {
    let client = Client::instance(&args.url).map_err(Failure::failed)?;
    let answer = client
        .get(routes::INSTANCE)
        .await
        .and_then(|answer| answer.expect(StatusCode::OK))
        .map_err(Failure::failed)?;
    let served: Served = serde_json::from_slice(&answer).map_err(|error| {
        Failure::failed(format!(
            "{}{}: expected what an instance says of itself, got something else: {error}",
            client.base(),
            routes::INSTANCE
        ))
    })?;
    served.check().map_err(|member| {
        Failure::failed(format!(
            "{}{}: {member} is not what can stand in a line for a shell: nothing is printed",
            client.base(),
            routes::INSTANCE
        ))
    })?;
    console.remark(&format!("# {}", remark(args.client)));
    // Under the address that was asked for: it works from here.
    let instance = Instance {
        url: client.base().to_owned(),
        sigbox: own_name(),
        ..served.instance()
    };
    let lines = instance.lines(args.client).join("\n");
    console::result(&lines).map_err(|error| Failure::failed(format!("cannot write the lines: {error}")))
}

/// How a shell calls this program.
pub(crate) fn own_name() -> String {
    let search_path: Vec<_> = std::env::var_os("PATH")
        .iter()
        .flat_map(std::env::split_paths)
        .collect();
    std::env::current_exe().map_or_else(|_| "sigbox".to_owned(), |exe| shell_name(&exe, &search_path))
}

/// What a person should know before pasting.
fn remark(client: Which) -> &'static str {
    match client {
        Which::Cosign => {
            "cosign trusts this instance from now on; `cosign initialize` alone returns to the public one"
        }
        Which::Python => "sigstore-python asks this instance wherever --instance names it",
        Which::Js => {
            "@sigstore/cli attests, into Rekor v1; the library `sigstore` signs files too (fulcioURL, rekorURL, tsaServerURL)"
        }
        Which::Go => {
            "the library's own examples; use the same two files with root.NewTrustedRootFromPath and root.NewSigningConfigFromPath"
        }
        Which::Java => "the API takes any instance; the Maven and Gradle plugins know the public one alone",
        Which::Rust => "the library's own examples; use TufConfig::custom with the same root.json",
        Which::Gitsign => {
            "in the repository whose commits are to be signed; without a token in SIGSTORE_ID_TOKEN a browser opens"
        }
        Which::RekorCli => {
            "rekor-cli asks this instance wherever --rekor_server or REKOR_REKOR_SERVER names it"
        }
        Which::PolicyController => {
            "the cluster must reach the instance; put your images and signers in place of the examples"
        }
        Which::Kyverno => {
            "the cluster must reach the instance; Kyverno then trusts it in place of the public one"
        }
        Which::Flux => "Flux verifies offline from this file; apply it again after a key was rotated",
        Which::Podman => {
            "as root; a policy.json that is there stays, one that is made refuses all other images; sign images with \
             `cosign sign --new-bundle-format=false --registry-referrers-mode=legacy`"
        }
        Which::GithubActions => {
            "the instance must trust https://token.actions.githubusercontent.com, and the runner must reach it"
        }
        Which::GitlabCi => {
            "the instance must trust your GitLab's issuer, and the runner, whose image has cosign, must reach it"
        }
    }
}
