//! What a level of durability and a fail-over cost here, written to `target/reports`. Nothing is asserted about speed.

use std::path::Path;
use std::time::{Duration, Instant};

use futures::StreamExt;
use futures::stream;
use rapidbridge::clock;
use rapidbridge::playground::receiver::Rewind;
use rapidbridge::run::Status;
use rapidbridge::store::ready::{Claim, ReadyReader};
use rapidbridge::store::runs::Exclusive;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::queue::bench::{Bench, fence, write};
use crate::support::redis_group::RedisGroup;
use crate::support::{Cluster, eventually};

/// Measurements of each level, one after the other of all levels in turn, so that what else this machine does is borne
/// by all. The best one is told: it was disturbed least. The first one warms up.
const ROUNDS: usize = 4;
/// Runs that are accepted for one measurement.
const RUNS: usize = 2000;
/// Runs that are executed for one measurement, at the same time.
const CLAIMS: usize = 16;
/// Checkpoints of each of them.
const SAVES: u64 = 250;
/// Longer than a measurement.
const LEASE: Duration = Duration::from_secs(60);
/// A checkpoint of a few nested lists.
const CHECKPOINT: &[u8] = &[b'x'; 1500];

fn write_report(name: &str, report: &Value) {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap().join("reports");
    std::fs::create_dir_all(&folder).unwrap();
    let text = serde_json::to_string_pretty(report).unwrap();
    eprintln!("{name}: {text}");
    std::fs::write(folder.join(format!("{name}.json")), text).unwrap();
}

/// How long nothing came after `failed`, and what came again.
pub(super) fn report_stall(name: &str, cluster: &Cluster, failed: Instant) {
    let report = cluster.receiver.read(|ledger| {
        let mut times = vec![failed];
        times.extend(ledger.requests.iter().map(|request| request.at).filter(|at| *at > failed));
        let stall = times.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap_or_default();
        let first_new =
            ledger.runs.values().flat_map(|run| run.epochs.values()).filter(|at| **at > failed).min();
        json!({
            "longest_silence_ms": stall.as_millis(),
            "first_page_of_a_new_claim_ms": first_new.map(|at| (*at - failed).as_millis()),
            "pages_twice": ledger.duplicates.pages,
            "rewinds": ledger.rewinds.len(),
            "pages_gone_back": ledger.rewinds.iter().map(Rewind::pages).sum::<u64>(),
        })
    });
    write_report(&format!("failover-{name}"), &report);
}

/// Accepted runs and page checkpoints a second, by [`CLAIMS`] callers at a time.
async fn rates(bench: &Bench) -> [f64; 2] {
    let start = clock::monotonic();
    let pushes = (0..RUNS).map(|number| {
        let account = format!("account-{}", number % 100);
        let request = bench.request(&account, "job", i64::try_from(number).unwrap());
        async move { bench.store.enqueue(&request, Exclusive::No, None).await.unwrap() }
    });
    stream::iter(pushes).buffer_unordered(CLAIMS).for_each(async |_| {}).await;
    let accepted = RUNS as f64 / start.elapsed().as_secs_f64();
    let claims = claims(bench).await;
    let start = clock::monotonic();
    let saves = claims.iter().map(async |claim| {
        for step in 1..=SAVES {
            let write = write(Status::Running, CHECKPOINT);
            let saved = bench.store.save(fence(claim, step), &write, LEASE, LEASE).await.unwrap();
            assert!(saved.is_some());
        }
    });
    futures::future::join_all(saves).await;
    [accepted, (CLAIMS as u64 * SAVES) as f64 / start.elapsed().as_secs_f64()]
}

async fn claims(bench: &Bench) -> Vec<Claim> {
    let mut reader = ReadyReader::new(bench.store.clone(), "w".to_owned());
    let mut claims = Vec::new();
    eventually("runs to claim", async || {
        bench.store.tend(0, CLAIMS, LEASE).await.unwrap();
        for entry in reader.read(CLAIMS - claims.len()).await.unwrap() {
            claims.extend(bench.store.claim(&entry, "w", LEASE).await.unwrap());
        }
        (claims.len() == CLAIMS).then_some(())
    })
    .await;
    claims
}

/// A store at this level, with the rest of its group, which lives as long.
async fn bench(level: &str) -> (Bench, RedisGroup, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let replicas = usize::from(level == "replicated");
    let mut group = RedisGroup::replicated(folder.path(), replicas).await;
    if level == "always" {
        let _: String = group.ask(0, &["CONFIG", "SET", "appendfsync", "always"]).await;
    }
    let primary = group.nodes.remove(0);
    let more = [("RAPIDBRIDGE_REDIS__DURABILITY", level)];
    let bench = Bench::over(primary, tempfile::tempdir().unwrap(), &more).await;
    (bench, group, folder)
}

#[tokio::test]
async fn the_levels_of_durability_are_measured() {
    let mut levels = Vec::new();
    for level in ["everysec", "replicated", "always"] {
        levels.push((level, bench(level).await, [0.0_f64; 2]));
    }
    for round in 0..ROUNDS {
        for (_, (bench, ..), best) in &mut levels {
            let rates = rates(bench).await;
            if round > 0 {
                *best = [best[0].max(rates[0]), best[1].max(rates[1])];
            }
        }
    }
    let told = levels.iter().map(|(level, _, [accepted, saved])| {
        let rates =
            json!({ "accepted_runs_per_second": accepted.round(), "checkpoints_per_second": saved.round() });
        ((*level).to_owned(), rates)
    });
    write_report("durability", &Value::Object(told.collect()));
}
