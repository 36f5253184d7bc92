//! RFC 5280.

use common_pki::cert::{self, SubjectAltName, empty_name, ext};
use common_pki::oid;

use super::{Rule, extension, name};
use crate::identity::principal::is_email;
use crate::identity::uri::Uri;

pub(super) const RULES: &[Rule] = &[
    Rule {
        name: "RFC 5280 §4.1.2.2: the serial number has at most 20 octets and is positive",
        holds: |tbs, _| {
            let serial = tbs.serial.as_bytes();
            serial.len() <= 20 && serial.first().is_some_and(|top| *top < 0x80) && serial != [0]
        },
    },
    Rule {
        name: "RFC 5280 §4.1.2.4: the issuer is the subject of the issuing certificate and not empty",
        holds: |tbs, chain| tbs.issuer == chain.issuer().subject_der() && tbs.issuer != empty_name(),
    },
    Rule {
        name: "RFC 5280 §4.1.2.5: validity ends after it begins",
        holds: |tbs, _| tbs.not_before < tbs.not_after,
    },
    Rule {
        name: "RFC 5280 §6.1.3 (a)(2): validity lies within that of every certificate of the chain",
        holds: |tbs, chain| tbs.not_before >= chain.not_before() && tbs.not_after <= chain.not_after(),
    },
    Rule {
        name: "RFC 5280 §4.2: no extension twice",
        holds: |tbs, _| {
            let mut kinds: Vec<_> = tbs.extensions.iter().map(|one| one.oid).collect();
            kinds.sort_unstable();
            kinds.windows(2).all(|pair| pair.first() != pair.last())
        },
    },
    Rule {
        name: "RFC 5280 §4.2.1.1: the authority key identifier is the issuing certificate's",
        holds: |tbs, chain| {
            let expected: cert::Extension = ext::authority_key_identifier(chain.key_identifier());
            extension(tbs, &oid::AUTHORITY_KEY_IDENTIFIER) == Some((&expected.value, false))
        },
    },
    Rule {
        name: "RFC 5280 §4.2.1.3: key usage is present and critical",
        holds: |tbs, _| extension(tbs, &oid::KEY_USAGE).is_some_and(|(_, critical)| critical),
    },
    Rule {
        name: "RFC 5280 §4.2.1.6: an rfc822Name is a mailbox, local part and domain",
        holds: |tbs, _| match name(tbs) {
            Some(SubjectAltName::Email(address)) => is_email(&address),
            _ => true,
        },
    },
    Rule {
        name: "RFC 5280 §4.2.1.6: a URI is absolute, and an authority in it has a host",
        holds: |tbs, _| match name(tbs) {
            Some(SubjectAltName::Uri(text)) => Uri::parse(&text).is_ok_and(|uri| uri.text == text),
            _ => true,
        },
    },
    Rule {
        name: "RFC 5280 §4.2.1.6: with an empty subject the subject alternative name is present and critical",
        holds: |tbs, _| {
            tbs.subject != empty_name()
                || extension(tbs, &oid::SUBJECT_ALT_NAME).is_some_and(|(_, critical)| critical)
        },
    },
];
