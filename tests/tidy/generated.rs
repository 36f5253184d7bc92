//! The Rust code of the gRPC services is committed, so that a build needs no protobuf compiler.

use std::path::Path;

use crate::{none, root};

/// A crate, where its code is, and of which files of its `proto` folder it is made: one file of code for each.
const CRATES: [(&str, &str, [&str; 4]); 2] = [
    (
        "fulcio/ca",
        "src/grpc/generated",
        [
            "fulcio.proto",
            "fulcio_legacy.proto",
            "httpbody.proto",
            "health.proto",
        ],
    ),
    (
        "rekor/api",
        "src/v2/grpc/generated",
        [
            "rekor_v2.proto",
            "sigstore_rekor.proto",
            "envelope.proto",
            "httpbody.proto",
        ],
    ),
];

/// Makes it again and compares. `SIGBOX_REGENERATE=1` writes it instead.
#[test]
fn generated_code_is_current() {
    let mut stale = Vec::new();
    for (name, code, files) in CRATES {
        let proto = root().join(name).join("proto");
        let committed = root().join(name).join(code);
        if std::env::var_os("SIGBOX_REGENERATE").is_some() {
            generate(&proto, &files, &committed);
            continue;
        }
        let fresh = tempfile::tempdir().unwrap();
        generate(&proto, &files, fresh.path());
        let mut compared = 0;
        for made in std::fs::read_dir(fresh.path()).unwrap() {
            let made = made.unwrap();
            let want = std::fs::read_to_string(made.path()).unwrap();
            let have = std::fs::read_to_string(committed.join(made.file_name())).unwrap_or_default();
            if want != have {
                stale.push(format!("{name}: {}", made.file_name().display()));
            }
            compared += 1;
        }
        assert_eq!(compared, files.len(), "{name}");
    }
    none(
        "code that is not what its protobuf files make: run this test with SIGBOX_REGENERATE=1",
        stale,
    );
}

fn generate(proto: &Path, files: &[&str], into: &Path) {
    let descriptors = protox::compile(files, [proto]).unwrap();
    tonic_prost_build::configure()
        .build_transport(false)
        .bytes(".")
        .out_dir(into)
        .compile_fds(descriptors)
        .unwrap();
}
