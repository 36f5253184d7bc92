//! A TUF repository over HTTP, walked as a client does (TUF §5).

use std::time::SystemTime;

use common_bundle::tuf::{TufError, Update, VerifiedTargets};
use http::StatusCode;

use crate::http::{Client, HttpError};
use crate::tuf_seen::{Kept, SeenError};

/// Why there is no verified repository, or no target of it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FetchError {
    /// No usable answer.
    #[error(transparent)]
    Http(#[from] HttpError),
    /// Metadata or a target that is not trusted.
    #[error(transparent)]
    Tuf(#[from] TufError),
    /// What was seen before cannot be read or written.
    #[error(transparent)]
    Seen(#[from] SeenError),
    /// Listed, and not served.
    #[error("the target {0} is listed and not there")]
    NotThere(String),
}

/// A repository whose metadata was verified.
pub(crate) struct Repository {
    client: Client,
    targets: VerifiedTargets,
}

impl Repository {
    /// Updates the repository that `client` talks to, from root metadata that is trusted already, or from what `kept` has of
    /// an earlier update from that root.
    ///
    /// # Errors
    /// [`FetchError`].
    pub(crate) async fn update(
        client: Client,
        root: &[u8],
        kept: Option<&Kept>,
        now: SystemTime,
    ) -> Result<Repository, FetchError> {
        let seen = kept.map(Kept::read).transpose()?.flatten();
        let mut update = match seen {
            Some(seen) => Update::resume(seen, now)?,
            None => Update::new(root, now)?,
        };
        let walked = walk(&client, &mut update).await;
        // Also where it failed: each step that held is not to be gone back behind (TUF §5.3.8, §5.4.5).
        if let Some(kept) = kept {
            kept.keep(update.seen())?;
        }
        walked?;
        Ok(Repository {
            client,
            targets: update.finish()?,
        })
    }

    /// What the metadata lists.
    pub(crate) fn targets(&self) -> &VerifiedTargets {
        &self.targets
    }

    /// A target's content, of the length and digest that the metadata says.
    ///
    /// # Errors
    /// [`FetchError`].
    pub(crate) async fn target(&self, name: &str) -> Result<Vec<u8>, FetchError> {
        let request = self.targets.request(name)?;
        let content = file(&self.client, &request.path).await?;
        let content = content.ok_or(FetchError::NotThere(request.path))?;
        self.targets.check(name, &content)?;
        Ok(content)
    }
}

async fn walk(client: &Client, update: &mut Update) -> Result<(), FetchError> {
    while let Some(request) = update.request() {
        let file = file(client, &request.path).await?;
        update.give(file.as_deref())?;
    }
    Ok(())
}

/// A file of the repository; 404 means that there is none.
async fn file(client: &Client, path: &str) -> Result<Option<Vec<u8>>, HttpError> {
    let answer = client.get(&format!("/{path}")).await?;
    if answer.status == StatusCode::NOT_FOUND {
        return Ok(None);
    }
    Ok(Some(answer.expect(StatusCode::OK)?.to_vec()))
}
