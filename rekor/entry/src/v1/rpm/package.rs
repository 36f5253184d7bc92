//! Taking an RPM apart, and verifying it (`go-rpmutils {header,verify,verify_digests}.go`; rpm `docs/manual/format.md`).
//!
//! Lead, signature header, header, payload. Nothing is decompressed: the header has the payload's digest as it is stored, and
//! the signatures are over the header, those of old packages over header and payload.

use std::collections::BTreeMap;

use common_pki::key::{HashAlgorithm, sha1};
use md5::{Digest as _, Md5};

use crate::error::Invalid;
use crate::pki::pgp;

const LEAD: usize = 96;
const LEAD_MAGIC: [u8; 4] = [0xed, 0xab, 0xee, 0xdb];
const HEADER_MAGIC: [u8; 4] = [0x8e, 0xad, 0xe8, 0x01];
/// Most tags of a header (rpm `lib/header.c HEADER_TAGS_MAX`).
const MAX_TAGS: u32 = 65_535;
/// Most signatures a package may have: four tags are looked at.
const HEADER_SIGNATURES: [u32; 2] = [tag::RSA, tag::DSA];
const PACKAGE_SIGNATURES: [u32; 2] = [tag::PGP, tag::GPG];

/// Tags that are looked at (rpm `docs/manual/tags.md`).
mod tag {
    pub(super) const DSA: u32 = 267;
    pub(super) const RSA: u32 = 268;
    pub(super) const SHA1: u32 = 269;
    pub(super) const SHA256: u32 = 273;
    pub(super) const PGP: u32 = 1002;
    pub(super) const MD5: u32 = 1004;
    pub(super) const GPG: u32 = 1005;
    pub(super) const NAME: u32 = 1000;
    pub(super) const VERSION: u32 = 1001;
    pub(super) const RELEASE: u32 = 1002;
    pub(super) const EPOCH: u32 = 1003;
    pub(super) const ARCH: u32 = 1022;
    pub(super) const PAYLOAD_DIGEST: u32 = 5092;
    pub(super) const PAYLOAD_DIGEST_ALGORITHM: u32 = 5093;
}

/// Verifies digests and signatures, and gives what the leaf says of the package.
pub(super) fn verify(rpm: &[u8], ring: &pgp::Ring) -> Result<BTreeMap<String, String>, Invalid> {
    let (lead, rest) = rpm
        .split_at_checked(LEAD)
        .ok_or(Invalid::Package("error reading RPM lead: unexpected EOF"))?;
    if !lead.starts_with(&LEAD_MAGIC) {
        return Err(Invalid::Package("file is not an RPM"));
    }
    let (signatures, rest) = Header::parse(rest, Padding::ToEight)?;
    let (header, payload) = Header::parse(rest, Padding::None)?;
    check_header(&signatures, header.octets)?;
    let over_header = parsed(&signatures, HEADER_SIGNATURES)?;
    let over_package = parsed(&signatures, PACKAGE_SIGNATURES)?;
    check_payload(&signatures, &header, payload)?;
    for signature in &over_header {
        signature.verify(ring, &[header.octets])?;
    }
    for signature in &over_package {
        signature.verify(ring, &[header.octets, payload])?;
    }
    if over_header.is_empty() && over_package.is_empty() {
        return Err(Invalid::Package("no supported PGP signature found in RPM"));
    }
    description(&signatures, &header)
}

fn parsed(header: &Header<'_>, tags: [u32; 2]) -> Result<Vec<pgp::PackageSignature>, Invalid> {
    let octets = tags
        .into_iter()
        .filter_map(|tag| header.octets(tag).transpose())
        .collect::<Result<Vec<_>, _>>()?;
    let signatures = octets.into_iter().map(pgp::PackageSignature::parse);
    signatures.collect::<Result<_, _>>().map_err(Invalid::Pgp)
}

/// The digest of the header that the signature header has, the better one of two.
fn check_header(signatures: &Header<'_>, header: &[u8]) -> Result<(), Invalid> {
    let named = |tag| {
        signatures
            .text(tag)
            .ok()
            .flatten()
            .filter(|text| !text.is_empty())
    };
    if let Some(expected) = named(tag::SHA256) {
        return match hex::encode(HashAlgorithm::Sha256.digest(header)) == expected {
            true => Ok(()),
            false => Err(Invalid::Package("SHA-256 mismatch in signature header")),
        };
    }
    match named(tag::SHA1) {
        Some(expected) if hex::encode(sha1(&[header])) != expected => {
            Err(Invalid::Package("SHA-1 mismatch in signature header"))
        }
        _ => Ok(()),
    }
}

/// The digest of the payload in the header or, in packages of before 2017, MD5 over header and payload.
fn check_payload(signatures: &Header<'_>, header: &Header<'_>, payload: &[u8]) -> Result<(), Invalid> {
    let named = header.text(tag::PAYLOAD_DIGEST).ok().flatten();
    let algorithm = header.number(tag::PAYLOAD_DIGEST_ALGORITHM).ok().flatten();
    if let (Some(expected), Some(algorithm @ (1 | 2 | 8 | 9 | 10 | 11))) = (named, algorithm) {
        let digest = match algorithm {
            2 => sha1(&[payload]).to_vec(),
            8 => HashAlgorithm::Sha256.digest(payload),
            9 => HashAlgorithm::Sha384.digest(payload),
            10 => HashAlgorithm::Sha512.digest(payload),
            // No rpm ever wrote MD5 or SHA-224 here.
            _ => return Err(Invalid::Package("unknown payload digest")),
        };
        return match hex::encode(digest) == expected {
            true => Ok(()),
            false => Err(Invalid::Package("payload digest mismatch")),
        };
    }
    match signatures.octets(tag::MD5).ok().flatten() {
        None | Some([]) => Err(Invalid::Package("no usable payload digest found")),
        Some(expected) => {
            let digest = Md5::new().chain_update(header.octets).chain_update(payload);
            match digest.finalize().as_slice() == expected {
                true => Ok(()),
                false => Err(Invalid::Package("md5 digest mismatch")),
            }
        }
    }
}

/// Neither SHA-1 nor SHA-256 of the header, deliberately: they would be other leaves than upstream's.
fn description(signatures: &Header<'_>, header: &Header<'_>) -> Result<BTreeMap<String, String>, Invalid> {
    let text = |tag, missing| header.text(tag)?.ok_or(Invalid::Package(missing));
    let mut description = BTreeMap::new();
    let mut add = |name: &str, value: String| description.insert(name.to_owned(), value);
    add("Name", text(tag::NAME, "no such entry 1000 found")?.to_owned());
    add(
        "Epoch",
        header.number(tag::EPOCH)?.unwrap_or_default().to_string(),
    );
    add(
        "Version",
        text(tag::VERSION, "no such entry 1001 found")?.to_owned(),
    );
    add(
        "Release",
        text(tag::RELEASE, "no such entry 1002 found")?.to_owned(),
    );
    add(
        "Architecture",
        text(tag::ARCH, "no such entry 1022 found")?.to_owned(),
    );
    if let Some(md5) = signatures
        .octets(tag::MD5)
        .ok()
        .flatten()
        .filter(|md5| !md5.is_empty())
    {
        add("RPMSIGTAG_MD5", hex::encode(md5));
    }
    Ok(description)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Padding {
    None,
    ToEight,
}

/// A header: an index of tags over a store of values.
struct Header<'a> {
    octets: &'a [u8],
    index: &'a [[u8; 16]],
    store: &'a [u8],
}

/// Types of values.
mod kind {
    pub(super) const STRINGS: [u32; 3] = [6, 8, 9];
    pub(super) const BINARY: u32 = 7;
    /// Type and octets of each integer.
    pub(super) const INTEGERS: [(u32, usize); 5] = [(1, 1), (2, 1), (3, 2), (4, 4), (5, 8)];
}

struct Value<'a> {
    kind: u32,
    count: u32,
    /// From where it begins to the end of the store.
    contents: &'a [u8],
}

impl<'a> Header<'a> {
    /// Reads one header, and gives what follows it.
    fn parse(rpm: &'a [u8], padding: Padding) -> Result<(Self, &'a [u8]), Invalid> {
        const SHORT: Invalid = Invalid::Package("error reading RPM header: unexpected EOF");
        let (intro, rest) = rpm.split_first_chunk::<16>().ok_or(SHORT)?;
        let ([magic, _, tags, size], _) = intro.as_chunks::<4>() else {
            return Err(SHORT);
        };
        if *magic != HEADER_MAGIC {
            return Err(Invalid::Package("bad magic for header"));
        }
        let tags = u32::from_be_bytes(*tags);
        if tags > MAX_TAGS {
            return Err(Invalid::Package("an RPM header has at most 65535 tags"));
        }
        let length = |number: u32| usize::try_from(number).unwrap_or(usize::MAX);
        let (index, rest) = rest
            .split_at_checked(length(tags).saturating_mul(16))
            .ok_or(SHORT)?;
        let mut size = length(u32::from_be_bytes(*size));
        if padding == Padding::ToEight {
            size = size.checked_next_multiple_of(8).ok_or(SHORT)?;
        }
        let (store, rest) = rest.split_at_checked(size).ok_or(SHORT)?;
        let octets = rpm
            .get(..rpm.len().saturating_sub(rest.len()))
            .unwrap_or_default();
        let (index, _) = index.as_chunks();
        Ok((Self { octets, index, store }, rest))
    }

    /// The value of a tag; of one that comes again, the last.
    fn value(&self, wanted: u32) -> Result<Option<Value<'a>>, Invalid> {
        let entry = self.index.iter().rev().find_map(|entry| {
            let ([tag, kind, offset, count], _) = entry.as_chunks::<4>() else {
                return None;
            };
            (u32::from_be_bytes(*tag) == wanted).then(|| [*kind, *offset, *count].map(u32::from_be_bytes))
        });
        let Some([kind, offset, count]) = entry else {
            return Ok(None);
        };
        let contents = usize::try_from(offset)
            .ok()
            .and_then(|offset| self.store.get(offset..))
            .ok_or(Invalid::Package("an RPM tag points behind its header"))?;
        Ok(Some(Value {
            kind,
            count,
            contents,
        }))
    }

    fn octets(&self, tag: u32) -> Result<Option<&'a [u8]>, Invalid> {
        let Some(value) = self.value(tag)? else {
            return Ok(None);
        };
        if value.kind != kind::BINARY {
            return Err(Invalid::Package("an RPM tag of octets has another type"));
        }
        usize::try_from(value.count)
            .ok()
            .and_then(|count| value.contents.get(..count))
            .map(Some)
            .ok_or(Invalid::Package("an RPM tag points behind its header"))
    }

    /// The first of one or more strings.
    fn text(&self, tag: u32) -> Result<Option<&'a str>, Invalid> {
        let Some(value) = self.value(tag)? else {
            return Ok(None);
        };
        if !kind::STRINGS.contains(&value.kind) || value.count == 0 {
            return Err(Invalid::Package("an RPM tag of text has another type"));
        }
        let end = value.contents.iter().position(|octet| *octet == 0);
        let text = end
            .and_then(|end| value.contents.get(..end))
            .ok_or(Invalid::Package("an RPM tag is truncated"))?;
        std::str::from_utf8(text)
            .map(Some)
            .map_err(|_| Invalid::Package("an RPM tag is not UTF-8"))
    }

    /// The first of some integers of any size; nothing where there are none.
    fn number(&self, tag: u32) -> Result<Option<u64>, Invalid> {
        let Some(value) = self.value(tag)? else {
            return Ok(None);
        };
        let size = kind::INTEGERS
            .iter()
            .find_map(|(kind, size)| (*kind == value.kind).then_some(*size))
            .ok_or(Invalid::Package("an RPM tag of numbers has another type"))?;
        if value.count == 0 {
            return Ok(None);
        }
        let octets = value
            .contents
            .get(..size)
            .ok_or(Invalid::Package("an RPM tag points behind its header"))?;
        Ok(Some(
            octets
                .iter()
                .fold(0, |number, octet| number << 8 | u64::from(*octet)),
        ))
    }
}
