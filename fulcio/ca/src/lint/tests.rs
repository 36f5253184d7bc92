#![allow(clippy::unwrap_used, clippy::arithmetic_side_effects, reason = "tests")]

use std::sync::Arc;

use common_pki::cert::{
    CaProfile, Serial, SubjectAltName, distinguished_name, empty_name, ext, intermediate, self_signed_root,
};
use common_pki::key::{KeyAlgorithm, LocalSigner, Signer as _};
use common_pki::oid;

use super::*;
use crate::extensions::{Extension, Extensions};

const NOW: u64 = 1_800_000_000;

/// A certificate that keeps every rule, and the chain above it, whose root ends before the issuer.
fn sound() -> (TbsCertificate, CaChain) {
    let key = || LocalSigner::generate(KeyAlgorithm::EcdsaP256).unwrap().0;
    let (root_key, issuer_key, leaf_key) = (key(), key(), key());
    let profile = |name, length| CaProfile {
        subject: distinguished_name("test", name),
        serial: Serial::new(&[1]).unwrap(),
        not_before: NOW - 10,
        not_after: NOW + length,
    };
    let root = self_signed_root(profile("root", 700), &root_key).unwrap();
    let issuer = intermediate(
        profile("issuer", 5_000),
        issuer_key.public_key(),
        &oid::CODE_SIGNING,
        &root,
        &root_key,
    )
    .unwrap();
    let mut fulcio = Extensions::default();
    fulcio.set_issuer("https://issuer.example");
    fulcio.set(Extension::Subject, "sub");
    let mut extensions = vec![
        ext::digital_signature(),
        ext::extended_key_usage(&oid::CODE_SIGNING, false),
        ext::subject_key_identifier(leaf_key.public_key()),
        ext::authority_key_identifier(&issuer.subject_key_identifier().unwrap().unwrap()),
        SubjectAltName::Email("a@b.example".to_owned())
            .to_extension()
            .unwrap(),
    ];
    extensions.extend(fulcio.encode());
    let tbs = TbsCertificate {
        serial: Serial::new(&[0x7f; 20]).unwrap(),
        issuer: issuer.subject_der().to_vec(),
        not_before: NOW,
        not_after: NOW + 600,
        subject: empty_name(),
        key: leaf_key.public_key().clone(),
        extensions,
    };
    let chain = CaChain::new(vec![issuer, root], Arc::new(issuer_key), NOW).unwrap();
    (tbs, chain)
}

#[test]
fn a_sound_certificate_passes() {
    let (tbs, chain) = sound();
    assert_eq!(check(&tbs, &chain), Ok(()));
}

/// Breaks the sound certificate in one way and expects a rule of that name to notice.
#[track_caller]
fn broken(rule: &str, change: impl FnOnce(&mut TbsCertificate)) {
    let (mut tbs, chain) = sound();
    change(&mut tbs);
    let found = check(&tbs, &chain).unwrap_err();
    assert!(found.contains(rule), "expected {rule:?}, got {found:?}");
}

fn drop_kind(tbs: &mut TbsCertificate, kind: der::asn1::ObjectIdentifier) {
    tbs.extensions.retain(|one| one.oid != kind);
}

#[test]
fn rfc5280_rules_notice() {
    broken("§4.1.2.4", |tbs| {
        tbs.issuer = distinguished_name("test", "other")
    });
    broken("§4.1.2.4", |tbs| tbs.issuer = empty_name());
    broken("§4.1.2.5", |tbs| tbs.not_after = tbs.not_before);
    broken("§6.1.3", |tbs| tbs.not_after = NOW + 701);
    broken("§6.1.3", |tbs| tbs.not_before = NOW - 11);
    broken("§4.2: no extension twice", |tbs| {
        tbs.extensions.push(ext::digital_signature())
    });
    broken("§4.2.1.1", |tbs| drop_kind(tbs, oid::AUTHORITY_KEY_IDENTIFIER));
    broken("§4.2.1.1", |tbs| {
        drop_kind(tbs, oid::AUTHORITY_KEY_IDENTIFIER);
        tbs.extensions.push(ext::authority_key_identifier(&[1; 20]));
    });
    broken("§4.2.1.3", |tbs| drop_kind(tbs, oid::KEY_USAGE));
    broken("§4.2.1.6", |tbs| drop_kind(tbs, oid::SUBJECT_ALT_NAME));
    broken("§4.2.1.6", |tbs| {
        tbs.extensions
            .iter_mut()
            .for_each(|one| one.critical &= one.oid == oid::KEY_USAGE)
    });
}

/// The sound certificate with another name.
fn named(tbs: &mut TbsCertificate, name: &SubjectAltName) {
    drop_kind(tbs, oid::SUBJECT_ALT_NAME);
    tbs.extensions.push(name.to_extension().unwrap());
}

#[test]
fn names_are_what_they_should_be() {
    use SubjectAltName::{Dns, Email, Uri, Username};
    for (rule, name) in [
        ("rfc822Name is a mailbox", Email("nobody".to_owned())),
        (
            "rfc822Name is a mailbox",
            Email("Somebody <a@b.example>".to_owned()),
        ),
        ("a URI is absolute", Uri("/relative".to_owned())),
        ("a URI is absolute", Uri("https://".to_owned())),
        (
            "a URI is absolute",
            Uri("https://a.example/with space".to_owned()),
        ),
        (
            "an e-mail address, a URI or a user name",
            Dns("a.example".to_owned()),
        ),
        ("with one !", Username("alice".to_owned())),
        ("with one !", Username("alice!".to_owned())),
        ("with one !", Username("a!b!example.com".to_owned())),
        ("no control characters", Username("a\0b!example.com".to_owned())),
    ] {
        broken(rule, |tbs| named(tbs, &name));
    }
    for name in [
        Uri("urn:uuid:00000000-0000-8000-8000-000000000000".to_owned()),
        Uri("spiffe://example.com/a".to_owned()),
        Username("alice!example.com".to_owned()),
    ] {
        let (mut tbs, chain) = sound();
        named(&mut tbs, &name);
        assert_eq!(check(&tbs, &chain), Ok(()), "{name:?}");
    }
}

#[test]
fn texts_are_what_they_should_be() {
    let push = |number: u32, value: &[u8]| {
        let value = value.to_vec();
        move |tbs: &mut TbsCertificate| {
            tbs.extensions
                .push(cert_extension(ext::sigstore_oid(number).unwrap(), false, &value));
        }
    };
    broken("UTF-8 text, bare", push(5, &[0xff]));
    for value in [
        &b"bare"[..],
        &[0x0c, 2, b'a'],
        &[0x0c, 1, b'a', b'b'],
        &[0x0c, 1, 0xff],
        &[0x16, 1, b'a'],
    ] {
        broken("one UTF8String in DER", push(30, value));
    }
    for number in [0, 7, 25] {
        let text = if number < 8 {
            &b"bare"[..]
        } else {
            &[0x0c, 1, b'a']
        };
        let (mut tbs, chain) = sound();
        push(number, text)(&mut tbs);
        tbs.extensions.sort_by_key(|one| one.oid.arcs().last());
        assert!(
            check(&tbs, &chain).unwrap_err().contains("does not assign"),
            "{number}"
        );
    }
    broken("at most 4,096 bytes", |tbs| {
        drop_kind(tbs, ext::sigstore_oid(24).unwrap());
        tbs.extensions.push(ext::utf8_string(
            ext::sigstore_oid(24).unwrap(),
            &"x".repeat(4_097),
        ));
    });
}

#[test]
fn our_rules_notice() {
    broken("a verifier must refuse what it", |tbs| {
        let unknown = der::asn1::ObjectIdentifier::new_unwrap("1.2.3.4");
        tbs.extensions.push(cert_extension(unknown, true, &[5, 0]));
    });
    let (mut tbs, chain) = sound();
    tbs.key = chain.key().clone();
    drop_kind(&mut tbs, oid::SUBJECT_KEY_IDENTIFIER);
    tbs.extensions.push(ext::subject_key_identifier(&tbs.key));
    assert!(
        check(&tbs, &chain)
            .unwrap_err()
            .contains("issuing authority's own")
    );
}

#[test]
fn sigstore_rules_notice() {
    broken("ten minutes", |tbs| tbs.not_after += 1);
    broken("ten minutes", |tbs| tbs.not_after -= 1);
    broken("the subject is empty", |tbs| {
        tbs.subject = distinguished_name("test", "leaf")
    });
    broken("key usage is digitalSignature alone", |tbs| {
        drop_kind(tbs, oid::KEY_USAGE);
        tbs.extensions.push(ext::certificate_signing());
    });
    broken("extended key usage", |tbs| {
        drop_kind(tbs, oid::EXTENDED_KEY_USAGE)
    });
    broken("extended key usage", |tbs| {
        drop_kind(tbs, oid::EXTENDED_KEY_USAGE);
        tbs.extensions
            .push(ext::extended_key_usage(&oid::TIME_STAMPING, false));
    });
    broken("subject key identifier", |tbs| {
        tbs.key = LocalSigner::generate(KeyAlgorithm::EcdsaP256)
            .unwrap()
            .0
            .public_key()
            .clone();
    });
    broken("not an authority", |tbs| {
        tbs.extensions.push(ext::certificate_authority(None))
    });
    broken("exactly one", |tbs| {
        drop_kind(tbs, oid::SUBJECT_ALT_NAME);
        tbs.extensions
            .push(cert_extension(oid::SUBJECT_ALT_NAME, true, &[0x30, 0]));
    });
    broken("exactly one", |tbs| {
        drop_kind(tbs, oid::SUBJECT_ALT_NAME);
        let two = [0x30, 6, 0x81, 1, b'a', 0x81, 1, b'b'];
        tbs.extensions
            .push(cert_extension(oid::SUBJECT_ALT_NAME, true, &two));
    });
    broken("both its forms", |tbs| {
        drop_kind(tbs, ext::sigstore_oid(1).unwrap())
    });
    broken("both its forms", |tbs| {
        let kind = ext::sigstore_oid(1).unwrap();
        drop_kind(tbs, kind);
        tbs.extensions.push(ext::raw_text(kind, "https://other.example"));
    });
    broken("ascend", |tbs| {
        let kind = ext::sigstore_oid(9).unwrap();
        tbs.extensions.push(ext::utf8_string(kind, "late"));
    });
    broken("not critical", |tbs| {
        tbs.extensions.push(cert_extension(
            ext::sigstore_oid(25).unwrap(),
            true,
            &[0x0c, 1, b'x'],
        ))
    });
    broken("not empty", |tbs| {
        tbs.extensions
            .push(ext::utf8_string(ext::sigstore_oid(25).unwrap(), ""))
    });
    broken("added later", |tbs| tbs.extensions.push(ext::poison()));
}

fn cert_extension(
    kind: der::asn1::ObjectIdentifier,
    critical: bool,
    value: &[u8],
) -> common_pki::cert::Extension {
    common_pki::cert::Extension {
        oid: kind,
        critical,
        value: value.to_vec(),
    }
}
