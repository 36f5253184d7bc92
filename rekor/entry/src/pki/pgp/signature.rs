//! Signature packets (RFC 9580 §5.2; `go-crypto openpgp/packet/signature.go`).

use common_pki::key::{HashAlgorithm, sha1};

use super::PgpError;
use super::packet::{self, Fields};

/// Most signatures inside one another: one is all there ever is.
const MAX_DEPTH: usize = 2;

/// What a signature is over (RFC 9580 §5.2.1).
pub(super) mod kind {
    pub(in super::super) const BINARY: u8 = 0x00;
    pub(in super::super) const TEXT: u8 = 0x01;
    pub(in super::super) const CERTIFICATIONS: std::ops::RangeInclusive<u8> = 0x10..=0x13;
    pub(in super::super) const SUBKEY_BINDING: u8 = 0x18;
    pub(in super::super) const PRIMARY_KEY_BINDING: u8 = 0x19;
    pub(in super::super) const DIRECT_KEY: u8 = 0x1f;
    pub(in super::super) const KEY_REVOCATION: u8 = 0x20;
    pub(in super::super) const SUBKEY_REVOCATION: u8 = 0x28;
    pub(in super::super) const CERTIFICATION_REVOCATION: u8 = 0x30;
}

/// Flags of a key (RFC 9580 §5.2.3.29).
const MAY_SIGN: u8 = 0x02;
/// RFC 9580 §5.2.3.31
const KEY_COMPROMISED: u8 = 2;
/// The one notation that go-crypto knows (`openpgp/packet/config.go KnownNotation`).
const SALT_NOTATION: &[u8] = b"salt@notations.openpgpjs.org";

/// The hash functions of RFC 9580 §9.5.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Hash {
    Sha1,
    Sha2(HashAlgorithm),
    /// Known by name only, with the length of a version 6 salt.
    Other(&'static str, usize),
}

impl Hash {
    fn from_id(id: u8, version: u8) -> Result<Self, PgpError> {
        Ok(match id {
            2 if version < 5 => Self::Sha1,
            8 => Self::Sha2(HashAlgorithm::Sha256),
            9 => Self::Sha2(HashAlgorithm::Sha384),
            10 => Self::Sha2(HashAlgorithm::Sha512),
            11 => Self::Other("SHA-224", 16),
            12 => Self::Other("SHA3-256", 16),
            14 => Self::Other("SHA3-512", 32),
            _ => return Err(PgpError::Unsupported(format!("hash function {id}"))),
        })
    }

    fn salt_length(self) -> usize {
        match self {
            Self::Sha1 => 0,
            Self::Sha2(hash) => hash.len() / 2,
            Self::Other(_, length) => length,
        }
    }

    fn digest(self, pieces: &[&[u8]]) -> Result<Vec<u8>, PgpError> {
        match self {
            Self::Sha1 => Ok(sha1(pieces).to_vec()),
            Self::Sha2(hash) => {
                let mut hasher = hash.hasher();
                pieces.iter().for_each(|piece| hasher.update(piece));
                Ok(hasher.finish())
            }
            Self::Other(name, _) => Err(PgpError::Unsupported(format!("signature over {name}"))),
        }
    }
}

pub(super) struct Signature {
    version: u8,
    pub(super) kind: u8,
    pub(super) algorithm: u8,
    pub(super) hash: Hash,
    /// From the version to the last hashed subpacket, as it came.
    hashed: Vec<u8>,
    /// Unhashed subpackets, their lengths written anew.
    unhashed: Vec<u8>,
    hash_tag: [u8; 2],
    salt: Vec<u8>,
    /// The numbers of the signature with their lengths, as they came.
    pub(super) value: Vec<u8>,
    pub(super) created: u32,
    lifetime: Option<u32>,
    pub(super) key_lifetime: Option<u32>,
    pub(super) issuer_id: Option<[u8; 8]>,
    issuer_fingerprint: Vec<u8>,
    pub(super) is_primary: bool,
    flags: Option<u8>,
    /// The first notation that is critical and unknown.
    notation: Option<String>,
    revocation_reason: Option<u8>,
    pub(super) embedded: Option<Box<Signature>>,
}

impl Signature {
    pub(super) fn parse(body: &[u8]) -> Result<Self, PgpError> {
        Self::nested(body, 0)
    }

    fn nested(body: &[u8], depth: usize) -> Result<Self, PgpError> {
        let mut fields = Fields(body);
        let version = fields.octet()?;
        if !matches!(version, 4 | 6) {
            return Err(PgpError::Unsupported(format!(
                "signature packet version {version}"
            )));
        }
        let [kind, algorithm, hash] = fields.array()?;
        if !matches!(algorithm, 1 | 3 | 17 | 19 | 22 | 27 | 28) {
            return Err(PgpError::Unsupported(format!("public key algorithm {algorithm}")));
        }
        let hash = Hash::from_id(hash, version)?;
        let area = |fields: &mut Fields<'_>| match version {
            6 => fields.u32().map(packet::size),
            _ => fields.u16().map(usize::from),
        };
        let length = area(&mut fields)?;
        let hashed_subpackets = fields.take(length)?;
        let hashed_end = body.len().saturating_sub(fields.0.len());
        let length = area(&mut fields)?;
        let unhashed_subpackets = fields.take(length)?;
        let mut signature = Self {
            version,
            kind,
            algorithm,
            hash,
            hashed: body.get(..hashed_end).unwrap_or_default().to_vec(),
            unhashed: Vec::new(),
            hash_tag: [0; 2],
            salt: Vec::new(),
            value: Vec::new(),
            created: 0,
            lifetime: None,
            key_lifetime: None,
            issuer_id: None,
            issuer_fingerprint: Vec::new(),
            is_primary: false,
            flags: None,
            notation: None,
            revocation_reason: None,
            embedded: None,
        };
        let mut dated = false;
        let mut subpackets = Fields(hashed_subpackets);
        while let Some((kind, contents)) = subpacket(&mut subpackets)? {
            dated |= kind & 0x7f == 2;
            signature.note(kind, contents, true, depth)?;
        }
        if !dated {
            return Err(PgpError::structural("no creation time in signature"));
        }
        let mut subpackets = Fields(unhashed_subpackets);
        while let Some((kind, contents)) = subpacket(&mut subpackets)? {
            packet::push_length(&mut signature.unhashed, contents.len().saturating_add(1), 16_320);
            signature.unhashed.push(kind);
            signature.unhashed.extend_from_slice(contents);
            // What is not signed only helps to find the key.
            if matches!(kind & 0x7f, 16 | 32 | 33) {
                signature.note(kind, contents, false, depth)?;
            }
        }
        signature.hash_tag = fields.array()?;
        if version == 6 {
            let length = usize::from(fields.octet()?);
            if length != hash.salt_length() {
                return Err(PgpError::structural(
                    "unexpected salt size for the given hash algorithm",
                ));
            }
            signature.salt = fields.take(length)?.to_vec();
        }
        let value = fields.0;
        signature_value(algorithm, &mut fields)?;
        signature.value = value.to_vec();
        fields.finish()?;
        Ok(signature)
    }

    /// Takes from a subpacket what matters here, and refuses one that is malformed (RFC 9580 §5.2.3.7).
    fn note(&mut self, kind: u8, contents: &[u8], hashed: bool, depth: usize) -> Result<(), PgpError> {
        let bad = PgpError::structural;
        let seconds = |what| {
            <[u8; 4]>::try_from(contents)
                .map(u32::from_be_bytes)
                .map_err(|_| bad(what))
        };
        match kind & 0x7f {
            2 => self.created = seconds("signature creation time not four bytes")?,
            3 => self.lifetime = Some(seconds("expiration subpacket with bad length")?),
            4 if matches!(contents, [] | [0, ..]) => {
                return Err(PgpError::Unsupported(
                    "signature with non-exportable certification".to_owned(),
                ));
            }
            5 if contents.len() != 2 => return Err(bad("trust subpacket with bad length")),
            6 if contents.last() != Some(&0) => {
                return Err(bad("expected regular expression to be null-terminated"));
            }
            9 => self.key_lifetime = Some(seconds("key expiration subpacket with bad length")?),
            16 if self.version > 4 && hashed => return Err(bad("issuer subpacket found in v6 key")),
            16 => {
                let id = contents
                    .try_into()
                    .map_err(|_| bad("issuer subpacket with bad length"))?;
                if self.version == 4 {
                    self.issuer_id = Some(id);
                }
            }
            20 => self.note_notation(kind, contents)?,
            25 => match contents {
                [flag] => self.is_primary = *flag > 0,
                _ => return Err(bad("primary user id subpacket with bad length")),
            },
            27 => {
                let flags = self.flags.get_or_insert(0);
                *flags |= contents.first().copied().unwrap_or_default();
            }
            29 => {
                let reason = contents.first().ok_or(bad("empty revocation reason subpacket"))?;
                self.revocation_reason = Some(*reason);
            }
            32 => self.note_embedded(contents, depth)?,
            33 => {
                let (version, fingerprint) = contents
                    .split_first()
                    .ok_or(bad("empty issuer fingerprint subpacket"))?;
                let id = match (version, fingerprint) {
                    (5.., fingerprint) if fingerprint.len() == 32 => fingerprint.first_chunk(),
                    (..5, fingerprint) if fingerprint.len() == 20 => fingerprint.last_chunk(),
                    _ => None,
                };
                self.issuer_id = Some(*id.ok_or(bad("bad fingerprint length"))?);
                self.issuer_fingerprint = fingerprint.to_vec();
            }
            35 => {
                let expected = if contents.first().is_some_and(|version| *version > 4) {
                    33
                } else {
                    21
                };
                if contents.len() != expected {
                    return Err(bad("invalid fingerprint length"));
                }
            }
            39 if !contents.len().is_multiple_of(2) => {
                return Err(bad("invalid aead cipher suite length"));
            }
            4..=6 | 11 | 21..=24 | 26 | 28 | 30 | 39 => {}
            other if kind & 0x80 != 0 => {
                return Err(PgpError::Unsupported(format!(
                    "unknown critical signature subpacket type {other}"
                )));
            }
            _ => {}
        }
        Ok(())
    }

    fn note_notation(&mut self, kind: u8, contents: &[u8]) -> Result<(), PgpError> {
        let bad = PgpError::structural("notation data subpacket with bad length");
        let mut fields = Fields(contents);
        let mut read = || {
            fields.u32()?;
            let (name, value) = (usize::from(fields.u16()?), usize::from(fields.u16()?));
            let name = fields.take(name)?;
            fields.take(value)?;
            Ok::<_, PgpError>(name)
        };
        let name = read().map_err(|_| bad.clone())?;
        fields.finish().map_err(|_| bad)?;
        if kind & 0x80 != 0 && name != SALT_NOTATION && self.notation.is_none() {
            self.notation = Some(String::from_utf8_lossy(name).chars().take(64).collect());
        }
        Ok(())
    }

    fn note_embedded(&mut self, contents: &[u8], depth: usize) -> Result<(), PgpError> {
        if self.embedded.is_some() {
            return Err(PgpError::structural("Cannot have multiple embedded signatures"));
        }
        let depth = depth.saturating_add(1);
        if depth > MAX_DEPTH {
            return Err(PgpError::structural("signatures embedded too deep"));
        }
        let embedded = Self::nested(contents, depth)?;
        if embedded.kind != kind::PRIMARY_KEY_BINDING {
            let got = embedded.kind;
            return Err(PgpError::Structural(
                format!("cross-signature has unexpected type {got}").into(),
            ));
        }
        self.embedded = Some(Box::new(embedded));
        Ok(())
    }

    /// Appends the packet.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        let mut body = self.hashed.clone();
        let length = u32::try_from(self.unhashed.len())
            .unwrap_or(u32::MAX)
            .to_be_bytes();
        let [_, _, short @ ..] = length;
        match self.version {
            6 => body.extend(length),
            _ => body.extend(short),
        }
        body.extend_from_slice(&self.unhashed);
        body.extend(self.hash_tag);
        if self.version == 6 {
            body.push(u8::try_from(self.salt.len()).unwrap_or(u8::MAX));
            body.extend_from_slice(&self.salt);
        }
        body.extend_from_slice(&self.value);
        packet::push(out, 2, &body);
    }

    /// What is signed of these pieces, one after the other (RFC 9580 §5.2.4). It is the same for every key.
    pub(super) fn digest(&self, pieces: &[&[u8]]) -> Result<Vec<u8>, PgpError> {
        let trailer = self.trailer();
        let mut hashed = vec![self.salt.as_slice()];
        hashed.extend_from_slice(pieces);
        hashed.push(&trailer);
        self.hash.digest(&hashed)
    }

    /// What is hashed behind the data.
    fn trailer(&self) -> Vec<u8> {
        let mut trailer = self.hashed.clone();
        let length = u32::try_from(self.hashed.len()).unwrap_or(u32::MAX);
        trailer.extend([self.version, 0xff]);
        trailer.extend(length.to_be_bytes());
        trailer
    }

    /// Version 6 alone refuses by the first octets of the digest, before any arithmetic.
    pub(super) fn tag_contradicts(&self, digest: &[u8]) -> bool {
        self.version == 6 && !digest.starts_with(&self.hash_tag)
    }

    pub(super) fn is_by(&self, fingerprint: &[u8], id: [u8; 8]) -> bool {
        if self.issuer_fingerprint.is_empty() {
            self.issuer_id == Some(id)
        } else {
            self.issuer_fingerprint == fingerprint
        }
    }

    pub(super) fn names_issuer(&self) -> bool {
        self.issuer_id.is_some()
    }

    /// The key it says it is by, in hexadecimal.
    pub(super) fn issuer(&self) -> String {
        hex::encode(self.issuer_id.unwrap_or_default())
    }

    pub(super) fn lets_sign(&self) -> bool {
        self.flags.is_some_and(|flags| flags & MAY_SIGN != 0)
    }

    pub(super) fn is_expired(&self, at: u32) -> bool {
        self.created > at || has_passed(self.created, self.lifetime, at)
    }

    /// As a revocation: a compromised key never was to be believed.
    pub(super) fn revokes(&self, at: u32) -> bool {
        self.revocation_reason == Some(KEY_COMPROMISED) || !self.is_expired(at)
    }

    pub(super) fn check_notations(&self) -> Result<(), PgpError> {
        match &self.notation {
            Some(name) => Err(PgpError::Signature(
                format!("unknown critical notation: {name}").into(),
            )),
            None => Ok(()),
        }
    }
}

/// Whether a lifetime in seconds, of which zero means forever, is over.
pub(super) fn has_passed(from: u32, lifetime: Option<u32>, at: u32) -> bool {
    lifetime
        .filter(|lifetime| *lifetime > 0)
        .is_some_and(|lifetime| u64::from(at) > u64::from(from).saturating_add(u64::from(lifetime)))
}

/// Type and contents of the next subpacket.
fn subpacket<'a>(fields: &mut Fields<'a>) -> Result<Option<(u8, &'a [u8])>, PgpError> {
    let truncated = |_| PgpError::structural("signature subpacket truncated");
    let Ok(first) = fields.octet() else {
        return Ok(None);
    };
    let length = match first {
        short @ ..192 => usize::from(short),
        255 => packet::size(fields.u32().map_err(truncated)?),
        first => packet::two_octets(first, fields.octet().map_err(truncated)?),
    };
    let (kind, contents) = fields
        .take(length)
        .map_err(truncated)?
        .split_first()
        .ok_or(PgpError::structural("zero length signature subpacket"))?;
    Ok(Some((*kind, contents)))
}

/// Skips the numbers of a signature.
fn signature_value(algorithm: u8, fields: &mut Fields<'_>) -> Result<(), PgpError> {
    match algorithm {
        1 | 3 => fields.mpi().map(drop),
        27 => fields.take(64).map(drop),
        28 => fields.take(114).map(drop),
        _ => {
            fields.mpi()?;
            fields.mpi().map(drop)
        }
    }
}
