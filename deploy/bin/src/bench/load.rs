//! The timed window: one connection per client, all on one thread, one request after the other.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, Uri, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::task::{LocalSet, spawn_local};

use super::process::{self, Processes};
use super::target::Target;
use super::work::Work;

/// The largest answer read; an entry with its proof has a few KiB.
const ANSWER_LIMIT: usize = 1 << 20;
/// An answer that takes longer counts as none.
const ANSWER_TIME: Duration = Duration::from_secs(60);
/// Pause of a client after a refusal, so that an overloaded server is not asked in a tight loop.
const PAUSE: Duration = Duration::from_millis(10);
/// Answers kept for verification.
const SAMPLES: usize = 64;

/// Why no load could be made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LoadError {
    /// Authority or path are not fit for a request.
    #[error("the URL of the instance cannot be asked")]
    Request,
    /// No thread or no connection.
    #[error("cannot connect: {0}")]
    Connect(#[from] io::Error),
    /// The server does not speak HTTP/1.1.
    #[error("the server did not begin HTTP/1.1: {0}")]
    Handshake(#[from] hyper::Error),
}

/// What every client sends.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    work: Work,
    clients: u16,
    address: SocketAddr,
    processes: Processes,
    uri: Uri,
    headers: HeaderMap,
}

impl Plan {
    /// For `clients` connections to `target`.
    ///
    /// # Errors
    /// [`LoadError::Request`] when the target's URL cannot be asked.
    pub(crate) fn new(work: Work, target: &Target, clients: u16) -> Result<Plan, LoadError> {
        let mut headers = HeaderMap::new();
        let host = HeaderValue::from_str(target.authority()).map_err(|_| LoadError::Request)?;
        headers.insert(header::HOST, host);
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(work.media_type()));
        let (address, processes) = (target.address(), target.processes().clone());
        Ok(Plan {
            work,
            clients,
            address,
            processes,
            uri: Uri::from_static(work.path()),
            headers,
        })
    }
}

/// What came of a window.
#[derive(Clone, Debug, Default)]
pub(crate) struct Outcome {
    /// From the first request to the last answer.
    pub(crate) elapsed: Duration,
    /// Of each successful request, in microseconds, sorted.
    pub(crate) latencies: Vec<u32>,
    /// Failed requests by status or kind of failure.
    pub(crate) errors: BTreeMap<String, u64>,
    /// Which request, and its answer.
    pub(crate) samples: Vec<(usize, Bytes)>,
    /// Processor time of the server within the window.
    pub(crate) server_cpu: Option<Duration>,
    /// Processor time of this process within the window.
    pub(crate) client_cpu: Option<Duration>,
    /// Whether the prepared requests ran out before the time did.
    pub(crate) ran_out: bool,
}

impl Outcome {
    /// Successful requests per second.
    #[expect(clippy::cast_precision_loss, reason = "counts of requests are far below 2^52")]
    pub(crate) fn rate(&self) -> f64 {
        let seconds = self.elapsed.as_secs_f64();
        if seconds > 0.0 {
            self.latencies.len() as f64 / seconds
        } else {
            0.0
        }
    }
}

/// Sends `bodies` for at most `window`. Blocks: not for async threads.
///
/// # Errors
/// [`LoadError`] when the connections cannot be made at the start; failures later are counted.
pub(crate) fn run(plan: &Plan, bodies: &Arc<Vec<Bytes>>, window: Duration) -> Result<Outcome, LoadError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    LocalSet::new().block_on(&runtime, drive(plan, bodies, window))
}

type Sender = SendRequest<Full<Bytes>>;

/// What the clients of one window share; they run on one thread.
struct Shared {
    plan: Plan,
    bodies: Arc<Vec<Bytes>>,
    next: Cell<usize>,
    deadline: Instant,
    outcome: RefCell<Outcome>,
}

async fn drive(plan: &Plan, bodies: &Arc<Vec<Bytes>>, window: Duration) -> Result<Outcome, LoadError> {
    let mut senders = Vec::with_capacity(plan.clients.into());
    for _ in 0..plan.clients {
        senders.push(connect(plan.address).await?);
    }
    let cpu = || (plan.processes.cpu_time(), process::cpu_time(std::process::id()));
    let before = cpu();
    let began = Instant::now();
    let shared = Rc::new(Shared {
        plan: plan.clone(),
        bodies: Arc::clone(bodies),
        next: Cell::new(0),
        deadline: began.checked_add(window).unwrap_or(began),
        outcome: RefCell::default(),
    });
    let clients: Vec<_> = senders
        .into_iter()
        .map(|sender| spawn_local(client(Rc::clone(&shared), sender)))
        .collect();
    for client in clients {
        // A client has no way to fail but a bug, and a lost client's requests are missing in the figures.
        client.await.map_err(io::Error::other)?;
    }
    let elapsed = began.elapsed();
    let after = cpu();
    let mut outcome = shared.outcome.take();
    outcome.latencies.sort_unstable();
    let spent = |before: Option<Duration>, after: Option<Duration>| after?.checked_sub(before?);
    let (server_cpu, client_cpu) = (spent(before.0, after.0), spent(before.1, after.1));
    Ok(Outcome {
        elapsed,
        server_cpu,
        client_cpu,
        ..outcome
    })
}

async fn connect(address: SocketAddr) -> Result<Sender, LoadError> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let (sender, connection) = handshake(TokioIo::new(stream)).await?;
    // Its end is seen by the sender.
    spawn_local(async move { drop(connection.await) });
    Ok(sender)
}

async fn client(shared: Rc<Shared>, mut sender: Sender) {
    let mut answered = 0u64;
    while Instant::now() < shared.deadline {
        let number = shared.next.get();
        let Some(body) = shared.bodies.get(number) else {
            shared.outcome.borrow_mut().ran_out = true;
            return;
        };
        shared.next.set(number.saturating_add(1));
        let began = Instant::now();
        let exchanged = tokio::time::timeout(ANSWER_TIME, exchange(&mut sender, shared.request(body))).await;
        let failure = match exchanged {
            Ok(Ok((status, answer))) if shared.plan.work.is_success(status) => {
                answered = answered.saturating_add(1);
                shared.succeeded(began.elapsed(), number, answered, answer);
                continue;
            }
            Ok(Ok((status, _))) => status.as_u16().to_string(),
            Ok(Err(_)) => "connection".to_owned(),
            Err(_) => "timeout".to_owned(),
        };
        shared.failed(failure);
        tokio::time::sleep(PAUSE).await;
        if sender.is_closed() || !sender.is_ready() {
            match connect(shared.plan.address).await {
                Ok(fresh) => sender = fresh,
                Err(_) => return shared.failed("connect".to_owned()),
            }
        }
    }
}

async fn exchange(
    sender: &mut Sender,
    request: Request<Full<Bytes>>,
) -> Result<(StatusCode, Bytes), BoxError> {
    sender.ready().await?;
    let response = sender.send_request(request).await?;
    let status = response.status();
    let body = Limited::new(response.into_body(), ANSWER_LIMIT).collect().await?;
    Ok((status, body.to_bytes()))
}

type BoxError = Box<dyn std::error::Error + Send + Sync>;

impl Shared {
    fn request(&self, body: &Bytes) -> Request<Full<Bytes>> {
        let mut request = Request::new(Full::new(body.clone()));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.plan.uri.clone();
        *request.headers_mut() = self.plan.headers.clone();
        request
    }

    /// Keeps the first, second, fourth, … answer of each client, while there is room.
    fn succeeded(&self, took: Duration, number: usize, answered: u64, answer: Bytes) {
        let mut outcome = self.outcome.borrow_mut();
        outcome
            .latencies
            .push(u32::try_from(took.as_micros()).unwrap_or(u32::MAX));
        if answered.is_power_of_two() && outcome.samples.len() < SAMPLES {
            outcome.samples.push((number, answer));
        }
    }

    fn failed(&self, why: String) {
        let mut outcome = self.outcome.borrow_mut();
        let count = outcome.errors.entry(why).or_default();
        *count = count.saturating_add(1);
    }
}

#[cfg(test)]
mod tests;
