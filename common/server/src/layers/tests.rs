#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use axum::body::Body;
use axum::routing::get;
use http_body_util::BodyExt;
use tower::ServiceExt;

use super::*;
use crate::reply::ErrorBody;

fn router() -> Router {
    let routes = Router::new()
        .route("/ok", get(|| async { "fine" }))
        .route(
            "/panic",
            get(|| async {
                if true {
                    panic!("secret detail")
                }
            }),
        )
        .route("/slow", get(std::future::pending::<&'static str>));
    wrap(routes, Duration::from_millis(50))
}

async fn call(path: &str, id: Option<&str>) -> (StatusCode, HeaderValue, String) {
    let mut request = Request::get(path);
    if let Some(id) = id {
        request = request.header(REQUEST_ID, id);
    }
    let answer = router()
        .oneshot(request.body(Body::empty()).unwrap())
        .await
        .unwrap();
    let (parts, body) = answer.into_parts();
    let body = String::from_utf8(body.collect().await.unwrap().to_bytes().to_vec()).unwrap();
    (parts.status, parts.headers.get(REQUEST_ID).unwrap().clone(), body)
}

#[tokio::test]
async fn a_panic_is_an_opaque_500() {
    let (status, _, body) = call("/panic", None).await;
    assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR);
    let body: ErrorBody = serde_json::from_str(&body).unwrap();
    assert_eq!(body.code, 500);
    assert!(!body.message.contains("secret"), "{}", body.message);
}

#[tokio::test]
async fn a_request_without_answer_is_503() {
    let (status, _, body) = call("/slow", None).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(serde_json::from_str::<ErrorBody>(&body).unwrap().code, 503);
}

#[tokio::test]
async fn identifiers_are_taken_over_only_when_plain() {
    assert_eq!(call("/ok", Some("build-17.retry_2")).await.1, "build-17.retry_2");
    let (_, first, _) = call("/ok", Some("a b")).await;
    let (_, second, _) = call("/ok", Some(&"x".repeat(REQUEST_ID_LIMIT + 1))).await;
    let (_, third, _) = call("/missing", None).await;
    assert_ne!(first, "a b");
    assert_ne!(first, second);
    assert_ne!(second, third);
    assert!(second.len() <= REQUEST_ID_LIMIT);
}

/// Prometheus takes one name with one set of labels, and `http_requests_total{code,method}` is upstream Fulcio's.
#[tokio::test]
async fn figures_have_names_of_their_own() {
    let recorder = metrics_exporter_prometheus::PrometheusBuilder::new().build_recorder();
    let guard = metrics::set_default_local_recorder(&recorder);
    call("/ok", None).await;
    call("/panic", None).await;
    drop(guard);
    let text = recorder.handle().render();
    for line in [
        "sigbox_http_requests_total{code=\"200\",method=\"get\",route=\"/ok\"} 1",
        "sigbox_http_requests_total{code=\"500\",method=\"get\",route=\"/panic\"} 1",
        "sigbox_http_panics_total 1",
    ] {
        assert!(text.contains(line), "{line} is not in {text}");
    }
    assert!(text.contains("sigbox_http_request_duration_seconds"), "{text}");
    assert!(!text.contains("\nhttp_"), "{text}");
}
