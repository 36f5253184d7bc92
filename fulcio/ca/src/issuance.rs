//! From a principal and a proven key to a certificate: first as a precertificate, then, with the log's
//! timestamp in it, for good.
//!
//! Profile: fulcio `docs/certificate-specification.md`, `pkg/ca/common.go`, `pkg/ca/baseca`. Nothing leaves
//! that was not checked again as a client will check it.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use common_pki::cert::{Certificate, Serial, TbsCertificate, empty_name, ext};
use common_pki::key::PublicKey;
use common_pki::{oid, sct};

use crate::chain::CaChain;
use crate::ct::{CtError, CtLog};
use crate::error::Error;
use crate::identity::claims::rfc3339;
use crate::identity::principal::Principal;
use crate::lint;

/// How long a certificate is valid: ten minutes, to the second, from the moment it is asked for.
pub(crate) const VALIDITY: Duration = Duration::from_secs(600);

/// A signed precertificate with everything that its certificate needs, one snapshot of chain and key included.
pub(crate) struct Precertificate {
    chain: Arc<CaChain>,
    tbs: TbsCertificate,
    signed: Certificate,
}

impl Precertificate {
    /// Builds, lints and signs. Heavy, and waits where the key does.
    pub(crate) fn sign(
        chain: Arc<CaChain>,
        principal: &Principal,
        key: &PublicKey,
        now: SystemTime,
    ) -> Result<Self, Error> {
        let tbs = profile(&chain, principal, key, now)?;
        within_the_chain(&chain, &tbs)?;
        lint::check(&tbs, &chain).map_err(|rule| Error::Backend(format!("lint: {rule}")))?;
        let signed = tbs.sign_precertificate(chain.signer())?;
        Ok(Self { chain, tbs, signed })
    }

    pub(crate) fn der(&self) -> &[u8] {
        self.signed.to_der()
    }

    pub(crate) fn chain(&self) -> &CaChain {
        &self.chain
    }

    /// Signs the certificate with the log's timestamp embedded, checks it, and answers the chain in PEM. Heavy.
    pub(crate) fn finish(&self, timestamp: &[u8], log: &dyn CtLog) -> Result<Vec<String>, Error> {
        let parsed = sct::Sct::from_bytes(timestamp).map_err(|cause| Error::Log(cause.to_string()))?;
        let log_key = log
            .public_key(&parsed.log_id)
            .ok_or_else(|| Error::Log("timestamp of a log that is not configured".to_owned()))?;
        let scts = [timestamp.to_vec()];
        let certificate = self.tbs.sign_with_scts(self.chain.signer(), &scts)?;
        self.check(&certificate, &log_key)?;
        let mut chain = Vec::with_capacity(self.chain.pem().len().saturating_add(1));
        chain.push(certificate.to_pem().trim_end().to_owned());
        chain.extend_from_slice(self.chain.pem());
        Ok(chain)
    }

    /// What a client will check, before it gets the chance.
    fn check(&self, certificate: &Certificate, log_key: &PublicKey) -> Result<(), Error> {
        // RFC 6962 §3.2: the timestamp covers the certificate without the list that carries it, so one that differs from
        // its precertificate in anything else does not pass.
        let issuer = self.chain.key();
        sct::verify_embedded(certificate, issuer, log_key).map_err(|cause| Error::Log(cause.to_string()))?;
        certificate.verify_signature(issuer).map_err(backend)
    }
}

/// Near the chain's end nothing is wrong with the request or with what was built: the operator has to act, and the
/// client should know that asking again will not help. The log hears of it before.
fn within_the_chain(chain: &CaChain, tbs: &TbsCertificate) -> Result<(), Error> {
    chain.warn_of_the_end(tbs.not_before);
    if tbs.not_before >= chain.not_before() && tbs.not_after <= chain.not_after() {
        return Ok(());
    }
    let text = |seconds: u64| rfc3339(seconds as f64);
    Err(Error::Validity {
        expected: format!("{} to {}", text(tbs.not_before), text(tbs.not_after)),
        got: format!("{} to {}", text(chain.not_before()), text(chain.not_after())),
    })
}

/// Extension order is part of the profile: rebuilding the logged bytes depends on it.
fn profile(
    chain: &CaChain,
    principal: &Principal,
    key: &PublicKey,
    now: SystemTime,
) -> Result<TbsCertificate, Error> {
    let mut random = [0; 20];
    aws_lc_rs::rand::fill(&mut random).map_err(backend)?;
    let not_before = now.duration_since(UNIX_EPOCH).map_err(backend)?.as_secs();
    let name = principal.subject.to_extension().ok_or_else(|| {
        // Principals are checked when they are made; one that is not ASCII cannot get here.
        Error::Backend("the subject cannot be encoded".to_owned())
    })?;
    let mut extensions = vec![
        ext::digital_signature(),
        ext::extended_key_usage(&oid::CODE_SIGNING, false),
        ext::subject_key_identifier(key),
        ext::authority_key_identifier(chain.key_identifier()),
        name,
    ];
    extensions.extend(principal.extensions.encode());
    Ok(TbsCertificate {
        serial: Serial::from_random(random),
        issuer: chain.issuer().subject_der().to_vec(),
        not_before,
        not_after: not_before.saturating_add(VALIDITY.as_secs()),
        subject: empty_name(),
        key: key.clone(),
        extensions,
    })
}

fn backend(cause: impl std::fmt::Display) -> Error {
    Error::Backend(cause.to_string())
}

/// The log's failures, as they are told.
pub(crate) fn ct_error(cause: CtError) -> Error {
    match cause {
        CtError::Unavailable(_) => Error::LogUnavailable(cause.to_string()),
        CtError::Refused(_) => Error::Log(cause.to_string()),
    }
}
