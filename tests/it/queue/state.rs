//! State cells: kept as written, fenced against owners that were left behind, within their limits.

use rapidbridge::id::RunId;
use rapidbridge::json::Json;
use rapidbridge::store::state::{
    Author, CELLS_MAX, Cell, CellChange, Changed, NAME_BYTES_MAX, VALUE_BYTES_MAX,
};

use super::LEASE;
use super::bench::Bench;

const DONE: Changed = Changed::Done { is_new: false };
const NEW: Changed = Changed::Done { is_new: true };

fn json(text: &str) -> Json {
    Json::parse(text).unwrap()
}

/// A change of cell `c` in namespace `n`; `None` deletes.
async fn change(bench: &Bench, author: Author, value: Option<&str>) -> Changed {
    let value = value.map(json);
    let change = value.as_ref().map_or(CellChange::Delete, CellChange::Set);
    bench.store.change_cell("n", "c", change, author, LEASE).await.unwrap()
}

async fn read(bench: &Bench) -> Option<Cell> {
    bench.store.cell("n", "c", LEASE).await.unwrap()
}

async fn value(bench: &Bench) -> Option<String> {
    read(bench).await.map(|cell| cell.value.to_string())
}

fn run(run: RunId, epoch: u64, step: u64) -> Author {
    Author::Run { run, epoch, step }
}

/// Epochs of the size they have, with the digits that a number of Lua's would round.
const EPOCH: u64 = 1_769_846_400_000_001;

#[tokio::test]
async fn a_cell_is_kept_as_it_was_written() {
    let bench = Bench::start().await;
    assert_eq!(read(&bench).await, None);
    let text = r#"{"id":12345678901234567890123, "price": 1.10, "ä":["\n", null]}"#;
    let writer = RunId::new(0);
    assert_eq!(change(&bench, run(writer, EPOCH, 1), Some(text)).await, NEW);
    let first = read(&bench).await.unwrap();
    assert_eq!((first.value.as_str(), first.run), (text, Some(writer)));
    assert_eq!(change(&bench, Author::Person, Some("null")).await, DONE);
    let second = read(&bench).await.unwrap();
    assert_eq!((second.value.as_str(), second.run), ("null", None));
    assert_eq!(second.created_at, first.created_at);
    assert!(second.updated_at >= first.updated_at);
    assert_eq!(change(&bench, Author::Person, None).await, DONE);
    assert_eq!((read(&bench).await, change(&bench, Author::Person, None).await), (None, Changed::Missing));
    let update = CellChange::Update(&Json::null());
    let updated = bench.store.change_cell("n", "c", update, Author::Person, LEASE).await.unwrap();
    assert_eq!((updated, read(&bench).await), (Changed::Missing, None));
}

#[tokio::test]
async fn an_owner_that_was_left_behind_changes_nothing_whoever_wrote_since() {
    let bench = Bench::start().await;
    let (first, second) = (RunId::new(0), RunId::new(0));
    assert_eq!(change(&bench, run(first, EPOCH, 5), Some("5")).await, NEW);
    assert_eq!(change(&bench, run(first, EPOCH, 5), Some("5")).await, DONE, "its answer was lost");
    assert_eq!(change(&bench, run(first, EPOCH, 4), Some("4")).await, Changed::Older);
    // The next owner goes on from a checkpoint before these steps, and does them again.
    assert_eq!(change(&bench, run(first, EPOCH + 1, 4), Some("4")).await, DONE);
    assert_eq!(change(&bench, run(first, EPOCH + 1, 5), Some("5")).await, DONE);
    assert_eq!(change(&bench, run(first, EPOCH, 6), Some("6")).await, Changed::Older, "a zombie");
    assert_eq!(value(&bench).await.as_deref(), Some("5"));
    // Others write; the zombie is still refused, and what was done is not done again.
    assert_eq!(change(&bench, run(second, EPOCH - 9, 1), Some("1")).await, DONE);
    assert_eq!(change(&bench, Author::Person, Some("0")).await, DONE);
    assert_eq!(change(&bench, run(first, EPOCH, 9), Some("9")).await, Changed::Older);
    assert_eq!(change(&bench, run(first, EPOCH + 1, 5), Some("5")).await, DONE);
    assert_eq!(value(&bench).await.as_deref(), Some("0"));
    // Neither does a deletion open the way for it.
    assert_eq!(change(&bench, run(first, EPOCH + 1, 6), None).await, DONE);
    assert_eq!(change(&bench, run(first, EPOCH, 9), Some("9")).await, Changed::Older);
    assert_eq!(value(&bench).await, None);
    assert_eq!(bench.store.cells("n", None, 9).await.unwrap().cells, []);
    let found = bench.store.audit().await.unwrap();
    assert!(found.is_clean(), "{found}");
    assert_eq!(change(&bench, run(first, EPOCH + 1, 7), Some("7")).await, NEW);
    assert_eq!(bench.raw::<i64>(&["PTTL", &bench.key("state:n")]).await, -1, "cells never expire");
}

#[tokio::test]
async fn fences_of_deleted_cells_do_not_stay_for_ever() {
    let bench = Bench::start().await;
    let writer = RunId::new(0);
    assert_eq!(change(&bench, run(writer, EPOCH, 1), Some("1")).await, NEW);
    assert_eq!(change(&bench, run(writer, EPOCH, 2), None).await, DONE);
    for key in ["state:n", "graves:n"] {
        assert!(bench.raw::<i64>(&["PTTL", &bench.key(key)]).await > 0, "{key} stays for ever");
    }
    // In a namespace that is used they go one by one.
    let _: u64 = bench.raw(&["ZADD", &bench.key("graves:n"), "1", "c"]).await;
    let other = CellChange::Set(&Json::null());
    bench.store.change_cell("n", "other", other, Author::Person, LEASE).await.unwrap();
    assert_eq!(bench.raw::<Vec<String>>(&["HKEYS", &bench.key("state:n")]).await, ["other"]);
    assert!(!bench.raw::<bool>(&["EXISTS", &bench.key("graves:n")]).await);
}

#[tokio::test]
async fn cells_are_listed_by_name_page_by_page_and_namespaces_do_not_touch() {
    let bench = Bench::start().await;
    let names = ["a", "b:{x}", "c d", "ä"];
    for name in names {
        let value = Json::string(name);
        let set = CellChange::Set(&value);
        bench.store.change_cell("one", name, set, Author::Person, LEASE).await.unwrap();
        bench.store.change_cell("one:two", name, set, Author::Person, LEASE).await.unwrap();
    }
    let (mut seen, mut after) = (Vec::new(), None);
    loop {
        let page = bench.store.cells("one", after.as_deref(), 3).await.unwrap();
        seen.extend(page.cells.into_iter().map(|cell| cell.key));
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(seen, names);
    for name in names {
        let gone = bench.store.change_cell("one", name, CellChange::Delete, Author::Person, LEASE).await;
        assert_eq!(gone.unwrap(), DONE);
    }
    assert_eq!(bench.store.cells("one:two", None, 9).await.unwrap().cells.len(), names.len());
    assert!(!bench.raw::<bool>(&["EXISTS", &bench.key("state:one")]).await, "a person needs no fence");
    // A page of large cells ends early.
    let large = Json::string(&"x".repeat(VALUE_BYTES_MAX - 2));
    for number in 0..40 {
        let set = CellChange::Set(&large);
        let changed = bench.store.change_cell("large", &number.to_string(), set, Author::Person, LEASE).await;
        assert_eq!(changed.unwrap(), NEW);
    }
    let page = bench.store.cells("large", None, 200).await.unwrap();
    assert!(page.cells.len() < 40 && page.next.is_some(), "{} cells at once", page.cells.len());
}

#[tokio::test]
async fn what_is_too_much_is_refused_with_its_limit() {
    let bench = Bench::start().await;
    let refused = async |namespace: &str, key: &str, value: &str| {
        let set = json(value);
        let set = CellChange::Set(&set);
        let by = run(RunId::new(0), EPOCH, 1);
        let changed = bench.store.change_cell(namespace, key, set, by, LEASE).await.unwrap();
        let Changed::Refused(reason) = changed else { panic!("{changed:?}") };
        reason
    };
    let long = "x".repeat(NAME_BYTES_MAX + 1);
    assert!(refused("n", &long, "1").await.contains("key has 513 bytes"));
    assert!(refused(&long, "c", "1").await.contains("state_key has 513 bytes"));
    assert!(refused("n", "", "1").await.contains("1 to 512"));
    let value = format!("\"{}\"", "x".repeat(VALUE_BYTES_MAX - 1));
    assert!(refused("n", "c", &value).await.contains("at most 262144"));
    // A full namespace takes no new cell, and changes those it has.
    let mut fill = vec!["ZADD".to_owned(), bench.key("cells:full")];
    fill.extend((0..CELLS_MAX).flat_map(|number| ["0".to_owned(), format!("cell-{number}")]));
    let fill: Vec<&str> = fill.iter().map(String::as_str).collect();
    let _: u64 = bench.raw(&fill).await;
    assert!(refused("full", "one more", "1").await.contains("has 10000 cells"));
    let set = CellChange::Set(&Json::null());
    let changed = bench.store.change_cell("full", "cell-1", set, Author::Person, LEASE).await;
    assert_eq!(changed.unwrap(), DONE);
}

/// A run can't end without what it remembers, so that is written; what a person adds is new work.
#[tokio::test]
async fn a_full_redis_keeps_what_runs_remember_and_refuses_what_is_new() {
    let bench = Bench::start().await;
    assert_eq!(change(&bench, Author::Person, Some("1")).await, NEW);
    let _: String = bench.raw(&["CONFIG", "SET", "maxmemory", "1"]).await;
    let one = Json::null();
    let set = bench.store.change_cell("n", "c", CellChange::Set(&one), Author::Person, LEASE).await;
    assert!(matches!(set, Err(rapidbridge::store::StoreError::Full(_))), "{set:?}");
    assert_eq!(change(&bench, run(RunId::new(0), EPOCH, 1), Some("2")).await, DONE);
    assert_eq!(value(&bench).await.as_deref(), Some("2"));
    assert_eq!(change(&bench, Author::Person, None).await, DONE, "a deletion frees memory");
}
