//! Integration tests: one binary, so that it is linked once. Those beside `docs`, `files`, `schema`, `tidy` and `validate`
//! start what an operator would start (Redis, schedulers, workers), and judge by the ledgers of a real source and a real
//! receiver and by the API, never by the engine's own counts.
#![expect(clippy::unwrap_used, reason = "a test's helper may fail as loudly as the test itself")]

mod docs;
mod files;
mod schema;
mod support;
mod tidy;
mod validate;

mod bytes;
mod catalogue;
mod check;
mod connect;
mod contract;
mod drain;
mod dry_run;
mod emptied;
mod failover;
#[cfg(target_os = "linux")]
mod flood;
mod full;
mod hostile;
mod hot_path;
mod isolation;
mod jobs;
mod kill;
mod kinto;
mod mutex;
mod new;
mod oauth;
mod outage;
mod pace;
mod poison;
mod queue;
mod rate_limit;
mod rolling;
mod schedule;
mod security;
mod unified;
mod upgrade;
mod zombie;
