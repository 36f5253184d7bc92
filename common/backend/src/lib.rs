//! Everything that talks to the outside for the log engine: databases and files.
//!
//! Implements: [`sqlite::SqliteStorage`] and [`postgres::PostgresStorage`] behind [`common_engine::Storage`];
//! [`folder::DataFolder`], which lets one process use a data folder; [`durable`] file writes; [`anchor::FileAnchor`],
//! the record of published checkpoints beside the database; [`records`], what is no log's and may be deleted; [`archive`], backups and their way back; [`signer`], private
//! keys wherever they are kept.
//!
//! Leaves out: any decision about a log. Hashes, keys and places come from the engine.
//!
//! Built upon by `deploy-bin` alone; no service sees a database.

pub mod anchor;
pub mod archive;
pub mod durable;
pub mod folder;
mod keys;
mod log_row;
pub mod postgres;
pub mod records;
pub mod signer;
pub mod sqlite;

#[cfg(test)]
mod testlog;
