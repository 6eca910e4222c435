//! The engine: a run as a state machine without I/O, and the driver that performs what it asks for.
//!
//! It knows neither queue nor HTTP: pages, deliveries and durability come through the doors in [`seam`].

pub mod batch;
pub mod budget;
pub mod checkpoint;
pub mod context;
pub mod cursor;
pub mod driver;
pub mod event;
pub mod machine;
pub mod seam;
pub mod transition;

pub use checkpoint::Checkpoint;
pub use machine::{Effect, Machine, RunFacts, WebhookFacts};

#[cfg(test)]
mod tests;
