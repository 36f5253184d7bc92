//! What is kept beside each leaf: the submitted precertificate and the fingerprints of its issuers, in exactly the bytes
//! that follow the TimestampedEntry in a data tile (C2SP static-ct-api "Log entries"). Serving a tile is then putting bytes
//! together, and the issuers, the same for every leaf, are stored once.

use bytes::{BufMut as _, Bytes, BytesMut};

/// SHA-256 of an issuer's DER.
pub(crate) type Fingerprint = [u8; 32];

/// The stored bytes are not what [`encode`] makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("what is stored beside a leaf is not a precertificate with its issuers")]
pub(crate) struct Malformed;

/// `opaque precertificate<1..2^24-1>; Fingerprint certificate_chain<0..2^16-1>`, from parts whose sizes were checked.
pub(crate) fn encode(precertificate: &[u8], chain: &[Fingerprint]) -> Option<Bytes> {
    let length = u32::try_from(precertificate.len())
        .ok()
        .filter(|length| *length < 1 << 24)?;
    let chain_length = u16::try_from(chain.as_flattened().len()).ok()?;
    let mut out = BytesMut::with_capacity(
        precertificate
            .len()
            .saturating_add(chain.as_flattened().len())
            .saturating_add(5),
    );
    out.put_uint(u64::from(length), 3);
    out.put_slice(precertificate);
    out.put_u16(chain_length);
    out.put_slice(chain.as_flattened());
    Some(out.freeze())
}

/// The precertificate and its issuers.
pub(crate) fn decode(bytes: &[u8]) -> Result<(&[u8], &[Fingerprint]), Malformed> {
    let (length, rest) = bytes.split_first_chunk::<3>().ok_or(Malformed)?;
    let length = length
        .iter()
        .fold(0usize, |length, byte| length << 8 | usize::from(*byte));
    let (precertificate, rest) = rest.split_at_checked(length).ok_or(Malformed)?;
    let (length, rest) = rest.split_first_chunk::<2>().ok_or(Malformed)?;
    let (chain, tail) = rest.as_chunks::<32>();
    if usize::from(u16::from_be_bytes(*length)) == rest.len() && tail.is_empty() {
        Ok((precertificate, chain))
    } else {
        Err(Malformed)
    }
}
