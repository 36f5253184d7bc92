//! The trust files as functions of the registry.

use common_pki::{cert::Certificate, oid};

use super::{
    CertificateAuthority, CertificateChain, ClientTrustConfig, DistinguishedName, KeyRecord, LogId, LogKey,
    RawCertificate, RecordProblem, Registry, Role, SIGNING_CONFIG, SIGNING_CONFIG_V2, Selector, Service,
    ServiceConfiguration, SigningConfig, TransparencyLog, TrustError, TrustedRoot, ValidFor,
};

/// Which Rekor services a signing configuration lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RekorVersions {
    /// Version 1, which every client speaks: `signing_config.v0.2.json`.
    V1Only,
    /// Version 2: `signing_config_rekor_v2.v0.2.json`.
    V2Only,
    /// Both, for clients that choose.
    Both,
}

impl Registry {
    /// `trusted_root.json`: every log and authority that ever was, oldest first.
    pub fn trusted_root(&self) -> Result<TrustedRoot, TrustError> {
        let mut tlogs = self.by_role(Role::RekorV1);
        tlogs.extend(self.by_role(Role::RekorV2));
        // Version 1 stays first among equals: sigstore-python takes its Rekor URL from the first log.
        tlogs.sort_by_key(|record| record.valid_from);
        Ok(TrustedRoot {
            media_type: TrustedRoot::MEDIA_TYPE.to_owned(),
            tlogs: tlogs.into_iter().map(log).collect(),
            certificate_authorities: self.authorities(Role::FulcioCa)?,
            ctlogs: self.by_role(Role::CtLog).into_iter().map(log).collect(),
            timestamp_authorities: self.authorities(Role::Tsa)?,
        })
    }

    fn authorities(&self, role: Role) -> Result<Vec<CertificateAuthority>, TrustError> {
        self.by_role(role).into_iter().map(authority).collect()
    }

    /// A signing configuration. Lists are newest first, and ask for `ANY`: sigstore-js refuses other
    /// selectors.
    pub fn signing_config(&self, rekor: RekorVersions) -> Result<SigningConfig, TrustError> {
        let v1 = self.services(Role::RekorV1, 1);
        let mut v2 = self.services(Role::RekorV2, 2);
        let rekor_tlog_urls = match rekor {
            RekorVersions::V1Only => v1,
            RekorVersions::V2Only => v2,
            RekorVersions::Both => {
                // sigstore-js takes the newest start, the others the highest version: make them agree.
                let newest = v1.first().and_then(|service| service.valid_for.start);
                for service in &mut v2 {
                    let floor = newest.map(|start| start.plus_seconds(1));
                    service.valid_for.start = service.valid_for.start.max(floor);
                }
                v2.extend(v1);
                v2
            }
        };
        if rekor_tlog_urls.is_empty() {
            let role = if rekor == RekorVersions::V2Only {
                Role::RekorV2
            } else {
                Role::RekorV1
            };
            return Err(TrustError::MissingRole(role));
        }
        let any = Some(ServiceConfiguration {
            selector: Selector::Any,
            count: None,
        });
        let ca_urls = self.services(Role::FulcioCa, 1);
        let start = ca_urls
            .first()
            .ok_or(TrustError::MissingRole(Role::FulcioCa))?
            .valid_for
            .start;
        let oidc = Service {
            url: self.oidc_url.clone(),
            major_api_version: 1,
            valid_for: ValidFor { start, end: None },
            operator: self.operator.clone(),
        };
        let tsa_urls = self.services(Role::Tsa, 1);
        if tsa_urls.is_empty() {
            return Err(TrustError::MissingRole(Role::Tsa));
        }
        Ok(SigningConfig {
            media_type: SigningConfig::MEDIA_TYPE.to_owned(),
            ca_urls,
            oidc_urls: if oidc.url.is_empty() {
                Vec::new()
            } else {
                vec![oidc]
            },
            rekor_tlog_urls,
            rekor_tlog_config: any,
            tsa_urls,
            tsa_config: any,
        })
    }

    /// The signing configurations by the names of their files; none while the registry lacks a service that signing needs,
    /// because it is another process' and not known yet.
    pub fn signing_configs(&self) -> Result<Vec<(&'static str, SigningConfig)>, TrustError> {
        let first = match self.by_role(Role::RekorV1).is_empty() {
            true => RekorVersions::V2Only,
            false => RekorVersions::V1Only,
        };
        let mut configs = Vec::new();
        for (name, rekor) in [
            (SIGNING_CONFIG, first),
            (SIGNING_CONFIG_V2, RekorVersions::V2Only),
        ] {
            match self.signing_config(rekor) {
                Ok(config) => configs.push((name, config)),
                Err(TrustError::MissingRole(_)) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(configs)
    }

    /// Both in one; lists both Rekor versions.
    pub fn client_trust_config(&self) -> Result<ClientTrustConfig, TrustError> {
        Ok(ClientTrustConfig {
            media_type: ClientTrustConfig::MEDIA_TYPE.to_owned(),
            trusted_root: self.trusted_root()?,
            signing_config: self.signing_config(RekorVersions::Both)?,
        })
    }

    /// The services of a role that take requests, newest first. Keys that followed each other behind one URL are one
    /// service, from the first key's start. One that has ended is not listed: clients choose differently among
    /// several of one version (sigstore-python takes the last of an operator, sigstore-go the newest).
    fn services(&self, role: Role, version: u32) -> Vec<Service> {
        let mut services: Vec<Service> = Vec::new();
        let keys = self.by_role(role);
        let open = |url: &str| keys.iter().any(|key| key.in_use() && key.service_url() == url);
        for record in keys.iter().filter(|key| key.successor.is_none()) {
            let url = record.service_url();
            if !open(url) {
                continue;
            }
            if !services.iter().any(|service| service.url == url) {
                services.push(Service {
                    url: url.to_owned(),
                    major_api_version: version,
                    valid_for: ValidFor {
                        start: Some(record.valid_from),
                        end: None,
                    },
                    operator: self.operator.clone(),
                });
            }
        }
        services.reverse();
        services
    }
}

fn log(record: &KeyRecord) -> TransparencyLog {
    TransparencyLog {
        base_url: record.url.clone(),
        hash_algorithm: "SHA2_256".to_owned(),
        public_key: LogKey {
            raw_bytes: record.spki.clone(),
            key_details: record.key_details.proto_name().to_owned(),
            valid_for: record.valid_for(),
        },
        log_id: LogId {
            key_id: record.log_id.clone(),
        },
    }
}

fn authority(record: &KeyRecord) -> Result<CertificateAuthority, TrustError> {
    let chain = record.certificates()?;
    // The public instance names an authority by its root certificate's subject.
    let subject = chain
        .last()
        .map(|root| DistinguishedName {
            organization: root.subject_attribute(&oid::ORGANIZATION).unwrap_or_default(),
            common_name: root.subject_attribute(&oid::COMMON_NAME).unwrap_or_default(),
        })
        .filter(|subject| !subject.organization.is_empty() && !subject.common_name.is_empty())
        .ok_or_else(|| record.problem(RecordProblem::Subject))?;
    let raw = |certificate: &Certificate| RawCertificate {
        raw_bytes: certificate.to_der().to_vec(),
    };
    Ok(CertificateAuthority {
        subject,
        uri: record.url.clone(),
        cert_chain: CertificateChain {
            certificates: chain.iter().map(raw).collect(),
        },
        valid_for: record.valid_for(),
    })
}

#[cfg(test)]
mod tests;
