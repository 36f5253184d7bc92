//! `export-trust`: everything a client trusts, as one file to carry over an air gap.
//!
//! The file is a tar archive of the TUF repository: every root, the current metadata, every target. Its signatures are the
//! repository's own, so it is checked without a network, with nothing but a `root.json` that was obtained before, and unpacked it is a
//! mirror that TUF clients take. Nothing in it is not signed.

mod archive;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use clap::Args;
use common_bundle::trust::{Timestamp, TrustedRoot};
use common_bundle::tuf::{self, Update, VerifiedTargets};
use http::StatusCode;

use crate::cli::DEFAULT_URL;
use crate::clock;
use crate::console::{self, Console};
use crate::disk;
use crate::exit::Failure;
use crate::http::{Client, HttpError};

/// The first root that an instance ever had, from which every client can walk to the current one.
const FIRST_ROOT: &str = "1.root.json";

#[derive(Debug, Args)]
pub(crate) struct ExportTrustArgs {
    /// The archive: written, or checked with --verify.
    file: PathBuf,
    /// The instance.
    #[arg(long, value_name = "URL", default_value = DEFAULT_URL, env = "SIGBOX_URL")]
    url: String,
    /// Check the archive instead, without a network; needs --root.
    #[arg(long, requires = "root")]
    verify: bool,
    /// A root.json of the instance, of any age, that came over a channel you trust.
    #[arg(long, value_name = "FILE", requires = "verify")]
    root: Option<PathBuf>,
    /// Write the verified trusted root, signing configurations and certificates there.
    #[arg(long, value_name = "DIR", requires = "verify")]
    into: Option<PathBuf>,
}

/// Files of a repository, by their path in it.
type Files = BTreeMap<String, Vec<u8>>;

/// Runs the command.
///
/// # Errors
/// [`Failure`] when the instance does not answer, or the archive does not verify.
pub(crate) async fn run(args: ExportTrustArgs, console: Console) -> Result<(), Failure> {
    let now = clock::system()();
    match &args.root {
        Some(root) => check(&args.file, root, args.into.as_deref(), now, console),
        None => export(&args, now, console).await,
    }
}

async fn export(args: &ExportTrustArgs, now: SystemTime, console: Console) -> Result<(), Failure> {
    if args.file.exists() {
        return Err(Failure::failed(format!(
            "{} exists and is not overwritten: name another file",
            args.file.display()
        )));
    }
    let client = Client::instance(&args.url).map_err(Failure::failed)?;
    let files = fetch(&client, now).await?;
    let verified = verified(&files, files.get(FIRST_ROOT).map_or(&[][..], Vec::as_slice), now)?;
    let packed = archive::pack(&files).map_err(Failure::failed)?;
    disk::write(&args.file, &packed).map_err(Failure::failed)?;
    report(&verified, console)?;
    console.remark(&format!(
        "check it on the other side: sigbox export-trust --verify --root root.json {}",
        args.file.display()
    ));
    Ok(())
}

fn check(
    file: &Path,
    root: &Path,
    into: Option<&Path>,
    now: SystemTime,
    console: Console,
) -> Result<(), Failure> {
    let files = archive::unpack(file).map_err(Failure::failed)?;
    let named = |error: std::io::Error| Failure::failed(format!("{}: {error}", root.display()));
    let root = std::fs::read(root).map_err(named)?;
    let verified = verified(&files, &root, now)?;
    if let Some(folder) = into {
        disk::create_folder(folder).map_err(Failure::failed)?;
        for (name, content) in &verified.targets {
            disk::write(&folder.join(name), content).map_err(Failure::failed)?;
        }
        disk::write(&folder.join("root.json"), &verified.root).map_err(Failure::failed)?;
    }
    report(&verified, console)
}

/// Every file that a client could ask for: all roots, the current metadata, all targets.
async fn fetch(client: &Client, now: SystemTime) -> Result<Files, Failure> {
    let mut files = Files::new();
    let first = file(client, FIRST_ROOT).await.map_err(Failure::failed)?;
    let first =
        first.ok_or_else(|| Failure::failed(format!("{}: there is no {FIRST_ROOT}", client.base())))?;
    let mut update = Update::new(&first, now).map_err(Failure::failed)?;
    files.insert(FIRST_ROOT.to_owned(), first);
    while let Some(request) = update.request() {
        let content = file(client, &request.path).await.map_err(Failure::failed)?;
        update.give(content.as_deref()).map_err(Failure::failed)?;
        files.extend(content.map(|content| (request.path, content)));
    }
    let targets = update.finish().map_err(Failure::failed)?;
    for name in targets.names() {
        let request = targets.request(name).map_err(Failure::failed)?;
        let content = file(client, &request.path).await.map_err(Failure::failed)?;
        files.extend(content.map(|content| (request.path, content)));
    }
    Ok(files)
}

async fn file(client: &Client, path: &str) -> Result<Option<Vec<u8>>, HttpError> {
    let answer = client.get(&format!("/tuf/{path}")).await?;
    if answer.status == StatusCode::NOT_FOUND {
        return Ok(None);
    }
    Ok(Some(answer.expect(StatusCode::OK)?.to_vec()))
}

/// What an archive holds, once its signatures, expiries, lengths and digests have been checked.
struct Verified {
    root_version: u64,
    /// Until when clients take it.
    expires: Timestamp,
    root: Vec<u8>,
    targets: BTreeMap<String, Vec<u8>>,
    trusted: TrustedRoot,
}

fn verified(files: &Files, root: &[u8], now: SystemTime) -> Result<Verified, Failure> {
    let targets: VerifiedTargets =
        tuf::verify(root, now, |path| files.get(path).cloned()).map_err(|error| {
            Failure::failed(format!(
                "the trust does not verify: {error}; if it has expired, export it anew"
            ))
        })?;
    let mut contents = BTreeMap::new();
    for name in targets.names() {
        let request = targets.request(name).map_err(Failure::failed)?;
        let content = files.get(&request.path).ok_or_else(|| {
            Failure::failed(format!(
                "the trust does not verify: {} is listed and not there",
                request.path
            ))
        })?;
        targets.check(name, content).map_err(Failure::failed)?;
        contents.insert(name.to_owned(), content.clone());
    }
    let trusted = contents.get("trusted_root.json").map_or(&[][..], Vec::as_slice);
    let trusted = TrustedRoot::parse(trusted).map_err(Failure::failed)?;
    let root_version = targets.root().version;
    Ok(Verified {
        root_version,
        expires: targets.expires(),
        // The one that was given if the archive has no newer one.
        root: files
            .get(&format!("{root_version}.root.json"))
            .cloned()
            .unwrap_or_else(|| root.to_vec()),
        targets: contents,
        trusted,
    })
}

/// What is in it: a line for each target and each log.
fn report(verified: &Verified, console: Console) -> Result<(), Failure> {
    console.good("root", &format!("version {}", verified.root_version));
    console.good("valid", &format!("until {}", verified.expires));
    let mut lines = Vec::new();
    for (name, content) in &verified.targets {
        lines.push(format!("target {name} {}", content.len()));
    }
    for log in &verified.trusted.tlogs {
        lines.push(format!(
            "log {} {}",
            hex::encode(&log.log_id.key_id),
            log.base_url
        ));
    }
    console::result(&lines.join("\n"))
        .map_err(|error| Failure::failed(format!("cannot write the list: {error}")))
}

#[cfg(test)]
mod tests;
