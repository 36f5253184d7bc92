#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use super::*;

#[test]
fn order_and_encoding_follow_the_arc() {
    let mut set = Extensions::default();
    set.set(Extension::Subject, "sub");
    set.set(Extension::GithubWorkflowRef, "refs/heads/ä");
    set.set_issuer("https://issuer");
    set.set(Extension::DeploymentEnvironment, "");
    let encoded = set.encode();
    let shown: Vec<_> = encoded
        .iter()
        .map(|one| {
            assert!(!one.critical);
            (one.oid.to_string(), one.value.clone())
        })
        .collect();
    let utf8 = |text: &str| [&[0x0c, text.len() as u8], text.as_bytes()].concat();
    assert_eq!(
        shown,
        [
            ("1.3.6.1.4.1.57264.1.1".to_owned(), b"https://issuer".to_vec()),
            (
                "1.3.6.1.4.1.57264.1.6".to_owned(),
                "refs/heads/ä".as_bytes().to_vec()
            ),
            ("1.3.6.1.4.1.57264.1.8".to_owned(), utf8("https://issuer")),
            ("1.3.6.1.4.1.57264.1.24".to_owned(), utf8("sub")),
        ]
    );
}

#[test]
fn long_values_use_the_long_length_form() {
    let mut set = Extensions::default();
    set.set(Extension::BuildSignerUri, &"u".repeat(300));
    let value = set.encode()[0].value.clone();
    assert_eq!(value[..4], [0x0c, 0x82, 0x01, 0x2c]);
}

#[test]
fn every_arc_makes_an_extension() {
    let all = [
        Extension::IssuerV1,
        Extension::GithubWorkflowTrigger,
        Extension::GithubWorkflowSha,
        Extension::GithubWorkflowName,
        Extension::GithubWorkflowRepository,
        Extension::GithubWorkflowRef,
        Extension::IssuerV2,
        Extension::BuildSignerUri,
        Extension::BuildSignerDigest,
        Extension::RunnerEnvironment,
        Extension::SourceRepositoryUri,
        Extension::SourceRepositoryDigest,
        Extension::SourceRepositoryRef,
        Extension::SourceRepositoryIdentifier,
        Extension::SourceRepositoryOwnerUri,
        Extension::SourceRepositoryOwnerIdentifier,
        Extension::BuildConfigUri,
        Extension::BuildConfigDigest,
        Extension::BuildTrigger,
        Extension::RunInvocationUri,
        Extension::SourceRepositoryVisibilityAtSigning,
        Extension::DeploymentEnvironment,
        Extension::Subject,
    ];
    let mut set = Extensions::default();
    all.iter().for_each(|one| set.set(*one, "x"));
    let arcs: Vec<_> = set
        .encode()
        .iter()
        .map(|one| one.oid.arcs().last().unwrap())
        .collect();
    let expected: Vec<_> = (1..=24).filter(|arc| *arc != 7).collect();
    assert_eq!(arcs, expected);
}
