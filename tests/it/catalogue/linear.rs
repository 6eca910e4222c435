//! Linear as its documentation describes it: one GraphQL endpoint, which gives the members that the query
//! selects and no others; connections by `first` and `after`; errors in `errors`, a rate limit as a 400.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::iter::Peekable;

use serde_json::{Value, json};

use super::{Answer, Api, Asked, List};

/// Of every 47 records one is archived or disabled, and in no list that doesn't ask for it.
const ALL: usize = 235;
const LISTED: usize = 230;

pub(super) const API: Api = Api {
    name: "linear",
    account: r#"{"context": {}, "credentials": {"api_key": "lin_api_canary"}}"#,
    lists: &[
        List { resource: "issues", query: "{}", records: LISTED },
        List { resource: "projects", query: "{}", records: LISTED },
        List { resource: "teams", query: "{}", records: LISTED },
        List { resource: "users", query: "{}", records: LISTED },
        List { resource: "comments", query: "{}", records: LISTED },
        List { resource: "labels", query: "{}", records: LISTED },
    ],
    unified: &[
        // The issues from 25 to 191, archived ones among them.
        List {
            resource: "ticketing/tickets",
            query: r#"{
                "updated_at": {"gt": "2026-01-02T00:00:00.000Z"},
                "created_at": {"lt": "2026-01-09T00:00:00.000Z"}
            }"#,
            records: 167,
        },
        // Every tenth from the 8th on is on a project.
        List { resource: "ticketing/comments", query: "{}", records: ALL - 23 },
        List { resource: "ticketing/users", query: "{}", records: ALL },
        List { resource: "ticketing/organizations", query: "{}", records: LISTED },
        // 11 of the listed ones are groups.
        List { resource: "ticketing/tags", query: "{}", records: LISTED - 11 },
    ],
    answer,
    limited,
    limited_for: 60,
};

fn limited() -> Answer {
    let reset = rapidbridge::clock::now().0 + 60_000;
    error(400, "RATELIMITED", "ratelimited", "Rate limit exceeded")
        .with("x-ratelimit-requests-limit", "2500")
        .with("x-ratelimit-requests-remaining", "0")
        .with("x-ratelimit-requests-reset", reset.to_string())
        .with("x-ratelimit-complexity-remaining", "2999000")
}

fn answer(asked: &Asked) -> Answer {
    if asked.header("authorization") != "lin_api_canary" {
        let what = "Authentication required, not authenticated";
        return error(401, "AUTHENTICATION_ERROR", "authentication error", what);
    }
    if asked.method != "POST" || asked.path != "/graphql" {
        return Answer::text(404, "text/plain", "Not found");
    }
    let text = without_arguments(asked.body["query"].as_str().unwrap_or_default());
    let mut words = text.split_whitespace().skip_while(|word| *word != "{").skip(1).peekable();
    let selected = selection(&mut words);
    let Some(root) = selected.first() else {
        return error(400, "GRAPHQL_PARSE_FAILED", "graphql error", "Syntax Error: Unexpected <EOF>.");
    };
    let found = match root.name {
        "issues" => connection(asked, (0..ALL).rev().map(issue).collect()),
        "projects" => connection(asked, (0..ALL).rev().map(project).collect()),
        "teams" => connection(asked, (0..ALL).rev().map(team).collect()),
        "users" => connection(asked, (0..ALL).rev().map(user).collect()),
        "comments" => connection(asked, (0..ALL).rev().map(comment).collect()),
        "issueLabels" => connection(asked, (0..ALL).rev().map(label).collect()),
        "issue" => one(asked, "Issue", issue),
        "project" => one(asked, "Project", project),
        "team" => one(asked, "Team", team),
        "user" => one(asked, "User", user),
        "comment" => one(asked, "Comment", comment),
        "issueLabel" => one(asked, "IssueLabel", label),
        other => Err(no_field(other)),
    };
    let answer = match found.and_then(|found| picked(&root.inner, &found)) {
        Ok(value) => Answer::json(200, json!({ "data": { (root.name): value } })),
        Err(refusal) => Answer::json(refusal.0, refusal.1),
    };
    answer.with("x-ratelimit-requests-limit", "2500").with("x-ratelimit-requests-remaining", "2499")
}

/// Status and body.
type Refusal = (u16, Value);

/// A member that a query selects, and what it selects of it.
struct Field<'q> {
    name: &'q str,
    inner: Vec<Field<'q>>,
}

/// The members up to the closing brace.
fn selection<'q>(words: &mut Peekable<impl Iterator<Item = &'q str>>) -> Vec<Field<'q>> {
    let mut fields = Vec::new();
    while let Some(name) = words.next_if(|word| *word != "}") {
        let inner = if words.next_if(|word| *word == "{").is_some() { selection(words) } else { Vec::new() };
        fields.push(Field { name, inner });
    }
    words.next();
    fields
}

/// The query without what stands in parentheses, its braces apart from the words.
fn without_arguments(query: &str) -> String {
    let mut depth = 0;
    let mut text = String::new();
    for letter in query.chars() {
        match letter {
            '(' => depth += 1,
            ')' => depth -= 1,
            '{' | '}' if depth == 0 => text.extend([' ', letter, ' ']),
            letter if depth == 0 => text.push(letter),
            _ => {}
        }
    }
    text
}

/// What the query selects of `value`.
fn picked(fields: &[Field<'_>], value: &Value) -> Result<Value, Refusal> {
    match value {
        Value::Array(items) => items.iter().map(|item| picked(fields, item)).collect(),
        Value::Object(members) => fields
            .iter()
            .map(|field| {
                let member = members.get(field.name).ok_or_else(|| no_field(field.name))?;
                let member =
                    if field.inner.is_empty() { member.clone() } else { picked(&field.inner, member)? };
                Ok((field.name, member))
            })
            .collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Ok(value.clone()),
    }
}

/// A variable, where the query hands it on.
fn variable<'a>(asked: &'a Asked, name: &str) -> &'a Value {
    let query = asked.body["query"].as_str().unwrap_or_default();
    if query.contains(&format!("{name}: ${name}")) { &asked.body["variables"][name] } else { &Value::Null }
}

fn connection(asked: &Asked, records: Vec<Value>) -> Result<Value, Refusal> {
    let with_archived = variable(asked, "includeArchived") == &json!(true);
    let with_disabled = variable(asked, "includeDisabled") == &json!(true);
    let mut records = records;
    records.retain(|record| {
        (with_archived || record["archivedAt"].is_null())
            && (with_disabled || record["active"] != json!(false))
            && matches(variable(asked, "filter"), record)
    });
    let first = variable(asked, "first");
    let size = if first.is_null() { Some(50) } else { first.as_u64() };
    let Some(size) = size.filter(|size| (1..=250).contains(size)) else {
        return Err(refusal(400, "INVALID_INPUT", "invalid input", "Argument Validation Error"));
    };
    let start = match variable(asked, "after").as_str() {
        None => 0,
        Some(after) => match records.iter().position(|record| record["id"] == after) {
            Some(at) => at + 1,
            None => return Err(refusal(400, "INVALID_INPUT", "invalid input", "Invalid cursor: after")),
        },
    };
    let end = records.len().min(start + usize::try_from(size).unwrap());
    let nodes = records[start..end].to_vec();
    let info = json!({
        "hasNextPage": end < records.len(),
        "hasPreviousPage": start > 0,
        "startCursor": nodes.first().map(|node| node["id"].clone()),
        "endCursor": nodes.last().map(|node| node["id"].clone()),
    });
    Ok(json!({ "nodes": nodes, "pageInfo": info }))
}

/// Whether a record passes a filter: comparators, at any depth.
fn matches(filter: &Value, record: &Value) -> bool {
    filter.as_object().is_none_or(|members| {
        members.iter().all(|(name, wanted)| match name.as_str() {
            "eq" => record == wanted,
            "gt" => record.as_str() > wanted.as_str(),
            "gte" => record.as_str() >= wanted.as_str(),
            "lt" => record.as_str() < wanted.as_str(),
            "in" => wanted.as_array().is_some_and(|all| all.contains(record)),
            "null" => Some(record.is_null()) == wanted.as_bool(),
            field => matches(wanted, &record[field]),
        })
    })
}

fn one(asked: &Asked, kind: &str, record: fn(usize) -> Value) -> Result<Value, Refusal> {
    let id = variable(asked, "id");
    (0..ALL)
        .map(record)
        .find(|record| &record["id"] == id)
        .ok_or_else(|| refusal(200, "INPUT_ERROR", "invalid input", &format!("Entity not found: {kind}")))
}

fn no_field(name: &str) -> Refusal {
    refusal(400, "GRAPHQL_VALIDATION_FAILED", "graphql error", &format!("Cannot query field \"{name}\"."))
}

fn refusal(status: u16, code: &str, kind: &str, message: &str) -> Refusal {
    let about = json!({
        "type": kind,
        "code": code,
        "statusCode": status,
        "userError": true,
        "userPresentableMessage": message,
    });
    (status, json!({ "errors": [{ "message": message, "extensions": about }], "data": null }))
}

fn error(status: u16, code: &str, kind: &str, message: &str) -> Answer {
    let (status, body) = refusal(status, code, kind, message);
    Answer::json(status, body)
}

fn uuid(of: &str) -> String {
    let mut hasher = DefaultHasher::new();
    of.hash(&mut hasher);
    let hash = hasher.finish();
    let (a, b, c, d) = (hash >> 32, (hash >> 16) & 0xffff, (hash >> 4) & 0xfff, hash & 0xfff);
    format!("{a:08x}-{b:04x}-4{c:03x}-8{d:03x}-{:012x}", hash.rotate_left(29) & 0xffff_ffff_ffff)
}

fn time(n: usize) -> String {
    format!("2026-01-{:02}T{:02}:00:00.000Z", 1 + n / 24, n % 24)
}

/// When a record was archived.
fn archived(n: usize) -> Value {
    if n % 47 == 46 { json!(time(n)) } else { Value::Null }
}

fn team(n: usize) -> Value {
    json!({
        "id": uuid(&format!("team {n}")),
        "key": format!("T{n}"),
        "name": format!("Team {n}"),
        "displayName": format!("Team {n}"),
        "description": if n.is_multiple_of(3) { json!("Whom customers reach first.") } else { Value::Null },
        "visibility": "public",
        "timezone": "Europe/Berlin",
        "color": "#4cb782",
        "icon": "Robot",
        "createdAt": time(n),
        "updatedAt": time(n),
        "archivedAt": archived(n),
        "parent": null,
    })
}

/// Disabled ones are not archived.
fn user(n: usize) -> Value {
    json!({
        "id": uuid(&format!("user {n}")),
        "name": format!("User {n}"),
        "displayName": format!("user{n}"),
        "email": format!("user{n}@acme.example"),
        "active": archived(n).is_null(),
        "admin": n == 0,
        "guest": false,
        "app": n % 20 == 19,
        "avatarUrl": if n.is_multiple_of(4) {
            json!(format!("https://public.linear.example/avatars/{n}.png"))
        } else {
            Value::Null
        },
        "timezone": "Europe/Berlin",
        "createdAt": time(n),
        "updatedAt": time(n),
        "archivedAt": null,
    })
}

fn project(n: usize) -> Value {
    json!({
        "id": uuid(&format!("project {n}")),
        "name": format!("Project {n}"),
        "description": "",
        "content": null,
        "slugId": format!("{:012x}", 0xabc_def_000 + n),
        "url": format!("https://linear.app/acme/project/project-{n}"),
        "priority": n % 5,
        "progress": 0.25,
        "health": if n.is_multiple_of(2) { json!("onTrack") } else { Value::Null },
        "startDate": null,
        "targetDate": "2026-12-31",
        "startedAt": null,
        "completedAt": null,
        "canceledAt": null,
        "createdAt": time(n),
        "updatedAt": time(n),
        "archivedAt": archived(n),
        "trashed": null,
        "status": { "id": uuid("status"), "name": "Planned", "type": "planned" },
        "lead": if n.is_multiple_of(3) { Value::Null } else { user(1) },
        "creator": user(0),
    })
}

/// A group of labels is no label of an issue.
fn label(n: usize) -> Value {
    let team = team(n % 3);
    json!({
        "id": uuid(&format!("label {n}")),
        "name": format!("Label {n}"),
        "description": if n.is_multiple_of(2) { json!("Reported by customers") } else { Value::Null },
        "color": "#bec2c8",
        "isGroup": n % 20 == 19,
        "createdAt": time(n),
        "updatedAt": time(n),
        "archivedAt": archived(n),
        "team": if n.is_multiple_of(5) { Value::Null } else { team },
        "parent": if n % 20 == 18 { json!({ "id": uuid("label 19"), "name": "Label 19" }) } else { Value::Null },
    })
}

/// Each belongs to one of the first three teams. Some of the archived ones lie in the trash.
fn issue(n: usize) -> Value {
    const STATES: [(&str, &str); 6] = [
        ("Triage", "triage"),
        ("Backlog", "backlog"),
        ("Todo", "unstarted"),
        ("In Progress", "started"),
        ("Done", "completed"),
        ("Canceled", "canceled"),
    ];
    const PRIORITIES: [&str; 5] = ["No priority", "Urgent", "High", "Medium", "Low"];
    let team = team(n % 3);
    let parent = json!({ "id": uuid("issue 0"), "identifier": "T0-0" });
    let (state, state_type) = STATES[n % 6];
    let since = |types: &[&str]| if types.contains(&state_type) { json!(time(n)) } else { Value::Null };
    let labels = if n.is_multiple_of(4) { vec![] } else { vec![label(n % 3)] };
    json!({
        "id": uuid(&format!("issue {n}")),
        "identifier": format!("{}-{n}", team["key"].as_str().unwrap()),
        "number": n,
        "title": format!("Issue {n}"),
        "description": if n.is_multiple_of(4) { Value::Null } else { json!("It **does not** work.") },
        "priority": n % 5,
        "priorityLabel": PRIORITIES[n % 5],
        "estimate": if n.is_multiple_of(2) { json!(2.5) } else { Value::Null },
        "dueDate": if n.is_multiple_of(7) { json!("2026-06-30") } else { Value::Null },
        "url": format!("https://linear.app/acme/issue/ACME-{n}"),
        "branchName": format!("issue-{n}"),
        "labelIds": labels.iter().map(|label| label["id"].clone()).collect::<Vec<_>>(),
        "labels": { "nodes": labels },
        "createdAt": time(n),
        "updatedAt": time(n),
        "startedAt": since(&["started", "completed"]),
        "completedAt": since(&["completed"]),
        "canceledAt": since(&["canceled"]),
        "archivedAt": archived(n),
        "trashed": if n % 94 == 93 { json!(true) } else { Value::Null },
        "state": { "id": uuid(&format!("state {state}")), "name": state, "type": state_type },
        "team": team,
        "assignee": if n.is_multiple_of(3) { Value::Null } else { user(1) },
        "creator": user(0),
        "project": if n.is_multiple_of(2) { project(0) } else { Value::Null },
        "cycle": null,
        "parent": if n % 10 == 9 { parent } else { Value::Null },
    })
}

/// Some are on projects.
fn comment(n: usize) -> Value {
    let of = n % 5;
    let is_on_project = n % 10 == 7;
    let on = |is_there: bool, value: Value| if is_there { value } else { Value::Null };
    let place = if is_on_project { "project/project-0".to_owned() } else { format!("issue/ACME-{of}") };
    json!({
        "id": uuid(&format!("comment {n}")),
        "body": format!("Comment {n}"),
        "url": format!("https://linear.app/acme/{place}#comment-{n}"),
        "issueId": on(!is_on_project, json!(uuid(&format!("issue {of}")))),
        "projectId": on(is_on_project, json!(uuid("project 0"))),
        "parentId": null,
        "createdAt": time(n),
        "updatedAt": time(n),
        "editedAt": null,
        "archivedAt": archived(n),
        "resolvedAt": null,
        "user": user(1),
        "issue": on(
            !is_on_project,
            json!({ "id": uuid(&format!("issue {of}")), "identifier": format!("T{}-{of}", of % 3) }),
        ),
    })
}
