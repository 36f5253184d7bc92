#![allow(
    clippy::arithmetic_side_effects,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "tests"
)]

use common_pki::key::PublicKey;

use super::*;
use crate::trust::{
    Timestamp,
    testkit::{at, authority, log as log_record, meaning, registry, vector},
};

/// The registry that the public instance would have, taken from the trusted root it publishes.
fn public_registry(published: &TrustedRoot) -> Registry {
    let mut registry = Registry::new("sigstore.dev", "https://oauth2.sigstore.dev/auth");
    let mut number = 0;
    let mut add = |role, spki: &[u8], url: &str, window: ValidFor, chain: Vec<Vec<u8>>| {
        number += 1;
        let key = PublicKey::from_spki_der(spki).unwrap();
        let origin = url.trim_start_matches("https://");
        let start = window.start.unwrap();
        let mut record = KeyRecord::new(role, format!("key-{number}"), &key, url, origin, start).unwrap();
        record.valid_to = window.end;
        record.cert_chain = chain;
        registry.add(record).unwrap();
    };
    for log in &published.tlogs {
        let role = if log.public_key.key_details == "PKIX_ED25519" {
            Role::RekorV2
        } else {
            Role::RekorV1
        };
        add(
            role,
            &log.public_key.raw_bytes,
            &log.base_url,
            log.public_key.valid_for,
            Vec::new(),
        );
    }
    for log in &published.ctlogs {
        add(
            Role::CtLog,
            &log.public_key.raw_bytes,
            &log.base_url,
            log.public_key.valid_for,
            Vec::new(),
        );
    }
    for (role, authorities) in [
        (Role::FulcioCa, &published.certificate_authorities),
        (Role::Tsa, &published.timestamp_authorities),
    ] {
        for authority in authorities {
            let chain: Vec<_> = authority
                .cert_chain
                .certificates
                .iter()
                .map(|cert| cert.raw_bytes.clone())
                .collect();
            let spki = Certificate::from_der(&chain[0]).unwrap().spki_der().to_vec();
            add(role, &spki, &authority.uri, authority.valid_for, chain);
        }
    }
    registry
}

#[test]
fn the_public_trusted_root_is_a_function_of_its_keys() {
    let Some(json) = vector("public-good/trusted_root.json") else {
        return;
    };
    let generated = public_registry(&TrustedRoot::parse(&json).unwrap())
        .trusted_root()
        .unwrap();
    assert_eq!(meaning(generated.to_json().unwrap().as_bytes()), meaning(&json));
}

#[test]
fn the_public_signing_configuration_has_the_same_shape() {
    let (Some(root), Some(published)) = (
        vector("public-good/trusted_root.json"),
        vector("public-good/signing_config.v0.2.json"),
    ) else {
        return;
    };
    let registry = public_registry(&TrustedRoot::parse(&root).unwrap());
    let mut generated = registry.signing_config(RekorVersions::V1Only).unwrap();
    let mut published = SigningConfig::parse(&published).unwrap();
    // When a service opened was decided by hand there; here it follows from its first key.
    for config in [&mut generated, &mut published] {
        for service in config
            .ca_urls
            .iter_mut()
            .chain(&mut config.oidc_urls)
            .chain(&mut config.tsa_urls)
        {
            service.valid_for.start = None;
        }
    }
    assert_eq!(generated, published);
}

#[test]
fn nothing_that_breaks_clients_is_written() {
    let registry = registry();
    let json = registry.trusted_root().unwrap().to_json().unwrap();
    for member in ["checkpointKeyId", "\"operator\"", "null"] {
        assert!(!json.contains(member), "{member} in {json}");
    }
    let root = TrustedRoot::parse(json.as_bytes()).unwrap();
    assert_eq!(
        root.tlogs[0].log_id.key_id,
        registry.by_role(Role::RekorV1)[0].log_id
    );
    assert_eq!(root.tlogs.len(), 2);
    let subject = &root.timestamp_authorities[0].subject;
    assert_eq!(
        (subject.organization.as_str(), subject.common_name.as_str()),
        ("example.org", "example timestamp root")
    );
}

#[test]
fn clients_that_prefer_versions_and_clients_that_prefer_dates_agree() {
    let mut registry = registry();
    let config = registry.client_trust_config().unwrap();
    assert_eq!(
        ClientTrustConfig::parse(config.to_json().unwrap().as_bytes()).unwrap(),
        config
    );
    let both = config.signing_config.rekor_tlog_urls;
    assert_eq!(
        both.iter()
            .map(|service| service.major_api_version)
            .collect::<Vec<_>>(),
        [2, 1]
    );
    assert_eq!(
        both[0].valid_for.start,
        Some(at(1)),
        "made later than the v1 log of the same second"
    );
    assert_eq!(both[1].valid_for.start, Some(at(0)));

    registry
        .add(log_record(
            Role::RekorV1,
            "rekor-v1-other",
            "http://localhost:4000",
            50,
        ))
        .unwrap();
    let both = registry
        .signing_config(RekorVersions::Both)
        .unwrap()
        .rekor_tlog_urls;
    let starts: Vec<_> = both
        .iter()
        .map(|service| service.valid_for.start.unwrap())
        .collect();
    assert_eq!(starts, [at(51), at(50), at(0)]);
    let only = |versions| registry.signing_config(versions).unwrap().rekor_tlog_urls;
    assert_eq!(only(RekorVersions::V2Only)[0].valid_for.start, Some(at(0)));
    assert!(
        only(RekorVersions::V1Only)
            .iter()
            .all(|service| service.major_api_version == 1)
    );
}

#[test]
fn keys_behind_one_url_are_one_service() {
    let mut registry = registry();
    let url = registry.by_role(Role::FulcioCa)[0].url.clone();
    registry.keys[0].valid_to = Some(at(1_000));
    registry
        .add(authority(Role::FulcioCa, "fulcio-2", &url, 900))
        .unwrap();
    let window = |registry: &Registry| {
        let services = registry.signing_config(RekorVersions::V1Only).unwrap().ca_urls;
        assert_eq!(services.len(), 1);
        services[0].valid_for
    };
    assert_eq!(window(&registry), ValidFor::new(at(0), None));
    registry.keys.last_mut().unwrap().valid_to = Some(at(2_000));
    let none = registry.signing_config(RekorVersions::V1Only).unwrap_err();
    assert!(
        matches!(none, TrustError::MissingRole(Role::FulcioCa)),
        "nobody issues: {none}"
    );
    // The trusted root keeps them apart, oldest first.
    let authorities = registry.trusted_root().unwrap().certificate_authorities;
    let ends: Vec<Option<Timestamp>> = authorities
        .iter()
        .map(|authority| authority.valid_for.end)
        .collect();
    assert_eq!(ends, [Some(at(1_000)), Some(at(2_000))]);
}

#[test]
fn an_authority_without_a_full_name_is_refused() {
    use crate::trust::testkit::nameless_authority;
    for (organization, common_name) in [("example.org", ""), ("", "root"), ("", "")] {
        let mut registry = registry();
        registry
            .add(nameless_authority(organization, common_name))
            .unwrap();
        let error = registry.trusted_root().unwrap_err();
        assert!(
            matches!(
                error,
                TrustError::Record {
                    problem: RecordProblem::Subject,
                    ..
                }
            ),
            "{error}"
        );
    }
}

#[test]
fn what_is_missing_is_named() {
    let without = |role| {
        let mut registry = registry();
        registry.keys.retain(|record| record.role != role);
        registry
    };
    let missing = |role, versions| match without(role).signing_config(versions) {
        Err(TrustError::MissingRole(missing)) => missing,
        other => unreachable!("{other:?}"),
    };
    for role in [Role::RekorV1, Role::Tsa, Role::FulcioCa] {
        assert_eq!(missing(role, RekorVersions::V1Only), role);
    }
    assert_eq!(missing(Role::RekorV2, RekorVersions::V2Only), Role::RekorV2);
    assert!(without(Role::RekorV1).signing_config(RekorVersions::Both).is_ok());
}

#[test]
fn a_successor_is_trusted_before_it_is_listed_and_its_forerunner_after() {
    use crate::trust::Succession;
    let mut registry = registry();
    let before = registry.clone();
    let mut next = log_record(
        Role::RekorV2,
        "rekor-v2-2",
        "http://rekor-v2-2.localhost:3000",
        60,
    );
    next.service_url = "http://localhost:3000".to_owned();
    next.successor = Some(Succession {
        propagation: 10,
        published: Some(at(60)),
    });
    registry.add(next).unwrap();
    let logs = |registry: &Registry| registry.trusted_root().unwrap().tlogs;
    let writers = |registry: &Registry| {
        let services = registry
            .signing_config(RekorVersions::V2Only)
            .unwrap()
            .rekor_tlog_urls;
        services
            .into_iter()
            .map(|service| service.url)
            .collect::<Vec<_>>()
    };
    assert_eq!(logs(&registry).len(), logs(&before).len() + 1);
    assert_eq!(writers(&registry), writers(&before), "nobody is sent there yet");
    let (successor, step) = registry.successor(Role::RekorV2).unwrap();
    assert_eq!((successor.id.as_str(), step.due()), ("rekor-v2-2", Some(at(70))));
    assert_eq!(
        registry.in_use(Role::RekorV2).unwrap().id,
        before.by_role(Role::RekorV2)[0].id
    );
    let again = Registry::parse(registry.to_json().unwrap().as_bytes()).unwrap();
    assert_eq!(again, registry);

    registry.take_over(Role::RekorV2, at(80));
    assert_eq!(registry.in_use(Role::RekorV2).unwrap().id, "rekor-v2-2");
    assert_eq!(writers(&registry), ["http://localhost:3000"]);
    let old = logs(&registry).into_iter().find(|log| {
        log.base_url == before.by_role(Role::RekorV2)[0].url && log.public_key.key_details == "PKIX_ED25519"
    });
    assert_eq!(old.unwrap().public_key.valid_for.end, Some(at(80)));
    let done = registry.clone();
    registry.take_over(Role::RekorV2, at(90));
    assert_eq!(registry, done, "once");
}
