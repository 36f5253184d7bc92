#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;

fn parse(text: &str) -> Result<Timestamp, serde_json::Error> {
    serde_json::from_value(text.into())
}

/// RFC 3339 has four digits for the year, and an offset leads beyond them.
#[test]
fn a_time_beyond_the_calendar_in_utc_is_refused() {
    for text in ["9999-12-31T23:59:59-01:00", "0000-01-01T00:00:00+00:01"] {
        let refused = parse(text).unwrap_err().to_string();
        assert!(
            refused.contains("expected a time in the years 0 to 9999"),
            "{text}: {refused}"
        );
    }
    for (text, utc) in [
        ("9999-12-31T23:59:59Z", "9999-12-31T23:59:59Z"),
        ("9999-12-31T23:59:59+01:00", "9999-12-31T22:59:59Z"),
        ("0000-01-01T00:00:00-00:01", "0000-01-01T00:01:00Z"),
        ("2026-01-01T00:00:00+14:00", "2025-12-31T10:00:00Z"),
    ] {
        assert_eq!(parse(text).unwrap().to_string(), utc);
    }
}
