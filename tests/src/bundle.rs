//! Damaging a bundle, one field at a time.

use base64::prelude::{BASE64_STANDARD, Engine as _};
use serde_json::Value;

/// Fields that hold octets, in base64.
const OCTETS: [&str; 10] = [
    "rawBytes",
    "keyId",
    "signedEntryTimestamp",
    "rootHash",
    "hashes",
    "signedTimestamp",
    "signature",
    "digest",
    "payload",
    "sig",
];

/// Every field that holds something, flipped: what it is called, and the bundle with that one changed.
pub fn flips(bundle: &Value) -> Vec<(String, Value)> {
    let mut places = Vec::new();
    leaves(bundle, &mut Vec::new(), &mut places);
    let mut made = Vec::new();
    for path in places {
        let names: Vec<&str> = path
            .iter()
            .map(String::as_str)
            .filter(|name| name.parse::<usize>().is_err())
            .collect();
        let name = names[names.len().saturating_sub(2)..].join(".");
        let pointer = format!("/{}", path.join("/"));
        let held = bundle.pointer(&pointer).unwrap();
        for (part, changed) in changes(names[names.len() - 1], held) {
            let mut flipped = bundle.clone();
            *flipped.pointer_mut(&pointer).unwrap() = changed;
            made.push((format!("{name}{part}"), flipped));
        }
    }
    made
}

/// Where the strings and numbers are.
fn leaves(value: &Value, at: &mut Vec<String>, out: &mut Vec<Vec<String>>) {
    let mut under = |name: String, value: &Value| {
        at.push(name);
        leaves(value, at, out);
        at.pop();
    };
    match value {
        Value::Object(members) => members
            .iter()
            .for_each(|(name, value)| under(name.clone(), value)),
        Value::Array(items) => items
            .iter()
            .enumerate()
            .for_each(|(index, value)| under(index.to_string(), value)),
        Value::String(text) if !text.is_empty() => out.push(at.clone()),
        Value::Number(_) => out.push(at.clone()),
        _ => {}
    }
}

/// What the field becomes; a signed note has several parts.
fn changes(name: &str, held: &Value) -> Vec<(&'static str, Value)> {
    let Some(text) = held.as_str() else {
        return vec![("", (held.as_u64().unwrap() + 1).into())];
    };
    let middle = |text: &str| flip_base64(text, |octets| octets.len() / 2);
    match name {
        "canonicalizedBody" => vec![("", flip_base64(text, in_json).into())],
        "envelope" => note(text, middle),
        "algorithm" => vec![("", text.replace("256", "384").into())],
        _ if OCTETS.contains(&name) => vec![("", middle(text).into())],
        _ => vec![("", flip_text(text).into())],
    }
}

/// A letter or digit behind the middle becomes another, so that it is JSON still, and any base64 in it too.
fn in_json(octets: &[u8]) -> usize {
    let stays = |at: &usize| octets[*at].is_ascii_alphanumeric() && (octets[*at] ^ 1).is_ascii_alphanumeric();
    (octets.len() / 2..octets.len()).find(stays).unwrap()
}

/// The lines of a checkpoint, and its signature.
fn note(text: &str, middle: impl Fn(&str) -> String) -> Vec<(&'static str, Value)> {
    let line = |number: usize, change: &dyn Fn(&str) -> String| {
        let mut lines: Vec<String> = text.split('\n').map(ToOwned::to_owned).collect();
        lines[number] = change(&lines[number]);
        Value::from(lines.join("\n"))
    };
    let signature = text.trim_end().rsplit(' ').next().unwrap();
    // Past the four bytes of key hint and the frame of a DER signature.
    let flipped = flip_base64(signature, |octets| octets.len() - 8);
    vec![
        (" origin", line(0, &flip_text)),
        (" size", line(1, &flip_text)),
        (" root", line(2, &middle)),
        (" signature", text.replace(signature, &flipped).into()),
    ]
}

/// The last letter or digit becomes another.
fn flip_text(text: &str) -> String {
    let at = text.rfind(|c: char| c.is_ascii_alphanumeric()).unwrap();
    let mut octets = text.as_bytes().to_vec();
    octets[at] = match octets[at] ^ 1 {
        other if other.is_ascii_alphanumeric() => other,
        _ => b'x',
    };
    String::from_utf8(octets).unwrap()
}

fn flip_base64(text: &str, at: impl Fn(&[u8]) -> usize) -> String {
    let mut bytes = BASE64_STANDARD.decode(text).unwrap();
    let index = at(&bytes);
    bytes[index] ^= 1;
    BASE64_STANDARD.encode(bytes)
}
