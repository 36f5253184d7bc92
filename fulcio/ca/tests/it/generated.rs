//! The Rust code under `src/grpc/generated` is committed, so that a build needs no protobuf compiler,
//! and this test makes it again from `proto/` and compares. `SIGBOX_REGENERATE=1` writes it instead.
use std::path::Path;

const FILES: [&str; 4] = [
    "fulcio.proto",
    "fulcio_legacy.proto",
    "httpbody.proto",
    "health.proto",
];

fn generate(into: &Path) {
    let proto = Path::new(env!("CARGO_MANIFEST_DIR")).join("proto");
    let descriptors = protox::compile(FILES, [&proto]).unwrap();
    tonic_prost_build::configure()
        .build_transport(false)
        .bytes(".")
        .out_dir(into)
        .compile_fds(descriptors)
        .unwrap();
}

#[test]
fn generated_code_is_current() {
    let committed = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/grpc/generated");
    if std::env::var_os("SIGBOX_REGENERATE").is_some() {
        generate(&committed);
        return;
    }
    let fresh = tempfile::tempdir().unwrap();
    generate(fresh.path());
    let mut compared = 0;
    for entry in std::fs::read_dir(fresh.path()).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name();
        let want = std::fs::read_to_string(entry.path()).unwrap();
        let have = std::fs::read_to_string(committed.join(&name)).unwrap_or_default();
        assert!(
            want == have,
            "{name:?} is stale: run this test with SIGBOX_REGENERATE=1"
        );
        compared += 1;
    }
    assert_eq!(compared, FILES.len());
}
