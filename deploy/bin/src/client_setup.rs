//! `client-setup`: lines for a shell on standard output, remarks on standard error.

use aws_lc_rs::digest;
use http::StatusCode;

use crate::cli::{Client as Which, ClientSetupArgs};
use crate::console::{self, Console};
use crate::exit::Failure;
use crate::http::Client;
use crate::paste::{Instance, shell_name};

/// Runs the command.
///
/// # Errors
/// [`Failure`] when the instance does not answer: lines for it would not work.
pub(crate) async fn run(args: ClientSetupArgs, console: Console) -> Result<(), Failure> {
    let client = Client::new(&args.url).map_err(Failure::failed)?;
    let root = client
        .get("/trust/root.json")
        .await
        .and_then(|answer| answer.expect(StatusCode::OK));
    let instance = instance(client.base(), &root.map_err(Failure::failed)?);
    console.remark(match args.client {
        Which::Cosign => {
            "# cosign trusts this instance from now on; `cosign initialize` alone returns to the public one"
        }
        Which::Python => "# sigstore-python asks this instance wherever --instance names it",
        Which::RekorCli => {
            "# rekor-cli asks this instance wherever --rekor_server or REKOR_REKOR_SERVER names it"
        }
    });
    let lines = instance.lines(args.client).join("\n");
    console::result(&lines).map_err(|error| Failure::failed(format!("cannot write the lines: {error}")))
}

/// What the lines for the instance at `url` need, given its current `root.json`.
pub(crate) fn instance(url: &str, root: &[u8]) -> Instance {
    let search_path: Vec<_> = std::env::var_os("PATH")
        .iter()
        .flat_map(std::env::split_paths)
        .collect();
    let sigbox =
        std::env::current_exe().map_or_else(|_| "sigbox".to_owned(), |exe| shell_name(&exe, &search_path));
    Instance {
        url: url.to_owned(),
        root_sha256: hex::encode(digest::digest(&digest::SHA256, root)),
        sigbox,
    }
}
