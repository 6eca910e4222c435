//! `rapidbridge`: the map of the house. (Filled in as the rooms are.)

pub mod clock;
pub mod definition;
pub mod engine;
pub mod id;
pub mod json;
#[cfg(feature = "cli")]
pub mod playground;
#[cfg(feature = "cli")]
pub mod redis_server;
pub mod schedule;
pub mod template;
