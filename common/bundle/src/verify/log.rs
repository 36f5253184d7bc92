//! Entries of signature logs: promise, inclusion, checkpoint, and that they are about this signature.

use common_pki::key::{HashAlgorithm, PublicKey};
use common_tlog::checkpoint::Checkpoint;
use common_tlog::note::{KeyHint, Note};
use common_tlog::{Hash, leaf_hash, proof};

use super::artifact::Signed;
use super::body::{self, Generation};
use super::evidence::{Evidence, ProvenTime, TimeSource};
use super::timestamp::in_window;
use super::{Policy, VerifyError, Witnesses};
use crate::format::{InclusionPromise, InclusionProof, TransparencyLogEntry, protojson};
use crate::trust::{TransparencyLog, TrustedRoot, ValidFor};

/// The times that logs signed, and how many logs they are of.
pub(super) struct LogTimes {
    pub(super) times: Vec<ProvenTime>,
    pub(super) logs: usize,
    /// Index and window of each entry whose log signed no time.
    untimed: Vec<(u64, ValidFor)>,
}

impl LogTimes {
    /// A log that signs no time was one to trust when others say that the signature was made. Where nobody does, as may be for
    /// a signature by a key, there is nothing to compare.
    pub(super) fn check_windows(&self, times: &[ProvenTime]) -> Result<(), VerifyError> {
        for (index, window) in &self.untimed {
            if let Some(time) = times.iter().find(|time| !in_window(*window, time.unix)) {
                return Err(VerifyError::LogWindow {
                    index: *index,
                    at: time.unix,
                });
            }
        }
        Ok(())
    }
}

/// Verifies every entry. One of a log that the trusted root does not have cannot be, and is refused: whoever reads it in a
/// bundle that verified would take it for verified.
pub(super) fn verify(
    entries: &[TransparencyLogEntry],
    signed: &Signed<'_>,
    root: &TrustedRoot,
    policy: &Policy,
    evidence: &mut Vec<Evidence>,
) -> Result<LogTimes, VerifyError> {
    let mut times: Vec<ProvenTime> = Vec::new();
    let mut timed_logs: Vec<&[u8]> = Vec::new();
    let mut logs: Vec<&[u8]> = Vec::new();
    let mut untimed = Vec::new();
    for (position, entry) in entries.iter().enumerate() {
        let same =
            |other: &TransparencyLogEntry| other.log_id == entry.log_id && other.log_index == entry.log_index;
        if entries.iter().take(position).any(same) {
            return Err(VerifyError::RepeatedEntry {
                index: entry.log_index,
            });
        }
        let Some(log) = root
            .tlogs
            .iter()
            .find(|log| log.log_id.key_id == entry.log_id.key_id)
        else {
            return Err(VerifyError::UnknownLog {
                index: entry.log_index,
                log: hex::encode(&entry.log_id.key_id),
            });
        };
        let time = verify_entry(entry, signed, log, &policy.witnesses, evidence)?;
        let id = entry.log_id.key_id.as_slice();
        if !logs.contains(&id) {
            logs.push(id);
        }
        if time.is_none() {
            untimed.push((entry.log_index, log.public_key.valid_for));
        }
        if let Some(unix) = time {
            times.push(ProvenTime {
                source: TimeSource::Log,
                unix,
            });
            if !timed_logs.contains(&id) {
                timed_logs.push(id);
            }
        }
    }
    if logs.len() < policy.log_entries {
        return Err(VerifyError::TooFewEntries {
            expected: policy.log_entries,
            got: logs.len(),
        });
    }
    Ok(LogTimes {
        times,
        logs: timed_logs.len(),
        untimed,
    })
}

fn verify_entry(
    entry: &TransparencyLogEntry,
    signed: &Signed<'_>,
    log: &TransparencyLog,
    witnesses: &Witnesses,
    evidence: &mut Vec<Evidence>,
) -> Result<Option<u64>, VerifyError> {
    let incomplete = |missing| VerifyError::EntryIncomplete {
        index: entry.log_index,
        missing,
    };
    let key = key(log)?;
    let generation = body::verify(entry, signed)?;
    evidence.push(Evidence::EntryBody {
        kind: entry.kind_version.kind.clone(),
        version: entry.kind_version.version.clone(),
    });
    let time = match (&entry.inclusion_promise, generation) {
        (Some(promise), Generation::V1) => {
            verify_promise(entry, promise, &key)?;
            let time = entry.integrated_time;
            if !in_window(log.public_key.valid_for, time) {
                return Err(VerifyError::LogWindow {
                    index: entry.log_index,
                    at: time,
                });
            }
            let index = entry.log_index;
            evidence.push(Evidence::InclusionPromise {
                log: log.base_url.clone(),
                index,
                time,
            });
            Some(time)
        }
        // A Rekor v2 log promises nothing and signs no time.
        (Some(promise), Generation::V2) => {
            return Err(VerifyError::Promise {
                index: entry.log_index,
                octets: promise.signed_entry_timestamp.len(),
            });
        }
        (None, _) if entry.integrated_time > 0 => {
            return Err(VerifyError::UnsignedTime {
                index: entry.log_index,
                got: entry.integrated_time,
            });
        }
        (None, _) => None,
    };
    // A proof without checkpoint leads to a root that nobody signed; version 0.1 bundles relied on the promise. As far as it
    // can be verified, it is.
    let inclusion = match &entry.inclusion_proof {
        Some(bare) if bare.checkpoint.is_empty() => {
            tree_of(entry, bare)?;
            None
        }
        other => other.as_ref(),
    };
    match (inclusion, generation) {
        (Some(inclusion), _) => {
            let (note, origin) = verify_inclusion(entry, inclusion, log, &key, generation)?;
            let (index, size) = (inclusion.log_index, inclusion.tree_size);
            evidence.push(Evidence::Inclusion {
                log: log.base_url.clone(),
                origin: origin.clone(),
                index,
                size,
            });
            witnesses.verify(&note, &origin, evidence)?;
        }
        (None, Generation::V2) => return Err(incomplete("inclusion proof")),
        (None, Generation::V1) if time.is_none() => return Err(incomplete("inclusion promise or proof")),
        // Only a checkpoint can be witnessed.
        (None, Generation::V1) if witnesses.expected > 0 => return Err(incomplete("checkpoint")),
        (None, Generation::V1) => {}
    }
    Ok(time)
}

/// The log's key. Those the bundle does not need may be of any kind.
pub(super) fn key(log: &TransparencyLog) -> Result<PublicKey, VerifyError> {
    log.public_key
        .public_key()
        .map_err(|_| VerifyError::LogKey(log.base_url.clone()))
}

/// The signed entry timestamp is over the RFC 8785 form of four members (`rekor pkg/api/entries.go signEntry`), which none
/// of them needs an escape for.
fn verify_promise(
    entry: &TransparencyLogEntry,
    promise: &InclusionPromise,
    key: &PublicKey,
) -> Result<(), VerifyError> {
    let message = format!(
        r#"{{"body":"{}","integratedTime":{},"logID":"{}","logIndex":{}}}"#,
        protojson::encode_bytes(&entry.canonicalized_body),
        entry.integrated_time,
        hex::encode(&entry.log_id.key_id),
        entry.log_index,
    );
    key.verify(
        HashAlgorithm::Sha256,
        message.as_bytes(),
        &promise.signed_entry_timestamp,
    )
    .map_err(|_| VerifyError::SignedEntryTimestamp {
        index: entry.log_index,
    })
}

/// The leaf is in the tree (RFC 6962 §2.1.1), and the log signed that tree. Gives the checkpoint and its origin.
fn verify_inclusion(
    entry: &TransparencyLogEntry,
    inclusion: &InclusionProof,
    log: &TransparencyLog,
    key: &PublicKey,
    generation: Generation,
) -> Result<(Note, String), VerifyError> {
    // A v2 log is one tree, and nothing else protects the outer index; v1 counts it over all shards and signs it.
    if generation == Generation::V2 && inclusion.log_index != entry.log_index {
        return Err(VerifyError::EntryIndex {
            entry: entry.log_index,
            proof: inclusion.log_index,
        });
    }
    let root = tree_of(entry, inclusion)?;
    let note = Note::parse(inclusion.checkpoint.envelope.as_bytes())?;
    let checkpoint = Checkpoint::parse(note.text())?;
    if (checkpoint.size, checkpoint.root) != (inclusion.tree_size, root) {
        return Err(VerifyError::CheckpointTree {
            checkpoint: checkpoint.size,
            proof: inclusion.tree_size,
        });
    }
    verify_checkpoint(&note, &checkpoint.origin, log, key, generation)?;
    Ok((note, checkpoint.origin))
}

/// The root of the proof, which the leaf leads to.
fn tree_of(entry: &TransparencyLogEntry, inclusion: &InclusionProof) -> Result<Hash, VerifyError> {
    let hashes = inclusion
        .hashes
        .iter()
        .map(|octets| hash(octets))
        .collect::<Result<Vec<_>, _>>()?;
    let root = hash(&inclusion.root_hash)?;
    let leaf = leaf_hash(&entry.canonicalized_body);
    proof::verify_inclusion(inclusion.log_index, inclusion.tree_size, &leaf, &hashes, &root)?;
    Ok(root)
}

/// The log signed the note. Lines of other keys are passed over: witnesses cosign, and a log may have a second key.
///
/// - Rekor v2: origin and key name are the host of the log's URL, and the hint is of its identifier
///   (`sigstore-go pkg/verify/tlog.go`, C2SP tlog-checkpoint).
/// - Rekor v1: the origin is `NAME - TREEID` for the key name of the line, and the hint is of SHA-256 over the key
///   (`rekor pkg/util/checkpoint.go`); its trusted root entry may carry any URL.
fn verify_checkpoint(
    note: &Note,
    origin: &str,
    log: &TransparencyLog,
    key: &PublicKey,
    generation: Generation,
) -> Result<(), VerifyError> {
    let (name, hint) = match generation {
        Generation::V1 => {
            let tree = origin.rsplit_once(" - ").filter(|(name, tree)| {
                !name.is_empty() && !tree.is_empty() && tree.bytes().all(|digit| digit.is_ascii_digit())
            });
            let wrong = || VerifyError::Origin {
                expected: "HOST - TREEID".to_owned(),
                got: origin.to_owned(),
            };
            (tree.ok_or_else(wrong)?.0, first_four(&key.fingerprint()))
        }
        Generation::V2 => {
            let host = host(&log.base_url);
            if origin != host {
                return Err(VerifyError::Origin {
                    expected: host.to_owned(),
                    got: origin.to_owned(),
                });
            }
            (host, first_four(&log.log_id.key_id))
        }
    };
    let mut lines = note.signatures_by(name, hint).peekable();
    if lines.peek().is_none() {
        return Err(VerifyError::CheckpointUnsigned {
            name: name.to_owned(),
            hint: hex::encode(hint.0),
        });
    }
    let hash = key.default_hash();
    if lines.any(|line| key.verify(hash, note.text().as_bytes(), &line.signature).is_ok()) {
        Ok(())
    } else {
        Err(VerifyError::CheckpointSignature {
            name: name.to_owned(),
        })
    }
}

fn hash(octets: &[u8]) -> Result<Hash, VerifyError> {
    Hash::from_slice(octets).map_err(|_| VerifyError::HashLength(octets.len()))
}

fn first_four(id: &[u8]) -> KeyHint {
    KeyHint(id.first_chunk().copied().unwrap_or_default())
}

/// Host of a URL, without port (`net/url URL.Hostname`).
fn host(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let authority = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    match authority.strip_prefix('[') {
        Some(bracketed) => bracketed.split(']').next().unwrap_or_default(),
        None => authority.split(':').next().unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::host;

    #[test]
    fn hosts_are_without_scheme_port_and_path() {
        for (url, expected) in [
            (
                "https://log2025-1.rekor.sigstore.dev",
                "log2025-1.rekor.sigstore.dev",
            ),
            ("http://localhost:3000", "localhost"),
            ("http://user@log.example:80/path?x#y", "log.example"),
            ("http://[::1]:3000/", "::1"),
            ("log.example", "log.example"),
            ("", ""),
        ] {
            assert_eq!(host(url), expected, "{url}");
        }
    }
}
