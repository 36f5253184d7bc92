//! A certificate for a key, by an identity token.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use common_pki::cert::{CertError, Certificate};
use common_pki::key::{LocalSigner, SignError, Signer as _};
use http::StatusCode;
use serde::Deserialize;
use serde_json::json;

use crate::http::{Client, HttpError};

/// Longest token that is looked into, as certificate authorities bound it.
const MAX_TOKEN: usize = 16 << 10;

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CertificateError {
    /// Not a token. What it is, is not repeated: it may be a token with a slip of the pen.
    #[error("the identity token is not one: {0}")]
    Token(&'static str),
    /// The proof of possession could not be made.
    #[error(transparent)]
    Sign(#[from] SignError),
    /// No answer, or a refusal.
    #[error("certificate authority: {0}")]
    Http(#[from] HttpError),
    /// An answer of another shape.
    #[error("certificate authority: expected a certificate with an embedded SCT: {0}")]
    Shape(#[from] serde_json::Error),
    /// A certificate that does not parse.
    #[error("certificate authority: {0}")]
    Certificate(#[from] CertError),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct SigningCertificate {
    signed_certificate_embedded_sct: SignedCertificate,
}

#[derive(Deserialize)]
struct SignedCertificate {
    chain: PemChain,
}

#[derive(Deserialize)]
struct PemChain {
    certificates: Vec<String>,
}

/// Asks for a certificate (fulcio `fulcio.proto`, CreateSigningCertificate): its chain, the new one first. The proof of
/// possession is over `subject`; see [`subject`].
///
/// # Errors
/// [`CertificateError`].
pub(crate) async fn request(
    client: &Client,
    key: &LocalSigner,
    token: &str,
    subject: &str,
) -> Result<Vec<Certificate>, CertificateError> {
    let request = json!({
        "credentials": { "oidcIdentityToken": token },
        "publicKeyRequest": {
            "publicKey": { "algorithm": "ECDSA", "content": key.public_key().to_pem() },
            "proofOfPossession": STANDARD.encode(key.sign(subject.as_bytes())?),
        },
    });
    let body = request.to_string().into_bytes();
    let answer = client
        .post("/api/v2/signingCert", "application/json", body)
        .await?;
    let answer: SigningCertificate = serde_json::from_slice(&answer.expect(StatusCode::OK)?)?;
    let chain = answer.signed_certificate_embedded_sct.chain.certificates;
    Ok(chain
        .iter()
        .map(|pem| Certificate::from_pem(pem))
        .collect::<Result<_, _>>()?)
}

/// What of a token proves the possession of a key: its e-mail address where it certifies one, else its subject
/// (sigstore `pkg/oauthflow/flow.go` SubjectFromToken, to which an empty claim is none). Nothing here is trusted: the authority verifies the token.
///
/// # Errors
/// Not a token.
pub(crate) fn subject(token: &str) -> Result<String, CertificateError> {
    #[derive(Deserialize)]
    struct Claims {
        sub: Option<String>,
        email: Option<String>,
    }
    let wrong = CertificateError::Token;
    if token.len() > MAX_TOKEN {
        return Err(wrong("more than 16 KiB"));
    }
    let mut parts = token.split('.');
    let (Some(_), Some(payload), Some(_), None) = (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(wrong("expected three parts with a dot between"));
    };
    let payload = URL_SAFE_NO_PAD
        .decode(payload)
        .map_err(|_| wrong("its second part is not base64url"))?;
    let claims: Claims =
        serde_json::from_slice(&payload).map_err(|_| wrong("its second part is not a JSON object"))?;
    let given = |claim: Option<String>| claim.filter(|text| !text.is_empty());
    given(claims.email)
        .or(given(claims.sub))
        .ok_or(wrong("it has neither email nor sub"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn token(claims: &str) -> String {
        format!("e30.{}.c2ln", URL_SAFE_NO_PAD.encode(claims))
    }

    #[test]
    fn the_address_comes_before_the_subject() {
        let said = |claims| subject(&token(claims)).unwrap();
        assert_eq!(said(r#"{"sub":"repo:a/b","iss":"x"}"#), "repo:a/b");
        assert_eq!(said(r#"{"sub":"1234","email":"a@example.com"}"#), "a@example.com");
        assert_eq!(said(r#"{"sub":"1234","email":""}"#), "1234");
    }

    #[test]
    fn what_is_no_token_is_not_repeated() {
        for wrong in [
            "secret",
            "a.secret!.c",
            "a.b",
            "a.b.c.d",
            &token("[]"),
            &token("{}"),
            &token(r#"{"sub":"","email":""}"#),
            &"x".repeat(20_000),
        ] {
            let said = subject(wrong).unwrap_err().to_string();
            assert!(!said.contains("secret"), "{said}");
        }
    }
}
