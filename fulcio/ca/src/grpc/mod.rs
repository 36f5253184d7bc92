//! The gRPC services, current and legacy, and the health check that probes use.
//!
//! They are routes of the same router as the REST API, so that one port serves both (sigstore-java signs
//! through gRPC only, at the authority of the configured URL).

pub mod generated;

use std::sync::Arc;

use axum::Router;
use common_server::{grpc, reply};
use tonic::metadata::MetadataMap;
use tonic::service::Routes;
use tonic::{Request, Response, Status};

use crate::error::{Code, Error};
use crate::http::MAX_BODY;
use crate::identity::TokenError;
use crate::metrics;
use crate::possession::KeyRequest;
use crate::service::{Ca, CertificateRequest, PemChain};

use generated::dev::sigstore::fulcio::v1beta::ca_server::{Ca as LegacyService, CaServer as LegacyServer};
use generated::dev::sigstore::fulcio::v1beta::{
    CreateSigningCertificateRequest as LegacyRequest, GetRootCertificateRequest,
};
use generated::dev::sigstore::fulcio::v2::ca_server::{Ca as Service, CaServer as Server};
use generated::dev::sigstore::fulcio::v2::create_signing_certificate_request::Key;
use generated::dev::sigstore::fulcio::v2::credentials::Credentials;
use generated::dev::sigstore::fulcio::v2::oidc_issuer::Issuer;
use generated::dev::sigstore::fulcio::v2::signing_certificate::Certificate;
use generated::dev::sigstore::fulcio::v2::{
    CertificateChain, Configuration, CreateSigningCertificateRequest, GetConfigurationRequest,
    GetTrustBundleRequest, OidcIssuer, SigningCertificate, SigningCertificateEmbeddedSct, TrustBundle,
};
use generated::google::api::HttpBody;
use generated::grpc::health::v1::health_check_response::ServingStatus;
use generated::grpc::health::v1::health_server::{Health, HealthServer};
use generated::grpc::health::v1::{HealthCheckRequest, HealthCheckResponse};

const SERVICE: &str = "dev.sigstore.fulcio.v2.CA";
const LEGACY: &str = "dev.sigstore.fulcio.v1beta.CA";
const HEALTH: &str = "grpc.health.v1.Health";

/// The routes.
pub(crate) fn router(ca: Arc<Ca>) -> Router {
    let admission = ca.admission().clone();
    let doors = Doors(ca);
    let mut routes = Routes::builder();
    routes
        .add_service(Server::new(doors.clone()).max_decoding_message_size(MAX_BODY))
        .add_service(LegacyServer::new(doors.clone()).max_decoding_message_size(MAX_BODY))
        .add_service(HealthServer::new(doors));
    grpc::router(routes.routes(), MAX_BODY, move |path| {
        if !path.ends_with("/CreateSigningCertificate") {
            return Ok(());
        }
        admission
            .check()
            .map_err(|cause| grpc::overloaded(cause.to_string()))
    })
}

#[derive(Clone)]
struct Doors(Arc<Ca>);

#[tonic::async_trait]
impl Service for Doors {
    async fn create_signing_certificate(
        &self,
        request: Request<CreateSigningCertificateRequest>,
    ) -> Result<Response<SigningCertificate>, Status> {
        let answer = async {
            let (metadata, _, request) = request.into_parts();
            let token = match request.credentials.and_then(|one| one.credentials) {
                Some(Credentials::OidcIdentityToken(token)) if !token.is_empty() => token,
                _ => token(&metadata)?,
            };
            let key = match request.key {
                Some(Key::CertificateSigningRequest(csr)) => KeyRequest::Csr(csr.to_vec()),
                Some(Key::PublicKeyRequest(request)) => KeyRequest::PublicKey {
                    content: request.public_key.unwrap_or_default().content.to_vec(),
                    proof: request.proof_of_possession.to_vec(),
                },
                None => KeyRequest::None,
            };
            let certificates = self.0.issue(|| Ok(CertificateRequest { token, key })).await?;
            let chain = Some(CertificateChain { certificates });
            let embedded = SigningCertificateEmbeddedSct { chain };
            Ok(SigningCertificate {
                certificate: Some(Certificate::SignedCertificateEmbeddedSct(embedded)),
            })
        };
        finish(SERVICE, "CreateSigningCertificate", answer.await)
    }

    async fn get_trust_bundle(
        &self,
        _: Request<GetTrustBundleRequest>,
    ) -> Result<Response<TrustBundle>, Status> {
        let chains = self
            .0
            .chains()
            .into_iter()
            .map(|certificates| CertificateChain { certificates })
            .collect();
        finish(SERVICE, "GetTrustBundle", Ok(TrustBundle { chains }))
    }

    async fn get_configuration(
        &self,
        _: Request<GetConfigurationRequest>,
    ) -> Result<Response<Configuration>, Status> {
        let issuers = self
            .0
            .issuer_configs()
            .into_iter()
            .map(|issuer| OidcIssuer {
                issuer: Some(match issuer.is_meta() {
                    false => Issuer::IssuerUrl(issuer.issuer_url().to_owned()),
                    true => Issuer::WildcardIssuerUrl(issuer.issuer_url().to_owned()),
                }),
                audience: issuer.audiences.first().cloned().unwrap_or_default(),
                challenge_claim: issuer.challenge_claim().to_owned(),
                spiffe_trust_domain: issuer.identity_type.trust_domain().to_owned(),
                issuer_type: issuer.identity_type.name().to_owned(),
                subject_domain: issuer.identity_type.subject_domain().to_owned(),
                skip_email_verification: issuer.identity_type.skips_verification(),
            })
            .collect();
        finish(SERVICE, "GetConfiguration", Ok(Configuration { issuers }))
    }
}

#[tonic::async_trait]
impl LegacyService for Doors {
    async fn create_signing_certificate(
        &self,
        request: Request<LegacyRequest>,
    ) -> Result<Response<HttpBody>, Status> {
        let answer = async {
            let (metadata, _, request) = request.into_parts();
            let token = token(&metadata)?;
            let key = match request.public_key {
                _ if !request.certificate_signing_request.is_empty() => {
                    KeyRequest::Csr(request.certificate_signing_request.to_vec())
                }
                Some(key) => KeyRequest::PublicKey {
                    content: key.content.to_vec(),
                    proof: request.signed_email_address.to_vec(),
                },
                None => KeyRequest::None,
            };
            Ok(pem(&[self
                .0
                .issue(|| Ok(CertificateRequest { token, key }))
                .await?]))
        };
        finish(LEGACY, "CreateSigningCertificate", answer.await)
    }

    async fn get_root_certificate(
        &self,
        _: Request<GetRootCertificateRequest>,
    ) -> Result<Response<HttpBody>, Status> {
        finish(LEGACY, "GetRootCertificate", Ok(pem(&self.0.chains())))
    }
}

#[tonic::async_trait]
impl Health for Doors {
    async fn check(&self, _: Request<HealthCheckRequest>) -> Result<Response<HealthCheckResponse>, Status> {
        finish(
            HEALTH,
            "Check",
            Ok(HealthCheckResponse {
                status: ServingStatus::Serving.into(),
            }),
        )
    }
}

fn pem(chains: &[PemChain]) -> HttpBody {
    HttpBody {
        content_type: crate::PEM_CHAIN_TYPE.to_owned(),
        data: crate::join_chains(chains).into_bytes().into(),
    }
}

/// The token where upstream's interceptor looks for it: exactly one `oidcidentitytoken`.
fn token(metadata: &MetadataMap) -> Result<String, TokenError> {
    let mut values = metadata.get_all("oidcidentitytoken").iter();
    let Some(value) = values.next() else {
        return Err(TokenError::Missing);
    };
    let rest = values.count();
    if rest > 0 {
        return Err(TokenError::Ambiguous {
            header: "oidcidentitytoken",
            got: rest.saturating_add(1),
        });
    }
    value
        .to_str()
        .map(str::to_owned)
        .map_err(|_| TokenError::Encoding { part: "header" })
}

fn finish<T>(
    service: &'static str,
    method: &'static str,
    answer: Result<T, Error>,
) -> Result<Response<T>, Status> {
    let answer = answer.map(Response::new).map_err(|error| {
        let wait = match &error {
            Error::Overloaded => Some(reply::retry_after_seconds().into()),
            other => other.retry_after(),
        };
        let code = match error.code() {
            Code::InvalidArgument => tonic::Code::InvalidArgument,
            Code::PermissionDenied => tonic::Code::PermissionDenied,
            Code::ResourceExhausted => tonic::Code::ResourceExhausted,
            Code::Unimplemented => tonic::Code::Unimplemented,
            Code::Internal => tonic::Code::Internal,
            Code::Unavailable => tonic::Code::Unavailable,
        };
        let status = Status::new(code, error.to_string());
        match wait {
            Some(seconds) => grpc::pushed_back(status, seconds),
            None => status,
        }
    });
    metrics::called(
        service,
        method,
        answer.as_ref().map_or_else(Status::code, |_| tonic::Code::Ok),
    );
    answer
}
