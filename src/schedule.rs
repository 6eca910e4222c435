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
