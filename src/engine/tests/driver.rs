//! The driver: what it does beside the machine's effects. Fetching ahead, leaving, and letting go.

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::plans::{one_list_plan, plain_facts};
use crate::clock::Millis;
use crate::definition::webhook::EventType;
use crate::engine::budget::{Budget, Room};
use crate::engine::driver::{Driver, Ending};
use crate::engine::machine::{Gate, Machine, Park, Recall, Remember, Remembered};
use crate::engine::seam::{
    Courier, Cursor, Delivery, DeliveryError, Entry, FetchError, FetchErrorKind, FetchRequest, Journal,
    JournalError, Notice, Page, SendGuard, Source, Verdict,
};
use crate::json::Json;
use crate::plan::PlanKind;
use crate::run::{Outcome, Status};
use crate::template::Template;

/// What happened, in order.
type Story = Arc<Mutex<Vec<String>>>;

fn tell(story: &Story, what: impl Into<String>) {
    story.lock().unwrap().push(what.into());
}

/// Three pages of one record; the second can be limited once, and the first held back once.
struct Pages {
    story: Story,
    limit_second: AtomicBool,
    hold_first: AtomicBool,
    fetched: Notify,
}

impl Source for Pages {
    async fn fetch(
        &self,
        request: &FetchRequest,
        _room: &Room,
        _guard: &dyn SendGuard,
    ) -> Result<Page, FetchError> {
        let number = match &request.cursor {
            Cursor::Token(token) => token.parse::<u32>().unwrap(),
            Cursor::Start | Cursor::Link(_) | Cursor::Page(_) | Cursor::Offset(_) => 1,
        };
        tell(&self.story, format!("fetch {number}"));
        self.fetched.notify_one();
        if number == 2 && self.limit_second.swap(false, Ordering::SeqCst) {
            return Err(FetchError {
                kind: FetchErrorKind::RateLimited { wait: Duration::from_secs(9) },
                status: Some(429),
                error: "Too Many Requests".into(),
                message: "slow down".into(),
                raw_response: None,
                skip_to: None,
            });
        }
        if number == 1 && self.hold_first.swap(false, Ordering::SeqCst) {
            let kind = FetchErrorKind::Held { wait: Duration::from_secs(9) };
            return Err(FetchError::new(kind, "held_back", "not yet".to_owned()));
        }
        let next = (number < 3).then(|| Cursor::Token((number + 1).to_string()));
        let records = crate::json::elements("[1]").unwrap();
        Ok(Page { body: Bytes::from_static(b"[1]"), records, next, replayable: true })
    }
}

/// Acknowledges, and for the first page only once the source was asked for the second.
struct Hook {
    story: Story,
    pages: Arc<Pages>,
    wait_for_fetch_ahead: bool,
    fail: bool,
    leave_during_page: Option<CancellationToken>,
}

impl Courier for Hook {
    async fn deliver(&self, delivery: &Delivery, _guard: &dyn SendGuard) -> Verdict {
        let seq = delivery.seq.unwrap_or_default();
        tell(
            &self.story,
            format!("deliver {} {seq}", delivery.event.as_str().trim_start_matches("sync_job_run:")),
        );
        if seq == 1 && self.wait_for_fetch_ahead {
            self.pages.fetched.notified().await;
            self.pages.fetched.notified().await;
        }
        if let (Some(leaving), EventType::Record) = (&self.leave_during_page, delivery.event) {
            leaving.cancel();
        }
        if self.fail && matches!(delivery.event, EventType::Record | EventType::RunStopped) {
            return Verdict::Failed(DeliveryError {
                status: None,
                message: "cut".into(),
                retry_after: None,
                attempts: 1,
            });
        }
        Verdict::Acknowledged
    }
}

struct Log {
    story: Story,
    lose_after: usize,
    saves: Mutex<usize>,
    gate: Mutex<Gate>,
    gate_opens_after: Duration,
}

impl Journal for Log {
    async fn recall(&self, _: &Recall) -> Result<Option<Json>, JournalError> {
        Ok(None)
    }

    async fn remember(&self, _: &Remember) -> Result<Remembered, JournalError> {
        Ok(Remembered::Written)
    }

    async fn save(&self, entry: Entry<'_>) -> Result<Notice, JournalError> {
        let mut saves = self.saves.lock().unwrap();
        *saves += 1;
        if *saves > self.lose_after {
            return Err(JournalError::Lost);
        }
        tell(&self.story, format!("save {}", entry.checkpoint.destinations[0].seq));
        // As the store does: each save says how the gate stands.
        Ok(Notice { stop: None, gate: *self.gate.lock().unwrap() })
    }

    async fn park(&self, _entry: Entry<'_>, park: &Park) -> Result<(), JournalError> {
        tell(&self.story, format!("park {}", park.status));
        Ok(())
    }

    async fn release(&self, entry: Entry<'_>) -> Result<(), JournalError> {
        tell(&self.story, format!("release {}", entry.checkpoint.destinations[0].seq));
        Ok(())
    }

    async fn finish(&self, _entry: Entry<'_>, outcome: &Outcome) -> Result<(), JournalError> {
        tell(&self.story, format!("finish {}", outcome.status));
        Ok(())
    }

    async fn close_gate(&self, seen: u64, _wait: Duration) -> Result<Gate, JournalError> {
        tell(&self.story, "close gate");
        let opens_at = self.now().plus(self.gate_opens_after);
        let closed = Gate { generation: seen + 1, opens_at, passed: false };
        *self.gate.lock().unwrap() = closed;
        Ok(closed)
    }

    async fn pass_gate(&self, generation: u64) {
        tell(&self.story, format!("pass gate {generation}"));
    }

    fn now(&self) -> Millis {
        Millis(1_769_846_400_000)
    }
}

/// The run is ours; perhaps somebody asked for a stop.
struct Ours {
    stop: bool,
}

impl SendGuard for Ours {
    fn permit(&self) -> Option<u64> {
        Some(1)
    }

    fn interrupted(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        if self.stop { Box::pin(std::future::ready(())) } else { Box::pin(std::future::pending()) }
    }

    fn stop_requested(&self) -> Option<String> {
        self.stop.then(|| "enough".to_owned())
    }
}

struct Setting {
    limit_second: bool,
    hold_first: bool,
    other_account: bool,
    wait_for_fetch_ahead: bool,
    fail: bool,
    leave_during_page: bool,
    lose_after: usize,
    budget_bytes: usize,
    stop: bool,
    gate_opens_after: Duration,
    gate: Gate,
}

const CALM: Setting = Setting {
    limit_second: false,
    hold_first: false,
    other_account: false,
    wait_for_fetch_ahead: false,
    fail: false,
    leave_during_page: false,
    lose_after: 99,
    budget_bytes: 1 << 20,
    stop: false,
    gate_opens_after: Duration::from_secs(9),
    gate: Gate { generation: 0, opens_at: Millis(0), passed: false },
};

async fn drive(setting: Setting) -> (Ending, Vec<String>) {
    let story = Story::default();
    let leaving = CancellationToken::new();
    let pages = Arc::new(Pages {
        story: Arc::clone(&story),
        limit_second: AtomicBool::new(setting.limit_second),
        hold_first: AtomicBool::new(setting.hold_first),
        fetched: Notify::new(),
    });
    let hook = Hook {
        story: Arc::clone(&story),
        pages: Arc::clone(&pages),
        wait_for_fetch_ahead: setting.wait_for_fetch_ahead,
        fail: setting.fail,
        leave_during_page: setting.leave_during_page.then(|| leaving.clone()),
    };
    let driver = Driver {
        source: pages,
        courier: Arc::new(hook),
        journal: Arc::new(Log {
            story: Arc::clone(&story),
            lose_after: setting.lose_after,
            saves: Mutex::default(),
            gate: Mutex::default(),
            gate_opens_after: setting.gate_opens_after,
        }),
        guard: Arc::new(Ours { stop: setting.stop }),
        leaving,
        budget: Budget::new(setting.budget_bytes, 1 << 10),
        evaluations: Arc::new(tokio::sync::Semaphore::new(1)),
        fetch_ahead: setting.wait_for_fetch_ahead || setting.limit_second,
    };
    let mut plan = one_list_plan();
    if setting.other_account
        && let PlanKind::Request(request) = &mut Arc::make_mut(&mut plan).nodes[0].kind
    {
        request.account = Some(Template::literal("other"));
    }
    let mut machine = Machine::start(plan, plain_facts(), Millis(1_769_846_400_000));
    let ending = driver.run(&mut machine, Notice { stop: None, gate: setting.gate }).await;
    let story = story.lock().unwrap().clone();
    (ending, story)
}

#[tokio::test]
async fn a_page_costs_one_fetch_one_delivery_and_one_save() {
    let (ending, story) = drive(CALM).await;
    assert!(matches!(ending, Ending::Finished(outcome) if outcome.status == Status::Completed));
    let expected = "save 0, deliver started 0, save 0, fetch 1, deliver record 1, save 1, fetch 2, deliver record 2, \
                    save 2, fetch 3, deliver record 3, save 3, deliver completed 0, finish completed";
    assert_eq!(story.join(", "), expected);
}

#[tokio::test]
async fn the_next_page_is_fetched_while_this_one_is_delivered() {
    let (ending, story) = drive(Setting { wait_for_fetch_ahead: true, ..CALM }).await;
    assert!(matches!(ending, Ending::Finished(_)));
    let at = |what: &str| story.iter().position(|line| line == what).unwrap();
    assert!(at("fetch 2") < at("save 1"), "{story:?}");
    assert_eq!(story.iter().filter(|line| line.starts_with("fetch")).count(), 3, "{story:?}");
}

#[tokio::test]
async fn a_limit_met_while_fetching_ahead_closes_the_gate_at_once_and_is_reported_after_the_page() {
    let (ending, story) = drive(Setting { limit_second: true, ..CALM }).await;
    assert!(matches!(ending, Ending::Parked(park) if park.status == Status::RateLimited));
    let at = |what: &str| story.iter().position(|line| line == what).unwrap();
    assert!(at("save 1") < at("deliver rate_limited 0"), "{story:?}");
    assert_eq!(story.last().unwrap(), "park rate_limited");
}

#[tokio::test]
async fn the_first_page_after_a_limit_is_told_once() {
    let gate = Gate { generation: 7, opens_at: Millis(1), passed: false };
    let (ending, story) = drive(Setting { gate, ..CALM }).await;
    assert!(matches!(ending, Ending::Finished(_)));
    let told: Vec<usize> = (0..story.len()).filter(|at| story[*at] == "pass gate 7").collect();
    assert_eq!(told, [story.iter().position(|line| line == "fetch 1").unwrap() + 1], "{story:?}");
}

#[tokio::test]
async fn who_is_held_back_reports_nothing_and_lets_the_others_of_its_account_pass() {
    let gate = Gate { generation: 7, opens_at: Millis(1), passed: false };
    let (ending, story) = drive(Setting { hold_first: true, gate, ..CALM }).await;
    assert!(matches!(ending, Ending::Parked(park) if park.status == Status::RateLimited));
    assert_eq!(story[story.len() - 3..], ["fetch 1", "pass gate 7", "park rate_limited"]);
}

#[tokio::test]
async fn what_another_account_is_told_leaves_the_gate_of_the_runs_own_alone() {
    let gate = Gate { generation: 7, opens_at: Millis(1), passed: false };
    let (ending, story) = drive(Setting { limit_second: true, other_account: true, gate, ..CALM }).await;
    assert!(matches!(ending, Ending::Parked(park) if park.status == Status::RateLimited));
    assert!(story.iter().any(|line| line == "deliver rate_limited 0"), "{story:?}");
    assert!(!story.iter().any(|line| line.ends_with("gate") || line.contains("gate ")), "{story:?}");
}

#[tokio::test]
async fn a_worker_that_leaves_finishes_its_delivery_and_gives_the_run_back() {
    let (ending, story) = drive(Setting { leave_during_page: true, ..CALM }).await;
    assert_eq!(ending, Ending::Released);
    assert_eq!(story[story.len() - 3..], ["deliver record 1", "save 1", "release 1"]);
}

#[tokio::test]
async fn a_delivery_cut_short_by_leaving_says_nothing_about_the_webhook() {
    let (ending, story) = drive(Setting { leave_during_page: true, fail: true, ..CALM }).await;
    assert_eq!(ending, Ending::Released);
    assert_eq!(story.last().unwrap(), "release 0");
}

#[tokio::test]
async fn a_lost_run_is_dropped_at_once() {
    let (ending, story) = drive(Setting { lose_after: 2, ..CALM }).await;
    assert_eq!(ending, Ending::Lost(JournalError::Lost));
    assert_eq!(story.last().unwrap(), "deliver record 1");
}

#[tokio::test]
async fn a_budget_of_one_page_is_enough() {
    let (ending, _) = drive(Setting { budget_bytes: 2 << 10, wait_for_fetch_ahead: false, ..CALM }).await;
    assert!(matches!(ending, Ending::Finished(_)));
}

#[tokio::test]
async fn a_stop_whose_last_event_is_not_taken_waits_like_any_other() {
    let (ending, story) = drive(Setting { stop: true, fail: true, ..CALM }).await;
    assert!(matches!(ending, Ending::Parked(park) if park.status == Status::Retrying));
    assert_eq!(story, ["save 0", "deliver stopped 0", "park retrying"]);
}

#[tokio::test]
async fn a_run_that_was_told_to_wait_longer_than_the_gate_is_closed_waits_as_long() {
    let opens = Duration::from_secs(1);
    let (ending, story) = drive(Setting { limit_second: true, gate_opens_after: opens, ..CALM }).await;
    let until = Millis(1_769_846_400_000).plus(Duration::from_secs(9));
    assert!(matches!(ending, Ending::Parked(park) if park.until == until), "{story:?}");
}
