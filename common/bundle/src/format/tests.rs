#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "tests"
)]

use super::*;

fn entry() -> TransparencyLogEntry {
    TransparencyLogEntry {
        log_index: 7,
        log_id: LogId { key_id: vec![1; 32] },
        kind_version: KindVersion {
            kind: "hashedrekord".into(),
            version: "0.0.2".into(),
        },
        integrated_time: 0,
        inclusion_promise: None,
        inclusion_proof: Some(InclusionProof {
            log_index: 7,
            root_hash: vec![2; 32],
            tree_size: 8,
            hashes: vec![vec![3; 32]],
            checkpoint: Checkpoint {
                envelope: "log\n8\n…\n".into(),
            },
        }),
        canonicalized_body: b"{}".to_vec(),
    }
}

fn bundle(version: MediaType) -> Bundle {
    Bundle {
        media_type: version,
        key_material: KeyMaterial::Certificates(vec![vec![0x30]]),
        tlog_entries: vec![TransparencyLogEntry {
            inclusion_promise: Some(InclusionPromise {
                signed_entry_timestamp: vec![9],
            }),
            integrated_time: 1,
            ..entry()
        }],
        timestamps: vec![vec![4]],
        content: Content::Message {
            digest: Some(MessageDigest {
                algorithm: "SHA2_256".into(),
                digest: vec![5; 32],
            }),
            signature: vec![6],
        },
    }
}

fn edited(version: MediaType, edit: impl FnOnce(&mut serde_json::Value)) -> Result<Bundle, BundleError> {
    let mut value = serde_json::from_str(&bundle(version).to_json().unwrap()).unwrap();
    edit(&mut value);
    Bundle::from_json(value.to_string().as_bytes())
}

#[test]
fn bundles_of_every_version_round_trip() {
    for version in [MediaType::V01, MediaType::V02, MediaType::V03] {
        let original = bundle(version);
        assert_eq!(
            Bundle::from_json(original.to_json().unwrap().as_bytes()).unwrap(),
            original
        );
    }
    let keyed = Bundle {
        key_material: KeyMaterial::PublicKey {
            hint: "release key".into(),
        },
        content: Content::Dsse(Envelope {
            payload: b"{}".to_vec(),
            payload_type: IN_TOTO_PAYLOAD_TYPE.into(),
            signatures: vec![EnvelopeSignature {
                sig: vec![1],
                keyid: None,
            }],
        }),
        ..bundle(MediaType::V03)
    };
    assert_eq!(
        Bundle::from_json(keyed.to_json().unwrap().as_bytes()).unwrap(),
        keyed
    );
}

#[test]
fn structure_is_checked_per_version() {
    let missing = edited(MediaType::V02, |json| {
        json["verificationMaterial"]["tlogEntries"][0]
            .as_object_mut()
            .unwrap()
            .remove("inclusionProof");
    });
    assert!(matches!(
        missing,
        Err(BundleError::Missing {
            what: "inclusion proof",
            version: "0.2"
        })
    ));

    let missing = edited(MediaType::V01, |json| {
        json["verificationMaterial"]["tlogEntries"][0]
            .as_object_mut()
            .unwrap()
            .remove("inclusionPromise");
    });
    assert!(matches!(
        missing,
        Err(BundleError::Missing {
            what: "inclusion promise",
            version: "0.1"
        })
    ));

    let drop_checkpoint = |json: &mut serde_json::Value| {
        json["verificationMaterial"]["tlogEntries"][0]["inclusionProof"]
            .as_object_mut()
            .unwrap()
            .remove("checkpoint");
    };
    assert!(edited(MediaType::V01, drop_checkpoint).is_ok());
    let missing = edited(MediaType::V03, drop_checkpoint);
    assert!(matches!(
        missing,
        Err(BundleError::Missing {
            what: "checkpoint",
            ..
        })
    ));

    let chain = edited(MediaType::V03, |json| {
        let material = json["verificationMaterial"].as_object_mut().unwrap();
        let certificate = material.remove("certificate").unwrap();
        material.insert(
            "x509CertificateChain".into(),
            serde_json::json!({ "certificates": [certificate] }),
        );
    });
    assert!(matches!(chain, Err(BundleError::NotAllowed { .. })));

    let empty = edited(MediaType::V01, |json| {
        json["verificationMaterial"]["x509CertificateChain"]["certificates"] = serde_json::json!([]);
    });
    assert!(matches!(
        empty,
        Err(BundleError::Missing {
            what: "certificate",
            ..
        })
    ));

    let both = edited(MediaType::V03, |json| {
        json["verificationMaterial"]["publicKey"] = serde_json::json!({ "hint": "x" });
    });
    assert!(matches!(both, Err(BundleError::OneOf { got: 2, .. })));

    let none = edited(MediaType::V03, |json| {
        json.as_object_mut().unwrap().remove("messageSignature");
    });
    assert!(matches!(none, Err(BundleError::OneOf { got: 0, .. })));

    let future = edited(MediaType::V03, |json| {
        json["mediaType"] = "application/vnd.dev.sigstore.bundle.v0.4+json".into();
    });
    assert!(matches!(future, Err(BundleError::MediaType(_))));
}

#[test]
fn counts_numbers_and_names_are_bounded() {
    let many = edited(MediaType::V03, |json| {
        let entries = json["verificationMaterial"]["tlogEntries"]
            .as_array_mut()
            .unwrap();
        let first = entries[0].clone();
        entries.resize(MAX_TLOG_ENTRIES + 1, first);
    });
    assert!(matches!(
        many,
        Err(BundleError::TooMany {
            what: "tlog entries",
            got: 33,
            limit: 32
        })
    ));

    let many = edited(MediaType::V03, |json| {
        let stamps = json["verificationMaterial"]["timestampVerificationData"]["rfc3161Timestamps"]
            .as_array_mut()
            .unwrap();
        let first = stamps[0].clone();
        stamps.resize(MAX_TIMESTAMPS + 1, first);
    });
    assert!(matches!(
        many,
        Err(BundleError::TooMany {
            what: "timestamps",
            ..
        })
    ));

    for bad in [
        serde_json::json!(-1),
        serde_json::json!("-1"),
        serde_json::json!("9223372036854775808"),
    ] {
        let refused = edited(MediaType::V03, |json| {
            json["verificationMaterial"]["tlogEntries"][0]["logIndex"] = bad
        });
        assert!(matches!(refused, Err(BundleError::Json(_))));
    }

    let unknown = edited(MediaType::V03, |json| json["vendor"] = serde_json::json!(1));
    assert!(matches!(unknown, Err(BundleError::Json(_))));
}

#[test]
fn truncation_anywhere_is_an_error_and_never_a_panic() {
    let json = bundle(MediaType::V03).to_json().unwrap();
    for end in 0..json.len() {
        assert!(Bundle::from_json(json.get(..end).unwrap_or_default().as_bytes()).is_err());
    }
}

#[test]
fn bytes_are_read_in_both_alphabets_with_or_without_padding() {
    for text in ["+/8=", "+/8", "-_8=", "-_8", "+/\r\n8=\n"] {
        assert_eq!(protojson::decode_bytes(text).unwrap(), [0xfb, 0xff]);
    }
    assert!(
        protojson::decode_bytes("+_8=").is_err(),
        "the alphabets do not mix"
    );
    assert!(protojson::decode_bytes("!!!").is_err());
}

#[test]
fn pre_authentication_encoding_counts_octets() {
    // The example of secure-systems-lab/dsse protocol.md.
    assert_eq!(
        pae("http://example.com/HelloWorld", b"hello world"),
        b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
    );
    assert_eq!(pae("é", b""), "DSSEv1 2 é 0 ".as_bytes());
}

/// Made of a bundle as `pypi-attestations convert` makes it, and read as that bundle.
#[test]
fn an_attestation_object_is_the_bundle_that_it_was_made_of() {
    let bundle = Bundle {
        content: Content::Dsse(Envelope {
            payload: b"{}".to_vec(),
            payload_type: IN_TOTO_PAYLOAD_TYPE.to_owned(),
            signatures: vec![EnvelopeSignature {
                sig: vec![6],
                keyid: None,
            }],
        }),
        // The object has no place for them.
        timestamps: Vec::new(),
        ..bundle(MediaType::V03)
    };
    let json = bundle.to_json().unwrap();
    let whole: serde_json::Value = serde_json::from_str(&json).unwrap();
    let material = &whole["verificationMaterial"];
    let object = serde_json::json!({
        "version": 1,
        "verification_material": {
            "certificate": material["certificate"]["rawBytes"],
            "transparency_entries": material["tlogEntries"],
        },
        "envelope": {
            "statement": whole["dsseEnvelope"]["payload"],
            "signature": whole["dsseEnvelope"]["signatures"][0]["sig"],
        },
    });
    let read = |object: &serde_json::Value| Bundle::from_attestation_object(object.to_string().as_bytes());
    assert_eq!(read(&object).unwrap().unwrap(), bundle);

    assert!(
        Bundle::from_attestation_object(json.as_bytes()).is_none(),
        "a bundle is none"
    );
    let changed = |pointer: &str, value: serde_json::Value| {
        let mut object = object.clone();
        *object.pointer_mut(pointer).unwrap() = value;
        read(&object)
    };
    assert!(changed("/version", 2.into()).is_none());
    assert!(changed("/envelope/signature", "*".into()).is_none());
    let entry = &object["verification_material"]["transparency_entries"][0];
    let many = vec![entry.clone(); MAX_TLOG_ENTRIES + 1];
    assert!(
        changed("/verification_material/transparency_entries", many.into())
            .unwrap()
            .is_err()
    );
    let mut unproven = entry.clone();
    unproven.as_object_mut().unwrap().remove("inclusionProof");
    let unproven = serde_json::json!([unproven]);
    assert!(
        changed("/verification_material/transparency_entries", unproven)
            .unwrap()
            .is_err()
    );
}

#[test]
fn an_envelope_by_itself_is_no_larger_than_a_bundle() {
    let mut json = br#"{"payloadType":"t","payload":"e30=","signatures":[{"sig":"AQ=="}]}"#.to_vec();
    assert!(BareEnvelope::from_json(&json).is_some());
    json.resize(MAX_BUNDLE_BYTES, b' ');
    assert!(BareEnvelope::from_json(&json).is_some());
    json.push(b' ');
    assert!(BareEnvelope::from_json(&json).is_none());
}
