//! A Rekor v2 log, read through its tiles (C2SP tlog-tiles).

use std::num::NonZeroU64;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use common_bundle::trust::{KeyRecord, Role, Timestamp};
use common_engine::fsck::KindCheck;
use common_engine::{Head, ImportTarget, ImportedLeaf, LogKind};
use common_tlog::bundle_codec;
use common_tlog::note::Note;
use common_tlog::tile::FULL_WIDTH;
use rekor_api::{RekorV2Check, v2};
use rekor_monitor::{Client, Dialect, Limits, LogReader};
use url::Url;

use super::{Destination, Foreign, ImportArgs, Instance, TakeOverError, read_key, source};
use crate::clock::unix_millis;
use crate::console::Console;
use crate::services::V2_LEAF_LIMIT;

/// Leaves of a whole bundle.
const BUNDLE: NonZeroU64 = NonZeroU64::new(FULL_WIDTH as u64).unwrap();

/// A Rekor v2 log that has entries.
pub(super) struct Tiled {
    reader: Arc<LogReader>,
    log: Foreign,
    /// Where its checkpoint is, for messages.
    what: String,
    /// The URL it is known by.
    url: String,
}

impl Tiled {
    /// What it says of itself.
    pub(super) async fn ask(args: &ImportArgs) -> Result<Tiled, TakeOverError> {
        let client = Client::new(&args.url, Limits::default())?;
        let base = client.base().to_owned();
        let reader = Arc::new(LogReader::new(client));
        let (name, key) = read_key(args.key.as_deref().unwrap_or_default())?;
        let (note, checkpoint) = reader.checkpoint().await?;
        let what = format!("{base}checkpoint");
        let origin = checkpoint.origin.clone();
        if name.is_some_and(|name| name != origin) {
            return Err(source(
                what,
                format!("the key is named otherwise than the log, which is {origin:?}"),
            ));
        }
        let check = RekorV2Check::new(&origin, key.clone()).map_err(|error| source("--key", error))?;
        let head = own_head(&note, &checkpoint, &check).map_err(|problem| source(&what, problem))?;
        if head.size == 0 {
            return Err(source(what, "the log is empty: there is nothing to take over"));
        }
        Ok(Tiled {
            reader,
            // Clients take the host of the base URL for the origin.
            url: named_url(&base, &origin),
            log: Foreign {
                kind: LogKind::RekorV2,
                origin,
                tree_id: 0,
                key,
                target: ImportTarget {
                    size: head.size,
                    root: head.root,
                    checkpoint: head.checkpoint,
                },
                terms_version: check.terms_version(),
            },
            what,
        })
    }

    fn id(&self) -> String {
        format!("rekor-v2-log-{}", short(&self.log))
    }

    /// That its name is free, also of the log that a new instance will have.
    pub(super) fn check(&self, place: &Instance) -> Result<(), TakeOverError> {
        let (origin, id) = (&self.log.origin, self.id());
        let taken = match &place.registry {
            Some(registry) => {
                let mut keys = registry.keys.iter();
                keys.any(|key| key.role == Role::RekorV2 && key.origin == *origin && key.id != id)
            }
            None => {
                let site = &place.site;
                site.roles().has(Role::RekorV2) && site.url_behind(Role::RekorV2).host() == origin
            }
        };
        if taken {
            let problem = format!(
                "a log of this folder has that name already ({origin:?}): import into an instance of another host"
            );
            return Err(source(self.what.as_str(), problem));
        }
        Ok(())
    }

    /// Takes it over.
    pub(super) async fn take(&self, to: &mut Destination, console: Console) -> Result<(), TakeOverError> {
        let (log, size, id) = (&self.log, self.log.target.size, self.id());
        // Entries have no time, so the window begins with all time.
        let start = Timestamp::from_unix(0).ok_or(TakeOverError::Clock)?;
        let (url, origin) = (self.url.as_str(), log.origin.as_str());
        let mut record = KeyRecord::new(Role::RekorV2, id.as_str(), &log.key, url, origin, start)?;
        record.valid_to = Some(to.today()?);
        let mut import = to.begin(&record, log, V2_LEAF_LIMIT).await?;
        let time = unix_millis(to.now);
        let read = |range| leaves(Arc::clone(&self.reader), range, size, time);
        to.fill(&mut import, log, BUNDLE, read).await?;
        to.end(import, log, record).await?;
        console.line(&format!("{size} leaves, the root and its signature verified"));
        console.line(&format!(
            "Imported. {} serves it, for reading, at /shards/{id}/",
            to.server
        ));
        Ok(())
    }
}

/// Leaves of one bundle, which is whole unless the log ends in it.
async fn leaves(
    reader: Arc<LogReader>,
    range: Range<u64>,
    size: u64,
    time: u64,
) -> Result<Vec<ImportedLeaf>, TakeOverError> {
    let bundle = range.start / BUNDLE;
    let start = bundle.saturating_mul(BUNDLE.get());
    let width = u16::try_from(size.saturating_sub(start)).map_or(FULL_WIDTH, |left| left.min(FULL_WIDTH));
    let what = format!("entry bundle {bundle}");
    let bytes = reader.bundle(Dialect::Entries, bundle, width).await?;
    let bytes = bytes.ok_or_else(|| source(&what, "expected a bundle, got 404"))?;
    let leaves = bundle_codec::decode(&bytes).map_err(|error| source(&what, error))?;
    let skip = usize::try_from(range.start.saturating_sub(start)).unwrap_or(usize::MAX);
    let leaves = range.zip(leaves.into_iter().skip(skip));
    Ok(leaves
        .map(|(index, leaf)| v2::imported_leaf(index, Bytes::copy_from_slice(leaf), time))
        .collect())
}

/// The head with the one signature that the log's own key made: lines of witnesses are theirs to keep.
fn own_head(
    note: &Note,
    checkpoint: &common_tlog::checkpoint::Checkpoint,
    check: &RekorV2Check,
) -> Result<Head, String> {
    for line in note.signatures() {
        let mut alone = Note::new(note.text()).map_err(|error| error.to_string())?;
        alone
            .push(&line.name, line.hint, line.signature.clone())
            .map_err(|error| error.to_string())?;
        let head = Head {
            size: checkpoint.size,
            root: checkpoint.root,
            checkpoint: alone.to_string(),
            time: 0,
        };
        if check.head(&head).is_ok() {
            return Ok(head);
        }
    }
    Err("no signature on the checkpoint is of the key given".to_owned())
}

/// Eight digits of the log's ID: two logs of one instance never share them by chance.
fn short(log: &Foreign) -> String {
    let id = common_bundle::trust::log_id(Role::RekorV2, &log.origin, &log.key);
    id.to_string().chars().take(8).collect()
}

/// The URL the log is known by: the one it was read at if its host is the log's name, else the name itself.
fn named_url(base: &str, origin: &str) -> String {
    let at = base.trim_end_matches('/');
    let host = Url::parse(base)
        .ok()
        .and_then(|url| url.host_str().map(str::to_owned));
    if host.as_deref() == Some(origin) {
        at.to_owned()
    } else {
        format!("https://{origin}")
    }
}
