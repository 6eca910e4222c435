//! A job compiled for the machine: nodes as a forest, and for each parent what its records must keep so
//! that the nodes below can be asked for.

use crate::definition::integration::OnUnauthorized;
use crate::definition::{Integration, SyncJob};
use crate::json::{self, Json};
use crate::template::{Template, Tree};

/// A compiled job. Both generations of job definitions compile to this.
#[derive(Debug, Clone)]
pub struct Plan {
    /// All nodes; indices are what a checkpoint's frames name.
    pub nodes: Vec<PlanNode>,
    /// Nodes without a parent, in the order they run.
    pub roots: Vec<usize>,
    /// How many pages in a row may be skipped before a numbered list is given up.
    pub consecutive_errors_max: u32,
    /// How long the source may be out of reach before it counts as an error, in milliseconds.
    pub outage_budget: std::time::Duration,
    /// What happens when the source refuses the credentials.
    pub on_unauthorized: OnUnauthorized,
}

/// One node.
#[derive(Debug, Clone)]
pub struct PlanNode {
    /// Its name, unique in the job.
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
    /// Whether its records are delivered.
    pub persist: bool,
    /// The node whose records this one is asked for.
    pub parent: Option<usize>,
    /// The nodes asked for each of this one's records, in order.
    pub children: Vec<usize>,
    /// What each of its records keeps for the nodes below.
    pub keeps: Keeps,
    /// The most pages one list of it may have.
    pub pages_max: u32,
}

/// What a parent's record keeps for the nodes below it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Keeps {
    /// These members.
    Members(Vec<String>),
    /// All of it: a placeholder asks for the whole record.
    Whole,
}

impl Keeps {
    /// The projection of `record`: what is kept of it, as JSON text.
    pub fn of(&self, record: &str) -> String {
        match self {
            Self::Whole => record.to_owned(),
            Self::Members(members) => {
                let kept = members.iter().filter_map(|member| {
                    let value = json::get(record, &[member])?;
                    Some(format!("{}:{value}", Json::string(member)))
                });
                format!("{{{}}}", kept.collect::<Vec<_>>().join(","))
            }
        }
    }
}

impl Plan {
    /// Compiles `job` against the integration it reads from.
    pub fn compile(job: &SyncJob, integration: &Integration) -> Self {
        let mut nodes: Vec<PlanNode> = job.nodes.iter().map(|node| Self::node(node, integration)).collect();
        for index in 0..nodes.len() {
            if let Some(parent) = nodes[index].parent {
                nodes[parent].children.push(index);
            }
        }
        for index in 0..nodes.len() {
            nodes[index].keeps = keeps(&nodes, index);
        }
        let roots = (0..nodes.len()).filter(|&index| nodes[index].parent.is_none()).collect();
        Self {
            nodes,
            roots,
            consecutive_errors_max: job.consecutive_errors_max,
            outage_budget: integration.retry.outage_budget,
            on_unauthorized: integration.on_unauthorized,
        }
    }

    /// A plan with nothing to do, for a run that can only be ended.
    pub fn empty() -> Self {
        Self {
            nodes: Vec::new(),
            roots: Vec::new(),
            consecutive_errors_max: 1,
            outage_budget: std::time::Duration::ZERO,
            on_unauthorized: OnUnauthorized::Fail,
        }
    }

    fn node(node: &crate::definition::job::Node, integration: &Integration) -> PlanNode {
        let Some(request) = node.request() else { unreachable!() };
        let tree = |input: &crate::definition::job::Input| match input {
            crate::definition::job::Input::Tree(tree) => tree.clone(),
            crate::definition::job::Input::Expression(_) => Tree::empty(),
        };
        let pages_max = integration
            .method(&request.resource, &request.method)
            .map_or(u32::MAX, |method| method.pages_max);
        PlanNode {
            name: node.name.clone(),
            resource: request.resource.clone(),
            method: request.method.clone(),
            id: request.id.clone(),
            query: tree(&request.query),
            body: request.body.as_ref().map(tree),
            persist: request.persist,
            parent: node.parents.first().copied(),
            children: Vec::new(),
            keeps: Keeps::Members(Vec::new()),
            pages_max,
        }
    }
}

impl PlanNode {
    /// If `path` (after `resources`) names this node's record, what is left of it: by the resource's path
    /// (`ticketing.tickets.id`) or by the node's name (`tickets.id`).
    pub fn strip<'p>(&self, path: &'p [String]) -> Option<&'p [String]> {
        let by_resource: Vec<&str> = self.resource.split('/').collect();
        let by_name = [self.name.as_str()];
        [by_resource.as_slice(), by_name.as_slice()].into_iter().find_map(|prefix| {
            let matches = path.len() >= prefix.len() && prefix.iter().zip(path).all(|(a, b)| a == b);
            matches.then(|| &path[prefix.len()..])
        })
    }

    fn paths(&self) -> Vec<Vec<String>> {
        let mut paths = self.query.paths();
        paths.extend(self.id.iter().flat_map(Template::paths));
        paths.extend(self.body.iter().flat_map(Tree::paths));
        paths
    }
}

/// What the records of `parent` keep: every member that a placeholder of any node below asks for.
fn keeps(nodes: &[PlanNode], parent: usize) -> Keeps {
    let mut members = Vec::new();
    let mut below = nodes[parent].children.clone();
    while let Some(index) = below.pop() {
        below.extend(&nodes[index].children);
        for path in nodes[index].paths() {
            let Some((root, rest)) = path.split_first() else { continue };
            if root != "resources" {
                continue;
            }
            match nodes[parent].strip(rest) {
                None => {}
                Some([]) => return Keeps::Whole,
                Some([member, ..]) if members.contains(member) => {}
                Some([member, ..]) => members.push(member.clone()),
            }
        }
    }
    members.sort();
    Keeps::Members(members)
}
