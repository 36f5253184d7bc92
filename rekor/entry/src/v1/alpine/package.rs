//! Taking an APK apart within bounds, and verifying it.

use std::collections::BTreeMap;
use std::io::Read;

use common_pki::key::{PublicKey, sha1, sha256};
use common_pki::pem;
use flate2::bufread::GzDecoder;

use super::pkginfo;
use crate::error::Invalid;
use crate::signature::SignatureFailure;

/// Most octets that the tar of the signature, the signature, or `.PKGINFO` may have
/// (`rekor cmd/rekor-server/app/root.go max_apk_metadata_size`).
const MAX_METADATA: u64 = 1024 * 1024;
/// Most octets of the control tar, which has the installation scripts too. Upstream has no bound here.
const MAX_CONTROL: u64 = 20 * 1024 * 1024;
/// Most files of either tar.
const MAX_FILES: usize = 1_024;

/// Verifies signature and data hash, and gives the package's own description.
pub(super) fn verify(apk: &[u8], key: &PublicKey) -> Result<BTreeMap<String, String>, Invalid> {
    let (signatures, rest) = member(apk, "signature.tar.gz", MAX_METADATA)?;
    let (control, data) = member(rest, "control.tar.gz", MAX_CONTROL)?;
    let compressed = rest
        .get(..rest.len().saturating_sub(data.len()))
        .unwrap_or_default();
    let signature = file(&signatures, |name| name.starts_with(b".SIGN"))?
        .ok_or(Invalid::Package("no signature detected in alpine package"))?;
    // Raw, or in PEM.
    let signature = pem::decode(&signature).map_or(signature.clone(), |(block, _)| block.contents);
    let text = file(&control, |name| name == b".PKGINFO")?
        .ok_or(Invalid::Package(".PKGINFO file was not located"))?;
    let info = pkginfo::parse(&text)?;
    let named = info.get("datahash").map(hex::decode);
    let Some(Ok(named)) = named else {
        return Err(Invalid::Package("the datahash in .PKGINFO is not hexadecimal"));
    };
    if named != sha256(data) {
        return Err(Invalid::Package(
            "checksum for data.tar.gz does not match value from .PKGINFO",
        ));
    }
    key.verify_legacy_sha1(&sha1(&[compressed]), &signature)
        .map_err(|_| SignatureFailure::Rsa)?;
    Ok(info)
}

/// Inflates the gzip member that `input` begins with, and gives what follows it.
fn member<'a>(input: &'a [u8], what: &'static str, limit: u64) -> Result<(Vec<u8>, &'a [u8]), Invalid> {
    let mut decoder = GzDecoder::new(input);
    let mut inflated = Vec::new();
    let read = (&mut decoder)
        .take(limit.saturating_add(1))
        .read_to_end(&mut inflated);
    read.map_err(|error| Invalid::Archive(what, error.to_string()))?;
    if inflated.len() as u64 > limit {
        return Err(Invalid::Inflated { what, limit });
    }
    Ok((inflated, decoder.into_inner()))
}

/// The first file of a tar that has such a name.
fn file(tar: &[u8], wanted: impl Fn(&[u8]) -> bool) -> Result<Option<Vec<u8>>, Invalid> {
    let broken = |error: std::io::Error| Invalid::Archive("tar archive", error.to_string());
    let mut archive = tar::Archive::new(tar);
    for entry in archive.entries().map_err(broken)?.take(MAX_FILES) {
        let entry = entry.map_err(broken)?;
        if !wanted(&entry.path_bytes()) {
            continue;
        }
        let mut contents = Vec::new();
        let read = entry
            .take(MAX_METADATA.saturating_add(1))
            .read_to_end(&mut contents);
        read.map_err(broken)?;
        if contents.len() as u64 > MAX_METADATA {
            return Err(Invalid::Inflated {
                what: "package metadata",
                limit: MAX_METADATA,
            });
        }
        return Ok(Some(contents));
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use std::io::Write as _;

    use common_pki::key::{KeyAlgorithm, LocalSigner, Signer as _};
    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    fn zipped(contents: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(contents).unwrap();
        encoder.finish().unwrap()
    }

    fn tarred(name: &str, contents: &[u8]) -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_gnu();
        header.set_size(contents.len() as u64);
        builder.append_data(&mut header, name, contents).unwrap();
        builder.into_inner().unwrap()
    }

    fn refusal(apk: &[u8]) -> String {
        let (signer, _) = LocalSigner::generate(KeyAlgorithm::Rsa2048).unwrap();
        verify(apk, signer.public_key()).unwrap_err().to_string()
    }

    /// GHSA-2h5h-59f5-c5x9: members were inflated without bound.
    #[test]
    fn members_that_inflate_beyond_their_bounds_are_refused() {
        let bomb = zipped(&vec![0; usize::try_from(MAX_CONTROL).unwrap() + 1]);
        assert!(bomb.len() < 100_000);
        assert_eq!(
            refusal(&bomb),
            "decompressed size of signature.tar.gz exceeds max allowed size 1048576"
        );
        let signature = zipped(&tarred(".SIGN.RSA.key", b"signature"));
        assert_eq!(
            refusal(&[signature.clone(), bomb].concat()),
            "decompressed size of control.tar.gz exceeds max allowed size 20971520"
        );
        let info = zipped(&tarred(
            ".PKGINFO",
            &vec![b'#'; usize::try_from(MAX_METADATA).unwrap() + 1],
        ));
        assert_eq!(
            refusal(&[signature, info].concat()),
            "decompressed size of package metadata exceeds max allowed size 1048576"
        );
    }

    #[test]
    fn packages_that_lack_something_say_what() {
        let signature = zipped(&tarred(".SIGN.RSA.key", b"signature"));
        let control = |text: &str| zipped(&tarred(".PKGINFO", text.as_bytes()));
        for (apk, expected) in [
            (b"no gzip".to_vec(), "reading signature.tar.gz: "),
            (signature.clone(), "reading control.tar.gz: "),
            (
                [zipped(&tarred("other", b"")), control("a = b")].concat(),
                "no signature detected in alpine package",
            ),
            (
                [signature.clone(), zipped(&tarred("other", b""))].concat(),
                ".PKGINFO file was not located",
            ),
            (
                [signature.clone(), control("datahash = zz")].concat(),
                "the datahash in .PKGINFO is not hexadecimal",
            ),
            (
                [signature.clone(), control("datahash = aa"), zipped(b"data")].concat(),
                "checksum for data.tar.gz does not match",
            ),
            (
                [
                    signature,
                    control(&format!("datahash = {}", hex::encode(sha256(b"data")))),
                    b"data".to_vec(),
                ]
                .concat(),
                "verifying signature: crypto/rsa: verification error",
            ),
        ] {
            let message = refusal(&apk);
            assert!(message.starts_with(expected), "{message}");
        }
    }
}
