//! Roots and proposals in words.

use std::fmt::Write as _;
use std::time::SystemTime;

use common_bundle::tuf::{Progress, Proposal, Role, Root};

use crate::exit::Failure;

const DAY: u64 = 24 * 3600;

/// A root: version, expiry, and for each role its keys and how many must sign.
pub(super) fn root(root: &Root, now: SystemTime) -> Result<String, Failure> {
    let mut text = format!("root version {}, expires {}", root.version, root.expires);
    match root.expires.system_time().duration_since(now) {
        Ok(left) => push(&mut text, format_args!(" (in {} days)", left.as_secs() / DAY))?,
        Err(_) => push(&mut text, format_args!(" (over: clients refuse it)"))?,
    }
    for role in Role::ALL {
        let Some(keys) = root.roles.get(role.name()) else {
            continue;
        };
        let count = keys.keyids.len();
        push(
            &mut text,
            format_args!("\n  {:<10} {} of {count} must sign", role.name(), keys.threshold),
        )?;
        for id in &keys.keyids {
            let scheme = root.keys.get(id).map_or("unknown", |key| key.scheme.as_str());
            push(&mut text, format_args!("\n    {id}  {scheme}"))?;
        }
    }
    Ok(text)
}

/// Who has signed, as the root in force sees it, where it is at hand, and as the proposed one does.
pub(super) fn progress(proposal: &Proposal, current: Option<&Root>) -> Result<String, Failure> {
    let mut text = String::new();
    let roots = [("in force", current), ("proposed", Some(proposal.root()))];
    let mut complete = true;
    for (which, root) in roots.into_iter().filter_map(|(which, root)| Some((which, root?))) {
        let progress = proposal.progress(root).map_err(Failure::failed)?;
        complete &= progress.is_complete();
        line(&mut text, which, root.version, &progress)?;
    }
    let next = match (complete, current) {
        (true, Some(_)) => "complete: `sigbox tuf publish` hands it to the server",
        (true, None) => "complete for the proposed root; the root in force must be satisfied too",
        (false, _) => "signatures are missing: pass it on to the next holder",
    };
    text.push_str(next);
    Ok(text)
}

fn line(text: &mut String, which: &str, version: u64, progress: &Progress) -> Result<(), Failure> {
    let (signed, needed) = (progress.signed.len(), progress.threshold);
    push(
        text,
        format_args!("for the root {which} (version {version}): {signed} of {needed} signatures"),
    )?;
    if !progress.is_complete() {
        let missing: Vec<_> = progress.missing.iter().map(String::as_str).collect();
        push(text, format_args!(", not yet by {}", missing.join(", ")))?;
    }
    text.push('\n');
    Ok(())
}

fn push(text: &mut String, words: std::fmt::Arguments<'_>) -> Result<(), Failure> {
    text.write_fmt(words).map_err(Failure::failed)
}
