//! Replays the corpus of the fuzzers.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

#[path = "../../../tests/fuzz/targets.rs"]
mod targets;

use std::path::Path;

/// GHSA-843x-px86-vq42 and whatever else was found: each file was, or is like, one that some parser fell over.
#[test]
fn corpus_replay() {
    for (name, target) in [
        ("entry", targets::entry as fn(&[u8])),
        ("key", targets::key),
        ("content", targets::content),
    ] {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../../tests/fuzz/corpus")
            .join(name);
        let mut replayed = 0;
        for file in std::fs::read_dir(folder).unwrap() {
            let data = std::fs::read(file.unwrap().path()).unwrap();
            target(&data);
            // Files that end early are the likeliest ones.
            for end in (0..data.len()).step_by(data.len() / 16 + 1) {
                target(data.get(..end).unwrap_or_default());
            }
            replayed += 1;
        }
        assert!(replayed > 2, "{name}: {replayed} files");
    }
}
