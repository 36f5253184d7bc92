//! Sends events to a URL that the operator gave: of new Rekor v1 entries, of what a monitor finds.

use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use rekor_api::v1::events::{Event, Events, count, queue};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::http::{Client, HttpError};

/// Events that wait; more are lost, and counted.
const QUEUE: usize = 4_096;
/// Events on their way at once.
const AT_ONCE: usize = 8;
/// How often one event is sent, and how long after the first failure it is sent again; twice as long after each further one.
const ATTEMPTS: u32 = 5;
pub(crate) const FIRST_PAUSE: Duration = Duration::from_millis(500);
/// How long events of the last entries may take to be delivered.
const DELIVERY_LIMIT: Duration = Duration::from_secs(5);
/// CloudEvents HTTP Protocol Binding §3.2, structured mode.
const MEDIA_TYPE: &str = "application/cloudevents+json";

/// What sends events, until nothing makes any.
pub(crate) struct Deliveries(JoinHandle<()>);

/// What takes events for `receiver`, and what sends them.
pub(crate) fn start(receiver: Client) -> (Events, Deliveries) {
    let (events, queued) = queue(QUEUE);
    (events, Deliveries(tokio::spawn(deliver(receiver, queued))))
}

impl Deliveries {
    /// Waits for those of the last entries; nothing announces any more.
    pub(crate) async fn finish(self) {
        if timeout(DELIVERY_LIMIT, self.0).await.is_err() {
            tracing::warn!("events of new entries that were still under way were given up");
        }
    }
}

/// Sends whatever is queued until the queue is closed and empty. An event may come twice: its ID says so.
async fn deliver(receiver: Client, mut queued: mpsc::Receiver<Event>) {
    let receiver = Arc::new(receiver);
    let places = Arc::new(Semaphore::new(AT_ONCE));
    while let Some(event) = queued.recv().await {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else {
            break;
        };
        let receiver = Arc::clone(&receiver);
        tokio::spawn(async move {
            let delivered = send(&receiver, event, FIRST_PAUSE).await;
            count(delivered == Outcome::Delivered);
            drop(place);
        });
    }
    // Those on their way end, too.
    let _ = places.acquire_many(u32::try_from(AT_ONCE).unwrap_or(1)).await;
}

/// What came of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It arrived.
    Delivered,
    /// It is refused for good.
    Refused,
    /// Nobody takes it now.
    Down,
}

/// Sends an event, a few times. The URL may hold a secret: it is never logged.
pub(crate) async fn send(receiver: &Client, event: Event, first_pause: Duration) -> Outcome {
    let mut pause = first_pause;
    for attempt in 1..=ATTEMPTS {
        let outcome = receiver
            .post("", MEDIA_TYPE, event.json.clone().into_bytes())
            .await;
        let (reason, lasting) = match outcome {
            Ok(answer) if answer.status.is_success() => return Outcome::Delivered,
            Ok(answer) => (answer.status.to_string(), is_lasting(answer.status)),
            Err(HttpError::NoAnswer { reason, .. }) => (reason, false),
            Err(_) => ("an answer that is too long".to_owned(), true),
        };
        if lasting || attempt == ATTEMPTS {
            tracing::warn!(event = event.id, attempt, reason, "an event was not delivered");
            return if lasting { Outcome::Refused } else { Outcome::Down };
        }
        tokio::time::sleep(pause).await;
        pause = pause.saturating_mul(2);
    }
    Outcome::Down
}

/// Client errors last, but for those that ask to wait.
fn is_lasting(status: StatusCode) -> bool {
    status.is_client_error()
        && !matches!(
            status,
            StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS
        )
}

#[cfg(test)]
mod tests {
    #![allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        reason = "tests"
    )]

    use std::sync::Mutex;

    use axum::Router;
    use axum::extract::State;
    use axum::routing::post;
    use http::HeaderMap;

    use super::*;

    type Seen = Arc<Mutex<Vec<(String, String)>>>;

    /// A receiver that answers with these statuses, one after the other, and 204 from then on.
    async fn receiver(statuses: &[u16]) -> (Client, Seen) {
        let seen = Seen::default();
        let answers = Arc::new(Mutex::new(statuses.to_vec()));
        let handler = async move |State(seen): State<Seen>, headers: HeaderMap, body: String| {
            let media_type = headers[http::header::CONTENT_TYPE].to_str().unwrap().to_owned();
            seen.lock().unwrap().push((media_type, body));
            let mut answers = answers.lock().unwrap();
            let status = if answers.is_empty() {
                204
            } else {
                answers.remove(0)
            };
            StatusCode::from_u16(status).unwrap()
        };
        let router = Router::new()
            .route("/hook", post(handler))
            .with_state(Arc::clone(&seen));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/hook", listener.local_addr().unwrap());
        tokio::spawn(async { axum::serve(listener, router).await.expect("serves") });
        // `main` does so; another test may have.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        (Client::new(&url).unwrap(), seen)
    }

    fn event(id: &str) -> Event {
        Event {
            id: id.to_owned(),
            json: format!("{{\"id\":\"{id}\"}}"),
        }
    }

    #[tokio::test]
    async fn events_are_sent_again_until_they_arrive_or_are_refused() {
        let pause = Duration::from_millis(1);
        for (statuses, delivered, sent) in [
            (vec![], Outcome::Delivered, 1),
            (vec![503, 429, 500], Outcome::Delivered, 4),
            (vec![410], Outcome::Refused, 1),
            (vec![500; 9], Outcome::Down, 5),
        ] {
            let (client, seen) = receiver(&statuses).await;
            assert_eq!(send(&client, event("a"), pause).await, delivered, "{statuses:?}");
            let seen = seen.lock().unwrap();
            assert_eq!(seen.len(), sent, "{statuses:?}");
            assert!(
                seen.iter()
                    .all(|(kind, body)| kind == MEDIA_TYPE && body == "{\"id\":\"a\"}")
            );
        }
        // Nobody listens.
        let nobody = Client::new("http://127.0.0.1:9/hook").unwrap();
        assert_eq!(send(&nobody, event("a"), pause).await, Outcome::Down);
    }

    #[tokio::test]
    async fn what_is_queued_at_the_end_is_still_sent() {
        let (client, seen) = receiver(&[]).await;
        let (queue, queued) = mpsc::channel(64);
        for number in 0..64 {
            queue.try_send(event(&number.to_string())).unwrap();
        }
        drop(queue);
        deliver(client, queued).await;
        assert_eq!(seen.lock().unwrap().len(), 64);
    }
}
