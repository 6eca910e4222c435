//! Freshdesk as its documentation describes it: numbered pages with a `Link` to the next one, and tickets of the last
//! 30 days alone unless `updated_since` says more.

use serde_json::{Value, json};

use super::{Answer, Api, Asked, List};

pub(super) const API: Api = Api {
    name: "freshdesk",
    account: r#"{"context": {"domain": "acme"}, "credentials": {"api_key": "freshdesk_canary"}}"#,
    lists: &[
        List { resource: "tickets", query: r#"{"updated_since": "2024-01-01T00:00:00Z"}"#, records: 230 },
        List { resource: "conversations", query: r#"{"ticket_id": 17}"#, records: 215 },
        List { resource: "contacts", query: r#"{"_updated_since": "2024-01-01T02:00:00Z"}"#, records: 280 },
        List { resource: "companies", query: "{}", records: 201 },
        List { resource: "agents", query: "{}", records: 205 },
        List { resource: "groups", query: "{}", records: 203 },
    ],
    unified: &[
        List {
            resource: "ticketing/tickets",
            query: r#"{"updated_at": {"gt": "2024-01-01T01:00:00Z"}}"#,
            records: 175,
        },
        List { resource: "ticketing/comments", query: r#"{"ticket_id": "17"}"#, records: 215 },
        List { resource: "ticketing/users", query: "{}", records: 205 },
        List {
            resource: "ticketing/contacts",
            query: r#"{"updated_at": {"gt": "2024-01-01T02:00:00.000Z"}}"#,
            records: 280,
        },
        List { resource: "ticketing/organizations", query: "{}", records: 201 },
    ],
    answer,
    limited,
    limited_for: 45,
};

/// `freshdesk_canary:X`
const AUTHORIZATION: &str = "Basic ZnJlc2hkZXNrX2NhbmFyeTpY";

const TICKETS: usize = 230;
const CONTACTS: usize = 400;
const COMPANIES: usize = 201;
const AGENTS: usize = 205;
const GROUPS: usize = 203;

const CONTACT_ID: usize = 43_000_001_000;
const COMPANY_ID: usize = 43_000_100_000;
const AGENT_ID: usize = 43_000_200_000;
const GROUP_ID: usize = 43_000_300_000;
const CONVERSATION_ID: usize = 43_010_000_000;

/// The tickets that were created within the last 30 days.
const NEW_TICKETS: usize = 20;

/// The parameters that the link to the next page repeats.
const REPEATED: [&str; 8] =
    ["updated_since", "_updated_since", "company_id", "order_by", "order_type", "filter", "include", "state"];

/// What a list of tickets can add to each.
const INCLUDED: [&str; 4] = ["company", "description", "requester", "stats"];

fn answer(asked: &Asked) -> Answer {
    if asked.header("authorization") != AUTHORIZATION {
        let message = "You have to be logged in to perform this action.";
        return Answer::json(401, json!({ "code": "invalid_credentials", "message": message }));
    }
    let Some(path) = asked.path.strip_prefix("/api/v2/").filter(|_| asked.method == "GET") else {
        return not_found();
    };
    let path: Vec<&str> = path.split('/').collect();
    match path.as_slice() {
        ["tickets"] => tickets(asked),
        ["tickets", id, "conversations"] => match index(id, 1, TICKETS) {
            Some(ticket) => list(asked, (0..215).map(|n| conversation(ticket + 1, n)).collect()),
            None => not_found(),
        },
        ["contacts"] => changed(asked, "_updated_since", (0..CONTACTS).map(contact).collect()),
        ["companies"] => list(asked, (0..COMPANIES).map(company).collect()),
        ["agents"] => list(asked, (0..AGENTS).map(agent).collect()),
        ["groups"] => list(asked, (0..GROUPS).map(group).collect()),
        ["tickets", id] => one(index(id, 1, TICKETS).map(|n| including("description,stats", ticket(n)))),
        ["contacts", id] => one(index(id, CONTACT_ID, CONTACTS).map(contact)),
        ["companies", id] => one(index(id, COMPANY_ID, COMPANIES).map(company)),
        ["agents", id] => one(index(id, AGENT_ID, AGENTS).map(agent)),
        ["groups", id] => one(index(id, GROUP_ID, GROUPS).map(group)),
        _ => not_found(),
    }
}

fn limited() -> Answer {
    let error = json!({ "message": "You have exceeded the limit of requests per minute" });
    Answer::json(429, error)
        .with("retry-after", "45")
        .with("x-ratelimit-total", "200")
        .with("x-ratelimit-remaining", "0")
}

fn tickets(asked: &Asked) -> Answer {
    if asked.number("page", 1) > 300 {
        let message =
            "You cannot access tickets beyond the 300th page. Please provide a smaller page number.";
        return invalid("page", message, "invalid_value");
    }
    let include = asked.query("include").unwrap_or_default();
    if include.split(',').any(|name| !name.is_empty() && !INCLUDED.contains(&name)) {
        let message = "It should be one of these values: 'requester,stats,company,description'";
        return invalid("include", message, "invalid_value");
    }
    let begin = if asked.query("updated_since").is_none() { TICKETS - NEW_TICKETS } else { 0 };
    let mut tickets: Vec<Value> = (begin..TICKETS).map(|n| including(include, ticket(n))).collect();
    if let Some(company) = asked.query("company_id") {
        let company: Option<u64> = company.parse().ok();
        tickets.retain(|ticket| ticket["company_id"].as_u64() == company);
    }
    if asked.query("order_type") != Some("asc") {
        tickets.reverse();
    }
    changed(asked, "updated_since", tickets)
}

/// The records that changed since the moment that the parameter says.
fn changed(asked: &Asked, parameter: &str, mut records: Vec<Value>) -> Answer {
    if let Some(since) = asked.query(parameter) {
        if !is_time(since) {
            let message = "It should be in the 'combined date and time ISO8601' format";
            return invalid(parameter, message, "invalid_date");
        }
        records.retain(|record| record["updated_at"].as_str().unwrap() >= since);
    }
    list(asked, records)
}

/// `2024-01-01T00:00:00Z`
fn is_time(text: &str) -> bool {
    let digits = text.bytes().filter(u8::is_ascii_digit).count();
    text.len() == 20 && digits == 14 && text.ends_with('Z') && text.as_bytes()[10] == b'T'
}

fn list(asked: &Asked, records: Vec<Value>) -> Answer {
    let whole = |name: &str| asked.query(name).is_none_or(|text| text.parse::<usize>().is_ok_and(|n| n > 0));
    if !whole("page") {
        return invalid("page", "It should be a Positive Integer", "invalid_value");
    }
    let size = asked.number("per_page", 30);
    if !whole("per_page") || size > 100 {
        let message = "It should be a Positive Integer less than or equal to 100";
        return invalid("per_page", message, "invalid_value");
    }
    let page = asked.number("page", 1);
    let begin = (page - 1) * size;
    let has_more = begin + size < records.len();
    let records: Vec<Value> = records.into_iter().skip(begin).take(size).collect();
    let answer = Answer::json(200, json!(records));
    if has_more { answer.with("link", next_link(asked, page + 1)) } else { answer }
}

fn next_link(asked: &Asked, page: usize) -> String {
    let size = asked.query("per_page").map(|size| format!("&per_page={size}")).unwrap_or_default();
    let repeated: String = REPEATED
        .iter()
        .filter_map(|name| Some(format!("&{name}={}", asked.query(name)?.replace('+', "%2B"))))
        .collect();
    format!("<{}{}?page={page}{size}{repeated}>; rel=\"next\"", asked.base, asked.path)
}

fn one(record: Option<Value>) -> Answer {
    record.map_or_else(not_found, |record| Answer::json(200, record))
}

/// A 404 of Freshdesk has no body.
fn not_found() -> Answer {
    Answer::text(404, "application/json", "")
}

fn invalid(field: &str, message: &str, code: &str) -> Answer {
    let error = json!({ "field": field, "message": message, "code": code });
    Answer::json(400, json!({ "description": "Validation failed", "errors": [error] }))
}

fn index(id: &str, first: usize, total: usize) -> Option<usize> {
    let index = id.parse::<usize>().ok()?.checked_sub(first)?;
    (index < total).then_some(index)
}

fn time(n: usize) -> String {
    format!("2024-01-{:02}T{:02}:{:02}:00Z", 1 + n / 1440, n / 60 % 24, n % 60)
}

/// The ticket with what a request wants besides.
fn including(include: &str, mut ticket: Value) -> Value {
    let wants = |name: &str| include.split(',').any(|wanted| wanted == name);
    if wants("description") {
        ticket["description"] = json!("<div>Where is my flour?</div>");
        ticket["description_text"] = json!("Where is my flour?");
    }
    if wants("stats") {
        let (status, at) = (ticket["status"].as_u64(), &ticket["updated_at"]);
        let resolved = if matches!(status, Some(4 | 5)) { at.clone() } else { Value::Null };
        let closed = if status == Some(5) { at.clone() } else { Value::Null };
        ticket["stats"] = json!({ "first_responded_at": null, "resolved_at": resolved, "closed_at": closed });
    }
    ticket
}

/// Statuses are open, pending, resolved, closed, and one that the account has made.
fn ticket(n: usize) -> Value {
    json!({
        "id": n + 1,
        "subject": format!("Where is my flour {n}?"),
        "type": if n.is_multiple_of(3) { json!("Question") } else { Value::Null },
        "status": 2 + n % 5,
        "priority": 1 + n % 4,
        "source": 1,
        "requester_id": CONTACT_ID + n % CONTACTS,
        "responder_id": if n.is_multiple_of(2) { json!(AGENT_ID + n % AGENTS) } else { Value::Null },
        "company_id": if n.is_multiple_of(4) { json!(COMPANY_ID + n % COMPANIES) } else { Value::Null },
        "group_id": GROUP_ID + n % GROUPS,
        "product_id": null,
        "email_config_id": null,
        "to_emails": ["support@acme.example"],
        "cc_emails": [],
        "fwd_emails": [],
        "spam": false,
        "is_escalated": false,
        "fr_escalated": false,
        "due_by": "2024-02-01T10:00:00Z",
        "fr_due_by": "2024-01-30T10:00:00Z",
        "created_at": time(n),
        "updated_at": time(n + 5),
        "tags": if n.is_multiple_of(6) { json!(["flour", "late"]) } else { json!([]) },
        "custom_fields": { "cf_order": format!("O-{n}"), "cf_region": null },
    })
}

fn conversation(ticket: usize, n: usize) -> Value {
    json!({
        "id": CONVERSATION_ID + ticket * 1000 + n,
        "body": format!("<div>Answer {n}</div>"),
        "body_text": format!("Answer {n}"),
        "incoming": n.is_multiple_of(2),
        "private": n.is_multiple_of(5),
        "user_id": AGENT_ID + n % AGENTS,
        "support_email": null,
        "source": if n.is_multiple_of(5) { 2 } else { 0 },
        "ticket_id": ticket,
        "to_emails": ["flour@example.com"],
        "from_email": null,
        "cc_emails": [],
        "bcc_emails": [],
        "attachments": if n.is_multiple_of(10) { json!([attachment(n)]) } else { json!([]) },
        "created_at": time(n),
        "updated_at": time(n),
    })
}

fn attachment(n: usize) -> Value {
    json!({
        "id": 43_020_000_000_usize + n,
        "name": "flour.png",
        "content_type": "image/png",
        "size": 114_322,
        "attachment_url": format!("https://cdn.freshdesk.example/attachments/{n}/original/flour.png"),
        "created_at": time(n),
        "updated_at": time(n),
    })
}

fn contact(n: usize) -> Value {
    json!({
        "id": CONTACT_ID + n,
        "active": false,
        "address": null,
        "company_id": if n.is_multiple_of(2) { json!(COMPANY_ID + n % COMPANIES) } else { Value::Null },
        "description": null,
        "email": format!("contact{n}@example.com"),
        "job_title": null,
        "language": "en",
        "mobile": null,
        "name": format!("Rachel {n}"),
        "phone": if n.is_multiple_of(3) { json!("+49 30 901820") } else { Value::Null },
        "time_zone": "Berlin",
        "twitter_id": null,
        "custom_fields": { "department": "Admin", "fax": null },
        "created_at": "2023-08-24T09:28:49Z",
        "updated_at": time(n),
    })
}

fn company(n: usize) -> Value {
    json!({
        "id": COMPANY_ID + n,
        "name": format!("SuperNova {n}"),
        "description": if n.is_multiple_of(2) { json!("Bakes") } else { Value::Null },
        "note": null,
        "domains": [format!("supernova{n}.example")],
        "health_score": if n.is_multiple_of(2) { json!("Happy") } else { Value::Null },
        "account_tier": null,
        "renewal_date": "2024-12-31T00:00:00Z",
        "industry": null,
        "custom_fields": {},
        "created_at": "2023-08-24T09:28:49Z",
        "updated_at": time(n),
    })
}

fn agent(n: usize) -> Value {
    json!({
        "id": AGENT_ID + n,
        "available": true,
        "occasional": false,
        "signature": null,
        "ticket_scope": 1,
        "type": "support_agent",
        "available_since": null,
        "created_at": "2023-08-24T09:28:49Z",
        "updated_at": time(n),
        "contact": {
            "active": !n.is_multiple_of(12),
            "email": format!("agent{n}@acme.example"),
            "job_title": null,
            "language": "en",
            "last_login_at": "2024-01-21T14:54:46Z",
            "mobile": if n.is_multiple_of(5) { json!("+49 151 901820") } else { Value::Null },
            "name": format!("Support {n}"),
            "phone": null,
            "time_zone": "Berlin",
        },
    })
}

fn group(n: usize) -> Value {
    json!({
        "id": GROUP_ID + n,
        "name": format!("Group {n}"),
        "description": null,
        "escalate_to": null,
        "unassigned_for": null,
        "business_hour_id": null,
        "group_type": "support_agent_group",
        "auto_ticket_assign": 0,
        "created_at": "2023-08-24T09:28:49Z",
        "updated_at": time(n),
    })
}
