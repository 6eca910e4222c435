//! GitHub as its documentation describes it: pages by `Link` to other paths (issues by an opaque cursor, users by an id),
//! limits told by a 403, a version in a header. GitHub would take its oldest version where none is named; here it must be.

use serde_json::{Value, json};

use super::{Answer, Api, Asked, List};

pub(super) const API: Api = Api {
    name: "github",
    account: r#"{"context": {"org": "acme"}, "credentials": {"token": "ghp_canary"}}"#,
    lists: &[
        List { resource: "repositories", query: r#"{"org": "acme"}"#, records: 230 },
        List { resource: "issues", query: r#"{"owner": "acme", "repo": "app"}"#, records: 430 },
        List {
            resource: "issues",
            query: r#"{"owner": "acme", "repo": "app", "since": "2026-01-10T00:00:00Z"}"#,
            records: 215,
        },
        // GitHub's own default would be the open ones.
        List {
            resource: "issues",
            query: r#"{"owner": "acme", "repo": "app", "state": "open"}"#,
            records: 287,
        },
        List {
            resource: "issue_comments",
            query: r#"{"owner": "acme", "repo": "app", "issue_number": 7}"#,
            records: 230,
        },
        List { resource: "repository_comments", query: r#"{"owner": "acme", "repo": "app"}"#, records: 430 },
        List {
            resource: "repository_comments",
            query: r#"{"owner": "acme", "repo": "app", "since": "2026-01-10T00:00:00Z"}"#,
            records: 215,
        },
        List { resource: "pull_requests", query: r#"{"owner": "acme", "repo": "app"}"#, records: 230 },
        List { resource: "labels", query: r#"{"owner": "acme", "repo": "app"}"#, records: 30 },
        List { resource: "members", query: r#"{"org": "acme"}"#, records: 230 },
        List { resource: "users", query: "{}", records: 230 },
    ],
    unified: &[
        List {
            resource: "ticketing/tickets",
            query: r#"{"organization_id": "acme/app", "updated_at": {"gt": "2026-01-10T00:00:00Z"}}"#,
            records: 215,
        },
        List { resource: "ticketing/comments", query: r#"{"ticket_id": "acme/app#7"}"#, records: 230 },
        List { resource: "ticketing/users", query: "{}", records: 230 },
        List { resource: "ticketing/organizations", query: "{}", records: 230 },
        List { resource: "ticketing/tags", query: r#"{"organization_id": "acme/app"}"#, records: 30 },
    ],
    answer,
    limited,
    limited_for: 60,
};

const API_URL: &str = "https://api.github.com";
const REPOSITORY: &str = "/repositories/1296269";
const ORGANIZATION: &str = "/organizations/4021";
/// Parameters that links take along.
const KEPT: [&str; 8] = ["state", "sort", "direction", "since", "type", "filter", "role", "per_page"];

fn answer(asked: &Asked) -> Answer {
    if asked.header("user-agent").is_empty() {
        return refused(403, "Request forbidden by administrative rules.");
    }
    if asked.header("authorization") != "Bearer ghp_canary" {
        return refused(401, "Bad credentials");
    }
    if asked.header("x-github-api-version") != "2022-11-28" {
        return refused(400, "This is not a supported version of the API.");
    }
    let answer = if asked.method == "GET" { route(asked) } else { refused(404, "Not Found") };
    answer
        .with("x-github-api-version-selected", "2022-11-28")
        .with("x-ratelimit-limit", "5000")
        .with("x-ratelimit-remaining", "4987")
        .with("x-ratelimit-reset", "1769850000")
        .with("x-ratelimit-resource", "core")
}

fn route(asked: &Asked) -> Answer {
    let parts: Vec<&str> = asked.path.trim_matches('/').split('/').collect();
    match parts.as_slice() {
        ["orgs", "acme", rest @ ..] | ["organizations", "4021", rest @ ..] => of_organization(asked, rest),
        ["repos", "acme", "app", rest @ ..] | ["repositories", "1296269", rest @ ..] => {
            of_repository(asked, rest)
        }
        ["users"] => users(asked),
        ["users", login] => one((1..=230).map(user), "login", login),
        ["user", id] => one((1..=230).map(user), "id", id),
        _ => refused(404, "Not Found"),
    }
}

fn of_organization(asked: &Asked, rest: &[&str]) -> Answer {
    match rest {
        ["repos"] => numbered(asked, &format!("{ORGANIZATION}/repos"), sorted(asked, 1..=230, repository)),
        ["members"] => numbered(asked, &format!("{ORGANIZATION}/members"), (1..=230).map(user).collect()),
        _ => refused(404, "Not Found"),
    }
}

fn of_repository(asked: &Asked, rest: &[&str]) -> Answer {
    match rest {
        [] => Answer::json(200, repository(1)),
        ["issues"] => issues(asked),
        ["issues", "comments"] => {
            let comments = since(asked, sorted(asked, 1..=430, comment));
            numbered(asked, &format!("{REPOSITORY}/issues/comments"), comments)
        }
        ["issues", "comments", id] => one((1..=430).map(comment), "id", id),
        ["issues", "7", "comments"] => {
            let comments = since(asked, (1..=230).map(comment).collect());
            numbered(asked, &format!("{REPOSITORY}/issues/7/comments"), comments)
        }
        ["issues", number] => one((1..=430).map(issue), "number", number),
        ["pulls"] => {
            let pulls = in_state(asked, sorted(asked, 1..=230, pull_request));
            numbered(asked, &format!("{REPOSITORY}/pulls"), pulls)
        }
        ["labels"] => numbered(asked, &format!("{REPOSITORY}/labels"), (1..=30).map(label).collect()),
        ["pulls", number] => one((1..=230).map(pull_request), "number", number),
        _ => refused(404, "Not Found"),
    }
}

/// Issues have no pages but the first by number.
fn issues(asked: &Asked) -> Answer {
    if asked.number("page", 1) > 1 {
        let message = "Pagination with the page parameter is not supported for large datasets, \
                       please use cursor based pagination (after/before)";
        return refused(422, message);
    }
    let start = match asked.query("after") {
        None => 0,
        Some(after) => match position(after) {
            Some(position) => position,
            None => return refused(422, "The cursor is invalid."),
        },
    };
    let all = since(asked, in_state(asked, sorted(asked, 1..=430, issue)));
    let end = (start + size(asked)).min(all.len());
    let answer = Answer::json(200, json!(&all[start.min(end)..end]));
    if end == all.len() {
        return answer;
    }
    let next = link(asked, &format!("{REPOSITORY}/issues"), &format!("after={}", cursor(end)), "next");
    answer.with("link", next)
}

fn cursor(position: usize) -> String {
    format!("Y3Vyc29yOnYyOpLPAAABm{:08x}", (position * 7919) ^ 0x005a_5a5a)
}

fn position(cursor: &str) -> Option<usize> {
    let digits = cursor.strip_prefix("Y3Vyc29yOnYyOpLPAAABm")?;
    let number = usize::from_str_radix(digits, 16).ok()? ^ 0x005a_5a5a;
    (number.is_multiple_of(7919)).then_some(number / 7919)
}

/// Everybody, after the id `since`.
fn users(asked: &Asked) -> Answer {
    let after = asked.number("since", 0);
    let rest = (1..=230).map(user).filter(|user| user["id"].as_u64().unwrap() > after as u64);
    let rest: Vec<Value> = rest.collect();
    let page = &rest[..rest.len().min(size(asked))];
    let answer = Answer::json(200, json!(page));
    if page.len() == rest.len() {
        return answer;
    }
    let last = page.last().unwrap()["id"].as_u64().unwrap();
    let next = format!("<{}/users?since={last}&per_page={}>; rel=\"next\"", asked.base, size(asked));
    answer.with("link", format!("{next}, <{}/users{{?since}}>; rel=\"first\"", asked.base))
}

fn numbered(asked: &Asked, path: &str, all: Vec<Value>) -> Answer {
    let page = asked.number("page", 1).max(1);
    let pages = all.len().div_ceil(size(asked)).max(1);
    let records: Vec<Value> = all.into_iter().skip((page - 1) * size(asked)).take(size(asked)).collect();
    let to = |page: usize, relation: &str| link(asked, path, &format!("page={page}"), relation);
    let mut links = Vec::new();
    if page > 1 {
        links.extend([to(page - 1, "prev"), to(1, "first")]);
    }
    if page < pages {
        links.extend([to(page + 1, "next"), to(pages, "last")]);
    }
    let answer = Answer::json(200, Value::Array(records));
    if links.is_empty() { answer } else { answer.with("link", links.join(", ")) }
}

fn link(asked: &Asked, path: &str, place: &str, relation: &str) -> String {
    let kept = KEPT.iter().filter_map(|name| Some(format!("{name}={}&", asked.query(name)?)));
    let kept: String = kept.collect();
    format!("<{}{path}?{kept}{place}>; rel=\"{relation}\"", asked.base)
}

fn size(asked: &Asked) -> usize {
    asked.number("per_page", 30).clamp(1, 100)
}

/// In the order of their making; newest first unless the request says otherwise.
fn sorted(asked: &Asked, numbers: std::ops::RangeInclusive<usize>, make: fn(usize) -> Value) -> Vec<Value> {
    let mut all: Vec<Value> = numbers.map(make).collect();
    if asked.query("direction") != Some("asc") {
        all.reverse();
    }
    all
}

fn in_state(asked: &Asked, mut all: Vec<Value>) -> Vec<Value> {
    let state = asked.query("state").unwrap_or("open");
    all.retain(|record| state == "all" || record["state"] == state);
    all
}

fn since(asked: &Asked, mut all: Vec<Value>) -> Vec<Value> {
    if let Some(since) = asked.query("since") {
        all.retain(|record| record["updated_at"].as_str().unwrap() >= since);
    }
    all
}

/// The record that has this value.
fn one(mut all: impl Iterator<Item = Value>, member: &str, value: &str) -> Answer {
    let text = |found: &Value| found.as_str().map_or_else(|| found.to_string(), str::to_owned);
    all.find(|record| text(&record[member]) == value)
        .map_or_else(|| refused(404, "Not Found"), |record| Answer::json(200, record))
}

fn refused(status: u16, message: &str) -> Answer {
    let documentation = "https://docs.github.com/rest";
    Answer::json(
        status,
        json!({ "message": message, "documentation_url": documentation, "status": status.to_string() }),
    )
}

/// The secondary limit; nothing is left to be told by `x-ratelimit-reset`, which is of the primary one.
fn limited() -> Answer {
    let message = "You have exceeded a secondary rate limit. Please wait a few minutes before you try again.";
    refused(403, message)
        .with("retry-after", "60")
        .with("x-ratelimit-limit", "5000")
        .with("x-ratelimit-remaining", "4120")
        .with("x-ratelimit-reset", "4102444800")
}

/// A moment in January 2026.
fn at(hours: usize) -> String {
    format!("2026-01-{:02}T{:02}:00:00Z", 1 + hours / 24, hours % 24)
}

fn user(n: usize) -> Value {
    let login = format!("octocat-{n}");
    json!({
        "login": login,
        "id": n * 7 + 1,
        "node_id": format!("MDQ6VXNlc{n}"),
        "avatar_url": format!("https://avatars.githubusercontent.com/u/{}?v=4", n * 7 + 1),
        "url": format!("{API_URL}/users/{login}"),
        "html_url": format!("https://github.com/{login}"),
        "type": "User",
        "site_admin": false,
    })
}

fn repository(n: usize) -> Value {
    let name = if n == 1 { "app".to_owned() } else { format!("app-{n}") };
    json!({
        "id": 1_296_268 + n,
        "node_id": format!("MDEwOlJlcG9zaXRvcn{n}"),
        "name": name,
        "full_name": format!("acme/{name}"),
        "private": n.is_multiple_of(2),
        "owner": { "login": "acme", "id": 4021, "type": "Organization", "site_admin": false },
        "html_url": format!("https://github.com/acme/{name}"),
        "description": if n.is_multiple_of(4) { Value::Null } else { json!("What acme sells") },
        "topics": if n.is_multiple_of(5) { json!(["shop", "api"]) } else { json!([]) },
        "fork": false,
        "language": if n.is_multiple_of(3) { Value::Null } else { json!("Rust") },
        "has_issues": true,
        "archived": n.is_multiple_of(10),
        "default_branch": "main",
        "created_at": at(n),
        "updated_at": at(n + 1),
        "pushed_at": at(n + 1),
    })
}

fn issue(n: usize) -> Value {
    let (is_closed, is_pull) = (n.is_multiple_of(3), n.is_multiple_of(5));
    let assignees: Vec<Value> = (0..n % 3).map(|more| user(n % 230 + more + 1)).collect();
    let mut issue = json!({
        "id": 3_000_000 + n,
        "node_id": format!("MDU6SXNzdWU{n}"),
        "url": format!("{API_URL}/repos/acme/app/issues/{n}"),
        "repository_url": format!("{API_URL}/repos/acme/app"),
        "html_url": format!("https://github.com/acme/app/{}/{n}", if is_pull { "pull" } else { "issues" }),
        "number": n,
        "title": format!("Found bug {n}"),
        "state": if is_closed { "closed" } else { "open" },
        "state_reason": if is_closed { json!("completed") } else { Value::Null },
        "user": user(n % 230 + 1),
        "labels": [label(1), label(n % 29 + 2)],
        "assignee": assignees.first(),
        "assignees": assignees,
        "milestone": null,
        "locked": false,
        "comments": 2,
        "created_at": at(n),
        "updated_at": at(n),
        "closed_at": if is_closed { json!(at(n)) } else { Value::Null },
        "author_association": "MEMBER",
        "body": if n.is_multiple_of(4) { Value::Null } else { json!("It **crashes**.") },
        "type": if n % 7 == 1 { json!({ "id": 410, "name": "Bug", "is_enabled": true }) } else { Value::Null },
    });
    if is_pull {
        issue["pull_request"] = json!({ "url": format!("{API_URL}/repos/acme/app/pulls/{n}") });
    }
    if n % 10 == 4 {
        issue["parent_issue_url"] = json!(format!("{API_URL}/repos/acme/app/issues/{}", n / 2));
    }
    issue
}

fn label(n: usize) -> Value {
    let name = if n == 1 { "bug".to_owned() } else { format!("area-{n}") };
    json!({
        "id": 208_045_945 + n,
        "node_id": format!("MDU6TGFiZWwyMDgw{n}"),
        "url": format!("{API_URL}/repos/acme/app/labels/{name}"),
        "name": name,
        "color": "f29513",
        "default": n == 1,
        "description": if n == 1 { json!("Something isn't working") } else { Value::Null },
    })
}

fn comment(n: usize) -> Value {
    json!({
        "id": 5_000_000 + n,
        "node_id": format!("MDEyOklzc3VlQ29tbWVud{n}"),
        "url": format!("{API_URL}/repos/acme/app/issues/comments/{}", 5_000_000 + n),
        "issue_url": format!("{API_URL}/repos/acme/app/issues/7"),
        "user": user(n % 230 + 1),
        "created_at": at(n),
        "updated_at": at(n),
        "author_association": "MEMBER",
        "body": "Me too",
    })
}

fn pull_request(n: usize) -> Value {
    let is_closed = n.is_multiple_of(2);
    json!({
        "id": 7_000_000 + n,
        "node_id": format!("MDExOlB1bGxSZXF1ZXN0{n}"),
        "number": n * 5,
        "state": if is_closed { "closed" } else { "open" },
        "title": format!("Amazing new feature {n}"),
        "user": user(n),
        "draft": false,
        "created_at": at(n),
        "updated_at": at(n),
        "closed_at": if is_closed { json!(at(n)) } else { Value::Null },
        "merged_at": null,
        "merge_commit_sha": null,
        "head": { "label": format!("acme:topic-{n}"), "ref": format!("topic-{n}") },
        "base": { "label": "acme:main", "ref": "main" },
        "body": null,
    })
}
