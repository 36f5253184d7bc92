//! Every stored value, one bit of each byte.

use std::sync::Arc;

use bytes::Bytes;
use common_engine::fsck::{At, Finding, LogCheck};
use common_engine::memory::{Contents, MemoryStorage};
use common_engine::{IndexKey, LogId, Place};
use common_tlog::Hash;

use super::step;
use super::store::{check, checks_of, fill};

/// Flips one bit of a byte, another one from byte to byte.
fn flip(bytes: &mut [u8], at: usize) {
    bytes[at] ^= 1 << (at % 8);
}

fn flipped(bytes: &Bytes, at: usize) -> Bytes {
    let mut bytes = bytes.to_vec();
    flip(&mut bytes, at);
    bytes.into()
}

struct Case {
    what: String,
    contents: Contents,
    /// The log it concerns; the others are not checked again.
    log: Option<LogId>,
    names: Box<dyn Fn(&Finding) -> bool>,
}

struct Tried {
    store: Arc<MemoryStorage>,
    sound: Contents,
    checks: Vec<LogCheck>,
    count: usize,
}

impl Tried {
    async fn case(&mut self, case: Case) {
        self.store.damage(|contents| *contents = case.contents);
        let chosen = self
            .checks
            .iter()
            .filter(|check| case.log.is_none_or(|log| check.id == log));
        let chosen: Vec<LogCheck> = chosen.cloned().collect();
        let report = check(self.store.as_ref(), &chosen).await;
        assert!(!report.is_clean(), "{}: nothing was found", case.what);
        assert!(
            report.findings.iter().any(|finding| (case.names)(finding)),
            "{}: found, but not named: {:#?}",
            case.what,
            report.findings
        );
        self.count += 1;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_byte_flipped_in_any_stored_value_is_found_and_named() {
    let folder = tempfile::tempdir().unwrap();
    let store = Arc::new(MemoryStorage::new());
    let registry = fill(folder.path(), store.clone()).await;
    let checks = checks_of(&registry, store.as_ref()).await;
    let report = check(store.as_ref(), &checks).await;
    assert_eq!(report.findings, [], "the sound store is clean");
    let sizes: Vec<u64> = report.logs.iter().map(|log| log.size).collect();
    assert_eq!(sizes, [6, 14, 8]);
    assert_eq!(report.attachments, 5, "three attestations, two issuers");

    let sound = store.contents();
    let mut tried = Tried {
        store,
        sound: sound.clone(),
        checks,
        count: 0,
    };
    leaves(&mut tried).await;
    tiles(&mut tried).await;
    heads(&mut tried).await;
    index(&mut tried).await;
    attachments(&mut tried).await;
    let count = tried.count;
    assert!(count > 400, "{count} flips");
    tried.store.damage(|contents| *contents = sound);
    assert!(check(tried.store.as_ref(), &tried.checks).await.is_clean());
}

async fn leaves(tried: &mut Tried) {
    for (place, leaf) in tried.sound.leaves.clone() {
        let named = move || -> Box<dyn Fn(&Finding) -> bool> {
            Box::new(move |finding| finding.at == At::Leaf(place.log, place.index))
        };
        let case = |what: String, tried: &Tried, change: &dyn Fn(&mut common_engine::StoredLeaf)| {
            let mut contents = tried.sound.clone();
            change(contents.leaves.get_mut(&place).unwrap());
            Case {
                what: format!("{place:?} {what}"),
                contents,
                log: Some(place.log),
                names: named(),
            }
        };
        for at in (0..leaf.data.len()).step_by(step(97)) {
            let case = case(format!("data {at}"), tried, &|leaf| {
                leaf.data = flipped(&leaf.data, at)
            });
            tried.case(case).await;
        }
        for at in (0..leaf.extra.len()).step_by(step(61)) {
            let case = case(format!("extra {at}"), tried, &|leaf| {
                leaf.extra = flipped(&leaf.extra, at)
            });
            tried.case(case).await;
        }
        for bit in (0..64).step_by(step(11)) {
            let case = case(format!("time bit {bit}"), tried, &|leaf| leaf.time ^= 1 << bit);
            tried.case(case).await;
        }
    }
}

async fn tiles(tried: &mut Tried) {
    for ((log, tile), bytes) in tried.sound.tiles.clone() {
        for at in (0..bytes.len()).step_by(step(13)) {
            let mut contents = tried.sound.clone();
            contents.tiles.insert((log, tile), flipped(&bytes, at));
            let case = Case {
                what: format!("log {log} {tile:?} {at}"),
                contents,
                log: Some(log),
                names: Box::new(move |finding| {
                    matches!(finding.at, At::Tile(id, named, _) if (id, named) == (log, tile))
                        && finding.what.starts_with(&format!("hash {} of", at / 32))
                }),
            };
            tried.case(case).await;
        }
    }
}

async fn heads(tried: &mut Tried) {
    for (log, row) in tried.sound.logs.clone() {
        let mut damaged = Vec::new();
        for bit in (0..64).step_by(step(9)) {
            let (mut size, mut time) = (row.clone(), row.clone());
            size.head.size ^= 1 << bit;
            time.head.time ^= 1 << bit;
            damaged.push((format!("size bit {bit}"), size));
            damaged.push((format!("time bit {bit}"), time));
        }
        for at in (0..32).step_by(step(3)) {
            let mut root = row.clone();
            let Hash(bytes) = &mut root.head.root;
            flip(bytes, at);
            damaged.push((format!("root {at}"), root));
        }
        for at in (0..row.head.checkpoint.len()).step_by(step(7)) {
            let mut text = row.head.checkpoint.clone().into_bytes();
            flip(&mut text, at);
            // Another text than UTF-8 is refused by the database.
            if let Ok(text) = String::from_utf8(text) {
                let mut checkpoint = row.clone();
                checkpoint.head.checkpoint = text;
                damaged.push((format!("checkpoint {at}"), checkpoint));
            }
        }
        for field in ["origin", "key ID", "tree ID", "leaf limit"] {
            let mut spec = row.clone();
            match field {
                "origin" => spec.info.spec.origin.push('x'),
                "key ID" => spec.info.spec.key_id.push('x'),
                "tree ID" => spec.info.spec.tree_id ^= 1,
                _ => spec.info.spec.leaf_limit ^= 1,
            }
            damaged.push((field.to_owned(), spec));
        }
        for (what, row) in damaged {
            let mut contents = tried.sound.clone();
            contents.logs.insert(log, row);
            let case = Case {
                what: format!("log {log} {what}"),
                contents,
                log: Some(log),
                names: Box::new(move |finding| finding.at == At::Head(log) || finding.at == At::Log(log)),
            };
            tried.case(case).await;
        }
    }
}

async fn index(tried: &mut Tried) {
    for (key, place) in tried.sound.index.clone() {
        for bit in (0..64).step_by(step(21)) {
            let other = (IndexKey(key.0 ^ (1 << bit)), place);
            row(tried, (key, place), other, format!("key bit {bit}")).await;
        }
        // One that says what the index is complete for, and now says less, is no damage: it is indexed anew.
        if !belongs_to_a_leaf(tried, (key, place)).await {
            continue;
        }
        // Leaf indexes have 40 bits, numbers of logs 16.
        for bit in (0..40).step_by(step(13)) {
            let moved = Place {
                index: place.index ^ (1 << bit),
                ..place
            };
            row(tried, (key, place), (key, moved), format!("index bit {bit}")).await;
        }
        for bit in (0..16).step_by(step(5)) {
            let moved = Place {
                log: LogId(place.log.0 ^ (1 << bit)),
                ..place
            };
            row(tried, (key, place), (key, moved), format!("log bit {bit}")).await;
        }
    }
}

/// Whether a leaf lacks the row when it is gone.
async fn belongs_to_a_leaf(tried: &Tried, row: (IndexKey, Place)) -> bool {
    let mut without = tried.sound.clone();
    without.index.remove(&row);
    tried.store.damage(|contents| *contents = without);
    let report = check(tried.store.as_ref(), &tried.checks).await;
    let leaf = At::Leaf(row.1.log, row.1.index);
    report.findings.iter().any(|finding| finding.at == leaf)
}

async fn row(tried: &mut Tried, row: (IndexKey, Place), other: (IndexKey, Place), what: String) {
    let mut contents = tried.sound.clone();
    contents.index.remove(&row);
    contents.index.insert(other);
    let place = row.1;
    let case = Case {
        what: format!("{row:?} {what}"),
        contents,
        log: None,
        names: Box::new(move |finding| {
            // A row that says what the index is complete for belongs to no leaf: it is named itself.
            (finding.at == At::Leaf(place.log, place.index) && finding.what == "index row")
                || finding.at == At::Index(other.0, other.1)
        }),
    };
    tried.case(case).await;
}

async fn attachments(tried: &mut Tried) {
    for (key, data) in tried.sound.attachments.clone() {
        for at in (0..data.len()).step_by(step(31)) {
            let mut contents = tried.sound.clone();
            contents.attachments.insert(key.clone(), flipped(&data, at));
            let named = key.clone();
            let case = Case {
                what: format!("attachment {key} data {at}"),
                contents,
                log: None,
                names: Box::new(move |finding| finding.at == At::Attachment(named.clone())),
            };
            tried.case(case).await;
        }
        for at in (0..key.len()).step_by(step(9)) {
            let mut other = key.clone().into_bytes();
            flip(&mut other, at);
            let Ok(other) = String::from_utf8(other) else {
                continue;
            };
            let mut contents = tried.sound.clone();
            contents.attachments.remove(&key);
            contents.attachments.insert(other.clone(), data.clone());
            let case = Case {
                what: format!("attachment {key} key {at}"),
                contents,
                log: None,
                names: Box::new(move |finding| finding.at == At::Attachment(other.clone())),
            };
            tried.case(case).await;
        }
    }
}
