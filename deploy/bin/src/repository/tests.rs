#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::panic,
    reason = "tests"
)]

use std::time::Duration;

use common_bundle::tuf::{Proposal, Seen, Update, verify};
use common_pki::key::{KeyAlgorithm, LocalSigner};

use super::*;
use crate::keys::Places;
use crate::public_url::PublicUrl;

const DAY: Duration = Duration::from_secs(24 * 3600);

fn start() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000)
}

fn open(folder: &tempfile::TempDir, url: &str, now: SystemTime) -> Result<Repository, RepositoryError> {
    let layout = Layout::new(folder.path().to_owned());
    let url: PublicUrl = url.parse().unwrap();
    let keys = Keys::open(&layout, &url.into(), &Places::default(), start()).unwrap();
    Repository::open(layout, &keys, false, now)
}

fn version(repository: &Repository, role: tuf::Role) -> u64 {
    repository.metadata.current(role).0
}

/// A client that has `root` and asks the served files.
fn client_accepts(repository: &Repository, root: &[u8], now: SystemTime) {
    let served = repository.tuf();
    let targets = verify(root, now, |path| {
        served.get(path).map(|file| file.content.to_vec())
    })
    .unwrap();
    for name in targets.names().map(str::to_owned).collect::<Vec<_>>() {
        let request = targets.request(&name).unwrap();
        targets
            .check(&name, &served.get(&request.path).unwrap().content)
            .unwrap();
    }
}

#[test]
fn the_second_start_continues_and_signs_nothing_that_is_not_due() {
    let folder = tempfile::tempdir().unwrap();
    let first = open(&folder, "http://localhost:3000", start()).unwrap();
    client_accepts(&first, &first.root(), start());
    let second = open(&folder, "http://localhost:3000", start() + DAY / 2).unwrap();
    assert_eq!(first.metadata, second.metadata);
    assert_eq!(first.root(), second.root());
    assert!(first.tuf().get("2.root.json").is_none());
}

#[test]
fn changed_targets_are_published_with_higher_versions() {
    let folder = tempfile::tempdir().unwrap();
    let first = open(&folder, "http://localhost:3000", start()).unwrap();
    let moved = open(&folder, "http://localhost:4000", start()).unwrap();
    for role in [tuf::Role::Targets, tuf::Role::Snapshot, tuf::Role::Timestamp] {
        assert_eq!(version(&moved, role), version(&first, role) + 1, "{role}");
    }
    client_accepts(&moved, &first.root(), start());
    let config = moved.trust().get("signing_config.v0.2.json").unwrap();
    assert!(
        std::str::from_utf8(&config.content)
            .unwrap()
            .contains("http://localhost:4000")
    );
}

/// Whoever lets it run, or starts it at any day, has a repository that clients accept with the root of the first day.
#[test]
fn it_is_fresh_on_every_day_of_five_years() {
    let folder = tempfile::tempdir().unwrap();
    let mut repository = open(&folder, "http://localhost:3000", start()).unwrap();
    let root = repository.root();
    let mut timestamp = version(&repository, tuf::Role::Timestamp);
    for day in (1..5 * 365).step_by(30) {
        let now = start() + DAY * day;
        assert!(
            repository.refresh(now).unwrap(),
            "after a month a timestamp is due"
        );
        assert!(!repository.refresh(now).unwrap(), "and then it is not");
        repository.publish().unwrap();
        client_accepts(&repository, &root, now);
        client_accepts(&repository, &root, now + DAY * 5);
        let next = version(&repository, tuf::Role::Timestamp);
        assert!(next > timestamp);
        timestamp = next;
    }
    assert!(
        version(&repository, tuf::Role::Root) > 1,
        "the root was renewed on the way"
    );
    let reopened = open(&folder, "http://localhost:3000", start() + DAY * 5 * 365).unwrap();
    client_accepts(&reopened, &root, start() + DAY * 5 * 365);
}

#[test]
fn a_long_stop_is_made_good_at_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let root = open(&folder, "http://localhost:3000", start()).unwrap().root();
    let late = start() + DAY * 400;
    client_accepts(
        &open(&folder, "http://localhost:3000", late).unwrap(),
        &root,
        late,
    );
}

/// Cuts the power after each file of the creation and of an update.
#[test]
fn a_cut_between_any_two_files_is_recovered() {
    let whole = tempfile::tempdir().unwrap();
    let first = open(&whole, "http://localhost:3000", start()).unwrap();
    let keys = Keys::open(
        &first.layout,
        &"http://localhost:4000".parse::<PublicUrl>().unwrap().into(),
        &Places::default(),
        start(),
    )
    .unwrap();
    let targets = published_targets(keys.registry()).unwrap();
    let files = {
        let mut next = first.metadata.clone();
        with_signers(first.root_key.as_ref(), &first.online_key, |signers| {
            next.set_targets(&targets, Lifetimes::default(), start(), signers)
                .unwrap()
        })
    };
    assert_eq!(files.last().unwrap().0, "timestamp.json");
    for kept in 0..files.len() {
        store(&first.layout, &files[..kept].to_vec()).unwrap();
        let again = open(&whole, "http://localhost:3000", start()).unwrap();
        client_accepts(&again, &first.root(), start());
    }

    let torn = tempfile::tempdir().unwrap();
    let layout = Layout::new(torn.path().to_owned());
    open(&torn, "http://localhost:3000", start()).unwrap();
    std::fs::remove_file(layout.tuf().join("timestamp.json")).unwrap();
    std::fs::remove_file(layout.tuf().join("1.snapshot.json")).unwrap();
    let again = open(&torn, "http://localhost:3000", start()).unwrap();
    client_accepts(&again, &again.root(), start());
}

#[test]
fn a_damaged_repository_stops_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let layout = Layout::new(folder.path().to_owned());
    open(&folder, "http://localhost:3000", start()).unwrap();
    std::fs::remove_file(layout.tuf().join("1.snapshot.json")).unwrap();
    let error = open(&folder, "http://localhost:3000", start()).err().unwrap();
    assert!(matches!(error, RepositoryError::Stored { .. }), "{error}");
    assert!(error.to_string().contains("backup"), "{error}");
}

#[test]
fn a_lost_repository_is_not_started_again_under_existing_logs() {
    let folder = tempfile::tempdir().unwrap();
    let layout = Layout::new(folder.path().to_owned());
    open(&folder, "http://localhost:3000", start()).unwrap();
    let keys = Keys::open(
        &layout,
        &"http://localhost:3000".parse::<PublicUrl>().unwrap().into(),
        &Places::default(),
        start(),
    )
    .unwrap();
    Repository::open(layout.clone(), &keys, true, start()).unwrap();
    std::fs::remove_file(layout.tuf().join("timestamp.json")).unwrap();
    let error = Repository::open(layout.clone(), &keys, true, start())
        .err()
        .unwrap();
    assert!(matches!(error, RepositoryError::Lost { .. }), "{error}");
    assert!(error.to_string().contains("backup"), "{error}");
    assert!(!layout.tuf().join("timestamp.json").exists(), "nothing was made");
}

/// A round that panics is logged, and the next one works, from what is on disk.
#[tokio::test]
async fn a_panic_does_not_end_the_rounds() {
    let folder = tempfile::tempdir().unwrap();
    let repository = open(&folder, "http://localhost:3000", start()).unwrap();
    let root = repository.root();
    let (served, validity) = (repository.tuf(), repository.validity());
    let late = start() + DAY * 30;
    assert!(validity.includes(start()) && !validity.includes(late));
    let broken: Clock = Arc::new(|| panic!("a clock that panics"));
    let repository = repository.round(&broken).await;
    assert!(!validity.includes(late));
    let clock: Clock = Arc::new(move || late);
    let repository = repository.round(&clock).await;
    assert!(validity.includes(late));
    client_accepts(&repository, &root, late);
    assert_eq!(
        served.get("timestamp.json").unwrap(),
        repository.tuf().get("timestamp.json").unwrap(),
        "the routes serve what the round published"
    );
}

/// What a client has seen after an update from the served files.
fn updated(repository: &Repository, mut update: Update) -> Result<Seen, TufError> {
    let served = repository.tuf();
    while let Some(request) = update.request() {
        let file = served.get(&request.path).map(|file| file.content.to_vec());
        update.give(file.as_deref())?;
    }
    Ok(update.seen().clone())
}

/// The files of the folder, as a backup has them.
fn copied(layout: &Layout) -> Files {
    let mut files = Files::new();
    for prefix in ["", "targets/"] {
        for name in disk::names(&layout.tuf().join(prefix)).unwrap() {
            let path = format!("{prefix}{name}");
            if path != TARGETS {
                let content = std::fs::read(layout.tuf().join(&path)).unwrap();
                files.push((path, content));
            }
        }
    }
    files
}

/// A client that saw what was published after the backup goes on with what is restored from it.
#[test]
fn a_restored_repository_is_ahead_of_what_clients_have_seen_in_every_role() {
    const URL: &str = "http://localhost:3000";
    let below = [tuf::Role::Targets, tuf::Role::Snapshot, tuf::Role::Timestamp];
    let folder = tempfile::tempdir().unwrap();
    let layout = Layout::new(folder.path().to_owned());
    let first = open(&folder, URL, start()).unwrap();
    let backup = copied(&layout);
    let moved = open(&folder, "http://localhost:4000", start()).unwrap();
    let seen = updated(&moved, Update::new(&first.root(), start()).unwrap()).unwrap();
    assert!(seen.targets > version(&first, tuf::Role::Targets));

    std::fs::remove_dir_all(layout.tuf()).unwrap();
    disk::create_folder(&layout.tuf().join(TARGETS)).unwrap();
    store(&layout, &backup).unwrap();
    let url: PublicUrl = URL.parse().unwrap();
    let keys = Keys::open(&layout, &url.into(), &Places::default(), start()).unwrap();
    skip_versions(&layout, &keys, 100, start()).unwrap();
    let skipped = load(&layout).unwrap();
    for role in below {
        assert_eq!(skipped.current(role).0, version(&first, role) + 100, "{role}");
    }
    let restored = open(&folder, URL, start()).unwrap();
    updated(&restored, Update::resume(seen, start()).unwrap()).unwrap();
    client_accepts(&restored, &first.root(), start());
}

/// Three holders of whom two must sign, and none of them is the server.
fn propose(repository: &Repository, holders: &[LocalSigner], by: usize) -> Proposal {
    let online = KeySet::single(repository.online_key.public_key());
    let keys = RootKeys {
        root: KeySet {
            keys: holders.iter().map(|holder| holder.public_key().clone()).collect(),
            threshold: 2,
        },
        targets: online.clone(),
        snapshot: online.clone(),
        timestamp: online,
    };
    let current = repository.metadata.root();
    let mut proposal = Proposal::new(current, &keys, 365 * 24 * 3600, start()).unwrap();
    let before = repository.root_key.iter().map(|signer| &**signer);
    for signer in before.chain(holders[..by].iter().map(|holder| holder as &dyn Signer)) {
        let _ = proposal.sign(signer, Some(current));
    }
    proposal
}

fn hand_in(layout: &Layout, proposal: &Proposal) {
    disk::write(&ceremony::inbox(layout), &proposal.to_json().unwrap()).unwrap();
}

#[test]
fn a_root_that_its_holders_signed_is_taken_up() {
    let folder = tempfile::tempdir().unwrap();
    let layout = Layout::new(folder.path().to_owned());
    let first = open(&folder, "http://localhost:3000", start()).unwrap();
    let trusted = first.root();
    let holders: Vec<LocalSigner> = (0..3)
        .map(|_| LocalSigner::generate(KeyAlgorithm::EcdsaP256).unwrap().0)
        .collect();

    // Too few: refused with the reason, and everything goes on.
    hand_in(&layout, &propose(&first, &holders, 1));
    let second = open(&folder, "http://localhost:3000", start()).unwrap();
    assert_eq!(version(&second, tuf::Role::Root), 1);
    let why = std::fs::read_to_string(ceremony::refusal(&layout)).unwrap();
    assert!(why.contains("1 valid signatures of the 2"), "{why}");
    assert!(!ceremony::inbox(&layout).exists());

    let complete = propose(&second, &holders, 2);
    hand_in(&layout, &complete);
    let third = open(&folder, "http://localhost:3000", start()).unwrap();
    assert_eq!(version(&third, tuf::Role::Root), 2);
    assert_eq!(third.trust().get("root.json").unwrap().content, third.root());
    client_accepts(&third, &trusted, start());

    // Handed in again, as after a power cut before it was cleared away: nothing to do and nothing to refuse.
    std::fs::remove_file(ceremony::refusal(&layout)).unwrap();
    hand_in(&layout, &complete);
    open(&folder, "http://localhost:3000", start()).unwrap();
    assert!(!ceremony::refusal(&layout).exists() && !ceremony::inbox(&layout).exists());

    // The root key is theirs now: the server starts without one, and cannot renew the root by itself.
    std::fs::remove_file(layout.keys().join("tuf-root-1.pem")).unwrap();
    let late = start() + DAY * 300;
    let fourth = open(&folder, "http://localhost:3000", late).unwrap();
    assert_eq!(version(&fourth, tuf::Role::Root), 2);
    client_accepts(&fourth, &trusted, late);
}
