//! A request to the source.

use std::time::Duration;

use serde_json::Value;

use super::super::{Input, Recurse, Request, ResponseFormat};
use super::node::plain;
use super::policy;
use crate::definition::check::{Fields, Spot};
use crate::template::{Template, Tree};

/// The most requests for different parents' records that may be under way at once.
const CONCURRENCY_MAX: u16 = 16;
/// How deep a request is repeated when it doesn't say.
const RECURSION_DEPTH_DEFAULT: u32 = 20;
/// How deep a request may be repeated.
const RECURSION_DEPTH_MAX: u32 = 100;
const TIMEOUT_MIN: Duration = Duration::from_millis(100);
const TIMEOUT_MAX: Duration = Duration::from_secs(600);
const TIME_LIMIT_MIN: Duration = Duration::from_secs(1);
const TIME_LIMIT_MAX: Duration = Duration::from_secs(7 * 24 * 3600);
const RECORDS_MAX: u64 = 1_000_000_000_000;
const PAGES_MAX: u32 = 10_000_000;

pub(super) fn read(fields: &Fields<'_>) -> Option<Box<Request>> {
    refuse_what_others_have(fields);
    let resource = fields.required("resource").and_then(|spot| plain(&spot));
    let method = fields.or("method", "list".to_owned(), plain);
    let account = fields.or("integrated_account_id", None, account);
    let id = fields.maybe("id", Spot::template);
    let query = fields.or("query", Input::Tree(Tree::empty()), input);
    let body = fields.maybe("body", input);
    let loop_on = fields.maybe("loop_on", loop_on);
    let recurse = fields.maybe("recurse", recurse);
    let persist = fields.or("persist", true, Spot::boolean);
    let response_format = fields.or("response_format", ResponseFormat::default(), response_format);
    let changes = policy::changes(fields);
    let incremental = fields.maybe("incremental", policy::incremental);
    let batch = fields.maybe("batch", policy::batch);
    let attempts = fields.maybe("retry", policy::attempts);
    let timeout = fields.maybe("timeout", |spot| spot.duration(TIMEOUT_MIN..=TIMEOUT_MAX));
    let time_limit = fields.maybe("time_limit", |spot| spot.duration(TIME_LIMIT_MIN..=TIME_LIMIT_MAX));
    let records_max = fields.maybe("max_records", |spot| spot.whole(1..=RECORDS_MAX));
    let pages_max = fields.maybe("max_pages", |spot| spot.whole(1..=PAGES_MAX));
    let concurrency = fields.or("concurrency", 1, |spot| spot.whole(1..=CONCURRENCY_MAX));
    let end_of_resource = fields.or("end_of_resource", false, Spot::boolean);
    let request = Request {
        resource: resource?,
        method: method?,
        account: account?,
        id: id?,
        query: query?,
        body: body?,
        loop_on: loop_on?,
        recurse: recurse?,
        persist: persist?,
        response_format: response_format?,
        changes: changes?,
        incremental: incremental?,
        batch: batch?,
        attempts: attempts?,
        timeout: timeout?,
        time_limit: time_limit?,
        records_max: records_max?,
        pages_max: pages_max?,
        concurrency: concurrency?,
        end_of_resource: end_of_resource?,
    };
    let alone = fields.get("depends_on").is_none() && request.loop_on.is_none() && request.recurse.is_none();
    if let Some(spot) = fields.get("concurrency").filter(|_| alone && request.concurrency > 1) {
        let hint = "leave it out; it is for requests with depends_on, loop_on or recurse";
        spot.problem_of_key("this list is asked for only once", Some(hint));
        return None;
    }
    policy::fit(fields, &request).then(|| Box::new(request))
}

fn refuse_what_others_have(fields: &Fields<'_>) {
    let hint = "write type: transform, and let it depend on this request";
    fields.refuse("config", "a request has no config", hint);
    fields.refuse("expression", "a request has no expression", hint);
    let hint = "write it in a node of type destination";
    fields.refuse("resources_to_persist", "a request sends nothing itself", hint);
    fields.refuse("destination_type", "a request sends nothing itself", hint);
    const STORE: &str = "leave it out: records go to webhooks, and the receiver stores them";
    fields.refuse("super_query", "SuperQuery is a store of Truto's cloud", STORE);
    fields.refuse("datastore_id", "there are no datastores here", STORE);
}

/// The account to ask with. `{{args.integrated_account_id}}` is the run's, which is what happens without it.
fn account(spot: &Spot<'_>) -> Option<Option<Template>> {
    spot.filled()?;
    let template = spot.template()?;
    let runs = template.whole_path().is_some_and(|path| path == ["args", "integrated_account_id"]);
    Some((!runs).then_some(template))
}

/// An object with placeholders, or the text of an expression.
fn input(spot: &Spot<'_>) -> Option<Input> {
    match spot.value() {
        Value::Object(_) => spot.tree().map(Input::Tree),
        Value::String(text) if text.trim_start().starts_with("{{") => {
            let hint = "write an object with placeholders, or an expression without {{…}}";
            spot.problem("a text here is an expression, and this begins like a placeholder", Some(hint));
            None
        }
        Value::String(_) => spot.expression().map(Input::Expression),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) => {
            spot.problem("expected an object, or the text of an expression that gives one", None);
            None
        }
    }
}

/// A path (`args.user_ids`), also in the form of a placeholder (`{{args.user_ids}}`).
fn loop_on(spot: &Spot<'_>) -> Option<Vec<String>> {
    let text = spot.filled()?.trim();
    if text.contains("{{") {
        let template = spot.template()?;
        let path = template.whole_path().map(<[String]>::to_vec);
        if path.is_none() {
            spot.problem("loop_on is one path to a list", Some("write args.user_ids or {{args.user_ids}}"));
        }
        return path;
    }
    policy::path(spot)
}

fn recurse(spot: &Spot<'_>) -> Option<Recurse> {
    let fields = spot.fields()?;
    let condition = fields.maybe("if", condition);
    let depth_max =
        fields.or("max_depth", RECURSION_DEPTH_DEFAULT, |spot| spot.whole(1..=RECURSION_DEPTH_MAX));
    let config = fields.or("config", (None, Tree::empty()), |spot| {
        let fields = spot.fields()?;
        let (id, query) =
            (fields.maybe("id", Spot::template), fields.or("query", Tree::empty(), Spot::object_tree));
        fields.refuse("body", "a repeated request keeps its body", "change its query or its id");
        fields.finish();
        Some((id?, query?))
    });
    fields.finish();
    let (id, query) = config?;
    if id.is_none() && query == Tree::empty() {
        let hint = "say what changes: config: { query: { parent_id: \"{{resources.folders.id}}\" } }";
        spot.problem("the same request again would give the same records", Some(hint));
        return None;
    }
    Some(Recurse { condition: condition?, id, query, depth_max: depth_max? })
}

fn condition(spot: &Spot<'_>) -> Option<Template> {
    let template = spot.template()?;
    if template.is_literal() {
        let hint =
            "write \"{{resources.folders.has_children:bool}}\"; leave it out to repeat for every record";
        spot.problem("recurse.if is a placeholder that is looked at for each record", Some(hint));
        return None;
    }
    Some(template)
}

fn response_format(spot: &Spot<'_>) -> Option<ResponseFormat> {
    spot.choice(&[
        ("raw", ResponseFormat::Raw),
        ("unified", ResponseFormat::Unified),
        ("normalized", ResponseFormat::Normalized),
    ])
}
