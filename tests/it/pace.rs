//! What idle processes and an outage cost: commands, connections and log lines are bounded, however many runs wait.
//! The bounds are counts for each second that passed; a slow machine makes fewer.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rapidbridge::playground::helpdesk::{self, Resource};
use rapidbridge::playground::receiver::Ledger;
use tokio::net::UnixListener;
use tokio::time::Instant;

use crate::support::{Cluster, Expected, PATIENCE, Setup, definitions, eventually, judge};

const RUNS: usize = 16;
/// How long processes are watched: several leases, so that all that repeats does repeat.
const WATCHED: Duration = Duration::from_secs(12);
/// Most tries to connect of a worker and a scheduler together, a second.
const CONNECTIONS_MAX: f64 = 15.0;
/// Most scripts that both of them leave in the socket of a Redis that stands still, a second.
const SCRIPTS_MAX: f64 = 6.0;
/// Most calls of a worker and a scheduler that have no work, a second and partition: both tend it twice, the worker
/// reads its stream every other second.
const IDLE_MAX: [(&str, f64); 3] = [("evalsha", 5.0), ("xreadgroup", 1.0), ("xautoclaim", 0.5)];
/// The pause between two log lines about one outage.
const SAY_EVERY: f64 = 10.0;

/// A worker and a scheduler with the product's own pace.
async fn cluster() -> Cluster {
    let helpdesk = helpdesk::Settings { tickets: 100, ..helpdesk::Settings::default() };
    Setup { workers: 1, helpdesk, ..Setup::default() }
        .set("REDIS__RESPONSE_TIMEOUT", "1s")
        .set("REDIS__CONNECT_TIMEOUT", "1s")
        .set("REDIS__PARTITIONS", "16")
        .set("SCHEDULER__TICK", "500ms")
        .start()
        .await
}

/// [`RUNS`] runs of as many accounts, each with a delivery that waits for its answer.
async fn under_way(cluster: &Cluster) -> Vec<String> {
    let token = cluster.helpdesk.settings().token.clone();
    let accounts: Vec<String> = (0..RUNS).map(|number| format!("account-{number}")).collect();
    let mut more = vec![definitions::job("tickets", definitions::tickets())];
    more.extend(accounts.iter().map(|id| definitions::account(id, &cluster.helpdesk.url(), &token)));
    cluster.apply(more).await;
    cluster.receiver.hold();
    let mut runs = Vec::new();
    for account in &accounts {
        runs.push(cluster.api.push("tickets", account, "backend").await);
    }
    let in_flight = |ledger: &Ledger| ledger.requests.len() == RUNS;
    cluster.receiver.wait_for("all runs to wait for an answer", PATIENCE, in_flight).await.unwrap();
    runs
}

async fn assert_completed(cluster: &mut Cluster, runs: &[String]) {
    for run in runs {
        let path = format!("/sync-job-run/{run}");
        eventually("the run to end", async || {
            let (status, text) = cluster.api.call(reqwest::Method::GET, &path, None).await;
            (status == 200 && text.contains("\"status\":\"completed\"")).then_some(())
        })
        .await;
        // Each had an event in flight; it is no page.
        let expected = Expected { duplicates: RUNS as u64, ..Expected::default() };
        judge(&cluster.helpdesk, &cluster.receiver, run, &[Resource::Tickets], expected);
    }
    cluster.assert_quiet().await;
    cluster.check_alive();
}

/// Lines of each process's log so far.
fn lines(cluster: &Cluster) -> HashMap<String, usize> {
    let processes = cluster.schedulers.iter().chain(&cluster.workers);
    processes.map(|process| (process.name().to_owned(), process.log_text().lines().count())).collect()
}

/// Panics when a process wrote more than one line a run, one at the start and the end of the outage, and one from
/// time to time.
#[track_caller]
fn assert_few_lines(cluster: &Cluster, before: &HashMap<String, usize>, seconds: f64) {
    for (process, count) in lines(cluster) {
        let runs = if process.starts_with("worker") { RUNS } else { 0 };
        let most = runs + 2 + (seconds / SAY_EVERY) as usize;
        let written = count - before[&process];
        eprintln!("{process}: {written} lines in {seconds:.1} s");
        assert!(written <= most, "{process} wrote {written} lines in {seconds:.1} s, not {most}");
    }
}

/// Watches until everything that repeats has repeated, and all runs were let go.
async fn watch(cluster: &Cluster, since: Instant) -> f64 {
    let let_go = async || {
        let all = cluster.logs().matches("run let go").count() >= RUNS;
        (all && since.elapsed() >= WATCHED).then_some(())
    };
    eventually("all runs to be let go", let_go).await;
    since.elapsed().as_secs_f64()
}

#[tokio::test]
async fn a_redis_that_is_gone_is_tried_at_one_pace_however_many_runs_wait() {
    let mut cluster = cluster().await;
    let runs = under_way(&cluster).await;
    let before = lines(&cluster);
    cluster.redis.kill().await.unwrap();
    // In its place somebody who counts and hangs up.
    let socket = cluster.redis.url().strip_prefix("redis+unix://").unwrap().to_owned();
    let tries = Arc::new(AtomicU64::new(0));
    let counter = count_connections(Path::new(&socket), Arc::clone(&tries));
    let since = Instant::now();
    // All runs are acknowledged now, and none can save.
    cluster.receiver.release();
    let seconds = watch(&cluster, since).await;
    counter.abort();
    let tries = tries.load(Ordering::SeqCst) as f64;
    eprintln!("{tries} connections in {seconds:.1} s");
    assert!(tries <= CONNECTIONS_MAX * seconds, "{tries} connections in {seconds:.1} s");
    assert!(tries >= seconds / 2.0, "{tries} connections in {seconds:.1} s: nobody tries");
    assert_few_lines(&cluster, &before, seconds);
    std::fs::remove_file(&socket).unwrap();
    cluster.redis.restart().await.unwrap();
    assert_completed(&mut cluster, &runs).await;
    assert!(cluster.logs().contains("Redis answers again"));
}

fn count_connections(socket: &Path, tries: Arc<AtomicU64>) -> tokio::task::JoinHandle<()> {
    let _ = std::fs::remove_file(socket);
    let listener = UnixListener::bind(socket).unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tries.fetch_add(1, Ordering::SeqCst);
            drop(stream);
        }
    })
}

/// How often Redis was called: each command by its name, those inside of scripts included.
async fn calls(connection: &mut redis::aio::MultiplexedConnection) -> HashMap<String, u64> {
    let stats: String = redis::cmd("INFO").arg("commandstats").query_async(connection).await.unwrap();
    let calls = stats.lines().filter_map(|line| {
        let (name, rest) = line.strip_prefix("cmdstat_")?.split_once(":calls=")?;
        Some((name.to_owned(), rest.split(',').next()?.parse().ok()?))
    });
    calls.collect()
}

async fn connections(connection: &mut redis::aio::MultiplexedConnection) -> u64 {
    let info: String = redis::cmd("INFO").arg("stats").query_async(connection).await.unwrap();
    let line = info.lines().find_map(|line| line.strip_prefix("total_connections_received:")).unwrap();
    line.trim().parse().unwrap()
}

async fn connection(cluster: &Cluster) -> redis::aio::MultiplexedConnection {
    let client = redis::Client::open(cluster.redis.url()).unwrap();
    client.get_multiplexed_async_connection().await.unwrap()
}

/// When it goes on, it has forgotten scripts and groups, and cuts every connection.
#[tokio::test]
async fn a_redis_that_stands_still_finds_few_commands_when_it_goes_on() {
    let mut cluster = cluster().await;
    let runs = under_way(&cluster).await;
    let mut redis = connection(&cluster).await;
    let streams: Vec<String> = redis::cmd("KEYS").arg("rb:*:ready").query_async(&mut redis).await.unwrap();
    assert_eq!(streams.len(), 16);
    let (called, connected) = (calls(&mut redis).await, connections(&mut redis).await);
    let said = lines(&cluster);
    cluster.redis.freeze().unwrap();
    let since = Instant::now();
    cluster.receiver.release();
    let seconds = watch(&cluster, since).await;
    assert_few_lines(&cluster, &said, seconds);
    cluster.redis.thaw().unwrap();
    let mut redis = connection(&cluster).await;
    let now = calls(&mut redis).await;
    let scripts = (now["evalsha"] - called["evalsha"]) as f64;
    let connections = (connections(&mut redis).await - connected) as f64;
    eprintln!("{scripts} scripts, {connections} connections in {seconds:.1} s");
    // Beside the pace: what was under way when it stopped, and the first round of everybody when it goes on.
    let once = (2 * (2 * 16 + RUNS)) as f64;
    assert!(scripts <= SCRIPTS_MAX * seconds + once, "{scripts} scripts in {seconds:.1} s");
    assert!(connections <= CONNECTIONS_MAX * seconds, "{connections} connections in {seconds:.1} s");
    redis::cmd("SCRIPT").arg("FLUSH").query_async::<()>(&mut redis).await.unwrap();
    for stream in &streams {
        let mut destroy = redis::cmd("XGROUP");
        destroy.arg("DESTROY").arg(stream).arg("workers").query_async::<()>(&mut redis).await.unwrap();
    }
    let mut kill = redis::cmd("CLIENT");
    kill.arg("KILL").arg("TYPE").arg("normal").arg("SKIPME").arg("yes");
    kill.query_async::<()>(&mut redis).await.unwrap();
    assert_completed(&mut cluster, &runs).await;
}

#[tokio::test]
async fn idle_processes_look_at_each_partition_a_few_times_a_second() {
    let cluster = cluster().await;
    cluster.apply(vec![definitions::job("tickets", definitions::tickets())]).await;
    let run = cluster.api.push("tickets", "acme", "backend").await;
    assert_eq!(cluster.api.ended(&run).await.status, "completed");
    let mut redis = connection(&cluster).await;
    redis::cmd("CONFIG").arg("RESETSTAT").query_async::<()>(&mut redis).await.unwrap();
    let (since, lines) = (Instant::now(), lines(&cluster));
    eventually("some seconds to pass", async || (since.elapsed() >= WATCHED).then_some(())).await;
    let seconds = since.elapsed().as_secs_f64();
    let calls = calls(&mut redis).await;
    eprintln!("in {seconds:.1} s, calls inside of scripts included: {calls:?}");
    for (command, most) in IDLE_MAX {
        let called = calls.get(command).copied().unwrap_or_default() as f64;
        assert!(called <= most * 16.0 * seconds, "{command} was called {called} times in {seconds:.1} s");
    }
    assert_eq!(crate::pace::lines(&cluster), lines, "an idle process has nothing to say");
}

/// Redis answers and takes no writes, for want of a replica: one line says so, and one every ten seconds with their
/// number.
#[tokio::test]
async fn refusals_are_told_from_time_to_time_and_what_waits_goes_on() {
    let mut cluster = cluster().await;
    let runs = under_way(&cluster).await;
    let client = redis::Client::open(cluster.redis.url()).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    let mut replicas = async |wanted: &str| {
        let mut set = redis::cmd("CONFIG");
        set.arg("SET")
            .arg("min-replicas-to-write")
            .arg(wanted)
            .query_async::<()>(&mut connection)
            .await
            .unwrap();
    };
    replicas("1").await;
    let refused = "Redis takes no writes";
    // The second line of one of them is due ten seconds after its first.
    let told = async || (cluster.logs().matches(refused).count() > 2).then_some(());
    eventually("it to be told again", told).await;
    let logs = cluster.logs();
    assert!(logs.matches(refused).count() <= 4, "{logs}");
    assert!(logs.contains("lower its min-replicas-to-write") && !logs.contains("mend its disk"), "{logs}");
    for line in ["was not tended", "nothing claimed", "leases not renewed", "triggers not"] {
        assert!(!logs.contains(line), "{line:?} is told beside it: {logs}");
    }
    replicas("0").await;
    cluster.receiver.release();
    assert_completed(&mut cluster, &runs).await;
}
