//! Packets (RFC 9580 §4), and what is skipped among them (`go-crypto openpgp/packet/{packet,reader}.go`).

use std::borrow::Cow;

use super::PgpError;
use super::key::PublicKey;
use super::signature::Signature;

/// A packet that says something about a public key.
pub(super) enum Packet {
    PublicKey(Box<PublicKey>),
    UserId(Vec<u8>),
    Signature(Box<Signature>),
    /// Another one that is known and means nothing here, such as a photograph.
    Other,
}

/// Type and body.
type Raw<'a> = (u8, Cow<'a, [u8]>);

/// The packets of a ring or a signature, with one of them given back at times.
pub(super) struct Packets<'a> {
    rest: &'a [u8],
    unread: Option<Packet>,
}

impl<'a> Packets<'a> {
    pub(super) fn new(octets: &'a [u8]) -> Self {
        Self {
            rest: octets,
            unread: None,
        }
    }

    pub(super) fn unread(&mut self, packet: Packet) {
        self.unread = Some(packet);
    }

    pub(super) fn is_at_end(&self) -> bool {
        self.rest.is_empty()
    }

    /// The next packet; those of an unknown kind or version are skipped (RFC 9580 §4.3).
    pub(super) fn next(&mut self) -> Result<Option<Packet>, PgpError> {
        if let Some(packet) = self.unread.take() {
            return Ok(Some(packet));
        }
        while let Some((kind, body)) = self.split()? {
            let parsed = match kind {
                2 => Signature::parse(&body).map(|signature| Packet::Signature(Box::new(signature))),
                6 | 14 => PublicKey::parse(&body, kind == 14).map(|key| Packet::PublicKey(Box::new(key))),
                13 => Ok(Packet::UserId(body.into_owned())),
                5 | 7 => return Err(PgpError::PrivateKey),
                1 | 3 | 4 | 17 | 21 => Ok(Packet::Other),
                // Markers and what a program noted for itself.
                10 | 12 | 40.. => continue,
                other => {
                    return Err(PgpError::Structural(
                        format!("packet of type {other} where a key or a signature is expected").into(),
                    ));
                }
            };
            match parsed {
                Err(PgpError::Unsupported(_)) => {}
                other => return other.map(Some),
            }
        }
        Ok(None)
    }

    /// Type and body of the next packet, in either format (RFC 9580 §4.2).
    fn split(&mut self) -> Result<Option<Raw<'a>>, PgpError> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let mut fields = Fields(self.rest);
        let first = fields.octet()?;
        if first & 0x80 == 0 {
            return Err(PgpError::structural("tag byte does not have MSB set"));
        }
        let (kind, body) = if first & 0x40 == 0 {
            let length = match first & 3 {
                0 => usize::from(fields.octet()?),
                1 => usize::from(fields.u16()?),
                2 => size(fields.u32()?),
                // Of unknown length: up to the end.
                _ => fields.0.len(),
            };
            ((first & 0x3f) >> 2, Cow::Borrowed(fields.take(length)?))
        } else {
            (first & 0x3f, new_format_body(&mut fields)?)
        };
        self.rest = fields.0;
        Ok(Some((kind, body)))
    }
}

/// RFC 9580 §4.2.1, where a body may come in parts.
fn new_format_body<'a>(fields: &mut Fields<'a>) -> Result<Cow<'a, [u8]>, PgpError> {
    let mut parts = Vec::new();
    loop {
        let length = match fields.octet()? {
            short @ ..192 => usize::from(short),
            first @ 192..224 => two_octets(first, fields.octet()?),
            255 => size(fields.u32()?),
            partial => {
                let length = 1_usize << (partial & 0x1f);
                parts.extend_from_slice(fields.take(length)?);
                continue;
            }
        };
        let last = fields.take(length)?;
        if parts.is_empty() {
            return Ok(Cow::Borrowed(last));
        }
        parts.extend_from_slice(last);
        return Ok(Cow::Owned(parts));
    }
}

/// A length of two octets, of a packet or of a subpacket.
pub(super) fn two_octets(first: u8, second: u8) -> usize {
    usize::from(first.saturating_sub(192))
        .saturating_mul(256)
        .saturating_add(usize::from(second))
        .saturating_add(192)
}

/// A length of four octets.
pub(super) fn size(length: u32) -> usize {
    usize::try_from(length).unwrap_or(usize::MAX)
}

/// Appends a packet in the new format.
pub(super) fn push(out: &mut Vec<u8>, kind: u8, body: &[u8]) {
    out.push(0xc0 | kind);
    push_length(out, body.len(), 8384);
    out.extend_from_slice(body);
}

/// Appends a length that takes two octets below `long`: where that is, packets and subpackets differ (RFC 9580 §4.2.1,
/// §5.2.3.7).
pub(super) fn push_length(out: &mut Vec<u8>, length: usize, long: usize) {
    match u8::try_from(length) {
        Ok(short @ ..192) => out.push(short),
        _ if length < long => {
            let [.., high, low] = length.saturating_sub(192).to_be_bytes();
            out.extend([high.saturating_add(192), low]);
        }
        _ => {
            out.push(255);
            out.extend(u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes());
        }
    }
}

/// Reads fields one after the other.
pub(super) struct Fields<'a>(pub(super) &'a [u8]);

impl<'a> Fields<'a> {
    pub(super) fn take(&mut self, length: usize) -> Result<&'a [u8], PgpError> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or(PgpError::Eof)?;
        self.0 = rest;
        Ok(taken)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], PgpError> {
        let (taken, rest) = self.0.split_first_chunk().ok_or(PgpError::Eof)?;
        self.0 = rest;
        Ok(*taken)
    }

    pub(super) fn octet(&mut self) -> Result<u8, PgpError> {
        self.array().map(|[octet]| octet)
    }

    pub(super) fn u16(&mut self) -> Result<u16, PgpError> {
        self.array().map(u16::from_be_bytes)
    }

    pub(super) fn u32(&mut self) -> Result<u32, PgpError> {
        self.array().map(u32::from_be_bytes)
    }

    /// A number with its length in bits (RFC 9580 §3.2).
    pub(super) fn mpi(&mut self) -> Result<&'a [u8], PgpError> {
        let bits = self.u16()?;
        self.take(usize::from(bits.div_ceil(8)))
    }

    /// Octets with their length in one octet, of which the ends of the range are reserved (RFC 9580 §9.2).
    pub(super) fn short(&mut self) -> Result<&'a [u8], PgpError> {
        match self.octet()? {
            0 | 255 => Err(PgpError::Unsupported("reserved for future extensions".to_owned())),
            length => self.take(usize::from(length)),
        }
    }

    pub(super) fn finish(self) -> Result<(), PgpError> {
        match self.0 {
            [] => Ok(()),
            _ => Err(PgpError::structural("data behind the last field of a packet")),
        }
    }
}
