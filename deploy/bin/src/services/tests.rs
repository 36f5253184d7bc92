#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "tests"
)]

use std::time::SystemTime;

use axum::body::Body;
use common_bundle::trust::Timestamp;
use common_engine::NoAnchor;
use common_engine::memory::MemoryStorage;
use deploy_issuer::Issuer;
use fulcio_ca::{Fetch, FetchError};
use http::Request;
use http_body_util::BodyExt;
use tower::ServiceExt;

use super::*;
use crate::in_process::OwnIssuer;
use crate::keys::Places;
use crate::layout::Layout;

fn clock() -> Clock {
    Arc::new(|| SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000))
}

/// Valid for some seconds from now, or until before now.
fn until(seconds: i64) -> Validity {
    let validity = Validity::default();
    validity.set(
        Timestamp::from_system_time(clock()())
            .unwrap()
            .plus_seconds(seconds),
    );
    validity
}

struct Fixture {
    _folder: tempfile::TempDir,
    keys: Keys,
    issuer_key: Arc<dyn Signer>,
    url: PublicUrl,
    storage: Arc<MemoryStorage>,
    validity: Validity,
}

impl Fixture {
    fn new() -> Fixture {
        let folder = tempfile::tempdir().unwrap();
        let url: PublicUrl = "http://localhost:3000".parse().unwrap();
        let layout = Layout::new(folder.path().to_owned());
        let keys = Keys::open(&layout, &url.clone().into(), &Places::default(), clock()()).unwrap();
        let issuer_key = crate::keys::development_issuer(&layout).unwrap();
        Fixture {
            _folder: folder,
            keys,
            issuer_key,
            url,
            storage: Arc::default(),
            validity: until(1),
        }
    }

    async fn start(&self) -> Result<Services, ServicesError> {
        start(Parts {
            keys: &self.keys,
            issuer_key: Some(Arc::clone(&self.issuer_key)),
            site: &self.url.clone().into(),
            exposure: Exposure::LoopbackOnly,
            issuers: Vec::new(),
            intake: Intake::default(),
            limits: &LimitArgs::default(),
            v1_policy: v1::Policy::default(),
            v1_events: None,
            kept: None,
            storage: Some(Arc::clone(&self.storage) as Arc<dyn Storage>),
            anchor: Arc::new(NoAnchor),
            clock: clock(),
            trust: Some(TrustFiles {
                tuf: FileSet::default(),
                validity: self.validity.clone(),
                exported: FileSet::default(),
                landing: "landing".to_owned(),
            }),
            scorecard: PathBuf::new(),
            scorecard_issuers: Vec::new(),
        })
        .await
    }
}

async fn get(router: &Router, path: &str) -> (u16, String) {
    let request = Request::get(path).body(Body::empty()).unwrap();
    let answer = router.clone().oneshot(request).await.unwrap();
    let status = answer.status().as_u16();
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    (status, String::from_utf8_lossy(&body).into_owned())
}

#[tokio::test]
async fn one_origin_serves_every_service_and_each_refuses_in_its_own_words() {
    let services = Fixture::new().start().await.unwrap();
    for path in [
        "/",
        "/healthz",
        "/ping",
        "/api/v1/log",
        "/api/v1/rootCert",
        "/api/v1/timestamp/certchain",
        "/api/v2/checkpoint",
        "/api/v2/trustBundle",
        "/checkpoint",
        "/ct/v1/get-sth",
        "/ct/checkpoint",
    ] {
        assert_eq!(get(&services.router, path).await.0, 200, "{path}");
    }
    assert_eq!(
        get(&services.router, "/healthz").await.1,
        "{\"status\":\"SERVING\"}\n"
    );
    for (path, shape) in [
        // go-openapi's words for Rekor v1, the gateway's for v2.
        ("/api/v1/nothing", "path /api/v1/nothing was not found"),
        ("/api/v2/nothing", "\"details\":[]"),
        ("/tuf/2.root.json", "no such file"),
        ("/trust/nothing.json", "no such file"),
        ("/nothing", "no such path"),
    ] {
        let (status, body) = get(&services.router, path).await;
        assert_eq!(status, 404, "{path}");
        assert!(body.contains(shape), "{path}: {body}");
    }
    // The issuer does not know this request's peer.
    assert_eq!(get(&services.router, "/oidc/keys").await.0, 403);
}

#[tokio::test]
async fn readiness_follows_the_canary() {
    let services = Fixture::new().start().await.unwrap();
    assert_eq!(get(&services.router, "/readyz").await.0, 503);
    services.ready.set(true);
    assert_eq!(get(&services.router, "/readyz").await.0, 200);
    services.ready.set(false);
    assert_eq!(get(&services.router, "/readyz").await.0, 503);
}

#[tokio::test]
async fn an_expired_trust_repository_is_not_ready() {
    for (validity, status) in [(until(1), 200), (until(0), 503), (Validity::default(), 503)] {
        let fixture = Fixture {
            validity,
            ..Fixture::new()
        };
        let services = fixture.start().await.unwrap();
        services.ready.set(true);
        let (got, said) = get(&services.router, "/readyz").await;
        assert_eq!(got, status, "{said}");
        assert!(status == 200 || said.contains("expired"), "{said}");
    }
}

#[tokio::test]
async fn logs_continue_under_their_tree_id_and_stay_with_their_keys() {
    let fixture = Fixture::new();
    let listed = |roles: &[Role]| roles.iter().copied().collect::<BTreeSet<Role>>();
    let (all, none) = (listed(&[Role::CtLog, Role::RekorV1, Role::RekorV2]), listed(&[]));
    let has_logs = async |roles: &Roles, listed: &BTreeSet<Role>| {
        has_logs(&fixture.storage.logs().await.unwrap(), roles, listed)
    };
    assert!(!has_logs(&Roles::all(), &none).await.unwrap());
    let first = fixture.start().await.unwrap();
    let tree = |services: &Services| {
        services
            .engine
            .as_ref()
            .unwrap()
            .log(REKOR_V1)
            .unwrap()
            .spec
            .tree_id
    };
    let drawn = tree(&first);
    first.engine.as_ref().unwrap().shutdown().await;
    let second = fixture.start().await.unwrap();
    assert_eq!(tree(&second), drawn);
    second.engine.as_ref().unwrap().shutdown().await;
    assert!(has_logs(&Roles::all(), &all).await.unwrap());
    let orphans = has_logs(&Roles::all(), &none).await.unwrap_err();
    assert!(matches!(orphans, ServicesError::LogsWithoutKeys(_)), "{orphans}");
    // Those of another process in the same database are its own business.
    let stamps = Roles::of(&[crate::site::Part::Tsa]);
    assert!(!has_logs(&stamps, &none).await.unwrap());
    let some = listed(&[Role::CtLog, Role::RekorV1]);
    assert!(has_logs(&Roles::all(), &some).await.is_err());
    let strangers = Fixture {
        storage: Arc::clone(&fixture.storage),
        ..Fixture::new()
    };
    let refused = strangers.start().await.err().unwrap();
    assert!(matches!(refused, ServicesError::Engine(_)), "{refused}");
}

#[tokio::test]
async fn the_own_issuer_is_read_without_a_network() {
    let fixture = Fixture::new();
    let config = issuer_config(&fixture.url, Exposure::LoopbackOnly);
    let issuer = Issuer::new(config, Arc::clone(&fixture.issuer_key), clock());
    let fetch = OwnIssuer {
        url: fixture.url.issuer(),
        routes: deploy_issuer::router(Arc::new(issuer.unwrap())),
    };
    let read = async |path: &str| fetch.get(&path.parse().unwrap()).await;
    let keys: serde_json::Value =
        serde_json::from_slice(&read("http://localhost:3000/oidc/keys").await.unwrap()).unwrap();
    assert_eq!(keys["keys"][0]["alg"], "RS256");
    assert!(matches!(
        read("http://localhost:3000/oidc/nothing").await,
        Err(FetchError::Status(404))
    ));
    for elsewhere in ["http://localhost:3001/oidc/keys", "https://example.com/oidc/keys"] {
        assert!(
            matches!(read(elsewhere).await, Err(FetchError::Connect)),
            "{elsewhere}"
        );
    }
}
