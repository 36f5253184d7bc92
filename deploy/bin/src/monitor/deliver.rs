//! How events are told: a line, a webhook, a program.

use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use rekor_api::v1::events::Event as Message;
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

use super::event::{Channel, Event};
use crate::console;
use crate::http::{Client, HttpError};
use crate::webhook;

/// The longest the program may take over one event.
const PROGRAM_TIME: Duration = Duration::from_secs(60);

/// Whom events are told to.
pub(super) struct Delivery {
    json: bool,
    webhook: Option<Client>,
    program: Option<PathBuf>,
}

/// An event was not told; it is kept.
#[derive(Debug, thiserror::Error)]
pub(super) enum Undelivered {
    /// Standard output is gone.
    #[error("standard output takes nothing: {0}")]
    Output(io::Error),
    /// The receiver refused it, or did not answer.
    #[error("the webhook does not take events")]
    Webhook,
    /// It failed.
    #[error("--exec {}: {problem}", .program.display())]
    Program {
        /// Which.
        program: PathBuf,
        /// What came of it.
        problem: String,
    },
}

impl Delivery {
    /// Lines, as JSON or for people, and what else is given.
    ///
    /// # Errors
    /// A webhook that is no URL. It may hold a secret, and is not repeated.
    pub(super) fn new(
        json: bool,
        webhook: Option<&str>,
        program: Option<PathBuf>,
    ) -> Result<Delivery, String> {
        let webhook = webhook
            .map(Client::new)
            .transpose()
            .map_err(|error| match error {
                HttpError::Url(_) => {
                    "--webhook: expected an http:// or https:// URL without query or fragment".to_owned()
                }
                other => other.to_string(),
            })?;
        Ok(Delivery {
            json,
            webhook,
            program,
        })
    }

    /// Tells it wherever it was not told yet.
    pub(super) async fn tell(&self, event: &mut Event) -> Result<(), Undelivered> {
        if !event.told.contains(&Channel::Output) {
            let line = match self.json {
                true => event.json().to_string(),
                false => format!("{}  {:<12}  {}", event.time, event.kind.name(), event.text),
            };
            console::result(&line).map_err(Undelivered::Output)?;
            event.told.push(Channel::Output);
        }
        if let Some(receiver) = self
            .webhook
            .as_ref()
            .filter(|_| !event.told.contains(&Channel::Webhook))
        {
            let message = Message {
                id: event.id.clone(),
                json: event.cloud_event().to_string(),
            };
            if !webhook::send(receiver, message, webhook::FIRST_PAUSE).await {
                return Err(Undelivered::Webhook);
            }
            event.told.push(Channel::Webhook);
        }
        if let Some(program) = self
            .program
            .as_ref()
            .filter(|_| !event.told.contains(&Channel::Program))
        {
            let ran = tokio::time::timeout(PROGRAM_TIME, run(program, event)).await;
            let outcome =
                ran.unwrap_or_else(|_| Err(format!("not done within {} s", PROGRAM_TIME.as_secs())));
            outcome.map_err(|problem| Undelivered::Program {
                program: program.clone(),
                problem,
            })?;
            event.told.push(Channel::Program);
        }
        Ok(())
    }
}

/// Runs the program with the event as its input. Its output goes to standard error: standard output is ours.
async fn run(program: &Path, event: &Event) -> Result<(), String> {
    let mut child = Command::new(program)
        .env("SIGBOX_EVENT", event.kind.name())
        .stdin(Stdio::piped())
        .stdout(io::stderr())
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| error.to_string())?;
    if let Some(mut input) = child.stdin.take() {
        let line = format!("{}\n", event.json());
        // Who does not read it has its reasons; what counts is how it ends.
        let _ = input.write_all(line.as_bytes()).await;
    }
    let status = child.wait().await.map_err(|error| error.to_string())?;
    match status.success() {
        true => Ok(()),
        false => Err(format!("expected it to succeed, got {status}")),
    }
}
