//! Pipedrive as its documentation describes it: version 2 with opaque cursors and refused sizes, notes of
//! version 1 by `start` and `limit`, users all at once, a limit whose header counts the seconds left.

use serde_json::{Value, json};

use super::{Answer, Api, Asked, List};

pub(super) const API: Api = Api {
    name: "pipedrive",
    account: r#"{"context": {"company_domain": "acme"}, "credentials": {"api_token": "pd_canary"}}"#,
    lists: &[
        List { resource: "persons", query: "{}", records: 1100 },
        List { resource: "organizations", query: "{}", records: 1100 },
        List { resource: "deals", query: "{}", records: 1100 },
        List { resource: "deals", query: r#"{"updated_since": "2026-01-02T00:00:00Z"}"#, records: 1060 },
        List { resource: "archived-deals", query: "{}", records: 1100 },
        List { resource: "activities", query: r#"{"deal_id": 17}"#, records: 1100 },
        List { resource: "notes", query: r#"{"deal_id": 17}"#, records: 1100 },
        List { resource: "users", query: "{}", records: 7 },
    ],
    unified: &[
        List {
            resource: "crm/contacts",
            query: r#"{"updated_at": {"gt": "2026-01-02T01:00:00+01:00", "lt": "2026-01-28T00:00:00Z"}}"#,
            records: 1021,
        },
        List { resource: "crm/companies", query: "{}", records: 1100 },
        List {
            resource: "crm/deals",
            query: r#"{"updated_at": {"lt": "2026-01-01T23:59:59.5Z"}}"#,
            records: 40,
        },
        List {
            resource: "crm/notes",
            query: r#"{"updated_at": {"gt": "2026-01-02T00:00:00Z"}}"#,
            records: 1060,
        },
        List { resource: "crm/users", query: "{}", records: 7 },
    ],
    answer,
    limited,
    limited_for: 2,
};

const RECORDS: usize = 1100;
/// A cursor is a position with these bits turned, in hexadecimal digits.
const TURNED: usize = 0x5eed_c0de;

fn answer(asked: &Asked) -> Answer {
    if asked.header("x-api-token") != "pd_canary" {
        let body = json!({
            "success": false,
            "error": "unauthorized access",
            "errorCode": 401,
            "error_info": "Please check developers.pipedrive.com",
        });
        return Answer::json(401, body);
    }
    let path = asked.path.strip_prefix("/api").unwrap_or_default();
    if asked.method != "GET" {
        return refused(404, "Not found");
    }
    match path {
        "/v2/persons" => version_2(asked, person),
        "/v2/organizations" => version_2(asked, organization),
        "/v2/deals" | "/v2/deals/archived" => version_2(asked, deal),
        "/v2/activities" => version_2(asked, activity),
        "/v1/notes" => notes(asked),
        "/v1/users" => {
            let users: Vec<Value> = (0..7).map(user).collect();
            Answer::json(200, json!({ "success": true, "data": users }))
        }
        path => one(path),
    }
}

/// A page of version 2, by an opaque cursor.
fn version_2(asked: &Asked, record: fn(usize) -> Value) -> Answer {
    let limit = asked.number("limit", 100);
    if !(1..=500).contains(&limit) {
        return refused(400, "limit must be less than or equal to 500");
    }
    let start = match asked.query("cursor") {
        None => Some(0),
        Some(cursor) => usize::from_str_radix(cursor, 16).ok().map(|cursor| cursor ^ TURNED),
    };
    let Some(start) = start.filter(|start| *start < RECORDS) else {
        return refused(400, "Provided cursor is not valid");
    };
    let since = asked.query("updated_since").unwrap_or("1970-01-01T00:00:00Z");
    let until = asked.query("updated_until").unwrap_or("9999-12-31T00:00:00Z");
    if !is_time(since) || !is_time(until) {
        return refused(400, "updated_since and updated_until must be in RFC3339 format");
    }
    let matching = (0..RECORDS).filter(|index| (since..until).contains(&updated(*index).as_str()));
    let mut matching = matching.skip_while(|index| *index < start);
    let data: Vec<Value> = matching.by_ref().take(limit).map(record).collect();
    let next = matching.next().map(|index| format!("{:x}", index ^ TURNED));
    Answer::json(200, json!({ "success": true, "data": data, "additional_data": { "next_cursor": next } }))
}

/// Whether a text is a time as the documentation writes it: `2025-01-01T10:20:00Z`.
fn is_time(text: &str) -> bool {
    text.len() == 20 && text.ends_with('Z')
}

/// A page of version 1, which gives no more than 500 records, and null instead of none.
fn notes(asked: &Asked) -> Answer {
    let start = asked.number("start", 0);
    let limit = asked.number("limit", 100).clamp(1, 500);
    let since = asked.query("updated_since").unwrap_or("1970-01-01T00:00:00Z");
    if !is_time(since) {
        return refused(400, "updated_since must be in RFC3339 format");
    }
    let matching: Vec<usize> =
        (0..RECORDS).filter(|index| format!("{}T09:00:00Z", day(*index)).as_str() >= since).collect();
    let end = matching.len().min(start.saturating_add(limit));
    let data: Vec<Value> = matching.iter().take(end).skip(start).map(|index| note(*index)).collect();
    let more = end < matching.len();
    let mut pagination = json!({ "start": start, "limit": limit, "more_items_in_collection": more });
    if more {
        pagination["next_start"] = json!(end);
    }
    let data = if data.is_empty() { Value::Null } else { json!(data) };
    let body = json!({ "success": true, "data": data, "additional_data": { "pagination": pagination } });
    Answer::json(200, body)
}

/// One record.
fn one(path: &str) -> Answer {
    let Some((collection, id)) = path.rsplit_once('/') else { return refused(404, "Not found") };
    let record = match collection {
        "/v2/persons" => person,
        "/v2/organizations" => organization,
        "/v2/deals" => deal,
        "/v2/activities" => activity,
        "/v1/notes" => note,
        "/v1/users" => user,
        _ => return refused(404, "Not found"),
    };
    match id.parse::<usize>().ok().filter(|id| (1..=RECORDS).contains(id)) {
        Some(id) => Answer::json(200, json!({ "success": true, "data": record(id - 1) })),
        None => refused(404, "Record not found"),
    }
}

fn refused(status: u16, error: &str) -> Answer {
    let body = json!({
        "success": false,
        "error": error,
        "error_info": "Please check developers.pipedrive.com for more information about Pipedrive API.",
        "data": null,
        "additional_data": null,
    });
    Answer::json(status, body)
}

fn day(index: usize) -> String {
    format!("2026-01-{:02}", index % 28 + 1)
}

/// When a record of version 2 was changed.
fn updated(index: usize) -> String {
    format!("{}T09:{:02}:00Z", day(index), index % 60)
}

/// An id beside most records.
fn linked(index: usize) -> Value {
    if index.is_multiple_of(5) { Value::Null } else { json!(index + 1) }
}

/// Some have a second address and telephone numbers, and what is there where contacts are synchronized.
fn person(index: usize) -> Value {
    let mut person = plain_person(index);
    if index.is_multiple_of(3) {
        person["emails"] = json!([
            { "value": format!("person{index}@home.example"), "primary": false, "label": "home" },
            { "value": format!("person{index}@acme.example"), "primary": true, "label": "work" },
        ]);
        person["phones"] = json!([{ "value": "+49 30 123456", "primary": true, "label": "work" }]);
        person["job_title"] = json!("Buyer");
        person["postal_address"] = address();
    }
    person
}

fn address() -> Value {
    json!({
        "value": "Main Street 1, 10115 Berlin, Germany",
        "country": "Germany",
        "admin_area_level_1": "Berlin",
        "admin_area_level_2": "",
        "locality": "Berlin",
        "sublocality": "Mitte",
        "route": "Main Street",
        "street_number": "1",
        "postal_code": "10115",
    })
}

fn plain_person(index: usize) -> Value {
    json!({
        "id": index + 1,
        "name": format!("Person {index}"),
        "first_name": "Person",
        "last_name": index.to_string(),
        "owner_id": index % 7 + 1,
        "org_id": linked(index),
        "add_time": "2025-11-03T08:00:00Z",
        "update_time": updated(index),
        "emails": [{ "value": format!("person{index}@acme.example"), "primary": true, "label": "work" }],
        "phones": [],
        "is_deleted": false,
        "visible_to": 3,
        "label_ids": [],
        "picture_id": null,
        "custom_fields": {},
    })
}

fn organization(index: usize) -> Value {
    json!({
        "id": index + 1,
        "name": format!("Organization {index}"),
        "owner_id": index % 7 + 1,
        "add_time": "2025-11-03T08:00:00Z",
        "update_time": updated(index),
        "is_deleted": false,
        "visible_to": 3,
        "address": if index.is_multiple_of(4) { Value::Null } else { address() },
        "label_ids": [1, 2],
        "website": null,
        "custom_fields": {},
    })
}

fn deal(index: usize) -> Value {
    let status = ["open", "won", "lost"][index % 3];
    let closed = "2026-01-01T08:30:00Z";
    let closed_as = |name: &str| if status == name { json!(closed) } else { Value::Null };
    json!({
        "id": index + 1,
        "title": format!("Deal {index}"),
        "owner_id": index % 7 + 1,
        "person_id": linked(index),
        "org_id": linked(index + 1),
        "pipeline_id": 1,
        "stage_id": index % 4 + 1,
        "value": 1250.5,
        "currency": "EUR",
        "add_time": "2025-11-03T08:00:00Z",
        "update_time": updated(index),
        "stage_change_time": null,
        "is_deleted": false,
        "is_archived": false,
        "status": status,
        "probability": if index.is_multiple_of(2) { json!(index % 101) } else { Value::Null },
        "lost_reason": null,
        "visible_to": 3,
        "close_time": if status == "open" { Value::Null } else { json!(closed) },
        "won_time": closed_as("won"),
        "lost_time": closed_as("lost"),
        "expected_close_date": day(index),
        "label_ids": [],
        "origin": "ManuallyCreated",
        "custom_fields": { "d4de1c1518b4531717c676029a45911c340390a6": null },
    })
}

fn activity(index: usize) -> Value {
    json!({
        "id": index + 1,
        "subject": format!("Call {index}"),
        "type": "call",
        "owner_id": index % 7 + 1,
        "creator_user_id": 1,
        "is_deleted": false,
        "add_time": "2025-11-03T08:00:00Z",
        "update_time": updated(index),
        "deal_id": 17,
        "lead_id": null,
        "person_id": linked(index),
        "org_id": null,
        "project_id": null,
        "due_date": day(index),
        "due_time": "10:00",
        "duration": "00:30",
        "busy": true,
        "done": index.is_multiple_of(2),
        "marked_as_done_time": null,
        "participants": [],
        "attendees": null,
        "note": "<b>about the offer</b>",
    })
}

fn note(index: usize) -> Value {
    let (org, person) = (linked(index), linked(index + 1));
    let named = |id: &Value, name: String| if id.is_null() { Value::Null } else { json!({ "name": name }) };
    json!({
        "id": index + 1,
        "active_flag": true,
        "add_time": "2025-11-03 08:00:00",
        "update_time": format!("{} 09:00:00", day(index)),
        "content": format!("Note {index}"),
        "deal": { "title": "Deal 16" },
        "lead_id": null,
        "deal_id": 17,
        "last_update_user_id": null,
        "org_id": org,
        "organization": named(&org, format!("Organization {index}")),
        "person": named(&person, format!("Person {}", index + 1)),
        "person_id": person,
        "pinned_to_deal_flag": false,
        "user": { "email": "user0@acme.example", "icon_url": null, "is_you": false, "name": "User 0" },
        "user_id": 1,
    })
}

fn user(index: usize) -> Value {
    json!({
        "id": index + 1,
        "name": format!("User {index}"),
        "default_currency": "EUR",
        "locale": "de_DE",
        "lang": 1,
        "email": format!("user{index}@acme.example"),
        "phone": if index == 0 { json!("+49 30 123456") } else { Value::Null },
        "activated": true,
        "last_login": "2026-01-05 10:00:00",
        "created": "2025-11-03 08:00:00",
        "modified": if index == 6 { Value::Null } else { json!("2026-01-05 10:00:00") },
        "access": [{ "app": "sales", "admin": index == 0, "permission_set_id": "62cc4d7f-4038-4352-abf3" }],
        "active_flag": true,
        "timezone_name": "Europe/Berlin",
        "role_id": 1,
        "icon_url": null,
        "is_you": index == 0,
        "is_deleted": false,
    })
}

fn limited() -> Answer {
    let body = json!({ "success": false, "error": "request over limit", "errorCode": 429 });
    Answer::json(429, body)
        .with("x-ratelimit-limit", "20")
        .with("x-ratelimit-remaining", "0")
        .with("x-ratelimit-reset", "2")
}
