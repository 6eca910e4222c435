//! Runs in flight under one version's state finish under the next one. `upgrade/<version>.json` holds the state that
//! each released version left behind; today's processes go on from it, and the receivers see that nothing was skipped
//! and nothing begun again.
//!
//! Before a release, record its state, look at it, and commit it:
//! `RECORD_STATE=1 cargo nextest run -p rapidbridge --test it -E 'test(upgrade::a_state_recorded_now)'`.

mod age;
mod dump;
mod later;
mod record;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use rapidbridge::clock::Millis;
use rapidbridge::playground::receiver::{Given, Ledger};
use serde_json::{Value, json};

use crate::support::{Cluster, PATIENCE, Setup, eventually};
use dump::{Content, Text};
use record::{Event, Left, NAMES, Stands, State};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/upgrade")
}

#[tokio::test]
async fn runs_that_a_released_version_left_in_flight_finish() {
    let mut states = Vec::new();
    for entry in std::fs::read_dir(folder()).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "json") {
            let state: State = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
            assert!(path.ends_with(format!("{}.json", state.version)), "{}", path.display());
            states.push(state);
        }
    }
    assert!(!states.is_empty(), "no state of a released version");
    for state in states {
        eprintln!("the state of version {}", state.version);
        finish(&state).await;
    }
}

/// So that the recording does not rot between releases; with `RECORD_STATE` set it is kept.
#[tokio::test]
async fn a_state_recorded_now_is_gone_on_from() {
    let state = record::record().await;
    for (name, place) in [
        ("backlog", "backlog"),
        ("ready", "ready"),
        ("leased", "leased"),
        ("batch", "leased"),
        ("limited", "parked"),
        ("staged", "parked"),
        ("terminal", "parked"),
        ("waiting", "waiting"),
        ("failed", "ended"),
        ("done", "ended"),
    ] {
        let left = state.runs.iter().find(|left| left.name == name).unwrap();
        assert_eq!(left.place, place, "{left:?}");
    }
    if std::env::var_os("RECORD_STATE").is_some() {
        let text = serde_json::to_string_pretty(&state).unwrap() + "\n";
        std::fs::write(folder().join(format!("{}.json", state.version)), text).unwrap();
    }
    finish(&state).await;
}

/// Loads a state into an empty Redis, lets today's processes go on from it, and judges how they do.
async fn finish(state: &State) {
    let state = &state.aged();
    let stands = Stands::start(NAMES).await;
    let mut cluster = Setup { schedulers: 0, ..record::setup() }.start().await;
    dump::load(cluster.redis.url(), &state.keys).await;
    cluster.start_scheduler().await;
    // Accounts and webhooks are read live: they are at other addresses now. Jobs and their integration stay as pinned.
    cluster.api.apply(&stands.documents()).await;
    let clock = state.clock();
    cluster.start_worker();
    for left in &state.runs {
        if left.status == "failed" {
            cluster.api.post(&format!("/sync-job-run/{}/resume", left.run), &json!({})).await;
        }
        let ended = cluster.api.run_when(&left.run, "completed", |run| run.status == "completed").await;
        assert!(ended.code().is_empty(), "{ended:?}");
        judge(left, &stands);
    }
    watermarks_and_keys_still_count(state, &cluster).await;
    the_trigger_goes_on(&cluster, clock).await;
    let store = cluster.store().await;
    eventually("everything to be in its place", async || {
        store.audit().await.unwrap().is_clean().then_some(())
    })
    .await;
    cluster.check_alive();
}

/// Panics unless the run went on exactly where it was left.
fn judge(left: &Left, stands: &Stands) {
    let (helpdesk, receiver) = (stands.helpdesk(&left.account), stands.receiver(&left.name));
    let ledger = |read: &dyn Fn(&Ledger)| receiver.read(|ledger| read(ledger));
    ledger(&|ledger| {
        let wrong = [ledger.bad_signatures, ledger.malformed, ledger.id_conflicts, ledger.stale_epochs];
        assert_eq!(wrong, [0; 4], "{}: {:?}", left.name, ledger.problems);
    });
    let came: Vec<Event> = receiver.read(|ledger| {
        let ours = ledger.requests.iter().filter(|request| request.run.as_deref() == Some(&*left.run));
        let acked = ours.filter(|request| request.given == Some(Given::Status(200)));
        acked
            .map(|request| Event { event: request.event.clone(), seq: request.seq, id: request.id.clone() })
            .collect()
    });
    // Pages go on at the next number, without a gap and without beginning again; nothing acknowledged comes twice.
    let last = left.acknowledged.iter().filter_map(|event| event.seq).max().unwrap_or(0);
    let pages: Vec<u64> = came.iter().filter_map(|event| event.seq).collect();
    let wanted: Vec<u64> = (last + 1..).take(pages.len()).collect();
    assert_eq!(pages, wanted, "{}: pages after {last}", left.name);
    for event in &left.acknowledged {
        assert!(!came.contains(event), "{}: {event:?} came again", left.name);
    }
    // What was on its way is the same event still.
    for event in &left.in_flight {
        assert!(came.contains(event), "{}: {event:?} is not among {came:?}", left.name);
    }
    let count = |name: &str| {
        let all = left.acknowledged.iter().chain(&came).filter(|event| event.event == name);
        all.map(|event| &event.id).collect::<BTreeSet<_>>().len()
    };
    let errors = usize::from(left.job == "collecting");
    let failures = usize::from(left.status == "failed");
    for (event, wanted) in [("started", 1), ("completed", 1), ("failed", failures), ("record_error", errors)]
    {
        assert_eq!(count(&format!("sync_job_run:{event}")), wanted, "{}: {event} in {came:?}", left.name);
    }
    for resource in record::resources(&left.job) {
        let before = left.records.get(resource.as_str()).cloned().unwrap_or_default();
        let after = receiver.read(|ledger| ledger.run(&left.run).resources.get(resource.as_str()).cloned());
        let after = after.map(|after| after.unique).unwrap_or_default();
        let all: BTreeSet<String> = before.into_iter().chain(after.iter().map(ToString::to_string)).collect();
        let there: BTreeSet<String> = helpdesk.ids(*resource).iter().map(ToString::to_string).collect();
        let missing = there.difference(&all).count();
        // The comments of one ticket were refused before, and that was reported.
        let refused = errors > 0 && resource.as_str() == "comments";
        assert!(all.is_subset(&there), "{}: {resource} that are not there", left.name);
        assert!(
            if refused { (1..=3).contains(&missing) } else { missing == 0 },
            "{}: {missing} {resource} missing",
            left.name
        );
    }
}

impl State {
    fn field(&self, key: &str, field: &str) -> String {
        let name = format!("rb:{{default.0}}:{key}");
        let found = self.keys.iter().find(|key| key.name == name).unwrap_or_else(|| panic!("no {name}"));
        let Content::Hash(fields) = &found.content else { panic!("{name} is no hash") };
        let text = |text: &Text| String::from_utf8(text.bytes()).unwrap();
        let found = fields.iter().find(|(name, _)| text(name) == field);
        text(&found.unwrap_or_else(|| panic!("{name} has no {field}")).1)
    }

    /// The trigger's last slot and its next one.
    fn clock(&self) -> [Millis; 2] {
        ["last_slot", "next"].map(|field| Millis(self.field("trigger:hourly", field).parse().unwrap()))
    }
}

/// A client that repeats its push gets its old run; a new run knows when the last one started.
async fn watermarks_and_keys_still_count(state: &State, cluster: &Cluster) {
    let done = state.runs.iter().find(|left| left.name == "done").unwrap();
    assert_eq!(record::push_with_key(&cluster.api).await, done.run);
    let watermark: i64 = state.field("watermarks:done", "tickets:done").parse().unwrap();
    let next = cluster.api.push("tickets", "done", "done").await;
    cluster.api.run_when(&next, "completed", |run| run.status == "completed").await;
    let next: Value = cluster.api.get(&format!("/sync-job-run/{next}")).await;
    // Two minutes of overlap.
    assert_eq!(next["previous_run_date"], Millis(watermark - 120_000).rfc3339(), "{next}");
}

/// Its slots go on from the last one: none is made twice, and none is forgotten.
async fn the_trigger_goes_on(cluster: &Cluster, [last_slot, next]: [Millis; 2]) {
    let look = async || {
        let trigger = cluster.api.get("/sync-job-cron-trigger/hourly").await;
        let slot = trigger["last_slot"].as_str().unwrap().to_owned();
        assert!(slot >= last_slot.rfc3339(), "{trigger}");
        (slot >= next.rfc3339()).then_some(())
    };
    tokio::time::timeout(PATIENCE, eventually("the trigger's next slot", look)).await.unwrap();
}
