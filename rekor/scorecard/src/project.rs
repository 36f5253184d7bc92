//! A repository on a Git host, as paths and results name it.

use std::fmt;

/// Longest segment: DNS names have 253 octets, names on Git hosts at most 100.
const MAX_SEGMENT: usize = 253;

/// `platform/org/repo`, such as `github.com/acme/app`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Project {
    platform: String,
    org: String,
    repo: String,
}

/// Not the name of a repository.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{part}: expected 1 to {MAX_SEGMENT} letters, digits, '.', '_' or '-', the first a letter or digit, got {got:?}"
)]
pub struct ProjectError {
    part: &'static str,
    got: String,
}

impl Project {
    /// Checks the three names: each is one plain path segment, so a store may use them as names of folders.
    ///
    /// # Errors
    /// [`ProjectError`] names the part.
    pub fn new(platform: &str, org: &str, repo: &str) -> Result<Project, ProjectError> {
        Ok(Project {
            platform: segment("platform", platform)?,
            org: segment("organization", org)?,
            repo: segment("repository", repo)?,
        })
    }

    /// The host of the repository.
    #[must_use]
    pub fn platform(&self) -> &str {
        &self.platform
    }

    /// The three names, outermost first.
    #[must_use]
    pub fn segments(&self) -> [&str; 3] {
        [&self.platform, &self.org, &self.repo]
    }

    /// As a certificate names it: extension 1.3.6.1.4.1.57264.1.12 (fulcio `docs/oid-info.md`, Source Repository URI).
    #[must_use]
    pub fn uri(&self) -> String {
        format!("https://{self}")
    }
}

impl fmt::Display for Project {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.platform, self.org, self.repo)
    }
}

fn segment(part: &'static str, name: &str) -> Result<String, ProjectError> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    let first = name.chars().next().is_some_and(|c| c.is_ascii_alphanumeric());
    if first && name.len() <= MAX_SEGMENT && name.chars().all(plain) {
        return Ok(name.to_owned());
    }
    Err(ProjectError {
        part,
        got: name.chars().take(64).collect(),
    })
}
