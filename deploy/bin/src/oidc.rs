//! `oidc explain`: what would become of an identity token, without issuing anything.

use std::fmt::Write as _;
use std::path::PathBuf;

use clap::{Args, Subcommand};
use fulcio_ca::{Explanation, HttpFetcher, Outcome};
use http::StatusCode;

use crate::cli::DEFAULT_URL;
use crate::clock;
use crate::console::{self, plain};
use crate::control;
use crate::exit::Failure;
use crate::http::Client;
use crate::identities::IssuersFile;
use crate::layout::Layout;
use crate::policy::IssuersArgs;
use crate::rotate::command::{Ask, Secret};
use crate::signing::identity::token_to_look_at;

#[derive(Debug, Args)]
pub(crate) struct OidcArgs {
    #[command(subcommand)]
    command: OidcCommand,
}

#[derive(Debug, Subcommand)]
enum OidcCommand {
    /// Say what would become of an identity token: which issuer it is of, each check with what was expected and what came,
    /// and what the certificate would say. Nothing is issued. Exit code 1 if there would be no certificate.
    Explain(ExplainArgs),
}

#[derive(Debug, Args)]
struct ExplainArgs {
    /// The token, the name of a file that holds it, or `-` for standard input. Other users of the machine can see what is on
    /// a command line [default: $SIGSTORE_ID_TOKEN].
    token: Option<String>,
    /// By the issuers of this file, in Fulcio's own format, whose keys are asked for.
    #[arg(long, value_name = "FILE", group = "by")]
    fulcio_config: Option<PathBuf>,
    /// By the issuers of this configuration of `serve`.
    #[arg(long, value_name = "FILE", group = "by")]
    config: Option<PathBuf>,
    /// By the instance that runs on this data folder; as its operator, so that everything is told.
    #[arg(long, value_name = "DIR", group = "by")]
    data: Option<PathBuf>,
    /// By this running instance, which tells what a certificate would say only of a token that verifies
    /// [default: $SIGBOX_URL, or http://localhost:3000].
    #[arg(long, value_name = "URL", group = "by")]
    url: Option<String>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Runs the command.
///
/// # Errors
/// [`Failure`] when there would be no certificate, or nobody could be asked.
pub(crate) async fn run(args: OidcArgs) -> Result<(), Failure> {
    let OidcCommand::Explain(args) = args.command;
    let token = token_to_look_at(args.token.as_deref())?;
    let explanation = args.explanation(token).await?;
    let text = if args.json {
        serde_json::to_string_pretty(&explanation).map_err(Failure::failed)?
    } else {
        told(&explanation)
    };
    console::result(&text).map_err(|error| Failure::failed(format!("cannot write: {error}")))?;
    if explanation.accepted {
        Ok(())
    } else {
        Err(Failure::failed("there would be no certificate for this token"))
    }
}

impl ExplainArgs {
    async fn explanation(&self, token: String) -> Result<Explanation, Failure> {
        let file = IssuersArgs::file(self.fulcio_config.as_deref(), self.config.as_deref())?;
        if let Some(file) = file {
            let issuers = IssuersFile::new(file).read().map_err(Failure::failed)?.issuers;
            let explained = fulcio_ca::explain(issuers, HttpFetcher::for_each(), clock::system(), &token);
            return explained.await.map_err(Failure::failed);
        }
        if let Some(data) = &self.data {
            let ask = Ask::Explain { token: Secret(token) };
            let layout = Layout::new(data.clone());
            let said = control::ask(&layout, &ask, |_| {}).await;
            let said = said.map_err(Failure::failed)?;
            return serde_json::from_str(&said).map_err(Failure::failed);
        }
        // Not a default of the option: the variable must not contradict the other three.
        let url = self.url.clone().or_else(|| std::env::var("SIGBOX_URL").ok());
        let client = Client::instance(url.as_deref().unwrap_or(DEFAULT_URL)).map_err(Failure::failed)?;
        let answer = client.post_authorized(fulcio_ca::EXPLAIN_PATH, &token).await;
        let body = answer
            .and_then(|answer| answer.expect(StatusCode::OK))
            .map_err(Failure::failed)?;
        serde_json::from_slice(&body)
            .map_err(|error| Failure::failed(format!("expected an explanation of this version: {error}")))
    }
}

/// The explanation for people.
fn told(explanation: &Explanation) -> String {
    let mut out = String::new();
    // Writing to a string does not fail.
    if let Some(issuer) = &explanation.issuer {
        let provider = issuer.ci_provider.as_ref().map(|name| format!(", {name}"));
        let (url, kind) = (plain(&issuer.url), plain(&issuer.identity_type));
        let _ = writeln!(
            out,
            "issuer {url} ({kind}{})",
            plain(&provider.unwrap_or_default())
        );
    }
    for check in &explanation.checks {
        let mark = match check.outcome {
            Outcome::Passed => "✓",
            Outcome::Failed => "✗",
            Outcome::Skipped => "-",
        };
        let _ = writeln!(out, "{mark} {:<10} {}", plain(&check.name), plain(&check.detail));
    }
    for note in &explanation.notes {
        let _ = writeln!(out, "note: {}", plain(note));
    }
    if let Some(certificate) = &explanation.certificate {
        let name = plain(&certificate.subject_alternative_name);
        let _ = writeln!(
            out,
            "\nthe certificate, and with it the logs for ever, would name {name} and say:"
        );
        for extension in &certificate.extensions {
            let critical = if extension.critical { " (critical)" } else { "" };
            let name = format!("{}{critical}", plain(&extension.name));
            let (oid, value) = (plain(&extension.oid), plain(&extension.value));
            let _ = writeln!(out, "  {oid:<25} {name:<36} {value}");
        }
        let signed = plain(&certificate.proof_of_possession_over);
        let _ = writeln!(out, "for who signs {signed:?} with the key");
    }
    out.trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_that_is_known_is_told() {
        let explanation = serde_json::json!({"accepted": false,
            "issuer": {"url": "https://a.example", "type": "ci-provider", "ci_provider": "gitlab-pipeline"},
            "checks": [{"name": "time", "outcome": "failed", "detail": "exp: expected x, got y"},
                {"name": "policy", "outcome": "skipped", "detail": "none"}],
            "certificate": {"proof_of_possession_over": "sub", "subject_alternative_name": "https://a.example/x",
                "extensions": [{"oid": "2.5.29.17", "name": "subjectAltName", "critical": true, "value": "v"}]},
            "notes": ["a claim is passed over"]});
        let told = serde_json::from_value(explanation)
            .map(|explanation| told(&explanation))
            .unwrap_or_default();
        for part in [
            "issuer https://a.example (ci-provider, gitlab-pipeline)",
            "✗ time       exp: expected x, got y",
            "- policy     none",
            "note: a claim is passed over",
            "would name https://a.example/x",
            "subjectAltName (critical)",
            "for who signs \"sub\" with the key",
        ] {
            assert!(told.contains(part), "expected {part:?} in\n{told}");
        }
    }
}
