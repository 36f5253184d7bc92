//! A user's folders (XDG Base Directory Specification).

use std::path::PathBuf;

/// The folder that `variable` names, else `default` in the user's home; `None` without a home. Relative ones are ignored, as the
/// specification asks.
pub(crate) fn folder(variable: &str, default: &str) -> Option<PathBuf> {
    let absolute = |name: &str| {
        std::env::var_os(name)
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
    };
    absolute(variable).or_else(|| absolute("HOME").map(|home| home.join(default)))
}
