//! A trigger: a schedule that creates runs.

use std::time::Duration;

use crate::definition::job::ErrorHandling;
use crate::id::{AccountId, JobId, TriggerId, WebhookId};
use crate::json::Json;
use crate::schedule::{CatchUp, Overlap, Schedule};

/// A checked trigger.
#[derive(Debug, Clone)]
pub struct Trigger {
    /// The trigger's id.
    pub id: TriggerId,
    /// The job its runs execute.
    pub job: JobId,
    /// The account its runs read from.
    pub account: AccountId,
    /// Where its runs deliver.
    pub webhook: WebhookId,
    /// When it is due.
    pub schedule: Schedule,
    /// The most a slot is delayed, by a hash of (trigger, slot); never brings it forward.
    pub jitter: Duration,
    /// Whether it fires at all.
    pub enabled: bool,
    /// What happens when a slot comes while a run of this trigger has not ended.
    pub overlap: Overlap,
    /// What happens to slots that were missed.
    pub catch_up: CatchUp,
    /// The most missed slots that `CatchUp::All` makes up for.
    pub catch_up_limit: u32,
    /// Arguments of its runs; a JSON object.
    pub args: Json,
    /// Overrides the job's.
    pub error_handling: Option<ErrorHandling>,
}
