//! What a receiver may count on, event by event (PRODUCT.md, \"What a run does\").

mod delivery;
mod failures;
mod started;
mod subscription;
