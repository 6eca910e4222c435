//! The nodes that ask for nothing: what happens to records, where they go, and what a job remembers.

use serde_json::Value;

use super::super::{Destination, Input, Moment, NodeKind};
use super::node::{Named, names};
use super::policy;
use crate::definition::check::{Fields, Spot};
use crate::expression::Expression;
use crate::template::{Template, Tree};

/// The most records that a spool collects when it doesn't say.
const SPOOL_RECORDS_DEFAULT: u64 = 100_000;
const SPOOL_RECORDS_MAX: u64 = 10_000_000;
/// The most bytes that a spool collects when it doesn't say.
const SPOOL_BYTES_DEFAULT: u64 = 64 << 20;
const SPOOL_BYTES_MIN: u64 = 1024;
const SPOOL_BYTES_MAX: u64 = 4 << 30;

/// A node of any type but `request` and `destination`.
pub(super) fn read(fields: &Fields<'_>, kind: &str) -> Option<NodeKind> {
    refuse_what_requests_have(fields, kind);
    let config = fields.get("config");
    let with_persist = matches!(kind, "transform" | "spool");
    if !with_persist {
        let hint = "only requests, transforms and spools give records";
        fields.refuse("persist", "nothing of this node can be delivered", hint);
    }
    match kind {
        "transform" => {
            let persist = fields.or("persist", true, Spot::boolean);
            let expression = expression(fields, config.as_ref());
            Some(NodeKind::Transform { expression: expression?, persist: persist? })
        }
        "add_context" => Some(NodeKind::AddContext { expression: expression(fields, config.as_ref())? }),
        "spool" => spool(fields, config.as_ref()),
        "event" => {
            let config = required_config(fields, config, "config: { name: start }, complete or error")?;
            let name = config.required("name").and_then(|spot| {
                let moments = [Moment::Start, Moment::Complete, Moment::Error];
                spot.choice(&moments.map(|moment| (moment.as_str(), moment)))
            });
            config.finish();
            name.map(NodeKind::Event)
        }
        _ => state(fields, config, kind),
    }
}

fn refuse_what_requests_have(fields: &Fields<'_>, kind: &str) {
    let what = format!("a node of type {kind} asks the source for nothing");
    let hint = "leave it out, or write type: request";
    for name in ["resource", "method", "query", "body", "integrated_account_id", "loop_on", "recurse"] {
        fields.refuse(name, &what, hint);
    }
    let hint = "write type: destination";
    fields.refuse("resources_to_persist", "only destinations send records", hint);
    fields.refuse("expression", "the expression stands in config", "config: { expression: … }");
}

/// `config`, which the node can't do without.
fn required_config<'c>(fields: &Fields<'c>, config: Option<Spot<'c>>, hint: &str) -> Option<Fields<'c>> {
    match config {
        Some(spot) => spot.fields(),
        None => {
            fields.missing("config", Some(hint));
            None
        }
    }
}

fn expression(fields: &Fields<'_>, config: Option<&Spot<'_>>) -> Option<Expression> {
    let config = required_config(fields, config.cloned(), "config: { expression: … }")?;
    let expression = config.required("expression").and_then(|spot| spot.expression());
    config.finish();
    expression
}

fn spool(fields: &Fields<'_>, config: Option<&Spot<'_>>) -> Option<NodeKind> {
    let persist = fields.or("persist", true, Spot::boolean);
    let (mut records_max, mut bytes_max) = (Some(SPOOL_RECORDS_DEFAULT), Some(SPOOL_BYTES_DEFAULT));
    if let Some(config) = config {
        let config = config.fields()?;
        records_max =
            config.or("max_records", SPOOL_RECORDS_DEFAULT, |spot| spot.whole(1..=SPOOL_RECORDS_MAX));
        bytes_max =
            config.or("max_bytes", SPOOL_BYTES_DEFAULT, |spot| spot.whole(SPOOL_BYTES_MIN..=SPOOL_BYTES_MAX));
        config.finish();
    }
    Some(NodeKind::Spool { persist: persist?, records_max: records_max?, bytes_max: bytes_max? })
}

fn state(fields: &Fields<'_>, config: Option<Spot<'_>>, kind: &str) -> Option<NodeKind> {
    let config = required_config(fields, config, "config: { key: … } names the state cell")?;
    let key = config.required("key").and_then(|spot| filled_template(&spot));
    let node = match kind {
        "get_state" => {
            let default =
                config.written("default").map_or_else(|| Some(Tree::undefined()), |spot| spot.tree());
            default.zip(key).map(|(default, key)| NodeKind::GetState { key, default })
        }
        "update_state" => value(&config).zip(key).map(|(value, key)| NodeKind::UpdateState { key, value }),
        _ => key.map(|key| NodeKind::DeleteState { key }),
    };
    config.finish();
    node
}

/// `value_expression` wins over `value`, as in the model.
fn value(config: &Fields<'_>) -> Option<Input> {
    let value = config.written("value").map(|spot| spot.tree().map(Input::Tree));
    let expression = config.get("value_expression").map(|spot| spot.expression().map(Input::Expression));
    match (expression, value) {
        (Some(_), Some(None)) => None,
        (Some(expression), _) => expression,
        (None, Some(value)) => value,
        (None, None) => {
            let hint = "value: \"{{sync_job_run.started_at}}\", or value_expression: an expression";
            config.missing("value", Some(hint));
            None
        }
    }
}

/// What a destination takes; what is wrong with the rest of it is reported by [`destination`].
pub(super) fn takes<'c>(fields: &Fields<'c>) -> Option<Vec<Named<'c>>> {
    let hint = "name the nodes whose records go there: resources_to_persist: [tickets]";
    let Some(spot) = fields.get("resources_to_persist") else {
        fields.missing("resources_to_persist", Some(hint));
        return None;
    };
    let takes = names(&spot)?;
    if takes.is_empty() {
        spot.problem("a destination without records sends nothing", Some(hint));
        return None;
    }
    Some(takes)
}

pub(super) fn destination(fields: &Fields<'_>) -> Option<NodeKind> {
    let kind = fields.or("destination_type", (), destination_type);
    let only = "this is for datastores; a destination here is a webhook";
    fields.refuse("loop_on", only, "leave it out; batch says how records are divided among deliveries");
    fields.refuse("method", only, "leave it out: records are posted");
    for name in ["resource", "query", "body", "persist"] {
        fields.refuse(name, "a destination asks the source for nothing", "write it in a request of its own");
    }
    let batch = fields.maybe("batch", policy::batch);
    let hint = "config: { id: \"{{args.webhook_id}}\" } says which webhook";
    let config = required_config(fields, fields.get("config"), hint)?;
    let webhook = config.required("id").and_then(|spot| filled_template(&spot));
    let expression = config.maybe("expression", Spot::expression);
    config.refuse("config", only, "leave it out; expression makes the records to send");
    config.finish();
    kind?;
    let (webhook, expression) = (webhook?, expression?);
    // What it takes is filled in when all nodes are known.
    Some(NodeKind::Destination(Destination { webhook, takes: Vec::new(), expression, batch: batch? }))
}

fn destination_type(spot: &Spot<'_>) -> Option<()> {
    if let Some(word @ ("datastore" | "superquery" | "super_query")) = spot.value().as_str() {
        let hint = "write destination_type: webhook, and let the receiver store the records";
        spot.problem(&format!("records go to webhooks alone, not to a {word}"), Some(hint));
        return None;
    }
    spot.choice(&[("webhook", ())])
}

fn filled_template(spot: &Spot<'_>) -> Option<Template> {
    if !matches!(spot.value(), Value::Number(_) | Value::Bool(_)) {
        spot.filled()?;
    }
    spot.template()
}
