//! TLS for `up`: a certificate authority of this data folder, and a certificate for this start.
//!
//! The authority stays (`tls/ca.pem` is what clients are told to trust); the server certificate is made anew at each
//! start and its key never touches the disk, so there is nothing to renew and nothing to leak.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use common_pki::cert::{CertError, Certificate};
use common_pki::oid;
use common_server::tls::{TlsError, acceptor};
use rcgen::{
    BasicConstraints, CertificateParams, CidrSubnet, DistinguishedName, DnType, ExtendedKeyUsagePurpose,
    GeneralSubtree, IsCa, Issuer, KeyPair, KeyUsagePurpose, NameConstraints, PKCS_ECDSA_P256_SHA256,
    PublicKeyData, SanType,
};
use tokio_rustls::TlsAcceptor;

use crate::disk::{self, FileError};
use crate::layout::Layout;

const DAY: Duration = Duration::from_secs(24 * 3600);
/// Clocks of containers and virtual machines differ a little.
const BACKDATE: Duration = Duration::from_secs(600);
/// The end of the authority is announced this long before.
const NOTICE: Duration = Duration::from_secs(90 * 24 * 3600);

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
    /// A certificate just made is not one.
    #[error("cannot make a TLS certificate: {0}")]
    Made(#[from] CertError),
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
    let authority = Authority::open(layout, host, now)?;
    let (certificate, key) = authority.server_certificate(host, now)?;
    Ok(acceptor(&certificate.pem(), &key.serialize_pem())?)
}

/// The authority of the data folder.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    not_after: SystemTime,
}

impl Authority {
    /// The stored one; a new one where its key is missing.
    fn open(layout: &Layout, host: &str, now: SystemTime) -> Result<Authority, LocalTlsError> {
        let (key_path, certificate_path) = (layout.tls_authority_key(), layout.tls_authority());
        let key = match disk::read(&key_path)? {
            Some(pem) => parse_key(&key_path, &pem)?,
            None => {
                let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
                disk::create_folder(&layout.tls())?;
                disk::write(&key_path, key.serialize_pem().as_bytes())?;
                // An older certificate belongs to a key that is lost.
                write_authority(&certificate_path, &key, host, now)?;
                key
            }
        };
        let stored = match disk::read(&certificate_path)? {
            Some(pem) => pem,
            None => write_authority(&certificate_path, &key, host, now)?,
        };
        let wrong = |reason: String| LocalTlsError::Stored {
            path: certificate_path.display().to_string(),
            reason,
        };
        let stored = str::from_utf8(&stored)
            .ok()
            .and_then(|pem| Certificate::from_pem(pem).ok())
            .ok_or_else(|| wrong("expected a PEM CERTIFICATE".to_owned()))?;
        if stored.spki_der() != key.subject_public_key_info() {
            return Err(wrong("it is not the certificate of ca.key.pem".to_owned()));
        }
        let not_after = UNIX_EPOCH
            .checked_add(Duration::from_secs(stored.not_after()))
            .unwrap_or(now);
        match not_after.duration_since(now).unwrap_or_default() {
            Duration::ZERO => return Err(wrong("the authority has expired".to_owned())),
            left if left < NOTICE => tracing::warn!(
                days = left.as_secs() / 86_400,
                path = %certificate_path.display(),
                "the local TLS authority is near its end: remove the tls folder before the next start to get a new one, and \
                 hand its ca.pem to your clients"
            ),
            _ => {}
        }
        let limits = |certificate: &Certificate| {
            let extension = certificate.extension(&oid::NAME_CONSTRAINTS);
            extension.map(|extension| extension.value.clone())
        };
        match limits(&stored) {
            None => tracing::warn!(
                path = %certificate_path.display(),
                "the local TLS authority can certify any name: remove the tls folder before the next start to get one that \
                 cannot, and hand its ca.pem to your clients"
            ),
            found
                if found
                    == limits(&Certificate::from_der(
                        authority(host, now).self_signed(&key)?.der(),
                    )?) => {}
            Some(_) => {
                return Err(wrong(format!(
                    "the authority is for other names than loopback and {host}"
                )));
            }
        }
        Ok(Authority {
            issuer: Issuer::new(authority(host, now), key),
            not_after,
        })
    }

    /// A certificate for loopback and `host`, and its key.
    fn server_certificate(
        &self,
        host: &str,
        now: SystemTime,
    ) -> Result<(rcgen::Certificate, KeyPair), LocalTlsError> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let mut leaf = CertificateParams::default();
        leaf.distinguished_name = name("sigbox");
        leaf.subject_alt_names = vec![
            SanType::DnsName("localhost".try_into()?),
            SanType::IpAddress(Ipv4Addr::LOCALHOST.into()),
            SanType::IpAddress(Ipv6Addr::LOCALHOST.into()),
        ];
        leaf.subject_alt_names.extend(match further(host) {
            Some(Host::Address(address)) => Some(SanType::IpAddress(address)),
            Some(Host::Name(name)) => Some(SanType::DnsName(name.try_into()?)),
            None => None,
        });
        leaf.not_before = now.checked_sub(BACKDATE).unwrap_or(now).into();
        // The longest Apple's platforms accept from a locally added authority; past the authority's own end nobody does.
        let wanted = now.checked_add(DAY.saturating_mul(825)).unwrap_or(now);
        leaf.not_after = wanted.min(self.not_after).into();
        leaf.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        leaf.use_authority_key_identifier_extension = true;
        Ok((leaf.signed_by(&key, &self.issuer)?, key))
    }
}

fn parse_key(path: &Path, pem: &[u8]) -> Result<KeyPair, LocalTlsError> {
    let wrong = |reason: String| LocalTlsError::Stored {
        path: path.display().to_string(),
        reason,
    };
    let text = std::str::from_utf8(pem).map_err(|_| wrong("expected PEM text".to_owned()))?;
    KeyPair::from_pem(text).map_err(|error| wrong(format!("expected a PEM PRIVATE KEY: {error}")))
}

fn write_authority(
    path: &Path,
    key: &KeyPair,
    host: &str,
    now: SystemTime,
) -> Result<Vec<u8>, LocalTlsError> {
    let pem = authority(host, now).self_signed(key)?.pem().into_bytes();
    disk::write(path, &pem)?;
    Ok(pem)
}

/// The authority's parameters. Name and key identifier, all that a certificate under it refers to, are the same at
/// every start.
///
/// Its key lies in a folder, and its certificate among the roots of people's machines: it is limited to the names it is
/// needed for (RFC 5280 §4.2.1.10), so that whoever takes the key cannot be anybody else.
fn authority(host: &str, now: SystemTime) -> CertificateParams {
    let mut ca = CertificateParams::default();
    ca.distinguished_name = name("sigbox local TLS authority");
    ca.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    ca.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    ca.not_before = now.checked_sub(BACKDATE).unwrap_or(now).into();
    ca.not_after = now.checked_add(DAY.saturating_mul(3_650)).unwrap_or(now).into();
    let alone = |address: IpAddr| {
        let bits = if address.is_ipv4() { 32 } else { 128 };
        GeneralSubtree::IpAddress(CidrSubnet::from_addr_prefix(address, bits))
    };
    let mut permitted = vec![
        GeneralSubtree::DnsName("localhost".to_owned()),
        GeneralSubtree::IpAddress(CidrSubnet::from_v4_prefix([127, 0, 0, 0], 8)),
        alone(Ipv6Addr::LOCALHOST.into()),
    ];
    permitted.extend(further(host).map(|host| match host {
        Host::Address(address) => alone(address),
        Host::Name(name) => GeneralSubtree::DnsName(name.to_owned()),
    }));
    ca.name_constraints = Some(NameConstraints {
        permitted_subtrees: permitted,
        excluded_subtrees: Vec::new(),
    });
    ca
}

/// The public host where it is not loopback.
enum Host<'a> {
    Address(IpAddr),
    Name(&'a str),
}

fn further(host: &str) -> Option<Host<'_>> {
    match host.trim_matches(['[', ']']).parse::<IpAddr>() {
        Ok(address) => (!address.is_loopback()).then_some(Host::Address(address)),
        Err(_) => (host != "localhost").then_some(Host::Name(host)),
    }
}

fn name(common: &str) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, common);
    name
}

#[cfg(test)]
mod tests;
