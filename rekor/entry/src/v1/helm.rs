//! `helm` 0.0.1: the provenance of a chart, signed in clear text (`rekor pkg/types/helm`, helm `pkg/provenance`).
//!
//! The chart itself is not given: its hash is in the provenance, between its metadata and the signature.

use common_pki::key::HashAlgorithm;
use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::{Content, HashSpec, Implementation, Kind, Purpose, Schema, parts, read_spec};
use crate::committed::{CommittedEntry, Digest};
use crate::encoding::{decode_standard, push_base64, push_json_string};
use crate::error::Invalid;
use crate::json::{Object, Text};
use crate::pki::{Key, pgp};
use crate::{Attestation, Canonical};

pub(crate) const V001: Implementation = Implementation {
    kind: Kind::Helm,
    api_version: "0.0.1",
    canonicalize,
    read,
};

/// Longest provenance, in octets: metadata of a chart, one or more digests, a signature. Upstream has no bound.
const MAX_PROVENANCE: usize = 1024 * 1024;
/// What separates the metadata from the digests.
const SEPARATOR: &str = "\n...\n";

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Spec<'a> {
    #[serde(borrow)]
    chart: Option<Object<Chart<'a>>>,
    #[serde(borrow)]
    public_key: Option<Object<Content<'a>>>,
}

#[derive(Deserialize)]
struct Chart<'a> {
    /// In the committed form only.
    #[serde(borrow)]
    hash: Option<Object<HashSpec<'a>>>,
    #[serde(borrow)]
    provenance: Option<Object<Provenance<'a>>>,
}

#[derive(Deserialize)]
struct Provenance<'a> {
    #[serde(borrow)]
    content: Option<Text<'a>>,
    /// In the committed form only.
    #[serde(borrow)]
    signature: Option<Object<Content<'a>>>,
}

/// A spec whose fields are there and well formed.
struct Parsed<'a> {
    /// `None` in the committed form.
    content: Option<Vec<u8>>,
    signature: Option<Text<'a>>,
    hash: Option<Text<'a>>,
    ring: pgp::Ring,
}

fn parse(spec: &RawValue) -> Result<Parsed<'_>, Invalid> {
    let Spec { chart, public_key } = read_spec(spec)?;
    let mut schema = Schema::default();
    let chart = schema.required("chart", chart);
    let (mut content, mut signature, mut hash) = (None, None, None);
    if let Some(Object(chart)) = chart {
        // The doubled paths are what go-openapi makes of nested inline schemas.
        let fields = (
            "chart.chart.hash.chart.hash.algorithm",
            "chart.chart.hash.chart.hash.value",
        );
        hash = parts::given_hash(&mut schema, chart.hash, fields);
        if let Some(Object(provenance)) = schema.required("chart.chart.provenance", chart.provenance) {
            content = provenance.content.filter(|content| !content.is_empty());
            signature = provenance.signature.and_then(|Object(content)| content.filled());
        }
    }
    let key = schema.required("publicKey", public_key);
    let key = key.and_then(|Object(key)| schema.required("publicKey.publicKey.content", key.filled()));
    schema.finish()?;
    if content.is_none() && signature.is_none() {
        return Err(Invalid::Package("'content' must be specified for provenance"));
    }
    let key = decode_standard(&key.unwrap_or_default()).ok_or(Invalid::Base64("publicKey content"))?;
    Ok(Parsed {
        content: parts::octets(content, "provenance content")?,
        signature,
        hash,
        ring: pgp::Ring::parse(&key)?,
    })
}

/// What the leaf says of a chart.
struct Signed {
    hash: String,
    /// Armored.
    signature: Vec<u8>,
}

impl Parsed<'_> {
    /// Verifies the provenance.
    fn verify(&self, provenance: &[u8]) -> Result<Signed, Invalid> {
        if provenance.len() > MAX_PROVENANCE {
            return Err(Invalid::TooLarge {
                limit: MAX_PROVENANCE,
                got: provenance.len(),
            });
        }
        let message =
            pgp::Cleartext::find(provenance)?.ok_or(Invalid::Package("unable to decode provenance file"))?;
        let hash = chart_hash(&message.text)?;
        message.signature.verify(&self.ring, &message.signed)?;
        Ok(Signed {
            hash,
            signature: message.signature.canonical().to_vec(),
        })
    }

    /// The form that is in the log, which was verified when it came.
    fn committed(&self) -> Result<Signed, Invalid> {
        let hash = self.hash.as_deref().ok_or(Invalid::Missing("chart hash"))?;
        Digest::from_hex(HashAlgorithm::Sha256, hash)?;
        let text = self
            .signature
            .as_deref()
            .ok_or(Invalid::Missing("provenance signature"))?;
        let signature = decode_standard(text).ok_or(Invalid::Base64("provenance signature content"))?;
        Ok(Signed {
            hash: hash.to_owned(),
            signature: pgp::Detached::parse(&signature)?.canonical().to_vec(),
        })
    }
}

/// Digests of files, the first of which is the chart's: where there are more, upstream takes any (a map of Go has no order).
#[derive(Deserialize)]
struct Sums {
    files: First,
}

struct First(String);

impl<'de> Deserialize<'de> for First {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct FirstVisitor;
        impl<'de> Visitor<'de> for FirstVisitor {
            type Value = First;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("digests by names of files")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut files: A) -> Result<First, A::Error> {
                let first = files.next_entry::<String, String>()?;
                while files.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                first
                    .map(|(_, digest)| First(digest))
                    .ok_or_else(|| serde::de::Error::custom("no checksums found"))
            }
        }
        deserializer.deserialize_map(FirstVisitor)
    }
}

fn chart_hash(text: &[u8]) -> Result<String, Invalid> {
    let text = std::str::from_utf8(text).map_err(|_| Invalid::Package("provenance file is not UTF-8"))?;
    let sums = text
        .split(SEPARATOR)
        .nth(1)
        .ok_or(Invalid::Package("message block must have at least two parts"))?;
    let sums: Sums = serde_saphyr::from_str(sums).map_err(|error| Invalid::Sums(error.to_string()))?;
    match sums.files.0.split_once(':') {
        Some(("sha256", digest)) => {
            Digest::from_hex(HashAlgorithm::Sha256, digest)?;
            Ok(digest.to_owned())
        }
        _ => Err(Invalid::Package("invalid hash found in Provenance file")),
    }
}

fn canonicalize(spec: &RawValue, purpose: Purpose<'_>) -> Result<Canonical, Invalid> {
    let parsed = parse(spec)?;
    let signed = match (&parsed.content, purpose) {
        (Some(provenance), _) => parsed.verify(provenance)?,
        (None, Purpose::Find) => parsed.committed()?,
        (None, Purpose::Submit(_)) => return Err(Invalid::NotInsertable("provenance content")),
    };
    let key = Key::pgp(&parsed.ring);
    Ok(Canonical {
        kind: V001.kind.as_str(),
        api_version: V001.api_version,
        index_keys: parts::index_keys(&key, &signed.hash),
        body: body(&signed, &key),
        attestation: Attestation::None,
    })
}

/// RFC 8785 by construction.
fn body(signed: &Signed, key: &Key) -> Vec<u8> {
    let mut body = String::with_capacity(4096);
    body.push_str(
        r#"{"apiVersion":"0.0.1","kind":"helm","spec":{"chart":{"hash":{"algorithm":"sha256","value":"#,
    );
    push_json_string(&mut body, &signed.hash);
    body.push_str(r#"},"provenance":{"signature":{"content":""#);
    push_base64(&mut body, &signed.signature);
    body.push_str(r#""}}},"publicKey":{"content":""#);
    push_base64(&mut body, &key.canonical);
    body.push_str(r#""}}}"#);
    body.into_bytes()
}

fn read(spec: &RawValue) -> Result<CommittedEntry, Invalid> {
    let parsed = parse(spec)?;
    let signed = parsed.committed()?;
    Ok(CommittedEntry {
        kind: V001.kind.as_str(),
        api_version: V001.api_version,
        digest: Digest::from_hex(HashAlgorithm::Sha256, &signed.hash)?,
        signatures: Vec::new(),
        index_keys: parts::index_keys(&Key::pgp(&parsed.ring), &signed.hash),
        attestation_key: None,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn sums(text: &str) -> Result<String, String> {
        chart_hash(text.as_bytes()).map_err(|error| error.to_string())
    }

    #[test]
    fn of_several_files_the_first_is_the_chart() {
        let (first, second) = ("ab".repeat(32), "cd".repeat(32));
        let text = format!("name: x\n\n...\nfiles:\n  z.tgz: sha256:{first}\n  a.tgz: sha256:{second}\n");
        assert_eq!(sums(&text).unwrap(), first);
        let quoted =
            format!("a\n...\n{{\"images\": {{}}, \"files\": {{\"x\": \"sha256:{first}\"}}}}\n...\nmore");
        assert_eq!(sums(&quoted).unwrap(), first);
    }

    #[test]
    fn provenances_that_lack_something_say_what() {
        for (text, expected) in [
            ("name: x", "message block must have at least two parts"),
            ("\n...\n", "error occurred parsing SumCollection: "),
            ("\n...\nfiles: x", "error occurred parsing SumCollection: "),
            ("\n...\nfiles: {}", "error occurred parsing SumCollection: "),
            ("\n...\nfiles: {x: [1]}", "error occurred parsing SumCollection: "),
            (
                "\n...\nfiles: {x: md5:ab}",
                "invalid hash found in Provenance file",
            ),
            ("\n...\nfiles: {x: y}", "invalid hash found in Provenance file"),
            (
                "\n...\nfiles: {x: sha256:ab}",
                "invalid value for hash: sha256 has 64",
            ),
        ] {
            let message = sums(text).unwrap_err();
            assert!(message.starts_with(expected), "{text:?}: {message}");
        }
        // Aliases that name one another a billion times.
        let mut bomb = "\n...\na0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned();
        for level in 1..20 {
            let before = format!("*a{},", level - 1).repeat(9);
            bomb.push_str(&format!("a{level}: &a{level} [{before}]\n"));
        }
        assert!(sums(&bomb).is_err());
    }
}
