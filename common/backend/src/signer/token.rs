//! Access tokens of key services (RFC 6749 §5.1), kept until shortly before they expire.

use std::time::{Duration, Instant};

use common_pki::key::SignError;
use serde_json::Value;
use zeroize::Zeroizing;

/// A token is renewed this long before its end.
const MARGIN: Duration = Duration::from_secs(60);

pub(super) struct Cached {
    token: Zeroizing<String>,
    until: Instant,
}

impl Cached {
    /// From an answer with `access_token` and `expires_in`, to a question of the moment `asked`.
    pub(super) fn from_answer(answer: &Value, asked: Instant) -> Result<Cached, SignError> {
        let token = answer.get("access_token").and_then(Value::as_str);
        let token =
            token.ok_or_else(|| SignError::Failed("the token endpoint gave no access_token".to_owned()))?;
        let seconds = answer.get("expires_in").and_then(Value::as_u64).unwrap_or(0);
        let usable = Duration::from_secs(seconds).saturating_sub(MARGIN);
        Ok(Cached {
            token: Zeroizing::new(token.to_owned()),
            until: asked.checked_add(usable).unwrap_or(asked),
        })
    }

    pub(super) fn fresh(&self) -> Option<String> {
        (Instant::now() < self.until).then(|| self.text())
    }

    pub(super) fn text(&self) -> String {
        self.token.to_string()
    }
}
