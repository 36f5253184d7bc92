//! Artifacts, images and packages against the attestations that are said to be about them.

use std::path::Path;

use common_bundle::format::{Content, TransparencyLogEntry};
use common_bundle::slsa::{Found, Policy, Provenance, ProvenanceError, SlsaError, Workload, check};
use common_bundle::verify::{self, Evidence, Matcher, VerifyError};
use common_tlog::leaf_hash;

use super::attestations::{Attestation, Attestations};
use super::{FAILED, SlsaArgs};
use crate::console::Console;
use crate::exit::{Exit, Failure};
use crate::trust_source::Trusted;
use crate::verify::Held;
use crate::verify::report::{Refusal, Report, print_json};

/// An artifact's verdict.
pub(crate) struct Passed {
    /// What was found.
    pub(crate) found: Found,
    /// Whose certificate.
    pub(crate) workload: Workload,
    /// What it says.
    pub(crate) provenance: Provenance,
    /// The statement's own octets.
    payload: Vec<u8>,
    /// Where its log entry is, for people.
    entry: Option<String>,
}

impl Passed {
    /// Prints the provenance, the result of a command that was asked for it.
    ///
    /// # Errors
    /// [`Failure`] when nobody takes it.
    pub(crate) fn print_provenance(&self) -> Result<(), Failure> {
        print_json(&String::from_utf8_lossy(&self.payload))
    }
}

/// The step at which an attestation was refused. Of several, the one that came furthest says why there is no verdict: it is the
/// one that was meant, if any was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Step {
    /// There is none.
    Search,
    /// It is about another artifact, or says something else than how one was built.
    Subject,
    /// It cannot be read, or its log entry cannot be had.
    Reading,
    /// Signature, certificate, log entry and times.
    Evidence,
    /// Whether predicate and certificate say what those of a build say.
    Form,
    /// Who built.
    Builder,
    /// How.
    BuildType,
    /// From what.
    Source,
    /// From which tag or branch.
    Reference,
    /// What else was asked for.
    Rest,
}

/// An attestation that does not pass.
struct Refused {
    at: Step,
    why: Refusal,
}

impl Step {
    fn refuses(self, why: Refusal) -> Refused {
        Refused { at: self, why }
    }
}

impl From<VerifyError> for Refused {
    fn from(error: VerifyError) -> Refused {
        let step = match error.check() {
            "subject" => Step::Subject,
            _ => Step::Evidence,
        };
        step.refuses(error.into())
    }
}

impl From<ProvenanceError> for Refused {
    fn from(error: ProvenanceError) -> Refused {
        let step = match &error {
            ProvenanceError::StatementType(_) | ProvenanceError::PredicateType(_) => Step::Subject,
            ProvenanceError::Json(_) | ProvenanceError::TooMany => Step::Form,
        };
        step.refuses(Refusal::new("provenance", Exit::OtherProvenance, error))
    }
}

impl From<SlsaError> for Refused {
    fn from(error: SlsaError) -> Refused {
        let (step, check, exit) = match &error {
            SlsaError::Untrusted { .. }
            | SlsaError::Builder { .. }
            | SlsaError::Unreleased(_)
            | SlsaError::Delegated(_) => (Step::Builder, "builder", Exit::OtherBuilder),
            SlsaError::BuildType(_) | SlsaError::Parameter { .. } => {
                (Step::BuildType, "provenance", Exit::OtherProvenance)
            }
            SlsaError::Source { .. } => (Step::Source, "source", Exit::OtherSource),
            SlsaError::Disagree { .. } => (Step::Source, "provenance", Exit::OtherProvenance),
            SlsaError::Reference { .. } => (Step::Reference, "reference", Exit::OtherReference),
            _ => (Step::Rest, "provenance", Exit::OtherProvenance),
        };
        step.refuses(Refusal::new(check, exit, error))
    }
}

/// What has a signer trusted that is not, where that is meant: one that signs for itself can be named; for whom another one signs, a
/// policy alone says. The names themselves are not repeated: they are of a certificate, and lines of advice are pasted into shells.
fn remedy(error: &SlsaError, policy: &Policy, builder_can_be_named: bool) -> Option<&'static str> {
    let SlsaError::Untrusted {
        signer,
        issuer,
        builder,
    } = error
    else {
        return None;
    };
    let mut known = policy.builders.iter().flat_map(|builder| &builder.signer.issuers);
    Some(
        match (
            builder_can_be_named && signer == builder,
            known.any(|it| it == issuer),
        ) {
            (true, true) => "if it is yours, name it in --builder-id, or in a --policy",
            (true, false) => {
                "if it is yours, name it in --builder-id and its issuer in --certificate-oidc-issuer, or both in a --policy"
            }
            (false, _) => "a --policy lists who may sign for which builder",
        },
    )
}

/// One run of a command: what is trusted, and who may have built.
pub(crate) struct Session<'a> {
    args: &'a SlsaArgs,
    trusted: Trusted,
    policy: Policy,
    /// SHA-256 of the file that the policy is of.
    pub(crate) policy_digest: Option<[u8; 32]>,
    /// Whether `--builder-id` adds the one that it names to the policy's.
    builder_can_be_named: bool,
    console: Console,
    /// The builder of all, once there is one.
    builder: Option<String>,
}

impl<'a> Session<'a> {
    /// Trust as the options say, and the builders of the policy.
    pub(crate) async fn new(args: &'a SlsaArgs, console: Console) -> Result<Self, Failure> {
        let trusted = args.trust.resolve().await?;
        let (policy, digest) = args.policy(&trusted).await?;
        let mut session = Self::with(args, trusted, policy, console);
        session.policy_digest = digest;
        session.builder_can_be_named = args.policy.is_none();
        Ok(session)
    }

    /// The same with other builders.
    pub(crate) fn with(args: &'a SlsaArgs, trusted: Trusted, policy: Policy, console: Console) -> Self {
        Self {
            args,
            trusted,
            policy,
            policy_digest: None,
            builder_can_be_named: false,
            console,
            builder: None,
        }
    }

    /// Judges an artifact, image or package by the attestations that are said to be about it, and says the verdict as slsa-verifier
    /// does: the first that passes counts, with what the command asks for beside in `more`. All that one run judges must come from
    /// one builder.
    ///
    /// # Errors
    /// [`Failure`] with what was not as asked.
    pub(crate) async fn judge(
        &mut self,
        kind: &str,
        name: &str,
        held: &Held,
        attestations: &mut Attestations,
        from: &Path,
        more: impl Fn(&Passed) -> Result<(), Refusal>,
    ) -> Result<Passed, Failure> {
        let args = self.args;
        let evidence = args
            .require
            .apply(verify::Policy::matching(Matcher::Any, Matcher::Any))?;
        let none = Refusal::new("bundle", Exit::Unverified, "no attestation");
        let mut refused = Step::Search.refuses(none);
        let mut report = self.report(name, from);
        for place in 0.. {
            let Some(attestation) = attestations.get(place, args).await else {
                break;
            };
            let mut seen = self.report(name, from);
            match self.attested(held, attestation, &evidence, &more, &mut seen) {
                Ok(passed) => {
                    self.accept(kind, name, &passed, &seen)?;
                    return Ok(passed);
                }
                Err(other) if other.at > refused.at => (refused, report) = (other, seen),
                Err(_) => {}
            }
        }
        let why = refused.why;
        report.finish_quietly(Some(&why), &args.report, self.console)?;
        self.console
            .line(&format!("Verifying {kind} {name}: FAILED: {}\n", why.reason()));
        Err(why.failure(FAILED))
    }

    /// Before anything was checked.
    fn report(&self, name: &str, from: &Path) -> Report {
        let mut report = Report::new(name, from);
        report.trusts(&self.trusted);
        report
    }

    /// The last line.
    pub(crate) fn passed(&self) {
        self.console.line("PASSED: SLSA verification passed");
    }

    fn accept(&mut self, kind: &str, name: &str, passed: &Passed, report: &Report) -> Result<(), Failure> {
        let Found { builder, commit, .. } = &passed.found;
        if let Some(entry) = &passed.entry {
            self.console.line(entry);
        }
        self.console.line(&format!(
            "Verified build using builder \"{builder}\" at commit {commit}"
        ));
        report.finish_quietly(None, &self.args.report, self.console)?;
        self.console.line(&format!("Verifying {kind} {name}: PASSED\n"));
        self.builder.get_or_insert_with(|| builder.clone());
        Ok(())
    }

    fn attested(
        &self,
        held: &Held,
        attestation: &Attestation,
        evidence: &verify::Policy,
        more: impl Fn(&Passed) -> Result<(), Refusal>,
        report: &mut Report,
    ) -> Result<Passed, Refused> {
        let bundle = attestation
            .bundle()
            .map_err(|why| Step::Reading.refuses(why.clone()))?;
        report.signed_by(&bundle);
        let (times, certificate) = verify::examine_text(
            &bundle,
            attestation.text(),
            held.artifact(),
            &self.trusted.root,
            evidence,
            &mut report.checks,
        )?;
        report.times = times;
        let Content::Dsse(envelope) = &bundle.content else {
            let why = Refusal::new("provenance", Exit::OtherArtifact, "expected an envelope");
            return Err(Step::Subject.refuses(why));
        };
        let provenance = Provenance::parse(&envelope.payload)?;
        let unusable = |error: &dyn std::fmt::Display| {
            Step::Form.refuses(Refusal::new("provenance", Exit::OtherProvenance, error))
        };
        let certificate = certificate.ok_or_else(|| unusable(&"expected a certificate"))?;
        let workload = Workload::of(&certificate).map_err(|error| unusable(&error))?;
        let found = check(&provenance, &workload, &self.args.asked(), &self.policy).map_err(|error| {
            let remedy = remedy(&error, &self.policy, self.builder_can_be_named);
            let mut refused = Refused::from(error);
            if let Some(remedy) = remedy {
                refused.why = refused.why.advising(remedy);
            }
            refused
        })?;
        let passed = Passed {
            found,
            workload,
            provenance,
            payload: envelope.payload.clone(),
            entry: bundle
                .tlog_entries
                .first()
                .map(|entry| entry_line(entry, &report.checks)),
        };
        more(&passed)
            .and_then(|()| self.same_builder(&passed.found.builder))
            .map_err(|why| Step::Rest.refuses(why))?;
        Ok(passed)
    }

    fn same_builder(&self, got: &str) -> Result<(), Refusal> {
        match &self.builder {
            Some(expected) if expected != got => Err(Refusal::new(
                "builder",
                Exit::OtherBuilder,
                format!(
                    "the artifacts were built by different builders: expected {expected:?} as before, got {got:?}"
                ),
            )),
            _ => Ok(()),
        }
    }
}

/// Where the entry is, as slsa-verifier says it. A Rekor v1 entry is found under the hash of its leaf.
fn entry_line(entry: &TransparencyLogEntry, checks: &[Evidence]) -> String {
    let log = checks.iter().find_map(|check| match check {
        Evidence::InclusionPromise { log, .. } | Evidence::Inclusion { log, .. } => Some(log.as_str()),
        _ => None,
    });
    let log = log.unwrap_or_default().trim_end_matches('/');
    let index = entry.log_index;
    if entry.inclusion_promise.is_some() {
        let leaf = leaf_hash(&entry.canonicalized_body);
        return format!(
            "Verified signature against tlog entry index {index} at URL: {log}/api/v1/log/entries/{leaf}"
        );
    }
    format!("Verified signature against tlog entry index {index} of the log at URL: {log}")
}

#[cfg(test)]
mod tests;
