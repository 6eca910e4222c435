//! A graph as a sync job, and what its runs are pushed with.

use serde_json::{Map, Value, json};

use super::{
    Asks, Batch, CELL, CELL_EMPTY, CELL_OF_RUN, Graph, Kind, Node, RECURSION_MAX, Request, Sink, Transform,
};
use super::{hooks, ids, is_full};

/// The condition of what only runs in the mode `full` do.
const ONLY_FULL: &str = "args.mode = \"full\"";

/// The resources of the integration that a graph asks for, by name.
pub(crate) fn resources(graph: &Graph) -> impl Iterator<Item = &str> {
    graph.nodes.iter().filter_map(Node::request).map(|request| request.resource.as_str())
}

/// The namespace of a graph's state cell for an account.
pub(crate) fn state_key(graph: &Graph, account: &str) -> String {
    format!("{} of {account}", graph.name)
}

/// What a run is pushed with.
pub(crate) fn push(graph: &Graph, account: &str) -> Value {
    let [first, second] = hooks(graph, account);
    json!({
        "sync_job_id": graph.name, "integrated_account_id": account, "webhook_id": first,
        "args": {
            "first": first, "second": second, "ids": ids(account),
            "mode": if is_full(account) { "full" } else { "part" },
        },
    })
}

/// The job.
pub(crate) fn job(graph: &Graph) -> Value {
    let mut nodes: Vec<Value> = Vec::new();
    if graph.has_state {
        nodes.push(
            json!({ "name": "found", "type": "get_state", "config": { "key": CELL, "default": CELL_EMPTY } }),
        );
    }
    nodes.extend(graph.nodes.iter().map(|node| self::node(graph, node)));
    if graph.has_state {
        let holds = |name: &str, event: &str, kind: &str, key: &str| {
            let mut config = json!({ "key": key });
            if kind == "update_state" {
                config["value"] = json!("{{sync_job_run.id}}");
            }
            json!({ "name": name, "type": kind, "depends_on": event, "config": config })
        };
        for moment in ["start", "complete", "error"] {
            nodes.push(json!({ "name": moment, "type": "event", "config": { "name": moment } }));
        }
        nodes.push(holds("hold", "start", "update_state", CELL_OF_RUN));
        nodes.push(holds("save", "complete", "update_state", CELL));
        nodes.push(holds("drop", "complete", "delete_state", CELL_OF_RUN));
        nodes.push(holds("drop-failed", "error", "delete_state", CELL_OF_RUN));
    }
    nodes.extend(graph.sinks.iter().enumerate().map(|(number, sink)| self::sink(graph, number, sink)));
    let hook = json!({ "type": "string", "format": "webhook_id", "required": true });
    json!({
        "kind": "sync_job", "id": graph.name, "integration_name": "helpdesk", "default_runtime_version": 4,
        "state_key": format!("{} of {{{{context.name}}}}", graph.name),
        "args_schema": {
            "first": hook, "second": hook, "mode": { "enum": ["full", "part"], "default": "part" },
            "ids": { "type": "array", "items": { "type": "string" } },
        },
        "resources": nodes,
    })
}

fn node(graph: &Graph, node: &Node) -> Value {
    let mut written = Map::new();
    let mut set = |name: &str, value: Value| {
        written.insert(name.to_owned(), value);
    };
    set("name", json!(node.name));
    let parents: Vec<&str> = node.parents.iter().map(|parent| graph.nodes[*parent].name.as_str()).collect();
    match parents.as_slice() {
        [] => {}
        [one] => set("depends_on", json!(one)),
        several => set("depends_on", json!(several)),
    }
    if node.only_full {
        set("run_if", json!(ONLY_FULL));
    }
    if graph.sinks.is_empty() && node.is_records() {
        set("persist", json!(node.persist));
    }
    let above = parents.first().copied().unwrap_or_default();
    match &node.kind {
        Kind::Request(asked) => {
            for (name, value) in request(graph, node, asked, above) {
                set(&name, value);
            }
        }
        Kind::Transform(transform) => {
            set("type", json!("transform"));
            let expression = match transform {
                Transform::Rename => format!("resources.{above}.{{\"id\": id & \"t\", \"n\": n}}"),
                Transform::Filter => format!("resources.{above}[n > 40]"),
                Transform::Count => format!(
                    "$count(resources.{above}) > 0 ? {{\"id\": \"count \" & $string($count(resources.{above}))}}"
                ),
            };
            set("config", json!({ "expression": expression }));
        }
        Kind::AddContext => {
            set("type", json!("add_context"));
            let expression = format!("{{\"{}_ids\": [resources.{above}.id]}}", node.name);
            set("config", json!({ "expression": expression }));
        }
        Kind::Spool => set("type", json!("spool")),
    }
    Value::Object(written)
}

fn request(graph: &Graph, node: &Node, request: &Request, above: &str) -> Map<String, Value> {
    let mut query = json!({ "run": "{{sync_job_run.id}}" });
    let mut written = Map::new();
    let mut set = |name: &str, value: Value| {
        written.insert(name.to_owned(), value);
    };
    set("type", json!("request"));
    set("resource", json!(request.resource));
    set("method", json!("list"));
    match request.asks {
        Asks::Once => {}
        Asks::EachArgument => {
            query["parent"] = json!("{{args.ids}}");
            set("loop_on", json!("args.ids"));
        }
        Asks::EachRecord => query["parent"] = json!(format!("{{{{resources.{above}.id}}}}")),
        Asks::EachInContext => {
            query["parent"] = json!(format!("{{{{{above}_ids}}}}"));
            set("loop_on", json!(format!("{above}_ids")));
        }
    }
    if graph.has_state && node.parents.is_empty() {
        // A list whose deletions are told can't begin at a cell.
        if !request.changes {
            query["found"] = json!("{{resources.found.value}}");
        }
        set("depends_on", json!("found"));
    }
    if request.recurses {
        let own = &node.name;
        set(
            "recurse",
            json!({
                "if": format!("{{{{resources.{own}.more:bool}}}}"),
                "config": { "query": { "parent": format!("{{{{resources.{own}.id}}}}") } },
                "max_depth": RECURSION_MAX,
            }),
        );
    }
    if request.concurrency > 1 {
        set("concurrency", json!(request.concurrency));
    }
    if let Some(batch) = request.batch {
        set("batch", divided(batch));
    }
    if request.changes {
        set("changes", json!(true));
    }
    if request.end_of_resource {
        set("end_of_resource", json!(true));
    }
    set("query", query);
    written
}

fn sink(graph: &Graph, number: usize, sink: &Sink) -> Value {
    let takes: Vec<&str> = sink.takes.iter().map(|index| graph.nodes[*index].name.as_str()).collect();
    let hook = if sink.hook == 0 { "{{args.first}}" } else { "{{args.second}}" };
    let mut written = json!({
        "name": format!("out{number}"), "type": "destination", "destination_type": "webhook",
        "config": { "id": hook }, "resources_to_persist": takes,
    });
    if sink.marks {
        written["config"]["expression"] = json!("payload.records.{\"id\": id & \"@\"}");
    }
    if sink.only_full {
        written["run_if"] = json!(ONLY_FULL);
    }
    if let Some(batch) = sink.batch {
        written["batch"] = divided(batch);
    }
    written
}

fn divided(batch: Batch) -> Value {
    json!({ "max_records": batch.records_max, "merge": batch.merges })
}
