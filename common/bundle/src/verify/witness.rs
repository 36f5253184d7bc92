//! Cosignatures of witnesses on a log's checkpoint (C2SP tlog-cosignature).

use common_pki::key::{HashAlgorithm, PublicKey};
use common_tlog::cosignature::{Timestamped, cosigned_message};
use common_tlog::note::Note;
use common_tlog::notekey::{NoteKey, VerifierKey};

use super::VerifyError;
use super::evidence::Evidence;

/// The witnesses that count, and how many must have cosigned. A trusted root has no place for their keys.
#[derive(Clone, Debug, Default)]
pub struct Witnesses {
    /// Keys of known witnesses. Other kinds than cosigners' never verify.
    pub keys: Vec<VerifierKey>,
    /// How many different ones must have cosigned.
    pub expected: usize,
}

impl Witnesses {
    /// Counts the known witnesses with a valid cosignature. Lines of others, and bad ones, count for nothing.
    pub(super) fn verify(
        &self,
        note: &Note,
        origin: &str,
        evidence: &mut Vec<Evidence>,
    ) -> Result<(), VerifyError> {
        let mut seen: Vec<[u8; 32]> = Vec::new();
        for witness in &self.keys {
            let NoteKey::Cosigner(octets) = &witness.key else {
                continue;
            };
            // One key under two names is one witness.
            if seen.contains(octets) {
                continue;
            }
            if let Some(time) = cosigned_at(note, witness, octets) {
                seen.push(*octets);
                evidence.push(Evidence::Cosignature {
                    witness: witness.name.clone(),
                    time,
                });
            }
        }
        if seen.len() < self.expected {
            return Err(VerifyError::TooFewWitnesses {
                origin: origin.to_owned(),
                expected: self.expected,
                got: seen.len(),
            });
        }
        Ok(())
    }
}

fn cosigned_at(note: &Note, witness: &VerifierKey, octets: &[u8; 32]) -> Option<u64> {
    let key = PublicKey::from_ed25519(octets).ok()?;
    note.signatures_by(&witness.name, witness.hint())
        .find_map(|line| {
            let cosignature = Timestamped::decode(&line.signature)?;
            let message = cosigned_message(cosignature.time, note.text());
            key.verify(HashAlgorithm::Sha512, message.as_bytes(), &cosignature.signature)
                .ok()
                .map(|()| cosignature.time)
        })
}
