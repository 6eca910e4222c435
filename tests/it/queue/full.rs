//! Redis' memory is full: a script that brings new work leaves not a byte, one that finishes work is done whole.

use std::sync::Arc;

use rapidbridge::clock::Millis;
use rapidbridge::run::Status;
use rapidbridge::seal::Sealer;
use rapidbridge::store::StoreError;
use rapidbridge::store::budget::Counted;
use rapidbridge::store::definitions::Definitions;
use rapidbridge::store::lease::{Renewal, Write};
use rapidbridge::store::ready::ReadyReader;
use rapidbridge::store::runs::{Exclusive, Resumed, Stopped};

use super::LEASE;
use super::bench::{Bench, fence, write};
use crate::support::{self, eventually};

async fn max_memory(bench: &Bench, bytes: &str) {
    let _: String = bench.raw(&["CONFIG", "SET", "maxmemory", bytes]).await;
}

/// Everything there is, as Redis serialises it.
async fn everything(bench: &Bench) -> Vec<(String, Vec<u8>)> {
    let mut keys: Vec<String> = bench.raw(&["KEYS", "*"]).await;
    keys.sort();
    let mut all = Vec::new();
    for key in keys {
        let bytes = bench.raw(&["DUMP", &key]).await;
        all.push((key, bytes));
    }
    all
}

#[track_caller]
fn assert_full<T: std::fmt::Debug>(what: &str, result: Result<T, StoreError>) {
    assert!(matches!(result, Err(StoreError::Full(_))), "{what}: {result:?}");
}

#[tokio::test]
async fn new_work_leaves_nothing_and_finishing_work_goes_on() {
    let bench = Bench::start().await;
    let ended = bench.push("ended", "job", 1).await;
    bench.fail(&bench.claim("w").await).await;
    let mut claims = Vec::new();
    for account in ["one", "two", "three", "four", "five"] {
        bench.push(account, "job", 2).await;
        claims.push(bench.claim("w").await);
    }
    let stopped = bench.push("stopped", "job", 3).await;
    let waiting = bench.push("waiting", "job", 4).await;
    let mut reader = ReadyReader::new(bench.store.clone(), "w".into());
    let read = async || {
        bench.tend().await;
        let mut entries = reader.read(8).await.unwrap();
        entries.retain(|entry| entry.run == waiting);
        entries.pop()
    };
    let entry = eventually("an entry to be read", read).await;
    let trigger = "t".parse().unwrap();
    bench.store.schedule_trigger(0, &trigger, "r1", Some(Millis(1))).await.unwrap();
    let due = bench.store.due_triggers(0, Millis(2)).await.unwrap().0.remove(0);
    max_memory(&bench, "1").await;

    let before = everything(&bench).await;
    let resumable = bench.settings.retention.resumable;
    let request = bench.request("late", "job", 9);
    assert_full("enqueue", bench.store.enqueue(&request, Exclusive::Yes, Some("key")).await);
    assert_full("resume", bench.store.resume(ended, resumable).await);
    assert_full("schedule", bench.store.schedule_trigger(0, &trigger, "r2", Some(Millis(5))).await);
    assert_full("fire", bench.store.fire(0, &due, Some(Millis(5)), Millis(1), 0, &[]).await);
    assert!(everything(&bench).await == before, "a refused script wrote something");

    let [saves, parks, releases, gives_up, renews] = claims.as_slice() else { panic!("five claims") };
    let staged = Write { put: vec![("s1", b"bytes")], staged: 5, ..write(Status::Running, b"{}") };
    assert!(bench.store.save(fence(saves, 1), &staged, LEASE, LEASE).await.unwrap().is_some());
    assert!(bench.park(parks, 1, Millis(1)).await);
    assert!(bench.release(releases, 1).await);
    assert!(bench.store.give_up(gives_up.request.id, gives_up.epoch, &gives_up.owner).await.unwrap());
    let lease = (renews.request.id, renews.epoch, renews.owner.clone());
    assert_eq!(bench.store.renew(&[lease], LEASE).await.unwrap(), [Renewal::Held { stop: None }]);
    let account = "one".parse().unwrap();
    bench.store.close_gate(Counted::Account(&account), 0, LEASE).await.unwrap();
    bench.finish(renews).await;
    assert_eq!(bench.store.stop(stopped, "enough").await.unwrap(), Stopped::Now);
    assert_full("claim", bench.store.claim(&entry, "w", LEASE).await);
    let waits = bench.record(waiting).await;
    assert_eq!((waits.place.as_str(), waits.status), ("parked", Status::Created));
    assert!(
        waits.reason.as_deref().is_some_and(|reason| reason.contains("raise its maxmemory")),
        "{waits:?}"
    );
    // Its answer was lost, or it had no slot: nothing happens twice.
    assert!(bench.store.claim(&entry, "w", LEASE).await.unwrap().is_none());
    bench.store.give_back(&entry).await.unwrap();
    assert_eq!(bench.tend().await.woken, 1);
    // One that has begun is claimed all the same, before any that has not.
    let begun = bench.claim("w").await;
    assert!(begun.checkpoint.is_some(), "{begun:?}");
    assert!(bench.park(&begun, 1, Millis(1)).await);
    assert_eq!(bench.store.reconcile(0, LEASE).await.unwrap(), 0, "something was half written");
    bench.store.prune(0, &bench.settings.retention).await.unwrap();

    max_memory(&bench, "0").await;
    assert_eq!(bench.store.resume(ended, resumable).await.unwrap(), Resumed::Attempt(2));
    assert!(bench.release(saves, 2).await);
    // Each that had not ended is claimed once more, and ends.
    let live = async || bench.raw::<u64>(&["SCARD", &bench.key("live")]).await;
    while live().await > 0 {
        let claim = bench.claim("w").await;
        bench.finish(&claim).await;
    }
    assert_eq!(bench.place(waiting).await, "ended");
    assert_eq!(bench.store.reconcile(0, LEASE).await.unwrap(), 0);
    let idle = async || (bench.raw::<u64>(&["XLEN", &bench.key("ready")]).await == 0).then_some(());
    eventually("the stream to be empty", idle).await;
}

/// A confirmation writes a few bytes of its own, which must not keep a run from its end.
#[tokio::test]
async fn what_replicas_should_confirm_ends_in_a_full_redis_too() {
    let folder = tempfile::tempdir().unwrap();
    let redis = support::redis(&folder.path().join("redis")).await;
    let more = [
        ("RAPIDBRIDGE_REDIS__DURABILITY", "replicated"),
        ("RAPIDBRIDGE_REDIS__REQUIRE_DURABLE", "warn"),
        ("RAPIDBRIDGE_REDIS__WAIT_TIMEOUT", "10ms"),
    ];
    let bench = Bench::over(redis, folder, &more).await;
    // There is no replica: it is accepted, and said not to be safe.
    let accepted = bench.store.enqueue(&bench.request("acme", "job", 1), Exclusive::Yes, None).await;
    assert!(matches!(accepted, Err(StoreError::Unconfirmed { .. })), "{accepted:?}");
    let claim = bench.claim("w").await;
    max_memory(&bench, "1").await;
    bench.finish(&claim).await;
    assert_eq!(bench.place(claim.request.id).await, "ended");

    // A refusal is known as one within a pipeline, too: it passes.
    let _: String = bench.raw(&["CONFIG", "SET", "min-replicas-to-write", "1"]).await;
    let sealer = Sealer::new(bench.settings.seal.key.clone(), Vec::new());
    let confirmed = Definitions::new(bench.store.clone(), Arc::new(sealer)).confirm().await;
    assert!(matches!(confirmed, Err(StoreError::Refused(..))), "{confirmed:?}");
}
