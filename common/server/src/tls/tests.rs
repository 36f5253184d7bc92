#![allow(clippy::unwrap_used, reason = "tests")]

use rcgen::{CertificateParams, KeyPair};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsConnector;

use super::*;

fn certificate() -> (String, String) {
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    (certificate.self_signed(&key).unwrap().pem(), key.serialize_pem())
}

/// Whether a client that trusts `chain` alone gets through to the listener.
async fn trusted_by(chain: &str, identity: &Identity) -> bool {
    let mut roots = RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_slice(chain.as_bytes()).unwrap())
        .unwrap();
    let client = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let acceptor = identity.acceptor().unwrap();
    let server = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        if let Ok(mut stream) = acceptor.accept(stream).await {
            let _ = stream.write_all(b"x").await;
            let _ = stream.shutdown().await;
        }
    });
    let stream = TcpStream::connect(address).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    let connected = TlsConnector::from(Arc::new(client)).connect(name, stream).await;
    let through = match connected {
        Ok(mut stream) => stream.read_u8().await.is_ok(),
        Err(_) => false,
    };
    server.await.unwrap();
    through
}

#[tokio::test]
async fn a_certificate_is_exchanged_without_a_new_listener_and_a_bad_one_is_not() {
    let ((first, first_key), (second, second_key)) = (certificate(), certificate());
    let identity = Identity::new(&first, &first_key).unwrap();
    assert!(trusted_by(&first, &identity).await);
    for (chain, key) in [
        (&second, &first_key),
        (&"x".to_owned(), &first_key),
        (&second, &"x".to_owned()),
    ] {
        identity.exchange(chain, key).unwrap_err();
        assert!(trusted_by(&first, &identity).await, "the former one stays");
    }
    identity.exchange(&second, &second_key).unwrap();
    assert!(trusted_by(&second, &identity).await);
    assert!(!trusted_by(&first, &identity).await);
}
