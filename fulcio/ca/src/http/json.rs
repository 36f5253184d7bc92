//! Requests in the JSON of protocol buffers, read the way upstream's gateway does.
//!
//! camelCase or snake_case names, any base64 alphabet with or without padding, unknown members ignored,
//! `null` the same as absent (ProtoJSON; grpc-gateway sets `DiscardUnknown`). No member of a message may come
//! twice, under either name: a request that two readers understand differently should not pass. Errors name the
//! field and the kind of value, never the value.

use serde::Deserialize;
use serde_json::error::Category;

use super::member::Member;
use crate::error::Error;
use crate::possession::KeyRequest;

const BODY: &str = "request body";

/// `dev.sigstore.fulcio.v2.CreateSigningCertificateRequest`.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct SigningCertificate {
    credentials: Member<Credentials>,
    #[serde(alias = "public_key_request")]
    public_key_request: Member<PublicKeyRequest>,
    #[serde(alias = "certificate_signing_request")]
    certificate_signing_request: Member,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Credentials {
    #[serde(alias = "oidc_identity_token")]
    oidc_identity_token: Member,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct PublicKeyRequest {
    #[serde(alias = "public_key")]
    public_key: Member<PublicKey>,
    #[serde(alias = "proof_of_possession")]
    proof_of_possession: Member,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct PublicKey {
    algorithm: Member,
    content: Member,
}

/// `dev.sigstore.fulcio.v1beta.CreateSigningCertificateRequest`.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct LegacySigningCertificate {
    #[serde(alias = "public_key")]
    public_key: Member<PublicKey>,
    #[serde(alias = "signed_email_address")]
    signed_email_address: Member,
    #[serde(alias = "certificate_signing_request")]
    certificate_signing_request: Member,
}

/// The request's body. Empty means an empty message, as the gateway has it.
fn parse<M: Default + for<'de> Deserialize<'de>>(body: &[u8]) -> Result<M, Error> {
    if body.trim_ascii().is_empty() {
        return Ok(M::default());
    }
    let value: Member<M> = serde_json::from_slice(body).map_err(|cause| {
        // The parser's message may repeat input; its position does not. Every kind of value is taken, so that what is
        // wrong with JSON that is JSON is a member that comes twice.
        let what = match cause.classify() {
            Category::Data => "a member twice",
            Category::Io | Category::Syntax | Category::Eof => "invalid JSON",
        };
        Error::Request {
            field: BODY.to_owned(),
            expected: "a JSON object with no member twice".to_owned(),
            got: format!("{what} at line {} column {}", cause.line(), cause.column()),
        }
    })?;
    match value {
        Member::Object(message) => Ok(message),
        other => Err(other.unexpected(BODY, "an object")),
    }
}

/// The token, if the body has one, and the key.
pub(super) fn signing_certificate(body: &[u8]) -> Result<(Option<String>, KeyRequest), Error> {
    let request: SigningCertificate = parse(body)?;
    let token = match request.credentials.message("credentials")? {
        Some(credentials) => credentials
            .oidc_identity_token
            .text("credentials.oidcIdentityToken")?,
        None => None,
    };
    let key = request.public_key_request.message("publicKeyRequest")?;
    let csr = request
        .certificate_signing_request
        .bytes("certificateSigningRequest")?;
    let key = match (key, csr) {
        (None, None) => KeyRequest::None,
        (None, Some(csr)) => KeyRequest::Csr(csr),
        (Some(request), None) => {
            let content = match request.public_key.message("publicKeyRequest.publicKey")? {
                Some(key) => {
                    // sigstore-go sends "RSA", which is no value of the enumeration; the key says what it is.
                    key.algorithm
                        .ignored_enum("publicKeyRequest.publicKey.algorithm")?;
                    key.content.text("publicKeyRequest.publicKey.content")?
                }
                None => None,
            };
            KeyRequest::PublicKey {
                content: content.unwrap_or_default().into_bytes(),
                proof: request
                    .proof_of_possession
                    .bytes("publicKeyRequest.proofOfPossession")?
                    .unwrap_or_default(),
            }
        }
        // A oneof holds one field (ProtoJSON); upstream's gateway refuses two.
        (Some(_), Some(_)) => {
            return Err(Error::Request {
                field: "key".to_owned(),
                expected: "one of publicKeyRequest and certificateSigningRequest".to_owned(),
                got: "both".to_owned(),
            });
        }
    };
    Ok((token.filter(|token| !token.is_empty()), key))
}

/// The key of the legacy API, where a signing request wins over a key.
pub(super) fn legacy_signing_certificate(body: &[u8]) -> Result<KeyRequest, Error> {
    let request: LegacySigningCertificate = parse(body)?;
    let content = match request.public_key.message("publicKey")? {
        Some(key) => {
            key.algorithm.text("publicKey.algorithm")?;
            key.content.bytes("publicKey.content")?
        }
        None => None,
    };
    let proof = request.signed_email_address.bytes("signedEmailAddress")?;
    let csr = request
        .certificate_signing_request
        .bytes("certificateSigningRequest")?
        .unwrap_or_default();
    Ok(match content {
        _ if !csr.is_empty() => KeyRequest::Csr(csr),
        None => KeyRequest::None,
        Some(content) => KeyRequest::PublicKey {
            content,
            proof: proof.unwrap_or_default(),
        },
    })
}
