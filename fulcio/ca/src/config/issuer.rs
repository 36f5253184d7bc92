//! One issuer of the file.

use std::sync::Arc;

use url::Url;

use super::document::Fields;
use super::preset::Preset;
use super::{PRESETS, Reader};
use crate::identity::{CiProvider, ConfigError, IdentityType, IssuerConfig, KeyOrigin, Proxy, TypeText};

/// Whom tokens are for where a preset is used and nothing else is said: the client ID of every Sigstore tool.
const AUDIENCE: &str = "sigstore";

/// Members of one issuer, upstream's first.
const KNOWN: [&str; 21] = [
    "issuer-url",
    "client-id",
    "type",
    "ci-provider",
    "issuer-claim",
    "subject-domain",
    "spiffe-trust-domain",
    "challenge-claim",
    "description",
    "contact",
    "environment",
    "ca-cert",
    "skip-email-verification",
    "preset",
    "audiences",
    "ca-file",
    "proxy",
    "jwks-file",
    "allow-private-addresses",
    "policy",
    "privacy",
];

impl Reader<'_> {
    /// The issuer that the file has under `key`.
    pub(super) fn issuer(
        &mut self,
        key: &str,
        mut fields: Fields,
        meta: bool,
    ) -> Result<IssuerConfig, ConfigError> {
        self.unknown(&fields, &KNOWN)?;
        let preset = match fields.text("preset")? {
            None => None,
            Some(name) => Some(Preset::named(&name).ok_or_else(|| {
                let known: Vec<_> = PRESETS.iter().map(|preset| preset.name).collect();
                fields.wrong(
                    "preset",
                    &format!("one of {}", known.join(", ")),
                    &format!("{name:?}"),
                )
            })?),
        };
        let url = match fields.text("issuer-url")? {
            // Upstream finds the configuration by the key, and the keys by the URL.
            Some(url) if !meta && key.contains("://") && url != key => {
                return Err(fields.wrong(
                    "issuer-url",
                    &format!("the same as the key, {key:?}"),
                    &format!("{url:?}"),
                ));
            }
            Some(url) if !meta => url,
            _ => match preset.and_then(|preset| preset.issuer_url) {
                Some(url) if !key.contains("://") => url.to_owned(),
                _ => key.to_owned(),
            },
        };
        let identity_type = self.identity_type(&url, &mut fields, preset, meta)?;
        let mut audiences = fields.list("audiences")?.unwrap_or_default();
        if let Some(client_id) = fields.text("client-id")?.filter(|id| !id.is_empty()) {
            audiences.insert(0, client_id);
        }
        if audiences.is_empty() && preset.is_some() {
            audiences.push(AUDIENCE.to_owned());
        }
        if audiences.iter().any(String::is_empty) {
            return Err(fields.wrong("audiences", "texts that are not empty", "an empty one"));
        }
        let first = audiences.first().map_or("", String::as_str);
        let mut config = match meta {
            false => IssuerConfig::new(&url, first, identity_type),
            true => IssuerConfig::meta(&url, first, identity_type),
        }?;
        config.audiences = audiences;
        config.challenge_claim = fields.text("challenge-claim")?.filter(|claim| !claim.is_empty());
        config.description = fields.text("description")?.unwrap_or_default();
        config.keys = self.keys(&url, &mut fields)?;
        if let Some(policy) = fields.fields("policy")? {
            config.policy = Arc::new(super::policy::read(policy)?);
        }
        config.privacy = fields
            .fields("privacy")?
            .map(super::privacy::read)
            .transpose()?
            .map(Arc::new);
        // For people; and whoever runs several environments has a file for each.
        let (_, environment) = (fields.text("contact")?, fields.text("environment")?);
        if let Some(environment) = environment.filter(|environment| !environment.is_empty()) {
            self.out.warnings.push(format!(
                "issuer {url}: environment {environment:?} is not looked at; it is in use"
            ));
        }
        Ok(config)
    }

    fn identity_type(
        &self,
        url: &str,
        fields: &mut Fields,
        preset: Option<&Preset>,
        meta: bool,
    ) -> Result<IdentityType, ConfigError> {
        let mut text = TypeText {
            name: fields.text("type")?.unwrap_or_default(),
            issuer_url: (!meta).then(|| url.to_owned()),
            issuer_claim: fields.text("issuer-claim")?.unwrap_or_default(),
            subject_domain: fields.text("subject-domain")?.unwrap_or_default(),
            spiffe_trust_domain: fields.text("spiffe-trust-domain")?.unwrap_or_default(),
            ..TypeText::default()
        };
        let skip = fields.flag("skip-email-verification")?;
        text.skip_email_verification =
            skip.unwrap_or_else(|| preset.is_some_and(|preset| preset.skip_email_verification));
        let mut provider = fields.text("ci-provider")?.filter(|name| !name.is_empty());
        if let Some(preset) = preset {
            if text.name.is_empty() {
                text.name = preset.identity_type.to_owned();
            }
            if text.subject_domain.is_empty() && preset.identity_type == "uri" {
                text.subject_domain = origin(url);
            }
            provider = provider.or_else(|| preset.ci_provider.map(str::to_owned));
        }
        if let Some(name) = provider {
            text.provider = Some(self.known_provider(&name, url, fields, preset)?);
        }
        IdentityType::new(text)
    }

    /// The file's own mapping of that name, or else the known one.
    fn known_provider(
        &self,
        name: &str,
        url: &str,
        fields: &Fields,
        preset: Option<&Preset>,
    ) -> Result<Arc<CiProvider>, ConfigError> {
        if let Some(provider) = self.providers.get(name) {
            return Ok(Arc::clone(provider));
        }
        let known = if preset.is_some_and(|preset| preset.own_host) {
            if origin(url).contains('*') {
                // The host stands in every URI of the certificates, and here there would be many.
                return Err(fields.wrong(
                    "preset",
                    "a host without *, or a ci-provider of your own",
                    "a pattern",
                ));
            }
            CiProvider::builtin_at(name, &origin(url))
        } else {
            CiProvider::builtin(name)
        };
        known.map(Arc::new).ok_or_else(|| {
            fields.wrong(
                "ci-provider",
                "a name from ci-issuer-metadata, or a known one",
                &format!("{name:?}"),
            )
        })
    }

    fn keys(&mut self, url: &str, fields: &mut Fields) -> Result<KeyOrigin, ConfigError> {
        let mut keys = KeyOrigin {
            ca_cert: fields.text("ca-cert")?.filter(|pem| !pem.trim().is_empty()),
            ..KeyOrigin::default()
        };
        if let Some(path) = fields.text("ca-file")? {
            if keys.ca_cert.is_some() {
                return Err(fields.wrong("ca-file", "ca-cert or ca-file", "both"));
            }
            keys.ca_cert = Some(self.file(fields, "ca-file", &path)?);
        }
        if let Some(pem) = &keys.ca_cert {
            let certificates = reqwest::Certificate::from_pem_bundle(pem.as_bytes());
            if !certificates.is_ok_and(|certificates| !certificates.is_empty()) {
                return Err(fields.wrong("ca-cert", "certificates in PEM", "something else"));
            }
        }
        keys.proxy = match fields.text("proxy")?.as_deref() {
            None | Some("none" | "") => Proxy::Direct,
            Some("environment") => Proxy::Environment,
            Some(url) => match Url::parse(url) {
                Ok(parsed) if matches!(parsed.scheme(), "http" | "https") && parsed.has_host() => {
                    Proxy::Url(url.to_owned())
                }
                _ => {
                    return Err(fields.wrong(
                        "proxy",
                        "none, environment, or the URL of an HTTP proxy",
                        "something else",
                    ));
                }
            },
        };
        keys.private_addresses = fields.flag("allow-private-addresses")?.unwrap_or_default();
        // The proxy looks the host up, and it may reach what this machine must not be sent to by a token.
        if keys.proxy != Proxy::Direct && !keys.private_addresses && origin(url).contains('*') {
            return Err(fields.wrong(
                "proxy",
                "none where tokens choose the host, unless allow-private-addresses says that any may be asked",
                "a proxy",
            ));
        }
        if let Some(path) = fields.text("jwks-file")? {
            keys.jwks = Some(self.file(fields, "jwks-file", &path)?);
            keys.check(url)?;
        }
        Ok(keys)
    }
}

/// Scheme, host and port of `url`; of a pattern too.
fn origin(url: &str) -> String {
    let (scheme, rest) = url.split_once("://").unwrap_or(("https", url));
    let host = rest.split('/').next().unwrap_or_default();
    format!("{scheme}://{host}")
}
