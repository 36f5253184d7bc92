//! The pass over all attachments: each is what its key says.

use super::report::{At, Findings};
use super::{LogCheck, Progress};
use crate::storage::Storage;

/// Attachments read at once: they may be large.
const PAGE: u32 = 32;

/// Checks all of them; gives their number. `whole` says that the logs are all of the store's, so that an attachment
/// that none of them knows is nobody's.
pub(super) async fn check(
    storage: &dyn Storage,
    logs: &[LogCheck],
    whole: bool,
    progress: &(dyn Fn(Progress) + Sync),
    findings: &mut Findings,
) -> u64 {
    let mut count = 0u64;
    let mut after: Option<String> = None;
    loop {
        let page = match storage.attachments(after.as_deref(), PAGE).await {
            Ok(page) => page,
            Err(error) => {
                let behind = after
                    .as_deref()
                    .map_or_else(|| "at the first one".to_owned(), |key| format!("behind {key:?}"));
                findings.add(
                    At::Store,
                    "attachments",
                    "readable ones",
                    format!("{error}, {behind}"),
                );
                return count;
            }
        };
        let Some(last) = page.last() else { return count };
        if after.as_ref().is_some_and(|after| *after >= last.key) {
            findings.add(
                At::Attachment(last.key.clone()),
                "order of keys",
                "ascending",
                "one before the last one",
            );
            return count;
        }
        for attachment in &page {
            let known = logs
                .iter()
                .find_map(|log| log.kind.attachment(&attachment.key, &attachment.data));
            match known {
                Some(outcome) => findings.flaw(At::Attachment(attachment.key.clone()), outcome),
                None if whole => {
                    let at = At::Attachment(attachment.key.clone());
                    findings.add(at, "key", "one that a kind of log gives", "an unknown one");
                }
                None => {}
            }
        }
        count = count.saturating_add(page.len() as u64);
        after = Some(last.key.clone());
        progress(Progress::Attachments(count));
    }
}
