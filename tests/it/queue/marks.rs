//! Marks: written with the position that passes the records, recalled by the runs after it, and gone with their account.

use rapidbridge::id::AccountId;
use rapidbridge::json::Json;
use rapidbridge::run::Status;
use rapidbridge::store::StoreError;
use rapidbridge::store::lease::Write;
use rapidbridge::store::marks::{MARKS_MAX, Mark};
use rapidbridge::store::ready::Claim;

use super::LEASE;
use super::bench::{Bench, fence, write};

const SET: &str = "set";

/// A run of account `acme` under way, and what it remembers.
struct Memory {
    bench: Bench,
    account: AccountId,
    claim: Claim,
    step: u64,
}

impl Memory {
    async fn start() -> Self {
        let bench = Bench::start().await;
        bench.push("acme", "job", 1).await;
        let claim = bench.claim("w").await;
        Self { bench, account: "acme".parse().unwrap(), claim, step: 0 }
    }

    async fn save(&mut self, marks: Vec<Mark<'_>>) {
        self.step += 1;
        assert!(self.write(self.step, marks).await.unwrap());
    }

    async fn write(&self, step: u64, marks: Vec<Mark<'_>>) -> Result<bool, StoreError> {
        let write = Write { marks, ..write(Status::Running, b"{}") };
        Ok(self.bench.store.save(fence(&self.claim, step), &write, LEASE, LEASE).await?.is_some())
    }

    async fn known(&self, ids: &[&str]) -> Vec<Option<String>> {
        let ids: Vec<String> = ids.iter().map(|id| (*id).to_owned()).collect();
        self.bench.store.known(&self.account, SET, &ids, LEASE).await.unwrap()
    }

    async fn before(&self, order: i64, most: usize) -> Vec<String> {
        self.bench.store.seen_before(&self.account, SET, order, most, LEASE).await.unwrap()
    }

    async fn size(&self) -> u64 {
        self.bench.store.set_size(&self.account, SET, LEASE).await.unwrap()
    }

    async fn read_to(&self, set: &str) -> Option<String> {
        self.bench.store.read_to(&self.account, set, LEASE).await.unwrap().map(|json| json.to_string())
    }

    async fn keys(&self) -> Vec<String> {
        self.bench.raw(&["KEYS", &self.bench.key("*acme*")]).await
    }
}

fn seen<'m>(id: &'m str, digest: &'m str, order: i64) -> Mark<'m> {
    Mark::Seen { set: SET, id, digest, order }
}

fn some(digest: &str) -> Option<String> {
    Some(digest.to_owned())
}

#[tokio::test]
async fn what_was_seen_is_known_with_its_place_in_the_order() {
    let mut memory = Memory::start().await;
    assert_eq!((memory.known(&["1"]).await, memory.size().await), (vec![None], 0));
    assert_eq!((memory.before(9, 9).await, memory.read_to(SET).await), (vec![], None));
    let value = Json::parse(r#"{"at": 12345678901234567890}"#).unwrap();
    let other = Json::null();
    memory
        .save(vec![
            seen("1", "a", 1),
            seen("2", "b", 1_769_846_400_000_123),
            Mark::Watermark { set: SET, value: &value },
            Mark::Watermark { set: "other", value: &other },
        ])
        .await;
    assert_eq!(memory.known(&["2", "3", "1"]).await, [some("b"), None, some("a")]);
    // In the order in which they stand: a record seen again, and one that is forgotten and then seen.
    memory
        .save(vec![
            seen("3", "c", 2),
            Mark::Gone { set: SET, id: "3" },
            Mark::Gone { set: SET, id: "1" },
            seen("1", "A", 2),
            Mark::Seen { set: "other", id: "1", digest: "x", order: 1 },
        ])
        .await;
    assert_eq!(memory.known(&["1", "3"]).await, [some("A"), None]);
    assert_eq!(memory.size().await, 2);
    assert_eq!(memory.before(1_769_846_400_000_123, 9).await, ["1"]);
    assert_eq!(memory.before(1_769_846_400_000_124, 1).await, ["1"], "no more than asked for");
    assert_eq!(memory.read_to(SET).await.as_deref(), Some(value.as_str()));
    assert_eq!(memory.read_to("other").await.as_deref(), Some("null"));
    // Other accounts have sets of their own.
    let stranger = "stranger".parse().unwrap();
    assert_eq!(memory.bench.store.set_size(&stranger, SET, LEASE).await.unwrap(), 0);
}

#[tokio::test]
async fn marks_are_written_once_and_only_by_the_owner() {
    let mut memory = Memory::start().await;
    memory.save(vec![seen("1", "a", 1)]).await;
    memory.save(vec![Mark::Gone { set: SET, id: "1" }]).await;
    let again = memory.write(2, vec![seen("1", "again", 1)]).await;
    assert!(again.unwrap(), "its answer may have been lost");
    let zombie = Claim { owner: "zombie".into(), ..memory.claim.clone() };
    let write = Write { marks: vec![seen("1", "zombie", 1)], ..write(Status::Running, b"{}") };
    assert!(memory.bench.store.save(fence(&zombie, 3), &write, LEASE, LEASE).await.unwrap().is_none());
    assert_eq!(memory.known(&["1"]).await, [None]);
    let many = vec![seen("1", "a", 1); MARKS_MAX + 1];
    assert!(matches!(memory.write(3, many).await, Err(StoreError::Unfit(_))));
}

#[tokio::test]
async fn a_trim_of_any_size_forgets_at_once_and_removes_little_by_little() {
    let mut memory = Memory::start().await;
    let ids: Vec<String> = (0..MARKS_MAX).map(|number| number.to_string()).collect();
    let all: Vec<Mark<'_>> = ids.iter().zip(0..).map(|(id, order)| seen(id, "a", order)).collect();
    memory.save(all).await;
    assert_eq!(memory.size().await, 12_000);
    let known = memory.bench.store.known(&memory.account, SET, &ids, LEASE).await.unwrap();
    assert!(known.len() == MARKS_MAX && known.iter().all(Option::is_some));
    memory.save(vec![Mark::Trim { set: SET, from: 11_990 }]).await;
    let length = async |memory: &Memory| {
        let hash: u64 = memory.bench.raw(&["HLEN", &memory.bench.key("seen:acme:set")]).await;
        let order: u64 = memory.bench.raw(&["ZCARD", &memory.bench.key("order:acme:set")]).await;
        assert_eq!(hash, order);
        hash
    };
    assert_eq!(length(&memory).await, 7_000, "one script removes no more than its limit");
    let forgotten = async |memory: &Memory| {
        assert_eq!(memory.size().await, 10);
        assert_eq!(memory.known(&["0", "11989", "11990"]).await, [None, None, some("a")]);
        assert_eq!(memory.before(11_992, 9).await, ["11990", "11991"]);
    };
    forgotten(&memory).await;
    // What comes next goes on with it; a lower trim takes nothing back.
    memory.save(vec![Mark::Trim { set: SET, from: 5 }]).await;
    forgotten(&memory).await;
    memory.save(vec![seen("11999", "a", 11_999)]).await;
    assert_eq!(length(&memory).await, 10);
    forgotten(&memory).await;
    assert!(!memory.bench.raw::<bool>(&["EXISTS", &memory.bench.key("floors:acme")]).await);
}

#[tokio::test]
async fn what_an_account_remembers_goes_with_it_and_what_nobody_uses_goes_by_age() {
    let mut memory = Memory::start().await;
    let audit = async |memory: &Memory| memory.bench.store.audit().await.unwrap();
    let sweep = async |memory: &Memory| {
        let mut sweep = rapidbridge::store::audit::Sweep::default();
        for _ in 0..20 {
            memory.bench.store.sweep(&mut sweep).await.unwrap();
        }
    };
    let value = Json::null();
    let sets: Vec<String> = (0..130).map(|number| format!("set-{number}")).collect();
    for set in &sets {
        let id = "1";
        memory
            .save(vec![Mark::Seen { set, id, digest: "a", order: 1 }, Mark::Watermark { set, value: &value }])
            .await;
    }
    // The bench defines no accounts, so all of it belongs to none; nothing else is wrong.
    let found = audit(&memory).await;
    assert!(found.orphans.is_empty(), "{found}");
    assert!(found.leftovers.iter().all(|line| line.contains("there is no account \"acme\"")), "{found}");
    // A set that was not used for half a year.
    let _: u64 = memory.bench.raw(&["ZADD", &memory.bench.key("sets:acme"), "1", "set-7"]).await;
    let found = audit(&memory).await;
    assert!(found.to_string().contains("set-7 in sets:acme: no run used it for 180 days"), "{found}");
    assert_eq!(memory.read_to("set-7").await.as_deref(), Some("null"), "which is a use");
    assert!(!audit(&memory).await.to_string().contains("no run used it"));
    memory.bench.store.forget_account(&memory.account).await.unwrap();
    let left = memory.keys().await;
    assert!(left.is_empty(), "{left:?}");
    // What a write that was under way left behind is swept.
    memory.save(vec![seen("1", "a", 1)]).await;
    assert!(!memory.keys().await.is_empty());
    sweep(&memory).await;
    let left = memory.keys().await;
    assert!(left.is_empty(), "{left:?}");
}
