//! Random graphs of all node types.

use std::collections::BTreeMap;

use super::remembered::{incremental, tracked};
use super::*;

/// How deep requests may hang below requests: a run grows by a power of it.
const DEPTH_MAX: usize = 2;

/// A graph of up to a dozen nodes.
fn random_graph(random: &mut u64) -> Vec<Node> {
    let mut nodes: Vec<Node> = Vec::new();
    // How many requests each node has above it, itself included.
    let mut depths: Vec<usize> = Vec::new();
    let count = 2 + draw(random, 8) as usize;
    for index in 0..count {
        let name = format!("n{index}");
        let parent = (index > 0 && draw(random, 10) < 7).then(|| draw(random, index as u64) as usize);
        let parent = parent.filter(|parent| depths[*parent] < DEPTH_MAX);
        let new = match (parent, draw(random, 13)) {
            (Some(parent), 0 | 1) => transform(&name, parent, &random_expression(random, &nodes[parent])),
            (Some(parent), 2) => {
                let source =
                    format!(r#"{{"c{index}": "c" & $string($count(resources.{}))}}"#, nodes[parent].name);
                node(&name, &[parent], NodeKind::AddContext { expression: expression(&source) })
            }
            (Some(parent), 3 | 8) => {
                let other = draw(random, index as u64) as usize;
                let parents = if other == parent { vec![parent] } else { vec![parent, other] };
                spool(&name, &parents)
            }
            (Some(_), 7) => {
                let spools: Vec<usize> =
                    (0..index).filter(|at| matches!(nodes[*at].kind, NodeKind::Spool { .. })).collect();
                match spools.as_slice() {
                    [first, .., last] => {
                        let (one, other) = (&nodes[*first].name, &nodes[*last].name);
                        let source = format!(
                            r#"{{"id": $string($count(resources.{one})) & "/" & $string($count(resources.{other}))}}"#
                        );
                        let joins = NodeKind::Transform { expression: expression(&source), persist: true };
                        node(&name, &[*first, *last], joins)
                    }
                    _ => random_request(random, &name, index, parent, &nodes),
                }
            }
            (None, 4) => {
                let default = tree(r#"{"n":1}"#);
                node(&name, &[], NodeKind::GetState { key: template("cell"), default })
            }
            (Some(parent), 5) => {
                let value =
                    Input::Expression(expression(&format!("$count(resources.{})", nodes[parent].name)));
                node(&name, &[parent], NodeKind::UpdateState { key: template(&name), value })
            }
            (Some(parent), 9) => {
                // Its own cell, one that another node may write, or one that nobody knows.
                let cell = [&nodes[parent].name, "cell", &name][draw(random, 3) as usize].to_owned();
                node(&name, &[parent], NodeKind::DeleteState { key: template(&cell) })
            }
            (None, 6) => node(&name, &[], NodeKind::Event(Moment::Start)),
            (parent, _) => random_request(random, &name, index, parent, &nodes),
        };
        let above = new.parents.iter().map(|parent| depths[*parent]).max().unwrap_or_default();
        depths.push(above + usize::from(new.request().is_some()));
        nodes.push(new);
    }
    for (moment, name) in [(Moment::Complete, "done"), (Moment::Error, "failed")] {
        if draw(random, 3) == 0 {
            random_end(random, moment, name, &mut nodes);
        }
    }
    for hook in 0..draw(random, 3) {
        let takes: Vec<usize> = (0..count).filter(|_| draw(random, 3) > 0).collect();
        let mut sink = destination(&format!("sink{hook}"), &format!("hook{hook}"), &takes);
        if draw(random, 2) == 0 {
            sink.run_if = Some(expression("$count(payload.records) != 2"));
        }
        if let NodeKind::Destination(destination) = &mut sink.kind
            && draw(random, 3) == 0
        {
            let source = r#"payload.records[n != 3].{"id": id & "@", "of": $count(%.%.records)}"#;
            destination.expression = Some(expression(source));
        }
        nodes.push(sink);
    }
    nodes
}

/// What is done when a run ends so: a cell is written, deleted, or told of a last page.
fn random_end(random: &mut u64, moment: Moment, name: &str, nodes: &mut Vec<Node>) {
    let event = nodes.len();
    nodes.push(node(name, &[], NodeKind::Event(moment)));
    let value = Input::Tree(tree(r#"{"status":"{{sync_job_run.status}}"}"#));
    let step = match draw(random, 3) {
        0 => NodeKind::UpdateState { key: template("end"), value },
        1 => NodeKind::DeleteState { key: template("cell") },
        _ => NodeKind::Request(Box::new(request("late"))),
    };
    nodes.push(node(&format!("{name}-step"), &[event], step));
}

fn random_expression(random: &mut u64, parent: &Node) -> String {
    let name = &parent.name;
    match draw(random, 4) {
        0 => format!(r#"resources.{name}.{{"id": id & "t", "n": n, "more": false}}"#),
        1 => format!(r#"resources.{name}[n > 40]"#),
        2 => format!(r#"{{"id": "sum", "n": $sum(resources.{name}.n)}}"#),
        _ => format!(r#"$append(resources.{name}, {{"id": "extra" & total_records_size}})"#),
    }
}

fn random_request(random: &mut u64, name: &str, index: usize, parent: Option<usize>, nodes: &[Node]) -> Node {
    let mut asked = Request { concurrency: 1 + draw(random, 3) as u16, ..request(&format!("r{index}")) };
    asked.persist = draw(random, 4) > 0;
    if let Some(parent) = parent.filter(|_| draw(random, 5) > 0) {
        let adds = matches!(nodes[parent].kind, NodeKind::AddContext { .. });
        let member = if adds { format!("c{parent}") } else { "id".to_owned() };
        let name = &nodes[parent].name;
        asked.query = for_parent(&format!("resources.{name}.{member}?:none"));
    }
    match draw(random, 10) {
        0 => {
            asked.loop_on = Some(vec!["args".into(), "users".into()]);
            asked.query = for_parent("args.users");
        }
        7 if let Some(parent) = parent => {
            let path = ["resources", &nodes[parent].name, "tags"].map(str::to_owned);
            asked.query = for_parent(&path.join("."));
            asked.loop_on = Some(path.to_vec());
        }
        1 => {
            asked.recurse = Some(Recurse {
                condition: Some(template(&format!("{{{{resources.{name}.more:bool}}}}"))),
                id: None,
                query: tree(&format!(r#"{{"parent":"{{{{resources.{name}.id}}}}"}}"#)),
                depth_max: 3,
            });
        }
        2 => {
            asked.batch =
                Some(Batching { records_max: Some(2), bytes_max: None, merge: draw(random, 2) == 0 })
        }
        3 if parent.is_none() => asked.changes = Some(tracked(draw(random, 2) == 0, Deletions::Hard)),
        4 if parent.is_none() => asked.incremental = Some(incremental()),
        5 => asked.end_of_resource = true,
        6 => asked.records_max = Some(1 + draw(random, 4)),
        _ => {}
    }
    let parents: Vec<usize> = parent.into_iter().collect();
    let mut new = asks(name, &parents, asked);
    if draw(random, 8) == 0 {
        new.run_if = Some(expression("args.users[1] = 'b'"));
    }
    new
}

/// What a run leaves: pages by webhook, and what is remembered, without the passes' numbers.
fn left(world: &World) -> (BTreeMap<(String, u64), String>, String) {
    let ids: Vec<(&String, Vec<&String>)> =
        world.sets.iter().map(|(set, records)| (set, records.keys().collect())).collect();
    (world.pages(), format!("{:?} {ids:?} {:?}", world.cells, world.watermarks))
}

/// A run of the graph of this seed, and the run after it.
fn play(seed: u64, luck: Luck) -> Option<(World, World)> {
    let mut random = seed;
    let plan = planned(&job(Generation::Graph, random_graph(&mut random)));
    let mut facts = random_facts(&mut random, luck.errors);
    facts.request.args = super::facts().request.args;
    facts.stage_bytes_max = 1 << 20;
    let mut world = World::of(plan, facts.clone(), seed, luck);
    world.play();
    world.check();
    let mut next = world.next_run(facts);
    next.play();
    next.check();
    Some((world, next))
}

/// The same run without bad luck, and with a crash between any two effects: the same pages, the same memory.
fn agree(seed: u64) -> usize {
    let _told = Told(seed);
    if Plan::outline(&job(Generation::Graph, random_graph(&mut seed.clone()))).is_err() {
        return 0;
    }
    let calm = play(seed, Luck::default()).expect("a plan");
    let luck =
        Luck { crash: 0.1, deliver: 0.05, ack_lost: 0.05, transient: 0.05, limited: 0.05, ..Luck::default() };
    let wild = play(seed, luck).expect("a plan");
    for (calm, wild) in [(&calm.0, &wild.0), (&calm.1, &wild.1)] {
        assert_eq!(calm.outcome().status, wild.outcome().status, "seed {seed}");
        assert_eq!(left(calm), left(wild), "seed {seed}");
        assert!(wild.repeated_pages() <= 4 * (wild.crashes + wild.lost_acks), "seed {seed}");
    }
    wild.0.crashes + wild.1.crashes
}

/// An eighth of ten thousand, so that they run side by side.
fn eighth(number: u64) {
    let began = crate::clock::monotonic();
    let crashes: usize = (number * 1250..(number + 1) * 1250).map(agree).sum();
    println!("1250 graphs, {crashes} crashes, {:.1} s", began.elapsed().as_secs_f64());
    assert!(crashes > 10_000, "{crashes} crashes prove little");
}

#[rstest::rstest]
fn crashes_change_nothing_of_what_a_random_graph_delivers(#[values(0, 1, 2, 3, 4, 5, 6, 7)] part: u64) {
    eighth(part);
}

#[test]
fn random_graphs_with_errors_end_and_say_what_is_missing() {
    for seed in 0..500 {
        let _told = Told(seed);
        let nodes = random_graph(&mut seed.clone());
        if Plan::outline(&job(Generation::Graph, nodes)).is_err() {
            continue;
        }
        for errors in [ErrorHandling::Ignore, ErrorHandling::Batch, ErrorHandling::FailFast] {
            let luck = Luck { crash: 0.05, permanent: 0.1, expired: 0.05, errors, ..Luck::default() };
            let (world, _) = play(seed, luck).expect("a plan");
            let incomplete = !world.checkpoint().progress.incomplete.is_empty();
            let told = world.events(EventType::RecordError) > 0;
            let takes = world.takes_errors();
            assert_eq!(incomplete && takes, told, "seed {seed}");
        }
    }
}

/// Says which seed it was, when a test fails with it.
struct Told(u64);

impl Drop for Told {
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!("with seed {}", self.0);
        }
    }
}
