//! Our own policy, where the standards leave room.

use common_pki::oid;

use super::{Rule, name};
use crate::identity::template::MAX_TEXT;

pub(super) const RULES: &[Rule] = &[
    Rule {
        name: "our policy: nothing but key usage and subject alternative name is critical, for a verifier must refuse what it \
               does not know (RFC 5280 §4.2)",
        holds: |tbs, _| {
            let critical = tbs.extensions.iter().filter(|one| one.critical);
            critical
                .map(|one| one.oid)
                .all(|oid| oid == oid::KEY_USAGE || oid == oid::SUBJECT_ALT_NAME)
        },
    },
    Rule {
        name: "our policy: no control characters in the name, which people read and programs cut (CWE-158)",
        holds: |tbs, _| name(tbs).is_none_or(|name| !name.text().chars().any(char::is_control)),
    },
    Rule {
        name: "our policy: a text of at most 4,096 bytes in an extension, for it is kept for ever",
        holds: |tbs, _| {
            tbs.extensions
                .iter()
                .all(|one| one.value.len() <= MAX_TEXT.saturating_add(DER_HEADER))
        },
    },
    Rule {
        name: "our policy: the key is not the issuing authority's own",
        holds: |tbs, chain| tbs.key != *chain.key(),
    },
];

/// What stands before a text of that length: tag, and length in two octets behind their count (X.690 §8.1.3.5).
const DER_HEADER: usize = 4;
