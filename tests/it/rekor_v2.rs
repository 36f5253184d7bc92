//! Rekor v2 over gRPC, through the client that rekor-tiles generates from its own definitions.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tests::clients::Program;
use tests::stack::Stack;

#[tokio::test(flavor = "multi_thread")]
async fn an_entry_over_grpc_is_in_the_tiles_and_the_same_again_is_told_its_index() {
    let stack = Stack::ephemeral();
    let file = stack.file("artifact", "over gRPC");
    let made = Program::new(&stack, "go").log_over_grpc(&file);
    let entry = &made["entry"];
    let index = entry["logIndex"].as_str().unwrap();
    assert_eq!(
        (&made["again"], made["index"].as_str()),
        (&"AlreadyExists".into(), Some(index)),
        "{made}"
    );
    assert_eq!(entry["kindVersion"]["version"], "0.0.2");
    // A bundle of entries ends with the newest, behind its length (C2SP tlog-tiles "Log Entries").
    let size: usize = index.parse::<usize>().unwrap() + 1;
    let tile = stack.url(&format!("/api/v2/tile/entries/000.p/{size}"));
    let bundle = stack.http.get(tile).send().await.unwrap().bytes().await.unwrap();
    let body = STANDARD
        .decode(entry["canonicalizedBody"].as_str().unwrap())
        .unwrap();
    assert!(bundle.ends_with(&body), "{made}");
}
