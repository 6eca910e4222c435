//! What one run feels of a hundred others whose source or receiver is dead or hostile: the time between its pages,
//! alone and beside them. The figures go to `reports/isolation.json` in the target folder; what is asserted is only
//! that it came to its end, since time belongs to the machine.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use rapidbridge::clock;
use rapidbridge::playground::helpdesk::{self, RequestInfo, Resource};
use rapidbridge::playground::receiver::{self, Ledger};
use rapidbridge::playground::{Answer, Helpdesk, Receiver, hostile};
use serde_json::{Value, json};

use crate::support::definitions::{self, account, job, webhook, with};
use crate::support::{Cluster, Expected, PATIENCE, Setup, judge};

const OTHERS: usize = 100;
/// Pages of the run that is measured.
const PAGES: u64 = 150;

/// What is wrong with the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Noise {
    Nothing,
    ReceiverRefusesConnections,
    ReceiverHangs,
    SourceIsSilent,
    SourceIsEndless,
    SourceIsABomb,
}

fn source(noise: Noise) -> impl Fn(&RequestInfo) -> Option<Answer> + Send + Sync + 'static {
    move |_| {
        let body = |body| Answer::ok().header("content-type", "application/json").body(body);
        match noise {
            Noise::SourceIsSilent => Some(body(hostile::silent("{\"tickets\":["))),
            Noise::SourceIsEndless => Some(body(hostile::endless("{\"tickets\":[", "{\"id\":1},"))),
            Noise::SourceIsABomb => Some(body(hostile::bomb()).header("content-encoding", "gzip")),
            Noise::Nothing | Noise::ReceiverRefusesConnections | Noise::ReceiverHangs => None,
        }
    }
}

/// The milliseconds between pages of `run`, sorted, and how long it took to send its first word.
fn page_times(cluster: &Cluster, run: &str, pushed: Instant) -> (Vec<f64>, f64) {
    cluster.receiver.read(|ledger: &Ledger| {
        let ours = ledger.requests.iter().filter(|request| request.run.as_deref() == Some(run));
        let pages: Vec<Instant> =
            ours.clone().filter(|page| page.seq.is_some()).map(|page| page.at).collect();
        let mut gaps: Vec<f64> =
            pages.windows(2).map(|pair| (pair[1] - pair[0]).as_secs_f64() * 1000.0).collect();
        gaps.sort_by(f64::total_cmp);
        let first = ours.map(|request| request.at).next().unwrap();
        (gaps, first.saturating_duration_since(pushed).as_secs_f64() * 1000.0)
    })
}

async fn measure(noise: Noise, concurrency: usize) -> Value {
    let calm = helpdesk::Settings {
        tickets: 20 * PAGES,
        latency: Duration::from_millis(10),
        ..helpdesk::Settings::default()
    };
    let setup = Setup { workers: 1, helpdesk: calm, ..Setup::default() }
        .set("WORKER__CONCURRENCY", &concurrency.to_string())
        .set("WORKER__LEASE", "15s");
    let mut cluster = setup.start().await;
    // On a thread of its own: the run that is measured must not wait for those who play its neighbours' source.
    let aside = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let others = aside.spawn(Helpdesk::start(helpdesk::Settings::default())).await.unwrap().unwrap();
    others.script(source(noise));
    let dead = Receiver::start(receiver::Settings::default()).await.unwrap();
    let (dead_url, secret) = (dead.url(), receiver::Settings::default().secret);
    match noise {
        Noise::ReceiverHangs => dead.hold(),
        Noise::ReceiverRefusesConnections => drop(dead),
        Noise::Nothing | Noise::SourceIsSilent | Noise::SourceIsEndless | Noise::SourceIsABomb => {}
    }
    let token = others.settings().token.clone();
    let mut documents: Vec<Value> =
        (0..OTHERS).map(|number| account(&format!("other-{number}"), &others.url(), &token)).collect();
    documents.push(job("tickets", definitions::tickets()));
    // Six lists, one after the other: the source's worst is not over at once.
    let six = vec![json!({ "resource": "tickets" }); 6];
    let lists: Vec<Value> = six
        .into_iter()
        .enumerate()
        .map(|(at, list)| with(list, json!({ "name": format!("list-{at}") })))
        .collect();
    documents.push(job("noise", Value::Array(lists)));
    documents.push(with(webhook("dead", &dead_url, &secret), json!({ "timeout": "5s" })));
    cluster.apply(documents).await;
    if noise != Noise::Nothing {
        for number in 0..OTHERS {
            cluster.api.push("noise", &format!("other-{number}"), "dead").await;
        }
    }
    let pushed = clock::monotonic();
    let run = cluster.api.push("tickets", "acme", "backend").await;
    let completed = |ledger: &Ledger| ledger.count("sync_job_run:completed") > 0;
    cluster.receiver.wait_for("the run to end", PATIENCE * 2, completed).await.unwrap();
    judge(&cluster.helpdesk, &cluster.receiver, &run, &[Resource::Tickets], Expected::default());
    let (gaps, first) = page_times(&cluster, &run, pushed);
    let at = |part: f64| gaps[((gaps.len() - 1) as f64 * part) as usize];
    let still = cluster.api.runs("sync_job_id=noise").await.iter().filter(|run| !run.has_ended()).count();
    let asked = others.read(|ledger| ledger.requests);
    cluster.check_alive();
    drop(others);
    aside.shutdown_background();
    json!({
        "others_not_ended": still, "requests_to_the_others_source": asked,
        "noise": format!("{noise:?}"), "others": if noise == Noise::Nothing { 0 } else { OTHERS },
        "worker_concurrency": concurrency, "pages": gaps.len() + 1, "first_event_ms": first,
        "page_p50_ms": at(0.5), "page_p99_ms": at(0.99), "page_max_ms": at(1.0),
    })
}

#[tokio::test]
async fn what_a_run_feels_of_a_hundred_in_trouble_is_measured() {
    let kinds = [
        Noise::ReceiverRefusesConnections,
        Noise::ReceiverHangs,
        Noise::SourceIsSilent,
        Noise::SourceIsEndless,
        Noise::SourceIsABomb,
    ];
    let concurrency = 128;
    let alone = measure(Noise::Nothing, concurrency).await;
    let mut beside = Vec::new();
    let mut ratios = BTreeMap::new();
    for noise in kinds {
        let figures = measure(noise, concurrency).await;
        let ratio = figures["page_p99_ms"].as_f64().unwrap() / alone["page_p99_ms"].as_f64().unwrap();
        ratios.insert(format!("{noise:?}"), ratio);
        beside.push(figures);
    }
    // Far fewer slots than runs in trouble: how long until one is free.
    let crowded = measure(Noise::ReceiverHangs, 16).await;
    let report = json!({ "alone": alone, "beside": beside, "page_p99_ratio": ratios, "crowded": crowded });
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap().join("reports");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("isolation.json"), format!("{report:#}\n")).unwrap();
    eprintln!("{report:#}");
}
