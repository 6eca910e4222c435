//! The steps a job is made of.

use std::time::Duration;

use crate::expression::Expression;
use crate::json::Json;
use crate::template::{Template, Tree};

/// One step of a job.
#[derive(Debug, Clone)]
pub struct Node {
    /// Unique in the job: the written `name`, or the resource.
    pub name: String,
    /// Indexes in [`super::SyncJob::nodes`] of the nodes it depends on, as written: none for a root.
    pub parents: Vec<usize>,
    /// The node is passed over, with all below it, where this is not true.
    pub run_if: Option<Expression>,
    /// Whether what its expression gets and gives is written to the run's log.
    pub debug: bool,
    /// What it does.
    pub kind: NodeKind,
}

impl Node {
    /// Whether its records are delivered where a job has no destinations; `None` where it gives no records.
    pub fn persist(&self) -> Option<bool> {
        match &self.kind {
            NodeKind::Request(request) => Some(request.persist),
            NodeKind::Transform { persist, .. } | NodeKind::Spool { persist, .. } => Some(*persist),
            NodeKind::AddContext { .. }
            | NodeKind::Destination(_)
            | NodeKind::Event(_)
            | NodeKind::GetState { .. }
            | NodeKind::UpdateState { .. }
            | NodeKind::DeleteState { .. } => None,
        }
    }

    /// The request, when it is one.
    pub fn request(&self) -> Option<&Request> {
        match &self.kind {
            NodeKind::Request(request) => Some(request),
            NodeKind::Transform { .. }
            | NodeKind::AddContext { .. }
            | NodeKind::Spool { .. }
            | NodeKind::Destination(_)
            | NodeKind::Event(_)
            | NodeKind::GetState { .. }
            | NodeKind::UpdateState { .. }
            | NodeKind::DeleteState { .. } => None,
        }
    }
}

/// What a node does.
#[derive(Debug, Clone)]
pub enum NodeKind {
    /// Asks the source.
    Request(Box<Request>),
    /// Replaces each batch by what an expression makes of it; `null`, nothing or an empty list drops it.
    Transform {
        /// Evaluated with the whole context as its input.
        expression: Expression,
        /// Whether its output is delivered where a job has no destinations.
        persist: bool,
    },
    /// Adds the members of an object to the context of the nodes below; the records stay.
    AddContext {
        /// Evaluated with the whole context as its input.
        expression: Expression,
    },
    /// Collects all batches of its parents and passes them on as one.
    Spool {
        /// Whether its output is delivered where a job has no destinations.
        persist: bool,
        /// The most records it collects.
        records_max: u64,
        /// The most bytes it collects.
        bytes_max: u64,
    },
    /// Where the output of some nodes is sent.
    Destination(Destination),
    /// A moment of the run that other nodes depend on.
    Event(Moment),
    /// Reads a state cell; the nodes below find it as `resources.<name>.value`.
    GetState {
        /// The cell.
        key: Template,
        /// What is found when there is no such cell.
        default: Tree,
    },
    /// Writes a state cell. A value that is "undefined" writes nothing.
    UpdateState {
        /// The cell.
        key: Template,
        /// What is written.
        value: Input,
    },
    /// Deletes a state cell.
    DeleteState {
        /// The cell.
        key: Template,
    },
}

/// A value made for each request: from placeholders, or by an expression.
#[derive(Debug, Clone)]
pub enum Input {
    /// A value whose strings are templates.
    Tree(Tree),
    /// An expression that gives the whole value.
    Expression(Expression),
}

/// A request to the source.
#[derive(Debug, Clone)]
pub struct Request {
    /// The integration's resource.
    pub resource: String,
    /// The resource's method.
    pub method: String,
    /// The account to ask with; the run's, if nothing is said.
    pub account: Option<Template>,
    /// Which record, for single-record methods.
    pub id: Option<Template>,
    /// Query parameters.
    pub query: Input,
    /// Request body.
    pub body: Option<Input>,
    /// The path in the context of an array: one request for each of its elements, which then is found under this path.
    pub loop_on: Option<Vec<String>>,
    /// The same request again, for records of its own answers.
    pub recurse: Option<Recurse>,
    /// Whether its records are delivered where a job has no destinations.
    pub persist: bool,
    /// What becomes of the records before anything else sees them.
    pub response_format: ResponseFormat,
    /// Whether records are compared with those of the run before.
    pub changes: Option<ChangeTracking>,
    /// Whether only what is new since the last run is asked for.
    pub incremental: Option<Incremental>,
    /// How its records are divided among deliveries.
    pub batch: Option<Batching>,
    /// Tries at once, in place of the integration's.
    pub attempts: Option<u32>,
    /// How long one request may take, in place of the method's.
    pub timeout: Option<Duration>,
    /// How long one whole list may take.
    pub time_limit: Option<Duration>,
    /// The list ends, as if it had no more, after this many records.
    pub records_max: Option<u64>,
    /// The most pages one list may have, in place of the method's.
    pub pages_max: Option<u32>,
    /// How many of its requests, for different parents' records, may be under way at once. Delivery stays in order.
    pub concurrency: u16,
    /// Whether the end of the whole resource is told by an empty page marked so.
    pub end_of_resource: bool,
}

/// The shape in which records are passed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ResponseFormat {
    /// As the integration's resource gives them.
    #[default]
    Unified,
    /// Of a record that carries what it was made from (`remote_data`), that.
    Raw,
    /// Records of a unified model, without what they were made from.
    Normalized,
}

/// The same request again, for each record of its own answers that qualifies.
#[derive(Debug, Clone)]
pub struct Recurse {
    /// Rendered for each record; the record qualifies when it is true. All do, if nothing is said.
    pub condition: Option<Template>,
    /// In place of the request's id.
    pub id: Option<Template>,
    /// Merged over the request's query.
    pub query: Tree,
    /// How deep it goes.
    pub depth_max: u32,
}

/// How records are compared with those of the run before.
#[derive(Debug, Clone)]
pub struct ChangeTracking {
    /// Where a record's id stands in it.
    pub id: Vec<String>,
    /// Whether unchanged records are left out and changed ones marked; else only deletions are looked for.
    pub compare: bool,
    /// Whether records that are gone after a complete pass are reported.
    pub deletions: Deletions,
    /// Only records kept under the same value of this take part.
    pub scope: Tree,
    /// The most records that are remembered.
    pub records_max: u64,
}

/// What happens about records that are gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deletions {
    /// Nothing.
    Ignored,
    /// They are delivered once, as `deleted`, and forgotten.
    Hard,
    /// As `Hard`; the receiver is told to mark rather than to remove.
    Soft,
}

/// Asking only for what is new.
#[derive(Debug, Clone)]
pub struct Incremental {
    /// Where in a record the time, or number, stands that the list is filtered by.
    pub cursor_field: Vec<String>,
    /// The query parameter that takes it, as a path (`updated_at.gt`).
    pub param: Vec<String>,
    /// How the parameter wants it.
    pub format: CursorFormat,
    /// How far before the last value the next window begins.
    pub overlap: Duration,
    /// Where the first window begins; without it the first run asks without the parameter.
    pub start: Option<Template>,
    /// Where a record's id stands in it.
    pub id: Vec<String>,
}

/// How a cursor value is written in a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CursorFormat {
    /// As it stood in the record.
    AsIs,
    /// `2026-01-31T08:00:00Z`, with milliseconds where there are any.
    Rfc3339,
    /// `2026-01-31`.
    Date,
    /// Seconds since 1970.
    UnixSeconds,
    /// Milliseconds since 1970.
    UnixMillis,
}

/// How records are divided among deliveries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Batching {
    /// The most records of a delivery.
    pub records_max: Option<u64>,
    /// The most bytes of records of a delivery; a single larger record travels alone.
    pub bytes_max: Option<u64>,
    /// Whether small pages are put together up to those limits.
    pub merge: bool,
}

/// A node that sends what others give.
#[derive(Debug, Clone)]
pub struct Destination {
    /// The webhook's id.
    pub webhook: Template,
    /// Indexes of the nodes whose output it takes.
    pub takes: Vec<usize>,
    /// Makes the records to send, from a context with `payload.records`.
    pub expression: Option<Expression>,
    /// How records are divided among its deliveries.
    pub batch: Option<Batching>,
}

/// A moment of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// Before anything is asked for.
    Start,
    /// When all was read and acknowledged, before the run is completed.
    Complete,
    /// When the run is about to fail.
    Error,
}

impl Moment {
    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Complete => "complete",
            Self::Error => "error",
        }
    }
}

/// One argument that a job declares.
#[derive(Debug, Clone)]
pub struct Argument {
    /// Its name.
    pub name: String,
    /// Whether a run must give it.
    pub required: bool,
    /// What it is when a run doesn't give it.
    pub default: Option<Json>,
    /// For people.
    pub description: Option<String>,
    /// What it names or how it is written (`webhook_id`, `integrated_account_id`, `date`, …).
    pub format: Option<String>,
    /// Its JSON Schema, without `required`, `default` and `description`.
    pub schema: Json,
}
