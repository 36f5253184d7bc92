//! What is attached to an image in its registry (OCI distribution 1.1 "Listing Referrers"; cosign's older tag `.att`).

mod access;
mod credentials;

use std::fmt;
use std::str::FromStr;

use common_bundle::format::{BareEnvelope, Bundle, MAX_BUNDLE_BYTES};
use common_pki::key::HashAlgorithm;
use http::{HeaderValue, Request, Response, StatusCode, header};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;
use url::Url;

pub(crate) use self::credentials::RegistryArgs;

use self::access::{Challenge, meet};
use super::{Attestations, FAILED};
use crate::exit::{Exit, Failure};
use crate::http::{HttpError, execute};

/// Most attachments of one image that are looked at.
const MAX_ATTACHED: usize = 64;
/// Most bytes of them together.
const MAX_ATTACHED_BYTES: usize = 128 << 20;
/// Most redirections of one blob.
const MAX_REDIRECTIONS: usize = 3;
/// How the type of a bundle begins, whatever its version.
const BUNDLE: &str = "application/vnd.dev.sigstore.bundle";
/// An envelope as a layer of the older tag.
const ENVELOPE: &str = "application/vnd.dsse.envelope.v1+json";
/// Where that layer's certificate is.
const CERTIFICATE: &str = "dev.sigstore.cosign/certificate";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

/// An image that is what it is for ever.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Image {
    host: String,
    repository: String,
    /// Of the digest.
    pub(crate) algorithm: HashAlgorithm,
    /// Of the manifest.
    pub(crate) digest: Vec<u8>,
}

impl FromStr for Image {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("expected HOST/NAME@sha256:HEX, got {text:?}");
        let (name, digest) = text.split_once('@').ok_or_else(wrong)?;
        let (algorithm, digest) = parse_digest(digest).ok_or_else(wrong)?;
        let (host, path) = name.split_once('/').ok_or_else(wrong)?;
        // `team/app` is a name at a registry that we would have to guess.
        if !(host.contains(['.', ':']) || host == "localhost") {
            return Err(wrong());
        }
        // A tag beside the digest says nothing more.
        let path = path.rsplit_once(':').map_or(path, |(path, _)| path);
        let good = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "._-/".contains(c);
        let parts_are_names = path
            .split('/')
            .all(|part| !part.is_empty() && !part.starts_with('.'));
        if !path.chars().all(good) || !parts_are_names {
            return Err(wrong());
        }
        Ok(Self {
            host: host.to_owned(),
            repository: path.to_owned(),
            algorithm,
            digest,
        })
    }
}

impl fmt::Display for Image {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}@{}", self.host, self.repository, self.named())
    }
}

fn parse_digest(text: &str) -> Option<(HashAlgorithm, Vec<u8>)> {
    let (name, value) = text.split_once(':')?;
    let algorithm = HashAlgorithm::from_name(name)?;
    let value = hex::decode(value).ok()?;
    (value.len() == algorithm.len()).then_some((algorithm, value))
}

/// Why nothing came.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RegistryError {
    /// No answer.
    #[error(transparent)]
    Http(#[from] HttpError),
    /// Credentials that cannot be read.
    #[error("{from}: {why}")]
    Credentials {
        /// The file or program.
        from: String,
        /// What is wrong.
        why: String,
    },
    /// A token service that nobody is asked at.
    #[error(
        "the registry {registry} sends its clients for tokens to {realm:?}: expected an https URL, or for a registry on this machine one \
         on this machine"
    )]
    Realm {
        /// The registry.
        registry: String,
        /// What it says.
        realm: String,
    },
    /// It does not let us read.
    #[error("{url}: expected 200 or 404, got {got}: {advice}")]
    Refused {
        /// Where.
        url: String,
        /// What came.
        got: StatusCode,
        /// What to do.
        advice: String,
    },
    /// An answer that is none.
    #[error("{url}: expected {expected}, got {got}")]
    Answer {
        /// Where.
        url: String,
        /// What should have come.
        expected: &'static str,
        /// What came.
        got: String,
    },
}

impl RegistryError {
    /// For the end of the command.
    pub(crate) fn failure(&self) -> Failure {
        Failure {
            exit: Exit::Failed,
            message: format!("{FAILED}: {self}"),
        }
    }
}

#[derive(Deserialize)]
struct Index {
    #[serde(default)]
    manifests: Vec<Descriptor>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Manifest {
    artifact_type: Option<String>,
    config: Option<Descriptor>,
    #[serde(default)]
    layers: Vec<Descriptor>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Descriptor {
    #[serde(default)]
    media_type: String,
    digest: String,
    #[serde(default)]
    artifact_type: Option<String>,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
}

/// Whether a host is this machine: as every container tool does, plain HTTP for that alone.
fn is_here(host: &str) -> bool {
    matches!(without_port(host), "localhost" | "127.0.0.1")
}

fn without_port(host: &str) -> &str {
    host.rsplit_once(':').map_or(host, |(name, _)| name)
}

impl Image {
    /// `sha256:HEX`.
    fn named(&self) -> String {
        format!("{}:{}", self.algorithm.name(), hex::encode(&self.digest))
    }

    /// Where the registry answers: Docker Hub's name is not its address.
    fn server(&self) -> &str {
        match self.host.as_str() {
            "docker.io" | "index.docker.io" => "registry-1.docker.io",
            other => other,
        }
    }

    fn url(&self, what: &str) -> String {
        let server = self.server();
        let scheme = if is_here(server) { "http" } else { "https" };
        format!("{scheme}://{server}/v2/{}/{what}", self.repository)
    }
}

/// The registry of one image, and what it is shown.
pub(crate) struct Registry<'a> {
    image: &'a Image,
    args: &'a RegistryArgs,
    shown: Option<HeaderValue>,
}

/// What is left of the bytes that are kept of one image: the text and the content of each attestation stay in memory until the
/// verdict.
struct Room(usize);

impl Room {
    /// Takes `len` bytes of it, if there is a bundle's room for them. The smaller ones after one that is too large still have theirs.
    fn take(&mut self, len: usize) -> bool {
        match self.0.checked_sub(len) {
            Some(left) if len <= MAX_BUNDLE_BYTES => {
                self.0 = left;
                true
            }
            _ => false,
        }
    }
}

impl<'a> Registry<'a> {
    /// Shown nothing until it asks.
    pub(crate) fn of(image: &'a Image, args: &'a RegistryArgs) -> Self {
        Self {
            image,
            args,
            shown: None,
        }
    }

    /// The attestations that the registry has: bundles that refer to the image, and envelopes under its older tag. What cannot be
    /// read is no provenance, whatever else it is.
    pub(crate) async fn attached(&mut self) -> Result<Attestations, RegistryError> {
        let mut attached = Attestations::default();
        let mut room = Room(MAX_ATTACHED_BYTES);
        let index = match self
            .json::<Index>(&format!("referrers/{}", self.image.named()), INDEX)
            .await?
        {
            Some(index) => Some(index),
            // Registries from before version 1.1: the list is under a tag.
            None => self.tagged("").await?,
        };
        let manifests = index.map(|index| index.manifests).unwrap_or_default();
        for descriptor in manifests.iter().take(MAX_ATTACHED) {
            if descriptor
                .artifact_type
                .as_deref()
                .is_some_and(|kind| !kind.starts_with(BUNDLE))
            {
                continue;
            }
            let Some(manifest) = self.object::<Manifest>("manifests", &descriptor.digest).await? else {
                continue;
            };
            let kind = manifest
                .artifact_type
                .or(manifest.config.map(|config| config.media_type));
            let layer = manifest
                .layers
                .first()
                .filter(|_| kind.is_some_and(|kind| kind.starts_with(BUNDLE)));
            if let Some(layer) = layer
                && let Some(text) = self.attestation(layer, &mut room).await?
                && let Ok(bundle) = Bundle::from_json(&text)
            {
                attached.push_bundle(bundle);
            }
        }
        let older: Option<Manifest> = self.tagged(".att").await?;
        let layers = older.map(|manifest| manifest.layers).unwrap_or_default();
        for layer in layers
            .iter()
            .filter(|layer| layer.media_type == ENVELOPE)
            .take(MAX_ATTACHED)
        {
            if let Some(text) = self.attestation(layer, &mut room).await?
                && let Some(mut envelope) = BareEnvelope::from_json(&text)
            {
                envelope.certificate = layer.annotations.get(CERTIFICATE).cloned();
                attached.push_envelope(envelope, text);
            }
        }
        Ok(attached)
    }

    /// The text of an attestation, where there is room for it.
    async fn attestation(
        &mut self,
        layer: &Descriptor,
        room: &mut Room,
    ) -> Result<Option<Vec<u8>>, RegistryError> {
        match self.blob("blobs", &layer.digest).await {
            Ok(text) => Ok(text.filter(|text| room.take(text.len()))),
            Err(RegistryError::Http(HttpError::TooLarge { .. })) => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn tagged<T: DeserializeOwned>(&mut self, suffix: &str) -> Result<Option<T>, RegistryError> {
        let tag = self.image.named().replace(':', "-");
        let accept = format!("{INDEX}, {MANIFEST}");
        self.json(&format!("manifests/{tag}{suffix}"), &accept).await
    }

    async fn object<T: DeserializeOwned>(
        &mut self,
        kind: &str,
        digest: &str,
    ) -> Result<Option<T>, RegistryError> {
        let Some(text) = self.blob(kind, digest).await? else {
            return Ok(None);
        };
        Ok(serde_json::from_slice(&text).ok())
    }

    /// What has this digest, and nothing else.
    async fn blob(&mut self, kind: &str, digest: &str) -> Result<Option<Vec<u8>>, RegistryError> {
        let Some((algorithm, expected)) = parse_digest(digest) else {
            return Ok(None);
        };
        let Some(text) = self.get(&format!("{kind}/{digest}"), MANIFEST).await? else {
            return Ok(None);
        };
        let got = algorithm.digest(&text);
        if got == expected {
            return Ok(Some(text));
        }
        Err(RegistryError::Answer {
            url: self.image.url(&format!("{kind}/{digest}")),
            expected: "content of that digest",
            got: hex::encode(got),
        })
    }

    async fn json<T: DeserializeOwned>(
        &mut self,
        what: &str,
        accept: &str,
    ) -> Result<Option<T>, RegistryError> {
        let Some(text) = self.get(what, accept).await? else {
            return Ok(None);
        };
        serde_json::from_slice(&text)
            .map(Some)
            .map_err(|error| RegistryError::Answer {
                url: self.image.url(what),
                expected: "JSON of a manifest",
                got: error.to_string(),
            })
    }

    /// `None` for what is not there.
    async fn get(&mut self, what: &str, accept: &str) -> Result<Option<Vec<u8>>, RegistryError> {
        let url = self.image.url(what);
        let mut answer = self.ask(&url, accept).await?;
        let mut advice = "what is shown to it does not suffice".to_owned();
        if answer.status() == StatusCode::UNAUTHORIZED {
            let challenge = Challenge::of(answer.headers()).ok_or_else(|| RegistryError::Answer {
                url: url.clone(),
                expected: "a Basic or Bearer challenge with 401",
                got: "none".to_owned(),
            })?;
            let pass = meet(challenge, self.image, self.args).await?;
            (self.shown, advice) = (pass.header, pass.advice);
            if self.shown.is_some() {
                answer = self.ask(&url, accept).await?;
            }
        }
        // Registries keep blobs elsewhere; what comes from there must have the digest, and gets nothing of ours.
        if what.starts_with("blobs/") && answer.status().is_redirection() {
            answer = self.followed(&url, answer).await?;
        }
        match answer.status() {
            StatusCode::OK => Ok(Some(answer.into_body())),
            StatusCode::NOT_FOUND => Ok(None),
            got @ (StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) => {
                Err(RegistryError::Refused { url, got, advice })
            }
            other => Err(RegistryError::Answer {
                url,
                expected: "200 or 404",
                got: other.to_string(),
            }),
        }
    }

    async fn ask(&self, url: &str, accept: &str) -> Result<Response<Vec<u8>>, HttpError> {
        let mut request = Request::get(url).header(header::ACCEPT, accept);
        if let Some(shown) = &self.shown {
            request = request.header(header::AUTHORIZATION, shown);
        }
        let request = request.body(Vec::new());
        execute(request.map_err(|_| HttpError::Url(url.to_owned()))?).await
    }

    /// Where a redirection ends, over https, or on this machine if the registry is.
    async fn followed(
        &self,
        url: &str,
        mut answer: Response<Vec<u8>>,
    ) -> Result<Response<Vec<u8>>, RegistryError> {
        let wrong = |got: String| RegistryError::Answer {
            url: url.to_owned(),
            expected: "at most 3 redirections, each to an https URL",
            got,
        };
        let mut at = Url::parse(url).map_err(|error| wrong(error.to_string()))?;
        for _ in 0..MAX_REDIRECTIONS {
            let location = answer
                .headers()
                .get(header::LOCATION)
                .and_then(|it| it.to_str().ok());
            let Some(location) = location else { break };
            at = at.join(location).map_err(|error| wrong(error.to_string()))?;
            let here = is_here(self.image.server()) && at.host_str().is_some_and(is_here);
            if at.scheme() != "https" && !(at.scheme() == "http" && here) {
                return Err(wrong(format!(
                    "one to {}://{}",
                    at.scheme(),
                    at.host_str().unwrap_or_default()
                )));
            }
            let request = Request::get(at.as_str()).body(Vec::new());
            answer = execute(request.map_err(|error| wrong(error.to_string()))?).await?;
            if !answer.status().is_redirection() {
                return Ok(answer);
            }
        }
        Err(wrong("another one".to_owned()))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::arithmetic_side_effects, reason = "tests")]

    use super::*;

    #[test]
    fn an_image_is_named_by_host_and_digest() {
        let digest = format!("sha256:{}", "ab".repeat(32));
        let image: Image = format!("localhost:5000/team/app:1.0@{digest}").parse().unwrap();
        assert_eq!(image.to_string(), format!("localhost:5000/team/app@{digest}"));
        assert_eq!(
            image.url("referrers/x"),
            "http://localhost:5000/v2/team/app/referrers/x"
        );
        let image: Image = format!("docker.io/library/app@{digest}").parse().unwrap();
        assert_eq!(image.url("x"), "https://registry-1.docker.io/v2/library/app/x");
        let image: Image = format!("registry.example.com/app@{digest}").parse().unwrap();
        assert!(image.url("x").starts_with("https://registry.example.com/v2/app/"));
        for wrong in [
            "registry.example.com/app".to_owned(),
            "registry.example.com/app:1".to_owned(),
            format!("app@{digest}"),
            format!("team/app@{digest}"),
            format!("registry.example.com/@{digest}"),
            format!("registry.example.com/../app@{digest}"),
            format!("registry.example.com/a?b@{digest}"),
            "registry.example.com/app@sha256:ab".to_owned(),
        ] {
            assert!(wrong.parse::<Image>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn large_attachments_leave_room_for_small_ones() {
        let mut room = Room(MAX_ATTACHED_BYTES);
        assert!(!room.take(MAX_BUNDLE_BYTES + 1), "larger than any bundle");
        let taken = (0..MAX_ATTACHED).filter(|_| room.take(MAX_BUNDLE_BYTES)).count();
        assert_eq!(taken, MAX_ATTACHED_BYTES / MAX_BUNDLE_BYTES);
        assert!(!room.take(1));

        let mut room = Room(MAX_ATTACHED_BYTES);
        let large = MAX_BUNDLE_BYTES - 4096;
        while room.take(large) {}
        assert!(room.take(4096), "what follows is still looked at");
    }
}
