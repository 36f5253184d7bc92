//! TSTInfo (RFC 3161 §2.4.2): what is signed.

use std::time::Duration;

use der::asn1::GeneralizedTime;
use der::{DateTime, Decode, Encode, Reader, SliceReader, Tag};

use super::request::is_integer;
use super::{MessageImprint, TspError};
use crate::asn1;
use crate::cert::BuildError;

/// A timestamp's statement: this digest existed at this time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TstInfo {
    /// Contents octets of the policy's OBJECT IDENTIFIER.
    pub policy: Vec<u8>,
    /// What was timestamped.
    pub imprint: MessageImprint,
    /// Contents octets of the serial number INTEGER.
    pub serial: Vec<u8>,
    /// Unix time in whole seconds.
    pub time: u64,
    /// Fraction of the second, in nanoseconds; ours have none.
    pub nanos: u32,
    /// DER of Accuracy, where present.
    pub accuracy: Option<Vec<u8>>,
    /// Whether timestamps of this authority can be ordered by their times alone.
    pub ordering: bool,
    /// Contents octets of the nonce INTEGER.
    pub nonce: Option<Vec<u8>>,
    /// DER of the GeneralName inside `tsa [0]`.
    pub tsa: Option<Vec<u8>>,
}

impl TstInfo {
    /// Parses a DER TSTInfo of version 1 with nothing after it.
    pub fn from_der(der: &[u8]) -> Result<TstInfo, TspError> {
        let mut reader = asn1::reader(der)?;
        let info = reader.sequence(|r| {
            if u8::decode(r)? != 1 {
                return Err(TspError::Malformed("TSTInfo version is not 1"));
            }
            let policy = asn1::expect(r, Tag::ObjectIdentifier)?.to_vec();
            let imprint = MessageImprint::read(r)?;
            let serial = integer(r)?;
            let (time, nanos) = generalized_time(asn1::expect(r, Tag::GeneralizedTime)?)?;
            let accuracy = match next(r)? {
                Some(Tag::Sequence) => Some(r.tlv_bytes()?.to_vec()),
                _ => None,
            };
            let ordering = next(r)? == Some(Tag::Boolean) && bool::decode(r)?;
            let nonce = if next(r)? == Some(Tag::Integer) {
                Some(integer(r)?)
            } else {
                None
            };
            let tsa = if asn1::next_is_context(r, 0) {
                let header = der::Header::decode(r)?;
                Some(r.read_nested(header.length(), |r| r.tlv_bytes())?.to_vec())
            } else {
                None
            };
            if asn1::next_is_context(r, 1) {
                r.tlv_bytes()?;
            }
            Ok::<_, TspError>(TstInfo {
                policy,
                imprint,
                serial,
                time,
                nanos,
                accuracy,
                ordering,
                nonce,
                tsa,
            })
        })?;
        reader.finish()?;
        Ok(info)
    }

    /// DER. The time is written without fraction, which every client parses.
    pub(super) fn to_der(&self) -> Result<Vec<u8>, TspError> {
        let integer = |contents: &Vec<u8>| asn1::element(asn1::INTEGER, &[contents]);
        Ok(asn1::sequence(&[
            &asn1::unsigned(&[1]),
            &asn1::element(0x06, &[&self.policy]),
            &self.imprint.to_der()?,
            &integer(&self.serial),
            &write_time(self.time)?,
            self.accuracy.as_deref().unwrap_or_default(),
            if self.ordering { asn1::TRUE } else { &[] },
            &self.nonce.as_ref().map(integer).unwrap_or_default(),
            &self
                .tsa
                .as_ref()
                .map(|name| asn1::context(0, &[name]))
                .unwrap_or_default(),
        ]))
    }
}

fn next(r: &SliceReader<'_>) -> Result<Option<Tag>, TspError> {
    if r.is_finished() {
        Ok(None)
    } else {
        Ok(Some(Tag::peek(r)?))
    }
}

fn integer(r: &mut SliceReader<'_>) -> Result<Vec<u8>, TspError> {
    let contents = asn1::expect(r, Tag::Integer)?;
    if is_integer(contents) && contents.len() <= 128 {
        Ok(contents.to_vec())
    } else {
        Err(TspError::Malformed(
            "INTEGER that is not minimal or longer than 128 octets",
        ))
    }
}

fn write_time(unix: u64) -> Result<Vec<u8>, TspError> {
    let date = DateTime::from_unix_duration(Duration::from_secs(unix)).map_err(|_| BuildError::Time(unix))?;
    Ok(GeneralizedTime::from_date_time(date).to_der()?)
}

/// `YYYYMMDDhhmmss[.f…]Z` (RFC 3161 §2.4.2): seconds are required, a fraction has no trailing zeros.
fn generalized_time(contents: &[u8]) -> Result<(u64, u32), TspError> {
    let malformed = TspError::Malformed("genTime");
    let (whole, rest) = contents.split_at_checked(14).ok_or(malformed.clone())?;
    let fraction = match rest {
        b"Z" => &[],
        [b'.', digits @ .., b'Z'] if !digits.is_empty() && digits.len() <= 9 && !digits.ends_with(b"0") => {
            digits
        }
        _ => return Err(malformed),
    };
    let number = |digits: &[u8]| -> Option<u32> {
        digits.iter().all(u8::is_ascii_digit).then_some(())?;
        std::str::from_utf8(digits).ok()?.parse().ok()
    };
    let field = |from: usize, to: usize| whole.get(from..to).and_then(number);
    let date = || {
        let small = |value: u32| u8::try_from(value).ok();
        DateTime::new(
            u16::try_from(field(0, 4)?).ok()?,
            small(field(4, 6)?)?,
            small(field(6, 8)?)?,
            small(field(8, 10)?)?,
            small(field(10, 12)?)?,
            small(field(12, 14)?)?,
        )
        .ok()
    };
    let seconds = date().ok_or(malformed.clone())?.unix_duration().as_secs();
    let padded: Vec<u8> = fraction
        .iter()
        .copied()
        .chain(std::iter::repeat(b'0'))
        .take(9)
        .collect();
    Ok((seconds, number(&padded).ok_or(malformed)?))
}
