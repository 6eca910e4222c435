//! From a document to a sync job.

use serde_json::Value;

use super::{
    CONSECUTIVE_ERRORS_DEFAULT, ErrorHandling, Generation, Input, NODES_MAX, Node, NodeKind, Request,
    ResponseFormat, SyncJob, graph, placeholders,
};
use crate::definition::check::{Fields, Spot};
use crate::definition::{BOOKKEEPING, is_plain_name};
use crate::id::IntegrationName;
use crate::template::Tree;

/// Fields of Truto's jobs that this version can't honour.
const JOB_NOT_YET: [&str; 4] = ["args_schema", "args_validation", "mutex_key", "state_key"];

/// A node as it was written: its parent is still a name.
pub(super) struct Written<'c> {
    pub(super) spot: Spot<'c>,
    pub(super) node: Node,
    pub(super) parent: Option<(Spot<'c>, &'c str)>,
}

pub(super) fn job(root: &Spot<'_>) -> Option<SyncJob> {
    let fields = root.fields()?;
    fields.ignore(BOOKKEEPING);
    fields.ignore(&["description", "default_runtime_version"]);
    fields.not_yet(&JOB_NOT_YET, "leave it out");
    let id = fields.required("id").and_then(|spot| spot.parsed());
    let label = fields.maybe("label", Spot::text);
    let integration = integration(&fields);
    let error_handling = fields.or("error_handling", ErrorHandling::default(), ErrorHandling::read);
    let consecutive_errors_max =
        fields.or("consecutive_errors_max", CONSECUTIVE_ERRORS_DEFAULT, |spot| spot.whole(1..=1000));
    let nodes = fields.required("resources").and_then(|spot| nodes(&spot));
    fields.finish();
    let id: crate::id::JobId = id?;
    let label = label?.filter(|label| !label.is_empty()).unwrap_or(id.as_str()).to_owned();
    Some(SyncJob {
        id,
        label,
        integration: Some(integration?),
        error_handling: error_handling?,
        consecutive_errors_max: consecutive_errors_max?,
        generation: Generation::Flat,
        arguments: None,
        args_validation: None,
        mutex_key: None,
        state_key: None,
        nodes: nodes?,
    })
}

fn integration(fields: &Fields<'_>) -> Option<IntegrationName> {
    let Some(spot) = fields.any_of(&["integration_name", "integration"]) else {
        fields.missing("integration_name", Some("the name of the integration that the job reads from"));
        return None;
    };
    if spot.text()?.is_empty() {
        spot.problem("jobs over several integrations are not supported yet", Some("name one integration"));
        return None;
    }
    spot.parsed()
}

fn nodes(spot: &Spot<'_>) -> Option<Vec<Node>> {
    let spots = spot.list()?;
    if spots.is_empty() || spots.len() > NODES_MAX {
        let hint = "each names a resource: - resource: tickets";
        spot.problem(&format!("a job has 1 to {NODES_MAX} resources"), Some(hint));
        return None;
    }
    let total = spots.len();
    let written: Vec<Written<'_>> = spots.iter().filter_map(node).collect();
    let complete = written.len() == total;
    let names_are_unique = graph::check_names(&written);
    // A node that could not be read may be the one that others refer to: don't blame them for it.
    if !complete || !names_are_unique {
        return None;
    }
    let nodes = graph::linked(written)?;
    let checked: Vec<bool> =
        spots.iter().enumerate().map(|(index, spot)| placeholders::check(spot, &nodes, index)).collect();
    checked.iter().all(|good| *good).then_some(nodes)
}

fn node<'c>(spot: &Spot<'c>) -> Option<Written<'c>> {
    let fields = spot.fields()?;
    fields.ignore(&["debug", "description"]);
    refuse_other_types(&fields)?;
    refuse_what_is_not_yet(&fields);
    let resource = fields.required("resource").and_then(|spot| plain(&spot));
    let method = fields.or("method", "list".to_owned(), plain);
    let name = fields.maybe("name", plain);
    let id = fields.maybe("id", Spot::template);
    let query = fields.or("query", Tree::empty(), Spot::object_tree);
    let body = fields.maybe("body", Spot::object_tree);
    let parent = fields.get("depends_on").map_or(Some(None), |spot| parent(&spot));
    let persist = fields.or("persist", true, Spot::boolean);
    fields.finish();
    let resource = resource?;
    let name = name?.unwrap_or_else(|| resource.clone());
    let request = Request {
        resource,
        method: method?,
        account: None,
        id: id?,
        query: Input::Tree(query?),
        body: body?.map(Input::Tree),
        loop_on: None,
        recurse: None,
        persist: persist?,
        response_format: ResponseFormat::default(),
        changes: None,
        incremental: None,
        batch: None,
        attempts: None,
        timeout: None,
        time_limit: None,
        records_max: None,
        pages_max: None,
        concurrency: 1,
        end_of_resource: false,
    };
    let kind = NodeKind::Request(Box::new(request));
    let node = Node { name, parents: Vec::new(), run_if: None, debug: false, kind };
    Some(Written { spot: spot.clone(), node, parent: parent? })
}

/// A name that can stand in a path.
fn plain(spot: &Spot<'_>) -> Option<String> {
    let text = spot.filled()?;
    if !is_plain_name(text) {
        spot.problem(&format!("{text:?} is no name"), Some("use letters, digits, '_', '-' and '/'"));
        return None;
    }
    Some(text.to_owned())
}

fn refuse_other_types(fields: &Fields<'_>) -> Option<()> {
    let Some(spot) = fields.get("type") else { return Some(()) };
    match spot.text()? {
        "request" => Some(()),
        "transform" | "add_context" | "spool" | "destination" | "event" | "get_state" | "update_state"
        | "delete_state" => {
            spot.not_yet("only nodes of type request can be used; records go to the run's webhook");
            None
        }
        other => {
            spot.not_one_of(other, &["request"]);
            None
        }
    }
}

fn refuse_what_is_not_yet(fields: &Fields<'_>) {
    fields.not_yet(
        &["loop_on", "recurse", "run_if", "delete_tracking", "delete_tracking_query", "config"],
        "leave it out",
    );
    if let Some(spot) = fields.get("response_format")
        && spot.value().as_str() != Some("raw")
    {
        spot.not_yet("records are delivered as the source sends them (raw)");
    }
    if let Some(spot) = fields.get("integrated_account_id")
        && !spot.value().as_str().is_some_and(is_the_runs_account)
    {
        spot.not_yet(
            "every request uses the run's account; leave it out or write {{args.integrated_account_id}}",
        );
    }
}

fn is_the_runs_account(text: &str) -> bool {
    let inner = text.strip_prefix("{{").and_then(|rest| rest.strip_suffix("}}"));
    inner.is_some_and(|path| path.trim() == "args.integrated_account_id")
}

/// The parent's name; a list of one is as good.
fn parent<'c>(spot: &Spot<'c>) -> Option<Option<(Spot<'c>, &'c str)>> {
    match spot.value() {
        Value::Array(_) => match spot.list()?.as_slice() {
            [] => Some(None),
            [one] => Some(Some((one.clone(), one.filled()?))),
            [_, second, ..] => {
                second.problem("several parents are not supported yet", Some("depend on one node"));
                None
            }
        },
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_) => {
            Some(Some((spot.clone(), spot.filled()?)))
        }
    }
}
