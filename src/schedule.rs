//! When a trigger is due. Pure: the time is an argument.

/// What happens when a slot comes while a run of the same trigger has not ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Overlap {
    /// The slot is recorded as skipped (the default).
    #[default]
    Skip,
    /// One run waits for the other; further slots are skipped.
    Queue,
    /// Both run.
    Allow,
}

/// What happens to slots that were missed while no scheduler ran.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum CatchUp {
    /// The newest of them makes one run (the default).
    #[default]
    Latest,
    /// They make none.
    None,
    /// Each makes a run, up to a limit.
    All,
}

/// When a trigger is due.
#[derive(Debug, Clone)]
pub struct Schedule {}

/// Stub until the real one is merged.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct ScheduleError(String);

impl Schedule {
    /// Stub until the real one is merged.
    ///
    /// # Errors
    /// When there are not five or six fields.
    pub fn cron(expression: &str, _timezone: Option<&str>) -> Result<Self, ScheduleError> {
        match expression.split_whitespace().count() {
            5 | 6 => Ok(Self {}),
            _ => Err(ScheduleError(format!("{expression:?} is no cron expression"))),
        }
    }

    /// Stub until the real one is merged.
    ///
    /// # Errors
    /// When the interval is shorter than a second.
    pub fn every(interval: std::time::Duration) -> Result<Self, ScheduleError> {
        if interval < std::time::Duration::from_secs(1) {
            return Err(ScheduleError("an interval is at least one second".to_owned()));
        }
        Ok(Self {})
    }
}
