//! Ed25519ph (RFC 8032 §5.1) over a digest somebody else computed, which aws-lc-rs does not verify.

/// True where `signature` is Ed25519ph with an empty context over a message of this SHA-512 digest.
///
/// Strict: a key of small order would "sign" every message.
pub(super) fn verify(key: &[u8], digest: &[u8], signature: &[u8]) -> bool {
    let (Some(key), Ok(digest)) = (parse(key), digest.try_into()) else {
        return false;
    };
    ed25519_dalek::Signature::from_slice(signature).is_ok_and(|signature| {
        key.verify_prehashed_strict(Prehashed(digest), None, &signature)
            .is_ok()
    })
}

/// True where the key is a point whose order is not small.
pub(super) fn is_strong(key: &[u8]) -> bool {
    parse(key).is_some_and(|key| !key.is_weak())
}

fn parse(key: &[u8]) -> Option<ed25519_dalek::VerifyingKey> {
    ed25519_dalek::VerifyingKey::from_bytes(key.try_into().ok()?).ok()
}

/// A "hash context" that already holds its digest: Ed25519ph takes one, and we have only the digest.
#[derive(Clone)]
struct Prehashed([u8; 64]);

impl Default for Prehashed {
    fn default() -> Prehashed {
        Prehashed([0; 64])
    }
}

impl sha2::digest::OutputSizeUser for Prehashed {
    type OutputSize = sha2::digest::typenum::U64;
}

impl sha2::digest::HashMarker for Prehashed {}

impl sha2::digest::Update for Prehashed {
    fn update(&mut self, _: &[u8]) {}
}

impl sha2::digest::FixedOutput for Prehashed {
    fn finalize_into(self, out: &mut sha2::digest::Output<Prehashed>) {
        out.copy_from_slice(&self.0);
    }
}
