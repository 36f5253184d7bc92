//! A client made of sigstore-rust, for the stories: the command line of sigstore-conformance, which all library clients
//! here speak.
//!
//! ```text
//! client sign-bundle   [--in-toto] --identity-token T --bundle F --trusted-root R --signing-config S FILE
//! client verify-bundle --bundle F --certificate-identity I --certificate-oidc-issuer U --trusted-root R FILE
//! client verify-bundles --trusted-root R LIST
//! ```
//!
//! The last is not the suite's: each line of LIST is a bundle, an identity, an issuer and a file, with tabs between, and
//! gets a line of its own on standard output, `verified` or `refused` and why.
#![forbid(unsafe_code)]

use std::collections::HashMap;
use std::error::Error;
use std::fs;
use std::process::ExitCode;

use sigstore_sign::oidc::IdentityToken;
use sigstore_sign::{SigningContext, SigningServices};
use sigstore_verify::trust_root::{SigningConfig, TrustedRoot};
use sigstore_verify::types::Bundle;
use sigstore_verify::{VerificationPolicy, verify};

const IN_TOTO: &str = "--in-toto";

type Outcome<T> = Result<T, Box<dyn Error>>;

/// What the command line holds: options with their values, and FILE.
struct Given {
    options: HashMap<String, String>,
    file: String,
}

impl Given {
    fn read(arguments: impl Iterator<Item = String>) -> Outcome<Self> {
        let (mut options, mut file) = (HashMap::new(), None);
        let mut arguments = arguments.peekable();
        while let Some(argument) = arguments.next() {
            if argument == IN_TOTO {
                options.insert(argument, String::new());
            } else if argument.starts_with("--") {
                let value = arguments.next().ok_or(format!("expected a value of {argument}"))?;
                options.insert(argument, value);
            } else {
                file = Some(argument);
            }
        }
        Ok(Self {
            options,
            file: file.ok_or("expected a FILE")?,
        })
    }

    fn option(&self, name: &str) -> Outcome<&str> {
        Ok(self.options.get(name).ok_or(format!("expected {name}"))?)
    }

    fn text(&self, name: &str) -> Outcome<String> {
        Ok(fs::read_to_string(self.option(name)?)?)
    }
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let mut cause = Some(&*error as &dyn Error);
            while let Some(error) = cause {
                eprintln!("{error}");
                cause = error.source();
            }
            ExitCode::FAILURE
        }
    }
}

fn run() -> Outcome<()> {
    let mut arguments = std::env::args().skip(1);
    let command = arguments.next().unwrap_or_default();
    let given = Given::read(arguments)?;
    match command.as_str() {
        "sign-bundle" => tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?
            .block_on(sign_bundle(&given)),
        "verify-bundle" => verify_bundle(
            &given.text("--trusted-root")?,
            [
                given.option("--bundle")?,
                given.option("--certificate-identity")?,
                given.option("--certificate-oidc-issuer")?,
                &given.file,
            ],
        ),
        "verify-bundles" => verify_bundles(&given),
        other => Err(format!("expected sign-bundle, verify-bundle or verify-bundles, got {other}").into()),
    }
}

async fn sign_bundle(given: &Given) -> Outcome<()> {
    let config = SigningConfig::from_json(&given.text("--signing-config")?)?;
    let token = IdentityToken::from_jwt(given.option("--identity-token")?)?;
    let signer = SigningContext::new(SigningServices::from_signing_config(&config)?).signer(token);
    let data = fs::read(&given.file)?;
    let bundle = if given.options.contains_key(IN_TOTO) {
        signer.sign_raw_statement(&data).await?
    } else {
        signer.sign(&data[..]).await?
    };
    fs::write(given.option("--bundle")?, bundle.to_json()?)?;
    Ok(())
}

fn verify_bundle(trusted_root: &str, [bundle, identity, issuer, file]: [&str; 4]) -> Outcome<()> {
    let root = TrustedRoot::from_json(trusted_root)?;
    let bundle = Bundle::from_json(&fs::read_to_string(bundle)?)?;
    let policy = VerificationPolicy::any_identity()
        .require_identity(identity)
        .require_issuer(issuer);
    verify(&fs::read(file)?[..], &bundle, &policy, &root)?;
    Ok(())
}

fn verify_bundles(given: &Given) -> Outcome<()> {
    let trusted_root = given.text("--trusted-root")?;
    for line in fs::read_to_string(&given.file)?.lines() {
        let row: Vec<&str> = line.split('\t').collect();
        let row = <[&str; 4]>::try_from(row)
            .map_err(|row| format!("expected bundle, identity, issuer and file, got {} columns", row.len()))?;
        match verify_bundle(&trusted_root, row) {
            Ok(()) => println!("verified"),
            Err(error) => println!("refused\t{}", error.to_string().replace('\n', " ")),
        }
    }
    Ok(())
}
