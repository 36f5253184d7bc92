#![allow(clippy::unwrap_used, clippy::arithmetic_side_effects, reason = "tests")]

use std::sync::Arc;

use rustls::RootCertStore;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};

use super::*;

fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000)
}

fn layout(folder: &tempfile::TempDir) -> Layout {
    let layout = Layout::new(folder.path().join("data"));
    disk::create_folder(layout.root()).unwrap();
    layout
}

#[test]
fn the_authority_stays_over_restarts() {
    let folder = tempfile::tempdir().unwrap();
    let layout = layout(&folder);
    prepare(&layout, "localhost", now()).unwrap();
    let first = std::fs::read(layout.tls_authority()).unwrap();
    prepare(&layout, "localhost", now() + DAY).unwrap();
    assert_eq!(std::fs::read(layout.tls_authority()).unwrap(), first);
    let error = prepare(&layout, "sigstore.internal", now()).err().unwrap();
    assert!(error.to_string().contains("other names"), "{error}");
}

/// What a TLS client that trusts `ca.pem` says to the certificate of `host` under it.
fn client_accepts(layout: &Layout, authority: &Authority, host: &str, now: SystemTime) -> bool {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut roots = RootCertStore::empty();
    let pem = std::fs::read(layout.tls_authority()).unwrap();
    roots.add(CertificateDer::from_pem_slice(&pem).unwrap()).unwrap();
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider)
        .build()
        .unwrap();
    let (certificate, _) = authority.server_certificate(host, now).unwrap();
    let at = UnixTime::since_unix_epoch(now.duration_since(UNIX_EPOCH).unwrap());
    let name = ServerName::try_from(host).unwrap();
    verifier
        .verify_server_cert(certificate.der(), &[], &name, &[], at)
        .is_ok()
}

#[test]
fn the_authority_certifies_loopback_and_the_public_host_alone() {
    for (public, permitted, refused) in [
        (
            "localhost",
            vec!["localhost", "127.0.0.1", "::1"],
            vec!["evil.example", "192.0.2.1", "::2", "localhost.example"],
        ),
        (
            "sigstore.internal",
            vec!["localhost", "sigstore.internal"],
            vec!["internal", "other.internal", "192.0.2.1"],
        ),
        (
            "192.0.2.1",
            vec!["127.0.0.1", "192.0.2.1"],
            vec!["192.0.2.2", "sigstore.internal", "2001:db8::1"],
        ),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let layout = layout(&folder);
        let authority = Authority::open(&layout, public, now()).unwrap();
        for host in permitted {
            assert!(
                client_accepts(&layout, &authority, host, now()),
                "{public}: {host}"
            );
        }
        for host in refused {
            assert!(
                !client_accepts(&layout, &authority, host, now()),
                "{public}: {host}"
            );
        }
    }
}

#[test]
fn no_certificate_outlives_the_authority() {
    let folder = tempfile::tempdir().unwrap();
    let layout = layout(&folder);
    let authority = Authority::open(&layout, "localhost", now()).unwrap();
    for (age, days) in [(0, 825), (3_650 - 825, 825), (3_649, 1)] {
        let at = now() + DAY * age;
        let (certificate, _) = authority.server_certificate("localhost", at).unwrap();
        let leaf = Certificate::from_der(certificate.der()).unwrap();
        let end = at.duration_since(UNIX_EPOCH).unwrap() + DAY * days;
        assert_eq!(leaf.not_after(), end.as_secs(), "after {age} days");
    }
    assert!(Authority::open(&layout, "localhost", now() + DAY * 3_649).is_ok());
    let error = Authority::open(&layout, "localhost", now() + DAY * 3_650)
        .err()
        .unwrap()
        .to_string();
    assert!(error.contains("expired") && error.contains("remove"), "{error}");
}

/// Made before authorities were limited: clients trust it, so it goes on, with a warning.
#[test]
fn an_authority_without_limits_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let layout = layout(&folder);
    disk::create_folder(&layout.tls()).unwrap();
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
    let mut unlimited = authority("localhost", now());
    unlimited.name_constraints = None;
    let pem = unlimited.self_signed(&key).unwrap().pem();
    disk::write(&layout.tls_authority_key(), key.serialize_pem().as_bytes()).unwrap();
    disk::write(&layout.tls_authority(), pem.as_bytes()).unwrap();
    let authority = Authority::open(&layout, "localhost", now()).unwrap();
    assert!(client_accepts(&layout, &authority, "localhost", now()));
    assert_eq!(std::fs::read(layout.tls_authority()).unwrap(), pem.as_bytes());
}

#[test]
fn a_certificate_of_another_key_is_refused() {
    let (folder, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (layout, other) = (layout(&folder), layout(&other));
    prepare(&layout, "localhost", now()).unwrap();
    prepare(&other, "localhost", now()).unwrap();
    std::fs::copy(other.tls_authority(), layout.tls_authority()).unwrap();
    let error = prepare(&layout, "localhost", now()).err().unwrap();
    assert!(error.to_string().contains("ca.key.pem"), "{error}");
}

#[test]
fn a_power_cut_between_key_and_certificate_is_repaired() {
    let folder = tempfile::tempdir().unwrap();
    let layout = layout(&folder);
    prepare(&layout, "127.0.0.1", now()).unwrap();
    let key = std::fs::read(layout.tls_authority_key()).unwrap();
    std::fs::remove_file(layout.tls_authority()).unwrap();
    prepare(&layout, "127.0.0.1", now()).unwrap();
    assert_eq!(std::fs::read(layout.tls_authority_key()).unwrap(), key);
    assert!(layout.tls_authority().exists());
}

#[test]
fn a_lost_key_makes_a_new_authority() {
    let folder = tempfile::tempdir().unwrap();
    let layout = layout(&folder);
    prepare(&layout, "localhost", now()).unwrap();
    let before = std::fs::read(layout.tls_authority()).unwrap();
    std::fs::remove_file(layout.tls_authority_key()).unwrap();
    prepare(&layout, "localhost", now()).unwrap();
    assert_ne!(std::fs::read(layout.tls_authority()).unwrap(), before);
}

#[test]
fn a_damaged_key_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let layout = layout(&folder);
    disk::create_folder(&layout.tls()).unwrap();
    disk::write(&layout.tls_authority_key(), b"nonsense").unwrap();
    let error = prepare(&layout, "localhost", now()).err().unwrap().to_string();
    assert!(
        error.contains("ca.key.pem") && error.contains("remove"),
        "{error}"
    );
}
