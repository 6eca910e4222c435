//! Turns what the API, the ledgers, Redis and the logs say into evidence.

use std::time::Instant;

use rapidbridge::playground::helpdesk::Resource;
use rapidbridge::playground::receiver::{Given, Received};
use rapidbridge::store::Store;
use serde_json::Value;

use crate::client::Client;
use crate::documents::{self, ACCOUNTS, TRIGGERS};
use crate::evidence::{Delivery, Evidence, Fetch, Page, Run, Trigger};
use crate::graph::{self, Graph, definition};
use crate::plan::SourceFault;
use crate::world::{ENVIRONMENT, SOURCE_TOKEN, TOKEN, WEBHOOK_SECRET, World};

/// How a worker's log says that a write of a former owner was refused.
const REFUSED: &str = "refused: the run has another owner";

/// Runs and triggers as the API shows them.
pub(crate) async fn runs(client: &Client, evidence: &mut Evidence) -> anyhow::Result<()> {
    for run in client.runs("").await? {
        let run = read_run(&run);
        evidence.runs.insert(run.id.clone(), run);
    }
    for trigger in &TRIGGERS {
        let state = client.trigger(trigger.id).await?;
        evidence.triggers.push(Trigger {
            id: trigger.id.to_owned(),
            overlap: trigger.overlap.to_owned(),
            catches_up_all: trigger.catch_up == "all",
            every_ms: trigger.every_seconds * 1000,
            last_slot: time(&state["last_slot"]),
            skipped: state["skipped"].as_u64().unwrap_or_default(),
            missed: state["missed"].as_u64().unwrap_or_default(),
        });
    }
    Ok(())
}

fn read_run(run: &Value) -> Run {
    let text = |name: &str| run[name].as_str().map(ToOwned::to_owned);
    Run {
        id: text("id").unwrap_or_default(),
        job: text("sync_job_id").unwrap_or_default(),
        account: text("integrated_account_id").unwrap_or_default(),
        webhook: text("webhook_id").unwrap_or_default(),
        mutex: text("mutex_key"),
        status: text("status").unwrap_or_default(),
        reason: text("reason"),
        trigger: text("sync_job_cron_trigger_id"),
        slot: time(&run["slot"]),
        attempt: run["attempt"].as_u64().unwrap_or(1),
        incomplete: run["incomplete"]
            .as_object()
            .map(|nodes| nodes.keys().cloned().collect())
            .unwrap_or_default(),
    }
}

/// An RFC 3339 time in milliseconds since 1970.
fn time(value: &Value) -> Option<i64> {
    value.as_str()?.parse::<jiff::Timestamp>().ok().map(jiff::Timestamp::as_millisecond)
}

/// The graphs, and what their state cells hold.
pub(crate) async fn graphs(client: &Client, graphs: &[Graph], evidence: &mut Evidence) -> anyhow::Result<()> {
    for graph in graphs {
        for account in (0..graph::ACCOUNTS).map(graph::account).filter(|_| graph.has_state) {
            let namespace = definition::state_key(graph, &account);
            let cells = client.cells(&namespace).await?;
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            let cells = cells.iter().map(|cell| (text(&cell["key"]), text(&cell["value"]))).collect();
            evidence.cells.insert((graph.name.clone(), account), cells);
        }
        evidence.graphs.insert(graph.name.clone(), graph.clone());
    }
    Ok(())
}

/// What sources and receivers saw.
pub(crate) fn ledgers(world: &World, began: Instant, evidence: &mut Evidence) {
    for (number, receiver) in world.receivers.iter().enumerate() {
        receiver.read(|ledger| {
            evidence.forgeries.bad_signatures += ledger.bad_signatures;
            evidence.forgeries.malformed += ledger.malformed;
            evidence.forgeries.id_conflicts += ledger.id_conflicts;
            evidence
                .deliveries
                .extend(ledger.requests.iter().map(|request| delivery(request, number, began)));
            for (run, of_run) in &ledger.runs {
                for (resource, received) in &of_run.resources {
                    let resource = documents::records_of(resource).to_owned();
                    evidence.received.insert((run.clone(), resource), received.unique.clone());
                }
            }
        });
    }
    evidence.deliveries.sort_by_key(|delivery| delivery.at);
    let accounts = (0..ACCOUNTS).map(|number| format!("account-{number}"));
    let scheduled = (0..TRIGGERS.len()).map(|number| format!("scheduled-{number}"));
    for account in accounts.chain(scheduled) {
        let source = &world.sources[documents::source_of(&account)];
        for resource in Resource::ALL {
            evidence.there.insert((account.clone(), resource.to_string()), source.ids(resource));
        }
    }
    for source in &world.sources {
        evidence.fetches.extend(source.asked().into_iter().map(|asked| Fetch {
            at: asked.at.saturating_duration_since(began),
            run: asked.run,
            account: asked.account,
            path: asked.path,
            found: asked.found,
            list: asked.list,
            restarts: asked.fault == Some(SourceFault::ExpiredCursor),
            is_foreign_cursor: asked.is_foreign_cursor,
            limited_until: asked.limited_until.map(|until| until.saturating_duration_since(began)),
        }));
    }
    evidence.fetches.sort_by_key(|fetch| fetch.at);
}

fn delivery(request: &Received, number: usize, began: Instant) -> Delivery {
    Delivery {
        at: request.at.saturating_duration_since(began),
        webhook: format!("hook-{number}"),
        run: request.run.clone().unwrap_or_default(),
        event: request.event.strip_prefix("sync_job_run:").unwrap_or(&request.event).to_owned(),
        seq: request.seq,
        epoch: request.epoch.unwrap_or_default(),
        id: request.id.clone(),
        status: request.given.and_then(|given| match given {
            Given::Status(status) => Some(status),
            Given::HungUp => None,
        }),
        page: request
            .body
            .as_ref()
            .filter(|_| request.seq.is_some())
            .and_then(|body| page(body))
            .map(Box::new),
    }
}

/// What a page holds.
fn page(body: &[u8]) -> Option<Page> {
    let event: Value = serde_json::from_slice(body).ok()?;
    let (payload, meta) = (&event["payload"], &event["payload"]["meta"]);
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let records = payload["records"].as_array()?.iter();
    let changes = meta["changes"].as_array();
    Some(Page {
        node: text(&meta["node"]),
        records: records.map(|record| (text(&record["id"]), record["n"].as_u64())).collect(),
        changes: changes.map(|changes| {
            changes.iter().map(|change| (text(&change["id"]), text(&change["change"]))).collect()
        }),
    })
}

/// What is left in Redis, as the store's own audit sees it.
pub(crate) async fn redis(world: &World, evidence: &mut Evidence) -> anyhow::Result<()> {
    let store = Store::open(&world.settings()?.redis, &ENVIRONMENT.parse()?).await?;
    let audit = store.audit().await?;
    evidence.orphans = audit.orphans;
    evidence.leftovers = audit.leftovers;
    Ok(())
}

/// What the product's logs say: refused writes, and secrets, which must not be there, nor in what Redis kept.
pub(crate) fn logs(world: &World, evidence: &mut Evidence) -> anyhow::Result<()> {
    for (file, kept) in world.power.kept()? {
        let kept = String::from_utf8_lossy(&kept);
        for secret in [SOURCE_TOKEN, WEBHOOK_SECRET] {
            if kept.contains(secret) {
                evidence.mishaps.push(format!("12: a secret is in clear in {}", file.display()));
            }
        }
    }
    for log in world.logs()? {
        evidence.refused += log.lines().filter(|line| line.contains(REFUSED)).count() as u64;
        for secret in [TOKEN, SOURCE_TOKEN, WEBHOOK_SECRET] {
            if let Some(line) = log.lines().find(|line| line.contains(secret)) {
                evidence.mishaps.push(format!("12: a secret is in a log: {line}"));
            }
        }
    }
    Ok(())
}
