//! Ten thousand malformed variants of each kind, and what is large once it is unpacked.

#![allow(
    clippy::arithmetic_side_effects,
    clippy::print_stdout,
    reason = "a test that counts what it saw"
)]

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::*;

/// Variants of each entry; the long form has ten thousand (`SIGBOX_VARIANTS`).
const VARIANTS: usize = 200;

/// A small generator of numbers, the same ones for the same seed (Steele et al., SplitMix64).
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(limit.max(1)).unwrap()).unwrap()
    }
}

/// Changes some octets: flips a bit, cuts, doubles, overwrites, ends early.
fn mangle(octets: &mut Vec<u8>, numbers: &mut Numbers) {
    for _ in 0..=numbers.below(3) {
        if octets.is_empty() {
            return;
        }
        let at = numbers.below(octets.len());
        let end = (at + 1 + numbers.below(64)).min(octets.len());
        match numbers.below(5) {
            0 => octets[at] ^= 1 << numbers.below(8),
            1 => drop(octets.drain(at..end)),
            2 => {
                let doubled = octets[at..end].to_vec();
                octets.splice(at..at, doubled);
            }
            3 => octets[at..end].fill([0x00, 0xff, 0x7f, 0x80][numbers.below(4)]),
            _ => octets.truncate(at),
        }
    }
}

/// An entry with one of its members changed: what it holds in base64, its text, its type, or the JSON as a whole.
fn variant(entry: &Value, numbers: &mut Numbers) -> Vec<u8> {
    let mut paths = Vec::new();
    pointers(entry, String::new(), &mut paths);
    let mut changed = entry.clone();
    let path = &paths[numbers.below(paths.len())];
    let member = changed.pointer_mut(path).unwrap();
    let choice = numbers.below(8);
    if choice == 0 {
        let mut text = entry.to_string().into_bytes();
        mangle(&mut text, numbers);
        return text;
    }
    if choice == 1 {
        let others = [
            json!(null),
            json!([]),
            json!({}),
            json!(1),
            json!(""),
            json!(true),
            json!([[]]),
        ];
        *member = others[numbers.below(others.len())].clone();
    } else if let Some(text) = member.as_str() {
        let (mut octets, in_base64) = match STANDARD.decode(text) {
            Ok(octets) if choice > 2 && !octets.is_empty() => (octets, true),
            _ => (text.as_bytes().to_vec(), false),
        };
        mangle(&mut octets, numbers);
        *member = Value::String(match in_base64 {
            true => STANDARD.encode(octets),
            false => String::from_utf8_lossy(&octets).into_owned(),
        });
    }
    changed.to_string().into_bytes()
}

/// Largest memory this process ever had, in KiB.
fn peak() -> Option<usize> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

/// GHSA-frqx-jfcm-6jjr, GHSA-273p-m2cw-6833, GHSA-843x-px86-vq42: members, keys and messages that were not there.
#[test]
fn malformed_variants_of_every_kind_get_a_short_answer_and_no_memory() {
    let variants = std::env::var("SIGBOX_VARIANTS").map_or(VARIANTS, |number| number.parse().unwrap());
    let recorded = exchanges("rekor-v1/exchanges.jsonl");
    let packages = exchanges("rekor-v1/packages.jsonl");
    let mut seen: Vec<(String, String)> = Vec::new();
    let before = peak();
    let (mut refused, mut taken) = (0, 0);
    for exchange in recorded.iter().chain(&packages) {
        if exchange.status() != 201 || !exchange.posts_to("/api/v1/log/entries") {
            continue;
        }
        let entry: Value = serde_json::from_str(exchange.request()).unwrap();
        let text = |pointer| entry.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
        let kind = (
            format!("{} {}", text("/kind"), text("/apiVersion")),
            text("/spec/signature/format").to_owned(),
        );
        if seen.contains(&kind) {
            continue;
        }
        let mut numbers = Numbers(u64::try_from(seen.len()).unwrap());
        for _ in 0..variants {
            let json = variant(&entry, &mut numbers);
            match ProposedEntry::parse(&json).and_then(|entry| entry.canonicalize(&Policy::default())) {
                Err(cause) => {
                    refused += 1;
                    let mut answer = String::new();
                    write!(answer, "{cause}").unwrap();
                    assert!(!answer.is_empty() && answer.len() < 4_096, "{answer}");
                    assert!(matches!(status(&cause).0, 400 | 422), "{answer}");
                }
                // What is changed where nobody looks stays a good entry, which is read back.
                Ok(canonical) => {
                    taken += 1;
                    let committed = ProposedEntry::parse(&canonical.body).unwrap();
                    assert_eq!(committed.canonicalize_committed().unwrap(), canonical.body);
                    committed::read(&canonical.body).unwrap();
                }
            }
            if let Ok(entry) = ProposedEntry::parse(&json) {
                let _ = entry.canonicalize_committed();
            }
            let _ = committed::read(&json);
        }
        seen.push(kind);
    }
    assert!(recorded.is_empty() || seen.len() >= 14, "only {seen:?}");
    assert!(
        recorded.is_empty() || refused > taken,
        "{refused} refused, {taken} taken"
    );
    if let Some((before, after)) = before.zip(peak()) {
        println!(
            "{} forms, {refused} refused, {taken} taken, {before} KiB before, {after} after",
            seen.len()
        );
        assert!(after - before < 256 * 1024, "{before} KiB before, {after} after");
    }
}

/// A statement of a size that SBOMs have is logged, and what is not kept of it is told.
#[test]
fn a_large_statement_is_hashed_and_not_kept() {
    let payload = format!(r#"{{"subject":[],"predicate":"{}"}}"#, "x".repeat(20 << 20));
    let (signer, _) = common_pki::key::LocalSigner::generate(KeyAlgorithm::EcdsaP256).unwrap();
    let pae = common_bundle::format::pae("application/vnd.in-toto+json", payload.as_bytes());
    let signature = common_pki::key::Signer::sign(&signer, &pae).unwrap();
    let envelope = json!({
        "payload": STANDARD.encode(&payload),
        "payloadType": "application/vnd.in-toto+json",
        "signatures": [{ "sig": STANDARD.encode(signature) }],
    });
    let key = STANDARD.encode(common_pki::key::Signer::public_key(&signer).to_pem());
    let keeping = Policy {
        dsse_attestations: true,
        ..Policy::default()
    };
    for (kind, spec) in [
        (
            "dsse",
            json!({ "proposedContent": { "envelope": envelope.to_string(), "verifiers": [key.clone()] } }),
        ),
        (
            "intoto",
            json!({ "content": { "envelope": envelope.to_string() }, "publicKey": key.clone() }),
        ),
    ] {
        let request = json!({ "kind": kind, "apiVersion": "0.0.1", "spec": spec }).to_string();
        let entry = ProposedEntry::parse(request.as_bytes()).unwrap();
        let canonical = entry.canonicalize(&keeping).unwrap();
        assert!(canonical.body.len() < 4_096);
        assert_eq!(
            canonical.attestation,
            Attestation::TooLarge {
                size: payload.len(),
                limit: 102_400
            }
        );
    }
}

/// GHSA-4c4x-jm2x-pf9j: nothing an entry names is ever fetched, since there is nothing here that could.
#[test]
fn addresses_in_an_entry_are_not_looked_at() {
    let url = "http://127.0.0.1:9/never";
    let outcome = edited(HASHEDREKORD, |request| {
        request["spec"]["signature"]["url"] = json!(url);
        request["spec"]["data"]["url"] = json!(url);
    });
    let plain = recorded(HASHEDREKORD).map(|exchange| submit(exchange.request()).unwrap().body);
    assert_eq!(outcome.map(|outcome| outcome.unwrap().body), plain);
    let outcome = edited(HASHEDREKORD, |request| {
        request["spec"]["signature"]["publicKey"] = json!({ "url": url });
    });
    assert_refused(
        outcome,
        "invalid public key: failure decoding PEM: no PEM block found",
    );
}

/// GHSA-fphv-w9fq-2525 (CVE-2026-23992), CVE-2026-23991: a threshold that verifies nothing, and metadata of another shape.
#[test]
fn ghsa_fphv_a_root_that_wants_no_signature_is_refused() {
    let packages = exchanges("rekor-v1/packages.jsonl");
    let Some(recorded) = packages
        .iter()
        .find(|exchange| exchange.name().starts_with("tuf"))
    else {
        return;
    };
    let mut entry: Value = serde_json::from_str(recorded.request()).unwrap();
    submit(recorded.request()).unwrap();
    let root = entry.pointer("/spec/root/content").unwrap().clone();
    for (place, value) in [
        ("/signed/roles/root/threshold", json!(0)),
        ("/signed/roles/root/threshold", json!(-1)),
        ("/signed/roles/root/keyids", json!([])),
        ("/signed/roles/root", Value::Null),
        ("/signed/roles", Value::Null),
        ("/signed/keys", json!({})),
        ("/signed/expires", json!(7)),
        ("/signed", json!([])),
        ("/signatures", json!([])),
        ("/signatures", Value::Null),
    ] {
        let mut changed = root.clone();
        *changed.pointer_mut(place).unwrap() = value.clone();
        *entry.pointer_mut("/spec/root/content").unwrap() = changed;
        assert!(submit(&entry.to_string()).is_err(), "{place} {value}");
    }
}

/// Who looks an entry up has it verified like who submits it, so both are bounded alike.
#[test]
fn tuf_metadata_with_more_signatures_than_a_role_has_keys_is_refused() {
    let packages = exchanges("rekor-v1/packages.jsonl");
    let tuf = |exchange: &&Exchange| exchange.name().starts_with("tuf") && exchange.status() == 201;
    let Some(recorded) = packages.iter().find(tuf) else {
        return;
    };
    let mut entry: Value = serde_json::from_str(recorded.request()).unwrap();
    let signatures = entry.pointer_mut("/spec/metadata/content/signatures").unwrap();
    let list = signatures.as_array_mut().unwrap();
    list.extend((0..300).map(|at| json!({ "keyid": format!("k{at}"), "sig": "00" })));
    let text = entry.to_string();
    let proposed = ProposedEntry::parse(text.as_bytes()).unwrap();
    for outcome in [
        submit(&text).map(|canonical| canonical.body),
        proposed.canonicalize_committed(),
    ] {
        let refused = outcome.unwrap_err().to_string();
        assert!(refused.contains("more signatures than accepted"), "{refused}");
    }
}
