#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "tests"
)]

use axum::routing::get;
use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::{Notify, oneshot};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};

use super::*;

mod hostile;

const PATIENCE: Duration = Duration::from_secs(20);

struct Running {
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    task: JoinHandle<Drained>,
}

async fn start(router: Router, limits: Limits) -> Running {
    let bound = Bound::bind(&"127.0.0.1:0".parse().unwrap()).unwrap();
    let address = bound.addresses().first().copied().unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let task = tokio::spawn(serve(vec![bound], router, limits, async move {
        let _ = stopped.await;
    }));
    Running { address, stop, task }
}

fn echo_version() -> Router {
    Router::new().route(
        "/",
        get(|request: Request<Body>| async move { format!("{:?}", request.version()) }),
    )
}

async fn http2_get(address: SocketAddr) -> (Version, String) {
    let stream = TcpStream::connect(address).await.unwrap();
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
            .await
            .unwrap();
    tokio::spawn(connection);
    let request = Request::get(format!("http://{address}/"))
        .body(Empty::<Bytes>::new())
        .unwrap();
    let answer = sender.send_request(request).await.unwrap();
    let version = answer.version();
    (
        version,
        String::from_utf8(answer.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap(),
    )
}

async fn http1_get(address: SocketAddr) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream
        .write_all(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        .await
        .unwrap();
    let mut text = String::new();
    timeout(PATIENCE, stream.read_to_string(&mut text))
        .await
        .unwrap()
        .unwrap();
    text
}

#[tokio::test]
async fn both_versions_share_the_clear_text_port() {
    let server = start(echo_version(), Limits::default()).await;
    assert!(http1_get(server.address).await.ends_with("HTTP/1.1"));
    assert_eq!(
        http2_get(server.address).await,
        (Version::HTTP_2, "HTTP/2.0".to_owned())
    );
    server.stop.send(()).unwrap();
    assert_eq!(
        timeout(PATIENCE, server.task).await.unwrap().unwrap(),
        Drained::All
    );
    assert!(
        TcpStream::connect(server.address).await.is_err(),
        "the socket is closed after the drain"
    );
}

#[tokio::test]
async fn a_peer_that_drips_a_request_head_is_cut() {
    let limits = Limits {
        head: Duration::from_millis(200),
        ..Limits::default()
    };
    let server = start(echo_version(), limits).await;
    for opening in [&b""[..], b"P", b"GET / HTTP/1.1\r\nHost: x\r\n"] {
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        let started = Instant::now();
        stream.write_all(opening).await.unwrap();
        let mut rest = Vec::new();
        let _ = timeout(PATIENCE, stream.read_to_end(&mut rest))
            .await
            .expect("the connection was cut");
        assert!(
            started.elapsed() >= Duration::from_millis(150),
            "not before its time"
        );
    }
}

#[tokio::test]
async fn a_silent_connection_is_closed_after_its_answer() {
    let limits = Limits {
        idle: Duration::from_millis(200),
        ..Limits::default()
    };
    let server = start(echo_version(), limits).await;
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    stream
        .write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        .await
        .unwrap();
    let mut text = String::new();
    timeout(PATIENCE, stream.read_to_string(&mut text))
        .await
        .expect("closed by the idle limit")
        .unwrap();
    assert!(text.starts_with("HTTP/1.1 200"), "{text}");
}

#[tokio::test]
async fn an_open_request_finishes_in_the_drain() {
    let (entered, release) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let router = Router::new().route("/", {
        let (entered, release) = (Arc::clone(&entered), Arc::clone(&release));
        get(move || async move {
            entered.notify_one();
            release.notified().await;
            "finished"
        })
    });
    let server = start(router, Limits::default()).await;
    let client = tokio::spawn(http1_get(server.address));
    entered.notified().await;
    server.stop.send(()).unwrap();
    while TcpStream::connect(server.address).await.is_ok() {
        tokio::task::yield_now().await;
    }
    release.notify_one();
    assert!(client.await.unwrap().ends_with("finished"));
    assert_eq!(
        timeout(PATIENCE, server.task).await.unwrap().unwrap(),
        Drained::All
    );
}

#[tokio::test]
async fn a_request_that_never_ends_is_cut_at_the_deadline() {
    let entered = Arc::new(Notify::new());
    let router = Router::new().route("/", {
        let entered = Arc::clone(&entered);
        get(move || async move {
            entered.notify_one();
            std::future::pending::<&'static str>().await
        })
    });
    let limits = Limits {
        drain: Duration::from_millis(100),
        ..Limits::default()
    };
    let server = start(router, limits).await;
    let client = tokio::spawn(http1_get(server.address));
    entered.notified().await;
    server.stop.send(()).unwrap();
    assert_eq!(
        timeout(PATIENCE, server.task).await.unwrap().unwrap(),
        Drained::Cut
    );
    assert_eq!(
        client.await.unwrap(),
        "",
        "the connection ended without an answer"
    );
}

#[tokio::test]
async fn connections_over_the_limit_wait_for_room() {
    let server = start(
        echo_version(),
        Limits {
            connections: 1,
            ..Limits::default()
        },
    )
    .await;
    let held = TcpStream::connect(server.address).await.unwrap();
    // Give the accept loop the one place to `held`, which is spared for a second.
    tokio::time::sleep(Duration::from_millis(50)).await;
    let waiting = tokio::spawn(http1_get(server.address));
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(!waiting.is_finished(), "no room yet");
    drop(held);
    assert!(waiting.await.unwrap().starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn tls_offers_http2_by_alpn() {
    let issued = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let acceptor = crate::tls::acceptor(&issued.cert.pem(), &issued.signing_key.serialize_pem()).unwrap();
    let bound = Bound::bind(&"127.0.0.1:0".parse().unwrap())
        .unwrap()
        .with_tls(acceptor);
    let address = bound.addresses().first().copied().unwrap();
    tokio::spawn(serve(
        vec![bound],
        echo_version(),
        Limits::default(),
        std::future::pending(),
    ));
    let mut roots = rustls::RootCertStore::empty();
    roots.add(issued.cert.der().clone()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    for (offer, expected) in [(&b"h2"[..], "HTTP/2.0"), (b"http/1.1", "HTTP/1.1")] {
        let mut config = rustls::ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots.clone())
            .with_no_client_auth();
        config.alpn_protocols = vec![offer.to_vec()];
        let stream = TcpStream::connect(address).await.unwrap();
        let name = rustls::pki_types::ServerName::try_from("localhost").unwrap();
        let stream = tokio_rustls::TlsConnector::from(Arc::new(config))
            .connect(name, stream)
            .await
            .unwrap();
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(offer));
        let request = Request::get("https://localhost/")
            .body(Empty::<Bytes>::new())
            .unwrap();
        let io = TokioIo::new(stream);
        let answer = if offer == b"h2" {
            let (mut sender, connection) = hyper::client::conn::http2::handshake(TokioExecutor::new(), io)
                .await
                .unwrap();
            tokio::spawn(connection);
            sender.send_request(request).await.unwrap()
        } else {
            let (mut sender, connection) = hyper::client::conn::http1::handshake(io).await.unwrap();
            tokio::spawn(connection);
            sender.send_request(request).await.unwrap()
        };
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(body, expected);
    }
}

#[test]
fn a_wrong_certificate_or_key_is_named() {
    let issued = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let (cert, key) = (issued.cert.pem(), issued.signing_key.serialize_pem());
    assert!(
        crate::tls::acceptor(&cert, "nonsense")
            .err()
            .unwrap()
            .to_string()
            .starts_with("TLS key")
    );
    let other = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    assert!(
        crate::tls::acceptor(&cert, &other.signing_key.serialize_pem()).is_err(),
        "key of another certificate"
    );
    assert!(crate::tls::acceptor("", &key).is_err());
}

#[tokio::test]
async fn a_refusal_reaches_a_peer_that_is_still_sending() {
    let router = Router::new().route(
        "/",
        axum::routing::post(|| async { http::StatusCode::PAYLOAD_TOO_LARGE }),
    );
    let server = start(router, Limits::default()).await;
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let length = 8 << 20;
    // Twice on one connection: it stays usable, because the first body was read to its end.
    for _ in 0..2 {
        let head = format!("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n");
        stream.write_all(head.as_bytes()).await.unwrap();
        timeout(PATIENCE, stream.write_all(&vec![0; length]))
            .await
            .unwrap()
            .expect("nobody resets the connection");
        let mut answer = [0; 12];
        timeout(PATIENCE, stream.read_exact(&mut answer))
            .await
            .unwrap()
            .unwrap();
        assert_eq!(&answer, b"HTTP/1.1 413");
        let mut rest = vec![0; 4096];
        let read = timeout(PATIENCE, stream.read(&mut rest)).await.unwrap().unwrap();
        assert!(rest.get(..read).unwrap().ends_with(b"\r\n\r\n"));
    }
}

/// An HTTP/2 client that pings all the time and gives each answer a window of 64 KiB.
async fn lively_client(
    address: SocketAddr,
) -> (
    hyper::client::conn::http2::SendRequest<Empty<Bytes>>,
    JoinHandle<()>,
) {
    let stream = TcpStream::connect(address).await.unwrap();
    let (sender, connection) = hyper::client::conn::http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .initial_stream_window_size(65_535)
        .keep_alive_interval(Duration::from_millis(20))
        .keep_alive_timeout(PATIENCE)
        .handshake(TokioIo::new(stream))
        .await
        .unwrap();
    let ended = tokio::spawn(async move {
        let _ = connection.await;
    });
    (sender, ended)
}

fn answers_of(length: usize) -> Router {
    Router::new().route("/", get(move || async move { vec![0_u8; length] }))
}

#[tokio::test]
async fn a_peer_that_pings_and_does_not_read_its_answer_is_cut() {
    let limits = Limits {
        answer: Duration::from_millis(300),
        ..Limits::default()
    };
    // One that is cut among the pieces, and one that fits into HTTP/2's own buffers but for its last octet.
    for length in [1 << 20, 65_536] {
        let server = start(answers_of(length), limits.clone()).await;
        let (mut sender, ended) = lively_client(server.address).await;
        let started = Instant::now();
        let request = Request::get(format!("http://{}/", server.address));
        let answer = sender
            .send_request(request.body(Empty::<Bytes>::new()).unwrap())
            .await
            .unwrap();
        assert_eq!(answer.status(), http::StatusCode::OK);
        timeout(PATIENCE, ended)
            .await
            .expect("the connection was cut")
            .unwrap();
        assert!(
            started.elapsed() >= Duration::from_millis(250),
            "not before its time"
        );
        let text = answer.into_body().collect().await;
        assert!(text.is_err(), "the answer broke off");
    }
}

#[tokio::test]
async fn a_slow_reader_gets_its_whole_answer() {
    let limits = Limits {
        answer: Duration::from_secs(1),
        ..Limits::default()
    };
    let length = 512 * 1024 + 17;
    let server = start(answers_of(length), limits).await;
    let (mut sender, _ended) = lively_client(server.address).await;
    let started = Instant::now();
    let request = Request::get(format!("http://{}/", server.address));
    let answer = sender
        .send_request(request.body(Empty::<Bytes>::new()).unwrap())
        .await
        .unwrap();
    assert_eq!(
        answer.headers().get("content-length").unwrap(),
        &length.to_string()
    );
    let mut body = answer.into_body();
    let mut got = 0;
    while let Some(frame) = body.frame().await {
        got += frame.unwrap().into_data().unwrap().len();
        tokio::time::sleep(Duration::from_millis(30)).await;
    }
    assert_eq!(got, length);
    assert!(
        started.elapsed() > Duration::from_secs(1),
        "slower than one piece may be"
    );
    // An idle connection has no answer to take, and stays.
    tokio::time::sleep(Duration::from_millis(1_200)).await;
    assert!(sender.ready().await.is_ok());
}

#[tokio::test]
async fn answers_that_nobody_takes_are_bounded() {
    let server = start(answers_of(48 << 20), Limits::default()).await;
    let (mut sender, _ended) = lively_client(server.address).await;
    let mut ask = async || {
        let request = Request::get(format!("http://{}/", server.address));
        let request = request.body(Empty::<Bytes>::new()).unwrap();
        sender.send_request(request).await.unwrap()
    };
    let (first, _second) = (ask().await, ask().await);
    assert_eq!(first.status(), 200);
    let third = ask().await;
    assert_eq!(third.status(), 503);
    assert!(third.headers().contains_key("retry-after"));
    // Who takes what it asked for gets more.
    drop(first);
    let again = async {
        while ask().await.status() != 200 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(Duration::from_secs(10), again).await.unwrap();
}

#[tokio::test]
async fn streams_over_the_limit_wait() {
    assert_eq!(Limits::default().streams, 64);
    let stream = TcpStream::connect(start(echo_version(), Limits::default()).await.address)
        .await
        .unwrap();
    let (sender, connection) = hyper::client::conn::http2::handshake::<_, _, Empty<Bytes>>(
        TokioExecutor::new(),
        TokioIo::new(stream),
    )
    .await
    .unwrap();
    let mut connection = Box::pin(connection);
    // The server's SETTINGS_MAX_CONCURRENT_STREAMS (RFC 9113 §6.5.2) arrives first.
    let told = async {
        while connection.current_max_send_streams() != 64 {
            let _ = timeout(Duration::from_millis(5), connection.as_mut()).await;
        }
    };
    timeout(PATIENCE, told).await.expect("the limit was announced");
    drop(sender);
}
