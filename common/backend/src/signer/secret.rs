//! Passphrases and PINs: from a file or the environment, never from an argument, which every user of the machine can read.

use zeroize::Zeroizing;

use super::{Env, KeyringError};

/// Whether `source` says where a secret is: `file:/path` or `env:NAME`. Whatever else it may be, it may be the secret itself.
pub(super) fn is_source(source: &str) -> bool {
    matches!(source.split_once(':'), Some(("file" | "env", place)) if !place.is_empty())
}

/// A URI for messages: without what follows its question mark, where a secret may stand by mistake.
pub(super) fn shown(uri: &str) -> String {
    match uri.split_once('?') {
        Some((path, _)) => format!("{path}?…"),
        None => uri.to_owned(),
    }
}

/// The secret that `source` names: `file:/path` or `env:NAME`.
///
/// # Errors
/// [`KeyringError`] when it is not there.
pub fn read(env: &Env, source: &str) -> Result<Zeroizing<String>, KeyringError> {
    if !is_source(source) {
        return Err(KeyringError::NoSource);
    }
    if let Some(name) = source.strip_prefix("env:") {
        return from_env(env, name);
    }
    let path = source.strip_prefix("file:").unwrap_or(source);
    // `file:///path` is a path as well (RFC 8089).
    let path = path.strip_prefix("//").unwrap_or(path);
    let content = std::fs::read(path).map(Zeroizing::new);
    let content = content.map_err(|source| KeyringError::File {
        path: path.into(),
        source,
    })?;
    let text = std::str::from_utf8(&content).map_err(|_| KeyringError::Secret(source.to_owned()))?;
    let line = text.trim_end_matches(['\r', '\n']);
    if line.is_empty() {
        return Err(KeyringError::Secret(source.to_owned()));
    }
    Ok(Zeroizing::new(line.to_owned()))
}

/// The secret in the environment variable `name`.
pub(super) fn from_env(env: &Env, name: &str) -> Result<Zeroizing<String>, KeyringError> {
    let value = env.get(name).map(Zeroizing::new);
    value.ok_or_else(|| KeyringError::Secret(format!("env:{name}")))
}
