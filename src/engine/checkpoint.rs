//! The durable position of a run: the machine's whole state. What is large (parents' records, events that
//! wait for their 200) lies beside it as *stages*, written once by the same save.

use serde::{Deserialize, Serialize};

use crate::clock::Millis;
use crate::definition::webhook::EventType;
use crate::engine::cursor::Cursor;
use crate::id::WebhookId;
use crate::json::{Json, Unknown};
use crate::run::{Outcome, Progress};

/// The layout this version writes. A run keeps the number it was saved with, so a later version knows what
/// it reads. It grows when a version that knows only the number before must not go on with the run; members that it
/// may pass over are added without (see `docs/architecture.md`, "How state evolves").
pub const VERSION: u32 = 1;

/// A run's durable position.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// The layout.
    pub version: u32,
    /// Which attempt of the run wrote it, from 1; `resume` opens the next.
    pub attempt: u32,
    /// The time the next page's event will carry, so that the page fetched again after a crash is the same
    /// event again. Set when something is acknowledged, never by parking.
    pub at: Millis,
    /// Index, in the plan's roots (or the steps of [`Checkpoint::moment`]), of the step being done.
    pub root: usize,
    /// Which of the plan's other sequences is being done, instead of its roots.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub moment: Option<Closing>,
    /// Where the run was when it was about to fail, while the steps for that moment are done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub aside: Option<Box<Aside>>,
    /// What spools have collected and not passed on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub spools: Vec<Spooled>,
    /// What is remembered of records once all steps are through.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pending: Vec<Pending>,
    /// State cells that are known everywhere.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cells: Vec<Cell>,
    /// Whether a page's id takes its number; of runs that earlier versions began it takes the step, so that a page in
    /// flight keeps its id.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub numbered: bool,
    /// How many changes of state cells were made: numbers the next one.
    #[serde(default, skip_serializing_if = "is_zero_u64")]
    pub remembered: u64,
    /// Where in nested work the run is; the last frame is the one that fetches.
    pub frames: Vec<Frame>,
    /// One entry a webhook, in the run's order.
    pub destinations: Vec<Destination>,
    /// Events staged and not yet acknowledged, in order. They come before any further fetch.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub outbox: Vec<Staged>,
    /// Errors collected under `error_handling: batch`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<Json>,
    /// A failure that is being waited out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trouble: Option<Trouble>,
    /// A rate limit that is being waited out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<Limit>,
    /// The newest rate limit that was reported: one `rate_limited` for each.
    #[serde(default)]
    pub reported_generation: u64,
    /// How the run ended, once that is decided; afterwards only the terminal events are left to deliver.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<Outcome>,
    /// The terminal events not yet acknowledged.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub terminal: Vec<Staged>,
    /// Whether a terminal event was given up.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub terminal_undelivered: bool,
    /// How many stages were written: names the next one.
    pub stages: u64,
    /// What was done so far.
    pub progress: Progress,
    /// What a later version keeps beside these.
    #[serde(flatten)]
    pub unknown: Unknown,
}

/// Why stored bytes are no checkpoint that this version can go on from.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// It is one, and says more than this version understands: only a later version may go on with the run.
    #[error(
        "the checkpoint has version {version}, and this worker, which knows up to {VERSION}, can't read it ({reason}): \
         update the workers"
    )]
    Later {
        /// The version it names.
        version: u32,
        /// What was not understood.
        reason: String,
    },
    /// It is none: nothing can be said about where the run was.
    #[error("the checkpoint is damaged: {0}")]
    Damaged(String),
}

impl Checkpoint {
    /// Reads a stored checkpoint. One that is well-formed and names its version is never taken for damaged: what is
    /// not understood here (another kind of cursor, an event, a shape) was written by a version that knows more.
    ///
    /// # Errors
    /// When it is from a later version, or damaged.
    pub fn read(bytes: &[u8]) -> Result<Self, Unreadable> {
        #[derive(Deserialize)]
        struct Head {
            version: u32,
        }
        let reason = match serde_json::from_slice::<Self>(bytes) {
            Ok(checkpoint) if checkpoint.version <= VERSION => return Ok(checkpoint),
            Ok(_) => "its version is newer".to_owned(),
            Err(error) => error.to_string(),
        };
        match serde_json::from_slice(bytes) {
            Ok(Head { version }) => Err(Unreadable::Later { version, reason }),
            Err(_) => Err(Unreadable::Damaged(reason)),
        }
    }
}

/// One level of nested work: a list (or a single record) being read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Frame {
    /// The node's index in the plan.
    pub node: usize,
    /// The page to fetch next.
    pub cursor: Cursor,
    /// That page's number in its list, from 1.
    pub page: u32,
    /// Whether the list has no further page.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub done: bool,
    /// What is being done for the records of the page before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub descent: Option<Descent>,
    /// What is to be done for them after that.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub further: Vec<Descent>,
    /// What only some nodes need.
    #[serde(default, skip_serializing_if = "Reading::is_plain")]
    pub reading: Reading,
    /// Watches for cursors that repeat.
    #[serde(default, skip_serializing_if = "LoopGuard::is_idle")]
    pub guard: LoopGuard,
    /// Pages skipped in a row.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub skipped: u32,
    /// How often the list started over because the source refused its cursor.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub restarts: u32,
    /// What a later version keeps beside these.
    #[serde(flatten)]
    pub unknown: Unknown,
}

impl Frame {
    /// The start of `node`'s list.
    pub fn start(node: usize) -> Self {
        Self {
            node,
            cursor: Cursor::Start,
            page: 1,
            done: false,
            descent: None,
            further: Vec::new(),
            reading: Reading::default(),
            guard: LoopGuard::default(),
            skipped: 0,
            restarts: 0,
            unknown: Unknown::default(),
        }
    }

    /// To the start of a list, the same one or that of the next element.
    pub fn rewind(&mut self) {
        self.cursor = Cursor::Start;
        self.page = 1;
        self.done = false;
        self.guard = LoopGuard::default();
        self.skipped = 0;
    }
}

/// What a step knows of its list beyond the cursor; most need nothing of it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reading {
    /// Whether the step was begun: its condition was looked at, its loop counted.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub opened: bool,
    /// How many elements it loops on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub elements: Option<usize>,
    /// Which of them is at hand.
    #[serde(default, skip_serializing_if = "is_zero_usize")]
    pub element: usize,
    /// How deep in its recursion this list is.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub depth: u32,
    /// Digest of the request, where it recurses: finds circles.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<u64>,
    /// Records that its lists brought.
    #[serde(default, skip_serializing_if = "is_zero_u64")]
    pub records: u64,
    /// How many of them are of lists before this one (of other elements), or of lists below it in its recursion.
    #[serde(default, skip_serializing_if = "is_zero_u64")]
    pub earlier: u64,
    /// When the list was begun, where its time is limited.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Millis>,
    /// Where an incremental list begins: the watermark as it was, `null` where there was none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window: Option<Json>,
    /// The highest cursor value it brought.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub high: Option<Json>,
    /// How many records are remembered of its set, where that is limited.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub known: Option<u64>,
    /// Whether something of it was left out, so that nothing follows from what is missing.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub partial: bool,
    /// How far its end is, once all was read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end: Option<End>,
    /// What a later version keeps beside these.
    #[serde(flatten)]
    pub unknown: Unknown,
}

impl Reading {
    fn is_plain(&self) -> bool {
        *self == Self::default()
    }
}

/// What is left to do when a list was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum End {
    /// To look for records that are gone.
    Deletions,
    /// To tell that the resource has ended.
    Marker,
    /// To note up to where it was read.
    Watermark,
    /// Nothing.
    Done,
}

/// A sequence of steps that closes a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Closing {
    /// Before it is completed.
    Complete,
    /// When it is about to fail.
    Error,
}

/// Where a run was when it was about to fail.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Aside {
    /// How it will end.
    pub outcome: Outcome,
    /// [`Checkpoint::moment`] as it was.
    pub moment: Option<Closing>,
    /// [`Checkpoint::root`] as it was.
    pub root: usize,
    /// [`Checkpoint::frames`] as they were.
    pub frames: Vec<Frame>,
    /// What a later version keeps beside these.
    #[serde(flatten)]
    pub unknown: Unknown,
}

/// Marks that wait for the end of all steps.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pending {
    /// The node whose records they are about.
    pub node: usize,
    /// The stage that holds them.
    pub stage: String,
    /// What a later version keeps beside these.
    #[serde(flatten)]
    pub unknown: Unknown,
}

/// A state cell that was read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cell {
    /// The node that read it.
    pub node: usize,
    /// The stage that holds what it brought.
    pub stage: String,
    /// What a later version keeps beside these.
    #[serde(flatten)]
    pub unknown: Unknown,
}

/// What a spool has collected.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spooled {
    /// The spool's index in the plan.
    pub node: usize,
    /// The stages that hold it, in order: records parted by commas.
    pub stages: Vec<String>,
    /// How many records.
    pub records: u64,
    /// How many bytes.
    pub bytes: u64,
    /// Whether it had to refuse some: then it passes on nothing.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub overfull: bool,
    /// What a later version keeps beside these.
    #[serde(flatten)]
    pub unknown: Unknown,
}

/// A batch for whose records further steps are done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Descent {
    /// The stage that holds the records' projections.
    pub stage: String,
    /// How many records there are.
    pub len: usize,
    /// The record at hand.
    pub index: usize,
    /// Which of the steps is at hand.
    pub child: usize,
    /// The node whose batch it is, when a flow made it of the frame's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub branch: Option<usize>,
    /// Whether the records are through, and the steps for the whole batch are being done.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub whole: bool,
    /// Whether the frame's own request is done again for each record.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub recursion: bool,
    /// What a later version keeps beside these.
    #[serde(flatten)]
    pub unknown: Unknown,
}

/// How far one webhook is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Destination {
    /// The webhook.
    pub webhook: WebhookId,
    /// Events acknowledged, of any kind.
    pub step: u64,
    /// Pages acknowledged.
    pub seq: u64,
    /// What a later version keeps beside these.
    #[serde(flatten)]
    pub unknown: Unknown,
}

/// An event whose bytes are kept until its webhook has acknowledged it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Staged {
    /// Index of its destination.
    pub destination: usize,
    /// What it is.
    pub event: EventType,
    /// The `webhook-id`.
    pub id: String,
    /// The stage that holds its bytes.
    pub stage: String,
    /// For a page: its number for this webhook, and what it counts for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub page: Option<StagedPage>,
    /// The stage that holds what is remembered once it is acknowledged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub marks: Option<String>,
    /// What a later version keeps beside these.
    #[serde(flatten)]
    pub unknown: Unknown,
}

/// A staged page's number and what its acknowledgement counts for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StagedPage {
    /// The page's number for its webhook.
    pub seq: u64,
    /// The node it came from.
    pub node: usize,
    /// Its records.
    pub records: u64,
    /// What a later version keeps beside these.
    #[serde(flatten)]
    pub unknown: Unknown,
}

/// A failure that is being waited out by parking.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trouble {
    /// What fails.
    pub about: TroubleAbout,
    /// When it began.
    pub since: Millis,
    /// Tries so far.
    pub attempts: u32,
    /// How often the run parked for it.
    pub parks: u32,
    /// When to try again.
    pub until: Millis,
    /// The last failure, in one sentence.
    pub reason: String,
    /// What a later version keeps beside these.
    #[serde(flatten)]
    pub unknown: Unknown,
}

/// What a [`Trouble`] is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TroubleAbout {
    /// A webhook does not acknowledge.
    Delivery,
    /// The source is out of reach.
    Source,
    /// The source refuses the credentials.
    Credentials,
}

/// A rate limit that is being waited out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limit {
    /// The account's gate was closed for the n-th time.
    pub generation: u64,
    /// When it opens.
    pub until: Millis,
    /// Since when the source has told this run nothing else, and when it did so last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub told: Option<(Millis, Millis)>,
    /// What a later version keeps beside these.
    #[serde(flatten)]
    pub unknown: Unknown,
}

/// Finds a cursor that repeats, however long the cycle, in constant space (Brent's algorithm: the cursor is
/// compared with one remembered at the last power of two).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoopGuard {
    remembered: Option<u64>,
    power: u32,
    steps: u32,
    #[serde(flatten)]
    unknown: Unknown,
}

impl LoopGuard {
    fn is_idle(&self) -> bool {
        *self == Self::default()
    }

    /// Takes the next cursor; true when it was met before.
    pub fn repeats(&mut self, cursor: &Cursor) -> bool {
        let digest = match cursor {
            Cursor::Token(text) | Cursor::Link(text) => digest(text),
            // Numbered pages only grow.
            Cursor::Start | Cursor::Page(_) | Cursor::Offset(_) => return false,
        };
        if self.remembered == Some(digest) {
            return true;
        }
        if self.remembered.is_none() || self.steps >= self.power {
            self.remembered = Some(digest);
            self.power = self.power.saturating_mul(2).max(1);
            self.steps = 0;
        }
        self.steps += 1;
        false
    }
}

fn digest(text: &str) -> u64 {
    use sha2::{Digest, Sha256};
    let hash = Sha256::digest(text.as_bytes());
    // 53 bits, so that any JSON reader keeps the number exactly.
    hash[..8].iter().fold(0u64, |acc, byte| (acc << 8) | u64::from(*byte)) >> 11
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's skip_serializing_if passes a reference")]
fn is_zero(number: &u32) -> bool {
    *number == 0
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's skip_serializing_if passes a reference")]
fn is_zero_u64(number: &u64) -> bool {
    *number == 0
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's skip_serializing_if passes a reference")]
fn is_zero_usize(number: &usize) -> bool {
    *number == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn steps_until_found(lead: usize, cycle: usize) -> Option<usize> {
        let mut guard = LoopGuard::default();
        (0..10 * (lead + cycle) + 10).find(|&step| {
            let position = if step < lead { step } else { lead + (step - lead) % cycle };
            guard.repeats(&Cursor::Token(position.to_string()))
        })
    }

    #[test]
    fn a_cursor_that_repeats_is_found_soon_and_a_long_list_is_not_one() {
        assert_eq!(steps_until_found(0, 1), Some(1));
        for (lead, cycle) in [(0, 2), (1, 1), (3, 2), (10, 7), (0, 100)] {
            let found = steps_until_found(lead, cycle).unwrap();
            assert!(found <= 3 * (lead + cycle) + 1, "lead {lead}, cycle {cycle}: found after {found}");
        }
        let mut guard = LoopGuard::default();
        assert!((0..10_000).all(|n| !guard.repeats(&Cursor::Token(n.to_string()))));
        assert!((0..10).all(|_| !guard.repeats(&Cursor::Page(3))));
    }
}
