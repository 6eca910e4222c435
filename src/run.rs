//! A run: one execution of a sync job against one account, delivered to one or more webhooks.
//!
//! This room knows what a run is and how its status may change; it knows neither how a run is executed
//! (`engine`) nor where it is kept (`store`).

pub mod status;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

pub use status::Status;

use crate::clock::Millis;
use crate::definition::job::ErrorHandling;
use crate::definition::webhook::EventType;
use crate::id::{AccountId, EnvironmentId, JobId, RunId, TriggerId, WebhookId};
use crate::json::{Json, Unknown};

/// What was asked for when the run was made. Never changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunRequest {
    /// The run's id; says its partition.
    pub id: RunId,
    /// The environment.
    pub environment: EnvironmentId,
    /// The job to execute.
    pub job: JobId,
    /// The account to read from.
    pub account: AccountId,
    /// Where to deliver, in order.
    pub webhooks: Vec<WebhookId>,
    /// Arguments for placeholders; a JSON object.
    pub args: Json,
    /// What to do about a request that fails for good.
    pub error_handling: ErrorHandling,
    /// Whether `previous_run_date` is the epoch although an earlier run completed.
    #[serde(default)]
    pub ignore_previous_run: bool,
    /// The trigger and slot that made the run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slot: Option<Slot>,
    /// The run that this one repeats.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replay_of: Option<Replay>,
    /// The content addresses of the definitions this run executes, whatever is applied later.
    pub revisions: Revisions,
    /// The mutex, rendered, that it shares with runs of any account: they don't overlap.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mutex_key: Option<String>,
    /// The namespace of its state cells, rendered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state_key: Option<String>,
    /// Whether it waits for no mutex: neither its key's nor that of its job and account.
    #[serde(default, skip_serializing_if = "is_false")]
    pub force: bool,
    /// The events it sends, of those that its webhooks take; all of them, if nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub events_to_send: Option<BTreeSet<EventType>>,
    /// Nothing is delivered, written or remembered; of each list no more than this many records are read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dry_run: Option<u64>,
    /// What a worker must be able to honour: see [`RunRequest::version_for`].
    #[serde(default = "first_version", skip_serializing_if = "is_first_version")]
    pub version: u32,
    /// When it was accepted.
    pub created_at: Millis,
}

fn is_false(flag: &bool) -> bool {
    !flag
}

fn first_version() -> u32 {
    1
}

fn is_first_version(version: &u32) -> bool {
    *version == 1
}

/// The newest form of a request that this version executes. A request that older workers must not execute, because
/// they would pass over a member that changes what is done, names a higher one as `version`; without it, it is 1.
pub const REQUEST_VERSION: u32 = 2;

/// Why a stored request can't be executed by this version.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the run's request can't be read by this version ({0}): update the workers")]
pub struct UnreadableRequest(String);

impl RunRequest {
    /// The version that a request with this key has: a worker that knows nothing of keys would not wait for it, and one
    /// that knows nothing of dry runs would deliver.
    pub fn version_for(mutex_key: Option<&str>, force: bool, dry_run: bool) -> u32 {
        if dry_run || (mutex_key.is_some() && !force) { 2 } else { 1 }
    }

    /// Reads a stored request in order to execute it.
    ///
    /// # Errors
    /// When it is from a later version, or damaged.
    pub fn read(text: &str) -> Result<Self, UnreadableRequest> {
        #[derive(Deserialize)]
        struct Head {
            version: Option<u32>,
        }
        let unreadable = |error: serde_json::Error| UnreadableRequest(error.to_string());
        let Head { version } = serde_json::from_str(text).map_err(unreadable)?;
        match version {
            Some(version) if version > REQUEST_VERSION => {
                Err(UnreadableRequest(format!("it has version {version}, this is {REQUEST_VERSION}")))
            }
            _ => serde_json::from_str(text).map_err(unreadable),
        }
    }
}

/// The trigger that made a run, and for which of its slots.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Slot {
    /// The trigger.
    pub trigger: TriggerId,
    /// The slot; absent for `run now`.
    pub at: Option<Millis>,
}

/// The run that a replay repeats, with what it had frozen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Replay {
    /// The earlier run.
    pub run: RunId,
    /// What `{{previous_run_date}}` was in it.
    pub previous_run_date: Option<Millis>,
}

/// Content addresses of the definitions a run executes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revisions {
    /// Of the sync job.
    pub job: String,
    /// Of the integration.
    pub integration: String,
}

/// What a run has done so far; part of its checkpoint and of every lifecycle event.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// Node → method → counts.
    pub resource_stats: BTreeMap<String, BTreeMap<String, Counts>>,
    /// Pages acknowledged, of all nodes.
    pub pages: u64,
    /// What a completed run did not read whole: node → reason.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub incomplete: BTreeMap<String, String>,
    /// Where the run is: the node being read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    /// When the first claim started the run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Millis>,
    /// What `{{previous_run_date}}` stands for in this run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous_run_date: Option<Millis>,
    /// What a later version keeps beside these.
    #[serde(flatten)]
    pub unknown: Unknown,
}

/// Counts of one node's method.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Records fetched.
    pub fetched: u64,
    /// Records acknowledged by every webhook.
    pub persisted: u64,
    /// Pages fetched.
    pub pages: u64,
    /// Requests that failed for good.
    pub errors: u64,
}

/// How a run ended, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// Completed, failed or stopped.
    pub status: Status,
    /// Why, in one sentence, unless it completed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// A word for programs (`delivery_exhausted`, `record_error`, `poison`, …).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
}
