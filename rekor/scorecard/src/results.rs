//! What Scorecard found: its JSON results (`scorecard --format json`, ossf/scorecard `pkg/scorecard/json.go`, version 2) and
//! the statement around them (`--format intoto`, `pkg/scorecard/statement.go`).

use std::collections::BTreeMap;

use serde::Deserialize;

/// Most checks of one result; Scorecard has about twenty.
const MAX_CHECKS: usize = 256;
/// Most subjects of a statement; Scorecard writes one.
const MAX_SUBJECTS: usize = 16;
/// `predicateType` of a statement.
const PREDICATE_TYPE: &str = "https://scorecard.dev/result/v0.1";

/// Results of one repository at one commit.
#[derive(Debug, Clone, PartialEq)]
pub struct Results {
    /// `platform/org/repo`.
    pub repository: String,
    /// The commit that was examined, in hex.
    pub commit: String,
    /// When, as Scorecard writes it.
    pub date: String,
    /// 0 to 10; -1 where nothing could be said.
    pub score: f64,
    /// Score of each check, 0 to 10; -1 where nothing could be said.
    pub checks: BTreeMap<String, f64>,
}

/// Not results of Scorecard.
#[derive(Debug, thiserror::Error)]
pub enum ResultsError {
    /// Not their JSON.
    #[error("expected Scorecard results, JSON version 2: {0}")]
    Json(#[from] serde_json::Error),
    /// A statement about something else.
    #[error("expected a statement with predicateType {PREDICATE_TYPE:?}, got {0:?}")]
    Predicate(String),
    /// Not about one commit.
    #[error("expected a statement with one subject that has a gitCommit digest, got {0}")]
    Subject(String),
    /// A number that is no score.
    #[error("{what}: expected a score from 0 to 10, or -1, got {got}")]
    Score {
        /// Of the whole, or which check's.
        what: String,
        /// What is there.
        got: f64,
    },
    /// More than is read.
    #[error("expected at most {MAX_CHECKS} checks, each named once, got {0}")]
    Checks(String),
}

#[derive(Deserialize)]
struct Json {
    date: String,
    repo: Option<Repository>,
    score: f64,
    checks: Vec<Check>,
}

#[derive(Deserialize)]
struct Repository {
    name: String,
    commit: String,
}

#[derive(Deserialize)]
struct Check {
    name: String,
    score: f64,
}

#[derive(Deserialize)]
struct Statement {
    subject: Vec<Subject>,
    #[serde(rename = "predicateType")]
    predicate_type: String,
    predicate: serde_json::Value,
}

#[derive(Deserialize)]
struct Subject {
    name: String,
    #[serde(default)]
    digest: BTreeMap<String, String>,
}

impl Results {
    /// Reads the results file.
    ///
    /// # Errors
    /// [`ResultsError`].
    pub fn from_json(json: &[u8]) -> Result<Results, ResultsError> {
        let mut parsed: Json = serde_json::from_slice(json)?;
        let repo = parsed.repo.take();
        let repo = repo.ok_or_else(|| <serde_json::Error as serde::de::Error>::missing_field("repo"))?;
        Results::new(parsed, repo)
    }

    /// Reads the in-toto statement, which names the repository as its subject and not in the predicate.
    ///
    /// # Errors
    /// [`ResultsError`].
    pub fn from_statement(json: &[u8]) -> Result<Results, ResultsError> {
        let statement: Statement = serde_json::from_slice(json)?;
        if statement.predicate_type != PREDICATE_TYPE {
            let got = statement.predicate_type.chars().take(128).collect();
            return Err(ResultsError::Predicate(got));
        }
        let count = statement.subject.len();
        let subject = statement.subject.into_iter().next();
        let subject = subject.filter(|_| count <= MAX_SUBJECTS && count == 1);
        let subject = subject.ok_or_else(|| ResultsError::Subject(format!("{count} subjects")))?;
        let commit = subject.digest.get("gitCommit").cloned();
        let commit = commit.ok_or_else(|| ResultsError::Subject("no such digest".to_owned()))?;
        let predicate: Json = serde_json::from_value(statement.predicate)?;
        Results::new(
            predicate,
            Repository {
                name: subject.name,
                commit,
            },
        )
    }

    fn new(json: Json, repo: Repository) -> Result<Results, ResultsError> {
        let count = json.checks.len();
        if count > MAX_CHECKS {
            return Err(ResultsError::Checks(format!("{count} checks")));
        }
        let score = score("the whole", json.score)?;
        let mut checks = BTreeMap::new();
        for check in json.checks {
            let found = score_of(&check)?;
            // Of two results for one check a reader could show the better one and judge by the other.
            if checks.insert(check.name.clone(), found).is_some() {
                return Err(ResultsError::Checks(format!("{:?} twice", check.name)));
            }
        }
        Ok(Results {
            repository: repo.name,
            commit: repo.commit,
            date: json.date,
            score,
            checks,
        })
    }
}

fn score_of(check: &Check) -> Result<f64, ResultsError> {
    score(&check.name, check.score)
}

fn score(what: &str, got: f64) -> Result<f64, ResultsError> {
    if (0.0..=10.0).contains(&got) || got == -1.0 {
        return Ok(got);
    }
    Err(ResultsError::Score {
        what: what.chars().take(64).collect(),
        got,
    })
}

/// What results must reach.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Thresholds {
    /// Least score of the whole.
    pub min: Option<f64>,
    /// Least score of a check, by its name.
    pub checks: Vec<(String, f64)>,
}

/// One threshold that was not reached.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{what}: expected a score of at least {least}, got {}", .got.map_or("none".to_owned(), |score| score.to_string()))]
pub struct Shortfall {
    /// `score`, or the check's name.
    pub what: String,
    /// What was asked for.
    pub least: f64,
    /// What was found; `None` where the check did not run or could not say anything.
    pub got: Option<f64>,
}

impl Thresholds {
    /// Every threshold that `results` do not reach. A check without a result reaches none.
    #[must_use]
    pub fn shortfalls(&self, results: &Results) -> Vec<Shortfall> {
        let whole = self.min.map(|least| ("score", least, Some(results.score)));
        let checks = self
            .checks
            .iter()
            .map(|(name, least)| (name.as_str(), *least, results.checks.get(name).copied()));
        whole
            .into_iter()
            .chain(checks)
            .map(|(what, least, got)| Shortfall {
                what: what.to_owned(),
                least,
                got: got.filter(|score| *score >= 0.0),
            })
            .filter(|found| found.got.is_none_or(|score| score < found.least))
            .collect()
    }
}
