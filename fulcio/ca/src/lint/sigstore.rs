//! Fulcio's `docs/certificate-specification.md` and `docs/oid-info.md`.

use common_pki::cert::{Extension, SubjectAltName, TbsCertificate, empty_name, ext};
use common_pki::oid;
use der::Decode as _;
use der::asn1::Utf8StringRef;
use x509_cert::ext::pkix::name::GeneralNames;

use super::{Rule, extension, name};
use crate::issuance::VALIDITY;

/// Arcs of extensions; 7 is that of a name.
const ASSIGNED: std::ops::RangeInclusive<u32> = 1..=24;
/// The first arc whose text is encoded.
const ENCODED_FROM: u32 = 8;

pub(super) const RULES: &[Rule] = &[
    Rule {
        name: "certificate specification: valid for ten minutes, to the second",
        holds: |tbs, _| tbs.not_after.checked_sub(tbs.not_before) == Some(VALIDITY.as_secs()),
    },
    Rule {
        name: "certificate specification: the subject is empty",
        holds: |tbs, _| tbs.subject == empty_name(),
    },
    Rule {
        name: "certificate specification: key usage is digitalSignature alone",
        holds: |tbs, _| tbs.extensions.contains(&ext::digital_signature()),
    },
    Rule {
        name: "certificate specification: extended key usage is codeSigning alone",
        holds: |tbs, _| {
            tbs.extensions
                .contains(&ext::extended_key_usage(&oid::CODE_SIGNING, false))
        },
    },
    Rule {
        name: "certificate specification: the subject key identifier is that of the key",
        holds: |tbs, _| tbs.extensions.contains(&ext::subject_key_identifier(&tbs.key)),
    },
    Rule {
        name: "certificate specification: not an authority",
        holds: |tbs, _| extension(tbs, &oid::BASIC_CONSTRAINTS).is_none(),
    },
    Rule {
        name: "certificate specification: exactly one subject alternative name",
        holds: |tbs, _| {
            let names =
                extension(tbs, &oid::SUBJECT_ALT_NAME).map(|(value, _)| GeneralNames::from_der(value));
            matches!(names, Some(Ok(names)) if names.len() == 1)
        },
    },
    Rule {
        name: "certificate specification: the subject alternative name is an e-mail address, a URI or a user name",
        holds: |tbs, _| {
            use SubjectAltName::{Email, Uri, Username};
            matches!(name(tbs), Some(Email(_) | Uri(_) | Username(_)))
        },
    },
    Rule {
        name: "OID info 1.3.6.1.4.1.57264.1.7: a user name is a name and a domain with one ! between them",
        holds: |tbs, _| match name(tbs) {
            Some(SubjectAltName::Username(text)) => {
                let parts: Vec<_> = text.split('!').collect();
                parts.len() == 2 && parts.iter().all(|part| !part.is_empty())
            }
            _ => true,
        },
    },
    Rule {
        name: "OID info: extensions 1 to 6 are UTF-8 text, bare",
        holds: |tbs, _| {
            let texts = tbs
                .extensions
                .iter()
                .filter(|one| arc(one).is_some_and(|arc| arc < ENCODED_FROM));
            texts
                .map(|one| std::str::from_utf8(&one.value))
                .all(|text| text.is_ok())
        },
    },
    Rule {
        name: "OID info: extensions from 8 on are one UTF8String in DER",
        holds: |tbs, _| {
            let texts = tbs
                .extensions
                .iter()
                .filter(|one| arc(one).is_some_and(|arc| arc >= ENCODED_FROM));
            texts
                .map(|one| Utf8StringRef::from_der(&one.value))
                .all(|text| text.is_ok())
        },
    },
    Rule {
        name: "OID info: the issuer in both its forms, saying the same",
        holds: |tbs, _| match (fulcio(tbs, 1), fulcio(tbs, 8)) {
            (Some(bare), Some(encoded)) => {
                ext::utf8_string(encoded.oid, &String::from_utf8_lossy(&bare.value)) == *encoded
            }
            _ => false,
        },
    },
    Rule {
        name: "OID info: Fulcio's extensions ascend, are not critical and not empty",
        holds: |tbs, _| {
            let arcs: Vec<_> = tbs
                .extensions
                .iter()
                .filter_map(|one| Some((arc(one)?, one)))
                .collect();
            arcs.iter()
                .all(|(_, one)| !one.critical && !one.value.is_empty() && one.value != [0x0C, 0])
                && arcs.is_sorted_by(|(one, _), (other, _)| one < other)
        },
    },
    Rule {
        name: "OID info: no extension that it does not assign",
        holds: |tbs, _| {
            tbs.extensions
                .iter()
                .filter_map(arc)
                .all(|arc| ASSIGNED.contains(&arc) && arc != 7)
        },
    },
    Rule {
        name: "RFC 6962 §3.1: poison and timestamps are added later, and last",
        holds: |tbs, _| extension(tbs, &oid::CT_POISON).is_none() && extension(tbs, &oid::SCT_LIST).is_none(),
    },
];

fn fulcio(tbs: &TbsCertificate, number: u32) -> Option<&Extension> {
    tbs.extensions.iter().find(|one| arc(one) == Some(number))
}

/// The last arc of one of Fulcio's extensions.
fn arc(extension: &Extension) -> Option<u32> {
    let number = extension.oid.arcs().last()?;
    (ext::sigstore_oid(number)? == extension.oid).then_some(number)
}
