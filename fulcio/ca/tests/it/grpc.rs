//! The gRPC services through their generated clients.

use std::time::Duration;

use axum::body::Body;
use common_pki::cert::Certificate;
use common_pki::key::{KeyAlgorithm, Signer as _};
use fulcio_ca::grpc::generated::dev::sigstore::fulcio::v1beta::ca_client::CaClient as LegacyClient;
use fulcio_ca::grpc::generated::dev::sigstore::fulcio::{v1beta, v2};
use fulcio_ca::grpc::generated::grpc::health::v1::HealthCheckRequest;
use fulcio_ca::grpc::generated::grpc::health::v1::health_client::HealthClient;
use tonic::Code;
use tower::ServiceExt as _;
use tower::util::BoxCloneSyncService;
use v2::ca_client::CaClient;
use v2::create_signing_certificate_request::Key;
use v2::credentials::Credentials;
use v2::signing_certificate::Certificate as Answer;

use crate::support::*;
use crate::vectors::csr;

type Transport =
    BoxCloneSyncService<http::Request<tonic::body::Body>, http::Response<Body>, std::convert::Infallible>;

fn transport(stack: &Stack) -> Transport {
    let router = stack.router.clone();
    BoxCloneSyncService::new(
        router.map_request(|request: http::Request<tonic::body::Body>| request.map(Body::new)),
    )
}

fn request(client: &Client, token: &str) -> v2::CreateSigningCertificateRequest {
    v2::CreateSigningCertificateRequest {
        credentials: Some(v2::Credentials {
            credentials: Some(Credentials::OidcIdentityToken(token.to_owned())),
        }),
        key: Some(Key::PublicKeyRequest(v2::PublicKeyRequest {
            public_key: Some(v2::PublicKey {
                algorithm: 0,
                content: client.0.public_key().to_pem().into_bytes().into(),
            }),
            proof_of_possession: client.0.sign(b"dev@example.com").unwrap().into(),
        })),
    }
}

fn chain(answer: v2::SigningCertificate) -> Vec<String> {
    match answer.certificate {
        Some(Answer::SignedCertificateEmbeddedSct(embedded)) => embedded.chain.unwrap().certificates,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn certificates_over_grpc() {
    let stack = Stack::new();
    let token = stack.token(&stack.claims());
    let client = Client::new(KeyAlgorithm::EcdsaP256);
    let mut ca = CaClient::new(transport(&stack));
    let answer = ca
        .create_signing_certificate(request(&client, &token))
        .await
        .unwrap()
        .into_inner();
    let chain_pem = chain(answer);
    let leaf = Certificate::from_pem(&chain_pem[0]).unwrap();
    assert_eq!(leaf.spki_der(), client.0.public_key().spki_der());
    assert_eq!(chain_pem.len(), 3);

    // DER instead of PEM, token in the metadata.
    let mut bare = request(&client, "");
    if let Some(Key::PublicKeyRequest(key)) = &mut bare.key {
        key.public_key.as_mut().unwrap().content = client.0.public_key().spki_der().to_vec().into();
    }
    bare.credentials = None;
    let mut bare = tonic::Request::new(bare);
    bare.metadata_mut()
        .insert("oidcidentitytoken", token.parse().unwrap());
    assert_eq!(
        chain(ca.create_signing_certificate(bare).await.unwrap().into_inner()).len(),
        3
    );

    // A certificate signing request.
    use base64::Engine as _;
    let mut signing_request = request(&client, &token);
    let pem = base64::engine::general_purpose::STANDARD.decode(csr()).unwrap();
    signing_request.key = Some(Key::CertificateSigningRequest(pem.into()));
    assert_eq!(
        chain(
            ca.create_signing_certificate(signing_request)
                .await
                .unwrap()
                .into_inner()
        )
        .len(),
        3
    );

    let bundle = ca
        .get_trust_bundle(v2::GetTrustBundleRequest {})
        .await
        .unwrap()
        .into_inner();
    assert_eq!(bundle.chains[0].certificates, chain_pem[1..]);
    let configuration = ca
        .get_configuration(v2::GetConfigurationRequest {})
        .await
        .unwrap()
        .into_inner();
    assert_eq!(configuration.issuers.len(), 2);
    assert_eq!(configuration.issuers[0].challenge_claim, "email");
}

#[tokio::test]
async fn refusals_over_grpc() {
    let stack = Stack::new();
    let token = stack.token(&stack.claims());
    let client = Client::new(KeyAlgorithm::EcdsaP256);
    let mut ca = CaClient::new(transport(&stack));
    let status = ca
        .create_signing_certificate(request(&client, ""))
        .await
        .unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    assert!(
        status
            .message()
            .starts_with("There was an error processing the identity token: "),
        "{status}"
    );
    let mut twice = tonic::Request::new(request(&client, ""));
    twice
        .metadata_mut()
        .append("oidcidentitytoken", token.parse().unwrap());
    twice
        .metadata_mut()
        .append("oidcidentitytoken", token.parse().unwrap());
    let status = ca.create_signing_certificate(twice).await.unwrap_err();
    assert!(
        status
            .message()
            .contains("expected exactly one oidcidentitytoken header, got 2"),
        "{status}"
    );
    let mut forged = request(&client, &token);
    if let Some(Key::PublicKeyRequest(key)) = &mut forged.key {
        key.proof_of_possession = vec![0; 64].into();
    }
    let status = ca.create_signing_certificate(forged).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    assert!(
        status
            .message()
            .starts_with("The signature supplied in the request could not be verified"),
        "{status}"
    );
    *stack.log.mood.lock().unwrap() = LogMood::Unavailable;
    let status = ca
        .create_signing_certificate(request(&client, &token))
        .await
        .unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    let mut huge = request(&client, &token);
    huge.key = Some(Key::CertificateSigningRequest(vec![0; 5 << 20].into()));
    let status = ca.create_signing_certificate(huge).await.unwrap_err();
    assert_eq!(status.code(), Code::ResourceExhausted, "{status}");
    assert_eq!(stack.log.calls(), 1);
}

#[tokio::test]
async fn the_legacy_service_and_health() {
    let stack = Stack::new();
    let token = stack.token(&stack.claims());
    let client = Client::new(KeyAlgorithm::EcdsaP256);
    let mut legacy = LegacyClient::new(transport(&stack));
    let mut request = tonic::Request::new(v1beta::CreateSigningCertificateRequest {
        public_key: Some(v1beta::PublicKey {
            algorithm: "ecdsa".to_owned(),
            content: client.0.public_key().spki_der().to_vec().into(),
        }),
        signed_email_address: client.0.sign(b"dev@example.com").unwrap().into(),
        certificate_signing_request: Default::default(),
    });
    request
        .metadata_mut()
        .insert("oidcidentitytoken", token.parse().unwrap());
    request.set_timeout(Duration::from_secs(5));
    let body = legacy
        .create_signing_certificate(request)
        .await
        .unwrap()
        .into_inner();
    assert_eq!(body.content_type, "application/pem-certificate-chain");
    let chain = Certificate::chain_from_pem(std::str::from_utf8(&body.data).unwrap(), 3).unwrap();
    assert_eq!(chain.len(), 3);
    let roots = legacy
        .get_root_certificate(v1beta::GetRootCertificateRequest {})
        .await
        .unwrap()
        .into_inner();
    assert_eq!(roots.data, stack.get("/api/v1/rootCert").await.body);

    let mut health = HealthClient::new(transport(&stack));
    let answer = health
        .check(HealthCheckRequest::default())
        .await
        .unwrap()
        .into_inner();
    assert_eq!(answer.status, 1);
}

#[tokio::test]
async fn large_messages_take_turns() {
    let stack = Stack::new();
    let token = stack.token(&stack.claims());
    let client = Client::new(KeyAlgorithm::EcdsaP256);
    let held: Vec<_> = (0..16)
        .map(|_| {
            let call = http::Request::post("/dev.sigstore.fulcio.v2.CA/CreateSigningCertificate")
                .header("content-type", "application/grpc");
            let call = call.body(unfinished(vec![0; 300 * 1024])).unwrap();
            tokio::spawn(stack.router.clone().oneshot(call))
        })
        .collect();
    tokio::task::yield_now().await;
    let large = || {
        let mut large = request(&client, &token);
        large.key = Some(Key::CertificateSigningRequest(vec![0; 300 * 1024].into()));
        large
    };
    let mut ca = CaClient::new(transport(&stack));
    let status = ca.create_signing_certificate(large()).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable, "{status}");
    ca.create_signing_certificate(request(&client, &token))
        .await
        .expect("a call as clients make it has no part in this");
    for call in held {
        call.abort();
        let _ = call.await;
    }
    let status = ca.create_signing_certificate(large()).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument, "{status}");
    // The limit of one message is its own, without what stands before it.
    let mut most = request(&client, &token);
    most.key = Some(Key::CertificateSigningRequest(vec![0; (4 << 20) - 2_000].into()));
    let status = ca.create_signing_certificate(most).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument, "{status}");
}
