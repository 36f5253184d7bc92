//! The rules of one issuer in the file. A key that is not known is an error: a policy must not lose a rule to a slip.

use std::num::NonZeroU32;
use std::time::Duration;

use super::document::Fields;
use crate::identity::ConfigError;
use crate::policy::{ClaimName, Pattern, Policy, QuotaRule, Rule};

const POLICY: [&str; 4] = ["mode", "allow", "deny", "quotas"];
const RULE: [&str; 2] = ["name", "claims"];
const QUOTA: [&str; 4] = ["name", "per", "certificates", "every"];
/// Most quotas of an issuer: each remembers 65,536 values.
const MAX_QUOTAS: usize = 8;
/// Most certificates of a quota.
const MAX_CERTIFICATES: u32 = 1_000_000;
/// Longest time of a quota, in seconds: what was counted does not outlive the process.
const MAX_TIME: u64 = 31 * 86_400;

/// The policy that `fields` describe.
pub(super) fn read(mut fields: Fields) -> Result<Policy, ConfigError> {
    fields.only(&POLICY)?;
    let mut policy = Policy {
        dry_run: match fields.text("mode")?.as_deref() {
            None | Some("enforce") => false,
            Some("dry-run") => true,
            Some(other) => return Err(fields.wrong("mode", "enforce or dry-run", &format!("{other:?}"))),
        },
        ..Policy::default()
    };
    for (key, rules) in [("allow", &mut policy.allow), ("deny", &mut policy.deny)] {
        for (number, rule) in (1_usize..).zip(fields.tables(key)?) {
            rules.push(read_rule(&format!("{key} {number}"), rule)?);
        }
    }
    let quotas = fields.tables("quotas")?;
    if quotas.len() > MAX_QUOTAS {
        return Err(fields.wrong(
            "quotas",
            &format!("at most {MAX_QUOTAS}"),
            &quotas.len().to_string(),
        ));
    }
    for quota in quotas {
        policy.quotas.push(read_quota(quota)?);
    }
    if policy.is_empty() {
        return Err(fields.wrong("allow", "rules under allow, deny or quotas", "none"));
    }
    Ok(policy)
}

fn read_quota(mut fields: Fields) -> Result<QuotaRule, ConfigError> {
    fields.only(&QUOTA)?;
    let name = fields.text("name")?;
    let Some(per) = fields.text("per")?.filter(|per| !per.is_empty()) else {
        return Err(fields.wrong("per", "the name of a claim, or identity", "none"));
    };
    let certificates = fields.text("certificates")?.unwrap_or_default();
    let limit = certificates
        .parse()
        .ok()
        .filter(|limit: &NonZeroU32| limit.get() <= MAX_CERTIFICATES);
    let Some(limit) = limit else {
        let expected = format!("a number from 1 to {MAX_CERTIFICATES}");
        return Err(fields.wrong("certificates", &expected, &format!("{certificates:?}")));
    };
    let every = fields.text("every")?.unwrap_or_default();
    let Some(time) = time(&every) else {
        return Err(fields.wrong(
            "every",
            "a time such as 30s, 10m, 1h, 7d, at most 31d",
            &format!("{every:?}"),
        ));
    };
    Ok(QuotaRule::new(name, &per, limit, time))
}

/// A whole number and its unit.
fn time(text: &str) -> Option<Duration> {
    let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let factor = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        _ => return None,
    };
    let seconds = number.parse::<u32>().ok().map(u64::from)?.checked_mul(factor)?;
    (1..=MAX_TIME)
        .contains(&seconds)
        .then(|| Duration::from_secs(seconds))
}

fn read_rule(default_name: &str, mut fields: Fields) -> Result<Rule, ConfigError> {
    fields.only(&RULE)?;
    let name = fields.text("name")?.unwrap_or_else(|| default_name.to_owned());
    let mut claims = Vec::new();
    for (claim, texts) in fields.lists("claims")? {
        let patterns: Result<Vec<_>, _> = texts.iter().map(|text| Pattern::new(text)).collect();
        let patterns =
            patterns.map_err(|expected| fields.wrong("claims", &expected, &format!("one of {claim:?}")))?;
        if patterns.is_empty() {
            return Err(fields.wrong("claims", "at least one pattern", &format!("none for {claim:?}")));
        }
        claims.push((ClaimName::new(&claim), patterns));
    }
    if claims.is_empty() {
        // It would match every token.
        return Err(fields.wrong("claims", "at least one claim", "none"));
    }
    Ok(Rule { name, claims })
}
