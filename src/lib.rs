//! `rapidbridge`: a self-hosted, durable data-sync engine over Redis. Its runs pull records from third-party HTTP
//! APIs page by page, push each page to a webhook, wait for its 200, write a checkpoint, and resume exactly there.
//!
//! This page is the map. The data's way, and the rooms it passes:
//!
//! ```text
//! definition ─► schedule ─► run ─► store ─► worker ─► engine ─► source ─► engine ─► delivery ─► store
//! what a user    when a      one    Redis:   claims    decides    HTTP     decides    webhook    checkpoint
//! writes         trigger     exe-   queue,   under a   what to    API      what to    and its    and lease
//!                is due      cution leases   lease     fetch      pages    send       200
//! ```
//!
//! Read in this order and you know the house: this page, [`run`], [`engine::machine`] (the decisions),
//! [`engine::driver`] (the effects), [`store::keys`] and `store/lua/` (every key, every transition), [`worker`],
//! [`scheduler`]. `docs/architecture.md` tells why it is so.
//!
//! | room | what it is for | what it deliberately doesn't know |
//! |---|---|---|
//! | [`definition`] | documents → checked types, all problems at once | how anything is executed |
//! | [`template`] | placeholders `{{…}}` on JSON text | definitions |
//! | [`expression`] | JSONata, behind a trait of our own | definitions |
//! | [`schedule`] | when a trigger is due; pure | Redis, runs |
//! | [`run`] | what a run is, and how its status may change | how it is executed or kept |
//! | [`plan`] | jobs compiled to steps in their order | how steps are done |
//! | [`engine`] | machine (no I/O), driver | HTTP, Redis, queue |
//! | [`source`] | HTTP APIs as their integration declares them | runs, webhooks |
//! | [`delivery`] | signing and sending events | runs' state, Redis |
//! | [`egress`] | where requests may go | who sends them |
//! | [`seal`] | secrets at rest | what they open |
//! | [`store`] | all of Redis | what a checkpoint says |
//! | [`live`] | definitions as they are now, and accounts' ways to their sources | runs, webhooks |
//! | [`worker`], [`scheduler`] | the loops | each other: they meet in Redis |
//! | [`api`] | the same operations over REST | how runs are executed |
//! | [`playground`], [`redis_server`] | a source, a receiver and a Redis to play with: demo, `dev`, tests | the product |
//!
//! A test (`tests/it/tidy.rs`) holds the imports to this plan.
//!
//! # Invariants
//!
//! Each is held by tests that can fail (`src/engine/tests.rs`, `tests/it/`).
//!
//! 1. No accepted run is lost: it reaches a terminal status while Redis keeps its data and a worker lives.
//! 2. The checkpoint is never ahead of the acknowledgement.
//! 3. One effective owner: every write carries the run's epoch and owner, and is refused when a newer one exists.
//! 4. In order within a run; `seq` has no gaps; at most the last uncheckpointed page is delivered again.
//! 5. The same `webhook-id` means byte-identical bodies, and different bodies never share one.
//! 6. One `started` a run and one terminal event an attempt; the status and the event agree.
//! 7. A slot of a trigger makes one run under any number of schedulers.
//! 8. A parked run costs no worker slot and no worker memory.
//! 9. After quiescence nothing is pending, and no run is without a place.
//! 10. What Redis loses (group, script cache, connection) is made again while running.
//! 11. A worker's memory is bounded by settings.
//! 12. No secret leaves: not in logs, events, API answers or errors, and not in clear in Redis.

pub mod api;
mod aside;
pub mod backoff;
pub mod clock;
pub mod definition;
pub mod delivery;
pub mod egress;
pub mod engine;
pub mod expression;
pub mod id;
pub mod json;
pub mod live;
mod mac;
pub mod nearest;
pub mod observe;
pub mod plan;
#[cfg(feature = "cli")]
pub mod playground;
pub mod process;
#[cfg(feature = "cli")]
pub mod redis_server;
mod retry_after;
pub mod run;
pub mod schedule;
pub mod scheduler;
pub mod seal;
pub mod settings;
pub mod source;
pub mod store;
pub mod template;
pub mod worker;
