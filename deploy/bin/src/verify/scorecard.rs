//! Thresholds on OpenSSF Scorecard results, once it is proven who signed them.

use clap::Args;
use common_bundle::format::{Bundle, Content};
use rekor_scorecard::{Results, Thresholds};

use super::Held;
use crate::exit::Exit;
use crate::verify::report::Refusal;

/// What signed results must reach.
#[derive(Debug, Default, Args)]
pub(crate) struct ScorecardArgs {
    /// The artifact is Scorecard results, and their score must be at least this.
    #[arg(long = "scorecard-min", value_name = "SCORE", value_parser = score)]
    min: Option<f64>,
    /// One of their checks must have at least this score; repeat it for several.
    #[arg(long = "scorecard-check", value_name = "NAME=SCORE", value_parser = check)]
    checks: Vec<(String, f64)>,
}

impl ScorecardArgs {
    /// Reads the results that were signed, a file or the statement of an envelope, and compares them.
    pub(super) fn check(&self, bundle: &Bundle, held: &Held) -> Result<(), Refusal> {
        if self.min.is_none() && self.checks.is_empty() {
            return Ok(());
        }
        let refuse = |why: String| Refusal::new("scorecard", Exit::BelowThreshold, why);
        let results = match (&bundle.content, held) {
            (Content::Dsse(envelope), _) => Results::from_statement(&envelope.payload),
            (Content::Message { .. }, Held::Bytes(bytes)) => Results::from_json(bytes),
            (Content::Message { .. }, Held::Digest(..)) => {
                return Err(refuse("expected the results themselves, got a digest".to_owned()));
            }
        };
        let results = results.map_err(|error| refuse(error.to_string()))?;
        let thresholds = Thresholds {
            min: self.min,
            checks: self.checks.clone(),
        };
        let shortfalls = thresholds.shortfalls(&results);
        if shortfalls.is_empty() {
            return Ok(());
        }
        let all: Vec<String> = shortfalls.iter().map(ToString::to_string).collect();
        Err(refuse(all.join("; ")))
    }
}

fn score(text: &str) -> Result<f64, String> {
    let score: f64 = text
        .parse()
        .map_err(|_| "expected a number from 0 to 10".to_owned())?;
    if (0.0..=10.0).contains(&score) {
        Ok(score)
    } else {
        Err(format!("expected a number from 0 to 10, got {text}"))
    }
}

fn check(text: &str) -> Result<(String, f64), String> {
    let (name, least) = text
        .split_once('=')
        .filter(|(name, _)| !name.is_empty())
        .ok_or("expected the name of a check, '=' and a score, such as Branch-Protection=8")?;
    Ok((name.to_owned(), score(least)?))
}
