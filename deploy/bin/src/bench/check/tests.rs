#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use std::sync::Arc;

use common_pki::cert::{
    CaProfile, Serial, distinguished_name, intermediate, self_signed_root, timestamping_leaf,
};
use common_pki::key::{KeyAlgorithm, LocalSigner, Signer};
use common_pki::tsp::{Grant, TimestampAuthority};
use serde_json::json;

use super::*;
use crate::bench::prepare::{Materials, bodies};
use crate::console::Console;

const NOW: u64 = 1_800_000_000;

fn profile(name: &str, serial: u8) -> CaProfile {
    CaProfile {
        subject: distinguished_name("sigbox", name),
        serial: Serial::new(&[serial]).unwrap(),
        not_before: NOW - 1_000,
        not_after: NOW + 1_000_000,
    }
}

fn signer() -> LocalSigner {
    LocalSigner::generate(KeyAlgorithm::EcdsaP256).unwrap().0
}

/// An authority, and a trusted root that lists it alone.
fn timestamping() -> (TimestampAuthority, Trust) {
    let (root_key, middle_key, key) = (signer(), signer(), signer());
    let root = self_signed_root(profile("root", 1), &root_key).unwrap();
    let purpose = &oid::TIME_STAMPING;
    let middle = intermediate(
        profile("issuer", 2),
        middle_key.public_key(),
        purpose,
        &root,
        &root_key,
    )
    .unwrap();
    let leaf = timestamping_leaf(profile("tsa", 3), key.public_key(), &middle, &middle_key).unwrap();
    let chain = [leaf, middle, root];
    let der: Vec<Value> = chain
        .iter()
        .map(|c| json!({ "rawBytes": STANDARD.encode(c.to_der()) }))
        .collect();
    let trusted = json!({
        "mediaType": "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
        "timestampAuthorities": [{
            "subject": { "organization": "sigbox", "commonName": "tsa" },
            "uri": "http://localhost/api/v1/timestamp",
            "certChain": { "certificates": der },
            "validFor": { "start": "2020-01-01T00:00:00Z" },
        }],
    });
    let trust = Trust(TrustedRoot::parse(trusted.to_string().as_bytes()).unwrap());
    (
        TimestampAuthority::new(Arc::new(key), chain.to_vec(), false).unwrap(),
        trust,
    )
}

#[test]
fn a_timestamp_counts_for_its_own_request_only() {
    let (authority, trust) = timestamping();
    let requests = bodies(Work::Timestamp, 2, &Materials::default(), Console::new()).unwrap();
    let request = TimeStampRequest::from_der(&requests[0]).unwrap();
    let policy = oid::TSA_POLICY.as_bytes().to_vec();
    let grant = Grant {
        policy,
        serial: Serial::new(&[9]).unwrap(),
        time: NOW,
    };
    let answer = Bytes::from(authority.respond(&request, grant).unwrap());
    let good = sample(&trust, Work::Timestamp, &requests, &[(0, answer.clone())]);
    assert_eq!(
        good,
        Checked {
            verified: 1,
            wrong: None
        }
    );
    let swapped = sample(
        &trust,
        Work::Timestamp,
        &requests,
        &[(0, answer.clone()), (1, answer.clone())],
    );
    assert_eq!(swapped.verified, 1);
    assert_eq!(swapped.wrong, Some(TspError::Imprint.to_string()));
    let mut changed = answer.to_vec();
    *changed.last_mut().unwrap() ^= 1;
    let changed = sample(&trust, Work::Timestamp, &requests, &[(0, changed.into())]);
    assert_eq!(changed.verified, 0, "{changed:?}");
    let (_, stranger) = timestamping();
    assert!(
        sample(&stranger, Work::Timestamp, &requests, &[(0, answer)])
            .wrong
            .is_some()
    );
}

#[test]
fn answers_of_another_shape_are_wrong() {
    let (_, trust) = timestamping();
    for work in [Work::V1, Work::V2, Work::Timestamp] {
        let requests = bodies(work, 1, &Materials::default(), Console::new()).unwrap();
        for answer in ["", "{}", "[]", "null", r#"{"a":{}}"#, "0\0"] {
            let checked = sample(
                &trust,
                work,
                &requests,
                &[(0, Bytes::from_static(answer.as_bytes()))],
            );
            assert!(
                checked.verified == 0 && checked.wrong.is_some(),
                "{work:?} {answer}"
            );
        }
    }
    assert!(
        sample(&trust, Work::V1, &[], &[(7, Bytes::new())])
            .wrong
            .is_some(),
        "no such request"
    );
}
