//! What a user writes (integration, integrated account, webhook, sync job, trigger) as checked types.
//! Nothing past this room sees the raw form.

pub mod account;
pub mod integration;
pub mod job;
pub mod trigger;
pub mod webhook;

pub use account::Account;
pub use integration::Integration;
pub use job::SyncJob;
pub use trigger::Trigger;
pub use webhook::Webhook;
