//! TLS for `up`: a certificate authority of this data folder, and a certificate for this start.
//!
//! The authority stays (`tls/ca.pem` is what clients are told to trust); the server certificate is made anew at each
//! start and its key never touches the disk, so there is nothing to renew and nothing to leak.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;
use std::time::{Duration, SystemTime};

use common_server::tls::{TlsError, acceptor};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, SanType,
};
use tokio_rustls::TlsAcceptor;

use crate::disk::{self, FileError};
use crate::layout::Layout;

const DAY: Duration = Duration::from_secs(24 * 3600);
/// Clocks of containers and virtual machines differ a little.
const BACKDATE: Duration = Duration::from_secs(600);

/// The local TLS material could not be made or used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LocalTlsError {
    /// A file could not be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// The stored authority is not one.
    #[error(
        "{path}: {reason}; remove the tls folder to get a new authority, and hand its ca.pem to your clients again"
    )]
    Stored {
        /// The file.
        path: String,
        /// What is wrong.
        reason: String,
    },
    /// Making a certificate failed.
    #[error("cannot make a TLS certificate: {0}")]
    Make(#[from] rcgen::Error),
    /// The certificate cannot serve.
    #[error(transparent)]
    Serve(#[from] TlsError),
}

/// An acceptor with a certificate for loopback and `host`, under the authority in `layout`.
///
/// # Errors
/// [`LocalTlsError`].
pub(crate) fn prepare(layout: &Layout, host: &str, now: SystemTime) -> Result<TlsAcceptor, LocalTlsError> {
    let key = authority_key(layout, now)?;
    let issuer = Issuer::new(authority(now), key);
    let leaf_key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
    let mut leaf = CertificateParams::default();
    leaf.distinguished_name = name("sigbox");
    leaf.subject_alt_names = vec![
        SanType::DnsName("localhost".try_into()?),
        SanType::IpAddress(Ipv4Addr::LOCALHOST.into()),
        SanType::IpAddress(Ipv6Addr::LOCALHOST.into()),
    ];
    match host.trim_matches(['[', ']']).parse::<IpAddr>() {
        Ok(address) if !address.is_loopback() => leaf.subject_alt_names.push(SanType::IpAddress(address)),
        Err(_) if host != "localhost" => leaf.subject_alt_names.push(SanType::DnsName(host.try_into()?)),
        _ => {}
    }
    leaf.not_before = now.checked_sub(BACKDATE).unwrap_or(now).into();
    // The longest Apple's platforms accept from a locally added authority.
    leaf.not_after = now.checked_add(DAY.saturating_mul(825)).unwrap_or(now).into();
    leaf.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    leaf.use_authority_key_identifier_extension = true;
    let certificate = leaf.signed_by(&leaf_key, &issuer)?;
    Ok(acceptor(&certificate.pem(), &leaf_key.serialize_pem())?)
}

/// The authority's key; a new authority when there is none. The key is written first: a certificate without its key,
/// after a power cut in between, would be of no use, while a key without certificate is simply certified.
fn authority_key(layout: &Layout, now: SystemTime) -> Result<KeyPair, LocalTlsError> {
    let (key_path, certificate_path) = (layout.tls_authority_key(), layout.tls_authority());
    let key = match disk::read(&key_path)? {
        Some(pem) => parse_key(&key_path, &pem)?,
        None => {
            let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
            disk::create_folder(&layout.tls())?;
            disk::write(&key_path, key.serialize_pem().as_bytes())?;
            // An older certificate belongs to a key that is lost.
            write_authority(&certificate_path, &key, now)?;
            key
        }
    };
    if disk::read(&certificate_path)?.is_none() {
        write_authority(&certificate_path, &key, now)?;
    }
    Ok(key)
}

fn parse_key(path: &Path, pem: &[u8]) -> Result<KeyPair, LocalTlsError> {
    let wrong = |reason: String| LocalTlsError::Stored {
        path: path.display().to_string(),
        reason,
    };
    let text = std::str::from_utf8(pem).map_err(|_| wrong("expected PEM text".to_owned()))?;
    KeyPair::from_pem(text).map_err(|error| wrong(format!("expected a PEM PRIVATE KEY: {error}")))
}

fn write_authority(path: &Path, key: &KeyPair, now: SystemTime) -> Result<(), LocalTlsError> {
    let certificate = authority(now).self_signed(key)?;
    Ok(disk::write(path, certificate.pem().as_bytes())?)
}

/// The authority's parameters. Name and key identifier, all that a certificate under it refers to, are the same at
/// every start.
fn authority(now: SystemTime) -> CertificateParams {
    let mut ca = CertificateParams::default();
    ca.distinguished_name = name("sigbox local TLS authority");
    ca.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    ca.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    ca.not_before = now.checked_sub(BACKDATE).unwrap_or(now).into();
    ca.not_after = now.checked_add(DAY.saturating_mul(3_650)).unwrap_or(now).into();
    ca
}

fn name(common: &str) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, common);
    name
}

#[cfg(test)]
mod tests;
