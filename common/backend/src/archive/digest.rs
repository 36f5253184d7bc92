//! What the digests of a backup are over: every field with its length before it, so that no two contents agree.

use aws_lc_rs::digest::{Context, SHA256};
use common_engine::{Attachment, IndexKey, Place, StoredLeaf, StoredLog};
use common_tlog::Hash;

use super::schema::{Chunk, Part};
use super::{About, FileEntry};

/// A SHA-256 over fields.
pub(super) struct Digest(Context);

impl Digest {
    /// Of something of that name.
    pub(super) fn new(what: &str) -> Self {
        let mut digest = Self(Context::new(&SHA256));
        digest.bytes(what.as_bytes());
        digest
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.number(bytes.len() as u64);
        self.0.update(bytes);
    }

    fn number(&mut self, number: u64) {
        self.0.update(&number.to_be_bytes());
    }

    pub(super) fn finish(self) -> Hash {
        Hash::from_slice(self.0.finish().as_ref()).unwrap_or_default()
    }
}

pub(super) fn leaves(log: common_engine::LogId, leaves: &[StoredLeaf]) -> Hash {
    let mut digest = Digest::new("leaves");
    digest.number(u64::from(log.0));
    for leaf in leaves {
        digest.number(leaf.index);
        digest.number(leaf.time);
        digest.bytes(&leaf.data);
        digest.bytes(&leaf.extra);
    }
    digest.finish()
}

pub(super) fn index(rows: &[(IndexKey, Place)]) -> Hash {
    let mut digest = Digest::new("index");
    for (key, place) in rows {
        digest.number(key.0);
        digest.number(u64::from(place.log.0));
        digest.number(place.index);
    }
    digest.finish()
}

pub(super) fn attachments(attachments: &[Attachment]) -> Hash {
    let mut digest = Digest::new("attachments");
    for attachment in attachments {
        digest.bytes(attachment.key.as_bytes());
        digest.bytes(&attachment.data);
    }
    digest.finish()
}

pub(super) fn file(file: &FileEntry) -> Hash {
    let mut digest = Digest::new("file");
    digest.bytes(file.path.as_bytes());
    digest.number(u64::from(file.mode));
    digest.bytes(&file.data);
    digest.finish()
}

/// Over everything else. Chunks come one by one, because a large log has many.
pub(super) struct Manifest(Digest);

impl Manifest {
    pub(super) fn new() -> Self {
        Self(Digest::new("sigbox backup 1"))
    }

    pub(super) fn chunk(&mut self, chunk: &Chunk) {
        let part = match chunk.part {
            Part::Leaves => 1,
            Part::Index => 2,
            Part::Attachments => 3,
        };
        for number in [part, u64::from(chunk.log), chunk.first, chunk.rows] {
            self.0.number(number);
        }
        self.0.bytes(&chunk.sha256.0);
    }

    pub(super) fn finish(mut self, about: &About) -> Hash {
        let digest = &mut self.0;
        digest.bytes(b"about");
        digest.number(about.created);
        digest.bytes(about.version.as_bytes());
        digest.number(u64::from(about.with_keys));
        digest.bytes(&about.secret.0);
        digest.number(about.logs.len() as u64);
        for log in &about.logs {
            add_log(digest, log);
        }
        digest.number(about.files.len() as u64);
        for entry in &about.files {
            digest.bytes(&file(entry).0);
        }
        self.0.finish()
    }
}

fn add_log(digest: &mut Digest, log: &StoredLog) {
    let (spec, head) = (&log.info.spec, &log.head);
    digest.number(u64::from(log.info.id.0));
    digest.bytes(spec.kind.name().as_bytes());
    digest.bytes(spec.origin.as_bytes());
    digest.number(spec.tree_id);
    digest.bytes(spec.key_id.as_bytes());
    digest.number(u64::from(spec.leaf_limit));
    digest.number(spec.created);
    digest.bytes(log.info.state.name().as_bytes());
    digest.number(head.size);
    digest.bytes(&head.root.0);
    digest.bytes(head.checkpoint.as_bytes());
    digest.number(head.time);
}
