//! `doctor`: a canary is signed, logged and verified through every service as a client would, and each link of the
//! chain shows its evidence or is named as the one that broke. The same canary decides readiness at the start of `up`.
//!
//! It trusts nothing that the services say about themselves: keys come from `trusted_root.json`, through the TUF
//! repository, from the `root.json` that is served now.

mod certificate;
mod identity;
mod metrics;
mod places;
mod rekor;
pub(crate) mod report;
mod trust;

use std::time::{Duration, Instant, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use common_bundle::format::{Bundle, Content, KeyMaterial, MediaType, MessageDigest, TransparencyLogEntry};
use common_bundle::trust::{Role, TrustedRoot, ValidFor};
use common_bundle::verify::{Artifact, Policy, verify};
use common_engine::{LogInfo, LogKind};
use common_pki::cert::Certificate;
use common_pki::key::{HashAlgorithm, KeyAlgorithm, LocalSigner, PublicKey, Signer as _};
use common_pki::tsp::{self, TimestampTrust};

use crate::cli::DoctorArgs;
use crate::clock;
use crate::console::{self, Console};
use crate::doctor::identity::Signer;
use crate::doctor::places::Places;
use crate::doctor::report::{Broken, Link, Report, broken};
use crate::doctor::trust::Trust;
use crate::exit::Failure;
use crate::http::Client;
use crate::signing::{self, entry::Verifier};
use crate::site::Roles;

/// Whom the canary is signed by: RFC 2606 §2 keeps `.invalid` from ever being anybody's.
pub(crate) const CANARY: &str = "canary@sigbox.invalid";
/// How `/readyz` begins the line of a frozen log.
const FROZEN: &str = "frozen: ";

/// Runs the command.
///
/// # Errors
/// [`Failure`] naming the first broken link, or when its findings cannot be written.
pub(crate) async fn run(args: DoctorArgs, console: Console) -> Result<(), Failure> {
    let client = Client::new(&args.url).map_err(Failure::failed)?;
    let given = args.identity_token.as_deref();
    loop {
        console.heading(&format!("A canary through every service of {}", client.base()));
        let (now, began) = (clock::system()(), Instant::now());
        let frozen = frozen_logs(&client).await;
        let report = examine(&client, now, &frozen, given, &Scope::everything()).await;
        if args.json {
            let found = report.json(client.base(), now).to_string();
            // Nobody will read what comes later either.
            console::result(&found).map_err(Failure::failed)?;
        } else {
            report.print(console);
        }
        let kept = args.metrics.as_deref().map_or(Ok(()), |file| {
            metrics::write(file, &report, now, began.elapsed())
                .map_err(|error| format!("cannot write {}: {error}", file.display()))
        });
        let verdict = verdict(&report, &client, !frozen.is_empty());
        let Some(seconds) = args.watch else {
            return kept
                .and(verdict)
                .map(|sound| console.line(sound))
                .map_err(Failure::failed);
        };
        // Neither ends a watch: as a link may hold again, so may the disk have room again.
        if let Err(problem) = kept {
            console.warning(&problem);
        }
        match verdict {
            Ok(sound) => console.line(sound),
            Err(broken) => console.warning(&broken),
        }
        tokio::time::sleep(Duration::from_secs(seconds)).await;
    }
}

/// What is to be said of all links together.
fn verdict(report: &Report, client: &Client, frozen: bool) -> Result<&'static str, String> {
    match report.broken() {
        None if frozen => Ok("What is not frozen works."),
        None => Ok("Everything works: what clients sign here verifies."),
        Some((link, broken)) => Err(format!(
            "{link} at {} is broken; {}",
            client.base(),
            broken.advice
        )),
    }
}

/// The canary of the server itself; logs of the kinds `frozen` take none.
///
/// # Errors
/// The first broken link with what was found there.
pub(crate) async fn canary(url: &str, frozen: &[LogKind]) -> Result<(), String> {
    let client = Client::new(url).map_err(|error| error.to_string())?;
    let scope = Scope::of(Roles::all(), None);
    passed(&examine(&client, clock::system()(), frozen, None, &scope).await)
}

/// Whether the canary passed; else the first broken link with what was found there.
pub(crate) fn passed(report: &Report) -> Result<(), String> {
    report
        .broken()
        .map_or(Ok(()), |(link, broken)| Err(format!("{link}: {}", broken.found)))
}

/// The line of `/readyz` for a frozen log.
pub(crate) fn frozen_line(log: &LogInfo) -> String {
    format!("{FROZEN}{} {}\n", log.spec.kind.name(), log.spec.origin)
}

/// The kinds of logs that the instance says are frozen.
async fn frozen_logs(client: &Client) -> Vec<LogKind> {
    let body = client
        .get("/readyz")
        .await
        .map(|answer| answer.body)
        .unwrap_or_default();
    let text = String::from_utf8_lossy(&body).into_owned();
    let kinds = text
        .lines()
        .filter_map(|line| line.strip_prefix(FROZEN)?.split(' ').next());
    kinds.filter_map(LogKind::from_name).collect()
}

/// Who has signed the canary, to logs and to who verifies.
struct Holder<'a> {
    verifier: Verifier<'a>,
    policy: Policy,
}

impl<'a> Holder<'a> {
    fn certified(signer: &Signer, leaf: &'a Certificate) -> Holder<'a> {
        Holder {
            verifier: Verifier::Certificate(leaf),
            policy: signer.policy(leaf),
        }
    }

    /// Nobody but the key: where no authority certifies it.
    fn key(key: &'a PublicKey) -> Holder<'a> {
        Holder {
            verifier: Verifier::Key(key),
            policy: Policy::key(key.clone(), ValidFor::default()),
        }
    }

    fn key_material(&self) -> KeyMaterial {
        match &self.verifier {
            Verifier::Certificate(leaf) => KeyMaterial::Certificates(vec![leaf.to_der().to_vec()]),
            Verifier::Key(key) => KeyMaterial::PublicKey {
                hint: STANDARD.encode(key.fingerprint()),
            },
        }
    }
}

/// What is signed. The key and the time make every canary another entry.
struct Canary {
    artifact: Vec<u8>,
    signature: Vec<u8>,
}

impl Canary {
    fn digest(&self) -> Vec<u8> {
        HashAlgorithm::Sha256.digest(&self.artifact)
    }
}

/// Which links there are.
pub(crate) struct Scope {
    /// The services.
    roles: Roles,
    /// What to trust, where no trust repository is among them.
    trusted: Option<TrustedRoot>,
    /// Whether services of other addresses are among them.
    everywhere: bool,
}

impl Scope {
    fn everything() -> Scope {
        Scope {
            everywhere: true,
            ..Scope::of(Roles::all(), None)
        }
    }

    /// The services of `roles` in one process, judged by what is `trusted`, or else by the trust repository among them.
    pub(crate) fn of(roles: Roles, trusted: Option<TrustedRoot>) -> Scope {
        Scope {
            roles,
            trusted,
            everywhere: false,
        }
    }
}

/// Goes through all links in `scope`; one that needs a broken one is skipped. The canary is signed as whom the token certifies
/// that is `given`, or as its own self.
pub(crate) async fn examine(
    client: &Client,
    now: SystemTime,
    frozen: &[LogKind],
    given: Option<&str>,
    scope: &Scope,
) -> Report {
    let mut report = Report::default();
    let has = |role| scope.roles.has(role);
    let trust = match scope.trusted.clone() {
        Some(root) => Some(Trust {
            root,
            issuer: String::new(),
            configs: Vec::new(),
        }),
        None => report.record(Link::Tuf, trust::fetch(client, now).await),
    };
    let places = match &trust {
        Some(trust) if scope.everywhere => Places::published(&trust.configs, &trust.root),
        _ => Places::default(),
    };
    let certified = has(Role::FulcioCa);
    let signer = match (&trust, given) {
        _ if !certified => None,
        (Some(_), Some(given)) => report.record(Link::Oidc, identity::given(given)),
        (Some(trust), None) => report.record(Link::Oidc, identity::development(client, trust).await),
        (None, _) => report.skip(Link::Oidc, Link::Tuf),
    };
    let signed = report.record(Link::Key, sign(now));
    // A certificate is nothing without its place in the certificate log.
    let no_certificates = frozen.contains(&LogKind::Ct);
    let issued = match (&trust, &signer, &signed) {
        _ if !certified => None,
        _ if no_certificates => report.frozen(Link::Fulcio),
        (Some(trust), Some(signer), Some((key, _))) => report.record(
            Link::Fulcio,
            certificate::issue(places.of(Role::FulcioCa, client), trust, key, signer, now).await,
        ),
        (None, ..) => report.skip(Link::Fulcio, Link::Tuf),
        _ => report.skip(Link::Fulcio, Link::Oidc),
    };
    match (&trust, &issued) {
        _ if !certified => {}
        _ if no_certificates => {
            report.frozen::<()>(Link::Ct);
        }
        (Some(trust), Some(issued)) => {
            let log = places.of(Role::CtLog, client);
            report.record(Link::Ct, certificate::logged(log, trust, issued).await);
        }
        _ => {
            report.skip::<()>(Link::Ct, Link::Fulcio);
        }
    }
    let timestamp = match (&trust, &signed) {
        _ if !has(Role::Tsa) => None,
        (Some(trust), Some((_, canary))) => {
            let authority = places.of(Role::Tsa, client);
            report.record(Link::Tsa, timestamp(authority, trust, &canary.signature).await)
        }
        _ => report.skip(Link::Tsa, Link::Tuf),
    };
    for (link, role, kind) in [
        (Link::RekorV1, Role::RekorV1, LogKind::RekorV1),
        (Link::RekorV2, Role::RekorV2, LogKind::RekorV2),
    ] {
        if !(has(role) && places.has(role)) {
            continue;
        }
        if frozen.contains(&kind) {
            report.frozen::<()>(link);
            continue;
        }
        // A Rekor v2 log signs no time: without an authority of this process that does, a certificate is valid at none.
        let timed = role == Role::RekorV1 || has(Role::Tsa);
        let (Some(trust), Some((key, canary))) = (&trust, &signed) else {
            report.skip::<()>(link, Link::Tuf);
            continue;
        };
        let holder = match (&signer, &issued) {
            _ if !(certified && timed) => Holder::key(key.public_key()),
            (Some(signer), Some(issued)) => Holder::certified(signer, &issued.leaf),
            _ => {
                report.skip::<()>(link, Link::Fulcio);
                continue;
            }
        };
        let timestamps = match (role == Role::RekorV2 && has(Role::Tsa), &timestamp) {
            (true, None) => {
                report.skip::<()>(link, Link::Tsa);
                continue;
            }
            (true, Some(timestamp)) => vec![timestamp.clone()],
            (false, _) => Vec::new(),
        };
        let version = if role == Role::RekorV1 { 1 } else { 2 };
        let entry = rekor::log(places.of(role, client), version, canary, &holder.verifier).await;
        let outcome = entry.and_then(|entry| verified(entry, timestamps, canary, &holder, trust));
        report.record(link, outcome.map(|evidence| ((), evidence)));
    }
    report
}

/// A key of this canary alone, and its signature.
fn sign(now: SystemTime) -> Result<((LocalSigner, Canary), String), Broken> {
    let advice = "this machine cannot make keys; see the error";
    let failed = |error: common_pki::key::SignError| broken(error, advice);
    let (key, _) = LocalSigner::generate(KeyAlgorithm::EcdsaP256).map_err(failed)?;
    let nanos = now
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default()
        .as_nanos();
    let artifact = format!("sigbox canary {nanos}\n").into_bytes();
    let signature = key.sign(&artifact).map_err(failed)?;
    let evidence = format!("{} of this canary alone", key.public_key().algorithm());
    Ok(((key, Canary { artifact, signature }), evidence))
}

/// A timestamp over the signature, verified under the trusted root.
async fn timestamp(client: &Client, trust: &Trust, signature: &[u8]) -> Result<(Vec<u8>, String), Broken> {
    let advice = "see the server's log; without timestamps Rekor v2 bundles do not verify";
    let response = signing::timestamp::request(&client.below("/api/v1/timestamp"), signature)
        .await
        .map_err(|error| broken(error, advice))?;
    let mut verified = Err(broken(
        "the trusted root lists no timestamp authority with leaf and root",
        advice,
    ));
    // Any of them may sign: one that is to take over is listed before it does.
    for authority in trust.root.timestamp_authorities.iter().rev() {
        let chain = trust::certificates(authority)?;
        let [leaf, intermediates @ .., root] = chain.as_slice() else {
            continue;
        };
        let trusted = TimestampTrust {
            leaf: Some(leaf),
            intermediates,
            roots: std::slice::from_ref(root),
        };
        verified = tsp::verify(&response, signature, &trusted).map_err(|error| broken(error, advice));
        if verified.is_ok() {
            break;
        }
    }
    let verified = verified?;
    let evidence = format!(
        "{} vouches for {}",
        verified.signer.subject_text(),
        report::time(verified.info.time)
    );
    Ok((response, evidence))
}

/// The whole bundle, as a client keeps it, through the verification that a client makes.
fn verified(
    entry: TransparencyLogEntry,
    timestamps: Vec<Vec<u8>>,
    canary: &Canary,
    holder: &Holder<'_>,
    trust: &Trust,
) -> Result<String, Broken> {
    let (index, size) = (
        entry.log_index,
        entry.inclusion_proof.as_ref().map_or(0, |proof| proof.tree_size),
    );
    let bundle = Bundle {
        media_type: MediaType::V03,
        key_material: holder.key_material(),
        tlog_entries: vec![entry],
        timestamps,
        content: Content::Message {
            digest: Some(MessageDigest {
                algorithm: "SHA2_256".to_owned(),
                digest: canary.digest(),
            }),
            signature: canary.signature.clone(),
        },
    };
    let verified = verify(
        &bundle,
        Artifact::Bytes(&canary.artifact),
        &trust.root,
        &holder.policy,
    )
    .map_err(|error| {
        broken(
            error,
            "the entry was logged but clients refuse its bundle: check host, keys and clock",
        )
    })?;
    Ok(format!(
        "entry {index} in a tree of {size}; the bundle verifies by {} checks",
        verified.evidence.len()
    ))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[tokio::test]
    async fn a_watch_goes_on_where_its_findings_cannot_be_written() {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let folder = tempfile::tempdir().unwrap();
        let args = |watch| DoctorArgs {
            // Nobody answers there.
            url: "http://127.0.0.1:1".to_owned(),
            identity_token: None,
            watch,
            metrics: Some(folder.path().join("missing/canary.prom")),
            json: false,
        };
        let once = run(args(None), Console::new()).await.unwrap_err();
        assert!(once.message.contains("missing/canary.prom"), "{}", once.message);
        let watch = run(args(Some(3_600)), Console::new());
        let ended = tokio::time::timeout(Duration::from_millis(500), watch).await;
        assert!(ended.is_err(), "{ended:?}");
    }
}
