//! Attestations as they come, in a file, in a list or from a registry: each that cannot be judged is refused for itself and
//! hides none of the others.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::path::Path;
use std::sync::Arc;

use common_bundle::format::{BareEnvelope, Bundle};

use super::lookup::{self, Logged, LookupError};
use super::{FAILED, SlsaArgs};
use crate::exit::{Exit, Failure};
use crate::http::HttpError;
use crate::verify::report::Refusal;

/// Most lines of one provenance file.
const MAX_LINES: usize = 64;

/// An envelope that came without log entry.
pub(super) struct Bare {
    /// It, and its certificate where that is in it.
    pub(super) envelope: BareEnvelope,
    /// Its own text.
    pub(super) text: Vec<u8>,
}

/// What may say where an artifact is from.
pub(super) enum Attestation {
    /// With everything in it.
    Bundle(Box<Bundle>),
    /// An envelope by itself, with one of the entries that the log has of it.
    Logged(Arc<Bare>, Box<Logged>),
    /// Not to be judged, and why.
    Unusable(Refusal),
}

impl Attestation {
    /// What is judged.
    pub(super) fn bundle(&self) -> Result<Cow<'_, Bundle>, &Refusal> {
        match self {
            Self::Bundle(bundle) => Ok(Cow::Borrowed(bundle)),
            Self::Logged(bare, logged) => Ok(Cow::Owned(logged.bundle(&bare.envelope.envelope))),
            Self::Unusable(refusal) => Err(refusal),
        }
    }

    /// The envelope's own text, where it was not in a bundle.
    pub(super) fn text(&self) -> Option<&[u8]> {
        match self {
            Self::Logged(bare, _) => Some(&bare.text),
            Self::Bundle(_) | Self::Unusable(_) => None,
        }
    }
}

/// All that is said about the artifacts of one run.
#[derive(Default)]
pub(crate) struct Attestations {
    known: Vec<Attestation>,
    /// Not looked up yet.
    bare: VecDeque<Bare>,
}

impl Attestations {
    /// What a file holds: one document, or one a line.
    ///
    /// # Errors
    /// [`Failure`] for none, and for more than are looked at.
    pub(crate) fn of_file(text: &[u8], from: &Path) -> Result<Self, Failure> {
        let whole = serde_json::from_slice::<serde::de::IgnoredAny>(text).is_ok();
        let lines: Vec<&[u8]> = if whole {
            vec![text]
        } else {
            let lines = text.split(|octet| *octet == b'\n');
            lines.filter(|line| !line.trim_ascii().is_empty()).collect()
        };
        if lines.is_empty() || lines.len() > MAX_LINES {
            return Err(Failure {
                exit: Exit::Unverified,
                message: format!(
                    "{FAILED}: {}: expected 1 to {MAX_LINES} attestations, got {}",
                    from.display(),
                    lines.len()
                ),
            });
        }
        let mut attestations = Self::default();
        for line in lines {
            match Bundle::from_json(line) {
                Ok(bundle) => attestations.push_bundle(bundle),
                Err(error) => match BareEnvelope::from_json(line) {
                    Some(envelope) => attestations.push_envelope(envelope, line.to_vec()),
                    None => attestations.push_unreadable(format!(
                        "neither a bundle nor an envelope with one signature: {error}"
                    )),
                },
            }
        }
        Ok(attestations)
    }

    /// One with everything in it.
    pub(crate) fn push_bundle(&mut self, bundle: Bundle) {
        self.known.push(Attestation::Bundle(Box::new(bundle)));
    }

    /// An envelope by itself, which the log knows; `text` is what it was read from.
    pub(crate) fn push_envelope(&mut self, envelope: BareEnvelope, text: Vec<u8>) {
        self.bare.push_back(Bare { envelope, text });
    }

    /// One that is none, and why.
    pub(crate) fn push_unreadable(&mut self, why: impl std::fmt::Display) {
        let refusal = Refusal::new("bundle", Exit::Unverified, why);
        self.known.push(Attestation::Unusable(refusal));
    }

    /// The attestation of that place. Envelopes by themselves come last: the log is asked about each only once nothing before
    /// it passed, and not again for the next artifact.
    pub(super) async fn get(&mut self, place: usize, args: &SlsaArgs) -> Option<&Attestation> {
        while self.known.len() <= place {
            let bare = self.bare.pop_front()?;
            let found = looked_up(&bare, args).await;
            match found {
                Ok(found) => {
                    let bare = Arc::new(bare);
                    let one = |logged| Attestation::Logged(Arc::clone(&bare), Box::new(logged));
                    self.known.extend(found.into_iter().map(one));
                }
                Err(error) => {
                    // Who does not answer now will not answer about the others, and takes as long for each.
                    if matches!(error, LookupError::Http(HttpError::NoAnswer { .. })) {
                        self.bare.clear();
                    }
                    self.known.push(Attestation::Unusable(error.into()));
                }
            }
        }
        self.known.get(place)
    }
}

async fn looked_up(bare: &Bare, args: &SlsaArgs) -> Result<Vec<Logged>, LookupError> {
    lookup::entries(&args.log()?, bare).await
}
