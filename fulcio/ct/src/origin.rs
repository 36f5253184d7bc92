//! The name of a log.

/// Why a URL gives no log a name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "expected a submission prefix http(s)://host[:port][/path] of at most 256 bytes without white space or '+', got {0:?}"
)]
pub struct OriginError(String);

/// The origin of the log behind a submission prefix: the URL without scheme and trailing slash (C2SP static-ct-api
/// "Checkpoints"). It is also the key name of the checkpoint's signature, hence no white space or `+`
/// (C2SP signed-note).
///
/// # Errors
///
/// [`OriginError`] for anything but such a URL.
pub fn origin_of(submission_prefix: &str) -> Result<String, OriginError> {
    let refused = || OriginError(submission_prefix.to_owned());
    let origin = submission_prefix
        .strip_prefix("https://")
        .or_else(|| submission_prefix.strip_prefix("http://"))
        .ok_or_else(refused)?
        .trim_end_matches('/');
    let plain = |c: char| c.is_ascii_graphic() && !"+?#@".contains(c);
    if origin.is_empty() || origin.len() > 256 || !origin.chars().all(plain) {
        Err(refused())
    } else {
        Ok(origin.to_owned())
    }
}
