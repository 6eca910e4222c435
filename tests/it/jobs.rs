//! Jobs of both generations, from the file to the acknowledged webhook: every file in `tests/jobs`, applied by the
//! command line as written. What each of them delivers is a snapshot; what runs after it deliver, too.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use rapidbridge::playground::helpdesk;
use serde_json::{Value, json};

use crate::support::cluster::TOKEN;
use crate::support::{Cluster, Setup};

/// A second account of the same helpdesk.
const OTHER: &str = r#"
kind: integrated_account
id: other
integration: helpdesk
tenant_id: other-inc
context: { base_url: "${HELPDESK_URL}" }
credentials: { token: "${HELPDESK_TOKEN}" }
"#;

/// The jobs that come to something else when they run again.
const AGAIN: [&str; 6] = [
    "flat-08-previous-run",
    "flat-09-delete-tracking",
    "graph-05-state",
    "graph-06-events",
    "graph-09-changes",
    "graph-10-incremental",
];

/// Arguments of those that want some.
fn args(job: &str) -> Value {
    match job {
        "flat-04-loop-on-placeholder" => json!({ "ids": [4, 5] }),
        "flat-12-expressions" => json!({ "status": "open" }),
        "graph-01-destinations" => {
            json!({ "integrated_account_id": "acme", "webhook_id": "backend", "archive_id": "archive" })
        }
        "graph-12-several-accounts" => {
            json!({ "integrated_account_id": "acme", "other_account_id": "other" })
        }
        _ => json!({}),
    }
}

fn apply(cluster: &Cluster, folder: &Path) {
    std::fs::write(folder.join("other.yaml"), OTHER).unwrap();
    let jobs = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/jobs");
    let output = Command::new(env!("CARGO_BIN_EXE_rapidbridge"))
        .args(["--api-url", &cluster.api.urls[0], "apply", "--yes", "-f"])
        .arg(jobs)
        .arg("-f")
        .arg(folder)
        .env_clear()
        .envs([("RAPIDBRIDGE_TOKEN", TOKEN), ("HELPDESK_TOKEN", cluster.helpdesk.settings().token.as_str())])
        .envs([("HELPDESK_URL", cluster.helpdesk.url()), ("WEBHOOK_URL", cluster.receiver.url())])
        .env("WEBHOOK_SECRET", rapidbridge::playground::receiver::Settings::default().secret)
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}{told}", String::from_utf8_lossy(&output.stdout));
}

/// The jobs' names, from their files.
fn jobs() -> Vec<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/jobs");
    let names = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut names: Vec<String> =
        names.map(|path| path.file_stem().unwrap().to_string_lossy().into_owned()).collect();
    names.retain(|name| name != "helpdesk");
    names.sort();
    names
}

async fn push(cluster: &Cluster, job: &str) -> String {
    let mut body = json!({ "sync_job_id": job, "integrated_account_id": "acme", "args": args(job) });
    if job.starts_with("flat") || job.ends_with("without-destinations") {
        body["webhook_id"] = "backend".into();
    }
    cluster.api.push_with(body).await
}

/// What a run delivered, a line a webhook and node: how many pages and records, and the first and the last of them.
fn delivered(cluster: &Cluster, run: &str) -> Vec<String> {
    let events: Vec<Value> = cluster.receiver.read(|ledger| {
        let bodies = ledger.requests.iter().filter_map(|request| request.body.as_ref());
        bodies.filter_map(|body| serde_json::from_slice(body).ok()).collect()
    });
    let mut nodes: BTreeMap<(String, String), Vec<&Value>> = BTreeMap::new();
    for event in events.iter().filter(|event| event["event"] == "sync_job_run:record") {
        let meta = &event["payload"]["meta"];
        if meta["sync_job_run_id"] == run {
            let webhook = event["webhook_id"].as_str().unwrap().to_owned();
            let node = format!(
                "{} ({})",
                meta["node"].as_str().unwrap(),
                event["payload"]["resource"].as_str().unwrap()
            );
            nodes.entry((webhook, node)).or_default().push(&event["payload"]);
        }
    }
    let shown = |payloads: &Vec<&Value>| {
        let records: Vec<&Value> =
            payloads.iter().flat_map(|payload| payload["records"].as_array().unwrap()).collect();
        let mut changes: BTreeMap<&str, usize> = BTreeMap::new();
        for change in payloads.iter().filter_map(|payload| payload["meta"]["changes"].as_array()).flatten() {
            *changes.entry(change["change"].as_str().unwrap()).or_default() += 1;
        }
        let mut text = format!("{} pages, {} records", payloads.len(), records.len());
        if !changes.is_empty() {
            text.push_str(&format!(", changes {changes:?}"));
        }
        if payloads.iter().any(|payload| payload["meta"]["end_of_resource"] == true) {
            text.push_str(", and its end");
        }
        if let (Some(first), Some(last)) = (records.first(), records.last()) {
            let cut = |record: &Value| record.to_string().chars().take(60).collect::<String>();
            text.push_str(&format!(": {} … {}", cut(first), cut(last)));
        }
        text
    };
    nodes
        .iter()
        .map(|((webhook, node), payloads)| format!("  {webhook} ← {node}: {}", shown(payloads)))
        .collect()
}

async fn round(cluster: &Cluster, jobs: &[String], told: &mut Vec<String>) {
    let mut runs = Vec::new();
    for job in jobs {
        runs.push((job, push(cluster, job).await));
    }
    for (job, run) in runs {
        let ended = cluster.api.ended(&run).await;
        let mut line = format!("{job}: {}", ended.status);
        for (node, reason) in &ended.incomplete {
            line.push_str(&format!("\n  not whole: {node}: {reason}"));
        }
        if !ended.message().is_empty() {
            line.push_str(&format!("\n  {}", ended.message()));
        }
        told.push(line);
        told.extend(delivered(cluster, &run));
    }
}

#[tokio::test]
async fn every_job_delivers_what_it_says_and_again_only_what_is_new() {
    let setup = Setup {
        helpdesk: helpdesk::Settings {
            tickets: 60,
            users: 12,
            organizations: 4,
            comments_every: 1,
            comments_max: 3,
            ..helpdesk::Settings::default()
        },
        ..Setup::default()
    };
    let cluster = setup.start().await;
    let folder = tempfile::tempdir().unwrap();
    apply(&cluster, folder.path());
    let mut told = Vec::new();
    round(&cluster, &jobs(), &mut told).await;
    told.push("\n-- again, after ticket 7 changed and ticket 9 went".to_owned());
    cluster.helpdesk.mutate_ticket(7);
    cluster.helpdesk.remove_ticket(9);
    round(&cluster, &AGAIN.map(str::to_owned), &mut told).await;
    insta::assert_snapshot!(told.join("\n"));
    cluster.assert_quiet().await;
}
