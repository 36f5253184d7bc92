//! Which pairs of key and hash a server takes signatures of (`--client-signing-algorithms`).

use common_pki::key::{HashAlgorithm, KeyAlgorithm};
use common_pki::registry::SigningAlgorithm;

/// A set of registered signing algorithms.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AlgorithmPolicy(Vec<SigningAlgorithm>);

/// A name that is in no registry, or that the API version cannot take.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown or unsupported signing algorithm {0:?}")]
pub struct UnknownAlgorithm(pub String);

impl AlgorithmPolicy {
    /// Rekor v1's default (`rekor cmd/rekor-server/app/root.go`); also the most it takes.
    #[must_use]
    pub fn rekor_v1() -> Self {
        let mut all = Self::rekor_v2();
        all.0.push(SigningAlgorithm::Ed25519);
        all
    }

    /// Rekor v2's default and maximum (`rekor-tiles internal/algorithmregistry`): what signs a digest, no pure Ed25519.
    #[must_use]
    pub fn rekor_v2() -> Self {
        Self(vec![
            SigningAlgorithm::RsaPkcs1v15_2048Sha256,
            SigningAlgorithm::RsaPkcs1v15_3072Sha256,
            SigningAlgorithm::RsaPkcs1v15_4096Sha256,
            SigningAlgorithm::EcdsaP256Sha256,
            SigningAlgorithm::EcdsaP384Sha384,
            SigningAlgorithm::EcdsaP521Sha512,
            SigningAlgorithm::Ed25519Ph,
        ])
    }

    /// Keeps only the algorithms with these flag names.
    ///
    /// # Errors
    /// A name is not one of the set's.
    pub fn restricted_to<'a>(
        &self,
        names: impl IntoIterator<Item = &'a str>,
    ) -> Result<Self, UnknownAlgorithm> {
        names
            .into_iter()
            .map(|name| {
                SigningAlgorithm::from_flag_name(name)
                    .filter(|algorithm| self.contains(*algorithm))
                    .ok_or_else(|| UnknownAlgorithm(name.to_owned()))
            })
            .collect::<Result<_, _>>()
            .map(Self)
    }

    /// Whether the set has this algorithm.
    #[must_use]
    pub fn contains(&self, algorithm: SigningAlgorithm) -> bool {
        self.0.contains(&algorithm)
    }

    /// Whether a signature by such a key over such a digest is taken.
    #[must_use]
    pub fn permits(&self, key: KeyAlgorithm, hash: HashAlgorithm) -> bool {
        self.0
            .iter()
            .any(|algorithm| algorithm.key_algorithm() == key && algorithm.hash() == Some(hash))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn default_pairs_are_the_registered_ones_only() {
        let policy = AlgorithmPolicy::rekor_v1();
        assert!(policy.permits(KeyAlgorithm::EcdsaP256, HashAlgorithm::Sha256));
        assert!(policy.permits(KeyAlgorithm::Ed25519, HashAlgorithm::Sha512));
        assert!(!policy.permits(KeyAlgorithm::EcdsaP384, HashAlgorithm::Sha256));
        assert!(!policy.permits(KeyAlgorithm::Rsa2048, HashAlgorithm::Sha512));
        assert!(!policy.permits(KeyAlgorithm::rsa(1024), HashAlgorithm::Sha256));
    }

    #[test]
    fn a_policy_only_narrows() {
        let narrow = AlgorithmPolicy::rekor_v2()
            .restricted_to(["ecdsa-sha2-256-nistp256"])
            .unwrap();
        assert!(narrow.permits(KeyAlgorithm::EcdsaP256, HashAlgorithm::Sha256));
        assert!(!narrow.permits(KeyAlgorithm::Rsa4096, HashAlgorithm::Sha256));
        assert!(AlgorithmPolicy::rekor_v2().restricted_to(["ed25519"]).is_err());
        assert!(AlgorithmPolicy::rekor_v1().restricted_to(["md5"]).is_err());
    }
}
