//! Points in time and windows, as proto-JSON writes them.

use std::fmt;
use std::time::SystemTime;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de, ser};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

/// A `google.protobuf.Timestamp`: RFC 3339 in JSON, written in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(OffsetDateTime);

impl Timestamp {
    /// A point in time from seconds of the Unix epoch; `None` outside the years RFC 3339 can write.
    #[must_use]
    pub fn from_unix(seconds: i64) -> Option<Self> {
        let time = OffsetDateTime::from_unix_timestamp(seconds).ok()?;
        (0..=9999).contains(&time.year()).then_some(Self(time))
    }

    /// Seconds of the Unix epoch; a fraction is cut off.
    #[must_use]
    pub const fn unix(self) -> i64 {
        self.0.unix_timestamp()
    }

    /// The point in time, cut to whole seconds: fractions only invite clients to differ.
    #[must_use]
    pub fn from_system_time(time: SystemTime) -> Option<Self> {
        let seconds = time.duration_since(SystemTime::UNIX_EPOCH).ok()?.as_secs();
        Self::from_unix(i64::try_from(seconds).ok()?)
    }

    /// The same point in time for comparisons.
    #[must_use]
    pub fn system_time(self) -> SystemTime {
        self.0.into()
    }

    /// Later by `seconds`; the same where the calendar ends.
    #[must_use]
    pub fn plus_seconds(self, seconds: i64) -> Self {
        self.unix()
            .checked_add(seconds)
            .and_then(Self::from_unix)
            .unwrap_or(self)
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.0.format(&Rfc3339).map_err(|_| fmt::Error)?;
        f.pad(&text)
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let text = self.0.format(&Rfc3339).map_err(ser::Error::custom)?;
        serializer.serialize_str(&text)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let time = OffsetDateTime::parse(&text, &Rfc3339)
            .map_err(|_| de::Error::custom(format_args!("expected an RFC 3339 time, got {text:?}")))?;
        // Four digits of a year and an offset can lead beyond the calendar, and beyond what RFC 3339 writes.
        time.checked_to_offset(time::UtcOffset::UTC)
            .filter(|utc| (0..=9999).contains(&utc.year()))
            .map(Self)
            .ok_or_else(|| {
                de::Error::custom(format_args!(
                    "expected a time in the years 0 to 9999 of UTC, got {text:?}"
                ))
            })
    }
}

/// `dev.sigstore.common.v1.TimeRange`: both ends belong to it, no end means still valid.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ValidFor {
    /// First point in time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start: Option<Timestamp>,
    /// Last point in time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end: Option<Timestamp>,
}

impl ValidFor {
    /// From `start` on, with an end where there is one.
    #[must_use]
    pub const fn new(start: Timestamp, end: Option<Timestamp>) -> Self {
        Self {
            start: Some(start),
            end,
        }
    }

    /// Whether `time` lies in the window, ends included (protobuf-specs `sigstore_common.proto`,
    /// `TimeRange`).
    #[must_use]
    pub fn contains(&self, time: SystemTime) -> bool {
        self.start.is_none_or(|start| start.system_time() <= time)
            && self.end.is_none_or(|end| time <= end.system_time())
    }
}

#[cfg(test)]
mod tests;
