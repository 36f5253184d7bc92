//! RFC 3161 timestamps over the signature.

use std::time::{Duration, SystemTime};

use common_pki::cert::Certificate;
use common_pki::tsp::{self, TimestampTrust, TspError};

use super::VerifyError;
use super::evidence::{Evidence, ProvenTime, TimeSource};
use crate::trust::{CertificateAuthority, TrustedRoot, ValidFor};

/// Verifies each timestamp against each authority: one must vouch for it. Two of one authority count once
/// (`sigstore-go pkg/verify/tsa.go`); at least `expected` authorities must vouch.
pub(super) fn verify(
    timestamps: &[Vec<u8>],
    signature: &[u8],
    root: &TrustedRoot,
    expected: usize,
    evidence: &mut Vec<Evidence>,
) -> Result<Vec<ProvenTime>, VerifyError> {
    let mut times = Vec::new();
    let mut authorities: Vec<&str> = Vec::new();
    for (position, response) in (1..).zip(timestamps) {
        let (authority, time) =
            by_any(response, signature, root)?.map_err(|why| VerifyError::Timestamp { position, why })?;
        times.push(ProvenTime {
            source: TimeSource::Authority,
            unix: time,
        });
        if !authorities.contains(&authority.uri.as_str()) {
            authorities.push(&authority.uri);
        }
        evidence.push(Evidence::Timestamp {
            authority: authority.uri.clone(),
            time,
        });
    }
    let got = authorities.len();
    if got < expected {
        return Err(VerifyError::TooFewTimes { expected, got });
    }
    Ok(times)
}

/// The first authority under which a timestamp holds, or why it does not under any.
fn by_any<'r>(
    response: &[u8],
    signature: &[u8],
    root: &'r TrustedRoot,
) -> Result<Result<(&'r CertificateAuthority, u64), String>, VerifyError> {
    let mut why = "no timestamp authority is trusted".to_owned();
    for authority in &root.timestamp_authorities {
        let certificates = certificates(authority)?;
        match by_one(response, signature, &certificates) {
            Ok(time) if in_window(authority.valid_for, time) => return Ok(Ok((authority, time))),
            Ok(time) => why = format!("of {time}, when {} was not trusted", authority.uri),
            Err(cause) => why = cause.to_string(),
        }
    }
    Ok(Err(why))
}

/// The time of a timestamp, its chain verified at that same time: authorities' certificates expire, timestamps do not.
fn by_one(response: &[u8], signature: &[u8], certificates: &[Certificate]) -> Result<u64, TspError> {
    let Some((anchor, below)) = certificates.split_last() else {
        return Err(TspError::UnknownSigner);
    };
    // A trusted root lists the authority's own certificate first, unless it leaves it to the timestamp to carry it.
    let (leaf, intermediates) = match below.split_first() {
        Some((first, rest)) if !first.is_ca() => (Some(first), rest),
        _ => (None, below),
    };
    let trust = TimestampTrust {
        leaf,
        intermediates,
        roots: std::slice::from_ref(anchor),
    };
    Ok(tsp::verify(response, signature, &trust)?.info.time)
}

pub(super) fn certificates(authority: &CertificateAuthority) -> Result<Vec<Certificate>, VerifyError> {
    let chain = authority.cert_chain.certificates.iter();
    chain
        .map(|certificate| Certificate::from_der(&certificate.raw_bytes))
        .collect::<Result<_, _>>()
        .map_err(VerifyError::TrustedRoot)
}

/// Both ends belong to the window (`sigstore_common.proto TimeRange`).
pub(super) fn in_window(window: ValidFor, unix: u64) -> bool {
    SystemTime::UNIX_EPOCH
        .checked_add(Duration::from_secs(unix))
        .is_some_and(|time| window.contains(time))
}
