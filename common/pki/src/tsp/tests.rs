#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "tests"
)]

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use der::Reader as _;
use der::asn1::AnyRef;
use serde_json::Value;

use super::*;
use crate::cert::{
    CaProfile, Certificate, Extension, Serial, SignatureAlgorithm, TbsCertificate, distinguished_name, ext,
    intermediate, self_signed_root, timestamping_leaf,
};
use crate::key::{KeyAlgorithm, LocalSigner, Signer};
use crate::oid;
use crate::testdata::{MESSAGE, read, read_bytes, vectors};

const NOW: u64 = 1_800_000_000;

struct Tsa {
    signer: Arc<LocalSigner>,
    mid_signer: LocalSigner,
    chain: Vec<Certificate>,
}

fn profile(name: &str, serial: u8) -> CaProfile {
    CaProfile {
        subject: distinguished_name("sigbox", name),
        serial: Serial::new(&[serial]).unwrap(),
        not_before: NOW - 1000,
        not_after: NOW + 1000,
    }
}

fn tsa(algorithm: KeyAlgorithm) -> Tsa {
    let root_signer = LocalSigner::generate(KeyAlgorithm::EcdsaP384).unwrap().0;
    let mid_signer = LocalSigner::generate(KeyAlgorithm::EcdsaP256).unwrap().0;
    let signer = Arc::new(LocalSigner::generate(algorithm).unwrap().0);
    let root = self_signed_root(profile("tsa root", 1), &root_signer).unwrap();
    let mid = intermediate(
        profile("tsa mid", 2),
        mid_signer.public_key(),
        &oid::TIME_STAMPING,
        &root,
        &root_signer,
    )
    .unwrap();
    let leaf = timestamping_leaf(profile("tsa", 3), signer.public_key(), &mid, &mid_signer).unwrap();
    Tsa {
        signer,
        mid_signer,
        chain: vec![leaf, mid, root],
    }
}

fn request(hash: HashAlgorithm, certificates: bool) -> TimeStampRequest {
    TimeStampRequest {
        imprint: MessageImprint {
            algorithm: ImprintAlgorithm::Strong(hash),
            digest: hash.digest(MESSAGE),
        },
        policy: None,
        nonce: Some(vec![0x00, 0xDA]),
        certificates,
        extensions: false,
    }
}

fn grant() -> Grant {
    Grant {
        policy: oid::TSA_POLICY.as_bytes().to_vec(),
        serial: Serial::from_random([0x5A; 20]),
        time: NOW,
    }
}

fn trust(chain: &[Certificate], with_leaf: bool) -> TimestampTrust<'_> {
    TimestampTrust {
        leaf: with_leaf.then_some(&chain[0]),
        intermediates: &chain[1..chain.len() - 1],
        roots: &chain[chain.len() - 1..],
    }
}

#[test]
fn every_signer_and_hash_answers_and_verifies() {
    use KeyAlgorithm::{EcdsaP256, EcdsaP384, EcdsaP521, Ed25519, Rsa2048};
    for algorithm in [EcdsaP256, EcdsaP384, EcdsaP521, Rsa2048, Ed25519] {
        let tsa = tsa(algorithm);
        let authority = TimestampAuthority::new(tsa.signer.clone(), tsa.chain.clone(), false).unwrap();
        for hash in HashAlgorithm::ALL {
            for certificates in [false, true] {
                let der = authority.respond(&request(hash, certificates), grant()).unwrap();
                let token = TimeStampResponse::from_der(&der).unwrap().granted().unwrap();
                assert_eq!(token.certificates.len(), usize::from(certificates));
                let verified = verify(&der, MESSAGE, &trust(&tsa.chain, true)).unwrap();
                let info = verified.info;
                assert_eq!((info.time, info.nanos, info.ordering), (NOW, 0, false));
                assert_eq!(info.nonce.as_deref(), Some(&[0x00, 0xDA][..]));
                assert_eq!(info.policy, oid::TSA_POLICY.as_bytes());
                assert_eq!(info.serial, [0x5A; 20]);
                assert_eq!(info.accuracy.as_deref(), Some(&[0x30, 3, 2, 1, 1][..]));
                assert_eq!(&info.tsa.unwrap()[2..], tsa.chain[0].subject_der());
                assert_eq!(
                    verify(&der, b"other", &trust(&tsa.chain, true)).unwrap_err(),
                    TspError::Imprint
                );
                // Without a listed leaf only an embedded one can be found.
                let found = verify(&der, MESSAGE, &trust(&tsa.chain, false));
                assert_eq!(found.is_ok(), certificates, "{algorithm}");
            }
        }
    }
}

#[test]
fn the_whole_chain_is_embedded_only_when_told_and_asked() {
    let tsa = tsa(KeyAlgorithm::EcdsaP256);
    let authority = TimestampAuthority::new(tsa.signer.clone(), tsa.chain.clone(), true).unwrap();
    let count = |certificates| {
        let der = authority
            .respond(&request(HashAlgorithm::Sha256, certificates), grant())
            .unwrap();
        let token = TimeStampResponse::from_der(&der).unwrap().granted().unwrap();
        // The roots are enough, everything else is in the token.
        let roots = TimestampTrust {
            leaf: None,
            intermediates: &[],
            roots: &tsa.chain[2..],
        };
        assert_eq!(token.verify(&roots).is_ok(), certificates);
        token.certificates.len()
    };
    assert_eq!((count(false), count(true)), (0, 3));
}

#[test]
fn no_changed_response_verifies_or_panics() {
    let tsa = tsa(KeyAlgorithm::EcdsaP256);
    let authority = TimestampAuthority::new(tsa.signer.clone(), tsa.chain.clone(), false).unwrap();
    let good = authority
        .respond(&request(HashAlgorithm::Sha256, false), grant())
        .unwrap();
    let reference = verify(&good, MESSAGE, &trust(&tsa.chain, true)).unwrap().info;
    for at in 0..good.len() {
        assert!(TimeStampResponse::from_der(&good[..at]).is_err(), "cut at {at}");
        for flip in [0x01, 0x02, 0x10, 0x80, 0xFF] {
            let mut changed = good.clone();
            changed[at] ^= flip;
            // The versions of SignedData and SignerInfo are outside every signature; what is stated is not.
            if let Ok(verified) = verify(&changed, MESSAGE, &trust(&tsa.chain, true)) {
                assert_eq!(verified.info, reference, "octet {at} changed the statement");
            }
        }
    }
    assert!(TimeStampResponse::from_der(&[good.as_slice(), &[0]].concat()).is_err());
}

/// Whoever reads a timestamp that holds would take for signed what stands in it.
#[test]
fn nothing_stands_beside_what_the_signer_signed() {
    use crate::asn1::{context, element, sequence};
    let [tsa, other] = [tsa(KeyAlgorithm::EcdsaP256), tsa(KeyAlgorithm::EcdsaP384)];
    let authority = TimestampAuthority::new(tsa.signer.clone(), tsa.chain.clone(), true).unwrap();
    let good = authority
        .respond(&request(HashAlgorithm::Sha256, true), grant())
        .unwrap();
    let bare = authority
        .respond(&request(HashAlgorithm::Sha256, false), grant())
        .unwrap();
    let refusal = |der: &[u8]| verify(der, MESSAGE, &trust(&tsa.chain, true)).unwrap_err();
    assert!(verify(&good, MESSAGE, &trust(&tsa.chain, true)).is_ok());

    let (_, token) = status_and_token(&bare).unwrap();
    let token = token.unwrap();
    let text = sequence(&[&element(crate::asn1::UTF8_STRING, &[b"Operation Okay"])]);
    let remark = sequence(&[&sequence(&[&[2, 1, 0], &text]), token]);
    assert_eq!(
        refusal(&remark),
        TspError::Unsigned("a text or failure beside its status")
    );

    // The parts of SignedData, to be put together anew.
    let parts = |der: &[u8]| -> Vec<Vec<u8>> {
        let mut r = crate::asn1::reader(der).unwrap();
        let mut found = Vec::new();
        while !r.is_finished() {
            found.push(r.tlv_bytes().unwrap().to_vec());
        }
        found
    };
    let value = |der: &[u8]| crate::asn1::decode::<AnyRef<'_>>(der).unwrap().value().to_vec();
    let content_info = parts(&value(token));
    let signed = parts(&value(&value(&content_info[1])));
    assert_eq!(signed.len(), 4, "version, digests, content, signers");
    let rebuilt = |signed: &[Vec<u8>]| {
        let signed: Vec<&[u8]> = signed.iter().map(Vec::as_slice).collect();
        let token = sequence(&[&content_info[0], &context(0, &[&sequence(&signed)])]);
        sequence(&[&sequence(&[&[2, 1, 0]]), &token])
    };
    assert_eq!(rebuilt(&signed), bare);
    let with = |at: usize, replaces: bool, part: Vec<u8>| {
        let mut changed = signed.clone();
        changed.splice(at..at + usize::from(replaces), [part]);
        refusal(&rebuilt(&changed))
    };
    let stranger = context(0, &[other.chain[0].to_der()]);
    assert_eq!(
        with(3, false, stranger),
        TspError::Unsigned("a certificate that is not in its signer's chain")
    );
    assert_eq!(
        with(3, false, context(1, &[])),
        TspError::Unsigned("revocation lists")
    );
    let digests = TspError::Unsigned("digest algorithms other than the signer's");
    assert_eq!(with(1, true, element(crate::asn1::SET, &[])), digests);
    let twice = element(crate::asn1::SET, &[&value(&signed[1]), &value(&signed[1])]);
    assert_eq!(with(1, true, twice), digests);
    let mut signer = parts(&value(&value(&signed[3])));
    signer.push(context(1, &[]));
    let signer: Vec<&[u8]> = signer.iter().map(Vec::as_slice).collect();
    let signers = element(crate::asn1::SET, &[&sequence(&signer)]);
    assert_eq!(with(3, true, signers), TspError::Unsigned("unsigned attributes"));
}

/// CVE-2025-52556 (rfc3161-client): the signature itself was never checked.
#[test]
fn cve_2025_52556_every_octet_of_the_signature_counts() {
    let tsa = tsa(KeyAlgorithm::EcdsaP256);
    let authority = TimestampAuthority::new(tsa.signer.clone(), tsa.chain.clone(), false).unwrap();
    let good = authority
        .respond(&request(HashAlgorithm::Sha256, false), grant())
        .unwrap();
    let token = TimeStampResponse::from_der(&good).unwrap().granted().unwrap();
    // Nothing follows the signature in a response without unsigned attributes.
    assert!(good.ends_with(&token.signature));
    for at in good.len() - token.signature.len()..good.len() {
        let mut changed = good.clone();
        changed[at] ^= 1;
        assert!(
            verify(&changed, MESSAGE, &trust(&tsa.chain, true)).is_err(),
            "octet {at}"
        );
    }
    let mut empty = token;
    empty.signature.clear();
    assert_eq!(
        empty.verify(&trust(&tsa.chain, true)).unwrap_err(),
        TspError::Signature(SignatureError::Invalid)
    );
}

/// The whole response is made anew with another signature algorithm, so that only the comparison can refuse it.
#[test]
fn signature_algorithm_and_digest_algorithm_name_one_hash() {
    use HashAlgorithm::{Sha256, Sha384};
    let tsa = tsa(KeyAlgorithm::EcdsaP256);
    let authority = TimestampAuthority::new(tsa.signer.clone(), tsa.chain.clone(), false).unwrap();
    let good = authority.respond(&request(Sha256, false), grant()).unwrap();
    assert!(TimeStampResponse::from_der(&good).unwrap().granted().is_ok());
    // Both identifiers are as long as each other, and the response names the one it has once.
    let [from, to] = [Sha256, Sha384].map(|hash| SignatureAlgorithm::Ecdsa(hash).to_der());
    let places: Vec<usize> = (0..good.len())
        .filter(|at| good[*at..].starts_with(&from))
        .collect();
    assert_eq!((places.len(), from.len()), (1, to.len()));
    let mut other = good.clone();
    other[places[0]..places[0] + to.len()].copy_from_slice(&to);
    assert_eq!(
        TimeStampResponse::from_der(&other).unwrap_err(),
        TspError::Malformed("the signature algorithm names another hash than digestAlgorithm")
    );
    // RSA may leave the hash to digestAlgorithm, Ed25519 names none; both are read.
    let rsa = crate::asn1::sequence(&[&crate::asn1::oid(&oid::RSA_ENCRYPTION), crate::asn1::NULL]);
    for hash in HashAlgorithm::ALL {
        let read = |der: &[u8]| response::signature_algorithm(der, hash).unwrap();
        assert_eq!(read(&rsa), SignatureAlgorithm::Rsa(hash));
        assert_eq!(
            read(&SignatureAlgorithm::Ed25519.to_der()),
            SignatureAlgorithm::Ed25519
        );
        for named in HashAlgorithm::ALL {
            let der = SignatureAlgorithm::Rsa(named).to_der();
            assert_eq!(response::signature_algorithm(&der, hash).is_ok(), named == hash);
        }
    }
}

#[test]
fn time_of_the_statement_decides_about_the_chain() {
    let tsa = tsa(KeyAlgorithm::EcdsaP256);
    let authority = TimestampAuthority::new(tsa.signer.clone(), tsa.chain.clone(), false).unwrap();
    let at = |time| {
        let der = authority
            .respond(&request(HashAlgorithm::Sha256, false), Grant { time, ..grant() })
            .unwrap();
        verify(&der, MESSAGE, &trust(&tsa.chain, true))
    };
    assert!(at(NOW + 1000).is_ok());
    assert!(matches!(
        at(NOW + 1001).unwrap_err(),
        TspError::Chain(ChainError::Validity { .. })
    ));
    assert!(matches!(
        at(NOW - 1001).unwrap_err(),
        TspError::Chain(ChainError::Validity { .. })
    ));
}

#[test]
fn an_authority_needs_a_timestamping_certificate_of_its_key() {
    let tsa = tsa(KeyAlgorithm::EcdsaP256);
    let new = |chain: Vec<Certificate>| {
        TimestampAuthority::new(tsa.signer.clone(), chain, false)
            .err()
            .unwrap()
    };
    assert!(matches!(new(Vec::new()), TspError::SignerCertificate(_)));
    assert!(matches!(
        new(tsa.chain[1..].to_vec()),
        TspError::SignerCertificate("its key is not the signer's")
    ));
    for (what, extensions) in bad_extensions() {
        let leaf = sign_leaf(&tsa, extensions);
        assert!(
            matches!(new(vec![leaf]), TspError::SignerCertificate(_)),
            "{what}"
        );
    }
}

/// Leaves that must not sign timestamps (RFC 3161 §2.3).
fn bad_extensions() -> Vec<(&'static str, Vec<Extension>)> {
    let both = crate::asn1::sequence(&[
        &crate::asn1::oid(&oid::TIME_STAMPING),
        &crate::asn1::oid(&oid::CODE_SIGNING),
    ]);
    vec![
        ("no purpose", vec![ext::digital_signature()]),
        (
            "not critical",
            vec![ext::extended_key_usage(&oid::TIME_STAMPING, false)],
        ),
        (
            "other purpose",
            vec![ext::extended_key_usage(&oid::CODE_SIGNING, true)],
        ),
        (
            "two purposes",
            vec![Extension {
                oid: oid::EXTENDED_KEY_USAGE,
                critical: true,
                value: both,
            }],
        ),
        (
            "authority",
            vec![
                ext::extended_key_usage(&oid::TIME_STAMPING, true),
                ext::certificate_authority(None),
            ],
        ),
        (
            "key usage",
            vec![
                ext::extended_key_usage(&oid::TIME_STAMPING, true),
                ext::certificate_signing(),
            ],
        ),
    ]
}

fn sign_leaf(tsa: &Tsa, extensions: Vec<Extension>) -> Certificate {
    let tbs = TbsCertificate {
        serial: Serial::new(&[9]).unwrap(),
        issuer: tsa.chain[1].subject_der().to_vec(),
        not_before: NOW - 10,
        not_after: NOW + 10,
        subject: distinguished_name("sigbox", "bad"),
        key: tsa.signer.public_key().clone(),
        extensions,
    };
    tbs.sign(&tsa.mid_signer).unwrap()
}

/// GHSA-xm5m-wgh2-rrg3: purposes were checked on a certificate that had not signed.
#[test]
fn ghsa_xm5m_checks_are_on_the_certificate_that_signed() {
    let tsa = tsa(KeyAlgorithm::EcdsaP256);
    let authority = TimestampAuthority::new(tsa.signer.clone(), tsa.chain.clone(), true).unwrap();
    let der = authority
        .respond(&request(HashAlgorithm::Sha256, true), grant())
        .unwrap();
    let token = TimeStampResponse::from_der(&der).unwrap().granted().unwrap();
    let roots = TimestampTrust {
        leaf: None,
        intermediates: &[],
        roots: &tsa.chain[2..],
    };
    assert!(token.verify(&roots).is_ok());

    // The same key certified for code signing, with a proper timestamping certificate beside it in the bag.
    let attacker = sign_leaf(&tsa, vec![ext::extended_key_usage(&oid::CODE_SIGNING, false)]);
    let mut forged = token.clone();
    forged.certificates = vec![tsa.chain[0].clone(), attacker.clone(), tsa.chain[1].clone()];
    forged.signer = SignerId::IssuerAndSerial {
        issuer: attacker.issuer_der().to_vec(),
        serial: attacker.serial().to_vec(),
    };
    // The signature still holds (same key), so only the binding to the signer's certificate stands in the way.
    assert_eq!(
        forged.verify(&roots).unwrap_err(),
        TspError::SignerCertificate("the signingCertificate attribute names another")
    );
    let bound = HashAlgorithm::Sha256;
    forged.signing_certificate = response::CertificateId::Sha2(bound, bound.digest(attacker.to_der()));
    assert_eq!(
        forged.verify(&roots).unwrap_err(),
        TspError::SignerCertificate("timeStamping is not its one extended key usage")
    );
    // A trusted leaf is the only one that may have signed, whatever the bag holds.
    let other = self::tsa(KeyAlgorithm::EcdsaP256);
    assert_eq!(
        token.verify(&trust(&other.chain, true)).unwrap_err(),
        TspError::SignerCertificate("the signingCertificate attribute names another"),
        "same issuer name and serial number, another certificate"
    );
}

#[test]
fn requests_round_trip_and_openssl_writes_them_too() {
    for certificates in [false, true] {
        let request = request(HashAlgorithm::Sha384, certificates);
        assert_eq!(
            TimeStampRequest::from_der(&request.to_der().unwrap()).unwrap(),
            request
        );
    }
    let query = TimeStampRequest::from_der(&read_bytes("openssl.tsq")).unwrap();
    assert_eq!(query.imprint.checked(), Ok(HashAlgorithm::Sha512));
    assert!(query.imprint.is_of(MESSAGE) && query.certificates && !query.extensions);
    assert_eq!(query.to_der().unwrap(), read_bytes("openssl.tsq"));
}

#[test]
fn openssl_response_with_fraction_ordering_and_sha512_binding() {
    let chain = Certificate::chain_from_pem(&read("tsa-chain.pem"), 3).unwrap();
    let response = read_bytes("openssl.tsr");
    for with_leaf in [true, false] {
        let verified = verify(&response, MESSAGE, &trust(&chain, with_leaf)).unwrap();
        assert_eq!(verified.signer, chain[0]);
        assert!(verified.info.ordering && verified.info.nanos > 0);
        assert_eq!(verified.info.nanos % 1_000_000, 0);
    }
    for at in 0..response.len() {
        let mut changed = response.clone();
        changed[at] ^= 0x04;
        let _ = verify(&changed, MESSAGE, &trust(&chain, true));
    }
}

#[test]
fn malformed_requests() {
    let good = request(HashAlgorithm::Sha256, true).to_der().unwrap();
    for at in 0..good.len() {
        assert!(TimeStampRequest::from_der(&good[..at]).is_err());
        for flip in [1, 0x20, 0x80, 0xFF] {
            let mut changed = good.clone();
            changed[at] ^= flip;
            let _ = TimeStampRequest::from_der(&changed);
        }
    }
    assert!(TimeStampRequest::from_der(&[good.as_slice(), &[0]].concat()).is_err());
    assert_eq!(
        TimeStampRequest::from_der(&vec![0; MAX_LEN + 1]).unwrap_err(),
        TspError::TooLong(MAX_LEN + 1)
    );
    let mut weak = request(HashAlgorithm::Sha256, false);
    weak.imprint.digest.pop();
    let short = TspError::DigestLength {
        hash: HashAlgorithm::Sha256,
        expected: 32,
        got: 31,
    };
    assert_eq!(weak.imprint.checked(), Err(short.clone()));
    let tsa = tsa(KeyAlgorithm::EcdsaP256);
    let authority = TimestampAuthority::new(tsa.signer.clone(), tsa.chain.clone(), false).unwrap();
    assert_eq!(authority.respond(&weak, grant()).unwrap_err(), short);
    weak.imprint.algorithm = ImprintAlgorithm::Sha1;
    assert_eq!(
        authority.respond(&weak, grant()).unwrap_err(),
        TspError::UnsupportedHash
    );
}

fn lines(path: std::path::PathBuf) -> Vec<Value> {
    let text = std::fs::read_to_string(path).unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[test]
fn recorded_timestamp_authority_answers_verify() {
    let Some(vectors) = vectors() else { return };
    let exchanges = lines(vectors.join("tsa/exchanges.jsonl"));
    let decode = |value: &Value| STANDARD.decode(value.as_str().unwrap()).unwrap();
    let chain = exchanges
        .iter()
        .find(|exchange| exchange["name"] == "chain")
        .unwrap();
    let pem = String::from_utf8(decode(&chain["response_b64"])).unwrap();
    let chain = Certificate::chain_from_pem(&pem, 10).unwrap();
    assert_eq!(chain.len(), 3);
    let mut seen = 0;
    for exchange in exchanges {
        if exchange["response_type"] != "application/timestamp-reply" || exchange["status"] != 200 {
            continue;
        }
        let der = decode(&exchange["response_b64"]);
        let token = TimeStampResponse::from_der(&der).unwrap().granted().unwrap();
        let verified = token.verify(&trust(&chain, true)).unwrap();
        if exchange["content_type"] == "application/timestamp-query" {
            let request = TimeStampRequest::from_der(&decode(&exchange["request_b64"])).unwrap();
            assert_eq!(request.imprint, verified.info.imprint);
            assert_eq!(request.nonce, verified.info.nonce);
            assert_eq!(request.certificates, !token.certificates.is_empty());
        }
        // Our writer gives the same octets as upstream's for the same statement.
        assert_eq!(verified.info.to_der().unwrap(), token.content);
        seen += 1;
    }
    assert!(seen >= 8, "{seen}");
}

#[test]
fn timestamps_of_the_conformance_bundles() {
    let Some(vectors) = vectors() else { return };
    let json = |path: std::path::PathBuf| -> Option<Value> {
        serde_json::from_slice(&std::fs::read(path).ok()?).ok()
    };
    let (mut good, mut refused) = (0, 0);
    for case in std::fs::read_dir(vectors.join("conformance")).unwrap() {
        let case = case.unwrap();
        let name = case.file_name().into_string().unwrap();
        let Some(bundle) = json(case.path().join("bundle.sigstore.json")) else {
            continue;
        };
        let root = json(case.path().join("trusted_root.json"))
            .unwrap_or_else(|| json(vectors.join("public-good/trusted_root.json")).unwrap());
        let stamps = &bundle["verificationMaterial"]["timestampVerificationData"]["rfc3161Timestamps"];
        let sig = bundle["messageSignature"]["signature"]
            .as_str()
            .or_else(|| bundle["dsseEnvelope"]["signatures"][0]["sig"].as_str())
            .and_then(|text| STANDARD.decode(text).ok());
        let (Some(stamps), Some(sig)) = (stamps.as_array(), sig) else {
            continue;
        };
        for stamp in stamps {
            // One case has its base64 in lines.
            let text: String = stamp["signedTimestamp"]
                .as_str()
                .unwrap()
                .split_whitespace()
                .collect();
            let der = STANDARD.decode(text).unwrap();
            let verified = root["timestampAuthorities"]
                .as_array()
                .into_iter()
                .flatten()
                .any(|authority| {
                    let chain: Vec<_> = authority["certChain"]["certificates"]
                        .as_array()
                        .unwrap()
                        .iter()
                        .map(|cert| {
                            Certificate::from_der(
                                &STANDARD.decode(cert["rawBytes"].as_str().unwrap()).unwrap(),
                            )
                        })
                        .collect::<Result<_, _>>()
                        .unwrap();
                    let with_leaf = !chain[0].is_ca();
                    let intermediates = if with_leaf {
                        &chain[1..chain.len() - 1]
                    } else {
                        &chain[..chain.len() - 1]
                    };
                    let trust = TimestampTrust {
                        leaf: with_leaf.then_some(&chain[0]),
                        intermediates,
                        roots: &chain[chain.len() - 1..],
                    };
                    verify(&der, &sig, &trust).is_ok()
                });
            if name.contains("untrusted-tsa") {
                assert!(!verified, "{name}");
                refused += 1;
            } else if !name.ends_with("_fail") {
                assert!(verified, "{name}");
                good += 1;
            }
        }
    }
    assert!(good >= 5 && refused == 2, "{good} good, {refused} refused");
}
