//! Opening a page in whatever browser the person uses.

use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;

/// How long an opener may take to say that it has nothing to open.
const DECIDES: Duration = Duration::from_secs(3);

/// Whether a browser was found. An opener that goes on running is one: some are the browser itself.
pub(super) async fn open(url: &str) -> bool {
    let named = std::env::var("BROWSER").ok().filter(|name| !name.is_empty());
    let known = ["xdg-open", "open"].map(ToOwned::to_owned);
    for opener in named.into_iter().chain(known) {
        if starts(&opener, url).await {
            return true;
        }
    }
    false
}

async fn starts(opener: &str, url: &str) -> bool {
    let mut command = Command::new(opener);
    command
        .arg(url)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        // What the terminal's end does to the foreground is not meant for the browser.
        .process_group(0);
    let Ok(mut child) = command.spawn() else {
        return false;
    };
    match tokio::time::timeout(DECIDES, child.wait()).await {
        Ok(ended) => ended.is_ok_and(|status| status.success()),
        Err(_) => true,
    }
}
