//! The OAuth clients the issuer knows, how they authenticate, and where it may send a browser.

use crate::error::OAuthError;
use aws_lc_rs::constant_time::verify_slices_are_equal;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderValue;
use url::{Host, Url};

/// RFC 6749 has no name for it; every Sigstore client uses it when it cannot listen on a port.
const OUT_OF_BAND: &str = "urn:ietf:wg:oauth:2.0:oob";

/// An OAuth client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Client {
    /// `client_id`, and the audience of its tokens.
    pub id: String,
    /// The secret; empty for a public client (RFC 6749 §2.1), which may still send an empty one.
    pub secret: String,
    /// Whether any port and path on loopback will do as redirect URI (RFC 8252 §7.3), and the out-of-band page.
    pub native: bool,
    /// Further redirect URIs, compared character by character (RFC 9700 §2.1).
    pub redirect_uris: Vec<String>,
}

impl Client {
    /// The client all Sigstore tools use: `sigstore`, public and native.
    #[must_use]
    pub fn sigstore() -> Self {
        Self {
            id: "sigstore".to_owned(),
            secret: String::new(),
            native: true,
            redirect_uris: Vec::new(),
        }
    }

    /// Decides whether a browser may be sent to `uri` with a code for this client.
    pub(crate) fn redirect(&self, uri: &str) -> Option<Redirect> {
        if self.native && uri == OUT_OF_BAND {
            return Some(Redirect::OutOfBand);
        }
        let url = Url::parse(uri).ok()?;
        // RFC 6749 §3.1.2: no fragment. Userinfo has no business there and only serves to deceive a reader.
        if url.fragment().is_some() || !url.username().is_empty() || url.password().is_some() {
            return None;
        }
        let loopback = self.native && url.scheme() == "http" && is_loopback(&url);
        (loopback || self.redirect_uris.iter().any(|known| known == uri)).then_some(Redirect::Uri(url))
    }
}

/// A place for the code that was checked against the client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Redirect {
    /// Back to the client with the code in the query.
    Uri(Url),
    /// No way back: show the code.
    OutOfBand,
}

/// Whether the URL's host is this machine by its very spelling; no name is resolved.
pub(crate) fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

/// What a token request says about who sends it.
pub(crate) struct Credentials {
    id: String,
    secret: String,
}

impl Credentials {
    /// From the `Authorization: Basic` header if there is one, else from the form (RFC 6749 §2.3.1).
    ///
    /// sigstore-python sends `Basic sigstore:` and no `client_id` in the form; Go's oauth2 first tries Basic, then the
    /// form; openid-client sends the form only.
    pub(crate) fn read(
        header: Option<&HeaderValue>,
        form_id: Option<&str>,
        form_secret: Option<&str>,
    ) -> Result<Self, OAuthError> {
        let Some(header) = header else {
            let id = form_id.ok_or(OAuthError::invalid_client(
                "no client authentication: expected Basic or client_id",
            ))?;
            return Ok(Self {
                id: id.to_owned(),
                secret: form_secret.unwrap_or_default().to_owned(),
            });
        };
        let malformed =
            || OAuthError::invalid_client("expected Authorization: Basic base64(client_id:client_secret)");
        let text = header.to_str().map_err(|_| malformed())?;
        let (scheme, encoded) = text.split_once(' ').ok_or_else(malformed)?;
        if !scheme.eq_ignore_ascii_case("Basic") {
            return Err(malformed());
        }
        let decoded = STANDARD.decode(encoded.trim()).map_err(|_| malformed())?;
        let decoded = String::from_utf8(decoded).map_err(|_| malformed())?;
        let (id, secret) = decoded.split_once(':').ok_or_else(malformed)?;
        let id = form_decode(id);
        // RFC 6749 §2.3: one method per request. A repeated identical client_id does no harm and some libraries send it.
        if form_id.is_some_and(|other| other != id) || form_secret.is_some() {
            return Err(OAuthError::invalid_request(
                "client authentication both in the header and in the form",
            ));
        }
        Ok(Self {
            id,
            secret: form_decode(secret),
        })
    }

    /// The client these belong to.
    pub(crate) fn authenticate(self, clients: &[Client]) -> Result<&Client, OAuthError> {
        let failed = || OAuthError::invalid_client("unknown client or wrong secret");
        let client = clients
            .iter()
            .find(|client| client.id == self.id)
            .ok_or_else(failed)?;
        verify_slices_are_equal(client.secret.as_bytes(), self.secret.as_bytes()).map_err(|_| failed())?;
        Ok(client)
    }
}

/// RFC 6749 §2.3.1 has both halves of Basic form-encoded first.
fn form_decode(text: &str) -> String {
    // A bare `name` is a pair with an empty value, so this decodes `text` unless it holds `=` or `&`, which an encoder escapes.
    match url::form_urlencoded::parse(text.as_bytes()).next() {
        Some((name, value)) if value.is_empty() && !text.contains(['=', '&']) => name.into_owned(),
        _ => text.to_owned(),
    }
}
