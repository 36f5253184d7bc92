//! `keys`: the key registry of a data folder for people, and its first keys wherever they are to be.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use clap::{Args, Subcommand};
use common_backend::folder::DataFolder;
use common_bundle::trust::{KeyRecord, Registry, Succession, Timestamp};
use common_pki::cert::Certificate;
use serde_json::{Value, json};

use super::others::exported;
use super::places::{Place, Places};
use super::quiet::quiet;
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
    ///
    /// Behind an authority's key are those of the certificates above its own. They signed these when they were made and sign
    /// nothing else, so their files may be taken away.
    List {
        #[command(flatten)]
        folder: Folder,
        /// Print one JSON object on standard output.
        #[arg(long)]
        json: bool,
    },
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
        #[arg(long = "signer", value_name = "[NAME=]URI", value_parser = quiet::<Place>())]
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
        KeysCommand::List { folder, json } => {
            let keys = listed(&folder.layout())?;
            print(&match json {
                true => json!({ "keys": keys.iter().map(Listed::json).collect::<Vec<_>>() }).to_string(),
                false => table(&keys),
            })
        }
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

/// A line of the list.
type Row = [String; 6];

/// A key of the list.
struct Listed {
    id: String,
    role: &'static str,
    algorithm: String,
    from: Timestamp,
    to: Option<Timestamp>,
    /// While it is on its way.
    succession: Option<Succession>,
    /// Where it is, if its place is known here.
    signer: Option<String>,
}

impl Listed {
    fn new(record: &KeyRecord) -> Listed {
        Listed {
            id: record.id.clone(),
            role: record.role.name(),
            algorithm: record
                .key_details
                .proto_name()
                .trim_start_matches("PKIX_")
                .to_owned(),
            from: record.valid_from,
            to: record.valid_to,
            succession: record.successor,
            signer: Some(record.signer.clone()),
        }
    }

    fn row(&self) -> Row {
        let until = match (self.to, self.succession) {
            (Some(end), _) => end.to_string(),
            (None, None) => "in use".to_owned(),
            (None, Some(succession)) => match succession.due() {
                Some(due) => format!("in use from {due}"),
                None => "to be published".to_owned(),
            },
        };
        [
            self.id.clone(),
            self.role.to_owned(),
            self.algorithm.clone(),
            self.from.to_string(),
            until,
            self.signer.clone().unwrap_or_else(|| "kept elsewhere".to_owned()),
        ]
    }

    fn json(&self) -> Value {
        json!({
            "id": self.id,
            "role": self.role,
            "algorithm": self.algorithm,
            "validFrom": self.from,
            "validTo": self.to,
            "successor": self.succession.map(|succession| json!({ "due": succession.due() })),
            "signer": self.signer,
        })
    }
}

/// Every key of the registry, and behind an authority's those above it.
fn listed(layout: &Layout) -> Result<Vec<Listed>, Failure> {
    let mut keys = Vec::new();
    for record in &registry(layout)?.keys {
        keys.push(Listed::new(record));
        keys.extend(above(layout, record)?);
    }
    Ok(keys)
}

/// The keys above an authority's own, by the certificates over them: no record has them, because nothing is signed with them
/// once the chain is made.
fn above(layout: &Layout, record: &KeyRecord) -> Result<Vec<Listed>, Failure> {
    let own = record.id.rsplit_once('-').unwrap_or((&record.id, ""));
    let (family, number) = (own.0.trim_end_matches("-ca"), own.1);
    let time = |unix: u64| i64::try_from(unix).ok().and_then(Timestamp::from_unix);
    let one = |certificate: &Certificate| {
        let role = match certificate.is_self_issued() {
            true => "root",
            false => "intermediate",
        };
        let id = format!("{family}-{role}-{number}");
        let place = format!("{id}.pem");
        let is_here = layout.keys().join(&place).is_file();
        let key = certificate.public_key().map_err(Failure::failed)?;
        let start = time(certificate.not_before()).unwrap_or(record.valid_from);
        let known = KeyRecord::new(record.role, id, key, "", "", start).map_err(Failure::failed)?;
        Ok(Listed {
            role,
            to: time(certificate.not_after()),
            signer: is_here.then(|| format!("file:{place}")),
            ..Listed::new(&known)
        })
    };
    let certificates = record.certificates().map_err(Failure::failed)?;
    certificates.iter().skip(1).map(one).collect()
}

/// Columns as wide as what is in them.
fn table(keys: &[Listed]) -> String {
    let head = ["ID", "ROLE", "ALGORITHM", "FROM", "TO", "SIGNER"].map(str::to_owned);
    let rows: Vec<Row> = std::iter::once(head)
        .chain(keys.iter().map(Listed::row))
        .collect();
    let mut widths = [0; 6];
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.chars().count().max(*width);
        }
    }
    let line = |row: &Row| {
        let cells = row.iter().zip(widths);
        let padded: String = cells.map(|(cell, width)| format!("{cell:<width$}  ")).collect();
        padded.trim_end().to_owned()
    };
    rows.iter().map(line).collect::<Vec<_>>().join("\n")
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
        KeysError::Missing { place } => Failure::failed(format!(
            "{place} is missing: expected key {id}, imported there before it is moved. Nothing was changed"
        )),
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

#[cfg(test)]
mod tests {
    #![allow(
        clippy::unwrap_used,
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects,
        reason = "tests"
    )]

    use std::time::Duration;

    use super::*;

    fn instance() -> (tempfile::TempDir, Layout) {
        let folder = tempfile::tempdir().unwrap();
        let layout = Layout::new(folder.path().to_owned());
        let url: PublicUrl = "http://localhost:3000".parse().unwrap();
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
        Keys::open(&layout, &url.into(), &Places::default(), now).unwrap();
        (folder, layout)
    }

    #[test]
    fn the_keys_above_an_authority_are_listed_wherever_they_are() {
        let (_folder, layout) = instance();
        let all = registry(&layout).unwrap();
        let listed = |id: &str| -> Vec<(String, String, String)> {
            let keys = above(&layout, record(&all, id).unwrap()).unwrap();
            let told = |key: Listed| {
                let [id, role, algorithm, .., signer] = key.row();
                assert_eq!(algorithm, "ECDSA_P384_SHA_384");
                (id, role, signer)
            };
            keys.into_iter().map(told).collect()
        };
        let text = |id: &str, role: &str, signer: &str| (id.to_owned(), role.to_owned(), signer.to_owned());
        assert_eq!(
            listed("tsa-1"),
            [
                text(
                    "tsa-intermediate-1",
                    "intermediate",
                    "file:tsa-intermediate-1.pem"
                ),
                text("tsa-root-1", "root", "file:tsa-root-1.pem"),
            ]
        );
        assert!(listed("ct-log-1").is_empty());
        std::fs::remove_file(layout.keys().join("fulcio-root-1.pem")).unwrap();
        assert_eq!(
            listed("fulcio-ca-1"),
            [text("fulcio-root-1", "root", "kept elsewhere")]
        );
    }

    /// One in use, or one that was or was not published.
    fn key(id: &str, published: Option<Option<i64>>, signer: Option<&str>) -> Listed {
        Listed {
            id: id.to_owned(),
            role: "tsa",
            algorithm: "X".to_owned(),
            from: Timestamp::from_unix(0).unwrap(),
            to: None,
            succession: published.map(|at| Succession {
                propagation: 60,
                published: at.and_then(Timestamp::from_unix),
            }),
            signer: signer.map(str::to_owned),
        }
    }

    #[test]
    fn programs_read_of_a_key_what_people_do() {
        assert_eq!(
            key("a", None, Some("file:a")).json(),
            json!({
                "id": "a", "role": "tsa", "algorithm": "X", "validFrom": "1970-01-01T00:00:00Z",
                "validTo": null, "successor": null, "signer": "file:a",
            })
        );
        for (published, due) in [
            (Some(1_800_000_000), json!("2027-01-15T08:01:00Z")),
            (None, Value::Null),
        ] {
            let on_its_way = key("a", Some(published), None).json();
            assert_eq!(on_its_way["successor"], json!({ "due": due }));
        }
        let (_folder, layout) = instance();
        let keys = listed(&layout).unwrap();
        let root = keys.iter().find(|key| key.id == "tsa-root-1").unwrap().json();
        assert_eq!(
            (&root["role"], &root["signer"]),
            (&"root".into(), &"file:tsa-root-1.pem".into())
        );
        assert!(root["validTo"].is_string(), "{root}");
    }

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let shown = table(&[
            key("a", Some(Some(1_800_000_000)), Some("file:a")),
            key("b", None, None),
        ]);
        let at = |part: &str| shown.lines().find_map(|line| line.find(part));
        assert_eq!(at("SIGNER"), at("file:a"), "{shown}");
        assert!(shown.lines().all(|line| line == line.trim_end()), "{shown}");
    }

    #[test]
    fn a_place_without_the_key_is_named_and_nothing_moves() {
        let (_folder, layout) = instance();
        let before = std::fs::read(layout.registry()).unwrap();
        let moved = relocate(&layout, "tsa-1", "file:nope.pem", Console::new()).unwrap_err();
        assert!(
            moved.message.contains("nope.pem is missing: expected key tsa-1"),
            "{}",
            moved.message
        );
        let within = relocate(
            &layout,
            "tsa-1",
            "file:tsa-1.pem?passphrase=hunter2",
            Console::new(),
        );
        let said = within.unwrap_err().message;
        assert!(!said.contains("hunter2"), "{said}");
        assert_eq!(std::fs::read(layout.registry()).unwrap(), before);
    }
}
