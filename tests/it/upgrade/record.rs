//! Brings runs into every place there is, stops all processes where they stand, and takes down what Redis holds and
//! what had been acknowledged by then.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use rapidbridge::playground::helpdesk::{self, Resource};
use rapidbridge::playground::receiver::{Given, Ledger};
use rapidbridge::playground::{Answer, Helpdesk, Receiver, receiver};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::dump::{self, Key};
use crate::support::{Api, Cluster, PATIENCE, Run, Setup, definitions, hold_at, limit_at};

/// A key that a client gave to the push of the run `done`.
const IDEMPOTENCY_KEY: &str = "the-client's-own-key";

/// How long a run waits that the source limits, or whose webhook is away: longer than a recording takes.
const WAIT_SECONDS: u64 = 300;

/// A version's state. `recorded_at` is in milliseconds.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct State {
    /// The version that left it.
    pub(super) version: String,
    pub(super) recorded_at: i64,
    /// How to go on with its runs.
    pub(super) runs: Vec<Left>,
    pub(super) keys: Vec<Key>,
}

/// A run as it was left.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Left {
    /// What it is here for; also its webhook's id.
    pub(super) name: String,
    pub(super) run: String,
    pub(super) job: String,
    pub(super) account: String,
    pub(super) place: String,
    pub(super) status: String,
    /// Events that its webhook acknowledged, in order.
    pub(super) acknowledged: Vec<Event>,
    /// Events that it sent and nobody acknowledged: they come again, the same.
    pub(super) in_flight: Vec<Event>,
    /// Records acknowledged, by resource.
    pub(super) records: BTreeMap<String, BTreeSet<String>>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Event {
    pub(super) event: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) seq: Option<u64>,
    pub(super) id: String,
}

/// A source and a receiver for each name: what one of them does is no other run's matter.
pub(super) struct Stands {
    stands: BTreeMap<String, (Arc<Helpdesk>, Arc<Receiver>)>,
}

impl Stands {
    pub(super) async fn start(names: impl IntoIterator<Item = &str>) -> Self {
        let mut stands = BTreeMap::new();
        for name in names {
            let settings = helpdesk::Settings { tickets: 60, comments_every: 5, ..Default::default() };
            let helpdesk = Arc::new(Helpdesk::start(settings).await.unwrap());
            let receiver = Arc::new(Receiver::start(receiver::Settings::default()).await.unwrap());
            stands.insert(name.to_owned(), (helpdesk, receiver));
        }
        Self { stands }
    }

    pub(super) fn helpdesk(&self, name: &str) -> &Arc<Helpdesk> {
        &self.stands[name].0
    }

    pub(super) fn receiver(&self, name: &str) -> &Arc<Receiver> {
        &self.stands[name].1
    }

    /// Accounts and webhooks of these stands: read live, so runs of old go on with them.
    pub(super) fn documents(&self) -> Vec<Value> {
        let wait = format!("{WAIT_SECONDS}s");
        let mut documents = Vec::new();
        for (name, (helpdesk, receiver)) in &self.stands {
            documents.push(definitions::account(name, &helpdesk.url(), &helpdesk.settings().token));
            let webhook = definitions::webhook(name, &receiver.url(), &receiver::Settings::default().secret);
            let retry = json!({ "retry": { "park_base": wait, "park_max": wait } });
            documents.push(definitions::with(webhook, retry));
        }
        documents
    }
}

/// The settings that states are recorded and loaded with.
pub(super) fn setup() -> Setup {
    Setup { workers: 0, ..Setup::default() }.set("REDIS__PARTITIONS", "1")
}

/// The names of all stands that a recording makes.
pub(super) const NAMES: [&str; 11] = [
    "backlog", "batch", "done", "failed", "leased", "limited", "ready", "staged", "terminal", "timed",
    "waiting",
];

fn jobs() -> Vec<Value> {
    let users = json!([{ "resource": "users", "method": "list" }]);
    let with = |id: &str, resources, handling| {
        definitions::with(definitions::job(id, resources), json!({ "error_handling": handling }))
    };
    vec![
        definitions::job("nested", definitions::nested()),
        definitions::job("tickets", definitions::tickets()),
        with("collecting", definitions::nested(), "batch"),
        with("strict", users, "fail_fast"),
        definitions::trigger("hourly", "tickets", "timed", "timed", "1h"),
    ]
}

/// How the sources and receivers behave so that each run comes to where it should be left.
fn script(stands: &Stands) {
    hold_at(stands.receiver("leased"), 4);
    hold_at(stands.receiver("batch"), 6);
    stands.helpdesk("batch").script(|info| {
        (info.path == "/api/v1/tickets/5/comments").then(|| Answer::status(404).json("{\"error\":\"gone\"}"))
    });
    stands
        .helpdesk("failed")
        .script(|info| info.cursor.as_ref().map(|_| Answer::status(404).json("{\"error\":\"gone\"}")));
    limit_at(stands.helpdesk("limited"), 3, WAIT_SECONDS);
    stands.receiver("staged").script(|event| (event.seq == Some(2)).then(|| Answer::status(503)));
    stands
        .receiver("terminal")
        .script(|event| (event.event == "sync_job_run:completed").then(|| Answer::status(503)));
}

/// Records this version's state.
pub(super) async fn record() -> State {
    let stands = Stands::start(NAMES).await;
    let mut cluster = setup().start().await;
    let mut documents = vec![definitions::integration()];
    documents.extend(stands.documents());
    documents.extend(jobs());
    cluster.api.apply(&documents).await;
    script(&stands);
    cluster.start_worker();
    let mut runs = push_all(&cluster).await;
    wait_for_places(&cluster.api, &stands, &runs).await;
    // The worker dies at work. Nobody claims what is pushed now; of the ready one a worker has read the entry.
    cluster.workers.remove(0).kill().await;
    runs.push(("ready", "tickets", "ready", cluster.api.push("tickets", "ready", "ready").await));
    let mut redis = dump::connect(cluster.redis.url()).await;
    let stream = "rb:{default.0}:ready";
    let read = ["XREADGROUP", "GROUP", "workers", "dead", "COUNT", "1", "STREAMS", stream, ">"];
    let _: redis::Value = dump::ask(&mut redis, &read).await;
    runs.push(("backlog", "nested", "backlog", cluster.api.push("nested", "backlog", "backlog").await));
    let mut left = Vec::new();
    for (name, job, account, run) in runs {
        let now = cluster.api.run(&run).await;
        left.push(stands.receiver(name).read(|ledger| leave(name, job, account, &now, ledger)));
    }
    cluster.schedulers.remove(0).kill().await;
    State {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        recorded_at: rapidbridge::clock::now().0,
        runs: left,
        keys: dump::dump(cluster.redis.url()).await,
    }
}

type Pushed = (&'static str, &'static str, &'static str, String);

async fn push_all(cluster: &Cluster) -> Vec<Pushed> {
    let done = push_with_key(&cluster.api).await;
    let mut runs = vec![("done", "tickets", "done", done)];
    for (name, job) in [
        ("leased", "nested"),
        ("batch", "collecting"),
        ("failed", "strict"),
        ("terminal", "tickets"),
        ("limited", "tickets"),
        ("staged", "tickets"),
    ] {
        runs.push((name, job, name, cluster.api.push(job, name, name).await));
    }
    runs.push(("waiting", "nested", "leased", cluster.api.push("nested", "leased", "waiting").await));
    runs
}

/// Pushes the run `done` with a key of the client's own; with the same key it is the same run.
pub(super) async fn push_with_key(api: &Api) -> String {
    api.with_key(IDEMPOTENCY_KEY).push("tickets", "done", "done").await
}

async fn wait_for_places(api: &Api, stands: &Stands, runs: &[Pushed]) {
    let is = |place: &'static str, status: &'static str| {
        move |run: &Run| run.place == place && (status.is_empty() || run.status == status)
    };
    for (name, _, _, run) in runs {
        match *name {
            "leased" | "batch" => {
                let page = if *name == "leased" { 4 } else { 6 };
                let held = |ledger: &Ledger| ledger.requests.iter().any(|request| request.seq == Some(page));
                stands.receiver(name).wait_for("a page in flight", PATIENCE, held).await.unwrap();
            }
            "done" => drop(api.run_when(run, "completed", is("ended", "completed")).await),
            "failed" => drop(api.run_when(run, "failed", is("ended", "failed")).await),
            "limited" => drop(api.run_when(run, "limited", is("parked", "rate_limited")).await),
            "waiting" => drop(api.run_when(run, "waiting", is("waiting", "")).await),
            _ => drop(api.run_when(run, "parked", is("parked", "retrying")).await),
        }
    }
}

fn leave(name: &str, job: &str, account: &str, run: &Run, ledger: &Ledger) -> Left {
    let ours = || ledger.requests.iter().filter(|request| request.run.as_deref() == Some(&*run.id));
    let event = |request: &receiver::Received| Event {
        event: request.event.clone(),
        seq: request.seq,
        id: request.id.clone(),
    };
    let acknowledged: Vec<Event> =
        ours().filter(|request| request.given == Some(Given::Status(200))).map(event).collect();
    let mut in_flight: Vec<Event> = ours().map(event).filter(|event| !acknowledged.contains(event)).collect();
    in_flight.dedup();
    let records = ledger.run(&run.id).resources.into_iter();
    Left {
        name: name.to_owned(),
        run: run.id.clone(),
        job: job.to_owned(),
        account: account.to_owned(),
        place: run.place.clone(),
        status: run.status.clone(),
        acknowledged,
        in_flight,
        records: records
            .map(|(resource, ledger)| (resource, ledger.unique.iter().map(ToString::to_string).collect()))
            .collect(),
    }
}

/// What a run of `job` reads.
pub(super) fn resources(job: &str) -> &'static [Resource] {
    match job {
        "tickets" => &[Resource::Tickets],
        "strict" => &[Resource::Users],
        _ => &[Resource::Tickets, Resource::Comments],
    }
}
