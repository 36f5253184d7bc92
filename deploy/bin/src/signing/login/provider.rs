//! The identity provider, by OpenID Connect: what it publishes, and how codes become tokens there.

use std::borrow::Cow;
use std::fmt::Display;
use std::time::Duration;

use openidconnect::core::{
    CoreAuthDisplay, CoreAuthPrompt, CoreAuthenticationFlow, CoreClaimName, CoreClaimType, CoreClient,
    CoreClientAuthMethod, CoreDeviceAuthorizationResponse, CoreGrantType, CoreIdToken, CoreJsonWebKey,
    CoreJweContentEncryptionAlgorithm, CoreJweKeyManagementAlgorithm, CoreResponseMode, CoreResponseType,
    CoreSubjectIdentifierType,
};
use openidconnect::{
    AdditionalProviderMetadata, AuthorizationCode, AuthorizationRequest, ClientId, ClientSecret, CsrfToken,
    DeviceAuthorizationUrl, DiscoveryError, EndpointMaybeSet, EndpointNotSet, EndpointSet, ErrorResponse,
    IssuerUrl, Nonce, NonceVerifier, PkceCodeVerifier, ProviderMetadata, RedirectUrl, RequestTokenError,
    Scope, TokenResponse,
};
use serde::{Deserialize, Serialize};

use super::LoginError;
use crate::http::{HttpError, execute};

/// How long a person may take with another device.
const PERSON: Duration = Duration::from_secs(300);

/// RFC 8628 §4, which OpenID Connect Discovery does not know.
#[derive(Clone, Debug, Deserialize, Serialize)]
struct DeviceEndpoint {
    device_authorization_endpoint: Option<DeviceAuthorizationUrl>,
}

impl AdditionalProviderMetadata for DeviceEndpoint {}

type Metadata = ProviderMetadata<
    DeviceEndpoint,
    CoreAuthDisplay,
    CoreClientAuthMethod,
    CoreClaimName,
    CoreClaimType,
    CoreGrantType,
    CoreJweContentEncryptionAlgorithm,
    CoreJweKeyManagementAlgorithm,
    CoreJsonWebKey,
    CoreResponseMode,
    CoreResponseType,
    CoreSubjectIdentifierType,
>;

type Client = CoreClient<
    EndpointSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointMaybeSet,
    EndpointMaybeSet,
>;

/// A provider, and this program as it knows it.
pub(super) struct Provider {
    client: Client,
    device: Option<DeviceAuthorizationUrl>,
}

impl Provider {
    /// Asks the provider what it offers.
    pub(super) async fn discover(
        issuer: &str,
        client_id: &str,
        secret: Option<String>,
    ) -> Result<Provider, LoginError> {
        let issuer = IssuerUrl::new(issuer.to_owned())?;
        let metadata = Metadata::discover_async(issuer, &execute).await;
        let metadata = metadata.map_err(|error| match error {
            DiscoveryError::Request(error) => LoginError::Http(error),
            DiscoveryError::Parse(_) => LoginError::Provider("expected a discovery document".to_owned()),
            other => LoginError::Provider(other.to_string()),
        })?;
        let device = metadata
            .additional_metadata()
            .device_authorization_endpoint
            .clone();
        let name = ClientId::new(client_id.to_owned());
        let client = CoreClient::from_provider_metadata(metadata, name, secret.map(ClientSecret::new));
        Ok(Provider { client, device })
    }

    /// The beginning of an authorization code flow.
    pub(super) fn authorize(
        &self,
    ) -> AuthorizationRequest<'_, CoreAuthDisplay, CoreAuthPrompt, CoreResponseType> {
        self.client.authorize_url(
            CoreAuthenticationFlow::AuthorizationCode,
            CsrfToken::new_random,
            Nonce::new_random,
        )
    }

    /// Its end.
    pub(super) async fn redeem(
        &self,
        code: AuthorizationCode,
        verifier: PkceCodeVerifier,
        redirect: &RedirectUrl,
        nonce: &Nonce,
    ) -> Result<String, LoginError> {
        let request = self
            .client
            .exchange_code(code)?
            .set_pkce_verifier(verifier)
            .set_redirect_uri(Cow::Borrowed(redirect));
        let answer = request.request_async(&execute).await.map_err(refused)?;
        self.checked(answer.id_token(), nonce)
    }

    /// The beginning of a device flow.
    pub(super) async fn device(&self) -> Result<Waiting, LoginError> {
        let url = self.device.clone();
        let url = url.ok_or(LoginError::Endpoint("device authorization"))?;
        let client = self.client.clone().set_device_authorization_url(url);
        let request = client
            .exchange_device_code()
            .add_scope(Scope::new("email".to_owned()));
        request
            .request_async(&execute)
            .await
            .map(Waiting)
            .map_err(refused)
    }

    /// The token, if it is this provider's, for this program, now. The certificate authority looks again.
    fn checked(&self, token: Option<&CoreIdToken>, nonce: impl NonceVerifier) -> Result<String, LoginError> {
        let token = token.ok_or(LoginError::NoIdToken)?;
        token.claims(&self.client.id_token_verifier(), nonce)?;
        Ok(token.to_string())
    }
}

/// A device flow, while the person is on the way.
pub(super) struct Waiting(CoreDeviceAuthorizationResponse);

impl Waiting {
    /// Where the person goes, with the code in it where the provider says so.
    pub(super) fn page(&self) -> &str {
        let complete = self.0.verification_uri_complete();
        complete.map_or_else(|| self.0.verification_uri().as_str(), |page| page.secret())
    }

    /// The code that the page asks for.
    pub(super) fn code(&self) -> &str {
        self.0.user_code().secret()
    }

    /// Waits for the decision.
    pub(super) async fn token(self, provider: &Provider) -> Result<String, LoginError> {
        let request = provider.client.exchange_device_access_token(&self.0)?;
        let answer = request
            .request_async(&execute, tokio::time::sleep, Some(PERSON))
            .await
            .map_err(refused)?;
        // This flow has no place for a nonce.
        let any = |_: Option<&Nonce>| Ok(());
        provider.checked(answer.id_token(), any)
    }
}

/// What went wrong, without what was sent: it holds secrets.
fn refused<R: ErrorResponse + Display + 'static>(error: RequestTokenError<HttpError, R>) -> LoginError {
    match error {
        RequestTokenError::Request(error) => LoginError::Http(error),
        RequestTokenError::ServerResponse(response) => LoginError::Exchange(response.to_string()),
        RequestTokenError::Parse(..) => LoginError::Exchange("expected JSON of a token response".to_owned()),
        RequestTokenError::Other(why) => LoginError::Exchange(why),
    }
}
