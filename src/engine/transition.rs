//! What is made durable beside the checkpoint, and what comes back with it.

use bytes::Bytes;

use crate::clock::Millis;
use crate::run::Status;

/// What is to be made durable, all or nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Changes {
    /// Stages to write.
    pub put: Vec<(String, Bytes)>,
    /// Stages that nothing names any more.
    pub drop: Vec<String>,
}

/// Why and until when a run waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Park {
    /// When it may go on.
    pub until: Millis,
    /// `RateLimited` or `Retrying`.
    pub status: Status,
    /// Why, in one sentence.
    pub reason: String,
}

/// What an account's rate-limit gate says.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Gate {
    /// How often it was closed.
    pub generation: u64,
    /// When it opens, if it is closed.
    pub opens_at: Millis,
}
