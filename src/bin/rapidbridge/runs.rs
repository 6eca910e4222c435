//! `rapidbridge runs` and `show`: runs as tables.

use std::collections::BTreeMap;
use std::io::{self, IsTerminal as _};
use std::process::ExitCode;

use comfy_table::{Cell, CellAlignment, Color, ContentArrangement, Table, presets};
use rapidbridge::clock::Millis;
use rapidbridge::run::{Counts, Status};
use serde_json::Value;

use crate::client::{Client, Page, Run};
use crate::paint::{self, BOLD, DIM, RED};

/// Characters of a reason in a list.
const REASON_CHARS_MAX: usize = 60;
/// Lines of a run's log that are shown.
const LOG_LINES_SHOWN: usize = 30;

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Only runs with this status
    #[arg(long, value_parser = Status::ALL.map(Status::as_str))]
    status: Option<String>,
    /// Only runs of this sync job
    #[arg(long, value_name = "ID")]
    job: Option<String>,
    /// Only runs of this integrated account
    #[arg(long, value_name = "ID")]
    account: Option<String>,
    /// Only runs of this trigger
    #[arg(long, value_name = "ID")]
    trigger: Option<String>,
    /// How many
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..=200))]
    limit: u16,
    /// Where the list before left off
    #[arg(long, value_name = "CURSOR")]
    cursor: Option<String>,
}

pub(crate) async fn list(client: &Client, options: Options) -> anyhow::Result<ExitCode> {
    let limit = options.limit.to_string();
    let query = [
        ("status", options.status.as_deref()),
        ("sync_job_id", options.job.as_deref()),
        ("integrated_account_id", options.account.as_deref()),
        ("sync_job_cron_trigger_id", options.trigger.as_deref()),
        ("next_cursor", options.cursor.as_deref()),
        ("limit", Some(limit.as_str())),
    ];
    let query: Vec<(&str, &str)> =
        query.into_iter().filter_map(|(name, value)| Some((name, value?))).collect();
    let page: Page<Run> = client.get(&["sync-job-run"], &query).await?;
    if page.result.is_empty() && options.cursor.is_none() {
        anstream::println!("No runs. Start one with `rapidbridge run`, or apply a trigger.");
        return Ok(ExitCode::SUCCESS);
    }
    let mut table = table(&["run", "status", "job", "account", "records", "pages", "created", "reason"]);
    // A pipe has no width, and a script wants all of it.
    let reason_chars = if io::stdout().is_terminal() { REASON_CHARS_MAX } else { usize::from(u16::MAX) };
    for run in &page.result {
        table.add_row(row(run, reason_chars));
    }
    print(&table);
    if let Some(next) = page.next_cursor {
        anstream::eprintln!("{DIM}more: --cursor '{next}'{DIM:#}");
    }
    Ok(ExitCode::SUCCESS)
}

fn row(run: &Run, reason_chars: usize) -> Vec<Cell> {
    vec![
        Cell::new(&run.id),
        Cell::new(run.status).fg(if run.has_holes() { Color::Yellow } else { color(run.status) }),
        Cell::new(&run.sync_job_id),
        Cell::new(&run.integrated_account_id),
        right(paint::number(paint::total(&run.resource_stats).persisted)),
        right(paint::number(run.pages)),
        Cell::new(seconds(&run.created_at)),
        Cell::new(paint::short(run.reason.as_deref().unwrap_or_default(), reason_chars)),
    ]
}

fn table(head: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(head.iter().map(|name| Cell::new(name.to_uppercase())));
    table
}

/// Without the blanks that fill up the last column.
fn print(table: &Table) {
    table.lines().for_each(|line| anstream::println!("{}", line.trim_end()));
}

fn right(text: String) -> Cell {
    Cell::new(text).set_alignment(CellAlignment::Right)
}

fn color(status: Status) -> Color {
    match status {
        Status::Created => Color::Grey,
        Status::Running => Color::Cyan,
        Status::RateLimited | Status::Retrying | Status::Stopped => Color::Yellow,
        Status::Completed => Color::Green,
        Status::Failed => Color::Red,
    }
}

/// A time without its milliseconds: `2026-01-31 08:00:00Z`.
fn seconds(time: &str) -> String {
    time.split('.').next().map_or_else(|| time.to_owned(), |time| format!("{}Z", time.replace('T', " ")))
}

pub(crate) async fn show(client: &Client, id: &str) -> anyhow::Result<ExitCode> {
    let run = client.run(id).await?;
    let style = paint::of(run.status);
    anstream::println!("{BOLD}{}{BOLD:#} {style}{}{style:#}", run.id, run.status);
    for (name, value) in facts(&run) {
        anstream::println!("  {DIM}{name:<18}{DIM:#} {}", paint::short(&value, 200));
    }
    if let Some(error) = &run.error {
        let code = error.code.as_deref().unwrap_or("error");
        anstream::println!("  {RED}{code}{RED:#}: {}", error.message.as_deref().unwrap_or_default());
    }
    for (node, why) in &run.incomplete {
        anstream::println!("  {RED}incomplete{RED:#} {node}: {}", paint::short(why, 200));
    }
    if !run.resource_stats.is_empty() {
        anstream::println!();
        print(&counts(&run.resource_stats));
    }
    let log: Page<BTreeMap<String, Value>> = client.get(&["sync-job-run", id, "log"], &[]).await?;
    anstream::println!("\n{BOLD}log{BOLD:#}");
    let skipped = log.result.len().saturating_sub(LOG_LINES_SHOWN);
    if skipped > 0 {
        anstream::println!("  {DIM}… {skipped} earlier lines{DIM:#}");
    }
    for line in &log.result[skipped..] {
        anstream::println!("  {}", log_line(line));
    }
    Ok(ExitCode::SUCCESS)
}

/// What is known of a run, by name; what is not there is left out.
fn facts(run: &Run) -> Vec<(&'static str, String)> {
    let yes = |flag: bool, text: &str| flag.then(|| text.to_owned());
    let args = Some(run.args.to_string()).filter(|args| args != "{}");
    let facts = [
        ("job", Some(run.sync_job_id.clone())),
        ("account", Some(run.integrated_account_id.clone())),
        ("webhook", run.webhook_id.clone()),
        ("args", args),
        ("error handling", Some(run.error_handling.clone())),
        ("mutex", run.mutex_key.clone()),
        ("state key", run.state_key.clone()),
        ("forced", yes(run.force, "waits for no mutex")),
        ("trigger", run.sync_job_cron_trigger_id.clone()),
        ("slot", run.slot.clone()),
        ("replay of", run.replay_of.clone()),
        ("attempt", (run.attempt > 1).then(|| run.attempt.to_string())),
        ("created", Some(run.created_at.clone())),
        ("started", run.started_at.clone()),
        ("finished", run.finished_at.clone()),
        (
            "changed since",
            run.previous_run_date.clone().filter(|date| !date.starts_with("1970-01-01T00:00:00")),
        ),
        ("place", (!run.status.is_terminal()).then(|| run.place.clone())),
        ("worker", run.worker.clone().filter(|_| !run.status.is_terminal())),
        ("node", run.node.clone().filter(|_| !run.status.is_terminal())),
        ("goes on at", run.wake_at.clone()),
        ("reason", run.reason.clone().filter(|_| run.error.is_none())),
        ("stop", yes(run.stop_requested, "asked for; it stops after the delivery in flight")),
        ("last event", yes(run.terminal_undelivered, "could not be delivered")),
        ("resumable until", run.resumable_until.clone()),
    ];
    facts.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
}

fn counts(stats: &BTreeMap<String, BTreeMap<String, Counts>>) -> Table {
    let mut table = table(&["resource", "method", "fetched", "delivered", "pages", "errors"]);
    for (node, methods) in stats {
        for (method, counts) in methods {
            let numbers = [counts.fetched, counts.persisted, counts.pages, counts.errors];
            let numbers = numbers.map(|number| right(paint::number(number)));
            table.add_row([Cell::new(node), Cell::new(method)].into_iter().chain(numbers));
        }
    }
    table
}

/// A line of a run's log: its time, what happened, and whatever else it says.
fn log_line(line: &BTreeMap<String, Value>) -> String {
    let at = line.get("at").and_then(Value::as_i64).map(|at| Millis(at).rfc3339()).unwrap_or_default();
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let what = line.get("what").map(text).unwrap_or_default();
    let rest = line.iter().filter(|(name, _)| !["at", "what"].contains(&name.as_str()));
    let rest: Vec<String> = rest
        .map(|(name, value)| if name == "note" { text(value) } else { format!("{name}={}", text(value)) })
        .collect();
    paint::short(format!("{at}  {what:<14} {}", rest.join("  ")).trim_end(), 240)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_line_says_when_what_and_the_rest() {
        let line = r#"{"at":1769846400007,"what":"claimed","note":"by worker w","seq":7}"#;
        let line = log_line(&serde_json::from_str(line).unwrap());
        assert_eq!(line, "2026-01-31T08:00:00.007Z  claimed        by worker w  seq=7");
    }

    #[test]
    fn times_are_short() {
        assert_eq!(seconds("2026-01-31T08:00:00.007Z"), "2026-01-31 08:00:00Z");
    }
}
