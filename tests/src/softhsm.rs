//! A SoftHSM of one's own: a PKCS #11 token in a temporary folder.

use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::ok;

/// Its PIN, of user and officer.
pub const PIN: &str = "1234";
/// Where Debian, Fedora and Homebrew put the module.
const MODULES: [&str; 3] = [
    "/usr/lib/softhsm/libsofthsm2.so",
    "/usr/lib64/pkcs11/libsofthsm2.so",
    "/opt/homebrew/lib/softhsm/libsofthsm2.so",
];

/// A SoftHSM with one token, for whoever has its configuration in the environment.
pub struct Token {
    folder: TempDir,
    module: &'static str,
}

impl Token {
    /// A new one.
    #[must_use]
    pub fn new() -> Self {
        let module = MODULES.into_iter().find(|path| Path::new(path).exists());
        let module = module.unwrap_or_else(|| panic!("SoftHSM is missing: run `tests/run install` first"));
        let token = Self {
            folder: TempDir::new().unwrap(),
            module,
        };
        let tokens = token.folder.path().join("tokens");
        std::fs::create_dir(&tokens).unwrap();
        std::fs::write(
            token.config(),
            format!("directories.tokendir = {}\n", tokens.display()),
        )
        .unwrap();
        let init = [
            "--init-token",
            "--free",
            "--label",
            "sigbox",
            "--pin",
            PIN,
            "--so-pin",
            PIN,
        ];
        ok(token.lend(Command::new("softhsm2-util").args(init)));
        token
    }

    /// Its configuration, for `SOFTHSM2_CONF`.
    pub fn config(&self) -> PathBuf {
        self.folder.path().join("softhsm2.conf")
    }

    /// Lets a command use the token.
    pub fn lend<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        command
            .env("SOFTHSM2_CONF", self.config())
            .env("SIGBOX_PKCS11_PIN", PIN)
    }

    /// As the place of keys.
    pub fn uri(&self) -> String {
        format!("pkcs11:token=sigbox?module-path={}", self.module)
    }
}

/// Private keys below a folder.
pub fn private_keys(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let kind = entry.file_type().unwrap();
        if kind.is_dir() {
            found.extend(private_keys(&entry.path()));
        } else if kind.is_file()
            && String::from_utf8_lossy(&std::fs::read(entry.path()).unwrap()).contains("PRIVATE KEY")
        {
            found.push(entry.file_name().into_string().unwrap());
        }
    }
    found.sort();
    found
}

impl Default for Token {
    fn default() -> Self {
        Self::new()
    }
}
