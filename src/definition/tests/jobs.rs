//! The jobs in `tests/jobs`: every field of both generations, read as it is meant.

use std::fs;
use std::path::Path;

use super::*;
use crate::clock::Millis;
use crate::definition::job::{
    ChangeTracking, CursorFormat, Deletions, Generation, Input, Moment, NodeKind, Request, ResponseFormat,
};
use crate::json::Json;
use crate::template::Roots;

fn files() -> Vec<(String, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/jobs");
    let mut files: Vec<(String, String)> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| (path.file_name().unwrap().display().to_string(), fs::read_to_string(&path).unwrap()))
        .collect();
    files.sort();
    files
}

fn jobs() -> Vec<Arc<SyncJob>> {
    let files = files();
    let env = |_: &str| Some("https://dummy.example".to_owned());
    let texts = files.iter().map(|(name, text)| (name.as_str(), text.as_str()));
    let checked = read_and_check(texts, &env).unwrap_or_else(|problems| panic!("{problems}"));
    let job = |(_, checked)| if let Checked::SyncJob(job) = checked { Some(job) } else { None };
    checked.into_iter().filter_map(job).collect()
}

fn job(id: &str) -> Arc<SyncJob> {
    jobs().into_iter().find(|job| job.id.as_str() == id).unwrap()
}

fn request<'j>(job: &'j SyncJob, name: &str) -> &'j Request {
    job.nodes.iter().find(|node| node.name == name).and_then(|node| node.request()).unwrap()
}

#[test]
fn every_job_is_what_its_name_says() {
    let jobs = jobs();
    assert!(jobs.len() >= 25, "only {} jobs", jobs.len());
    for job in &jobs {
        let flat = job.id.as_str().starts_with("flat-");
        assert_eq!(job.generation, if flat { Generation::Flat } else { Generation::Graph }, "{:?}", job.id);
        assert_eq!((job.runs_as(3), job.runs_as(4)), (flat, !flat));
        assert!(files().iter().any(|(name, _)| *name == format!("{}.yaml", job.id.as_str())), "{:?}", job.id);
    }
    let plan = |job: &SyncJob| crate::plan::Plan::outline(job).unwrap().to_string();
    let plans: Vec<String> = jobs.iter().map(|job| format!("{}\n{}", job.id.as_str(), plan(job))).collect();
    insta::assert_snapshot!(plans.join("\n"));
}

#[test]
fn what_is_odd_is_remarked_and_the_tested_jobs_are_not_odd() {
    for job in jobs() {
        assert_eq!(job.advice(), [], "{:?}", job.id);
    }
    let body = serde_json::json!({"id": "j", "integration_name": "x", "resources": [
        {"name": "a", "type": "request", "resource": "a"},
        {"name": "save", "type": "update_state", "depends_on": "a", "config": {"key": "k", "value": 1}},
        {"name": "drop", "type": "delete_state", "depends_on": "save", "config": {"key": "k"}}
    ]});
    let job = SyncJob::from_document(&Document::new(Kind::SyncJob, &body).unwrap()).unwrap();
    let advice: Vec<(String, String)> = job.advice().into_iter().map(|it| (it.path, it.message)).collect();
    insta::assert_debug_snapshot!(advice);
}

#[test]
fn requests_are_read_whole() {
    let job = job("flat-14-policies");
    let tickets = request(&job, "tickets");
    assert_eq!(tickets.attempts, Some(5));
    assert_eq!(tickets.timeout.map(|it| it.as_secs()), Some(20));
    assert_eq!(tickets.time_limit.map(|it| it.as_secs()), Some(3600));
    assert_eq!((tickets.records_max, tickets.pages_max), (Some(1000), Some(50)));
    let batch = tickets.batch.unwrap();
    assert_eq!((batch.records_max, batch.bytes_max, batch.merge), (Some(25), Some(262_144), false));
    assert!(request(&job, "users").batch.unwrap().merge);

    let loops = self::job("flat-04-loop-on-placeholder");
    assert_eq!(request(&loops, "of-the-run").loop_on.as_deref().unwrap(), ["args", "ids"]);
    assert_eq!(request(&loops, "of-the-account").loop_on.as_deref().unwrap(), ["ticket_ids"]);

    let tree = self::job("flat-07-recurse");
    let recurse = request(&tree, "organizations").recurse.as_ref().unwrap();
    assert_eq!((recurse.depth_max, recurse.id.is_some(), recurse.condition.is_some()), (5, true, true));
    let default = self::job("graph-14-tree");
    assert_eq!(request(&default, "organizations").recurse.as_ref().unwrap().depth_max, 20);

    let raw = self::job("flat-10-raw");
    assert_eq!(request(&raw, "ticketing/users").response_format, ResponseFormat::Raw);
    assert_eq!(request(&raw, "ticketing/contacts").response_format, ResponseFormat::Unified);
    assert!(request(&raw, "ticketing/contacts").end_of_resource);

    let expressions = self::job("flat-12-expressions");
    let tickets = request(&expressions, "tickets");
    assert!(
        matches!(tickets.query, Input::Expression(_)) && matches!(tickets.body, Some(Input::Expression(_)))
    );
    assert!(expressions.nodes[0].debug);
}

#[test]
fn changes_and_incremental_reading() {
    let tracking =
        |job: &SyncJob, name: &str| -> ChangeTracking { request(job, name).changes.clone().unwrap() };
    let job = job("flat-09-delete-tracking");
    let (users, organizations) = (tracking(&job, "users"), tracking(&job, "organizations"));
    assert_eq!((users.compare, users.deletions, users.id.join(".")), (false, Deletions::Hard, "id".into()));
    assert_eq!((organizations.deletions, organizations.scope.paths().len()), (Deletions::Soft, 1));

    let job = self::job("graph-09-changes");
    assert_eq!((tracking(&job, "users").compare, tracking(&job, "users").deletions), (true, Deletions::Hard));
    assert_eq!(tracking(&job, "organizations").deletions, Deletions::Soft);
    assert_eq!(tracking(&job, "organizations").records_max, 50_000);
    assert_eq!(tracking(&job, "tickets").deletions, Deletions::Ignored);

    let job = self::job("graph-10-incremental");
    let of = |name: &str| request(&job, name).incremental.clone().unwrap();
    assert_eq!(of("tickets").param, ["updated_at", "gt"]);
    assert_eq!((of("tickets").format, of("tickets").overlap.as_secs()), (CursorFormat::Rfc3339, 300));
    assert_eq!((of("users").format, of("users").overlap.as_secs()), (CursorFormat::AsIs, 0));
    assert_eq!(
        (of("organizations").format, of("organizations").overlap.as_secs()),
        (CursorFormat::UnixSeconds, 120)
    );
    assert!(of("tickets").start.is_some() && of("users").start.is_none());
}

#[test]
fn the_nodes_of_a_graph() {
    let job = job("graph-06-events");
    let moments: Vec<Moment> = job
        .nodes
        .iter()
        .filter_map(|node| if let NodeKind::Event(moment) = node.kind { Some(moment) } else { None })
        .collect();
    assert_eq!(moments, [Moment::Start, Moment::Complete, Moment::Error]);

    let join = self::job("graph-07-join");
    let joined = join.nodes.iter().position(|node| node.name == "joined").unwrap();
    assert_eq!(join.nodes[joined].parents, [2, 3]);
    assert_eq!(join.ancestors(joined), [2, 3, 0, 1]);
    let NodeKind::Spool { records_max, bytes_max, .. } = join.nodes[2].kind else { panic!("no spool") };
    assert_eq!((records_max, bytes_max), (200_000, 64 << 20));
    let NodeKind::Destination(out) = &join.nodes[5].kind else { panic!("no destination") };
    assert_eq!(out.takes, [joined]);

    let NodeKind::GetState { default, .. } = &self::job("graph-08-several-parents").nodes[3].kind.clone()
    else {
        panic!("no state")
    };
    assert_eq!(default.render(&Roots::new()), Ok(None), "without a default nothing is found");
}

/// Records keep their address through transforms and spools; what `add_context` adds is found under its name.
#[test]
fn an_address_leads_to_the_nearest_node_that_has_it() {
    let named = |job: &str, node: &str, path: &str| -> Option<(String, usize)> {
        let job = self::job(job);
        let index = job.nodes.iter().position(|it| it.name == node).unwrap();
        let path: Vec<String> = path.split('.').map(str::to_owned).collect();
        job.record_of(index, &path).map(|(found, steps)| (job.nodes[found].name.clone(), steps))
    };
    let is = |name: &str, steps| Some((name.to_owned(), steps));
    let (job, node) = ("graph-03-transform", "comments");
    assert_eq!(named(job, node, "resources.tickets.id"), is("open", 2));
    assert_eq!(named(job, node, "resources.open.id"), is("open", 2));
    assert_eq!(named(job, "open", "resources.tickets.id"), is("tickets", 2));
    assert_eq!(named(job, "out", "resources.tickets.id"), is("open", 2));
    assert_eq!(named(job, node, "resources.users.id"), None);
    assert_eq!(named(job, node, "args.tickets"), None);
    assert_eq!(named("graph-04-add-context", "comments", "resources.names.read_at"), is("names", 2));
    assert_eq!(named("graph-04-add-context", "comments", "resources.tickets"), is("tickets", 2));
    let (job, node) = ("graph-02-per-record", "comments");
    assert_eq!(named(job, node, "resources.ticketing.tickets.id"), is("tickets", 3));
    assert_eq!(named("graph-14-tree", "sorted", "resources.organizations"), is("all", 2));
}

#[test]
fn destinations_choose_webhooks_from_arguments() {
    let job = job("graph-01-destinations");
    let webhooks = |args: &str| match job.webhooks(&Json::parse(args).unwrap(), Millis(0)) {
        Ok(found) => found.iter().map(|it| format!("{}={}", it.destination, it.webhook.as_str())).collect(),
        Err(problems) => vec![problems.to_string()],
    };
    assert_eq!(webhooks(r#"{"webhook_id":"w"}"#), ["backend=w"]);
    assert_eq!(webhooks(r#"{"webhook_id":"w","archive_id":"a"}"#), ["backend=w", "archive=a"]);
    assert_eq!(webhooks(r#"{"webhook_id":"w","archive_id":null}"#), ["backend=w"]);
    insta::assert_snapshot!(webhooks("{}").concat(), @r#"
    args: destination "backend": no webhook is given ({{args.webhook_id}})
      hint: give args.webhook_id
    "#);
    insta::assert_snapshot!(webhooks(r#"{"webhook_id":"no id"}"#).concat());
    assert_eq!(
        self::job("graph-12-several-accounts").webhooks(&Json::empty_object(), Millis(0)).unwrap().len(),
        1
    );
    assert_eq!(self::job("graph-09-changes").fixed_webhooks().collect::<Vec<_>>(), ["backend"]);
    assert!(!self::job("graph-15-without-destinations").has_destinations());
}

/// Only what arguments alone decide is decided when a run is accepted.
#[test]
fn a_condition_leaves_a_destination_out_when_arguments_decide_it() {
    let left_out = |run_if: &str, args: &str| {
        let body = serde_json::json!({
            "id": "j", "integration_name": "helpdesk",
            "args_schema": {"eu": {"type": "boolean"}, "resources": {"type": "string"}, "users": {"type": "array"}},
            "resources": [
                {"name": "users", "type": "request", "resource": "users", "loop_on": "args.users"},
                {"name": "out", "type": "destination", "config": {"id": "w"}, "resources_to_persist": ["users"],
                 "run_if": run_if},
            ],
        });
        let job = SyncJob::from_document(&Document::new(Kind::SyncJob, &body).unwrap()).unwrap();
        job.webhooks(&Json::parse(args).unwrap(), Millis(0)).unwrap().is_empty()
    };
    assert!(left_out("args.eu", r#"{"eu":false}"#) && !left_out("args.eu", r#"{"eu":true}"#));
    assert!(left_out("args.resources = 'all'", "{}"), "an argument may be called like anything");
    assert!(!left_out("region = 'eu'", "{}"), "a key of the account's context");
    assert!(!left_out("args.users = 'a'", r#"{"users":["a"]}"#), "an element of a loop");
    assert!(!left_out("$keys(args)[0] = 'x'", "{}"), "all arguments, of which a request loops on one");
    assert!(!left_out("$count($.*) = 0", "{}") && !left_out("$count(payload.records) > 5", "{}"));
}

/// Every member of every job, taken out or replaced by what may not stand there: each is read or refused with words.
#[test]
fn whatever_is_written_is_read_or_refused_with_words() {
    let files = files();
    let env = |_: &str| Some("https://dummy.example".to_owned());
    let documents =
        read_files(files.iter().map(|(name, text)| (name.as_str(), text.as_str())), &env).unwrap();
    let strange = serde_json::json!([null, true, 7, -1, "x", "", "{{a", "(", [], {}, ["x"], [[]], {"x": 1}, {"a": {"b": []}}]);
    let (mut read, mut refused) = (0, 0);
    for document in documents.iter().filter(|document| document.kind == Kind::SyncJob) {
        let mut pointers = Vec::new();
        places(&document.body, String::new(), &mut pointers);
        for pointer in pointers {
            for value in strange.as_array().unwrap() {
                let mut body = document.body.clone();
                *body.pointer_mut(&pointer).unwrap() = value.clone();
                let Ok(changed) = Document::new(Kind::SyncJob, &body) else { continue };
                match SyncJob::from_document(&changed) {
                    Ok(job) => {
                        read += 1;
                        let _ = crate::plan::Plan::outline(&job);
                    }
                    Err(problems) => {
                        refused += 1;
                        let told = problems.to_string();
                        assert!(!told.contains("report this as a bug"), "{pointer} = {value}: {told}");
                    }
                }
            }
        }
    }
    assert!(read > 500 && refused > 5000, "{read} read, {refused} refused");
}

fn places(value: &serde_json::Value, here: String, found: &mut Vec<String>) {
    match value {
        serde_json::Value::Object(members) => {
            for (key, value) in members {
                places(value, format!("{here}/{}", key.replace('~', "~0").replace('/', "~1")), found);
            }
        }
        serde_json::Value::Array(elements) => {
            elements
                .iter()
                .enumerate()
                .for_each(|(index, value)| places(value, format!("{here}/{index}"), found));
        }
        serde_json::Value::Null
        | serde_json::Value::Bool(_)
        | serde_json::Value::Number(_)
        | serde_json::Value::String(_) => {}
    }
    if !here.is_empty() {
        found.push(here);
    }
}
