//! Graphs of all node types. What each node means is shown by small jobs; that nothing depends on luck, by random ones:
//! a run that is crashed between any two effects delivers the very pages that a run without bad luck does.

use crate::definition::job::{
    Batching, ChangeTracking, CursorFormat, Deletions, Destination, ErrorHandling, Generation, Incremental,
    Input, Moment, Node, NodeKind, Recurse, Request,
};
use crate::definition::webhook::EventType;
use crate::engine::machine::RunFacts;
use crate::expression::Expression;
use crate::json::{self, Json};
use crate::plan::Plan;
use crate::run::Status;
use crate::template::{Template, Tree};

use super::plans::{draw, job, node, planned, random_facts, record_ids, request, tree};
use super::world::{Luck, World};

fn expression(source: &str) -> Expression {
    Expression::parse(source).expect("an expression")
}

fn template(source: &str) -> Template {
    Template::parse(source).expect("a template")
}

fn asks(name: &str, parents: &[usize], request: Request) -> Node {
    node(name, parents, NodeKind::Request(Box::new(request)))
}

fn transform(name: &str, parent: usize, source: &str) -> Node {
    node(name, &[parent], NodeKind::Transform { expression: expression(source), persist: true })
}

fn spool(name: &str, parents: &[usize]) -> Node {
    node(name, parents, NodeKind::Spool { persist: true, records_max: 10_000, bytes_max: 1 << 20 })
}

fn destination(name: &str, webhook: &str, takes: &[usize]) -> Node {
    let destination =
        Destination { webhook: template(webhook), takes: takes.to_vec(), expression: None, batch: None };
    node(name, &[], NodeKind::Destination(destination))
}

fn facts() -> RunFacts {
    let mut facts = (*super::plans::plain_facts()).clone();
    facts.request.args =
        Json::parse(r#"{"users":["a","b"],"hook":"hook0","start":"2026-01-01"}"#).expect("JSON");
    facts.context = Json::parse(r#"{"site":"eu","boards":[{"key":"k1"},{"key":"k2"}]}"#).expect("JSON");
    facts
}

/// Runs a job without bad luck.
fn run(nodes: Vec<Node>) -> World {
    let mut world = World::of(planned(&job(Generation::Graph, nodes)), facts(), 1, Luck::default());
    world.play();
    world.check();
    assert_eq!(world.outcome().status, Status::Completed, "{:?}", world.outcome());
    world
}

/// The pages of a run as `node: records`, each record by its id where it has one.
fn told(world: &World) -> Vec<String> {
    let page = |payload: &String| {
        let node = json::text_of(json::get(payload, &["meta", "node"]).expect("a node")).into_owned();
        let records = json::get(payload, &["records"]).expect("records");
        let ranges = json::elements(records).expect("an array");
        let records: Vec<String> = ranges
            .into_iter()
            .map(|range| {
                let record = &records[range];
                json::get(record, &["id"]).map_or(record.to_owned(), |id| json::text_of(id).into_owned())
            })
            .collect();
        format!("{node}: {}", records.join(" "))
    };
    world.pages().values().map(page).collect()
}

/// All records of a list, in order.
fn whole(resource: &str, parent: &str) -> Vec<String> {
    let pages = super::plans::pages(resource, parent);
    (0..pages).flat_map(|page| record_ids(resource, parent, page)).collect()
}

fn pages_of(resource: &str, parent: &str) -> Vec<Vec<String>> {
    let pages = super::plans::pages(resource, parent);
    (0..pages).map(|page| record_ids(resource, parent, page)).filter(|ids| !ids.is_empty()).collect()
}

fn for_parent(parent: &str) -> Input {
    Input::Tree(tree(&format!(r#"{{"parent":"{{{{{parent}}}}}"}}"#)))
}

#[test]
fn a_transform_replaces_the_batch_for_all_below_it() {
    let world = run(vec![
        asks("tickets", &[], Request { persist: false, ..request("tickets") }),
        transform("odd", 0, r#"resources.tickets[kind = "odd"].{"id": id & "!", "site": site}"#),
        asks("comments", &[1], Request { query: for_parent("resources.odd.id"), ..request("comments") }),
    ]);
    let odd = |id: &&String| super::world::record(id).contains("odd");
    let mut expected = Vec::new();
    for page in pages_of("tickets", "") {
        let kept: Vec<String> = page.iter().filter(odd).map(|id| format!("{id}!")).collect();
        if !kept.is_empty() {
            expected.push(format!("odd: {}", kept.join(" ")));
        }
        for id in kept {
            expected
                .extend(pages_of("comments", &id).iter().map(|page| format!("comments: {}", page.join(" "))));
        }
    }
    assert_eq!(told(&world), expected);
    assert!(expected.len() > 2, "{expected:?}");
}

#[test]
fn a_spool_collects_what_belongs_together() {
    // Over a whole list, and for each parent's list.
    let world = run(vec![
        asks("tickets", &[], Request { persist: false, ..request("tickets") }),
        spool("all", &[0]),
        asks(
            "comments",
            &[0],
            Request { query: for_parent("resources.tickets.id"), persist: false, ..request("comments") },
        ),
        spool("thread", &[2]),
    ]);
    let mut expected: Vec<String> = whole("tickets", "")
        .iter()
        .map(|ticket| whole("comments", ticket))
        .filter(|comments| !comments.is_empty())
        .map(|comments| format!("thread: {}", comments.join(" ")))
        .collect();
    expected.push(format!("all: {}", whole("tickets", "").join(" ")));
    assert_eq!(told(&world), expected);
}

#[test]
fn a_spool_of_two_parents_joins_them() {
    let world = run(vec![
        asks("users", &[], Request { persist: false, ..request("users") }),
        asks("tickets", &[], Request { persist: false, ..request("tickets") }),
        spool("both", &[1, 0]),
        transform("count", 2, r#"{"id": $string($count(resources.both))}"#),
    ]);
    let (users, tickets) = (whole("users", ""), whole("tickets", ""));
    let total = users.len() + tickets.len();
    let expected = [format!("both: {} {}", users.join(" "), tickets.join(" ")), format!("count: {total}")];
    assert_eq!(told(&world), expected);
}

/// A transform that depends on two spools sees both, once; within each parent's record, too.
#[test]
fn spools_are_joined_by_whoever_depends_on_them() {
    let join = |name: &str, parents: &[usize], source: &str| {
        node(name, parents, NodeKind::Transform { expression: expression(source), persist: true })
    };
    let world = run(vec![
        asks("users", &[], Request { persist: false, ..request("users") }),
        asks("tickets", &[], Request { persist: false, ..request("tickets") }),
        node("us", &[0], NodeKind::Spool { persist: false, records_max: 1000, bytes_max: 1 << 20 }),
        node("ts", &[1], NodeKind::Spool { persist: false, records_max: 1000, bytes_max: 1 << 20 }),
        join(
            "both",
            &[3, 2],
            r#"{"id": $string($count(resources.us)) & "+" & $string($count(resources.tickets))}"#,
        ),
        asks("late", &[3, 2], Request { query: for_parent("resources.us.0.id"), ..request("late") }),
        asks(
            "comments",
            &[1],
            Request { query: for_parent("resources.tickets.id"), persist: false, ..request("comments") },
        ),
        asks(
            "notes",
            &[1],
            Request { query: for_parent("resources.tickets.id"), persist: false, ..request("notes") },
        ),
        node("cs", &[6], NodeKind::Spool { persist: false, records_max: 1000, bytes_max: 1 << 20 }),
        node("ns", &[7], NodeKind::Spool { persist: false, records_max: 1000, bytes_max: 1 << 20 }),
        join(
            "each",
            &[8, 9],
            r#"{"id": resources.tickets.id & ":" & $string($count(resources.cs)) & "," & $string($count(resources.ns))}"#,
        ),
    ]);
    let (users, tickets) = (whole("users", ""), whole("tickets", ""));
    let mut expected: Vec<String> = tickets
        .iter()
        .map(|ticket| {
            format!("each: {ticket}:{},{}", whole("comments", ticket).len(), whole("notes", ticket).len())
        })
        .collect();
    expected.push(format!("both: {}+{}", users.len(), tickets.len()));
    expected.extend(pages_of("late", &users[0]).iter().map(|page| format!("late: {}", page.join(" "))));
    assert_eq!(told(&world), expected);
}

#[test]
fn a_cell_that_is_read_first_is_known_everywhere() {
    let world = run(vec![
        asks(
            "tickets",
            &[],
            Request { query: Input::Tree(tree(r#"{"x":"{{resources.last.value}}"}"#)), ..request("tickets") },
        ),
        node("last", &[], NodeKind::GetState { key: template("last"), default: tree(r#""never""#) }),
    ]);
    assert!(world.asked.iter().all(|asked| asked.query.as_str() == r#"{"x":"never"}"#), "{:?}", world.asked);
}

#[test]
fn loops_ask_once_for_each_element() {
    let world = run(vec![
        asks(
            "users",
            &[],
            Request {
                loop_on: Some(vec!["args".into(), "users".into()]),
                query: for_parent("args.users"),
                ..request("users")
            },
        ),
        asks(
            "again",
            &[],
            Request {
                loop_on: Some(vec!["users".into()]),
                query: for_parent("args.users"),
                ..request("again")
            },
        ),
        asks(
            "boards",
            &[],
            Request {
                loop_on: Some(vec!["boards".into()]),
                query: for_parent("boards.key"),
                ..request("boards")
            },
        ),
        asks(
            "tags",
            &[2],
            Request {
                loop_on: Some(vec!["resources".into(), "boards".into(), "tags".into()]),
                query: for_parent("resources.boards.tags"),
                ..request("tags")
            },
        ),
    ]);
    let parents = |resource: &str| -> Vec<String> {
        let asked = world.asked.iter().filter(|asked| asked.resource == resource && asked.cursor.is_start());
        asked
            .map(|asked| json::text_of(json::get(asked.query.as_str(), &["parent"]).unwrap()).into_owned())
            .collect()
    };
    assert_eq!(parents("users"), ["a", "b"]);
    assert_eq!(parents("again"), ["a", "b"], "a bare name is an argument, where the context has none");
    assert_eq!(parents("boards"), ["k1", "k2"]);
    let boards: Vec<String> = [whole("boards", "k1"), whole("boards", "k2")].concat();
    let tags: Vec<String> = boards
        .iter()
        .flat_map(|id| {
            let record = super::world::record(id);
            [json::text_of(json::get(&record, &["tags", "0"]).unwrap()).into_owned(), "u".to_owned()]
        })
        .collect();
    assert!(!tags.is_empty());
    assert_eq!(parents("tags"), tags);
}

/// Beside the top, where it is when nodes add the same, it is found under the name of its node.
#[test]
fn what_is_added_to_the_context_is_found_below() {
    let add = |name: &str, parent: usize, source: &str| {
        node(name, &[parent], NodeKind::AddContext { expression: expression(source) })
    };
    let seen = r#"{"id": who & "/" & resources.first.who & "/" & resources.second.who & "/" & $count(resources.users)}"#;
    let query = r#"{"parent":"{{resources.first.who}}-{{who}}-{{resources.second.more}}"}"#;
    let world = run(vec![
        asks("users", &[], Request { persist: false, ..request("users") }),
        add("first", 0, r#"{"who": "a"}"#),
        add("second", 1, r#"{"who": "b", "more": resources.first.who & "c"}"#),
        transform("seen", 2, seen),
        asks("pets", &[3], Request { query: Input::Tree(tree(query)), ..request("pets") }),
    ]);
    let expected: Vec<String> =
        pages_of("users", "").iter().map(|page| format!("seen: b/a/b/{}", page.len())).collect();
    let seen: Vec<String> = told(&world).into_iter().filter(|page| page.starts_with("seen")).collect();
    assert_eq!(seen, expected);
    let asked = world.asked.iter().find(|asked| asked.resource == "pets").unwrap();
    assert_eq!(asked.query.as_str(), r#"{"parent":"a-b-ac"}"#);
}

#[test]
fn a_recursion_goes_down_where_its_condition_holds() {
    let recurse = Recurse {
        condition: Some(template("{{resources.folders.more:bool}}")),
        id: None,
        query: tree(r#"{"parent":"{{resources.folders.id}}"}"#),
        depth_max: 20,
    };
    let world = run(vec![
        asks("folders", &[], Request { recurse: Some(recurse), ..request("folders") }),
        spool("tree", &[0]),
    ]);
    fn below(parent: &str, expected: &mut Vec<String>, all: &mut Vec<String>) {
        for page in pages_of("folders", parent) {
            expected.push(format!("folders: {}", page.join(" ")));
            all.extend(page.clone());
            for id in page {
                if super::world::record(&id).contains("\"more\":true") {
                    below(&id, expected, all);
                }
            }
        }
    }
    let (mut expected, mut all) = (Vec::new(), Vec::new());
    below("", &mut expected, &mut all);
    expected.push(format!("tree: {}", all.join(" ")));
    assert!(expected.len() > 3, "{expected:?}");
    assert_eq!(told(&world), expected);
}

#[test]
fn a_recursion_in_a_circle_or_without_end_is_an_error_of_that_record() {
    let recurse =
        |query: &str, depth_max| Recurse { condition: None, id: None, query: tree(query), depth_max };
    for (recurse, error) in [
        (recurse(r#"{"parent":"same"}"#, 50), "recursion_circle"),
        (recurse(r#"{"parent":"{{resources.folders.id}}"}"#, 2), "recursion_too_deep"),
    ] {
        let folders = asks("folders", &[], Request { recurse: Some(recurse), ..request("folders") });
        let world = run(vec![folders]);
        let incomplete = &world.checkpoint().progress.incomplete["folders"];
        assert!(incomplete.starts_with(error), "{incomplete}");
    }
}

#[test]
fn state_cells_are_read_before_and_written_after() {
    let cell = |name: &str| template(name);
    let nodes = || {
        vec![
            node(
                "cursor",
                &[],
                NodeKind::GetState { key: cell("since"), default: tree(r#"{"from":"{{args.start}}"}"#) },
            ),
            node(
                "ctx",
                &[0],
                NodeKind::AddContext { expression: expression(r#"{"from": resources.cursor.value.from}"#) },
            ),
            asks(
                "tickets",
                &[1],
                Request { query: Input::Tree(tree(r#"{"from":"{{from}}"}"#)), ..request("tickets") },
            ),
            node("done", &[], NodeKind::Event(Moment::Complete)),
            node(
                "keep",
                &[3],
                NodeKind::UpdateState {
                    key: cell("since"),
                    value: Input::Expression(expression(r#"{"from": sync_job_run.status}"#)),
                },
            ),
            node("forget", &[3], NodeKind::DeleteState { key: cell("old") }),
        ]
    };
    let world = run(nodes());
    let asked = |world: &World| {
        json::text_of(json::get(world.asked[0].query.as_str(), &["from"]).unwrap()).into_owned()
    };
    assert_eq!(asked(&world), "2026-01-01");
    let value = |world: &World, key: &str| world.cells[&("job".to_owned(), key.to_owned())].clone();
    assert_eq!(value(&world, "since").unwrap().as_str(), r#"{"from":"completed"}"#);
    assert_eq!(value(&world, "old"), None);
    let mut next = world.next_run(facts());
    next.play();
    next.check();
    assert_eq!(asked(&next), "completed");
}

#[test]
fn each_destination_gets_what_it_takes() {
    let mut facts = facts();
    let second = crate::engine::WebhookFacts { id: "hook1".parse().unwrap(), ..facts.webhooks[0].clone() };
    facts.webhooks.push(second);
    facts.request.webhooks.push("hook1".parse().unwrap());
    let mut second = destination("second", "hook1", &[0, 1]);
    second.run_if = Some(expression(r#"payload.records[0].id != "nothing" and args.hook = "hook0""#));
    let NodeKind::Destination(sends) = &mut second.kind else { unreachable!() };
    sends.expression = Some(expression(r#"payload.records.{"id": id & "?"}"#));
    let mut never = destination("never", "hook0", &[0]);
    never.run_if = Some(expression("$exists(args.nothing)"));
    let nodes = vec![
        asks("tickets", &[], request("tickets")),
        asks("users", &[], request("users")),
        destination("first", "{{args.hook}}", &[0]),
        second,
        never,
    ];
    let mut world = World::of(planned(&job(Generation::Graph, nodes)), facts, 1, Luck::default());
    world.play();
    world.check();
    let pages = world.pages();
    let got = |hook: &str| -> Vec<String> {
        let own = pages.iter().filter(|((webhook, _), _)| webhook == hook);
        own.flat_map(|(_, payload)| {
            let records = json::get(payload, &["records"]).unwrap();
            let ids = json::elements(records).unwrap().into_iter();
            ids.map(|range| json::text_of(json::get(&records[range], &["id"]).unwrap()).into_owned())
                .collect::<Vec<_>>()
        })
        .collect()
    };
    assert_eq!(got("hook0"), whole("tickets", ""));
    let asked = [whole("tickets", ""), whole("users", "")].concat();
    assert_eq!(got("hook1"), asked.iter().map(|id| format!("{id}?")).collect::<Vec<_>>());
}

#[test]
fn batches_are_divided_and_merged() {
    let merged =
        |records_max, merge| Some(Batching { records_max: Some(records_max), bytes_max: None, merge });
    let world = run(vec![asks("tickets", &[], Request { batch: merged(2, false), ..request("tickets") })]);
    for page in told(&world) {
        assert!(page.split(' ').count() <= 3, "{page}");
    }
    let split: Vec<String> = told(&world)
        .iter()
        .flat_map(|page| page.split(' ').skip(1).map(str::to_owned).collect::<Vec<_>>())
        .collect();
    assert_eq!(split, whole("tickets", ""));
    let mut nodes = vec![asks("users", &[], Request { persist: false, ..request("users") })];
    let comments =
        Request { query: for_parent("resources.users.id"), batch: merged(4, true), ..request("comments") };
    nodes.push(asks("comments", &[0], comments));
    let world = run(nodes);
    let sizes: Vec<usize> = told(&world).iter().map(|page| page.split(' ').count() - 1).collect();
    let total: usize = whole("users", "").iter().map(|user| whole("comments", user).len()).sum();
    assert!(total > 8, "{total}");
    assert_eq!(sizes.iter().sum::<usize>(), total);
    let (last, full) = sizes.split_last().unwrap();
    assert!(full.iter().all(|size| *size == 4) && *last <= 4, "{sizes:?}");
}

#[test]
fn the_steps_before_the_end_decide_it() {
    let broken = node(
        "late",
        &[1],
        NodeKind::UpdateState { key: template("{{nothing}}"), value: Input::Tree(Tree::empty()) },
    );
    let nodes = vec![
        asks("tickets", &[], request("tickets")),
        node("done", &[], NodeKind::Event(Moment::Complete)),
        broken,
    ];
    let mut world = World::of(planned(&job(Generation::Graph, nodes)), facts(), 1, Luck::default());
    world.play();
    world.check();
    assert_eq!(world.outcome().code.as_deref(), Some("complete_failed"));
    // And what a job does about its failure is done before that is told.
    let nodes = vec![
        asks("tickets", &[], request("tickets")),
        node("failed", &[], NodeKind::Event(Moment::Error)),
        node(
            "note",
            &[1],
            NodeKind::UpdateState {
                key: template("last"),
                value: Input::Tree(tree(r#"{"status":"{{sync_job_run.status}}"}"#)),
            },
        ),
    ];
    let luck = Luck { permanent: 1.0, errors: ErrorHandling::FailFast, ..Luck::default() };
    let mut facts = facts();
    facts.request.error_handling = ErrorHandling::FailFast;
    let mut world = World::of(planned(&job(Generation::Graph, nodes)), facts, 1, luck);
    world.play();
    world.check();
    assert_eq!(world.outcome().code.as_deref(), Some("record_error"));
    assert_eq!(world.cells.values().next().unwrap().as_ref().unwrap().as_str(), r#"{"status":"failed"}"#);
    assert_eq!(world.checkpoint().frames.len(), 1, "it can be resumed where it was");
}

#[test]
fn what_is_not_meant_to_run_does_not() {
    let mut skipped = asks("tickets", &[], request("tickets"));
    skipped.run_if = Some(expression("args.users[0] = 'z'"));
    let below =
        asks("comments", &[0], Request { query: for_parent("resources.tickets.id"), ..request("comments") });
    let world = run(vec![skipped, below, asks("users", &[], request("users"))]);
    assert!(world.asked.iter().all(|asked| asked.resource == "users"));
}

#[test]
fn an_expression_that_fails_is_an_error_of_its_node_alone() {
    let world = run(vec![
        asks("tickets", &[], request("tickets")),
        transform("bad", 0, r#""a" - 1"#),
        transform("good", 0, r#"resources.tickets.{"id": id & "+"}"#),
    ]);
    let told = told(&world);
    let of = |name: &str| told.iter().filter(|page| page.starts_with(name)).count();
    assert!(of("tickets") > 0 && of("tickets") == of("good") && of("bad") == 0, "{told:?}");
    assert!(world.checkpoint().progress.incomplete.contains_key("bad"));
    assert!(world.reported_errors() > 0);
}

#[test]
fn a_request_that_waits_for_a_second_parent_comes_after_it() {
    let world = run(vec![
        asks("late", &[1, 2], Request { query: for_parent("resources.tickets.id"), ..request("late") }),
        asks("tickets", &[], request("tickets")),
        asks("users", &[], request("users")),
        asks("last", &[1], request("last")),
    ]);
    let first = |resource: &str| world.asked.iter().position(|asked| asked.resource == resource).unwrap();
    assert!(first("users") < first("tickets") && first("tickets") < first("late"));
    let last: Vec<usize> = (0..world.asked.len()).filter(|at| world.asked[*at].resource == "last").collect();
    assert_eq!(
        last[0],
        world.asked.len() - last.len(),
        "what uses nothing of its parent comes once, after it"
    );
}

#[test]
fn a_request_of_several_parents_is_made_for_the_records_of_each() {
    let of = |name: &str| {
        let query = Input::Tree(tree(&format!(r#"{{"parent":"{name}"}}"#)));
        asks(name, &[], Request { query, persist: false, ..request("tickets") })
    };
    let world = run(vec![
        of("open"),
        of("pending"),
        asks(
            "comments",
            &[0, 1],
            Request { query: for_parent("resources.tickets.id"), persist: false, ..request("comments") },
        ),
        spool("all", &[2]),
    ]);
    let tickets = [whole("tickets", "open"), whole("tickets", "pending")].concat();
    let comments: Vec<String> = tickets.iter().flat_map(|ticket| whole("comments", ticket)).collect();
    assert!(tickets.len() > 3);
    assert_eq!(told(&world), [format!("all: {}", comments.join(" "))]);
}

#[test]
fn plans_that_can_not_be_are_told() {
    let waits = vec![
        asks("tickets", &[], request("tickets")),
        asks("all", &[0], request("all")),
        asks("late", &[0, 1], Request { query: for_parent("resources.tickets.id"), ..request("late") }),
    ];
    let error = Plan::outline(&job(Generation::Graph, waits)).unwrap_err().to_string();
    assert!(error.contains("\"late\"") && error.contains("\"all\""), "{error}");
    let twice = vec![
        asks("a", &[], request("a")),
        asks("b", &[], request("b")),
        asks(
            "c",
            &[0, 1],
            Request {
                query: Input::Tree(tree(r#"{"x":"{{resources.a.id}}","y":"{{resources.b.id}}"}"#)),
                ..request("c")
            },
        ),
    ];
    let error = Plan::outline(&job(Generation::Graph, twice)).unwrap_err().to_string();
    assert!(error.contains("spool"), "{error}");
}

mod limits;
mod random;
mod remembered;
