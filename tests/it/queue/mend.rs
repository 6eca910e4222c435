//! Leases run out when they should, and what Redis or an accident lost is mended.

use rapidbridge::clock::Millis;
use rapidbridge::store::ready::{Claim, ReadyReader};
use rapidbridge::store::runs::Resumed;

use super::LEASE;
use super::bench::Bench;
use crate::support::eventually;

fn lease_ms() -> i64 {
    i64::try_from(LEASE.as_millis()).unwrap()
}

#[tokio::test]
async fn a_run_is_reaped_when_its_lease_is_over_and_not_before() {
    let bench = Bench::start().await;
    let run = bench.push("acme", "job", 1).await;
    // Somebody tends all the time, as workers and schedulers do.
    let calm = async || (bench.tend().await.reaped == 0).then_some(());
    let from = bench.store.now().await.unwrap();
    let tended = async || {
        calm().await;
        (bench.store.now().await.unwrap().0 > from.0 + 2 * lease_ms()).then_some(())
    };
    eventually("a while of tending", tended).await;
    let claim = bench.claim("w").await;
    // A renewal and a save each extend it.
    let lease = (run, claim.epoch, claim.owner.clone());
    bench.store.renew(&[lease], LEASE).await.unwrap();
    assert!(bench.save(&claim, 1, b"{}").await);
    let renewed = bench.store.now().await.unwrap();
    eventually("the run to be reaped", async || (bench.tend().await.reaped == 1).then_some(())).await;
    let reaped = bench.store.now().await.unwrap();
    assert!(reaped.0 >= renewed.0 + lease_ms() - 5, "reaped {} ms after its renewal", reaped.0 - renewed.0);
    assert_eq!(bench.record(run).await.crashes, 1);
}

/// Nobody tended: Redis was away, or all processes were. The owners could not renew either.
#[tokio::test]
async fn nothing_is_reaped_for_one_lease_after_nobody_tended() {
    let bench = Bench::start().await;
    let run = bench.push("acme", "job", 1).await;
    let claim = bench.claim("w").await;
    let over = async || (bench.store.now().await.unwrap().0 > claim.now.0 + 2 * lease_ms()).then_some(());
    eventually("the lease to be long over", over).await;
    let first = bench.store.now().await.unwrap();
    assert_eq!(bench.tend().await.reaped, 0, "the owner gets its chance");
    let lease = (run, claim.epoch, claim.owner.clone());
    eventually("the run to be reaped", async || (bench.tend().await.reaped == 1).then_some(())).await;
    let reaped = bench.store.now().await.unwrap();
    assert!(reaped.0 >= first.0 + lease_ms(), "reaped {} ms after the first look", reaped.0 - first.0);
    assert_eq!(bench.store.renew(&[lease], LEASE).await.unwrap(), [rapidbridge::store::lease::Renewal::Lost]);
}

#[tokio::test]
async fn three_crashes_without_progress_are_poison_and_a_checkpoint_forgives() {
    let bench = Bench::start().await;
    let run = bench.push("acme", "job", 1).await;
    let crash = async |claim: &Claim, expected: u32| {
        assert_eq!((claim.poison.as_deref(), claim.crashes), (None, expected - 1));
        eventually("a crash", async || (bench.tend().await.reaped == 1).then_some(())).await;
        assert_eq!(bench.record(run).await.crashes, expected);
    };
    for expected in 1..=2 {
        crash(&bench.claim("w").await, expected).await;
    }
    let claim = bench.claim("w").await;
    assert!(claim.is_suspect());
    assert!(bench.save(&claim, 1, b"{}").await);
    eventually("a crash", async || (bench.tend().await.reaped == 1).then_some(())).await;
    let claim = bench.claim("w").await;
    assert!(!claim.is_suspect(), "a checkpoint forgives");
    crash(&claim, 2).await;
    let claim = bench.claim("w").await;
    let (epoch, owner) = (claim.epoch, claim.owner.as_str());
    assert!(bench.store.alone(run, epoch, owner, LEASE).await.unwrap());
    assert!(bench.store.alone(run, epoch, owner, LEASE).await.unwrap(), "its answer may have been lost");
    assert!(!bench.store.alone(run, epoch, "another", LEASE).await.unwrap());
    crash(&claim, 3).await;
    let claim = bench.claim("w").await;
    assert!(claim.is_suspect() && claim.poison.unwrap().contains("3 workers in a row"));
}

/// A worker that dies while it still lets go of the runs beside a suspect says nothing about the suspect.
#[tokio::test]
async fn a_suspect_that_was_never_alone_is_not_made_poison() {
    let bench = Bench::start().await;
    let run = bench.push("acme", "job", 1).await;
    for expected in [1, 2, 2, 2] {
        assert_eq!(bench.claim("w").await.poison, None);
        eventually("a crash", async || (bench.tend().await.reaped == 1).then_some(())).await;
        assert_eq!(bench.record(run).await.crashes, expected);
    }
}

/// What its worker gives up or gives back is no crash, and forgives none.
#[tokio::test]
async fn a_run_that_is_given_up_or_released_keeps_its_crashes_and_goes_on_at_once() {
    let bench = Bench::start().await;
    let run = bench.push("acme", "job", 1).await;
    bench.claim("w").await;
    eventually("a crash", async || (bench.tend().await.reaped == 1).then_some(())).await;
    let claim = bench.claim("w").await;
    assert!(bench.release(&claim, 1).await);
    let claim = bench.claim("w").await;
    assert!(!bench.store.give_up(run, claim.epoch, "another").await.unwrap());
    assert!(bench.store.give_up(run, claim.epoch, &claim.owner).await.unwrap());
    assert!(!bench.store.give_up(run, claim.epoch, &claim.owner).await.unwrap(), "once is enough");
    assert!(!bench.save(&claim, 1, b"late").await, "what was still under way comes to nothing");
    let next = bench.claim("w").await;
    assert_eq!((next.crashes, next.poison.as_deref()), (1, None));
    assert_eq!(next.checkpoint.as_deref(), Some(&b"{}"[..]));
}

/// Takes a run out of the place it is in behind the store's back; reconciliation puts it back.
#[tokio::test]
async fn a_run_that_fell_out_of_any_place_is_mended() {
    let bench = Bench::start().await;
    let mended = async |what: &str| {
        assert_eq!(bench.store.reconcile(0, LEASE).await.unwrap(), 1, "{what}");
        assert_eq!(bench.store.reconcile(0, LEASE).await.unwrap(), 0, "{what}: mended once is enough");
    };
    // A job and an account of its own for each, and one that keeps the stream full where a backlog is wanted.
    let ready = bench.key("ready");
    let run = bench.push("stream", "job", 1).await;
    assert_eq!(bench.place(run).await, "ready");
    let _: u64 = bench.raw(&["XTRIM", &ready, "MAXLEN", "0"]).await;
    mended("ready").await;

    let waits = bench.push("backlog", "job", 2).await;
    assert_eq!(bench.place(waits).await, "backlog");
    let _: u64 = bench.raw(&["DEL", &bench.key("backlog:backlog"), &bench.key("ring")]).await;
    mended("backlog").await;

    let claim = bench.claim("w").await;
    let _: u64 = bench.raw(&["DEL", &bench.key("leases")]).await;
    mended("leased").await;

    assert!(bench.park(&claim, 1, Millis(1)).await);
    let _: u64 = bench.raw(&["DEL", &bench.key("parked")]).await;
    mended("parked").await;

    // All of them still come to their end.
    for _ in 0..2 {
        let claim = bench.claim("w").await;
        bench.finish(&claim).await;
    }
    assert_eq!((bench.place(run).await, bench.place(waits).await), ("ended".to_owned(), "ended".to_owned()));
}

#[tokio::test]
async fn a_line_that_was_lost_and_a_key_whose_holder_is_gone_are_mended() {
    let bench = Bench::start().await;
    let first = bench.push("acme", "job", 1).await;
    let second = bench.push("acme", "job", 2).await;
    let claim = bench.claim("w").await;
    bench.tend().await;
    assert_eq!((claim.request.id, bench.place(second).await.as_str()), (first, "waiting"));
    let line = bench.key("waiting:job:acme");
    assert_eq!(bench.raw::<u64>(&["DEL", &line]).await, 1);
    assert_eq!(bench.store.reconcile(0, LEASE).await.unwrap(), 1);
    assert_eq!(bench.raw::<u64>(&["ZCARD", &line]).await, 1);
    // The holder vanishes without a trace.
    let hash = bench.key(&format!("run:{first}"));
    let _: u64 = bench.raw(&["DEL", &hash]).await;
    for _ in 0..2 {
        bench.store.reconcile(0, LEASE).await.unwrap();
    }
    let heir = bench.claim("w").await;
    assert_eq!(heir.request.id, second);
}

#[tokio::test]
async fn scripts_and_groups_that_redis_forgot_are_made_again() {
    let bench = Bench::start().await;
    let ready = bench.key("ready");
    bench.push("acme", "one", 1).await;
    let claim = bench.claim("w").await;
    let _: String = bench.raw(&["SCRIPT", "FLUSH", "SYNC"]).await;
    assert!(bench.save(&claim, 1, b"{}").await);
    // While a reader waits for an entry, and while one lies there unread.
    let mut reader = ReadyReader::new(bench.store.clone(), "w".into());
    let waiting = tokio::spawn(async move {
        let result = reader.read(1).await;
        (reader, result)
    });
    let blocked = async || {
        let clients: String = bench.raw(&["CLIENT", "LIST"]).await;
        clients.contains("cmd=xreadgroup").then_some(())
    };
    eventually("the reader to wait", blocked).await;
    let _: u64 = bench.raw(&["XGROUP", "DESTROY", &ready, "workers"]).await;
    let (mut reader, _) = waiting.await.unwrap();
    let second = bench.push("acme", "two", 2).await;
    let _: u64 = bench.raw(&["XGROUP", "DESTROY", &ready, "workers"]).await;
    let entry =
        eventually("the entry", async || reader.read(1).await.ok().and_then(|mut found| found.pop())).await;
    assert_eq!(entry.run, second);
    let claim = bench.store.claim(&entry, "w", LEASE).await.unwrap().unwrap();
    let _: String = bench.raw(&["SCRIPT", "FLUSH", "SYNC"]).await;
    bench.finish(&claim).await;
}

#[tokio::test]
async fn a_stream_that_was_lost_altogether_is_mended() {
    let bench = Bench::start().await;
    let run = bench.push("acme", "job", 1).await;
    let _: u64 = bench.raw(&["DEL", &bench.key("ready")]).await;
    assert_eq!(bench.store.reconcile(0, LEASE).await.unwrap(), 1);
    assert_eq!(bench.claim("w").await.request.id, run);
}

#[tokio::test]
async fn an_entry_that_a_dead_worker_read_is_taken_over() {
    let bench = Bench::start().await;
    let run = bench.push("acme", "job", 1).await;
    let mut dead = ReadyReader::new(bench.store.clone(), "dead".into());
    assert_eq!(dead.read(1).await.unwrap().len(), 1);
    drop(dead);
    assert_eq!(bench.claim("alive").await.request.id, run);
}

/// A consumer that is deleted takes what it had read with it: the entry lies on the stream, and nobody will get it.
#[tokio::test]
async fn an_entry_that_was_read_and_forgotten_is_mended() {
    let bench = Bench::start().await;
    let run = bench.push("acme", "job", 1).await;
    let mut reader = ReadyReader::new(bench.store.clone(), "w".into());
    assert_eq!(reader.read(1).await.unwrap().len(), 1);
    assert_eq!(bench.store.reconcile(0, LEASE).await.unwrap(), 0, "it was only read and may be claimed yet");
    let ready = bench.key("ready");
    assert_eq!(bench.raw::<u64>(&["XGROUP", "DELCONSUMER", &ready, "workers", "w"]).await, 1);
    assert_eq!(bench.store.reconcile(0, LEASE).await.unwrap(), 1);
    assert_eq!(bench.store.reconcile(0, LEASE).await.unwrap(), 0);
    assert_eq!(bench.claim("w").await.request.id, run);
    assert_eq!(bench.raw::<u64>(&["XLEN", &ready]).await, 0);
}

#[tokio::test]
async fn retention_strips_and_removes_ended_runs_and_nothing_else() {
    let bench = Bench::start().await;
    let mut retention = bench.settings.retention.clone();
    let mut ended = Vec::new();
    for created in 1..=3 {
        bench.push("acme", "job", created).await;
        let claim = bench.claim("w").await;
        bench.fail(&claim).await;
        ended.push(claim.request.id);
    }
    let alive = bench.push("acme", "job", 9).await;
    let stages = async || bench.raw::<Vec<String>>(&["KEYS", &bench.key("stage:*")]).await.len();
    assert_eq!((bench.store.prune(0, &retention).await.unwrap(), stages().await), (0, 3));
    retention.resumable = std::time::Duration::ZERO;
    assert_eq!((bench.store.prune(0, &retention).await.unwrap(), stages().await), (0, 0));
    assert_eq!(
        bench.store.resume(ended[0], bench.settings.retention.resumable).await.unwrap(),
        Resumed::Gone
    );
    retention.finished_runs_max = 2;
    assert_eq!(bench.store.prune(0, &retention).await.unwrap(), 1);
    assert!(bench.store.run(ended[0]).await.unwrap().is_none(), "the oldest goes first");
    retention.finished_runs = std::time::Duration::ZERO;
    assert_eq!(bench.store.prune(0, &retention).await.unwrap(), 2);
    let keys: Vec<String> = bench.raw(&["KEYS", &bench.key("*")]).await;
    for run in ended {
        assert!(keys.iter().all(|key| !key.contains(&run.to_string())), "{run} left something: {keys:?}");
    }
    assert_eq!(bench.claim("w").await.request.id, alive);
}
