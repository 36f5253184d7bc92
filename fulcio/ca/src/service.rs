//! The authority itself: what HTTP and gRPC both call.

use std::sync::Arc;

use common_pki::key::PublicKey;
use common_pki::registry::SigningAlgorithm;
use common_server::cpu;

use crate::chain::CaChain;
use crate::ct::CtLog;
use crate::error::Error;
use crate::identity::token::Token;
use crate::identity::{ConfigError, Fetch, IssuerConfig, Issuers, KeyCache, TokenError};
use crate::issuance::{Precertificate, ct_error};
use crate::possession::KeyRequest;
use crate::{Clock, metrics};

/// What a [`Ca`] is made of.
#[non_exhaustive]
pub struct CaConfig {
    /// The issuing certificate with its signer, and what is above it.
    pub chain: Arc<CaChain>,
    /// The certificate log.
    pub ct: Arc<dyn CtLog>,
    /// Issuers whose tokens are accepted.
    pub issuers: Vec<IssuerConfig>,
    /// How issuers' documents are read.
    pub fetch: Arc<dyn Fetch>,
    /// How long their keys are believed.
    pub key_cache: KeyCache,
    /// Algorithms a client's key may have.
    pub permitted: Vec<SigningAlgorithm>,
    /// The time.
    pub clock: Clock,
}

impl CaConfig {
    /// With upstream's list of permitted algorithms and the default key cache.
    pub fn new(
        chain: Arc<CaChain>,
        ct: Arc<dyn CtLog>,
        issuers: Vec<IssuerConfig>,
        fetch: Arc<dyn Fetch>,
        clock: Clock,
    ) -> Self {
        let permitted = vec![
            SigningAlgorithm::EcdsaP256Sha256,
            SigningAlgorithm::EcdsaP384Sha384,
            SigningAlgorithm::EcdsaP521Sha512,
            SigningAlgorithm::RsaPkcs1v15_2048Sha256,
            SigningAlgorithm::RsaPkcs1v15_3072Sha256,
            SigningAlgorithm::RsaPkcs1v15_4096Sha256,
            SigningAlgorithm::Ed25519,
        ];
        Self {
            chain,
            ct,
            issuers,
            fetch,
            key_cache: KeyCache::default(),
            permitted,
            clock,
        }
    }
}

/// A certificate authority.
pub struct Ca {
    chain: Arc<CaChain>,
    ct: Arc<dyn CtLog>,
    issuers: Issuers,
    permitted: Arc<[SigningAlgorithm]>,
    clock: Clock,
}

/// A request for a certificate, from whichever door.
pub(crate) struct CertificateRequest {
    pub(crate) token: String,
    pub(crate) key: KeyRequest,
}

/// PEM certificates, leaf first, root last.
pub(crate) type PemChain = Vec<String>;

impl Ca {
    /// An authority.
    ///
    /// # Errors
    /// If an issuer is configured twice.
    pub fn new(config: CaConfig) -> Result<Self, ConfigError> {
        metrics::describe();
        Ok(Self {
            issuers: Issuers::new(config.issuers, config.key_cache, &config.fetch, &config.clock)?,
            chain: config.chain,
            ct: config.ct,
            permitted: config.permitted.into(),
            clock: config.clock,
        })
    }

    /// The chains that certificates are issued under.
    pub(crate) fn chains(&self) -> Vec<PemChain> {
        vec![self.chain.pem().to_vec()]
    }

    /// The issuers whose tokens are accepted.
    pub(crate) fn issuer_configs(&self) -> Vec<&IssuerConfig> {
        self.issuers.configs()
    }

    /// Verifies the request that `read` makes and issues a certificate that is in the log. Reading may be heavy: it is
    /// done where the signatures are checked.
    pub(crate) async fn issue(
        &self,
        read: impl FnOnce() -> Result<CertificateRequest, Error> + Send + 'static,
    ) -> Result<PemChain, Error> {
        let outcome = self.try_issue(read).await;
        match &outcome {
            Ok(_) => metrics::issued(),
            Err(error) => error.log(),
        }
        outcome
    }

    async fn try_issue(
        &self,
        read: impl FnOnce() -> Result<CertificateRequest, Error> + Send + 'static,
    ) -> Result<PemChain, Error> {
        let (token, key) = cpu::run(move || {
            let request = read()?;
            Ok::<_, Error>((Token::parse(&request.token)?, request.key))
        })
        .await??;
        let precertificate = self.precertificate(token, key).await?;
        // RFC 6962 §3.1: the log sees the precertificate with its issuers; what it promises goes into the final one.
        let sct = self
            .ct
            .add_pre_chain(precertificate.der(), precertificate.chain().der())
            .await
            .map_err(ct_error)?;
        let ct = Arc::clone(&self.ct);
        cpu::run(move || precertificate.finish(&sct, ct.as_ref())).await?
    }

    /// Everything before the log: identity, possession, and the signed precertificate.
    async fn precertificate(
        &self,
        token: Token,
        mut key_request: KeyRequest,
    ) -> Result<Precertificate, Error> {
        let mut opened = self.issuers.open(token).await?;
        let mut renewed = false;
        loop {
            let permitted = Arc::clone(&self.permitted);
            // One snapshot of chain and key from precertificate to certificate, whatever is rotated meanwhile.
            let chain = Arc::clone(&self.chain);
            let now = (self.clock)();
            let job = move || {
                let outcome = opened.verify().map_err(Error::from).and_then(|principal| {
                    let key: PublicKey = key_request.verify(&principal.name, &permitted)?;
                    Precertificate::sign(chain, &principal, &key, now)
                });
                (opened, key_request, outcome)
            };
            let outcome;
            (opened, key_request, outcome) = cpu::run(job).await?;
            match outcome {
                // The issuer may have rotated its keys since they were read: look once more.
                Err(Error::Token(TokenError::UnknownKey { .. } | TokenError::Signature { .. }))
                    if !renewed && opened.renew().await =>
                {
                    renewed = true;
                }
                outcome => return outcome,
            }
        }
    }
}
