//! Where the browser comes back to: one page on a loopback port, until it brought a code (RFC 8252 §7.3).

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::timeout;
use url::Url;

/// How long a person may take.
const PERSON: Duration = Duration::from_secs(300);
/// How long a request may take to arrive. Browsers open connections before they have anything to ask.
const REQUEST: Duration = Duration::from_secs(30);
/// Largest head of a request.
const MAX_HEAD: usize = 16 << 10;
/// Path of the page, as cosign has it.
const PATH: &str = "/auth/callback";

/// Why no code came.
#[derive(Debug, thiserror::Error)]
pub(super) enum CallbackError {
    /// Not a place on this machine.
    #[error("expected a redirect URL http://localhost:PORT/…, got {0}")]
    Redirect(String),
    /// The port is taken.
    #[error("{0}")]
    Listen(#[from] io::Error),
    /// The provider said no, or the person did.
    #[error("refused: {0}")]
    Refused(String),
    /// Nobody signed in.
    #[error("nobody signed in within {} minutes", PERSON.as_secs() / 60)]
    Nobody,
}

/// The page, before anybody has come.
pub(super) struct Callback {
    listener: TcpListener,
    url: String,
    path: String,
}

impl Callback {
    /// At the port of `redirect`, else at a free one.
    pub(super) async fn bind(redirect: Option<&Url>) -> Result<Callback, CallbackError> {
        let (port, path) = match redirect {
            None => (0, PATH.to_owned()),
            Some(url) => {
                let here = matches!(url.host_str(), Some("localhost" | "127.0.0.1"));
                if url.scheme() != "http" || !here {
                    return Err(CallbackError::Redirect(url.to_string()));
                }
                (url.port().unwrap_or(0), url.path().to_owned())
            }
        };
        let listener = TcpListener::bind(("127.0.0.1", port)).await?;
        // Providers know the name; a number they may not.
        let url = format!("http://localhost:{}{path}", listener.local_addr()?.port());
        Ok(Callback { listener, url, path })
    }

    /// What the provider is told.
    pub(super) fn url(&self) -> &str {
        &self.url
    }

    /// The code that the browser brings with `state`. Requests with another state are somebody else's.
    pub(super) async fn code(self, state: &str) -> Result<String, CallbackError> {
        let (send, mut come) = mpsc::channel(1);
        let wanted = Arc::new((self.path, state.to_owned()));
        let listen = async {
            loop {
                let (stream, _) = self.listener.accept().await?;
                let (send, wanted) = (send.clone(), Arc::clone(&wanted));
                tokio::spawn(async move {
                    // A browser that breaks off comes again.
                    if let Ok(Ok(Some(came))) = timeout(REQUEST, answer(stream, &wanted.0, &wanted.1)).await {
                        let _ = send.send(came).await;
                    }
                });
            }
        };
        tokio::select! {
            failed = listen => failed,
            came = timeout(PERSON, come.recv()) => match came {
                Ok(Some(Ok(code))) => Ok(code),
                Ok(Some(Err(why))) => Err(CallbackError::Refused(why)),
                Ok(None) | Err(_) => Err(CallbackError::Nobody),
            },
        }
    }
}

/// Answers one request: the code or the refusal in it, if it is the one that is waited for.
async fn answer(
    mut stream: TcpStream,
    path: &str,
    state: &str,
) -> io::Result<Option<Result<String, String>>> {
    let mut head = Vec::new();
    let mut piece = [0; 1024];
    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
        let read = stream.read(&mut piece).await?;
        head.extend_from_slice(piece.get(..read).unwrap_or_default());
        if read == 0 || head.len() > MAX_HEAD {
            return Ok(None);
        }
    }
    let came = brought(&head, path, state);
    let (status, text) = match &came {
        None => ("404 Not Found", "Nobody waits for this page."),
        Some(Ok(_)) => ("200 OK", "Signed in. You can close this page."),
        Some(Err(_)) => ("200 OK", "The sign-in was refused. You can close this page."),
    };
    let page = format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>sigbox</title>\
         <body style=\"font:1.1rem system-ui;max-width:30rem;margin:4rem auto\"><h1>sigbox</h1><p>{text}</p>"
    );
    let reply = format!(
        "HTTP/1.1 {status}\r\ncontent-type: text/html; charset=utf-8\r\ncontent-length: {}\r\n\
         cache-control: no-store\r\nreferrer-policy: no-referrer\r\nconnection: close\r\n\r\n{page}",
        page.len()
    );
    stream.write_all(reply.as_bytes()).await?;
    stream.shutdown().await?;
    Ok(came)
}

/// What the request line brings (RFC 6749 §4.1.2).
fn brought(head: &[u8], path: &str, state: &str) -> Option<Result<String, String>> {
    let line = head.split(|octet| *octet == b'\r').next()?;
    let target = std::str::from_utf8(line)
        .ok()?
        .strip_prefix("GET ")?
        .split(' ')
        .next()?;
    let url = Url::parse("http://localhost").ok()?.join(target).ok()?;
    let given = |name: &str| {
        let mut pairs = url.query_pairs();
        pairs
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.into_owned())
    };
    if url.path() != path || given("state").as_deref() != Some(state) {
        return None;
    }
    match (given("code"), given("error")) {
        (Some(code), None) => Some(Ok(code)),
        (_, Some(error)) => Some(Err(given("error_description").unwrap_or(error))),
        (None, None) => None,
    }
}

#[cfg(test)]
mod tests;
