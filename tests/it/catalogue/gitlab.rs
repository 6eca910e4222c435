//! GitLab as its documentation describes it: projects by key until an empty page, issues and users by key with an opaque
//! cursor, merge requests and notes by number, all by `Link`.

use serde_json::{Value, json};

use super::{Answer, Api, Asked, List};

pub(super) const API: Api = Api {
    name: "gitlab",
    account: r#"{"context": {"group": "acme"}, "credentials": {"token": "glpat-canary"}}"#,
    lists: &[
        List { resource: "projects", query: "{}", records: 230 },
        List { resource: "projects", query: r#"{"membership": false}"#, records: 260 },
        List { resource: "issues", query: r#"{"project_id": 42}"#, records: 430 },
        List {
            resource: "issues",
            query: r#"{"project_id": 42, "updated_after": "2026-01-10T00:00:00.000Z"}"#,
            records: 215,
        },
        List { resource: "issue_notes", query: r#"{"project_id": 42, "issue_iid": 7}"#, records: 230 },
        List { resource: "merge_requests", query: r#"{"project_id": 42}"#, records: 430 },
        List {
            resource: "merge_requests",
            query: r#"{"project_id": 42, "updated_after": "2026-01-10T00:00:00.000Z"}"#,
            records: 215,
        },
        List { resource: "labels", query: r#"{"project_id": 42}"#, records: 30 },
        List { resource: "group_members", query: r#"{"group_id": "acme"}"#, records: 215 },
        List { resource: "users", query: "{}", records: 230 },
    ],
    unified: &[
        List {
            resource: "ticketing/tickets",
            query: r#"{"organization_id": "42", "updated_at": {"gt": "2026-01-10T00:00:00.000Z"}}"#,
            records: 215,
        },
        List { resource: "ticketing/comments", query: r#"{"ticket_id": "42#7"}"#, records: 173 },
        List { resource: "ticketing/users", query: "{}", records: 215 },
        List { resource: "ticketing/organizations", query: "{}", records: 230 },
        List { resource: "ticketing/tags", query: r#"{"organization_id": "42"}"#, records: 30 },
    ],
    answer,
    limited,
    limited_for: 42,
};

/// Parameters that links take along.
const KEPT: [&str; 12] = [
    "membership",
    "order_by",
    "sort",
    "state",
    "scope",
    "created_after",
    "created_before",
    "updated_after",
    "updated_before",
    "last_activity_after",
    "activity_filter",
    "per_page",
];

/// Roles, as numbers.
const ACCESS_LEVELS: [u64; 6] = [10, 15, 20, 30, 40, 50];

fn answer(asked: &Asked) -> Answer {
    if asked.header("authorization") != "Bearer glpat-canary" {
        return Answer::json(401, json!({ "message": "401 Unauthorized" }));
    }
    let answer = if asked.method == "GET" { route(asked) } else { not_found("404 Not Found") };
    answer.with("ratelimit-limit", "2000").with("ratelimit-remaining", "1987")
}

fn route(asked: &Asked) -> Answer {
    let path = asked.path.strip_prefix("/api/v4/").unwrap_or_default();
    let parts: Vec<&str> = path.split('/').collect();
    match parts.as_slice() {
        ["projects"] => projects(asked),
        ["projects", id] => one((1..=260).map(project), "id", id),
        ["projects", "42", "issues"] => {
            let keys = ["created_at", "updated_at", "title", "id", "weight", "due_date", "relative_position"];
            by_cursor(asked, &keys, changed(asked, (1..=430).map(issue).collect()))
        }
        ["projects", "42", "issues", iid] => one((1..=430).map(issue), "iid", iid),
        ["projects", "42", "issues", "7", "notes"] => notes(asked),
        ["projects", "42", "issues", "7", "notes", id] => one((1..=230).map(note), "id", id),
        ["projects", "42", "merge_requests"] => {
            by_number(asked, changed(asked, (1..=430).map(merge_request).collect()))
        }
        ["projects", "42", "merge_requests", iid] => one((1..=430).map(merge_request), "iid", iid),
        // The other projects have none.
        ["projects", _, "issues" | "merge_requests"] | ["projects", _, "issues", _, "notes"] => {
            by_number(asked, Vec::new())
        }
        ["projects", "42", "labels"] => by_number(asked, (1..=30).map(label).collect()),
        ["projects", "42", "labels", id] => one((1..=30).map(label), "id", id),
        ["groups", "acme", "members", "all"] => by_number(asked, (1..=215).map(member).collect()),
        ["groups", "acme", "members", "all", id] => one((1..=215).map(member), "id", id),
        ["users"] => {
            let keys = ["id", "name", "username", "created_at", "updated_at"];
            by_cursor(asked, &keys, (1..=230).map(user).collect())
        }
        ["users", id] => one((1..=230).map(user), "id", id),
        _ => not_found("404 Not Found"),
    }
}

/// By key: each page but an empty one links to what comes after its last id.
fn projects(asked: &Asked) -> Answer {
    if !is_by_key(asked, &["id"]) {
        return no_keyset();
    }
    let after = asked.number("id_after", 0) as u64;
    let is_member = asked.query("membership") == Some("true");
    let activity = asked.query("last_activity_after").unwrap_or_default();
    let all = (1..=if is_member { 230 } else { 260 }).map(project);
    let rest = all.filter(|project| project["id"].as_u64().unwrap() > after);
    let active = rest.filter(|project| project["last_activity_at"].as_str().unwrap() >= activity);
    let page: Vec<Value> = active.take(size(asked)).collect();
    let last = page.last().map(|project| project["id"].clone());
    let answer = Answer::json(200, Value::Array(page));
    match last {
        Some(last) => {
            let next = link(asked, &format!("pagination=keyset&id_after={last}"), "next");
            answer.with("link", next)
        }
        None => answer,
    }
}

/// By key, with a cursor; numbered where the request asks for no key.
fn by_cursor(asked: &Asked, keys: &[&str], all: Vec<Value>) -> Answer {
    if asked.query("pagination") != Some("keyset") {
        return by_number(asked, all);
    }
    if !is_by_key(asked, keys) {
        return no_keyset();
    }
    let all = in_order(asked, all);
    let start = match asked.query("cursor") {
        None => 0,
        Some(cursor) => match position(cursor) {
            Some(position) => position,
            None => return Answer::json(400, json!({ "error": "cursor is invalid" })),
        },
    };
    let end = (start + size(asked)).min(all.len());
    let answer = Answer::json(200, json!(&all[start.min(end)..end]));
    if end == all.len() {
        return answer;
    }
    let next = link(asked, &format!("pagination=keyset&cursor={}", cursor(end)), "next");
    answer.with("link", next)
}

/// Whether the request orders by one of these keys, and says in which direction.
fn is_by_key(asked: &Asked, keys: &[&str]) -> bool {
    let is_key = asked.query("order_by").is_some_and(|key| keys.contains(&key));
    let is_directed = matches!(asked.query("sort"), Some("asc" | "desc"));
    asked.query("pagination") == Some("keyset") && is_key && is_directed
}

fn no_keyset() -> Answer {
    let error = "Keyset pagination is not yet available for this type of request";
    Answer::json(405, json!({ "error": error }))
}

fn cursor(position: usize) -> String {
    format!("eyJjcmVhdGVkX2F0Ijoi{:08x}", (position * 7919) ^ 0x005a_5a5a)
}

fn position(cursor: &str) -> Option<usize> {
    let digits = cursor.strip_prefix("eyJjcmVhdGVkX2F0Ijoi")?;
    let number = usize::from_str_radix(digits, 16).ok()? ^ 0x005a_5a5a;
    (number.is_multiple_of(7919)).then_some(number / 7919)
}

fn by_number(asked: &Asked, all: Vec<Value>) -> Answer {
    let page = asked.number("page", 1).max(1);
    let total = all.len();
    let pages = total.div_ceil(size(asked)).max(1);
    let records = in_order(asked, all).into_iter().skip((page - 1) * size(asked)).take(size(asked));
    let answer = Answer::json(200, Value::Array(records.collect()));
    let to = |page: usize, relation: &str| link(asked, &format!("page={page}"), relation);
    let mut links = vec![to(1, "first"), to(pages, "last")];
    if page > 1 {
        links.insert(0, to(page - 1, "prev"));
    }
    if page < pages {
        links.insert(0, to(page + 1, "next"));
    }
    let next = if page < pages { (page + 1).to_string() } else { String::new() };
    answer
        .with("link", links.join(", "))
        .with("x-next-page", next)
        .with("x-page", page.to_string())
        .with("x-per-page", size(asked).to_string())
        .with("x-total", total.to_string())
        .with("x-total-pages", pages.to_string())
}

fn link(asked: &Asked, place: &str, relation: &str) -> String {
    let kept = KEPT.iter().filter_map(|name| Some(format!("{name}={}&", asked.query(name)?)));
    let kept: String = kept.collect();
    format!("<{}{}?{kept}{place}>; rel=\"{relation}\"", asked.base, asked.path)
}

fn size(asked: &Asked) -> usize {
    asked.number("per_page", 20).clamp(1, 100)
}

/// The newest first unless the request says otherwise.
fn in_order(asked: &Asked, mut all: Vec<Value>) -> Vec<Value> {
    if asked.query("sort") != Some("asc") {
        all.reverse();
    }
    all
}

/// Comments, and what the system writes of changes.
fn notes(asked: &Asked) -> Answer {
    let mut all: Vec<Value> = (1..=230).map(note).collect();
    match asked.query("activity_filter").unwrap_or("all_notes") {
        "all_notes" => {}
        "only_comments" => all.retain(|note| note["system"] == false),
        "only_activity" => all.retain(|note| note["system"] == true),
        _ => return Answer::json(400, json!({ "error": "activity_filter does not have a valid value" })),
    }
    by_number(asked, all)
}

/// The records that were made and changed in the time that the request asks for.
fn changed(asked: &Asked, mut all: Vec<Value>) -> Vec<Value> {
    for (member, after, before) in
        [("created_at", "created_after", "created_before"), ("updated_at", "updated_after", "updated_before")]
    {
        let (after, before) = (asked.query(after), asked.query(before));
        all.retain(|record| {
            let at = record[member].as_str().unwrap();
            after.is_none_or(|after| at >= after) && before.is_none_or(|before| at <= before)
        });
    }
    all
}

/// The record that has this number.
fn one(mut all: impl Iterator<Item = Value>, member: &str, value: &str) -> Answer {
    let found = all.find(|record| value.parse() == Ok(record[member].as_u64().unwrap()));
    found.map_or_else(|| not_found("404 Not found"), |record| Answer::json(200, record))
}

fn not_found(message: &str) -> Answer {
    Answer::json(404, json!({ "message": message }))
}

fn limited() -> Answer {
    Answer::text(429, "text/plain", "Retry later\n")
        .with("ratelimit-limit", "2000")
        .with("ratelimit-name", "throttle_authenticated_api")
        .with("ratelimit-observed", "2001")
        .with("ratelimit-remaining", "0")
        .with("ratelimit-reset", "1609844400")
        .with("retry-after", "42")
}

/// A moment in January 2026.
fn at(hours: usize) -> String {
    format!("2026-01-{:02}T{:02}:00:00.000Z", 1 + hours / 24, hours % 24)
}

fn user(n: usize) -> Value {
    json!({
        "id": n * 3,
        "username": format!("user{n}"),
        "name": format!("User {n}"),
        "state": if n.is_multiple_of(9) { "blocked" } else { "active" },
        "locked": false,
        "avatar_url": if n.is_multiple_of(4) {
            json!(format!("https://gitlab.example.com/uploads/-/system/user/avatar/{n}/avatar.png"))
        } else {
            Value::Null
        },
        "web_url": format!("https://gitlab.example.com/user{n}"),
    })
}

/// A user as a member of a group; the email of those whose accounts the group owns.
fn member(n: usize) -> Value {
    let mut member = user(n);
    member["access_level"] = json!(ACCESS_LEVELS[n % ACCESS_LEVELS.len()]);
    member["created_at"] = json!(at(n));
    member["expires_at"] = Value::Null;
    if n.is_multiple_of(2) {
        member["email"] = json!(format!("user{n}@acme.example"));
    }
    member
}

fn label(n: usize) -> Value {
    json!({
        "id": 1_200 + n,
        "name": if n == 1 { "bug".to_owned() } else { format!("area::{n}") },
        "color": "#d9534f",
        "text_color": "#FFFFFF",
        "description": if n == 1 { json!("Bug reported by user") } else { Value::Null },
        "description_html": if n == 1 { json!("Bug reported by user") } else { Value::Null },
        "subscribed": false,
        "priority": null,
        "is_project_label": n != 1,
    })
}

fn project(n: usize) -> Value {
    json!({
        "id": n * 2,
        "description": if n.is_multiple_of(3) { Value::Null } else { json!("What acme sells") },
        "name": format!("Project {n}"),
        "name_with_namespace": format!("Acme / Project {n}"),
        "path": format!("project-{n}"),
        "path_with_namespace": format!("acme/project-{n}"),
        "default_branch": if n.is_multiple_of(10) { Value::Null } else { json!("main") },
        "visibility": "private",
        "topics": if n.is_multiple_of(5) { json!(["api", "shop"]) } else { json!([]) },
        "web_url": format!("https://gitlab.example.com/acme/project-{n}"),
        "archived": false,
        "issues_enabled": true,
        "merge_requests_enabled": true,
        "namespace": { "id": 3, "name": "Acme", "path": "acme", "kind": "group", "parent_id": null },
        "created_at": at(n),
        "updated_at": at(n + 1),
        "last_activity_at": at(n),
    })
}

fn issue(n: usize) -> Value {
    let is_closed = n.is_multiple_of(3);
    let assignees: Vec<Value> = (0..n % 3).map(|more| user(n % 230 + more + 1)).collect();
    json!({
        "id": 76_000 + n,
        "iid": n,
        "project_id": 42,
        "title": format!("Issue {n}"),
        "description": if n.is_multiple_of(4) { Value::Null } else { json!("It **crashes**.") },
        "state": if is_closed { "closed" } else { "opened" },
        "created_at": at(n),
        "updated_at": at(n),
        "closed_at": if is_closed { json!(at(n)) } else { Value::Null },
        "labels": ["area::2", "bug"],
        "milestone": null,
        "assignees": assignees,
        "assignee": assignees.first(),
        "author": user(n % 230 + 1),
        "type": if n.is_multiple_of(8) { "INCIDENT" } else { "ISSUE" },
        "issue_type": if n.is_multiple_of(8) { "incident" } else { "issue" },
        "web_url": format!("https://gitlab.example.com/acme/app/-/issues/{n}"),
        "user_notes_count": 1,
        "due_date": if n.is_multiple_of(9) { json!("2026-03-01") } else { Value::Null },
        "confidential": false,
        "references": { "short": format!("#{n}"), "relative": format!("#{n}"), "full": format!("acme/app#{n}") },
    })
}

fn merge_request(n: usize) -> Value {
    let is_merged = n.is_multiple_of(2);
    json!({
        "id": 88_000 + n,
        "iid": n,
        "project_id": 42,
        "title": format!("Merge request {n}"),
        "description": "",
        "state": if is_merged { "merged" } else { "opened" },
        "created_at": at(n),
        "updated_at": at(n),
        "merged_at": if is_merged { json!(at(n)) } else { Value::Null },
        "target_branch": "main",
        "source_branch": format!("topic-{n}"),
        "author": user(n % 230 + 1),
        "assignees": [],
        "reviewers": [],
        "draft": false,
        "labels": [],
        "milestone": null,
        "detailed_merge_status": "not_open",
        "sha": "8888888888888888888888888888888888888888",
    })
}

fn note(n: usize) -> Value {
    let is_internal = n % 20 == 3;
    json!({
        "id": 3_020 + n,
        "body": if n.is_multiple_of(4) { "closed" } else { "Text of the comment" },
        "attachment": null,
        "author": user(n),
        "created_at": at(n),
        "updated_at": at(n),
        "system": n.is_multiple_of(4),
        "noteable_id": 76_007,
        "noteable_type": "Issue",
        "project_id": 42,
        "noteable_iid": 7,
        "resolvable": false,
        "confidential": is_internal,
        "internal": is_internal,
        "imported": false,
        "imported_from": "none",
    })
}
