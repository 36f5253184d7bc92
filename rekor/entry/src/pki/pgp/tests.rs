#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::panic,
    reason = "tests"
)]

use common_pki::key::{KeyAlgorithm, LocalSigner, Signer as _};

use super::key::{P256, P384};
use super::ring::email;
use super::signature::kind;
use super::*;

/// When the keys of these tests were made.
const BORN: u32 = 1_700_000_000;

/// An Ed25519 key that can sign anything of OpenPGP.
struct Owner {
    signer: LocalSigner,
    version: u8,
    body: Vec<u8>,
}

/// What a signature is to say; its hashed subpackets.
struct Claims(Vec<u8>);

impl Claims {
    fn new(created: u32) -> Self {
        Self(Vec::new()).with(2, &created.to_be_bytes())
    }

    fn with(mut self, kind: u8, contents: &[u8]) -> Self {
        packet::push_length(&mut self.0, contents.len() + 1, 16_320);
        self.0.push(kind);
        self.0.extend_from_slice(contents);
        self
    }

    /// The flag of keys that sign.
    fn signing(self) -> Self {
        self.with(27, &[2])
    }
}

impl Owner {
    fn new(version: u8) -> Self {
        let (signer, _) = LocalSigner::generate(KeyAlgorithm::Ed25519).unwrap();
        let mut body = vec![version];
        body.extend(BORN.to_be_bytes());
        body.push(27);
        if version == 6 {
            body.extend(32_u32.to_be_bytes());
        }
        body.extend_from_slice(signer.public_key().subject_public_key());
        Self {
            signer,
            version,
            body,
        }
    }

    fn key(&self) -> key::PublicKey {
        key::PublicKey::parse(&self.body, false).unwrap()
    }

    fn packet(&self, kind: u8) -> Vec<u8> {
        let mut out = Vec::new();
        packet::push(&mut out, kind, &self.body);
        out
    }

    fn sign(&self, kind: u8, claims: Claims, pieces: &[&[u8]]) -> Vec<u8> {
        let mut out = Vec::new();
        packet::push(&mut out, 2, &self.sign_body(kind, claims, pieces));
        out
    }

    fn sign_body(&self, kind: u8, claims: Claims, pieces: &[&[u8]]) -> Vec<u8> {
        let fingerprint = [&[self.version], self.key().fingerprint.as_slice()].concat();
        let claims = claims.with(33, &fingerprint).0;
        let length = u32::try_from(claims.len()).unwrap().to_be_bytes();
        let wide = self.version == 6;
        let mut hashed = vec![self.version, kind, 27, 8];
        hashed.extend_from_slice(if wide { &length } else { &length[2..] });
        hashed.extend_from_slice(&claims);
        let salt = if wide { vec![7; 16] } else { Vec::new() };
        let mut message = salt.clone();
        pieces.iter().for_each(|piece| message.extend_from_slice(piece));
        message.extend_from_slice(&hashed);
        message.extend([self.version, 0xff]);
        message.extend(u32::try_from(hashed.len()).unwrap().to_be_bytes());
        let digest = common_pki::key::sha256(&message);

        let mut body = hashed;
        body.extend_from_slice(if wide { &[0; 4] } else { &[0; 2] });
        body.extend_from_slice(&digest[..2]);
        if wide {
            body.push(16);
            body.extend_from_slice(&salt);
        }
        body.extend(self.signer.sign(&digest).unwrap());
        body
    }

    /// A user ID with a signature by the key, version 4.
    fn name(&self, name: &str, claims: Claims) -> Vec<u8> {
        let mut out = Vec::new();
        packet::push(&mut out, 13, name.as_bytes());
        out.extend(self.sign(0x13, claims, &self.over(name)));
        out
    }

    fn over(&self, name: &str) -> [&'static [u8]; 1] {
        let length = u32::try_from(name.len()).unwrap().to_be_bytes();
        let hashed = [&self.key().hashed(), [0xb4].as_slice(), &length, name.as_bytes()].concat();
        [hashed.leak()]
    }

    /// A key with one name whose signature says this.
    fn ring(&self, claims: Claims) -> Vec<u8> {
        [self.packet(6), self.name("A <a@example.com>", claims)].concat()
    }

    fn over_subkey(&self, subkey: &Self) -> [&'static [u8]; 1] {
        let hashed = [self.key().hashed(), subkey.key().hashed()].concat();
        [hashed.leak()]
    }

    /// A subkey that signs, bound to this key.
    fn subkey(&self, subkey: &Self, claims: Claims) -> Vec<u8> {
        let over = self.over_subkey(subkey);
        let cross = subkey.sign_body(kind::PRIMARY_KEY_BINDING, Claims::new(BORN), &over);
        let binding = self.sign(kind::SUBKEY_BINDING, claims.signing().with(32, &cross), &over);
        [subkey.packet(14), binding].concat()
    }

    /// Signs a message, and verifies it with a ring.
    fn verify(&self, ring: &[u8], claims: Claims) -> Result<(), PgpError> {
        let signature = self.sign(kind::BINARY, claims, &[b"message"]);
        Detached::parse(&signature)?.verify(&Ring::parse(ring)?, b"message")
    }
}

fn refusal(ring: &[u8]) -> String {
    match Ring::parse(ring) {
        Ok(_) => panic!("accepted"),
        Err(cause) => cause.to_string(),
    }
}

#[test]
fn a_ring_comes_back_in_one_form_whatever_form_it_came_in() {
    let owner = Owner::new(4);
    let ring = owner.ring(Claims::new(BORN).signing());
    let canonical = Ring::parse(&ring).unwrap().canonical();
    let again = Ring::parse(canonical.as_bytes()).unwrap();
    assert_eq!(again.canonical(), canonical);
    assert_eq!(again.emails(), ["a@example.com"]);
    assert_eq!(
        Armored::find(canonical.as_bytes()).unwrap().unwrap().contents,
        ring
    );

    // The old format of packets, and a body in parts.
    let mut old = vec![0x98, u8::try_from(owner.body.len()).unwrap()];
    old.extend_from_slice(&owner.body);
    let mut parts = vec![0xc6, 0xe5];
    parts.extend_from_slice(&owner.body[..32]);
    parts.push(u8::try_from(owner.body.len() - 32).unwrap());
    parts.extend_from_slice(&owner.body[32..]);
    let rest = &ring[owner.packet(6).len()..];
    for key in [old, parts] {
        let ring = Ring::parse(&[&key, rest].concat()).unwrap();
        assert_eq!(ring.canonical(), canonical);
    }
    // Two blocks one behind the other are one ring.
    let other = Ring::parse(&Owner::new(4).ring(Claims::new(BORN))).unwrap();
    let both = format!("{canonical}\n\n{}\n", other.canonical());
    let both = Ring::parse(both.as_bytes()).unwrap();
    assert_eq!(both.emails().len(), 2);
    // What programs note for themselves and kinds of packets to come are dropped.
    let noted = [ring.as_slice(), &[0xcc, 1, 0], &[0xe8, 1, 0]].concat();
    assert_eq!(Ring::parse(&noted).unwrap().canonical(), canonical);
}

#[test]
fn only_what_is_bound_to_the_key_is_kept() {
    let (owner, stranger) = (Owner::new(4), Owner::new(4));
    let bare = owner.ring(Claims::new(BORN).signing());
    let canonical = Ring::parse(&bare).unwrap().canonical();
    // A name nobody but a stranger vouches for.
    let mut foreign = Vec::new();
    packet::push(&mut foreign, 13, b"B <b@example.com>");
    foreign.extend(stranger.sign(0x10, Claims::new(BORN), &[b"anything"]));
    let ring = Ring::parse(&[bare.clone(), foreign].concat()).unwrap();
    assert_eq!(ring.canonical(), canonical);
    // But a stranger's word for a name the owner has is carried along, unverified.
    let vouched = [
        bare.clone(),
        stranger.sign(0x10, Claims::new(BORN), &[b"anything"]),
    ]
    .concat();
    assert_ne!(Ring::parse(&vouched).unwrap().canonical(), canonical);
    // Of two bindings of a subkey the newer one stays.
    let subkey = Owner::new(4);
    let older = owner.subkey(&subkey, Claims::new(BORN));
    let newer = owner.subkey(&subkey, Claims::new(BORN + 9));
    let binding = &newer[subkey.packet(14).len()..];
    let both = Ring::parse(&[bare.as_slice(), &older, binding].concat()).unwrap();
    let one = Ring::parse(&[bare, newer].concat()).unwrap();
    assert_eq!(both.canonical(), one.canonical());
}

#[test]
fn keys_that_do_not_hold_together_are_refused_by_name() {
    let (owner, other) = (Owner::new(4), Owner::new(4));
    let good = owner.ring(Claims::new(BORN));
    let mut forged = owner.packet(6);
    packet::push(&mut forged, 13, b"B <b@example.com>");
    forged.extend(owner.sign(0x13, Claims::new(BORN), &owner.over("A <a@example.com>")));
    let no_cross = owner.sign(
        kind::SUBKEY_BINDING,
        Claims::new(BORN).signing(),
        &owner.over_subkey(&other),
    );
    let hashed = owner.key().hashed();
    for (ring, expected) in [
        (Vec::new(), "no PGP public keys could be read"),
        (
            b"not a key".to_vec(),
            "openpgp: invalid data: tag byte does not have MSB set",
        ),
        (
            owner.packet(6),
            "openpgp: invalid data: v4 entity without any identities",
        ),
        (
            owner.packet(14),
            "openpgp: invalid data: v4 entity without any identities",
        ),
        (owner.packet(5), "this is a PGP private key"),
        (
            forged,
            "openpgp: invalid data: user ID self-signature invalid: openpgp: invalid signature: EdDSA",
        ),
        (
            [good.clone(), other.packet(14)].concat(),
            "openpgp: invalid data: subkey packet not followed by signature",
        ),
        (
            [good.clone(), other.packet(14), no_cross].concat(),
            "openpgp: invalid data: subkey signature invalid: openpgp: invalid data: signing subkey is missing",
        ),
        (
            [
                owner.packet(6),
                other.sign(kind::KEY_REVOCATION, Claims::new(BORN), &[&hashed]),
                owner.name("A", Claims::new(BORN)),
            ]
            .concat(),
            "openpgp: invalid data: revocation signature signed by alternate key",
        ),
        (
            b"-----BEGIN PGP PRIVATE KEY BLOCK-----\n\nAAAA\n-----END PGP PRIVATE KEY BLOCK-----".to_vec(),
            "this is a PGP private key",
        ),
        (
            b"-----BEGIN PGP MESSAGE-----\n\nAAAA\n-----END PGP MESSAGE-----".to_vec(),
            "invalid PGP type detected",
        ),
        (
            b"-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nAAAA\n".to_vec(),
            "no PGP public keys",
        ),
        (good[..good.len() - 1].to_vec(), "unexpected EOF"),
        (
            vec![0; 600_000],
            "PGP public key of 600000 octets, at most 524288 are allowed",
        ),
    ] {
        let message = refusal(&ring);
        assert!(message.starts_with(expected), "{message}\n expected {expected}");
    }
    // A point that is not on the curve, or on another one.
    let (p384, _) = LocalSigner::generate(KeyAlgorithm::EcdsaP384).unwrap();
    let point = p384.public_key().subject_public_key();
    for (oid, point) in [(P256, point), (P384, &[point, &[0]].concat()[1..])] {
        let mut body = owner.body[..5].to_vec();
        body.extend([19, u8::try_from(oid.len()).unwrap()]);
        body.extend_from_slice(oid);
        body.extend(u16::try_from(point.len() * 8).unwrap().to_be_bytes());
        body.extend_from_slice(point);
        let mut ring = Vec::new();
        packet::push(&mut ring, 6, &body);
        assert_eq!(refusal(&ring), "openpgp: invalid data: failed to parse EC point");
    }
    // One bad key does not spoil the ring.
    assert!(Ring::parse(&[owner.packet(6), good].concat()).is_ok());
}

#[test]
fn what_a_key_may_and_when_is_asked_as_of_the_signature() {
    let owner = Owner::new(4);
    let good = owner.ring(Claims::new(BORN).signing());
    assert_eq!(owner.verify(&good, Claims::new(BORN + 5)), Ok(()));
    // Another message, another key, a key that may not sign.
    let ring = Ring::parse(&good).unwrap();
    let signature = owner.sign(kind::BINARY, Claims::new(BORN), &[b"message"]);
    let detached = Detached::parse(&signature).unwrap();
    assert!(matches!(
        detached.verify(&ring, b"messagf"),
        Err(PgpError::Signature(_))
    ));
    let stranger = Owner::new(4).verify(&good, Claims::new(BORN));
    assert_eq!(stranger, Err(PgpError::UnknownIssuer));
    let unfit = owner.verify(&owner.ring(Claims::new(BORN)), Claims::new(BORN));
    assert_eq!(unfit, Err(PgpError::UnknownIssuer));
    // Keys expire, but not for what they signed before.
    let mortal = owner.ring(Claims::new(BORN).signing().with(9, &100_u32.to_be_bytes()));
    assert_eq!(owner.verify(&mortal, Claims::new(BORN + 100)), Ok(()));
    let late = owner.verify(&mortal, Claims::new(BORN + 101));
    assert_eq!(late, Err(PgpError::KeyExpired));
    let early = owner.verify(&good, Claims::new(BORN - 1));
    assert_eq!(early, Err(PgpError::KeyExpired));
    // A name's signature that expires.
    let fading = owner.ring(Claims::new(BORN).signing().with(3, &10_u32.to_be_bytes()));
    let late = owner.verify(&fading, Claims::new(BORN + 11));
    assert_eq!(late, Err(PgpError::SignatureExpired));
    // A critical notation nobody knows.
    let notation = [&[0; 4], [0, 1, 0, 1].as_slice(), b"nv"].concat();
    let strange = owner.verify(&good, Claims::new(BORN).with(20 | 0x80, &notation));
    assert_eq!(
        strange.unwrap_err().to_string(),
        "openpgp: invalid signature: unknown critical notation: n"
    );
    let plain = owner.verify(&good, Claims::new(BORN).with(20, &notation));
    assert_eq!(plain, Ok(()));
}

/// A ring of half a MiB has room for thousands of small keys, and a message is up to fifty times as long.
#[test]
fn a_key_is_tried_once_however_often_the_ring_holds_it() {
    let (owner, subkey) = (Owner::new(4), Owner::new(4));
    let one = [
        owner.ring(Claims::new(BORN).signing()),
        owner.subkey(&subkey, Claims::new(BORN)),
    ]
    .concat();
    let many = one.repeat(250);
    let ring = Ring::parse(&many).unwrap();
    for signer in [&owner, &subkey] {
        let key = signer.key();
        let tried: Vec<_> = ring
            .signers(key.id)
            .map(|candidate| candidate.key.fingerprint.clone())
            .collect();
        assert_eq!(tried, [key.fingerprint]);
        assert_eq!(signer.verify(&many, Claims::new(BORN)), Ok(()));
    }
    // The first one decides, whatever is said of it behind that.
    let mortal = owner.ring(Claims::new(BORN).signing().with(9, &100_u32.to_be_bytes()));
    let both = [mortal.as_slice(), &one].concat();
    let late = owner.verify(&both, Claims::new(BORN + 101));
    assert_eq!(late, Err(PgpError::KeyExpired));
    let both = [one, mortal].concat();
    assert_eq!(owner.verify(&both, Claims::new(BORN + 101)), Ok(()));
}

#[test]
fn revocations_count_from_their_date_and_compromise_from_ever() {
    let owner = Owner::new(4);
    let hashed = owner.key().hashed();
    let name = owner.name("A", Claims::new(BORN).signing());
    for (reason, at, expected) in [
        (3, BORN + 5, Ok(())),
        (3, BORN + 15, Err(PgpError::Revoked)),
        (2, BORN + 5, Err(PgpError::Revoked)),
    ] {
        let claims = Claims::new(BORN + 10).with(29, &[reason]);
        let revocation = owner.sign(kind::KEY_REVOCATION, claims, &[&hashed]);
        let ring = [owner.packet(6), revocation, name.clone()].concat();
        assert_eq!(owner.verify(&ring, Claims::new(at)), expected, "{reason} {at}");
    }
    // A revoked name.
    let claims = Claims::new(BORN + 10);
    let revocation = owner.sign(kind::CERTIFICATION_REVOCATION, claims, &owner.over("A"));
    let ring = [owner.packet(6), name, revocation].concat();
    let late = owner.verify(&ring, Claims::new(BORN + 15));
    assert_eq!(late, Err(PgpError::Revoked));
}

#[test]
fn subkeys_sign_as_long_as_they_are_bound() {
    let (owner, subkey) = (Owner::new(4), Owner::new(4));
    let primary = owner.ring(Claims::new(BORN));
    let ring = |claims| [primary.clone(), owner.subkey(&subkey, claims)].concat();
    assert_eq!(subkey.verify(&ring(Claims::new(BORN)), Claims::new(BORN)), Ok(()));
    let mortal = ring(Claims::new(BORN).with(9, &100_u32.to_be_bytes()));
    let late = subkey.verify(&mortal, Claims::new(BORN + 101));
    assert_eq!(late, Err(PgpError::KeyExpired));
    let over = owner.over_subkey(&subkey);
    let revocation = owner.sign(kind::SUBKEY_REVOCATION, Claims::new(BORN + 10), &over);
    let revoked = [ring(Claims::new(BORN)), revocation].concat();
    assert_eq!(subkey.verify(&revoked, Claims::new(BORN + 5)), Ok(()));
    let late = subkey.verify(&revoked, Claims::new(BORN + 15));
    assert_eq!(late, Err(PgpError::Revoked));
}

#[test]
fn keys_of_version_6_vouch_for_themselves() {
    let owner = Owner::new(6);
    let hashed = owner.key().hashed();
    let direct = owner.sign(kind::DIRECT_KEY, Claims::new(BORN).signing(), &[&hashed]);
    let ring = [owner.packet(6), direct].concat();
    assert_eq!(owner.verify(&ring, Claims::new(BORN)), Ok(()));
    let canonical = Ring::parse(&ring).unwrap().canonical();
    assert_eq!(
        Armored::find(canonical.as_bytes()).unwrap().unwrap().contents,
        ring
    );
    assert_eq!(
        refusal(&owner.packet(6)),
        "openpgp: invalid data: no valid direct-key self-signature for v6 primary key found"
    );
    let forged = owner.sign(kind::DIRECT_KEY, Claims::new(BORN), &[b"another key"]);
    assert!(refusal(&[owner.packet(6), forged].concat()).contains("invalid direct-key self-signature"));
}

/// GHSA-843x-px86-vq42: upstream fell over keys and names that were not there.
#[test]
fn no_change_to_a_ring_or_a_signature_panics_or_is_read_two_ways() {
    let (owner, subkey) = (Owner::new(4), Owner::new(4));
    let ring = [
        owner.ring(Claims::new(BORN).signing()),
        owner.subkey(&subkey, Claims::new(BORN)),
    ]
    .concat();
    let signature = owner.sign(kind::BINARY, Claims::new(BORN), &[b"message"]);
    let good = Ring::parse(&ring).unwrap();
    for at in 0..ring.len() {
        let _ = Ring::parse(&ring[..at]);
        for bit in 0..8 {
            let mut changed = ring.clone();
            changed[at] ^= 1 << bit;
            if let Ok(read) = Ring::parse(&changed) {
                let canonical = read.canonical();
                let again = Ring::parse(canonical.as_bytes()).unwrap();
                assert_eq!(again.canonical(), canonical, "octet {at}, bit {bit}");
            }
        }
    }
    for at in 0..signature.len() {
        let _ = Detached::parse(&signature[..at]);
        for bit in 0..8 {
            let mut changed = signature.clone();
            changed[at] ^= 1 << bit;
            let verified = Detached::parse(&changed).and_then(|read| read.verify(&good, b"message"));
            // The two octets of the digest are a hint that version 4 does not check.
            let hint = signature.len() - 66..signature.len() - 64;
            assert!(verified.is_err() || hint.contains(&at), "octet {at}, bit {bit}");
        }
    }
}

#[test]
fn signatures_inside_signatures_end_somewhere() {
    let owner = Owner::new(4);
    let mut body = owner.sign_body(kind::PRIMARY_KEY_BINDING, Claims::new(BORN), &[]);
    for _ in 0..100 {
        body = owner.sign_body(kind::PRIMARY_KEY_BINDING, Claims::new(BORN).with(32, &body), &[]);
    }
    let mut signature = Vec::new();
    packet::push(&mut signature, 2, &body);
    let Err(cause) = Detached::parse(&signature) else {
        panic!("accepted");
    };
    assert_eq!(
        cause.to_string(),
        "openpgp: invalid data: signatures embedded too deep"
    );
}

#[test]
fn a_ring_with_more_signatures_than_are_verified_is_refused() {
    let owner = Owner::new(4);
    let mut ring = owner.packet(6);
    let name = owner.name("A", Claims::new(BORN));
    for _ in 0..1_001 {
        ring.extend_from_slice(&name);
    }
    assert_eq!(
        refusal(&ring),
        "PGP public key with more than 1000 signatures by itself"
    );
}

#[test]
fn addresses_are_found_where_upstream_finds_them() {
    for (name, expected) in [
        ("A B <a@example.com>", Some("a@example.com")),
        ("A (work) < a@example.com >", Some("a@example.com")),
        ("A (<x@example.com>) <a@example.com>", Some("a@example.com")),
        ("a@example.com", Some("a@example.com")),
        ("a@example.com (work)", Some("a@example.com")),
        ("A <a@example.com", Some("a@example.com")),
        ("A (a@example.com", None),
        ("A B", None),
        ("", None),
        ("<>", None),
    ] {
        assert_eq!(email(name).as_deref(), expected, "{name}");
    }
}

#[test]
fn a_signed_text_is_the_same_whatever_ends_its_lines() {
    let owner = Owner::new(4);
    let ring = owner.ring(Claims::new(BORN).signing());
    let signed = b"one  two\r\n- three\r\n\r\n- -four";
    let signature = owner.sign(kind::TEXT, Claims::new(BORN), &[signed]);
    let armored = armor::encode(SIGNATURE_LABEL, &signature);
    let message = format!(
        "text before\n-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA256, SHA512\n\none  two \t\n- - three\n\n- - -four\n{armored}\n"
    );
    let ring = Ring::parse(&ring).unwrap();
    for text in [message.clone(), message.replace('\n', "\r\n")] {
        let found = Cleartext::find(text.as_bytes()).unwrap().unwrap();
        assert_eq!(found.signed, signed);
        assert_eq!(found.text, b"one  two\n- three\n\n- -four");
        assert_eq!(found.signature.verify(&ring, &found.signed), Ok(()));
        assert_eq!(found.signature.canonical(), armored.as_bytes());
    }
    for broken in [
        message.replace("Hash: SHA256", "Hash: SHA257"),
        message.replace("Hash: SHA256, SHA512\n", "Comment: unsigned\n"),
        message.replace("SHA256", "SHA256\u{1}"),
        message.replace("MESSAGE-----", "MESSAGE-----x"),
        message.replace("-----END PGP SIGNATURE-----", ""),
        message.replace("-----BEGIN PGP SIGNATURE-----", ""),
        message.replace("BEGIN PGP SIGNED", "BEGIN SIGNED"),
        "-----BEGIN PGP SIGNED MESSAGE-----".to_owned(),
        String::new(),
    ] {
        assert!(Cleartext::find(broken.as_bytes()).unwrap().is_none(), "{broken}");
    }
}

#[test]
fn armored_signatures_are_logged_as_they_come_and_binary_ones_armored() {
    let owner = Owner::new(4);
    let signature = owner.sign(kind::BINARY, Claims::new(BORN), &[b"message"]);
    let armored = armor::encode(SIGNATURE_LABEL, &signature);
    assert_eq!(
        Detached::parse(&signature).unwrap().canonical(),
        armored.as_bytes()
    );
    // A comment in Latin-1.
    let decorated = format!(
        "text\n{}\n",
        armored.replace("\n\n", "\nComment: M\u{fc}ller\n\n")
    );
    let decorated: Vec<u8> = decorated
        .chars()
        .map(|character| u8::try_from(character).unwrap())
        .collect();
    assert_eq!(Detached::parse(&decorated).unwrap().canonical(), decorated);
    for (given, expected) in [
        (owner.packet(6), "valid PGP signature was not detected"),
        (
            armor::encode("PGP MESSAGE", &signature).into_bytes(),
            "valid PGP signature",
        ),
        (Vec::new(), "unexpected EOF"),
        (
            vec![0x80; 70_000],
            "PGP signature of 70000 octets, at most 65536 are allowed",
        ),
    ] {
        match Detached::parse(&given) {
            Ok(_) => panic!("accepted"),
            Err(cause) => assert!(cause.to_string().starts_with(expected), "{cause}"),
        }
    }
}
