//! Peers that mean harm, or are gone: raw sockets, and another client that notices nothing.

use axum::extract::State;
use axum::routing::post;

use super::*;
use crate::body::{BodyError, Reader};

/// Longer than any honest answer takes here, shorter than the time-outs of the others.
const SOON: Duration = Duration::from_secs(10);

async fn unaffected(address: SocketAddr) {
    let answer = timeout(SOON, http1_get(address))
        .await
        .expect("an answer in time");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

/// Until the server ends the connection: what it sent, and after how long.
async fn until_cut(mut stream: TcpStream) -> (Vec<u8>, Duration) {
    let (started, mut sent) = (Instant::now(), Vec::new());
    let _ = timeout(PATIENCE, stream.read_to_end(&mut sent))
        .await
        .expect("the connection was cut");
    (sent, started.elapsed())
}

#[tokio::test]
async fn thousands_of_silent_connections_displace_each_other_and_nobody_else() {
    let limits = Limits {
        connections: 64,
        spared: Duration::ZERO,
        ..Limits::default()
    };
    let server = start(echo_version(), limits).await;
    let mut silent = Vec::new();
    for _ in 0..10 {
        for _ in 0..64 {
            silent.push(TcpStream::connect(server.address).await.unwrap());
        }
        unaffected(server.address).await;
    }
    let mut open = 0;
    for stream in &mut silent {
        let mut byte = [0];
        match timeout(Duration::from_millis(1), stream.read(&mut byte)).await {
            Err(_) => open += 1,
            Ok(read) => assert!(matches!(read, Ok(0) | Err(_)), "nothing was asked"),
        }
    }
    assert!(open <= 64, "{open} are open");
}

async fn read(State(bodies): State<Reader>, request: Request<Body>) -> http::StatusCode {
    match bodies.read(request).await.map(drop) {
        Ok(()) => http::StatusCode::OK,
        Err(BodyError::TooSlow) => http::StatusCode::REQUEST_TIMEOUT,
        Err(_) => http::StatusCode::SERVICE_UNAVAILABLE,
    }
}

/// Sends so much of a request with a body of [`LENGTH`] to `read`, as a proxy does for `client`.
async fn send(address: SocketAddr, client: &str, sent: usize) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let head = format!(
        "POST /read HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: {client}\r\nContent-Length: {LENGTH}\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(&vec![0; sent]).await.unwrap();
    stream
}

/// Of a body that takes a slot.
const LENGTH: usize = 300 * 1024;

async fn status(address: SocketAddr, client: &str) -> String {
    let mut stream = send(address, client, LENGTH).await;
    let mut answer = [0; 12];
    timeout(SOON, stream.read_exact(&mut answer))
        .await
        .unwrap()
        .unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn a_client_that_sends_slowly_leaves_room_for_the_bodies_of_others() {
    let router = Router::new()
        .route("/read", post(read))
        .with_state(Reader::new(1 << 20));
    let limits = Limits {
        proxies: TrustedProxies::new(vec!["127.0.0.0/8".parse().unwrap()]),
        ..Limits::default()
    };
    let server = start(router, limits).await;
    let mut slow = Vec::new();
    let until_refused = async {
        loop {
            slow.push(send(server.address, "192.0.2.1", LENGTH - 1).await);
            if status(server.address, "192.0.2.1").await == "HTTP/1.1 503" {
                return;
            }
        }
    };
    timeout(SOON, until_refused).await.unwrap();
    assert_eq!(status(server.address, "192.0.2.2").await, "HTTP/1.1 200");
}

#[tokio::test]
async fn a_body_that_drips_is_answered_and_cut() {
    let bodies = Reader::new(1 << 20).with_pace(Duration::from_millis(300));
    let router = Router::new()
        .route("/drip", post(read))
        .with_state(bodies)
        .merge(echo_version());
    let server = start(router, Limits::default()).await;
    let mut streams = Vec::new();
    for _ in 0..16 {
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        stream
            .write_all(b"POST /drip HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n")
            .await
            .unwrap();
        streams.push(stream);
    }
    let started = Instant::now();
    while started.elapsed() < Duration::from_millis(500) {
        for stream in &mut streams {
            let _ = stream.write_all(b"x").await;
        }
        unaffected(server.address).await;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    for stream in streams {
        let (sent, _) = until_cut(stream).await;
        assert!(
            sent.starts_with(b"HTTP/1.1 408"),
            "{}",
            String::from_utf8_lossy(&sent)
        );
    }
}

#[tokio::test]
async fn a_client_that_asks_and_never_reads_is_cut() {
    let limits = Limits {
        idle: Duration::from_millis(400),
        answer: Duration::from_millis(400),
        ..Limits::default()
    };
    let large = Router::new().route("/large", get(|| async { vec![0_u8; 4 << 20] }));
    let server = start(echo_version().merge(large), limits).await;
    let mut streams = Vec::new();
    for _ in 0..8 {
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        for _ in 0..4 {
            stream
                .write_all(b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n")
                .await
                .unwrap();
        }
        streams.push(stream);
    }
    unaffected(server.address).await;
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    for stream in streams {
        // What the kernel had taken already comes, and then the end, far from all that was asked for.
        let (sent, _) = until_cut(stream).await;
        assert!(sent.len() < 16 << 20, "{} bytes", sent.len());
    }
    unaffected(server.address).await;
}

#[tokio::test]
async fn a_peer_that_is_gone_before_or_after_the_tls_handshake_is_cut() {
    let issued = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let acceptor = crate::tls::acceptor(&issued.cert.pem(), &issued.signing_key.serialize_pem()).unwrap();
    let bound = Bound::bind(&"127.0.0.1:0".parse().unwrap())
        .unwrap()
        .with_tls(acceptor);
    let address = bound.addresses().first().copied().unwrap();
    let limits = Limits {
        head: Duration::from_millis(300),
        ..Limits::default()
    };
    tokio::spawn(serve(vec![bound], echo_version(), limits, std::future::pending()));
    // Nothing, and the beginning of a ClientHello (RFC 8446 §5.1).
    for opening in [&b""[..], &[22, 3, 1, 2, 0, 1, 0, 1]] {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(opening).await.unwrap();
        let (_, took) = until_cut(stream).await;
        assert!(took >= Duration::from_millis(250), "not before its time");
    }
    let mut roots = rustls::RootCertStore::empty();
    roots.add(issued.cert.der().clone()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let stream = TcpStream::connect(address).await.unwrap();
    let name = rustls::pki_types::ServerName::try_from("localhost").unwrap();
    let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
    let mut stream = connector.connect(name, stream).await.unwrap();
    // Silence after the handshake.
    let mut rest = Vec::new();
    let _ = timeout(PATIENCE, stream.read_to_end(&mut rest))
        .await
        .expect("the connection was cut");
}

/// RFC 9113 §4.1.
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let head = [&length[1..], &[kind, flags], &stream.to_be_bytes()].concat();
    [head.as_slice(), payload].concat()
}

#[tokio::test]
async fn streams_that_are_opened_and_reset_at_once_end_the_connection() {
    let server = start(echo_version(), Limits::default()).await;
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let mut sent = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    sent.extend(frame(4, 0, 0, b""));
    // `:method: GET`, `:scheme: http`, `:path: /` of the static table (RFC 7541 Appendix A), and `:authority: x`.
    let headers = [0x82, 0x86, 0x84, 0x01, 0x01, b'x'];
    for number in 0..500 {
        let id = number * 2 + 1;
        sent.extend(frame(1, 0x5, id, &headers));
        sent.extend(frame(3, 0, id, &8u32.to_be_bytes()));
    }
    stream.write_all(&sent).await.unwrap();
    let (answer, _) = until_cut(stream).await;
    // GOAWAY with ENHANCE_YOUR_CALM (RFC 9113 §7), as against CVE-2023-44487.
    let calm = 11u32.to_be_bytes();
    let goaway = answer
        .windows(17)
        .any(|window| window.get(3) == Some(&7) && window.get(13..17) == Some(calm.as_slice()));
    assert!(goaway, "{answer:?}");
    unaffected(server.address).await;
}

#[tokio::test]
async fn a_head_that_never_ends_or_is_too_long_is_refused() {
    let server = start(echo_version(), Limits::default()).await;
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let head = [&b"GET / HTTP/1.1\r\nHost: x\r\nX: "[..], &vec![b'x'; 256 << 10]].concat();
    let _ = stream.write_all(&head).await;
    let (sent, _) = until_cut(stream).await;
    // The reset may overtake the answer.
    assert!(
        sent.is_empty() || sent.starts_with(b"HTTP/1.1 431"),
        "{}",
        String::from_utf8_lossy(&sent)
    );
    unaffected(server.address).await;
}
