//! The data folder.
//!
//! ```text
//! sigbox-data/
//!   lock                   held by the one process that uses the folder
//!   sigbox.db …            every log, its index and its heads
//!   records.db             refusals of the issuance policy and pseudonyms, where there are any; not with PostgreSQL
//!   published              the checkpoints that clients have seen, outside the database on purpose
//!   keys/registry.json     every key: role, algorithm, validity, chain; written last, so what it lists exists
//!   keys/*.pem             private keys, PKCS #8, for the owner only
//!   tuf/                   the TUF repository as it is served
//!   trust/                 what clients need, exported
//!   control/socket         where commands reach the running instance, for the owner only
//!   tls/                   authority of the local TLS certificate
//!   scorecard/             published Scorecard results with their evidence
//! ```

use std::path::{Path, PathBuf};

/// Paths within a data folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Layout {
    root: PathBuf,
}

impl Layout {
    /// The layout of the folder `root`.
    pub(crate) fn new(root: PathBuf) -> Layout {
        Layout { root }
    }

    /// The folder itself.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// The record of published checkpoints.
    pub(crate) fn published(&self) -> PathBuf {
        self.root.join("published")
    }

    /// Private keys and their registry.
    pub(crate) fn keys(&self) -> PathBuf {
        self.root.join("keys")
    }

    /// The key registry.
    pub(crate) fn registry(&self) -> PathBuf {
        self.keys().join("registry.json")
    }

    /// The TUF repository.
    pub(crate) fn tuf(&self) -> PathBuf {
        self.root.join("tuf")
    }

    /// Exported trust files.
    pub(crate) fn trust(&self) -> PathBuf {
        self.root.join("trust")
    }

    /// Published Scorecard results.
    pub(crate) fn scorecard(&self) -> PathBuf {
        self.root.join("scorecard")
    }

    /// For the owner only, so that whoever can connect to what is in it is the owner.
    pub(crate) fn control(&self) -> PathBuf {
        self.root.join("control")
    }

    /// Where commands reach the running instance.
    pub(crate) fn control_socket(&self) -> PathBuf {
        self.control().join("socket")
    }

    /// Local TLS.
    pub(crate) fn tls(&self) -> PathBuf {
        self.root.join("tls")
    }

    /// Certificate of the local TLS authority.
    pub(crate) fn tls_authority(&self) -> PathBuf {
        self.tls().join("ca.pem")
    }

    /// Key of the local TLS authority.
    pub(crate) fn tls_authority_key(&self) -> PathBuf {
        self.tls().join("ca.key.pem")
    }
}
