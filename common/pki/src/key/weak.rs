//! Fulcio's policy on weak keys (sigstore `pkg/cryptoutils/goodkey` over boulder `goodkey/good_key.go`).
//!
//! Work is bounded whatever the modulus: divisions by primes below 752, one square root, and one hundred
//! additions of which all but a few candidates are dismissed by residues.

use num_bigint::BigUint;

use super::KeyAlgorithm;

/// Why a key is refused although it is well formed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WeakKey {
    /// RSA of a size other than 2048, 3072 or 4096 bits.
    #[error("RSA modulus of {0} bits, expected 2048, 3072 or 4096")]
    RsaSize(u32),
    /// RSA with a public exponent other than 65537.
    #[error("RSA public exponent is not 65537")]
    RsaExponent,
    /// RSA modulus with a prime factor below 752.
    #[error("RSA modulus is divisible by {0}")]
    SmallFactor(u32),
    /// RSA modulus with the fingerprint of CVE-2017-15361.
    #[error("RSA modulus was made by a ROCA-vulnerable generator")]
    Roca,
    /// RSA factors so close that Fermat's method finds them.
    #[error("RSA factors are too close together")]
    CloseFactors,
    /// An Ed25519 key of small order verifies signatures nobody made.
    #[error("Ed25519 key of small order")]
    SmallOrder,
}

/// Rounds of Fermat's method: those of boulder, one hundred.
const FERMAT_ROUNDS: u32 = 100;

/// Largest small factor looked for, as in boulder.
const SMALL_FACTOR_LIMIT: u32 = 751;

/// Primes of the smallest ROCA primorial: it divides those of all larger key sizes.
const ROCA_LIMIT: u32 = 167;

pub(super) fn check_rsa(algorithm: KeyAlgorithm, modulus: &[u8], exponent: &[u8]) -> Result<(), WeakKey> {
    match algorithm {
        KeyAlgorithm::Rsa2048 | KeyAlgorithm::Rsa3072 | KeyAlgorithm::Rsa4096 => {}
        other => return Err(WeakKey::RsaSize(other.rsa_bits().unwrap_or_default())),
    }
    if exponent != [1, 0, 1] {
        return Err(WeakKey::RsaExponent);
    }
    let mut roca = true;
    for prime in odd_primes(SMALL_FACTOR_LIMIT) {
        let residue = residue(modulus, prime);
        if residue == 0 {
            return Err(WeakKey::SmallFactor(prime));
        }
        if prime <= ROCA_LIMIT && roca {
            roca = in_subgroup_of_65537(residue, prime);
        }
    }
    if roca {
        return Err(WeakKey::Roca);
    }
    if fermat_finds_factors(&BigUint::from_bytes_be(modulus)) {
        return Err(WeakKey::CloseFactors);
    }
    Ok(())
}

fn odd_primes(limit: u32) -> impl Iterator<Item = u32> {
    (3..=limit).step_by(2).filter(|n| {
        (3..*n)
            .step_by(2)
            .take_while(|d| d.saturating_mul(*d) <= *n)
            .all(|d| residue(&n.to_be_bytes(), d) != 0)
    })
}

/// A big-endian number modulo a small one, four octets at a time.
fn residue(number: &[u8], modulus: u32) -> u32 {
    let fold = |sum: u32, chunk: &[u8]| {
        let value = chunk
            .iter()
            .fold(u64::from(sum), |value, octet| value << 8 | u64::from(*octet));
        value
            .checked_rem(u64::from(modulus))
            .and_then(|rest| u32::try_from(rest).ok())
            .unwrap_or_default()
    };
    let (head, whole) = number.as_rchunks::<4>();
    whole.iter().fold(fold(0, head), |sum, chunk| fold(sum, chunk))
}

/// ROCA moduli are powers of 65537 modulo every small prime (Nemec et al., "The Return of Coppersmith's
/// Attack", §4). A good modulus passes all 38 of these with a probability of about 2^-27.
fn in_subgroup_of_65537(residue: u32, prime: u32) -> bool {
    let generator = 65_537_u32.checked_rem(prime).unwrap_or_default();
    let mut power = 1;
    for _ in 0..prime {
        if power == residue {
            return true;
        }
        // Both factors are below 168.
        power = generator
            .saturating_mul(power)
            .checked_rem(prime)
            .unwrap_or_default();
    }
    false
}

/// Fermat: n = a² − b² with a near √n when the factors are close (boulder `checkPrimeFactorsTooClose`).
fn fermat_finds_factors(n: &BigUint) -> bool {
    let mut a = n.sqrt();
    if square(&a) < *n {
        a = plus(&a, 1);
    }
    let mut b_squared = difference(&square(&a), n);
    for _ in 0..FERMAT_ROUNDS {
        if is_square(&b_squared) {
            return true;
        }
        // (a+1)² − n = (a² − n) + 2a + 1
        b_squared = plus(&sum(&b_squared, &sum(&a, &a)), 1);
        a = plus(&a, 1);
    }
    false
}

#[expect(
    clippy::arithmetic_side_effects,
    reason = "arbitrary precision, bounded by MAX_SPKI_LEN"
)]
fn square(n: &BigUint) -> BigUint {
    n * n
}

#[expect(
    clippy::arithmetic_side_effects,
    reason = "arbitrary precision, bounded by MAX_SPKI_LEN"
)]
fn sum(a: &BigUint, b: &BigUint) -> BigUint {
    a + b
}

#[expect(
    clippy::arithmetic_side_effects,
    reason = "the caller rounds the root up, so a is not below b"
)]
fn difference(a: &BigUint, b: &BigUint) -> BigUint {
    a - b
}

#[expect(
    clippy::arithmetic_side_effects,
    reason = "arbitrary precision, bounded by MAX_SPKI_LEN"
)]
fn plus(n: &BigUint, small: u32) -> BigUint {
    n + small
}

/// Squares are few modulo 64, 63, 65 and 11, which spares the root for all but about one number in a hundred.
fn is_square(n: &BigUint) -> bool {
    let digits = n.to_bytes_be();
    let possible = [64, 63, 65, 11].into_iter().all(|modulus: u32| {
        let wanted = residue(&digits, modulus);
        (0..modulus).any(|i| i.saturating_mul(i).checked_rem(modulus) == Some(wanted))
    });
    possible && square(&n.sqrt()) == *n
}
