//! Recorded provenance whose log entry only the public log has: all that can be verified without it is.

use std::fs;

use crate::format::{BareEnvelope, MediaType};
use crate::slsa::{self, Asked, Provenance, Workload};

use super::super::*;
use super::{ISSUER, vectors};

const GENERIC: &str = "slsa/gha_generic/v1.9.0/binary-linux-amd64-workflow_dispatch.intoto.jsonl";
const BUILDER: &str = "https://github.com/slsa-framework/slsa-github-generator/.github/workflows/generator_generic_slsa3.yml@refs/tags/v1.9.0";

#[test]
fn an_envelope_with_its_certificate_lacks_nothing_but_its_log_entry() {
    let Some(all) = vectors() else { return };
    let root = fs::read(all.join("public-good/trusted_root.json")).unwrap();
    let root = TrustedRoot::parse(&root).unwrap();
    let bare = BareEnvelope::from_json(&fs::read(all.join(GENERIC)).unwrap()).unwrap();
    let certificate = Certificate::chain_from_pem(&bare.certificate.unwrap(), 1)
        .unwrap()
        .remove(0);

    // Issued by the public authority and promised by a public certificate log, at the time that the certificate itself says.
    let issued = ProvenTime {
        source: TimeSource::Log,
        unix: certificate.not_before(),
    };
    let mut evidence = Vec::new();
    signer::verify(&certificate, &[], &[issued], &root, 1, &mut evidence).unwrap();
    signer::check_identity(
        &certificate,
        &Matcher::Exact(BUILDER.to_owned()),
        &Matcher::Exact(ISSUER.to_owned()),
        &mut evidence,
    )
    .unwrap();
    let made: Vec<&str> = evidence.iter().map(Evidence::check).collect();
    assert_eq!(made, ["certificate-chain", "certificate-timestamp", "identity"]);

    // Its key signed the envelope.
    let bundle = Bundle {
        media_type: MediaType::V03,
        key_material: KeyMaterial::Certificates(vec![certificate.to_der().to_vec()]),
        tlog_entries: Vec::new(),
        timestamps: Vec::new(),
        content: Content::Dsse(bare.envelope.clone()),
    };
    let key = certificate.public_key().unwrap();
    let signed = artifact::Signed::new(&bundle, Artifact::Statement, key, Some(&certificate)).unwrap();
    signed.verify(&mut Vec::new()).unwrap();

    // What it says is what the certificate says, and what the generator may say.
    let provenance = Provenance::parse(&bare.envelope.payload).unwrap();
    let workload = Workload::of(&certificate).unwrap();
    let asked = Asked {
        source: "github.com/slsa-framework/example-package".to_owned(),
        branch: Some("main".to_owned()),
        builder: Some(BUILDER.to_owned()),
        ..Asked::default()
    };
    let found = slsa::check(
        &provenance,
        &workload,
        &asked,
        &slsa::Policy::built_in(&[ISSUER.to_owned()]),
    );
    assert_eq!(found.unwrap().commit, "2bcaa7495e1cbd11fbd4f598d857b3a6f18df933");

    // And that is not enough.
    let policy = Policy::matching(Matcher::Any, Matcher::Any);
    let missing = verify(&bundle, Artifact::Statement, &root, &policy).unwrap_err();
    assert!(
        matches!(missing, VerifyError::TooFewEntries { expected: 1, got: 0 }),
        "{missing}"
    );
}
