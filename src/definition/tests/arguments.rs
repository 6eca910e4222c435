//! What becomes of a run's arguments.

use serde_json::json;

use super::*;
use crate::clock::Millis;
use crate::id::{AccountId, WebhookId};
use crate::json::Json;

fn job(args_schema: &serde_json::Value, rest: &serde_json::Value) -> SyncJob {
    let mut body = json!({"id": "j", "integration_name": "x", "resources": [{"resource": "a"}]});
    body["args_schema"] = args_schema.clone();
    body.as_object_mut().unwrap().extend(rest.as_object().unwrap().clone());
    SyncJob::from_document(&Document::new(Kind::SyncJob, &body).unwrap()).unwrap()
}

fn account() -> AccountId {
    "acme".parse().unwrap()
}

fn complete(job: &SyncJob, args: &str) -> String {
    let webhook: WebhookId = "backend".parse().unwrap();
    match job.arguments_for(&Json::parse(args).unwrap(), &account(), Some(&webhook)) {
        Ok(args) => args.as_str().to_owned(),
        Err(problems) => problems.to_string(),
    }
}

#[test]
fn defaults_are_filled_in_and_what_was_given_keeps_its_digits() {
    let job = job(
        &json!({"a": {"type": "integer", "default": 5}, "b": {"type": "number"}, "c": {"default": {"x": [1]}}}),
        &json!({}),
    );
    assert_eq!(complete(&job, r#"{"b": 1.10}"#), r#"{"b":1.10,"a":5,"c":{"x":[1]}}"#);
    assert_eq!(
        complete(&job, r#"{"a": 12345678901234567890123, "c": 1}"#),
        r#"{"a":12345678901234567890123,"c":1}"#
    );
    assert_eq!(complete(&job, r#"{"a": null}"#), r#"{"a":5,"c":{"x":[1]}}"#, "null is not given");
    assert_eq!(complete(&job, r#"{"a": 5.0}"#), r#"{"a":5.0,"c":{"x":[1]}}"#, "5.0 is whole");
}

#[test]
fn without_a_declaration_anything_is_taken() {
    let job = job(&json!(null), &json!({}));
    assert!(job.arguments.is_none());
    assert_eq!(complete(&job, r#"{"z":1,"a":"x"}"#), r#"{"z":1,"a":"x"}"#);
    let none = self::job(&json!({}), &json!({}));
    assert!(complete(&none, r#"{"z":1}"#).starts_with("args.z: the job has no such argument"));
    let open =
        self::job(&json!({"type": "object", "properties": {}, "additionalProperties": true}), &json!({}));
    assert_eq!(complete(&open, r#"{"z":1}"#), r#"{"z":1}"#);
}

#[test]
fn the_runs_account_and_webhook_are_arguments_where_a_job_speaks_of_them() {
    let declared = json!({
        "integrated_account_id": {"type": "string", "format": "integrated_account_id", "required": true},
        "webhook_id": {"type": "string", "format": "webhook_id", "required": true}
    });
    let job = job(&declared, &json!({}));
    assert_eq!(complete(&job, "{}"), r#"{"integrated_account_id":"acme","webhook_id":"backend"}"#);
    assert_eq!(
        complete(&job, r#"{"webhook_id":"w"}"#),
        r#"{"webhook_id":"w","integrated_account_id":"acme"}"#
    );
    let other = complete(&job, r#"{"integrated_account_id":"other"}"#);
    assert!(other.starts_with("args.integrated_account_id: the run reads from account \"acme\""), "{other}");
    let mentioned = self::job(&json!(null), &json!({"mutex_key": "m-{{args.integrated_account_id}}"}));
    assert_eq!(complete(&mentioned, r#"{"x":1}"#), r#"{"x":1,"integrated_account_id":"acme"}"#);
    assert_eq!(mentioned.named_accounts(&Json::empty_object()), []);
    let args = Json::parse(&complete(&job, "{}")).unwrap();
    assert_eq!(job.named_accounts(&args), [("integrated_account_id", "acme".to_owned())]);
}

#[test]
fn every_argument_that_is_wrong_is_named() {
    let job = job(
        &json!({
            "start_date": {"type": "string", "format": "date", "required": true, "description": "the first day"},
            "mail": {"type": "string", "format": "email"},
            "count": {"type": "integer", "minimum": 1, "maximum": 10},
            "ratio": {"type": ["number", "null"], "maximum": 1},
            "status": {"enum": ["open", "closed"]},
            "kind": {"const": "ticket"},
            "ids": {"type": "array", "items": {"type": "integer"}, "minItems": 1, "maxItems": 3},
            "code": {"type": "string", "minLength": 2, "maxLength": 4},
            "filter": {
                "type": "object",
                "properties": {"team": {"type": "string"}, "deep": {"properties": {"x": {"type": "boolean"}}}},
                "additionalProperties": false
            }
        }),
        &json!({}),
    );
    insta::assert_snapshot!(complete(
        &job,
        r#"{
        "start_dat": "2024-01-01", "mail": "jane", "count": 11, "ratio": 1.5, "status": "opn", "kind": 1,
        "ids": [1, "2", 3.5, 4], "code": "x", "filter": {"tem": 1, "team": 2, "deep": {"x": "yes"}}
    }"#
    ));
    insta::assert_snapshot!(complete(
        &job,
        r#"{"start_date": "2024-02-30", "count": "5", "code": 12, "ids": []}"#
    ));
    assert!(complete(&job, "[1]").starts_with("args: expected an object"));
    let good = r#"{"start_date":"2024-02-29","count":10,"ids":[1],"code":"é2","filter":{"deep":{"x":true}}}"#;
    assert_eq!(complete(&job, good), good);
}

#[test]
fn both_forms_of_a_declaration_are_read() {
    let older = json!({"type": "object", "properties": {
        "a": {"type": "string", "required": true}, "b": {"type": "string"}, "c": {"type": "string"}}, "required": ["b"]});
    let required: Vec<bool> =
        job(&older, &json!({})).arguments.unwrap().iter().map(|argument| argument.required).collect();
    assert_eq!(required, [true, true, false]);
    // An argument may be called `type` or `properties`.
    let named = job(&json!({"type": {"type": "string"}, "properties": {"type": "string"}}), &json!({}));
    assert_eq!(named.arguments.unwrap().len(), 2);
}

#[test]
fn arguments_are_validated_together() {
    let verdict = |validation: &str, args: &str| {
        let job = job(&json!(null), &json!({"args_validation": validation}));
        match job.prepare(&Json::parse(args).unwrap(), &account(), &["backend".parse().unwrap()], Millis(0)) {
            Ok(_) => "accepted".to_owned(),
            Err(problems) => problems.to_string(),
        }
    };
    let validation = r#"args.end < args.start ? {"message": "end lies before start"}"#;
    assert_eq!(verdict(validation, r#"{"start": 1, "end": 2}"#), "accepted");
    assert_eq!(verdict(validation, r#"{"start": 2, "end": 1}"#), "args: end lies before start");
    assert_eq!(verdict("args.bad ? \"say why\"", r#"{"bad": true}"#), "args: say why");
    assert_eq!(verdict("false", "{}"), "accepted");
    assert_eq!(verdict("null", "{}"), "accepted");
    insta::assert_snapshot!(verdict("true", "{}"));
    insta::assert_snapshot!(verdict("$number(args.x)", r#"{"x": "y"}"#));
}

#[test]
fn a_run_needs_somewhere_to_deliver() {
    let job = job(&json!(null), &json!({}));
    let problems = job.prepare(&Json::empty_object(), &account(), &[], Millis(0)).unwrap_err();
    assert_eq!(problems.to_string(), "webhook_id: is missing\n  hint: the id of the webhook to deliver to");
}

/// Names that a job brings into the context itself are no slips, however near to another they are.
#[test]
fn elements_of_loops_and_added_keys_may_have_any_name() {
    let read = |resources: serde_json::Value| {
        let body = json!({"id": "j", "integration_name": "x", "resources": resources});
        SyncJob::from_document(&Document::new(Kind::SyncJob, &body).unwrap()).map(|_| ())
    };
    let looped = json!([{"resource": "a", "loop_on": "arg", "query": {"id": "{{arg.id}}"}}]);
    assert_eq!(read(looped), Ok(()));
    let added = json!([
        {"resource": "a"},
        {"name": "add", "type": "add_context", "depends_on": "a", "config": {"expression": "{'resource': {'id': 1}}"}},
        {"name": "b", "resource": "b", "depends_on": "add", "query": {"id": "{{resource.id}}"}, "run_if": "resource.id > 0"}
    ]);
    assert_eq!(read(added), Ok(()));
    assert!(read(json!([{"resource": "a", "query": {"id": "{{arg.id}}"}}])).is_err());
}
