//! Everything that is right is read, the same from YAML, JSON and the API.

use std::time::Duration;

use secrecy::ExposeSecret;
use serde_json::{Value, json};

use super::*;
use crate::definition::integration::*;
use crate::definition::job::ErrorHandling;
use crate::definition::webhook::{Ack, DeliveryRetry, EventType};
use crate::json::Json;
use crate::schedule::{CatchUp, Overlap};
use crate::template::Roots;

fn all() -> Vec<Checked> {
    checked("good.yaml", YAML).unwrap().into_iter().map(|(_, checked)| checked).collect()
}

#[test]
fn yaml_and_json_give_the_same() {
    let bodies = |name, text| -> Vec<(Kind, String, Value)> {
        let documents = read_files([(name, text)], &env).unwrap();
        documents.into_iter().map(|document| (document.kind, document.id, document.body)).collect()
    };
    let from_yaml = bodies("good.yaml", YAML);
    assert_eq!(from_yaml, bodies("good.json", JSON));
    assert_eq!(from_yaml.len(), 6);
    // JSON is YAML as well.
    assert_eq!(from_yaml, bodies("good.yml", JSON));
}

#[test]
fn what_is_stored_can_be_read_again() {
    for (document, _) in checked("good.yaml", YAML).unwrap() {
        let stored = serde_json::to_string(&document.body).unwrap();
        let again = read_json(&serde_json::from_str(&stored).unwrap()).unwrap();
        assert_eq!((again.kind, &again.id, &again.body), (document.kind, &document.id, &document.body));
        Checked::of(&again).unwrap();
    }
}

#[test]
fn an_integration_without_the_wrapper_is_the_same() {
    let integration = all()[0].integration().unwrap().clone();
    let mut body = read_files([("good.yaml", YAML)], &env).unwrap()[0].body.clone();
    let config = body.as_object_mut().unwrap().remove("config").unwrap();
    body.as_object_mut().unwrap().extend(config.as_object().unwrap().clone());
    let flat = Integration::from_document(&Document::new(Kind::Integration, &body).unwrap()).unwrap();
    assert_eq!(format!("{integration:?}"), format!("{flat:?}"));
}

#[test]
fn an_integration_is_merged_into_its_methods() {
    let checked = all();
    let integration = checked[0].integration().unwrap();
    assert_eq!(integration.label, "Helpdesk");
    assert_eq!(integration.on_unauthorized, OnUnauthorized::Park);
    assert_eq!(integration.retry.outage_budget, Duration::from_secs(7200));
    assert_eq!(integration.rate_limit.statuses, [429, 420]);
    let header = integration.rate_limit.reset_header.as_ref().unwrap();
    assert_eq!((header.name.as_str(), header.unit), ("x-ratelimit-reset", ResetUnit::EpochSeconds));

    let list = integration.method("tickets", "list").unwrap();
    assert_eq!(list.http_method, "GET");
    assert_eq!(list.response_path, ["data", "tickets"]);
    assert!(list.missing_is_empty && list.replayable);
    assert_eq!(list.query_array, QueryArray::Comma);
    let Pagination::Cursor(cursor) = &list.pagination else { panic!("{:?}", list.pagination) };
    assert_eq!(cursor.source, CursorSource::Body(vec!["meta".into(), "next".into()]));
    assert_eq!((cursor.param.as_str(), cursor.send_in, cursor.is_link), ("after", SendIn::Query, false));
    assert_eq!(cursor.limit, Some(Limit { param: "size".into(), value: 50 }));

    let get = integration.method("tickets", "get").unwrap();
    assert_eq!(get.pagination, Pagination::None);
    assert!(!get.missing_is_empty);

    let comments = integration.method("comments", "list").unwrap();
    let names: Vec<&str> = comments.headers.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["x-version", "x-trace"], "null takes a header away");
    let query = comments.query.render(&Roots::new()).unwrap().unwrap();
    assert_eq!(query.as_str(), r#"{"per_page":20,"sort":"created"}"#);
    assert_eq!(comments.page_records_max, 20);
    let limit = Some(Limit { param: "per_page".into(), value: 20 });
    assert_eq!(comments.pagination, Pagination::Page { param: "p".into(), start: 1, limit });

    let users = integration.method("users", "list").unwrap();
    assert_eq!((&users.pagination, users.timeout), (&Pagination::None, Duration::from_secs(5)));
    assert!(!users.replayable && users.response_path.is_empty());

    let search = integration.method("search", "run").unwrap();
    let limit = Limit { param: "limit".into(), value: PAGE_LIMIT_DEFAULT };
    assert_eq!(search.pagination, Pagination::Offset { param: "offset".into(), limit });
    assert_eq!(search.http_method, "POST");
}

#[test]
fn an_account_and_a_webhook() {
    let checked = all();
    let account = checked[1].account().unwrap();
    assert_eq!(account.tenant_id.as_deref(), Some("acme-inc"));
    assert_eq!(account.context.get(&["subdomain"]).unwrap(), Json::string("acme"));
    assert_eq!(account.credentials["token"].expose_secret(), "acme-token-s3cret");

    let webhook = checked[2].webhook().unwrap();
    assert_eq!(webhook.secrets[0].expose_secret(), "hook-secret-s3cret");
    assert_eq!((webhook.secrets.len(), webhook.ack, webhook.truto_signature), (2, Ack::Any2xx, true));
    assert!(webhook.takes(EventType::Record) && !webhook.takes(EventType::RunStarted));
    assert_eq!(webhook.headers[0].0, "authorization");
    assert_eq!(webhook.headers[0].1.expose_secret(), "Bearer hook-token-s3cret");
    assert_eq!(webhook.retry.give_up_after, Duration::from_secs(3600));
}

#[test]
fn a_job_and_its_triggers() {
    let checked = all();
    let job = checked[3].sync_job().unwrap();
    let parents: Vec<Option<usize>> = job.nodes.iter().map(|node| node.parents.first().copied()).collect();
    assert_eq!(parents, [None, None, Some(1), Some(2)]);
    let names: Vec<&str> = job.nodes.iter().map(|node| node.name.as_str()).collect();
    assert_eq!(names, ["users", "tickets", "ticket-comments", "ticket-details"]);
    let persists = |index: usize| job.nodes[index].request().unwrap().persist;
    assert!(!persists(0) && persists(1));
    assert_eq!((job.error_handling, job.consecutive_errors_max), (ErrorHandling::Batch, 5));
    assert_eq!(job.nodes[3].request().unwrap().method, "get");
    assert_eq!(job.ancestors(3), [2, 1]);
    let record = |path: &str| job.record_of(3, &path.split('.').map(str::to_owned).collect::<Vec<_>>());
    assert_eq!(record("resources.tickets.id"), Some((1, 2)));
    assert_eq!(record("resources.ticket-comments.a.b"), Some((2, 2)));
    assert_eq!(record("resources.comments.a"), Some((2, 2)));
    assert_eq!(record("resources.users.id"), None);
    assert_eq!(record("args.x"), None);

    let nightly = checked[4].trigger().unwrap();
    assert_eq!(
        (nightly.overlap, nightly.catch_up, nightly.catch_up_limit),
        (Overlap::Queue, CatchUp::All, 3)
    );
    assert_eq!((nightly.jitter, nightly.enabled), (Duration::from_secs(300), true));
    assert_eq!(nightly.args.as_str(), r#"{"start":"2024-01-01"}"#);
    assert_eq!(nightly.error_handling, Some(ErrorHandling::FailFast));
    let often = checked[5].trigger().unwrap();
    assert_eq!((often.overlap, often.jitter, often.error_handling), (Overlap::Skip, Duration::ZERO, None));
}

#[test]
fn little_is_enough() {
    let integration = json!({
        "name": "tiny", "base_url": "http://127.0.0.1:9", "resources": {"things": {"list": {"path": "/things"}}}
    });
    let tiny = Integration::from_document(&Document::new(Kind::Integration, &integration).unwrap()).unwrap();
    let list = tiny.method("things", "list").unwrap();
    assert_eq!((&list.pagination, list.timeout), (&Pagination::None, TIMEOUT_DEFAULT));
    assert!(matches!(tiny.authorization, Authorization::None) && list.replayable);
    assert_eq!(tiny.label, "tiny");

    let webhook = json!({"id": "w", "target_url": "http://localhost/x", "secret": "s"});
    let webhook = Webhook::from_document(&Document::new(Kind::Webhook, &webhook).unwrap()).unwrap();
    assert_eq!((webhook.ack, webhook.retry), (Ack::Status200, DeliveryRetry::default()));
    assert!(webhook.is_active && webhook.event_types.is_none());

    let job = json!({"id": "j", "integration_name": "tiny", "resources": [{"resource": "things"}]});
    let job = SyncJob::from_document(&Document::new(Kind::SyncJob, &job).unwrap()).unwrap();
    assert_eq!((job.label.as_str(), job.nodes[0].request().unwrap().method.as_str()), ("j", "list"));
    assert_eq!(job.error_handling, ErrorHandling::Ignore);
}

/// The documented example of RapidBridge, word for word in its fields.
#[test]
fn a_job_written_for_the_model_is_read() {
    let job = json!({
        "id": "zendesk", "integration_name": "zendesk", "default_runtime_version": 3, "environment_id": "e",
        "resources": [
            {"resource": "ticketing/users", "method": "list"},
            {"resource": "ticketing/tickets", "method": "list", "query": {"updated_at": {"gt": "{{previous_run_date}}"}}},
            {"resource": "ticketing/comments", "method": "list", "depends_on": "ticketing/tickets",
             "query": {"ticket_id": "{{resources.ticketing.tickets.id}}"}},
        ]
    });
    let job = SyncJob::from_document(&Document::new(Kind::SyncJob, &job).unwrap()).unwrap();
    assert_eq!(job.nodes[2].parents, [1]);
    let path: Vec<String> = "resources.ticketing.tickets.id".split('.').map(str::to_owned).collect();
    assert_eq!(job.record_of(2, &path), Some((1, 3)));
    assert_eq!(job.record_of(2, &["resources".into(), "ticketing/tickets".into()]), Some((1, 2)));
}

#[test]
fn paginations_and_authorizations() {
    let method = |pagination: Value| {
        let body = json!({"name": "x", "base_url": "http://x", "authorization": {"format": "header", "config": {"header_name": "X-Key", "header_value": "{{credentials.key}}"}},
            "resources": {"r": {"list": {"path": "/r", "pagination": pagination}}}});
        let integration =
            Integration::from_document(&Document::new(Kind::Integration, &body).unwrap()).unwrap();
        assert_eq!(integration.account_paths(), [["credentials", "key"]]);
        integration.method("r", "list").unwrap().pagination.clone()
    };
    let Pagination::Cursor(link) =
        method(json!({"format": "cursor", "cursor_path": "links.next", "is_link": true}))
    else {
        panic!()
    };
    assert!(link.is_link && link.limit.is_none());
    let Pagination::Cursor(header) = method(json!({"format": "cursor", "config": {
        "cursor_path": "X-Next", "cursor_path_object": "header", "add_to_body": true, "limit_key": "n"}}))
    else {
        panic!()
    };
    assert_eq!(header.source, CursorSource::Header("x-next".into()));
    assert_eq!((header.send_in, header.limit.unwrap().param.as_str()), (SendIn::Body, "n"));
    assert_eq!(method(json!({"format": "link_header"})), Pagination::LinkHeader { limit: None });
    assert_eq!(method(json!(null)), Pagination::None);
}

#[test]
fn kinds_have_names_and_secrets() {
    for kind in Kind::ALL {
        assert_eq!(kind.as_str().parse::<Kind>(), Ok(*kind));
    }
    assert_eq!(Kind::Account.secret_pointers(), ["/credentials"]);
    assert_eq!("sync-job".parse::<Kind>().unwrap_err().to_string(), r#""sync-job" is no kind of definition"#);
}
