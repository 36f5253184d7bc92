#![allow(
    clippy::unwrap_used,
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    reason = "tests"
)]

use common_pki::key::{KeyAlgorithm, LocalSigner};

use super::*;
use crate::trust::testkit::signer;
use crate::tuf::testkit::{DAY, Keys, Server, day, target};
use crate::tuf::{KeySet, Lifetimes, Repository, Signers};

const YEAR: i64 = 365 * 86_400;

/// Three holders of whom two must sign, and the key that the server keeps.
struct Ceremony {
    old: Keys,
    holders: [LocalSigner; 3],
    repository: Repository,
    server: Server,
}

impl Ceremony {
    fn new() -> Ceremony {
        let old = Keys::new();
        let (repository, server) = Server::create(&old, &[target("trusted_root.json", "{}")]);
        let holders = std::array::from_fn(|_| signer(KeyAlgorithm::EcdsaP256));
        Ceremony {
            old,
            holders,
            repository,
            server,
        }
    }

    fn keys(&self) -> RootKeys {
        let online = KeySet::single(self.old.online.public_key());
        RootKeys {
            root: KeySet {
                keys: self
                    .holders
                    .iter()
                    .map(|holder| holder.public_key().clone())
                    .collect(),
                threshold: 2,
            },
            targets: online.clone(),
            snapshot: online.clone(),
            timestamp: online,
        }
    }

    fn propose(&self) -> Proposal {
        Proposal::new(self.repository.root(), &self.keys(), YEAR, day(1)).unwrap()
    }

    fn accept(&mut self, proposal: &Proposal, at: u64) -> Result<(), TufError> {
        let online: [&dyn Signer; 1] = [&self.old.online];
        let signers = Signers {
            root: &[],
            targets: &online,
            snapshot: &online,
            timestamp: &online,
        };
        let files = self
            .repository
            .accept_root(proposal, Lifetimes::default(), day(at), signers)?;
        self.server.0.extend(files);
        Ok(())
    }
}

#[test]
fn a_root_passes_to_several_holders_and_from_them_to_others() {
    let mut ceremony = Ceremony::new();
    let mut proposal = ceremony.propose();
    let current = ceremony.repository.root().clone();

    proposal.sign(&ceremony.old.root, Some(&current)).unwrap();
    proposal.sign(&ceremony.holders[0], Some(&current)).unwrap();
    assert!(proposal.progress(&current).unwrap().is_complete());
    let progress = proposal.progress(proposal.root()).unwrap();
    assert_eq!(
        (progress.signed.len(), progress.missing.len(), progress.threshold),
        (1, 2, 2)
    );
    let refused = ceremony.accept(&proposal, 1).unwrap_err();
    assert!(
        matches!(
            refused,
            TufError::Threshold {
                valid: 1,
                threshold: 2,
                ..
            }
        ),
        "{refused}"
    );
    assert_eq!(ceremony.repository.root().version, 1);

    // On to the next holder, as a file; signing again changes nothing.
    let mut proposal = Proposal::parse(&proposal.to_json().unwrap()).unwrap();
    proposal.sign(&ceremony.holders[2], None).unwrap();
    proposal.sign(&ceremony.holders[2], None).unwrap();
    ceremony.accept(&proposal, 1).unwrap();
    ceremony.server.verified("1.root.json", day(2)).unwrap();

    // The key that had been in force alone no longer counts.
    let mut next = ceremony.propose();
    let root = ceremony.repository.root().clone();
    let refused = next.sign(&ceremony.old.root, Some(&root)).unwrap_err();
    assert!(matches!(refused, TufError::NoRootKey(_)), "{refused}");
    next.sign(&ceremony.holders[0], Some(&root)).unwrap();
    next.sign(&ceremony.holders[1], Some(&root)).unwrap();
    ceremony.accept(&next, 3).unwrap();
    ceremony.server.verified("1.root.json", day(4)).unwrap();
    assert_eq!(ceremony.repository.root().version, 3);
}

#[test]
fn what_clients_would_refuse_is_not_taken() {
    let mut ceremony = Ceremony::new();
    let signed = |mut proposal: Proposal, ceremony: &Ceremony| {
        for key in [&ceremony.old.root, &ceremony.holders[0], &ceremony.holders[1]] {
            proposal.sign(key, Some(ceremony.repository.root())).unwrap();
        }
        proposal
    };
    let good = signed(ceremony.propose(), &ceremony);

    let late = ceremony.accept(&good, 400).unwrap_err();
    assert!(matches!(late, TufError::Expired { .. }), "{late}");

    let text = String::from_utf8(good.to_json().unwrap()).unwrap();
    let raised = Proposal::parse(text.replace("\"version\": 2", "\"version\": 3").as_bytes()).unwrap();
    let skipped = ceremony.accept(&raised, 1).unwrap_err();
    assert!(
        matches!(
            skipped,
            TufError::Version {
                expected: 2,
                got: 3,
                ..
            }
        ),
        "{skipped}"
    );

    let lowered = Proposal::parse(text.replace("\"threshold\": 2", "\"threshold\": 1").as_bytes()).unwrap();
    let changed = ceremony.accept(&lowered, 1).unwrap_err();
    assert!(
        matches!(changed, TufError::Threshold { valid: 0, .. }),
        "{changed}"
    );

    ceremony.accept(&good, 1).unwrap();
    let again = ceremony.accept(&good, 1).unwrap_err();
    assert!(
        matches!(
            again,
            TufError::Version {
                expected: 3,
                got: 2,
                ..
            }
        ),
        "{again}"
    );
}

#[test]
fn a_threshold_that_cannot_be_reached_is_not_proposed() {
    let ceremony = Ceremony::new();
    let mut keys = ceremony.keys();
    keys.root.threshold = 4;
    assert!(Proposal::new(ceremony.repository.root(), &keys, YEAR, day(1)).is_err());
    keys.root.threshold = 0;
    assert!(Proposal::new(ceremony.repository.root(), &keys, YEAR, day(1)).is_err());
    // One holder twice is one holder.
    keys.root.keys = vec![ceremony.holders[0].public_key().clone(); 2];
    keys.root.threshold = 2;
    assert!(Proposal::new(ceremony.repository.root(), &keys, YEAR, day(1)).is_err());
}

#[test]
fn the_server_renews_a_root_only_with_its_holders() {
    let ceremony = Ceremony::new();
    let mut repository = ceremony.repository.clone();
    let now = day(300);
    ceremony
        .old
        .with(|signers| repository.renew_root(Lifetimes::default(), now, signers))
        .unwrap();
    assert_eq!(repository.root().version, 2);
    assert_eq!(repository.root().roles, ceremony.repository.root().roles);
    let none = repository.renew_root(
        Lifetimes::default(),
        now + std::time::Duration::from_secs(DAY),
        Signers::default(),
    );
    assert!(matches!(none, Err(TufError::TooFewSigners { .. })));
}
