//! What is kept of a publication, and where.

use async_trait::async_trait;
use common_bundle::format::{Bundle, KeyMaterial};
use common_pki::cert::Certificate;
use serde::{Deserialize, Serialize};

use crate::error::Refusal;
use crate::project::Project;

/// One accepted publication. Everything else about it follows from the bundle, which nobody who only asks makes us parse.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Publication {
    /// `platform/org/repo`.
    pub project: String,
    /// The commit that was examined, in hex.
    pub commit: String,
    /// The branch as the publisher named it.
    pub branch: String,
    /// Unix seconds: the latest time that a log or an authority proves for the signature.
    pub signed_at: u64,
    /// Index of the entry in its log; not kept of publications before this was.
    #[serde(default)]
    pub log_index: Option<u64>,
    /// Media type of the signed bytes.
    pub media_type: String,
    /// The signed bytes. They are UTF-8, because they are JSON.
    pub signed: String,
    /// The evidence: a Sigstore bundle, JSON.
    pub bundle: String,
}

impl Publication {
    /// The evidence, parsed.
    pub(crate) fn evidence(&self) -> Option<Bundle> {
        Bundle::from_json(self.bundle.as_bytes()).ok()
    }

    /// Whether this may be shown instead of `newest`: its certificate is not older. That is the authority's word, while who
    /// submits chooses which proofs of the signature's time come along, and anybody can have a signature timestamped again.
    ///
    /// # Errors
    /// [`Refusal::Replayed`].
    pub(crate) fn replaces(&self, newest: &Publication) -> Result<(), Refusal> {
        match (newest.certified_at(), self.certified_at()) {
            (Some(newest), got) if got.is_none_or(|got| got < newest) => Err(Refusal::Replayed {
                newest,
                got: got.unwrap_or_default(),
            }),
            _ => Ok(()),
        }
    }

    /// Unix seconds from which the signer's certificate is valid.
    fn certified_at(&self) -> Option<u64> {
        let KeyMaterial::Certificates(chain) = self.evidence()?.key_material else {
            return None;
        };
        let leaf = Certificate::from_der(chain.first()?).ok()?;
        Some(leaf.not_before())
    }
}

/// Publications cannot be read or written.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct StoreError(pub String);

/// Keeps publications: for each project the newest, and one for each commit.
#[async_trait]
pub trait Store: Send + Sync {
    /// The newest publication of a project, or that of a commit.
    ///
    /// # Errors
    /// [`StoreError`] when there is one that cannot be read.
    async fn get(&self, project: &Project, commit: Option<&str>) -> Result<Option<Publication>, StoreError>;

    /// Keeps `publication` as that of its commit, and as the newest. It is durable when this returns.
    ///
    /// # Errors
    /// [`StoreError`]; what was there before is still readable then.
    async fn put(&self, project: &Project, publication: &Publication) -> Result<(), StoreError>;
}
