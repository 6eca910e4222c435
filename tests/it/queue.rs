//! The queue over a real Redis, without processes: places, leases, fences, keys that runs wait for, and what Redis
//! may lose.

mod audit;
pub(crate) mod bench;
mod budget;
mod fence;
mod full;
mod locks;
mod marks;
mod mend;
mod order;
mod retention;
mod state;
mod tokens;

use std::time::Duration;

/// Long enough for a few calls on a busy machine, short enough to wait for.
const LEASE: Duration = Duration::from_millis(600);
