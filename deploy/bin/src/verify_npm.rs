//! `verify-npm-package`: slsa-verifier's command line, on what a registry answers about a package.
//!
//! A registry keeps two attestations of a package: the provenance, which the job that built it signed, and its own word that it
//! published the package, under a key that it names (npm `provenance` RFC; slsa-verifier `verifiers/internal/gha/npm.go`).

mod keys;

use std::path::{Path, PathBuf};

use clap::Args;
use common_bundle::format::{Bundle, Content, KeyMaterial};
use common_bundle::slsa::Policy;
use common_bundle::trust::TrustedRoot;
use common_bundle::verify::{self, Artifact};
use common_pki::key::HashAlgorithm;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use crate::console::Console;
use crate::exit::{Exit, Failure};
use crate::slsa::{Attestations, FAILED, Passed, Session, SlsaArgs};
use crate::trust_source::{Trusted, read};
use crate::verify::Held;
use crate::verify::report::Refusal;
use crate::verify_npm::keys::RegistryKeys;

/// The registry's own attestation.
const PUBLISH: &str = "https://github.com/npm/attestation/tree/main/specs/publish/v0.1";
/// How provenance begins.
const PROVENANCE: &str = "https://slsa.dev/provenance/";
/// A runner of GitHub Actions, as npm names the builder.
const RUNNER: &str = "https://github.com/actions/runner";
/// What the certificate calls one of GitHub's own.
const HOSTED: &str = "github-hosted";
/// Most attestations of one package.
const MAX_LIST: usize = 64;

/// Options of `verify-npm-package`, most of which have slsa-verifier's names.
#[derive(Debug, Args)]
pub(crate) struct VerifyNpmArgs {
    /// The package, as `npm pack` gets it; or its digest as sha512:HEX.
    #[arg(value_name = "TARBALL")]
    tarball: String,
    /// What the registry answers under /-/npm/v1/attestations/NAME@VERSION.
    #[arg(long, value_name = "FILE")]
    attestations_path: PathBuf,
    /// The package's name, such as @scope/name.
    #[arg(long, value_name = "NAME")]
    package_name: String,
    /// The package's version.
    #[arg(long, value_name = "VERSION")]
    package_version: String,
    /// What the registry answers under /-/npm/v1/keys. Without keys the registry's own attestation is not looked at.
    #[arg(long, value_name = "FILE", conflicts_with = "registry_keys_target")]
    registry_keys: Option<PathBuf>,
    /// The registry's keys are this target of the TUF repository that the trust is from (--tuf, or the instance's), such as
    /// registry.npmjs.org/keys.json.
    #[arg(long, value_name = "NAME")]
    registry_keys_target: Option<String>,
    #[command(flatten)]
    slsa: SlsaArgs,
}

/// Shown at the end of the long help.
pub(crate) const EXAMPLES: &str = "\
Examples:
  curl -fsSo attestations.json https://registry.npmjs.org/-/npm/v1/attestations/sigstore@3.0.0
  curl -fsSo keys.json https://registry.npmjs.org/-/npm/v1/keys
  sigbox verify-npm-package sigstore-3.0.0.tgz --attestations-path attestations.json --registry-keys keys.json --public-good \\
      --package-name sigstore --package-version 3.0.0 --source-uri github.com/sigstore/sigstore-js";

/// What a registry answers about a version of a package.
#[derive(Deserialize)]
struct AttestationList {
    attestations: Vec<Listed>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Listed {
    predicate_type: String,
    bundle: Box<RawValue>,
}

/// What the registry says it published.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Published {
    predicate_type: String,
    predicate: PublishedPredicate,
    subject: Vec<PublishedSubject>,
}

#[derive(Deserialize)]
struct PublishedPredicate {
    name: String,
    version: String,
}

#[derive(Deserialize)]
struct PublishedSubject {
    name: String,
}

/// Runs `verify-npm-package`.
///
/// # Errors
/// [`Failure`] names what was not as asked; its exit code says of what kind it is.
pub(crate) async fn run(args: VerifyNpmArgs, console: Console) -> Result<(), Failure> {
    let listed: AttestationList = document(&args.attestations_path)?;
    if listed.attestations.len() > MAX_LIST {
        return Err(args.refused(format!("more than {MAX_LIST} attestations")));
    }
    let (mut provenance, mut publish) = (Attestations::default(), Vec::new());
    for it in listed.attestations {
        match Bundle::from_json(it.bundle.get().as_bytes()) {
            published if it.predicate_type == PUBLISH => publish.push(published),
            _ if !it.predicate_type.starts_with(PROVENANCE) => {}
            Ok(bundle) => provenance.push_bundle(bundle),
            Err(error) => provenance.push_unreadable(error),
        }
    }
    let held = Held::new(&args.tarball)?;
    let trusted = args.slsa.trust.resolve().await?;
    if let Some(keys) = args.keys(&trusted).await? {
        let publish: Result<Vec<Bundle>, _> = publish.into_iter().collect();
        let publish = publish.map_err(|error| args.refused(error))?;
        args.published(&publish, &keys, &held, &trusted.root)?;
        console.line("Verified the registry's attestation of the publication");
    }
    let policy = match &args.slsa.policy {
        Some(_) => args.slsa.policy(&trusted).await?.0,
        None => Policy::npm(&args.slsa.source_uri, &args.slsa.issuers(&trusted).await?),
    };
    let mut session = Session::with(&args.slsa, trusted, policy, console);
    let named = |passed: &Passed| args.is_named(&held, passed);
    let passed = session
        .judge(
            "npm package",
            &args.tarball,
            &held,
            &mut provenance,
            &args.attestations_path,
            named,
        )
        .await?;
    if args.slsa.print_provenance {
        passed.print_provenance()?;
    }
    session.passed();
    Ok(())
}

impl VerifyNpmArgs {
    /// The registry's keys, where its own attestation is looked at.
    async fn keys(&self, trusted: &Trusted) -> Result<Option<RegistryKeys>, Failure> {
        let (keys, from) = match (&self.registry_keys, &self.registry_keys_target) {
            (Some(file), _) => (RegistryKeys::answered(&read(file)?), file.display().to_string()),
            (None, Some(name)) => {
                let target = trusted.target(name).await?;
                (RegistryKeys::distributed(&target), format!("the target {name}"))
            }
            (None, None) => return Ok(None),
        };
        let wrong = |error| Failure::failed(format!("{from}: expected keys of a registry: {error}"));
        keys.map(Some).map_err(wrong)
    }

    /// The package URL (package-url `PURL-TYPES.rst`, npm), as npm writes it.
    fn purl(&self) -> String {
        format!(
            "pkg:npm/{}@{}",
            self.package_name.replacen('@', "%40", 1),
            self.package_version
        )
    }

    /// The subject with the package's digest has its name, and builder and certificate agree about the runner.
    fn is_named(&self, held: &Held, passed: &Passed) -> Result<(), Refusal> {
        let digest = held.digest(HashAlgorithm::Sha512).map(hex::encode);
        let (digest, purl) = (digest.unwrap_or_default(), self.purl());
        let mut about = passed.provenance.subjects.iter().filter(|subject| {
            let claimed = subject.digest.get("sha512");
            claimed.is_some_and(|claimed| claimed.eq_ignore_ascii_case(&digest))
        });
        if !about.clone().any(|subject| subject.name == purl) {
            let got = about
                .next()
                .map_or("no sha512 of it", |subject| subject.name.as_str());
            let why = format!("package: expected {purl}, got {got}");
            return Err(Refusal::new("package", Exit::OtherArtifact, why));
        }
        let named = self.slsa.builder_id.is_some() || self.slsa.policy.is_some();
        check_runner(&passed.found.builder, passed.workload.runner.as_deref(), named)
    }

    /// The registry's own attestation: by a key of it, of this package.
    fn published(
        &self,
        bundles: &[Bundle],
        keys: &RegistryKeys,
        held: &Held,
        root: &TrustedRoot,
    ) -> Result<(), Failure> {
        let [bundle] = bundles else {
            return Err(self.refused(format!(
                "expected one attestation {PUBLISH}, got {}",
                bundles.len()
            )));
        };
        let KeyMaterial::PublicKey { hint } = &bundle.key_material else {
            return Err(self.refused("the registry's attestation names no key"));
        };
        let (public, valid) = keys.get(hint).map_err(|why| self.refused(why))?;
        let policy = verify::Policy::key(public, valid);
        let artifact: Artifact<'_> = held.artifact();
        verify::verify(bundle, artifact, root, &policy).map_err(|error| {
            let refusal = Refusal::from(error);
            refusal.failure(&format!("{FAILED}: the registry's attestation"))
        })?;
        let Content::Dsse(envelope) = &bundle.content else {
            return Err(self.refused("the registry's attestation is no statement"));
        };
        let said: Published =
            serde_json::from_slice(&envelope.payload).map_err(|error| self.refused(error))?;
        if said.predicate_type != PUBLISH {
            let got: String = said.predicate_type.chars().take(128).collect();
            return Err(self.refused(format!(
                "the registry's attestation: expected predicate type {PUBLISH}, got {got:?}"
            )));
        }
        let PublishedPredicate { name, version } = said.predicate;
        let same = name == self.package_name && version == self.package_version;
        if !same || said.subject.iter().any(|subject| subject.name != self.purl()) {
            return Err(Failure {
                exit: Exit::OtherArtifact,
                message: format!(
                    "{FAILED}: the registry's attestation: expected {}, got {name} {version}",
                    self.purl()
                ),
            });
        }
        Ok(())
    }

    fn refused(&self, why: impl std::fmt::Display) -> Failure {
        Failure {
            exit: Exit::Unverified,
            message: format!("{FAILED}: {}: {why}", self.attestations_path.display()),
        }
    }
}

/// The builder is a runner, of the kind that the certificate says. A name without a kind is a runner of GitHub's
/// (slsa-verifier `verifiers/internal/gha/npm.go`); one of somebody's own counts where a builder was named.
fn check_runner(id: &str, certified: Option<&str>, named: bool) -> Result<(), Refusal> {
    let Some(kind) = id.strip_prefix(RUNNER) else {
        // Of a policy, which says who may speak for it.
        return Ok(());
    };
    let said = match kind {
        "" => HOSTED,
        kind => kind.trim_start_matches('/'),
    };
    let refused = |why: String| Err(Refusal::new("builder", Exit::OtherBuilder, why));
    match certified {
        None => refused("builder: the certificate does not say what kind of runner it was".to_owned()),
        Some(certified) if said != certified => refused(format!(
            "builder: expected a runner that is {certified}, as the certificate says, got {id}"
        )),
        Some(_) if said != HOSTED && !named => refused(format!(
            "builder: {id} is none of GitHub's runners: say with --builder-id that it is trusted"
        )),
        Some(_) => Ok(()),
    }
}

fn document<T: DeserializeOwned>(file: &Path) -> Result<T, Failure> {
    serde_json::from_slice(&read(file)?)
        .map_err(|error| Failure::failed(format!("{}: {error}", file.display())))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn a_runner_is_of_the_kind_that_the_certificate_says() {
        let own = format!("{RUNNER}/self-hosted");
        let hosted = format!("{RUNNER}/{HOSTED}");
        for id in [RUNNER, &hosted] {
            check_runner(id, Some(HOSTED), false).unwrap();
            check_runner(id, Some("self-hosted"), true).unwrap_err();
            check_runner(id, None, true).unwrap_err();
        }
        check_runner(&own, Some("self-hosted"), true).unwrap();
        check_runner(&own, Some(HOSTED), true).unwrap_err();
        let unnamed = check_runner(&own, Some("self-hosted"), false).unwrap_err();
        assert!(unnamed.reason().contains("--builder-id"), "{}", unnamed.reason());
        for other in [
            "https://github.com/actions/runner-images",
            "https://github.com/actions/runner@refs/heads/main",
        ] {
            check_runner(other, Some(HOSTED), true).unwrap_err();
        }
    }
}
