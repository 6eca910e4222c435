//! One trial: pushes runs while the plan's faults happen, lets everything come to rest, and gathers what was seen.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context;
use rapidbridge::clock;
use rustix::process::Signal;
use serde_json::json;
use tokio::task::JoinSet;

use crate::client::Client;
use crate::documents::{self, ACCOUNTS, JOBS};
use crate::evidence::{Accepted, At, Evidence, Happened, Resumed};
use crate::graph::{self, Graph, definition};
use crate::plan::{self, Fault, Planned, RECEIVERS, Slot};
use crate::queue::Queue;
use crate::receiver;
use crate::world::World;

/// Runs accepted so long before a power loss are pushed again: it may have taken them, as the documentation says.
const PUSHED_AGAIN: Duration = Duration::from_secs(2);
/// How long everything may take to come to rest after the last fault.
const REST_MAX: Duration = Duration::from_secs(300);
/// The pause between two looks at what has not come to rest.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// How long a process may take to leave: its drain time-out and a little more.
const LEAVE_MAX: Duration = Duration::from_secs(40);
/// How often a run that ended as poison is resumed: a plan may well kill its owner three times in a row.
const RESUMES_MAX: u64 = 3;

/// One of so many runs shares a mutex with runs of other accounts.
const MUTEX_EVERY: usize = 12;
/// How many such mutexes there are.
const MUTEXES: usize = 2;

/// What a trial is.
#[derive(Debug, Clone)]
pub(crate) struct Trial {
    pub(crate) seed: u64,
    pub(crate) length: Duration,
    pub(crate) runs: usize,
    /// Kinds of faults that happen; empty for all.
    pub(crate) only: Vec<String>,
}

impl Trial {
    /// Its faults.
    pub(crate) fn faults(&self) -> Vec<Planned> {
        let mut faults = plan::plan(self.seed, self.length);
        faults.retain(|planned| {
            self.only.is_empty() || self.only.iter().any(|kind| kind == planned.fault.kind())
        });
        faults
    }
}

/// A push that was accepted, with what repeats it.
#[derive(Debug, Clone)]
struct Push {
    key: String,
    body: serde_json::Value,
    accepted: Accepted,
}

/// What happens in a trial while it happens.
struct Stage {
    began: Instant,
    /// The same moment by Redis' clock, in milliseconds since 1970.
    began_ms: u64,
    client: Client,
    queue: Queue,
    pushes: Mutex<Vec<Push>>,
    resumed: Mutex<Vec<Resumed>>,
    mishaps: Mutex<Vec<String>>,
    graphs: Vec<Graph>,
}

/// A moment of the plan.
#[derive(Debug, Clone, Copy)]
enum Moment {
    Begins(usize),
    Ends(usize),
}

pub(crate) async fn run(trial: &Trial, world: &mut World) -> anyhow::Result<Evidence> {
    let queue = Queue::new(world.redis_address);
    let client = Client::new(world.api_addresses.clone())?;
    world.start_all()?;
    let graphs = graph::of_seed(trial.seed);
    client.apply(&documents::all(world, &graphs, true)).await.context("the definitions can't be applied")?;
    let began_ms = queue.clock().await?;
    let stage = Arc::new(Stage {
        began_ms,
        began: clock::monotonic(),
        client,
        queue,
        pushes: Mutex::default(),
        resumed: Mutex::default(),
        mishaps: Mutex::default(),
        graphs,
    });
    let mut evidence = Evidence::default();
    let pushing = tokio::spawn(push_runs(Arc::clone(&stage), trial.clone()));
    let mut watchers = JoinSet::new();
    let faults = trial.faults();
    play(&stage, world, &faults, &mut evidence, &mut watchers).await?;
    pushing.await?.context("a run can't be pushed")?;
    println!("the faults are over after {:.0?}; everything comes to rest", stage.began.elapsed());
    stage
        .client
        .apply(&documents::all(world, &stage.graphs, false))
        .await
        .context("the triggers can't be disabled")?;
    rest(&stage, world, &mut evidence).await?;
    while watchers.join_next().await.is_some() {}
    gather(&stage, world, &mut evidence).await?;
    Ok(evidence)
}

/// Lets the plan's faults begin and end, each at its time.
async fn play(
    stage: &Arc<Stage>,
    world: &mut World,
    faults: &[Planned],
    evidence: &mut Evidence,
    watchers: &mut JoinSet<()>,
) -> anyhow::Result<()> {
    let mut moments: Vec<(Duration, Moment)> = Vec::new();
    for (index, planned) in faults.iter().enumerate() {
        moments.push((planned.at, Moment::Begins(index)));
        moments.push((planned.at + planned.lasts, Moment::Ends(index)));
    }
    moments.sort_by_key(|(at, _)| *at);
    let mut begun: BTreeMap<usize, Happened> = BTreeMap::new();
    for (at, moment) in moments {
        tokio::time::sleep_until((stage.began + at).into()).await;
        evidence.mishaps.extend(world.revive()?);
        match moment {
            Moment::Begins(index) => {
                let happened = begin(stage, world, faults[index].fault, watchers).await?;
                begun.insert(index, happened);
            }
            Moment::Ends(index) => {
                let Some(mut happened) = begun.remove(&index) else { continue };
                end(stage, world, happened.fault, watchers).await?;
                happened.until = stage.began.elapsed();
                evidence.happened.push(happened);
                if happened.fault == Fault::PowerLoss {
                    let (stage, lost_from) = (Arc::clone(stage), happened.from);
                    watchers.spawn(async move {
                        if let Err(error) = push_again(&stage, lost_from).await {
                            lock(&stage.mishaps).push(format!("can't push again: {error:#}"));
                        }
                    });
                }
            }
        }
    }
    Ok(())
}

async fn begin(
    stage: &Arc<Stage>,
    world: &mut World,
    fault: Fault,
    watchers: &mut JoinSet<()>,
) -> anyhow::Result<Happened> {
    let mut happened = Happened { from: stage.began.elapsed(), until: Duration::ZERO, fault, pid: None };
    match fault {
        Fault::Kill(slot) => {
            happened.pid = world.pid(slot);
            world.kill(slot).await?;
            let killed = stage.began.elapsed();
            // Its leases outlive it.
            let held = match (slot, happened.pid) {
                (Slot::Worker(_), Some(pid)) => stage.queue.held_by(pid).await,
                _ => Vec::new(),
            };
            for (run, epoch) in held {
                watchers.spawn(watch_resume(Arc::clone(stage), run, epoch, (killed, true)));
            }
        }
        Fault::Freeze(slot) => {
            happened.pid = world.pid(slot);
            world.signal(slot, Signal::STOP);
        }
        Fault::Leave(slot) => {
            happened.pid = world.pid(slot);
            let held = match (slot, happened.pid) {
                (Slot::Worker(_), Some(pid)) => stage.queue.held_by(pid).await,
                _ => Vec::new(),
            };
            world.signal(slot, Signal::TERM);
            let asked = stage.began.elapsed();
            for (run, epoch) in held {
                watchers.spawn(watch_resume(Arc::clone(stage), run, epoch, (asked, false)));
            }
        }
        Fault::KillRedis => world.redis.kill().await?,
        Fault::PowerLoss => {
            world.redis.kill().await?;
            match world.power.cut()? {
                Some(kept) => happened.from = kept.saturating_duration_since(stage.began),
                // Its file was begun anew a moment ago: nothing could be taken, so it was a restart.
                None => happened.fault = Fault::KillRedis,
            }
        }
        Fault::Forget => stage.queue.forget().await,
        Fault::Network(link, weather) => world.turn(link, Some(weather)),
        Fault::Source(number, fault) => world.sources[number].turn(Some(fault)),
        Fault::Receiver(number, fault) => receiver::turn(&world.receivers[number], Some(fault)),
    }
    Ok(happened)
}

async fn end(
    stage: &Arc<Stage>,
    world: &mut World,
    fault: Fault,
    watchers: &mut JoinSet<()>,
) -> anyhow::Result<()> {
    match fault {
        Fault::Kill(slot) => world.start_process(slot)?,
        Fault::Freeze(slot) => world.signal(slot, Signal::CONT),
        Fault::Leave(slot) => {
            let leaving = world.take(slot);
            world.start_process(slot)?;
            let stage = Arc::clone(stage);
            watchers.spawn(async move {
                if let Some(process) = leaving
                    && !process.left(LEAVE_MAX).await
                {
                    lock(&stage.mishaps)
                        .push(format!("{slot} did not leave within {LEAVE_MAX:?} of SIGTERM"));
                }
            });
        }
        Fault::KillRedis | Fault::PowerLoss => world.redis.restart().await?,
        Fault::Forget => {}
        Fault::Network(link, _) => world.turn(link, None),
        Fault::Source(number, _) => world.sources[number].turn(None),
        Fault::Receiver(number, _) => receiver::turn(&world.receivers[number], None),
    }
    Ok(())
}

/// Pushes the trial's runs, evenly over its time.
async fn push_runs(stage: Arc<Stage>, trial: Trial) -> anyhow::Result<()> {
    let pause = trial.length / u32::try_from(trial.runs.max(1))?;
    let mut pushing = JoinSet::new();
    for number in 0..trial.runs {
        tokio::time::sleep_until((stage.began + pause * u32::try_from(number)?).into()).await;
        let stage = Arc::clone(&stage);
        let key = format!("push-{}-{number}", trial.seed);
        let body = body_of(&stage.graphs, number);
        pushing.spawn(async move { push(&stage, body, key).await });
    }
    while let Some(pushed) = pushing.join_next().await {
        pushed??;
    }
    Ok(())
}

/// The n-th run that is pushed: simple jobs and graphs in turn.
fn body_of(graphs: &[Graph], number: usize) -> serde_json::Value {
    let place = number / 2;
    if !number.is_multiple_of(2) {
        let graph = &graphs[place % graphs.len()];
        return definition::push(graph, &graph::account((place / graphs.len()) % graph::ACCOUNTS));
    }
    let mut body = json!({
        "sync_job_id": JOBS[place % JOBS.len()].0,
        "integrated_account_id": format!("account-{}", (place / JOBS.len()) % ACCOUNTS),
        "webhook_id": format!("hook-{}", place % RECEIVERS),
    });
    if number.is_multiple_of(MUTEX_EVERY) {
        body["mutex_key"] = format!("mutex {}", number / MUTEX_EVERY % MUTEXES).into();
    }
    body
}

async fn push(stage: &Stage, body: serde_json::Value, key: String) -> anyhow::Result<()> {
    let run = stage.client.push(&body, &key).await?;
    let at = stage.began.elapsed();
    let text = |name: &str| body[name].as_str().unwrap_or_default().to_owned();
    let (job, account) = (text("sync_job_id"), text("integrated_account_id"));
    let accepted = Accepted { run, job, account, at, replaced_by: None };
    lock(&stage.pushes).push(Push { key, body, accepted });
    Ok(())
}

/// After a power loss a client pushes again what was accepted shortly before, with the same keys.
async fn push_again(stage: &Stage, lost_from: At) -> anyhow::Result<()> {
    let since = lost_from.saturating_sub(PUSHED_AGAIN - Duration::from_secs(1));
    let doubtful: Vec<(usize, Push)> = {
        let pushes = lock(&stage.pushes);
        pushes.iter().cloned().enumerate().filter(|(_, push)| push.accepted.at >= since).collect()
    };
    for (index, push) in doubtful {
        if push.accepted.replaced_by.is_some() {
            continue;
        }
        let run = stage.client.push(&push.body, &push.key).await?;
        if run != push.accepted.run {
            let replacement = Push {
                accepted: Accepted { run: run.clone(), at: stage.began.elapsed(), ..push.accepted },
                ..push
            };
            let mut pushes = lock(&stage.pushes);
            pushes[index].accepted.replaced_by = Some(run);
            pushes.push(replacement);
        }
    }
    Ok(())
}

/// Notes when a run whose worker was killed, or leaves, is claimed again.
async fn watch_resume(stage: Arc<Stage>, run: String, epoch: String, (from, is_kill): (At, bool)) {
    let claimed = stage
        .queue
        .claimed_again(&run, &epoch, REST_MAX)
        .await
        .map(|at| at.saturating_duration_since(stage.began));
    lock(&stage.resumed).push(Resumed { from, claimed, is_kill });
}

/// Waits until every run has ended. One that ended as poison is resumed, as an operator would: the plan may have
/// killed three of its owners in a row.
async fn rest(stage: &Stage, world: &mut World, evidence: &mut Evidence) -> anyhow::Result<()> {
    let since = clock::monotonic();
    let mut resumes: BTreeMap<String, u64> = BTreeMap::new();
    loop {
        evidence.mishaps.extend(world.revive()?);
        let mut open = 0;
        for run in stage.client.runs("").await? {
            let text = |name: &str| run[name].as_str().unwrap_or_default();
            match text("status") {
                "completed" | "stopped" => {}
                "failed" => {
                    let resumed = resumes.entry(text("id").to_owned()).or_default();
                    if run["error"]["code"] == "poison" && *resumed < RESUMES_MAX {
                        *resumed += 1;
                        stage.client.resume(text("id")).await?;
                        open += 1;
                    }
                }
                _ => open += 1,
            }
        }
        if open == 0 && stage.queue.is_at_rest().await {
            break;
        }
        if since.elapsed() > REST_MAX {
            evidence.mishaps.push(format!("after {REST_MAX:?} without faults {open} runs have not ended"));
            break;
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    evidence.resumed_by_hand = resumes.into_keys().collect::<BTreeSet<_>>();
    println!("at rest {:.1?} after the last fault", since.elapsed());
    Ok(())
}

async fn gather(stage: &Stage, world: &World, evidence: &mut Evidence) -> anyhow::Result<()> {
    evidence.accepted = lock(&stage.pushes).iter().map(|push| push.accepted.clone()).collect();
    evidence.resumed = lock(&stage.resumed).clone();
    evidence.mishaps.append(&mut lock(&stage.mishaps));
    crate::gather::runs(&stage.client, evidence).await?;
    crate::gather::graphs(&stage.client, &stage.graphs, evidence).await?;
    crate::gather::ledgers(world, stage.began, evidence);
    stage.queue.logs(stage.began_ms, evidence).await?;
    crate::gather::redis(world, evidence).await?;
    crate::gather::logs(world, evidence)
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
