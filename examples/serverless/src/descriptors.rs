//! Descriptors: connections and machines both need them, and neither is to leave the other without.

use std::fs;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Machines that are kept when nobody uses them: as many as the library keeps unless told otherwise.
const IDLE_MACHINES: usize = 32;

/// Lets this process have as many as it may give itself.
pub(crate) fn raise_limit() {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current == maximum {
        return;
    }
    // Without it there are fewer functions at once: whoever deploys one too many is told.
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }) {
        tracing::warn!(%error, "the limit on descriptors stays as it is");
    }
}

/// True if three quarters of them are in use: what is left is for connections, and for machines of what is deployed already.
pub(crate) fn are_short() -> bool {
    let Some(most) = getrlimit(Resource::Nofile).current else { return false };
    let Ok(open) = fs::read_dir("/proc/self/fd") else { return true };
    u64::try_from(open.count()).is_ok_and(|open| open >= most / 4 * 3)
}

/// Destroys machines that nobody uses; how many there may be stays as it was.
pub(crate) fn give_back() {
    ampoule::set_max_idle_machines(0);
    ampoule::set_max_idle_machines(IDLE_MACHINES);
}
