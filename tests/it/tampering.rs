//! One changed byte, anywhere that counts, and every verifier refuses.

use serde_json::Value;
use tests::bundle::PARTS;
use tests::clients::{Cosign, Python, Rekor};
use tests::stack::Stack;
use tests::{ok, refused};

const WHO: &str = "dev@example.com";

fn every_part(rekor: Rekor) {
    let stack = Stack::ephemeral();
    let (cosign, python) = (Cosign::initialize(&stack), Python::trust_instance(&stack));
    // A second entry, so that the proof has a sibling to damage.
    cosign.sign_blob(rekor, WHO, &stack.file("first", "first"));
    let artifact = stack.file("artifact", "the real thing");
    let changed = stack.file("changed", "the real thinG");
    let bundle = cosign.sign_blob(rekor, WHO, &artifact);
    ok(&mut cosign.verify_blob(&bundle, WHO, &artifact));
    ok(&mut python.verify(&bundle, WHO, &artifact));
    refused(&mut cosign.verify_blob(&bundle, WHO, &changed));
    refused(&mut python.verify(&bundle, WHO, &changed));

    let sound: Value = serde_json::from_slice(&std::fs::read(&bundle).unwrap()).unwrap();
    let mut damaged = Vec::new();
    for part in &PARTS {
        let Some(bad) = part.damaged(&sound) else { continue };
        damaged.push(part.name);
        let path = stack.file(&format!("{}.json", part.name.replace(' ', "-")), bad.to_string());
        for (client, mut verify) in [
            ("cosign", cosign.verify_blob(&path, WHO, &artifact)),
            ("python", python.verify(&path, WHO, &artifact)),
        ] {
            if part.is_read_by(client, rekor) {
                refused(&mut verify);
            } else {
                ok(&mut verify);
            }
        }
    }
    for must in [
        "signature",
        "certificate",
        "entry body",
        "inclusion proof",
        "checkpoint root",
        "checkpoint signature",
    ] {
        assert!(
            damaged.contains(&must),
            "no {must} was damaged in a {} bundle: {damaged:?}",
            rekor.name()
        );
    }
    assert_eq!(
        damaged.contains(&"timestamp"),
        rekor == Rekor::V2 || sound_has_timestamp(&sound)
    );
}

fn sound_has_timestamp(bundle: &Value) -> bool {
    bundle
        .pointer("/verificationMaterial/timestampVerificationData/rfc3161Timestamps/0")
        .is_some()
}

#[test]
fn a_changed_byte_in_a_v1_bundle_is_refused_by_both() {
    every_part(Rekor::V1);
}

#[test]
fn a_changed_byte_in_a_v2_bundle_is_refused_by_both() {
    every_part(Rekor::V2);
}
