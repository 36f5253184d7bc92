//! SCTs inside certificates: the list extension, and what the log signed before it was there.

use der::asn1::OctetStringRef;

use super::wire::{self, Reader};
use super::{Sct, SctError, SignedEntry};
use crate::cert::ext::extensions_der;
use crate::cert::{Certificate, Extension};
use crate::key::PublicKey;
use crate::{asn1, oid};

/// Most SCTs read from one certificate.
const MAX_SCTS: usize = 32;

/// The extension that embeds SCTs (RFC 6962 §3.3): extnValue holds an OCTET STRING, which holds a list of
/// 16-bit total length, of SCTs each with a 16-bit length.
pub fn list_extension(scts: &[Vec<u8>]) -> Result<Extension, SctError> {
    let mut items = Vec::new();
    for sct in scts {
        wire::put_u16(&mut items, sct, "SCT")?;
    }
    let mut list = Vec::new();
    wire::put_u16(&mut list, &items, "list of SCTs")?;
    Ok(Extension {
        oid: oid::SCT_LIST,
        critical: false,
        value: asn1::octet_string(&list),
    })
}

/// The SCTs in a certificate, in order; none where the extension is absent. An SCT that does not parse, or
/// an empty one, is an error, as in every Sigstore client.
pub fn embedded_scts(cert: &Certificate) -> Result<Vec<Sct>, SctError> {
    let Some(extension) = cert.extension(&oid::SCT_LIST) else {
        return Ok(Vec::new());
    };
    let list: &OctetStringRef =
        asn1::decode(&extension.value).map_err(|_| SctError::Malformed("SCT list extension"))?;
    let mut outer = Reader::new(list.as_bytes(), "SCT list");
    let mut items = Reader::new(outer.u16_slice()?, "SCT list");
    outer.finish()?;
    let mut scts = Vec::new();
    while !items.is_empty() {
        if scts.len() >= MAX_SCTS {
            return Err(SctError::TooLong("list of SCTs"));
        }
        scts.push(Sct::from_bytes(items.u16_slice()?)?);
    }
    Ok(scts)
}

/// True for a precertificate. A poison that is not critical or not NULL is an error (RFC 6962 §3.1).
pub fn is_precertificate(cert: &Certificate) -> Result<bool, SctError> {
    match cert.extension(&oid::CT_POISON) {
        None => Ok(false),
        Some(poison) if !poison.critical => Err(SctError::Precertificate("poison is not critical")),
        Some(poison) if poison.value != asn1::NULL => Err(SctError::Precertificate("poison is not NULL")),
        Some(_) => Ok(true),
    }
}

/// The TBSCertificate without poison and without list of SCTs: the same octets for a precertificate and for
/// the certificate issued from it (RFC 6962 §3.2). Nothing else is re-encoded.
pub(crate) fn precert_tbs(cert: &Certificate) -> Vec<u8> {
    let kept = cert
        .extensions()
        .iter()
        .filter(|ext| ext.oid != oid::CT_POISON && ext.oid != oid::SCT_LIST);
    asn1::sequence(&[cert.tbs_head(), &extensions_der(kept)])
}

/// The log entry of a precertificate, or of the final certificate made from it.
pub fn precert_entry(cert: &Certificate, issuer: &PublicKey) -> SignedEntry {
    SignedEntry::Precert {
        issuer_key_hash: issuer.fingerprint(),
        tbs: precert_tbs(cert),
    }
}

/// Verifies that the log with `log_key` promised to include `cert`, issued by `issuer`, and returns its SCT. Whether the
/// log was trusted at the SCT's time is for the caller to say.
///
/// Where a certificate holds several SCTs of that log, the first must verify.
pub fn verify_embedded(cert: &Certificate, issuer: &PublicKey, log_key: &PublicKey) -> Result<Sct, SctError> {
    let scts = embedded_scts(cert)?;
    if scts.is_empty() {
        return Err(SctError::NoSct);
    }
    let log_id = log_key.fingerprint();
    let sct = scts
        .into_iter()
        .find(|sct| sct.log_id == log_id)
        .ok_or(SctError::OtherLog)?;
    sct.verify(&precert_entry(cert, issuer), log_key)?;
    Ok(sct)
}
