//! What one `hashedrekord` costs, from the request's JSON to the body and its leaf hash, beside the one signature check in it.
//!
//! `cargo run --release -p rekor-entry --example canonicalize`; one thread, the best of many short rounds.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a measurement, with its result"
)]

use std::hint::black_box;
use std::time::Instant;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use common_pki::cert::{Serial, SubjectAltName, TbsCertificate, distinguished_name, empty_name, ext};
use common_pki::key::{HashAlgorithm, KeyAlgorithm, LocalSigner, PublicKey, Signer as _};
use rekor_entry::{v1, v2};
use serde_json::json;

const ROUNDS: usize = 300;
const ENTRIES: u32 = 50;

/// Microseconds of one call, in the best round: the others were disturbed.
fn micros(mut call: impl FnMut()) -> f64 {
    (0..ROUNDS)
        .map(|_| {
            let start = Instant::now();
            for _ in 0..ENTRIES {
                call();
            }
            start.elapsed().as_secs_f64() * 1e6 / f64::from(ENTRIES)
        })
        .fold(f64::INFINITY, f64::min)
}

fn main() {
    let (signer, _) = LocalSigner::generate(KeyAlgorithm::EcdsaP256).unwrap();
    let key = signer.public_key();
    let digest = HashAlgorithm::Sha256.digest(b"artifact");
    let signature = signer.sign(b"artifact").unwrap();
    // In the shape of a short-lived one: an address as its name, P-256 on both sides.
    let certificate = TbsCertificate {
        serial: Serial::from_random([7; 20]),
        issuer: distinguished_name("example", "issuer"),
        not_before: 1_700_000_000,
        not_after: 1_700_000_600,
        subject: empty_name(),
        key: key.clone(),
        extensions: vec![
            ext::digital_signature(),
            ext::extended_key_usage(&common_pki::oid::CODE_SIGNING, false),
            SubjectAltName::Email("dev@example.com".to_owned())
                .to_extension()
                .unwrap(),
        ],
    }
    .sign(&signer)
    .unwrap();

    let v1_request = |pem: &str| {
        json!({ "kind": "hashedrekord", "apiVersion": "0.0.1", "spec": {
            "data": { "hash": { "algorithm": "sha256", "value": hex::encode(&digest) } },
            "signature": { "content": STANDARD.encode(&signature), "publicKey": { "content": STANDARD.encode(pem) } },
        }})
        .to_string()
    };
    let v2_request = |member: &str, der: &[u8]| {
        json!({ "hashedRekordRequestV002": {
            "digest": STANDARD.encode(&digest),
            "signature": {
                "content": STANDARD.encode(&signature),
                "verifier": { member: { "rawBytes": STANDARD.encode(der) }, "keyDetails": "PKIX_ECDSA_P256_SHA_256" },
            },
        }})
        .to_string()
    };
    let v1 = |request: String| {
        let policy = v1::Policy::default();
        micros(move || {
            let entry = v1::ProposedEntry::parse(request.as_bytes()).unwrap();
            let canonical = entry.canonicalize(&policy).unwrap();
            black_box((common_tlog::leaf_hash(&canonical.body), canonical));
        })
    };
    let v2 = |request: String| {
        let policy = v2::Policy::default();
        micros(move || {
            let canonical = v2::parse_request(request.as_bytes(), &policy).unwrap();
            black_box((common_tlog::leaf_hash(&canonical.body), canonical));
        })
    };

    let check = micros(|| {
        key.verify_digest(HashAlgorithm::Sha256, &digest, black_box(&signature))
            .unwrap();
    });
    let parse = micros(|| {
        black_box(PublicKey::from_spki_der(black_box(key.spki_der())).unwrap());
    });
    println!("P-256, one thread: signature check {check:.1} µs, reading its key {parse:.1} µs");
    println!(
        "{:<24}{:>10}{:>18}{:>10}",
        "hashedrekord", "µs", "of it the check", "rest"
    );
    for (name, total) in [
        ("0.0.1 key", v1(v1_request(&key.to_pem()))),
        ("0.0.1 certificate", v1(v1_request(&certificate.to_pem()))),
        ("0.0.2 key", v2(v2_request("publicKey", key.spki_der()))),
        (
            "0.0.2 certificate",
            v2(v2_request("x509Certificate", certificate.to_der())),
        ),
    ] {
        println!(
            "{name:<24}{total:>10.1}{:>17.0}%{:>10.1}",
            100.0 * check / total,
            total - check
        );
    }
}
