//! Which files a Sigstore repository distributes.

use common_pki::cert::Certificate;
use serde_json::{Value, json};

use crate::trust::{KeyRecord, Registry, Role, TrustError};

/// A file to distribute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Its name in the repository.
    pub name: String,
    /// Its contents.
    pub bytes: Vec<u8>,
    /// The `custom` member of its metadata.
    pub custom: Option<Value>,
}

/// The targets of an instance: the trust files of today, and the single keys and certificates that
/// older clients look up by `custom.sigstore.usage` (cosign 1 and 2, gitsign `fulcioroots`; sigstore
/// scaffolding `tools/tuf/pkg/repo/repo.go` writes the same set).
pub fn published_targets(registry: &Registry) -> Result<Vec<Target>, TrustError> {
    let file = |name: &str, json: String| Target {
        name: name.to_owned(),
        bytes: json.into_bytes(),
        custom: None,
    };
    let mut targets = vec![file("trusted_root.json", registry.trusted_root()?.to_json()?)];
    for (name, config) in registry.signing_configs()? {
        targets.push(file(name, config.to_json()?));
    }
    for record in registry.by_role(Role::FulcioCa) {
        certificates(
            &mut targets,
            registry,
            record,
            "Fulcio",
            |position, last| match position {
                _ if position == last => "fulcio_v1.crt.pem".to_owned(),
                0 => "fulcio_intermediate_v1.crt.pem".to_owned(),
                other => format!("fulcio_intermediate_v1_{other}.crt.pem"),
            },
        )?;
    }
    for record in registry.by_role(Role::Tsa) {
        certificates(
            &mut targets,
            registry,
            record,
            "TSA",
            |position, last| match position {
                0 => "tsa_leaf.crt.pem".to_owned(),
                _ if position == last => "tsa_root.crt.pem".to_owned(),
                other => format!("tsa_intermediate_{}.crt.pem", other.saturating_sub(1)),
            },
        )?;
    }
    for (role, usage, name) in [
        (Role::CtLog, "CTFE", "ctfe.pub"),
        (Role::RekorV1, "Rekor", "rekor.pub"),
    ] {
        for record in registry.by_role(role) {
            targets.push(Target {
                name: name_of(registry, record, name),
                bytes: record.public_key()?.to_pem().into_bytes(),
                custom: Some(usage_of(record, usage)),
            });
        }
    }
    Ok(targets)
}

fn certificates(
    targets: &mut Vec<Target>,
    registry: &Registry,
    record: &KeyRecord,
    usage: &str,
    name: impl Fn(usize, usize) -> String,
) -> Result<(), TrustError> {
    let chain: Vec<Certificate> = record.certificates()?;
    let last = chain.len().saturating_sub(1);
    for (position, certificate) in chain.iter().enumerate() {
        targets.push(Target {
            name: name_of(registry, record, &name(position, last)),
            bytes: certificate.to_pem().into_bytes(),
            custom: Some(usage_of(record, usage)),
        });
    }
    Ok(())
}

/// The newest key in use of a role has the well-known name, others the same under their id: a client that reads one
/// name alone must find the key that signs.
fn name_of(registry: &Registry, record: &KeyRecord, name: &str) -> String {
    let keys = registry.by_role(record.role);
    let named = registry.in_use(record.role).or(keys.last().copied());
    if named.is_some_and(|named| named.id == record.id) {
        name.to_owned()
    } else {
        format!("{}.{name}", record.id)
    }
}

/// What cosign's `pkg/cosign/tuf.go` reads.
fn usage_of(record: &KeyRecord, usage: &str) -> Value {
    let status = if record.valid_to.is_some() {
        "Expired"
    } else {
        "Active"
    };
    json!({ "sigstore": { "usage": usage, "status": status, "uri": record.url } })
}

#[cfg(test)]
mod tests;
