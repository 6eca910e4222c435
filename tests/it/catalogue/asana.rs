//! Asana as its documentation describes it: compact records unless `opt_fields` names more, pages by an
//! offset that is a token, everything at once where no `limit` is given.

use std::hash::{DefaultHasher, Hash, Hasher};

use serde_json::{Value, json};

use super::{Answer, Api, Asked, List};

const WORKSPACE: &str = "1201234567890123";
/// The project with many tasks; any other has two.
const PROJECT: &str = "1204619611402340";
/// The task with many stories and subtasks; any other has two stories.
const TASK: &str = "1204619611402341";
const MANY: usize = 230;

pub(super) const API: Api = Api {
    name: "asana",
    account: r#"{"context": {"workspace": "1201234567890123"}, "credentials": {"token": "1/canary:0123"}}"#,
    lists: &[
        List { resource: "workspaces", query: "{}", records: MANY },
        List { resource: "projects", query: "{}", records: MANY },
        List { resource: "tasks", query: r#"{"project": "1204619611402340"}"#, records: MANY },
        List {
            resource: "tasks",
            query: r#"{"project": "1204619611402340", "modified_since": "2026-01-01T12:00:00.000Z"}"#,
            records: MANY - 12,
        },
        List { resource: "subtasks", query: r#"{"task": "1204619611402341"}"#, records: MANY },
        List { resource: "stories", query: r#"{"task": "1204619611402341"}"#, records: MANY },
        List { resource: "users", query: "{}", records: MANY },
        List { resource: "tags", query: "{}", records: MANY },
    ],
    unified: &[
        List {
            resource: "ticketing/tickets",
            query: r#"{"organization_id": "1204619611402340", "updated_at": {"gt": "2026-01-01T12:00:00.000Z"}}"#,
            records: MANY - 12,
        },
        List {
            resource: "ticketing/comments",
            query: r#"{"ticket_id": "1204619611402341"}"#,
            records: MANY / 2,
        },
        List { resource: "ticketing/users", query: "{}", records: MANY },
        List { resource: "ticketing/organizations", query: "{}", records: MANY },
        List { resource: "ticketing/tags", query: "{}", records: MANY },
    ],
    answer,
    limited,
    limited_for: 60,
};

fn limited() -> Answer {
    let what =
        "You've made too many requests and hit a rate limit. Please retry after the given amount of time.";
    Answer::json(429, json!({ "errors": [{ "message": what }] })).with("retry-after", "60")
}

fn answer(asked: &Asked) -> Answer {
    if asked.header("authorization") != "Bearer 1/canary:0123" {
        return error(401, "Not Authorized");
    }
    let parts: Vec<&str> = asked.path.strip_prefix("/api/1.0/").unwrap_or_default().split('/').collect();
    match (asked.method.as_str(), parts.as_slice()) {
        ("GET", ["workspaces"]) => list(asked, (0..MANY).map(workspace).collect()),
        ("GET", ["projects"]) => of_workspace(asked, (0..MANY).map(project).collect()),
        ("GET", ["users"]) => of_workspace(asked, (0..MANY).map(user).collect()),
        ("GET", ["tags"]) => of_workspace(asked, (0..MANY).map(tag).collect()),
        ("GET", ["tasks"]) => tasks(asked),
        ("GET", ["tasks", id, "subtasks"]) => {
            let count = if *id == TASK { MANY } else { 0 };
            list(asked, (0..count).map(|n| task(id, n)).collect())
        }
        ("GET", ["tasks", id, "stories"]) => {
            let count = if *id == TASK { MANY } else { 2 };
            list(asked, (0..count).map(|n| story(id, n)).collect())
        }
        ("GET", ["workspaces", id]) => one(id, workspace(0)),
        ("GET", ["projects", id]) => one(id, project(0)),
        ("GET", ["tasks", id]) => one(id, task(PROJECT, 0)),
        ("GET", ["stories", id]) => one(id, story(TASK, 0)),
        ("GET", ["users", id]) => one(id, user(0)),
        ("GET", ["tags", id]) => one(id, tag(0)),
        _ => error(404, "No matching route for request"),
    }
}

fn of_workspace(asked: &Asked, records: Vec<Value>) -> Answer {
    match asked.query("workspace") {
        Some(WORKSPACE) | None => list(asked, records),
        Some(other) => error(404, &format!("workspace: Unknown object: {other}")),
    }
}

fn tasks(asked: &Asked) -> Answer {
    let Some(project) = asked.query("project") else {
        let what =
            "Must specify exactly one of project, tag, section, user task list, or assignee + workspace";
        return error(400, what);
    };
    let count = if project == PROJECT { MANY } else { 2 };
    let since = asked.query("modified_since");
    let tasks = (0..count).map(|n| task(project, n));
    let tasks = tasks.filter(|task| since.is_none() || task["modified_at"].as_str() >= since);
    list(asked, tasks.collect())
}

fn list(asked: &Asked, records: Vec<Value>) -> Answer {
    let Some(limit) = asked.query("limit") else {
        let records: Vec<Value> = records.iter().map(|record| chosen(asked, record)).collect();
        return Answer::json(200, json!({ "data": records }));
    };
    let Some(size) = limit.parse::<usize>().ok().filter(|size| (1..=100).contains(size)) else {
        return error(400, "limit: Must be between 1 and 100");
    };
    let token_at = |start: usize| {
        let hash = hash(&format!("{} {start}", asked.path));
        format!("eyJ0eXAiOiJKV1QiLCJhbGciOiJIUzI1NiJ9.{hash:016x}")
    };
    let start = match asked.query("offset") {
        None => 0,
        Some(offset) => match (0..records.len()).find(|start| token_at(*start) == offset) {
            Some(start) => start,
            None => return error(400, "offset: Your pagination token is invalid."),
        },
    };
    let end = records.len().min(start + size);
    let next_page = (end < records.len()).then(|| {
        let token = token_at(end);
        let path = asked.path.strip_prefix("/api/1.0").unwrap();
        let path = format!("{path}?limit={size}&offset={token}");
        json!({ "offset": token, "path": path, "uri": format!("{}/api/1.0{path}", asked.base) })
    });
    let records: Vec<Value> = records[start..end].iter().map(|record| chosen(asked, record)).collect();
    Answer::json(200, json!({ "data": records, "next_page": next_page }))
}

/// What of a record a list gives.
fn chosen(asked: &Asked, record: &Value) -> Value {
    let fields = asked.query("opt_fields").unwrap_or("name,resource_subtype");
    let named: Vec<&str> = fields.split(',').map(|path| path.split('.').next().unwrap()).collect();
    let members = record.as_object().unwrap().iter();
    let is_chosen = |name: &str| ["gid", "resource_type"].contains(&name) || named.contains(&name);
    members.filter(|(name, _)| is_chosen(name)).map(|(name, value)| (name.clone(), value.clone())).collect()
}

/// The record that a GET by id gives.
fn one(id: &str, mut record: Value) -> Answer {
    if !id.bytes().all(|byte| byte.is_ascii_digit()) {
        return error(400, &format!("Not a recognized ID: {id}"));
    }
    record["gid"] = json!(id);
    Answer::json(200, json!({ "data": record }))
}

fn error(status: u16, message: &str) -> Answer {
    let help = "For more information on API status codes and how to handle them, read the docs on errors: \
                https://developers.asana.com/docs/errors";
    Answer::json(status, json!({ "errors": [{ "message": message, "help": help }] }))
}

fn hash(text: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish()
}

/// Sixteen digits; the same for the same text.
fn gid(of: &str) -> String {
    format!("12{:014}", hash(of) % 100_000_000_000_000)
}

fn time(n: usize) -> String {
    format!("2026-01-{:02}T{:02}:00:00.000Z", 1 + n / 24, n % 24)
}

fn compact(kind: &str, gid: &str, name: &str) -> Value {
    json!({ "gid": gid, "resource_type": kind, "name": name })
}

fn workspace(n: usize) -> Value {
    let gid = if n == 0 { WORKSPACE.to_owned() } else { gid(&format!("workspace {n}")) };
    json!({
        "gid": gid,
        "resource_type": "workspace",
        "name": format!("Workspace {n}"),
        "is_organization": n.is_multiple_of(2),
        "email_domains": if n.is_multiple_of(2) { json!(["acme.example"]) } else { json!([]) },
    })
}

fn user(n: usize) -> Value {
    json!({
        "gid": gid(&format!("user {n}")),
        "resource_type": "user",
        "name": format!("User {n}"),
        "email": format!("user{n}@acme.example"),
        "photo": if n.is_multiple_of(5) {
            json!({
                "image_21x21": format!("https://acme.example/{n}_21.png"),
                "image_128x128": format!("https://acme.example/{n}_128.png"),
            })
        } else {
            Value::Null
        },
        "workspaces": [compact("workspace", WORKSPACE, "Workspace 0")],
    })
}

fn tag(n: usize) -> Value {
    let gid = gid(&format!("tag {n}"));
    json!({
        "gid": gid,
        "resource_type": "tag",
        "name": format!("Tag {n}"),
        "color": if n.is_multiple_of(2) { json!("light-green") } else { Value::Null },
        "notes": if n.is_multiple_of(3) { "What customers ask for." } else { "" },
        "created_at": time(n),
        "permalink_url": format!("https://app.asana.com/0/{gid}"),
        "workspace": compact("workspace", WORKSPACE, "Workspace 0"),
    })
}

fn project(n: usize) -> Value {
    let gid_of_it = if n == 0 { PROJECT.to_owned() } else { gid(&format!("project {n}")) };
    json!({
        "gid": gid_of_it,
        "resource_type": "project",
        "name": format!("Project {n}"),
        "archived": n.is_multiple_of(7),
        "color": "light-green",
        "completed": false,
        "completed_at": null,
        "created_at": time(n),
        "modified_at": time(n),
        "start_on": null,
        "due_on": "2026-09-15",
        "notes": "These are things we need to purchase.",
        "owner": compact("user", &gid("user 1"), "User 1"),
        "team": compact("team", &gid("team"), "Marketing"),
        "workspace": compact("workspace", WORKSPACE, "Workspace 0"),
        "privacy_setting": "public_to_workspace",
        "permalink_url": format!("https://app.asana.com/1/{WORKSPACE}/project/{gid_of_it}"),
        "custom_fields": [],
    })
}

/// Of a project, or below a task.
fn task(of: &str, n: usize) -> Value {
    let gid_of_it = if of == PROJECT && n == 0 { TASK.to_owned() } else { gid(&format!("task {of} {n}")) };
    let is_below = of == TASK;
    // A task below another may be in a project, too.
    let parent = match (is_below, n % 10) {
        (true, _) => compact("task", of, "Task 0"),
        (false, 9) => compact("task", TASK, "Task 0"),
        (false, _) => Value::Null,
    };
    let assignee = compact("user", &gid("user 1"), "User 1");
    let membership = json!({
        "project": compact("project", of, "Project"),
        "section": compact("section", &gid("section"), "To do"),
    });
    let mut task = json!({
        "gid": gid_of_it,
        "resource_type": "task",
        "name": format!("Task {n}"),
        "resource_subtype": "default_task",
        "assignee": if n.is_multiple_of(3) { Value::Null } else { assignee },
        "completed": n.is_multiple_of(2),
        "completed_at": if n.is_multiple_of(2) { json!(time(n)) } else { Value::Null },
        "created_at": time(n),
        "created_by": { "gid": gid("user 2"), "resource_type": "user" },
        "modified_at": time(n),
        "start_on": null,
        "due_on": if n.is_multiple_of(4) { json!("2026-03-01") } else { Value::Null },
        "due_at": if n.is_multiple_of(8) { json!("2026-03-01T10:00:00.000Z") } else { Value::Null },
        "notes": "Mittens really likes the stuff from Humboldt.",
        "num_subtasks": if gid_of_it == TASK { MANY } else { 0 },
        "parent": parent,
        "memberships": if is_below { json!([]) } else { json!([membership]) },
        "tags": if n.is_multiple_of(3) { vec![compact("tag", &gid("tag 1"), "Tag 1")] } else { vec![] },
        "custom_fields": [],
        "permalink_url": format!("https://app.asana.com/1/{WORKSPACE}/task/{gid_of_it}"),
    });
    // Nothing else has the member.
    if n % 10 == 5 {
        task["resource_subtype"] = json!("approval");
        task["approval_status"] = json!("pending");
    }
    task
}

fn story(task: &str, n: usize) -> Value {
    let is_comment = n.is_multiple_of(2);
    json!({
        "gid": gid(&format!("story {task} {n}")),
        "resource_type": "story",
        "type": if is_comment { "comment" } else { "system" },
        "resource_subtype": if is_comment { "comment_added" } else { "marked_complete" },
        "created_at": time(n),
        "created_by": compact("user", &gid("user 1"), "User 1"),
        "text": if is_comment { "This is a comment." } else { "marked this task complete" },
        "html_text": "<body>This is a comment.</body>",
        "is_edited": false,
        "is_pinned": false,
        "num_likes": n % 5,
        "source": "web",
        "target": compact("task", task, "Task"),
    })
}
