//! `keys`: the key registry of a data folder for people, and its first keys wherever they are to be.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use clap::{Args, Subcommand};
use common_backend::folder::DataFolder;
use common_bundle::trust::{KeyRecord, Registry};

use super::others::exported;
use super::places::{Place, Places};
use super::{Keys, KeysError, keyring, load, read_registry, try_out};
use crate::clock;
use crate::console::{self, Console};
use crate::disk;
use crate::exit::Failure;
use crate::layout::Layout;
use crate::public_url::PublicUrl;

#[derive(Debug, Args)]
pub(crate) struct KeysArgs {
    #[command(subcommand)]
    command: KeysCommand,
}

#[derive(Debug, Subcommand)]
enum KeysCommand {
    /// List every key: what it is for, since when, and where its private half is.
    List(Folder),
    /// Show one key with its certificates, and let it sign something to see that it works.
    Show {
        /// The key's id, as `keys list` shows it.
        id: String,
        #[command(flatten)]
        folder: Folder,
    },
    /// Make the keys of a new instance, on tokens and in key services as well; `up` or `serve` then continues with them.
    Init {
        #[command(flatten)]
        folder: Folder,
        /// How clients will reach the instance; its host name becomes part of the logs for good.
        #[arg(long, value_name = "URL")]
        public_url: PublicUrl,
        /// Where keys are made: a URI for all, or NAME=URI for one; may be repeated [default: file:].
        ///
        /// file: and file:?passphrase=SOURCE, pkcs11:token=LABEL?module-path=FILE&pin-source=SOURCE; a SOURCE is file:/path or
        /// env:NAME. A URI that names a key (pkcs11:…;object=…, awskms:, gcpkms:, azurekms:, hashivault:, exec:) uses that one.
        #[arg(long = "signer", value_name = "[NAME=]URI")]
        signers: Vec<Place>,
    },
    /// Print the public halves of a process' keys, for the process that publishes trust (`trust.keys` of its configuration).
    Export(Folder),
    /// Have a key used from another place, where the same key has been imported. The server must not run.
    Move {
        /// The key's id.
        id: String,
        /// Where the same private key is now.
        uri: String,
        #[command(flatten)]
        folder: Folder,
    },
}

#[derive(Debug, Args)]
struct Folder {
    /// The data folder.
    #[arg(long = "data", value_name = "DIR", default_value = "sigbox-data")]
    data: PathBuf,
}

impl Folder {
    fn layout(&self) -> Layout {
        Layout::new(self.data.clone())
    }
}

/// Runs the command.
///
/// # Errors
/// [`Failure`].
pub(crate) async fn run(args: KeysArgs, console: Console) -> Result<(), Failure> {
    // Tokens and services are waited for.
    let work = move || match args.command {
        KeysCommand::List(folder) => list(&folder.layout()),
        KeysCommand::Show { id, folder } => show(&folder.layout(), &id, console),
        KeysCommand::Export(folder) => export(&folder.layout()),
        KeysCommand::Init {
            folder,
            public_url,
            signers,
        } => init(&folder.layout(), &public_url, signers, clock::system()(), console),
        KeysCommand::Move { id, uri, folder } => relocate(&folder.layout(), &id, &uri, console),
    };
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| Failure::failed(format!("interrupted: {error}")))?
}

fn print(line: &str) -> Result<(), Failure> {
    console::result(line).map_err(|error| Failure::failed(format!("cannot write: {error}")))
}

fn registry(layout: &Layout) -> Result<Registry, Failure> {
    read_registry(layout).map_err(Failure::failed)?.ok_or_else(|| {
        Failure::failed(format!(
            "{} is missing: expected the data folder of an instance (--data DIR)",
            layout.registry().display()
        ))
    })
}

fn record<'a>(registry: &'a Registry, id: &str) -> Result<&'a KeyRecord, Failure> {
    registry
        .keys
        .iter()
        .find(|record| record.id == id)
        .ok_or_else(|| {
            let ids: Vec<_> = registry.keys.iter().map(|record| record.id.as_str()).collect();
            Failure::failed(format!("there is no key {id:?}; keys are {}", ids.join(", ")))
        })
}

fn list(layout: &Layout) -> Result<(), Failure> {
    let registry = registry(layout)?;
    print(&format!(
        "{:<16} {:<12} {:<26} {:<21} {:<21} SIGNER",
        "ID", "ROLE", "ALGORITHM", "FROM", "TO"
    ))?;
    for record in &registry.keys {
        let until = match (record.valid_to, record.successor) {
            (Some(end), _) => end.to_string(),
            (None, None) => "in use".to_owned(),
            (None, Some(succession)) => match succession.due() {
                Some(due) => format!("in use from {due}"),
                None => "to be published".to_owned(),
            },
        };
        print(&format!(
            "{:<16} {:<12} {:<26} {:<21} {until:<21} {}",
            record.id,
            record.role.name(),
            record.key_details.proto_name().trim_start_matches("PKIX_"),
            record.valid_from,
            record.signer
        ))?;
    }
    Ok(())
}

fn export(layout: &Layout) -> Result<(), Failure> {
    let json = exported(&registry(layout)?).to_json().map_err(Failure::failed)?;
    print(json.trim_end())
}

fn show(layout: &Layout, id: &str, console: Console) -> Result<(), Failure> {
    let registry = registry(layout)?;
    let record = record(&registry, id)?;
    let key = record.public_key().map_err(Failure::failed)?;
    print(&format!("id         {}", record.id))?;
    print(&format!("role       {}", record.role))?;
    print(&format!("algorithm  {}", record.key_details.proto_name()))?;
    print(&format!("valid from {}", record.valid_from))?;
    if let Some(end) = record.valid_to {
        print(&format!("valid to   {end}"))?;
    }
    print(&format!("signer     {}", record.signer))?;
    print(&format!("SHA-256    {}", hex::encode(key.fingerprint())))?;
    if !record.log_id.is_empty() {
        print(&format!(
            "log        {} ({})",
            hex::encode(&record.log_id),
            record.origin
        ))?;
    }
    for certificate in record.certificates().map_err(Failure::failed)? {
        print(&format!("certificate {}", certificate.subject_text()))?;
    }
    print(key.to_pem().trim_end())?;
    if record.valid_to.is_none() {
        let signer = load(&keyring(layout), record).map_err(Failure::failed)?;
        try_out(id, &*signer).map_err(Failure::failed)?;
        console.remark("The private key is there and signs.");
    }
    Ok(())
}

fn init(
    layout: &Layout,
    url: &PublicUrl,
    places: Vec<Place>,
    now: SystemTime,
    console: Console,
) -> Result<(), Failure> {
    let places = Places::new(places).map_err(Failure::failed)?;
    let _lock = Arc::new(DataFolder::open(layout.root().to_owned()).map_err(Failure::failed)?);
    if !Keys::listed(layout).map_err(Failure::failed)?.is_empty() {
        return Err(Failure::failed(format!(
            "{} is there already: this folder has its keys",
            layout.registry().display()
        )));
    }
    let keys = Keys::open(layout, &url.clone().into(), &places, now).map_err(Failure::failed)?;
    for record in &keys.registry().keys {
        console.line(&format!("{:<16} {}", record.id, record.signer));
    }
    console.remark("The registry is in the data folder; back it up with the keys themselves.");
    Ok(())
}

fn relocate(layout: &Layout, id: &str, uri: &str, console: Console) -> Result<(), Failure> {
    let _lock = DataFolder::open(layout.root().to_owned()).map_err(Failure::failed)?;
    let mut registry = registry(layout)?;
    let old = record(&registry, id)?.clone();
    let moved = KeyRecord {
        signer: uri.to_owned(),
        ..old.clone()
    };
    let signer = load(&keyring(layout), &moved).map_err(|error| match error {
        KeysError::Other { .. } => Failure::failed(format!(
            "{uri} is another key than {id}: import that one first; a log never continues with another key"
        )),
        error => Failure::failed(error),
    })?;
    try_out(id, &*signer).map_err(Failure::failed)?;
    for record in registry.keys.iter_mut().filter(|record| record.id == id) {
        record.signer.clone_from(&moved.signer);
    }
    let json = registry.to_json().map_err(Failure::failed)?;
    disk::write(&layout.registry(), json.as_bytes()).map_err(Failure::failed)?;
    console.line(&format!("{id} is at {uri} from now on"));
    if old.signer.starts_with("file:") && old.signer != uri {
        console.warning(&format!(
            "the private key is still in the keys folder ({}): remove the file once a backup exists",
            old.signer
        ));
    }
    Ok(())
}
