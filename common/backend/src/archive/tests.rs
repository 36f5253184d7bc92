#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "tests"
)]

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;

use common_engine::memory::{Contents, MemoryStorage};
use common_engine::{
    Attachment, Clock, Engine, Entry, LogConfig, LogId, LogInfo, LogKind, LogSpec, LogState, Marks, NoAnchor,
    OpenError, Options, Personality, Published, SealError, Sealed, Storage, StoreError, StoredLeaf,
};
use common_tlog::checkpoint::Checkpoint;
use common_tlog::note::{KeyHint, Note};
use common_tlog::{Hash, leaf_hash, sha256};
use tempfile::TempDir;

use super::evidence::{Kind, Seen, Verdict};
use super::*;
use crate::folder::DataFolder;
use crate::sqlite::SqliteStorage;

const A: LogId = LogId(1);
const B: LogId = LogId(4);

/// A log whose identities are not its leaf hashes where its number is [`B`].
struct TestLog(LogId);

fn origin(log: LogId) -> String {
    format!("log{log}.test")
}

fn identity(log: LogId, data: &[u8], hash: &Hash) -> Hash {
    if log == B {
        sha256(&[b"identity", data])
    } else {
        *hash
    }
}

impl Personality for TestLog {
    fn seal(&self, entry: &Entry, index: u64, _time: u64) -> Result<Sealed, SealError> {
        Ok(Sealed {
            leaf: entry.body.clone(),
            extra: format!("beside {index}").into(),
        })
    }

    fn checkpoint(&self, size: u64, root: &Hash, _time: u64) -> Result<String, SealError> {
        let text = Checkpoint::new(origin(self.0), size, *root).to_string();
        let mut note = Note::new(text).map_err(SealError::new)?;
        note.push("log.test", KeyHint([1; 4]), vec![7; 64])
            .map_err(SealError::new)?;
        Ok(note.to_string())
    }

    fn identity(&self, leaf: &StoredLeaf, hash: &Hash) -> Hash {
        identity(self.0, &leaf.data, hash)
    }
}

async fn engine(storage: Arc<dyn Storage>) -> Result<Engine, OpenError> {
    let configs = [A, B].map(|id| LogConfig {
        id,
        spec: LogSpec {
            kind: LogKind::RekorV2,
            origin: origin(id),
            tree_id: 0,
            key_id: "key".to_owned(),
            leaf_limit: 1_000,
            created: 0,
        },
        personality: Arc::new(TestLog(id)),
    });
    let clock: Arc<dyn Fn() -> std::time::SystemTime + Send + Sync> =
        Arc::new(|| std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_000));
    Engine::open(
        storage,
        configs.into(),
        Arc::new(NoAnchor),
        Clock::from(clock),
        Options::default(),
    )
    .await
}

async fn write(engine: &Engine, log: LogId, from: u64, count: u64) {
    let mut writes = tokio::task::JoinSet::new();
    for n in from..from + count {
        // Fewer than the queue holds.
        if writes.len() == 1_000 {
            writes.join_next().await.unwrap().unwrap();
        }
        let body = format!("entry {n} of {log}").into_bytes();
        let entry = Entry {
            identity: identity(log, &body, &leaf_hash(&body)),
            body: body.into(),
            aux: Bytes::new(),
            terms: vec!["all".to_owned(), format!("term {n}")],
            attachments: if n % 7 == 0 {
                vec![Attachment {
                    key: format!("attachment {n}"),
                    data: vec![n as u8; 100].into(),
                }]
            } else {
                Vec::new()
            },
        };
        let engine = engine.clone();
        writes.spawn(async move { engine.submit(log, entry).await.unwrap() });
    }
    while let Some(done) = writes.join_next().await {
        done.unwrap();
    }
}

/// A store with so many leaves in its two logs.
async fn store(a: u64, b: u64) -> Arc<MemoryStorage> {
    let storage = Arc::new(MemoryStorage::new());
    let engine = engine(Arc::clone(&storage) as Arc<dyn Storage>).await.unwrap();
    write(&engine, A, 0, a).await;
    write(&engine, B, 0, b).await;
    engine.shutdown().await;
    storage
}

fn files() -> Vec<FileEntry> {
    let file = |path: &str, mode, data: &str| FileEntry {
        path: path.to_owned(),
        mode,
        data: data.to_owned().into(),
    };
    vec![
        file("keys/registry.json", 0o600, "{}"),
        file("tuf/timestamp.json", 0o644, "now"),
    ]
}

async fn backup(storage: Arc<MemoryStorage>, path: &Path) -> Result<Saved, ArchiveError> {
    let storage = storage as Arc<dyn Storage>;
    let logs = storage.logs().await?;
    backup_of(&storage, logs, path).await
}

async fn backup_of(
    storage: &Arc<dyn Storage>,
    logs: Vec<StoredLog>,
    path: &Path,
) -> Result<Saved, ArchiveError> {
    let mut writer = Writer::create(path).await?;
    let saved = save(storage, &logs, &Marks::default(), &mut writer, &|_| {}).await?;
    let about = About {
        created: 5,
        version: "test".to_owned(),
        with_keys: true,
        secret: storage.secret().await?,
        logs,
        files: files(),
    };
    writer.finish(&about).await?;
    Ok(saved)
}

fn plans(verdict: Verdict, seen: &[Seen]) -> BTreeMap<LogId, LogPlan> {
    let plan = |log| {
        let of_log = seen.iter().filter(|s| s.published.origin == origin(log));
        LogPlan {
            verdict,
            seen: of_log.cloned().collect(),
        }
    };
    BTreeMap::from([(A, plan(A)), (B, plan(B))])
}

async fn restored_into(
    storage: &dyn Storage,
    path: &Path,
    plans: &BTreeMap<LogId, LogPlan>,
) -> Result<About, ArchiveError> {
    let mut archive = Archive::open(path).await?;
    let scratch = TempDir::new().unwrap();
    let of = |info: &LogInfo, leaf: &StoredLeaf, hash: &Hash| identity(info.id, &leaf.data, hash);
    let how = Restore {
        storage,
        plans,
        identity: &of,
        scratch: scratch.path(),
        watch: &|_| {},
    };
    restore(&mut archive, &how).await?;
    Ok(archive.about().clone())
}

async fn restored(path: &Path) -> Result<(Contents, About), ArchiveError> {
    let storage = MemoryStorage::new();
    let about = restored_into(&storage, path, &plans(Verdict::Continues, &[])).await?;
    Ok((storage.contents(), about))
}

fn same(a: &Contents, b: &Contents) -> bool {
    (&a.logs, &a.leaves, &a.tiles, &a.index, &a.attachments)
        == (&b.logs, &b.leaves, &b.tiles, &b.index, &b.attachments)
}

#[tokio::test]
async fn what_comes_back_is_what_was_there() {
    for (a, b) in [(0, 0), (1, 0), (255, 1), (256, 257), (4_096, 300), (9_000, 4_097)] {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("odd name ?#%.backup");
        let storage = store(a, b).await;
        let saved = backup(Arc::clone(&storage), &path).await.unwrap();
        assert_eq!(saved.leaves, a + b);
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        let (contents, about) = restored(&path).await.unwrap();
        assert!(same(&contents, &storage.contents()), "{a} and {b} leaves");
        assert_eq!(about.files, files());
        assert!(about.with_keys);
        assert_eq!((about.created, about.version.as_str()), (5, "test"));
    }
}

#[tokio::test]
async fn a_log_that_goes_on_growing_is_copied_up_to_the_heads() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("backup");
    let memory = store(300, 20).await;
    let before = memory.contents();
    let storage = Arc::clone(&memory) as Arc<dyn Storage>;
    let logs = storage.logs().await.unwrap();
    let running = engine(Arc::clone(&storage)).await.unwrap();
    write(&running, A, 300, 500).await;
    let writing = write(&running, B, 20, 500);
    let (saved, ()) = tokio::join!(backup_of(&storage, logs, &path), writing);
    saved.unwrap();
    let (mut contents, _) = restored(&path).await.unwrap();
    // Attachments have no place, so later ones may be there.
    assert!(
        before
            .attachments
            .iter()
            .all(|a| contents.attachments.get(a.0) == Some(a.1))
    );
    contents.attachments = before.attachments.clone();
    assert!(same(&contents, &before));
}

#[tokio::test]
async fn it_restores_into_a_database_that_an_engine_continues() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("backup");
    let memory = store(700, 30).await;
    backup(Arc::clone(&memory), &path).await.unwrap();
    let secret = memory.secret().await.unwrap();
    let data = Arc::new(DataFolder::open(folder.path().join("data")).unwrap());
    let sqlite = SqliteStorage::open_with_secret(Arc::clone(&data), secret)
        .await
        .unwrap();
    restored_into(&sqlite, &path, &plans(Verdict::Continues, &[]))
        .await
        .unwrap();
    sqlite.close().await;
    let sqlite = Arc::new(SqliteStorage::open(data).await.unwrap());
    let running = engine(Arc::clone(&sqlite) as Arc<dyn Storage>).await.unwrap();
    assert_eq!(running.head(A).unwrap().size, 700);
    // Old ones are recognised as what they are, new ones go on top.
    write(&running, A, 690, 20).await;
    write(&running, B, 0, 40).await;
    assert_eq!(running.head(A).unwrap().size, 710);
    assert_eq!(running.head(B).unwrap().size, 40);
    assert_eq!(running.search("term 3", 10).await.unwrap(), [(B, 3), (A, 3)]);
    running.shutdown().await;
    // And out of that database again.
    let again = folder.path().join("again");
    let storage = sqlite as Arc<dyn Storage>;
    let logs = storage.logs().await.unwrap();
    backup_of(&storage, logs, &again).await.unwrap();
    let other = MemoryStorage::new();
    assert_eq!(secret, other.secret().await.unwrap(), "the fake has one secret");
    restored_into(&other, &again, &plans(Verdict::Continues, &[]))
        .await
        .unwrap();
    let running = engine(Arc::new(other)).await.unwrap();
    assert_eq!(running.head(A).unwrap().size, 710);
}

#[tokio::test]
async fn a_frozen_log_stays_as_it_is_and_other_states_stay() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("backup");
    let memory = store(300, 20).await;
    memory.set_state(B, LogState::ReadOnly).await.unwrap();
    backup(memory, &path).await.unwrap();
    let storage = MemoryStorage::new();
    let mut plans = plans(Verdict::Continues, &[]);
    plans.get_mut(&A).unwrap().verdict = Verdict::Frozen;
    restored_into(&storage, &path, &plans).await.unwrap();
    let logs = storage.contents().logs;
    assert_eq!(logs[&A].info.state, LogState::Frozen);
    assert_eq!(logs[&B].info.state, LogState::ReadOnly);
    let running = engine(Arc::new(storage)).await.unwrap();
    assert_eq!(running.leaves(A, 0, 10).await.unwrap().len(), 10);
}

#[tokio::test]
async fn a_start_refuses_what_an_interrupted_restore_leaves() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("backup");
    backup(store(9_000, 300).await, &path).await.unwrap();
    let counting = MemoryStorage::new();
    let plans = plans(Verdict::Continues, &[]);
    restored_into(&counting, &path, &plans).await.unwrap();
    let calls = counting.calls();
    let first = calls.iter().position(|call| *call == "create_log").unwrap();
    for (stop, call) in calls.iter().enumerate().skip(first) {
        let storage = MemoryStorage::new();
        storage.fail(stop, common_engine::memory::Fault::Fails);
        assert!(
            restored_into(&storage, &path, &plans).await.is_err(),
            "call {stop}"
        );
        storage.heal();
        // Without any log there is nothing to go on from.
        if storage.contents().logs.is_empty() {
            continue;
        }
        let outcome = engine(Arc::new(storage)).await;
        let refused = matches!(outcome, Err(OpenError::Store(StoreError::Corrupt(_))));
        assert!(refused, "a start after call {stop}, {call}");
    }
}

#[tokio::test]
async fn a_published_head_that_the_tree_never_had_is_a_fork() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("backup");
    let memory = store(600, 0).await;
    backup(Arc::clone(&memory), &path).await.unwrap();
    let running = engine(store(0, 0).await).await.unwrap();
    let seen = |size, root| Seen {
        published: Published {
            origin: origin(A),
            size,
            root,
        },
        kind: Kind::Checkpoint,
        source: "a bundle".to_owned(),
    };
    let mut heads = vec![seen(600, memory.contents().logs[&A].head.root)];
    for size in [1, 255, 256, 257, 599] {
        let hashes: Vec<Hash> = memory
            .contents()
            .leaves
            .values()
            .map(|l| leaf_hash(&l.data))
            .take(size)
            .collect();
        let root = common_tlog::RightEdge::empty()
            .grow(&hashes)
            .unwrap()
            .edge()
            .root();
        heads.push(seen(size as u64, root));
    }
    running.shutdown().await;
    let into = MemoryStorage::new();
    restored_into(&into, &path, &plans(Verdict::Continues, &heads))
        .await
        .unwrap();
    for n in 1..heads.len() {
        let mut forged = heads.clone();
        forged[n].published.root = Hash([9; 32]);
        let into = MemoryStorage::new();
        let error = restored_into(&into, &path, &plans(Verdict::Frozen, &forged))
            .await
            .unwrap_err();
        let at = forged[n].published.size;
        assert!(
            matches!(&error, ArchiveError::Fork { size, .. } if *size == at),
            "{error}"
        );
    }
}

#[tokio::test]
async fn a_damaged_store_makes_no_backup() {
    type Damage = fn(&mut Contents);
    let cases: [(&str, Damage); 3] = [
        ("leaf", |c| {
            let leaf = c.leaves.values_mut().nth(100).unwrap();
            leaf.data = b"another".as_slice().into();
        }),
        ("missing", |c| {
            let place = *c.leaves.keys().nth(100).unwrap();
            c.leaves.remove(&place);
        }),
        ("short", |c| {
            let place = *c.leaves.keys().next_back().unwrap();
            c.leaves.remove(&place);
        }),
    ];
    for (name, damage) in cases {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("backup");
        let memory = store(300, 20).await;
        memory.damage(damage);
        let error = backup(memory, &path).await.unwrap_err();
        assert!(
            matches!(
                error,
                ArchiveError::Root { .. } | ArchiveError::LeafMissing { .. }
            ),
            "{name}: {error}"
        );
        assert_eq!(folder.path().read_dir().unwrap().count(), 0, "nothing is left");
    }
}

#[tokio::test]
async fn a_leaf_that_nobody_would_find_is_named() {
    for (log, by) in [(A, "leaf hash"), (B, "identity")] {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("backup");
        let memory = store(300, 300).await;
        let secret = memory.secret().await.unwrap();
        memory.damage(|c| {
            let (place, leaf) = c
                .leaves
                .iter()
                .find(|(p, _)| p.log == log && p.index == 77)
                .unwrap();
            let hash = leaf_hash(&leaf.data);
            let row = (secret.leaf(log, &identity(log, &leaf.data, &hash)), *place);
            assert!(c.index.remove(&row));
        });
        backup(memory, &path).await.unwrap();
        let error = restored(&path).await.unwrap_err();
        assert!(
            matches!(&error, ArchiveError::IndexMissing { index: 77, what, .. } if *what == by),
            "{error}"
        );
    }
}

#[tokio::test]
async fn a_file_is_never_replaced() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("backup");
    std::fs::write(&path, "mine").unwrap();
    let error = backup(store(1, 1).await, &path).await.unwrap_err();
    assert!(matches!(error, ArchiveError::Exists(_)), "{error}");
    // Also one that comes to be there meanwhile.
    let other = folder.path().join("other");
    let mut writer = Writer::create(&other).await.unwrap();
    let storage = store(1, 1).await as Arc<dyn Storage>;
    let logs = storage.logs().await.unwrap();
    save(&storage, &logs, &Marks::default(), &mut writer, &|_| {})
        .await
        .unwrap();
    std::fs::write(&other, "mine").unwrap();
    let about = About {
        created: 0,
        version: String::new(),
        with_keys: false,
        secret: storage.secret().await.unwrap(),
        logs,
        files: Vec::new(),
    };
    let error = writer.finish(&about).await.unwrap_err();
    assert!(matches!(error, ArchiveError::Exists(_)), "{error}");
    for file in [path, other] {
        assert_eq!(std::fs::read(file).unwrap(), b"mine");
    }
    assert_eq!(folder.path().read_dir().unwrap().count(), 2);
}

#[tokio::test]
async fn a_store_that_is_not_empty_is_not_written_to() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("backup");
    let memory = store(3, 0).await;
    backup(Arc::clone(&memory), &path).await.unwrap();
    let before = memory.contents();
    let error = restored_into(memory.as_ref(), &path, &plans(Verdict::Continues, &[]))
        .await
        .unwrap_err();
    assert!(matches!(error, ArchiveError::NotEmpty(_)), "{error}");
    assert!(same(&before, &memory.contents()));
}

/// What was cut off, and what was never finished.
#[tokio::test]
async fn no_part_of_a_backup_is_taken_for_one() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("backup");
    backup(store(300, 20).await, &path).await.unwrap();
    let whole = std::fs::read(&path).unwrap();
    let part = folder.path().join("part");
    for length in (0..whole.len())
        .step_by(1_777)
        .chain([100, 4_096, whole.len() - 1])
    {
        std::fs::write(&part, &whole[..length]).unwrap();
        let error = restored(&part).await.map(|_| ()).unwrap_err();
        assert!(error.to_string().contains("part"), "{length}: {error}");
    }
    // Everything is in it but the end.
    let mut writer = Writer::create(&folder.path().join("unfinished")).await.unwrap();
    let storage = store(300, 20).await as Arc<dyn Storage>;
    let logs = storage.logs().await.unwrap();
    save(&storage, &logs, &Marks::default(), &mut writer, &|_| {})
        .await
        .unwrap();
    let left: Vec<_> = folder
        .path()
        .read_dir()
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|found| *found != path && *found != part)
        .collect();
    assert_eq!(left.len(), 1);
    std::fs::copy(&left[0], &part).unwrap();
    assert!(restored(&part).await.is_err());
    drop(writer);
    assert!(!left[0].exists(), "a backup that is given up leaves nothing");
}

#[tokio::test]
async fn a_flipped_byte_is_found_or_harmless() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("backup");
    let memory = store(400, 120).await;
    backup(Arc::clone(&memory), &path).await.unwrap();
    let (good, about) = restored(&path).await.unwrap();
    let whole = std::fs::read(&path).unwrap();
    let flipped = folder.path().join("flipped");
    let (mut found, mut harmless) = (0u32, 0u32);
    for (n, offset) in (0..whole.len()).step_by(499).chain(0..100).enumerate() {
        let mut bytes = whole.clone();
        bytes[offset] ^= [0x01, 0x80, 0xff][n % 3];
        std::fs::write(&flipped, &bytes).unwrap();
        match restored(&flipped).await {
            Ok((contents, said)) => {
                assert!(
                    same(&contents, &good) && said == about,
                    "byte {offset} made another store"
                );
                harmless += 1;
            }
            Err(error) => {
                let text = error.to_string();
                assert!(text.contains("flipped"), "byte {offset}: {text}");
                found += 1;
            }
        }
    }
    assert!(
        found > harmless && found > 100,
        "{found} found, {harmless} harmless"
    );
}

#[tokio::test]
async fn other_files_are_not_backups() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("file");
    for content in [b"".as_slice(), b"SQLite format 3\0", b"hello", &[0; 10_000]] {
        std::fs::write(&path, content).unwrap();
        let error = Archive::open(&path).await.map(|_| ()).unwrap_err();
        assert!(matches!(error, ArchiveError::Foreign { .. }), "{error}");
    }
    assert!(matches!(
        Archive::open(folder.path()).await.map(|_| ()).unwrap_err(),
        ArchiveError::Foreign { .. }
    ));
    assert!(matches!(
        Archive::open(&folder.path().join("none"))
            .await
            .map(|_| ())
            .unwrap_err(),
        ArchiveError::Io { .. }
    ));
}

#[tokio::test]
async fn a_folder_that_is_not_there_is_named_as_it_was_given() {
    let error = Writer::create(Path::new("/nonexistent/b")).await.err().unwrap();
    let said = error.to_string();
    assert!(said.starts_with("/nonexistent: "), "{said}");
}
