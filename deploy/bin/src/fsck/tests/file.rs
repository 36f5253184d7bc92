//! Every byte of the SQLite file: found by the engine's check or SQLite's own, refused at once, or without any effect
//! on what is stored.

use std::io::{Seek, SeekFrom, Write};
use std::path::Path;
use std::sync::Arc;

use common_backend::folder::DataFolder;
use common_backend::sqlite::SqliteStorage;
use common_bundle::trust::Registry;
use common_engine::memory::Contents;
use common_engine::{IndexSecret, Storage, StorageError};
use common_tlog::tile::tiles_for;

use super::super::checks;
use super::step;
use super::store::{check, checks_of, fill};

/// All that is stored and used. When a log was created is not: no check compares it with anything, no answer is made of it
/// (`common_engine::LogSpec::created`), it is for people who look into the file.
#[derive(PartialEq)]
struct Dump {
    secret: IndexSecret,
    contents: Vec<String>,
}

async fn dump(storage: &dyn Storage) -> Result<Dump, StorageError> {
    let mut contents = Contents::default();
    for mut log in storage.logs().await? {
        log.info.spec.created = 0;
        let id = log.info.id;
        for leaf in storage.leaves(id, 0, u32::MAX).await? {
            let index = leaf.index;
            contents
                .leaves
                .insert(common_engine::Place { log: id, index }, leaf);
        }
        let tiles: Vec<_> = tiles_for(log.head.size.min(1_000))
            .map(|(tile, _)| tile)
            .collect();
        for (tile, bytes) in tiles.iter().zip(storage.tiles(id, &tiles).await?) {
            contents.tiles.extend(bytes.map(|bytes| ((id, *tile), bytes)));
        }
        contents.logs.insert(id, log);
    }
    contents.index.extend(storage.index_rows(None, 10_000).await?);
    for attachment in storage.attachments(None, 1_000).await? {
        contents.attachments.insert(attachment.key, attachment.data);
    }
    Ok(Dump {
        secret: storage.secret().await?,
        contents: vec![
            format!("{:?}", contents.logs),
            format!("{:?}", contents.leaves),
            format!("{:?}", contents.tiles),
            format!("{:?}", contents.index),
            format!("{:?}", contents.attachments),
        ],
    })
}

#[derive(Debug, PartialEq, Eq)]
enum Came {
    /// The database cannot be opened, or its rows of logs cannot be read.
    Refused,
    /// Something was found.
    Found,
    /// Nothing that is stored is another.
    WithoutEffect,
}

async fn damaged(folder: &Path, registry: &Registry, sound: &Dump) -> Result<Came, String> {
    let Ok(storage) = SqliteStorage::open_read_only(folder).await else {
        return Ok(Came::Refused);
    };
    let came = examine(&storage, registry, sound).await;
    storage.close().await;
    came
}

async fn examine(storage: &SqliteStorage, registry: &Registry, sound: &Dump) -> Result<Came, String> {
    let Ok(stored) = storage.logs().await else {
        return Ok(Came::Refused);
    };
    let logs = checks::logs(registry, &stored);
    let pages = storage
        .integrity()
        .await
        .unwrap_or_else(|error| vec![error.to_string()]);
    if !logs.wrong.is_empty() || !pages.is_empty() {
        return Ok(Came::Found);
    }
    let report = check(storage, &logs.checks).await;
    if !report.is_clean() {
        return Ok(Came::Found);
    }
    match dump(storage).await {
        Ok(now) if now == *sound => Ok(Came::WithoutEffect),
        Ok(now) => {
            let parts = now.contents.iter().zip(&sound.contents);
            let other: Vec<_> = parts.filter(|(now, sound)| now != sound).collect();
            Err(format!(
                "what is stored is another, and nothing was found: {other:#?}"
            ))
        }
        Err(error) => Err(format!("nothing was found, and not all can be read: {error}")),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_byte_flipped_anywhere_in_the_file_is_found_or_has_no_effect() {
    let folder = tempfile::tempdir().unwrap();
    let (registry, sound) = {
        let lock = Arc::new(DataFolder::open(folder.path()).unwrap());
        let storage = Arc::new(SqliteStorage::open(lock).await.unwrap());
        let registry = fill(folder.path(), storage.clone()).await;
        checks_of(&registry, storage.as_ref()).await;
        let sound = dump(storage.as_ref()).await.unwrap();
        storage.close().await;
        (registry, sound)
    };
    let path = folder.path().join("sigbox.db");
    let bytes = std::fs::read(&path).unwrap();
    assert_eq!(
        damaged(folder.path(), &registry, &sound).await,
        Ok(Came::WithoutEffect)
    );
    let mut file = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
    let mut write = |at: usize, byte: u8| {
        file.seek(SeekFrom::Start(at as u64)).unwrap();
        file.write_all(&[byte]).unwrap();
    };
    let mut counts = [0usize; 3];
    for at in (0..bytes.len()).step_by(step(509)) {
        write(at, bytes[at] ^ (1 << (at % 8)));
        let came = damaged(folder.path(), &registry, &sound).await;
        let came = came.unwrap_or_else(|error| panic!("byte {at} of {}: {error}", bytes.len()));
        counts[came as usize] += 1;
        write(at, bytes[at]);
    }
    let [refused, found, without] = counts;
    assert!(
        refused > 0 && found > 20 && without > 0,
        "{refused} {found} {without}"
    );
    assert_eq!(
        damaged(folder.path(), &registry, &sound).await,
        Ok(Came::WithoutEffect)
    );
}
