//! The first keys of an instance, and the certificates over them.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::SystemTime;

use aws_lc_rs::rand;
use common_backend::signer::Keyring;
use common_bundle::trust::{KeyRecord, Registry, Role, Timestamp};
use common_pki::cert::{
    CaProfile, Certificate, Serial, distinguished_name, intermediate, self_signed_root, timestamping_leaf,
};
use common_pki::key::{KeyAlgorithm, PublicKey, Signer};
use common_pki::oid;

use super::{KeysError, Places, keyring, make_key, place, service_url, try_out};
use crate::layout::Layout;
use crate::site::Site;

/// Everything is valid from a little before its making, for clients whose clocks are behind.
const BACKDATE: i64 = 300;
const YEAR: i64 = 365 * 24 * 3600;

/// Makes and writes a key for each role of `site` that `registry` has none of, and lists it. The registry itself is the
/// caller's to write, last.
pub(super) fn complete(
    registry: &mut Registry,
    layout: &Layout,
    site: &Site,
    places: &Places,
    now: SystemTime,
) -> Result<(), KeysError> {
    let maker = Maker::new(registry, layout, site, places, now)?;
    for role in Role::ALL.into_iter().filter(|role| site.roles().has(*role)) {
        if registry.by_role(role).is_empty() {
            registry.add(maker.first(role)?)?;
        }
    }
    Ok(())
}

/// Makes keys and the records of them. No two are the same, and each has signed something.
pub(super) struct Maker<'a> {
    /// The SubjectPublicKeyInfo of each key that is registered or was made here, and what it is.
    taken: RefCell<HashMap<Vec<u8>, String>>,
    keyring: Keyring,
    places: &'a Places,
    site: &'a Site,
    start: Timestamp,
}

impl<'a> Maker<'a> {
    /// For keys that `registry` does not have, are made at their `places` and valid from a little before `now`.
    pub(super) fn new(
        registry: &Registry,
        layout: &Layout,
        site: &'a Site,
        places: &'a Places,
        now: SystemTime,
    ) -> Result<Self, KeysError> {
        let start = Timestamp::from_system_time(now).ok_or(KeysError::System("the clock is before 1970"))?;
        let registered = registry.keys.iter().map(|key| (key.spki.clone(), key.id.clone()));
        Ok(Maker {
            taken: RefCell::new(registered.collect()),
            keyring: keyring(layout),
            places,
            site,
            start: start.plus_seconds(-BACKDATE),
        })
    }

    /// The key that a role begins with.
    fn first(&self, role: Role) -> Result<KeyRecord, KeysError> {
        let host = self.site.url_behind(role).host();
        // P-256 is the one curve every TUF client verifies (sigstore-java refuses P-384).
        let tuf = |id| Ok(self.key(role, id, "", KeyAlgorithm::EcdsaP256)?.0);
        match role {
            Role::FulcioCa => self.certificate_authority(1),
            Role::CtLog => {
                let origin = fulcio_ct::origin_of(&service_url(role, self.site))?;
                self.log(role, "ct-log-1", &origin, KeyAlgorithm::EcdsaP256)
            }
            // sigstore-go checks signed entry timestamps with ECDSA only (`pkg/tlog/entry.go`, VerifySET).
            Role::RekorV1 => self.log(role, "rekor-v1-1", host, KeyAlgorithm::EcdsaP256),
            Role::RekorV2 => self.log(role, "rekor-v2-1", host, KeyAlgorithm::Ed25519),
            Role::Tsa => self.timestamp_authority(1),
            Role::TufRoot => tuf("tuf-root-1"),
            Role::TufOnline => tuf("tuf-online-1"),
        }
    }

    fn make(&self, id: &str, algorithm: KeyAlgorithm) -> Result<(Arc<dyn Signer>, String), KeysError> {
        let (signer, uri) = make_key(&self.keyring, self.places.of(id), id, algorithm)?;
        let key = signer.public_key().spki_der().to_vec();
        if let Some(other) = self.taken.borrow_mut().insert(key, id.to_owned()) {
            return Err(KeysError::Same {
                id: id.to_owned(),
                uri,
                other,
                name: id.rsplit_once('-').map_or(id, |(name, _)| name).to_owned(),
            });
        }
        try_out(id, &*signer)?;
        Ok((signer, uri))
    }

    pub(super) fn key(
        &self,
        role: Role,
        id: &str,
        origin: &str,
        algorithm: KeyAlgorithm,
    ) -> Result<(KeyRecord, Arc<dyn Signer>), KeysError> {
        let (signer, uri) = self.make(id, algorithm)?;
        let mut record = KeyRecord::new(role, id, signer.public_key(), "", origin, self.start)?;
        record.signer = uri;
        place(&mut record, self.site);
        Ok((record, signer))
    }

    pub(super) fn log(
        &self,
        role: Role,
        id: &str,
        origin: &str,
        algorithm: KeyAlgorithm,
    ) -> Result<KeyRecord, KeysError> {
        Ok(self.key(role, id, origin, algorithm)?.0)
    }

    /// P-384 root over a P-256 issuer.
    pub(super) fn certificate_authority(&self, number: u32) -> Result<KeyRecord, KeysError> {
        let (mut record, signer) = self.key(
            Role::FulcioCa,
            &format!("fulcio-ca-{number}"),
            "",
            KeyAlgorithm::EcdsaP256,
        )?;
        let (root, root_signer) =
            self.root(&format!("fulcio-root-{number}"), &numbered("Fulcio root", number))?;
        let profile = self.profile(&numbered("Fulcio issuer", number), 10)?;
        let issuer = intermediate(
            profile,
            signer.public_key(),
            &oid::CODE_SIGNING,
            &root,
            &*root_signer,
        )?;
        record.cert_chain = der(&[issuer, root]);
        Ok(record)
    }

    /// P-384 root and intermediate over a P-256 leaf: every verifier wants at least two certificates, and ECDSA
    /// (sigstore-js `core/rfc3161/timestamp.ts`).
    pub(super) fn timestamp_authority(&self, number: u32) -> Result<KeyRecord, KeysError> {
        let (mut record, signer) =
            self.key(Role::Tsa, &format!("tsa-{number}"), "", KeyAlgorithm::EcdsaP256)?;
        let (root, root_signer) = self.root(&format!("tsa-root-{number}"), &numbered("TSA root", number))?;
        let (parent_signer, _) = self.make(&format!("tsa-intermediate-{number}"), KeyAlgorithm::EcdsaP384)?;
        let parent_key: &PublicKey = parent_signer.public_key();
        let parent = intermediate(
            self.profile(&numbered("TSA intermediate", number), 10)?,
            parent_key,
            &oid::TIME_STAMPING,
            &root,
            &*root_signer,
        )?;
        let leaf = timestamping_leaf(
            self.profile(&numbered("TSA", number), 9)?,
            signer.public_key(),
            &parent,
            &*parent_signer,
        )?;
        record.cert_chain = der(&[leaf, parent, root]);
        Ok(record)
    }

    fn root(&self, id: &str, name: &str) -> Result<(Certificate, Arc<dyn Signer>), KeysError> {
        let (signer, _) = self.make(id, KeyAlgorithm::EcdsaP384)?;
        Ok((self_signed_root(self.profile(name, 10)?, &*signer)?, signer))
    }

    /// Lifetimes of timestamp-authority `pkg/signer/memory.go`: ten years, and nine for what signs at the end.
    fn profile(&self, name: &str, years: i64) -> Result<CaProfile, KeysError> {
        let mut random = [0; 20];
        rand::fill(&mut random).map_err(|_| KeysError::System("no random numbers"))?;
        let unix = |time: Timestamp| {
            u64::try_from(time.unix()).map_err(|_| KeysError::System("the clock is before 1970"))
        };
        Ok(CaProfile {
            subject: distinguished_name(
                &format!("sigbox {}", self.site.url().host()),
                &format!("sigbox {name}"),
            ),
            serial: Serial::from_random(random),
            not_before: unix(self.start)?,
            not_after: unix(self.start.plus_seconds(years.saturating_mul(YEAR)))?,
        })
    }
}

/// Names of authorities differ, so that a chain is found by its issuer alone.
fn numbered(name: &str, number: u32) -> String {
    if number == 1 {
        name.to_owned()
    } else {
        format!("{name} {number}")
    }
}

fn der(chain: &[Certificate]) -> Vec<Vec<u8>> {
    chain
        .iter()
        .map(|certificate| certificate.to_der().to_vec())
        .collect()
}
