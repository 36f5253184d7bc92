//! Keys behind a program of the operator's: one process for each signature, one JSON object in, one out.
//!
//! ```text
//! exec:/usr/local/bin/sign-with-vault?key=ct-log-1
//! in   {"version":1,"operation":"public-key","key":"ct-log-1"}
//! out  {"publicKey":"-----BEGIN PUBLIC KEY-----…"}
//! in   {"version":1,"operation":"sign","key":"ct-log-1","hash":"sha256","message":"BASE64","digest":"BASE64"}
//! out  {"signature":"BASE64"}          ECDSA in ASN.1 DER, RSA PKCS #1 v1.5, pure Ed25519 over the message
//! ```
//!
//! An exit status other than 0, or `{"error":"…"}`, is a failure that may pass; what it writes to standard error is logged.
//!
//! The server's environment may hold passwords of other keys and of the store. The program gets [`INHERITED`] out of it, and the variables
//! that `SIGBOX_EXEC_ENV` names, separated by commas.

use std::path::PathBuf;
use std::process::Stdio;

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use common_pki::key::{PublicKey, SignError};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::Command;

use super::remote::Service;
use super::{Env, KeyringError};

/// Longest answer read, and longest complaint logged.
const ANSWER_LIMIT: u64 = 64 << 10;
const COMPLAINT_LIMIT: u64 = 2 << 10;

/// What a program needs to run at all: where programs are and whose home it is, language, time zone, temporary files.
const INHERITED: [&str; 8] = [
    "PATH", "HOME", "USER", "LOGNAME", "LANG", "LC_ALL", "TZ", "TMPDIR",
];
/// Names the variables that it gets beside them.
const MORE: &str = "SIGBOX_EXEC_ENV";

/// A program, the key it is asked for, and the environment it is run in.
pub(super) struct Program {
    path: PathBuf,
    key: Option<String>,
    environment: Vec<(String, String)>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Request<'a> {
    version: u32,
    operation: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hash: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    digest: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Answer {
    public_key: Option<String>,
    signature: Option<String>,
    error: Option<String>,
}

impl Program {
    /// From what follows `exec:`.
    pub(super) fn parse(env: &Env, uri: &str, rest: &str) -> Result<Program, KeyringError> {
        let wrong = |problem| KeyringError::Uri {
            uri: uri.to_owned(),
            problem,
        };
        let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
        if !path.starts_with('/') {
            return Err(wrong("expected the absolute path of a program after exec:"));
        }
        let key = match query.split_once('=') {
            Some(("key", name)) => Some(name.to_owned()),
            None if query.is_empty() => None,
            _ => return Err(wrong("expected ?key=NAME, or nothing, after the program")),
        };
        let more = env.get(MORE).unwrap_or_default();
        let names = more.split(',').map(str::trim).filter(|name| !name.is_empty());
        let environment = INHERITED
            .into_iter()
            .chain(names)
            .filter_map(|name| Some((name.to_owned(), env.get(name)?)))
            .collect();
        Ok(Program {
            path: path.into(),
            key,
            environment,
        })
    }

    async fn ask(&self, request: Request<'_>) -> Result<Answer, SignError> {
        let failed = |error: std::io::Error| {
            SignError::Unavailable(format!("{} cannot be run: {error}", self.path.display()))
        };
        let mut line = serde_json::to_vec(&request).map_err(|error| SignError::Failed(error.to_string()))?;
        line.push(b'\n');
        // Dropped at the time limit, the child is killed.
        let mut child = Command::new(&self.path)
            .env_clear()
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(failed)?;
        let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let give = async {
            if let Some(mut stdin) = stdin {
                // A program that does not read its input says so by its answer.
                let _ = stdin.write_all(&line).await;
            }
        };
        let (mut answer, mut complaint) = (Vec::new(), Vec::new());
        let take = async {
            match stdout {
                Some(stdout) => stdout.take(ANSWER_LIMIT).read_to_end(&mut answer).await,
                None => Ok(0),
            }
        };
        let listen = async {
            match stderr {
                Some(stderr) => stderr.take(COMPLAINT_LIMIT).read_to_end(&mut complaint).await,
                None => Ok(0),
            }
        };
        let ((), taken, _) = tokio::join!(give, take, listen);
        taken.map_err(failed)?;
        let status = child.wait().await.map_err(failed)?;
        let complaint = String::from_utf8_lossy(&complaint).trim().to_owned();
        if !status.success() {
            return Err(SignError::Unavailable(format!(
                "{} ended with {status}: {complaint}",
                self.path.display()
            )));
        }
        let answer: Answer = serde_json::from_slice(&answer).map_err(|error| {
            SignError::Failed(format!("{} did not answer in JSON: {error}", self.path.display()))
        })?;
        match answer.error {
            Some(error) => Err(SignError::Unavailable(error)),
            None => Ok(answer),
        }
    }

    fn lacks(&self, member: &str) -> SignError {
        SignError::Failed(format!("the answer of {} has no {member}", self.path.display()))
    }
}

#[async_trait]
impl Service for Program {
    async fn public_key(&self) -> Result<PublicKey, SignError> {
        let request = Request {
            version: 1,
            operation: "public-key",
            key: self.key.as_deref(),
            hash: None,
            message: None,
            digest: None,
        };
        let pem = self.ask(request).await?.public_key;
        let pem = pem.ok_or_else(|| self.lacks("publicKey"))?;
        PublicKey::from_pem(&pem).map_err(|error| SignError::Failed(error.to_string()))
    }

    async fn sign(&self, key: &PublicKey, message: &[u8]) -> Result<Vec<u8>, SignError> {
        let hash = key.default_hash();
        let request = Request {
            version: 1,
            operation: "sign",
            key: self.key.as_deref(),
            hash: Some(hash.name()),
            message: Some(STANDARD.encode(message)),
            digest: Some(STANDARD.encode(hash.digest(message))),
        };
        let signature = self.ask(request).await?.signature;
        STANDARD
            .decode(signature.ok_or_else(|| self.lacks("signature"))?)
            .map_err(|_| SignError::Failed("the signature is not base64".to_owned()))
    }
}

#[cfg(test)]
mod tests;
