//! Named mutexes over several partitions: the order of those who wait, and no second holder, whatever dies or is lost
//! between any two steps.

use std::collections::BTreeSet;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use rapidbridge::clock::Millis;
use rapidbridge::id::RunId;
use rapidbridge::run::RunRequest;
use rapidbridge::store::keys;
use rapidbridge::store::ready::{Claim, ReadyReader};
use rapidbridge::store::runs::{Enqueued, Exclusive, Resumed, Stopped, WaitsFor};

use super::LEASE;
use super::bench::{Bench, DEPTH};
use crate::support::{self, eventually};

const PARTITIONS: u16 = 4;
const KEY: &str = "warehouse: {eu} 1";

/// A store of several partitions, with the few moves of a worker.
struct Keys {
    bench: Bench,
}

impl Keys {
    async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let redis = support::redis(&folder.path().join("redis")).await;
        let partitions = PARTITIONS.to_string();
        Self { bench: Bench::over(redis, folder, &[("RAPIDBRIDGE_REDIS__PARTITIONS", &partitions)]).await }
    }

    /// A run that needs the key, of an account of its own in this partition.
    fn request(&self, partition: u16, created_at: i64) -> RunRequest {
        let account = format!("account-{created_at}");
        let mutex_key = Some(KEY.to_owned());
        RunRequest {
            id: RunId::new(partition),
            version: RunRequest::version_for(mutex_key.as_deref(), false, false),
            mutex_key,
            ..self.bench.request(&account, "job", created_at)
        }
    }

    async fn push(&self, partition: u16, created_at: i64) -> RunId {
        self.enqueue(&self.request(partition, created_at)).await
    }

    async fn enqueue(&self, request: &RunRequest) -> RunId {
        let enqueued = self.bench.store.enqueue(request, Exclusive::Yes, None).await.unwrap();
        assert_eq!(enqueued, Enqueued::Created(request.id));
        request.id
    }

    async fn tend(&self) {
        self.bench.store.tend_all(DEPTH, LEASE).await.unwrap();
    }

    async fn reconcile(&self) -> u64 {
        let mut mended = 0;
        for partition in 0..PARTITIONS {
            mended += self.bench.store.reconcile(partition, LEASE).await.unwrap();
        }
        mended
    }

    /// Claims what is there to claim now.
    async fn claim_now(&self, reader: &mut ReadyReader, lease: Duration) -> Vec<Claim> {
        let mut claims = Vec::new();
        for partition in 0..PARTITIONS {
            // A reader would wait for more.
            while self.bench.raw::<u64>(&["XLEN", &self.at(partition, "ready")]).await > 0 {
                for entry in reader.read(8).await.unwrap() {
                    claims.extend(self.bench.store.claim(&entry, "w", lease).await.unwrap());
                }
            }
        }
        claims
    }

    /// Tends until the run's lease is over.
    async fn crash(&self, run: RunId) {
        let reaped = async || {
            self.tend().await;
            (self.bench.place(run).await != "leased").then_some(())
        };
        eventually("a lease to be over", reaped).await;
    }

    /// The next run that can be claimed.
    async fn claim(&self) -> Claim {
        let mut reader = ReadyReader::new(self.bench.store.clone(), "w".into());
        eventually("a run to claim", async || {
            self.tend().await;
            for entry in reader.read(1).await.unwrap() {
                if let Some(claim) = self.bench.store.claim(&entry, "w", LEASE).await.unwrap() {
                    return Some(claim);
                }
            }
            None
        })
        .await
    }

    async fn waits(&self, run: RunId) -> Option<RunId> {
        let record = self.bench.record(run).await;
        assert_eq!(record.place, "waiting", "{run}");
        let Some(WaitsFor { key, holder }) = record.waits_for else { panic!("{run} waits for no key") };
        assert_eq!(key, KEY);
        holder
    }

    /// A key of a partition.
    fn at(&self, partition: u16, name: &str) -> String {
        format!("{}{name}", keys::partition(self.bench.store.environment(), partition))
    }

    /// The prefix of the slot of [`KEY`].
    async fn slot(&self) -> String {
        let found: Vec<String> = self.bench.raw(&["KEYS", "rb:*:locks"]).await;
        let [locks] = found.as_slice() else { panic!("{found:?}") };
        locks.trim_end_matches("locks").to_owned()
    }

    async fn assert_clean(&self) {
        let found = self.bench.store.audit().await.unwrap();
        assert!(found.is_clean(), "{found}");
    }

    /// Makes every errand due, as if its taker had been dead for long.
    async fn forget_takers(&self) {
        for partition in 0..PARTITIONS {
            let errands = self.at(partition, "errands");
            let all: Vec<String> = self.bench.raw(&["ZRANGE", &errands, "0", "-1"]).await;
            for errand in all {
                let _: u64 = self.bench.raw(&["ZADD", &errands, "XX", "1", &errand]).await;
            }
        }
    }
}

#[tokio::test]
async fn runs_of_any_partition_wait_in_the_order_in_which_they_were_made() {
    let keys = Keys::start().await;
    let first = keys.push(0, 10).await;
    // The line is of those who wait, by when they were made, not by who asked first.
    let fourth = keys.push(3, 40).await;
    let second = keys.push(1, 20).await;
    let third = keys.push(0, 30).await;
    assert_eq!(keys.waits(second).await, Some(first));
    assert_eq!(keys.bench.record(second).await.status.as_str(), "created");
    keys.assert_clean().await;
    let mut order = Vec::new();
    for _ in 0..4 {
        let claim = keys.claim().await;
        keys.assert_clean().await;
        order.push(claim.request.id);
        keys.bench.finish(&claim).await;
    }
    assert_eq!(order, [first, second, third, fourth]);
    keys.tend().await;
    keys.assert_clean().await;
    let left: Vec<String> = keys.bench.raw(&["KEYS", "rb:*"]).await;
    let kinds = ["locks", "line:", "holds", "keyed", "errands"];
    let left: Vec<&String> = left.iter().filter(|key| kinds.iter().any(|kind| key.contains(kind))).collect();
    assert!(left.is_empty(), "{left:?}");
}

#[tokio::test]
async fn a_holder_that_parks_is_given_back_or_crashes_still_holds() {
    let keys = Keys::start().await;
    let first = keys.push(0, 10).await;
    let second = keys.push(1, 20).await;
    let claim = keys.claim().await;
    let later = keys.bench.store.now().await.unwrap().0 + 300;
    assert!(keys.bench.park(&claim, 1, Millis(later)).await);
    keys.tend().await;
    assert_eq!(keys.waits(second).await, Some(first), "parked");
    let claim = keys.claim().await;
    assert_eq!(claim.request.id, first);
    assert!(keys.bench.release(&claim, 1).await);
    assert_eq!(keys.claim().await.request.id, first, "given back");
    keys.crash(first).await;
    let claim = keys.claim().await;
    assert_eq!((claim.request.id, claim.crashes), (first, 1));
    assert_eq!(keys.waits(second).await, Some(first));
    keys.bench.finish(&claim).await;
    assert_eq!(keys.claim().await.request.id, second);
}

#[tokio::test]
async fn force_waits_for_neither_mutex_and_holds_none() {
    let keys = Keys::start().await;
    let first = keys.request(0, 10);
    keys.enqueue(&first).await;
    // The same job, account and key.
    let forced = RunRequest { id: RunId::new(0), force: true, ..keys.request(0, 10) };
    keys.enqueue(&forced).await;
    let claims = [keys.claim().await.request.id, keys.claim().await.request.id];
    assert_eq!(BTreeSet::from(claims), BTreeSet::from([first.id, forced.id]));
    keys.assert_clean().await;
}

#[tokio::test]
async fn a_run_that_is_stopped_while_it_waits_leaves_the_line_and_waits_anew_when_resumed() {
    let keys = Keys::start().await;
    keys.push(0, 10).await;
    let second = keys.push(1, 20).await;
    let third = keys.push(2, 30).await;
    assert_eq!(keys.bench.store.stop(second, "enough").await.unwrap(), Stopped::Now);
    // Resumed before anybody told the key's slot that its first attempt was over.
    let life = keys.bench.settings.retention.resumable;
    assert_eq!(keys.bench.store.resume(second, life).await.unwrap(), Resumed::Attempt(2));
    keys.tend().await;
    keys.assert_clean().await;
    let mut order = Vec::new();
    let claim = keys.claim().await;
    assert_eq!(keys.bench.store.stop(third, "enough").await.unwrap(), Stopped::Now);
    keys.bench.finish(&claim).await;
    let claim = keys.claim().await;
    order.push(claim.request.id);
    keys.bench.fail(&claim).await;
    // A run that failed holds nothing until it is resumed, and then it waits again.
    let fourth = keys.push(3, 40).await;
    assert_eq!(keys.bench.store.resume(second, life).await.unwrap(), Resumed::Attempt(3));
    keys.tend().await;
    assert_eq!(keys.waits(second).await, Some(fourth));
    // It has a checkpoint, so it must say that it stops; for that it needs no key.
    assert_eq!(keys.bench.store.stop(second, "enough").await.unwrap(), Stopped::Requested);
    let claims = [keys.claim().await, keys.claim().await];
    for claim in claims {
        order.push(claim.request.id);
        keys.bench.finish(&claim).await;
    }
    assert_eq!(order[0], second);
    assert_eq!(BTreeSet::from_iter(order), BTreeSet::from([second, fourth]));
    keys.tend().await;
    keys.assert_clean().await;
}

/// Whoever should have handed the key over died, and even its errand is gone.
#[tokio::test]
async fn a_hand_over_that_was_missed_is_mended() {
    let keys = Keys::start().await;
    keys.push(0, 10).await;
    let second = keys.push(1, 20).await;
    let claim = keys.claim().await;
    keys.bench.finish(&claim).await;
    assert_eq!(keys.bench.raw::<u64>(&["DEL", &keys.at(0, "errands")]).await, 1);
    let found = keys.bench.store.audit().await.unwrap();
    assert!(found.to_string().contains("has ended"), "{found}");
    keys.tend().await;
    keys.waits(second).await;
    assert_eq!(keys.reconcile().await, 1);
    let claim = keys.claim().await;
    assert_eq!(claim.request.id, second);
    // The key's slot gave it to the next one, who was never told.
    let third = keys.push(2, 30).await;
    keys.bench.finish(&claim).await;
    let slot = keys.slot().await;
    let _: u64 = keys.bench.raw(&["DEL", &keys.at(1, "errands"), &format!("{slot}line:{KEY}")]).await;
    let lock = format!("{third}:1 1769846400000001 30");
    let _: u64 = keys.bench.raw(&["HSET", &format!("{slot}locks"), KEY, &lock]).await;
    keys.tend().await;
    keys.waits(third).await;
    keys.reconcile().await;
    assert_eq!(keys.claim().await.request.id, third);
}

/// A fail-over of the key's slot alone: it knows neither holder nor line.
#[tokio::test]
async fn a_key_whose_slot_forgot_its_holder_is_not_held_twice() {
    let keys = Keys::start().await;
    let first = keys.push(0, 10).await;
    let claim = keys.claim().await;
    let second = keys.push(1, 20).await;
    let slot = keys.slot().await;
    let _: u64 = keys.bench.raw(&["DEL", &format!("{slot}locks"), &format!("{slot}line:{KEY}")]).await;
    let found = keys.bench.store.audit().await.unwrap();
    assert!(found.to_string().contains("whose line does not know it"), "{found}");
    // The second one asks again and is told that it has the key; whoever claims it finds out.
    keys.reconcile().await;
    keys.tend().await;
    assert_eq!(keys.bench.place(second).await, "ready");
    let mut reader = ReadyReader::new(keys.bench.store.clone(), "w".into());
    assert!(keys.claim_now(&mut reader, LEASE).await.is_empty());
    let lease = (first, claim.epoch, claim.owner.clone());
    keys.bench.store.renew(&[lease], LEASE * 100).await.unwrap();
    keys.tend().await;
    assert_eq!(keys.waits(second).await, Some(first), "the key's slot was told who has it");
    keys.assert_clean().await;
    keys.bench.finish(&claim).await;
    assert_eq!(keys.claim().await.request.id, second);
}

/// A fail-over of the holder's partition alone: the run is back, as it was before it ended.
#[tokio::test]
async fn a_holder_that_redis_brought_back_after_its_end_waits_in_line() {
    let keys = Keys::start().await;
    let first = keys.push(0, 10).await;
    let second = keys.push(1, 20).await;
    let claim = keys.claim().await;
    assert_eq!(claim.request.id, first);
    let before: Vec<String> = keys.bench.raw(&["KEYS", &keys.at(0, "*")]).await;
    let mut kept = Vec::new();
    for key in before {
        let bytes: Vec<u8> = keys.bench.raw(&["DUMP", &key]).await;
        kept.push((key, bytes));
    }
    keys.bench.finish(&claim).await;
    let heir = keys.claim().await;
    assert_eq!(heir.request.id, second);
    let client = redis::Client::open(keys.bench.redis.url()).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    for (key, bytes) in kept {
        let mut restore = redis::cmd("RESTORE");
        restore.arg(key).arg(0).arg(bytes).arg("REPLACE");
        restore.query_async::<()>(&mut connection).await.unwrap();
    }
    let lease = (second, heir.epoch, heir.owner.clone());
    keys.bench.store.renew(&[lease], LEASE * 100).await.unwrap();
    keys.crash(first).await;
    let mut reader = ReadyReader::new(keys.bench.store.clone(), "w".into());
    assert!(keys.claim_now(&mut reader, LEASE).await.is_empty(), "a second holder");
    keys.tend().await;
    assert_eq!(keys.waits(first).await, Some(second));
    keys.bench.finish(&heir).await;
    assert_eq!(keys.claim().await.request.id, first);
}

/// An older process admits a run as if it needed no key.
#[tokio::test]
async fn a_run_that_was_admitted_without_its_key_is_not_claimed() {
    let keys = Keys::start().await;
    let first = keys.push(0, 10).await;
    let second = keys.push(1, 20).await;
    let entry: String =
        keys.bench.raw(&["XADD", &keys.at(1, "ready"), "*", "run", &second.to_string()]).await;
    let hash = keys.at(1, &format!("run:{second}"));
    let _: u64 = keys.bench.raw(&["HSET", &hash, "place", "ready", "entry", &entry]).await;
    let _: u64 = keys.bench.raw(&["DEL", &keys.at(1, "keyed")]).await;
    assert_eq!(keys.claim().await.request.id, first);
    let mut reader = ReadyReader::new(keys.bench.store.clone(), "w".into());
    assert!(keys.claim_now(&mut reader, LEASE).await.is_empty());
    assert_eq!(keys.waits(second).await, Some(first));
    keys.tend().await;
    keys.assert_clean().await;
}

/// Plays beside one that is drawn.
const SEEDS: u64 = 12;

/// Draws what happens: runs come, are claimed, park, end, crash, are stopped and resumed; whoever runs errands dies
/// between any two steps; the key's slot forgets its holder or its line. At no moment have two workers a run with the
/// key, and in the end every run has ended.
async fn play(seed: u64) {
    let mut dice = StdRng::seed_from_u64(seed);
    let keys = Keys::start().await;
    let store = &keys.bench.store;
    let mut reader = ReadyReader::new(store.clone(), "w".into());
    let life = keys.bench.settings.retention.resumable;
    let (mut runs, mut held) = (Vec::new(), None::<Claim>);
    // Leases never end by themselves here: a crash is a worker that gives up without a word to the key.
    let long = Duration::from_secs(3600);
    for step in 0..160 {
        let random_run =
            |dice: &mut StdRng, runs: &[RunId]| runs.get(dice.random_range(0..=runs.len())).copied();
        match dice.random_range(0..13) {
            0..=1 if runs.len() < 12 => {
                let partition = dice.random_range(0..PARTITIONS);
                let request = keys.request(partition, i64::try_from(runs.len()).unwrap() + 1);
                // The one who accepts it dies somewhere while it asks for the key.
                let wait = Duration::from_micros(dice.random_range(0..3000));
                let _ = tokio::time::timeout(wait, store.enqueue(&request, Exclusive::Yes, None)).await;
                if store.run(request.id).await.unwrap().is_some() {
                    runs.push(request.id);
                }
            }
            2..=4 => {
                let wait = Duration::from_micros(dice.random_range(0..6000));
                let _ = tokio::time::timeout(wait, store.tend_all(DEPTH, long)).await;
            }
            5..=6 => {
                store.tend_all(DEPTH, long).await.unwrap();
                for claim in keys.claim_now(&mut reader, long).await {
                    let stops = claim.stop.is_some();
                    if let (Some(held), false) = (&held, stops) {
                        let (one, two) = (held.request.id, claim.request.id);
                        panic!("seed {seed}, step {step}: {one} and {two} have the key");
                    }
                    if stops { keys.bench.finish(&claim).await } else { held = Some(claim) }
                }
            }
            7..=8 => {
                if let Some(claim) = held.take() {
                    match dice.random_range(0..4) {
                        0 => keys.bench.finish(&claim).await,
                        1 => keys.bench.fail(&claim).await,
                        2 => assert!(keys.bench.park(&claim, 1, Millis(1)).await),
                        _ => {
                            assert!(store.give_up(claim.request.id, claim.epoch, &claim.owner).await.unwrap())
                        }
                    }
                }
            }
            9 => {
                if let Some(run) = random_run(&mut dice, &runs)
                    .filter(|run| held.as_ref().is_none_or(|held| held.request.id != *run))
                {
                    store.stop(run, "drawn").await.unwrap();
                }
            }
            10 => {
                if let Some(run) = random_run(&mut dice, &runs) {
                    store.resume(run, life).await.unwrap();
                }
            }
            11 => {
                let mut lost: Vec<String> = keys.bench.raw(&["KEYS", "rb:*:locks"]).await;
                if dice.random() {
                    lost.extend(keys.bench.raw::<Vec<String>>(&["KEYS", "rb:*:line:*"]).await);
                }
                for key in lost {
                    let _: u64 = keys.bench.raw(&["DEL", &key]).await;
                }
            }
            _ => {
                keys.reconcile().await;
                keys.forget_takers().await;
            }
        }
    }
    if let Some(claim) = held.take() {
        keys.bench.finish(&claim).await;
    }
    // Everything comes to its end.
    let all_ended = async || {
        keys.reconcile().await;
        keys.forget_takers().await;
        store.tend_all(DEPTH, long).await.unwrap();
        for claim in keys.claim_now(&mut reader, long).await {
            keys.bench.finish(&claim).await;
        }
        for run in &runs {
            if keys.bench.place(*run).await != "ended" {
                return None;
            }
        }
        Some(())
    };
    eventually(&format!("all runs of seed {seed} to end"), all_ended).await;
    keys.reconcile().await;
    keys.forget_takers().await;
    store.tend_all(DEPTH, long).await.unwrap();
    keys.assert_clean().await;
}

#[tokio::test]
async fn no_two_runs_have_the_key_and_none_waits_for_ever_whatever_happens() {
    let seed: u64 = rand::random();
    for seed in (1..=SEEDS).chain([seed]) {
        eprintln!("seed {seed}");
        play(seed).await;
    }
}
