//! `rapidbridge`: the map of the house. (Filled in as the rooms are.)

pub mod api;
pub mod backoff;
pub mod clock;
pub mod definition;
pub mod delivery;
pub mod egress;
pub mod engine;
pub mod id;
pub mod json;
mod mac;
pub mod nearest;
pub mod observe;
#[cfg(feature = "cli")]
pub mod playground;
pub mod process;
#[cfg(feature = "cli")]
pub mod redis_server;
pub mod run;
pub mod schedule;
pub mod scheduler;
pub mod seal;
pub mod settings;
pub mod source;
pub mod store;
pub mod template;
pub mod worker;
