#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::sync::atomic::{AtomicU32, Ordering};

use axum::Router;
use axum::http::header::LOCATION;
use axum::response::IntoResponse;
use axum::routing::get;

use super::*;

async fn serve(router: Router) -> String {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/log", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    url
}

fn quick() -> Limits {
    Limits {
        attempts: 3,
        timeout: Duration::from_millis(500),
        first_delay: Duration::from_millis(4),
        longest_delay: Duration::from_millis(20),
        ..Limits::default()
    }
}

async fn client(router: Router) -> Client {
    Client::new(&serve(router).await, quick()).unwrap()
}

#[tokio::test]
async fn a_busy_log_is_asked_again_and_404_is_an_answer() {
    let calls = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&calls);
    let router = Router::new()
        .route(
            "/log/busy",
            get(async move || match counted.fetch_add(1, Ordering::SeqCst) {
                0 => (StatusCode::TOO_MANY_REQUESTS, [(RETRY_AFTER, "0")]).into_response(),
                1 => StatusCode::SERVICE_UNAVAILABLE.into_response(),
                _ => "done".into_response(),
            }),
        )
        .route("/log/down", get(async || StatusCode::BAD_GATEWAY))
        .route("/log/forbidden", get(async || StatusCode::FORBIDDEN));
    let client = client(router).await;
    assert_eq!(client.get("busy", 10).await.unwrap().unwrap(), "done");
    assert_eq!(calls.load(Ordering::SeqCst), 3);
    assert_eq!(client.get("missing", 10).await.unwrap(), None);
    for (path, status) in [
        ("down", StatusCode::BAD_GATEWAY),
        ("forbidden", StatusCode::FORBIDDEN),
    ] {
        let Err(FetchError::Status { got, .. }) = client.get(path, 10).await else {
            panic!("{path}")
        };
        assert_eq!(got, status);
    }
}

#[tokio::test]
async fn answers_are_bounded_whether_they_say_their_length_or_not() {
    let router = Router::new()
        .route("/log/long", get(async || "x".repeat(11)))
        .route("/log/zipped", get(async || ([(CONTENT_ENCODING, "gzip")], "x")))
        .route(
            "/log/silent",
            get(async || {
                tokio::time::sleep(Duration::from_secs(60)).await;
            }),
        );
    let client = client(router).await;
    let endless = Client::new(&endless().await, quick()).unwrap();
    for (client, path) in [(&client, "long"), (&endless, "chunked")] {
        let refused = client.get(path, 10).await;
        assert!(
            matches!(refused, Err(FetchError::TooLarge { limit: 10, .. })),
            "{refused:?}"
        );
    }
    let zipped = client.get("zipped", 10).await;
    assert!(matches!(zipped, Err(FetchError::Encoded { .. })), "{zipped:?}");
    let silent = client.get("silent", 10).await;
    assert!(matches!(silent, Err(FetchError::NoAnswer { .. })), "{silent:?}");
}

/// A server of bodies without end that do not say their length.
async fn endless() -> String {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            let _ = socket.read(&mut [0; 4_096]).await;
            let head = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
            socket.write_all(head).await.unwrap();
            while socket.write_all(b"4\r\nxxxx\r\n").await.is_ok() {}
        }
    });
    url
}

#[tokio::test]
async fn a_redirect_stays_with_the_host() {
    let elsewhere = serve(Router::new().route("/log/there", get(async || "elsewhere"))).await;
    let there = format!("{elsewhere}/there");
    let router = Router::new()
        .route(
            "/log/here",
            get(async || (StatusCode::FOUND, [(LOCATION, "/log/target")])),
        )
        .route("/log/target", get(async || "here"))
        .route(
            "/log/loop",
            get(async || (StatusCode::FOUND, [(LOCATION, "/log/loop")])),
        )
        .route(
            "/log/away",
            get(async move || (StatusCode::FOUND, [(LOCATION, there)])),
        );
    let client = client(router).await;
    assert_eq!(client.get("here", 10).await.unwrap().unwrap(), "here");
    for (path, reason) in [
        ("away", "a redirect to another host"),
        ("loop", "too many redirects"),
    ] {
        let Err(FetchError::NoAnswer { reason: got, .. }) = client.get(path, 10).await else {
            panic!("{path}")
        };
        assert_eq!(got, reason);
    }
}

#[test]
fn only_plain_urls_are_logs() {
    for url in [
        "",
        "log.example",
        "ftp://log.example/",
        "http://a:b@log.example",
        "http://log.example?x",
        "file:///x",
    ] {
        let refused = Client::new(url, Limits::default());
        assert!(matches!(refused, Err(FetchError::Url(_))), "{url}");
    }
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let client = Client::new("http://log.example/a", Limits::default()).unwrap();
    assert_eq!(client.base(), "http://log.example/a/");
}
