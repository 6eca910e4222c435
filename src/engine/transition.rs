//! What is made durable beside the checkpoint, and what comes back with it.

use bytes::Bytes;

use crate::clock::Millis;
use serde::{Deserialize, Serialize};

use crate::json::Json;
use crate::run::Status;

/// What is to be made durable, all or nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Changes {
    /// Stages to write.
    pub put: Vec<(String, Bytes)>,
    /// Stages that nothing names any more.
    pub drop: Vec<String>,
    /// What is remembered of records from now on. All of it lies in the partition of the run's account.
    pub marks: Vec<Mark>,
}

/// What a run remembers of records for the runs after it: written by the same save as the position that passes them.
/// A `set` is named by the machine: a digest of (job, account, node, scope).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mark {
    /// A record was seen in this pass, with this content.
    Seen {
        /// The set.
        set: String,
        /// The record's id.
        id: String,
        /// Digest of its content.
        digest: String,
        /// Its place in the set's order: the pass that saw it, or its cursor value.
        order: i64,
    },
    /// A record is forgotten.
    Gone {
        /// The set.
        set: String,
        /// The record's id.
        id: String,
    },
    /// All records before this place in the order are forgotten.
    Trim {
        /// The set.
        set: String,
        /// What stays has at least this order.
        from: i64,
    },
    /// Up to where an incremental list was read.
    Watermark {
        /// The set.
        set: String,
        /// Any JSON value.
        value: Json,
    },
}

/// A question to what jobs remember.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Recall {
    /// The value of a state cell.
    State {
        /// The namespace.
        state_key: String,
        /// The cell.
        key: String,
    },
    /// What is known of these records: an array with a digest or `null` for each.
    Known {
        /// The set.
        set: String,
        /// The records' ids.
        ids: Vec<String>,
    },
    /// Records that are in the set and come before `order`, the first ones: an array of ids.
    Before {
        /// The set.
        set: String,
        /// The first order that does not count.
        order: i64,
        /// How many at most.
        most: usize,
    },
    /// How many records the set has: a number.
    Size {
        /// The set.
        set: String,
    },
    /// The watermark of an incremental list.
    Watermark {
        /// The set.
        set: String,
    },
}

/// A change of a state cell. Of one run's changes to a cell, one with a lower (epoch, step) than the last is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remember {
    /// The namespace.
    pub state_key: String,
    /// The cell.
    pub key: String,
    /// Its value; `None` deletes it.
    pub value: Option<Json>,
    /// The ordinal of this change in its run.
    pub step: u64,
}

/// What became of a change of a state cell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Remembered {
    /// It is written, now or by an earlier try.
    Written,
    /// A later change of the same run stands: this one comes from an owner that was left behind.
    Older,
    /// It can't be: why, and what to do (too large, too many cells).
    Refused(String),
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
    /// Whether it is known that the source answers again.
    pub passed: bool,
}
