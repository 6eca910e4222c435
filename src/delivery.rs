//! Events on their way to a customer's webhook: signing, sending, and what the answer means.
//!
//! The engine hands over bytes that are final; nothing here reads or changes a body. This room knows neither
//! Redis nor the run's state: it asks a [`WebhookBook`] for the webhook and a guard whether the run may still
//! send, and it parks nothing: tries that need a longer wait go back to the engine as a failure.

mod failure;
mod headers;
mod http;
pub mod signature;
mod silence;
pub mod verdict;
mod words;

pub use self::http::RETRY_AFTER_MAX;
pub use self::http::{BookError, Http, HttpCourier, WebhookBook};
