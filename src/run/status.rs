//! A run's status and the one function that says how it may change.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Where a run stands, as users see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Accepted, never claimed.
    Created,
    /// A worker has it, or will as soon as one is free.
    Running,
    /// Parked until the source's rate limit is over.
    RateLimited,
    /// Parked until a delivery or the source is tried again.
    Retrying,
    /// Ended well.
    Completed,
    /// Ended with an error; can be resumed.
    Failed,
    /// Ended by a person or refused by the receiver; can be resumed.
    Stopped,
}

impl Status {
    /// Every status.
    pub const ALL: [Status; 7] = [
        Self::Created,
        Self::Running,
        Self::RateLimited,
        Self::Retrying,
        Self::Completed,
        Self::Failed,
        Self::Stopped,
    ];

    /// Whether the run has ended.
    pub fn is_terminal(self) -> bool {
        matches!(self, Self::Completed | Self::Failed | Self::Stopped)
    }

    /// Whether a run may go from this status to `next`. Leaving a terminal one is what `resume` does; a completed run
    /// only leaves it to send its terminal event again, and completes once more. The engine's tests hold every run
    /// they play to this.
    pub fn may_become(self, next: Status) -> bool {
        match self {
            Self::Created => matches!(next, Self::Running | Self::Stopped | Self::Failed),
            Self::Running | Self::RateLimited | Self::Retrying => next != Self::Created,
            Self::Failed | Self::Stopped => matches!(next, Self::Created | Self::Running),
            Self::Completed => next == Self::Running,
        }
    }

    /// The name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Running => "running",
            Self::RateLimited => "rate_limited",
            Self::Retrying => "retrying",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Stopped => "stopped",
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Status {
    type Err = UnknownStatus;

    fn from_str(text: &str) -> Result<Self, UnknownStatus> {
        Self::ALL
            .into_iter()
            .find(|status| status.as_str() == text)
            .ok_or_else(|| UnknownStatus(text.to_owned()))
    }
}

/// A text that names no status.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no run status")]
pub struct UnknownStatus(String);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_completed_run_stays_completed_and_nothing_becomes_created_by_itself() {
        for next in Status::ALL {
            assert_eq!(Status::Completed.may_become(next), next == Status::Running);
            assert_eq!(Status::Running.may_become(next), next != Status::Created);
        }
        assert!(Status::Stopped.may_become(Status::Running));
        assert!(!Status::Created.may_become(Status::Completed));
    }

    #[test]
    fn names_round_trip() {
        for status in Status::ALL {
            assert_eq!(status.as_str().parse(), Ok(status));
        }
    }
}
