//! Small definitions, as JSON, with short waits: the helpdesk's integration, an account, a webhook, jobs, a trigger.

use serde_json::{Value, json};

/// The helpdesk's integration; its lists continue by cursor, 20 records a page.
pub(crate) fn integration() -> Value {
    json!({
        "kind": "integration",
        "name": "helpdesk",
        "base_url": "{{context.base_url}}/api/v1",
        "authorization": { "format": "bearer", "config": { "token": "{{credentials.token}}" } },
        "retry": { "attempts": 3, "base": "20ms", "max": "100ms", "outage_budget": "0s" },
        "pagination": pagination("cursor"),
        "resources": {
            "organizations": { "list": { "method": "get", "path": "/organizations", "response_path": "organizations" } },
            "users": { "list": { "method": "get", "path": "/users", "response_path": "users" } },
            "tickets": {
                "list": { "method": "get", "path": "/tickets", "response_path": "tickets" },
                "get": { "method": "get", "path": "/tickets/{{id}}" },
            },
            "comments": {
                "list": {
                    "method": "get",
                    "path": "/tickets/{{query.ticket_id}}/comments",
                    "response_path": "comments",
                },
            },
        },
    })
}

/// How a list continues; `cursor` is what the helpdesk speaks, the others are for scripts.
pub(crate) fn pagination(format: &str) -> Value {
    match format {
        "cursor" => json!({ "format": "cursor", "config": {
            "cursor_path": "meta.next_cursor", "has_next_path": "meta.has_more", "cursor_key": "cursor",
            "limit_key": "limit", "max_limit": 20 } }),
        "page" => json!({ "format": "page", "config": {
            "page_param": "page", "limit_param": "limit", "max_limit": 2 } }),
        "offset" => json!({ "format": "offset", "config": {
            "offset_param": "offset", "limit_param": "limit", "max_limit": 2 } }),
        "link_header" => json!({ "format": "link_header", "config": {} }),
        other => panic!("no pagination {other}"),
    }
}

/// An account of the helpdesk at `url`.
pub(crate) fn account(id: &str, url: &str, token: &str) -> Value {
    json!({
        "kind": "integrated_account",
        "id": id,
        "integration": "helpdesk",
        "context": { "base_url": url },
        "credentials": { "token": token },
    })
}

/// A webhook that is tried again soon.
pub(crate) fn webhook(id: &str, url: &str, secret: &str) -> Value {
    json!({
        "kind": "webhook",
        "id": id,
        "target_url": url,
        "secret": secret,
        "timeout": "20s",
        "retry": {
            "attempts": 2, "base": "20ms", "max": "100ms", "park_base": "150ms", "park_max": "300ms",
            "give_up_after": "1h",
        },
    })
}

/// A job over these resources.
pub(crate) fn job(id: &str, resources: Value) -> Value {
    json!({ "kind": "sync_job", "id": id, "integration_name": "helpdesk", "resources": resources })
}

/// Tickets, and the comments of each.
pub(crate) fn nested() -> Value {
    json!([
        { "resource": "tickets", "method": "list" },
        {
            "resource": "comments", "method": "list", "depends_on": "tickets",
            "query": { "ticket_id": "{{resources.tickets.id}}" },
        },
    ])
}

/// Tickets alone.
pub(crate) fn tickets() -> Value {
    json!([{ "resource": "tickets", "method": "list" }])
}

/// A trigger of `job` for `account`, due so often.
pub(crate) fn trigger(id: &str, job: &str, account: &str, webhook: &str, every: &str) -> Value {
    json!({
        "kind": "sync_job_cron_trigger",
        "id": id,
        "sync_job_id": job,
        "integrated_account_id": account,
        "webhook_id": webhook,
        "every": every,
    })
}

/// `document` with `changes` laid over it, objects member by member.
pub(crate) fn with(mut document: Value, changes: Value) -> Value {
    lay(&mut document, changes);
    document
}

fn lay(under: &mut Value, over: Value) {
    match (under, over) {
        (Value::Object(under), Value::Object(over)) => {
            for (key, value) in over {
                lay(under.entry(key).or_insert(Value::Null), value);
            }
        }
        (under, over) => *under = over,
    }
}
