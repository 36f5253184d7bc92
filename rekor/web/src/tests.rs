#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "tests"
)]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, UNIX_EPOCH};

use axum::body::Body;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use common_engine::memory::MemoryStorage;
use common_engine::{Clock, Engine, LogConfig, LogId, LogKind, LogSpec, NoAnchor, Options};
use common_pki::cert::{Serial, SubjectAltName, TbsCertificate, empty_name, ext};
use common_pki::key::{KeyAlgorithm, LocalSigner, Signer, sha256};
use common_server::admission::Bounds;
use http::{HeaderMap, Request};
use rekor_api::search::Log;
use rekor_api::{RekorV2, v2};
use rekor_entry::v2::{Policy, parse_request};
use serde_json::json;
use tower::ServiceExt as _;

use super::*;

const LOG: LogId = LogId(3);
/// What somebody may have certified for them.
const HOSTILE: &str = "https://x.example/\"><script>alert(1)</script>&'<img src=x onerror=y>";

async fn engine() -> Engine {
    let (signer, _) = LocalSigner::generate(KeyAlgorithm::Ed25519).unwrap();
    let seconds = AtomicU64::new(1_800_000_000);
    let clock = Clock::new(move || UNIX_EPOCH + Duration::from_secs(seconds.fetch_add(1, Ordering::Relaxed)));
    let spec = LogSpec {
        kind: LogKind::RekorV2,
        origin: "log.example.com".to_owned(),
        tree_id: 0,
        key_id: "key".to_owned(),
        leaf_limit: 65_535,
        created: 0,
    };
    let log = LogConfig {
        id: LOG,
        spec,
        personality: Arc::new(RekorV2::new("log.example.com", Arc::new(signer)).unwrap()),
    };
    let storage = Arc::new(MemoryStorage::new());
    Engine::open(storage, vec![log], Arc::new(NoAnchor), clock, Options::default())
        .await
        .unwrap()
}

async fn add(engine: &Engine, name: &SubjectAltName, content: &[u8]) {
    let (signer, _) = LocalSigner::generate(KeyAlgorithm::EcdsaP256).unwrap();
    let tbs = TbsCertificate {
        serial: Serial::new(&[7]).unwrap(),
        issuer: empty_name(),
        not_before: 1_800_000_000,
        not_after: 1_800_000_600,
        subject: empty_name(),
        key: signer.public_key().clone(),
        extensions: vec![
            name.to_extension().unwrap(),
            ext::utf8_string(ext::sigstore_oid(8).unwrap(), HOSTILE),
        ],
    };
    let certificate = tbs.sign(&signer).unwrap();
    let request = json!({"hashedRekordRequestV002": {
        "digest": STANDARD.encode(sha256(content)),
        "signature": {
            "content": STANDARD.encode(signer.sign(content).unwrap()),
            "verifier": {
                "x509Certificate": {"rawBytes": STANDARD.encode(certificate.to_der())},
                "keyDetails": "PKIX_ECDSA_P256_SHA_256",
            },
        },
    }});
    let canonical = parse_request(request.to_string().as_bytes(), &Policy::default()).unwrap();
    let entry = v2::engine_entry(canonical).unwrap();
    engine.submit(LOG, entry).await.unwrap();
}

async fn pages(entries: u32) -> Router {
    let engine = engine().await;
    add(&engine, &SubjectAltName::Uri(HOSTILE.to_owned()), b"hostile").await;
    for number in 1..entries {
        let name = SubjectAltName::Email("dev@example.com".to_owned());
        add(&engine, &name, &number.to_be_bytes()).await;
    }
    let log = Log { id: LOG, v1: None };
    router(Arc::new(Service::new(engine, vec![log], Bounds::EXPENSIVE_READS)))
}

struct Got {
    status: StatusCode,
    headers: HeaderMap,
    text: String,
}

async fn open(router: &Router, path: &str) -> Got {
    let request = Request::get(path).body(Body::empty()).unwrap();
    let (parts, body) = router.clone().oneshot(request).await.unwrap().into_parts();
    let bytes = axum::body::to_bytes(body, usize::MAX).await.unwrap();
    Got {
        status: parts.status,
        headers: parts.headers,
        text: String::from_utf8(bytes.to_vec()).unwrap(),
    }
}

/// Tags are those of the templates, and every value stays within its attribute.
fn assert_harmless(text: &str) {
    assert_eq!(text.matches("<script").count(), 1, "{text}");
    assert!(text.contains("<script src=\"/search/script.js\" defer></script>"));
    for tag in [
        "<img",
        "<iframe",
        "<style",
        " onerror=y>",
        " onclick=",
        "javascript:",
    ] {
        assert!(!text.contains(tag), "{tag}: {text}");
    }
}

#[tokio::test]
async fn whatever_is_in_a_certificate_does_no_harm() {
    let router = pages(2).await;
    let query = "%22%3E%3Cscript%3Ealert(1)%3C%2Fscript%3E%3Cimg%20src%3Dx%20onerror%3Dy%3E";
    let paths = [
        "/search".to_owned(),
        "/entry/3/0".to_owned(),
        format!("/search?q={query}"),
        format!("/search?issuer={query}&email={query}"),
        format!("/search?limit={query}"),
        format!("/search?{query}={query}"),
        format!("/search?cursor={query}"),
    ];
    for path in paths {
        let got = open(&router, &path).await;
        assert_harmless(&got.text);
        let policy = got.headers[CONTENT_SECURITY_POLICY].to_str().unwrap();
        assert!(policy.starts_with("default-src 'none';"), "{policy}");
        assert!(!policy.contains("unsafe"), "{policy}");
        assert_eq!(got.headers[X_CONTENT_TYPE_OPTIONS], "nosniff");
    }
    let newest = open(&router, "/search").await;
    assert!(
        newest.text.contains("&#60;script&#62;alert(1)&#60;/script&#62;"),
        "{}",
        newest.text
    );
    // A policy that forbids what stands in the page itself asks for a page that has nothing of it.
    assert!(!newest.text.contains("style=\""));
}

#[tokio::test]
async fn results_lead_to_entries_and_entries_to_others_like_them() {
    let router = pages(25).await;
    let got = open(&router, "/search?q=dev%40example.com").await;
    assert_eq!(got.status, 200);
    assert!(
        got.text.contains("value=\"dev@example.com\""),
        "the box keeps what was asked"
    );
    assert_eq!(got.text.matches("href=\"/entry/3/").count(), 20);
    assert!(got.text.contains("This page is complete"));
    let cursor = got.text.split("name=\"cursor\" value=\"").nth(1).unwrap();
    let cursor = cursor.split('"').next().unwrap();
    let next = open(&router, &format!("/search?q=dev%40example.com&cursor={cursor}")).await;
    assert_eq!(next.text.matches("href=\"/entry/3/").count(), 4);

    let entry = open(&router, "/entry/3/1").await;
    assert_eq!(entry.status, 200);
    for part in [
        "href=\"/search?email=dev%40example.com\"",
        "data-index=\"1\" data-size=\"25\"",
        "hashedRekordV002",
        "sigbox log proof 1 --log 3",
    ] {
        assert!(entry.text.contains(part), "{part}: {}", entry.text);
    }
    let one = open(
        &router,
        &format!("/search?digest=sha256:{}", hex(&sha256(b"hostile"))),
    )
    .await;
    assert_eq!(one.text.matches("href=\"/entry/3/0\"").count(), 1);
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[tokio::test]
async fn what_is_wrong_is_said_on_the_page() {
    let router = pages(1).await;
    let got = open(&router, "/search?email=nobody").await;
    assert_eq!(got.status, 400);
    assert!(
        got.text
            .contains("role=\"alert\">email: expected an e-mail address, got &#34;nobody&#34;"),
        "{}",
        got.text
    );
    assert!(
        got.text.contains("id=\"f-email\""),
        "the form is there to be mended"
    );
    let nothing = open(&router, "/search?email=nobody%40example.com").await;
    assert_eq!(nothing.status, 200);
    assert!(nothing.text.contains("Nothing was found"));
    for path in ["/entry/3/99", "/entry/9/0", "/entry/3/x"] {
        assert_eq!(open(&router, path).await.status, 404, "{path}");
    }
}

#[tokio::test]
async fn pages_can_be_used_without_sight_and_without_script() {
    let router = pages(2).await;
    for path in ["/search", "/search?email=dev%40example.com", "/entry/3/0"] {
        let text = open(&router, path).await.text;
        assert!(text.starts_with("<!doctype html>\n<html lang=\"en\">"), "{path}");
        assert_eq!(text.matches("<h1>").count(), 1, "{path}");
        assert_eq!(text.matches("<main>").count(), 1, "{path}");
        // Every field has its label.
        for id in text
            .split("<input id=\"")
            .skip(1)
            .filter_map(|rest| rest.split('"').next())
        {
            assert!(
                text.contains(&format!("<label class=\"hidden\" for=\"{id}\""))
                    || text.contains(&format!("<label for=\"{id}\"")),
                "{path}: {id}"
            );
        }
    }
    for (path, media_type) in [
        ("/search/style.css", "text/css"),
        ("/search/script.js", "text/javascript"),
    ] {
        let got = open(&router, path).await;
        assert!(
            got.headers[CONTENT_TYPE]
                .to_str()
                .unwrap()
                .starts_with(media_type)
        );
    }
}
