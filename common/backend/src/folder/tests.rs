#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;

#[test]
fn a_second_user_is_refused_with_the_folder_and_the_holder() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("data");
    let first = DataFolder::open(&path).unwrap();
    let message = DataFolder::open(&path).unwrap_err().to_string();
    assert!(message.contains(path.to_str().unwrap()), "{message}");
    assert!(
        message.contains(&format!("process {}", std::process::id())),
        "{message}"
    );
    drop(first);
    DataFolder::open(&path).unwrap();
}

#[test]
fn a_stale_lock_file_does_no_harm() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("lock"), "4194304\nleft over by a crash").unwrap();
    let folder = DataFolder::open(dir.path()).unwrap();
    let content = std::fs::read_to_string(folder.path().join("lock")).unwrap();
    assert_eq!(content, format!("{}\n", std::process::id()));
}

#[test]
fn a_file_in_place_of_the_folder_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("file");
    std::fs::write(&path, "").unwrap();
    let message = DataFolder::open(&path).unwrap_err().to_string();
    assert!(message.contains(path.to_str().unwrap()), "{message}");
}

#[test]
fn a_folder_at_rest_stays_so_while_it_is_read() {
    let dir = tempfile::tempdir().unwrap();
    AtRest::keep(dir.path()).unwrap();
    assert_eq!(
        std::fs::read_dir(dir.path()).unwrap().count(),
        0,
        "nothing is made"
    );
    let user = DataFolder::open(dir.path()).unwrap();
    let message = AtRest::keep(dir.path()).unwrap_err().to_string();
    assert!(
        message.contains(&format!("process {}", std::process::id())),
        "{message}"
    );
    drop(user);
    let readers = [
        AtRest::keep(dir.path()).unwrap(),
        AtRest::keep(dir.path()).unwrap(),
    ];
    assert!(DataFolder::open(dir.path()).is_err());
    drop(readers);
    DataFolder::open(dir.path()).unwrap();
}
