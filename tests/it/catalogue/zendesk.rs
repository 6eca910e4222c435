//! Zendesk Support as its documentation describes it: lists by cursor where `page[size]` is given and by offset
//! where it is not, and incremental exports by a cursor of their own, which end with `end_of_stream`.

use serde_json::{Value, json};

use super::{Answer, Api, Asked, List};

pub(super) const API: Api = Api {
    name: "zendesk",
    account: r#"{
        "context": {"subdomain": "acme"},
        "credentials": {"email": "agent@acme.example", "api_token": "zendesk_canary"}
    }"#,
    lists: &[
        List { resource: "tickets", query: "{}", records: 230 },
        List { resource: "ticket_comments", query: r#"{"ticket_id": 17}"#, records: 215 },
        List { resource: "users", query: "{}", records: 300 },
        List { resource: "organizations", query: "{}", records: 201 },
        List { resource: "incremental_tickets", query: r#"{"start_time": 1704067200}"#, records: 1150 },
        List { resource: "incremental_users", query: r#"{"start_time": 1704067200}"#, records: 1001 },
    ],
    unified: &[
        List {
            resource: "ticketing/tickets",
            query: r#"{"updated_at": {"gt": "2024-01-01T01:00:00Z"}}"#,
            records: 1090,
        },
        List { resource: "ticketing/comments", query: r#"{"ticket_id": "17"}"#, records: 215 },
        List { resource: "ticketing/users", query: "{}", records: 6 },
        List { resource: "ticketing/contacts", query: "{}", records: 294 },
        List { resource: "ticketing/organizations", query: "{}", records: 201 },
    ],
    answer,
    limited,
    limited_for: 93,
};

/// `agent@acme.example/token:zendesk_canary`
const AUTHORIZATION: &str = "Basic YWdlbnRAYWNtZS5leGFtcGxlL3Rva2VuOnplbmRlc2tfY2FuYXJ5";

/// 2024-01-01T00:00:00Z; the records of an export changed once a minute from then on.
const FIRST_CHANGE: usize = 1_704_067_200;

fn answer(asked: &Asked) -> Answer {
    if asked.header("authorization") != AUTHORIZATION {
        return Answer::json(401, json!({ "error": "Couldn't authenticate you" }));
    }
    let Some(path) = asked.path.strip_prefix("/api/v2/").filter(|_| asked.method == "GET") else {
        return Answer::json(404, json!({ "error": "InvalidEndpoint", "description": "Not found" }));
    };
    let path: Vec<&str> = path.strip_suffix(".json").unwrap_or(path).split('/').collect();
    match path.as_slice() {
        ["tickets"] => list(asked, "tickets", 230, ticket),
        ["tickets", id, "comments"] => match index(id, 1, 230) {
            Some(ticket) => list(asked, "comments", 215, |n| comment(ticket, n)),
            None => not_found(),
        },
        ["users"] => {
            let roles: Vec<&str> = asked
                .query
                .iter()
                .filter(|(name, _)| name == "role[]")
                .map(|(_, role)| role.as_str())
                .collect();
            let wanted = |n: &usize| {
                roles.is_empty() || user(*n)["role"].as_str().is_some_and(|role| roles.contains(&role))
            };
            let users: Vec<usize> = (0..300).filter(wanted).collect();
            list(asked, "users", users.len(), |n| user(users[n]))
        }
        ["organizations"] => list(asked, "organizations", 201, organization),
        ["tickets", id] => one("ticket", index(id, 1, 230).map(ticket)),
        ["users", id] => one("user", index(id, USER_ID, 300).map(user)),
        ["organizations", id] => one("organization", index(id, ORGANIZATION_ID, 201).map(organization)),
        ["incremental", "tickets", "cursor"] => export(asked, "tickets", 1150, exported_ticket),
        ["incremental", "users", "cursor"] => export(asked, "users", 1001, user),
        _ => Answer::json(404, json!({ "error": "InvalidEndpoint", "description": "Not found" })),
    }
}

fn limited() -> Answer {
    let error = json!({
        "error": "APIRateLimitExceeded",
        "description": "Number of allowed API requests per minute exceeded",
    });
    Answer::json(429, error).with("retry-after", "93")
}

fn list(asked: &Asked, name: &str, total: usize, record: impl Fn(usize) -> Value) -> Answer {
    if asked.query("page[size]").is_none() {
        return list_by_offset(asked, name, total, record);
    }
    let size = asked.number("page[size]", 100).clamp(1, 100);
    let Some(begin) = position(name, total, asked.query("page[after]")) else {
        return bad_cursor();
    };
    let end = (begin + size).min(total);
    let records: Vec<Value> = (begin..end).map(record).collect();
    let has_more = end < total;
    let link = |which: &str, at: usize| {
        let cursor = encoded(&cursor(name, at));
        format!("{}{}?page%5B{which}%5D={cursor}&page%5Bsize%5D={size}", asked.base, asked.path)
    };
    // The last page has a cursor, too: the place where the next record will be.
    let (before_cursor, after_cursor) = (cursor(name, begin), cursor(name, end));
    Answer::json(
        200,
        json!({
            name: records,
            "meta": { "has_more": has_more, "after_cursor": after_cursor, "before_cursor": before_cursor },
            "links": {
                "prev": if begin > 0 { json!(link("before", begin)) } else { Value::Null },
                "next": if has_more { json!(link("after", end)) } else { Value::Null },
            },
        }),
    )
}

fn list_by_offset(asked: &Asked, name: &str, total: usize, record: impl Fn(usize) -> Value) -> Answer {
    let size = asked.number("per_page", 100).clamp(1, 100);
    let page = asked.number("page", 1).max(1);
    let begin = ((page - 1) * size).min(total);
    let end = (begin + size).min(total);
    let records: Vec<Value> = (begin..end).map(record).collect();
    let link = |page: usize| json!(format!("{}{}?page={page}&per_page={size}", asked.base, asked.path));
    Answer::json(
        200,
        json!({
            name: records,
            "count": total,
            "next_page": if end < total { link(page + 1) } else { Value::Null },
            "previous_page": if page > 1 { link(page - 1) } else { Value::Null },
        }),
    )
}

/// What changed since `start_time`; the pages after the first are asked for by the cursor alone.
fn export(asked: &Asked, name: &str, total: usize, record: impl Fn(usize) -> Value) -> Answer {
    let list = format!("incremental/{name}");
    let begin = match (asked.query("cursor"), asked.query("start_time")) {
        (Some(cursor), _) => position(&list, total, Some(cursor)),
        (None, Some(time)) => {
            let Ok(time) = time.parse::<usize>() else { return bad_start_time() };
            Some(time.saturating_sub(FIRST_CHANGE).div_ceil(60).min(total))
        }
        (None, None) => return bad_start_time(),
    };
    let Some(begin) = begin else { return bad_cursor() };
    let size = asked.number("per_page", 1000).clamp(1, 1000);
    let end = (begin + size).min(total);
    let records: Vec<Value> = (begin..end).map(record).collect();
    let after_cursor = cursor(&list, end);
    let after_url = format!(
        "{}/api/v2/incremental/{name}/cursor.json?cursor={}&per_page={size}",
        asked.base,
        encoded(&after_cursor)
    );
    Answer::json(
        200,
        json!({
            name: records,
            "after_url": after_url,
            "after_cursor": after_cursor,
            "before_url": null,
            "before_cursor": null,
            "end_of_stream": end == total,
        }),
    )
}

fn one(name: &str, record: Option<Value>) -> Answer {
    record.map_or_else(not_found, |record| Answer::json(200, json!({ name: record })))
}

fn not_found() -> Answer {
    Answer::json(404, json!({ "error": "RecordNotFound", "description": "Not found" }))
}

fn bad_cursor() -> Answer {
    let error = json!({ "code": "InvalidPaginationParameter", "title": "The cursor is not valid" });
    Answer::json(400, json!({ "errors": [error] }))
}

fn bad_start_time() -> Answer {
    let description = "Missing or invalid start_time; it must be a Unix time";
    Answer::json(400, json!({ "error": "InvalidStartTime", "description": description }))
}

/// What stands in a cursor for the place before the record `at`.
fn cursor(list: &str, at: usize) -> String {
    let mixed = (at * 31 + list.len()).wrapping_mul(2_654_435_761) & 0xffff_ffff;
    format!("MTcw{mixed:08x}fHw=")
}

fn encoded(cursor: &str) -> String {
    cursor.replace('=', "%3D")
}

fn position(list: &str, total: usize, asked: Option<&str>) -> Option<usize> {
    let Some(asked) = asked else { return Some(0) };
    (0..=total).find(|at| cursor(list, *at) == asked)
}

fn index(id: &str, first: usize, total: usize) -> Option<usize> {
    let index = id.parse::<usize>().ok()?.checked_sub(first)?;
    (index < total).then_some(index)
}

const USER_ID: usize = 20_978_392_000;
const ORGANIZATION_ID: usize = 360_000_057_000;
const COMMENT_ID: usize = 1_274_000_000;

/// The minute `n` after [`FIRST_CHANGE`].
fn time(n: usize) -> String {
    format!("2024-01-{:02}T{:02}:{:02}:00Z", 1 + n / 1440, n / 60 % 24, n % 60)
}

fn ticket(n: usize) -> Value {
    let id = n + 1;
    json!({
        "url": format!("https://acme.zendesk.com/api/v2/tickets/{id}.json"),
        "id": id,
        "external_id": null,
        "via": { "channel": "email", "source": { "from": { "address": "a@b.example" }, "to": {}, "rel": null } },
        "created_at": "2023-11-05T10:38:52Z",
        "updated_at": time(n),
        "generated_timestamp": FIRST_CHANGE + n * 60,
        "type": if n.is_multiple_of(3) { json!("incident") } else { Value::Null },
        "subject": format!("Printer {id} is on fire"),
        "description": "The fire is very colorful.\n",
        "priority": if n.is_multiple_of(2) { json!("high") } else { Value::Null },
        "status": if n.is_multiple_of(5) { "open" } else { "solved" },
        "requester_id": USER_ID + n % 300,
        "assignee_id": if n.is_multiple_of(7) { json!(USER_ID + 50) } else { Value::Null },
        "problem_id": if n % 30 == 1 { json!(1) } else { Value::Null },
        "organization_id": ORGANIZATION_ID + n % 201,
        "group_id": 98738,
        "collaborator_ids": [],
        "due_at": if n.is_multiple_of(9) { json!("2024-03-01T12:00:00Z") } else { Value::Null },
        "tags": ["enterprise", "other_tag"],
        "custom_fields": [{ "id": 27642, "value": "745" }, { "id": 27648, "value": null }],
        "satisfaction_rating": { "score": "unoffered" },
        "is_public": true,
    })
}

/// Deleted tickets are exported until they are purged.
fn exported_ticket(n: usize) -> Value {
    let mut ticket = ticket(n);
    if n % 97 == 96 {
        ticket["status"] = json!("deleted");
    }
    ticket
}

fn comment(ticket: usize, n: usize) -> Value {
    json!({
        "id": COMMENT_ID + ticket * 1000 + n,
        "type": "Comment",
        "author_id": USER_ID + n % 300,
        "body": format!("Answer {n}\n"),
        "html_body": format!("<div class=\"zd-comment\" dir=\"auto\"><p>Answer {n}</p></div>"),
        "plain_body": format!("Answer {n}"),
        "public": !n.is_multiple_of(4),
        "attachments": if n.is_multiple_of(10) {
            json!([{
                "id": 498_483,
                "file_name": "crash.log",
                "content_url": "https://acme.zendesk.com/attachments/crash.log",
                "content_type": "text/plain",
                "size": 2532,
            }])
        } else {
            json!([])
        },
        "audit_id": 2_127_301_000 + n,
        "via": { "channel": "web", "source": { "from": {}, "to": {}, "rel": null } },
        "created_at": time(n),
        "metadata": { "system": { "ip_address": "192.0.2.7" }, "custom": {} },
    })
}

fn user(n: usize) -> Value {
    let id = USER_ID + n;
    json!({
        "id": id,
        "url": format!("https://acme.zendesk.com/api/v2/users/{id}.json"),
        "name": format!("Johnny {n}"),
        "email": format!("johnny{n}@example.com"),
        "created_at": "2023-11-05T10:38:52Z",
        "updated_at": time(n),
        "time_zone": "Copenhagen",
        "phone": if n.is_multiple_of(10) { json!("+15551234567") } else { Value::Null },
        "photo": if n.is_multiple_of(25) {
            json!({ "content_url": format!("https://acme.zendesk.com/images/{id}.png") })
        } else {
            Value::Null
        },
        "locale_id": 1,
        "locale": "en-US",
        "organization_id": if n.is_multiple_of(4) { Value::Null } else { json!(ORGANIZATION_ID + n % 201) },
        "role": if n.is_multiple_of(50) { "agent" } else { "end-user" },
        "verified": true,
        "external_id": null,
        "tags": [],
        "active": true,
        "last_login_at": null,
        "suspended": false,
        "details": "",
        "notes": "",
        "user_fields": { "user_decimal": 5.1, "user_dropdown": null },
    })
}

fn organization(n: usize) -> Value {
    let id = ORGANIZATION_ID + n;
    json!({
        "url": format!("https://acme.zendesk.com/api/v2/organizations/{id}.json"),
        "id": id,
        "name": format!("Groablet {n}"),
        "shared_tickets": false,
        "shared_comments": false,
        "external_id": format!("ABC{n}"),
        "created_at": "2023-11-05T10:38:52Z",
        "updated_at": time(n),
        "domain_names": [format!("groablet{n}.example")],
        "details": if n.is_multiple_of(3) { json!("Makes groablets") } else { Value::Null },
        "notes": null,
        "group_id": null,
        "tags": ["smiley"],
        "organization_fields": { "org_dropdown": "option_1", "org_decimal": 5.2 },
    })
}
