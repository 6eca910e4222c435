//! What the cluster is told to sync: accounts of two sources, three webhooks, a few simple jobs, random graphs, and a
//! trigger of each overlap policy.

use rapidbridge::playground::helpdesk::Resource;
use serde_json::{Value, json};

use crate::graph::{self, Graph, data, definition};
use crate::plan::{RECEIVERS, SOURCES};
use crate::world::{SOURCE_TOKEN, WEBHOOK_SECRET, World};

/// Accounts that runs are pushed for; the n-th belongs to source n modulo [`SOURCES`].
pub(crate) const ACCOUNTS: usize = 24;

/// The jobs: name, and what a complete run of it brings.
pub(crate) const JOBS: [(&str, &[Resource]); 4] = [
    ("nested", &[Resource::Tickets, Resource::Comments]),
    ("several", &[Resource::Organizations, Resource::Users, Resource::Tickets]),
    ("flat", &[Resource::Tickets]),
    // Its cursors work once, it says: each page is kept in Redis before it is sent.
    ("once", &[Resource::Tickets]),
];

/// One of so many resources of graphs is not replayable.
const ONCE_EVERY: usize = 7;

/// What a complete run of `job` brings.
pub(crate) fn resources_of(job: &str) -> &'static [Resource] {
    JOBS.iter().find(|(name, _)| *name == job).map_or(&[], |(_, resources)| resources)
}

/// The kind of records that a resource of the integration brings.
pub(crate) fn records_of(resource: &str) -> &str {
    if resource == "once" { "tickets" } else { resource }
}

/// One trigger.
#[derive(Debug, Clone)]
pub(crate) struct Trigger {
    pub(crate) id: &'static str,
    pub(crate) overlap: &'static str,
    pub(crate) catch_up: &'static str,
    pub(crate) every_seconds: i64,
}

/// A trigger for each overlap policy, each with an account of its own.
pub(crate) const TRIGGERS: [Trigger; 4] = [
    Trigger { id: "skips", overlap: "skip", catch_up: "latest", every_seconds: 2 },
    Trigger { id: "queues", overlap: "queue", catch_up: "latest", every_seconds: 3 },
    Trigger { id: "allows", overlap: "allow", catch_up: "all", every_seconds: 5 },
    Trigger { id: "catches-up", overlap: "queue", catch_up: "all", every_seconds: 7 },
];

/// The source of an account.
pub(crate) fn source_of(account: &str) -> usize {
    account.rsplit('-').next().and_then(|number| number.parse::<usize>().ok()).unwrap_or(0) % SOURCES
}

/// The account of the n-th trigger.
fn trigger_account(number: usize) -> String {
    format!("scheduled-{number}")
}

/// Everything; with `enabled` the triggers fire.
pub(crate) fn all(world: &World, graphs: &[Graph], enabled: bool) -> Vec<Value> {
    let mut documents = vec![integration(graphs)];
    let pushed = (0..ACCOUNTS).map(|number| format!("account-{number}"));
    let scheduled = (0..TRIGGERS.len()).map(trigger_account);
    for account in pushed.chain(scheduled).chain((0..graph::ACCOUNTS).map(graph::account)) {
        let link = &world.source_links[source_of(&account)];
        documents.push(json!({
            "kind": "integrated_account", "id": account, "integration": "helpdesk",
            "context": { "base_url": format!("http://{}", link.address()), "name": account },
            "credentials": { "token": SOURCE_TOKEN },
        }));
    }
    for (number, link) in world.receiver_links.iter().enumerate() {
        documents.push(json!({
            "kind": "webhook", "id": format!("hook-{number}"),
            "target_url": format!("http://{}/webhook", link.address()),
            "secret": WEBHOOK_SECRET, "timeout": "2s",
            "retry": { "attempts": 2, "base": "50ms", "max": "200ms", "park_base": "200ms", "park_max": "1s",
                       "give_up_after": "1h" },
        }));
    }
    documents.extend(JOBS.iter().map(|(name, _)| job(name)));
    documents.extend(graphs.iter().map(definition::job));
    for (number, trigger) in TRIGGERS.iter().enumerate() {
        documents.push(json!({
            "kind": "sync_job_cron_trigger", "id": trigger.id, "sync_job_id": JOBS[number % JOBS.len()].0,
            "integrated_account_id": trigger_account(number), "webhook_id": format!("hook-{}", number % RECEIVERS),
            "every": format!("{}s", trigger.every_seconds), "overlap": trigger.overlap, "catch_up": trigger.catch_up,
            "catch_up_limit": 1000, "enabled": enabled,
        }));
    }
    documents
}

fn integration(graphs: &[Graph]) -> Value {
    // The source learns the account, and by each job's query the run, so that its ledger can tell who asked.
    let query = json!({ "account": "{{context.name}}" });
    let list = |resource: &str| json!({ "list": { "method": "get", "path": format!("/{resource}"), "response_path": resource, "query": query, "timeout": "3s" } });
    let mut once = list("tickets");
    once["list"]["replayable"] = json!(false);
    let mut integration = json!({
        "kind": "integration", "name": "helpdesk", "base_url": "{{context.base_url}}/api/v1",
        "authorization": { "format": "bearer", "config": { "token": "{{credentials.token}}" } },
        "retry": { "attempts": 4, "base": "30ms", "max": "300ms", "outage_budget": "1h" },
        "pagination": { "format": "cursor", "config": {
            "cursor_path": "meta.next_cursor", "has_next_path": "meta.has_more", "cursor_key": "cursor",
            "limit_key": "limit", "max_limit": data::PAGE } },
        "resources": {
            "organizations": list("organizations"), "users": list("users"), "tickets": list("tickets"),
            "once": once,
            "comments": { "list": { "method": "get", "path": "/tickets/{{query.ticket_id}}/comments",
                "response_path": "comments", "query": query, "timeout": "3s" } },
        },
    });
    for (number, resource) in graphs.iter().flat_map(definition::resources).enumerate() {
        // Cursors of some work once, they say.
        integration["resources"][resource] = json!({ "list": {
            "method": "get", "path": format!("/graph/{resource}"), "response_path": "records", "query": query,
            "timeout": "3s", "replayable": !number.is_multiple_of(ONCE_EVERY),
        } });
    }
    integration
}

fn job(name: &str) -> Value {
    let run = "{{sync_job_run.id}}";
    let list = |resource: &str| json!({ "resource": resource, "method": "list", "query": { "run": run } });
    let resources = match name {
        "nested" => json!([
            list("tickets"),
            { "resource": "comments", "method": "list", "depends_on": "tickets",
              "query": { "run": run, "ticket_id": "{{resources.tickets.id}}" } },
        ]),
        "once" => json!([list("once")]),
        "several" => json!([list("organizations"), list("users"), list("tickets")]),
        _ => json!([list("tickets")]),
    };
    json!({ "kind": "sync_job", "id": name, "integration_name": "helpdesk", "resources": resources })
}
