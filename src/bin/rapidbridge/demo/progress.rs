//! Live progress, read from the ledgers: bars on a terminal, a line every two seconds elsewhere.

use std::io::IsTerminal;
use std::sync::Arc;
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use rapidbridge::playground::helpdesk::Resource;
use rapidbridge::playground::{Helpdesk, Receiver};
use tokio::task::AbortHandle;
use tokio::time::interval;

/// How often bars move.
const BARS_EVERY: Duration = Duration::from_millis(100);
/// How often a line is written where there are no bars.
const LINES_EVERY: Duration = Duration::from_secs(2);

/// What the user watches.
pub(super) struct Progress {
    began: std::time::Instant,
    view: View,
    task: AbortHandle,
}

enum View {
    Bars(MultiProgress),
    Lines,
}

impl Progress {
    /// Shows progress until it is finished or dropped.
    pub(super) fn new(helpdesk: Arc<Helpdesk>, receiver: Arc<Receiver>) -> Self {
        let began = rapidbridge::clock::monotonic();
        let totals = Resource::ALL.map(|resource| (resource, helpdesk.ids(resource).len() as u64));
        if std::io::stdout().is_terminal() {
            let all = MultiProgress::with_draw_target(indicatif::ProgressDrawTarget::stdout());
            let bars = totals.map(|(resource, total)| (resource, all.add(bar(resource, total))));
            let task = tokio::spawn(move_bars(bars, receiver)).abort_handle();
            Self { began, view: View::Bars(all), task }
        } else {
            let task = tokio::spawn(write_lines(totals, helpdesk, receiver)).abort_handle();
            Self { began, view: View::Lines, task }
        }
    }

    /// Tells what has just happened.
    pub(super) fn say(&self, text: &str) {
        let line = format!("{:5.1} s  {text}", self.began.elapsed().as_secs_f64());
        match &self.view {
            // Where nothing can be written, nobody watches.
            View::Bars(all) => drop(all.println(line)),
            View::Lines => println!("{line}"),
        }
    }

    /// Shows no more.
    pub(super) fn finish(&self) {
        self.task.abort();
        if let View::Bars(all) = &self.view {
            drop(all.clear());
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.finish();
    }
}

fn bar(resource: Resource, total: u64) -> ProgressBar {
    let style = ProgressStyle::with_template("         {prefix:<14}{bar:30} {pos:>5} of {len}")
        .unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(total).with_style(style).with_prefix(resource.as_str())
}

async fn move_bars(bars: [(Resource, ProgressBar); 4], receiver: Arc<Receiver>) {
    let mut ticks = interval(BARS_EVERY);
    loop {
        ticks.tick().await;
        for (resource, bar) in &bars {
            bar.set_position(received(&receiver, *resource));
        }
    }
}

async fn write_lines(totals: [(Resource, u64); 4], helpdesk: Arc<Helpdesk>, receiver: Arc<Receiver>) {
    let mut ticks = interval(LINES_EVERY);
    ticks.tick().await;
    loop {
        ticks.tick().await;
        let counts =
            totals.map(|(resource, total)| format!("{resource} {}/{total}", received(&receiver, resource)));
        let limited = helpdesk.read(|ledger| ledger.status(429));
        println!("         received: {}; rate limited {limited} times", counts.join(", "));
    }
}

fn received(receiver: &Receiver, resource: Resource) -> u64 {
    receiver.read(|ledger| {
        let ledgers = ledger.runs.values().filter_map(|run| run.resources.get(resource.as_str()));
        ledgers.map(|ledger| ledger.unique.len() as u64).sum()
    })
}
