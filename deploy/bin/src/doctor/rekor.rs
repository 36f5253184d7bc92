//! The canary in the two signature logs, as entries of a bundle.

use common_bundle::format::TransparencyLogEntry;
use common_pki::key::HashAlgorithm;

use crate::doctor::Canary;
use crate::doctor::report::{Broken, broken};
use crate::http::Client;
use crate::signing::entry::{self, Proposal, Verifier};

const ADVICE: &str =
    "see the server's log for the refusal or the failed write; /readyz says whether the store is writable";

/// Logs the canary in Rekor, by the API of that version.
pub(crate) async fn log(
    client: &Client,
    version: u32,
    canary: &Canary,
    verifier: &Verifier<'_>,
) -> Result<TransparencyLogEntry, Broken> {
    let proposal = Proposal::Digest {
        hash: HashAlgorithm::Sha256,
        digest: canary.digest(),
        signature: &canary.signature,
    };
    entry::log(client, version, &proposal, verifier)
        .await
        .map_err(|error| broken(error, ADVICE))
}
