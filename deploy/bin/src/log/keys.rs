//! Whose signature a log's checkpoint must have.

use common_bundle::trust::TrustedRoot;
use common_tlog::checkpoint::Checkpoint;
use common_tlog::note::Note;
use rekor_monitor::{LogKey, Signature};

use super::Place;
use crate::exit::Failure;
use crate::fsck::read_key;

/// The keys that may sign.
#[derive(Debug)]
pub(super) enum Keys {
    /// One of these must have signed.
    Known {
        keys: Vec<LogKey>,
        /// Behind "signed with", for people.
        whose: String,
    },
    /// None is known, and why: what is shown is as good as the connection.
    Unknown(String),
}

impl Keys {
    /// Of `--key`, else of the trust that was asked for, else of that which an instance publishes, as `verify` has it.
    ///
    /// # Errors
    /// [`Failure`] when what was asked for cannot be had.
    pub(super) async fn of(place: &Place, is_instance: bool) -> Result<Keys, Failure> {
        if let Some(given) = &place.key {
            return Ok(Keys::Known {
                keys: vec![read_key(given)?],
                whose: "--key".to_owned(),
            });
        }
        let trust = &place.trust;
        let asked = trust.instance().is_none() || trust.root.is_some();
        if !asked && !is_instance {
            return Ok(Keys::Unknown("no --key".to_owned()));
        }
        match trust.resolve().await {
            Ok(trusted) => Ok(Keys::trusted(&trusted.root, &trusted.source)),
            Err(failure) if asked => Err(failure),
            // Logs may be served where no trust is.
            Err(failure) => Ok(Keys::Unknown(failure.message)),
        }
    }

    fn trusted(root: &TrustedRoot, source: &str) -> Keys {
        let logs = root.tlogs.iter().chain(&root.ctlogs);
        // A key of a kind that is unknown here has signed nothing that could be verified.
        let keys = logs.filter_map(|log| log.public_key.public_key().ok());
        Keys::Known {
            keys: keys.map(LogKey::from_public_key).collect(),
            whose: format!("a key of {source}"),
        }
    }

    /// Whether one of them has signed the checkpoint.
    pub(super) fn verify(&self, note: &Note, checkpoint: &Checkpoint) -> Signature {
        match self {
            Keys::Unknown(_) => Signature::NotVerified,
            Keys::Known { keys, .. } => {
                let signer = keys.iter().find_map(|key| key.verify(note, checkpoint));
                signer.map_or(Signature::Wrong, Signature::Verified)
            }
        }
    }

    /// What is to be known of all that they verified, for people.
    pub(super) fn remark(&self) -> String {
        match self {
            Keys::Known { whose, .. } => format!("signed with {whose}"),
            Keys::Unknown(why) => format!("checkpoint signature NOT verified: {why}"),
        }
    }

    /// Why a checkpoint that none of them has signed is refused.
    pub(super) fn refusal(&self, note: &Note, checkpoint: &Checkpoint) -> Failure {
        let whose = match self {
            Keys::Known { whose, .. } => whose.as_str(),
            Keys::Unknown(_) => "any key that is known",
        };
        Failure::failed(format!(
            "none of {} signatures on the checkpoint of {:?} verifies with {whose}",
            note.signatures().len(),
            checkpoint.origin
        ))
    }
}

/// Whether a signature was verified, for programs; `None` without a key.
pub(super) fn verified(signature: &Signature) -> Option<bool> {
    match signature {
        Signature::Verified(_) => Some(true),
        Signature::Wrong => Some(false),
        Signature::NotVerified => None,
    }
}

/// Who has signed, if that was verified.
pub(super) fn signer(signature: &Signature) -> Option<&str> {
    match signature {
        Signature::Verified(name) => Some(name),
        Signature::Wrong | Signature::NotVerified => None,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use common_pki::key::{KeyAlgorithm, LocalSigner, Signer as _};
    use common_tlog::Hash;
    use common_tlog::notekey::NoteKey;
    use serde_json::json;

    use super::*;
    use crate::trust_source::TrustArgs;

    const ORIGIN: &str = "log.example";

    fn key() -> LocalSigner {
        LocalSigner::generate(KeyAlgorithm::Ed25519).unwrap().0
    }

    fn signed(signer: &LocalSigner) -> (Note, Checkpoint) {
        let checkpoint = Checkpoint::new(ORIGIN, 7, Hash::default());
        let mut note = Note::new(checkpoint.to_string()).unwrap();
        let raw = signer.public_key().subject_public_key().try_into().unwrap();
        let signature = signer.sign(note.text().as_bytes()).unwrap();
        note.push(ORIGIN, NoteKey::Ed25519(raw).hint(ORIGIN), signature)
            .unwrap();
        (note, checkpoint)
    }

    fn place(key: Option<String>, trust: TrustArgs) -> Place {
        Place {
            log: None,
            key,
            json: false,
            trust,
        }
    }

    /// Trust in `url`, which nobody needs to serve, unless there is a file.
    fn trust(file: Option<&std::path::Path>) -> TrustArgs {
        TrustArgs {
            trusted_root: file.map(ToOwned::to_owned),
            url: "http://127.0.0.1:1".to_owned(),
            ..TrustArgs::default()
        }
    }

    #[tokio::test]
    async fn a_key_that_is_given_or_trusted_vouches_and_another_does_not() {
        let folder = tempfile::tempdir().unwrap();
        let (log, other) = (key(), key());
        let root = json!({
            "mediaType": TrustedRoot::MEDIA_TYPE,
            "tlogs": [{
                "baseUrl": "https://log.example",
                "publicKey": {
                    "rawBytes": STANDARD.encode(log.public_key().spki_der()),
                    "keyDetails": "PKIX_ED25519",
                    "validFor": {"start": "2026-01-01T00:00:00Z"},
                },
                "logId": {"keyId": ""},
            }],
        });
        let file = folder.path().join("trusted_root.json");
        std::fs::write(&file, root.to_string()).unwrap();
        let given = place(Some(log.public_key().to_pem()), trust(None));
        let trusted = place(None, trust(Some(&file)));
        for (place, whose) in [(&given, "--key"), (&trusted, "a key of ")] {
            for is_instance in [true, false] {
                let keys = Keys::of(place, is_instance).await.unwrap();
                let (note, checkpoint) = signed(&log);
                let signature = keys.verify(&note, &checkpoint);
                assert_eq!(
                    (signer(&signature), verified(&signature)),
                    (Some(ORIGIN), Some(true))
                );
                assert!(
                    keys.remark().starts_with(&format!("signed with {whose}")),
                    "{}",
                    keys.remark()
                );
                let (note, checkpoint) = signed(&other);
                let signature = keys.verify(&note, &checkpoint);
                assert_eq!((signer(&signature), verified(&signature)), (None, Some(false)));
                let refusal = keys.refusal(&note, &checkpoint).message;
                assert!(refusal.contains(&format!("verifies with {whose}")), "{refusal}");
            }
        }
    }

    #[tokio::test]
    async fn without_a_key_nothing_is_verified_and_why_is_said() {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let (note, checkpoint) = signed(&key());
        for (is_instance, why) in [
            (false, "NOT verified: no --key"),
            (true, "NOT verified: no trust: "),
        ] {
            let keys = Keys::of(&place(None, trust(None)), is_instance).await.unwrap();
            let signature = keys.verify(&note, &checkpoint);
            assert_eq!((signer(&signature), verified(&signature)), (None, None));
            assert!(keys.remark().contains(why), "{}", keys.remark());
        }
        // What is asked for is had, or the command fails.
        let missing = trust(Some(std::path::Path::new("/nowhere/trusted_root.json")));
        assert!(Keys::of(&place(None, missing), true).await.is_err());
    }
}
