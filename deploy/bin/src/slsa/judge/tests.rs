#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "tests"
)]

use std::path::PathBuf;

use clap::Parser;
use common_pki::key::{HashAlgorithm, sha256};

use super::*;

const PACKAGE: &str = "github.com/slsa-framework/example-package";
/// Provenance of the same empty artifact by two releases of one builder, for two tags.
const OLD: &str = "slsa/gha_container-based/v1.8.0/binary-linux-amd64-push-v14.2.intoto.jsonl";
const NEW: &str = "slsa/gha_container-based/v2.1.0/binary-linux-amd64-push-v13.0.30.intoto.build.slsa";
/// Of another artifact.
const ELSEWHERE: &str = "slsa/gha_delegator/v1.10.0/binary-linux-amd64-push-v14.build.slsa";
/// An envelope by itself.
const BARE: &str = "slsa/gha_generic/v1.9.0/binary-linux-amd64-workflow_dispatch.intoto.jsonl";

/// The recorded vectors, where they are beside the repository.
struct Recorded(PathBuf);

impl Recorded {
    fn find() -> Option<Self> {
        let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/vectors");
        if path.is_dir() {
            return Some(Self(path));
        }
        eprintln!("skipped: the recorded vectors are not beside this repository");
        None
    }

    /// Options that trust the public instance and know no log.
    fn args(&self, more: &[&str]) -> SlsaArgs {
        #[derive(Parser)]
        struct Line {
            #[command(flatten)]
            slsa: SlsaArgs,
        }
        let root = self.0.join("public-good/trusted_root.json");
        let line = ["verify", "--source-uri", PACKAGE, "--trusted-root"].map(str::to_owned);
        let root = root.to_str().unwrap().to_owned();
        let more = more.iter().map(|&text| text.to_owned());
        Line::try_parse_from(line.into_iter().chain([root]).chain(more))
            .unwrap()
            .slsa
    }

    /// A file with a line of each; what is not recorded is a line as it is.
    fn lines(&self, names: &[&str]) -> Attestations {
        let line =
            |name: &&str| std::fs::read(self.0.join(name)).unwrap_or_else(|_| name.as_bytes().to_vec());
        let lines: Vec<Vec<u8>> = names.iter().map(line).collect();
        Attestations::of_file(&lines.join(&b'\n'), Path::new("provenance.jsonl")).unwrap()
    }
}

/// The verdict about the empty artifact: the commit, or the exit code.
async fn verdict(session: &mut Session<'_>, mut attestations: Attestations) -> Result<String, Exit> {
    let held = Held::Digest(HashAlgorithm::Sha256, sha256(b"").to_vec());
    let from = Path::new("provenance.jsonl");
    let judged = session
        .judge("artifact", "app", &held, &mut attestations, from, |_| Ok(()))
        .await;
    judged
        .map(|passed| passed.found.commit)
        .map_err(|failure| failure.exit)
}

/// [`verdict`] on a run of its own, which is the same in either order.
async fn of_either_order(recorded: &Recorded, names: &[&str], more: &[&str]) -> Result<String, Exit> {
    let args = recorded.args(more);
    let backwards: Vec<&str> = names.iter().rev().copied().collect();
    let mut verdicts = Vec::new();
    for names in [names, backwards.as_slice()] {
        let mut session = Session::new(&args, Console::new()).await.unwrap();
        verdicts.push(verdict(&mut session, recorded.lines(names)).await);
    }
    assert_eq!(verdicts[0], verdicts[1], "{names:?}");
    verdicts.swap_remove(0)
}

#[tokio::test]
async fn what_cannot_be_judged_hides_nothing_that_can() {
    let Some(recorded) = Recorded::find() else {
        return;
    };
    let tag = ["--source-tag", "v13.0.30"];
    let all = ["{", "no JSON", ELSEWHERE, BARE, OLD, NEW];
    let passed = of_either_order(&recorded, &all, &tag).await.unwrap();
    assert_eq!(passed, "4d329c75e7ec1725f7c9ce917a8799d408d06be3");
    for (names, exit) in [
        (&["{", "no JSON"] as &[&str], Exit::Unverified),
        (&[BARE], Exit::NotLogged),
        (&[BARE, BARE, ELSEWHERE], Exit::NotLogged),
        (&[ELSEWHERE], Exit::OtherArtifact),
    ] {
        let refused = of_either_order(&recorded, names, &tag).await;
        assert_eq!(refused, Err(exit), "{names:?}");
    }
}

#[tokio::test]
async fn the_refusal_that_came_furthest_is_said() {
    let Some(recorded) = Recorded::find() else {
        return;
    };
    let wrong = ["--source-tag", "v9"];
    for names in [
        &[NEW, BARE] as &[&str],
        &[NEW, "no JSON"],
        &[NEW, ELSEWHERE, BARE],
    ] {
        let refused = of_either_order(&recorded, names, &wrong).await;
        assert_eq!(refused, Err(Exit::OtherReference), "{names:?}");
    }
    // By the builder that was asked for, and for another tag; the other is by another builder.
    let builder = "https://github.com/slsa-framework/slsa-github-generator/.github/workflows/builder_container-based_slsa3.yml@refs/tags/v1.8.0";
    let asked = ["--builder-id", builder, "--source-tag", "v13.0.30"];
    let refused = of_either_order(&recorded, &[OLD, NEW], &asked).await;
    assert_eq!(refused, Err(Exit::OtherReference));
}

#[tokio::test]
async fn all_artifacts_of_a_run_are_of_one_builder() {
    let Some(recorded) = Recorded::find() else {
        return;
    };
    let args = recorded.args(&[]);
    let mut session = Session::new(&args, Console::new()).await.unwrap();
    let first = verdict(&mut session, recorded.lines(&[NEW, "no JSON"]))
        .await
        .unwrap();
    let refused = verdict(&mut session, recorded.lines(&[OLD, "no JSON"])).await;
    assert_eq!(refused, Err(Exit::OtherBuilder));
    // Of two the one by the same builder counts.
    let again = verdict(&mut session, recorded.lines(&[OLD, NEW])).await;
    assert_eq!(again.as_ref(), Ok(&first));
}

/// An SBOM beside provenance is no answer to where the artifact is from.
#[test]
fn another_kind_of_statement_came_less_far_than_any_provenance() {
    let another = Refused::from(ProvenanceError::PredicateType(
        "https://cyclonedx.org/bom".to_owned(),
    ));
    assert!(another.at > Step::Search && another.at < Step::Reading);
    let elsewhere = VerifyError::NoSuchSubject {
        algorithm: "sha256",
        digest: String::new(),
    };
    assert_eq!(Refused::from(elsewhere).at, another.at);
    let ascending = [
        Refused::from(VerifyError::Signature),
        Refused::from(ProvenanceError::TooMany),
        Refused::from(SlsaError::Delegated(String::new())),
        Refused::from(SlsaError::BuildType(String::new())),
        Refused::from(SlsaError::Source {
            expected: String::new(),
            got: String::new(),
            place: "certificate",
        }),
        Refused::from(SlsaError::Reference {
            what: "tag",
            expected: String::new(),
            got: String::new(),
        }),
        Refused::from(SlsaError::Input {
            name: String::new(),
            expected: String::new(),
            got: None,
        }),
    ];
    assert!(ascending.iter().all(|refused| refused.at > Step::Reading));
    assert!(ascending.is_sorted_by(|one, next| one.at < next.at));
}

#[test]
fn who_is_not_trusted_can_be_named_where_that_helps() {
    let policy = Policy::built_in(&["https://known.example".to_owned()]);
    let said = |signer: &str, issuer: &str, can_be_named| {
        let error = SlsaError::Untrusted {
            signer: signer.to_owned(),
            issuer: issuer.to_owned(),
            builder: "own".to_owned(),
        };
        remedy(&error, &policy, can_be_named).unwrap()
    };
    let own = said("own", "https://known.example", true);
    assert!(
        own.contains("--builder-id") && !own.contains("--certificate-oidc-issuer"),
        "{own}"
    );
    let elsewhere = said("own", "https://other.example", true);
    assert!(
        elsewhere.contains("--builder-id") && elsewhere.contains("--certificate-oidc-issuer"),
        "{elsewhere}"
    );
    for policy_alone in [
        said("another", "https://known.example", true),
        said("own", "https://known.example", false),
    ] {
        assert!(
            policy_alone.contains("--policy") && !policy_alone.contains("--builder-id"),
            "{policy_alone}"
        );
    }
    assert_eq!(remedy(&SlsaError::Delegated(String::new()), &policy, true), None);
}
