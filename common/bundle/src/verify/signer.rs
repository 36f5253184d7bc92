//! The signer: certificate chain, SCTs, identity; or a key and its window.

use common_pki::cert::{CertError, Certificate, VerifyOptions, verify_chain};
use common_pki::key::PublicKey;
use common_pki::oid;
use common_pki::sct::{embedded_scts, precert_entry};

use super::evidence::{Evidence, ProvenTime};
use super::log;
use super::{Matcher, VerifyError, timestamp};
use crate::trust::{CertificateAuthority, TrustedRoot, ValidFor};

/// The signer's certificate, and those beside it, which are never used. A root among them is refused: whoever reads it there
/// may believe it was checked.
pub(super) fn leaf(chain: &[Vec<u8>]) -> Result<(Certificate, Vec<Certificate>), VerifyError> {
    let parsed = chain
        .iter()
        .map(|der| Certificate::from_der(der))
        .collect::<Result<Vec<_>, _>>()
        .map_err(VerifyError::Certificate)?;
    if let Some(root) = parsed.iter().find(|certificate| certificate.is_self_issued()) {
        return Err(VerifyError::RootInBundle(root.subject_text()));
    }
    let mut parsed = parsed.into_iter();
    let leaf = parsed.next();
    let leaf = leaf.ok_or(VerifyError::Certificate(CertError::Malformed("none given")))?;
    Ok((leaf, parsed.collect()))
}

/// Verifies the certificate at every proven time, its issuers included (GHSA-wfqv-66vq-46rm), and its SCTs. What stands
/// `beside` it must be among these issuers, as the trusted root has them.
pub(super) fn verify(
    leaf: &Certificate,
    beside: &[Certificate],
    times: &[ProvenTime],
    root: &TrustedRoot,
    scts: usize,
    evidence: &mut Vec<Evidence>,
) -> Result<(), VerifyError> {
    let mut issuers: Vec<Certificate> = Vec::new();
    for time in times {
        let (authority, chain) = chain_at(leaf, time.unix, root)?;
        evidence.push(Evidence::CertificateChain {
            authority: authority.uri.clone(),
            at: time.unix,
        });
        if let Some(stray) = beside.iter().find(|certificate| !chain.contains(certificate)) {
            return Err(VerifyError::StrayCertificate(stray.subject_text()));
        }
        issuers.extend(chain.into_iter().nth(1));
    }
    if scts > 0 {
        let issuer = issuers.first().ok_or(VerifyError::NoTime)?;
        verify_scts(leaf, issuer, root, scts, evidence)?;
    }
    Ok(())
}

fn chain_at<'r>(
    leaf: &Certificate,
    at: u64,
    root: &'r TrustedRoot,
) -> Result<(&'r CertificateAuthority, Vec<Certificate>), VerifyError> {
    let mut cause = None;
    for authority in &root.certificate_authorities {
        if !timestamp::in_window(authority.valid_for, at) {
            continue;
        }
        let certificates = timestamp::certificates(authority)?;
        let Some((anchor, intermediates)) = certificates.split_last() else {
            continue;
        };
        let roots = std::slice::from_ref(anchor);
        let options = VerifyOptions {
            intermediates,
            roots,
            at,
            purpose: Some(oid::CODE_SIGNING),
        };
        match verify_chain(leaf, &options) {
            // A leaf that is itself an anchor was issued by nobody.
            Ok(chain) if chain.len() > 1 => return Ok((authority, chain)),
            Ok(_) => {}
            Err(error) => cause = Some(error),
        }
    }
    Err(VerifyError::Chain { at, cause })
}

/// RFC 6962 §3.2 over the certificate without its SCTs, by logs that were trusted when they promised. SCTs of logs the
/// trusted root does not know count for nothing; one of a known log that does not verify is an error.
fn verify_scts(
    leaf: &Certificate,
    issuer: &Certificate,
    root: &TrustedRoot,
    expected: usize,
    evidence: &mut Vec<Evidence>,
) -> Result<(), VerifyError> {
    let issuer_key = issuer
        .public_key()
        .map_err(|cause| VerifyError::TrustedRoot(cause.into()))?;
    let entry = precert_entry(leaf, issuer_key);
    let mut logs: Vec<[u8; 32]> = Vec::new();
    for sct in embedded_scts(leaf)? {
        let Some(log) = root.ctlogs.iter().find(|log| log.log_id.key_id == sct.log_id) else {
            continue;
        };
        let time = sct.timestamp.checked_div(1000).unwrap_or_default();
        if !timestamp::in_window(log.public_key.valid_for, time) {
            return Err(VerifyError::SctTime {
                log: hex::encode(sct.log_id),
                at: time,
            });
        }
        sct.verify(&entry, &log::key(log)?)?;
        if !logs.contains(&sct.log_id) {
            logs.push(sct.log_id);
        }
        evidence.push(Evidence::CertificateTimestamp {
            log: log.base_url.clone(),
            time,
        });
    }
    if logs.len() < expected {
        return Err(VerifyError::TooFewScts {
            expected,
            got: logs.len(),
        });
    }
    Ok(())
}

/// Compares subject and identity provider, without case folding.
pub(super) fn check_identity(
    certificate: &Certificate,
    subject: &Matcher,
    issuer: &Matcher,
    evidence: &mut Vec<Evidence>,
) -> Result<(), VerifyError> {
    let names = certificate
        .subject_alt_names()
        .map_err(VerifyError::Certificate)?;
    let names: Vec<String> = names.iter().map(|name| name.text()).collect();
    let Some(name) = names.iter().find(|name| subject.matches(name)) else {
        return Err(VerifyError::Subject {
            expected: subject.to_string(),
            got: names,
        });
    };
    // 1.3.6.1.4.1.57264.1.8 replaced .1.1, which held the same text undecorated (fulcio docs/oid-info.md).
    let got = certificate
        .sigstore_extension(8)
        .or_else(|| certificate.sigstore_extension(1));
    match got {
        Some(provider) if issuer.matches(&provider) => {
            evidence.push(Evidence::Identity {
                subject: name.clone(),
                issuer: provider,
            });
        }
        got => {
            return Err(VerifyError::Issuer {
                expected: issuer.to_string(),
                got,
            });
        }
    }
    Ok(())
}

/// GHSA-wqqc-jjcq-vfxm: a key's signatures count within its window only, so with a window there must be a time.
pub(super) fn check_key_window(
    key: &PublicKey,
    valid_for: ValidFor,
    times: &[ProvenTime],
    evidence: &mut Vec<Evidence>,
) -> Result<(), VerifyError> {
    let bounded = valid_for.start.is_some() || valid_for.end.is_some();
    if bounded && times.is_empty() {
        return Err(VerifyError::NoTime);
    }
    if let Some(time) = times
        .iter()
        .find(|time| !timestamp::in_window(valid_for, time.unix))
    {
        return Err(VerifyError::KeyWindow { at: time.unix });
    }
    evidence.push(Evidence::Key {
        fingerprint: hex::encode(key.fingerprint()),
    });
    Ok(())
}
