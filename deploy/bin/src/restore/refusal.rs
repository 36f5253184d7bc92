//! Why a restore was refused, for whoever reads it at three in the morning.

use std::fmt::Write as _;

use common_backend::archive::evidence::Refusal;

use crate::doctor::report::time;

/// What was found, what would happen, and every way out.
pub(super) fn message(refusals: &[Refusal], created: u64) -> String {
    let mut text =
        "this backup cannot be restored as it is: a log would be forked. Nothing was written.\n\n".to_owned();
    for refusal in refusals {
        let _ = writeln!(text, "  {refusal}");
    }
    let is = |wanted: fn(&Refusal) -> bool| refusals.iter().any(wanted);
    let (newer, unknown) = (
        is(|r| matches!(r, Refusal::Newer { .. })),
        is(|r| matches!(r, Refusal::Unknown { .. })),
    );
    if is(|r| matches!(r, Refusal::Fork(_))) {
        text.push_str(
            "\nTwo signed histories of one log exist. No flag helps here: keep the old folder, this backup and the \
             checkpoint as they are, and find out which of them was forged or damaged (`sigbox fsck` checks a folder).\n",
        );
        return text;
    }
    if is(|r| matches!(r, Refusal::Missing { .. })) {
        text.push_str("\nThe backup is of another instance, or older than the log: use another backup.\n");
        return text;
    }
    text.push_str(
        "\nA log that goes on from before what clients have seen signs a second history: their signatures stop to verify, \
         monitors report an attack, and nothing undoes it.\n\nWhat you can do:\n",
    );
    if newer {
        text.push_str(
            "  - Use a newer backup, one that reaches the published size; or repair the old folder if its disk is sound: \
             `sigbox fsck` says what is wrong with it.\n",
        );
    }
    if unknown {
        text.push_str(
            "  - Show where the log ended: --replaces OLD_FOLDER, the stopped folder itself with its database. If it ends \
             where the backup does, the log goes on. A copy of its file `published`, or a checkpoint, shows what was \
             published and not that nothing came after it.\n",
        );
        let _ = writeln!(
            text,
            "  - If you know for certain that no entry was made after {} (the server was stopped, then backed up, and \
             never started again): --nothing-was-published-since-this-backup.",
            time(created.checked_div(1_000).unwrap_or_default())
        );
    }
    text.push_str(
        "  - Keep what the backup has, for reading alone, for ever: --frozen. All old signatures go on to verify, and the \
         frozen log takes no entry again. For new signatures start the instance and open new logs in it (`sigbox shard`, \
         `sigbox shard --log v2`, `sigbox rotate ctlog`): clients learn of them through the trust they have. What was \
         logged after the backup is not in it.\n",
    );
    text
}
