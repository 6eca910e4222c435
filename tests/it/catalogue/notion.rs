//! Notion as its documentation describes it: every request names a version; `start_cursor` and `page_size`
//! stand in the body of a POST and in the query of a GET; what isn't known there is refused.

use std::hash::{DefaultHasher, Hash, Hasher};

use serde_json::{Value, json};

use super::{Answer, Api, Asked, List};

const VERSION: &str = "2026-03-11";
const DATABASE: &str = "842a0286-cef0-46a8-abba-eac4c8ca644e";
/// The data source with many rows; any other has two.
const DATA_SOURCE: &str = "2f26ee68-df30-4251-aad4-8ddc420cba3d";
/// The page with many blocks and comments; any other has two blocks and one comment.
const PAGE: &str = "59833787-2cf9-4fdf-8782-e53db20768a5";
const MANY: usize = 230;

pub(super) const API: Api = Api {
    name: "notion",
    account: r#"{
        "context": {
            "data_source_id": "2f26ee68-df30-4251-aad4-8ddc420cba3d",
            "block_id": "59833787-2cf9-4fdf-8782-e53db20768a5"
        },
        "credentials": {"token": "ntn_canary"}
    }"#,
    lists: &[
        List { resource: "pages", query: "{}", records: MANY },
        List { resource: "data_sources", query: "{}", records: MANY },
        List { resource: "data_source_pages", query: "{}", records: MANY },
        List { resource: "blocks", query: "{}", records: MANY },
        List {
            resource: "comments",
            query: r#"{"block_id": "59833787-2cf9-4fdf-8782-e53db20768a5"}"#,
            records: MANY,
        },
        List { resource: "users", query: "{}", records: MANY },
    ],
    unified: &[
        List {
            resource: "ticketing/comments",
            query: r#"{"ticket_id": "59833787-2cf9-4fdf-8782-e53db20768a5"}"#,
            records: MANY,
        },
        List { resource: "ticketing/users", query: "{}", records: MANY },
    ],
    answer,
    limited,
    limited_for: 60,
};

fn limited() -> Answer {
    error(429, "rate_limited", "You have been rate limited. Please try again in a few minutes.")
        .with("retry-after", "60")
}

fn answer(asked: &Asked) -> Answer {
    if asked.header("authorization") != "Bearer ntn_canary" {
        return error(401, "unauthorized", "API token is invalid.");
    }
    if asked.header("notion-version").is_empty() {
        let what = "Notion-Version header should be defined, instead was `undefined`.";
        return error(400, "missing_version", &format!("Notion-Version header failed validation: {what}"));
    }
    if asked.header("notion-version") != VERSION {
        return refused("Notion-Version header", "is not a known version");
    }
    if let Some(refusal) = misplaced(asked) {
        return refusal;
    }
    let parts: Vec<&str> = asked.path.strip_prefix("/v1/").unwrap_or_default().split('/').collect();
    match (asked.method.as_str(), parts.as_slice()) {
        ("POST", ["search"]) => search(asked),
        ("POST", ["data_sources", id, "query"]) => query_of(asked, id),
        ("GET", ["blocks", id, "children"]) => page(asked, "block", blocks_of(id)),
        ("GET", ["comments"]) => comments(asked),
        ("GET", ["users"]) => page(asked, "user", (0..MANY).map(user).collect()),
        ("GET", ["pages", id]) => one(id, row(DATA_SOURCE, 0)),
        ("GET", ["data_sources", id]) => one(id, data_source(0)),
        ("GET", ["databases", id]) => one(id, database()),
        ("GET", ["blocks", id]) => one(id, block(PAGE, 0)),
        ("GET", ["comments", id]) => one(id, comment(PAGE, 0)),
        ("GET", ["users", id]) => one(id, user(0)),
        _ => error(400, "invalid_request_url", "Invalid request URL."),
    }
}

/// Parameters in a query that has no place for them.
fn misplaced(asked: &Asked) -> Option<Answer> {
    let known: &[&str] = match (asked.method.as_str(), asked.path.as_str()) {
        ("GET", "/v1/comments") => &["block_id", "start_cursor", "page_size"],
        ("GET", _) => &["start_cursor", "page_size"],
        _ => &[],
    };
    let candidates = ["block_id", "page_id", "data_source_id", "database_id", "start_cursor", "page_size"];
    let name = candidates.iter().find(|name| !known.contains(name) && asked.query(name).is_some())?;
    Some(refused("query", &format!("query.{name} should be not present")))
}

fn search(asked: &Asked) -> Answer {
    if let Some(refusal) = unknown(asked, &["query", "filter", "sort", "start_cursor", "page_size"]) {
        return refusal;
    }
    let mut found: Vec<Value> = match asked.body["filter"]["value"].as_str() {
        Some("page") => (0..MANY).map(searched_page).collect(),
        Some("data_source") => (0..MANY).map(data_source).collect(),
        None => (0..MANY).map(searched_page).chain((0..MANY).map(data_source)).collect(),
        Some(other) => {
            let what = format!(
                "body.filter.value should be `\"page\"` or `\"data_source\"`, instead was `\"{other}\"`"
            );
            return refused("body", &what);
        }
    };
    if asked.body["sort"]["direction"] != "ascending" {
        found.reverse();
    }
    page(asked, "page_or_data_source", found)
}

fn query_of(asked: &Asked, id: &str) -> Answer {
    let known = ["filter", "sorts", "start_cursor", "page_size", "in_trash", "result_type"];
    if let Some(refusal) = unknown(asked, &known) {
        return refusal;
    }
    let count = if id == DATA_SOURCE { MANY } else { 2 };
    let since = asked.body["filter"]["last_edited_time"]["on_or_after"].as_str();
    let rows = (0..count).map(|n| row(id, n));
    let rows = rows.filter(|row| since.is_none() || row["last_edited_time"].as_str() >= since);
    page(asked, "page_or_data_source", rows.collect())
}

fn comments(asked: &Asked) -> Answer {
    let Some(parent) = asked.query("block_id") else {
        return refused("query", "query.block_id should be defined, instead was `undefined`");
    };
    let count = if parent == PAGE { MANY } else { 1 };
    page(asked, "comment", (0..count).map(|n| comment(parent, n)).collect())
}

/// One page of `records`, as every list has it.
fn page(asked: &Asked, kind: &str, records: Vec<Value>) -> Answer {
    let in_body = asked.method == "POST";
    let (place, cursor, size) = if in_body {
        let size = asked.body.get("page_size").map(|size| size.as_u64().unwrap_or(0));
        ("body", asked.body["start_cursor"].as_str(), size)
    } else {
        let size = asked.query("page_size").map(|size| size.parse::<u64>().unwrap_or(0));
        ("query", asked.query("start_cursor"), size)
    };
    let size = usize::try_from(size.unwrap_or(100)).unwrap();
    if !(1..=100).contains(&size) {
        return refused(place, &format!("{place}.page_size should be ≤ `100`, instead was `{size}`"));
    }
    let cursor_at = |start: usize| uuid(0xc5, &format!("{} {start}", asked.path));
    let start = match cursor {
        None => 0,
        Some(cursor) => match (0..records.len()).find(|start| cursor_at(*start) == cursor) {
            Some(start) => start,
            None => {
                let what = format!("The start_cursor provided is invalid: {cursor}");
                return error(400, "validation_error", &what);
            }
        },
    };
    let end = records.len().min(start + size);
    let more = end < records.len();
    let list = json!({
        "object": "list",
        "results": records[start..end].to_vec(),
        "next_cursor": more.then(|| cursor_at(end)),
        "has_more": more,
        "type": kind,
        (kind): {},
        "request_status": { "type": "complete" },
        "request_id": "9e3b21b0-6a8a-4d0a-9f68-1ad2f2a6a0c1",
    });
    Answer::json(200, list)
}

/// The record that a GET by id gives.
fn one(id: &str, mut record: Value) -> Answer {
    if id.len() != 36 {
        return refused("path", &format!("path id should be a valid uuid, instead was `\"{id}\"`"));
    }
    record["id"] = json!(id);
    Answer::json(200, record)
}

fn unknown(asked: &Asked, known: &[&str]) -> Option<Answer> {
    let name = asked.body.as_object()?.keys().find(|name| !known.contains(&name.as_str()))?;
    Some(refused("body", &format!("body.{name} should be not present")))
}

fn refused(place: &str, what: &str) -> Answer {
    error(400, "validation_error", &format!("{place} failed validation: {what}."))
}

fn error(status: u16, code: &str, message: &str) -> Answer {
    let body = json!({
        "object": "error",
        "status": status,
        "code": code,
        "message": message,
        "request_id": "5f1c6d0e-8d29-4d9c-8f51-0d1a6a1f7b52",
    });
    Answer::json(status, body)
}

/// A UUID that begins with `kind`; the same for the same text.
fn uuid(kind: u8, of: &str) -> String {
    let mut hasher = DefaultHasher::new();
    (kind, of).hash(&mut hasher);
    let hash = hasher.finish();
    let (a, b, c, d) = (hash >> 40, (hash >> 24) & 0xffff, (hash >> 12) & 0xfff, hash & 0xfff);
    format!("{kind:02x}{a:06x}-{b:04x}-4{c:03x}-8{d:03x}-{:012x}", hash.rotate_left(29) & 0xffff_ffff_ffff)
}

fn time(n: usize) -> String {
    format!("2026-01-{:02}T{:02}:{:02}:00.000Z", 1 + n / 24 % 28, n % 24, n % 60)
}

fn somebody() -> Value {
    json!({ "object": "user", "id": uuid(6, "user 1") })
}

fn rich_text(text: &str) -> Value {
    json!([{
        "type": "text",
        "text": { "content": text, "link": null },
        "annotations": {
            "bold": false, "italic": false, "strikethrough": false, "underline": false, "code": false,
            "color": "default",
        },
        "plain_text": text,
        "href": null,
    }])
}

fn page_object(id: &str, n: usize, parent: Value, properties: Value) -> Value {
    json!({
        "object": "page",
        "id": id,
        "created_time": time(n),
        "last_edited_time": time(n),
        "created_by": somebody(),
        "last_edited_by": somebody(),
        "cover": null,
        "icon": if n.is_multiple_of(2) { json!({ "type": "emoji", "emoji": "🥬" }) } else { Value::Null },
        "parent": parent,
        "in_trash": false,
        "is_archived": false,
        "is_locked": false,
        "properties": properties,
        "url": format!("https://www.notion.so/{}", id.replace('-', "")),
        "public_url": null,
    })
}

fn searched_page(n: usize) -> Value {
    let id = if n == 0 { PAGE.to_owned() } else { uuid(1, &format!("page {n}")) };
    let properties =
        json!({ "title": { "id": "title", "type": "title", "title": rich_text(&format!("Page {n}")) } });
    page_object(&id, n, json!({ "type": "workspace", "workspace": true }), properties)
}

fn row(data_source: &str, n: usize) -> Value {
    let parent = json!({ "type": "data_source_id", "data_source_id": data_source, "database_id": DATABASE });
    let status = json!({ "id": "s1", "name": "In progress", "color": "blue" });
    let properties = json!({
        "Name": { "id": "title", "type": "title", "title": rich_text(&format!("Row {n}")) },
        "Status": { "id": "Z%3ClH", "type": "status", "status": if n.is_multiple_of(3) { Value::Null } else { status } },
        "Price": { "id": "evWq", "type": "number", "number": n },
    });
    page_object(&uuid(4, &format!("{data_source} {n}")), n, parent, properties)
}

fn data_source(n: usize) -> Value {
    let id = if n == 0 { DATA_SOURCE.to_owned() } else { uuid(2, &format!("data source {n}")) };
    json!({
        "object": "data_source",
        "id": id,
        "title": rich_text(&format!("Table {n}")),
        "description": [],
        "parent": { "type": "database_id", "database_id": DATABASE },
        "database_parent": { "type": "page_id", "page_id": PAGE },
        "is_inline": false,
        "in_trash": false,
        "created_time": time(n),
        "last_edited_time": time(n),
        "created_by": somebody(),
        "last_edited_by": somebody(),
        "properties": {
            "Name": { "id": "title", "name": "Name", "type": "title", "title": {} },
            "Price": { "id": "evWq", "name": "Price", "type": "number", "number": { "format": "dollar" } },
        },
        "icon": null,
        "cover": null,
        "url": format!("https://www.notion.so/{}", DATABASE.replace('-', "")),
        "public_url": null,
    })
}

fn database() -> Value {
    json!({
        "object": "database",
        "id": DATABASE,
        "title": rich_text("Tables"),
        "parent": { "type": "page_id", "page_id": PAGE },
        "is_inline": false,
        "in_trash": false,
        "created_time": time(0),
        "last_edited_time": time(0),
        "data_sources": [{ "id": DATA_SOURCE, "name": "Table 0" }],
        "icon": null,
        "cover": null,
        "url": format!("https://www.notion.so/{}", DATABASE.replace('-', "")),
        "public_url": null,
    })
}

fn blocks_of(parent: &str) -> Vec<Value> {
    let count = match parent {
        PAGE => MANY,
        inner if inner.starts_with("08") => 0,
        outer if outer.starts_with("05") => 1,
        _ => 2,
    };
    (0..count).map(|n| block(parent, n)).collect()
}

/// The first block of a page has one below it.
fn block(parent: &str, n: usize) -> Value {
    let is_inner = parent.starts_with("05");
    let of = if is_inner { "block_id" } else { "page_id" };
    json!({
        "object": "block",
        "id": uuid(if is_inner { 8 } else { 5 }, &format!("{parent} {n}")),
        "parent": { "type": of, (of): parent },
        "created_time": time(n),
        "last_edited_time": time(n),
        "created_by": somebody(),
        "last_edited_by": somebody(),
        "has_children": !is_inner && n == 0,
        "in_trash": false,
        "type": "paragraph",
        "paragraph": { "rich_text": rich_text(&format!("Paragraph {n}")), "color": "default" },
    })
}

/// Every tenth came with a file; `attachments` may be missing.
fn comment(parent: &str, n: usize) -> Value {
    let mut comment = json!({
        "object": "comment",
        "id": uuid(7, &format!("{parent} {n}")),
        "parent": { "type": "page_id", "page_id": parent },
        "discussion_id": uuid(9, &format!("{parent} {}", n / 3)),
        "created_time": time(n),
        "last_edited_time": time(n),
        "created_by": somebody(),
        "rich_text": rich_text(&format!("Comment {n}")),
        "display_name": { "type": "user", "resolved_name": "Avocado Lovelace" },
    });
    if n.is_multiple_of(10) {
        let url = format!("https://prod-files-secure.s3.us-west-2.amazonaws.com/{n}.png");
        let file = json!({ "url": url, "expiry_time": time(n + 1) });
        comment["attachments"] = json!([{ "category": "image", "file": file }]);
    }
    comment
}

fn user(n: usize) -> Value {
    let id = uuid(6, &format!("user {n}"));
    if n % 10 == 9 {
        let bot = json!({ "owner": { "type": "workspace", "workspace": true }, "workspace_name": "Acme" });
        return json!({
            "object": "user",
            "id": id,
            "type": "bot",
            "bot": bot,
            "name": format!("Robot {n}"),
            "avatar_url": null,
        });
    }
    json!({
        "object": "user",
        "id": id,
        "type": "person",
        "person": { "email": format!("person{n}@example.org") },
        "name": format!("Person {n}"),
        "avatar_url": n.is_multiple_of(4).then(|| format!("https://avatars.example.org/{n}.png")),
    })
}
