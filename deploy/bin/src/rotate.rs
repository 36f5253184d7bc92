//! Keys that take over from others while the instance serves.
//!
//! Every role goes through the same steps, and each is found again after a crash:
//!
//! 1. A key is made and registered as the *successor* of the one in use. From here on the registry knows it.
//! 2. The certificate log accepts its root, if it is an authority's; then it is published as trusted. The time is
//!    written to the registry.
//! 3. Nothing happens until clients have had time to learn of it. Until then it can be given up.
//! 4. It takes over between two requests (see [`crate::services::handover`]). A log is closed, and another opened.
//! 5. The registry says so and ends the key before it; what is published follows.
//!
//! What signs is trusted before, because 4 comes after 2 and both are written down before they count. A crash before
//! 4 leaves a successor that waits. A crash within 4 leaves a closed log: the start sees it and does 5 before anything
//! is served ([`resume`]).

pub(crate) mod command;
mod elsewhere;
mod preview;
mod resume;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use common_bundle::trust::{Role, Succession, Timestamp, TrustError, TrustedRoot};
use common_engine::StorageError;
use serde_json::{Value, json};
use tokio::sync::{Mutex, Notify};

use crate::clock::Clock;
use crate::disk;
use crate::keys::others::Others;
use crate::keys::places::Place;
use crate::keys::{Keys, KeysError, Places, Wanted};
use crate::layout::Layout;
use crate::repository::{Repository, RepositoryError, ceremony};
use crate::services::ServicesError;
use crate::services::handover::Running;
use crate::site::{Part, Site};

pub(crate) use self::resume::resume;

/// How often it is looked whether something is due, at the latest.
const CHECK_EVERY: Duration = Duration::from_secs(3600);
/// How long after a failure it is tried again.
const RETRY: Duration = Duration::from_secs(2);
/// Seconds that a key which has handed over still counts: requests under way may take that long.
const UNDER_WAY: i64 = 60;
/// Seconds more for an authority, whose last certificate is used until it ends.
const CERTIFICATE: i64 = 600;

/// A key cannot take over.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RotateError {
    /// One is on its way.
    #[error(
        "{id} is on its way already and takes over {when}; `--cancel` gives it up, `--status` shows where it stands"
    )]
    UnderWay {
        /// The key.
        id: String,
        /// When.
        when: String,
    },
    /// Nothing to give up.
    #[error("no {0} key is on its way: nothing to cancel, nothing was changed")]
    NothingUnderWay(Role),
    /// Too late.
    #[error("{0} has begun to take over: it is in use, and the way back is to rotate once more")]
    TooLate(String),
    /// Another process has the role.
    #[error("no {0} key is used here: ask the process that runs the service")]
    Elsewhere(Role),
    /// Another process publishes trust, and it cannot be seen what.
    #[error(
        "clients must know a key before it signs, and another process publishes what they trust: {url} (urls.trust says where): \
         {problem}"
    )]
    Unseen {
        /// The trusted root's.
        url: String,
        /// Why it cannot be read.
        problem: String,
    },
    /// The root is in the hands of others.
    #[error(
        "the TUF root is signed by its holders, not by this server: they change its keys with `sigbox tuf propose --holder`"
    )]
    Holders,
    /// The clock.
    #[error("the clock is before 1970")]
    Clock,
    /// Keys.
    #[error(transparent)]
    Keys(#[from] KeysError),
    /// The trust repository.
    #[error(transparent)]
    Repository(#[from] RepositoryError),
    /// The services.
    #[error(transparent)]
    Services(#[from] ServicesError),
    /// Trust files.
    #[error(transparent)]
    Trust(#[from] TrustError),
    /// The store.
    #[error("the log store cannot be read: {0}")]
    Storage(#[from] StorageError),
    /// Work was interrupted.
    #[error("the work was interrupted: {0}")]
    Interrupted(#[from] tokio::task::JoinError),
    /// The preview.
    #[error("cannot show what clients will see: {0}")]
    Preview(String),
}

/// Has the keys, and what is published of them. There is one, and it does one thing at a time.
pub(crate) struct Keeper {
    layout: Layout,
    site: Site,
    clock: Clock,
    running: Running,
    /// The instance as its clients see it, for a preview.
    router: Router,
    state: Mutex<State>,
    /// What other processes exported.
    others: Others,
    /// Something may be due earlier than was thought.
    wake: Notify,
}

struct State {
    keys: Keys,
    /// Absent where another process has it.
    repository: Option<Repository>,
    /// What is published is not what the registry lists: it could not be signed or written.
    behind: bool,
}

/// What is on its way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct UnderWay {
    /// The key that takes over.
    pub(crate) id: String,
    /// When; `None` until it is published, and while others have to agree.
    pub(crate) due: Option<Timestamp>,
    /// The public half, for the holders of the root who have to list it.
    held: Option<PathBuf>,
}

impl UnderWay {
    /// For programs. Where the holders of the root have to agree, their part is named: the public half that they list.
    pub(crate) fn json(&self, role: Role) -> Value {
        json!({
            "role": role.name(),
            "id": self.id,
            "due": self.due,
            "publicKey": self.held.as_ref().map(|public| public.display().to_string()),
        })
    }

    /// For a sentence.
    pub(crate) fn when(&self) -> String {
        match (self.due, &self.held) {
            (Some(due), _) => format!("at {}", text(due)),
            (None, Some(public)) => format!(
                "once the holders of the root have signed one that lists it: sigbox tuf propose --online {}",
                public.display()
            ),
            (None, None) => {
                "once it is published; where another process serves trust, that learns of it by `sigbox keys export`"
                    .to_owned()
            }
        }
    }
}

/// A time as people and JSON write it.
fn text(time: Timestamp) -> String {
    serde_json::to_value(time)
        .ok()
        .and_then(|value| value.as_str().map(str::to_owned))
        .unwrap_or_default()
}

impl Keeper {
    /// For a running process whose keys are published as they are, by itself with those of others, or by another one.
    pub(crate) fn new(
        layout: Layout,
        site: Site,
        clock: Clock,
        running: Running,
        router: Router,
        keys: Keys,
        publishing: Option<(Repository, Others)>,
    ) -> Arc<Keeper> {
        let (repository, others) = publishing.unzip();
        Arc::new(Keeper {
            layout,
            site,
            clock,
            running,
            router,
            state: Mutex::new(State {
                keys,
                repository,
                behind: false,
            }),
            others: others.unwrap_or_default(),
            wake: Notify::new(),
        })
    }

    /// The certificate authority, whatever it issues under.
    pub(crate) fn authority(&self) -> Option<&Arc<fulcio_ca::Ca>> {
        self.running.authority()
    }

    /// Does what becomes due, for ever: hands keys over, and signs the trust repository anew.
    pub(crate) async fn keep(self: Arc<Self>) {
        let mut fresh = tokio::time::interval(CHECK_EVERY);
        fresh.tick().await;
        loop {
            let pause = self.hand_over_what_is_due().await;
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = self.wake.notified() => {}
                () = ceremony::proposed(&self.layout) => self.freshen().await,
                () = self.others.changed() => self.follow_others().await,
                _ = fresh.tick() => self.freshen().await,
            }
        }
    }

    async fn freshen(&self) {
        let mut state = self.state.lock().await;
        if let Some(repository) = state.repository.clone() {
            state.repository = Some(repository.round(&self.clock).await);
        }
    }

    /// Publishes the keys of other processes as they are now. Files that cannot be used change nothing.
    async fn follow_others(&self) {
        let mut state = self.state.lock().await;
        let read = self.others.read().await;
        match read.and_then(|keys| state.keys.clone().with_others(keys)) {
            Ok(keys) => {
                state.keys = keys;
                if state.catch_up(&self.clock).await {
                    tracing::warn!("keys of other processes read again; they are published from now on");
                }
            }
            Err(error) => tracing::error!(%error, "keys of other processes: those that are published stay"),
        }
    }

    /// What clients trust, as the process itself knows it.
    ///
    /// # Errors
    /// [`TrustError`].
    pub(crate) async fn trusted_root(&self) -> Result<TrustedRoot, TrustError> {
        self.state.lock().await.keys.published().trusted_root()
    }

    /// Makes a successor and publishes it; it takes over by itself. Its id, and when.
    ///
    /// # Errors
    /// [`RotateError`]. A successor that was registered stays so and is published by the next look.
    pub(crate) async fn begin(
        self: &Arc<Self>,
        role: Role,
        propagation: u32,
        host: Option<String>,
        signers: Vec<Place>,
    ) -> Result<UnderWay, RotateError> {
        let keeper = Arc::clone(self);
        // To its end, also when whoever asked goes away.
        tokio::spawn(async move { keeper.try_begin(role, propagation, host, &signers).await }).await?
    }

    async fn try_begin(
        &self,
        role: Role,
        propagation: u32,
        host: Option<String>,
        signers: &[Place],
    ) -> Result<UnderWay, RotateError> {
        let mut state = self.state.lock().await;
        if let Some(under_way) = self.under_way(&state, role) {
            let when = under_way.when();
            return Err(RotateError::UnderWay {
                id: under_way.id,
                when,
            });
        }
        if !self.site.roles().has(role) {
            return Err(RotateError::Elsewhere(role));
        }
        match &state.repository {
            Some(repository) if role == Role::TufRoot && !repository.signs_roots() => {
                return Err(RotateError::Holders);
            }
            Some(_) => {}
            // Before anything is made.
            None => drop(elsewhere::trusted_root(self.site.url_of(Part::Trust)).await?),
        }
        let (keys, layout, site, now) = (
            state.keys.clone(),
            self.layout.clone(),
            self.site.clone(),
            (self.clock)(),
        );
        let succession = Succession {
            propagation,
            published: None,
        };
        // Where its predecessor is, unless it is said where.
        let places = Places::beside(keys.registry()).with(signers);
        // Making keys and flushing files takes its time.
        let made = tokio::task::spawn_blocking(move || {
            let wanted = Wanted {
                role,
                host: host.as_deref(),
                places: &places,
                succession,
            };
            keys.with_successor(&layout, &site, &wanted, now)
        });
        state.keys = made.await??;
        // Whatever fails from here on is tried again by the next look.
        self.wake.notify_one();
        self.publish(&mut state).await?;
        let under_way = self.under_way(&state, role);
        let under_way = under_way.ok_or(RotateError::NothingUnderWay(role))?;
        if let (Some(public), Some((key, _))) = (&under_way.held, state.keys.registry().successor(role)) {
            let pem = key.public_key().map_err(KeysError::from)?.to_pem();
            disk::write(public, pem.as_bytes()).map_err(RepositoryError::from)?;
        }
        Ok(under_way)
    }

    /// Publishes what the registry lists, and writes down since when a successor is.
    async fn publish(&self, state: &mut State) -> Result<(), RotateError> {
        self.running.accept_roots(&state.keys)?;
        state.follow(&self.clock).await?;
        let theirs = match &state.repository {
            Some(_) => None,
            None => Some(elsewhere::trusted_root(self.site.url_of(Part::Trust)).await?),
        };
        let now = Timestamp::from_system_time((self.clock)()).ok_or(RotateError::Clock)?;
        let mut registry = state.keys.registry().clone();
        for key in &mut registry.keys {
            let listed = theirs.as_ref().is_none_or(|root| elsewhere::lists(root, key));
            if let Some(succession) = key.successor.as_mut().filter(|_| listed) {
                succession.published.get_or_insert(now);
            }
        }
        state.keys = state.keys.with_registry(&self.layout, registry)?;
        Ok(())
    }

    /// Gives a successor up. What is published is what it was before.
    ///
    /// # Errors
    /// [`RotateError`]; once it has begun to take over there is no way back.
    pub(crate) async fn cancel(self: &Arc<Self>, role: Role) -> Result<String, RotateError> {
        let keeper = Arc::clone(self);
        tokio::spawn(async move { keeper.try_cancel(role).await }).await?
    }

    async fn try_cancel(&self, role: Role) -> Result<String, RotateError> {
        let mut state = self.state.lock().await;
        let under_way = self.under_way(&state, role);
        let under_way = under_way.ok_or(RotateError::NothingUnderWay(role))?;
        let now = Timestamp::from_system_time((self.clock)()).ok_or(RotateError::Clock)?;
        if resume::has_begun(role, &state.keys, &self.running.logs().await?, &self.layout, now) {
            return Err(RotateError::TooLate(under_way.id));
        }
        let mut registry = state.keys.registry().clone();
        registry.keys.retain(|key| key.id != under_way.id);
        state.keys = state.keys.with_registry(&self.layout, registry)?;
        // Whatever fails from here on is tried again by the next look.
        self.wake.notify_one();
        state.follow(&self.clock).await?;
        self.running.accept_roots(&state.keys)?;
        Ok(under_way.id)
    }

    /// Every key that is on its way.
    pub(crate) async fn status(&self) -> Vec<(Role, UnderWay)> {
        let state = self.state.lock().await;
        let roles = ROLES.into_iter();
        roles
            .filter_map(|role| Some((role, self.under_way(&state, role)?)))
            .collect()
    }

    /// The key in use for a role.
    pub(crate) async fn in_use(&self, role: Role) -> Option<String> {
        let state = self.state.lock().await;
        state.keys.registry().in_use(role).map(|key| key.id.clone())
    }

    /// What clients would see of a successor, without making one.
    ///
    /// # Errors
    /// [`RotateError`].
    pub(crate) async fn preview(
        &self,
        role: Role,
        propagation: u32,
        host: Option<&str>,
    ) -> Result<String, RotateError> {
        let keys = self.state.lock().await.keys.clone();
        if let Some((key, _)) = keys.registry().successor(role) {
            return Err(RotateError::UnderWay {
                id: key.id.clone(),
                when: "later".to_owned(),
            });
        }
        preview::preview(
            &keys,
            &self.site,
            role,
            propagation,
            host,
            (self.clock)(),
            &self.router,
        )
        .await
    }

    fn under_way(&self, state: &State, role: Role) -> Option<UnderWay> {
        let known = state.keys.registry().successor(role);
        let (key, succession) = known.filter(|_| self.site.roles().has(role))?;
        // A root in other hands lists a new online key when these have signed that, and then the key takes over.
        let repository = state.repository.as_ref();
        let unlisted = |repository: &Repository| !repository.signs_roots() && !repository.lists(role, key);
        let waits = role == Role::TufOnline && repository.is_some_and(unlisted);
        Some(UnderWay {
            id: key.id.clone(),
            due: succession.due().filter(|_| !waits),
            held: waits.then(|| self.layout.keys().join(format!("{}.pub", key.id))),
        })
    }

    /// Hands over every key that is due; how long until the next look.
    async fn hand_over_what_is_due(self: &Arc<Self>) -> Duration {
        let keeper = Arc::clone(self);
        let looked = tokio::spawn(async move { keeper.try_hand_over().await });
        looked.await.unwrap_or_else(|error| {
            tracing::error!(%error, "handing keys over was interrupted; it is tried again");
            RETRY
        })
    }

    /// What cannot be done holds up nothing else, and is tried again.
    async fn try_hand_over(&self) -> Duration {
        let mut state = self.state.lock().await;
        let mut pause = CHECK_EVERY;
        let unpublished = |state: &State| {
            let keys = state.keys.registry().keys.iter();
            let mut successors = keys.filter_map(|key| key.successor);
            successors.any(|succession| succession.published.is_none())
        };
        if state.behind {
            state.catch_up(&self.clock).await;
        }
        if unpublished(&state) {
            match self.publish(&mut state).await {
                // By another process, later.
                Ok(()) if unpublished(&state) => pause = pause.min(elsewhere::LOOK_EVERY),
                Ok(()) => {}
                Err(error) => {
                    tracing::error!(%error, "a key that is to take over could not be published; it is tried again");
                    pause = pause.min(RETRY);
                }
            }
        }
        for role in ROLES {
            let Some(UnderWay {
                id, due: Some(due), ..
            }) = self.under_way(&state, role)
            else {
                continue;
            };
            match due.system_time().duration_since((self.clock)()) {
                Ok(wait) if !wait.is_zero() => pause = pause.min(wait),
                _ => {
                    if let Err(error) = self.hand_over(&mut state, role).await {
                        tracing::error!(%error, key = id, %role, "a key could not take over; it is tried again");
                        pause = pause.min(RETRY);
                    }
                }
            }
        }
        if state.behind {
            pause = pause.min(RETRY);
        }
        pause
    }

    async fn hand_over(&self, state: &mut State, role: Role) -> Result<(), RotateError> {
        let Some((next, _)) = state.keys.registry().successor(role) else {
            return Ok(());
        };
        let next = next.clone();
        self.running.hand_over(role, &state.keys, &next).await?;
        if matches!(role, Role::TufRoot | Role::TufOnline)
            && let Some(repository) = state.repository.clone()
        {
            let changed = repository.hand_over(role, &state.keys, &self.clock).await?;
            state.repository = Some(changed);
        }
        let mut registry = state.keys.registry().clone();
        registry.take_over(role, end_of(role, &self.clock)?);
        state.keys = state.keys.with_registry(&self.layout, registry)?;
        tracing::warn!(key = next.id, role = %role, "a key has taken over");
        state.catch_up(&self.clock).await;
        Ok(())
    }
}

impl State {
    /// Publishes what the registry lists.
    async fn follow(&mut self, clock: &Clock) -> Result<(), RotateError> {
        let Some(repository) = self.repository.clone() else {
            return Ok(());
        };
        let (repository, outcome) = repository.follow(&self.keys, clock).await;
        self.repository = Some(repository);
        self.behind = outcome.is_err();
        Ok(outcome?)
    }

    /// The same for what is done already; whether it is published. If not, the next look tries again.
    async fn catch_up(&mut self, clock: &Clock) -> bool {
        let outcome = self.follow(clock).await;
        if let Err(error) = &outcome {
            tracing::error!(%error, "what clients trust is not what the key registry lists; it is tried again");
        }
        outcome.is_ok()
    }
}

/// In the order in which they are handed over, should several be due at once.
const ROLES: [Role; 7] = [
    Role::TufRoot,
    Role::TufOnline,
    Role::Tsa,
    Role::CtLog,
    Role::FulcioCa,
    Role::RekorV1,
    Role::RekorV2,
];

/// When what a key has signed ends to count, once another has taken over.
fn end_of(role: Role, clock: &Clock) -> Result<Timestamp, RotateError> {
    let now = Timestamp::from_system_time(clock()).ok_or(RotateError::Clock)?;
    let more = if role == Role::FulcioCa { CERTIFICATE } else { 0 };
    Ok(now.plus_seconds(UNDER_WAY).plus_seconds(more))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_read_what_is_on_its_way_and_what_it_waits_for() {
        let key = |due: Option<i64>, held: Option<&str>| UnderWay {
            id: "tuf-online-2".to_owned(),
            due: due.and_then(Timestamp::from_unix),
            held: held.map(PathBuf::from),
        };
        let told = |due: Value, public: Value| {
            json!({
                "role": "tuf-online",
                "id": "tuf-online-2",
                "due": due,
                "publicKey": public,
            })
        };
        for (key, expected) in [
            (
                key(Some(1_800_000_000), None),
                told(json!("2027-01-15T08:00:00Z"), Value::Null),
            ),
            (key(None, Some("a.pub")), told(Value::Null, json!("a.pub"))),
            (key(None, None), told(Value::Null, Value::Null)),
        ] {
            assert_eq!(key.json(Role::TufOnline), expected);
        }
    }
}
