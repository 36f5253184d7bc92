#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;

#[test]
fn a_package_is_of_its_source_however_that_is_written() {
    let issuers = [GITHUB_ISSUER.to_owned()];
    for source in [
        "github.com/o/r",
        "github.com/o/r/",
        "github.com/o/r.git",
        "https://github.com/o/r.git/",
        "git+https://github.com/o/r/",
    ] {
        let policy = Policy::npm(source, &issuers);
        let signer = &policy.builders.first().unwrap().signer.name;
        assert!(
            signer.matches("https://github.com/o/r/.github/workflows/release.yml@refs/heads/main"),
            "{source}: {signer}"
        );
        for other in [
            "https://github.com/o/r2/.github/workflows/release.yml@refs/heads/main",
            "https://github.com/o/r//.github/workflows/release.yml@refs/heads/main",
            "https://github.com/o/r/workflows/release.yml@refs/heads/main",
        ] {
            assert!(!signer.matches(other), "{source}: {other}");
        }
    }
}
