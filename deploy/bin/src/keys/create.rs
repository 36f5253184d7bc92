//! The first keys of an instance, and the certificates over them.

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

use super::{KeysError, Places, keyring, make_key, place, service_url};
use crate::layout::Layout;
use crate::public_url::PublicUrl;

/// Everything is valid from a little before its making, for clients whose clocks are behind.
const BACKDATE: i64 = 300;
const YEAR: i64 = 365 * 24 * 3600;

/// Makes every key and writes it, and gives the registry that lists them. The registry itself is the caller's to write,
/// last.
pub(super) fn create(
    layout: &Layout,
    url: &PublicUrl,
    places: &Places,
    now: SystemTime,
) -> Result<Registry, KeysError> {
    let maker = Maker::new(layout, url, places, now)?;
    let mut registry = Registry::new(url.host(), url.issuer());
    registry.add(maker.certificate_authority(1)?)?;
    registry.add(maker.log(
        Role::CtLog,
        "ct-log-1",
        &fulcio_ct::origin_of(&service_url(Role::CtLog, url))?,
        KeyAlgorithm::EcdsaP256,
    )?)?;
    // sigstore-go checks signed entry timestamps with ECDSA only (`pkg/tlog/entry.go`, VerifySET).
    registry.add(maker.log(Role::RekorV1, "rekor-v1-1", url.host(), KeyAlgorithm::EcdsaP256)?)?;
    registry.add(maker.log(Role::RekorV2, "rekor-v2-1", url.host(), KeyAlgorithm::Ed25519)?)?;
    registry.add(maker.timestamp_authority(1)?)?;
    // P-256 is the one curve every TUF client verifies (sigstore-java refuses P-384).
    registry.add(
        maker
            .key(Role::TufRoot, "tuf-root-1", "", KeyAlgorithm::EcdsaP256)?
            .0,
    )?;
    registry.add(
        maker
            .key(Role::TufOnline, "tuf-online-1", "", KeyAlgorithm::EcdsaP256)?
            .0,
    )?;
    Ok(registry)
}

/// Makes keys and the records of them.
pub(super) struct Maker<'a> {
    keyring: Keyring,
    places: &'a Places,
    url: &'a PublicUrl,
    start: Timestamp,
}

impl<'a> Maker<'a> {
    /// For keys that are made at their `places` and valid from a little before `now`.
    pub(super) fn new(
        layout: &Layout,
        url: &'a PublicUrl,
        places: &'a Places,
        now: SystemTime,
    ) -> Result<Self, KeysError> {
        let start = Timestamp::from_system_time(now).ok_or(KeysError::System("the clock is before 1970"))?;
        Ok(Maker {
            keyring: keyring(layout),
            places,
            url,
            start: start.plus_seconds(-BACKDATE),
        })
    }

    fn make(&self, id: &str, algorithm: KeyAlgorithm) -> Result<(Arc<dyn Signer>, String), KeysError> {
        make_key(&self.keyring, self.places.of(id), id, algorithm)
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
        place(&mut record, self.url);
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
            subject: distinguished_name(&format!("sigbox {}", self.url.host()), &format!("sigbox {name}")),
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
