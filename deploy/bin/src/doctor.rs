//! `doctor`: a canary is signed, logged and verified through every service as a client would, and each link of the
//! chain shows its evidence or is named as the one that broke. The same canary decides readiness at the start of `up`.
//!
//! It trusts nothing that the services say about themselves: keys come from `trusted_root.json`, through the TUF
//! repository, from the `root.json` that is served now.

mod certificate;
mod rekor;
pub(crate) mod report;
mod trust;

use std::time::SystemTime;

use common_bundle::format::{Bundle, Content, KeyMaterial, MediaType, MessageDigest, TransparencyLogEntry};
use common_bundle::verify::{Artifact, Policy, verify};
use common_engine::{LogInfo, LogKind};
use common_pki::cert::Certificate;
use common_pki::key::{HashAlgorithm, KeyAlgorithm, LocalSigner, Signer};
use common_pki::tsp::{self, TimestampTrust};
use http::StatusCode;
use serde::Deserialize;
use serde_json::json;

use crate::cli::DoctorArgs;
use crate::clock;
use crate::console::Console;
use crate::doctor::report::{Broken, Link, Report, broken};
use crate::doctor::trust::Trust;
use crate::exit::Failure;
use crate::http::Client;
use crate::signing;
use crate::token;

/// Whom the canary is signed by: RFC 2606 §2 keeps `.invalid` from ever being anybody's.
const CANARY: &str = "canary@sigbox.invalid";
/// How `/readyz` begins the line of a frozen log.
const FROZEN: &str = "frozen: ";

/// Runs the command.
///
/// # Errors
/// [`Failure`] naming the first broken link.
pub(crate) async fn run(args: DoctorArgs, console: Console) -> Result<(), Failure> {
    let client = Client::new(&args.url).map_err(Failure::failed)?;
    console.heading(&format!("A canary through every service of {}", client.base()));
    let frozen = frozen_logs(&client).await;
    let report = examine(&client, clock::system()(), &frozen).await;
    report.print(console);
    match report.broken() {
        None if !frozen.is_empty() => {
            console.line("What is not frozen works.");
            Ok(())
        }
        None => {
            console.line("Everything works: what clients sign here verifies.");
            Ok(())
        }
        Some((link, broken)) => Err(Failure::failed(format!(
            "{link} at {} is broken; {}",
            client.base(),
            broken.advice
        ))),
    }
}

/// The canary of the server itself; logs of the kinds `frozen` take none.
///
/// # Errors
/// The first broken link with what was found there.
pub(crate) async fn canary(url: &str, frozen: &[LogKind]) -> Result<(), String> {
    let client = Client::new(url).map_err(|error| error.to_string())?;
    let report = examine(&client, clock::system()(), frozen).await;
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

/// Goes through all links; one that needs a broken one is skipped.
async fn examine(client: &Client, now: SystemTime, frozen: &[LogKind]) -> Report {
    let mut report = Report::default();
    let trust = report.record(Link::Tuf, trust::fetch(client, now).await);
    let token = match &trust {
        Some(trust) => report.record(Link::Oidc, identity(client, trust).await),
        None => report.skip(Link::Oidc, Link::Tuf),
    };
    let signed = report.record(Link::Key, sign(now));
    // A certificate is nothing without its place in the certificate log.
    let no_certificates = frozen.contains(&LogKind::Ct);
    let issued = match (&trust, &token, &signed) {
        _ if no_certificates => report.frozen(Link::Fulcio),
        (Some(trust), Some(token), Some((key, _))) => report.record(
            Link::Fulcio,
            certificate::issue(client, trust, key, token, now).await,
        ),
        (None, ..) => report.skip(Link::Fulcio, Link::Tuf),
        _ => report.skip(Link::Fulcio, Link::Oidc),
    };
    match (&trust, &issued) {
        _ if no_certificates => {
            report.frozen::<()>(Link::Ct);
        }
        (Some(trust), Some(issued)) => {
            report.record(Link::Ct, certificate::logged(client, trust, issued).await);
        }
        _ => {
            report.skip::<()>(Link::Ct, Link::Fulcio);
        }
    }
    let timestamp = match (&trust, &signed) {
        (Some(trust), Some((_, canary))) => {
            report.record(Link::Tsa, timestamp(client, trust, &canary.signature).await)
        }
        _ => report.skip(Link::Tsa, Link::Tuf),
    };
    for (link, kind, needs_time) in [
        (Link::RekorV1, LogKind::RekorV1, false),
        (Link::RekorV2, LogKind::RekorV2, true),
    ] {
        if frozen.contains(&kind) {
            report.frozen::<()>(link);
            continue;
        }
        let (Some(trust), Some(issued), Some((_, canary))) = (&trust, &issued, &signed) else {
            report.skip::<()>(link, Link::Fulcio);
            continue;
        };
        let timestamps = match (needs_time, &timestamp) {
            (true, None) => {
                report.skip::<()>(link, Link::Tsa);
                continue;
            }
            (true, Some(timestamp)) => vec![timestamp.clone()],
            (false, _) => Vec::new(),
        };
        let version = if link == Link::RekorV1 { 1 } else { 2 };
        let entry = rekor::log(client, version, canary, &issued.leaf).await;
        let outcome = entry.and_then(|entry| verified(entry, timestamps, canary, &issued.leaf, trust));
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

/// A token of the issuer that the signing configuration names.
async fn identity(client: &Client, trust: &Trust) -> Result<(String, String), Broken> {
    #[derive(Deserialize)]
    struct Discovery {
        issuer: String,
    }
    let advice = "see the server's log; is the development issuer reached through a proxy or another name?";
    let answer = client.get("/oidc/.well-known/openid-configuration").await;
    let body = answer
        .and_then(|answer| answer.expect(StatusCode::OK))
        .map_err(|error| broken(error, advice))?;
    let discovery: Discovery = serde_json::from_slice(&body).map_err(|error| broken(error, advice))?;
    if discovery.issuer != trust.issuer {
        let found = format!(
            "expected issuer {}, as the signing configuration says, got {}",
            trust.issuer, discovery.issuer
        );
        return Err(broken(
            found,
            "set --public-url to the URL clients use, and start again",
        ));
    }
    let token = token::get(client, &json!({ "email": CANARY }))
        .await
        .map_err(|error| broken(error, advice))?;
    Ok((token, format!("{} certified {CANARY}", discovery.issuer)))
}

/// A timestamp over the signature, verified under the trusted root.
async fn timestamp(client: &Client, trust: &Trust, signature: &[u8]) -> Result<(Vec<u8>, String), Broken> {
    let advice = "see the server's log; without timestamps Rekor v2 bundles do not verify";
    let url = format!("{}/api/v1/timestamp", client.base());
    let response = signing::timestamp::request(&url, signature)
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
    leaf: &Certificate,
    trust: &Trust,
) -> Result<String, Broken> {
    let (index, size) = (
        entry.log_index,
        entry.inclusion_proof.as_ref().map_or(0, |proof| proof.tree_size),
    );
    let bundle = Bundle {
        media_type: MediaType::V03,
        key_material: KeyMaterial::Certificates(vec![leaf.to_der().to_vec()]),
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
    let policy = Policy::identity(CANARY, &trust.issuer);
    let verified =
        verify(&bundle, Artifact::Bytes(&canary.artifact), &trust.root, &policy).map_err(|error| {
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
