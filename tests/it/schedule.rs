//! Triggers under several schedulers, crashes and outages: a slot makes one run, and none is forgotten beyond what
//! `catch_up` says.

use std::collections::BTreeSet;

use rapidbridge::clock;
use rapidbridge::playground::helpdesk::Resource;
use serde_json::json;

use crate::support::definitions::{job, trigger, with};
use crate::support::{Api, Cluster, Expected, PATIENCE, Run, Setup, eventually, judge};

/// Five records: quick.
fn quick(id: &str) -> serde_json::Value {
    job(id, json!([{ "resource": "organizations" }]))
}

/// A slot as whole seconds of the epoch; all triggers here are due on whole seconds.
fn seconds(run: &Run) -> i64 {
    let slot: jiff::Timestamp = run.slot.as_deref().unwrap().parse().unwrap();
    assert_eq!(slot.subsec_nanosecond(), 0, "{slot}");
    slot.as_second()
}

/// The slots that made a run, each of them once.
pub(crate) async fn slots(api: &Api, job: &str) -> BTreeSet<i64> {
    let runs = api.runs(&format!("sync_job_id={job}")).await;
    let slots: BTreeSet<i64> = runs.iter().map(seconds).collect();
    assert_eq!(slots.len(), runs.len(), "two runs of one slot");
    slots
}

async fn slots_when(cluster: &Cluster, job: &str, count: usize) -> BTreeSet<i64> {
    let look = async || Some(slots(&cluster.api, job).await).filter(|slots| slots.len() >= count);
    eventually(&format!("{count} slots of {job}"), look).await
}

pub(crate) fn missing(slots: &BTreeSet<i64>) -> Vec<i64> {
    let (first, last) = (*slots.first().unwrap(), *slots.last().unwrap());
    (first..=last).filter(|slot| !slots.contains(slot)).collect()
}

#[tokio::test]
async fn two_schedulers_make_one_run_a_slot_and_one_of_them_dies() {
    let mut cluster = Setup { schedulers: 2, workers: 2, ..Setup::default() }.start().await;
    let every = trigger("often", "quick", "acme", "backend", "1s");
    let every = with(every, json!({ "overlap": "allow", "catch_up": "all" }));
    cluster.apply(vec![quick("quick"), every.clone()]).await;
    slots_when(&cluster, "quick", 3).await;
    cluster.schedulers.swap_remove(0).kill().await;
    let before = slots(&cluster.api, "quick").await.len();
    slots_when(&cluster, "quick", before + 3).await;
    cluster.apply(vec![quick("quick"), with(every, json!({ "enabled": false }))]).await;
    let all = slots(&cluster.api, "quick").await;
    assert_eq!(missing(&all), Vec::<i64>::new(), "of {all:?}");
    for run in cluster.api.runs("sync_job_id=quick").await {
        let ended = cluster.api.ended(&run.id).await;
        assert_eq!(ended.status, "completed", "{ended:?}");
        judge(&cluster.helpdesk, &cluster.receiver, &run.id, &[Resource::Organizations], Expected::default());
    }
}

#[tokio::test]
async fn overlap_says_what_becomes_of_a_slot_that_finds_a_run() {
    let cluster = Setup { workers: 1, ..Setup::default() }.start().await;
    cluster.receiver.hold();
    let modes = ["skip", "queue", "allow"];
    let documents = modes.iter().flat_map(|mode| {
        let every = trigger(mode, mode, "acme", "backend", "1s");
        [quick(mode), with(every, json!({ "overlap": mode, "catch_up": "none" }))]
    });
    let off = with(trigger("off", "skip", "acme", "backend", "1s"), json!({ "enabled": false }));
    cluster.apply(documents.chain([off]).collect()).await;
    // Nothing ends while the receiver waits.
    let state = async |mode: &str| cluster.api.get(&format!("/sync-job-cron-trigger/{mode}")).await;
    for mode in ["skip", "queue"] {
        let look = async || (state(mode).await["skipped"].as_u64().unwrap() >= 2).then_some(());
        eventually(&format!("slots of {mode} to be skipped"), look).await;
    }
    slots_when(&cluster, "allow", 3).await;
    assert_eq!(cluster.api.runs("sync_job_id=skip").await.len(), 1, "one runs, the others are skipped");
    let queued = cluster.api.runs("sync_job_id=queue").await;
    let places: Vec<&str> = queued.iter().map(|run| run.place.as_str()).collect();
    assert_eq!(places, ["waiting", "leased"], "one runs, one waits: {queued:?}");
    let side_by_side = |ledger: &rapidbridge::playground::receiver::Ledger| ledger.runs.len() >= 5;
    cluster.receiver.wait_for("runs side by side", PATIENCE, side_by_side).await.unwrap();
    assert_eq!(state("off").await["last_run_id"], json!(null), "it is switched off");
    cluster.receiver.release();
    slots_when(&cluster, "skip", 2).await;
    slots_when(&cluster, "queue", 3).await;
}

#[tokio::test]
async fn a_run_pushed_while_no_worker_lives_runs_when_one_comes_up() {
    let mut cluster = Setup { workers: 0, ..Setup::default() }.start().await;
    let every = with(trigger("often", "fired", "acme", "backend", "1s"), json!({ "overlap": "skip" }));
    cluster.apply(vec![quick("pushed"), quick("fired"), every]).await;
    let run = cluster.api.push("pushed", "acme", "backend").await;
    slots_when(&cluster, "fired", 1).await;
    assert_eq!(cluster.api.run(&run).await.status, "created");
    assert_eq!(cluster.receiver.read(|ledger| ledger.requests.len()), 0);
    cluster.start_worker();
    for id in [&run, &cluster.api.runs("sync_job_id=fired").await.last().unwrap().id] {
        assert_eq!(cluster.api.ended(id).await.status, "completed");
        judge(&cluster.helpdesk, &cluster.receiver, id, &[Resource::Organizations], Expected::default());
    }
}

#[tokio::test]
async fn catch_up_says_what_becomes_of_slots_that_nobody_fired() {
    let mut cluster = Setup::default().set("SCHEDULER__GRACE", "1s").start().await;
    let modes = ["latest", "none", "all"];
    let documents = modes.iter().flat_map(|mode| {
        let every = trigger(mode, mode, "acme", "backend", "1s");
        [quick(mode), with(every, json!({ "overlap": "allow", "catch_up": mode, "catch_up_limit": 4 }))]
    });
    cluster.apply(documents.collect()).await;
    let mut last = i64::MAX;
    for mode in modes {
        last = last.min(*slots_when(&cluster, mode, 1).await.last().unwrap());
    }
    cluster.schedulers.swap_remove(0).kill().await;
    // Seven slots pass with nobody to fire them; the newest one may still be on time.
    let back = async || (clock::now().0 >= (last + 8) * 1000).then_some(());
    eventually("slots to be missed", back).await;
    cluster.start_scheduler().await;
    let restarted = clock::now().0 / 1000;
    let mut missed = std::collections::BTreeMap::new();
    for mode in modes {
        let look =
            async || Some(slots(&cluster.api, mode).await).filter(|slots| *slots.last().unwrap() > restarted);
        let slots = eventually(&format!("{mode} to fire again"), look).await;
        missed.insert(mode, missing(&slots));
    }
    let (latest, none, all) = (missed["latest"].len(), missed["none"].len(), missed["all"].len());
    assert!(none >= 5, "none makes up for nothing: {missed:?}");
    assert!(latest >= 5 && latest <= none, "latest makes up for one at most: {missed:?}");
    assert!(none - all >= 4 && none - all <= 5, "all makes up for as many as its limit says: {missed:?}");
    let newest = missed["all"].last().copied().unwrap_or(i64::MIN);
    assert!(newest < restarted - 3, "it makes up for the newest ones: {missed:?}");
    let state = cluster.api.get("/sync-job-cron-trigger/none").await;
    assert_eq!(state["missed"].as_u64().unwrap(), none as u64, "what was passed over is counted: {state}");
}

/// What a trigger gives is completed by the job when a slot is due, and a slot whose arguments the job refuses by then
/// makes no run.
#[tokio::test]
async fn a_slots_run_has_the_arguments_that_its_job_wants() {
    let cluster = Setup { workers: 1, ..Setup::default() }.start().await;
    let declared = json!({ "start": { "type": "string", "format": "date" }, "count": { "type": "integer", "default": 5 } });
    let wants = with(quick("wants"), json!({ "args_schema": declared }));
    // What depends on the time of a run is not asked when the trigger is applied.
    let refuses =
        with(quick("refuses"), json!({ "args_validation": "$millis() > 0 ? {'message': 'too late'}" }));
    let every = |id: &str| {
        let every = trigger(id, id, "acme", "backend", "1s");
        with(every, json!({ "args": { "start": "2026-01-31" }, "overlap": "allow" }))
    };
    cluster.apply(vec![wants, refuses, every("wants"), every("refuses")]).await;
    slots_when(&cluster, "wants", 2).await;
    let fired = async || {
        let last = cluster.api.get("/sync-job-cron-trigger/refuses").await["last_slot"].clone();
        last.is_string().then_some(())
    };
    eventually("the other trigger's slot to pass", fired).await;
    let runs = cluster.api.get("/sync-job-run?sync_job_id=wants").await;
    assert_eq!(runs["result"][0]["args"], json!({ "start": "2026-01-31", "count": 5 }));
    assert_eq!(cluster.api.runs("sync_job_id=refuses").await.len(), 0);
}
