//! Refusals, for who operates the policy.

use std::time::SystemTime;

use super::Denial;

/// What is known of a refusal: no token, and of the claims the one that decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denied {
    /// When.
    pub time: SystemTime,
    /// Whose token.
    pub issuer: String,
    /// Who would have stood in the certificate.
    pub subject: String,
    /// The token's `sub`.
    pub token_subject: String,
    /// Why.
    pub denial: Denial,
    /// Whether no certificate was issued; not so in a dry run.
    pub enforced: bool,
}

/// Keeps refusals.
pub trait AuditLog: Send + Sync {
    /// Keeps one, later: a request does not wait for it.
    fn denied(&self, denied: Denied);
}
