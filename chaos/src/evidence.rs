//! What a trial leaves for the checker: who sent what when, what went wrong when, and what is in Redis at the end.
//! All times are counted from the trial's start.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::time::Duration;

use crate::graph::Graph;
use crate::plan::Fault;

/// A time since the trial's start.
pub(crate) type At = Duration;

/// One request at a receiver.
#[derive(Debug, Clone)]
pub(crate) struct Delivery {
    pub(crate) at: At,
    pub(crate) webhook: String,
    pub(crate) run: String,
    /// Without its prefix: `started`, `record`, `completed`…
    pub(crate) event: String,
    pub(crate) seq: Option<u64>,
    pub(crate) epoch: u64,
    pub(crate) id: String,
    /// What the receiver answered, if it answered.
    pub(crate) status: Option<u16>,
    /// What a graph's page holds.
    pub(crate) page: Option<Box<Page>>,
}

/// A page of a graph.
#[derive(Debug, Clone, Default)]
pub(crate) struct Page {
    /// The node whose output it is.
    pub(crate) node: String,
    /// Each record's id, and its content where it has one.
    pub(crate) records: Vec<(String, Option<u64>)>,
    /// What happened to each, where that is tracked: id and `added`, `updated` or `deleted`.
    pub(crate) changes: Option<Vec<(String, String)>>,
}

impl Delivery {
    pub(crate) fn is_acknowledged(&self) -> bool {
        self.status == Some(200)
    }

    pub(crate) fn is_terminal(&self) -> bool {
        matches!(self.event.as_str(), "completed" | "failed" | "stopped")
    }
}

/// One request at a source.
#[derive(Debug, Clone)]
pub(crate) struct Fetch {
    pub(crate) at: At,
    pub(crate) run: String,
    pub(crate) account: String,
    pub(crate) path: String,
    /// What its run found in its state cell, if it says so.
    pub(crate) found: Option<String>,
    /// The list of a graph that it asks for: resource and parent.
    pub(crate) list: Option<(String, String)>,
    /// Until when it was told to wait, if it was.
    pub(crate) limited_until: Option<At>,
    /// Its cursor was refused: the list starts over.
    pub(crate) restarts: bool,
    /// It came with the cursor of another list.
    pub(crate) is_foreign_cursor: bool,
}

/// A fault that happened.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Happened {
    pub(crate) from: At,
    pub(crate) until: At,
    pub(crate) fault: Fault,
    /// The process that was hit.
    pub(crate) pid: Option<u32>,
}

/// A run that the API accepted.
#[derive(Debug, Clone)]
pub(crate) struct Accepted {
    pub(crate) run: String,
    pub(crate) job: String,
    pub(crate) account: String,
    /// When the API had answered.
    pub(crate) at: At,
    /// The run that took its place when a power loss took it, as documented: its key was pushed again.
    pub(crate) replaced_by: Option<String>,
}

/// A run as the API shows it at the end.
#[derive(Debug, Clone)]
pub(crate) struct Run {
    pub(crate) id: String,
    pub(crate) job: String,
    pub(crate) account: String,
    pub(crate) webhook: String,
    /// The mutex that it shares with runs of any account.
    pub(crate) mutex: Option<String>,
    pub(crate) status: String,
    pub(crate) reason: Option<String>,
    pub(crate) trigger: Option<String>,
    /// The trigger's slot in milliseconds since 1970.
    pub(crate) slot: Option<i64>,
    pub(crate) attempt: u64,
    /// Nodes that were not read wholly.
    pub(crate) incomplete: Vec<String>,
}

/// A trigger as the API shows it at the end.
#[derive(Debug, Clone)]
pub(crate) struct Trigger {
    pub(crate) id: String,
    pub(crate) overlap: String,
    pub(crate) catches_up_all: bool,
    pub(crate) every_ms: i64,
    pub(crate) last_slot: Option<i64>,
    pub(crate) skipped: u64,
    pub(crate) missed: u64,
}

/// How long the run of a worker that was killed, or asked to leave, waited for its next claim.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Resumed {
    /// The signal's time.
    pub(crate) from: At,
    /// `None` when it was not seen to be claimed again.
    pub(crate) claimed: Option<At>,
    /// SIGKILL rather than SIGTERM.
    pub(crate) is_kill: bool,
}

/// What the receivers say of themselves.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Forgeries {
    pub(crate) bad_signatures: u64,
    pub(crate) malformed: u64,
    pub(crate) id_conflicts: u64,
}

/// All of it.
#[derive(Debug, Default)]
pub(crate) struct Evidence {
    pub(crate) deliveries: Vec<Delivery>,
    pub(crate) fetches: Vec<Fetch>,
    pub(crate) happened: Vec<Happened>,
    pub(crate) accepted: Vec<Accepted>,
    pub(crate) runs: BTreeMap<String, Run>,
    pub(crate) triggers: Vec<Trigger>,
    pub(crate) resumed: Vec<Resumed>,
    pub(crate) forgeries: Forgeries,
    /// The ids of acknowledged records by (run, resource).
    pub(crate) received: BTreeMap<(String, String), HashSet<Box<str>>>,
    /// What the sources hold by (account, resource).
    pub(crate) there: BTreeMap<(String, String), HashSet<Box<str>>>,
    /// The random graphs, by their job's id.
    pub(crate) graphs: BTreeMap<String, Graph>,
    /// What the state cells of graphs hold at the end, by (job, account).
    pub(crate) cells: BTreeMap<(String, String), BTreeMap<String, String>>,
    /// Which process had a run under an epoch.
    pub(crate) owners: BTreeMap<(String, u64), u32>,
    /// What the runs' own logs say, by run.
    pub(crate) logs: BTreeMap<String, Vec<(At, String)>>,
    /// Runs that were resumed because they had ended as poison.
    pub(crate) resumed_by_hand: BTreeSet<String>,
    /// Writes of former owners that Redis refused.
    pub(crate) refused: u64,
    /// Runs in no place or in two, each with why.
    pub(crate) orphans: Vec<String>,
    /// Keys without an owner, each with why.
    pub(crate) leftovers: Vec<String>,
    /// What else was seen: processes that ended by themselves, secrets in logs.
    pub(crate) mishaps: Vec<String>,
}

impl Evidence {
    /// Whether any fault for which `wanted` holds touches the time from `from` to `until`.
    pub(crate) fn was(&self, from: At, until: At, wanted: impl Fn(&Happened) -> bool) -> bool {
        self.happened
            .iter()
            .any(|happened| happened.from <= until && from <= happened.until && wanted(happened))
    }

    /// Whether Redis lost its last second somewhere between.
    pub(crate) fn power_was_lost(&self, from: At, until: At) -> bool {
        self.was(from, until, |happened| happened.fault == Fault::PowerLoss)
    }
}
