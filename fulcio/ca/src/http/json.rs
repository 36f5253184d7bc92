//! Requests in the JSON of protocol buffers, read the way upstream's gateway does.
//!
//! camelCase or snake_case names, any base64 alphabet with or without padding, unknown members ignored,
//! `null` the same as absent (ProtoJSON; grpc-gateway sets `DiscardUnknown`). Errors name the field and the
//! kind of value, never the value: a misplaced token must not come back in an answer.

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde_json::{Map, Value};

use super::unique::Unique;
use crate::error::Error;
use crate::possession::KeyRequest;

/// A JSON object and where it stands in the request.
pub(super) struct Object {
    path: String,
    members: Map<String, Value>,
}

impl Object {
    /// The request's body. Empty means an empty message, as the gateway has it.
    pub(super) fn parse(body: &[u8]) -> Result<Self, Error> {
        if body.trim_ascii().is_empty() {
            return Ok(Self {
                path: String::new(),
                members: Map::new(),
            });
        }
        // The parser's message may repeat input; its position does not.
        let Unique(value) = serde_json::from_slice(body).map_err(|cause| Error::Request {
            field: "request body".to_owned(),
            expected: "a JSON object with no member twice".to_owned(),
            got: format!("invalid JSON at line {} column {}", cause.line(), cause.column()),
        })?;
        Self::from_value("request body".to_owned(), value, "")
    }

    fn from_value(field: String, value: Value, path: &str) -> Result<Self, Error> {
        match value {
            Value::Object(members) => Ok(Self {
                path: path.to_owned(),
                members,
            }),
            other => Err(unexpected(field, "an object", &other)),
        }
    }

    fn field(&self, name: &str) -> String {
        if self.path.is_empty() {
            name.to_owned()
        } else {
            format!("{}.{name}", self.path)
        }
    }

    /// Takes a member under its camelCase or its snake_case name.
    fn take(&mut self, name: &str) -> Result<Option<Value>, Error> {
        let snake: String = name
            .chars()
            .flat_map(|c| {
                c.is_ascii_uppercase()
                    .then_some('_')
                    .into_iter()
                    .chain([c.to_ascii_lowercase()])
            })
            .collect();
        let camel = self.members.remove(name);
        let other = if snake == name {
            None
        } else {
            self.members.remove(&snake)
        };
        if camel.is_some() && other.is_some() {
            return Err(Error::Request {
                field: self.field(name),
                expected: "one member".to_owned(),
                got: format!("{name} and {snake}"),
            });
        }
        Ok(camel.or(other).filter(|value| !value.is_null()))
    }

    /// A message, empty if absent; and whether it was there.
    fn message(&mut self, name: &str) -> Result<Option<Self>, Error> {
        let field = self.field(name);
        self.take(name)?
            .map(|value| Self::from_value(field.clone(), value, &field))
            .transpose()
    }

    fn text(&mut self, name: &str) -> Result<Option<String>, Error> {
        match self.take(name)? {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(other) => Err(unexpected(self.field(name), "a string", &other)),
        }
    }

    fn bytes(&mut self, name: &str) -> Result<Option<Vec<u8>>, Error> {
        let Some(text) = self.text(name)? else {
            return Ok(None);
        };
        let engine = if text.contains(['-', '_']) {
            &URL_SAFE
        } else {
            &STANDARD
        };
        engine.decode(text).map(Some).map_err(|_| Error::Request {
            field: self.field(name),
            expected: "base64".to_owned(),
            got: "a string that is not".to_owned(),
        })
    }

    /// An enumeration that is not used: a name or a number, whatever it says.
    fn ignored_enum(&mut self, name: &str) -> Result<(), Error> {
        match self.take(name)? {
            None | Some(Value::String(_) | Value::Number(_)) => Ok(()),
            Some(other) => Err(unexpected(self.field(name), "a string or a number", &other)),
        }
    }
}

const ANY_PADDING: GeneralPurposeConfig = GeneralPurposeConfig::new()
    .with_decode_padding_mode(DecodePaddingMode::Indifferent)
    .with_decode_allow_trailing_bits(true);
const STANDARD: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, ANY_PADDING);
const URL_SAFE: GeneralPurpose = GeneralPurpose::new(&alphabet::URL_SAFE, ANY_PADDING);

fn unexpected(field: String, expected: &str, got: &Value) -> Error {
    let got = match got {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    };
    Error::Request {
        field,
        expected: expected.to_owned(),
        got: got.to_owned(),
    }
}

/// `CreateSigningCertificateRequest` of `dev.sigstore.fulcio.v2`: its token, if the body has one, and its key.
pub(super) fn signing_certificate(body: &[u8]) -> Result<(Option<String>, KeyRequest), Error> {
    let mut request = Object::parse(body)?;
    let token = match request.message("credentials")? {
        Some(mut credentials) => credentials.text("oidcIdentityToken")?,
        None => None,
    };
    let key = request.message("publicKeyRequest")?;
    let csr = request.bytes("certificateSigningRequest")?;
    let key = match (key, csr) {
        (None, None) => KeyRequest::None,
        (None, Some(csr)) => KeyRequest::Csr(csr),
        (Some(mut request), None) => {
            let content = match request.message("publicKey")? {
                Some(mut key) => {
                    // sigstore-go sends "RSA", which is no value of the enumeration; the key says what it is.
                    key.ignored_enum("algorithm")?;
                    key.text("content")?
                }
                None => None,
            };
            KeyRequest::PublicKey {
                content: content.unwrap_or_default().into_bytes(),
                proof: request.bytes("proofOfPossession")?.unwrap_or_default(),
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

/// `CreateSigningCertificateRequest` of `dev.sigstore.fulcio.v1beta`, where a signing request wins over a key.
pub(super) fn legacy_signing_certificate(body: &[u8]) -> Result<KeyRequest, Error> {
    let mut request = Object::parse(body)?;
    let content = match request.message("publicKey")? {
        Some(mut key) => {
            key.text("algorithm")?;
            key.bytes("content")?
        }
        None => None,
    };
    let proof = request.bytes("signedEmailAddress")?;
    let csr = request.bytes("certificateSigningRequest")?.unwrap_or_default();
    Ok(match content {
        _ if !csr.is_empty() => KeyRequest::Csr(csr),
        None => KeyRequest::None,
        Some(content) => KeyRequest::PublicKey {
            content,
            proof: proof.unwrap_or_default(),
        },
    })
}
