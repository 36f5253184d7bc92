//! Provenance and certificate against each other, and both against what was asked for.

use serde_json::Value;

use super::policy::{BuildType, BuildTypes, Builder, Policy, released};
use super::{Git, Provenance, Workload};

/// What the caller expects, in slsa-verifier's terms.
#[derive(Clone, Debug, Default)]
pub struct Asked {
    /// `HOST/PATH`, with or without `git+https://`.
    pub source: String,
    /// A tag, by name.
    pub tag: Option<String>,
    /// A version: a tag of it, or of a more precise one.
    pub versioned_tag: Option<String>,
    /// A branch, by name.
    pub branch: Option<String>,
    /// The builder, with or without its version.
    pub builder: Option<String>,
    /// Inputs of the run.
    pub inputs: Vec<(String, String)>,
}

/// What was found to be so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// `builder.id`.
    pub builder: String,
    /// Commit of the source, hex.
    pub commit: String,
    /// SLSA Build level.
    pub level: u8,
}

/// Why provenance is refused. `got` is what certificate or predicate say.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SlsaError {
    /// A signer that may not speak for the builder.
    #[error("builder: {signer:?} of {issuer:?} is no {}", untrusted(.signer, .builder))]
    Untrusted {
        /// Name in the certificate.
        signer: String,
        /// Who certified it.
        issuer: String,
        /// `builder.id`.
        builder: String,
    },
    /// Another builder.
    #[error("builder: expected {expected:?}, got {got:?}")]
    Builder {
        /// Asked for.
        expected: String,
        /// Of the predicate.
        got: String,
    },
    /// A builder at another reference than a release, which was not named in full.
    #[error(
        "builder: {0:?} is at no released version (refs/tags/vX.Y.Z): name it with its reference in --builder-id, or in a policy"
    )]
    Unreleased(String),
    /// A delegator, and nobody said whom it may speak for.
    #[error("builder: {0:?} was built through a delegator: say with --builder-id that it is trusted")]
    Delegated(String),
    /// Another source.
    #[error("source: expected {expected:?}, got {got:?} in the {place}")]
    Source {
        /// Asked for.
        expected: String,
        /// What it says.
        got: String,
        /// Who says.
        place: &'static str,
    },
    /// Another tag or branch.
    #[error("{what}: expected {expected:?}, got {got:?}")]
    Reference {
        /// `tag`, `versioned tag` or `branch`.
        what: &'static str,
        /// Asked for.
        expected: String,
        /// What it was built from.
        got: String,
    },
    /// The certificate and the predicate tell of different builds.
    #[error("certificate and provenance disagree about the {what}: {certificate:?} and {predicate:?}")]
    Disagree {
        /// What about.
        what: &'static str,
        /// The certificate's.
        certificate: String,
        /// The predicate's.
        predicate: String,
    },
    /// A build type that the builder does not have.
    #[error("build type: {0:?} is none that is trusted of this builder")]
    BuildType(String),
    /// An external parameter that is not what it may be, or that nobody judged.
    #[error("external parameter {name:?}: {problem}")]
    Parameter {
        /// Its name.
        name: String,
        /// What is wrong.
        problem: &'static str,
    },
    /// An input of the run.
    #[error(
        "workflow input {name:?}: expected {expected:?}, got {}",
        .got.as_ref().map_or_else(|| "none".to_owned(), |got| format!("{got:?}"))
    )]
    Input {
        /// Its name.
        name: String,
        /// Asked for.
        expected: String,
        /// What was given; nothing where the run did not have it.
        got: Option<String>,
    },
}

/// What a signer is not; the name of one that signs for itself is said once.
fn untrusted(signer: &str, builder: &str) -> String {
    match signer == builder {
        true => "builder that is trusted".to_owned(),
        false => format!("signer that is trusted for builder {builder:?}"),
    }
}

/// Compares. The signature over `provenance` by the holder of `workload`'s certificate is verified already.
///
/// # Errors
/// The first that is not as asked; see [`SlsaError`].
pub fn check(
    provenance: &Provenance,
    workload: &Workload,
    asked: &Asked,
    policy: &Policy,
) -> Result<Found, SlsaError> {
    let builder = trusted_builder(provenance, workload, asked, policy)?;
    check_build_type(provenance, builder)?;
    check_source(provenance, workload, asked)?;
    check_reference(provenance, workload, asked)?;
    check_inputs(provenance, asked)?;
    Ok(Found {
        builder: provenance.builder_id.clone(),
        commit: workload.commit.clone(),
        level: builder.level,
    })
}

fn trusted_builder<'p>(
    provenance: &Provenance,
    workload: &Workload,
    asked: &Asked,
    policy: &'p Policy,
) -> Result<&'p Builder, SlsaError> {
    let id = &provenance.builder_id;
    if let Some(expected) = &asked.builder
        && !names(expected, id)
    {
        return Err(SlsaError::Builder {
            expected: expected.clone(),
            got: id.clone(),
        });
    }
    let speaks = |builder: &&Builder| {
        builder.signer.issuers.contains(&workload.issuer) && builder.signer.name.matches(&workload.signer)
    };
    let mut delegator = false;
    for builder in policy.builders.iter().filter(speaks) {
        match &builder.id {
            None if *id == workload.signer => return Ok(builder),
            Some(of) if of.is_empty() => match &asked.builder {
                Some(named) if named == id || released(named).matches(id) => return Ok(builder),
                Some(_) => return Err(SlsaError::Unreleased(id.clone())),
                None => delegator = true,
            },
            Some(of) if names(of, id) => return Ok(builder),
            _ => {}
        }
    }
    if delegator {
        return Err(SlsaError::Delegated(id.clone()));
    }
    // One that signs for itself, and was named without its version.
    let other_version =
        |named: &String| !named.contains('@') && names(named, id) && !released(named).matches(id);
    if *id == workload.signer && asked.builder.as_ref().is_some_and(other_version) {
        return Err(SlsaError::Unreleased(id.clone()));
    }
    Err(SlsaError::Untrusted {
        signer: workload.signer.clone(),
        issuer: workload.issuer.clone(),
        builder: id.clone(),
    })
}

/// The same, or the same without version.
fn names(expected: &str, id: &str) -> bool {
    expected == id
        || (!expected.contains('@') && id.split_once("@refs/").is_some_and(|(name, _)| name == expected))
}

fn check_build_type(provenance: &Provenance, builder: &Builder) -> Result<(), SlsaError> {
    let BuildTypes::These(build_types) = &builder.build_types else {
        return Ok(());
    };
    let known = |build_type: &&BuildType| build_type.uri == provenance.build_type;
    let Some(build_type) = build_types.iter().find(known) else {
        return Err(SlsaError::BuildType(provenance.build_type.clone()));
    };
    let Some(parameters) = &build_type.parameters else {
        return Ok(());
    };
    let wrong = |name: &str, problem| {
        Err(SlsaError::Parameter {
            name: name.to_owned(),
            problem,
        })
    };
    for (name, value) in &provenance.external {
        match parameters.get(name) {
            None => return wrong(name, "the policy does not judge it"),
            Some(rule) if !rule.allows(value) => return wrong(name, "the policy does not allow its value"),
            Some(_) => {}
        }
    }
    // One that must have a value must be there.
    let absent = parameters
        .iter()
        .find(|(name, rule)| !provenance.external.contains_key(*name) && !rule.allows(&Value::Null));
    absent.map_or(Ok(()), |(name, _)| wrong(name, "the provenance does not have it"))
}

/// Whether two ways to write a repository name the same one.
#[must_use]
pub fn same_repository(one: &str, other: &str) -> bool {
    Git::parse(one).name() == Git::parse(other).name()
}

fn check_source(provenance: &Provenance, workload: &Workload, asked: &Asked) -> Result<(), SlsaError> {
    let is = |got: &str, place| {
        if same_repository(&asked.source, got) {
            return Ok(());
        }
        Err(SlsaError::Source {
            expected: asked.source.clone(),
            got: got.to_owned(),
            place,
        })
    };
    is(&workload.repository, "certificate")?;
    // A predicate that names no source says nothing about it.
    let source = provenance.source.as_ref();
    is(source.map_or("", |git| git.repository.as_str()), "provenance")?;
    if let Some(trigger) = &provenance.trigger {
        is(&trigger.repository, "provenance's trigger")?;
    }
    let disagree = |what, certificate: &str, predicate: &str| {
        Err(SlsaError::Disagree {
            what,
            certificate: certificate.to_owned(),
            predicate: predicate.to_owned(),
        })
    };
    for (what, commit) in [
        ("commit", &provenance.commit),
        // The certificate says that the configuration is of the commit that was built.
        ("commit of the build configuration", &provenance.config_commit),
    ] {
        if let Some(commit) = commit
            && *commit != workload.commit
        {
            return disagree(what, &workload.commit, commit);
        }
    }
    if let (Some(certified), Some(config)) = (&workload.config, &provenance.config)
        && certified != config
    {
        return disagree("build configuration", certified, config);
    }
    let references = [source, provenance.trigger.as_ref()];
    for reference in references
        .into_iter()
        .flatten()
        .filter_map(|git| git.reference.as_ref())
    {
        if let Some(certified) = &workload.reference
            && certified != reference
        {
            return disagree("reference", certified, reference);
        }
    }
    match (&provenance.event, &workload.trigger) {
        (Some(event), Some(trigger)) if event != trigger => disagree("trigger", trigger, event),
        _ => Ok(()),
    }
}

fn check_reference(provenance: &Provenance, workload: &Workload, asked: &Asked) -> Result<(), SlsaError> {
    let of_source = provenance.source.as_ref().and_then(|git| git.reference.as_ref());
    let reference = workload
        .reference
        .as_ref()
        .or(of_source)
        .map_or("", String::as_str);
    let wrong = |what, expected: &str, got: &str| {
        Err(SlsaError::Reference {
            what,
            expected: expected.to_owned(),
            got: got.to_owned(),
        })
    };
    if let Some(tag) = &asked.tag
        && reference.strip_prefix("refs/tags/") != Some(tag)
    {
        return wrong("tag", tag, reference);
    }
    if let Some(version) = &asked.versioned_tag {
        let tag = reference.strip_prefix("refs/tags/").unwrap_or_default();
        if !is_version_of(version, tag) {
            return wrong("versioned tag", version, reference);
        }
    }
    if let Some(branch) = &asked.branch
        && built_from(reference, provenance, workload) != Some(branch.as_str())
    {
        return wrong("branch", branch, reference);
    }
    Ok(())
}

/// The branch that was built. A tag's is the one that the event names, as far as someone else than the build itself says so: a
/// workflow of the source writes what it likes into its predicate. Any other reference, such as a pull request's, is no branch,
/// whatever it would be merged into (`slsa-verifier slsaprovenance/common/common.go`, GetBranch).
fn built_from<'a>(reference: &'a str, provenance: &'a Provenance, workload: &Workload) -> Option<&'a str> {
    if let Some(branch) = reference.strip_prefix("refs/heads/") {
        return Some(branch);
    }
    let of_source = workload
        .signer
        .strip_prefix("https://")
        .and_then(|signer| signer.strip_prefix(workload.repository.as_str()))
        .is_some_and(|rest| rest.starts_with('/'));
    if of_source || !reference.starts_with("refs/tags/") {
        return None;
    }
    let base = provenance.base.as_deref()?;
    Some(base.strip_prefix("refs/heads/").unwrap_or(base))
}

/// `v1` and `v1.2` are versions of the tag `v1.2.3`; a build or pre-release part must be the same
/// (`slsa-verifier verifiers/internal/gha/verifier.go`, VerifyVersionedTag).
fn is_version_of(expected: &str, tag: &str) -> bool {
    fn parts(text: &str) -> Option<(Vec<u64>, &str)> {
        let text = text.strip_prefix('v')?;
        let at = text.find(['-', '+']).unwrap_or(text.len());
        let (numbers, rest) = text.split_at(at);
        let numbers: Option<Vec<u64>> = numbers.split('.').map(|number| number.parse().ok()).collect();
        numbers.filter(|list| list.len() <= 3).map(|list| (list, rest))
    }
    match (parts(expected), parts(tag)) {
        (Some((wanted, suffix)), Some((got, of_tag))) => got.starts_with(&wanted) && (suffix == of_tag),
        _ => false,
    }
}

fn check_inputs(provenance: &Provenance, asked: &Asked) -> Result<(), SlsaError> {
    for (name, expected) in &asked.inputs {
        // Only a run that a person started has inputs.
        let started = provenance.event.as_deref() == Some("workflow_dispatch");
        let got = provenance.inputs.get(name).filter(|_| started);
        let got = got.map(|value| {
            value
                .as_str()
                .map_or_else(|| value.to_string(), ToOwned::to_owned)
        });
        if got.as_ref() != Some(expected) {
            return Err(SlsaError::Input {
                name: name.clone(),
                expected: expected.clone(),
                got,
            });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
