#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use super::*;

#[test]
fn files_are_named_as_seen_from_the_configuration() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("fulcio.yaml");
    let text = "oidc-issuers: {'https://a.example': {client-id: s, type: kubernetes, jwks-file: keys.json}}";
    std::fs::write(&path, text).unwrap();
    let file = IssuersFile::new(path.clone());
    let (outcome, refused) = file.look();
    let cause = outcome.unwrap_err().to_string();
    assert!(!refused.has_changed());
    assert!(
        cause.contains("fulcio.yaml: ") && cause.contains("jwks-file"),
        "{cause}"
    );
    let key = r#"{"keys":[{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#;
    std::fs::write(folder.path().join("keys.json"), key).unwrap();
    assert!(refused.has_changed(), "what was missing is there");
    let (configuration, seen) = file.look();
    assert_eq!(configuration.unwrap().issuers.len(), 1);
    assert!(!seen.has_changed());
    std::fs::write(folder.path().join("keys.json"), "{}").unwrap();
    assert!(seen.has_changed(), "a named file has changed");
}

#[test]
fn a_file_that_is_none_is_named() {
    let file = IssuersFile::new(PathBuf::from("/nonexistent/fulcio.yaml"));
    assert!(
        file.read()
            .unwrap_err()
            .to_string()
            .starts_with("/nonexistent/fulcio.yaml: ")
    );
    let folder = tempfile::tempdir().unwrap();
    let large = folder.path().join("large");
    std::fs::write(&large, vec![b'#'; 2 << 20]).unwrap();
    assert!(
        IssuersFile::new(large)
            .read()
            .unwrap_err()
            .to_string()
            .contains("at most 1048576 bytes")
    );
}
