//! Public-key infrastructure as bytes: keys and signatures, X.509 certificates, certificate signing
//! requests, Certificate Transparency structures and RFC 3161 timestamps.
//!
//! What is here parses strictly (DER only, nothing after the end, every size bounded), keeps the bytes it
//! was given, and verifies with one cryptographic back end (aws-lc-rs; Ed25519ph alone is ed25519-dalek's).
//! Everything that changes from call to call is an argument: times, serial numbers, nonces.
//!
//! What is left out: no clock, no files, no network, no asynchronous runtime, and no randomness except key
//! generation and a signature's own nonce. Nothing here decides policy: which identity goes into a
//! certificate is the certificate authority's business, which keys are trusted is the trusted root's.
//!
//! Built on by every service: `fulcio-ca` and `fulcio-ct` issue and log certificates with it, `rekor-entry`
//! verifies signatures and canonicalises keys, `rekor-tsa` answers timestamp requests, `common-bundle`
//! verifies what clients received.

mod asn1;
pub mod cert;
pub mod cms;
pub mod csr;
pub mod key;
pub mod oid;
pub mod pem;
pub mod registry;
pub mod sct;
mod signer;
#[cfg(test)]
mod testdata;
pub mod tsp;
