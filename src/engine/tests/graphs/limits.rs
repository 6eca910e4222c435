//! How much a list may bring, what there is room for, and until when a run may be stopped.

use super::*;

#[test]
fn a_limit_of_records_is_one_of_each_list() {
    let users = Request {
        loop_on: Some(vec!["args".into(), "users".into()]),
        query: for_parent("args.users"),
        records_max: Some(2),
        end_of_resource: true,
        ..request("events")
    };
    let world = run(vec![asks("events", &[], users)]);
    let expected: Vec<String> =
        ["a", "b"].iter().flat_map(|user| whole("events", user).into_iter().take(2)).collect();
    assert!(whole("events", "a").len() > 2 && whole("events", "b").len() > 1, "{expected:?}");
    let told: Vec<String> = told(&world)
        .iter()
        .flat_map(|page| page.split(' ').skip(1).map(str::to_owned).collect::<Vec<_>>())
        .collect();
    assert_eq!(told.iter().filter(|id| !id.is_empty()).cloned().collect::<Vec<_>>(), expected);
    let last = world.pages().into_values().next_back().unwrap();
    assert!(last.contains(&format!(r#""total":{},"#, expected.len())), "{last}");
}

/// Room that never comes is an error of that page, after as long as an outage may last.
#[test]
fn a_page_for_which_there_is_never_room_is_told() {
    let divided = Some(Batching { records_max: Some(1), bytes_max: None, merge: false });
    for nodes in [
        vec![asks("users", &[], Request { batch: divided, ..request("users") })],
        vec![asks("users", &[], Request { persist: false, ..request("users") }), spool("all", &[0])],
    ] {
        let mut facts = facts();
        facts.stage_bytes_max = 10;
        let plan = Plan {
            outage_budget: std::time::Duration::from_secs(600),
            ..planned(&job(Generation::Graph, nodes))
        };
        let mut world = World::of(plan, facts, 1, Luck::default());
        world.play();
        world.check();
        let reason = &world.checkpoint().progress.incomplete["users"];
        assert!(reason.starts_with("no_room_to_stage"), "{reason}");
    }
}

/// A stop is too late when only the steps before the end are left, unless they wait for something.
#[test]
fn a_run_that_closes_is_stopped_only_where_it_waits() {
    let nodes = || {
        vec![
            asks("tickets", &[], Request { persist: false, ..request("tickets") }),
            node("done", &[], NodeKind::Event(Moment::Complete)),
            asks("late", &[1], request("users")),
        ]
    };
    let play = |dead_after, stop_at| {
        let plan = planned(&job(Generation::Graph, nodes()));
        let mut world = World::of(plan, facts(), 1, Luck::default());
        (world.dead_after, world.stop_at) = (dead_after, Some(stop_at));
        world.play();
        world.check();
        world.outcome().status
    };
    let closing = (1..60).find(|step| play(None, *step) == Status::Completed).unwrap();
    assert!((closing..60).all(|step| play(None, step) == Status::Completed));
    // Only `started` is acknowledged: the page of the closing step waits for its webhook.
    assert_eq!(play(Some(1), closing), Status::Stopped);
}
