//! Parts that the specs and bodies of several kinds have alike.

use std::collections::BTreeMap;

use super::{HashFields, HashSpec, Schema};
use crate::encoding::{decode_standard, push_base64, push_json_string};
use crate::error::Invalid;
use crate::index::IndexKeys;
use crate::json::{Object, Text};
use crate::pki::Key;

/// How go-openapi names the parts of a package's hash: it doubles the paths of nested inline schemas.
pub(super) const PACKAGE_HASH: HashFields = (
    "package.package.hash.package.hash.algorithm",
    "package.package.hash.package.hash.value",
);

/// The SHA-256 that a spec gives beside a content.
pub(super) fn given_hash<'a>(
    schema: &mut Schema,
    hash: Option<Object<HashSpec<'a>>>,
    fields: HashFields,
) -> Option<Text<'a>> {
    hash.and_then(|Object(hash)| hash.sha256(schema, fields))
}

/// The octets of a content, if there is one.
pub(super) fn octets(content: Option<Text<'_>>, what: &'static str) -> Result<Option<Vec<u8>>, Invalid> {
    content
        .map(|content| decode_standard(&content).ok_or(Invalid::Base64(what)))
        .transpose()
}

/// What an entry of one key and one content is found by.
pub(super) fn index_keys(key: &Key, hash: &str) -> Vec<String> {
    let mut keys = IndexKeys::default();
    keys.key(key);
    keys.digest("sha256", hash);
    keys.into_terms()
}

/// The body of a package: its hash, what it says of itself under `name`, and the key. RFC 8785 by construction.
pub(super) fn package_body(
    kind: &str,
    hash: &str,
    name: &str,
    says: &BTreeMap<String, String>,
    key: &[u8],
) -> Vec<u8> {
    let mut body = String::with_capacity(4096);
    body.push_str(r#"{"apiVersion":"0.0.1","kind":""#);
    body.push_str(kind);
    body.push_str(r#"","spec":{"package":{"hash":{"algorithm":"sha256","value":""#);
    body.push_str(hash);
    body.push_str(r#""}"#);
    // RFC 8785 §3.2.3: members in the order of their UTF-16 code units.
    let mut members: Vec<_> = says.iter().collect();
    members.sort_by(|(a, _), (b, _)| a.encode_utf16().cmp(b.encode_utf16()));
    for (index, (member, value)) in members.into_iter().enumerate() {
        if index == 0 {
            body.push_str(",\"");
            body.push_str(name);
            body.push_str("\":{");
        } else {
            body.push(',');
        }
        push_json_string(&mut body, member);
        body.push(':');
        push_json_string(&mut body, value);
    }
    body.push_str(if says.is_empty() { "}" } else { "}}" });
    body.push_str(r#","publicKey":{"content":""#);
    push_base64(&mut body, key);
    body.push_str(r#""}}}"#);
    body.into_bytes()
}
