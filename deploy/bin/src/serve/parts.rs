//! Which service a path belongs to: a listener of `serve` may show only some.

use axum::Router;
use axum::extract::Request;
use axum::middleware::{self, Next};
use axum::response::Response;
use common_server::reply;
use http::StatusCode;
use percent_encoding::percent_decode_str;

use crate::site::Part;

/// Paths and their services; the first that begins a path decides. What no line begins is Rekor v1's: search, pages.
const PATHS: [(&str, Part); 19] = [
    ("/api/v1/signingCert", Part::Fulcio),
    ("/api/v1/rootCert", Part::Fulcio),
    ("/api/v2/signingCert", Part::Fulcio),
    ("/api/v2/trustBundle", Part::Fulcio),
    ("/api/v2/configuration", Part::Fulcio),
    ("/api/sigbox/v1/oidc/", Part::Fulcio),
    ("/dev.sigstore.fulcio.", Part::Fulcio),
    ("/grpc.health.", Part::Fulcio),
    ("/ct/", Part::Ct),
    ("/shards/ct-", Part::Ct),
    ("/api/v1/timestamp", Part::Tsa),
    ("/tuf/", Part::Trust),
    ("/trust/", Part::Trust),
    ("/setup", Part::Trust),
    ("/api/v2/", Part::RekorV2),
    ("/dev.sigstore.rekor.v2.", Part::RekorV2),
    ("/checkpoint", Part::RekorV2),
    ("/tile/", Part::RekorV2),
    ("/shards/rekor-v2-", Part::RekorV2),
];

/// Whose path it is; `None` for the probes, which every listener answers.
fn owner(path: &str) -> Option<Part> {
    if matches!(path, "/healthz" | "/readyz") {
        return None;
    }
    let found = PATHS.iter().find(|(prefix, _)| path.starts_with(prefix));
    Some(found.map_or(Part::RekorV1, |(_, part)| *part))
}

/// Shows only `parts` of `router`; all of it where there are none.
pub(crate) fn only(router: Router, parts: &[Part]) -> Router {
    if parts.is_empty() {
        return router;
    }
    let parts = parts.to_vec();
    router.layer(middleware::from_fn(move |request: Request, next: Next| {
        // As the router will read it: `/shards/%63t-log-2` is a path of the certificate log.
        let path = percent_decode_str(request.uri().path()).decode_utf8_lossy();
        let shown = owner(&path).is_none_or(|part| parts.contains(&part));
        async move {
            if shown {
                next.run(request).await
            } else {
                elsewhere()
            }
        }
    }))
}

fn elsewhere() -> Response {
    reply::error(
        StatusCode::NOT_FOUND,
        "this service is not served at this address",
    )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use axum::body::Body;
    use axum::routing::any;
    use tower::ServiceExt;

    use super::*;

    #[test]
    fn every_path_has_its_service() {
        for (path, part) in [
            ("/api/v2/signingCert", Part::Fulcio),
            (
                "/dev.sigstore.fulcio.v2.CA/CreateSigningCertificate",
                Part::Fulcio,
            ),
            (fulcio_ca::EXPLAIN_PATH, Part::Fulcio),
            ("/api/sigbox/v1/search", Part::RekorV1),
            ("/ct/v1/get-sth", Part::Ct),
            ("/api/v1/log/entries", Part::RekorV1),
            ("/api/v1/index/retrieve", Part::RekorV1),
            ("/", Part::RekorV1),
            ("/api/v2/log/entries", Part::RekorV2),
            ("/api/v2/tile/0/000", Part::RekorV2),
            ("/checkpoint", Part::RekorV2),
            ("/api/v1/timestamp/certchain", Part::Tsa),
            ("/tuf/1.root.json", Part::Trust),
            ("/setup/cosign", Part::Trust),
        ] {
            assert_eq!(owner(path), Some(part), "{path}");
        }
        assert_eq!(owner("/readyz"), None);
    }

    #[tokio::test]
    async fn a_listener_shows_its_services_alone() {
        let all = Router::new().fallback(any(async || "shown"));
        let router = only(all, &[Part::Ct, Part::Tsa]);
        for (path, status) in [
            ("/ct/checkpoint", 200),
            ("/api/v1/timestamp", 200),
            ("/healthz", 200),
            ("/shards/%63t-log-2/checkpoint", 200),
            ("/shards/%72ekor-v2-2/checkpoint", 404),
            ("/api/v2/signingCert", 404),
            ("/tuf/timestamp.json", 404),
            ("/", 404),
        ] {
            let request = Request::get(path).body(Body::empty()).unwrap();
            let answer = router.clone().oneshot(request).await.unwrap();
            assert_eq!(answer.status().as_u16(), status, "{path}");
        }
    }
}
