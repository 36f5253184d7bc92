//! Keys of logs, in the forms their operators publish them, and the signatures of checkpoints.

use common_pki::key::{KeyAlgorithm, PublicKey};
use common_pki::sct;
use common_tlog::Hash;
use common_tlog::checkpoint::Checkpoint;
use common_tlog::note::{Note, NoteSignature};
use common_tlog::notekey::{NoteKey, NoteKeyError, VerifierKey};

use crate::leaves::Dialect;

/// The public key of a log.
#[derive(Clone, Debug)]
pub struct LogKey {
    key: PublicKey,
    /// What a note may call it.
    forms: Vec<NoteKey>,
    /// The one name it has, if it came with one.
    name: Option<String>,
}

/// Why a key cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// Not a verifier key.
    #[error("{0}")]
    Text(#[from] NoteKeyError),
    /// Not a public key.
    #[error("not a public key: {0}")]
    Key(String),
    /// A key that does not sign checkpoints of logs, or of which only the hash is given.
    #[error("a verifier key of this type cannot verify a checkpoint: give the log's public key in PEM")]
    Kind,
}

impl LogKey {
    /// Reads a verifier key (`name+hint+base64`, C2SP signed-note) or a PEM public key.
    ///
    /// # Errors
    /// [`KeyError`].
    pub fn parse(text: &str) -> Result<Self, KeyError> {
        let text = text.trim();
        if text.starts_with("-----BEGIN") {
            let key = PublicKey::from_pem(text).map_err(|error| KeyError::Key(error.to_string()))?;
            return Ok(Self::from_public_key(key));
        }
        let VerifierKey { name, key: form } = VerifierKey::parse(text)?;
        let key = match &form {
            NoteKey::Ed25519(raw) => PublicKey::from_ed25519(raw),
            NoteKey::Ecdsa(spki) | NoteKey::Rsa(spki) => PublicKey::from_spki_der(spki),
            NoteKey::Cosigner(_) | NoteKey::TreeHead(_) => return Err(KeyError::Kind),
        };
        let key = key.map_err(|error| KeyError::Key(error.to_string()))?;
        Ok(Self {
            key,
            forms: vec![form],
            name: Some(name),
        })
    }

    /// A bare key, under whatever name its log signs.
    #[must_use]
    pub fn from_public_key(key: PublicKey) -> Self {
        let spki = || key.spki_der().to_vec();
        let forms = match (key.algorithm(), key.subject_public_key().try_into()) {
            (KeyAlgorithm::Ed25519, Ok(raw)) => vec![NoteKey::Ed25519(raw)],
            (algorithm, _) if algorithm.rsa_bits().is_some() => {
                vec![NoteKey::Rsa(spki()), NoteKey::TreeHead(Hash(key.fingerprint()))]
            }
            // Rekor's hint, and that of an RFC 6962 tree head (C2SP static-ct-api "Checkpoints").
            _ => vec![NoteKey::Ecdsa(spki()), NoteKey::TreeHead(Hash(key.fingerprint()))],
        };
        Self {
            key,
            forms,
            name: None,
        }
    }

    /// The key by itself.
    #[must_use]
    pub fn public_key(&self) -> &PublicKey {
        &self.key
    }

    /// The name that it came with.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// The name of a signature line of the note by this key that verifies.
    #[must_use]
    pub fn verify(&self, note: &Note, checkpoint: &Checkpoint) -> Option<String> {
        let (line, _) = self.signature(note, checkpoint)?;
        Some(line.name.clone())
    }

    /// The form in which a log has its leaves whose checkpoint this key signed: those of static-ct-api are signed as tree heads
    /// of RFC 6962 (C2SP static-ct-api "Checkpoints"), and no others.
    pub(crate) fn dialect(&self, note: &Note, checkpoint: &Checkpoint) -> Option<Dialect> {
        Some(match self.signature(note, checkpoint)? {
            (_, NoteKey::TreeHead(_)) => Dialect::Certificates,
            _ => Dialect::Entries,
        })
    }

    fn signature<'a>(
        &'a self,
        note: &'a Note,
        checkpoint: &Checkpoint,
    ) -> Option<(&'a NoteSignature, &'a NoteKey)> {
        note.signatures().iter().find_map(|line| {
            let named = self.name.as_ref().is_none_or(|name| *name == line.name);
            let mut forms = self
                .forms
                .iter()
                .filter(|form| named && form.hint(&line.name) == line.hint);
            let form = forms.find(|form| self.holds(form, note, checkpoint, &line.signature))?;
            Some((line, form))
        })
    }

    fn holds(&self, form: &NoteKey, note: &Note, checkpoint: &Checkpoint, signature: &[u8]) -> bool {
        if !matches!(form, NoteKey::TreeHead(_)) {
            let hash = self.key.default_hash();
            return self.key.verify(hash, note.text().as_bytes(), signature).is_ok();
        }
        signature.split_first_chunk().is_some_and(|(time, signed)| {
            let time = u64::from_be_bytes(*time);
            let message = sct::sth_signed_data(time, checkpoint.size, &checkpoint.root.0);
            sct::verify_digitally_signed(&self.key, &message, signed).is_ok()
        })
    }
}

#[cfg(test)]
mod tests;
