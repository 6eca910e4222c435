//! Requests that fail for good, by the job's `error_handling` and the list's pagination (rule 9).

use std::collections::BTreeSet;
use std::sync::Arc;

use rapidbridge::playground::Answer;
use rapidbridge::playground::helpdesk::{RequestInfo, Resource};
use rapidbridge::playground::receiver::Ledger;
use serde_json::{Value, json};

use crate::support::definitions::{self, job, pagination, with};
use crate::support::{Cluster, Run, Setup};

const ERROR: &str = "sync_job_run:record_error";

/// A list of nine tickets, two a page: five pages. Those in `broken` fail for good.
fn pages(format: &str, broken: &[u64], info: &RequestInfo) -> Option<Answer> {
    if info.resource != Some(Resource::Tickets) || info.path != "/api/v1/tickets" {
        return None;
    }
    let asked = |name: &str| info.query.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone());
    let page = match format {
        "page" => asked("page").map_or(1, |page| page.parse().unwrap()),
        "offset" => asked("offset").map_or(1, |offset| offset.parse::<u64>().unwrap() / 2 + 1),
        _ => info.cursor.as_deref().map_or(1, |cursor| cursor.parse().unwrap()),
    };
    if broken.contains(&page) {
        return Some(Answer::status(404).json(r#"{"error":"gone fishing"}"#));
    }
    let ids: Vec<String> = (2 * page - 1..=(2 * page).min(9)).map(|id| format!("{{\"id\":{id}}}")).collect();
    let more = page < 5;
    let next = if more { format!("\"{}\"", page + 1) } else { "null".to_owned() };
    let body = format!(
        "{{\"tickets\":[{}],\"meta\":{{\"has_more\":{more},\"next_cursor\":{next}}}}}",
        ids.join(",")
    );
    let link = format!("</api/v1/tickets?cursor={}>; rel=\"next\"", page + 1);
    let answer = Answer::ok().json(body);
    Some(if format == "link_header" && more { answer.header("link", &link) } else { answer })
}

struct Played {
    cluster: Cluster,
    run: Run,
}

/// Plays `resources`, which ask for tickets in pages of this format, some of them broken.
async fn play(format: &'static str, broken: &'static [u64], handling: &str, resources: Value) -> Played {
    let cluster = Setup::default().start().await;
    cluster.helpdesk.script(move |info| pages(format, broken, info));
    let mut integration = definitions::integration();
    integration["resources"]["tickets"]["list"]["pagination"] = pagination(format);
    let job = with(job("job", resources), json!({ "error_handling": handling }));
    cluster.apply(vec![integration, job]).await;
    let run = cluster.api.push("job", "acme", "backend").await;
    let run = cluster.api.ended(&run).await;
    Played { cluster, run }
}

impl Played {
    fn ledger<R>(&self, read: impl FnOnce(&Ledger) -> R) -> R {
        self.cluster.receiver.read(read)
    }

    fn ids(&self, resource: &str) -> BTreeSet<u64> {
        let ids = self.ledger(|ledger| ledger.run(&self.run.id).resources.get(resource).cloned());
        ids.unwrap_or_default().unique.iter().map(|id| id.parse().unwrap()).collect()
    }

    /// The payloads of all `record_error` events.
    fn errors(&self) -> Vec<Value> {
        self.ledger(|ledger| {
            let errors = ledger.requests.iter().filter(|request| request.event == ERROR);
            let payload = |body: &[u8]| serde_json::from_slice::<Value>(body).unwrap()["payload"].clone();
            errors.map(|request| payload(request.body.as_ref().unwrap())).collect()
        })
    }

    fn assert_clean(&self) {
        self.ledger(|ledger| {
            let ours = ledger.run(&self.run.id);
            assert_eq!(
                (ledger.out_of_order, ledger.malformed, ledger.duplicates.requests),
                (0, 0, 0),
                "{ledger}"
            );
            assert!(ours.missing_seqs().is_empty(), "{ledger}");
        });
    }
}

fn then_users() -> Value {
    json!([{ "resource": "tickets" }, { "resource": "users" }])
}

/// Of a cursor's or link's list the rest is given up: nobody can tell the page after the broken one.
#[tokio::test]
async fn the_rest_of_a_list_by_cursor_or_link_is_given_up() {
    for format in ["cursor", "link_header"] {
        let played = play(format, &[3], "ignore", then_users()).await;
        assert_eq!(played.run.status, "completed", "{:?}", played.run);
        assert_eq!(played.ids("tickets"), (1..=4).collect(), "{format}");
        assert_eq!(played.ids("users").len(), 30, "{format}: the next resource comes all the same");
        let errors = played.errors();
        let [error] = errors.as_slice() else { panic!("{format}: {errors:?}") };
        assert_eq!((&error["resource"], &error["method"]), (&"tickets".into(), &"list".into()), "{error}");
        assert_eq!(
            (&error["error"]["statusCode"], &error["error"]["is_remote_error"]),
            (&404.into(), &true.into())
        );
        assert!(error["error"]["raw_response"].as_str().unwrap().contains("gone fishing"), "{error}");
        assert_eq!(played.run.incomplete.keys().collect::<Vec<_>>(), ["tickets"]);
        played.assert_clean();
    }
}

/// Where pages are numbered one is skipped; three in a row end the list.
#[tokio::test]
async fn a_broken_page_of_a_numbered_list_is_skipped() {
    for format in ["page", "offset"] {
        let played = play(format, &[2, 4], "ignore", then_users()).await;
        assert_eq!(played.run.status, "completed", "{:?}", played.run);
        assert_eq!(played.ids("tickets"), [1, 2, 5, 6, 9].into(), "{format}");
        assert_eq!((played.ids("users").len(), played.errors().len()), (30, 2), "{format}");
        assert_eq!(played.run.incomplete.keys().collect::<Vec<_>>(), ["tickets"]);
        played.assert_clean();
        let played = play(format, &[2, 3, 4], "ignore", then_users()).await;
        assert_eq!(played.ids("tickets"), [1, 2].into(), "{format}: page 5 comes after three broken ones");
        assert_eq!((played.ids("users").len(), played.errors().len()), (30, 3), "{format}");
    }
}

/// A child that fails costs its own parent's part, no more.
#[tokio::test]
async fn a_broken_child_is_skipped_and_the_next_parent_comes() {
    let child = json!([
        { "resource": "tickets", "persist": false },
        { "name": "details", "resource": "tickets", "method": "get", "depends_on": "tickets",
          "id": "{{resources.tickets.id}}" },
    ]);
    let cluster = Setup::default().start().await;
    cluster.helpdesk.script(|info| match info.path.as_str() {
        "/api/v1/tickets/7" | "/api/v1/tickets/8" => Some(Answer::status(410)),
        _ => None,
    });
    cluster.apply(vec![job("details", child)]).await;
    let run = cluster.api.push("details", "acme", "backend").await;
    let run = cluster.api.ended(&run).await;
    assert_eq!(run.status, "completed", "{run:?}");
    let played = Played { cluster, run };
    let mut wanted: BTreeSet<u64> = (1..=250).collect();
    wanted.remove(&7);
    wanted.remove(&8);
    assert_eq!(played.ids("tickets"), wanted);
    assert_eq!(played.errors().len(), 2);
    played.assert_clean();
}

#[tokio::test]
async fn fail_fast_ends_the_run_at_the_first_error_and_resume_tries_it_again() {
    let played = play("cursor", &[3], "fail_fast", then_users()).await;
    assert_eq!(
        (played.run.status.as_str(), played.run.code()),
        ("failed", "record_error"),
        "{:?}",
        played.run
    );
    assert!(played.run.message().contains("404"), "{:?}", played.run);
    assert_eq!((played.ids("tickets"), played.ids("users")), ((1..=4).collect(), BTreeSet::new()));
    played.ledger(|ledger| {
        let last = ledger.requests.last().unwrap();
        assert_eq!(last.event, "sync_job_run:failed");
        let body: Value = serde_json::from_slice(last.body.as_ref().unwrap()).unwrap();
        assert_eq!(
            (&body["payload"]["status"], &body["payload"]["error"]["code"]),
            (&"failed".into(), &"record_error".into())
        );
    });
    played.assert_clean();
    played.cluster.helpdesk.script(|info| pages("cursor", &[], info));
    played.cluster.api.post(&format!("/sync-job-run/{}/resume", played.run.id), &json!({})).await;
    let resumed = played.cluster.api.ended(&played.run.id).await;
    assert_eq!(resumed.status, "completed", "{resumed:?}");
    assert_eq!((played.ids("tickets"), played.ids("users").len()), ((1..=9).collect(), 30));
    played.assert_clean();
}

#[tokio::test]
async fn batch_sends_a_resources_errors_together_at_its_end() {
    let played = play("page", &[2, 4], "batch", then_users()).await;
    assert_eq!(played.run.status, "completed", "{:?}", played.run);
    assert_eq!((played.ids("tickets"), played.ids("users").len()), ([1, 2, 5, 6, 9].into(), 30));
    let errors = played.errors();
    let [batch] = errors.as_slice() else { panic!("{errors:?}") };
    let list = batch["errors"].as_array().unwrap();
    assert_eq!(list.len(), 2, "{batch}");
    assert_eq!(batch["meta"]["node"], Value::Null, "each error names its own node");
    assert!(
        list.iter().all(|error| error["node"] == "tickets"
            && error["resource"] == "tickets"
            && error["error"]["statusCode"] == 404),
        "{batch}"
    );
    played.ledger(|ledger| {
        let at = |wanted: &dyn Fn(&rapidbridge::playground::receiver::Received) -> bool| {
            ledger.requests.iter().position(wanted).unwrap()
        };
        let batch = at(&|request| request.event == ERROR);
        let users = at(&|request| request.resource.as_deref() == Some("users"));
        assert!(batch < users, "errors come at their resource's end");
    });
    played.assert_clean();
}

/// An outage of the source parks the run within its budget, and nothing is skipped.
#[tokio::test]
async fn an_outage_of_the_source_is_waited_out() {
    let cluster = Setup::default().start().await;
    let patient =
        with(definitions::integration(), json!({ "retry": { "attempts": 2, "outage_budget": "1s" } }));
    cluster.apply(vec![patient, job("tickets", definitions::tickets())]).await;
    let helpdesk = Arc::downgrade(&cluster.helpdesk);
    cluster.helpdesk.script(move |info| {
        if info.number == 4 {
            helpdesk.upgrade()?.down();
        }
        None
    });
    let run = cluster.api.push("tickets", "acme", "backend").await;
    cluster.api.run_when(&run, "retrying", |run| run.status == "retrying" && run.place == "parked").await;
    cluster.helpdesk.up();
    let ended = cluster.api.ended(&run).await;
    assert_eq!((ended.status.as_str(), ended.incomplete.len()), ("completed", 0), "{ended:?}");
    crate::support::judge(
        &cluster.helpdesk,
        &cluster.receiver,
        &run,
        &[Resource::Tickets],
        Default::default(),
    );
}
