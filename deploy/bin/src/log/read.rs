//! `log info`, `log get`, `log proof`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use common_tlog::checkpoint::Checkpoint;
use common_tlog::note::Note;
use common_tlog::proof::verify_inclusion;
use common_tlog::{Hash, leaf_hash};
use http::StatusCode;
use rekor_monitor::{Client as TileClient, Limits, LogReader, Signature};
use serde::Deserialize;
use serde_json::{Value, json};

use super::keys::{Keys, signer, verified};
use super::{EntryArgs, Place};
use crate::cli::DEFAULT_URL;
use crate::console::{self, Console};
use crate::exit::Failure;
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

/// The newest checkpoint of a log.
struct Newest {
    /// What the instance says of the log beside.
    told: Option<Log>,
    note: Note,
    checkpoint: Checkpoint,
}

#[derive(Deserialize)]
struct Logs {
    logs: Vec<Log>,
}

#[derive(Deserialize)]
struct Log {
    log: u32,
    kind: String,
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
    let url = &place.trust.url;
    // At another URL there may be a log of anybody's.
    let client = match url == DEFAULT_URL {
        true => Client::instance(url),
        false => Client::new(url),
    };
    let client = client.map_err(Failure::failed)?;
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
    let client = TileClient::new(&place.trust.url, Limits::default()).map_err(Failure::failed)?;
    Ok(LogReader::new(client))
}

fn read_note(text: &str) -> Result<(Note, Checkpoint), Failure> {
    let note = Note::parse(text.as_bytes()).map_err(|error| unexpected("a signed note")(&error))?;
    let checkpoint = Checkpoint::parse(note.text()).map_err(|error| unexpected("a checkpoint")(&error))?;
    Ok((note, checkpoint))
}

impl Newest {
    /// What an instance says of a log.
    ///
    /// # Errors
    /// [`Failure`] when the instance contradicts what the log signs.
    fn of_instance(log: Log) -> Result<Newest, Failure> {
        let (note, checkpoint) = read_note(&log.checkpoint)?;
        if checkpoint.size != log.size || checkpoint.root.to_string() != log.root {
            return Err(Failure::failed(format!(
                "log {}: expected size and root of its checkpoint, got size {} and root {}",
                log.log, log.size, log.root
            )));
        }
        Ok(Newest {
            told: Some(log),
            note,
            checkpoint,
        })
    }

    fn line(&self, signature: &Signature) -> String {
        let Checkpoint {
            origin, size, root, ..
        } = &self.checkpoint;
        let (name, state) = match &self.told {
            Some(Log { log, kind, state, .. }) => (format!("log {log}  {kind} "), format!("  {state}")),
            None => (String::new(), String::new()),
        };
        let signed = match signature {
            Signature::Verified(name) => format!("signed by {name}"),
            Signature::Wrong => "signature WRONG".to_owned(),
            Signature::NotVerified => "signature NOT verified".to_owned(),
        };
        format!("{name}{origin:?}  {size} entries  root {root}{state}  {signed}")
    }

    fn json(&self, signature: &Signature) -> Value {
        let Checkpoint {
            origin, size, root, ..
        } = &self.checkpoint;
        let mut json = json!({
            "origin": origin, "size": size, "root": root.to_string(), "checkpoint": self.note.to_string(),
            "signed_by": signer(signature), "signature_verified": verified(signature),
        });
        if let (Some(log), Some(members)) = (&self.told, json.as_object_mut()) {
            members.insert("log".to_owned(), log.log.into());
            members.insert("kind".to_owned(), log.kind.as_str().into());
            members.insert("state".to_owned(), log.state.as_str().into());
        }
        json
    }
}

/// `log info`.
pub(super) async fn info(place: &Place, console: Console) -> Result<(), Failure> {
    let logs = logs(place).await?;
    let is_instance = logs.is_some();
    let newest: Vec<Newest> = match logs {
        Some(logs) => logs
            .into_iter()
            .filter(|log| place.log.is_none_or(|number| number == log.log))
            .map(Newest::of_instance)
            .collect::<Result<_, _>>()?,
        None => {
            let (note, checkpoint) = tiles(place)?.checkpoint().await.map_err(Failure::failed)?;
            vec![Newest {
                told: None,
                note,
                checkpoint,
            }]
        }
    };
    let keys = Keys::of(place, is_instance).await?;
    let signatures: Vec<Signature> = newest
        .iter()
        .map(|log| keys.verify(&log.note, &log.checkpoint))
        .collect();
    let shown = newest.iter().zip(&signatures);
    let text = match place.json {
        true => {
            let logs: Vec<Value> = shown.map(|(log, signature)| log.json(signature)).collect();
            json!({ "logs": logs }).to_string()
        }
        false => {
            let lines: Vec<String> = shown.map(|(log, signature)| log.line(signature)).collect();
            lines.join("\n")
        }
    };
    console::result(&text).map_err(Failure::failed)?;
    // What was shown of it is somebody else's.
    let mut shown = newest.iter().zip(&signatures);
    match shown.find(|(_, signature)| **signature == Signature::Wrong) {
        Some((log, _)) => Err(keys.refusal(&log.note, &log.checkpoint)),
        None => {
            console.remark(&keys.remark());
            Ok(())
        }
    }
}

/// Reads an entry and verifies its inclusion, and the checkpoint's signature if it is known whose that must be; gives who has
/// signed it then.
async fn proven(args: &EntryArgs, console: Console) -> Result<(Proven, Option<String>), Failure> {
    let place = &args.place;
    let logs = logs(place).await?;
    let is_instance = logs.is_some();
    let proven = match logs {
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
    let keys = Keys::of(place, is_instance).await?;
    let signature = keys.verify(&proven.note, &checkpoint);
    if signature == Signature::Wrong {
        return Err(keys.refusal(&proven.note, &checkpoint));
    }
    let signer = signer(&signature).map(ToOwned::to_owned);
    let by = signer
        .as_ref()
        .map(|name| format!(", signed by {name}"))
        .unwrap_or_default();
    console.remark(&format!(
        "entry {} is in the tree of {:?} at size {}, root {}{by}",
        proven.index, checkpoint.origin, checkpoint.size, checkpoint.root
    ));
    console.remark(&keys.remark());
    Ok((proven, signer))
}

async fn from_instance(place: &Place, log: u32, index: u64) -> Result<Proven, Failure> {
    let client = Client::instance(&place.trust.url).map_err(Failure::failed)?;
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

/// What is printed of an entry, and who has signed the checkpoint.
fn with_signer(mut entry: Value, signer: Option<&str>) -> String {
    if let Some(members) = entry.as_object_mut() {
        members.insert("signedBy".to_owned(), signer.into());
        members.insert("signatureVerified".to_owned(), signer.map(|_| true).into());
    }
    entry.to_string()
}

/// `log get`: the body as it is in the log, or all that is known of the entry.
pub(super) async fn get(args: &EntryArgs, console: Console) -> Result<(), Failure> {
    let (proven, signer) = proven(args, console).await?;
    let text = if args.place.json {
        let entry = proven.told.unwrap_or_else(|| {
            json!({
                "index": proven.index,
                "body": STANDARD.encode(&proven.leaf),
                "leafHash": leaf_hash(&proven.leaf).to_string(),
                "checkpoint": proven.note.to_string(),
            })
        });
        with_signer(entry, signer.as_deref())
    } else {
        // Bodies of Rekor are JSON; what is no text is shown so that it does no harm.
        match std::str::from_utf8(&proven.leaf) {
            Ok(text) if !text.contains(char::is_control) => text.to_owned(),
            _ => STANDARD.encode(&proven.leaf),
        }
    };
    console::result(&text).map_err(Failure::failed)
}

/// `log proof`: C2SP tlog-proof, a text that can be verified later without the log.
pub(super) async fn proof(args: &EntryArgs, console: Console) -> Result<(), Failure> {
    let (proven, signer) = proven(args, console).await?;
    let text = if args.place.json {
        let proof = json!({
            "index": proven.index,
            "leafHash": leaf_hash(&proven.leaf).to_string(),
            "hashes": proven.hashes.iter().map(ToString::to_string).collect::<Vec<_>>(),
            "checkpoint": proven.note.to_string(),
        });
        with_signer(proof, signer.as_deref())
    } else {
        let mut lines = vec![PROOF.to_owned(), format!("index {}", proven.index)];
        lines.extend(proven.hashes.iter().map(Hash::to_base64));
        lines.push(String::new());
        lines.push(proven.note.to_string().trim_end_matches('\n').to_owned());
        lines.join("\n")
    };
    console::result(&text).map_err(Failure::failed)
}
