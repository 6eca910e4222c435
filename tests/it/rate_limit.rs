//! A rate limit parks the run: it holds no slot, asks nothing before the wait is over, and goes on where it was.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, UNIX_EPOCH};

use rapidbridge::clock;
use rapidbridge::playground::helpdesk::{self, RequestInfo, Resource};
use rapidbridge::playground::receiver::{Ledger, Received};
use rapidbridge::playground::{Answer, Helpdesk};
use serde_json::{Value, json};

use crate::support::definitions::{self, account, job, with};
use crate::support::{Cluster, Expected, PATIENCE, Setup, judge, limit_at};

const LIMITED: &str = "sync_job_run:rate_limited";

fn first(ledger: &Ledger, run: &str, event: &str) -> Option<Received> {
    let mut ours = ledger.requests.iter().filter(|request| request.run.as_deref() == Some(run));
    ours.find(|request| request.event == event).cloned()
}

fn payload(event: &Received) -> Value {
    let body: Value = serde_json::from_slice(event.body.as_ref().unwrap()).unwrap();
    body["payload"].clone()
}

#[tokio::test]
async fn a_limited_run_frees_its_worker_and_goes_on_where_it_was() {
    let setup = Setup { workers: 1, ..Setup::default() }.set("WORKER__CONCURRENCY", "1");
    let mut cluster = setup.start().await;
    let other = Helpdesk::start(helpdesk::Settings { tickets: 60, ..Default::default() }).await.unwrap();
    let token = &other.settings().token;
    cluster
        .apply(vec![
            job("tickets", definitions::tickets()),
            job("users", json!([{ "resource": "users" }])),
            account("free", &other.url(), token),
        ])
        .await;
    let receiver = cluster.receiver.clone();
    limit_at(&cluster.helpdesk, 4, 6);
    let limited = cluster.api.push("tickets", "acme", "backend").await;
    let parked = cluster.api.run_when(&limited, "limited", |run| run.status == "rate_limited").await;
    assert_eq!((parked.place.as_str(), parked.worker), ("parked", None));
    let asked = cluster.helpdesk.read(|ledger| ledger.requests);
    // The only slot there is takes another account's run; one of the same account waits and says nothing.
    let same = cluster.api.push("users", "acme", "backend").await;
    let free = cluster.api.push("tickets", "free", "backend").await;
    assert_eq!(cluster.api.ended(&free).await.status, "completed");
    judge(&other, &receiver, &free, &[Resource::Tickets], Expected::default());
    let meanwhile = cluster.api.run(&limited).await;
    assert_eq!(meanwhile.status, "rate_limited", "the other run did not end while this one was parked");
    assert_eq!(cluster.helpdesk.read(|ledger| ledger.requests), asked, "asked before the wait was over");
    assert!(receiver.read(|ledger| !ledger.runs.contains_key(&same)), "started behind a closed gate");

    for (run, resource) in [(&limited, Resource::Tickets), (&same, Resource::Users)] {
        assert_eq!(cluster.api.ended(run).await.status, "completed");
        judge(&cluster.helpdesk, &receiver, run, &[resource], Expected::default());
    }
    cluster.helpdesk.read(|ledger| {
        assert_eq!(ledger.limit_violations, 0, "{ledger}");
        assert_eq!(ledger.requests, ledger.asked.len() as u64 + ledger.status(429), "asked twice: {ledger}");
    });
    receiver.read(|ledger| {
        assert_eq!(ledger.run(&limited).event(LIMITED).distinct, 1);
        assert_eq!(ledger.run(&same).event(LIMITED).distinct, 0, "it had not started");
        let event = payload(&first(ledger, &limited, LIMITED).unwrap());
        let wait = event["retryAfter"].as_u64().unwrap();
        assert!((1..=6).contains(&wait) && event["resource"] == "tickets", "{event}");
        assert!(event["resumes_at"].as_str().unwrap().ends_with('Z'), "{event}");
    });
    cluster.check_alive();
}

/// A source that limits its third request until a moment that it tells in its own way.
struct Limit {
    asked: AtomicU64,
    until: AtomicI64,
    too_early: AtomicU64,
}

impl Limit {
    fn new() -> Arc<Self> {
        Arc::new(Self { asked: 0.into(), until: 0.into(), too_early: 0.into() })
    }

    /// Pages 1 to 5; the third is refused as `refuse` says, given the second at which it will be served.
    fn answer(&self, info: &RequestInfo, refuse: impl Fn(i64) -> Answer) -> Answer {
        let page = info.cursor.as_deref().map_or(1, |cursor| cursor.parse().unwrap());
        let (now, until) = (clock::now().0, self.until.load(Ordering::SeqCst));
        if page == 3 && until == 0 {
            // A whole second, as headers have no other.
            let until = now / 1000 + 3;
            self.until.store(until * 1000, Ordering::SeqCst);
            return refuse(until);
        }
        if now + 20 < until {
            self.too_early.fetch_add(1, Ordering::SeqCst);
        }
        self.asked.fetch_add(1, Ordering::SeqCst);
        let next = if page < 5 { format!("\"{}\"", page + 1) } else { "null".to_owned() };
        let meta = format!("{{\"has_more\":{},\"next_cursor\":{next}}}", page < 5);
        Answer::ok().json(format!("{{\"tickets\":[{{\"id\":{page}}}],\"meta\":{meta}}}"))
    }
}

fn refusals(form: &str, until: i64) -> Answer {
    let wait = (until - clock::now().0 / 1000).to_string();
    match form {
        "date" => {
            let date = UNIX_EPOCH + Duration::from_secs(until.unsigned_abs());
            Answer::status(503).header("retry-after", &httpdate::fmt_http_date(date))
        }
        "delta" => Answer::status(429).header("x-reset", &wait),
        "epoch" => Answer::status(429).header("x-reset", &until.to_string()),
        // The longer of the two counts.
        "both" => Answer::status(403).header("retry-after", "1").header("x-reset", &until.to_string()),
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn a_limit_is_understood_in_each_of_its_forms() {
    let cluster = Setup::default().start().await;
    let forms = [
        ("date", "delta_seconds"),
        ("delta", "delta_seconds"),
        ("epoch", "epoch_seconds"),
        ("both", "epoch_seconds"),
    ];
    let mut sources = Vec::new();
    let mut documents = Vec::new();
    for (form, unit) in forms {
        let source = Helpdesk::start(helpdesk::Settings::default()).await.unwrap();
        let limit = Limit::new();
        let script = Arc::clone(&limit);
        source.script(move |info| Some(script.answer(info, |until| refusals(form, until))));
        let rule = json!({ "name": form, "rate_limit": {
            "statuses": [429, 403], "reset_header": "X-Reset", "reset_unit": unit, "default_wait": "30s" } });
        let changes = json!({ "integration": form });
        documents.extend([
            with(definitions::integration(), rule),
            with(account(form, &source.url(), "t"), changes),
            with(job(form, definitions::tickets()), json!({ "integration_name": form })),
        ]);
        sources.push((form, source, limit));
    }
    cluster.apply(documents).await;
    let mut runs = Vec::new();
    for (form, ..) in &sources {
        runs.push(cluster.api.push(form, form, "backend").await);
    }
    for (run, (form, _source, limit)) in runs.iter().zip(&sources) {
        let ended = cluster.api.ended(run).await;
        assert_eq!(ended.status, "completed", "{form}: {ended:?}");
        assert_eq!(limit.too_early.load(Ordering::SeqCst), 0, "{form}: asked before the wait was over");
        assert_eq!(limit.asked.load(Ordering::SeqCst), 5, "{form}: pages were asked for twice");
        cluster.receiver.read(|ledger| {
            let run = ledger.run(run);
            assert_eq!(run.event(LIMITED).distinct, 1, "{form}");
            assert_eq!(run.acked_seqs.len(), 5, "{form}");
            assert_eq!(run.event("sync_job_run:record_error").requests, 0, "{form}");
        });
    }
}

/// Runs of these jobs and accounts are on their way when the source limits the rate, so all of them meet it. Each reports it
/// once and brings all that there is.
async fn all_meet_one_limit(cluster: &Cluster, wanted: &[(&str, &str)]) {
    cluster.helpdesk.hold();
    let mut runs = Vec::new();
    for (job, account) in wanted {
        runs.push(cluster.api.push(job, account, "backend").await);
    }
    let all = runs.len() as u64;
    cluster.helpdesk.wait_for_requests(all, PATIENCE).await.unwrap();
    cluster.helpdesk.limit_now(2);
    cluster.helpdesk.release();
    for run in &runs {
        let ended = cluster.api.ended(run).await;
        assert_eq!(ended.status, "completed", "{ended:?}");
        judge(&cluster.helpdesk, &cluster.receiver, run, &[Resource::Tickets], Expected::default());
        assert_eq!(cluster.receiver.read(|ledger| ledger.run(run).event(LIMITED).distinct), 1);
    }
    // Those that were under way already when the first was told count as violations of the ledger, and no later request does.
    cluster.helpdesk.read(|ledger| {
        assert_eq!((ledger.limits, ledger.limit_violations), (1, all - 1), "{ledger}");
    });
}

/// Several runs that are under way meet one limit: each says so once, and all go on.
#[tokio::test]
async fn runs_of_one_account_wait_together() {
    let cluster: Cluster = Setup { workers: 2, ..Setup::default() }.start().await;
    let jobs = ["one", "two", "three"];
    cluster.apply(jobs.iter().map(|id| job(id, definitions::tickets())).collect()).await;
    all_meet_one_limit(&cluster, &jobs.map(|id| (id, "acme"))).await;
}

/// What an integration declares is kept to by all workers together, before the source says anything.
#[tokio::test]
async fn a_declared_budget_is_kept_to_and_then_waited_for() {
    const REQUESTS: u64 = 5;
    let mut cluster = Setup { workers: 2, ..Setup::default() }.start().await;
    // So long that none of it fills while the test runs.
    let integration =
        with(definitions::integration(), json!({ "rate_limit": { "requests": REQUESTS, "per": "24h" } }));
    let jobs = ["tickets", "again"].map(|id| job(id, definitions::tickets()));
    cluster.apply([integration].into_iter().chain(jobs).collect()).await;
    let runs = [
        cluster.api.push("tickets", "acme", "backend").await,
        cluster.api.push("again", "acme", "backend").await,
    ];
    let limited = cluster.api.run_when(&runs[0], "limited", |run| run.status == "rate_limited");
    let limited = limited.await;
    assert_eq!((limited.place.as_str(), limited.worker), ("parked", None));
    let _ = cluster.api.run_when(&runs[1], "waiting", |run| run.worker.is_none()).await;
    cluster.helpdesk.read(|ledger| assert_eq!(ledger.requests, REQUESTS, "{ledger}"));
    cluster.check_alive();
}

/// A limit of the application is met by all who are on their way. When it is over one asks, and then the others, in steps in
/// which those who wait are not limited anew.
#[tokio::test]
async fn a_limit_of_the_application_is_reported_once_by_each_run() {
    let cluster = Setup { workers: 2, ..Setup::default() }.start().await;
    let rule = json!({ "rate_limit": { "scope": "application" } });
    let integration = with(definitions::integration(), rule);
    let token = cluster.helpdesk.settings().token.clone();
    let accounts = ["one", "two", "three", "four", "five"];
    let connected = accounts.map(|id| definitions::account(id, &cluster.helpdesk.url(), &token));
    let all = [integration, job("tickets", definitions::tickets())].into_iter().chain(connected);
    cluster.apply(all.collect()).await;
    all_meet_one_limit(&cluster, &accounts.map(|account| ("tickets", account))).await;
}

/// Where the limit is the application's, what one account spends another one lacks, and what the source says to one holds
/// for all.
#[tokio::test]
async fn a_limit_of_the_application_is_one_for_all_accounts() {
    let mut cluster = Setup { workers: 2, ..Setup::default() }.start().await;
    let rule = json!({ "rate_limit": { "scope": "application" } });
    let integration = with(definitions::integration(), rule);
    let token = cluster.helpdesk.settings().token.clone();
    let other = definitions::account("other", &cluster.helpdesk.url(), &token);
    cluster.apply(vec![integration, other, job("tickets", definitions::tickets())]).await;
    limit_at(&cluster.helpdesk, 2, 30);
    let first = cluster.api.push("tickets", "acme", "backend").await;
    let limited = cluster.api.run_when(&first, "limited", |run| run.status == "rate_limited").await;
    assert_eq!(limited.place, "parked");
    let asked = cluster.helpdesk.read(|ledger| ledger.requests);
    let second = cluster.api.push("tickets", "other", "backend").await;
    let limited = cluster.api.run_when(&second, "limited", |run| run.status == "rate_limited").await;
    assert_eq!(limited.place, "parked");
    cluster.helpdesk.read(|ledger| assert_eq!(ledger.requests, asked, "{ledger}"));
    cluster.check_alive();
}
