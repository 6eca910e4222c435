//! Intercom as its documentation describes it: lists and searches by an opaque cursor, companies by numbered pages, the
//! version in a header, and a rate limit whose end is a moment in a header.

use rapidbridge::clock;
use serde_json::{Value, json};

use super::{Answer, Api, Asked, List};

pub(super) const API: Api = Api {
    name: "intercom",
    account: r#"{"context": {}, "credentials": {"access_token": "intercom_canary"}}"#,
    lists: &[
        List { resource: "contacts", query: "{}", records: 330 },
        List { resource: "companies", query: "{}", records: 130 },
        List { resource: "conversations", query: "{}", records: 310 },
        List { resource: "admins", query: "{}", records: 12 },
        List { resource: "tags", query: "{}", records: 7 },
    ],
    unified: &[
        List {
            resource: "ticketing/tickets",
            query: r#"{
                "updated_at": {"gt": "2024-12-02T00:00:00Z", "lt": "2024-12-10T00:00:00Z"},
                "created_at": {"lt": "2024-12-05T00:00:00Z"}
            }"#,
            records: 193,
        },
        List { resource: "ticketing/users", query: "{}", records: ADMINS },
        // Found by the day: all of the 4th.
        List {
            resource: "ticketing/contacts",
            query: r#"{"updated_at": {"gt": "2024-12-04T12:00:00Z"}}"#,
            records: 258,
        },
        List { resource: "ticketing/organizations", query: "{}", records: COMPANIES },
        List { resource: "ticketing/tags", query: "{}", records: TAGS },
        List { resource: "crm/contacts", query: "{}", records: CONTACTS },
        List { resource: "crm/companies", query: "{}", records: COMPANIES },
        List { resource: "crm/users", query: "{}", records: ADMINS },
    ],
    answer,
    limited,
    limited_for: 10,
};

const CONTACTS: usize = 330;
const COMPANIES: usize = 130;
const CONVERSATIONS: usize = 310;
const ADMINS: usize = 12;
const TAGS: usize = 7;

const ADMIN_ID: usize = 991_267_000;
const DAY: u64 = 86_400;

/// 2024-12-01T00:00:00Z; one record changed every hour from then on.
const FIRST_CHANGE: u64 = 1_733_011_200;

fn answer(asked: &Asked) -> Answer {
    if asked.header("authorization") != "Bearer intercom_canary" {
        return error(401, "unauthorized", "Access Token Invalid");
    }
    // Without the header the app's own version counts; that of this app is an old one.
    if asked.header("intercom-version") != "2.14" {
        return error(400, "intercom_version_invalid", "The requested version could not be found");
    }
    let path: Vec<&str> = asked.path.trim_start_matches('/').split('/').collect();
    match (asked.method.as_str(), path.as_slice()) {
        ("GET", ["contacts"]) => contacts(asked),
        ("POST", ["contacts", "search"]) => search(asked, "contacts", CONTACTS, contact),
        ("POST", ["companies", "list"]) => companies(asked),
        ("POST", ["conversations", "search"]) => search(asked, "conversations", CONVERSATIONS, conversation),
        ("GET", ["admins"]) => {
            let admins: Vec<Value> = (0..ADMINS).map(admin).collect();
            Answer::json(200, json!({ "type": "admin.list", "admins": admins }))
        }
        ("GET", ["tags"]) => {
            let tags: Vec<Value> = (0..TAGS).map(tag).collect();
            Answer::json(200, json!({ "type": "list", "data": tags }))
        }
        ("GET", [kind, id]) => one(kind, id),
        _ => error(404, "not_found", "The requested resource was not found"),
    }
}

/// The window is over in ten seconds.
fn limited() -> Answer {
    let reset = clock::now().0 / 1000 + 10;
    error(429, "rate_limit_exceeded", "Exceeded rate limit of 167 in 10_seconds")
        .with("x-ratelimit-limit", "167")
        .with("x-ratelimit-remaining", "0")
        .with("x-ratelimit-reset", reset.to_string())
}

fn error(status: u16, code: &str, message: &str) -> Answer {
    let errors = json!([{ "code": code, "message": message }]);
    let request = "e097e446-9ae6-44a8-8e13-2bf3008b87ef";
    Answer::json(status, json!({ "type": "error.list", "request_id": request, "errors": errors }))
}

fn one(kind: &str, id: &str) -> Answer {
    let record = match kind {
        "contacts" => found(CONTACTS, contact, id),
        "companies" => found(COMPANIES, company, id),
        "conversations" => found(CONVERSATIONS, whole_conversation, id),
        "admins" => found(ADMINS, admin, id),
        "tags" => found(TAGS, tag, id),
        _ => None,
    };
    match record {
        Some(record) => Answer::json(200, record),
        None => error(404, "not_found", "Resource Not Found"),
    }
}

fn found(total: usize, record: fn(usize) -> Value, id: &str) -> Option<Value> {
    (0..total).map(record).find(|record| record["id"] == id)
}

fn contacts(asked: &Asked) -> Answer {
    let size = asked.query("per_page").map_or(Some(50), |text| text.parse().ok());
    let all: Vec<Value> = (0..CONTACTS).map(contact).collect();
    page("contacts", "data", all, size, asked.query("starting_after"))
}

/// Page and filter stand in the body.
fn search(asked: &Asked, list: &str, total: usize, record: fn(usize) -> Value) -> Answer {
    let looked_at: Option<Vec<(bool, Value)>> = (0..total)
        .map(record)
        .map(|record| Some((passes(list, &asked.body["query"], &record)?, record)))
        .collect();
    let Some(looked_at) = looked_at else {
        return error(400, "parameter_invalid", "The query is not valid");
    };
    let paging = &asked.body["pagination"];
    let default = if list == "contacts" { 50 } else { 20 };
    let size = if paging["per_page"].is_null() { Some(default) } else { paging["per_page"].as_u64() };
    let records: Vec<Value> =
        looked_at.into_iter().filter(|(passed, _)| *passed).map(|(_, record)| record).collect();
    let member = if list == "contacts" { "data" } else { "conversations" };
    page(list, member, records, size, paging["starting_after"].as_str())
}

/// Whether a record passes a filter, or several in one; `None` when there is no such filter. Times of contacts are
/// compared by the day, in a workspace of UTC.
fn passes(list: &str, query: &Value, record: &Value) -> Option<bool> {
    let (operator, value) = (query["operator"].as_str()?, &query["value"]);
    if ["AND", "OR"].contains(&operator) {
        if !query["field"].is_null() {
            return None;
        }
        let parts = value.as_array()?.iter().map(|part| passes(list, part, record));
        let parts: Vec<bool> = parts.collect::<Option<_>>()?;
        return Some(if operator == "AND" { parts.iter().all(|it| *it) } else { parts.iter().any(|it| *it) });
    }
    let field = query["field"].as_str()?;
    if field == "state" && list == "conversations" {
        return (operator == "=").then_some(record["state"] == *value);
    }
    if !["created_at", "updated_at"].contains(&field) {
        return None;
    }
    let time = record[field].as_u64()?;
    let value = value.as_u64().or_else(|| value.as_str()?.parse().ok())?;
    let day = value / DAY * DAY;
    match (operator, list) {
        (">", "contacts") => Some(time >= day + DAY),
        ("<", "contacts") => Some(time < day),
        (">", _) => Some(time >= value),
        ("<", _) => Some(time <= value),
        _ => None,
    }
}

fn page(list: &str, member: &str, records: Vec<Value>, size: Option<u64>, after: Option<&str>) -> Answer {
    let Some(size) = size.filter(|size| (1..=150).contains(size)) else {
        return error(400, "parameter_invalid", "per_page must be a number from 1 to 150");
    };
    let total = records.len();
    let begin = match after {
        Some(after) => (0..=total).find(|at| cursor(list, *at) == after),
        None => Some(0),
    };
    let Some(begin) = begin else {
        return error(400, "parameter_invalid", "The cursor starting_after is not valid");
    };
    let count = usize::try_from(size).unwrap();
    let end = (begin + count).min(total);
    let number = begin / count + 1;
    let mut pages =
        json!({ "type": "pages", "page": number, "per_page": size, "total_pages": total.div_ceil(count) });
    if end < total {
        pages["next"] = json!({ "page": number + 1, "per_page": size, "starting_after": cursor(list, end) });
    }
    let records: Vec<Value> = records.into_iter().skip(begin).take(count).collect();
    let kind = if member == "data" { "list" } else { "conversation.list" };
    Answer::json(200, json!({ "type": kind, member: records, "total_count": total, "pages": pages }))
}

/// What stands in a cursor for the place before the record `at`.
fn cursor(list: &str, at: usize) -> String {
    let mixed = (at * 31 + list.len()).wrapping_mul(2_654_435_761) & 0xffff_ffff;
    format!("WzE3{mixed:08x}+LDJd/w==\n")
}

fn companies(asked: &Asked) -> Answer {
    let size = asked.number("per_page", 15).clamp(1, 60);
    let page = asked.number("page", 1).max(1);
    if page * size > 10_000 {
        return error(400, "page_limit_exceeded", "No more than 10,000 companies can be listed");
    }
    let records: Vec<Value> = (0..COMPANIES).map(company).skip((page - 1) * size).take(size).collect();
    let pages = COMPANIES.div_ceil(size);
    let next = format!("{}/companies/list?per_page={size}&page={}", asked.base, page + 1);
    Answer::json(
        200,
        json!({
            "type": "list",
            "data": records,
            "pages": {
                "type": "pages",
                "next": if page < pages { json!(next) } else { Value::Null },
                "page": page,
                "per_page": size,
                "total_pages": pages,
            },
            "total_count": COMPANIES,
        }),
    )
}

fn time(n: usize) -> u64 {
    FIRST_CHANGE + u64::try_from(n).unwrap() * 3600
}

fn contact_id(n: usize) -> String {
    format!("6762f0dd1bb69f9f{n:08x}")
}

fn contact(n: usize) -> Value {
    let id = contact_id(n);
    let companies = if n.is_multiple_of(3) { vec![] } else { vec![company_id(n % COMPANIES)] };
    json!({
        "type": "contact",
        "id": id,
        "workspace_id": "acme1234",
        "external_id": if n.is_multiple_of(3) { Value::Null } else { json!(n.to_string()) },
        "role": if n.is_multiple_of(3) { "lead" } else { "user" },
        "email": format!("joe{n}@bloggs.example"),
        "phone": if n.is_multiple_of(4) { json!("+353871234567") } else { Value::Null },
        "name": format!("Joe Bloggs {n}"),
        "avatar": null,
        "owner_id": if n.is_multiple_of(5) { json!(ADMIN_ID + n % ADMINS) } else { Value::Null },
        "social_profiles": { "type": "list", "data": [] },
        "has_hard_bounced": false,
        "unsubscribed_from_emails": false,
        "created_at": FIRST_CHANGE,
        "updated_at": time(n),
        "signed_up_at": null,
        "last_seen_at": null,
        "language_override": null,
        "location": if n.is_multiple_of(2) {
            json!({ "type": "location", "country": "Ireland", "region": "Leinster", "city": "Dublin" })
        } else {
            json!({ "type": "location", "country": null, "region": null, "city": null })
        },
        "custom_attributes": {},
        "tags": attached(&id, "tags", &[]),
        "companies": attached(&id, "companies", &companies),
    })
}

/// Of what hangs on a contact, a list has the ids alone.
fn attached(contact: &str, what: &str, ids: &[String]) -> Value {
    let kind = if what == "companies" { "company" } else { "tag" };
    let one = |id: &String| json!({ "type": kind, "id": id, "url": format!("/{what}/{id}") });
    let data: Vec<Value> = ids.iter().map(one).collect();
    let url = format!("/contacts/{contact}/{what}");
    json!({ "type": "list", "data": data, "url": url, "total_count": ids.len(), "has_more": false })
}

fn company_id(n: usize) -> String {
    format!("6762f07a1bb69f9f{n:08x}")
}

/// What nobody entered is not there.
fn company(n: usize) -> Value {
    let mut company = json!({
        "type": "company",
        "company_id": format!("remote-{n}"),
        "id": company_id(n),
        "app_id": "acme1234",
        "name": format!("Company {n}"),
        "remote_created_at": FIRST_CHANGE,
        "created_at": FIRST_CHANGE,
        "updated_at": time(n),
        "last_request_at": null,
        "monthly_spend": 0,
        "session_count": 0,
        "user_count": 1 + n % 5,
        "tags": { "type": "tag.list", "tags": if n.is_multiple_of(4) { vec![tag(n % TAGS)] } else { vec![] } },
        "segments": { "type": "segment.list", "segments": [] },
        "plan": {},
        "custom_attributes": {},
    });
    if n.is_multiple_of(3) {
        company["website"] = json!(format!("https://company{n}.example"));
        company["industry"] = json!("Manufacturing");
        company["size"] = json!(85 + n);
    }
    company
}

/// As a search gives it, without its parts. Every third was begun by its contact, by e-mail.
fn conversation(n: usize) -> Value {
    let state = match n % 10 {
        0 => "snoozed",
        n if n.is_multiple_of(2) => "open",
        _ => "closed",
    };
    let is_by_contact = n.is_multiple_of(3);
    let author = if is_by_contact {
        json!({
            "type": "user",
            "id": contact_id(n),
            "name": format!("Joe Bloggs {n}"),
            "email": format!("joe{n}@bloggs.example"),
        })
    } else {
        json!({ "type": "admin", "id": ADMIN_ID.to_string(), "name": "Ciaran", "email": "a@b.example" })
    };
    let mut tag = tag(n % TAGS);
    tag["applied_at"] = json!(FIRST_CHANGE);
    tag["applied_by"] = json!({ "type": "admin", "id": ADMIN_ID.to_string() });
    json!({
        "type": "conversation",
        "id": (515 + n).to_string(),
        "created_at": FIRST_CHANGE,
        "updated_at": time(n),
        "waiting_since": null,
        "snoozed_until": if state == "snoozed" { json!(time(n) + 7 * DAY) } else { Value::Null },
        "source": {
            "type": if is_by_contact { "email" } else { "conversation" },
            "id": (403_918_000 + n).to_string(),
            "delivered_as": if is_by_contact { "customer_initiated" } else { "admin_initiated" },
            "subject": if is_by_contact { format!("Question {n}") } else { String::new() },
            "body": "<p>this is the message body</p>",
            "author": author,
            "attachments": [],
            "url": null,
        },
        "contacts": {
            "type": "contact.list",
            "contacts": [{ "type": "contact", "id": contact_id(n), "external_id": null }],
        },
        "admin_assignee_id": if n.is_multiple_of(2) { json!(ADMIN_ID) } else { Value::Null },
        "team_assignee_id": null,
        "open": state != "closed",
        "state": state,
        "read": false,
        "tags": { "type": "tag.list", "tags": if n.is_multiple_of(4) { vec![tag] } else { vec![] } },
        "priority": if n.is_multiple_of(6) { "priority" } else { "not_priority" },
        "statistics": if state == "closed" {
            json!({ "type": "conversation_statistics", "first_close_at": time(n), "last_close_at": time(n) })
        } else {
            Value::Null
        },
        "conversation_rating": null,
        "title": if n.is_multiple_of(50) { json!(format!("Invoice {n} is wrong")) } else { Value::Null },
        "custom_attributes": {},
    })
}

fn whole_conversation(n: usize) -> Value {
    let mut conversation = conversation(n);
    let part = json!({
        "type": "conversation_part",
        "id": (134_000 + n).to_string(),
        "part_type": "comment",
        "body": "<p>Okay!</p>",
        "created_at": FIRST_CHANGE,
        "updated_at": time(n),
        "author": { "type": "admin", "id": ADMIN_ID.to_string(), "name": "Ciaran", "email": "a@b.example" },
        "attachments": [],
    });
    conversation["conversation_parts"] =
        json!({ "type": "conversation_part.list", "conversation_parts": [part], "total_count": 1 });
    conversation
}

fn admin(n: usize) -> Value {
    json!({
        "type": "admin",
        "id": (ADMIN_ID + n).to_string(),
        "name": format!("Ciaran {n}"),
        "email": format!("admin{n}@acme.example"),
        "avatar": if n.is_multiple_of(3) {
            json!(format!("https://static.intercom.example/avatars/{n}.png"))
        } else {
            Value::Null
        },
        "away_mode_enabled": false,
        "away_mode_reassign": false,
        "has_inbox_seat": true,
        "team_ids": [],
    })
}

fn tag(n: usize) -> Value {
    json!({ "type": "tag", "id": (102 + n).to_string(), "name": format!("Manual tag {n}") })
}
