//! Rings: keys with the names and subkeys that are bound to them (`go-crypto openpgp/keys.go`).
//!
//! Reading decides what a leaf holds, so it keeps and drops what upstream does: a name without a valid signature by its key
//! is dropped, and so is all but the newest binding of a subkey; a key with anything invalid is dropped whole.

use std::collections::BTreeSet;

use super::armor::Armored;
use super::key::PublicKey;
use super::packet::{self, Packet, Packets};
use super::signature::{Signature, kind};
use super::{PgpError, armor};

/// Longest ring, in octets: with one more layer of base64 it fills most of a leaf.
const MAX_RING: usize = 512 * 1024;
/// Most signatures verified while a ring is read; those of others about its keys are not.
const MAX_VERIFIED: usize = 1_000;

const LABEL: &str = "PGP PUBLIC KEY BLOCK";
const PRIVATE_LABEL: &str = "PGP PRIVATE KEY BLOCK";
const BEGIN: &[u8] = b"-----BEGIN PGP";
const END: &[u8] = b"-----END PGP";

/// One or more keys, each with at least one name or, in version 6, a signature over itself.
pub(crate) struct Ring {
    keys: Vec<Key>,
}

struct Key {
    primary: PublicKey,
    revocations: Vec<Signature>,
    /// Version 6 only.
    direct: Vec<Signature>,
    names: Vec<Name>,
    subkeys: Vec<Subkey>,
}

struct Name {
    id: Vec<u8>,
    self_signature: Option<usize>,
    revocations: Vec<usize>,
    /// By the key itself and by others, as they came.
    signatures: Vec<Signature>,
}

struct Subkey {
    key: PublicKey,
    binding: Signature,
    revocations: Vec<Signature>,
}

/// A key that may have signed something, with what says so.
pub(super) struct Candidate<'a> {
    of: &'a Key,
    pub(super) key: &'a PublicKey,
    self_signature: &'a Signature,
    /// Of the subkey, if it is one.
    revocations: Option<&'a [Signature]>,
}

impl Ring {
    /// Blocks of armor one behind the other, or packets (`rekor pkg/pki/pgp/pgp.go NewPublicKey`).
    pub(crate) fn parse(given: &[u8]) -> Result<Self, PgpError> {
        if given.len() > MAX_RING {
            return Err(PgpError::TooLong {
                what: "public key",
                limit: MAX_RING,
                got: given.len(),
            });
        }
        let mut reader = Reader::default();
        if given.starts_with(BEGIN) {
            let mut rest = given;
            while let Some((block, behind)) = split_block(rest) {
                rest = behind;
                let block = Armored::find(block)?.ok_or(PgpError::structural("armor invalid"))?;
                match block.label.as_str() {
                    LABEL => reader.read(&block.contents)?,
                    PRIVATE_LABEL => return Err(PgpError::PrivateKey),
                    _ => return Err(PgpError::NotAPublicKey),
                }
            }
        } else {
            reader.read(given)?;
        }
        if reader.keys.is_empty() {
            return Err(PgpError::NoKey);
        }
        Ok(Self { keys: reader.keys })
    }

    /// The ring written anew, armored.
    pub(crate) fn canonical(&self) -> String {
        let mut out = Vec::new();
        for key in &self.keys {
            key.write(&mut out);
        }
        armor::encode(LABEL, &out)
    }

    /// Addresses in the names.
    pub(crate) fn emails(&self) -> Vec<String> {
        let names = self.keys.iter().flat_map(|key| &key.names);
        names
            .filter_map(|name| email(&String::from_utf8_lossy(&name.id)))
            .filter(|email| crate::index::is_email(email))
            .collect()
    }

    /// Whether there is a key of this ID whose flags let it sign.
    pub(super) fn may_sign(&self, id: [u8; 8]) -> bool {
        self.signers(id).next().is_some()
    }

    /// Each key once, however often the ring holds it: the first that may sign decides, as upstream has it.
    pub(super) fn signers(&self, id: [u8; 8]) -> impl Iterator<Item = Candidate<'_>> {
        let mut seen = BTreeSet::new();
        self.keys
            .iter()
            .flat_map(Key::candidates)
            .filter(move |candidate| candidate.key.id == id && candidate.self_signature.lets_sign())
            .filter(move |candidate| seen.insert(candidate.key.fingerprint.as_slice()))
    }

    /// The key that a signature names, whatever it may be used for.
    pub(super) fn find(&self, signature: &Signature) -> Option<&PublicKey> {
        self.keys
            .iter()
            .flat_map(|key| std::iter::once(&key.primary).chain(key.subkeys.iter().map(|subkey| &subkey.key)))
            .find(|key| signature.is_by(&key.fingerprint, key.id))
    }

    /// Verifies a signature over a message as of a time, by a key that could sign then
    /// (`go-crypto openpgp/read.go verifyDetachedSignature`).
    pub(super) fn verify_message(
        &self,
        signature: &Signature,
        message: &[u8],
        at: u32,
    ) -> Result<(), PgpError> {
        let text;
        let message = match signature.kind {
            kind::BINARY => message,
            kind::TEXT => {
                text = with_crlf(message);
                &text
            }
            other => {
                return Err(PgpError::Unsupported(format!(
                    "unsupported signature type: {other}"
                )));
            }
        };
        // Once, since no key has a part in it: a message may be long, and so may the ring.
        let digest = signature.digest(&[message])?;
        let mut outcome = Err(PgpError::UnknownIssuer);
        for candidate in self.signers(signature.issuer_id.unwrap_or_default()) {
            outcome = candidate.key.verify_digest(signature, &digest);
            if outcome.is_ok() {
                return candidate.check(signature, at);
            }
        }
        outcome
    }
}

impl Candidate<'_> {
    /// Whether key and signature were good at a time (`checkMessageSignatureDetails`).
    fn check(&self, signature: &Signature, at: u32) -> Result<(), PgpError> {
        let (primary_signature, name) = self.of.primary_signature().ok_or(PgpError::UnknownIssuer)?;
        let mut signatures = vec![signature, primary_signature];
        if self.revocations.is_some() {
            signatures.push(self.self_signature);
            signatures.extend(self.self_signature.embedded.as_deref());
        }
        for signature in &signatures {
            signature.check_notations()?;
        }
        let revoked = |revocations: &[Signature]| revocations.iter().any(|revocation| revocation.revokes(at));
        let name_revoked = name.is_some_and(|name| {
            let mut revocations = name
                .revocations
                .iter()
                .filter_map(|index| name.signatures.get(*index));
            revocations.any(|revocation| revocation.revokes(at))
        });
        if revoked(&self.of.revocations) || self.revocations.is_some_and(revoked) || name_revoked {
            return Err(PgpError::Revoked);
        }
        let expired = self.of.primary.is_expired(primary_signature, at)
            || (self.revocations.is_some() && self.key.is_expired(self.self_signature, at));
        if expired {
            return Err(PgpError::KeyExpired);
        }
        match signatures.iter().any(|signature| signature.is_expired(at)) {
            true => Err(PgpError::SignatureExpired),
            false => Ok(()),
        }
    }
}

impl Key {
    fn write(&self, out: &mut Vec<u8>) {
        self.primary.write(out);
        for signature in self.revocations.iter().chain(&self.direct) {
            signature.write(out);
        }
        for name in &self.names {
            packet::push(out, 13, &name.id);
            name.signatures.iter().for_each(|signature| signature.write(out));
        }
        for subkey in &self.subkeys {
            subkey.key.write(out);
            subkey
                .revocations
                .iter()
                .for_each(|signature| signature.write(out));
            subkey.binding.write(out);
        }
    }

    /// The signature with the key's properties, and the name it is over: of version 4, that of the preferred name; of
    /// version 6, the newest over the key itself.
    fn primary_signature(&self) -> Option<(&Signature, Option<&Name>)> {
        if self.primary.version == 6 {
            let newest = newest(self.direct.iter().filter(|signature| self.signed(signature)))?;
            return Some((newest, None));
        }
        let mut names = self.names.iter();
        let first = names.next()?;
        let name = names.fold(
            first,
            |kept, next| if next.is_preferred_to(kept) { next } else { kept },
        );
        Some((name.self_signature()?, Some(name)))
    }

    fn signed(&self, signature: &Signature) -> bool {
        signature.is_by(&self.primary.fingerprint, self.primary.id)
    }

    fn candidates(&self) -> impl Iterator<Item = Candidate<'_>> {
        let primary = self.primary_signature().map(|(self_signature, _)| Candidate {
            of: self,
            key: &self.primary,
            self_signature,
            revocations: None,
        });
        let subkeys = self.subkeys.iter().map(|subkey| Candidate {
            of: self,
            key: &subkey.key,
            self_signature: &subkey.binding,
            revocations: Some(&subkey.revocations),
        });
        primary.into_iter().chain(subkeys)
    }
}

impl Name {
    fn self_signature(&self) -> Option<&Signature> {
        self.signatures.get(self.self_signature?)
    }

    /// `shouldPreferIdentity`: fewer revocations, the mark of the primary name, the newer signature. Of names that are
    /// alike in all of it the first stays, where upstream takes any.
    fn is_preferred_to(&self, kept: &Self) -> bool {
        match kept.revocations.len().cmp(&self.revocations.len()) {
            std::cmp::Ordering::Greater => return true,
            std::cmp::Ordering::Less => return false,
            std::cmp::Ordering::Equal => {}
        }
        let (Some(ours), Some(theirs)) = (self.self_signature(), kept.self_signature()) else {
            return kept.self_signature.is_none();
        };
        match (theirs.is_primary, ours.is_primary) {
            (true, false) => false,
            (false, true) => true,
            _ => ours.created > theirs.created,
        }
    }
}

/// The first of the newest signatures.
fn newest<'a>(signatures: impl Iterator<Item = &'a Signature>) -> Option<&'a Signature> {
    signatures.reduce(|kept, next| if next.created > kept.created { next } else { kept })
}

/// Reads keys, and counts what it verifies.
#[derive(Default)]
struct Reader {
    keys: Vec<Key>,
    verified: usize,
}

impl Reader {
    /// A key that is malformed or invalid is skipped as long as another one is read (`ReadKeyRing`).
    fn read(&mut self, octets: &[u8]) -> Result<(), PgpError> {
        let mut packets = Packets::new(octets);
        let (mut skipped, before) = (None, self.keys.len());
        while let Some(first) = packets.next()? {
            match self.key(first, &mut packets) {
                Ok(key) => self.keys.push(key),
                Err(cause @ (PgpError::Structural(_) | PgpError::Unsupported(_))) => {
                    skipped = Some(cause);
                    skip_to_key(&mut packets)?;
                }
                Err(other) => return Err(other),
            }
        }
        match skipped {
            Some(cause) if self.keys.len() == before => Err(cause),
            _ => Ok(()),
        }
    }

    /// `ReadEntity`
    fn key(&mut self, first: Packet, packets: &mut Packets<'_>) -> Result<Key, PgpError> {
        let primary = match first {
            Packet::PublicKey(key) => *key,
            other => {
                packets.unread(other);
                return Err(PgpError::structural("first packet was not a public/private key"));
            }
        };
        if !primary.can_sign() {
            return Err(PgpError::structural("primary key cannot be used for signatures"));
        }
        let mut key = Key {
            primary,
            revocations: Vec::new(),
            direct: Vec::new(),
            names: Vec::new(),
            subkeys: Vec::new(),
        };
        while let Some(packet) = packets.next()? {
            match packet {
                Packet::UserId(id) => self.name(&mut key, id, packets)?,
                Packet::PublicKey(subkey) if subkey.is_subkey => self.subkey(&mut key, *subkey, packets)?,
                next @ Packet::PublicKey(_) => {
                    packets.unread(next);
                    break;
                }
                Packet::Signature(signature) => match signature.kind {
                    kind::KEY_REVOCATION => key.revocations.push(*signature),
                    kind::DIRECT_KEY => key.direct.push(*signature),
                    // Behind nothing it could be about.
                    _ => {}
                },
                Packet::Other => {}
            }
        }
        self.finish(key)
    }

    fn finish(&mut self, mut key: Key) -> Result<Key, PgpError> {
        if key.primary.version == 6 {
            let (main, _) = key.primary_signature().ok_or(PgpError::structural(
                "no valid direct-key self-signature for v6 primary key found",
            ))?;
            self.verify(&key.primary, main, &[&key.primary.hashed()])
                .map_err(|_| PgpError::structural("invalid direct-key self-signature for v6 primary key"))?;
        } else {
            // Nothing is done with them in version 4.
            key.direct.clear();
            if key.names.is_empty() {
                return Err(PgpError::structural("v4 entity without any identities"));
            }
        }
        for revocation in &key.revocations {
            self.verify(&key.primary, revocation, &[&key.primary.hashed()])
                .map_err(|cause| match cause {
                    limit @ PgpError::TooManySignatures(_) => limit,
                    _ => PgpError::structural("revocation signature signed by alternate key"),
                })?;
        }
        Ok(key)
    }

    /// A name with the signatures over it (`addUserID`).
    fn name(&mut self, key: &mut Key, id: Vec<u8>, packets: &mut Packets<'_>) -> Result<(), PgpError> {
        let mut name = Name {
            id,
            self_signature: None,
            revocations: Vec::new(),
            signatures: Vec::new(),
        };
        let hashed_key = key.primary.hashed();
        let length = u32::try_from(name.id.len()).unwrap_or(u32::MAX);
        // RFC 9580 §5.2.4
        let prefix = [&[0xb4], length.to_be_bytes().as_slice()].concat();
        let mut bound = false;
        while let Some(packet) = packets.next()? {
            let signature = match packet {
                Packet::Signature(signature) => *signature,
                other => {
                    packets.unread(other);
                    break;
                }
            };
            let is_revocation = signature.kind == kind::CERTIFICATION_REVOCATION;
            if !is_revocation && !kind::CERTIFICATIONS.contains(&signature.kind) {
                return Err(PgpError::structural("user ID signature with wrong type"));
            }
            if key.signed(&signature) {
                self.verify(&key.primary, &signature, &[&hashed_key, &prefix, &name.id])
                    .map_err(|cause| invalid("user ID self-signature invalid", cause))?;
                bound = true;
                let index = name.signatures.len();
                if is_revocation {
                    name.revocations.push(index);
                } else if name
                    .self_signature()
                    .is_none_or(|kept| signature.created > kept.created)
                {
                    name.self_signature = Some(index);
                }
            }
            name.signatures.push(signature);
        }
        match key.names.iter_mut().find(|other| other.id == name.id) {
            _ if !bound => {}
            Some(other) => *other = name,
            None => key.names.push(name),
        }
        Ok(())
    }

    /// A subkey with the signatures that bind it (`addSubkey`).
    fn subkey(
        &mut self,
        key: &mut Key,
        subkey: PublicKey,
        packets: &mut Packets<'_>,
    ) -> Result<(), PgpError> {
        let (hashed_key, hashed_subkey) = (key.primary.hashed(), subkey.hashed());
        let pieces: [&[u8]; 2] = [&hashed_key, &hashed_subkey];
        let (mut binding, mut revocations) = (None::<Signature>, Vec::new());
        loop {
            let signature = match packets.next() {
                Ok(Some(Packet::Signature(signature))) => *signature,
                Ok(None) => break,
                Ok(Some(other)) => {
                    packets.unread(other);
                    break;
                }
                Err(cause) => return Err(invalid("subkey signature invalid", cause)),
            };
            if !matches!(signature.kind, kind::SUBKEY_BINDING | kind::SUBKEY_REVOCATION) {
                return Err(PgpError::structural("subkey signature with wrong type"));
            }
            self.verify(&key.primary, &signature, &pieces)
                .and_then(|()| self.cross_signature(&subkey, &signature, &pieces))
                .map_err(|cause| invalid("subkey signature invalid", cause))?;
            if signature.kind == kind::SUBKEY_REVOCATION {
                revocations.push(signature);
            } else if binding
                .as_ref()
                .is_none_or(|kept| signature.created > kept.created)
            {
                binding = Some(signature);
            }
        }
        let binding = binding.ok_or(PgpError::structural("subkey packet not followed by signature"))?;
        key.subkeys.push(Subkey {
            key: subkey,
            binding,
            revocations,
        });
        Ok(())
    }

    /// A subkey that signs has to say that it belongs to the key, or anyone could claim it (RFC 9580 §5.2.1.9).
    fn cross_signature(
        &mut self,
        subkey: &PublicKey,
        binding: &Signature,
        pieces: &[&[u8]],
    ) -> Result<(), PgpError> {
        if !binding.lets_sign() {
            return Ok(());
        }
        let embedded = binding
            .embedded
            .as_deref()
            .ok_or(PgpError::structural("signing subkey is missing cross-signature"))?;
        self.verify(subkey, embedded, pieces)
            .map_err(|cause| invalid("error while verifying cross-signature", cause))
    }

    fn verify(&mut self, key: &PublicKey, signature: &Signature, pieces: &[&[u8]]) -> Result<(), PgpError> {
        self.verified = self.verified.saturating_add(1);
        if self.verified > MAX_VERIFIED {
            return Err(PgpError::TooManySignatures(MAX_VERIFIED));
        }
        key.verify(signature, pieces)
    }
}

/// Puts what was looked at before the cause; limits stay what they are.
fn invalid(what: &str, cause: PgpError) -> PgpError {
    match cause {
        limit @ (PgpError::TooManySignatures(_) | PgpError::PrivateKey) => limit,
        cause => PgpError::Structural(format!("{what}: {cause}").into()),
    }
}

/// `readToNextPublicKey`
fn skip_to_key(packets: &mut Packets<'_>) -> Result<(), PgpError> {
    while let Some(packet) = packets.next()? {
        if matches!(&packet, Packet::PublicKey(key) if !key.is_subkey) {
            packets.unread(packet);
            break;
        }
    }
    Ok(())
}

/// The first armored block with its last line, and what follows it.
fn split_block(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut length = 0_usize;
    for line in text.split_inclusive(|byte| *byte == b'\n') {
        length = length.saturating_add(line.len());
        if line.starts_with(END) {
            return text.split_at_checked(length);
        }
    }
    None
}

/// A text whose lines end as the signature's hash wants them (`go-crypto openpgp/canonical_text.go`): a line feed gets its
/// carriage return, unless it, or what the return before it was, has one.
fn with_crlf(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut behind_return = false;
    for byte in text {
        if *byte == b'\n' && !behind_return {
            out.push(b'\r');
        }
        out.push(*byte);
        behind_return = !behind_return && *byte == b'\r';
    }
    out
}

/// The address of a name `Full Name (Comment) <address>`, or of one that is nothing but an address
/// (`go-crypto openpgp/packet/userid.go parseUserId`).
pub(super) fn email(name: &str) -> Option<String> {
    let (before, rest) = match name.split_once(['(', '<']) {
        Some((before, rest)) if name.get(before.len()..)?.starts_with('(') => (
            before,
            rest.split_once(')')
                .and_then(|(_, rest)| rest.split_once('<'))
                .map(|(_, rest)| rest),
        ),
        Some((before, rest)) => (before, Some(rest)),
        None => (name, None),
    };
    let address = rest.map(|rest| rest.split_once('>').map_or(rest, |(address, _)| address));
    let found = address
        .map(str::trim)
        .filter(|address| !address.is_empty())
        .or_else(|| Some(before.trim()).filter(|name| name.contains('@')))?;
    Some(found.to_owned())
}
