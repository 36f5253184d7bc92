#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]
//! The gRPC service through its generated client, against the HTTP API and the recorded exchanges.

use std::convert::Infallible;

use axum::body::Body;
use common_engine::LogState;
use common_pki::registry::SigningAlgorithm;
use generated::dev::sigstore::rekor::v2::rekor_client::RekorClient;
use generated::dev::sigstore::rekor::v2::{
    DsseRequestV002, HashedRekordRequestV002, PublicKey, Signature, X509Certificate,
};
use generated::io::intoto::{Envelope, Signature as EnvelopeSignature};
use tower::ServiceExt as _;
use tower::util::BoxCloneSyncService;

use super::*;
use crate::testing::{Stack, TILES, exchanges, get, post, recorded_request, unbase64};
use tonic::Code;

type Transport = BoxCloneSyncService<http::Request<tonic::body::Body>, http::Response<Body>, Infallible>;

fn client(stack: &Stack) -> RekorClient<Transport> {
    let router = stack.grpc.clone();
    let transport = router.map_request(|request: http::Request<tonic::body::Body>| request.map(Body::new));
    RekorClient::new(BoxCloneSyncService::new(transport))
}

/// What is absent is empty; `None` where no message can say it.
fn octets(value: Option<&Value>) -> Option<bytes::Bytes> {
    let Some(value) = value else {
        return Some(bytes::Bytes::new());
    };
    STANDARD.decode(value.as_str()?).ok().map(Into::into)
}

/// By name or by number; absent it is 0.
fn key_details(value: Option<&Value>) -> Option<i32> {
    let Some(value) = value else { return Some(0) };
    if let Some(number) = value.as_i64() {
        return i32::try_from(number).ok();
    }
    SigningAlgorithm::from_proto_name(value.as_str()?).map(SigningAlgorithm::proto_number)
}

/// The message of a request in proto-JSON, as a client with the real definitions sends it; `None` where it cannot.
fn message(request: &Value) -> Option<CreateEntryRequest> {
    let verifier = |json: &Value| {
        let material = match (json.get("publicKey"), json.get("x509Certificate")) {
            (Some(key), None) => Material::PublicKey(PublicKey {
                raw_bytes: octets(key.get("rawBytes"))?,
            }),
            (None, Some(certificate)) => Material::X509Certificate(X509Certificate {
                raw_bytes: octets(certificate.get("rawBytes"))?,
            }),
            _ => return None,
        };
        Some(Verifier {
            key_details: key_details(json.get("keyDetails"))?,
            verifier: Some(material),
        })
    };
    let spec = match (
        request.get("hashedRekordRequestV002"),
        request.get("dsseRequestV002"),
    ) {
        (Some(json), None) => Spec::HashedRekordRequestV002(HashedRekordRequestV002 {
            digest: octets(json.get("digest"))?,
            signature: Some(Signature {
                content: octets(json.pointer("/signature/content"))?,
                verifier: Some(verifier(json.pointer("/signature/verifier")?)?),
            }),
        }),
        (None, Some(json)) => {
            let signatures = json.pointer("/envelope/signatures")?.as_array()?.iter();
            let signatures = signatures.map(|signature| {
                Some(EnvelopeSignature {
                    sig: octets(signature.get("sig"))?,
                    keyid: String::new(),
                })
            });
            let verifiers = json["verifiers"].as_array()?.iter().map(verifier);
            Spec::DsseRequestV002(DsseRequestV002 {
                envelope: Some(Envelope {
                    payload: octets(json.pointer("/envelope/payload"))?,
                    payload_type: json.pointer("/envelope/payloadType")?.as_str()?.to_owned(),
                    signatures: signatures.collect::<Option<_>>()?,
                }),
                verifiers: verifiers.collect::<Option<_>>()?,
            })
        }
        _ => return None,
    };
    Some(CreateEntryRequest { spec: Some(spec) })
}

#[tokio::test]
async fn entries_over_grpc_are_those_over_http() {
    let stack = Stack::new().await;
    let mut client = client(&stack);
    let request = crate::testing::dsse_request();
    let made = client
        .create_entry(message(&request).unwrap())
        .await
        .unwrap()
        .into_inner();
    let again = post(&stack.v2, "/api/v2/log/entries", request.to_string()).await;
    assert_eq!((again.status.as_u16(), again.header("x-log-index")), (409, "0"));
    let proof = made.inclusion_proof.unwrap();
    let checkpoint = get(&stack.v2, "/checkpoint").await;
    assert_eq!(
        proof.checkpoint.unwrap().envelope.as_bytes(),
        &checkpoint.body[..]
    );
    assert_eq!(made.log_id.unwrap().key_id.len(), 32);
    assert_eq!(
        (proof.tree_size, proof.hashes.len(), made.integrated_time),
        (1, 0, 0)
    );
    assert_eq!(
        proof.root_hash,
        common_tlog::leaf_hash(&made.canonicalized_body).0.as_slice()
    );

    let twice = client.create_entry(message(&request).unwrap()).await.unwrap_err();
    assert_eq!(twice.code(), Code::AlreadyExists);
    assert_eq!(twice.metadata().get("x-log-index").unwrap(), "0");
    let read = client.get_checkpoint(Empty {}).await.unwrap_err();
    assert_eq!(read.code(), Code::Unimplemented);
    assert_eq!(read.message(), "read it over HTTP: GET /api/v2/checkpoint");
}

/// Each became JSON before it was counted: gigabytes of a message of 4 MiB.
#[tokio::test]
async fn long_lists_are_refused_before_they_are_json() {
    let stack = Stack::new().await;
    let mut client = client(&stack);
    // Nothing else is right in these: what is said of them shows what was looked at first.
    let request = |verifiers, signatures, envelope: bool| CreateEntryRequest {
        spec: Some(Spec::DsseRequestV002(DsseRequestV002 {
            envelope: envelope.then(|| Envelope {
                signatures: vec![EnvelopeSignature::default(); signatures],
                ..Envelope::default()
            }),
            verifiers: vec![Verifier::default(); verifiers],
        })),
    };
    for (request, message) in [
        (
            request(0, 100_000, true),
            "invalid dsse request: too many envelope signatures: got 100000, at most 10 are allowed",
        ),
        (
            request(100_000, 0, false),
            "invalid dsse request: too many verifiers: got 100000, at most 10 are allowed",
        ),
        (request(0, 10, true), "invalid dsse request: missing verifiers"),
    ] {
        let refused = client.create_entry(request).await.unwrap_err();
        assert_eq!(
            (refused.code(), refused.message()),
            (Code::InvalidArgument, message)
        );
    }
    assert_eq!(stack.size(TILES), 0);
}

#[tokio::test]
async fn recorded_requests_get_the_same_over_grpc() {
    let Some(exchanges) = exchanges("rekor-v2") else {
        return;
    };
    let mut compared = 0;
    for exchange in exchanges
        .iter()
        .filter(|exchange| exchange.path == "/api/v2/log/entries")
    {
        let Some(message) = message(&serde_json::from_str(&exchange.request).unwrap_or_default()) else {
            continue;
        };
        // Each on a log of its own: what was there before changes nothing.
        let (one, two) = (Stack::new().await, Stack::new().await);
        let over_http = post(&one.v2, &exchange.path, exchange.request.clone()).await;
        let over_grpc = client(&two).create_entry(message).await;
        compared += 1;
        match over_grpc {
            Ok(entry) => {
                assert_eq!(over_http.status, 201, "{}", exchange.name);
                let body = unbase64(&over_http.json()["canonicalizedBody"]);
                assert_eq!(entry.into_inner().canonicalized_body, body, "{}", exchange.name);
            }
            Err(status) => {
                assert_eq!(
                    over_http.json()["code"],
                    i32::from(status.code()),
                    "{}",
                    exchange.name
                );
                assert_eq!(over_http.json()["message"], status.message(), "{}", exchange.name);
            }
        }
    }
    assert!(compared >= 15, "{compared}");
}

#[tokio::test]
async fn a_frozen_log_and_a_large_message_are_refused() {
    let stack = Stack::new().await;
    let mut client = client(&stack);
    assert_eq!(
        client
            .create_entry(CreateEntryRequest { spec: None })
            .await
            .unwrap_err()
            .code(),
        Code::InvalidArgument
    );
    let large = CreateEntryRequest {
        spec: Some(Spec::HashedRekordRequestV002(HashedRekordRequestV002 {
            digest: vec![0; 5 << 20].into(),
            signature: None,
        })),
    };
    assert_eq!(
        client.create_entry(large).await.unwrap_err().code(),
        Code::ResourceExhausted
    );
    stack.engine.set_state(TILES, LogState::Frozen).await.unwrap();
    let Some(request) = recorded_request("rekor-v2", "p256") else {
        return;
    };
    let request = message(&serde_json::from_str(&request).unwrap()).unwrap();
    let frozen = client.create_entry(request).await.unwrap_err();
    assert_eq!(frozen.code(), Code::Unimplemented);
    assert_eq!(
        frozen.message(),
        "This log has been frozen, please switch to the latest log."
    );
}
