//! What clients would see of a new key: the difference in every published file, at its publication and when it takes
//! over.

use std::collections::BTreeMap;
use std::time::SystemTime;

use axum::Router;
use axum::body::Body;
use common_bundle::trust::{Registry, Role, Succession};
use common_bundle::tuf::published_targets;
use http::Request;
use http_body_util::{BodyExt, Limited};
use serde_json::{Value, json};
use similar::TextDiff;
use tower::ServiceExt;

use super::command::time_text;
use super::{CERTIFICATE, RotateError, UNDER_WAY};
use crate::keys::{Keys, Places, Wanted};
use crate::layout::Layout;
use crate::site::Site;

/// Longest answer of our own that is read.
const ANSWER_LIMIT: usize = 4 << 20;
/// Lines around a change.
const CONTEXT: usize = 3;

/// The differences as text. Keys are made for it in a temporary folder, so the real ones will be others.
pub(super) async fn preview(
    keys: &Keys,
    site: &Site,
    role: Role,
    propagation: u32,
    host: Option<&str>,
    now: SystemTime,
    router: &Router,
) -> Result<String, RotateError> {
    let (owned, site, host) = (keys.clone(), site.clone(), host.map(str::to_owned));
    let made =
        tokio::task::spawn_blocking(move || stand_in(&owned, &site, role, propagation, host.as_deref(), now));
    let (published, taken_over) = made.await??;
    let before = keys.published();
    let (published, taken_over) = (keys.published_with(&published), keys.published_with(&taken_over));
    let mut out = String::from(
        "# Keys, certificates and identifiers below are stand-ins: the real ones are made when it is done.\n",
    );
    out.push_str("# 1. When it is published\n");
    out.push_str(&difference(&files(&before)?, &files(&published)?));
    let later = time_text(propagation);
    out.push_str(&format!("# 2. {later} later, when it takes over\n"));
    out.push_str(&difference(&files(&published)?, &files(&taken_over)?));
    if role == Role::RekorV1 {
        let before = log_info(router).await?;
        let name = "/api/v1/log".to_owned();
        let after = BTreeMap::from([(name.clone(), pretty(&rolled(&before)))]);
        out.push_str(&difference(&BTreeMap::from([(name, pretty(&before))]), &after));
    }
    if let Some(next) = taken_over.in_use(role)
        && matches!(role, Role::RekorV2 | Role::CtLog)
    {
        out.push_str(&format!(
            "# 3. The new log is read at /shards/{}/, the old one where it always was; writers go on at the URL they have.\n",
            next.id
        ));
    }
    if matches!(role, Role::TufRoot | Role::TufOnline) {
        out.push_str(
            "# The trust repository gets one more root version, which lists the new key; its targets stay as they are.\n",
        );
    }
    Ok(out)
}

/// The registry with a successor that is published, and after it has taken over.
fn stand_in(
    keys: &Keys,
    site: &Site,
    role: Role,
    propagation: u32,
    host: Option<&str>,
    now: SystemTime,
) -> Result<(Registry, Registry), RotateError> {
    let failed = |error: std::io::Error| RotateError::Preview(error.to_string());
    let folder = tempfile::tempdir().map_err(failed)?;
    let layout = Layout::new(folder.path().to_owned());
    crate::disk::create_folder(&layout.keys()).map_err(crate::keys::KeysError::from)?;
    let succession = Succession {
        propagation,
        published: common_bundle::trust::Timestamp::from_system_time(now),
    };
    // In files, wherever the real one will be: a key on a token or in a key service is there for good.
    let wanted = Wanted {
        role,
        host,
        places: &Places::default(),
        succession,
    };
    let with = keys.with_successor(&layout, site, &wanted, now)?;
    let published = with.registry().clone();
    let mut taken_over = published.clone();
    let due = succession.due().ok_or(RotateError::Clock)?;
    let more = if role == Role::FulcioCa { CERTIFICATE } else { 0 };
    taken_over.take_over(role, due.plus_seconds(UNDER_WAY).plus_seconds(more));
    Ok((published, taken_over))
}

/// Every file that clients get.
fn files(registry: &Registry) -> Result<BTreeMap<String, String>, RotateError> {
    let targets = published_targets(registry)?.into_iter();
    Ok(targets
        .map(|target| (target.name, String::from_utf8_lossy(&target.bytes).into_owned()))
        .collect())
}

fn difference(before: &BTreeMap<String, String>, after: &BTreeMap<String, String>) -> String {
    let mut names: Vec<&String> = before.keys().chain(after.keys()).collect();
    names.sort();
    names.dedup();
    let mut out = String::new();
    for name in names {
        let side = |files: &BTreeMap<String, String>| files.get(name).cloned().unwrap_or_default();
        let (old, new) = (side(before), side(after));
        if old != new {
            let diff = TextDiff::from_lines(&old, &new);
            out.push_str(
                &diff
                    .unified_diff()
                    .context_radius(CONTEXT)
                    .header(name, name)
                    .to_string(),
            );
        }
    }
    if out.is_empty() {
        out.push_str("(nothing)\n");
    }
    out
}

/// What `/api/v1/log` says now.
async fn log_info(router: &Router) -> Result<Value, RotateError> {
    let failed = |error: &dyn std::fmt::Display| RotateError::Preview(error.to_string());
    let request = Request::get("/api/v1/log").body(Body::empty());
    let request = request.map_err(|error| failed(&error))?;
    let answer = match router.clone().oneshot(request).await {
        Ok(answer) => answer,
        Err(never) => match never {},
    };
    let body = Limited::new(answer.into_body(), ANSWER_LIMIT).collect().await;
    let body = body.map_err(|error| failed(&error))?.to_bytes();
    serde_json::from_slice(&body).map_err(|error| failed(&error))
}

/// The same once a shard has taken over: the active one becomes the last of the inactive ones.
fn rolled(info: &Value) -> Value {
    let member = |name: &str| info.get(name).cloned().unwrap_or_default();
    let names = ["rootHash", "signedTreeHead", "treeID", "treeSize"];
    let mut inactive = member("inactiveShards").as_array().cloned().unwrap_or_default();
    inactive.push(
        names
            .into_iter()
            .map(|name| (name.to_owned(), member(name)))
            .collect(),
    );
    json!({
        "inactiveShards": inactive,
        "rootHash": common_tlog::empty_root().to_string(),
        "signedTreeHead": "(signed by the new key)",
        "treeID": "(drawn at random)",
        "treeSize": 0,
    })
}

fn pretty(value: &Value) -> String {
    let mut text = serde_json::to_string_pretty(value).unwrap_or_default();
    text.push('\n');
    text
}
