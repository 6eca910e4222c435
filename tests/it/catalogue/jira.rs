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
    answer,
    limited,
    limited_for: 17,
};

/// `ada@acme.example:ATATT-canary`
const AUTHORIZATION: &str = "Basic YWRhQGFjbWUuZXhhbXBsZTpBVEFUVC1jYW5hcnk=";
const SITE: &str = "https://acme.atlassian.net/rest/api/3";

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
        ["issue", "APP-7", "comment"] => {
            let (start, size) = range(asked, 100, 100);
            let all: Vec<Value> = (1..=230).map(comment).collect();
            let page = slice(&all, start, size);
            let body = json!({ "startAt": start, "maxResults": size, "total": all.len(), "comments": page });
            Answer::json(200, body)
        }
        ["issue", "APP-7", "comment", id] => one((1..=230).map(comment), "id", id),
        ["issue", key] => one((1..=430).map(issue), "key", key),
        ["project", "search"] => projects(asked),
        ["project", key] => one((1..=230).map(project), "key", key),
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
    let since = match since(asked.query("jql").unwrap_or_default()) {
        Ok(since) => since,
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
    let mut all: Vec<Value> = (1..=430).map(issue).collect();
    all.retain(|issue| since.is_none_or(|since| minute(&issue["fields"]["updated"]).as_str() >= since));
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

/// From which minute on the query wants issues, as far as this understands JQL.
fn since(jql: &str) -> Result<Option<&str>, String> {
    let restriction = jql.split("ORDER BY").next().unwrap_or_default().trim();
    if restriction.is_empty() {
        let message =
            "Unbounded JQL queries are not allowed here. Please add a search restriction to your query.";
        return Err(message.to_owned());
    }
    if restriction == "project = APP" {
        return Ok(None);
    }
    let moment = restriction.strip_prefix("updated >= \"").and_then(|rest| rest.strip_suffix('"'));
    let moment = moment.ok_or_else(|| format!("Error in the JQL Query: {restriction}"))?;
    let shape: String = moment.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
    if shape != "0000-00-00 00:00" && shape != "0000-00-00" {
        return Err(format!(
            "Date value '{moment}' for field 'updated' is invalid. Valid formats include: 'yyyy/MM/dd HH:mm', \
             'yyyy-MM-dd HH:mm', 'yyyy/MM/dd', 'yyyy-MM-dd', or a period format e.g. '-5d', '4w 2d'."
        ));
    }
    Ok(Some(moment))
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
    let all: Vec<Value> = (1..=230).map(project).collect();
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
    json!({
        "self": format!("{SITE}/user?accountId={id}"),
        "accountId": id,
        "accountType": if n.is_multiple_of(20) { "app" } else { "atlassian" },
        "avatarUrls": { "48x48": "https://avatar-management.prod-east.frontend.public.atl-paas.net/initials/U-1.png" },
        "displayName": format!("User {n}"),
        "active": !n.is_multiple_of(7),
    })
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

fn issue(n: usize) -> Value {
    let is_done = n.is_multiple_of(3);
    json!({
        "expand": "renderedFields,names,schema,operations,editmeta,changelog,versionedRepresentations",
        "id": (20_000 + n).to_string(),
        "self": format!("{SITE}/issue/{}", 20_000 + n),
        "key": format!("APP-{n}"),
        "fields": {
            "summary": format!("Issue {n}"),
            "issuetype": { "id": "10002", "name": "Task", "subtask": false },
            "project": { "id": "10001", "key": "APP", "name": "Application" },
            "status": {
                "id": if is_done { "10003" } else { "10001" },
                "name": if is_done { "Done" } else { "To Do" },
                "statusCategory": { "id": if is_done { 3 } else { 2 }, "key": if is_done { "done" } else { "new" } },
            },
            "priority": { "id": "3", "name": "Medium" },
            "resolution": null,
            "assignee": if n.is_multiple_of(2) { Value::Null } else { user(1) },
            "reporter": user(2),
            "labels": [],
            "description": document("Something is broken"),
            "created": at(n),
            "updated": at(n),
            "duedate": null,
        },
    })
}

fn comment(n: usize) -> Value {
    json!({
        "self": format!("{SITE}/issue/20007/comment/{}", 30_000 + n),
        "id": (30_000 + n).to_string(),
        "author": user(1),
        "body": document("Me too"),
        "updateAuthor": user(1),
        "created": at(n),
        "updated": at(n),
        "jsdPublic": true,
    })
}
