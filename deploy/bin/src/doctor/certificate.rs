//! The certificate, and its place in the certificate log.

use std::time::SystemTime;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use common_pki::cert::{Certificate, VerifyOptions, verify_chain};
use common_pki::key::{LocalSigner, PublicKey};
use common_pki::{oid, sct};
use common_tlog::proof::verify_inclusion;
use common_tlog::{Hash, leaf_hash};
use http::StatusCode;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::doctor::identity::Signer;
use crate::doctor::report::{self, Broken, broken};
use crate::doctor::trust::{self, Trust};
use crate::http::Client;
use crate::signing;

const CA_ADVICE: &str =
    "see the server's log for the refusal; a clock that is off by minutes is the usual cause";
const CT_ADVICE: &str =
    "clients refuse certificates without a valid promise of the certificate log: see the server's log";

/// A certificate that chains to the trusted root.
pub(crate) struct Issued {
    /// The canary's certificate.
    pub(crate) leaf: Certificate,
    /// The key of the authority that issued it.
    issuer_key: PublicKey,
}

/// Asks for a certificate as a client does and verifies its chain.
pub(crate) async fn issue(
    client: &Client,
    trust: &Trust,
    key: &LocalSigner,
    signer: &Signer,
    now: SystemTime,
) -> Result<(Issued, String), Broken> {
    let fail = |error: &dyn std::fmt::Display| broken(error, CA_ADVICE);
    let chain = signing::certificate::request(client, key, &signer.token, &signer.subject)
        .await
        .map_err(|error| fail(&error))?;
    let leaf = chain
        .into_iter()
        .next()
        .ok_or_else(|| fail(&"the answer has no certificate"))?;
    let at = now
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs();
    // A certificate may begin in the second after ours.
    let at = at.max(leaf.not_before());
    let mut chain = Err(fail(&"the trusted root lists no certificate authority"));
    // Any of them may issue: one that is to take over is listed before it does.
    for authority in trust.root.certificate_authorities.iter().rev() {
        let known = trust::certificates(authority)?;
        let Some((root, intermediates)) = known.split_last() else {
            continue;
        };
        let options = VerifyOptions {
            intermediates,
            roots: std::slice::from_ref(root),
            at,
            purpose: Some(oid::CODE_SIGNING),
        };
        chain = verify_chain(&leaf, &options).map_err(|error| fail(&error));
        if chain.is_ok() {
            break;
        }
    }
    let chain = chain?;
    let issuer = chain
        .get(1)
        .ok_or_else(|| fail(&"the certificate was issued by nobody"))?;
    let issuer_key = issuer.public_key().map_err(|error| fail(&error))?.clone();
    let evidence = format!(
        "{} certified {} until {}",
        issuer.subject_text(),
        signer.subject,
        report::time(leaf.not_after())
    );
    Ok((Issued { leaf, issuer_key }, evidence))
}

#[derive(Deserialize)]
struct SignedTreeHead {
    tree_size: u64,
    timestamp: u64,
    sha256_root_hash: String,
    tree_head_signature: String,
}

#[derive(Deserialize)]
struct Proof {
    leaf_index: u64,
    audit_path: Vec<String>,
}

/// Verifies the embedded promise, the signed tree head and the inclusion of the certificate (RFC 6962 §3.2, §4.3, §4.5).
pub(crate) async fn logged(client: &Client, trust: &Trust, issued: &Issued) -> Result<((), String), Broken> {
    let fail = |error: &dyn std::fmt::Display| broken(error, CT_ADVICE);
    let Issued { leaf, issuer_key } = issued;
    let mut found = Err(fail(&"the trusted root lists no certificate log"));
    for log in trust.root.ctlogs.iter().rev() {
        let key = log.public_key.public_key().map_err(|error| fail(&error))?;
        let verified = sct::verify_embedded(leaf, issuer_key, &key);
        found = verified.map(|sct| (log, key, sct)).map_err(|error| fail(&error));
        if found.is_ok() {
            break;
        }
    }
    let (log, key, sct) = found?;
    // A later log has a place of its own under the same origin.
    let place = url::Url::parse(&log.base_url).map_err(|error| fail(&error))?;
    let place = place.path().trim_end_matches('/');
    let head: SignedTreeHead = get(client, &format!("{place}/v1/get-sth")).await?;
    let root = hash(&head.sha256_root_hash)?;
    let signature = STANDARD
        .decode(&head.tree_head_signature)
        .map_err(|error| fail(&error))?;
    let signed = sct::sth_signed_data(head.timestamp, head.tree_size, root.as_bytes());
    sct::verify_digitally_signed(&key, &signed, &signature).map_err(|error| fail(&error))?;
    let entry = sct::precert_entry(leaf, issuer_key);
    let tree_leaf =
        sct::merkle_tree_leaf(sct.timestamp, &entry, &sct.extensions).map_err(|error| fail(&error))?;
    let tree_leaf = leaf_hash(&tree_leaf);
    let query: String = url::form_urlencoded::Serializer::new(String::new())
        .append_pair("hash", &tree_leaf.to_base64())
        .append_pair("tree_size", &head.tree_size.to_string())
        .finish();
    let proof: Proof = get(client, &format!("{place}/v1/get-proof-by-hash?{query}")).await?;
    let path = proof
        .audit_path
        .iter()
        .map(|text| hash(text))
        .collect::<Result<Vec<_>, _>>()?;
    verify_inclusion(proof.leaf_index, head.tree_size, &tree_leaf, &path, &root)
        .map_err(|error| fail(&error))?;
    Ok((
        (),
        format!(
            "certificate {} of {} is included, promise and tree head verify",
            proof.leaf_index, head.tree_size
        ),
    ))
}

async fn get<T: DeserializeOwned>(client: &Client, path: &str) -> Result<T, Broken> {
    let body = client
        .get(path)
        .await
        .and_then(|answer| answer.expect(StatusCode::OK));
    let body = body.map_err(|error| broken(error, CT_ADVICE))?;
    serde_json::from_slice(&body).map_err(|error| broken(format!("{path}: {error}"), CT_ADVICE))
}

fn hash(text: &str) -> Result<Hash, Broken> {
    Hash::from_base64(text).map_err(|error| broken(error, CT_ADVICE))
}
