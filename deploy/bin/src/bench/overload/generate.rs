//! A generator that costs little: it shares the machine with the server, and what it takes, the server lacks.
//!
//! One thread, one task for each connection, requests made beforehand and written in one piece, answers read no further
//! than a client must: status, `Retry-After`, length. It does not obey `Retry-After`: that is the point.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::{LocalSet, spawn_local};

use super::super::target::Target;
use super::super::work::Work;

/// The largest answer read; an entry with its proof has a few KiB.
const ANSWER_LIMIT: usize = 256 << 10;
/// An answer that takes longer counts as none.
const ANSWER_TIME: Duration = Duration::from_secs(30);
/// Between refusals that a client notices as such and its next try, when it does not wait for a pace.
const AT_ONCE: Duration = Duration::ZERO;
/// Answers kept for verification in full.
const SAMPLES: usize = 64;

/// What is offered in one window.
#[derive(Debug, Clone, Copy)]
pub(super) struct Offer {
    /// Connections.
    pub(super) clients: u32,
    /// Requests a second over all of them; `None`: each asks again as soon as it is answered.
    pub(super) rate: Option<f64>,
    /// How long.
    pub(super) window: Duration,
}

/// The requests of all windows: those that were taken are not sent again.
#[derive(Debug)]
pub(super) struct Requests {
    pub(super) work: Work,
    pub(super) bodies: Vec<Bytes>,
    pub(super) next: usize,
    address: SocketAddr,
    head: String,
}

impl Requests {
    pub(super) fn new(work: Work, target: &Target, bodies: Vec<Bytes>) -> Requests {
        let head = format!(
            "POST {} HTTP/1.1\r\nhost: {}\r\ncontent-type: {}\r\ncontent-length: ",
            work.path(),
            target.authority(),
            work.media_type()
        );
        Requests {
            work,
            bodies,
            next: 0,
            address: target.address(),
            head,
        }
    }
}

/// A request that was acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Acknowledged {
    /// Number of its body.
    pub(super) body: usize,
    /// The index it was given, where the answer has one.
    pub(super) index: Option<u64>,
}

/// Answers that are no acknowledgement, of one kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Refusals {
    pub(super) count: u64,
    /// How many had a `Retry-After` of whole seconds.
    pub(super) with_retry_after: u64,
}

/// What came of a window.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    pub(super) elapsed: Duration,
    /// Requests that were sent.
    pub(super) sent: u64,
    /// Of each acknowledged request, in microseconds, sorted.
    pub(super) admitted: Vec<u32>,
    /// The same of refusals.
    pub(super) refused: Vec<u32>,
    pub(super) acknowledged: Vec<Acknowledged>,
    /// By status, or by what went wrong with the connection.
    pub(super) others: BTreeMap<String, Refusals>,
    /// Which request, and its answer.
    pub(super) samples: Vec<(usize, Bytes)>,
    pub(super) ran_out: bool,
}

impl Outcome {
    /// Of `count` a second.
    #[expect(clippy::cast_precision_loss, reason = "counts of requests are far below 2^52")]
    pub(super) fn rate(&self, count: u64) -> f64 {
        let seconds = self.elapsed.as_secs_f64();
        if seconds > 0.0 {
            count as f64 / seconds
        } else {
            0.0
        }
    }

    pub(super) fn admitted_rate(&self) -> f64 {
        self.rate(self.admitted.len() as u64)
    }
}

struct Shared {
    requests: RefCell<Requests>,
    outcome: RefCell<Outcome>,
    deadline: Instant,
    ended: Cell<bool>,
}

/// Offers `requests` and gives them back. Blocks: not for async threads.
///
/// # Errors
/// When no thread or no connection can be had at the start; failures later are counted.
pub(super) fn run(requests: Requests, offer: Offer) -> io::Result<(Requests, Outcome)> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    LocalSet::new().block_on(&runtime, drive(requests, offer))
}

async fn drive(requests: Requests, offer: Offer) -> io::Result<(Requests, Outcome)> {
    let mut streams = Vec::new();
    for _ in 0..offer.clients {
        streams.push(connect(requests.address).await?);
    }
    let began = Instant::now();
    let shared = Rc::new(Shared {
        requests: RefCell::new(requests),
        outcome: RefCell::default(),
        deadline: began.checked_add(offer.window).unwrap_or(began),
        ended: Cell::new(false),
    });
    let between = offer.rate.map_or(AT_ONCE, |rate| {
        Duration::from_secs_f64(f64::from(offer.clients) / rate.max(1.0))
    });
    let clients: Vec<_> = (0u32..)
        .zip(streams)
        .map(|(number, stream)| {
            // They begin one after the other, so that the load is even.
            let offset = between.mul_f64(f64::from(number) / f64::from(offer.clients.max(1)));
            let first = began.checked_add(offset).unwrap_or(began);
            spawn_local(client(Rc::clone(&shared), stream, first, between))
        })
        .collect();
    for client in clients {
        client.await.map_err(io::Error::other)?;
    }
    let mut outcome = shared.outcome.take();
    outcome.elapsed = began.elapsed();
    outcome.admitted.sort_unstable();
    outcome.refused.sort_unstable();
    let shared = Rc::try_unwrap(shared).map_err(|_| io::Error::other("a client still runs"))?;
    Ok((shared.requests.into_inner(), outcome))
}

async fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// One connection. A request that is refused is sent again, as a client does that is in a hurry.
async fn client(shared: Rc<Shared>, mut stream: TcpStream, first: Instant, between: Duration) {
    let (mut wire, mut input) = (Vec::new(), Vec::with_capacity(8 << 10));
    let mut due = first;
    let mut number = None;
    loop {
        let now = Instant::now();
        if now < due {
            tokio::time::sleep_until(due.into()).await;
        }
        if shared.ended.get() || Instant::now() >= shared.deadline {
            return;
        }
        let Some(current) = number.or_else(|| shared.take()) else {
            return;
        };
        shared.write(current, &mut wire);
        let sent = Instant::now();
        // What is late is not made up for in a burst.
        due = due.max(sent).checked_add(between).unwrap_or(sent);
        let exchanged = tokio::time::timeout(ANSWER_TIME, exchange(&mut stream, &wire, &mut input)).await;
        let took = u32::try_from(sent.elapsed().as_micros()).unwrap_or(u32::MAX);
        number = Some(current);
        match exchanged {
            Ok(Ok(answer)) => {
                if shared.answered(current, &answer, &input, took) {
                    number = None;
                }
                input.drain(..answer.end.min(input.len()));
                if !answer.close {
                    continue;
                }
            }
            // What became of it is not known: it may be in the log.
            Ok(Err(error)) => {
                shared.failed(&format!("connection ({})", error.kind()));
                number = None;
            }
            Err(_) => {
                shared.failed("timeout");
                number = None;
            }
        }
        input.clear();
        let address = shared.requests.borrow().address;
        match connect(address).await {
            Ok(fresh) => stream = fresh,
            Err(error) => return shared.failed(&format!("connect ({})", error.kind())),
        }
    }
}

async fn exchange(stream: &mut TcpStream, wire: &[u8], input: &mut Vec<u8>) -> io::Result<Answer> {
    stream.write_all(wire).await?;
    loop {
        if let Some(answer) = Answer::parse(input)? {
            return Ok(answer);
        }
        if input.len() > ANSWER_LIMIT || stream.read_buf(input).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
}

impl Shared {
    fn take(&self) -> Option<usize> {
        let mut requests = self.requests.borrow_mut();
        let number = requests.next;
        if number >= requests.bodies.len() {
            self.outcome.borrow_mut().ran_out = true;
            self.ended.set(true);
            return None;
        }
        requests.next = number.saturating_add(1);
        Some(number)
    }

    fn write(&self, number: usize, wire: &mut Vec<u8>) {
        let requests = self.requests.borrow();
        let body = requests.bodies.get(number).map(Bytes::as_ref).unwrap_or_default();
        wire.clear();
        wire.extend_from_slice(requests.head.as_bytes());
        wire.extend_from_slice(body.len().to_string().as_bytes());
        wire.extend_from_slice(b"\r\n\r\n");
        wire.extend_from_slice(body);
        let mut outcome = self.outcome.borrow_mut();
        outcome.sent = outcome.sent.saturating_add(1);
    }

    /// Whether it was an acknowledgement.
    fn answered(&self, number: usize, answer: &Answer, input: &[u8], took: u32) -> bool {
        let mut outcome = self.outcome.borrow_mut();
        let work = self.requests.borrow().work;
        if !http::StatusCode::from_u16(answer.status).is_ok_and(|status| work.is_success(status)) {
            outcome.refused.push(took);
            let refusals = outcome.others.entry(answer.status.to_string()).or_default();
            refusals.count = refusals.count.saturating_add(1);
            refusals.with_retry_after = refusals
                .with_retry_after
                .saturating_add(u64::from(answer.retry_after));
            return false;
        }
        outcome.admitted.push(took);
        let body = input.get(answer.body..answer.end).unwrap_or_default();
        outcome.acknowledged.push(Acknowledged {
            body: number,
            index: index(body),
        });
        if outcome.admitted.len().is_power_of_two() && outcome.samples.len() < SAMPLES {
            outcome.samples.push((number, Bytes::copy_from_slice(body)));
        }
        true
    }

    fn failed(&self, why: &str) {
        let mut outcome = self.outcome.borrow_mut();
        let refusals = outcome.others.entry(why.to_owned()).or_default();
        refusals.count = refusals.count.saturating_add(1);
    }
}

/// The number after the first `"logIndex":`, bare or quoted, without parsing the rest. Rekor v1's first one is in the whole
/// log, which is the one its reads take.
fn index(body: &[u8]) -> Option<u64> {
    const NAME: &[u8] = b"\"logIndex\":";
    let at = body.windows(NAME.len()).position(|window| window == NAME)?;
    let digits: String = body
        .get(at.checked_add(NAME.len())?..)?
        .iter()
        .skip_while(|byte| **byte == b'"')
        .take_while(|byte| byte.is_ascii_digit())
        .map(|byte| char::from(*byte))
        .collect();
    digits.parse().ok()
}

/// An answer that has come to its end.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Answer {
    status: u16,
    retry_after: bool,
    close: bool,
    body: usize,
    end: usize,
}

impl Answer {
    /// `None` while more has to come.
    ///
    /// # Errors
    /// When it is not an answer of HTTP/1.1 with a length.
    fn parse(input: &[u8]) -> io::Result<Option<Answer>> {
        let wrong = || io::Error::from(io::ErrorKind::InvalidData);
        let Some(head) = input.windows(4).position(|window| window == b"\r\n\r\n") else {
            return Ok(None);
        };
        let body = head.saturating_add(4);
        let head = std::str::from_utf8(input.get(..head).unwrap_or_default()).map_err(|_| wrong())?;
        let mut lines = head.split("\r\n");
        let status = lines.next().and_then(|line| line.strip_prefix("HTTP/1.1 "));
        let status = status
            .and_then(|line| line.get(..3)?.parse().ok())
            .ok_or_else(wrong)?;
        let (mut length, mut retry_after, mut close) = (None, false, false);
        for (name, value) in lines.filter_map(|line| line.split_once(':')) {
            let value = value.trim();
            match name {
                _ if name.eq_ignore_ascii_case("content-length") => length = value.parse::<usize>().ok(),
                _ if name.eq_ignore_ascii_case("retry-after") => retry_after = value.parse::<u32>().is_ok(),
                _ if name.eq_ignore_ascii_case("connection") => close = value.eq_ignore_ascii_case("close"),
                _ => {}
            }
        }
        let end = body.saturating_add(length.ok_or_else(wrong)?);
        Ok((input.len() >= end).then_some(Answer {
            status,
            retry_after,
            close,
            body,
            end,
        }))
    }
}

#[cfg(test)]
mod tests;
