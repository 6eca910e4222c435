//! From a document to a sync job.

use serde_json::Value;

use super::{CONSECUTIVE_ERRORS_DEFAULT, ErrorHandling, NODES_MAX, SyncJob, arguments, graph, references};
use crate::definition::BOOKKEEPING;
use crate::definition::check::{Fields, Spot};
use crate::id::IntegrationName;

mod flow;
mod generation;
mod node;
mod policy;
mod request;

pub(super) use node::{Named, Written};

pub(super) fn job(root: &Spot<'_>) -> Option<SyncJob> {
    let fields = root.fields()?;
    fields.ignore(BOOKKEEPING);
    fields.ignore(&["description", "sharing"]);
    refuse_what_a_run_says(&fields);
    let id = fields.required("id").and_then(|spot| spot.parsed());
    let label = fields.maybe("label", Spot::text);
    let integration = integration(&fields);
    let error_handling = fields.or("error_handling", ErrorHandling::default(), ErrorHandling::read);
    let consecutive_errors_max =
        fields.or("consecutive_errors_max", CONSECUTIVE_ERRORS_DEFAULT, |spot| spot.whole(1..=1000));
    let declared = fields.or("args_schema", arguments::Declared::default(), arguments::read);
    let args_validation = fields.maybe("args_validation", Spot::expression);
    let mutex_key = fields.maybe("mutex_key", filled_template);
    let state_key = fields.maybe("state_key", filled_template);
    let version = fields.maybe("default_runtime_version", |spot| spot.whole(1u8..=4));
    let nodes = match (fields.required("resources"), &version) {
        (Some(spot), Some(version)) => nodes(&spot, *version),
        (Some(_) | None, _) => None,
    };
    fields.finish();
    let (generation, nodes) = nodes?;
    let declared = declared?;
    let id: crate::id::JobId = id?;
    let label = label?.filter(|label| !label.is_empty()).unwrap_or(id.as_str()).to_owned();
    let job = SyncJob {
        id,
        label,
        integration: integration?,
        error_handling: error_handling?,
        consecutive_errors_max: consecutive_errors_max?,
        generation,
        arguments: declared.arguments,
        open_arguments: declared.open,
        args_validation: args_validation?,
        mutex_key: mutex_key?,
        state_key: state_key?,
        nodes,
    };
    references::check(root, &job).then_some(job)
}

/// What is said for a run, not for a job; and what only Truto's cloud has.
fn refuse_what_a_run_says(fields: &Fields<'_>) {
    const RUN: &str = "say it when a run is made, or in a trigger";
    fields.refuse("integrated_account_id", "a job is not tied to an account", RUN);
    fields.refuse("webhook_id", "a job is not tied to a webhook", RUN);
    fields.refuse(
        "args",
        "a job has no arguments, it declares them",
        "declare them in args_schema, give them to a run",
    );
    fields.refuse(
        "events_to_send",
        "a job doesn't choose its events",
        "name them in the webhook's event_types",
    );
    const STORE: &str = "leave it out: records go to webhooks, and the receiver stores them";
    fields.refuse("super_query", "SuperQuery is a store of Truto's cloud", STORE);
    fields.refuse("datastore_id", "there are no datastores here", STORE);
    fields.refuse(
        "daemon_group_key",
        "there are no daemons here",
        "leave it out: every worker runs every job",
    );
}

/// `""` and leaving it out both mean that each request's account says which it is; without it, every run says so.
fn integration(fields: &Fields<'_>) -> Option<Option<IntegrationName>> {
    let Some(spot) = fields.any_of(&["integration_name", "integration"]) else {
        let hint =
            "the name of the integration that the job reads from; \"\" where its requests say the account";
        fields.missing("integration_name", Some(hint));
        return None;
    };
    if spot.text()?.is_empty() { Some(None) } else { spot.parsed().map(Some) }
}

fn filled_template(spot: &Spot<'_>) -> Option<crate::template::Template> {
    spot.filled()?;
    spot.template()
}

fn nodes(spot: &Spot<'_>, version: Option<u8>) -> Option<(super::Generation, Vec<super::Node>)> {
    let spots = spot.list()?;
    if spots.is_empty() || spots.len() > NODES_MAX {
        let hint = "each names a resource: - resource: tickets";
        spot.problem(&format!("a job has 1 to {NODES_MAX} resources"), Some(hint));
        return None;
    }
    let generation = generation::of(&spots, version);
    let total = spots.len();
    let written: Vec<Written<'_>> = spots.iter().filter_map(|spot| node::read(spot, generation)).collect();
    let complete = written.len() == total;
    let names_are_unique = graph::check_names(&written);
    if !complete {
        // A node that could not be read may be the one that others refer to: don't blame them for it.
        let names = ["name", "resource"].into_iter().flat_map(|field| {
            spots.iter().filter_map(move |spot| spot.value().get(field).and_then(Value::as_str))
        });
        graph::check_known(&written, &names.collect::<Vec<_>>());
        return None;
    }
    if !names_are_unique {
        return None;
    }
    Some((generation, graph::linked(written)?))
}
