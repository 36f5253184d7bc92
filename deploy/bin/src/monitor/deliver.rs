//! How events are told: a line, a webhook, a program.

use std::collections::BTreeSet;
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
use crate::webhook::{self, Outcome};

/// The longest the program may take over one event.
const PROGRAM_TIME: Duration = Duration::from_secs(60);

/// Whom events are told to.
pub(super) struct Delivery {
    json: bool,
    webhook: Option<Client>,
    program: Option<PathBuf>,
}

/// What came of telling one event on one channel.
enum Told {
    Yes,
    /// This event is not taken; the next one may be.
    Refused(String),
    /// Nothing is taken now.
    Down(String),
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

    /// Tells each event on every channel where it was not told yet, in order. A channel that takes nothing holds up no other, an
    /// event that is refused no other event; both are tried again at the next look. Gives what went wrong.
    pub(super) async fn tell(&self, events: &mut [Event]) -> BTreeSet<String> {
        let mut problems = BTreeSet::new();
        for channel in self.channels() {
            for event in events.iter_mut().filter(|event| !event.told.contains(&channel)) {
                match self.tell_one(channel, event).await {
                    Told::Yes => event.told.push(channel),
                    Told::Refused(problem) => {
                        problems.insert(problem);
                    }
                    Told::Down(problem) => {
                        problems.insert(problem);
                        break;
                    }
                }
            }
        }
        problems
    }

    /// Whether nobody has to be told of it any more.
    pub(super) fn is_told(&self, event: &Event) -> bool {
        self.channels().all(|channel| event.told.contains(&channel))
    }

    fn channels(&self) -> impl Iterator<Item = Channel> + use<> {
        let webhook = self.webhook.as_ref().map(|_| Channel::Webhook);
        let program = self.program.as_ref().map(|_| Channel::Program);
        [Some(Channel::Output), webhook, program].into_iter().flatten()
    }

    async fn tell_one(&self, channel: Channel, event: &Event) -> Told {
        match (channel, &self.webhook, &self.program) {
            (Channel::Output, _, _) => self.print(event),
            (Channel::Webhook, Some(receiver), _) => {
                let message = Message {
                    id: event.id.clone(),
                    json: event.cloud_event().to_string(),
                };
                match webhook::send(receiver, message, webhook::FIRST_PAUSE).await {
                    Outcome::Delivered => Told::Yes,
                    Outcome::Refused => Told::Refused("the webhook refuses events".to_owned()),
                    Outcome::Down => Told::Down("the webhook takes no events".to_owned()),
                }
            }
            (Channel::Program, _, Some(program)) => {
                let ran = tokio::time::timeout(PROGRAM_TIME, run(program, event)).await;
                let late = || Err(format!("not done within {} s", PROGRAM_TIME.as_secs()));
                match ran.unwrap_or_else(|_| late()) {
                    Ok(()) => Told::Yes,
                    Err(problem) => Told::Down(format!("--exec {}: {problem}", program.display())),
                }
            }
            (Channel::Webhook | Channel::Program, _, _) => Told::Yes,
        }
    }

    fn print(&self, event: &Event) -> Told {
        let line = match self.json {
            true => event.json().to_string(),
            false => format!("{}  {:<12}  {}", event.time, event.kind.name(), event.text),
        };
        match console::result(&line) {
            Ok(()) => Told::Yes,
            Err(error) => Told::Down(format!("standard output takes nothing: {error}")),
        }
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
