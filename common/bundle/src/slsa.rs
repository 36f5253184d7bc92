//! SLSA provenance: who built this, from what, and is that what was asked for (`slsa.dev/spec/v1.2/verifying-artifacts`).
//!
//! A verified signature says that a certificate's holder made a statement. Here the statement and the certificate are held
//! against each other and against what is expected: only configured pairs of signer and builder count, both must tell of
//! the same source, and an external parameter that nobody judged is refused.
//!
//! [`Provenance`] reads predicates of version 0.2 and 1, [`Workload`] reads the certificate, [`check`] compares, and [`vsa`]
//! sums the verdict up for those who trust the verifier.

mod check;
mod policy;
mod provenance;
pub mod vsa;
mod workload;

pub use check::{Asked, Found, SlsaError, check, same_repository};
pub use policy::{BuildType, BuildTypes, Builder, Parameter, Policy, PolicyError, SignerRule};
pub use provenance::{Git, Provenance, ProvenanceError, Subject};
pub use workload::{Workload, WorkloadError};

/// The issuer of GitHub Actions' tokens.
pub const GITHUB_ISSUER: &str = "https://token.actions.githubusercontent.com";

#[cfg(test)]
mod tests;
