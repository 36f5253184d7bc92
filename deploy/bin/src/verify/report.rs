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
#[derive(Debug, Clone)]
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

    /// By the name of the check that a command's failure left undone.
    pub(crate) fn instead(check: &'static str, failure: Failure) -> Refusal {
        Refusal {
            check,
            exit: failure.exit,
            message: failure.message,
        }
    }

    /// The same with what to do about it.
    pub(crate) fn advising(mut self, advice: &str) -> Refusal {
        self.message.push_str("; ");
        self.message.push_str(advice);
        self
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
    /// Source and digest, once there is any.
    trust: Option<(String, String)>,
    signer: Option<Certificate>,
    /// Each check that holds.
    pub(crate) checks: Vec<Evidence>,
    /// Each proven time.
    pub(crate) times: Vec<ProvenTime>,
}

impl Report {
    /// Before anything was checked.
    pub(crate) fn new(artifact: &str, bundle: &Path) -> Report {
        Report {
            artifact: artifact.to_owned(),
            bundle: bundle.display().to_string(),
            trust: None,
            signer: None,
            checks: Vec::new(),
            times: Vec::new(),
        }
    }

    /// Notes what is verified with.
    pub(crate) fn trusts(&mut self, trusted: &Trusted) {
        self.trust = Some((trusted.source.clone(), trusted.sha256.clone()));
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
            Ok(()) => print(&console::plain(&self.sentence())),
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
            print_json(&self.json(refusal).to_string())?;
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
        if let Some((source, sha256)) = &self.trust {
            console.remark(&format!("trust: {source} (sha256:{sha256})"));
        }
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
            "trust": self.trust.as_ref().map(|(source, sha256)| json!({ "source": source, "sha256": sha256 })),
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

/// JSON of others as a result.
///
/// # Errors
/// [`Failure`] when nobody takes it.
pub(crate) fn print_json(json: &str) -> Result<(), Failure> {
    print(&escaped(json))
}

/// The same document with the control characters of its strings as escapes, where JSON leaves a choice: on a terminal they would
/// move the cursor.
fn escaped(json: &str) -> String {
    let mut text = String::with_capacity(json.len());
    for c in json.chars() {
        match c {
            c if c.is_control() && !c.is_ascii_whitespace() => {
                text.push_str(&format!("\\u{:04x}", u32::from(c)));
            }
            c => text.push(c),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

    use super::*;

    #[test]
    fn what_stopped_before_there_was_any_trust_is_a_refusal_as_well() {
        let report = Report::new("app", Path::new("app.sigstore.json"));
        let missing = Refusal::instead("bundle", Failure::failed("no such file"));
        let verdict = report.json(Some(&missing));
        assert_eq!(verdict["verified"], false);
        assert_eq!(verdict["trust"], Value::Null);
        assert_eq!(
            verdict["refused"],
            json!({ "check": "bundle", "reason": "no such file", "exitCode": 1 })
        );
    }

    #[test]
    fn json_is_the_same_document_and_moves_no_cursor() {
        let document = json!({ "a": "\u{9b}8m\u{7f}\u{1b}[2J\r\n\té", "b": [1, "\u{10ffff}"] });
        for json in [document.to_string(), format!("{document:#}\r\n")] {
            let text = escaped(&json);
            assert!(text.contains(r"\u009b8m\u007f\u001b[2J\r\n\té"), "{text}");
            assert!(text.chars().all(|c| !c.is_control() || c.is_ascii_whitespace()));
            assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), document);
        }
    }
}
