//! A source that nobody here wrote: [Kinto](https://docs.kinto-storage.org), as the Python package index has it, with its
//! records in memory. All of them come through SIGKILLs of the worker, and after that exactly what has changed.

use std::collections::BTreeMap;
use std::fs::File;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use rapidbridge::playground::receiver::{self, Given, Ledger};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::process::Child;

use crate::support::cluster::TOKEN;
use crate::support::{Cluster, PATIENCE, Setup, eventually, hold_at};

const RECORDS: usize = 10_000;
/// `kinto.paginate_by`; the integration asks for more.
const PAGE_RECORDS: usize = 250;
/// `kinto.batch_max_requests`.
const BATCH_REQUESTS: usize = 500;
/// The pages whose delivery waits for its answer while the worker is killed.
const KILLED_AT: [u64; 2] = [8, 24];

const USER: &str = "acme";
const PASSWORD: &str = "a password of the integration tests";
const COLLECTION: &str = "/buckets/acme/collections/contacts";
/// How long Kinto may take for a request of the test's own.
const CALL_TIMEOUT: Duration = Duration::from_secs(30);

/// Contacts by their ids.
type Contacts = BTreeMap<String, Value>;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Kinto's program, installed if it is not there yet.
fn installed() -> PathBuf {
    let output = Command::new(root().join("scripts/kinto")).stderr(Stdio::inherit()).output().unwrap();
    assert!(output.status.success(), "scripts/kinto does not install Kinto: {}", output.status);
    PathBuf::from(String::from_utf8(output.stdout).unwrap().trim_end())
}

/// A running Kinto with an empty collection. Dropping it kills it.
struct Kinto {
    url: String,
    log: PathBuf,
    http: reqwest::Client,
    child: Child,
}

impl Kinto {
    /// Starts it on a free port, with its log in `folder`.
    async fn start(folder: &Path) -> Self {
        let log = folder.join("kinto.log");
        let output = File::create(&log).unwrap();
        let mut command = tokio::process::Command::new(installed());
        command.args(["start", "--port", "0", "--ini"]).arg(root().join("tests/kinto/kinto.ini"));
        command.env_clear().current_dir(folder).stdin(Stdio::null()).kill_on_drop(true);
        command.stdout(output.try_clone().unwrap()).stderr(output);
        let http = reqwest::Client::builder().no_proxy().timeout(CALL_TIMEOUT).build().unwrap();
        let mut kinto = Self { url: String::new(), log, http, child: command.spawn().unwrap() };
        let url = eventually("Kinto to listen", async || {
            kinto.check_alive();
            listening(&kinto.log_text())
        })
        .await;
        kinto.url = url;
        eventually("Kinto's heartbeat", async || {
            let answer = kinto.http.get(format!("{}/v1/__heartbeat__", kinto.url)).send().await.ok()?;
            answer.status().is_success().then_some(())
        })
        .await;
        let everybody = json!({ "permissions": { "write": ["system.Authenticated"] } });
        kinto.ask(Method::PUT, "/buckets/acme", &everybody).await;
        kinto.ask(Method::PUT, COLLECTION, &json!({})).await;
        kinto
    }

    fn log_text(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Panics when it left though nobody asked it to.
    fn check_alive(&mut self) {
        let status = self.child.try_wait().unwrap();
        assert!(status.is_none(), "Kinto left by itself: {status:?}");
    }

    /// How often it was asked for a page of contacts, and gave one.
    fn pages(&self) -> usize {
        let wanted = format!("GET /v1{COLLECTION}/records 200");
        self.log_text().lines().filter(|line| *line == wanted).count()
    }

    async fn ask(&self, method: Method, path: &str, body: &Value) -> Value {
        let request = self.http.request(method, format!("{}/v1{path}", self.url));
        let request = request.basic_auth(USER, Some(PASSWORD)).header("content-type", "application/json");
        let mut response = request.body(body.to_string()).send().await.unwrap();
        let mut bytes = Vec::new();
        while let Some(chunk) = response.chunk().await.unwrap() {
            bytes.extend_from_slice(&chunk);
        }
        let status = response.status();
        assert!(status.is_success(), "{path} answered {status}: {}", String::from_utf8_lossy(&bytes));
        serde_json::from_slice(&bytes).unwrap()
    }

    /// Writes the contacts of these numbers, all called `name`, or deletes them. What Kinto then has of them.
    async fn write(&self, method: Method, numbers: Range<usize>, name: &str) -> Contacts {
        let request = |number: &usize| {
            let path = format!("{COLLECTION}/records/contact-{number:05}");
            let mut request = json!({ "method": method.as_str(), "path": path });
            if method != Method::DELETE {
                request["body"] = json!({ "data": { "name": name, "number": number } });
            }
            request
        };
        let numbers: Vec<usize> = numbers.collect();
        let mut written = Contacts::new();
        for some in numbers.chunks(BATCH_REQUESTS) {
            let requests: Vec<Value> = some.iter().map(request).collect();
            let answer = self.ask(Method::POST, "/batch", &json!({ "requests": requests })).await;
            for response in answer["responses"].as_array().unwrap() {
                assert!(matches!(response["status"].as_u64(), Some(200 | 201)), "{response}");
                let contact = &response["body"]["data"];
                written.insert(contact["id"].as_str().unwrap().to_owned(), contact.clone());
            }
        }
        assert_eq!(written.len(), numbers.len(), "contacts that Kinto has written");
        written
    }
}

impl Drop for Kinto {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let text = self.log_text();
            let lines: Vec<&str> = text.lines().collect();
            eprintln!("--- Kinto:\n{}", lines[lines.len().saturating_sub(12)..].join("\n"));
        }
    }
}

/// The address in the log line that says where it listens, once that is whole.
fn listening(log: &str) -> Option<String> {
    let (_, rest) = log.split_once("Serving on ")?;
    let (address, _) = rest.split_once('\n')?;
    Some(address.trim().to_owned())
}

/// Applies the files of `tests/kinto` by the command line.
fn apply(cluster: &Cluster, kinto: &Kinto) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rapidbridge"));
    command.args(["--api-url", &cluster.api.urls[0], "apply", "--yes"]);
    for file in ["integration.yaml", "sync-job.yaml", "account.yaml"] {
        command.arg("-f").arg(root().join("tests/kinto").join(file));
    }
    let output = command
        .env_clear()
        .envs([("RAPIDBRIDGE_TOKEN", TOKEN), ("KINTO_USER", USER), ("KINTO_PASSWORD", PASSWORD)])
        .envs([("KINTO_URL", &kinto.url), ("WEBHOOK_URL", &cluster.receiver.url())])
        .env("WEBHOOK_SECRET", receiver::Settings::default().secret)
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}{told}", String::from_utf8_lossy(&output.stdout));
}

async fn push(cluster: &Cluster) -> String {
    cluster.api.push("kinto-contacts", "acme", "backend").await
}

/// The contacts in the deliveries of `run` that were acknowledged, and how many there were with repeats.
fn delivered(cluster: &Cluster, run: &str) -> (Contacts, usize) {
    let bodies: Vec<_> = cluster.receiver.read(|ledger| {
        let pages = ledger.requests.iter().filter(|request| {
            request.event == "sync_job_run:record"
                && request.run.as_deref() == Some(run)
                && request.given == Some(Given::Status(200))
        });
        pages.map(|request| request.body.clone().unwrap()).collect()
    });
    let (mut contacts, mut count) = (Contacts::new(), 0);
    for body in bodies {
        let event: Value = serde_json::from_slice(&body).unwrap();
        for contact in event["payload"]["records"].as_array().unwrap() {
            contacts.insert(contact["id"].as_str().unwrap().to_owned(), contact.clone());
            count += 1;
        }
    }
    (contacts, count)
}

/// Panics unless `run` completed without a hole and brought exactly the contacts of `wanted`, as Kinto has them, in
/// order; pages that were in flight at one of `kills` may have come twice.
async fn judge(cluster: &Cluster, run: &str, wanted: &Contacts, kills: usize) {
    let ended = cluster.api.ended(run).await;
    assert_eq!(ended.status, "completed", "{ended:?}");
    assert!(ended.incomplete.is_empty(), "{ended:?}");

    let (came, count) = delivered(cluster, run);
    let lost: Vec<&String> =
        wanted.iter().filter(|(id, contact)| came.get(*id) != Some(*contact)).map(|(id, _)| id).collect();
    assert!(lost.is_empty(), "{} of {} did not come as they are: {:?}…", lost.len(), wanted.len(), lost[0]);
    let more: Vec<&String> = came.keys().filter(|id| !wanted.contains_key(*id)).collect();
    assert!(more.is_empty(), "{} came that should not: {:?}…", more.len(), more[0]);
    let twice = count - came.len();
    assert!(twice <= kills * PAGE_RECORDS, "{twice} contacts came again");

    let (ours, faults) = cluster.receiver.read(|ledger| {
        let faults = [
            ledger.bad_signatures,
            ledger.malformed,
            ledger.id_conflicts,
            ledger.stale_epochs,
            ledger.out_of_order,
            ledger.rewinds.len() as u64,
        ];
        (ledger.run(run), faults)
    });
    assert_eq!(faults, [0; 6], "signatures, form, ids, epochs, order, rewinds");
    assert!(ours.missing_seqs().is_empty(), "pages that were never acknowledged: {:?}", ours.missing_seqs());
    assert_eq!(ours.acked_seqs.len(), wanted.len().div_ceil(PAGE_RECORDS), "pages");
    assert_eq!(ours.event("sync_job_run:started").distinct, 1);
    assert_eq!(ours.event("sync_job_run:completed").distinct, 1);
    assert_eq!(ours.epochs.len(), kills + 1, "workers that had the run");
}

#[tokio::test]
async fn ten_thousand_records_of_kinto_survive_kills_and_then_only_changes_come() {
    let receiver = receiver::Settings { keep_bytes_max: 16 << 20, ..receiver::Settings::default() };
    let mut cluster = Setup { receiver, ..Setup::default() }.start().await;
    let mut kinto = Kinto::start(cluster.folder()).await;
    let there = kinto.write(Method::PUT, 0..RECORDS, "as it was").await;
    apply(&cluster, &kinto);

    cluster.receiver.hold();
    let run = push(&cluster).await;
    for page in KILLED_AT {
        // The gate is shut again by the page itself, before the worker can go on.
        hold_at(&cluster.receiver, page);
        cluster.receiver.release();
        let waits = |ledger: &Ledger| ledger.requests.iter().any(|request| request.seq == Some(page));
        cluster.receiver.wait_for("a page in flight", PATIENCE, waits).await.unwrap();
        cluster.take_holder(&run).await.kill().await;
        cluster.start_worker();
    }
    cluster.receiver.release();
    judge(&cluster, &run, &there, KILLED_AT.len()).await;
    // It went on where it was: a killed worker costs the page in flight and the one fetched ahead.
    let (pages, asked) = (RECORDS / PAGE_RECORDS, kinto.pages());
    let again = asked.checked_sub(pages).unwrap();
    assert!(again <= KILLED_AT.len() * 2, "{asked} requests for {pages} pages");

    // More than a page, so that the filter has to stand in Kinto's links as well.
    let mut changed = kinto.write(Method::PATCH, 20..320, "changed").await;
    changed.append(&mut kinto.write(Method::DELETE, 9_990..9_995, "").await);
    changed.append(&mut kinto.write(Method::PUT, RECORDS..RECORDS + 10, "new").await);
    assert_eq!(changed.len(), 315);
    assert_eq!(changed["contact-09990"]["deleted"], true);
    let run = push(&cluster).await;
    judge(&cluster, &run, &changed, 0).await;
    assert_eq!(kinto.pages() - asked, 2, "requests for what changed");

    let run = push(&cluster).await;
    judge(&cluster, &run, &Contacts::new(), 0).await;

    cluster.assert_quiet().await;
    cluster.check_alive();
    kinto.check_alive();
}
