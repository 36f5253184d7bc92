//! Fulcio's gRPC methods by hand, so that a story needs no generated client: frames of gRPC over HTTP/2 and the few fields of
//! `fulcio.proto` and `fulcio_legacy.proto` that are used.

use reqwest::{Client, Response};

/// Calls one method of an authority.
pub struct Authority {
    client: Client,
    url: String,
}

/// Why a call was refused.
#[derive(Debug, PartialEq, Eq)]
pub struct Status {
    /// `google.rpc.Code`.
    pub code: u32,
    /// As it was sent: percent-encoded.
    pub message: String,
}

impl Authority {
    /// At `url`, in clear text.
    pub fn at(url: &str) -> Self {
        let client = Client::builder().http2_prior_knowledge().build().unwrap();
        let url = url.to_owned();
        Self { client, url }
    }

    /// `v2.CA/CreateSigningCertificate` with the token in the message: the chain, PEM, leaf first.
    pub async fn certificate(&self, token: &str, key: &str, proof: &[u8]) -> Result<Vec<String>, Status> {
        let request = [
            field(1, &field(1, token.as_bytes())),
            field(
                2,
                &[field(1, &field(2, key.as_bytes())), field(2, proof)].concat(),
            ),
        ];
        let answer = self
            .call("dev.sigstore.fulcio.v2.CA", &request.concat(), None)
            .await?;
        // SigningCertificate.signed_certificate_embedded_sct.chain.certificates
        let chain = only(&only(&answer, 2), 1);
        let certificates = fields(&chain).into_iter().filter(|(number, _)| *number == 1);
        Ok(certificates
            .map(|(_, pem)| String::from_utf8(pem).unwrap())
            .collect())
    }

    /// `v1beta.CA/CreateSigningCertificate`, whose token is metadata: the chain in one text.
    pub async fn legacy_certificate(&self, token: &str, key: &[u8], proof: &[u8]) -> Result<String, Status> {
        let request = [
            field(1, &[field(1, b"ecdsa"), field(2, key)].concat()),
            field(2, proof),
        ];
        let service = "dev.sigstore.fulcio.v1beta.CA";
        let answer = self.call(service, &request.concat(), Some(token)).await?;
        // google.api.HttpBody.data
        Ok(String::from_utf8(only(&answer, 2)).unwrap())
    }

    async fn call(&self, service: &str, message: &[u8], token: Option<&str>) -> Result<Vec<u8>, Status> {
        let length = u32::try_from(message.len()).unwrap().to_be_bytes();
        let body = [&[0][..], &length, message].concat();
        let url = format!("{}/{service}/CreateSigningCertificate", self.url);
        let mut request = self.client.post(url).header("content-type", "application/grpc");
        request = request.header("te", "trailers");
        if let Some(token) = token {
            request = request.header("oidcidentitytoken", token);
        }
        let answer = request.body(body).send().await.unwrap();
        assert_eq!(answer.status(), 200, "{answer:?}");
        if let Some(refused) = status(&answer) {
            return Err(refused);
        }
        let body = answer.bytes().await.unwrap();
        // One message, not compressed.
        assert_eq!(body[0], 0);
        let length = u32::from_be_bytes(body[1..5].try_into().unwrap());
        assert_eq!(body.len(), 5 + length as usize);
        Ok(body[5..].to_vec())
    }
}

/// A call that failed before it answered anything says so in its headers ("Trailers-Only").
fn status(answer: &Response) -> Option<Status> {
    let text = |name: &str| Some(answer.headers().get(name)?.to_str().unwrap().to_owned());
    let code = text("grpc-status")?.parse().unwrap();
    let message = text("grpc-message").unwrap_or_default();
    (code != 0).then_some(Status { code, message })
}

/// A length-delimited field of less than 16 KiB (protobuf "Encoding").
fn field(number: u8, value: &[u8]) -> Vec<u8> {
    let length = value.len();
    assert!(number < 16 && length < 1 << 14);
    let mut out = vec![number << 3 | 2];
    if length < 128 {
        out.push(length as u8);
    } else {
        out.extend([length as u8 | 0x80, (length >> 7) as u8]);
    }
    out.extend(value);
    out
}

/// Number and content of each field, all of which are length-delimited.
fn fields(mut message: &[u8]) -> Vec<(u8, Vec<u8>)> {
    let mut found = Vec::new();
    while let Some((tag, mut rest)) = message.split_first() {
        assert_eq!(tag & 7, 2, "a field that is not length-delimited");
        let (mut length, mut shift) = (0, 0);
        while let Some((byte, behind)) = rest.split_first() {
            length |= usize::from(byte & 0x7f) << shift;
            (shift, rest) = (shift + 7, behind);
            if byte & 0x80 == 0 {
                break;
            }
        }
        found.push((tag >> 3, rest[..length].to_vec()));
        message = &rest[length..];
    }
    found
}

/// The one field of that number.
fn only(message: &[u8], number: u8) -> Vec<u8> {
    let mut found: Vec<_> = fields(message)
        .into_iter()
        .filter(|(one, _)| *one == number)
        .collect();
    assert_eq!(found.len(), 1, "field {number}");
    found.remove(0).1
}
