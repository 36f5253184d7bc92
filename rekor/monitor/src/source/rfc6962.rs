//! Certificate logs as RFC 6962 §4 has them, which serve no tiles.

use std::ops::Range;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use common_pki::sct;
use common_tlog::{Hash, leaf_hash};
use serde::Deserialize;

use super::{Content, HEAD_LIMIT, Head, Leaf, PROOF_LIMIT, SourceError, get_json, parse};
use crate::client::Client;
use crate::key::LogKey;

/// Entries asked for; logs may answer with fewer (RFC 6962 §4.6).
pub(super) const AT_ONCE: u64 = 512;
/// Longest answer: certificates have some KiB, with their chains.
const PAGE_LIMIT: usize = 32 << 20;
/// Octets of leaves that are in memory at once, about.
const ROOM: usize = 16 << 20;
const HEAD: &str = "ct/v1/get-sth";

/// A certificate log.
#[derive(Clone, Debug)]
pub struct Rfc6962(Client);

#[derive(Deserialize)]
struct TreeHead {
    tree_size: u64,
    timestamp: u64,
    sha256_root_hash: String,
    tree_head_signature: String,
}

#[derive(Deserialize)]
struct Proof {
    consistency: Vec<String>,
}

#[derive(Deserialize)]
struct Entries {
    entries: Vec<Entry>,
}

/// What else is in it, `extra_data`, is in no hash.
#[derive(Deserialize)]
struct Entry {
    leaf_input: String,
}

impl Rfc6962 {
    /// The log, its head and the key that signed it: within, `None` if it is none of `keys`; `None` where there is no log.
    pub(crate) async fn find<'a>(
        client: &Client,
        keys: &'a [LogKey],
    ) -> Result<Option<Option<(Rfc6962, Head, &'a LogKey)>>, SourceError> {
        let Some(body) = client.get(HEAD, HEAD_LIMIT).await? else {
            return Ok(None);
        };
        let signed = String::from_utf8_lossy(&body).into_owned();
        let head: TreeHead = parse(client, HEAD, Some(body))?;
        let root = hash(&head.sha256_root_hash)?;
        let message = sct::sth_signed_data(head.timestamp, head.tree_size, &root.0);
        let signature = STANDARD.decode(&head.tree_head_signature).unwrap_or_default();
        let key = keys
            .iter()
            .find(|key| sct::verify_digitally_signed(key.public_key(), &message, &signature).is_ok());
        let head = Head {
            origin: client.base().trim_end_matches('/').to_owned(),
            size: head.tree_size,
            root,
            signed,
        };
        Ok(Some(key.map(|key| (Rfc6962(client.clone()), head, key))))
    }

    pub(super) async fn consistency(&self, from: u64, to: u64) -> Result<Vec<Hash>, SourceError> {
        let path = format!("ct/v1/get-sth-consistency?first={from}&second={to}");
        let proof: Proof = get_json(&self.0, &path, PROOF_LIMIT).await?;
        proof.consistency.iter().map(|text| hash(text)).collect()
    }

    pub(super) async fn leaves(&self, range: Range<u64>) -> Result<Vec<Leaf>, SourceError> {
        let mut leaves = Vec::new();
        let (mut next, mut room) = (range.start, ROOM);
        while next < range.end && room > 0 {
            let path = format!(
                "ct/v1/get-entries?start={next}&end={}",
                range.end.saturating_sub(1)
            );
            let page: Entries = get_json(&self.0, &path, PAGE_LIMIT).await?;
            let left = usize::try_from(range.end.saturating_sub(next)).unwrap_or(usize::MAX);
            if page.entries.is_empty() {
                return Err(SourceError::Missing(format!("{}{path}", self.0.base())));
            }
            for Entry { leaf_input } in page.entries.into_iter().take(left) {
                let input = STANDARD.decode(&leaf_input).map_err(|error| {
                    SourceError::Shape(path.clone(), "a leaf in base64", error.to_string())
                })?;
                let entry = input.get(2..).unwrap_or_default().to_vec();
                room = room.saturating_sub(entry.len());
                leaves.push(Leaf {
                    hash: leaf_hash(&input),
                    content: Content::Certificate(entry.into()),
                    time: None,
                });
                next = next.saturating_add(1);
            }
        }
        Ok(leaves)
    }
}

fn hash(text: &str) -> Result<Hash, SourceError> {
    Hash::from_base64(text)
        .map_err(|error| SourceError::Shape(HEAD.to_owned(), "a hash in base64", error.to_string()))
}
