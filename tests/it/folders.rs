//! Data folders in wrong hands: one of `serve` under `up`, one of another user, one that takes no writes. What cannot be done is
//! said with the reason, never that there is nothing, and never that something is damaged. And a folder goes on as it is told.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;
use tests::stack::{Launch, Ports, Stack, up};
use tests::{ok, refused, sigbox};

use crate::serve::{Served, configure, serve};

fn cli(args: &[&str], data: &Path) -> Command {
    let mut command = Command::new(sigbox());
    command.args(args).arg("--data").arg(data);
    command
}

/// `up` would bring its development issuer, which certifies anybody, to an authority that clients trust.
#[test]
fn up_is_refused_on_a_folder_of_serve() {
    let issuer = Stack::ephemeral();
    let folder = TempDir::new().unwrap();
    let (data, ports) = (folder.path().join("data"), Ports::free());
    let file = configure(folder.path(), &issuer.ready.issuer, &ports, "");
    assert_eq!(Served::start(&mut serve(&file)).stop(), Some(0));
    let registry = || fs::read(data.join("keys/registry.json")).unwrap();
    let before = registry();
    let url = format!("http://localhost:{}", ports.http);
    for more in [&[][..], &["--public-url", &url]] {
        let ran = refused(up(&data, &ports).args(more));
        assert_eq!(ran.code, Some(3), "{}", ran.text());
        assert!(
            ran.stderr.contains("sigbox serve --config FILE"),
            "{}",
            ran.stderr
        );
    }
    // Nor by an import, which writes the registry.
    let import = ["import", &issuer.ready.url, "--public-url", &url];
    let said = refused(&mut cli(&import, &data)).text();
    assert!(said.contains("takes --config"), "{said}");
    let said = refused(&mut cli(&["rotate", "fulcio", "--status"], &data)).text();
    assert!(
        said.contains("sigbox serve --config FILE") && !said.contains("sigbox up"),
        "{said}"
    );
    assert_eq!(registry(), before);
    assert!(!data.join("keys/development-issuer.pem").exists());
    assert_eq!(Served::start(&mut serve(&file)).stop(), Some(0));
}

/// What would stop the start stops the check.
#[test]
fn a_check_of_serve_looks_at_the_folder_and_at_the_keys_of_others() {
    let issuer = Stack::ephemeral();
    let folder = TempDir::new().unwrap();
    let data = folder.path().join("data");
    let init = ["keys", "init", "--public-url", "https://sigstore.example"];
    ok(&mut cli(&init, &data));
    let check = |rest: &str| {
        let file = configure(folder.path(), &issuer.ready.issuer, &Ports::free(), rest);
        let ran = refused(serve(&file).arg("--check"));
        assert_eq!(ran.code, Some(3), "{}", ran.text());
        ran.text()
    };
    let said = check("");
    assert!(said.contains("belongs to host \"sigstore.example\""), "{said}");
    fs::remove_dir_all(&data).unwrap();
    let said = check("[trust]\nkeys = ['/nonexistent/keys.json']\n");
    assert!(
        said.contains("/nonexistent/keys.json is missing") && said.contains("sigbox keys export"),
        "{said}"
    );
}

/// The line that a restore ends with, run as it is on other ports, continues under the URL that clients have.
#[test]
fn what_a_restore_says_starts_the_instance() {
    let folder = TempDir::new().unwrap();
    let (data, new) = (folder.path().join("data"), folder.path().join("new"));
    let (ports, file) = (Ports::free(), folder.path().join("one.backup"));
    let url = format!("http://127.0.0.1:{}", ports.http);
    let ready = |command: &mut Command| {
        let launched = Launch::new(command).ready(Duration::from_secs(60));
        launched.unwrap_or_else(|not| panic!("{not}"))
    };
    let mut stack = ready(up(&data, &ports).args(["--public-url", &url]));
    assert_eq!(stack.interrupt(), Some(0));
    ok(cli(&["backup"], &data).arg(&file));
    let mut restore = cli(&["restore"], &new);
    restore.arg(&file).arg("--replaces").arg(&data);
    let said = ok(&mut restore).text();
    let line = said.lines().find_map(|line| line.strip_prefix("Start it with: "));
    let line = line.unwrap_or_else(|| panic!("{said}"));
    let printed: Vec<&str> = line.split(' ').collect();
    assert_eq!(printed, ["sigbox", "up", "--data", new.to_str().unwrap()]);
    let mut stack = ready(&mut up(&new, &ports));
    assert_eq!(stack.ready.url, url);
    assert_eq!(stack.interrupt(), Some(0));
}

/// A place that every user may enter, with the binary in it.
struct Public(TempDir);

impl Public {
    fn new() -> Self {
        let place = TempDir::new().unwrap();
        fs::set_permissions(place.path(), Permissions::from_mode(0o755)).unwrap();
        fs::copy(sigbox(), place.path().join("sigbox")).unwrap();
        let out = place.path().join("out");
        fs::create_dir(&out).unwrap();
        fs::set_permissions(&out, Permissions::from_mode(0o777)).unwrap();
        Self(place)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// As somebody who is not root, to whom no folder is closed.
    fn command(&self, args: &[&str], data: &Path) -> Command {
        let mut command = Command::new(self.path("sigbox"));
        command.args(args).arg("--data").arg(data);
        command.current_dir(self.path("out"));
        if fs::metadata("/proc/self").unwrap().uid() == 0 {
            command.uid(65_534).gid(65_534);
        }
        command
    }
}

/// Sets the permissions of a folder and of everything in it.
fn permit(path: &Path, folder: u32, file: u32) {
    let set = |mode| fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    if fs::symlink_metadata(path).unwrap().is_dir() {
        set(0o700);
        for entry in fs::read_dir(path).unwrap() {
            permit(&entry.unwrap().path(), folder, file);
        }
        set(folder);
    } else {
        set(file);
    }
}

#[test]
fn a_folder_of_another_user_is_said_to_be_closed() {
    let place = Public::new();
    let data = place.path("data");
    let mut stack = Stack::at(&data, &Ports::free());
    assert_eq!(stack.interrupt(), Some(0));
    fs::set_permissions(&data, Permissions::from_mode(0o000)).unwrap();
    for words in [
        &["policy", "denials"][..],
        &["identities", "find", "dev@example.com"],
        &["identities", "show", "urn:uuid:0"],
        &["backup", "one.backup"],
        &["fsck"],
        &["keys", "list"],
        &["rotate", "fulcio", "--status"],
        &["rotate", "fulcio"],
    ] {
        let ran = refused(&mut place.command(words, &data));
        assert!(
            ran.code == Some(1) && ran.stderr.contains("Permission denied"),
            "{words:?}: {}",
            ran.text()
        );
        assert!(!ran.stderr.contains("evidence"), "{words:?}: {}", ran.text());
    }
    permit(&data, 0o700, 0o600);
}

#[test]
fn a_folder_that_takes_no_writes_is_read_or_the_reason_is_told() {
    let place = Public::new();
    let (data, ports) = (place.path("data"), Ports::free());
    let mut stack = Stack::at(&data, &ports);
    assert_eq!(stack.interrupt(), Some(0));
    permit(&data, 0o555, 0o444);
    let checked = ok(&mut place.command(&["fsck"], &data)).stdout;
    assert_eq!(checked.matches("ok      ").count(), 3, "{checked}");
    ok(&mut place.command(&["backup", "one.backup"], &data));
    permit(&data, 0o700, 0o600);

    // What a crash left is in the log, which is read by an index that cannot be made there.
    let mut stack = Stack::at(&data, &ports);
    stack.kill();
    drop(stack);
    fs::remove_file(data.join("sigbox.db-shm")).unwrap();
    assert!(fs::metadata(data.join("sigbox.db-wal")).unwrap().len() > 0);
    permit(&data, 0o555, 0o444);
    for words in [&["fsck"][..], &["backup", "two.backup"]] {
        let ran = refused(&mut place.command(words, &data));
        for part in [
            "cannot be written",
            "sigbox.db-wal has ",
            "Make the folder writable",
        ] {
            assert!(ran.stderr.contains(part), "{words:?}: {}", ran.text());
        }
        assert!(!ran.stderr.contains("evidence"), "{words:?}: {}", ran.text());
    }
    permit(&data, 0o700, 0o600);
    ok(&mut cli(&["fsck"], &data));
}
