//! Jira Cloud as its documentation describes it: issues by a token, the rest by `startAt`. To wrong credentials the
//! lists that anybody may ask for are empty, which only a header tells.

use serde_json::{Value, json};

use super::{Answer, Api, Asked, List};

pub(super) const API: Api = Api {
    name: "jira",
    account: r#"{
        "context": {"site": "acme"},
        "credentials": {"email": "ada@acme.example", "api_token": "ATATT-canary"}
    }"#,
    lists: &[
        List { resource: "issues", query: r#"{"jql": "project = APP ORDER BY created ASC"}"#, records: 430 },
        List {
            resource: "issues",
            query: r#"{"jql": "updated >= \"2026-01-10 00:00\" ORDER BY created ASC"}"#,
            records: 215,
        },
        List { resource: "comments", query: r#"{"issue": "APP-7"}"#, records: 230 },
        List { resource: "projects", query: "{}", records: 230 },
        List { resource: "users", query: "{}", records: 230 },
    ],
    unified: &[
        // From 12 hours before.
        List {
            resource: "ticketing/tickets",
            query: r#"{"organization_id": "10001", "updated_at": {"gt": "2026-01-10T00:00:00Z"}}"#,
            records: 227,
        },
        List { resource: "ticketing/comments", query: r#"{"ticket_id": "20007"}"#, records: 230 },
        List { resource: "ticketing/users", query: "{}", records: 230 },
        List { resource: "ticketing/organizations", query: "{}", records: 230 },
    ],
    answer,
    limited,
    limited_for: 17,
};

/// `ada@acme.example:ATATT-canary`
const AUTHORIZATION: &str = "Basic YWRhQGFjbWUuZXhhbXBsZTpBVEFUVC1jYW5hcnk=";
const SITE: &str = "https://acme.atlassian.net/rest/api/3";
/// Categories of statuses: id, key, name.
const CATEGORIES: [(u64, &str, &str); 3] =
    [(3, "done", "Done"), (2, "new", "To Do"), (4, "indeterminate", "In Progress")];
/// Priorities, the first with the id 1.
const PRIORITIES: [&str; 5] = ["Highest", "High", "Medium", "Low", "Lowest"];

fn answer(asked: &Asked) -> Answer {
    let path = asked.path.strip_prefix("/rest/api/3/").unwrap_or_default();
    let parts: Vec<&str> = path.split('/').collect();
    if asked.header("authorization") != AUTHORIZATION {
        return to_nobody(&parts).with("x-seraph-loginreason", "AUTHENTICATED_FAILED");
    }
    let answer = if asked.method == "GET" { route(asked, &parts) } else { not_found() };
    answer.with("x-seraph-loginreason", "OK").with("x-ratelimit-nearlimit", "false")
}

/// What is told without an account.
fn to_nobody(parts: &[&str]) -> Answer {
    match parts {
        ["search", "jql"] => Answer::json(200, json!({ "issues": [], "isLast": true })),
        ["project", "search"] => {
            let empty = json!({ "maxResults": 50, "startAt": 0, "total": 0, "isLast": true, "values": [] });
            Answer::json(200, empty)
        }
        ["users", "search"] | ["user"] => {
            Answer::text(401, "text/plain", "Client must be authenticated to access this resource.")
        }
        _ => not_found(),
    }
}

fn route(asked: &Asked, parts: &[&str]) -> Answer {
    match parts {
        ["search", "jql"] => search(asked),
        ["issue", issue, "comment"] => {
            let (start, size) = range(asked, 100, 100);
            // One issue is talked about.
            let comments = if matches!(*issue, "APP-7" | "20007") { 230 } else { 0 };
            let all: Vec<Value> = (1..=comments).map(|n| comment(n, asked)).collect();
            let page = slice(&all, start, size);
            let body = json!({ "startAt": start, "maxResults": size, "total": all.len(), "comments": page });
            Answer::json(200, body)
        }
        ["issue", "APP-7" | "20007", "comment", id] => one((1..=230).map(|n| comment(n, asked)), "id", id),
        ["issue", key] if key.starts_with("APP-") => one((1..=430).map(|n| issue(n, asked)), "key", key),
        ["issue", id] => one((1..=430).map(|n| issue(n, asked)), "id", id),
        ["project", "search"] => projects(asked),
        ["project", key] if key.starts_with('P') => one((1..=230).map(whole_project), "key", key),
        ["project", id] => one((1..=230).map(whole_project), "id", id),
        ["users", "search"] => {
            let (start, size) = range(asked, 50, 1000);
            let all: Vec<Value> = (1..=230).map(user).collect();
            Answer::json(200, json!(slice(&all, start, size)))
        }
        ["user"] => one((1..=230).map(user), "accountId", asked.query("accountId").unwrap_or_default()),
        _ => not_found(),
    }
}

/// Issues that match; with their ids alone unless the request names fields.
fn search(asked: &Asked) -> Answer {
    if asked.query("startAt").is_some() {
        return refused(400, "startAt is no parameter of this search.");
    }
    let conditions = match conditions(asked.query("jql").unwrap_or_default()) {
        Ok(conditions) => conditions,
        Err(message) => return refused(400, &message),
    };
    let start = match asked.query("nextPageToken") {
        None => 0,
        Some(token) => match position(token) {
            Some(position) => position,
            None => return refused(400, "The next page token is invalid or expired."),
        },
    };
    let is_whole = asked.query("fields").is_some_and(|fields| fields != "id");
    let size = asked.number("maxResults", 50).clamp(1, if is_whole { 100 } else { 5000 });
    let mut all: Vec<Value> = (1..=430).map(|n| issue(n, asked)).collect();
    all.retain(|issue| conditions.iter().all(|condition| condition.holds(&issue["fields"])));
    let mut page = slice(&all, start, size).to_vec();
    if !is_whole {
        page = page.iter().map(|issue| json!({ "id": issue["id"] })).collect();
    }
    let end = start + page.len();
    let mut body = json!({ "issues": page, "isLast": end >= all.len() });
    if end < all.len() {
        body["nextPageToken"] = json!(token(end));
    }
    Answer::json(200, body)
}

/// What a query asks of an issue, as far as this understands JQL.
enum Condition<'q> {
    /// A field is this moment or a later one.
    Since(&'q str, &'q str),
    /// The id or key of its project.
    Project(&'q str),
    /// The name of its status' category.
    Category(&'q str),
}

impl Condition<'_> {
    fn holds(&self, fields: &Value) -> bool {
        match self {
            Self::Since(field, moment) => minute(&fields[field]).as_str() >= *moment,
            Self::Project(text) => fields["project"]["id"] == *text || fields["project"]["key"] == *text,
            Self::Category(name) => fields["status"]["statusCategory"]["name"] == *name,
        }
    }
}

fn conditions(jql: &str) -> Result<Vec<Condition<'_>>, String> {
    let restriction = jql.split("ORDER BY").next().unwrap_or_default().trim();
    if restriction.is_empty() {
        let message =
            "Unbounded JQL queries are not allowed here. Please add a search restriction to your query.";
        return Err(message.to_owned());
    }
    restriction.split(" AND ").map(condition).collect()
}

fn condition(text: &str) -> Result<Condition<'_>, String> {
    let parts: Vec<&str> = text.splitn(3, ' ').collect();
    let [field, operator, value] = parts[..] else { return Err(format!("Error in the JQL Query: {text}")) };
    let value = value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(value);
    match (field, operator) {
        ("updated" | "created", ">=") if is_moment(value) => Ok(Condition::Since(field, value)),
        ("updated" | "created", ">=") => Err(format!(
            "Date value '{value}' for field '{field}' is invalid. Valid formats include: 'yyyy/MM/dd HH:mm', \
             'yyyy-MM-dd HH:mm', 'yyyy/MM/dd', 'yyyy-MM-dd', or a period format e.g. '-5d', '4w 2d'."
        )),
        ("project", "=") if ["APP", "10001"].contains(&value) => Ok(Condition::Project(value)),
        ("statusCategory", "=") if CATEGORIES.iter().any(|category| category.2 == value) => {
            Ok(Condition::Category(value))
        }
        ("project" | "statusCategory", "=") => {
            Err(format!("The value '{value}' does not exist for the field '{field}'."))
        }
        _ => Err(format!("Error in the JQL Query: {text}")),
    }
}

fn is_moment(text: &str) -> bool {
    let shape: String = text.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
    shape == "0000-00-00 00:00" || shape == "0000-00-00"
}

/// A moment as JQL writes it.
fn minute(moment: &Value) -> String {
    moment.as_str().unwrap()[..16].replace('T', " ")
}

fn token(position: usize) -> String {
    format!("CAEaAggD{:08x}", (position * 7919) ^ 0x005a_5a5a)
}

fn position(token: &str) -> Option<usize> {
    let digits = token.strip_prefix("CAEaAggD")?;
    let number = usize::from_str_radix(digits, 16).ok()? ^ 0x005a_5a5a;
    (number.is_multiple_of(7919)).then_some(number / 7919)
}

fn projects(asked: &Asked) -> Answer {
    let (start, size) = range(asked, 50, 100);
    let make = if expands(asked, "description") { whole_project } else { project };
    let all: Vec<Value> = (1..=230).map(make).collect();
    let page = slice(&all, start, size);
    let end = start + page.len();
    let mut body = json!({
        "self": format!("{SITE}/project/search?startAt={start}&maxResults={size}"),
        "maxResults": size,
        "startAt": start,
        "total": all.len(),
        "isLast": end >= all.len(),
        "values": page,
    });
    if end < all.len() {
        body["nextPage"] = json!(format!("{SITE}/project/search?startAt={end}&maxResults={size}"));
    }
    Answer::json(200, body)
}

/// Whether the request wants this besides.
fn expands(asked: &Asked, name: &str) -> bool {
    asked.query("expand").is_some_and(|names| names.split(',').any(|wanted| wanted == name))
}

/// Where a page begins and how many records it may have.
fn range(asked: &Asked, default: usize, most: usize) -> (usize, usize) {
    (asked.number("startAt", 0), asked.number("maxResults", default).clamp(1, most))
}

fn slice(all: &[Value], start: usize, size: usize) -> &[Value] {
    let start = start.min(all.len());
    &all[start..(start + size).min(all.len())]
}

/// The record that has this text.
fn one(mut all: impl Iterator<Item = Value>, member: &str, value: &str) -> Answer {
    let found = all.find(|record| record[member] == value);
    found.map_or_else(not_found, |record| Answer::json(200, record))
}

fn not_found() -> Answer {
    refused(404, "Issue does not exist or you do not have permission to see it.")
}

fn refused(status: u16, message: &str) -> Answer {
    Answer::json(status, json!({ "errorMessages": [message], "errors": {} }))
}

fn limited() -> Answer {
    refused(429, "Rate limit exceeded.")
        .with("retry-after", "17")
        .with("x-ratelimit-limit", "350")
        .with("x-ratelimit-remaining", "0")
        .with("x-ratelimit-reset", "2026-01-31T08:00Z")
        .with("ratelimit-reason", "jira-cost-based")
}

/// A moment in January 2026.
fn at(hours: usize) -> String {
    format!("2026-01-{:02}T{:02}:00:00.000+0000", 1 + hours / 24, hours % 24)
}

/// A text in the Atlassian Document Format.
fn document(text: &str) -> Value {
    let content = json!([{ "type": "paragraph", "content": [{ "type": "text", "text": text }] }]);
    json!({ "type": "doc", "version": 1, "content": content })
}

fn user(n: usize) -> Value {
    let id = format!("5b10a2844c20165700ed{n:04}");
    let mut user = json!({
        "self": format!("{SITE}/user?accountId={id}"),
        "accountId": id,
        "accountType": if n.is_multiple_of(20) { "app" } else { "atlassian" },
        "avatarUrls": { "48x48": "https://avatar-management.prod-east.frontend.public.atl-paas.net/initials/U-1.png" },
        "displayName": format!("User {n}"),
        "active": !n.is_multiple_of(7),
    });
    // Not of those who hide it.
    if n.is_multiple_of(2) {
        user["emailAddress"] = json!(format!("user{n}@acme.example"));
    }
    user
}

fn project(n: usize) -> Value {
    json!({
        "self": format!("{SITE}/project/{}", 10_000 + n),
        "id": (10_000 + n).to_string(),
        "key": format!("P{n}"),
        "name": format!("Project {n}"),
        "projectTypeKey": "software",
        "simplified": false,
        "style": "classic",
        "isPrivate": false,
        "avatarUrls": {},
        "properties": {},
    })
}

/// With what the list leaves out unless it is asked for.
fn whole_project(n: usize) -> Value {
    let mut project = project(n);
    project["description"] = json!(if n.is_multiple_of(3) { "" } else { "What acme sells" });
    project
}

fn issue(n: usize, asked: &Asked) -> Value {
    let (is_done, is_part) = (n.is_multiple_of(3), n % 10 == 8);
    let (category, key, name) = CATEGORIES[n % 3];
    let priority = n % PRIORITIES.len();
    let mut issue = json!({
        "expand": "renderedFields,names,schema,operations,editmeta,changelog,versionedRepresentations",
        "id": (20_000 + n).to_string(),
        "self": format!("{SITE}/issue/{}", 20_000 + n),
        "key": format!("APP-{n}"),
        "fields": {
            "summary": format!("Issue {n}"),
            "issuetype": { "id": "10002", "name": if is_part { "Subtask" } else { "Task" }, "subtask": is_part },
            "project": { "id": "10001", "key": "APP", "name": "Application" },
            "status": {
                "id": (10_000 + category).to_string(),
                "name": name,
                "statusCategory": { "id": category, "key": key, "name": name },
            },
            "priority": { "id": (priority + 1).to_string(), "name": PRIORITIES[priority] },
            "resolution": if is_done { json!({ "id": "10000", "name": "Done" }) } else { Value::Null },
            "resolutiondate": if is_done { json!(at(n)) } else { Value::Null },
            "assignee": if n.is_multiple_of(2) { Value::Null } else { user(1) },
            "reporter": user(2),
            "labels": if n.is_multiple_of(4) { json!(["shop", "urgent"]) } else { json!([]) },
            "description": document("Something is broken"),
            "created": at(n),
            "updated": at(n),
            "duedate": if n.is_multiple_of(9) { json!("2026-03-01") } else { Value::Null },
        },
    });
    if is_part {
        let parent = n / 2;
        issue["fields"]["parent"] =
            json!({ "id": (20_000 + parent).to_string(), "key": format!("APP-{parent}") });
    }
    if expands(asked, "renderedFields") {
        issue["renderedFields"] = json!({ "description": "<p>Something is broken</p>" });
    }
    issue
}

fn comment(n: usize, asked: &Asked) -> Value {
    let mut comment = json!({
        "self": format!("{SITE}/issue/20007/comment/{}", 30_000 + n),
        "id": (30_000 + n).to_string(),
        "author": user(1),
        "body": document("Me too"),
        "updateAuthor": user(1),
        "created": at(n),
        "updated": at(n),
        "jsdPublic": !n.is_multiple_of(8),
    });
    if n % 50 == 1 {
        comment["visibility"] =
            json!({ "type": "role", "value": "Administrators", "identifier": "Administrators" });
    }
    if expands(asked, "renderedBody") {
        comment["renderedBody"] = json!("<p>Me too</p>");
    }
    comment
}
