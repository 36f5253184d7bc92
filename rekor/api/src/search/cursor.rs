//! Where the next page goes on: of each log, the leaf below which nothing was looked at yet.
//!
//! A cursor is no secret and proves nothing; it carries a fingerprint of its search so that nobody is misled by using
//! it with another.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use common_engine::LogId;

use super::Error;
use super::query::Query;

const VERSION: u8 = 1;
/// Longest text: the version, the fingerprint and a thousand logs.
const LONGEST: usize = 20_000;

/// Of each log: the leaves before this one are still to be looked at. A log that is not there is done.
pub(super) type Below = BTreeMap<LogId, u64>;

pub(super) fn encode(query: &Query, below: &Below) -> String {
    let mut bytes = vec![VERSION];
    bytes.extend_from_slice(&query.fingerprint());
    for (log, below) in below {
        bytes.extend_from_slice(&log.0.to_be_bytes());
        bytes.extend_from_slice(&below.to_be_bytes());
    }
    URL_SAFE_NO_PAD.encode(bytes)
}

pub(super) fn decode(query: &Query, text: &str) -> Result<Below, Error> {
    let read = || {
        let bytes = (text.len() <= LONGEST).then(|| URL_SAFE_NO_PAD.decode(text).ok())??;
        let ([version], rest) = bytes.split_first_chunk::<1>()?;
        let (fingerprint, rest) = rest.split_first_chunk::<8>()?;
        let (logs, rest) = rest.as_chunks::<12>();
        if *version != VERSION || *fingerprint != query.fingerprint() || !rest.is_empty() {
            return None;
        }
        let pair = |chunk: &[u8; 12]| {
            let (log, below) = chunk.split_first_chunk::<4>()?;
            Some((
                LogId(u32::from_be_bytes(*log)),
                u64::from_be_bytes(below.try_into().ok()?),
            ))
        };
        logs.iter().map(pair).collect::<Option<Below>>()
    };
    read().ok_or(Error::Cursor)
}
