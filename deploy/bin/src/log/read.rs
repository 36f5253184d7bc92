//! `log info`, `log get`, `log proof`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use common_tlog::checkpoint::Checkpoint;
use common_tlog::note::Note;
use common_tlog::proof::verify_inclusion;
use common_tlog::{Hash, leaf_hash};
use http::StatusCode;
use rekor_monitor::{Client as TileClient, Limits, LogReader};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{EntryArgs, Place};
use crate::console::{self, Console};
use crate::exit::Failure;
use crate::fsck::read_key;
use crate::http::Client;

/// First line of a proof (C2SP tlog-proof).
const PROOF: &str = "c2sp.org/tlog-proof@v1";

/// An entry whose inclusion was verified, and the note of the checkpoint it is in.
struct Proven {
    index: u64,
    leaf: Vec<u8>,
    hashes: Vec<Hash>,
    note: Note,
    /// What the instance says of it beside.
    told: Option<Value>,
}

#[derive(Deserialize)]
struct Logs {
    logs: Vec<Log>,
}

#[derive(Deserialize)]
struct Log {
    log: u32,
    kind: String,
    origin: String,
    state: String,
    size: u64,
    root: String,
    checkpoint: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    body: String,
    inclusion_proof: InclusionProof,
}

#[derive(Deserialize)]
struct InclusionProof {
    index: u64,
    hashes: Vec<String>,
    checkpoint: String,
}

fn unexpected(what: &'static str) -> impl Fn(&dyn std::fmt::Display) -> Failure {
    move |error| Failure::failed(format!("expected {what}: {error}"))
}

/// The logs of the instance; `None` if it is none.
async fn logs(place: &Place) -> Result<Option<Vec<Log>>, Failure> {
    let client = Client::new(&place.url).map_err(Failure::failed)?;
    let answer = client.get("/api/sigbox/v1/logs").await.map_err(Failure::failed)?;
    if answer.status != StatusCode::OK {
        return Ok(None);
    }
    // Whoever answers everything with a page is none either.
    Ok(serde_json::from_slice::<Logs>(&answer.body)
        .ok()
        .map(|logs| logs.logs))
}

fn tiles(place: &Place) -> Result<LogReader, Failure> {
    let client = TileClient::new(&place.url, Limits::default()).map_err(Failure::failed)?;
    Ok(LogReader::new(client))
}

/// Says who signed the checkpoint, or that nobody knows; a wrong signature is a failure.
fn signature(
    place: &Place,
    note: &Note,
    checkpoint: &Checkpoint,
    console: Console,
) -> Result<Option<String>, Failure> {
    let Some(given) = &place.key else {
        console.remark("checkpoint signature NOT verified: no --key");
        return Ok(None);
    };
    match read_key(given)?.verify(note, checkpoint) {
        Some(name) => Ok(Some(name)),
        None => Err(Failure::failed(format!(
            "none of {} signatures on the checkpoint of {:?} verifies with --key",
            note.signatures().len(),
            checkpoint.origin
        ))),
    }
}

fn read_note(text: &str) -> Result<(Note, Checkpoint), Failure> {
    let note = Note::parse(text.as_bytes()).map_err(|error| unexpected("a signed note")(&error))?;
    let checkpoint = Checkpoint::parse(note.text()).map_err(|error| unexpected("a checkpoint")(&error))?;
    Ok((note, checkpoint))
}

/// `log info`.
pub(super) async fn info(place: &Place, console: Console) -> Result<(), Failure> {
    if let Some(logs) = logs(place).await? {
        let chosen: Vec<Log> = logs
            .into_iter()
            .filter(|log| place.log.is_none_or(|number| number == log.log))
            .collect();
        let mut lines = Vec::new();
        let mut objects = Vec::new();
        for log in &chosen {
            let (note, checkpoint) = read_note(&log.checkpoint)?;
            if checkpoint.size != log.size || checkpoint.root.to_string() != log.root {
                return Err(Failure::failed(format!(
                    "log {}: expected size and root of its checkpoint, got size {} and root {}",
                    log.log, log.size, log.root
                )));
            }
            // Each log has a key of its own: one key is for the log that was chosen.
            let signer = match place.log {
                Some(_) => signature(place, &note, &checkpoint, console)?,
                None => None,
            };
            lines.push(format!(
                "log {}  {} {:?}  {} entries  root {}  {}",
                log.log, log.kind, log.origin, log.size, log.root, log.state
            ));
            objects.push(json!({
                "log": log.log, "kind": log.kind, "origin": log.origin, "size": log.size, "root": log.root,
                "state": log.state, "checkpoint": log.checkpoint, "signed_by": signer,
            }));
        }
        let text = if place.json {
            json!({ "logs": objects }).to_string()
        } else {
            lines.join("\n")
        };
        return console::result(&text).map_err(Failure::failed);
    }
    let (note, checkpoint) = tiles(place)?.checkpoint().await.map_err(Failure::failed)?;
    let signer = signature(place, &note, &checkpoint, console)?;
    let text = if place.json {
        let log = json!({
            "origin": checkpoint.origin, "size": checkpoint.size, "root": checkpoint.root.to_string(),
            "checkpoint": note.to_string(), "signed_by": signer,
        });
        json!({ "logs": [log] }).to_string()
    } else {
        format!(
            "{:?}  {} entries  root {}{}",
            checkpoint.origin,
            checkpoint.size,
            checkpoint.root,
            signer
                .map(|name| format!("  signed by {name}"))
                .unwrap_or_default()
        )
    };
    console::result(&text).map_err(Failure::failed)
}

/// Reads an entry and verifies its inclusion, and the checkpoint's signature if there is a key.
async fn proven(args: &EntryArgs, console: Console) -> Result<Proven, Failure> {
    let place = &args.place;
    let proven = match logs(place).await? {
        Some(logs) => {
            let number = match (place.log, logs.as_slice()) {
                (Some(number), _) => number,
                (None, [only]) => only.log,
                (None, several) => {
                    let known: Vec<String> = several
                        .iter()
                        .map(|log| format!("{} ({})", log.log, log.kind))
                        .collect();
                    return Err(Failure::failed(format!(
                        "the instance has several logs: choose one with --log: {}",
                        known.join(", ")
                    )));
                }
            };
            from_instance(place, number, args.index).await?
        }
        None => {
            let log = tiles(place)?;
            let (note, checkpoint) = log.checkpoint().await.map_err(Failure::failed)?;
            let entry = log
                .entry(args.index, &checkpoint)
                .await
                .map_err(Failure::failed)?;
            Proven {
                index: entry.index,
                leaf: entry.leaf,
                hashes: entry.proof,
                note,
                told: None,
            }
        }
    };
    let checkpoint =
        Checkpoint::parse(proven.note.text()).map_err(|error| unexpected("a checkpoint")(&error))?;
    verify_inclusion(
        proven.index,
        checkpoint.size,
        &leaf_hash(&proven.leaf),
        &proven.hashes,
        &checkpoint.root,
    )
    .map_err(|error| Failure::failed(format!("the entry is not proven in the checkpoint: {error}")))?;
    let signer = signature(place, &proven.note, &checkpoint, console)?;
    let by = signer
        .map(|name| format!(", signed by {name}"))
        .unwrap_or_default();
    console.remark(&format!(
        "entry {} is in the tree of {:?} at size {}, root {}{by}",
        proven.index, checkpoint.origin, checkpoint.size, checkpoint.root
    ));
    Ok(proven)
}

async fn from_instance(place: &Place, log: u32, index: u64) -> Result<Proven, Failure> {
    let client = Client::new(&place.url).map_err(Failure::failed)?;
    let path = format!("/api/sigbox/v1/logs/{log}/entries/{index}");
    let answer = client.get(&path).await.map_err(Failure::failed)?;
    let body = answer.expect(StatusCode::OK).map_err(Failure::failed)?;
    let wrong = unexpected("the JSON of an entry");
    let entry: Entry = serde_json::from_slice(&body).map_err(|error| wrong(&error))?;
    let told = serde_json::from_slice(&body).map_err(|error| wrong(&error))?;
    if entry.inclusion_proof.index != index {
        return Err(wrong(&format!(
            "index {index}, got {}",
            entry.inclusion_proof.index
        )));
    }
    let hash = |text: &String| {
        let octets = hex::decode(text).map_err(|error| wrong(&error))?;
        Hash::from_slice(&octets).map_err(|error| wrong(&error))
    };
    Ok(Proven {
        index,
        leaf: STANDARD.decode(&entry.body).map_err(|error| wrong(&error))?,
        hashes: entry
            .inclusion_proof
            .hashes
            .iter()
            .map(hash)
            .collect::<Result<_, _>>()?,
        note: read_note(&entry.inclusion_proof.checkpoint)?.0,
        told: Some(told),
    })
}

/// `log get`: the body as it is in the log, or all that is known of the entry.
pub(super) async fn get(args: &EntryArgs, console: Console) -> Result<(), Failure> {
    let proven = proven(args, console).await?;
    let text = match (&proven.told, args.place.json) {
        (Some(told), true) => told.to_string(),
        (None, true) => json!({
            "index": proven.index,
            "body": STANDARD.encode(&proven.leaf),
            "leafHash": leaf_hash(&proven.leaf).to_string(),
            "checkpoint": proven.note.to_string(),
        })
        .to_string(),
        // Bodies of Rekor are JSON; what is no text is shown so that it does no harm.
        (_, false) => match std::str::from_utf8(&proven.leaf) {
            Ok(text) if !text.contains(char::is_control) => text.to_owned(),
            _ => STANDARD.encode(&proven.leaf),
        },
    };
    console::result(&text).map_err(Failure::failed)
}

/// `log proof`: C2SP tlog-proof, a text that can be verified later without the log.
pub(super) async fn proof(args: &EntryArgs, console: Console) -> Result<(), Failure> {
    let proven = proven(args, console).await?;
    let text = if args.place.json {
        json!({
            "index": proven.index,
            "leafHash": leaf_hash(&proven.leaf).to_string(),
            "hashes": proven.hashes.iter().map(ToString::to_string).collect::<Vec<_>>(),
            "checkpoint": proven.note.to_string(),
        })
        .to_string()
    } else {
        let mut lines = vec![PROOF.to_owned(), format!("index {}", proven.index)];
        lines.extend(proven.hashes.iter().map(Hash::to_base64));
        lines.push(String::new());
        lines.push(proven.note.to_string().trim_end_matches('\n').to_owned());
        lines.join("\n")
    };
    console::result(&text).map_err(Failure::failed)
}
