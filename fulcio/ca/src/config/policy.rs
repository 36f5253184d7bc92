//! The rules of one issuer in the file. A key that is not known is an error: a policy must not lose a rule to a slip.

use super::document::Fields;
use crate::identity::ConfigError;
use crate::policy::{ClaimName, Pattern, Policy, Rule};

const POLICY: [&str; 3] = ["mode", "allow", "deny"];
const RULE: [&str; 2] = ["name", "claims"];

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
    if policy.allow.is_empty() && policy.deny.is_empty() {
        return Err(fields.wrong("allow", "rules under allow or deny", "none"));
    }
    Ok(policy)
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
