//! A job compiled for the machine. Both generations of job definitions become this.
//!
//! Work is a tree of *steps*: requests, spools and state cells, which take their time and have a position of their
//! own. Each brings *batches*: a page, a spool's collection, a cell's value. What only computes (transforms, added
//! context) hangs below them as *flows* and is evaluated with each batch. From a batch, as it came or as a flow made it,
//! further steps begin: one for each of its records, or one for the batch.
//!
//! ```text
//! sequence ─► step ─► batch ─► targets          where it is delivered
//!                          ├─► flows            transform, added context, spools that collect it
//!                          ├─► each_record ─► sequence, for each record
//!                          └─► each_batch  ─► sequence, once
//! ```
//!
//! A step that waits for another one to be through (a spool; a request that uses nothing of its parent) stands behind
//! it in the same sequence.

mod compile;
mod keeps;
mod order;
mod tree;

use std::time::Duration;

use crate::definition::Integration;
use crate::definition::SyncJob;
use crate::definition::integration::OnUnauthorized;
use crate::definition::job::{Batching, Destination, Input, Moment, Request};
use crate::expression::{Expression, Reads};
use crate::template::{Template, Tree};

pub use keeps::Keeps;

/// A compiled job.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The job's nodes, in its order, and behind them those that the compiler added. Indices are what a checkpoint's
    /// frames name.
    pub nodes: Vec<PlanNode>,
    /// The steps of the run, in their order.
    pub roots: Vec<usize>,
    /// The steps after them, before the run is completed.
    pub on_complete: Vec<usize>,
    /// The steps of a run that is about to fail.
    pub on_error: Vec<usize>,
    /// Whether anything in it is computed by expressions, which takes processor time.
    pub computes: bool,
    /// The namespace of its state cells.
    pub state_key: Option<Template>,
    /// How many pages in a row may be skipped before a numbered list is given up.
    pub consecutive_errors_max: u32,
    /// How long the source may be out of reach before it counts as an error.
    pub outage_budget: Duration,
    /// What happens when the source refuses the credentials.
    pub on_unauthorized: OnUnauthorized,
}

/// One node.
#[derive(Debug, Clone)]
pub struct PlanNode {
    /// Its name, unique in the job.
    pub name: String,
    /// What its records are called on the wire: the resource they came from, or the node's name.
    pub resource: String,
    /// The method they came by.
    pub method: String,
    /// The node is passed over where this is not true.
    pub run_if: Option<Expression>,
    /// Whether what its expression gets and gives goes to the run's log.
    pub debug: bool,
    /// What it does.
    pub kind: PlanKind,
    /// Where its batches are delivered, in order.
    pub targets: Vec<Target>,
    /// How its batches are divided among deliveries.
    pub batch: Option<Batching>,
    /// The paths (after `resources`) under which its records are found: those of the requests they came from, through
    /// transforms and spools, and the node's own name.
    pub addresses: Vec<Vec<String>>,
    /// The spools that it joins: it is done when all of them are through, and sees what they collected.
    pub joins: Vec<usize>,
    /// The spools that nobody needs once it is through.
    pub empties: Vec<usize>,
    /// Whether a spool keeps what it collected when it has passed it on, for those that join it.
    pub is_kept: bool,
    /// Whether what it brings is found everywhere from then on: a state cell that is read first of all.
    pub is_everywhere: bool,
    /// What its fields read.
    reads: Reads,
    /// The arguments that its fields read, by name; `None` for all of them.
    pub arguments: Option<Vec<String>>,
    /// Whether more follows from its records than their own delivery, so that what is remembered of them waits for the
    /// end of all steps: a run that ends before must not make later runs pass them over.
    pub defers: bool,
    /// The nodes that are evaluated with each of its batches, in order.
    pub flows: Vec<usize>,
    /// The steps done for each record of a batch, in order.
    pub each_record: Vec<usize>,
    /// The steps done once for each batch, in order, after those.
    pub each_batch: Vec<usize>,
    /// What each of its records keeps for the nodes below.
    pub keeps: Keeps,
}

/// What a node does.
#[derive(Debug, Clone)]
pub enum PlanKind {
    /// A step: asks the source. Of its definition, but for the page limit, which the integration may have given.
    Request(Box<Request>),
    /// A step: passes on what it collected.
    Spool(Collects),
    /// A step: reads a state cell; its batch is one record, `{"value": …}`.
    GetState {
        /// The cell.
        key: Template,
        /// What is found when there is no such cell.
        default: Tree,
    },
    /// A step: writes a state cell.
    UpdateState {
        /// The cell.
        key: Template,
        /// What is written.
        value: Input,
    },
    /// A step: deletes a state cell.
    DeleteState {
        /// The cell.
        key: Template,
    },
    /// A step that does nothing: a moment of the run.
    Event(Moment),
    /// A flow, or a step when it depends on nothing: replaces the batch.
    Transform(Expression),
    /// A flow, or a step when it depends on nothing: adds to the context.
    AddContext(Expression),
    /// Where batches go; neither a step nor a flow.
    Destination(Box<Destination>),
}

/// How much a spool collects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Collects {
    /// The most records.
    pub records_max: u64,
    /// The most bytes.
    pub bytes_max: u64,
    /// Whether it passes on what it has each time it is full, rather than refusing more: how small pages are merged.
    pub overflows: bool,
}

/// Where a node's batches are delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// To all webhooks of the run.
    All,
    /// To the webhook of this destination node.
    Destination(usize),
}

/// Why a job's nodes can't be put in order.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct PlanError {
    /// What is wrong, in one sentence.
    pub message: String,
    /// The node it is about, as an index of the job's.
    pub node: usize,
}

impl Plan {
    /// Compiles `job` for a run against `integration`.
    ///
    /// # Errors
    /// When nodes wait for each other: one that is done for each record of another can't wait for its end.
    pub fn compile(job: &SyncJob, integration: &Integration) -> Result<Self, PlanError> {
        compile::plan(job, Some(integration))
    }

    /// Compiles `job` without knowing what it reads from, in order to look at it.
    ///
    /// # Errors
    /// As [`Plan::compile`].
    pub fn outline(job: &SyncJob) -> Result<Self, PlanError> {
        compile::plan(job, None)
    }

    /// A plan with nothing to do, for a run that can only be ended.
    pub fn empty() -> Self {
        Self {
            nodes: Vec::new(),
            roots: Vec::new(),
            on_complete: Vec::new(),
            on_error: Vec::new(),
            computes: false,
            state_key: None,
            consecutive_errors_max: 1,
            outage_budget: Duration::ZERO,
            on_unauthorized: OnUnauthorized::Fail,
        }
    }

    /// Reads no more than `records` of each list.
    pub fn limit(&mut self, records: u64) {
        for node in &mut self.nodes {
            if let PlanKind::Request(request) = &mut node.kind {
                request.records_max = Some(request.records_max.map_or(records, |own| own.min(records)));
            }
        }
    }

    /// How batches of the node at `index` are divided for `target`.
    pub fn batching(&self, index: usize, target: Target) -> Option<Batching> {
        compile::batching(&self.nodes, index, target)
    }
}

impl PlanNode {
    /// A node that nothing is known of but what it does.
    fn new(name: &str, resource: String, method: String, kind: PlanKind) -> Self {
        Self {
            name: name.to_owned(),
            resource,
            method,
            run_if: None,
            debug: false,
            kind,
            targets: Vec::new(),
            batch: None,
            addresses: Vec::new(),
            joins: Vec::new(),
            empties: Vec::new(),
            is_kept: false,
            is_everywhere: false,
            reads: Reads::default(),
            arguments: None,
            defers: false,
            flows: Vec::new(),
            each_record: Vec::new(),
            each_batch: Vec::new(),
            keeps: Keeps::Whole,
        }
    }

    /// If `path` (after `resources`) names this node's records, what is left of it.
    pub fn strip<'p>(&self, path: &'p [String]) -> Option<&'p [String]> {
        self.addresses.iter().find_map(|address| path.strip_prefix(address.as_slice()))
    }

    /// The request, when it is one.
    pub fn request(&self) -> Option<&Request> {
        match &self.kind {
            PlanKind::Request(request) => Some(request),
            PlanKind::Spool(_)
            | PlanKind::GetState { .. }
            | PlanKind::UpdateState { .. }
            | PlanKind::DeleteState { .. }
            | PlanKind::Event(_)
            | PlanKind::Transform(_)
            | PlanKind::AddContext(_)
            | PlanKind::Destination(_) => None,
        }
    }

    /// Whether it may bring several records at once.
    pub fn lists(&self) -> bool {
        match self.kind {
            PlanKind::Request(_) => {
                !matches!(self.method.as_str(), "get" | "create" | "update" | "delete" | "download")
            }
            PlanKind::Spool(_) | PlanKind::Transform(_) => true,
            PlanKind::GetState { .. }
            | PlanKind::UpdateState { .. }
            | PlanKind::DeleteState { .. }
            | PlanKind::Event(_)
            | PlanKind::AddContext(_)
            | PlanKind::Destination(_) => false,
        }
    }

    /// Whether it brings records, rather than a moment or a value.
    pub fn has_records(&self) -> bool {
        matches!(self.kind, PlanKind::Request(_) | PlanKind::Spool(_) | PlanKind::Transform(_))
    }
}
