//! Reading a JAR within bounds, and verifying its one signature (`sassoftware/relic lib/signjar/verify.go`).

use std::collections::HashMap;
use std::io::{Cursor, Read};

use common_pki::cms::SignedData;
use common_pki::key::HashAlgorithm;
use common_pki::oid;
use zip::ZipArchive;

use super::manifest::{Manifest, Section};
use crate::error::Invalid;

/// Most octets of a file with digests or signatures (`rekor cmd/rekor-server/app/root.go max_jar_metadata_size`).
const MAX_METADATA: u64 = 1024 * 1024;
/// Most octets of all of those, which are held at once: manifest, signature file and signature of the largest size, and as much
/// again for signatures of no signature file.
const MAX_ALL_METADATA: u64 = 4 * MAX_METADATA;
/// Most octets of all files together. Upstream has no bound, so a small archive keeps it busy for minutes.
const MAX_INFLATED: u64 = 256 * 1024 * 1024;
/// Most files.
const MAX_FILES: usize = 65_535;

type Zip<'a> = ZipArchive<Cursor<&'a [u8]>>;

/// Verifies the archive, and gives its signature without content and the first certificate in it, both DER.
pub(super) fn verify(jar: &[u8]) -> Result<(Vec<u8>, Vec<u8>), Invalid> {
    let mut zip = ZipArchive::new(Cursor::new(jar)).map_err(broken)?;
    if zip.len() > MAX_FILES {
        return Err(Invalid::TooMany {
            what: "files in the archive",
            got: zip.len(),
            limit: MAX_FILES,
        });
    }
    let mut budget = MAX_ALL_METADATA;
    let metadata = Metadata::read(&mut zip, &mut budget)?;
    // What is left of it goes to the other files.
    budget = budget.saturating_add(MAX_INFLATED.saturating_sub(MAX_ALL_METADATA));
    let signature = SignedData::from_der(&metadata.signature)?;
    signature.verify(&metadata.digests)?;
    check_timestamps(&signature)?;

    let manifest = Manifest::parse(&metadata.manifest)?;
    check_digests(
        &Manifest::parse(&metadata.digests)?,
        &manifest,
        &metadata.manifest,
    )?;
    for section in manifest.files()? {
        check_file(&mut zip, section, &mut budget)?;
    }
    let certificate = signature
        .certificates
        .first()
        .ok_or(Invalid::Package("no certificate in the signature of the JAR"))?;
    Ok((signature.detached(), certificate.to_der().to_vec()))
}

fn broken(error: zip::result::ZipError) -> Invalid {
    Invalid::Archive("JAR", error.to_string())
}

/// The files of a signature.
struct Metadata {
    manifest: Vec<u8>,
    /// The signature file, `.SF`.
    digests: Vec<u8>,
    signature: Vec<u8>,
}

impl Metadata {
    fn read(zip: &mut Zip<'_>, budget: &mut u64) -> Result<Self, Invalid> {
        let (mut manifest, mut digests, mut signatures) = (None, None, HashMap::new());
        for index in 0..zip.len() {
            let mut file = zip.by_index(index).map_err(broken)?;
            let name = file.name().map_err(broken)?.to_uppercase();
            let Some(name) = name.strip_prefix("META-INF/").filter(|name| !name.contains('/')) else {
                continue;
            };
            let Some((base, extension)) = name.rsplit_once('.') else {
                continue;
            };
            let is_signature = matches!(extension, "RSA" | "DSA" | "EC") || name.starts_with("SIG-");
            if name == "MANIFEST.MF" {
                manifest = Some(inflate(&mut file, budget)?);
            } else if extension == "SF" {
                if digests.is_some() {
                    return Err(Invalid::Package(
                        "multiple signatures detected in JAR; unable to process",
                    ));
                }
                digests = Some((base.to_owned(), inflate(&mut file, budget)?));
            } else if is_signature {
                signatures.insert(base.to_owned(), inflate(&mut file, budget)?);
            }
        }
        let manifest = manifest.ok_or(Invalid::Package("JAR contains no META-INF/MANIFEST.MF"))?;
        let (base, digests) = digests.ok_or(Invalid::Package("no signatures detected in JAR archive"))?;
        let signature = signatures.remove(&base).ok_or(Invalid::Package(
            "JAR contains a signature file with no matching signature",
        ))?;
        Ok(Self {
            manifest,
            digests,
            signature,
        })
    }
}

/// The contents of a small file, whatever the archive says that its size is.
fn inflate(file: &mut impl Read, budget: &mut u64) -> Result<Vec<u8>, Invalid> {
    let mut contents = Vec::new();
    let limit = MAX_METADATA.min(*budget);
    let (what, most) = if limit < MAX_METADATA {
        ("all jar metadata", MAX_ALL_METADATA)
    } else {
        ("jar metadata", MAX_METADATA)
    };
    let read = file.take(limit.saturating_add(1)).read_to_end(&mut contents);
    let got = read.map_err(|error| Invalid::Archive("JAR", error.to_string()))? as u64;
    if got > limit {
        return Err(Invalid::Inflated { what, limit: most });
    }
    *budget = budget.saturating_sub(got);
    Ok(contents)
}

/// A timestamp over the signature is optional, and has to be one if it is there (RFC 3161 appendix A).
fn check_timestamps(signature: &SignedData<'_>) -> Result<(), Invalid> {
    for timestamp in signature.timestamps()? {
        let token = SignedData::from_der(timestamp.token)?;
        let content = token
            .content
            .filter(|_| token.content_type == oid::TST_INFO)
            .ok_or(Invalid::Package("the timestamp in the JAR is none"))?;
        token.verify(content)?;
        let info = common_pki::tsp::TstInfo::from_der(content)?;
        if !info.imprint.is_of(timestamp.signature) {
            return Err(Invalid::Package(
                "the timestamp in the JAR is of another signature",
            ));
        }
    }
    Ok(())
}

/// The signature file speaks for the manifest as a whole, or else for each section that it names.
fn check_digests(digests: &Manifest<'_>, manifest: &Manifest<'_>, whole: &[u8]) -> Result<(), Invalid> {
    let main = digests.main()?;
    if check(&main, "-Digest-Manifest", whole)? {
        return Ok(());
    }
    let attributes = manifest.main()?;
    if !check(&main, "-Digest-Manifest-Main-Attributes", attributes.text)? {
        return Err(Invalid::Package("no recognized digests found"));
    }
    let sections = manifest.files()?;
    let by_name: HashMap<&str, &Section<'_>> = sections
        .iter()
        .filter_map(|section| Some((section.name()?, section)))
        .collect();
    for section in digests.files()? {
        let signed = section.name().and_then(|name| by_name.get(name));
        let signed = signed.ok_or(Invalid::Package("manifest is missing signed section"))?;
        if !check(&section, "-Digest", signed.text)? {
            return Err(Invalid::Package("no recognized digests found"));
        }
    }
    Ok(())
}

/// Whether the section has a digest we compute; all of them have to be those of the contents.
///
/// Names of hashes that are broken or unknown say nothing, where upstream verifies them too: one good digest is needed.
fn check(section: &Section<'_>, suffix: &str, contents: &[u8]) -> Result<bool, Invalid> {
    let mut found = false;
    for (hash, value) in section.digests(suffix) {
        if !crate::encoding::is_base64_of(value, &hash.digest(contents)) {
            return Err(Invalid::Package("a digest in the JAR does not match"));
        }
        found = true;
    }
    Ok(found)
}

fn check_file(zip: &mut Zip<'_>, section: Section<'_>, budget: &mut u64) -> Result<(), Invalid> {
    if section.get("Magic").is_some() {
        return Ok(());
    }
    let name = section.name().unwrap_or_default();
    let digests: Vec<(HashAlgorithm, &str)> = section.digests("-Digest").collect();
    if digests.is_empty() {
        return Err(Invalid::Package("no recognized digests found"));
    }
    let mut file = zip
        .by_name(name)
        .map_err(|_| Invalid::Package("a file is in the manifest but not in the JAR"))?;
    let mut hashers: Vec<_> = digests.iter().map(|(hash, _)| hash.hasher()).collect();
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let got = file
            .read(&mut buffer)
            .map_err(|error| Invalid::Archive("JAR", error.to_string()))?;
        let Some(chunk) = buffer.get(..got).filter(|chunk| !chunk.is_empty()) else {
            break;
        };
        *budget = budget.checked_sub(got as u64).ok_or(Invalid::Inflated {
            what: "the files of the JAR",
            limit: MAX_INFLATED,
        })?;
        for hasher in &mut hashers {
            hasher.update(chunk);
        }
    }
    for ((_, value), hasher) in digests.iter().zip(hashers) {
        if !crate::encoding::is_base64_of(value, &hasher.finish()) {
            return Err(Invalid::Package("a digest in the JAR does not match"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

    use std::io::Write as _;

    use serde_json::Value;
    use zip::ZipWriter;
    use zip::write::SimpleFileOptions;

    use super::*;
    use crate::encoding::decode_standard;
    use crate::tests::exchanges;

    fn zipped(files: &[(&str, &[u8])]) -> Vec<u8> {
        let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
        for (name, contents) in files {
            writer.start_file(*name, SimpleFileOptions::default()).unwrap();
            writer.write_all(contents).unwrap();
        }
        writer.finish().unwrap().into_inner()
    }

    fn refusal(files: &[(&str, &[u8])]) -> String {
        verify(&zipped(files)).unwrap_err().to_string()
    }

    /// GHSA-2h5h-59f5-c5x9: members were inflated without bound.
    #[test]
    fn metadata_that_inflates_beyond_its_bound_is_refused() {
        let zeros = vec![0; usize::try_from(MAX_METADATA).unwrap() + 1];
        for name in [
            "META-INF/MANIFEST.MF",
            "META-INF/A.SF",
            "meta-inf/a.rsa",
            "META-INF/SIG-A.B",
        ] {
            let message = refusal(&[(name, &zeros)]);
            assert_eq!(
                message,
                "decompressed size of jar metadata exceeds max allowed size 1048576"
            );
        }
    }

    /// 256 of them, each a MiB of zeros, were all inflated and held before they were counted.
    #[test]
    fn metadata_is_bounded_as_a_whole_and_a_second_signature_file_is_not_inflated() {
        let full: Vec<u8> = vec![0; usize::try_from(MAX_METADATA).unwrap()];
        let longer: Vec<u8> = vec![0; full.len() + 1];
        let (manifest, digests) = (("META-INF/MANIFEST.MF", &full[..]), ("META-INF/A.SF", &full[..]));
        assert_eq!(
            refusal(&[digests, ("META-INF/B.SF", &longer[..])]),
            "multiple signatures detected in JAR; unable to process"
        );
        let signatures = ["META-INF/B.RSA", "META-INF/C.DSA", "META-INF/D.EC"].map(|name| (name, &full[..]));
        let [first, second, third] = signatures;
        assert_eq!(
            refusal(&[manifest, digests, first, second, third]),
            "decompressed size of all jar metadata exceeds max allowed size 4194304"
        );
        // The largest of each is read: there is no signature of this name.
        assert_eq!(
            refusal(&[manifest, digests, first, second]),
            "JAR contains a signature file with no matching signature"
        );
    }

    #[test]
    fn archives_that_lack_something_say_what() {
        let manifest: (&str, &[u8]) = ("META-INF/MANIFEST.MF", b"Manifest-Version: 1.0\r\n\r\n");
        let digests: (&str, &[u8]) = ("META-INF/A.SF", b"Signature-Version: 1.0\r\n\r\n");
        for (files, expected) in [
            (vec![("other", &b""[..])], "JAR contains no META-INF/MANIFEST.MF"),
            (vec![manifest], "no signatures detected in JAR archive"),
            (
                vec![manifest, digests],
                "JAR contains a signature file with no matching signature",
            ),
            (
                vec![manifest, digests, ("META-INF/B.SF", b"")],
                "multiple signatures detected in JAR; unable to process",
            ),
            (
                vec![manifest, digests, ("META-INF/A.RSA", b"0")],
                "not valid DER: ",
            ),
        ] {
            let message = refusal(&files);
            assert!(message.starts_with(expected), "{message}");
        }
        assert!(verify(b"no zip").is_err());
    }

    #[test]
    fn no_flipped_byte_of_a_signed_archive_changes_what_is_logged() {
        let packages = exchanges("rekor-v1/packages.jsonl");
        let Some(recorded) = packages
            .iter()
            .find(|exchange| exchange.name().starts_with("jar"))
        else {
            return;
        };
        let request: Value = serde_json::from_str(recorded.request()).unwrap();
        let jar = decode_standard(request["spec"]["archive"]["content"].as_str().unwrap()).unwrap();
        let whole = verify(&jar).unwrap();
        let mut refused = 0;
        for at in (0..jar.len()).step_by(7) {
            let mut flipped = jar.clone();
            flipped[at] ^= 0x10;
            match verify(&flipped) {
                Ok((signature, _)) => assert_eq!(signature.len(), whole.0.len(), "byte {at}"),
                Err(_) => refused += 1,
            }
        }
        assert!(
            refused * 7 > jar.len() / 2,
            "{refused} refused of {} tried",
            jar.len() / 7
        );
    }
}
