//! Damaging a bundle, one part at a time.

use base64::prelude::{BASE64_STANDARD, Engine as _};
use serde_json::Value;

use crate::clients::Rekor;

/// A part of a bundle, and where it is.
pub struct Part {
    /// What the part is called in messages.
    pub name: &'static str,
    pointer: &'static str,
    /// How the text at the pointer is encoded.
    form: Form,
}

#[derive(Clone, Copy)]
enum Form {
    /// Base64 of bytes: one byte in the middle is changed.
    Bytes,
    /// Base64 of JSON: a letter or digit behind the middle becomes another, so that it is JSON still, and any base64 in it too.
    Json,
    /// A signed note: the root hash, or the signature.
    NoteRoot,
    NoteSignature,
}

/// Every part a verifier must look at. A bundle has those that its log and its kind call for.
pub const PARTS: [Part; 9] = [
    Part {
        name: "signature",
        pointer: "/messageSignature/signature",
        form: Form::Bytes,
    },
    Part {
        name: "envelope signature",
        pointer: "/dsseEnvelope/signatures/0/sig",
        form: Form::Bytes,
    },
    Part {
        name: "envelope payload",
        pointer: "/dsseEnvelope/payload",
        form: Form::Bytes,
    },
    Part {
        name: "certificate",
        pointer: "/verificationMaterial/certificate/rawBytes",
        form: Form::Bytes,
    },
    Part {
        name: "entry body",
        pointer: "/verificationMaterial/tlogEntries/0/canonicalizedBody",
        form: Form::Json,
    },
    Part {
        name: "inclusion proof",
        pointer: "/verificationMaterial/tlogEntries/0/inclusionProof/hashes/0",
        form: Form::Bytes,
    },
    Part {
        name: "checkpoint root",
        pointer: "/verificationMaterial/tlogEntries/0/inclusionProof/checkpoint/envelope",
        form: Form::NoteRoot,
    },
    Part {
        name: "checkpoint signature",
        pointer: "/verificationMaterial/tlogEntries/0/inclusionProof/checkpoint/envelope",
        form: Form::NoteSignature,
    },
    Part {
        name: "timestamp",
        pointer: "/verificationMaterial/timestampVerificationData/rfc3161Timestamps/0/signedTimestamp",
        form: Form::Bytes,
    },
];

/// What a released client does not look at, and why. A client that begins to look fails the story too.
const UNREAD: [(&str, Rekor, &str, &str); 3] = [
    (
        "cosign",
        Rekor::V1,
        "timestamp",
        "the log's own time suffices; sigstore-go reads signed timestamps on demand",
    ),
    (
        "python",
        Rekor::V1,
        "timestamp",
        "the signed entry timestamp is one verified time, and one is enough",
    ),
    (
        "cosign",
        Rekor::V2,
        "entry body",
        "sigstore-go >= 1.2.0 rebuilds the leaf (pkg/verify/tlog.go)",
    ),
];

impl Part {
    /// Whether `client` refuses a bundle in which this part is damaged.
    pub fn is_read_by(&self, client: &str, rekor: Rekor) -> bool {
        !UNREAD
            .iter()
            .any(|(c, r, part, _)| (*c, *r, *part) == (client, rekor, self.name))
    }

    /// The bundle with this part changed by one byte, or `None` where the bundle has no such part.
    pub fn damaged(&self, bundle: &Value) -> Option<Value> {
        let mut bundle = bundle.clone();
        let text = bundle.pointer(self.pointer)?.as_str()?.to_owned();
        let changed = match self.form {
            Form::Bytes => flip_base64(&text, |bytes| bytes.len() / 2),
            Form::Json => flip_base64(&text, |bytes| {
                let stays = |at: &usize| {
                    bytes[*at].is_ascii_alphanumeric() && (bytes[*at] ^ 1).is_ascii_alphanumeric()
                };
                (bytes.len() / 2..bytes.len()).find(stays).unwrap()
            }),
            Form::NoteRoot => {
                let root = text.lines().nth(2)?;
                text.replace(root, &flip_base64(root, |bytes| bytes.len() / 2))
            }
            Form::NoteSignature => {
                let signature = text.trim_end().rsplit(' ').next()?;
                // Past the four bytes of key hint and the frame of a DER signature.
                text.replace(signature, &flip_base64(signature, |bytes| bytes.len() - 8))
            }
        };
        *bundle.pointer_mut(self.pointer)? = Value::String(changed);
        Some(bundle)
    }
}

fn flip_base64(text: &str, at: impl Fn(&[u8]) -> usize) -> String {
    let mut bytes = BASE64_STANDARD.decode(text).unwrap();
    let index = at(&bytes);
    bytes[index] ^= 1;
    BASE64_STANDARD.encode(bytes)
}
