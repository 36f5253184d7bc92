#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;

async fn ask(url: &str, target: &str) -> String {
    let url = Url::parse(url).unwrap();
    let mut stream = TcpStream::connect(("127.0.0.1", url.port().unwrap()))
        .await
        .unwrap();
    let request = format!("GET {target} HTTP/1.1\r\nhost: localhost\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn only_the_request_with_the_state_ends_the_wait() {
    let callback = Callback::bind(None).await.unwrap();
    let url = callback.url().to_owned();
    // A browser's connection that asks nothing keeps nobody waiting.
    let port = Url::parse(&url).unwrap().port().unwrap();
    let _silent = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    let waiting = tokio::spawn(callback.code("s1"));
    for nothing in [
        "/favicon.ico",
        "/auth/callback",
        "/auth/callback?code=forged",
        "/auth/callback?code=forged&state=s2",
        "/other?code=forged&state=s1",
        "/auth/callback?state=s1",
    ] {
        assert!(ask(&url, nothing).await.starts_with("HTTP/1.1 404"), "{nothing}");
    }
    let answer = ask(&url, "/auth/callback?code=a%2Fb&state=s1").await;
    assert!(
        answer.starts_with("HTTP/1.1 200") && answer.contains("Signed in"),
        "{answer}"
    );
    assert_eq!(waiting.await.unwrap().unwrap(), "a/b");
}

#[tokio::test]
async fn a_refusal_of_the_provider_is_passed_on() {
    let callback = Callback::bind(None).await.unwrap();
    let url = callback.url().to_owned();
    let waiting = tokio::spawn(callback.code("s1"));
    ask(
        &url,
        "/auth/callback?error=access_denied&error_description=not+today&state=s1",
    )
    .await;
    let refused = waiting.await.unwrap().unwrap_err().to_string();
    assert_eq!(refused, "refused: not today");
}

#[tokio::test]
async fn the_browser_comes_back_to_this_machine_alone() {
    for elsewhere in [
        "https://localhost:1/a",
        "http://example.com/a",
        "http://10.0.0.1:1/a",
    ] {
        let url = Url::parse(elsewhere).unwrap();
        assert!(matches!(
            Callback::bind(Some(&url)).await,
            Err(CallbackError::Redirect(_))
        ));
    }
    let asked = Url::parse("http://localhost/here").unwrap();
    let callback = Callback::bind(Some(&asked)).await.unwrap();
    assert!(callback.url().starts_with("http://localhost:") && callback.url().ends_with("/here"));
}
