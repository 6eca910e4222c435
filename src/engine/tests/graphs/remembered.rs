//! What jobs remember of records: changes, deletions, watermarks.

use super::*;

pub(super) fn tracked(compare: bool, deletions: Deletions) -> ChangeTracking {
    ChangeTracking { id: vec!["id".into()], compare, deletions, scope: Tree::empty(), records_max: 1000 }
}

#[test]
fn unchanged_records_are_left_out_and_gone_ones_told() {
    let nodes = vec![asks(
        "tickets",
        &[],
        Request { changes: Some(tracked(true, Deletions::Hard)), ..request("tickets") },
    )];
    let world = run(nodes);
    let all = whole("tickets", "");
    assert!(told(&world).iter().flat_map(|page| page.split(' ').skip(1)).eq(all.iter().map(String::as_str)));
    assert!(
        world
            .pages()
            .values()
            .all(|page| page.contains(r#""changes":[{"id":"tickets/"#) && page.contains("added"))
    );
    // As if one record had been there that is no more, and one had been another.
    let mut next = world.next_run(facts());
    let set = next.sets.values_mut().next().unwrap();
    let order = set[&all[0]].1;
    set.insert("gone".into(), ("x".into(), order));
    set.insert(all[0].clone(), ("other".into(), order));
    next.play();
    next.check();
    assert_eq!(told(&next), [format!("tickets: {}", all[0]), "tickets: gone".to_owned()]);
    let pages: Vec<String> = next.pages().into_values().collect();
    assert!(
        pages[0].contains(&format!(r#""changes":[{{"id":"{}","change":"updated"}}]"#, all[0])),
        "{}",
        pages[0]
    );
    assert!(
        pages[1].contains(r#""changes":[{"id":"gone","change":"deleted","delete":"hard"}]"#),
        "{}",
        pages[1]
    );
    assert_eq!(next.sets.values().next().unwrap().len(), all.len());
}

#[test]
fn nothing_counts_as_gone_after_a_pass_with_a_hole() {
    let tickets = Request {
        changes: Some(tracked(true, Deletions::Hard)),
        end_of_resource: true,
        records_max: Some(1),
        ..request("users")
    };
    assert!(whole("users", "").len() > 1);
    let mut world = World::of(
        planned(&job(Generation::Graph, vec![asks("tickets", &[], tickets)])),
        facts(),
        1,
        Luck::default(),
    );
    world.play();
    world.check();
    let pages: Vec<String> = world.pages().into_values().collect();
    let last = pages.last().unwrap();
    assert!(last.contains(r#""end_of_resource":true"#) && last.contains(r#""complete":false"#), "{last}");
    assert!(!pages.iter().any(|page| page.contains("deleted")));
}

pub(super) fn incremental() -> Incremental {
    Incremental {
        cursor_field: vec!["at".into()],
        param: vec!["since".into()],
        format: CursorFormat::UnixMillis,
        overlap: std::time::Duration::from_millis(100),
        start: Some(template("{{args.from:int?:0:int}}")),
        id: vec!["id".into()],
    }
}

#[test]
fn an_incremental_list_asks_for_what_is_new_and_sends_nothing_twice() {
    let nodes =
        vec![asks("tickets", &[], Request { incremental: Some(incremental()), ..request("tickets") })];
    let world = run(nodes);
    assert_eq!(world.asked[0].query.as_str(), r#"{"since":0}"#);
    let mark = world.watermarks.values().next().unwrap().clone();
    let high: i64 = mark.as_str().parse().unwrap();
    let mut next = world.next_run(facts());
    next.play();
    next.check();
    assert_eq!(next.asked[0].query.as_str(), format!(r#"{{"since":{}}}"#, high - 100));
    assert_eq!(told(&next), Vec::<String>::new(), "records of the overlap came again");
    assert_eq!(*next.watermarks.values().next().unwrap(), mark);
}

/// What a webhook has not acknowledged is not known, though the page was staged and the position is past it.
#[test]
fn nothing_is_remembered_before_it_is_acknowledged() {
    let batch = Some(Batching { records_max: Some(1), bytes_max: None, merge: false });
    let changes = Some(tracked(true, Deletions::Hard));
    let users = asks("users", &[], Request { batch, changes, incremental: None, ..request("users") });
    let plan = planned(&job(Generation::Graph, vec![users]));
    let mut world = World::of(plan, facts(), 1, Luck::default());
    // `started` is acknowledged, and one record.
    world.dead_after = Some(2);
    world.play();
    world.check();
    assert_eq!(world.outcome().code.as_deref(), Some("delivery_exhausted"));
    assert!(world.sets.values().all(std::collections::BTreeMap::is_empty), "{:?}", world.sets);
    world.dead_after = None;
    world.resume();
    world.play();
    world.check();
    assert_eq!(world.sets.values().next().unwrap().len(), whole("users", "").len());
}

/// What is collected, or follows from a record, is not known before it is delivered: a run that fails before its end makes
/// the next one send it.
#[test]
fn what_waits_in_a_spool_is_not_remembered_before_it_is_sent() {
    let nodes = |late: &str| {
        let users =
            Request { changes: Some(tracked(true, Deletions::Hard)), persist: false, ..request("users") };
        let events = Request { incremental: Some(incremental()), persist: false, ..request("events") };
        let late = Request { query: Input::Tree(tree(late)), ..request("late") };
        vec![
            asks("users", &[], users),
            asks("events", &[], events),
            asks("late", &[], late),
            spool("all", &[0]),
            spool("both", &[0, 2]),
            spool("times", &[1, 2]),
        ]
    };
    let mut failing = facts();
    failing.request.error_handling = ErrorHandling::FailFast;
    let plan = planned(&job(Generation::Graph, nodes(r#"{"parent":"{{args.nothing}}"}"#)));
    let mut world = World::of(plan, failing, 1, Luck { errors: ErrorHandling::FailFast, ..Luck::default() });
    world.play();
    world.check();
    assert_eq!(world.outcome().status, Status::Failed);
    assert!(world.watermarks.is_empty(), "{:?}", world.watermarks);
    let mut next = World::of(planned(&job(Generation::Graph, nodes("{}"))), facts(), 2, Luck::default());
    (next.sets, next.watermarks) = (world.sets.clone(), world.watermarks.clone());
    next.play();
    next.check();
    let told = told(&next).join(" ");
    for id in whole("users", "").iter().chain(&whole("events", "")) {
        assert!(told.contains(id.as_str()), "{id} is missing in {told}");
    }
    assert_eq!(next.watermarks.len(), 1);
    let mut third = next.next_run(facts());
    third.play();
    third.check();
    let told = super::told(&third).join(" ");
    assert!(whole("users", "").iter().all(|id| !told.contains(id.as_str())), "{told}");
}

/// A page that is more than the store compares at once is an error of that list, and the run goes on.
#[test]
fn a_page_that_is_too_long_to_compare_is_told() {
    let users = Request { changes: Some(tracked(true, Deletions::Hard)), ..request("users") };
    let nodes = vec![asks("users", &[], users), asks("tickets", &[], request("tickets"))];
    let mut world = World::of(planned(&job(Generation::Graph, nodes)), facts(), 1, Luck::default());
    world.long_pages_of = Some("users");
    world.play();
    world.check();
    assert_eq!(world.outcome().status, Status::Completed);
    let reason = &world.checkpoint().progress.incomplete["users"];
    assert!(reason.contains("page_too_long_to_compare") && reason.contains("10000"), "{reason}");
    assert!(told(&world).iter().any(|page| page.starts_with("tickets")));
}

#[test]
fn a_scope_without_a_value_is_an_error_of_its_list() {
    let mut changes = tracked(true, Deletions::Hard);
    changes.scope = tree(r#"{"team":"{{args.team}}"}"#);
    let users = Request { changes: Some(changes), ..request("users") };
    let mut world = World::of(
        planned(&job(Generation::Graph, vec![asks("users", &[], users)])),
        facts(),
        1,
        Luck::default(),
    );
    world.play();
    world.check();
    assert!(world.checkpoint().progress.incomplete["users"].contains("scope"));
    assert_eq!(world.fetches, 0);
}

/// Nothing may be staged, and webhooks fail: what was let go is made again, the end of a resource as well.
#[test]
fn the_end_of_a_resource_is_told_whatever_happens() {
    for seed in 0..200 {
        let users = Request { end_of_resource: true, ..request("users") };
        let mut facts = facts();
        facts.stage_bytes_max = 0;
        let luck = Luck { deliver: 0.4, crash: 0.1, ..Luck::default() };
        let plan = planned(&job(Generation::Graph, vec![asks("users", &[], users)]));
        let mut world = World::of(plan, facts, seed, luck);
        world.play();
        world.check();
        let pages: Vec<String> = world.pages().into_values().collect();
        let ends = pages.iter().filter(|page| page.contains("end_of_resource")).count();
        let total = format!(r#""total":{},"complete":true"#, whole("users", "").len());
        assert!(ends == 1 && pages.last().unwrap().contains(&total), "seed {seed}: {pages:?}");
    }
}
