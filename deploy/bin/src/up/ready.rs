//! What `up` says once everything answers.

use std::time::Duration;

use serde::Serialize;

use crate::cli::Client;
use crate::console::{self, Console};
use crate::exit::Failure;
use crate::layout::Layout;
use crate::paste::Instance;
use crate::public_url::PublicUrl;
use crate::up::sockets::Sockets;

/// The line of `--json`. Members are added, never renamed: scripts read it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Ready {
    url: String,
    tls_url: String,
    tuf_url: String,
    issuer: String,
    metrics_url: String,
    data_dir: String,
    trust_dir: String,
    pid: u32,
}

impl Ready {
    /// For an instance at `url`.
    pub(crate) fn new(url: &PublicUrl, sockets: &Sockets, layout: &Layout) -> Ready {
        Ready {
            url: url.as_str().to_owned(),
            tls_url: sockets.tls_url(),
            tuf_url: url.join("/tuf"),
            issuer: url.issuer(),
            metrics_url: sockets.metrics_url(),
            data_dir: layout.root().display().to_string(),
            trust_dir: layout.trust().display().to_string(),
            pid: std::process::id(),
        }
    }

    /// One line of JSON on standard output, or what a person needs on standard error.
    ///
    /// # Errors
    /// [`Failure`] when the line cannot be written: its reader would wait for ever.
    pub(crate) fn announce(
        &self,
        json: bool,
        console: Console,
        lines: &Instance,
        took: Duration,
    ) -> Result<(), Failure> {
        if json {
            let line = serde_json::to_string(self).map_err(Failure::failed)?;
            return console::result(&line)
                .map_err(|error| Failure::failed(format!("cannot write the line: {error}")));
        }
        console.heading(&format!(
            "sigbox is ready at {} ({:.1} s)",
            self.url,
            took.as_secs_f64()
        ));
        console.line(&format!(
            "  Fulcio, Rekor v1 and v2, TSA, CT log, TUF; over TLS at {}",
            self.tls_url
        ));
        console.line(&format!("  keys, logs and trust in {}", self.data_dir));
        for (client, title) in [
            (Client::Cosign, "cosign 3"),
            (Client::Python, "sigstore-python 4"),
        ] {
            console.line("");
            console.heading(&format!("Sign and verify with {title}:"));
            lines.lines(client).iter().for_each(|line| console.line(line));
        }
        console.line("");
        console.remark(
            "Rekor v2: add --signing-config and --trusted-root from the trust folder to `cosign sign-blob`.",
        );
        console.remark(&next(lines));
        console.remark("Ctrl-C stops; the next start continues with the same keys and logs.");
        Ok(())
    }
}

/// The commands by which one goes on, as they find this instance.
fn next(lines: &Instance) -> String {
    let (sigbox, at) = (&lines.sigbox, lines.at());
    format!(
        "Next: `{sigbox} doctor{at}` checks every link, `{sigbox} client-setup rekor-cli{at}` sets up another client."
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::DEFAULT_URL;
    use crate::paste::Elsewhere;

    #[test]
    fn what_comes_next_is_about_this_instance() {
        let instance = |url: &str| Instance {
            url: url.to_owned(),
            tls_url: String::new(),
            root_sha256: String::new(),
            sigbox: "sigbox".to_owned(),
            issuer: None,
            elsewhere: Elsewhere::default(),
        };
        let usual = next(&instance(DEFAULT_URL));
        assert!(
            usual.contains("`sigbox doctor`") && !usual.contains("--url"),
            "{usual}"
        );
        let other = next(&instance("http://localhost:3100"));
        assert!(
            other.contains("`sigbox doctor --url http://localhost:3100`")
                && other.contains("`sigbox client-setup rekor-cli --url http://localhost:3100`"),
            "{other}"
        );
    }
}
