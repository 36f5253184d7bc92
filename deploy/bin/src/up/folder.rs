//! The data folder of a run: the one asked for, or a temporary one; locked either way.

use std::io;
use std::sync::Arc;

use common_backend::folder::{DataFolder, FolderError};
use tempfile::TempDir;

use crate::cli::UpArgs;
use crate::layout::Layout;

/// A folder that cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OpenError {
    /// Taken or not writable.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// No temporary folder.
    #[error("cannot create a temporary folder: {0}")]
    Temporary(#[source] io::Error),
    /// The working directory is gone.
    #[error("cannot tell the absolute path of the data folder: {0}")]
    Path(#[source] io::Error),
}

/// A temporary folder that stayed.
#[derive(Debug, thiserror::Error)]
#[error("cannot remove the temporary folder: {0}")]
pub(crate) struct CloseError(#[from] io::Error);

/// The locked folder.
pub(crate) struct Folder {
    layout: Layout,
    lock: Arc<DataFolder>,
    temporary: Option<TempDir>,
}

impl Folder {
    /// Creates the folder if it is missing, and locks it.
    ///
    /// # Errors
    /// [`OpenError`].
    pub(crate) fn open(args: &UpArgs) -> Result<Folder, OpenError> {
        let temporary = if args.ephemeral {
            Some(
                tempfile::Builder::new()
                    .prefix("sigbox-")
                    .tempdir()
                    .map_err(OpenError::Temporary)?,
            )
        } else {
            None
        };
        let path = temporary.as_ref().map_or(args.data.as_path(), TempDir::path);
        // Absolute, because the path is shown to people and programs elsewhere.
        let path = std::path::absolute(path).map_err(OpenError::Path)?;
        let lock = Arc::new(DataFolder::open(path.clone())?);
        Ok(Folder {
            layout: Layout::new(path),
            lock,
            temporary,
        })
    }

    /// Paths in it.
    pub(crate) fn layout(&self) -> &Layout {
        &self.layout
    }

    /// The lock, to be held by whoever writes.
    pub(crate) fn lock(&self) -> Arc<DataFolder> {
        Arc::clone(&self.lock)
    }

    /// Gives the folder back; a temporary one is removed.
    ///
    /// # Errors
    /// [`CloseError`].
    pub(crate) fn close(self) -> Result<(), CloseError> {
        drop(self.lock);
        Ok(self.temporary.map_or(Ok(()), TempDir::close)?)
    }
}
