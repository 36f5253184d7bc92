//! Sigstore's files: bundles, trust roots, signing configurations and the TUF repository that
//! distributes them.
//!
//! [`format`] reads and writes bundles; [`verify`] checks one offline against a trusted root;
//! [`trust`] models what clients trust and generates it from the key registry; [`tuf`] writes a
//! repository's metadata and verifies one as a client does; [`slsa`] judges what a verified bundle says about a build.
//!
//! Leaves out: fetching, files and clocks (bytes and times are arguments), making signatures other
//! than through `common_pki`'s signer, and the services that issue what is verified here.
//!
//! Built on by the `sigbox` binary (trust files, `doctor`, `sign`, `verify`) and the monitor.

pub mod format;
pub mod slsa;
pub mod trust;
pub mod tuf;
pub mod verify;
