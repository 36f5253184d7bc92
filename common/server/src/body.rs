//! Request bodies, read to the end within bounds on one body and on all large ones together.
//!
//! The services answer what went wrong in their own shapes; the bounds are the same for all of them.

use std::sync::Arc;

use axum::body::Body;
use axum::body::HttpBody as _;
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt as _;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Up to this many bytes a body needs no slot; hashes, signatures and keys stay far below.
const SMALL: usize = 256 * 1024;
/// Bodies over [`SMALL`] that may be in memory at once.
const SLOTS: usize = 16;

/// Reads bodies for one API.
#[derive(Debug, Clone)]
pub struct Reader {
    limit: usize,
    slots: Arc<Semaphore>,
}

/// A body in memory. A large one holds its slot until this is dropped, so hold it while the bytes are in use.
#[derive(Debug)]
pub struct Read {
    /// The whole body.
    pub bytes: Bytes,
    _slot: Option<OwnedSemaphorePermit>,
}

/// Why a body was not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// It is longer than may be.
    #[error("request body: expected at most {limit} bytes, got more")]
    TooLarge {
        /// The limit, in bytes.
        limit: usize,
    },
    /// Too many large bodies are in memory already.
    #[error("the server is at its limit of large request bodies; retry shortly")]
    Overloaded,
    /// It broke off, or was not readable as HTTP.
    #[error("request body: expected one to its end, got one that broke off")]
    Unreadable,
}

impl Reader {
    /// A reader of bodies of at most `limit` bytes each. Its clones share their slots.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Reader {
            limit,
            slots: Arc::new(Semaphore::new(SLOTS)),
        }
    }

    /// Reads `body` to its end.
    ///
    /// # Errors
    /// [`BodyError`], as soon as a bound is passed: a declared length is judged before anything is read.
    pub async fn read(&self, mut body: Body) -> Result<Read, BodyError> {
        let too_large = BodyError::TooLarge { limit: self.limit };
        let declared = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
        if declared > self.limit {
            return Err(too_large);
        }
        let mut slot = None;
        let mut first = Bytes::new();
        let mut rest = BytesMut::new();
        while let Some(frame) = body.frame().await {
            let Ok(data) = frame.map_err(|_| BodyError::Unreadable)?.into_data() else {
                continue;
            };
            let total = first.len().saturating_add(rest.len()).saturating_add(data.len());
            if total > self.limit {
                return Err(too_large);
            }
            if total > SMALL && slot.is_none() {
                slot = Some(
                    Arc::clone(&self.slots)
                        .try_acquire_owned()
                        .map_err(|_| BodyError::Overloaded)?,
                );
            }
            // Nearly every body is one frame: it is passed on as it came.
            if first.is_empty() && rest.is_empty() {
                first = data;
                continue;
            }
            if rest.is_empty() {
                rest.reserve(declared.max(total));
                rest.extend_from_slice(&std::mem::take(&mut first));
            }
            rest.extend_from_slice(&data);
        }
        let bytes = if rest.is_empty() { first } else { rest.freeze() };
        Ok(Read { bytes, _slot: slot })
    }
}

#[cfg(test)]
mod tests;
