//! Slack as its documentation describes it: errors in a 200, opaque cursors, lists that are filtered after
//! they were cut into pages, messages newest first and replies oldest first.

use serde_json::{Value, json};

use super::{Answer, Api, Asked, List};

/// When the newest message was written; every other is a minute older than the one before it.
const NEWEST: u64 = 1_764_000_000;
/// The only channel that the app is a member of.
const CHANNEL: &str = "C024BE91L";
/// The one message with replies, and its place.
const THREAD: &str = "1763999400.000370";
const THREAD_NUMBER: usize = 10;
const REPLIES: usize = 449;

pub(super) const API: Api = Api {
    name: "slack",
    account: r#"{"context": {}, "credentials": {"token": "xoxb-canary"}}"#,
    lists: &[
        List { resource: "users", query: "{}", records: 450 },
        List { resource: "conversations", query: "{}", records: 620 },
        // The second of its pages is empty, and more follow.
        List { resource: "conversations", query: r#"{"exclude_archived": true}"#, records: 378 },
        List { resource: "messages", query: r#"{"channel": "C024BE91L"}"#, records: 450 },
        List {
            resource: "messages",
            query: r#"{"channel": "C024BE91L", "oldest": "1763974830.000000"}"#,
            records: 420,
        },
        // The first message belongs to its thread.
        List {
            resource: "replies",
            query: r#"{"channel": "C024BE91L", "ts": "1763999400.000370"}"#,
            records: 450,
        },
    ],
    unified: &[List { resource: "ticketing/users", query: "{}", records: 450 }],
    answer,
    limited,
    limited_for: 30,
};

fn answer(asked: &Asked) -> Answer {
    match asked.header("authorization") {
        "Bearer xoxb-canary" => {}
        "" => return error("not_authed"),
        _ => return error("invalid_auth"),
    }
    match asked.path.as_str() {
        "/api/users.list" => users(asked),
        "/api/users.info" => one(asked, "user", "user_not_found", (0..450).map(user)),
        "/api/conversations.list" => conversations(asked),
        "/api/conversations.info" => one(asked, "channel", "channel_not_found", (0..620).map(channel)),
        "/api/conversations.history" => history(asked),
        "/api/conversations.replies" => replies(asked),
        _ => error("unknown_method"),
    }
}

fn limited() -> Answer {
    Answer::json(429, json!({ "ok": false, "error": "ratelimited" })).with("retry-after", "30")
}

fn error(name: &str) -> Answer {
    Answer::json(200, json!({ "ok": false, "error": name }))
}

/// The record whose id the parameter of this name says.
fn one(asked: &Asked, name: &str, unknown: &str, mut records: impl Iterator<Item = Value>) -> Answer {
    let found = records.find(|record| asked.query(name).is_some_and(|id| record["id"] == id));
    let Some(record) = found else { return error(unknown) };
    let mut body = json!({ "ok": true });
    body[name] = record;
    Answer::json(200, body)
}

/// A page of `records`, and the cursor of the next one; `None` when there is no such cursor.
fn page(asked: &Asked, limit: usize, records: &[Value]) -> Option<(Vec<Value>, String)> {
    let start = match asked.query("cursor").unwrap_or_default() {
        "" => 0,
        text => (0..records.len()).find(|at| cursor(&asked.path, *at) == text)?,
    };
    let end = records.len().min(start + limit);
    let next = if end < records.len() { cursor(&asked.path, end) } else { String::new() };
    Some((records[start..end].to_vec(), next))
}

/// A cursor of one method, in which no number can be seen.
fn cursor(path: &str, at: usize) -> String {
    let digits: Vec<char> = ('A'..='Z').chain('a'..='z').chain('0'..='9').chain("+/".chars()).collect();
    let mut rest =
        (at as u128 * 31 + path.len() as u128).wrapping_mul(0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C835);
    let mut text = "dXNlcjp".to_owned();
    for _ in 0..15 {
        text.push(digits[(rest % 64) as usize]);
        rest /= 64;
    }
    text + "=="
}

fn users(asked: &Asked) -> Answer {
    let records: Vec<Value> = (0..450).map(user).collect();
    // Without a limit Slack tries to give them all.
    let limit = match asked.number("limit", 0) {
        0 => records.len(),
        limit => limit.min(1000),
    };
    let Some((members, next)) = page(asked, limit, &records) else { return error("invalid_cursor") };
    let body = json!({
        "ok": true,
        "members": members,
        "cache_ts": NEWEST,
        "response_metadata": { "next_cursor": next },
    });
    Answer::json(200, body)
}

fn conversations(asked: &Asked) -> Answer {
    let limit = asked.number("limit", 100);
    if !(1..1000).contains(&limit) {
        return error("invalid_limit");
    }
    let types: Vec<&str> = asked.query("types").unwrap_or("public_channel").split(',').collect();
    if !types.iter().all(|name| ["public_channel", "private_channel", "mpim", "im"].contains(name)) {
        return error("invalid_types");
    }
    let of_type = if types.contains(&"public_channel") { 620 } else { 0 };
    let records: Vec<Value> = (0..of_type).map(channel).collect();
    let Some((mut channels, next)) = page(asked, limit, &records) else { return error("invalid_cursor") };
    if asked.query("exclude_archived") == Some("true") {
        channels.retain(|channel| channel["is_archived"] == false);
    }
    let body = json!({ "ok": true, "channels": channels, "response_metadata": { "next_cursor": next } });
    Answer::json(200, body)
}

/// What is wrong with the channel that is asked for.
fn channel_error(asked: &Asked) -> Option<Answer> {
    let id = asked.query("channel").unwrap_or_default();
    match (0..620).find(|number| channel_id(*number) == id) {
        Some(0) => None,
        Some(_) => Some(error("not_in_channel")),
        None => Some(error("channel_not_found")),
    }
}

fn history(asked: &Asked) -> Answer {
    if let Some(answer) = channel_error(asked) {
        return answer;
    }
    messages(asked, asked.number("limit", 100).clamp(1, 999), (0..450).map(message).collect())
}

fn replies(asked: &Asked) -> Answer {
    if let Some(answer) = channel_error(asked) {
        return answer;
    }
    let ts = asked.query("ts").unwrap_or_default();
    let Some(first) = (0..450).map(message).find(|message| message["ts"] == ts) else {
        return error("thread_not_found");
    };
    let more = if ts == THREAD { REPLIES } else { 0 };
    let thread = std::iter::once(first).chain((0..more).map(reply)).collect();
    messages(asked, asked.number("limit", 1000).clamp(1, 1000), thread)
}

/// A page of those messages that lie between `oldest` and `latest`.
fn messages(asked: &Asked, limit: usize, mut records: Vec<Value>) -> Answer {
    let Some(oldest) = stamp(asked.query("oldest").unwrap_or("0")) else { return error("invalid_ts_oldest") };
    let Some(latest) = stamp(asked.query("latest").unwrap_or("9999999999")) else {
        return error("invalid_ts_latest");
    };
    let is_inclusive = asked.query("inclusive").is_some_and(|text| text == "true" || text == "1");
    records.retain(|message| {
        let at = stamp(message["ts"].as_str().unwrap()).unwrap();
        (oldest < at && at < latest) || (is_inclusive && (at == oldest || at == latest))
    });
    let Some((messages, next)) = page(asked, limit, &records) else { return error("invalid_cursor") };
    let mut body = json!({ "ok": true, "messages": messages, "has_more": !next.is_empty() });
    if !next.is_empty() {
        body["response_metadata"] = json!({ "next_cursor": next });
    }
    Answer::json(200, body)
}

/// Seconds and their millionths.
fn stamp(text: &str) -> Option<(u64, u64)> {
    let (seconds, rest) = text.split_once('.').unwrap_or((text, "0"));
    Some((seconds.parse().ok()?, format!("{rest:0<6}").parse().ok()?))
}

fn user_id(number: usize) -> String {
    format!("U0{:07X}", (number + 1) * 0x1_9E37 % 0xFFF_FFFF)
}

fn user(number: usize) -> Value {
    json!({
        "id": user_id(number),
        "team_id": "T012AB3C4",
        "name": format!("spengler{number}"),
        "deleted": number % 13 == 5,
        "color": "9f69e7",
        "real_name": format!("Egon Spengler {number}"),
        "tz": if number % 13 == 5 { json!(null) } else { json!("America/Los_Angeles") },
        "tz_offset": -28800,
        "profile": {
            "avatar_hash": "ge3b51ca72de",
            "display_name": format!("spengler{number}"),
            "email": format!("spengler{number}@ghostbusters.example.com"),
            "image_192": format!("https://avatars.example.com/{number}_192.jpg"),
            "image_512": format!("https://avatars.example.com/{number}_512.jpg"),
            "phone": if number.is_multiple_of(10) { "+15551234567" } else { "" },
            "real_name": format!("Egon Spengler {number}"),
            "status_emoji": "",
            "status_text": "",
        },
        "is_admin": number < 5,
        "is_owner": number < 2,
        "is_primary_owner": number == 0,
        "is_restricted": number % 20 == 7,
        "is_ultra_restricted": number % 40 == 7,
        "is_bot": number % 50 == 49,
        "is_app_user": false,
        "updated": NEWEST - number as u64 * 600,
        "has_2fa": false,
    })
}

fn channel_id(number: usize) -> String {
    if number == 0 { CHANNEL.to_owned() } else { format!("C0{:07X}", number * 0x2_9E37 % 0xFFF_FFFF) }
}

/// All that are on the second page of 200 are archived, and some others.
fn channel(number: usize) -> Value {
    json!({
        "id": channel_id(number),
        "name": format!("project-{number}"),
        "is_channel": true,
        "is_group": false,
        "is_im": false,
        "is_mpim": false,
        "created": NEWEST - 86_400 * (number as u64 + 1),
        "creator": user_id(number % 450),
        "is_archived": (200..400).contains(&number) || number % 10 == 3,
        "is_general": number == 0,
        "is_member": number == 0,
        "is_private": false,
        "is_shared": false,
        "name_normalized": format!("project-{number}"),
        "num_members": if number == 0 { 450 } else { 3 },
        "previous_names": [],
        "purpose": { "value": "", "creator": "", "last_set": 0 },
        "topic": { "value": "Ghosts", "creator": user_id(0), "last_set": NEWEST },
        "unlinked": 0,
        "updated": (NEWEST - number as u64) * 1000,
    })
}

fn message(number: usize) -> Value {
    let ts = format!("{}.{:06}", NEWEST - number as u64 * 60, number * 37 % 1000);
    if number % 7 == 5 {
        let text = format!("<@{}> has joined the channel", user_id(number));
        let user = user_id(number);
        return json!({ "type": "message", "subtype": "channel_join", "user": user, "text": text, "ts": ts });
    }
    let mut message = json!({
        "type": "message",
        "user": user_id(number % 450),
        "text": format!("Message {number} &amp; more"),
        "team": "T012AB3C4",
        "blocks": [{ "type": "rich_text", "block_id": "Xy1", "elements": [] }],
        "ts": ts,
    });
    if number == THREAD_NUMBER {
        message["thread_ts"] = json!(THREAD);
        message["reply_count"] = json!(REPLIES);
        message["reply_users_count"] = json!(2);
        message["reply_users"] = json!([user_id(1), user_id(2)]);
        message["latest_reply"] = reply(REPLIES - 1)["ts"].clone();
    }
    message
}

/// The oldest reply is the first.
fn reply(number: usize) -> Value {
    json!({
        "type": "message",
        "user": user_id(1 + number % 2),
        "text": format!("Reply {number}"),
        "thread_ts": THREAD,
        "parent_user_id": user_id(THREAD_NUMBER),
        "ts": format!("{}.000200", NEWEST - 600 + 1 + number as u64),
    })
}
