//! Getting past a registry's 401 (RFC 7235; distribution spec, "Token Authentication").
//!
//! What a registry says is not trusted: it names the token service, and may name anybody's. So a realm is https, or on this
//! machine for a registry on this machine; the credentials of a registry go to its own host, to the token service that is
//! known to belong to it, or to a host that the user names; elsewhere only an anonymous token is asked for. The scope is ours: to
//! read this repository, whatever the registry proposes.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderValue, Request, StatusCode, header};
use serde::Deserialize;
use url::{Url, form_urlencoded};
use zeroize::Zeroizing;

use super::credentials::{Credentials, RegistryArgs, Secret};
use super::{Image, RegistryError, is_here, without_port};
use crate::http::{bearer, execute};

/// Longest token.
const MAX_TOKEN: usize = 64 * 1024;
/// Longest name of a service.
const MAX_SERVICE: usize = 256;
/// Token services on other hosts than their registry's, of registries that everybody uses.
const TOKEN_HOSTS: [(&str, &str); 2] = [
    ("registry-1.docker.io", "auth.docker.io"),
    ("registry.gitlab.com", "gitlab.com"),
];

/// What a registry wants.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Challenge {
    /// Name and password.
    Basic,
    /// A token of a service.
    Bearer {
        /// The service's URL.
        realm: String,
        /// What it calls the registry.
        service: Option<String>,
    },
}

impl Challenge {
    /// The first challenge that we can meet; a token before a password, which it spares.
    pub(super) fn of(headers: &HeaderMap) -> Option<Challenge> {
        let values = headers.get_all(header::WWW_AUTHENTICATE).iter();
        let mut challenges: Vec<Challenge> = values
            .filter_map(|value| Challenge::parse(value.to_str().ok()?))
            .collect();
        let token = challenges.iter().position(|it| *it != Challenge::Basic);
        (!challenges.is_empty()).then(|| challenges.swap_remove(token.unwrap_or_default()))
    }

    /// One challenge a header, as registries write them.
    fn parse(value: &str) -> Option<Challenge> {
        let (scheme, rest) = value.trim().split_once(' ').unwrap_or((value.trim(), ""));
        if scheme.eq_ignore_ascii_case("Basic") {
            return Some(Challenge::Basic);
        }
        if !scheme.eq_ignore_ascii_case("Bearer") {
            return None;
        }
        let (mut realm, mut service) = (None, None);
        let mut rest = rest.trim_start();
        while let Some((name, value)) = rest.split_once('=') {
            let (value, after) = match value.strip_prefix('"') {
                Some(quoted) => quoted.split_once('"')?,
                None => value.split_once(',').unwrap_or((value, "")),
            };
            match name.trim() {
                "realm" => realm = Some(value.to_owned()),
                "service" => service = Some(value.to_owned()),
                _ => {}
            }
            rest = after.trim_start_matches([',', ' ']);
        }
        Some(Challenge::Bearer {
            realm: realm?,
            service: service.filter(|service| service.len() <= MAX_SERVICE),
        })
    }
}

/// What is shown to a registry from now on.
pub(super) struct Pass {
    /// For `Authorization`, where there is anything.
    pub(super) header: Option<HeaderValue>,
    /// What to do if it does not suffice.
    pub(super) advice: String,
}

/// Gets what the registry of `image` wants.
pub(super) async fn meet(
    challenge: Challenge,
    image: &Image,
    args: &RegistryArgs,
) -> Result<Pass, RegistryError> {
    let host = image.server();
    let none = || {
        format!(
            "no credentials for {host}: give --registry-username and --registry-password, or log in with docker"
        )
    };
    let credentials = args.credentials(&image.host).await?;
    if let Credentials::Bearer(token) = &credentials {
        // The registry itself is shown it, whatever it wants and wherever others have their tokens from.
        return Ok(Pass {
            header: Some(bearer(token.reveal())),
            advice: "the registry does not take the token".to_owned(),
        });
    }
    match challenge {
        Challenge::Basic => Ok(match credentials {
            Credentials::Password(name, password) => Pass {
                header: Some(basic(&name, &password)),
                advice: format!("the registry does not take the password of {name:?}"),
            },
            _ => Pass {
                header: None,
                advice: none(),
            },
        }),
        Challenge::Bearer { realm, service } => {
            let (realm, is_its_own) = token_service(&realm, host, args)?;
            let name = realm.host_str().unwrap_or_default();
            let (credentials, advice) = match credentials {
                _ if !is_its_own => {
                    let advice = format!(
                        "{host} has its tokens from {name}, where no credentials are sent: if that is right, --registry-token-host {name}"
                    );
                    (Credentials::Anonymous, advice)
                }
                Credentials::Anonymous => (Credentials::Anonymous, none()),
                known => (known, format!("the credentials for {host} do not suffice")),
            };
            let scope = format!("repository:{}:pull", image.repository);
            let token = token(realm, service.as_deref(), &scope, &credentials).await?;
            Ok(Pass {
                header: token.as_ref().map(|token| bearer(token.reveal())),
                advice,
            })
        }
    }
}

fn basic(name: &str, password: &Secret) -> HeaderValue {
    let pair = Zeroizing::new(format!("{name}:{}", password.reveal()));
    let text = Zeroizing::new(format!("Basic {}", STANDARD.encode(pair.as_bytes())));
    let mut value = HeaderValue::from_str(&text).unwrap_or(HeaderValue::from_static("Basic"));
    value.set_sensitive(true);
    value
}

/// The token service's URL, and whether it may have the registry's credentials.
fn token_service(realm: &str, host: &str, args: &RegistryArgs) -> Result<(Url, bool), RegistryError> {
    let refused = || RegistryError::Realm {
        registry: host.to_owned(),
        realm: realm.chars().take(200).collect(),
    };
    let url = Url::parse(realm).map_err(|_| refused())?;
    let name = url.host_str().ok_or_else(refused)?;
    let both_here = is_here(host) && is_here(name);
    let is_safe = url.scheme() == "https" || (url.scheme() == "http" && both_here);
    if !is_safe || !url.username().is_empty() || url.password().is_some() {
        return Err(refused());
    }
    let own = without_port(host);
    let is_its_own = both_here || name == own || TOKEN_HOSTS.contains(&(own, name)) || args.lets_have(name);
    Ok((url, is_its_own))
}

/// A token from the service; `None` where it gives none to whoever we are.
async fn token(
    mut realm: Url,
    service: Option<&str>,
    scope: &str,
    credentials: &Credentials,
) -> Result<Option<Secret>, RegistryError> {
    // The same under two names, of which services write one or both.
    #[derive(Deserialize)]
    struct Answer {
        token: Option<String>,
        access_token: Option<String>,
    }
    let at = realm.to_string();
    let asked = [("service", service), ("scope", Some(scope))];
    let asked = asked.iter().filter_map(|(name, value)| Some((*name, (*value)?)));
    let request = match credentials {
        // distribution `docs/spec/auth/oauth.md`: a refresh token is never part of a URL.
        Credentials::Identity(identity) => {
            let mut form = form_urlencoded::Serializer::new(String::new());
            form.extend_pairs(asked)
                .append_pair("grant_type", "refresh_token");
            form.append_pair("client_id", "sigbox")
                .append_pair("refresh_token", identity.reveal());
            Request::post(realm.as_str())
                .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
                .body(form.finish().into_bytes())
        }
        other => {
            realm.query_pairs_mut().extend_pairs(asked);
            let mut request = Request::get(realm.as_str());
            if let Credentials::Password(name, password) = other {
                request = request.header(header::AUTHORIZATION, basic(name, password));
            }
            request.body(Vec::new())
        }
    };
    let wrong = |got: String| RegistryError::Answer {
        url: at.clone(),
        expected: "200 with a token",
        got,
    };
    let request = request.map_err(|error| wrong(error.to_string()))?;
    let answer = execute(request).await?;
    match answer.status() {
        StatusCode::OK => {}
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => return Ok(None),
        other => return Err(wrong(other.to_string())),
    }
    // What a parser says might quote a token.
    let read =
        serde_json::from_slice::<Answer>(answer.body()).map_err(|_| wrong("something else".to_owned()))?;
    let token = Zeroizing::new(read.token.or(read.access_token).unwrap_or_default());
    if token.is_empty() || token.len() > MAX_TOKEN {
        return Err(wrong(format!("one of {} octets", token.len())));
    }
    Ok(Some(token.as_str().into()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use clap::Parser;

    use super::*;

    fn challenge(values: &[&'static str]) -> Option<Challenge> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(header::WWW_AUTHENTICATE, HeaderValue::from_static(value));
        }
        Challenge::of(&headers)
    }

    #[test]
    fn challenges_are_read_as_registries_write_them() {
        let bearer = |realm: &str, service: Option<&str>| {
            Some(Challenge::Bearer {
                realm: realm.to_owned(),
                service: service.map(str::to_owned),
            })
        };
        let realm = "https://auth.example/token?a=b";
        for (values, expected) in [
            (
                &[
                    r#"Bearer realm="https://auth.example/token?a=b",service="r.example",scope="repository:a,b:pull,push""#,
                ][..],
                bearer(realm, Some("r.example")),
            ),
            (
                &[r#"bearer service=r.example, realm="https://auth.example/token?a=b""#],
                bearer(realm, Some("r.example")),
            ),
            (
                &[
                    "Basic realm=\"x\"",
                    r#"Bearer realm="https://auth.example/token?a=b""#,
                ],
                bearer(realm, None),
            ),
            (&["BASIC"], Some(Challenge::Basic)),
            (&["Negotiate"], None),
            (&["Bearer service=\"x\""], None),
            (&["Bearer realm=\"x"], None),
            (&[], None),
        ] {
            assert_eq!(challenge(values), expected, "{values:?}");
        }
    }

    /// As GitLab has it where it is its own host: its registry sends everybody to it for tokens.
    #[tokio::test]
    async fn a_token_of_the_registry_goes_to_it_wherever_others_have_theirs_from() {
        #[derive(Parser)]
        struct Line {
            #[command(flatten)]
            registry: RegistryArgs,
        }
        let args = Line::parse_from(["verify-image", "--registry-token", "t0ken"]).registry;
        let image = format!("registry.corp.example/team/app@sha256:{}", "ab".repeat(32));
        let image: Image = image.parse().unwrap();
        for wanted in [
            Challenge::Basic,
            Challenge::Bearer {
                realm: "https://gitlab.corp.example/jwt/auth".to_owned(),
                service: Some("container_registry".to_owned()),
            },
        ] {
            let pass = meet(wanted, &image, &args).await.unwrap();
            assert_eq!(pass.header.unwrap(), "Bearer t0ken");
        }
    }

    #[test]
    fn a_registry_cannot_send_its_credentials_to_others() {
        let args = RegistryArgs::default();
        let judged = |realm: &str, host: &str| token_service(realm, host, &args).ok().map(|(_, own)| own);
        for (realm, host, expected) in [
            ("https://registry.example/token", "registry.example", Some(true)),
            (
                "https://registry.example/jwt/auth",
                "registry.example:5050",
                Some(true),
            ),
            ("https://auth.docker.io/token", "registry-1.docker.io", Some(true)),
            ("https://gitlab.com/jwt/auth", "registry.gitlab.com", Some(true)),
            ("http://localhost:5001/token", "127.0.0.1:5000", Some(true)),
            // Anonymous tokens at most.
            ("https://evil.example/token", "registry.example", Some(false)),
            ("https://auth.docker.io/token", "registry.example", Some(false)),
            (
                "https://registry.example.evil.example/",
                "registry.example",
                Some(false),
            ),
            ("https://evil.example/token", "localhost:5000", Some(false)),
            // Not even those.
            ("http://registry.example/token", "registry.example", None),
            ("http://evil.example/token", "localhost:5000", None),
            ("http://localhost/token", "registry.example", None),
            ("http://127.0.0.2/token", "localhost:5000", None),
            (
                "https://ann:word@registry.example/token",
                "registry.example",
                None,
            ),
            ("file:///etc/passwd", "registry.example", None),
            ("token", "registry.example", None),
        ] {
            assert_eq!(judged(realm, host), expected, "{realm} of {host}");
        }
    }
}
