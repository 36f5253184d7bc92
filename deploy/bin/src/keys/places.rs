//! Where the keys of an instance are made, each by its name.

use std::collections::BTreeMap;
use std::str::FromStr;

use common_backend::signer;
use common_bundle::trust::{Registry, Role};
use serde::{Deserialize, Serialize};

/// The names of keys, and the role that has each: what follows in an id is a number, `ct-log-1`.
pub(crate) const NAMES: [(&str, Role); 10] = [
    ("ct-log", Role::CtLog),
    ("fulcio-ca", Role::FulcioCa),
    ("fulcio-root", Role::FulcioCa),
    ("rekor-v1", Role::RekorV1),
    ("rekor-v2", Role::RekorV2),
    ("tsa", Role::Tsa),
    ("tsa-intermediate", Role::Tsa),
    ("tsa-root", Role::Tsa),
    ("tuf-online", Role::TufOnline),
    ("tuf-root", Role::TufRoot),
];
/// Unless told otherwise: in the `keys` folder.
const FILES: &str = "file:";

/// Not a place for keys.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BadPlace {
    /// Neither a URI nor a name and a URI. It is not repeated: it may be a secret.
    #[error(
        "expected URI or NAME=URI, such as pkcs11:token=sigbox?module-path=/usr/lib/softhsm/libsofthsm2.so or \
         rekor-v1=awskms:///alias/rekor"
    )]
    Syntax,
    /// No URI of a place that is known, or one with a secret in it.
    #[error("{0}")]
    Uri(String),
    /// No key is called that.
    #[error("no key is called {got:?}; keys are {}", NAMES.map(|(name, _)| name).join(", "))]
    Name {
        /// The name.
        got: String,
    },
    /// One name twice.
    #[error("the place of {0} is given twice")]
    Twice(String),
}

/// The place of one key, or of every key that has none of its own. As text `NAME=URI`, or `URI`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(crate) struct Place {
    name: Option<String>,
    uri: String,
}

impl Place {
    /// The place `uri` for the key `name`, or for every other with no name.
    ///
    /// # Errors
    /// [`BadPlace::Name`] and [`BadPlace::Uri`].
    pub(crate) fn new(name: Option<&str>, uri: &str) -> Result<Place, BadPlace> {
        if let Some(got) = name.filter(|name| role_of(name).is_none()) {
            return Err(BadPlace::Name { got: got.to_owned() });
        }
        signer::check(uri).map_err(|error| BadPlace::Uri(error.to_string()))?;
        Ok(Place {
            name: name.map(str::to_owned),
            uri: uri.to_owned(),
        })
    }

    /// The name of the key, where it is the place of one, if that key is not of `role`.
    pub(crate) fn of_another_role(&self, role: Role) -> Option<&str> {
        let name = self.name.as_deref()?;
        (role_of(name) != Some(role)).then_some(name)
    }
}

/// The role that has the keys of a name.
fn role_of(name: &str) -> Option<Role> {
    let found = NAMES.iter().find(|(known, _)| *known == name);
    found.map(|(_, role)| *role)
}

impl TryFrom<String> for Place {
    type Error = BadPlace;

    fn try_from(text: String) -> Result<Place, BadPlace> {
        text.parse()
    }
}

impl From<Place> for String {
    fn from(Place { name, uri }: Place) -> String {
        match name {
            Some(name) => format!("{name}={uri}"),
            None => uri,
        }
    }
}

impl FromStr for Place {
    type Err = BadPlace;

    fn from_str(text: &str) -> Result<Place, BadPlace> {
        // URIs have equals signs too; names have no colon.
        let named = text.split_once('=').filter(|(name, _)| !name.contains(':'));
        let (name, uri) = named.map_or((None, text), |(name, uri)| (Some(name), uri));
        if uri.contains(':') {
            Place::new(name, uri)
        } else {
            Err(BadPlace::Syntax)
        }
    }
}

/// The places of all keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Places {
    others: String,
    named: BTreeMap<String, String>,
}

impl Default for Places {
    fn default() -> Places {
        Places {
            others: FILES.to_owned(),
            named: BTreeMap::new(),
        }
    }
}

impl Places {
    /// # Errors
    /// [`BadPlace::Twice`].
    pub(crate) fn new(places: impl IntoIterator<Item = Place>) -> Result<Places, BadPlace> {
        let mut all = Places::default();
        let mut seen = std::collections::BTreeSet::new();
        for Place { name, uri } in places {
            if !seen.insert(name.clone()) {
                return Err(BadPlace::Twice(
                    name.unwrap_or_else(|| "every other key".to_owned()),
                ));
            }
            match name {
                Some(name) => drop(all.named.insert(name, uri)),
                None => all.others = uri,
            }
        }
        Ok(all)
    }

    /// Beside the newest keys of `registry`: a key that takes over is kept where its predecessor is, and the roots above an
    /// authority where its own key is.
    pub(crate) fn beside(registry: &Registry) -> Places {
        let mut named = BTreeMap::new();
        for (name, role) in NAMES {
            let newest = registry
                .keys
                .iter()
                .rfind(|key| key.role == role && !key.signer.is_empty());
            if let Some(key) = newest {
                named.insert(name.to_owned(), place_of(&key.signer));
            }
        }
        Places {
            named,
            ..Places::default()
        }
    }

    /// The same, but with those that are given: one without a name is for every key.
    pub(crate) fn with(mut self, places: &[Place]) -> Places {
        for Place { uri, .. } in places.iter().filter(|place| place.name.is_none()) {
            self.named.clear();
            self.others.clone_from(uri);
        }
        for Place { name, uri } in places {
            if let Some(name) = name {
                self.named.insert(name.clone(), uri.clone());
            }
        }
        self
    }

    /// Where the key `id` is made.
    pub(crate) fn of(&self, id: &str) -> &str {
        let name = id.rsplit_once('-').map_or(id, |(name, _)| name);
        self.named.get(name).unwrap_or(&self.others)
    }
}

/// A signer's URI without what names the key itself; as it is, where a place makes no keys.
fn place_of(uri: &str) -> String {
    let (path, query) = uri
        .split_once('?')
        .map_or((uri, ""), |(path, query)| (path, query));
    let mark = if query.is_empty() { "" } else { "?" };
    if path.starts_with(FILES) {
        return format!("{FILES}{mark}{query}");
    }
    match path.strip_prefix("pkcs11:") {
        Some(attributes) => {
            let kept = attributes.split(';').filter(|part| {
                !["object=", "id=", "type="]
                    .iter()
                    .any(|name| part.starts_with(name))
            });
            format!("pkcs11:{}{mark}{query}", kept.collect::<Vec<_>>().join(";"))
        }
        None => uri.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn a_key_is_made_at_its_own_place_or_at_that_of_all_others() {
        let places = [
            "pkcs11:token=a?pin-source=env:PIN",
            "tuf-root=file:?passphrase=env:P",
            "tsa=awskms:///alias/t",
        ];
        let places = Places::new(places.map(|place| place.parse().unwrap())).unwrap();
        assert_eq!(places.of("tuf-root-1"), "file:?passphrase=env:P");
        assert_eq!(places.of("tsa-2"), "awskms:///alias/t");
        assert_eq!(places.of("tsa-root-1"), "pkcs11:token=a?pin-source=env:PIN");
        assert_eq!(Places::default().of("ct-log-1"), "file:");
    }

    #[test]
    fn a_named_key_has_a_role() {
        let other = |text: &str, role| {
            let place: Place = text.parse().unwrap();
            place.of_another_role(role).map(str::to_owned)
        };
        assert_eq!(other("fulcio-root=file:", Role::FulcioCa), None);
        assert_eq!(other("file:", Role::FulcioCa), None);
        assert_eq!(other("tsa=file:", Role::FulcioCa).as_deref(), Some("tsa"));
    }

    #[test]
    fn a_successor_is_made_where_its_predecessor_is() {
        for (uri, place) in [
            ("file:ct-log-1.pem", "file:"),
            ("file:tsa-1.pem?passphrase=env:P", "file:?passphrase=env:P"),
            (
                "pkcs11:token=t;object=tsa-1?module-path=/m.so",
                "pkcs11:token=t?module-path=/m.so",
            ),
            ("pkcs11:slot-id=3;id=%01", "pkcs11:slot-id=3"),
            ("awskms:///alias/x", "awskms:///alias/x"),
        ] {
            assert_eq!(place_of(uri), place);
        }
    }

    #[test]
    fn places_that_are_given_come_before_those_of_predecessors() {
        let place = |text: &str| text.parse::<Place>().unwrap();
        let known = Places::new([place("tsa=awskms:///alias/t"), place("ct-log=awskms:///alias/c")]).unwrap();
        let one = known.clone().with(&[place("tsa=hashivault://t2")]);
        assert_eq!(
            (one.of("tsa-2"), one.of("ct-log-2")),
            ("hashivault://t2", "awskms:///alias/c")
        );
        let all = known.with(&[place("ct-log=file:"), place("pkcs11:token=b")]);
        assert_eq!((all.of("tsa-2"), all.of("ct-log-2")), ("pkcs11:token=b", "file:"));
        // Over the control socket they are what they were.
        for text in ["tsa=hashivault://t2", "pkcs11:token=b?pin-source=env:PIN"] {
            let json = serde_json::to_string(&place(text)).unwrap();
            assert_eq!(json, format!("{text:?}"));
            assert_eq!(serde_json::from_str::<Place>(&json).unwrap(), place(text));
        }
        assert!(serde_json::from_str::<Place>("\"rekor=file:\"").is_err());
    }

    #[test]
    fn what_is_no_place_is_refused() {
        for (text, expected) in [
            ("rekor=file:", "keys are ct-log"),
            ("tsa=hsm", "expected URI or NAME=URI"),
            ("hsm", "expected URI or NAME=URI"),
            ("tsa=hsm:1", "expected file:NAME.pem, pkcs11:"),
            ("tsa=pkcs11:object=x", "expected token=LABEL"),
            ("file:?passphrase=hunter2", "never the passphrase itself"),
        ] {
            let error = text.parse::<Place>().unwrap_err().to_string();
            assert!(error.contains(expected), "{text}: {error}");
        }
        let twice = ["file:", "pkcs11:token=a"].map(|place| place.parse().unwrap());
        assert!(Places::new(twice).unwrap_err().to_string().contains("twice"));
    }
}
