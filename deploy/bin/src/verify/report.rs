//! What was verified and why, for people and for programs.

use std::fmt::Display;
use std::path::Path;

use clap::Args;
use common_bundle::format::{Bundle, KeyMaterial};
use common_bundle::verify::{Evidence, ProvenTime};
use common_pki::cert::Certificate;
use serde_json::{Map, Value, json};

use crate::console::{self, Console};
use crate::doctor::report::time;
use crate::exit::{Exit, Failure};
use crate::trust_source::Trusted;

/// Numbers of Fulcio's extensions and their names (fulcio `docs/oid-info.md`).
const EXTENSIONS: [(u32, &str); 15] = [
    (8, "issuer"),
    (9, "buildSignerURI"),
    (10, "buildSignerDigest"),
    (11, "runnerEnvironment"),
    (12, "sourceRepositoryURI"),
    (13, "sourceRepositoryDigest"),
    (14, "sourceRepositoryRef"),
    (15, "sourceRepositoryIdentifier"),
    (16, "sourceRepositoryOwnerURI"),
    (17, "sourceRepositoryOwnerIdentifier"),
    (18, "buildConfigURI"),
    (19, "buildConfigDigest"),
    (20, "buildTrigger"),
    (21, "runInvocationURI"),
    (22, "sourceRepositoryVisibilityAtSigning"),
];

/// How much is said.
#[derive(Debug, Clone, Copy, Default, Args)]
#[command(next_help_heading = "Output")]
pub(crate) struct ReportArgs {
    /// Show each check with its evidence, on standard error.
    #[arg(long)]
    pub(crate) explain: bool,
    /// Print one JSON object on standard output, whatever the verdict.
    #[arg(long)]
    pub(crate) json: bool,
}

/// A check that failed.
#[derive(Debug)]
pub(crate) struct Refusal {
    check: &'static str,
    exit: Exit,
    message: String,
}

impl Refusal {
    /// By the name of the check, its kind and what was expected and got.
    pub(crate) fn new(check: &'static str, exit: Exit, message: impl Display) -> Refusal {
        Refusal {
            check,
            exit,
            message: message.to_string(),
        }
    }

    /// What was expected and got.
    pub(crate) fn reason(&self) -> &str {
        &self.message
    }

    /// For the end of the command.
    pub(crate) fn failure(&self, sentence: &str) -> Failure {
        Failure {
            exit: self.exit,
            message: format!("{sentence}: {}", self.message),
        }
    }
}

/// What is known of one verification.
pub(crate) struct Report {
    artifact: String,
    bundle: String,
    trust: (String, String),
    signer: Option<Certificate>,
    /// Each check that holds.
    pub(crate) checks: Vec<Evidence>,
    /// Each proven time.
    pub(crate) times: Vec<ProvenTime>,
}

impl Report {
    /// Before anything was checked.
    pub(crate) fn new(artifact: &str, bundle: &Path, trusted: &Trusted) -> Report {
        Report {
            artifact: artifact.to_owned(),
            bundle: bundle.display().to_string(),
            trust: (trusted.source.clone(), trusted.sha256.clone()),
            signer: None,
            checks: Vec::new(),
            times: Vec::new(),
        }
    }

    /// Notes whose certificate is in the bundle. Nothing is believed of it yet.
    pub(crate) fn signed_by(&mut self, bundle: &Bundle) {
        if let KeyMaterial::Certificates(chain) = &bundle.key_material {
            self.signer = chain.first().and_then(|der| Certificate::from_der(der).ok());
        }
    }

    /// Shows the verdict as asked for.
    ///
    /// # Errors
    /// [`Failure`] where the bundle was refused.
    pub(crate) fn finish(
        self,
        outcome: Result<(), Refusal>,
        args: &ReportArgs,
        console: Console,
    ) -> Result<(), Failure> {
        self.finish_quietly(outcome.as_ref().err(), args, console)?;
        match outcome {
            Ok(()) if args.json => Ok(()),
            Ok(()) => print(&self.sentence()),
            Err(refusal) => Err(refusal.failure(&format!("{} is not verified", self.artifact))),
        }
    }

    /// Shows what was asked for beside the verdict, which the caller says.
    ///
    /// # Errors
    /// [`Failure`] when nobody takes it.
    pub(crate) fn finish_quietly(
        &self,
        refusal: Option<&Refusal>,
        args: &ReportArgs,
        console: Console,
    ) -> Result<(), Failure> {
        if args.explain {
            self.explain(refusal, console);
        }
        if args.json {
            print(&self.json(refusal).to_string())?;
        }
        Ok(())
    }

    fn sentence(&self) -> String {
        let who = self.checks.iter().find_map(|check| match check {
            Evidence::Identity { subject, issuer } => Some(format!("{subject}, certified by {issuer}")),
            Evidence::Key { fingerprint } => Some(format!("the key sha256:{fingerprint}")),
            _ => None,
        });
        let when = self.times.iter().map(|time| time.unix).min();
        let when = when.map_or_else(String::new, |unix| format!(" at {} or before", time(unix)));
        let who = who.unwrap_or_else(|| "nobody".to_owned());
        format!("Verified: {} was signed by {who}{when}", self.artifact)
    }

    fn explain(&self, refusal: Option<&Refusal>, console: Console) {
        console.heading(&format!("{} for {}", self.bundle, self.artifact));
        console.remark(&format!("trust: {} (sha256:{})", self.trust.0, self.trust.1));
        for check in &self.checks {
            console.good(&format!("{:<21}", check.check()), &check.to_string());
        }
        if let Some(refusal) = refusal {
            console.bad(&format!("{:<21}", refusal.check), &refusal.message);
            console
                .remark("What holds above proves nothing by itself, and what comes after was not looked at.");
        }
    }

    fn json(&self, refusal: Option<&Refusal>) -> Value {
        let checks = self.checks.iter().map(|check| {
            let mut members = match serde_json::to_value(check) {
                Ok(Value::Object(members)) => members,
                _ => Map::new(),
            };
            members.insert("evidence".to_owned(), check.to_string().into());
            Value::Object(members)
        });
        let times = self
            .times
            .iter()
            .map(|proven| json!({ "source": proven.source, "unix": proven.unix, "time": time(proven.unix) }));
        json!({
            "verified": refusal.is_none(),
            "artifact": self.artifact,
            "bundle": self.bundle,
            "trust": { "source": self.trust.0, "sha256": self.trust.1 },
            "checks": checks.collect::<Vec<_>>(),
            "times": times.collect::<Vec<_>>(),
            // Words of a certificate that was not verified are nobody's.
            "signer": if refusal.is_none() { self.signer.as_ref().map(signer) } else { None },
            "refused": refusal.map(|refusal| json!({
                "check": refusal.check,
                "reason": refusal.message,
                "exitCode": refusal.exit as u8,
            })),
        })
    }
}

fn signer(certificate: &Certificate) -> Value {
    let names = certificate.subject_alt_names().unwrap_or_default();
    let names: Vec<String> = names.iter().map(|name| name.text()).collect();
    let extensions = EXTENSIONS.iter().filter_map(|(number, name)| {
        Some((
            (*name).to_owned(),
            certificate.sigstore_extension(*number)?.into(),
        ))
    });
    json!({
        "names": names,
        "notBefore": time(certificate.not_before()),
        "notAfter": time(certificate.not_after()),
        "sha256": hex::encode(certificate.fingerprint()),
        "extensions": extensions.collect::<Map<String, Value>>(),
    })
}

/// A result that must arrive.
///
/// # Errors
/// [`Failure`] when nobody takes it.
pub(crate) fn print(text: &str) -> Result<(), Failure> {
    console::result(text).map_err(|error| Failure::failed(format!("cannot write the result: {error}")))
}
