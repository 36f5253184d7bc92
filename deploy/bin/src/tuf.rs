//! `sigbox tuf`: the root of the trust repository in the hands of several people.
//!
//! Nothing here uses the network. What passes from one holder to the next is a file, the next root with the signatures it has so
//! far; complete, it is handed to the server through its data folder ([`crate::repository::ceremony`]).

mod holder;
mod show;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use clap::{Args, Subcommand};
use common_bundle::tuf::{KeySet, Proposal, Role, Root, RootKeys, TufError};
use common_pki::key::{PublicKey, Signer};

use crate::clock;
use crate::console::{self, Console};
use crate::disk;
use crate::exit::Failure;
use crate::keys::quiet::quiet;
use crate::keys::{read_registry, runner};
use crate::layout::Layout;
use crate::repository::ceremony;
use crate::tuf::holder::Passphrase;

/// A server looks once a second; signing and flushing take their time.
const PUBLISHED_WITHIN: Duration = Duration::from_secs(15);
const LOOK_EVERY: Duration = Duration::from_millis(200);
const DAY: i64 = 24 * 3600;

/// `sigbox tuf`.
#[derive(Debug, Args)]
pub(crate) struct TufArgs {
    #[command(subcommand)]
    step: Step,
}

#[derive(Debug, Subcommand)]
enum Step {
    /// Show version, expiry, keys and thresholds of a root: the one in force, or a proposal.
    Show {
        /// A root, published or proposed.
        #[arg(value_name = "ROOT", default_value = "sigbox-data/tuf/root.json")]
        root: PathBuf,
    },
    /// Make a holder's key pair: FILE for the holder alone, FILE.pub for whoever proposes the root.
    Keygen {
        /// Where the private key goes; it must not exist.
        #[arg(value_name = "FILE")]
        file: PathBuf,
        /// Encrypt it under the passphrase that is there: `prompt` for the terminal, `file:/PATH` or `env:NAME`.
        #[arg(long, value_name = "SOURCE", value_parser = quiet::<Passphrase>())]
        passphrase: Option<Passphrase>,
    },
    /// Write the next root, to be signed by the holders.
    Propose(ProposeArgs),
    /// Add a holder's signature to a proposal.
    Sign {
        /// The proposal; it is replaced by the signed one.
        #[arg(value_name = "PROPOSAL")]
        proposal: PathBuf,
        /// The holder's private key: a file, or a signer URI such as `pkcs11:…`.
        #[arg(long, value_name = "KEY")]
        key: String,
        /// Where the passphrase of an encrypted file is: `file:/PATH` or `env:NAME` [default: asked for on the terminal].
        #[arg(long, value_name = "SOURCE", value_parser = quiet::<Passphrase>())]
        passphrase: Option<Passphrase>,
        /// The root in force, for a holder of one of its keys alone.
        #[arg(long, value_name = "FILE")]
        root: Option<PathBuf>,
    },
    /// Hand a complete proposal to the server of a data folder, which publishes it.
    Publish {
        /// The proposal.
        #[arg(value_name = "PROPOSAL")]
        proposal: PathBuf,
        /// The server's data folder.
        #[arg(long, value_name = "DIR", default_value = "sigbox-data")]
        data: PathBuf,
    },
}

#[derive(Debug, Args)]
struct ProposeArgs {
    /// The root in force.
    #[arg(long, value_name = "FILE", default_value = "sigbox-data/tuf/root.json")]
    root: PathBuf,
    /// Public key of a holder, PEM; repeat it for each [default: the keys in force].
    #[arg(long = "holder", value_name = "FILE")]
    holders: Vec<PathBuf>,
    /// Public key that the server signs the rest with, PEM, as `sigbox rotate tuf --key online` made it [default: the one in force].
    #[arg(long, value_name = "FILE")]
    online: Option<PathBuf>,
    /// How many holders must sign [default: the threshold in force; of new holders more than half, and never one of several].
    #[arg(long, value_name = "N")]
    threshold: Option<u32>,
    /// How long it is good for.
    #[arg(long, value_name = "DAYS", default_value_t = 365, value_parser = clap::value_parser!(u16).range(1..=3650))]
    days: u16,
    /// Where it goes; it must not exist.
    #[arg(long, value_name = "FILE", default_value = "next-root.json")]
    out: PathBuf,
}

/// Runs the step.
///
/// # Errors
/// [`Failure`] with what was expected, what came and what to do.
pub(crate) async fn run(args: TufArgs, console: Console) -> Result<(), Failure> {
    let now = clock::system()();
    match args.step {
        Step::Show { root } => show::root(read(&root)?.root(), now).and_then(|text| print(&text)),
        Step::Keygen { file, passphrase } => holder::generate(&file, passphrase.as_ref(), console),
        Step::Propose(args) => propose(&args, now, console),
        Step::Sign {
            proposal,
            key,
            passphrase,
            root,
        } => {
            let signer = || holder::private(&key, passphrase.as_ref());
            sign(&proposal, signer, root.as_deref(), now, console)
        }
        Step::Publish { proposal, data } => publish(&proposal, data, console).await,
    }
}

fn propose(args: &ProposeArgs, now: SystemTime, console: Console) -> Result<(), Failure> {
    let current = read(&args.root)?.root().clone();
    let root = if args.holders.is_empty() {
        let mut keys = held(&current, Role::Root)?;
        keys.threshold = args.threshold.unwrap_or(keys.threshold);
        keys
    } else {
        let keys = public_keys(&args.holders)?;
        let threshold = args.threshold.unwrap_or_else(|| majority(keys.len()));
        KeySet { keys, threshold }
    };
    // The server signs the rest with a key that it has, and refuses a root that lists another.
    let online = args.online.as_deref().map(holder::public).transpose()?;
    let below = |role| match &online {
        Some(key) => Ok(KeySet::single(key)),
        None => held(&current, role),
    };
    let keys = RootKeys {
        root,
        targets: below(Role::Targets)?,
        snapshot: below(Role::Snapshot)?,
        timestamp: below(Role::Timestamp)?,
    };
    let lifetime = i64::from(args.days).saturating_mul(DAY);
    let proposal = Proposal::new(&current, &keys, lifetime, now).map_err(Failure::failed)?;
    holder::write_new(&args.out, &proposal.to_json().map_err(Failure::failed)?)?;
    console.line(&show::root(proposal.root(), now)?);
    console.line(&show::progress(&proposal, Some(&current))?);
    console.remark(&format!(
        "wrote {0}: every holder signs it in turn with `sigbox tuf sign --key KEY {0}`, after comparing the keys above with the others",
        args.out.display()
    ));
    Ok(())
}

/// The holders' keys. One that is given twice would count once, and fewer would be needed than was thought.
fn public_keys(holders: &[PathBuf]) -> Result<Vec<PublicKey>, Failure> {
    let mut keys: Vec<PublicKey> = Vec::new();
    for file in holders {
        let key = holder::public(file)?;
        if let Some((_, before)) = keys.iter().zip(holders).find(|(known, _)| **known == key) {
            return Err(Failure::usage(format!(
                "--holder {} and --holder {} are the same key: expected one of each holder",
                before.display(),
                file.display()
            )));
        }
        keys.push(key);
    }
    Ok(keys)
}

/// More than half: two of two and of three, so that nobody replaces all trust alone.
fn majority(holders: usize) -> u32 {
    u32::try_from(holders / 2).map_or(u32::MAX, |half| half.saturating_add(1))
}

fn sign(
    path: &Path,
    signer: impl FnOnce() -> Result<Arc<dyn Signer>, Failure>,
    root: Option<&Path>,
    now: SystemTime,
    console: Console,
) -> Result<(), Failure> {
    let mut proposal = read(path)?;
    let current = root.map(read).transpose()?;
    let current = current.as_ref().map(Proposal::root);
    console.line(&show::root(proposal.root(), now)?);
    // After what is to be signed has been shown.
    let signer = signer()?;
    let id = proposal
        .sign(signer.as_ref(), current)
        .map_err(|error| match error {
            TufError::NoRootKey(_) if current.is_none() => Failure::failed(format!(
                "{error}; a holder of a key of the root in force alone also gives that root: --root root.json"
            )),
            error => Failure::failed(error),
        })?;
    disk::write(path, &proposal.to_json().map_err(Failure::failed)?).map_err(Failure::failed)?;
    console.good("signed", &format!("by key {id}"));
    console.line(&show::progress(&proposal, current)?);
    Ok(())
}

async fn publish(path: &Path, data: PathBuf, console: Console) -> Result<(), Failure> {
    let layout = Layout::new(data);
    let proposal = read(path)?;
    let in_force = layout.tuf().join("root.json");
    let current = read(&in_force)?;
    for root in [current.root(), proposal.root()] {
        let progress = proposal.progress(root).map_err(Failure::failed)?;
        if !progress.is_complete() {
            let said = show::progress(&proposal, Some(current.root()))?;
            return Err(Failure::failed(format!("signatures are missing\n{said}")));
        }
    }
    ceremony::remove(ceremony::refusal(&layout)).map_err(Failure::failed)?;
    let json = proposal.to_json().map_err(Failure::failed)?;
    disk::write(&ceremony::inbox(&layout), &json).map_err(Failure::failed)?;

    let version = proposal.root().version;
    let mut waited = Duration::ZERO;
    while waited < PUBLISHED_WITHIN {
        if let Some(why) = disk::read(&ceremony::refusal(&layout)).map_err(Failure::failed)? {
            let why = String::from_utf8_lossy(&why);
            return Err(Failure::failed(format!(
                "the server does not publish it: {}",
                why.trim_end()
            )));
        }
        if read(&in_force)?.root().version == version {
            console.good(
                "published",
                &format!("root version {version}; clients follow at their next update"),
            );
            return Ok(());
        }
        tokio::time::sleep(LOOK_EVERY).await;
        waited = waited.saturating_add(LOOK_EVERY);
    }
    let registry = read_registry(&layout).map_err(Failure::failed)?;
    let start = registry.map_or_else(String::new, |registry| {
        format!(": {}", runner::start_command(&registry, layout.root()))
    });
    Err(Failure::failed(format!(
        "root version {version} is handed in and no server has taken it up; it is published when one starts on the folder{start}"
    )))
}

/// The keys of a role as they are in force.
fn held(root: &Root, role: Role) -> Result<KeySet, Failure> {
    let keys = root.roles.get(role.name());
    let keys = keys.ok_or_else(|| Failure::failed(format!("the root in force has no role {role}")))?;
    let key = |id: &String| -> Result<PublicKey, Failure> {
        let known = root.keys.get(id).and_then(common_bundle::tuf::Key::public_key);
        known.ok_or_else(|| {
            Failure::failed(format!(
                "key {id} of role {role} is of a kind that is not known here"
            ))
        })
    };
    Ok(KeySet {
        keys: keys.keyids.iter().map(key).collect::<Result<_, _>>()?,
        threshold: keys.threshold,
    })
}

/// A root, published or proposed: a proposal is a root that lacks signatures.
fn read(path: &Path) -> Result<Proposal, Failure> {
    let json = disk::read(path).map_err(Failure::failed)?;
    let json = json.ok_or_else(|| Failure::failed(format!("{}: there is no such file", path.display())))?;
    Proposal::parse(&json).map_err(|error| Failure::failed(format!("{}: {error}", path.display())))
}

fn print(text: &str) -> Result<(), Failure> {
    console::result(text).map_err(Failure::failed)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use common_pki::key::{KeyAlgorithm, LocalSigner};

    use super::*;
    use crate::exit::Exit;

    #[test]
    fn nobody_of_several_holders_suffices() {
        let needed: Vec<u32> = (1..=7).map(majority).collect();
        assert_eq!(needed, [1, 2, 2, 3, 3, 4, 4]);
    }

    #[test]
    fn a_holder_counts_once() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, key: &PublicKey| {
            let path = folder.path().join(name);
            std::fs::write(&path, key.to_pem()).unwrap();
            path
        };
        let key = || {
            let (signer, _) = LocalSigner::generate(KeyAlgorithm::EcdsaP256).unwrap();
            signer.public_key().clone()
        };
        let (ann, ben) = (key(), key());
        let (one, other, copy) = (
            write("ann.pub", &ann),
            write("ben.pub", &ben),
            write("copy.pub", &ann),
        );
        assert_eq!(public_keys(&[one.clone(), other.clone()]).unwrap().len(), 2);
        for twice in [vec![one.clone(), one.clone()], vec![other, one, copy]] {
            let refused = public_keys(&twice).unwrap_err();
            assert_eq!(refused.exit, Exit::Usage);
            assert!(
                refused.message.contains("ann.pub") && refused.message.contains("the same key"),
                "{}",
                refused.message
            );
        }
    }
}
