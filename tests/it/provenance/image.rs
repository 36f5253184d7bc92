//! Provenance of an image, from its registry.

use std::collections::HashMap;

use common_pki::key::sha256;
use tests::clients::Cosign;
use tests::http::{Response, serve};

use super::*;
use crate::images::Registry;

#[test]
fn an_image_is_verified_by_what_is_attached_to_it() {
    let ci = Ci::start();
    let stack = &ci.instance;
    let (registry, cosign) = (Registry::serve(), Cosign::initialize(stack));
    let said = stack.file("predicate.json", predicate(BUILDER).to_string());
    let attest = |image: &str, more: &[&str]| {
        let mut command = cosign.command();
        command.args(["attest", "--yes", "--identity-token", &ci.token(BUILDER)]);
        command.args(["--type", "slsaprovenance02", "--predicate"]);
        ok(command.arg(&said).args(more).arg(image));
    };
    let verify = |image: &str, more: &[&str]| run(ci.asks("verify-image", SOURCE).arg(image).args(more));
    let tag = ["--source-tag", TAG];

    let url = stack.ready.url.as_str();
    for (name, how) in [
        ("referrer", &[] as &[&str]),
        // The tag `.att` of older versions.
        (
            "tagged",
            &[
                "--new-bundle-format=false",
                "--use-signing-config=false",
                "--fulcio-url",
                url,
                "--rekor-url",
                url,
            ],
        ),
    ] {
        let image = registry.push(stack.work.path(), name, name);
        let none = verify(&image, &tag);
        assert_eq!(none.code, Some(10), "{}", none.text());
        assert!(none.stderr.contains("no attestation"), "{}", none.stderr);
        attest(&image, how);
        let passed = verify(&image, &tag);
        assert_eq!(passed.code, Some(0), "{}\n{}", passed.line, passed.text());
        assert!(
            passed.stderr.contains("PASSED: SLSA verification passed") && passed.stderr.contains(COMMIT),
            "{}",
            passed.stderr
        );
        refused(&verify(&image, &["--source-tag", "v0"]), 15, "tag: expected");
        refused(
            &verify(&image, &["--builder-id", "https://example.com/b"]),
            16,
            "builder: expected",
        );
    }
    let tagged = verify(&format!("{}/app:1", url.replace("http://", "")), &tag);
    assert_eq!(tagged.code, Some(2), "{}", tagged.text());
}

/// What a registry has, by path.
#[derive(Default)]
struct Content(HashMap<String, Vec<u8>>);

impl Content {
    /// Keeps content under its digest; a descriptor of it.
    fn keep(&mut self, kind: &str, media_type: &str, content: Vec<u8>) -> Value {
        let digest = format!("sha256:{}", hex::encode(sha256(&content)));
        let descriptor = json!({ "mediaType": media_type, "digest": digest, "size": content.len() });
        self.0.insert(format!("/v2/app/{kind}/{digest}"), content);
        descriptor
    }
}

/// An image in a registry of the story's own, with bundles that refer to it and envelopes under its older tag.
fn attached(digest: &str, bundles: &[&str], envelopes: &[&str]) -> String {
    const BUNDLE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";
    const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
    let mut content = Content::default();
    let mut referrers = Vec::new();
    for bundle in bundles {
        let layer = content.keep("blobs", BUNDLE, bundle.as_bytes().to_vec());
        let manifest = json!({ "mediaType": MANIFEST, "artifactType": BUNDLE, "layers": [layer] });
        let mut descriptor = content.keep("manifests", MANIFEST, manifest.to_string().into_bytes());
        descriptor["artifactType"] = BUNDLE.into();
        referrers.push(descriptor);
    }
    let mut layers = Vec::new();
    for envelope in envelopes {
        layers.push(content.keep(
            "blobs",
            "application/vnd.dsse.envelope.v1+json",
            envelope.as_bytes().to_vec(),
        ));
    }
    for (path, document) in [
        (
            format!("referrers/sha256:{digest}"),
            json!({ "manifests": referrers }),
        ),
        (
            format!("manifests/sha256-{digest}.att"),
            json!({ "layers": layers }),
        ),
    ] {
        content
            .0
            .insert(format!("/v2/app/{path}"), document.to_string().into_bytes());
    }
    let url = serve(move |request| match content.0.get(&request.path) {
        Some(body) => Response {
            status: 200,
            body: body.clone(),
            ..Response::default()
        },
        None => Response::status(404),
    });
    format!("{}/app@sha256:{digest}", url.replace("http://", ""))
}

/// SBOMs, attestations of other keys and those that were never logged hang beside provenance.
#[test]
fn an_attestation_that_does_not_count_hides_none_that_does() {
    const SBOM: &str = "https://cyclonedx.org/bom";
    let ci = Ci::start();
    let stack = &ci.instance;
    let digest = hex::encode(sha256(b"the manifest of an image"));
    let statement = |kind: &str, predicate: &Value| {
        json!({
            "_type": "https://in-toto.io/Statement/v0.1", "predicateType": kind, "predicate": predicate,
            "subject": [{ "name": "app", "digest": { "sha256": digest } }],
        })
    };
    let attest = |kind: &str, predicate: &Value| {
        let file = stack.file("statement.json", statement(kind, predicate).to_string());
        let bundle = stack.path("attested.json");
        let mut command = Command::new(sigbox());
        command.args(["attest", "--url", &stack.ready.url]);
        command.args(["--identity-token", &ci.token(BUILDER), "--statement"]);
        ok(command.arg(file).arg("--bundle").arg(&bundle));
        std::fs::read_to_string(bundle).unwrap()
    };
    let provenance = attest("https://slsa.dev/provenance/v0.2", &predicate(BUILDER));
    let sbom = attest(SBOM, &json!({}));
    let unlogged = json!({
        "payloadType": "application/vnd.in-toto+json",
        "payload": BASE64_STANDARD.encode(statement(SBOM, &json!({ "unlogged": true })).to_string()),
        "signatures": [{ "sig": "MAYCAQECAQE=" }],
    })
    .to_string();
    let (provenance, sbom, unlogged) = (provenance.as_str(), sbom.as_str(), unlogged.as_str());
    let verify = |bundles: &[&str], envelopes: &[&str], more: &[&str]| {
        let image = attached(&digest, bundles, envelopes);
        run(ci.asks("verify-image", SOURCE).arg(image).args(more))
    };
    let trusted = stack.ready.trust_dir.join("trusted_root.json");
    let offline = ["--trusted-root", trusted.to_str().unwrap()];
    let dead = ["--rekor-url", "http://127.0.0.1:1"];

    // The log is asked about an envelope only once nothing else passes.
    for more in [&[] as &[&str], &offline, &dead] {
        let passed = verify(&[provenance], &[unlogged, "no envelope"], more);
        assert_eq!(passed.code, Some(0), "{}\n{}", passed.line, passed.text());
    }
    let alone = |more: &[&str]| verify(&[], &[unlogged], more);
    refused(&alone(&[]), 13, "no matching rekor entries");
    refused(&alone(&offline), 13, "no log entry: expected one");
    refused(&alone(&dead), 1, "does not answer");

    // Of several that do not pass, the one that came furthest says why.
    for bundles in [[provenance, sbom], [sbom, provenance]] {
        let passed = verify(&bundles, &[], &["--source-tag", TAG]);
        assert_eq!(passed.code, Some(0), "{}\n{}", passed.line, passed.text());
        let wrong = verify(&bundles, &[unlogged], &["--source-tag", "v0"]);
        refused(&wrong, 15, "tag: expected");
    }
    refused(&verify(&[sbom], &[], &[]), 17, "expected a predicate");
}
