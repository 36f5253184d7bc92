#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

use super::*;
use crate::identity::{IdentityType, Proxy};

fn parse(text: &str) -> Result<Configuration, ConfigError> {
    Configuration::parse(text.as_bytes(), &|path| match path.to_str() {
        Some("keys.json") => Ok(
            br#"{"keys":[{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#
                .to_vec(),
        ),
        Some("empty.json") => Ok(br#"{"keys":[]}"#.to_vec()),
        _ => Err(io::ErrorKind::NotFound.into()),
    })
}

#[track_caller]
fn refused(text: &str, parts: &[&str]) {
    let cause = parse(text).expect_err(text).to_string();
    for part in parts {
        assert!(cause.contains(part), "expected {part:?} in {cause:?}");
    }
}

#[track_caller]
fn one(text: &str) -> IssuerConfig {
    parse(text)
        .unwrap_or_else(|cause| panic!("{text}: {cause}"))
        .issuers
        .remove(0)
}

#[test]
fn json_and_yaml_are_one() {
    let yaml = "
oidc-issuers:
  https://ci.example:
    issuer-url: https://ci.example
    client-id: sigstore
    type: ci-provider
    ci-provider: own
    challenge-claim: sub
ci-issuer-metadata:
  own:
    default-template-values: {url: https://ci.example, retry: 3, empty: ''}
    extension-templates:
      issuer: never
      github-workflow-sha: sha
      build-signer-uri: '{{ .url }}/{{ .job }}'
      build-trigger: ' '
    subject-alternative-name-template: '{{ .url }}/{{ .job }}'
";
    let json = r#"{"OIDCIssuers": {"https://ci.example": {"IssuerURL": "https://ci.example", "ClientID": "sigstore",
        "Type": "ci-provider", "CIProvider": "own", "ChallengeClaim": "sub"}},
        "CIIssuerMetadata": {"own": {"DefaultTemplateValues": {"url": "https://ci.example", "retry": "3", "empty": ""},
        "ExtensionTemplates": {"GithubWorkflowSHA": "sha", "BuildSignerURI": "{{ .url }}/{{ .job }}", "BuildTrigger": " "},
        "SubjectAlternativeNameTemplate": "{{ .url }}/{{ .job }}"}}}"#;
    let (yaml, json) = (one(yaml), one(json));
    assert_eq!(yaml.identity_type, json.identity_type);
    assert_eq!(format!("{yaml:?}"), format!("{json:?}"));
    // Names in JSON are read in any case, as Go does.
    let lower = r#"{"oidcissuers": {"https://a.example": {"clientid": "x", "type": "email"}}}"#;
    assert_eq!(one(lower).audiences, ["x"]);
}

/// The shape of upstream's own file: anchors in a member that is none of theirs, aliases also as names.
#[test]
fn anchors_and_aliases() {
    let text = "
define:
  - &kind own-job
oidc-issuers:
  https://a.example: {client-id: s, type: ci-provider, ci-provider: *kind}
ci-issuer-metadata:
  *kind :
    subject-alternative-name-template: '{{ .sub }}'
";
    let parsed = parse(text).unwrap();
    assert_eq!(parsed.warnings, ["define: unknown, and ignored"]);
    assert!(
        matches!(&parsed.issuers[0].identity_type, IdentityType::CiProvider(provider) if provider.name() == "own-job")
    );
    // As upstream's public file has it: to YAML 1.2 the colon would be part of the alias's name.
    let theirs = text.replace("*kind :", "*kind:");
    assert_ne!(theirs, text);
    assert_eq!(parse(&theirs).unwrap().issuers.len(), 1);
    assert_eq!(parse(&theirs.replace('\n', "\r\n")).unwrap().issuers.len(), 1);
    // Aliases within aliases stop at a budget.
    let mut bomb = "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n".to_owned();
    for n in 1..12 {
        let inside = vec![format!("*a{}", n - 1); 10].join(",");
        bomb.push_str(&format!("a{n}: &a{n} [{inside}]\n"));
    }
    refused(&bomb, &["expected JSON or YAML"]);
    refused(&"[".repeat(100_000), &["expected JSON or YAML"]);
    refused(&"a".repeat(2 << 20), &["expected at most 1048576 bytes"]);
}

#[test]
fn what_is_wrong_is_named() {
    let issuer = |rest: &str| format!("oidc-issuers:\n  https://a.example:\n    client-id: s\n    {rest}\n");
    refused("[1]", &["the file: expected a table, got a list"]);
    refused(
        "oidc-issuers: 3",
        &["oidc-issuers: expected a table, got a number"],
    );
    refused(
        "oidc-issuer: {}",
        &["oidc-issuer: expected a known key such as oidc-issuers, got an unknown one"],
    );
    refused("a: {", &["expected JSON or YAML"]);
    refused(
        &issuer("type: nonsense"),
        &["expected one of email, uri,", "got \"nonsense\""],
    );
    refused(&issuer("kind: email"), &["expected one of email", "got \"\""]);
    refused(&issuer("typ: email"), &["typ: expected a known key such as type"]);
    refused(
        &issuer("type: email\n    skip-email-verificaton: true"),
        &["such as skip-email-verification"],
    );
    refused(
        &issuer("type: email\n    skip-email-verification: perhaps"),
        &["expected true or false, got a text"],
    );
    refused(
        &issuer("type: email\n    issuer-url: https://b.example"),
        &["the same as the key", "https://b.example"],
    );
    refused(
        "oidc-issuers: {'http://a.example': {client-id: s, type: email}}",
        &["expected https, or http on loopback"],
    );
    refused(
        "oidc-issuers: {'https://a.example': {type: email}}",
        &["expected a client-id, got none"],
    );
    refused(
        "oidc-issuers: {'https://a.example': {client-id: [a], type: email}}",
        &["client-id: expected a text, got a list"],
    );
    refused(
        &issuer("type: uri\n    issuer-claim: $.a"),
        &["issuer-claim", "type email"],
    );
    refused(
        &issuer("type: email\n    issuer-claim: a.b"),
        &["expected a path such as $."],
    );
    refused(&issuer("type: spiffe"), &["spiffe-trust-domain"]);
    refused(
        &issuer("type: spiffe\n    spiffe-trust-domain: Example.org"),
        &["spiffe-trust-domain", "Example.org"],
    );
    refused(
        &issuer("type: uri"),
        &["subject-domain: expected scheme and host"],
    );
    refused(
        &issuer("type: uri\n    subject-domain: a.example"),
        &["scheme and host"],
    );
    refused(
        &issuer("type: uri\n    subject-domain: http://a.example"),
        &["the issuer's scheme \"https\""],
    );
    refused(
        &issuer("type: uri\n    subject-domain: https://b.test"),
        &["the same last two labels", "b.test"],
    );
    refused(
        &issuer("type: username\n    subject-domain: https://a.example"),
        &["host name without scheme"],
    );
    refused(
        &issuer("type: username\n    subject-domain: b.test"),
        &["the same last two labels"],
    );
    refused(&issuer("type: username"), &["subject-domain"]);
    refused(
        &issuer("type: ci-provider"),
        &["ci-provider: expected the name of a provider"],
    );
    refused(
        &issuer("type: ci-provider\n    ci-provider: travis"),
        &["a name from ci-issuer-metadata", "travis"],
    );
    refused(
        &issuer("type: email\n    ca-cert: nonsense"),
        &["ca-cert: expected certificates in PEM"],
    );
    refused(
        &issuer("type: email\n    ca-file: gone.pem"),
        &["ca-file: expected a file that can be read", "gone.pem"],
    );
    refused(
        &issuer("type: email\n    jwks-file: empty.json"),
        &["jwks-file: expected at least one"],
    );
    refused(
        &issuer("type: email\n    proxy: ftp://p"),
        &["proxy: expected none, environment"],
    );
    refused(
        &issuer("preset: jenkin"),
        &["preset: expected one of github,", "\"jenkin\""],
    );
    refused(
        "meta-issuers: {'https://a.example/*': {client-id: s, type: spiffe, spiffe-trust-domain: e}}",
        &["spiffe meta"],
    );
    refused(
        "meta-issuers: {'https://a.example/1': {client-id: s, type: email}}",
        &["expected a pattern with *"],
    );
    refused(
        "meta-issuers: {'https://*/x?y': {client-id: s, type: email}}",
        &["no query"],
    );
    refused(
        "ci-issuer-metadata: {a: {extension-templates: {build-trigger: x}}}",
        &["subject-alternative-name-template"],
    );
    refused(
        "ci-issuer-metadata: {a: {subject-alternative-name-template: x, extension-templates: {build-triger: x}}}",
        &["build-triger: expected a known key such as build-trigger"],
    );
}

#[test]
fn hosts_of_one_site() {
    for (kind, issuer, domain) in [
        ("uri", "https://accounts.example.com", "https://example.com"),
        ("uri", "https://accounts.example.com", "https://users.example.com"),
        ("uri", "http://localhost:8080", "http://localhost"),
        ("username", "https://accounts.example.com", "example.com"),
        ("username", "https://localhost", "localhost"),
    ] {
        let text = format!(
            "oidc-issuers: {{'{issuer}': {{client-id: s, type: {kind}, subject-domain: '{domain}'}}}}"
        );
        assert_eq!(one(&text).identity_type.subject_domain(), domain);
    }
}

#[test]
fn every_preset_is_complete() {
    for preset in &PRESETS {
        let meta = if preset.name == "circleci" { "meta" } else { "oidc" };
        let (key, more) = match preset.name {
            "circleci" => ("https://oidc.circleci.com/org/*", ""),
            "github-enterprise" => ("https://ghe.example/_services/token", ""),
            "forgejo" => ("https://forge.example/api/actions", ""),
            "spiffe" => ("https://spire.example", ", spiffe-trust-domain: prod.example"),
            "username" => ("https://id.example.com", ", subject-domain: example.com"),
            _ => (preset.issuer_url.unwrap_or("https://id.example"), ""),
        };
        let config = one(&format!(
            "{meta}-issuers: {{'{key}': {{preset: {}{more}}}}}",
            preset.name
        ));
        assert_eq!(
            config.identity_type.name(),
            preset.identity_type,
            "{}",
            preset.name
        );
        assert_eq!(config.audiences, ["sigstore"]);
        assert_eq!(config.issuer_url(), key);
        if let Some(url) = preset.issuer_url {
            let named = one(&format!("oidc-issuers: {{{0}: {{preset: {0}}}}}", preset.name));
            assert_eq!(named.issuer_url(), url, "everybody's needs no URL");
        }
    }
    // What is said comes before what a preset says.
    let text = "oidc-issuers: {'https://id.example': {preset: entra, client-id: own, skip-email-verification: false}}";
    let config = one(text);
    assert_eq!(config.audiences, ["own"]);
    assert!(!config.identity_type.skips_verification());
    refused(
        "meta-issuers: {'https://*.ghe.example/x': {preset: github-enterprise}}",
        &["preset: expected a host without *"],
    );
}

#[test]
fn our_own_keys() {
    let config = one("
oidc-issuers:
  https://a.example:
    type: email
    client-id: first
    audiences: [second, third]
    proxy: http://proxy.example:3128
    jwks-file: keys.json
");
    assert_eq!(config.audiences, ["first", "second", "third"]);
    assert_eq!(
        config.keys.proxy,
        Proxy::Url("http://proxy.example:3128".to_owned())
    );
    assert!(config.keys.jwks.is_some());
}

/// Behind a proxy nobody here sees what address a host has.
#[test]
fn a_host_that_a_token_chooses_is_not_asked_through_a_proxy() {
    let pattern = |more: &str| {
        format!(
            "meta-issuers: {{'https://*.clusters.example/id': {{type: kubernetes, client-id: sigstore{more}}}}}"
        )
    };
    for proxy in ["environment", "'http://proxy.example:3128'"] {
        refused(
            &pattern(&format!(", proxy: {proxy}")),
            &["proxy: expected none where tokens choose the host"],
        );
        parse(&pattern(&format!(
            ", proxy: {proxy}, allow-private-addresses: true"
        )))
        .unwrap();
        // Below a host that is written out, a token chooses a path.
        let below = format!(
            "meta-issuers: {{'https://clusters.example/id/*': {{type: kubernetes, client-id: sigstore, proxy: {proxy}}}}}"
        );
        parse(&below).unwrap();
    }
    parse(&pattern(", proxy: none")).unwrap();
    parse(&pattern("")).unwrap();
}

#[test]
fn policies() {
    let text = |policy: &str| format!("oidc-issuers: {{github: {{preset: github, policy: {policy}}}}}");
    let policy = one(&text(
        "{mode: dry-run, allow: [{name: main, claims: {repository_owner: acme, ref: [a, 'b*']}}]}",
    ))
    .policy;
    assert!(policy.dry_run && policy.deny.is_empty());
    let patterns = |at: usize| {
        policy.allow[0].claims[at]
            .1
            .iter()
            .map(|one| one.as_str().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(
        (policy.allow[0].name.as_str(), patterns(0), patterns(1)),
        ("main", vec!["a".into(), "b*".into()], vec!["acme".into()])
    );
    for (policy, part) in [
        ("{}", "expected rules under allow, deny or quotas, got none"),
        (
            "{alow: []}",
            "alow: expected one of mode, allow, deny, quotas, got an unknown key",
        ),
        ("{mode: off, allow: []}", "mode: expected enforce or dry-run"),
        ("{allow: {}}", "expected a list of tables, got a table"),
        ("{allow: [{claims: {}}]}", "expected at least one claim, got none"),
        (
            "{allow: [{claim: {a: b}}]}",
            "expected one of name, claims, got an unknown key",
        ),
        ("{allow: [{claims: {a: []}}]}", "at least one pattern"),
        ("{deny: [{claims: {a: {b: c}}}]}", "expected texts, got a table"),
    ] {
        refused(&text(policy), &[part]);
    }
}

#[test]
fn quotas_are_read_completely_or_not_at_all() {
    let text =
        |quota: &str| format!("oidc-issuers: {{github: {{preset: github, policy: {{quotas: [{quota}]}}}}}}");
    let policy = one(&text("{per: repository, certificates: 100, every: 1h}, {name: people, per: identity, certificates: 5, every: 30s}")).policy;
    let shown = format!("{:?}", policy.quotas);
    assert!(
        shown.contains("\"quota per repository\"") && shown.contains("100 certificates in 3600 s"),
        "{shown}"
    );
    assert!(
        shown.contains("\"people\", Identity, 5 certificates in 30 s"),
        "{shown}"
    );
    let full = |key: &str, value: &str| {
        let all = [("per", "repository"), ("certificates", "1"), ("every", "1h")];
        let all = all.map(|(name, usual)| format!("{name}: {}", if name == key { value } else { usual }));
        format!("{{{}}}", all.join(", "))
    };
    for (quota, part) in [
        (
            full("per", "''"),
            "expected the name of a claim, or identity, got none",
        ),
        (
            full("certificates", "0"),
            "expected a number from 1 to 1000000, got \"0\"",
        ),
        (full("certificates", "1000001"), "got \"1000001\""),
        (full("certificates", "-1"), "got \"-1\""),
        (full("every", "1w"), "expected a time such as 30s"),
        (full("every", "0s"), "got \"0s\""),
        (full("every", "32d"), "got \"32d\""),
        (full("every", "''"), "got \"\""),
        (
            "{per: a, certificates: 1, every: 1h, limit: 3}".to_owned(),
            "an unknown key",
        ),
        (vec![full("", ""); 9].join(", "), "expected at most 8, got 9"),
    ] {
        refused(&text(&quota), &[part]);
    }
}

#[test]
fn privacy_is_read_completely_or_not_at_all() {
    let text = |privacy: &str| format!("oidc-issuers: {{github: {{preset: github, privacy: {privacy}}}}}");
    assert_eq!(one("oidc-issuers: {github: {preset: github}}").privacy, None);
    let privacy = one(&text(
        "{pseudonym: true, extensions: [source-repository-digest, subject]}",
    ))
    .privacy;
    let shown = format!("{privacy:?}");
    assert!(
        shown.contains("Pseudonym") && shown.contains("SourceRepositoryDigest") && shown.contains("Subject"),
        "{shown}"
    );
    for (privacy, part) in [
        ("{}", "expected a list where the name stays as it is, got none"),
        (
            "{pseudonym: false}",
            "expected a list where the name stays as it is",
        ),
        ("{pseudonim: true}", "an unknown key"),
        ("{pseudonym: yes please}", "expected true or false"),
        (
            "{pseudonym: true, subject-alternative-name-template: x}",
            "expected it or a pseudonym, got both",
        ),
        (
            "{subject-alternative-name-template: '{{ .a'}",
            "expected a template",
        ),
        ("{extensions: [sha]}", "expected some of github-workflow-trigger"),
        ("{extensions: [issuer]}", "got \"issuer\""),
    ] {
        refused(&text(privacy), &[part]);
    }
}
