//! Variable-length vectors of the TLS presentation language (RFC 5246 §4.3).

use super::{MAX_U24, SctError};

/// Appends `contents` after its length in 16 bits.
pub(super) fn put_u16(out: &mut Vec<u8>, contents: &[u8], what: &'static str) -> Result<(), SctError> {
    let len = u16::try_from(contents.len()).map_err(|_| SctError::TooLong(what))?;
    out.extend_from_slice(&len.to_be_bytes());
    out.extend_from_slice(contents);
    Ok(())
}

/// Appends `contents` after its length in 24 bits.
pub(super) fn put_u24(out: &mut Vec<u8>, contents: &[u8], what: &'static str) -> Result<(), SctError> {
    let len = u32::try_from(contents.len()).map_err(|_| SctError::TooLong(what))?;
    if contents.len() > MAX_U24 {
        return Err(SctError::TooLong(what));
    }
    let [_, a, b, c] = len.to_be_bytes();
    out.extend_from_slice(&[a, b, c]);
    out.extend_from_slice(contents);
    Ok(())
}

/// Reads vectors; every failure is `Malformed(what)`.
pub(super) struct Reader<'a> {
    rest: &'a [u8],
    what: &'static str,
}

impl<'a> Reader<'a> {
    pub(super) fn new(input: &'a [u8], what: &'static str) -> Reader<'a> {
        Reader { rest: input, what }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    pub(super) fn take(&mut self, len: usize) -> Result<&'a [u8], SctError> {
        let (taken, rest) = self
            .rest
            .split_at_checked(len)
            .ok_or(SctError::Malformed(self.what))?;
        self.rest = rest;
        Ok(taken)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], SctError> {
        self.take(N)?
            .try_into()
            .map_err(|_| SctError::Malformed(self.what))
    }

    pub(super) fn u64(&mut self) -> Result<u64, SctError> {
        Ok(u64::from_be_bytes(self.array()?))
    }

    pub(super) fn u16_slice(&mut self) -> Result<&'a [u8], SctError> {
        let len = u16::from_be_bytes(self.array()?);
        self.take(usize::from(len))
    }

    pub(super) fn u16_vec(&mut self) -> Result<Vec<u8>, SctError> {
        Ok(self.u16_slice()?.to_vec())
    }

    pub(super) fn u24_vec(&mut self) -> Result<Vec<u8>, SctError> {
        let [a, b, c] = self.array()?;
        let len = u32::from_be_bytes([0, a, b, c]);
        let len = usize::try_from(len).map_err(|_| SctError::Malformed(self.what))?;
        Ok(self.take(len)?.to_vec())
    }

    pub(super) fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.rest)
    }

    pub(super) fn finish(self) -> Result<(), SctError> {
        if self.rest.is_empty() {
            Ok(())
        } else {
            Err(SctError::Malformed(self.what))
        }
    }
}
