//! stub
use std::time::Duration;
/// stub
pub fn delay(base: Duration, max: Duration, attempt: u32, seed: u64) -> Duration { let _ = seed; (base * attempt).min(max) }
