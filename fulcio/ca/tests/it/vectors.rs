//! Recorded issuances of the released Fulcio, compared field by field.

use common_pki::cert::{Certificate, SubjectAltName};
use common_pki::key::{KeyAlgorithm, Signer as _};
use common_pki::{oid, sct};
use fulcio_ca::Configuration;
use http::StatusCode;
use serde_json::{Value, json};

use crate::support::*;

/// Where an answer differs from the recorded one on purpose (`docs/divergences.md`): a status, or the texts that stand
/// in place of others in the certificate. What is listed and does not differ fails.
const DIFFERENT: [(&str, Difference); 3] = [
    // The claim named url leads nowhere: the configured default is fixed.
    (
        "github claim named url",
        Difference::Text("https://evil.example", "https://github.com"),
    ),
    // Fulcio #2406, mended after the release that was recorded.
    (
        "github numeric id",
        Difference::Text("1.23456789012e+11", "123456789012"),
    ),
    // Nobody's account: https://kubernetes.io/namespaces//serviceaccounts/
    (
        "kubernetes no claim",
        Difference::Refused("kubernetes.io.namespace: expected"),
    ),
];

enum Difference {
    Text(&'static str, &'static str),
    Refused(&'static str),
}

fn recorded() -> Option<Vec<Value>> {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../../shared/vectors/fulcio/issuances.jsonl"
    );
    match std::fs::read_to_string(path) {
        Ok(text) => Some(
            text.lines()
                .map(|line| serde_json::from_str(line).unwrap())
                .collect(),
        ),
        Err(cause) => {
            eprintln!("skipped: {path}: {cause}");
            None
        }
    }
}

/// The configuration that it was recorded with, as it is.
fn configuration() -> Configuration {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../../shared/vectors/fulcio/config.yaml"
    );
    let text = std::fs::read_to_string(path).unwrap().replace("BASE", BASE);
    let configuration = Configuration::parse(text.as_bytes(), &|_| unreachable!()).unwrap();
    assert_eq!(configuration.warnings, Vec::<String>::new());
    configuration
}

/// `BASE` stands for the issuer's origin throughout the recording.
fn rebased(value: &Value) -> Value {
    serde_json::from_str(&value.to_string().replace("BASE", BASE)).unwrap()
}

#[tokio::test]
async fn issuances_as_recorded() {
    let Some(lines) = recorded() else { return };
    let mut compared = 0;
    for line in lines.iter().map(rebased) {
        let name = line["name"].as_str().unwrap().to_owned();
        let name = name.as_str();
        let answer = replay(&line).await;
        let line = match DIFFERENT.iter().find(|(one, _)| *one == name) {
            None => line,
            Some((_, Difference::Text(theirs, ours))) => {
                let (text, recorded) = (line.to_string(), line["certificate"].to_string());
                let other = recorded.replace(theirs, ours);
                assert_ne!(
                    other, recorded,
                    "{name}: {theirs} is not in the recorded certificate"
                );
                serde_json::from_str(&text.replace(&recorded, &other)).unwrap()
            }
            Some((_, Difference::Refused(part))) => {
                assert_eq!(line["status"], 200, "{name}");
                assert_eq!(
                    answer.status,
                    StatusCode::BAD_REQUEST,
                    "{name}: {}",
                    answer.text()
                );
                assert!(answer.message().contains(part), "{name}: {}", answer.text());
                compared += 1;
                continue;
            }
        };
        assert_eq!(
            u64::from(answer.status.as_u16()),
            line["status"],
            "{name}: {}",
            answer.text()
        );
        if answer.status.is_success() {
            compare(name, &line, &answer);
        } else {
            let recorded: Value = serde_json::from_str(line["response"].as_str().unwrap()).unwrap();
            let first = recorded["message"].as_str().unwrap();
            assert!(answer.message().starts_with(first), "{name}: {}", answer.text());
            assert!(
                answer.message().len() > first.len() || first.starts_with("x509"),
                "{name} says no cause"
            );
            assert_eq!(answer.json()["code"], recorded["code"], "{name}");
        }
        compared += 1;
    }
    assert_eq!(compared, 58);
}

/// Asks for what was asked when it was recorded.
async fn replay(line: &Value) -> Answered {
    let stack = Stack::with(configuration().issuers, Default::default());
    let issuer = format!("{BASE}/{}", line["issuer"].as_str().unwrap());
    stack
        .web
        .publish(&issuer, &json!([stack.token_key.jwk("k1")]), &["RS256"]);
    let now = stack.clock.seconds();
    let mut claims = stack.claims();
    claims
        .as_object_mut()
        .unwrap()
        .retain(|name, _| ["iss", "aud", "iat", "exp"].contains(&name.as_str()));
    claims["iss"] = json!(issuer);
    for (name, value) in line["claims"].as_object().unwrap() {
        claims[name] = match name.as_str() {
            "exp" => json!(now - 60),
            "nbf" => json!(now + 3_600),
            _ => value.clone(),
        };
    }
    let name = line["name"].as_str().unwrap();
    let token = match name {
        "token alg none" => sign_token(&json!({"alg": "none"}), &claims, |_| Vec::new()),
        "token garbage" => "garbage".to_owned(),
        "token many dots" => ".".repeat(1_000),
        "token empty" => String::new(),
        _ => stack.token(&claims),
    };
    let algorithm = match name {
        "key p384" => KeyAlgorithm::EcdsaP384,
        "key p521" => KeyAlgorithm::EcdsaP521,
        "key ed25519" => KeyAlgorithm::Ed25519,
        "key rsa2048" => KeyAlgorithm::Rsa2048,
        "key rsa4096" => KeyAlgorithm::Rsa4096,
        _ => KeyAlgorithm::EcdsaP256,
    };
    let signed = line["proof_of_possession_over"].as_str().unwrap();
    let client = Client::new(algorithm);
    let mut body = client.body(&token, signed);
    if name == "pop by another key" {
        let other = Client::new(algorithm);
        body["publicKeyRequest"]["proofOfPossession"] =
            other.body(&token, signed)["publicKeyRequest"]["proofOfPossession"].clone();
    }
    if name == "key rsa1024" {
        body["publicKeyRequest"]["publicKey"]["content"] = json!(RSA_1024);
    }
    if line["csr"] == true {
        body = json!({"credentials": body["credentials"], "certificateSigningRequest": csr()});
    }
    let path = line["path"].as_str().unwrap();
    if path == "/api/v1/signingCert" {
        use base64::Engine as _;
        let base64 = base64::engine::general_purpose::STANDARD;
        let key = &body["publicKeyRequest"];
        let body = json!({
            "publicKey": {"algorithm": "ecdsa", "content": base64.encode(client.0.public_key().spki_der())},
            "signedEmailAddress": key["proofOfPossession"],
        });
        let bearer = format!("Bearer {token}");
        return stack
            .post(path, &[("authorization", &bearer)], body.to_string())
            .await;
    }
    stack.post(path, &[], body.to_string()).await
}

/// A request for a P-256 key with an empty subject, as sigstore-python sends it: base64 of PEM.
pub fn csr() -> String {
    csr_with(&rcgen::PKCS_ECDSA_P256_SHA256)
}

/// The same with another key and hash.
pub fn csr_with(algorithm: &'static rcgen::SignatureAlgorithm) -> String {
    use base64::Engine as _;
    let key = rcgen::KeyPair::generate_for(algorithm).unwrap();
    let mut params = rcgen::CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    let pem = params.serialize_request(&key).unwrap().pem().unwrap();
    base64::engine::general_purpose::STANDARD.encode(pem)
}

fn compare(name: &str, line: &Value, answer: &Answered) {
    let recorded = &line["certificate"];
    let pems = match answer.status {
        StatusCode::CREATED => {
            assert_eq!(
                answer.headers["content-type"],
                "application/pem-certificate-chain"
            );
            assert!(!answer.text().ends_with('\n'));
            let mut pems: Vec<_> = answer
                .text()
                .split_inclusive("-----END CERTIFICATE-----")
                .map(str::to_owned)
                .collect();
            pems.retain(|pem| !pem.trim().is_empty());
            pems
        }
        _ => answer.certificates(),
    };
    assert_eq!(pems.len(), 3, "{name}: leaf, intermediate, root");
    assert!(pems.iter().all(|pem| pem.trim_end() == pem), "{name}: trimmed");
    let leaf = Certificate::from_pem(&pems[0]).unwrap();
    let issuer = Certificate::from_pem(&pems[1]).unwrap();

    assert_eq!(leaf.not_before(), START, "{name}: no backdating");
    assert_eq!(
        leaf.not_after() - leaf.not_before(),
        recorded["validity_s"],
        "{name}"
    );
    assert_eq!(leaf.subject_text(), recorded["subject"], "{name}");
    assert_eq!(
        leaf.signature_algorithm().unwrap().oid(),
        oid::ECDSA_SHA256,
        "{name}: {}",
        recorded["signature"]
    );
    assert_eq!(leaf.issuer_der(), issuer.subject_der(), "{name}");
    leaf.verify_signature(issuer.public_key().unwrap()).unwrap();

    // The recording had no log: ours has one extension more, the last.
    let (last, extensions) = leaf.extensions().split_last().unwrap();
    assert_eq!((last.oid, last.critical), (oid::SCT_LIST, false), "{name}");
    assert_eq!(
        sct::embedded_scts(&leaf).unwrap().len(),
        1,
        "{name}: exactly one timestamp"
    );
    let wanted = recorded["extensions"].as_array().unwrap();
    assert_eq!(extensions.len(), wanted.len(), "{name}");
    for (ours, wanted) in extensions.iter().zip(wanted) {
        assert_eq!(ours.oid.to_string(), wanted["oid"], "{name}");
        assert_eq!(ours.critical, wanted["critical"], "{name}: {}", wanted["oid"]);
        for (kind, value) in wanted.as_object().unwrap() {
            let text = value.as_str().unwrap_or_default();
            match kind.as_str() {
                "oid" | "critical" => {}
                "der" => assert_eq!(hex(&ours.value), text, "{name}"),
                "length" => assert_eq!(json!(ours.value.len()), *value, "{name}: {}", wanted["oid"]),
                "raw" => assert_eq!(ours.value, text.as_bytes(), "{name}"),
                "utf8string" => {
                    let der = [&[0x0c, text.len() as u8], text.as_bytes()].concat();
                    assert_eq!(ours.value, der, "{name}: {}", wanted["oid"]);
                }
                "names" => {
                    assert_eq!(value.as_array().unwrap().len(), 1, "{name}");
                    assert_eq!(
                        leaf.subject_alt_names().unwrap(),
                        [recorded_name(&value[0])],
                        "{name}"
                    );
                }
                other => panic!("{name}: {other} is not compared"),
            }
        }
    }
}

fn recorded_name(name: &Value) -> SubjectAltName {
    let (kind, value) = name.as_object().unwrap().iter().next().unwrap();
    let text = || value.as_str().unwrap().to_owned();
    match kind.as_str() {
        "RFC822Name" => SubjectAltName::Email(text()),
        "UniformResourceIdentifier" => SubjectAltName::Uri(text()),
        "OtherName" => {
            assert_eq!(value["type_id"], "1.3.6.1.4.1.57264.1.7");
            // A UTF8String of less than 128 bytes.
            let der = value["der"].as_str().unwrap();
            let octets: Vec<_> = (0..der.len())
                .step_by(2)
                .map(|at| u8::from_str_radix(&der[at..at + 2], 16).unwrap())
                .collect();
            assert_eq!((octets[0], usize::from(octets[1])), (0x0c, octets.len() - 2));
            SubjectAltName::Username(String::from_utf8(octets[2..].to_vec()).unwrap())
        }
        other => panic!("{other} is not compared"),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A public key made for this test; nobody has the private half.
const RSA_1024: &str = "-----BEGIN PUBLIC KEY-----\n\
MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQC/Bvj/HUPhslPU+A485lzUbvh8\n\
CHsEMNAv55DUd882TnG7u9zsPH/wdacplgdqgoLWnFGdrju1w4vVswGvcYf33SDD\n\
jR6XXfV6Vo2BCm6e/XPs8k9iVFLElYQdI6mQPRwyjffZW2l/srugscQQh+GpcY3o\n\
gxXq84yKjFHSbI0ByQIDAQAB\n\
-----END PUBLIC KEY-----\n\
";
