//! An instance's keys for tests, and the comparison of JSON by meaning.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "tests"
)]

use std::path::PathBuf;

use common_pki::{
    cert::{self, CaProfile, Serial},
    key::{KeyAlgorithm, LocalSigner, Signer as _},
    oid,
};
use serde_json::Value;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use super::{KeyRecord, Registry, Role, Timestamp};

/// A recorded file, or none with the reason on standard error.
pub(crate) fn vector(path: &str) -> Option<Vec<u8>> {
    let file = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../../../shared/vectors")
        .join(path);
    let bytes = std::fs::read(&file).ok();
    if bytes.is_none() {
        eprintln!("skipped: {} cannot be read", file.display());
    }
    bytes
}

/// JSON with times of equal meaning made equal.
pub(crate) fn meaning(json: &[u8]) -> Value {
    fn normalize(value: &mut Value) {
        match value {
            Value::String(text) => {
                if let Ok(time) = OffsetDateTime::parse(text, &Rfc3339) {
                    *text = time.unix_timestamp_nanos().to_string();
                }
            }
            Value::Array(values) => values.iter_mut().for_each(normalize),
            Value::Object(members) => members.values_mut().for_each(normalize),
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }
    let mut value = serde_json::from_slice(json).unwrap();
    normalize(&mut value);
    value
}

pub(crate) const START: i64 = 1_767_225_600; // 2026-01-01

pub(crate) fn at(seconds: i64) -> Timestamp {
    Timestamp::from_unix(START + seconds).unwrap()
}

pub(crate) fn signer(algorithm: KeyAlgorithm) -> LocalSigner {
    LocalSigner::generate(algorithm).unwrap().0
}

fn profile(common_name: &str) -> CaProfile {
    CaProfile {
        subject: cert::distinguished_name("example.org", common_name),
        serial: Serial::new(&[7]).unwrap(),
        not_before: START.unsigned_abs(),
        not_after: START.unsigned_abs() + 1_000_000,
    }
}

/// A record of an authority: its own key under a fresh root.
pub(crate) fn authority(role: Role, id: &str, url: &str, start: i64) -> KeyRecord {
    let (root_key, key) = (signer(KeyAlgorithm::EcdsaP384), signer(KeyAlgorithm::EcdsaP256));
    let name = if role == Role::Tsa {
        "example timestamp root"
    } else {
        "example root"
    };
    let root = cert::self_signed_root(profile(name), &root_key).unwrap();
    let own = if role == Role::Tsa {
        cert::timestamping_leaf(profile("example tsa"), key.public_key(), &root, &root_key).unwrap()
    } else {
        cert::intermediate(
            profile("example ca"),
            key.public_key(),
            &oid::CODE_SIGNING,
            &root,
            &root_key,
        )
        .unwrap()
    };
    let mut record = KeyRecord::new(role, id, key.public_key(), url, "", at(start)).unwrap();
    record.cert_chain = vec![own.to_der().to_vec(), root.to_der().to_vec()];
    record
}

/// A record of an authority that is its own root, under any name.
pub(crate) fn nameless_authority(organization: &str, common_name: &str) -> KeyRecord {
    let key = signer(KeyAlgorithm::EcdsaP256);
    let subject = cert::distinguished_name(organization, common_name);
    let root = cert::self_signed_root(
        CaProfile {
            subject,
            ..profile("")
        },
        &key,
    )
    .unwrap();
    let url = "http://localhost:3000";
    let mut record = KeyRecord::new(Role::FulcioCa, "nameless", key.public_key(), url, "", at(0)).unwrap();
    record.cert_chain = vec![root.to_der().to_vec()];
    record
}

/// A record of a log.
pub(crate) fn log(role: Role, id: &str, url: &str, start: i64) -> KeyRecord {
    let algorithm = if role == Role::RekorV2 {
        KeyAlgorithm::Ed25519
    } else {
        KeyAlgorithm::EcdsaP256
    };
    let host = url.rsplit('/').next().unwrap().split(':').next().unwrap();
    KeyRecord::new(role, id, signer(algorithm).public_key(), url, host, at(start)).unwrap()
}

/// One key of each role, all of one instant, on one origin.
pub(crate) fn registry() -> Registry {
    let url = "http://localhost:3000";
    let mut registry = Registry::new("localhost", "http://localhost:3000/oidc");
    for record in [
        authority(Role::FulcioCa, "fulcio-1", url, 0),
        log(Role::CtLog, "ct-1", url, 0),
        log(Role::RekorV1, "rekor-v1-1", url, 0),
        log(Role::RekorV2, "rekor-v2-1", url, 0),
        authority(Role::Tsa, "tsa-1", "http://localhost:3000/api/v1/timestamp", 0),
    ] {
        registry.add(record).unwrap();
    }
    for (role, id) in [(Role::TufRoot, "tuf-root-1"), (Role::TufOnline, "tuf-online-1")] {
        let key = signer(KeyAlgorithm::EcdsaP256);
        registry
            .add(KeyRecord::new(role, id, key.public_key(), "", "", at(0)).unwrap())
            .unwrap();
    }
    registry
}
