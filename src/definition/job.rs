//! A sync job: which resources to read, in which order, and what each request needs from the ones before.

use serde::{Deserialize, Serialize};

use super::check::{Checker, Spot};
use super::document::Document;
use super::problem::Problems;
use crate::expression::Expression;
use crate::id::{IntegrationName, JobId};
use crate::template::Template;

mod advice;
mod arguments;
mod destinations;
mod graph;
mod keys;
mod node;
mod read;
mod readings;
mod references;

pub use advice::Advice;
pub use destinations::{Delivers, Prepared};
pub use keys::{KEY_BYTES_MAX, KeyProblem, RunKeys};
pub use node::{
    Argument, Batching, ChangeTracking, CursorFormat, Deletions, Destination, Incremental, Input, Moment,
    Node, NodeKind, Recurse, Request, ResponseFormat,
};

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
    /// The integration it reads from; without one, that of each request's account.
    pub integration: Option<IntegrationName>,
    /// What a run does about a request that fails for good, unless the run says otherwise.
    pub error_handling: ErrorHandling,
    /// How many pages in a row may be skipped before a numbered list is given up.
    pub consecutive_errors_max: u32,
    /// Whether it is the typed graph (version 4) or the flat list (versions 1 to 3).
    pub generation: Generation,
    /// The arguments it declares; `None` when it declares none, and takes any.
    pub arguments: Option<Vec<Argument>>,
    /// Whether a run may give arguments that are not declared.
    pub open_arguments: bool,
    /// Checks a run's arguments together: what it says is wrong is why the run is refused.
    pub args_validation: Option<Expression>,
    /// Runs for which this gives the same do not overlap, whatever their account.
    pub mutex_key: Option<Template>,
    /// The namespace of its state cells.
    pub state_key: Option<Template>,
    /// The nodes, in the order they were written; a parent may stand after its child.
    pub nodes: Vec<Node>,
}

impl SyncJob {
    /// What the job asks for and `integration`, as an account has it, lacks, in a sentence.
    pub fn lacks_in(&self, integration: &super::Integration) -> Option<String> {
        let asks = self.nodes.iter().filter_map(|node| Some((&node.name, node.request()?)));
        let mut own = asks.filter(|(_, request)| request.account.is_none());
        let (name, request) =
            own.find(|(_, request)| integration.method(&request.resource, &request.method).is_none())?;
        Some(format!(
            "node {name:?} asks for {}.{}, which integration {:?} does not have as this account changes it",
            request.resource,
            request.method,
            integration.name.as_str()
        ))
    }

    /// The job that `document` describes.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn from_document(document: &Document) -> Result<Self, Problems> {
        Checker::run(document, read::job)
    }

    /// Whether it can be executed against an account of `integration`.
    pub fn reads_from(&self, integration: &IntegrationName) -> bool {
        self.integration.as_ref().is_none_or(|own| own == integration)
    }

    /// The nodes above `node`, the nearest first, as indexes in [`SyncJob::nodes`]; for a destination those whose
    /// records it takes, and above.
    pub fn ancestors(&self, node: usize) -> Vec<usize> {
        references::ancestors(&self.nodes, node)
    }

    /// The nodes that the records of `node` were made by, the last first: itself and the transforms and spools before
    /// it, up to the requests that they came from.
    pub fn origins(&self, node: usize) -> Vec<usize> {
        references::origins(&self.nodes, node)
    }

    /// The paths (after `resources`) under which the records of `node` are found: the resources and names of its
    /// [`origins`](Self::origins).
    pub fn record_addresses(&self, node: usize) -> Vec<Vec<String>> {
        let addresses = references::record_addresses(&self.nodes, node).into_iter();
        addresses.map(|address| address.into_iter().map(str::to_owned).collect()).collect()
    }

    /// Which record a path such as `resources.ticketing.tickets.id` in `node` speaks of, and the path in it:
    /// the nearest such ancestor's index and how many steps of `path` name it, `resources` included.
    #[cfg(test)]
    pub(super) fn record_of(&self, node: usize, path: &[String]) -> Option<(usize, usize)> {
        let (root, rest) = path.split_first()?;
        if root != "resources" {
            return None;
        }
        let named = |index: usize| Some((index, references::steps_naming(&self.nodes, index, rest)?));
        let (index, steps) = self.ancestors(node).into_iter().find_map(named)?;
        Some((index, steps + 1))
    }
}

/// How a job is written. Both compile to the same plan; they differ in what a request without a placeholder of its
/// parent means, and in where records go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Generation {
    /// A list of resources. A request that depends on another is made for each of its records.
    Flat,
    /// Named, typed nodes.
    Graph,
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
