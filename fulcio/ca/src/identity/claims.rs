//! Claims: reading them, and the checks that every token must pass whatever its issuer's type.
//!
//! RFC 7519 §4.1 and OpenID Connect Core §3.1.3.7. Upstream: go-oidc `verify.go`.

use std::borrow::Cow;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Map, Value};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::error::{TokenError, quote};

/// How far ahead of this clock `nbf` may be (go-oidc `verify.go`). `exp` has no such leeway.
const NBF_LEEWAY: Duration = Duration::from_secs(5 * 60);

/// The last second that has a date of four digits for its year; what lies behind it is no time.
const LAST_SECOND: f64 = 253_402_300_799.0;

/// A token's payload.
#[derive(Clone)]
pub(crate) struct Claims(Map<String, Value>);

impl Claims {
    pub(crate) fn new(members: Map<String, Value>) -> Self {
        Self(members)
    }

    /// The value at `path`, one member name a step.
    pub(crate) fn at<'a>(&'a self, path: &[impl AsRef<str>]) -> Option<&'a Value> {
        let (first, rest) = path.split_first()?;
        rest.iter().try_fold(self.0.get(first.as_ref())?, |value, step| {
            value.get(step.as_ref())
        })
    }

    /// A claim that, if it is there, is a string.
    pub(crate) fn text(&self, name: &str) -> Result<Option<&str>, TokenError> {
        match self.0.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(other) => Err(mismatch(name, "a string", other)),
        }
    }

    /// The text of a claim that has one: numbers without an exponent (fulcio #2406), booleans in words. The error is the
    /// kind of value that has none.
    pub(crate) fn scalar(&self, name: &str) -> Result<Option<Cow<'_, str>>, &'static str> {
        Ok(match self.0.get(name) {
            None | Some(Value::Null) => None,
            Some(Value::String(text)) => Some(Cow::Borrowed(text)),
            Some(Value::Bool(flag)) => Some(Cow::Borrowed(if *flag { "true" } else { "false" })),
            // An integer as it was written; a fraction in the shortest form that gives it back.
            Some(Value::Number(number)) => Some(Cow::Owned(match number.as_f64() {
                Some(float) if number.is_f64() => float.to_string(),
                _ => number.to_string(),
            })),
            Some(Value::Array(_)) => return Err("an array"),
            Some(Value::Object(_)) => return Err("an object"),
        })
    }

    /// A claim that is there, is a string and is not empty.
    pub(crate) fn required(&self, name: &str) -> Result<&str, TokenError> {
        self.text(name)?
            .filter(|text| !text.is_empty())
            .ok_or_else(|| missing(name, "a string"))
    }

    /// `email_verified`: a boolean, or the same in the words that upstream knows (sigstore `pkg/oauthflow/flow.go`).
    pub(crate) fn flag(&self, name: &str) -> Result<bool, TokenError> {
        match self.0.get(name) {
            None | Some(Value::Null) => Ok(false),
            Some(Value::Bool(flag)) => Ok(*flag),
            Some(Value::String(text)) if matches!(text.as_str(), "true" | "True") => Ok(true),
            Some(Value::String(text)) if matches!(text.as_str(), "false" | "False") => Ok(false),
            Some(other) => Err(mismatch(name, "true", other)),
        }
    }

    /// `aud` is a string or an array of strings (RFC 7519 §4.1.3) and must hold one of `accepted`.
    pub(crate) fn check_audience(&self, accepted: &[String]) -> Result<(), TokenError> {
        let ours = |value: &Value| {
            value
                .as_str()
                .is_some_and(|text| accepted.iter().any(|one| one == text))
        };
        let expected = || {
            accepted
                .iter()
                .map(|one| quote(one))
                .collect::<Vec<_>>()
                .join(" or ")
        };
        match self.0.get("aud") {
            Some(value @ Value::String(_)) if ours(value) => Ok(()),
            Some(Value::Array(values)) if values.iter().all(Value::is_string) && values.iter().any(ours) => {
                Ok(())
            }
            None | Some(Value::Null) => Err(missing("audience", &expected())),
            Some(other) => Err(mismatch("audience", &expected(), other)),
        }
    }

    /// `exp` must lie ahead, `nbf` not more than the leeway. RFC 7519 §4.1.4: *on or after* `exp` is too late.
    pub(crate) fn check_time(&self, now: SystemTime) -> Result<(), TokenError> {
        let seconds = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
        let exp = self
            .seconds("exp")?
            .ok_or_else(|| missing("exp", "a time in seconds since 1970"))?;
        if seconds >= exp {
            return Err(TokenError::Expired {
                exp: rfc3339(exp),
                now: rfc3339(seconds),
            });
        }
        let latest = seconds + NBF_LEEWAY.as_secs_f64();
        match self.seconds("nbf")? {
            Some(nbf) if nbf > latest => {
                return Err(TokenError::NotYetValid {
                    nbf: rfc3339(nbf),
                    latest: rfc3339(latest),
                });
            }
            _ => {}
        }
        // Nothing is compared with it, but whoever writes no time there writes no tokens.
        self.seconds("iat").map(drop)
    }

    /// When the token ends, for people.
    pub(crate) fn end(&self) -> Option<String> {
        self.seconds("exp").ok().flatten().map(rfc3339)
    }

    /// A NumericDate, which RFC 7519 §2 lets have a fraction.
    fn seconds(&self, name: &str) -> Result<Option<f64>, TokenError> {
        match self.0.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => match value.as_f64().filter(|seconds| seconds.abs() <= LAST_SECOND) {
                Some(seconds) => Ok(Some(seconds)),
                None => Err(mismatch(name, "a time in seconds since 1970", value)),
            },
        }
    }
}

/// A claim that should have been there.
pub(crate) fn missing(claim: &str, expected: &str) -> TokenError {
    TokenError::Claim {
        claim: claim.to_owned(),
        expected: expected.to_owned(),
        got: "none".to_owned(),
    }
}

/// A claim of another type or value.
pub(crate) fn mismatch(claim: &str, expected: &str, got: &Value) -> TokenError {
    TokenError::Claim {
        claim: claim.to_owned(),
        expected: expected.to_owned(),
        got: shown(got),
    }
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "a float-to-integer cast saturates"
)]
pub(crate) fn rfc3339(seconds: f64) -> String {
    OffsetDateTime::from_unix_timestamp(seconds.floor() as i64)
        .ok()
        .and_then(|time| time.format(&Rfc3339).ok())
        .unwrap_or_else(|| format!("{seconds:e} s"))
}

/// A value for people: quoted, shortened, and of what has parts only its kind.
pub(crate) fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => quote(text),
        Value::Array(values) if values.iter().all(Value::is_string) => {
            let shown: Vec<_> = values
                .iter()
                .take(4)
                .filter_map(Value::as_str)
                .map(quote)
                .collect();
            let more = if values.len() > shown.len() { ", …" } else { "" };
            format!("[{}{more}]", shown.join(", "))
        }
        Value::Bool(flag) => flag.to_string(),
        Value::Number(number) => number.to_string(),
        Value::Null => "null".to_owned(),
        Value::Array(_) => "an array".to_owned(),
        Value::Object(_) => "an object".to_owned(),
    }
}
