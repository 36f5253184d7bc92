//! Sound bundles, and everything that is done to them.

use std::collections::BTreeSet;
use std::path::PathBuf;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use serde_json::{Map, Value};
use tests::bundle::flips;
use tests::clients::Content;
use tests::stack::Stack;

use crate::matrix::clients::{self, Clients};
use crate::matrix::expected::Expected;

/// A bundle that verifies.
pub(super) struct Sound {
    /// Its row of the matrix.
    pub(super) row: usize,
    /// What is signed and what the log holds of it, as `unread.toml` names it.
    pub(super) kind: String,
    /// Who signed.
    pub(super) made_by: String,
    /// What is signed.
    pub(super) content: Content,
    who: String,
    artifact: PathBuf,
    bundle: Value,
}

impl Sound {
    /// Each client signs something of its own, under a name of its own.
    pub(super) fn all(
        stack: &Stack,
        clients: &Clients<'_>,
        expected: &Expected,
        rows: &[(&str, &str, &str)],
    ) -> Vec<Self> {
        // The first entry of a log has a proof without hashes, and there is nothing in it to damage.
        for rekor in ["v1", "v2"] {
            Self::make(stack, clients, expected, ("cosign", "blob", rekor), "first");
        }
        let mut made = Vec::new();
        for (number, row) in rows.iter().enumerate() {
            made.push(Self::make(stack, clients, expected, *row, &number.to_string()));
        }
        made
    }

    fn make(
        stack: &Stack,
        clients: &Clients<'_>,
        expected: &Expected,
        (made_by, content, rekor): (&str, &str, &str),
        name: &str,
    ) -> Self {
        let wanted = format!("{made_by}-{content}-{rekor}");
        let row = expected
            .bundle
            .iter()
            .position(|bundle| bundle.name() == wanted)
            .unwrap();
        let bundle = &expected.bundle[row];
        let who = format!("signer-{name}@example.com");
        let artifact = stack.file(&format!("{name}.artifact"), format!("what {name} signs"));
        let statement = clients::statement(stack, &artifact);
        let file = match bundle.content() {
            Content::Blob => &artifact,
            Content::Statement => &statement,
        };
        let path = stack.path(&format!("{name}.sound.json"));
        clients.sign(bundle, &who, file, &artifact, &path);
        // Of these two kinds there are two encodings of a statement each.
        let other = ["intoto", "dsse 0.0.2"]
            .iter()
            .find(|entry| bundle.entry.starts_with(**entry));
        let kind = match other {
            Some(entry) => format!("{content} {rekor} as {}", entry.split(' ').next().unwrap()),
            None => format!("{content} {rekor}"),
        };
        Self {
            row,
            kind,
            made_by: made_by.to_owned(),
            content: bundle.content(),
            who,
            artifact,
            bundle: serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap(),
        }
    }
}

/// What a verifier is asked.
pub(super) struct Case {
    /// Of which sound bundle it is made.
    pub(super) sound: usize,
    /// What was done, as `unread.toml` names it; empty for nothing.
    pub(super) change: String,
    /// From where a part is.
    pub(super) donor: Option<usize>,
    /// The result.
    pub(super) bundle: PathBuf,
    /// Whose signature is expected.
    pub(super) who: String,
    /// Whose token.
    pub(super) issuer: String,
    /// Over what.
    pub(super) artifact: PathBuf,
}

impl Case {
    /// Whether nothing was changed.
    pub(super) fn is_sound(&self) -> bool {
        self.change.is_empty()
    }

    /// For messages.
    pub(super) fn name(&self, sound: &[Sound]) -> String {
        let bundle = &sound[self.sound];
        let of = self.donor.map(|donor| {
            let Sound { made_by, kind, .. } = &sound[donor];
            format!(" of {made_by}'s {kind}")
        });
        let change = if self.is_sound() {
            "unchanged"
        } else {
            &self.change
        };
        format!("{}'s, {change}{}", bundle.made_by, of.unwrap_or_default())
    }
}

/// Every case.
pub(super) fn all(stack: &Stack, sound: &[Sound]) -> Vec<Case> {
    let mut cases = Vec::new();
    for (index, bundle) in sound.iter().enumerate() {
        let mut add = |change: &str, donor: Option<usize>, content: &Value, whose: Option<Whose>| {
            let name = format!("case-{index}-{}.json", cases.len());
            let mut case = Case {
                sound: index,
                change: change.to_owned(),
                donor,
                bundle: stack.file(&name, content.to_string()),
                who: bundle.who.clone(),
                issuer: stack.ready.issuer.clone(),
                artifact: bundle.artifact.clone(),
            };
            match whose {
                Some(Whose::Name(name)) => case.who = name,
                Some(Whose::Issuer(url)) => case.issuer = url,
                Some(Whose::Artifact(path)) => case.artifact = path,
                None => {}
            }
            cases.push(case);
        };
        add("", None, &bundle.bundle, None);
        for (what, name) in [
            ("another identity", "other@example.com".to_owned()),
            ("the identity's beginning", bundle.who.replace(".com", "")),
            ("the identity and more", format!("{}.test", bundle.who)),
            ("a pattern of the identity", bundle.who.replace('-', ".")),
        ] {
            add(what, None, &bundle.bundle, Some(Whose::Name(name)));
        }
        let issuer = format!("{}/", stack.ready.issuer);
        add(
            "another issuer",
            None,
            &bundle.bundle,
            Some(Whose::Issuer(issuer)),
        );
        let other = &sound[(index + 1) % sound.len()].artifact;
        add(
            "another artifact",
            None,
            &bundle.bundle,
            Some(Whose::Artifact(other.clone())),
        );
        for (field, flipped) in flips(&bundle.bundle) {
            add(&format!("flipped {field}"), None, &flipped, None);
        }
        for (donor, from) in sound.iter().enumerate().filter(|(donor, _)| *donor != index) {
            for (part, mixed) in swaps(&bundle.bundle, &from.bundle) {
                add(&format!("swapped {part}"), Some(donor), &mixed, None);
            }
        }
    }
    cases
}

/// What is expected instead of what is so.
enum Whose {
    Name(String),
    Issuer(String),
    Artifact(PathBuf),
}

/// A part: what it is called, where its members are, and which they are.
type Part = (&'static str, &'static str, &'static [&'static str]);

const MATERIAL: &str = "/verificationMaterial";
const ENTRY: &str = "/verificationMaterial/tlogEntries/0";
const KEY: Part = (
    "key material",
    MATERIAL,
    &["certificate", "x509CertificateChain", "publicKey"],
);
const ENTRIES: Part = ("log entries", MATERIAL, &["tlogEntries"]);
const CONTENT: Part = ("content", "", &["messageSignature", "dsseEnvelope"]);

/// Parts that are put into another bundle, one or two at a time.
const PARTS: [&[Part]; 17] = [
    &[KEY],
    &[ENTRIES],
    &[CONTENT],
    &[("timestamps", MATERIAL, &["timestampVerificationData"])],
    &[("signature", "/messageSignature", &["signature"])],
    &[("digest", "/messageSignature", &["messageDigest"])],
    &[("payload", "/dsseEnvelope", &["payload"])],
    &[("envelope signatures", "/dsseEnvelope", &["signatures"])],
    &[("entry body", ENTRY, &["canonicalizedBody"])],
    &[("promise", ENTRY, &["inclusionPromise"])],
    &[("proof", ENTRY, &["inclusionProof"])],
    &[(
        "checkpoint",
        "/verificationMaterial/tlogEntries/0/inclusionProof",
        &["checkpoint"],
    )],
    &[("time", ENTRY, &["integratedTime"])],
    &[("log ID", ENTRY, &["logId"])],
    &[KEY, ENTRIES],
    &[CONTENT, ENTRIES],
    &[CONTENT, KEY],
];

/// `to` with each part of `from` in the place of its own. What `from` lacks would be taken away and not swapped, and what is
/// the same changes nothing.
fn swaps(to: &Value, from: &Value) -> Vec<(String, Value)> {
    let mut made = Vec::new();
    for parts in PARTS {
        let mut mixed = to.clone();
        let put = parts.iter().all(|part| put(&mut mixed, from, part));
        if put && without_encoding(&mixed) != without_encoding(to) {
            let names: BTreeSet<&str> = parts.iter().map(|(name, ..)| *name).collect();
            made.push((names.into_iter().collect::<Vec<_>>().join(" and "), mixed));
        }
    }
    made
}

fn put(to: &mut Value, from: &Value, (_, place, members): &Part) -> bool {
    let empty = Map::new();
    let Some(target) = to.pointer_mut(place).and_then(Value::as_object_mut) else {
        return false;
    };
    let source = from.pointer(place).and_then(Value::as_object).unwrap_or(&empty);
    let given: Vec<_> = members
        .iter()
        .filter_map(|name| source.get_key_value(*name))
        .collect();
    // An empty list of timestamps is none.
    if given.iter().all(|(_, value)| is_empty(value)) {
        return false;
    }
    target.retain(|name, _| !members.contains(&name.as_str()));
    for (name, value) in given {
        target.insert(name.clone(), value.clone());
    }
    true
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Object(members) => members.values().all(is_empty),
        Value::Array(items) => items.is_empty(),
        Value::String(text) => text.is_empty() || text == "0",
        Value::Null => true,
        _ => false,
    }
}

/// Two encodings of the same octets are the same.
fn without_encoding(value: &Value) -> Value {
    match value {
        Value::Object(members) => {
            let same = members
                .iter()
                .map(|(name, value)| (name.clone(), without_encoding(value)));
            Value::Object(same.collect())
        }
        Value::Array(items) => Value::Array(items.iter().map(without_encoding).collect()),
        Value::String(text) => match BASE64_STANDARD.decode(text) {
            Ok(octets) => hex::encode(octets).into(),
            Err(_) => value.clone(),
        },
        other => other.clone(),
    }
}
