//! A sync job: which resources to read, in which order, and what each request needs from the ones before.

use serde::{Deserialize, Serialize};

use super::check::{Checker, Spot};
use super::document::Document;
use super::problem::Problems;
use crate::id::{IntegrationName, JobId};
use crate::template::{Template, Tree};

mod graph;
mod placeholders;
mod read;

/// The most nodes a job may have.
pub const NODES_MAX: usize = 200;
/// How many pages in a row may be skipped when the job doesn't say.
pub const CONSECUTIVE_ERRORS_DEFAULT: u32 = 3;

/// A checked sync job.
#[derive(Debug, Clone)]
pub struct SyncJob {
    /// The job's id.
    pub id: JobId,
    /// For people.
    pub label: String,
    /// The integration it reads from.
    pub integration: IntegrationName,
    /// What a run does about a request that fails for good, unless the run says otherwise.
    pub error_handling: ErrorHandling,
    /// How many pages in a row may be skipped before a numbered list is given up.
    pub consecutive_errors_max: u32,
    /// The nodes, in the order they were written; a parent may stand after its child.
    pub nodes: Vec<Node>,
}

impl SyncJob {
    /// The job that `document` describes.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn from_document(document: &Document) -> Result<Self, Problems> {
        Checker::run(document, read::job)
    }

    /// The nodes above `node`, its parent first, as indexes in [`SyncJob::nodes`].
    pub fn ancestors(&self, node: usize) -> Vec<usize> {
        placeholders::ancestors(&self.nodes, node)
    }

    /// Which record a path such as `resources.ticketing.tickets.id` in `node` speaks of, and the path in it:
    /// the nearest such ancestor's index and how many steps of `path` name it, `resources` included. `None` when
    /// the path doesn't begin with `resources` or names no ancestor.
    pub fn record_of(&self, node: usize, path: &[String]) -> Option<(usize, usize)> {
        let (root, rest) = path.split_first()?;
        if root != "resources" {
            return None;
        }
        let named = |index: usize| Some((index, placeholders::steps_naming(self.nodes.get(index)?, rest)?));
        let (index, steps) = self.ancestors(node).into_iter().find_map(named)?;
        Some((index, steps + 1))
    }
}

/// One step of a job. The typed graph's other kinds join here.
#[derive(Debug, Clone)]
pub struct Node {
    /// Unique in the job: the written `name`, or the resource.
    pub name: String,
    /// The integration's resource.
    pub resource: String,
    /// The resource's method.
    pub method: String,
    /// Which record, for single-record methods.
    pub id: Option<Template>,
    /// Query parameters.
    pub query: Tree,
    /// Request body.
    pub body: Option<Tree>,
    /// Index in [`SyncJob::nodes`] of the node whose every record causes one request of this node.
    pub depends_on: Option<usize>,
    /// Whether its records are delivered, or only feed the nodes that depend on it.
    pub persist: bool,
}

/// What a run does about a request that fails for good.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorHandling {
    /// Report it and go on with the next page, parent record or resource.
    #[default]
    Ignore,
    /// As `ignore`, but report errors together.
    Batch,
    /// End the run.
    FailFast,
}

impl ErrorHandling {
    pub(super) fn read(spot: &Spot<'_>) -> Option<Self> {
        spot.choice(&[("ignore", Self::Ignore), ("batch", Self::Batch), ("fail_fast", Self::FailFast)])
    }
}
