//! The authority itself: what HTTP and gRPC both call.

use std::sync::Arc;

use arc_swap::ArcSwap;
use common_pki::key::PublicKey;
use common_pki::registry::SigningAlgorithm;
use common_server::admission::{Bounds, Gate};
use common_server::cpu;
use common_server::quota::{Quota, Spent};

use crate::chain::CaChain;
use crate::ct::CtLog;
use crate::error::{Code, Error};
use crate::explain::{self, Asker, Explanation};
use crate::identity::principal::Principal;
use crate::identity::token::Token;
use crate::identity::{ConfigError, FetchFor, IssuerConfig, Issuers, KeyCache, Opened, Reading};
use crate::issuance::{Precertificate, ct_error};
use crate::policy::{AuditLog, Denial, Denied, Spend};
use crate::possession::KeyRequest;
use crate::privacy::{self, For, Pseudonyms};
use crate::{Clock, metrics};

/// What a [`Ca`] is made of.
#[non_exhaustive]
pub struct CaConfig {
    /// The issuing certificate with its signer, and what is above it.
    pub chain: Arc<CaChain>,
    /// Chains that certificates were issued under before, in PEM, newest first: the trust bundle lists them too.
    pub former: Vec<Vec<String>>,
    /// The certificate log.
    pub ct: Arc<dyn CtLog>,
    /// Issuers whose tokens are accepted.
    pub issuers: Vec<IssuerConfig>,
    /// How issuers' documents are read.
    pub fetch: FetchFor,
    /// How long their keys are believed.
    pub key_cache: KeyCache,
    /// Algorithms a client's key may have.
    pub permitted: Vec<SigningAlgorithm>,
    /// The time.
    pub clock: Clock,
    /// Requests for certificates at work at once.
    pub writes: Bounds,
    /// How often one identity, of one issuer, may ask; `None` is no limit.
    pub quota: Option<Quota>,
    /// Who is told what policies refuse.
    pub audit: Option<Arc<dyn AuditLog>>,
    /// Who knows pseudonyms, for issuers whose certificates have them.
    pub pseudonyms: Option<Arc<dyn Pseudonyms>>,
}

impl CaConfig {
    /// With upstream's list of permitted algorithms and the default key cache.
    pub fn new(
        chain: Arc<CaChain>,
        ct: Arc<dyn CtLog>,
        issuers: Vec<IssuerConfig>,
        fetch: FetchFor,
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
            former: Vec::new(),
            ct,
            issuers,
            fetch,
            key_cache: KeyCache::default(),
            permitted,
            clock,
            writes: Bounds::WRITES,
            quota: None,
            audit: None,
            pseudonyms: None,
        }
    }
}

/// The chain that certificates are issued under, and those they were issued under before, newest first.
struct Chains {
    current: Arc<CaChain>,
    former: Vec<PemChain>,
}

/// A certificate authority.
pub struct Ca {
    chains: ArcSwap<Chains>,
    ct: Arc<dyn CtLog>,
    issuers: ArcSwap<Issuers>,
    permitted: Vec<SigningAlgorithm>,
    clock: Clock,
    writes: Gate,
    explanations: Gate,
    quota: Option<Quota>,
    audit: Option<Arc<dyn AuditLog>>,
    pseudonyms: Option<Arc<dyn Pseudonyms>>,
}

/// Who may have a certificate.
struct Admitted {
    opened: Opened,
    principal: Principal,
    /// What is given back if none comes of it by our fault.
    spent: Vec<Spent>,
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
    /// If an issuer is configured twice, or cannot be reached as it is configured.
    pub fn new(config: CaConfig) -> Result<Self, ConfigError> {
        metrics::describe();
        let reading = Reading {
            cache: config.key_cache,
            fetch: config.fetch,
            clock: Arc::clone(&config.clock),
        };
        Ok(Self {
            issuers: ArcSwap::from_pointee(Issuers::new(config.issuers, reading, None)?),
            chains: ArcSwap::from_pointee(Chains {
                current: config.chain,
                former: config.former,
            }),
            ct: config.ct,
            permitted: config.permitted,
            clock: config.clock,
            writes: Gate::new("certificate", config.writes),
            explanations: Gate::new("explanation", Bounds::EXPENSIVE_READS),
            quota: config.quota,
            audit: config.audit,
            pseudonyms: config.pseudonyms,
        })
    }

    /// Whether requests for certificates are taken now: for before their bodies are read.
    pub(crate) fn admission(&self) -> &Gate {
        &self.writes
    }

    /// Issues under another chain from now on. What is being issued is finished under the one before, which stays in
    /// the trust bundle.
    pub fn take_over(&self, chain: Arc<CaChain>) {
        self.chains.rcu(|chains| {
            if chains.current.pem() == chain.pem() {
                return Arc::clone(chains);
            }
            let mut former = vec![chains.current.pem().to_vec()];
            former.extend(chains.former.iter().cloned());
            Arc::new(Chains {
                current: Arc::clone(&chain),
                former,
            })
        });
    }

    /// The chains that certificates are and were issued under, the newest first.
    pub(crate) fn chains(&self) -> Vec<PemChain> {
        let chains = self.chains.load();
        let current = std::iter::once(chains.current.pem().to_vec());
        current.chain(chains.former.iter().cloned()).collect()
    }

    /// The issuers whose tokens are accepted, exact ones first, patterns in the order they are tried.
    pub(crate) fn issuer_configs(&self) -> Vec<Arc<IssuerConfig>> {
        self.issuers.load().configs().to_vec()
    }

    /// Accepts tokens of these issuers from now on. Requests that have begun end as they would have; keys that are read in
    /// the same way as before stay known.
    ///
    /// # Errors
    /// As [`Ca::new`]; then the issuers stay what they were.
    pub fn reload(&self, issuers: Vec<IssuerConfig>) -> Result<(), ConfigError> {
        let old = self.issuers.load();
        let new = Issuers::new(issuers, old.reading().clone(), Some(&old))?;
        self.issuers.store(Arc::new(new));
        Ok(())
    }

    /// What would become of a token. Nothing is issued for it.
    ///
    /// # Errors
    /// [`Error::Overloaded`] when too many are being explained.
    pub async fn explain(self: &Arc<Self>, asker: Asker, token: String) -> Result<Explanation, Error> {
        let _admitted = self.explanations.enter()?;
        let (issuers, pseudonyms) = (self.issuers.load_full(), self.pseudonyms.clone());
        // Signatures are checked, so on the pool for that work.
        let explaining = async move { explain::by(&issuers, asker, pseudonyms.as_ref(), &token).await };
        Ok(cpu::drive(explaining).await?)
    }

    /// Verifies the request that `read` makes and issues a certificate that is in the log. All of it happens on the pool
    /// for signature work; while it waits, for the log or an issuer, it holds no thread there.
    pub(crate) async fn issue(
        self: &Arc<Self>,
        read: impl FnOnce() -> Result<CertificateRequest, Error> + Send + 'static,
    ) -> Result<PemChain, Error> {
        let outcome = match self.writes.enter() {
            Ok(_admitted) => {
                let ca = Arc::clone(self);
                let outcome = cpu::drive(async move { ca.try_issue(read).await }).await;
                outcome.map_err(Error::from).flatten()
            }
            Err(refused) => Err(refused.into()),
        };
        match &outcome {
            Ok(_) => metrics::issued(),
            Err(error) => error.log(),
        }
        outcome
    }

    async fn try_issue(
        &self,
        read: impl FnOnce() -> Result<CertificateRequest, Error>,
    ) -> Result<PemChain, Error> {
        let request = read()?;
        let admitted = self.admit(Token::parse(&request.token)?).await?;
        let Admitted {
            opened,
            principal,
            spent,
        } = admitted;
        let outcome = self.certificate(&opened, principal, &request.key).await;
        let ours = |error: &Error| matches!(error.code(), Code::Unavailable | Code::Internal);
        if outcome.as_ref().is_err_and(ours) {
            spent.into_iter().for_each(Spent::give_back);
        }
        outcome
    }

    /// A certificate for a principal who holds the key, once the log has promised to have it.
    async fn certificate(
        &self,
        opened: &Opened,
        principal: Principal,
        key: &KeyRequest,
    ) -> Result<PemChain, Error> {
        let key: PublicKey = key.verify(&principal.name, &self.permitted)?;
        let (config, claims, pseudonyms) = (opened.config(), opened.claims(), self.pseudonyms.as_ref());
        let principal = privacy::published(config, claims, principal, pseudonyms, For::Issuing).await?;
        // One snapshot of chain and key from precertificate to certificate, whatever is rotated meanwhile.
        let (chain, now) = (Arc::clone(&self.chains.load().current), (self.clock)());
        let waits = chain.signer().waits();
        let signed = cpu::sign(waits, move || Precertificate::sign(chain, &principal, &key, now)).await;
        let precertificate = signed??;
        // RFC 6962 §3.1: the log sees the precertificate with its issuers; what it promises goes into the final one.
        let sct = self
            .ct
            .add_pre_chain(precertificate.der(), precertificate.chain().der())
            .await
            .map_err(ct_error)?;
        let ct = Arc::clone(&self.ct);
        cpu::sign(waits, move || precertificate.finish(&sct, ct.as_ref())).await?
    }

    /// Who asks, when the policy permits and quotas have one left.
    async fn admit(&self, token: Token) -> Result<Admitted, Error> {
        let issuers = self.issuers.load_full();
        let mut opened = issuers.open(token).await?;
        opened.authenticate().await?;
        let principal = opened.principal()?;
        if let Err(denial) = opened.policy().check(opened.claims())
            && self.denied(&opened, &principal, &denial)
        {
            let issuer = opened.issuer_url().to_owned();
            return Err(Error::Policy { issuer, denial });
        }
        // Only who has proved to be somebody spends what is theirs.
        let spent = self.spend(&opened, &principal)?;
        Ok(Admitted {
            opened,
            principal,
            spent,
        })
    }

    /// Takes a certificate from every quota, or from none.
    fn spend(&self, opened: &Opened, principal: &Principal) -> Result<Vec<Spent>, Error> {
        let issuer = opened.issuer_url();
        let spent = opened.policy().spend(issuer, &principal.name, opened.claims());
        let mut spent = match spent {
            Ok(spent) => spent,
            Err(Spend { denial, seconds }) if self.denied(opened, principal, &denial) => {
                return Err(Error::Quota {
                    issuer: issuer.to_owned(),
                    denial,
                    seconds,
                });
            }
            Err(_) => Vec::new(),
        };
        if let Some(quota) = &self.quota {
            match quota.spend(&(issuer, &principal.name)) {
                Ok(one) => spent.push(one),
                Err(exhausted) => {
                    spent.into_iter().for_each(Spent::give_back);
                    return Err(exhausted.into());
                }
            }
        }
        Ok(spent)
    }

    /// Tells of a refusal; whether it is one, which it is not in a dry run.
    fn denied(&self, opened: &Opened, principal: &Principal, denial: &Denial) -> bool {
        let enforced = !opened.policy().dry_run;
        let issuer = opened.issuer_url();
        metrics::denied(enforced);
        if !enforced {
            tracing::warn!(%issuer, %denial, "the policy would refuse, and is in a dry run");
        }
        if let Some(audit) = &self.audit {
            let claimed = opened.claims().text("sub").ok().flatten();
            audit.denied(Denied {
                time: (self.clock)(),
                issuer: issuer.to_owned(),
                subject: principal.subject.text(),
                token_subject: claimed.unwrap_or_default().to_owned(),
                denial: denial.clone(),
                enforced,
            });
        }
        enforced
    }
}
