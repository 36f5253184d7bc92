//! Writing a backup: under a name that no restore is given, synced, and renamed when it is whole.

use std::fs::File;
use std::path::{Path, PathBuf};

use common_engine::{Attachment, IndexKey, LogId, Place, StoredLeaf};
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqliteLockingMode, SqliteSynchronous,
};
use sqlx::{ConnectOptions, Connection};
use tempfile::NamedTempFile;

use super::digest::{self, Manifest};
use super::schema::{APPLICATION_ID, Chunk, LAYOUT, Part, TABLES};
use super::{About, ArchiveError, io_error, limits};
use crate::sqlite::{insert_log, insert_rows};

/// A backup being written. Dropped before [`Writer::finish`], it leaves nothing.
pub struct Writer {
    connection: SqliteConnection,
    /// Open throughout, so that an error of an earlier write-back is reported by its sync and not lost.
    temporary: NamedTempFile,
    path: PathBuf,
    manifest: Manifest,
    /// The next `row` of leaves, index and attachments.
    rows: [u64; 3],
}

impl Writer {
    /// Begins a backup that will be at `path`.
    ///
    /// # Errors
    /// [`ArchiveError::Exists`]; else that it cannot be written there.
    pub async fn create(path: &Path) -> Result<Self, ArchiveError> {
        if path.symlink_metadata().is_ok() {
            return Err(ArchiveError::Exists(path.to_owned()));
        }
        let folder = folder_of(path);
        File::open(folder).map_err(io_error(folder))?;
        // Beside its final place, so that the rename stays within one file system; for its owner only (mode 0600).
        let temporary = tempfile::Builder::new()
            .prefix(".sigbox-backup-")
            .suffix(".unfinished")
            .tempfile_in(folder)
            // What it says names the temporary file, which nobody asked for.
            .map_err(|error| io_error(folder)(error.kind().into()))?;
        let options = SqliteConnectOptions::new()
            .filename(temporary.path())
            // Nobody reads it before it is whole and synced, so it needs neither a journal nor its own syncs.
            .journal_mode(SqliteJournalMode::Off)
            .synchronous(SqliteSynchronous::Off)
            .locking_mode(SqliteLockingMode::Exclusive)
            .pragma("cache_size", "-16384")
            .pragma("mmap_size", "0")
            .pragma("application_id", APPLICATION_ID.to_string())
            .pragma("user_version", LAYOUT.to_string())
            .disable_statement_logging();
        let wrap = |source| write_error(path, source);
        let mut connection = options.connect().await.map_err(wrap)?;
        sqlx::query("BEGIN")
            .execute(&mut connection)
            .await
            .map_err(wrap)?;
        for table in TABLES {
            sqlx::query(table).execute(&mut connection).await.map_err(wrap)?;
        }
        Ok(Self {
            connection,
            temporary,
            path: path.to_owned(),
            manifest: Manifest::new(),
            rows: [1; 3],
        })
    }

    /// Adds leaves of a log.
    pub(super) async fn leaves(&mut self, log: LogId, leaves: &[StoredLeaf]) -> Result<(), ArchiveError> {
        let head = "INSERT INTO leaves (log, leaf, time, data, extra) VALUES";
        let written = insert_rows(&mut self.connection, head, 5, "", leaves, |query, leaf| {
            query
                .bind(i64::from(log.0))
                .bind(leaf.index.cast_signed())
                .bind(leaf.time.cast_signed())
                .bind(leaf.data.as_ref())
                .bind(leaf.extra.as_ref())
        });
        written.await.map_err(|e| write_error(&self.path, e))?;
        let sha256 = digest::leaves(log, leaves);
        self.chunk(Part::Leaves, log.0, leaves.len(), sha256).await
    }

    /// Adds index rows.
    pub(super) async fn index(&mut self, rows: &[(IndexKey, Place)]) -> Result<(), ArchiveError> {
        let head = "INSERT INTO index_rows (key, log, leaf) VALUES";
        let written = insert_rows(&mut self.connection, head, 3, "", rows, |query, (key, place)| {
            query
                .bind(key.0.to_be_bytes().to_vec())
                .bind(i64::from(place.log.0))
                .bind(place.index.cast_signed())
        });
        written.await.map_err(|e| write_error(&self.path, e))?;
        self.chunk(Part::Index, 0, rows.len(), digest::index(rows)).await
    }

    /// Adds attachments.
    pub(super) async fn attachments(&mut self, attachments: &[Attachment]) -> Result<(), ArchiveError> {
        let head = "INSERT INTO attachments (key, data) VALUES";
        let written = insert_rows(&mut self.connection, head, 2, "", attachments, |query, one| {
            query.bind(one.key.as_str()).bind(one.data.as_ref())
        });
        written.await.map_err(|e| write_error(&self.path, e))?;
        let sha256 = digest::attachments(attachments);
        self.chunk(Part::Attachments, 0, attachments.len(), sha256).await
    }

    async fn chunk(
        &mut self,
        part: Part,
        log: u32,
        rows: usize,
        sha256: common_tlog::Hash,
    ) -> Result<(), ArchiveError> {
        let [leaves, index, attachments] = &mut self.rows;
        let next = match part {
            Part::Leaves => leaves,
            Part::Index => index,
            Part::Attachments => attachments,
        };
        let chunk = Chunk {
            part,
            log,
            first: *next,
            rows: rows as u64,
            sha256,
        };
        *next = next.saturating_add(chunk.rows);
        self.manifest.chunk(&chunk);
        let insert =
            sqlx::query("INSERT INTO chunks (part, log, first, rows, sha256) VALUES (?, ?, ?, ?, ?)")
                .bind(part.name())
                .bind(i64::from(log))
                .bind(chunk.first.cast_signed())
                .bind(chunk.rows.cast_signed())
                .bind(sha256.0.to_vec());
        self.execute(insert).await
    }

    /// Writes what the backup says of itself, makes it durable, and gives it its name. Its size in bytes.
    ///
    /// # Errors
    /// Nothing has the name then, except after an error of the last sync. [`ArchiveError::TooMuch`] for what could not be
    /// read back.
    pub async fn finish(mut self, about: &About) -> Result<u64, ArchiveError> {
        limits::check(&about.files).map_err(|excess| ArchiveError::TooMuch {
            path: self.path.clone(),
            excess,
        })?;
        for log in &about.logs {
            self.execute(insert_log(log)).await?;
        }
        for file in &about.files {
            let insert = sqlx::query("INSERT INTO files VALUES (?, ?, ?, ?)")
                .bind(file.path.clone())
                .bind(i64::from(file.mode))
                .bind(file.data.to_vec())
                .bind(digest::file(file).0.to_vec());
            self.execute(insert).await?;
        }
        let manifest = std::mem::replace(&mut self.manifest, Manifest::new()).finish(about);
        let keys = if about.with_keys { "included" } else { "left out" };
        for (name, value) in [
            ("created", about.created.to_string()),
            ("version", about.version.clone()),
            ("keys", keys.to_owned()),
            ("secret", common_tlog::Hash(about.secret.0).to_string()),
            // Last: without it the file is not a backup.
            ("manifest", manifest.to_string()),
        ] {
            let insert = sqlx::query("INSERT INTO meta VALUES (?, ?)")
                .bind(name)
                .bind(value);
            self.execute(insert).await?;
        }
        self.execute(sqlx::query("COMMIT")).await?;
        let Self {
            connection,
            temporary,
            path,
            ..
        } = self;
        connection.close().await.map_err(|e| write_error(&path, e))?;
        let target = path.clone();
        let publish = move || publish(temporary, &path);
        let published = tokio::task::spawn_blocking(publish).await;
        published.unwrap_or_else(|error| {
            Err(ArchiveError::Io {
                path: target,
                source: std::io::Error::other(error),
            })
        })
    }

    async fn execute(
        &mut self,
        query: sqlx::query::Query<'_, sqlx::Sqlite, sqlx::sqlite::SqliteArguments>,
    ) -> Result<(), ArchiveError> {
        let done = query.execute(&mut self.connection).await;
        done.map(|_| ()).map_err(|e| write_error(&self.path, e))
    }
}

/// Syncs the file, then names it, then syncs the name. A file that came to be there meanwhile is not replaced.
fn publish(temporary: NamedTempFile, path: &Path) -> Result<u64, ArchiveError> {
    let folder = File::open(folder_of(path)).map_err(io_error(path))?;
    temporary.as_file().sync_all().map_err(io_error(path))?;
    let size = temporary.as_file().metadata().map_err(io_error(path))?.len();
    let named = temporary.persist_noclobber(path);
    named.map_err(|failed| match failed.error.kind() {
        std::io::ErrorKind::AlreadyExists => ArchiveError::Exists(path.to_owned()),
        _ => io_error(path)(failed.error),
    })?;
    folder.sync_all().map_err(io_error(path))?;
    Ok(size)
}

fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

fn write_error(path: &Path, source: sqlx::Error) -> ArchiveError {
    ArchiveError::Write {
        path: path.to_owned(),
        source,
    }
}
