//! Five hundred runs on one worker, whose sources and receivers do their worst: its memory stays under what the
//! settings say (docs/architecture.md, "Memory of a worker").

use std::time::Duration;

use rapidbridge::playground::helpdesk::RequestInfo;
use rapidbridge::playground::receiver::{self, Ledger};
use rapidbridge::playground::{Answer, Receiver, hostile};
use serde_json::{Value, json};

use crate::support::definitions::{self, account, job, with};
use crate::support::{PATIENCE, Setup, eventually};

const MIB: u64 = 1 << 20;
const CONCURRENCY: u64 = 500;
const BUDGET_BYTES: u64 = 64 * MIB;
const PAGE_BYTES_MAX: u64 = MIB;
const STAGED_BYTES_MAX: u64 = 32 * MIB;
/// Requests to the sources after which each has done its worst more than once.
const REQUESTS: u64 = 2 * CONCURRENCY;

/// The bound as the documentation gives it.
fn bound_bytes() -> u64 {
    64 * MIB + BUDGET_BYTES + CONCURRENCY * MIB / 4 + STAGED_BYTES_MAX
}

/// What the sources do, each under its own path.
const SOURCES: [&str; 5] = ["endless", "bomb", "drip", "silent", "large"];
/// What the receivers do.
const RECEIVERS: [&str; 5] = ["stalls", "endless", "bomb", "drip", "hangs-up"];

fn source(info: &RequestInfo) -> Option<Answer> {
    let case = info.path.strip_prefix("/api/v1/hostile/")?;
    let body = |body| Answer::ok().header("content-type", "application/json").body(body);
    Some(match case {
        "endless" => body(hostile::endless("{\"data\":[", "{\"id\":1},")),
        "bomb" => body(hostile::bomb()).header("content-encoding", "gzip"),
        "drip" => body(hostile::drip("{\"data\":[", Duration::from_millis(100))),
        "silent" => body(hostile::silent("{\"data\":[")),
        // As large as a page may be, again and again.
        _ => {
            let record = format!("{{\"text\":\"{}\"}}", "x".repeat(PAGE_BYTES_MAX as usize - 200));
            Answer::ok().json(format!("{{\"data\":[{record}],\"next\":\"c{}\"}}", info.number))
        }
    })
}

fn receiver(case: &'static str) -> impl Fn(&receiver::Received) -> Option<Answer> + Send + Sync + 'static {
    move |event| {
        // They want the run first.
        if event.event == "sync_job_run:started" {
            return None;
        }
        Some(match case {
            "stalls" => Answer::ok().held(),
            "endless" => Answer::ok().body(hostile::endless("", "thank you ")),
            "bomb" => Answer::status(500).header("content-encoding", "gzip").body(hostile::bomb()),
            "drip" => Answer::status(500).body(hostile::drip("", Duration::from_millis(100))),
            _ => Answer::hang_up(),
        })
    }
}

fn documents(url: &str, token: &str) -> Vec<Value> {
    let list = |case: &str| {
        json!({ "list": { "path": format!("/hostile/{case}"), "response_path": "data", "timeout": "2s",
            "page_bytes_max": PAGE_BYTES_MAX, "pages_max": 1000,
            "pagination": { "format": "cursor", "config": { "cursor_path": "next", "cursor_key": "cursor" } } } })
    };
    let resources: serde_json::Map<String, Value> =
        SOURCES.iter().map(|case| ((*case).to_owned(), list(case))).collect();
    let mut documents =
        vec![with(definitions::integration(), json!({ "resources": resources, "retry": { "attempts": 1 } }))];
    documents.extend(SOURCES.iter().map(|case| job(case, json!([{ "resource": case }]))));
    let accounts = CONCURRENCY as usize / SOURCES.len();
    documents.extend((0..accounts).map(|number| account(&format!("account-{number}"), url, token)));
    documents
}

#[tokio::test]
async fn five_hundred_runs_of_hostile_sources_and_receivers_stay_within_the_memory_bound() {
    let setup = Setup { workers: 1, ..Setup::default() }
        .set("WORKER__CONCURRENCY", &CONCURRENCY.to_string())
        .set("WORKER__MEMORY_BUDGET_BYTES", &BUDGET_BYTES.to_string())
        .set("LIMITS__PAGE_BYTES_MAX", &PAGE_BYTES_MAX.to_string())
        .set("STAGE__TOTAL_BYTES_MAX", &STAGED_BYTES_MAX.to_string())
        .set("STAGE__RUN_BYTES_MAX", &(4 * MIB).to_string())
        .set("WORKER__LEASE", "30s");
    let mut cluster = setup.start().await;
    cluster.helpdesk.script(source);
    let mut receivers = Vec::new();
    let mut documents = documents(&cluster.helpdesk.url(), &cluster.helpdesk.settings().token);
    for case in RECEIVERS {
        let settings = receiver::Settings::default();
        let secret = settings.secret.clone();
        let receiver = Receiver::start(settings).await.unwrap();
        receiver.script(self::receiver(case));
        documents.push(with(
            definitions::webhook(case, &receiver.url(), &secret),
            json!({ "timeout": "2s", "retry": { "park_base": "3s", "park_max": "3s" } }),
        ));
        receivers.push(receiver);
    }
    cluster.apply(documents).await;
    let base = cluster.workers[0].memory_peak();
    for number in 0..CONCURRENCY as usize {
        let (job, account) = (SOURCES[number % SOURCES.len()], number / SOURCES.len());
        // Those that stall hold their answers from the first page on.
        let webhook = RECEIVERS[(number / SOURCES.len()) % RECEIVERS.len()];
        cluster.api.push(job, &format!("account-{account}"), webhook).await;
    }
    receivers[0].hold();
    let runs = |receiver: &Receiver| receiver.read(|ledger| ledger.runs.len() as u64);
    let all = async || (receivers.iter().map(runs).sum::<u64>() == CONCURRENCY).then_some(());
    eventually("all runs to have started", all).await;
    cluster.helpdesk.wait_for_requests(REQUESTS, PATIENCE).await.unwrap();
    let got: u64 =
        receivers.iter().map(|receiver| receiver.read(|ledger: &Ledger| ledger.requests.len() as u64)).sum();
    let peak = cluster.workers[0].memory_peak();
    eprintln!(
        "{REQUESTS} source requests, {got} deliveries; memory at first {} MiB, at most {} MiB of {} MiB",
        base / MIB,
        peak / MIB,
        bound_bytes() / MIB
    );
    assert!(peak <= bound_bytes(), "{} MiB, not {} MiB", peak / MIB, bound_bytes() / MIB);
    cluster.check_alive();
}
