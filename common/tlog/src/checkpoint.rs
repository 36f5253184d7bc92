//! Checkpoints (C2SP tlog-checkpoint): the text of a note that commits to a tree.

use std::fmt;

use crate::{Hash, MAX_SIZE, tile::decimal};

/// Most extension lines accepted.
pub const MAX_EXTENSIONS: usize = 32;

/// The text of a checkpoint; `Display` gives it with its final newline, ready to sign.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// Which log: for Rekor v1 `host - treeID`, for Rekor v2 the host name.
    pub origin: String,
    /// How many leaves.
    pub size: u64,
    /// The root over them.
    pub root: Hash,
    /// Further lines, without their newlines.
    pub extensions: Vec<String>,
}

/// Why a note's text is not a checkpoint.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CheckpointError {
    /// The first line must name the log.
    #[error("the first line of a checkpoint is the log's origin")]
    Origin,
    /// The second line must be the size, in decimal and without leading zeros.
    #[error("the second line of a checkpoint is the tree size in decimal, at most 2^63-1")]
    Size,
    /// The third line must be the root.
    #[error("the third line of a checkpoint is a 32-byte root hash in base64")]
    Root,
    /// Further lines are not empty and not too many, and the text ends with a newline.
    #[error("a checkpoint has at most {MAX_EXTENSIONS} extension lines, none empty, and ends with a newline")]
    Extensions,
}

impl Checkpoint {
    /// A checkpoint without extensions.
    #[must_use]
    pub fn new(origin: impl Into<String>, size: u64, root: Hash) -> Self {
        Self {
            origin: origin.into(),
            size,
            root,
            extensions: Vec::new(),
        }
    }

    /// Parses the text of a note ([`crate::note::Note::text`]).
    pub fn parse(text: &str) -> Result<Self, CheckpointError> {
        let mut lines = text.split('\n');
        let origin = lines
            .next()
            .filter(|line| !line.is_empty())
            .ok_or(CheckpointError::Origin)?;
        let size = lines
            .next()
            .and_then(decimal)
            .filter(|size| *size <= MAX_SIZE)
            .ok_or(CheckpointError::Size)?;
        let root = lines
            .next()
            .and_then(|line| Hash::from_base64(line).ok())
            .ok_or(CheckpointError::Root)?;
        let mut extensions = Vec::new();
        let mut ended = false;
        for line in lines {
            match line {
                _ if ended => return Err(CheckpointError::Extensions),
                "" => ended = true,
                _ if extensions.len() >= MAX_EXTENSIONS => return Err(CheckpointError::Extensions),
                _ => extensions.push(line.to_owned()),
            }
        }
        if !ended {
            return Err(CheckpointError::Extensions);
        }
        Ok(Self {
            origin: origin.to_owned(),
            size,
            root,
            extensions,
        })
    }
}

impl fmt::Display for Checkpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\n{}\n{}\n", self.origin, self.size, self.root.to_base64())?;
        self.extensions.iter().try_for_each(|line| writeln!(f, "{line}"))
    }
}

#[cfg(test)]
mod tests;
