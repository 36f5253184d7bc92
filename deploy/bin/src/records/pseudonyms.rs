//! Pseudonyms: a keyed hash of whom a certificate would name, under a key of its own for each, and a record of it.
//!
//! Once the record is deleted, key included, nobody can find out by trying whom the pseudonym stood for; and who is asked
//! for a certificate again gets another.

use std::sync::Arc;

use async_trait::async_trait;
use aws_lc_rs::{digest, hmac, rand};
use common_engine::{Record, Shelf};
use fulcio_ca::{PseudonymError, Pseudonyms};
use serde::{Deserialize, Serialize};

use super::{RecordsError, Shelves};
use crate::clock;

/// Where they are.
pub(crate) const SHELF: Shelf = Shelf("pseudonyms");
/// What stands before a pseudonym in a certificate (RFC 9562 §4).
pub(crate) const URN: &str = "urn:uuid:";

/// Who is behind a pseudonym.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Behind {
    /// Whose tokens.
    pub(crate) issuer: String,
    /// Whom certificates would name.
    pub(crate) subject: String,
    /// The key of the hash, in hexadecimal: whoever has it can show that the pseudonym is this one's.
    pub(crate) key: String,
}

impl Behind {
    /// The pseudonym: 122 bits of HMAC-SHA-256 in a UUID of version 8 (RFC 9562 §5.8).
    pub(crate) fn pseudonym(&self) -> String {
        let key = hmac::Key::new(hmac::HMAC_SHA256, self.key.as_bytes());
        let tag = hmac::sign(&key, &joined(&self.issuer, &self.subject));
        let mut bytes = [0; 16];
        bytes
            .iter_mut()
            .zip(tag.as_ref())
            .for_each(|(to, from)| *to = *from);
        let number = u128::from_be_bytes(bytes);
        let version = (number & !(0xf << 76)) | (0x8 << 76);
        let text = format!("{:032x}", (version & !(0x3 << 62)) | (0x2 << 62));
        let mut groups = Vec::new();
        let mut rest = text.as_str();
        for length in [8, 4, 4, 4, 12] {
            let (group, after) = rest.split_at_checked(length).unwrap_or((rest, ""));
            groups.push(group);
            rest = after;
        }
        groups.join("-")
    }
}

/// An issuer is a URL, in which there is no line feed.
fn joined(issuer: &str, subject: &str) -> Vec<u8> {
    format!("{issuer}\n{subject}").into_bytes()
}

/// What a subject is looked up by: of one length, whatever a token says.
fn alias(issuer: &str, subject: &str) -> String {
    hex::encode(digest::digest(&digest::SHA256, &joined(issuer, subject)))
}

/// Those of an instance.
pub(super) struct Names(pub(super) Arc<Shelves>);

impl Names {
    async fn known(&self, issuer: &str, subject: &str) -> Result<Option<String>, RecordsError> {
        let records = self.0.records().await?;
        let known = records.by_alias(SHELF, &alias(issuer, subject)).await?;
        Ok(known.map(|record| format!("{URN}{}", record.key)))
    }

    async fn make(&self, issuer: &str, subject: &str) -> Result<Option<String>, RecordsError> {
        let mut key = [0; 32];
        rand::fill(&mut key).map_err(|_| common_engine::StorageError::new("no random numbers"))?;
        let behind = Behind {
            issuer: issuer.to_owned(),
            subject: subject.to_owned(),
            key: hex::encode(key),
        };
        let now = clock::unix_millis(clock::system()());
        let record = Record {
            key: behind.pseudonym(),
            alias: Some(alias(issuer, subject)),
            time: now,
            data: serde_json::to_vec(&behind)?.into(),
        };
        self.0.records().await?.add(SHELF, &[record]).await?;
        // Of two requests at once, both get what the first has made.
        self.known(issuer, subject).await
    }
}

#[async_trait]
impl Pseudonyms for Names {
    async fn of(&self, issuer: &str, subject: &str) -> Result<String, PseudonymError> {
        let failed = |error: RecordsError| PseudonymError(error.to_string());
        let known = match self.known(issuer, subject).await.map_err(failed)? {
            Some(known) => Some(known),
            None => self.make(issuer, subject).await.map_err(failed)?,
        };
        known.ok_or_else(|| PseudonymError("it was deleted while it was made".to_owned()))
    }

    async fn known(&self, issuer: &str, subject: &str) -> Result<Option<String>, PseudonymError> {
        let known = Names::known(self, issuer, subject).await;
        known.map_err(|error| PseudonymError(error.to_string()))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::super::Place;
    use super::*;

    #[test]
    fn a_pseudonym_is_a_uuid_of_version_8() {
        let behind = |subject: &str, key: &str| Behind {
            issuer: "https://i.example".to_owned(),
            subject: subject.to_owned(),
            key: key.to_owned(),
        };
        let one = behind("a", "k").pseudonym();
        // printf 'https://i.example\na' | openssl dgst -sha256 -hmac k, with version and variant put in.
        assert_eq!(one.len(), 36);
        let marks: Vec<_> = one.match_indices('-').map(|(at, _)| at).collect();
        assert_eq!(marks, [8, 13, 18, 23], "{one}");
        assert_eq!(one.chars().nth(14), Some('8'), "{one}");
        assert!(
            one.chars()
                .nth(19)
                .is_some_and(|variant| "89ab".contains(variant)),
            "{one}"
        );
        assert_eq!(behind("a", "k").pseudonym(), one, "it can be shown again");
        assert_ne!(behind("b", "k").pseudonym(), one);
        assert_ne!(behind("a", "l").pseudonym(), one);
    }

    #[tokio::test]
    async fn the_same_name_has_the_same_pseudonym_until_it_is_deleted() {
        let folder = tempfile::tempdir().unwrap();
        let shelves = Arc::new(Shelves::new(Place::Folder(folder.path().to_owned())));
        let names = Names(Arc::clone(&shelves));
        assert_eq!(
            Pseudonyms::known(&names, "i", "a").await.unwrap(),
            None,
            "looking makes none"
        );
        let one = names.of("i", "a").await.unwrap();
        assert!(one.starts_with("urn:uuid:"), "{one}");
        assert_eq!(names.of("i", "a").await.unwrap(), one);
        assert_ne!(names.of("j", "a").await.unwrap(), one, "another issuer's");
        let record = shelves.records().await.unwrap();
        assert!(
            record
                .remove(SHELF, one.strip_prefix(URN).unwrap())
                .await
                .unwrap()
        );
        assert_ne!(
            names.of("i", "a").await.unwrap(),
            one,
            "nothing leads from the new one to the old"
        );
        shelves.close().await;
    }
}
