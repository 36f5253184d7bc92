//! Reading a backup. It may be damaged or made by somebody else: every part is checked against its digest before it is
//! used, and sizes are asked for before content is read.

use std::path::{Path, PathBuf};

use bytes::Bytes;
use common_engine::{Attachment, IndexKey, IndexSecret, LogId, Place, StoredLeaf};
use common_tlog::Hash;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteRow};
use sqlx::{ConnectOptions, Row};

use super::digest::{self, Manifest};
use super::schema::{APPLICATION_ID, Chunk, LAYOUT, MAX_CHUNK_BYTES, Part, TABLES};
use super::{About, ArchiveError, FileEntry, io_error, limits};
use crate::log_row::{LogRow, log_of, select_logs};

/// Most logs of a store.
const MAX_LOGS: i64 = 1 << 16;

/// A finished backup, open for reading.
pub struct Archive {
    connection: SqliteConnection,
    path: PathBuf,
    about: About,
    chunks: Vec<Chunk>,
}

impl Archive {
    /// Opens a backup and checks all that it says of itself; the rows are checked as they are read.
    ///
    /// # Errors
    /// [`ArchiveError::Foreign`], [`ArchiveError::Unfinished`] or [`ArchiveError::Damaged`], which names the part.
    pub async fn open(path: &Path) -> Result<Self, ArchiveError> {
        let metadata = std::fs::metadata(path).map_err(io_error(path))?;
        let foreign = |reason: String| ArchiveError::Foreign {
            path: path.to_owned(),
            reason,
        };
        if !metadata.is_file() {
            return Err(foreign("expected a file".to_owned()));
        }
        let mut connection = SqliteConnectOptions::new()
            .filename(path)
            .read_only(true)
            // No lock, and no journal of somebody else's is ever played into it.
            .immutable(true)
            .pragma("cache_size", "-16384")
            .pragma("mmap_size", "0")
            .pragma("trusted_schema", "OFF")
            .pragma("cell_size_check", "ON")
            .disable_statement_logging()
            .connect()
            .await
            .map_err(|error| foreign(error.to_string()))?;
        let id: i64 = sqlx::query_scalar("PRAGMA application_id")
            .fetch_one(&mut connection)
            .await
            .map_err(|error| foreign(error.to_string()))?;
        if id != APPLICATION_ID {
            return Err(foreign(format!(
                "its application_id is {id:#x}, expected {APPLICATION_ID:#x}"
            )));
        }
        let mut archive = Self {
            connection,
            path: path.to_owned(),
            about: About {
                created: 0,
                version: String::new(),
                with_keys: false,
                secret: IndexSecret([0; 32]),
                logs: Vec::new(),
                files: Vec::new(),
            },
            chunks: Vec::new(),
        };
        archive.check_schema().await?;
        archive.load().await?;
        Ok(archive)
    }

    /// What it says of itself.
    #[must_use]
    pub fn about(&self) -> &About {
        &self.about
    }

    /// A file of the data folder.
    #[must_use]
    pub fn file(&self, path: &str) -> Option<&FileEntry> {
        self.about.files.iter().find(|file| file.path == path)
    }

    /// Rows of one part, or of one log's leaves.
    pub(super) fn rows(&self, part: Part) -> u64 {
        let of_part = self.chunks.iter().filter(|chunk| chunk.part == part);
        of_part.fold(0, |sum, chunk| sum.saturating_add(chunk.rows))
    }

    /// The chunks of a part in order; for leaves, of one log.
    pub(super) fn chunks(&self, part: Part, log: LogId) -> Vec<Chunk> {
        let wanted = |chunk: &&Chunk| chunk.part == part && chunk.log == log.0;
        self.chunks.iter().filter(wanted).copied().collect()
    }

    pub(super) fn damaged(&self, what: impl Into<String>) -> ArchiveError {
        ArchiveError::Damaged {
            path: self.path.clone(),
            what: what.into(),
        }
    }

    fn unreadable(&self, what: &str, error: &sqlx::Error) -> ArchiveError {
        self.damaged(format!("{what} cannot be read: {error}"))
    }

    async fn check_schema(&mut self) -> Result<(), ArchiveError> {
        let layout: i64 = self.scalar("PRAGMA user_version", "its layout").await?;
        if layout != LAYOUT {
            return Err(ArchiveError::Layout {
                path: self.path.clone(),
                expected: LAYOUT,
                got: layout,
            });
        }
        let others: i64 = self
            .scalar(
                "SELECT count(*) FROM sqlite_schema WHERE type <> 'table' AND name NOT LIKE 'sqlite_autoindex_%'",
                "the list of tables",
            )
            .await?;
        let found =
            sqlx::query_scalar("SELECT sql FROM sqlite_schema WHERE type = 'table' ORDER BY rowid LIMIT 100")
                .fetch_all(&mut self.connection)
                .await;
        let tables: Vec<String> = found.map_err(|error| self.unreadable("the list of tables", &error))?;
        if tables.is_empty() {
            return Err(ArchiveError::Unfinished(self.path.clone()));
        }
        if others != 0 || tables != TABLES {
            return Err(self.damaged("it has other tables than a backup"));
        }
        Ok(())
    }

    async fn load(&mut self) -> Result<(), ArchiveError> {
        let Some(manifest) = self.meta("manifest").await? else {
            return Err(ArchiveError::Unfinished(self.path.clone()));
        };
        let expected: Hash = manifest
            .parse()
            .map_err(|_| self.damaged("meta: the manifest is not a SHA-256 in hexadecimal"))?;
        let mut text = async |name: &str| -> Result<String, ArchiveError> {
            let value = self.meta(name).await?;
            value.ok_or_else(|| self.damaged(format!("meta: {name} is missing")))
        };
        let (created, version) = (text("created").await?, text("version").await?);
        let (keys, secret) = (text("keys").await?, text("secret").await?);
        let secret: Hash = secret
            .parse()
            .map_err(|_| self.damaged("meta: the secret is not 32 bytes in hexadecimal"))?;
        self.about = About {
            created: created
                .parse()
                .map_err(|_| self.damaged("meta: created is not a number"))?,
            version,
            with_keys: keys == "included",
            secret: IndexSecret(secret.0),
            logs: Vec::new(),
            files: Vec::new(),
        };
        self.load_logs().await?;
        self.load_files().await?;
        let manifest = self.load_chunks().await?;
        if manifest.finish(&self.about) != expected {
            return Err(self.damaged("the tables meta, logs or chunks differ from the manifest"));
        }
        Ok(())
    }

    async fn meta(&mut self, name: &str) -> Result<Option<String>, ArchiveError> {
        let query = "SELECT value FROM meta WHERE name = ? AND length(value) < 1000";
        let found = sqlx::query_scalar(query).bind(name.to_owned());
        let found = found.fetch_optional(&mut self.connection).await;
        found.map_err(|error| self.unreadable("table meta", &error))
    }

    async fn scalar(&mut self, query: &'static str, what: &str) -> Result<i64, ArchiveError> {
        let found = sqlx::query_scalar(query).fetch_one(&mut self.connection).await;
        found.map_err(|error| self.unreadable(what, &error))
    }

    async fn load_logs(&mut self) -> Result<(), ArchiveError> {
        let what = "table logs";
        let count = self.scalar("SELECT count(*) FROM logs", what).await?;
        let bytes = "SELECT coalesce(max(length(origin) + length(key_id) + length(checkpoint)), 0) FROM logs";
        let longest = self.scalar(bytes, what).await?;
        if count > MAX_LOGS || longest > 1 << 20 {
            return Err(self.damaged(format!("{what} is larger than any store has it")));
        }
        let rows = sqlx::query_as::<_, LogRow>(select_logs!(""));
        let rows = rows.fetch_all(&mut self.connection).await;
        for row in rows.map_err(|error| self.unreadable(what, &error))? {
            let log = log_of(row).ok_or_else(|| self.damaged("table logs holds what no store holds"))?;
            self.about.logs.push(log);
        }
        Ok(())
    }

    async fn load_files(&mut self) -> Result<(), ArchiveError> {
        let what = "table files";
        let count = self.scalar("SELECT count(*) FROM files", what).await?;
        // The length of a text is in characters.
        let bytes = "SELECT coalesce(sum(length(CAST(path AS BLOB)) + length(data)), 0) FROM files";
        let bytes = self.scalar(bytes, what).await?;
        let counted = |number: i64| u64::try_from(number).unwrap_or(u64::MAX);
        limits::fits(counted(count), counted(bytes))
            .map_err(|excess| self.damaged(format!("{what}: {excess}")))?;
        // In the order they were written, which the manifest is over; in pages, because a row is a second copy.
        let query =
            "SELECT rowid, path, mode, data, sha256 FROM files WHERE rowid > ? ORDER BY rowid LIMIT 64";
        let mut after = 0i64;
        loop {
            let rows = self.page(query, after, what).await?;
            if rows.is_empty() {
                return Ok(());
            }
            for row in rows {
                let (number, file, sha256) = file_of(&row).map_err(|error| self.unreadable(what, &error))?;
                if digest::file(&file).0.as_slice() != sha256 {
                    return Err(self.damaged(format!("file {:?} differs from its SHA-256", file.path)));
                }
                self.about.files.push(file);
                after = number;
            }
        }
    }

    /// The next rows behind `after`, none at the end.
    async fn page(
        &mut self,
        query: &'static str,
        after: i64,
        what: &'static str,
    ) -> Result<Vec<SqliteRow>, ArchiveError> {
        let rows = sqlx::query(query)
            .bind(after)
            .fetch_all(&mut self.connection)
            .await;
        rows.map_err(|error| self.unreadable(what, &error))
    }

    async fn load_chunks(&mut self) -> Result<Manifest, ArchiveError> {
        let mut manifest = Manifest::new();
        // In pages: a large log has hundreds of thousands.
        let query =
            "SELECT row, part, log, first, rows, sha256 FROM chunks WHERE row > ? ORDER BY row LIMIT 10000";
        let mut after = 0i64;
        loop {
            let rows = self.page(query, after, "table chunks").await?;
            if rows.is_empty() {
                return Ok(manifest);
            }
            for row in rows {
                let read = chunk_of(&row).map_err(|error| self.unreadable("table chunks", &error))?;
                let (number, chunk) =
                    read.ok_or_else(|| self.damaged("table chunks holds what no backup holds"))?;
                manifest.chunk(&chunk);
                self.chunks.push(chunk);
                after = number;
            }
        }
    }

    /// The leaves of a chunk.
    pub(super) async fn leaves(&mut self, chunk: &Chunk) -> Result<Vec<StoredLeaf>, ArchiveError> {
        let sum =
            "SELECT coalesce(sum(length(data) + length(extra)), 0) FROM leaves WHERE row >= ? AND row < ?";
        let select =
            "SELECT leaf, time, data, extra, log FROM leaves WHERE row >= ? AND row < ? ORDER BY row";
        let log = i64::from(chunk.log);
        let leaf = |row: &SqliteRow| -> Result<Option<StoredLeaf>, sqlx::Error> {
            if row.try_get::<i64, _>(4)? != log {
                return Ok(None);
            }
            Ok(Some(StoredLeaf {
                index: row.try_get::<i64, _>(0)?.cast_unsigned(),
                time: row.try_get::<i64, _>(1)?.cast_unsigned(),
                data: row.try_get::<Vec<u8>, _>(2)?.into(),
                extra: row.try_get::<Vec<u8>, _>(3)?.into(),
            }))
        };
        let digest = |leaves: &[StoredLeaf]| digest::leaves(LogId(chunk.log), leaves);
        self.chunk(chunk, Some(sum), select, leaf, digest).await
    }

    /// The index rows of a chunk.
    pub(super) async fn index(&mut self, chunk: &Chunk) -> Result<Vec<(IndexKey, Place)>, ArchiveError> {
        let select = "SELECT key, log, leaf FROM index_rows WHERE row >= ? AND row < ? AND length(key) = 8 ORDER BY row";
        let index = |row: &SqliteRow| -> Result<Option<(IndexKey, Place)>, sqlx::Error> {
            let key: Vec<u8> = row.try_get(0)?;
            let log = u32::try_from(row.try_get::<i64, _>(1)?);
            let index = row.try_get::<i64, _>(2)?.cast_unsigned();
            let (Ok(key), Ok(log)) = (key.try_into(), log) else {
                return Ok(None);
            };
            let place = Place {
                log: LogId(log),
                index,
            };
            Ok(Some((IndexKey(u64::from_be_bytes(key)), place)))
        };
        self.chunk(chunk, None, select, index, digest::index).await
    }

    /// The attachments of a chunk.
    pub(super) async fn attachments(&mut self, chunk: &Chunk) -> Result<Vec<Attachment>, ArchiveError> {
        let sum =
            "SELECT coalesce(sum(length(key) + length(data)), 0) FROM attachments WHERE row >= ? AND row < ?";
        let select = "SELECT key, data FROM attachments WHERE row >= ? AND row < ? ORDER BY row";
        let attachment = |row: &SqliteRow| -> Result<Option<Attachment>, sqlx::Error> {
            Ok(Some(Attachment {
                key: row.try_get(0)?,
                data: row.try_get::<Vec<u8>, _>(1)?.into(),
            }))
        };
        self.chunk(chunk, Some(sum), select, attachment, digest::attachments)
            .await
    }

    async fn chunk<T>(
        &mut self,
        chunk: &Chunk,
        sum: Option<&'static str>,
        select: &'static str,
        parse: impl Fn(&SqliteRow) -> Result<Option<T>, sqlx::Error>,
        digest: impl Fn(&[T]) -> Hash,
    ) -> Result<Vec<T>, ArchiveError> {
        let name = chunk.part.name();
        let end = chunk.first.saturating_add(chunk.rows);
        let what = format!("table {name}, rows {} to {}", chunk.first, end.saturating_sub(1));
        let (first, end) = (chunk.first.cast_signed(), end.cast_signed());
        if let Some(sum) = sum {
            let query = sqlx::query_scalar(sum).bind(first).bind(end);
            let bytes: Result<i64, _> = query.fetch_one(&mut self.connection).await;
            if bytes.map_err(|error| self.unreadable(&what, &error))? > MAX_CHUNK_BYTES {
                return Err(self.damaged(format!("{what}: larger than a backup writes them")));
            }
        }
        let rows = sqlx::query(select)
            .bind(first)
            .bind(end)
            .fetch_all(&mut self.connection)
            .await;
        let rows = rows.map_err(|error| self.unreadable(&what, &error))?;
        let parsed: Result<Option<Vec<T>>, _> = rows.iter().map(parse).collect();
        let parsed = parsed.map_err(|error| self.unreadable(&what, &error))?;
        parsed
            .filter(|items| digest(items) == chunk.sha256)
            .ok_or_else(|| self.damaged(format!("{what}: they differ from their SHA-256")))
    }
}

fn file_of(row: &SqliteRow) -> Result<(i64, FileEntry, Vec<u8>), sqlx::Error> {
    let file = FileEntry {
        path: row.try_get(1)?,
        mode: u32::try_from(row.try_get::<i64, _>(2)?).unwrap_or(u32::MAX),
        data: Bytes::from(row.try_get::<Vec<u8>, _>(3)?),
    };
    Ok((row.try_get(0)?, file, row.try_get(4)?))
}

fn chunk_of(row: &SqliteRow) -> Result<Option<(i64, Chunk)>, sqlx::Error> {
    let part = Part::from_name(row.try_get(1)?);
    let log = u32::try_from(row.try_get::<i64, _>(2)?);
    let first = u64::try_from(row.try_get::<i64, _>(3)?);
    let rows = u64::try_from(row.try_get::<i64, _>(4)?);
    let sha256 = Hash::from_slice(row.try_get(5)?);
    let (Some(part), Ok(log), Ok(first), Ok(rows), Ok(sha256)) = (part, log, first, rows, sha256) else {
        return Ok(None);
    };
    let chunk = Chunk {
        part,
        log,
        first,
        rows,
        sha256,
    };
    let fits = rows > 0 && rows <= u64::from(part.most_rows());
    Ok(fits.then_some((row.try_get(0)?, chunk)))
}
