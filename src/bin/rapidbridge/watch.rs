//! `rapidbridge watch`: a run's progress until it ends. Bars on a terminal; elsewhere a line whenever something moved.

use std::collections::BTreeMap;
use std::io::{self, IsTerminal as _};
use std::process::ExitCode;
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use rapidbridge::run::{Counts, Status};

use crate::client::{Client, Refusal, Run};
use crate::paint::{self, BOLD, DIM, YELLOW};

/// The pause between two looks.
const POLL: Duration = Duration::from_millis(500);
/// How many looks in a row may fail before the watch gives up, about five minutes: a deploy, or a Redis that reads
/// its file, takes its time, and the run goes on meanwhile.
const FAILURES_MAX: u32 = 600;
/// Without a terminal, a line is printed when the status changed, else once in so many looks.
const LOOKS_PER_LINE: u32 = 10;

/// Watches until the run ends. The exit code is 0 completed, 1 failed, 2 stopped, 3 completed with holes.
pub(crate) async fn watch(client: &Client, id: &str) -> anyhow::Result<ExitCode> {
    let mut run = client.run(id).await?;
    let mut view = if io::stderr().is_terminal() { View::bars() } else { View::Lines(Lines::default()) };
    let mut failures = 0;
    loop {
        view.update(&run);
        if run.status.is_terminal() {
            view.finish();
            report(&run);
            return Ok(exit_code(&run));
        }
        tokio::time::sleep(POLL).await;
        match client.run(id).await {
            Ok(found) => {
                run = found;
                failures = 0;
            }
            // The run goes on whether we see it or not; only a refusal (it is gone) is final.
            Err(error) if failures < FAILURES_MAX && !is_final(&error) => {
                if failures == 0 {
                    anstream::eprintln!("{DIM}not seen for now ({error:#}); still looking{DIM:#}");
                }
                failures += 1;
            }
            Err(error) => return Err(error),
        }
    }
}

fn is_final(error: &anyhow::Error) -> bool {
    error.downcast_ref::<Refusal>().is_some_and(|refusal| refusal.status < 500)
}

fn exit_code(run: &Run) -> ExitCode {
    match run.status {
        Status::Completed if run.has_holes() => ExitCode::from(3),
        Status::Completed => ExitCode::SUCCESS,
        Status::Stopped => ExitCode::from(2),
        Status::Created | Status::Running | Status::RateLimited | Status::Retrying | Status::Failed => {
            ExitCode::FAILURE
        }
    }
}

fn report(run: &Run) {
    let style = if run.has_holes() { YELLOW } else { paint::of(run.status) };
    let total = paint::total(&run.resource_stats);
    let errors = if total.errors == 1 { "error" } else { "errors" };
    anstream::println!(
        "{BOLD}{}{BOLD:#} {style}{}{style:#}: {} records delivered in {} pages, {} {errors}",
        run.id,
        run.status,
        paint::number(total.persisted),
        paint::number(run.pages),
        paint::number(total.errors)
    );
    if let Some(reason) = &run.reason {
        anstream::println!("  {}", paint::short(reason, 400));
    }
    for (node, why) in &run.incomplete {
        anstream::println!("  incomplete: {node}: {}", paint::short(why, 200));
    }
    if let Some(until) = &run.resumable_until {
        anstream::println!("{DIM}  go on with: rapidbridge resume {} (until {until}){DIM:#}", run.id);
    }
}

/// How progress is shown.
enum View {
    Bars(Bars),
    Lines(Lines),
}

/// What was printed last, and how many looks ago.
#[derive(Default)]
struct Lines {
    status: String,
    line: String,
    looks: u32,
}

struct Bars {
    all: MultiProgress,
    status: ProgressBar,
    nodes: BTreeMap<String, ProgressBar>,
}

impl View {
    fn bars() -> Self {
        let all = MultiProgress::new();
        let status = all.add(spinner());
        status.enable_steady_tick(Duration::from_millis(120));
        Self::Bars(Bars { all, status, nodes: BTreeMap::new() })
    }

    fn update(&mut self, run: &Run) {
        match self {
            Self::Bars(bars) => bars.update(run),
            Self::Lines(lines) => lines.update(run),
        }
    }

    fn finish(&self) {
        if let Self::Bars(bars) = self {
            bars.status.finish_and_clear();
            for bar in bars.nodes.values() {
                bar.abandon();
            }
        }
    }
}

impl Lines {
    fn update(&mut self, run: &Run) {
        let (status, line) = (format!("{} {:?}", run.status, run.wake_at), line(run));
        self.looks += 1;
        if status != self.status || (line != self.line && self.looks >= LOOKS_PER_LINE) {
            println!("{line}");
            *self = Self { status, line, looks: 0 };
        }
    }
}

impl Bars {
    fn update(&mut self, run: &Run) {
        self.status.set_message(status_text(run));
        for (node, methods) in &run.resource_stats {
            for (method, counts) in methods {
                let name = format!("{node} {method}");
                let bar = self.nodes.entry(name.clone()).or_insert_with(|| {
                    let bar = self.all.insert_before(&self.status, spinner());
                    bar.set_style(plain_style());
                    bar
                });
                bar.set_message(format!("{name:<32} {}", counts_text(counts)));
            }
        }
    }
}

fn spinner() -> ProgressBar {
    let bar = ProgressBar::new_spinner();
    if let Ok(style) = ProgressStyle::with_template("{spinner} {msg}") {
        bar.set_style(style);
    }
    bar
}

fn plain_style() -> ProgressStyle {
    ProgressStyle::with_template("  {msg}").unwrap_or_else(|_| ProgressStyle::default_spinner())
}

fn counts_text(counts: &Counts) -> String {
    let errors = match counts.errors {
        0 => String::new(),
        errors => format!("  {} errors", paint::number(errors)),
    };
    format!(
        "{:>10} fetched {:>10} delivered {:>7} pages{errors}",
        paint::number(counts.fetched),
        paint::number(counts.persisted),
        paint::number(counts.pages)
    )
}

fn status_text(run: &Run) -> String {
    let mut text = run.status.to_string();
    if let Some(node) = &run.node {
        text.push_str(&format!(" at {node}"));
    }
    if let Some(wake) = &run.wake_at {
        text.push_str(&format!(" until {wake}"));
    }
    if let Some(reason) = &run.reason {
        text.push_str(&format!(": {}", paint::short(reason, 100)));
    }
    if run.status == Status::Created {
        text.push_str(": waits for a worker");
    }
    text
}

/// The run in one line, for logs.
fn line(run: &Run) -> String {
    let nodes = run.resource_stats.iter().flat_map(|(node, methods)| {
        methods.values().map(move |counts| format!("{node} {}/{}", counts.persisted, counts.fetched))
    });
    let nodes: Vec<String> = nodes.collect();
    format!("{}  pages {}  {}", status_text(run), run.pages, nodes.join("  ")).trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn exit_codes_tell_the_endings_apart() {
        let code = |status: Status, incomplete: Value| {
            let run = json!({
                "id": "r", "sync_job_id": "j", "integrated_account_id": "a", "status": status, "args": {},
                "error_handling": "ignore", "resource_stats": {}, "created_at": "", "attempt": 1, "place": "ended",
                "stop_requested": false, "pages": 0, "seq": 0, "epoch": "1", "incomplete": incomplete,
                "terminal_undelivered": false, "ignore_previous_run": false, "updated_at": "",
            });
            format!("{:?}", exit_code(&serde_json::from_value(run).unwrap()))
        };
        let whole = json!({});
        assert_eq!(code(Status::Completed, whole.clone()), format!("{:?}", ExitCode::SUCCESS));
        assert_eq!(code(Status::Failed, whole.clone()), format!("{:?}", ExitCode::FAILURE));
        assert_eq!(code(Status::Stopped, whole), format!("{:?}", ExitCode::from(2)));
        let holes = json!({ "tickets": "Not Found" });
        assert_eq!(code(Status::Completed, holes), format!("{:?}", ExitCode::from(3)));
    }
}
