//! `rapidbridge`: the map of the house. (Filled in as the rooms are.)

pub mod clock;
pub mod definition;
pub mod engine;
pub mod id;
pub mod json;
pub mod nearest;
pub mod schedule;
pub mod template;
