//! Following a log: what it shows now must extend what it showed before, leaf by leaf.
//!
//! A follower keeps the peaks of the tree it has seen ([`CompactRange`]) and hashes every leaf that comes after into them.
//! The tree so made must be what the log proves its signed head to extend. So nothing is skipped, nothing is shown to this
//! reader alone, and after each step there is a place to go on from.

use common_tlog::Hash;
use common_tlog::compact::CompactRange;
use common_tlog::proof::verify_consistency;

use crate::source::{Head, Leaf, Source, SourceError};

/// Up to this many leaves the whole log is read to join it.
const SMALL: u64 = 64;

/// Why a log was not followed.
#[derive(Debug, thiserror::Error)]
pub enum FollowError {
    /// It could not be read; another time it may be.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// It shows less than it did, as a replica may that is late.
    #[error("the log shows {got} leaves, and showed {seen} before")]
    Behind {
        /// Leaves that were seen.
        seen: u64,
        /// Leaves of the head that it shows now.
        got: u64,
    },
    /// It is not what it says, or not what it was.
    #[error(transparent)]
    Inconsistent(#[from] Inconsistent),
}

/// A log does not hold together.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Inconsistent {
    /// Two heads that cannot both be true. Nobody but the log can have signed them, so they prove it to others.
    #[error("the log signed two trees of {size} leaves: expected root {root} as before, got {other}")]
    Contradiction {
        /// Leaves of both.
        size: u64,
        /// Root that was signed before.
        root: Hash,
        /// Root that is signed now.
        other: Hash,
    },
    /// Two histories of one log.
    #[error(
        "the log has another history than before: expected a tree of {to} leaves that extends the {from} leaves under root {root}, got none ({why})"
    )]
    Forked {
        /// Leaves that were seen.
        from: u64,
        /// Root over them.
        root: Hash,
        /// Leaves of the signed head that does not extend them.
        to: u64,
        /// What does not hold.
        why: String,
    },
    /// Leaves that the signed tree does not have.
    #[error(
        "the log serves other leaves than its signed tree has: expected leaves {from} to {to} to hash into it ({why})"
    )]
    Leaves {
        /// The first of them.
        from: u64,
        /// Behind the last.
        to: u64,
        /// What does not hold.
        why: String,
    },
}

/// That `head` goes on from one of `size` leaves under `root` that the log signed before: for each head as soon as it is seen,
/// whatever comes of reading the leaves.
///
/// # Errors
/// [`FollowError`].
pub async fn extends(log: &Source, size: u64, root: Hash, head: &Head) -> Result<(), FollowError> {
    if size > head.size {
        let (seen, got) = (size, head.size);
        return Err(FollowError::Behind { seen, got });
    }
    if size == head.size {
        let other = head.root;
        return match root == other {
            true => Ok(()),
            false => Err(Inconsistent::Contradiction { size, root, other }.into()),
        };
    }
    if size == 0 {
        return Ok(());
    }
    let proof = log.consistency(size, head.size).await?;
    let extends = verify_consistency(size, head.size, &root, &head.root, &proof);
    extends.map_err(|error| forked(size, root, head, &error).into())
}

/// A part of a log that was read and proven.
#[derive(Debug)]
pub struct Step {
    /// The tree up to here.
    pub tree: CompactRange,
    /// Index of the first leaf.
    pub first: u64,
    /// The leaves, every one that is new.
    pub leaves: Vec<Leaf>,
}

/// The tree of all leaves of `head`, read no further back than needed: where a reader begins that asks for news alone.
///
/// # Errors
/// [`FollowError`].
pub async fn join(log: &Source, head: &Head) -> Result<CompactRange, FollowError> {
    // A proof from a power of two has no peaks; one before it is none.
    let start = match head.size {
        size if size <= SMALL => 0,
        size if size.saturating_sub(1).is_power_of_two() => size.saturating_sub(2),
        size => size.saturating_sub(1),
    };
    let mut tree = CompactRange::new();
    if start > 0 {
        let proof = log.consistency(start, head.size).await?;
        tree = CompactRange::from_consistency(start, head.size, &proof)
            .map_err(|error| leaves(start, head, &error))?;
    }
    while tree.size() < head.size {
        for leaf in log.leaves(tree.size()..head.size, head.size).await? {
            tree.append_hash(leaf.hash)
                .map_err(|error| leaves(start, head, &error))?;
        }
    }
    match tree.root() == head.root {
        true => Ok(tree),
        false => Err(leaves(start, head, &mismatch(head.root, tree.root())).into()),
    }
}

/// Reads on from `tree` towards `head`: a part of what is new, or all of it.
///
/// # Errors
/// [`FollowError`]; `tree` is still where to go on from.
pub async fn advance(log: &Source, tree: &CompactRange, head: &Head) -> Result<Step, FollowError> {
    let (from, root) = (tree.size(), tree.root());
    if from > head.size {
        let (seen, got) = (from, head.size);
        return Err(FollowError::Behind { seen, got });
    }
    if from == head.size {
        return match root == head.root {
            true => Ok(Step {
                tree: tree.clone(),
                first: from,
                leaves: Vec::new(),
            }),
            // The tree that was read is no head that was signed: the log does not contradict itself yet.
            false => Err(forked(from, root, head, &mismatch(root, head.root)).into()),
        };
    }
    let to = head.size.min(from.saturating_add(log.at_once()));
    let new = log.leaves(from..to, head.size).await?;
    let to = from.saturating_add(new.len() as u64);
    let mut grown = tree.clone();
    for leaf in &new {
        grown
            .append_hash(leaf.hash)
            .map_err(|error| leaves(from, head, &error))?;
    }
    let holds = match to < head.size {
        true => {
            let proof = log.consistency(to, head.size).await?;
            verify_consistency(to, head.size, &grown.root(), &head.root, &proof)
                .map_err(|error| error.to_string())
        }
        false if grown.root() == head.root => Ok(()),
        false => Err(mismatch(head.root, grown.root())),
    };
    if let Err(why) = holds {
        // Either what was seen is gone, or what is served is not what was signed.
        extends(log, from, root, head).await?;
        return Err(leaves(from, head, &why).into());
    }
    Ok(Step {
        tree: grown,
        first: from,
        leaves: new,
    })
}

fn forked(from: u64, root: Hash, head: &Head, why: &dyn std::fmt::Display) -> Inconsistent {
    Inconsistent::Forked {
        from,
        root,
        to: head.size,
        why: why.to_string(),
    }
}

fn leaves(from: u64, head: &Head, why: &dyn std::fmt::Display) -> Inconsistent {
    Inconsistent::Leaves {
        from,
        to: head.size,
        why: why.to_string(),
    }
}

fn mismatch(expected: Hash, got: Hash) -> String {
    format!("expected root {expected}, got {got}")
}

#[cfg(test)]
mod tests;
