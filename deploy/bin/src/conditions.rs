//! What to look for in logs: the flags of `log search` and `monitor`.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clap::Args;

use crate::disk;
use crate::exit::Failure;

/// Who signed, with what, and what was signed.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct ConditionArgs {
    /// E-mail address of the signer.
    #[arg(long, value_name = "ADDRESS")]
    email: Vec<String>,
    /// URI that names the signer.
    #[arg(long, value_name = "URI")]
    uri: Vec<String>,
    /// Domain of the signer's address or host of its URI; subdomains too.
    #[arg(long, value_name = "DOMAIN")]
    domain: Vec<String>,
    /// Beginning of the signer's URI, or of an address up to its @.
    #[arg(long, value_name = "BEGINNING")]
    prefix: Vec<String>,
    /// Issuer of the identity token.
    #[arg(long, value_name = "URL")]
    issuer: Vec<String>,
    /// Source repository, as a URI or owner/name.
    #[arg(long, value_name = "REPOSITORY")]
    repository: Vec<String>,
    /// Workflow: its name, its URI, or its path in the repository.
    #[arg(long, value_name = "WORKFLOW")]
    workflow: Vec<String>,
    /// Commit.
    #[arg(long, value_name = "HEX")]
    commit: Vec<String>,
    /// Digest of an artifact, payload or in-toto subject.
    #[arg(long, value_name = "[ALGORITHM:]HEX")]
    digest: Vec<String>,
    /// A file whose SHA-256 is looked for.
    #[arg(long, value_name = "FILE")]
    artifact: Vec<String>,
    /// SHA-256 of a key, in either form.
    #[arg(long, value_name = "HEX")]
    key: Vec<String>,
    /// A file with a signature, the signature in base64, or its SHA-256.
    #[arg(long, value_name = "FILE|BASE64|HEX")]
    signature: Vec<String>,
    /// Type of an in-toto predicate.
    #[arg(long, value_name = "URI")]
    predicate_type: Vec<String>,
}

impl ConditionArgs {
    /// Names of fields ([`rekor_entry::facts::Field`]) and values, in the order of the flags above.
    ///
    /// # Errors
    /// [`Failure`] names a file that cannot be read.
    pub(crate) fn pairs(&self) -> Result<Vec<(&'static str, String)>, Failure> {
        let lists = [
            ("email", &self.email),
            ("uri", &self.uri),
            ("domain", &self.domain),
            ("prefix", &self.prefix),
            ("issuer", &self.issuer),
            ("repository", &self.repository),
            ("workflow", &self.workflow),
            ("commit", &self.commit),
            ("digest", &self.digest),
            ("key", &self.key),
            ("predicateType", &self.predicate_type),
        ];
        let mut pairs: Vec<(&'static str, String)> = lists
            .into_iter()
            .flat_map(|(name, values)| values.iter().map(move |value| (name, value.clone())))
            .collect();
        for file in &self.artifact {
            let content = disk::read(Path::new(file)).map_err(Failure::failed)?;
            let content = content.ok_or_else(|| Failure::failed(format!("{file} is missing")))?;
            pairs.push(("digest", format!("sha256:{}", common_tlog::sha256(&[&content]))));
        }
        for given in &self.signature {
            let file = disk::read(Path::new(given)).unwrap_or_default();
            let value = file.map_or_else(|| given.clone(), |content| signature(&content));
            pairs.push(("signature", value));
        }
        Ok(pairs)
    }
}

/// A signature file holds base64, as cosign writes it, or the octets themselves.
fn signature(content: &[u8]) -> String {
    let text = std::str::from_utf8(content).map(str::trim);
    match text {
        Ok(text) if STANDARD.decode(text).is_ok() => text.to_owned(),
        _ => STANDARD.encode(content),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_file_holds_base64_or_octets() {
        assert_eq!(signature(b"c2ln\n"), "c2ln");
        assert_eq!(signature(&[0x30, 0xff]), STANDARD.encode([0x30, 0xff]));
    }
}
