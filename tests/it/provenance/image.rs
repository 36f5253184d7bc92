//! Provenance of an image, from its registry.

use tests::clients::Cosign;

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
