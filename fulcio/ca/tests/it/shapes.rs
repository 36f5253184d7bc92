//! The shape of every answer, current and legacy.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use common_pki::cert::Certificate;
use common_pki::key::{KeyAlgorithm, Signer as _};
use http::StatusCode;
use serde_json::json;

use crate::support::*;
use crate::vectors::{csr, csr_with};

#[tokio::test]
async fn trust_bundle_and_root_certificate() {
    let stack = Stack::new();
    let pem = stack.chain.pem();
    let answer = stack.get("/api/v2/trustBundle").await;
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(answer.json(), json!({"chains": [{"certificates": pem}]}));
    let answer = stack.get("/api/v1/rootCert").await;
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(
        answer.headers["content-type"],
        "application/pem-certificate-chain"
    );
    assert_eq!(answer.text(), pem.join("\n"));
}

#[tokio::test]
async fn configuration_writes_unset_fields_out() {
    let stack = Stack::new();
    let answer = stack.get("/api/v2/configuration").await;
    let issuer = |url: String| {
        json!({"issuerUrl": url, "audience": "sigstore", "challengeClaim": "email", "spiffeTrustDomain": "",
            "issuerType": "email", "subjectDomain": "", "skipEmailVerification": false})
    };
    let issuers = [issuer(format!("{BASE}/dex")), issuer(format!("{BASE}/email"))];
    assert_eq!(answer.json(), json!({"issuers": issuers}));
}

#[tokio::test]
async fn legacy_takes_a_key_in_der_or_pem_and_prefers_a_request() {
    let stack = Stack::new();
    let bearer = format!("Bearer {}", stack.token(&stack.claims()));
    let headers = [("authorization", bearer.as_str())];
    let client = Client::new(KeyAlgorithm::EcdsaP256);
    let key = client.0.public_key();
    let proof = STANDARD.encode(client.0.sign(b"dev@example.com").unwrap());
    for content in [STANDARD.encode(key.spki_der()), STANDARD.encode(key.to_pem())] {
        let body =
            json!({"publicKey": {"content": content, "algorithm": "ecdsa"}, "signedEmailAddress": proof});
        let answer = stack
            .post("/api/v1/signingCert", &headers, body.to_string())
            .await;
        assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.text());
        let leaf = Certificate::chain_from_pem(&answer.text(), 3).unwrap().remove(0);
        assert_eq!(leaf.spki_der(), key.spki_der());
    }
    let body = json!({"publicKey": {"content": STANDARD.encode(key.spki_der())}, "certificateSigningRequest": csr()});
    let answer = stack
        .post("/api/v1/signingCert", &headers, body.to_string())
        .await;
    assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.text());
    let leaf = Certificate::chain_from_pem(&answer.text(), 3).unwrap().remove(0);
    assert_ne!(leaf.spki_der(), key.spki_der());
    // The token in the body is no part of the legacy request.
    let body = json!({"credentials": {"oidcIdentityToken": bearer}, "certificateSigningRequest": csr()});
    let answer = stack.post("/api/v1/signingCert", &[], body.to_string()).await;
    assert_refused(
        &answer,
        &bearer,
        "There was an error processing the identity token",
        &["got none"],
    );
    let answer = stack.post("/api/v1/signingCert", &headers, "{}").await;
    assert_refused(
        &answer,
        &bearer,
        "The public key supplied in the request could not be parsed",
        &["got neither"],
    );
}

#[tokio::test]
async fn signing_requests_are_held_to_the_registry() {
    let stack = Stack::new();
    let token = stack.token(&stack.claims());
    let post = |csr: String| {
        let body = json!({"credentials": {"oidcIdentityToken": token}, "certificateSigningRequest": csr});
        stack.post("/api/v2/signingCert", &[], body.to_string())
    };
    for good in [
        &rcgen::PKCS_ECDSA_P384_SHA384,
        &rcgen::PKCS_ED25519,
        &rcgen::PKCS_RSA_SHA256,
    ] {
        let answer = post(csr_with(good)).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
    }
    let answer = post(csr_with(&rcgen::PKCS_RSA_SHA512)).await;
    assert_refused(
        &answer,
        &token,
        "signing algorithm not permitted: ",
        &["sha512; permitted: ecdsa-sha2-256-nistp256, "],
    );
    // A request whose own signature is broken.
    let pem = String::from_utf8(STANDARD.decode(csr()).unwrap()).unwrap();
    let mut der = common_pki::pem::decode_one(pem.as_bytes()).unwrap().contents;
    *der.last_mut().unwrap() ^= 1;
    let broken = STANDARD.encode(common_pki::pem::encode("CERTIFICATE REQUEST", &der));
    let answer = post(broken).await;
    assert_refused(
        &answer,
        &token,
        "The signature supplied in the request could not be verified",
        &["expected", "got"],
    );
    for noise in ["AAAA", "", "LS0tLS1CRUdJTiBDRVJUSUZJQ0FURSBSRVFVRVNULS0tLS0K"] {
        let answer = post(noise.to_owned()).await;
        assert_refused(
            &answer,
            &token,
            "The certificate signing request could not be parsed",
            &["expected"],
        );
    }
}

#[tokio::test]
async fn figures_under_the_names_of_upstream() {
    let recorder = metrics_exporter_prometheus::PrometheusBuilder::new().build_recorder();
    let guard = metrics::set_default_local_recorder(&recorder);
    let stack = Stack::new();
    let token = stack.token(&stack.claims());
    stack.sign_in(&token, "dev@example.com").await;
    stack.sign_in(&token, "someone else").await;
    let invented = http::Request::builder()
        .method("INVENTED")
        .uri("/api/v2/trustBundle");
    stack
        .send(invented.body(axum::body::Body::empty()).unwrap())
        .await;
    drop(guard);
    let text = recorder.handle().render();
    for line in [
        "fulcio_new_certs 1",
        "http_requests_total{code=\"200\",method=\"post\"} 1",
        "http_requests_total{code=\"400\",method=\"post\"} 1",
        "http_requests_total{code=\"501\",method=\"unknown\"} 1",
        "fulcio_api_latency_count{code=\"200\",method=\"post\"} 1",
    ] {
        assert!(text.contains(line), "{line} is not in {text}");
    }
}
