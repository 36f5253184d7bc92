//! Timestamped signatures over a checkpoint: witnesses' cosignatures (C2SP tlog-cosignature) and the
//! RFC 6962 tree head signatures of CT logs (C2SP static-ct-api "Checkpoints"). Both put eight bytes of
//! time before the signature proper in a note line.

/// What an Ed25519 cosigner (type 0x04) signs: the checkpoint's text under the time, in seconds of the
/// Unix epoch, at which it saw the tree.
#[must_use]
pub fn cosigned_message(unix_seconds: u64, checkpoint_text: &str) -> String {
    format!("cosignature/v1\ntime {unix_seconds}\n{checkpoint_text}")
}

/// A note signature that carries its time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timestamped {
    /// Seconds for a cosignature, milliseconds for a tree head signature.
    pub time: u64,
    /// 64 bytes of Ed25519, or for a tree head RFC 5246 §4.7's `digitally-signed` structure.
    pub signature: Vec<u8>,
}

impl Timestamped {
    /// The bytes that follow the hint in a note signature line.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        [self.time.to_be_bytes().as_slice(), &self.signature].concat()
    }

    /// Reads the bytes after the hint; `None` if they are too short for a time and a signature.
    #[must_use]
    pub fn decode(blob: &[u8]) -> Option<Self> {
        let (time, signature) = blob.split_first_chunk::<8>()?;
        if signature.is_empty() {
            return None;
        }
        Some(Self {
            time: u64::from_be_bytes(*time),
            signature: signature.to_vec(),
        })
    }
}

#[cfg(test)]
mod tests;
