//! Answers in the JSON of protocol buffers: camelCase, unset fields written out (grpc-gateway's
//! `EmitUnpopulated`), and the legacy API's PEM.

use std::sync::Arc;

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::{StatusCode, header};
use serde::Serialize;

use crate::error::Code;
use crate::identity::IssuerConfig;
use crate::service::PemChain;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct SigningCertificate {
    signed_certificate_embedded_sct: EmbeddedSct,
}

#[derive(Serialize)]
struct EmbeddedSct {
    chain: CertificateChain,
}

#[derive(Serialize)]
struct CertificateChain {
    certificates: PemChain,
}

#[derive(Serialize)]
struct TrustBundle {
    chains: Vec<CertificateChain>,
}

#[derive(Serialize)]
struct Configuration<'a> {
    issuers: Vec<Issuer<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Issuer<'a> {
    // One of these: what is not set of a oneof is not written.
    #[serde(skip_serializing_if = "Option::is_none")]
    issuer_url: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    wildcard_issuer_url: Option<&'a str>,
    audience: &'a str,
    challenge_claim: &'a str,
    spiffe_trust_domain: &'a str,
    issuer_type: &'a str,
    subject_domain: &'a str,
    skip_email_verification: bool,
}

#[derive(Serialize)]
struct Status<'a> {
    code: i32,
    message: &'a str,
    details: [(); 0],
}

/// `SigningCertificate`. 200, which sigstore-go and sigstore-java demand.
pub(super) fn signing_certificate(certificates: PemChain) -> Response {
    let chain = CertificateChain { certificates };
    Json(SigningCertificate {
        signed_certificate_embedded_sct: EmbeddedSct { chain },
    })
    .into_response()
}

/// `TrustBundle`.
pub(super) fn trust_bundle(chains: Vec<PemChain>) -> Response {
    let chains = chains
        .into_iter()
        .map(|certificates| CertificateChain { certificates })
        .collect();
    Json(TrustBundle { chains }).into_response()
}

/// `Configuration`.
pub(super) fn configuration(issuers: &[Arc<IssuerConfig>]) -> Response {
    let issuers = issuers
        .iter()
        .map(|issuer| Issuer {
            issuer_url: (!issuer.is_meta()).then(|| issuer.issuer_url()),
            wildcard_issuer_url: issuer.is_meta().then(|| issuer.issuer_url()),
            audience: issuer.audiences.first().map_or("", String::as_str),
            challenge_claim: issuer.challenge_claim(),
            spiffe_trust_domain: issuer.identity_type.trust_domain(),
            issuer_type: issuer.identity_type.name(),
            subject_domain: issuer.identity_type.subject_domain(),
            skip_email_verification: issuer.identity_type.skips_verification(),
        })
        .collect();
    Json(Configuration { issuers }).into_response()
}

/// `google.rpc.Status`, as the gateway writes errors.
pub(super) fn error(code: Code, message: &str) -> Response {
    let status = match code {
        Code::InvalidArgument => StatusCode::BAD_REQUEST,
        Code::PermissionDenied => StatusCode::FORBIDDEN,
        Code::Unimplemented => StatusCode::NOT_IMPLEMENTED,
        Code::ResourceExhausted => StatusCode::TOO_MANY_REQUESTS,
        Code::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        Code::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
    };
    let mut response = (
        status,
        Json(Status {
            code: code as i32,
            message,
            details: [],
        }),
    )
        .into_response();
    if code == Code::Unavailable {
        response
            .headers_mut()
            .insert(header::RETRY_AFTER, common_server::reply::retry_after());
    }
    response
}

/// The legacy API's answer: every chain, leaf first, one PEM block after the other, no final line feed.
pub(super) fn pem(status: StatusCode, chains: &[PemChain]) -> Response {
    let content_type = [(header::CONTENT_TYPE, crate::PEM_CHAIN_TYPE)];
    (status, content_type, crate::join_chains(chains)).into_response()
}
