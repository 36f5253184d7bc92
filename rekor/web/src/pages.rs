//! What the templates are filled with.

use askama::Template;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rekor_api::search::{Answer, EntryAnswer, Found, LogAnswer, Signer};
use serde_json::Value;

/// The fields of the form behind the box: name, label, and what goes in there.
const FIELDS: [(&str, &str, &str); 12] = [
    ("email", "E-mail address", "dev@example.com"),
    (
        "uri",
        "Signer's URI",
        "https://github.com/org/repo/.github/workflows/release.yml@refs/heads/main",
    ),
    ("domain", "Domain, subdomains too", "example.com"),
    ("prefix", "Beginning of URI or address", "https://github.com/org/"),
    (
        "issuer",
        "Token issuer",
        "https://token.actions.githubusercontent.com",
    ),
    ("repository", "Repository", "org/repo"),
    ("workflow", "Workflow", ".github/workflows/release.yml"),
    ("commit", "Commit", "40 or 64 hexadecimal digits"),
    ("digest", "Artifact or subject digest", "sha256:…"),
    ("key", "Key, SHA-256", "64 hexadecimal digits"),
    (
        "signature",
        "Signature, or its SHA-256",
        "base64 or hexadecimal digits",
    ),
    (
        "predicateType",
        "Predicate type",
        "https://slsa.dev/provenance/v1",
    ),
];

/// A field with its value.
pub(crate) struct Field {
    pub(crate) name: &'static str,
    pub(crate) label: &'static str,
    pub(crate) hint: &'static str,
    pub(crate) value: String,
}

/// The form, as it was sent.
#[derive(Default)]
pub(crate) struct Form {
    pub(crate) anything: String,
    pub(crate) since: String,
    pub(crate) until: String,
    pub(crate) any: bool,
    /// One field is used: the form is shown open.
    pub(crate) open: bool,
    fields: Vec<(String, String)>,
    /// All that was sent but the cursor.
    again: Vec<(String, String)>,
}

impl Form {
    pub(crate) fn of(pairs: &[(String, String)]) -> Self {
        let mut form = Self::default();
        for (name, value) in pairs.iter().filter(|(_, value)| !value.trim().is_empty()) {
            match name.as_str() {
                "q" => form.anything.clone_from(value),
                "since" => form.since.clone_from(value),
                "until" => form.until.clone_from(value),
                "match" => form.any = value == "any",
                _ => form.fields.push((name.clone(), value.clone())),
            }
            form.open |= !matches!(name.as_str(), "q" | "cursor" | "limit" | "log");
            if name != "cursor" {
                form.again.push((name.clone(), value.clone()));
            }
        }
        form
    }

    pub(crate) fn fields(&self) -> Vec<Field> {
        let field = |(name, label, hint)| {
            let given = self.fields.iter().find(|(given, _)| given == name);
            Field {
                name,
                label,
                hint,
                value: given.map(|(_, value)| value.clone()).unwrap_or_default(),
            }
        };
        FIELDS.into_iter().map(field).collect()
    }

    /// The same search, to be sent with another cursor.
    pub(crate) fn again(&self) -> &[(String, String)] {
        &self.again
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.again.is_empty()
    }
}

/// Who signed, in a few words.
pub(crate) fn who(entry: &Found) -> String {
    let mut names: Vec<&str> = entry
        .signers
        .iter()
        .flat_map(|signer| signer.names.iter().map(|name| name.value.as_str()))
        .collect();
    names.dedup();
    match (names.as_slice(), entry.signers.first()) {
        ([], Some(signer)) => format!("key {}", short(&signer.key_sha256)),
        ([], None) => "a key of another format".to_owned(),
        (names, _) => names.join(", "),
    }
}

/// The beginning of a digest: it is whole in the title and on the entry's page.
pub(crate) fn short(text: &str) -> String {
    match text.char_indices().nth(24) {
        Some((at, _)) => format!("{}…", text.get(..at).unwrap_or_default()),
        None => text.to_owned(),
    }
}

/// A time of RFC 3339 as people read it.
pub(crate) fn moment(time: &str) -> String {
    let date = time.get(..10).unwrap_or(time);
    let clock = time.get(11..19).unwrap_or_default();
    format!("{date} {clock} UTC")
}

#[derive(Template)]
#[template(path = "results.html")]
pub(crate) struct ResultsPage {
    form: Form,
    entries: Vec<Found>,
    next: Option<String>,
    complete: bool,
    logs: Vec<LogAnswer>,
}

impl ResultsPage {
    pub(crate) fn new(form: Form, answer: Answer) -> Self {
        Self {
            form,
            entries: answer.entries,
            next: answer.next,
            complete: answer.complete,
            logs: answer.logs,
        }
    }
}

#[derive(Template)]
#[template(path = "problem.html")]
pub(crate) struct Problem {
    pub(crate) form: Form,
    pub(crate) message: String,
}

#[derive(Template)]
#[template(path = "entry.html")]
pub(crate) struct EntryPage {
    form: Form,
    found: Found,
    proof: rekor_api::search::InclusionProof,
    signed_entry_timestamp: Option<String>,
    /// Indented.
    body: String,
    /// As it is in the log, base64, for the script.
    leaf: String,
}

impl EntryPage {
    pub(crate) fn new(answer: EntryAnswer) -> Self {
        let octets = STANDARD.decode(&answer.body).unwrap_or_default();
        let body = serde_json::from_slice::<Value>(&octets)
            .ok()
            .and_then(|value| serde_json::to_string_pretty(&value).ok())
            .unwrap_or_else(|| answer.body.clone());
        Self {
            form: Form::default(),
            found: answer.entry,
            proof: answer.inclusion_proof,
            signed_entry_timestamp: answer.signed_entry_timestamp,
            body,
            leaf: answer.body,
        }
    }

    /// What is said of a signer: a label, the text, and the field by which others like it are found.
    fn lines<'a>(&self, signer: &'a Signer) -> Vec<(&'static str, &'a str, &'static str)> {
        let mut lines = Vec::new();
        for name in &signer.names {
            let field = match name.kind {
                "email" => "email",
                "uri" => "uri",
                _ => "q",
            };
            lines.push(("Name", name.value.as_str(), field));
        }
        let issuer = signer.issuer.iter().map(|text| ("Token issuer", text, "issuer"));
        let repository = signer
            .repository
            .iter()
            .map(|text| ("Repository", text, "repository"));
        let workflows = signer.workflows.iter().map(|text| ("Workflow", text, "workflow"));
        let commits = signer.commits.iter().map(|text| ("Commit", text, "commit"));
        let texts = issuer.chain(repository).chain(workflows).chain(commits);
        lines.extend(texts.map(|(label, text, field)| (label, text.as_str(), field)));
        lines.push(("Key (SHA-256)", &signer.key_sha256, "key"));
        if let Some(signature) = &signer.signature_sha256 {
            lines.push(("Signature (SHA-256)", signature, "signature"));
        }
        lines
    }
}

/// The page; `None` if a template failed, which only memory can make it.
pub(crate) fn rendered(page: &impl Template) -> Option<String> {
    page.render().ok()
}
