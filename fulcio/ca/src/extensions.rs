//! Fulcio's certificate extensions, 1.3.6.1.4.1.57264.1.*.
//!
//! Names, numbers and encodings: fulcio `docs/oid-info.md` and `pkg/certificate/extensions.go`. Arcs 1 to 6
//! hold their text bare in extnValue, the later ones hold a DER UTF8String; 7 is no extension but the
//! otherName type of user names.

use std::collections::BTreeMap;

use common_pki::cert::{self, ext};

/// One kind of extension. The discriminant is its last arc, and so its place in the certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Extension {
    /// The token's issuer, bare text.
    IssuerV1 = 1,
    /// The event that started a GitHub workflow, bare text.
    GithubWorkflowTrigger = 2,
    /// The commit a GitHub workflow ran on, bare text.
    GithubWorkflowSha = 3,
    /// The name of a GitHub workflow, bare text.
    GithubWorkflowName = 4,
    /// The repository of a GitHub workflow, bare text.
    GithubWorkflowRepository = 5,
    /// The reference a GitHub workflow ran on, bare text.
    GithubWorkflowRef = 6,
    /// The token's issuer.
    IssuerV2 = 8,
    /// The instructions that signed.
    BuildSignerUri = 9,
    /// The version of those instructions.
    BuildSignerDigest = 10,
    /// Where it ran: hosted by the platform or by the user.
    RunnerEnvironment = 11,
    /// What was built.
    SourceRepositoryUri = 12,
    /// The version of what was built.
    SourceRepositoryDigest = 13,
    /// The reference of what was built.
    SourceRepositoryRef = 14,
    /// The platform's lasting identifier of the repository.
    SourceRepositoryIdentifier = 15,
    /// Whose repository.
    SourceRepositoryOwnerUri = 16,
    /// The platform's lasting identifier of the owner.
    SourceRepositoryOwnerIdentifier = 17,
    /// The top-level build instructions.
    BuildConfigUri = 18,
    /// The version of those instructions.
    BuildConfigDigest = 19,
    /// What started the build.
    BuildTrigger = 20,
    /// The very run.
    RunInvocationUri = 21,
    /// Public or private, when it was signed.
    SourceRepositoryVisibilityAtSigning = 22,
    /// The deployment environment.
    DeploymentEnvironment = 23,
    /// The token's subject.
    Subject = 24,
}

impl Extension {
    /// Those that a configuration maps, with their key there (`github-workflow-sha`) and their name in upstream's messages
    /// and JSON (fulcio `pkg/certificate/extensions.go`). Issuer and subject always come from the token.
    pub const MAPPED: [(Self, &'static str, &'static str); 20] = [
        (
            Self::GithubWorkflowTrigger,
            "github-workflow-trigger",
            "GithubWorkflowTrigger",
        ),
        (
            Self::GithubWorkflowSha,
            "github-workflow-sha",
            "GithubWorkflowSHA",
        ),
        (
            Self::GithubWorkflowName,
            "github-workflow-name",
            "GithubWorkflowName",
        ),
        (
            Self::GithubWorkflowRepository,
            "github-workflow-repository",
            "GithubWorkflowRepository",
        ),
        (
            Self::GithubWorkflowRef,
            "github-workflow-ref",
            "GithubWorkflowRef",
        ),
        (Self::BuildSignerUri, "build-signer-uri", "BuildSignerURI"),
        (
            Self::BuildSignerDigest,
            "build-signer-digest",
            "BuildSignerDigest",
        ),
        (Self::RunnerEnvironment, "runner-environment", "RunnerEnvironment"),
        (
            Self::SourceRepositoryUri,
            "source-repository-uri",
            "SourceRepositoryURI",
        ),
        (
            Self::SourceRepositoryDigest,
            "source-repository-digest",
            "SourceRepositoryDigest",
        ),
        (
            Self::SourceRepositoryRef,
            "source-repository-ref",
            "SourceRepositoryRef",
        ),
        (
            Self::SourceRepositoryIdentifier,
            "source-repository-identifier",
            "SourceRepositoryIdentifier",
        ),
        (
            Self::SourceRepositoryOwnerUri,
            "source-repository-owner-uri",
            "SourceRepositoryOwnerURI",
        ),
        (
            Self::SourceRepositoryOwnerIdentifier,
            "source-repository-owner-identifier",
            "SourceRepositoryOwnerIdentifier",
        ),
        (Self::BuildConfigUri, "build-config-uri", "BuildConfigURI"),
        (
            Self::BuildConfigDigest,
            "build-config-digest",
            "BuildConfigDigest",
        ),
        (Self::BuildTrigger, "build-trigger", "BuildTrigger"),
        (Self::RunInvocationUri, "run-invocation-uri", "RunInvocationURI"),
        (
            Self::SourceRepositoryVisibilityAtSigning,
            "source-repository-visibility-at-signing",
            "SourceRepositoryVisibilityAtSigning",
        ),
        (
            Self::DeploymentEnvironment,
            "deployment-environment",
            "DeploymentEnvironment",
        ),
    ];

    /// The last arc of its object identifier.
    #[must_use]
    pub fn number(self) -> u8 {
        self as u8
    }

    /// The name in upstream's messages and JSON.
    #[must_use]
    pub fn name(self) -> &'static str {
        let mapped = Self::MAPPED.iter().find(|(one, ..)| *one == self);
        match (self, mapped) {
            (_, Some((.., name))) => name,
            (Self::Subject, None) => "Subject",
            (_, None) => "Issuer",
        }
    }
}

/// The extensions of one certificate: at most one of each kind, none of them empty, in numeric order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Extensions(BTreeMap<Extension, String>);

impl Extensions {
    /// Sets one. An empty value leaves the extension out, as upstream does.
    pub fn set(&mut self, extension: Extension, value: &str) {
        if !value.is_empty() {
            self.0.insert(extension, value.to_owned());
        }
    }

    /// Sets both forms of the issuer, which always stand together.
    pub fn set_issuer(&mut self, issuer: &str) {
        self.set(Extension::IssuerV1, issuer);
        self.set(Extension::IssuerV2, issuer);
    }

    /// Kind and text of each, in numeric order.
    pub fn iter(&self) -> impl Iterator<Item = (Extension, &str)> {
        self.0.iter().map(|(kind, text)| (*kind, text.as_str()))
    }

    /// As X.509 extensions, none critical, in numeric order.
    pub(crate) fn encode(&self) -> Vec<cert::Extension> {
        let encode = |(kind, text): (&Extension, &String)| {
            let oid = ext::sigstore_oid(u32::from(kind.number()))?;
            Some(match kind {
                kind if *kind <= Extension::GithubWorkflowRef => ext::raw_text(oid, text),
                _ => ext::utf8_string(oid, text),
            })
        };
        // Every arc of the enumeration makes an identifier, so that none is lost here.
        self.0.iter().filter_map(encode).collect()
    }
}

#[cfg(test)]
mod tests;
