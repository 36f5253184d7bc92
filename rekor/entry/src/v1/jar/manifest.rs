//! `MANIFEST.MF` and signature files: sections of `Name: value` lines (`sassoftware/relic lib/signjar/manifest.go`).

use std::borrow::Cow;

use common_pki::key::HashAlgorithm;

use crate::error::Invalid;

/// Most sections, one for each file.
const MAX_SECTIONS: usize = 65_536;

pub(super) struct Manifest<'a> {
    /// The main attributes, then one section for each file.
    sections: Vec<&'a [u8]>,
}

impl<'a> Manifest<'a> {
    /// Splits behind empty lines. Where there is one of `\r\n` anywhere ahead, those of `\n` do not count, as upstream has it.
    pub(super) fn parse(text: &'a [u8]) -> Result<Self, Invalid> {
        let mut sections = Vec::new();
        let mut rest = text;
        // Once there is none ahead there will be none: the search must not be made again for each section.
        let mut dos = true;
        while !rest.is_empty() {
            let mut end = dos.then(|| behind(rest, b"\r\n\r\n")).flatten();
            dos = end.is_some();
            if end.is_none() {
                end = behind(rest, b"\n\n");
            }
            let end = end.ok_or(Invalid::Package("manifest: trailing bytes after last newline"))?;
            let (section, after) = rest.split_at_checked(end).unwrap_or((rest, &[]));
            sections.push(section);
            rest = after;
            if sections.len() > MAX_SECTIONS {
                return Err(Invalid::TooMany {
                    what: "sections of a manifest",
                    got: sections.len(),
                    limit: MAX_SECTIONS,
                });
            }
        }
        if sections.is_empty() {
            return Err(Invalid::Package("jar manifest is empty"));
        }
        Ok(Self { sections })
    }

    pub(super) fn main(&self) -> Result<Section<'a>, Invalid> {
        Section::parse(self.sections.first().copied().unwrap_or_default())
    }

    /// The sections of files. Where one comes twice, the last counts.
    pub(super) fn files(&self) -> Result<Vec<Section<'a>>, Invalid> {
        let files = self.sections.iter().skip(1).map(|text| {
            let section = Section::parse(text)?;
            match section.name() {
                Some(name) if !name.is_empty() => Ok(section),
                _ => Err(Invalid::Package(
                    "manifest has section with no \"Name\" attribute",
                )),
            }
        });
        files.collect()
    }
}

fn behind(text: &[u8], mark: &[u8]) -> Option<usize> {
    let at = text.windows(mark.len()).position(|window| window == mark)?;
    Some(at.saturating_add(mark.len()))
}

pub(super) struct Section<'a> {
    /// As it is in the file: what digests are over.
    pub(super) text: &'a [u8],
    attributes: Vec<(String, String)>,
}

impl<'a> Section<'a> {
    fn parse(text: &'a [u8]) -> Result<Self, Invalid> {
        let decoded = String::from_utf8_lossy(text).replace("\r\n", "\n");
        // A line that begins with a space goes on with the one before it.
        let joined: Cow<'_, str> = decoded.replace("\n ", "").into();
        let lines = joined.split('\n').filter(|line| !line.is_empty());
        let attributes = lines.map(|line| {
            let (name, value) = line
                .split_once(':')
                .ok_or(Invalid::Package("jar manifest is malformed"))?;
            Ok((name.trim().to_owned(), value.trim().to_owned()))
        });
        Ok(Self {
            text,
            attributes: attributes.collect::<Result<_, Invalid>>()?,
        })
    }

    /// The last attribute of that name; case does not count.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        let mut found = self.attributes.iter().rev();
        let (_, value) = found.find(|(known, _)| known.eq_ignore_ascii_case(name))?;
        Some(value)
    }

    pub(super) fn name(&self) -> Option<&str> {
        self.get("Name")
    }

    /// Values of the attributes `<hash><suffix>`, for the hashes we compute.
    pub(super) fn digests(&self, suffix: &str) -> impl Iterator<Item = (HashAlgorithm, &str)> {
        const NAMES: [(HashAlgorithm, [&str; 2]); 3] = [
            (HashAlgorithm::Sha256, ["SHA-256", "SHA256"]),
            (HashAlgorithm::Sha384, ["SHA-384", "SHA384"]),
            (HashAlgorithm::Sha512, ["SHA-512", "SHA512"]),
        ];
        NAMES.into_iter().flat_map(move |(hash, names)| {
            names
                .into_iter()
                .filter_map(move |name| Some((hash, self.get(&format!("{name}{suffix}"))?)))
        })
    }
}
