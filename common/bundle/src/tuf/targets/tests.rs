#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use std::collections::BTreeMap;

use common_pki::cert::Certificate;

use super::*;
use crate::trust::{
    ClientTrustConfig, SigningConfig, TrustedRoot,
    testkit::{at, log, registry},
};

fn by_name(registry: &Registry) -> BTreeMap<String, Target> {
    published_targets(registry)
        .unwrap()
        .into_iter()
        .map(|target| (target.name.clone(), target))
        .collect()
}

#[test]
fn an_instance_publishes_what_old_and_new_clients_look_for() {
    let registry = registry();
    let targets = by_name(&registry);
    assert_eq!(
        targets.keys().collect::<Vec<_>>(),
        [
            "ctfe.pub",
            "fulcio_intermediate_v1.crt.pem",
            "fulcio_v1.crt.pem",
            "rekor.pub",
            "signing_config.v0.2.json",
            "signing_config_rekor_v2.v0.2.json",
            "trusted_root.json",
            "tsa_leaf.crt.pem",
            "tsa_root.crt.pem",
        ]
    );
    let root = TrustedRoot::parse(&targets["trusted_root.json"].bytes).unwrap();
    assert_eq!(root, registry.trusted_root().unwrap());
    let services = |name: &str| {
        let urls = SigningConfig::parse(&targets[name].bytes)
            .unwrap()
            .rekor_tlog_urls;
        urls.iter()
            .map(|service| service.major_api_version)
            .collect::<Vec<_>>()
    };
    assert_eq!(services("signing_config.v0.2.json"), [1]);
    assert_eq!(services("signing_config_rekor_v2.v0.2.json"), [2]);

    let chain = &registry.by_role(Role::FulcioCa)[0].cert_chain;
    for (name, der) in [
        ("fulcio_intermediate_v1.crt.pem", &chain[0]),
        ("fulcio_v1.crt.pem", &chain[1]),
    ] {
        let pem = String::from_utf8(targets[name].bytes.clone()).unwrap();
        assert_eq!(Certificate::from_pem(&pem).unwrap().to_der(), der, "{name}");
        assert_eq!(
            targets[name].custom,
            Some(
                json!({"sigstore": {"usage": "Fulcio", "status": "Active", "uri": "http://localhost:3000"}})
            )
        );
    }
    assert_eq!(
        targets["tsa_leaf.crt.pem"].custom.as_ref().unwrap()["sigstore"]["usage"],
        "TSA"
    );
    assert_eq!(targets["trusted_root.json"].custom, None);
    assert!(
        ClientTrustConfig::parse(
            registry
                .client_trust_config()
                .unwrap()
                .to_json()
                .unwrap()
                .as_bytes()
        )
        .is_ok()
    );
}

#[test]
fn a_retired_key_gives_its_name_to_its_successor() {
    let mut registry = registry();
    let old = registry
        .keys
        .iter_mut()
        .find(|record| record.role == Role::CtLog)
        .unwrap();
    old.valid_to = Some(at(10));
    let old_key = old.public_key().unwrap().to_pem();
    registry
        .add(log(Role::CtLog, "ct-2", "http://localhost:3000/ct2", 5))
        .unwrap();
    let targets = by_name(&registry);
    assert_eq!(targets["ct-1.ctfe.pub"].bytes, old_key.as_bytes());
    assert_eq!(
        targets["ct-1.ctfe.pub"].custom.as_ref().unwrap()["sigstore"]["status"],
        "Expired"
    );
    assert_eq!(
        targets["ctfe.pub"].custom.as_ref().unwrap()["sigstore"]["uri"],
        "http://localhost:3000/ct2"
    );
}

#[test]
fn only_versions_that_exist_have_a_configuration() {
    let mut registry = registry();
    registry.keys.retain(|record| record.role != Role::RekorV1);
    let targets = by_name(&registry);
    assert!(!targets.contains_key("rekor.pub"));
    // Clients look for the first file, whichever version there is.
    let config = |name: &str| targets[name].bytes.clone();
    assert_eq!(
        config("signing_config.v0.2.json"),
        config("signing_config_rekor_v2.v0.2.json")
    );
    // Signing needs a service that is not known yet.
    registry.keys.retain(|record| record.role != Role::Tsa);
    let targets = by_name(&registry);
    assert!(targets.contains_key("trusted_root.json"));
    assert!(!targets.keys().any(|name| name.starts_with("signing_config")));
}
