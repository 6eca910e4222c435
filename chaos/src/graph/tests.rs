use std::collections::BTreeSet;

use rapidbridge::definition::{check_set, read_json};

use super::oracle::Expected;
use super::*;

fn request(name: &str, parents: &[usize], asks: Asks) -> Node {
    let request = Request {
        resource: format!("r-{name}"),
        asks,
        recurses: false,
        concurrency: 1,
        batch: None,
        changes: false,
        end_of_resource: false,
    };
    node(name, parents, Kind::Request(request))
}

fn node(name: &str, parents: &[usize], kind: Kind) -> Node {
    Node { name: name.to_owned(), parents: parents.to_vec(), kind, only_full: false, persist: true }
}

fn graph(nodes: Vec<Node>) -> Graph {
    Graph { name: "graph-0".to_owned(), number: 0, nodes, sinks: Vec::new(), has_state: false }
}

fn came(graph: &Graph, node: &str) -> Vec<String> {
    let expected = Expected::of(graph, "graph-0", "run");
    expected.records[&("hook-0".to_owned(), node.to_owned())].clone()
}

#[test]
fn every_trial_has_every_theme_and_no_graph_that_the_product_refuses() {
    for seed in 0..40 {
        let graphs = of_seed(seed);
        let features: BTreeSet<&str> = graphs.iter().flat_map(Graph::features).collect();
        assert!(
            draw::THEMES.concat().iter().all(|wanted| features.contains(wanted)),
            "seed {seed}: {features:?}"
        );
        assert_eq!(graphs, of_seed(seed));
        for graph in &graphs {
            let job = definition::job(graph);
            let job = read_json(&job).unwrap_or_else(|problems| panic!("seed {seed}: {problems:?}\n{job:#}"));
            let problems =
                check_set(&[job]).err().map(|problems| format!("{problems:?}")).unwrap_or_default();
            // What it refers to is not there, and nothing else is wrong.
            assert!(problems.is_empty() || problems.contains("helpdesk"), "seed {seed}: {problems}");
        }
    }
}

#[test]
fn lists_are_the_same_whenever_they_are_asked_for_and_pages_make_them_up() {
    let list = data::List { account: "graph-0", resource: "r1", parent: "", run: "one" };
    assert_eq!(list.records(), data::List { run: "other", ..list }.records());
    let changing = data::List { resource: "v1", ..list };
    assert_ne!(changing.records(), data::List { run: "other", ..changing }.records());
    for list in [list, changing] {
        let (mut ids, mut cursor) = (Vec::new(), String::new());
        loop {
            let page: serde_json::Value =
                serde_json::from_str(&list.page(&cursor).expect("a page")).expect("JSON");
            let records = page["records"].as_array().expect("records");
            assert!(records.len() <= data::PAGE);
            ids.extend(records.iter().map(|record| record["id"].as_str().expect("an id").to_owned()));
            match page["meta"]["next_cursor"].as_str() {
                Some(next) => cursor = next.to_owned(),
                None => break,
            }
        }
        let all: Vec<String> = list.records().into_iter().map(|record| record.id).collect();
        assert_eq!(ids, all);
    }
    // A cursor is good for its own list alone.
    let page: serde_json::Value = serde_json::from_str(&changing.page("").expect("a page")).expect("JSON");
    let cursor = page["meta"]["next_cursor"].as_str().expect("more pages");
    assert_eq!(list.page(cursor), None);
}

#[test]
fn a_child_is_read_for_each_record_and_spooled_for_each_or_for_all() {
    let each = graph(vec![
        request("a", &[], Asks::Once),
        request("b", &[0], Asks::EachRecord),
        node("of-b", &[1], Kind::Spool),
        node("count", &[2], Kind::Transform(Transform::Count)),
        node("of-a", &[0], Kind::Spool),
        node("all", &[4], Kind::Transform(Transform::Count)),
    ]);
    let (a, b) = (came(&each, "a"), came(&each, "b"));
    assert!(!a.is_empty() && !b.is_empty());
    assert_eq!(came(&each, "of-b"), b);
    let with_children = a.iter().filter(|id| b.iter().any(|child| child.starts_with(&format!("{id}/"))));
    assert_eq!(came(&each, "count").len(), with_children.count());
    assert_eq!(came(&each, "all"), [format!("count {}", a.len())]);
    let expected = Expected::of(&each, "graph-0", "run");
    assert_eq!(expected.lists.len(), 1 + a.len());
}

#[test]
fn loops_go_over_arguments_and_over_what_was_added_to_the_context() {
    let loops = graph(vec![
        request("a", &[], Asks::EachArgument),
        node("ids", &[0], Kind::AddContext),
        request("b", &[1], Asks::EachInContext),
    ]);
    let a = came(&loops, "a");
    assert!(a.iter().all(|id| id.starts_with("a0/") || id.starts_with("a1/")), "{a:?}");
    let expected = Expected::of(&loops, "graph-0", "run");
    for id in &a {
        assert!(expected.lists.contains(&("r-b".to_owned(), id.clone())), "{id}");
    }
}
