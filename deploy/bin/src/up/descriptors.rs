//! How many files this process may have open: each connection is one.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// More than this is never asked for.
const ENOUGH: u64 = 65_536;

/// Raises the soft limit towards the hard one, which nothing here forbids (it is low for the sake of
/// `select(2)`), and tells what holds now; `None` is no limit.
pub(super) fn raise() -> Option<u64> {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let wanted = maximum.map_or(ENOUGH, |most| most.min(ENOUGH));
    if current.is_some_and(|now| now < wanted) {
        let raised = Rlimit {
            current: Some(wanted),
            maximum,
        };
        // Not allowed: then it stays where it is.
        if setrlimit(Resource::Nofile, raised).is_ok() {
            return Some(wanted);
        }
    }
    current
}
