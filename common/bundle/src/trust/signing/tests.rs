#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use super::*;
use crate::trust::testkit::{meaning, vector};

#[test]
fn the_public_signing_configurations_are_read_and_written_without_loss() {
    for file in ["signing_config.v0.2.json", "signing_config_rekor_v2.v0.2.json"] {
        let Some(json) = vector(&format!("public-good/{file}")) else {
            return;
        };
        let config = SigningConfig::parse(&json).unwrap();
        assert_eq!(config.tsa_config.unwrap().selector, Selector::Any);
        assert_eq!(
            meaning(config.to_json().unwrap().as_bytes()),
            meaning(&json),
            "{file}"
        );
    }
}

#[test]
fn both_make_a_client_trust_configuration() {
    let (Some(root), Some(config)) = (
        vector("public-good/trusted_root.json"),
        vector("public-good/signing_config.v0.2.json"),
    ) else {
        return;
    };
    let both = ClientTrustConfig {
        media_type: ClientTrustConfig::MEDIA_TYPE.to_owned(),
        trusted_root: TrustedRoot::parse(&root).unwrap(),
        signing_config: SigningConfig::parse(&config).unwrap(),
    };
    let json = both.to_json().unwrap();
    assert_eq!(ClientTrustConfig::parse(json.as_bytes()).unwrap(), both);
    let wrong = |from: &str, to: &str| ClientTrustConfig::parse(json.replacen(from, to, 1).as_bytes());
    for part in ["clienttrustconfig.v0.1", "trustedroot+json", "signingconfig.v0.2"] {
        assert!(
            matches!(wrong(part, "other"), Err(TrustError::MediaType { .. })),
            "{part}"
        );
    }
}

#[test]
fn selectors_keep_their_names() {
    let config = |json| serde_json::from_str::<ServiceConfiguration>(json);
    let exact = config(r#"{"selector":"EXACT","count":2}"#).unwrap();
    assert_eq!((exact.selector, exact.count), (Selector::Exact, Some(2)));
    assert_eq!(
        serde_json::to_string(&exact).unwrap(),
        r#"{"selector":"EXACT","count":2}"#
    );
    assert_eq!(config(r#"{"selector":"ALL"}"#).unwrap().selector, Selector::All);
    assert_eq!(config("{}").unwrap().selector, Selector::Undefined);
    assert!(config(r#"{"selector":"SOME"}"#).is_err());
}

#[test]
fn lists_are_bounded() {
    let service = r#"{"url":"u"},"#.repeat(MAX_INSTANCES);
    let json = format!(
        r#"{{"mediaType":"{}","oidcUrls":[{service}{{}}]}}"#,
        SigningConfig::MEDIA_TYPE
    );
    assert!(matches!(
        SigningConfig::parse(json.as_bytes()),
        Err(TrustError::TooMany { what: "oidcUrls", .. })
    ));
}
