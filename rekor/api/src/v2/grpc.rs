//! The gRPC service, on the port of the HTTP API: the same entries, the same checks, the same errors.
//!
//! A request is written as the JSON it would be over HTTP and goes the same way from there, so that nothing is verified in two
//! places; its lists are counted before. Reads are left to HTTP, as upstream leaves them to whatever serves its tiles.

pub mod generated;

use std::sync::Arc;

use axum::Router;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use common_engine::Receipt;
use common_server::grpc;
use common_tlog::Hash;
use rekor_entry::v2::check_dsse_lengths;
use serde_json::{Value, json};
use tonic::service::Routes;
use tonic::{Request, Response, Status};

use super::create::{KindVersion, check, log};
use super::error::ApiError;
use super::{Policy, Service};

use generated::dev::sigstore::rekor::v1::{
    Checkpoint, InclusionProof, KindVersion as KindVersionMessage, LogId, TransparencyLogEntry,
};
use generated::dev::sigstore::rekor::v2::create_entry_request::Spec;
use generated::dev::sigstore::rekor::v2::rekor_server::{Rekor, RekorServer};
use generated::dev::sigstore::rekor::v2::verifier::Verifier as Material;
use generated::dev::sigstore::rekor::v2::{
    CreateEntryRequest, Empty, EntryBundleRequest, TileRequest, Verifier,
};
use generated::google::api::HttpBody;

/// The routes of the service. Entries go to the active shard.
pub fn router(service: Arc<Service>) -> Router {
    let limit = service.body;
    let server = RekorServer::new(Doors(Arc::clone(&service))).max_decoding_message_size(limit);
    grpc::router(Routes::new(server), limit, move |path| {
        if path.ends_with("/CreateEntry") {
            service.writes.check().map_err(ApiError::from)?;
        }
        Ok(())
    })
}

#[derive(Clone)]
struct Doors(Arc<Service>);

#[tonic::async_trait]
impl Rekor for Doors {
    async fn create_entry(
        &self,
        request: Request<CreateEntryRequest>,
    ) -> Result<Response<TransparencyLogEntry>, Status> {
        check(&self.0).await?;
        let request = request.into_inner();
        check_lengths(&request, &self.0.policy)?;
        let json = move || bytes::Bytes::from(to_json(request).to_string());
        let made = log(&self.0, json, |shard, kind, receipt| {
            transparency_log_entry(shard.key_hash, kind, receipt)
        });
        Ok(Response::new(made.await?))
    }

    async fn get_tile(&self, _: Request<TileRequest>) -> Result<Response<HttpBody>, Status> {
        Err(over_http("tile/<L>/<N>"))
    }

    async fn get_entry_bundle(&self, _: Request<EntryBundleRequest>) -> Result<Response<HttpBody>, Status> {
        Err(over_http("tile/entries/<N>"))
    }

    async fn get_checkpoint(&self, _: Request<Empty>) -> Result<Response<HttpBody>, Status> {
        Err(over_http("checkpoint"))
    }
}

fn over_http(path: &str) -> Status {
    Status::unimplemented(format!("read it over HTTP: GET /api/v2/{path}"))
}

/// Two octets of a message make an item of some hundred in JSON: long lists are refused before, as they are there.
fn check_lengths(request: &CreateEntryRequest, policy: &Policy) -> Result<(), ApiError> {
    let Some(Spec::DsseRequestV002(request)) = &request.spec else {
        return Ok(());
    };
    let envelope = request.envelope.as_ref();
    let signatures = envelope.map_or(0, |envelope| envelope.signatures.len());
    Ok(check_dsse_lengths(request.verifiers.len(), signatures, policy)?)
}

/// The request in proto-JSON. What is not set is left out, as is an empty field, which is the same in proto3.
fn to_json(request: CreateEntryRequest) -> Value {
    match request.spec {
        None => json!({}),
        Some(Spec::HashedRekordRequestV002(request)) => {
            let signature = request.signature.map(|signature| {
                json!({
                    "content": STANDARD.encode(&signature.content),
                    "verifier": signature.verifier.map(verifier),
                })
            });
            json!({"hashedRekordRequestV002": {
                "digest": STANDARD.encode(&request.digest),
                "signature": signature,
            }})
        }
        Some(Spec::DsseRequestV002(request)) => {
            let envelope = request.envelope.map(|envelope| {
                let signatures = envelope.signatures.iter().map(
                    |signature| json!({"sig": STANDARD.encode(&signature.sig), "keyid": signature.keyid}),
                );
                json!({
                    "payload": STANDARD.encode(&envelope.payload),
                    "payloadType": envelope.payload_type,
                    "signatures": signatures.collect::<Vec<_>>(),
                })
            });
            let verifiers: Vec<Value> = request.verifiers.into_iter().map(verifier).collect();
            json!({"dsseRequestV002": {"envelope": envelope, "verifiers": verifiers}})
        }
    }
}

fn verifier(message: Verifier) -> Value {
    let raw = |octets: &[u8]| json!({"rawBytes": STANDARD.encode(octets)});
    let mut verifier = json!({"keyDetails": message.key_details});
    if let Some(members) = verifier.as_object_mut() {
        match message.verifier {
            Some(Material::PublicKey(key)) => {
                drop(members.insert("publicKey".to_owned(), raw(&key.raw_bytes)))
            }
            Some(Material::X509Certificate(certificate)) => {
                drop(members.insert("x509Certificate".to_owned(), raw(&certificate.raw_bytes)));
            }
            None => {}
        }
    }
    verifier
}

fn transparency_log_entry(key_hash: Hash, kind: KindVersion, receipt: Receipt) -> TransparencyLogEntry {
    let number = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    let octets = |hash: &Hash| bytes::Bytes::copy_from_slice(hash.as_bytes());
    let Receipt {
        leaf, proof, head, ..
    } = receipt;
    TransparencyLogEntry {
        log_index: number(leaf.index),
        log_id: Some(LogId {
            key_id: octets(&key_hash),
        }),
        kind_version: Some(KindVersionMessage {
            kind: kind.kind.to_owned(),
            version: kind.version.to_owned(),
        }),
        integrated_time: 0,
        inclusion_promise: None,
        inclusion_proof: Some(InclusionProof {
            log_index: number(leaf.index),
            root_hash: octets(&head.root),
            tree_size: number(head.size),
            hashes: proof.iter().map(octets).collect(),
            checkpoint: Some(Checkpoint {
                envelope: head.checkpoint.clone(),
            }),
        }),
        canonicalized_body: leaf.data,
    }
}

#[cfg(test)]
mod tests;
