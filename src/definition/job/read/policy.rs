//! What a request has beyond the model: change detection, incremental reading, batches, limits.

use std::time::Duration;

use serde_json::Value;

use super::super::{Batching, ChangeTracking, CursorFormat, Deletions, Incremental, Input, Request};
use crate::definition::check::{Fields, Spot};
use crate::template::Tree;

/// The most records that are remembered for comparison when nothing is said.
const REMEMBERED_DEFAULT: u64 = 100_000;
const REMEMBERED_MAX: u64 = 10_000_000;
/// How far before its last value a window begins when nothing is said.
const OVERLAP_DEFAULT: Duration = Duration::from_secs(120);
const OVERLAP_MAX: Duration = Duration::from_secs(366 * 24 * 3600);
const BATCH_RECORDS_MAX: u64 = 1_000_000;
const BATCH_BYTES_MIN: u64 = 1024;
const BATCH_BYTES_MAX: u64 = 256 << 20;
const ATTEMPTS_MAX: u32 = 10;

/// `changes`, or the model's `delete_tracking` with its query.
pub(super) fn changes(fields: &Fields<'_>) -> Option<Option<ChangeTracking>> {
    let changes = fields.maybe("changes", tracking);
    let deletions = fields.maybe("delete_tracking", |spot| {
        spot.choice(&[("hard", Deletions::Hard), ("soft", Deletions::Soft)])
    });
    let scope = fields.maybe("delete_tracking_query", Spot::object_tree);
    if let (Some(spot), None) = (fields.get("delete_tracking_query"), fields.get("delete_tracking")) {
        let hint = "write delete_tracking: hard, or scope in changes";
        spot.problem_of_key("delete_tracking_query means nothing without delete_tracking", Some(hint));
        return None;
    }
    let (changes, deletions, scope) = (changes?.flatten(), deletions?, scope?);
    match (changes, deletions) {
        (Some(_), Some(_)) => {
            if let Some(spot) = fields.get("delete_tracking") {
                let hint = "keep changes, with deletions: true (or soft)";
                spot.problem_of_key("changes looks for deletions, too", Some(hint));
            }
            None
        }
        (None, Some(deletions)) => Some(Some(ChangeTracking {
            id: vec!["id".to_owned()],
            compare: false,
            deletions,
            scope: scope.unwrap_or_else(Tree::empty),
            records_max: REMEMBERED_DEFAULT,
        })),
        (changes, None) => Some(changes),
    }
}

fn tracking(spot: &Spot<'_>) -> Option<Option<ChangeTracking>> {
    let all = |id, compare, deletions, scope, records_max| ChangeTracking {
        id,
        compare,
        deletions,
        scope,
        records_max,
    };
    let own_id = || vec!["id".to_owned()];
    if let Value::Bool(wanted) = spot.value() {
        return Some(wanted.then(|| all(own_id(), true, Deletions::Hard, Tree::empty(), REMEMBERED_DEFAULT)));
    }
    let fields = spot.fields()?;
    let id = fields.or("id", own_id(), path);
    let compare = fields.or("compare", true, Spot::boolean);
    let deletions = fields.or("deletions", Deletions::Hard, |spot| match spot.value() {
        Value::Bool(true) => Some(Deletions::Hard),
        Value::Bool(false) => Some(Deletions::Ignored),
        Value::Null | Value::Number(_) | Value::String(_) | Value::Array(_) | Value::Object(_) => {
            spot.choice(&[("hard", Deletions::Hard), ("soft", Deletions::Soft)])
        }
    });
    let scope = fields.or("scope", Tree::empty(), Spot::object_tree);
    let records_max = fields.or("max_records", REMEMBERED_DEFAULT, |spot| spot.whole(1..=REMEMBERED_MAX));
    fields.finish();
    let tracking = all(id?, compare?, deletions?, scope?, records_max?);
    if !tracking.compare && tracking.deletions == Deletions::Ignored {
        spot.problem("this compares nothing and looks for no deletions", Some("leave changes out"));
        return None;
    }
    Some(Some(tracking))
}

pub(super) fn incremental(spot: &Spot<'_>) -> Option<Incremental> {
    let fields = spot.fields()?;
    let cursor_field = fields.required("cursor_field").and_then(|spot| path(&spot));
    let param = fields.required("param").and_then(|spot| path(&spot));
    let format = fields.or("format", CursorFormat::AsIs, |spot| {
        let formats: [(&str, u8); 5] =
            [("as_is", 0), ("rfc3339", 1), ("date", 2), ("unix_seconds", 3), ("unix_millis", 4)];
        Some(match spot.choice(&formats)? {
            0 => CursorFormat::AsIs,
            1 => CursorFormat::Rfc3339,
            2 => CursorFormat::Date,
            3 => CursorFormat::UnixSeconds,
            _ => CursorFormat::UnixMillis,
        })
    });
    let overlap = fields.maybe("overlap", |spot| spot.duration(Duration::ZERO..=OVERLAP_MAX));
    let start = fields.maybe("start", Spot::template);
    let id = fields.or("id", vec!["id".to_owned()], path);
    fields.finish();
    let (format, overlap) = (format?, overlap?);
    let is_time = format != CursorFormat::AsIs;
    if !is_time && overlap.is_some_and(|overlap| !overlap.is_zero()) {
        let hint = "say how the source writes it: format: rfc3339, date, unix_seconds or unix_millis";
        spot.problem_at(&["overlap".to_owned()], "an overlap needs a cursor that is a time", Some(hint));
        return None;
    }
    let overlap = overlap.unwrap_or(if is_time { OVERLAP_DEFAULT } else { Duration::ZERO });
    Some(Incremental { cursor_field: cursor_field?, param: param?, format, overlap, start: start?, id: id? })
}

pub(super) fn batch(spot: &Spot<'_>) -> Option<Batching> {
    let fields = spot.fields()?;
    let records_max = fields.maybe("max_records", |spot| spot.whole(1..=BATCH_RECORDS_MAX));
    let bytes_max = fields.maybe("max_bytes", |spot| spot.whole(BATCH_BYTES_MIN..=BATCH_BYTES_MAX));
    let merge = fields.or("merge", false, Spot::boolean);
    fields.finish();
    let batch = Batching { records_max: records_max?, bytes_max: bytes_max?, merge: merge? };
    if batch.records_max.is_none() && batch.bytes_max.is_none() {
        spot.problem("a batch needs a limit", Some("write max_records or max_bytes"));
        return None;
    }
    Some(batch)
}

pub(super) fn attempts(spot: &Spot<'_>) -> Option<u32> {
    let fields = spot.fields()?;
    let attempts = fields.required("attempts").and_then(|spot| spot.whole(1..=ATTEMPTS_MAX));
    for name in ["base", "max", "outage_budget"] {
        fields.refuse(name, "a node only says how often it is tried", "write it in the integration's retry");
    }
    fields.finish();
    attempts
}

/// A path of members (`meta.updated_at`).
pub(super) fn path(spot: &Spot<'_>) -> Option<Vec<String>> {
    let text = spot.filled()?.trim();
    let steps: Vec<String> = text.split('.').map(str::to_owned).collect();
    let plain = |step: &String| {
        !step.is_empty()
            && step.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '-' | '/' | '@' | ':' | '$'))
    };
    if !steps.iter().all(plain) {
        let hint =
            "write names parted by dots, such as meta.updated_at; an element of a list is a step: items.0.id";
        spot.problem(&format!("{text:?} is no plain path"), Some(hint));
        return None;
    }
    Some(steps)
}

/// Whether what a request asks for can be had together: who is gone can only be told from a whole list.
pub(super) fn fit(fields: &Fields<'_>, request: &Request) -> bool {
    let Some(changes) = request.changes.as_ref().filter(|changes| changes.deletions != Deletions::Ignored)
    else {
        return true;
    };
    let name = if fields.get("changes").is_some() { "changes" } else { "delete_tracking" };
    let Some(spot) = fields.get(name) else { return true };
    let since = |input: &Input| input.reads().paths.iter().any(|path| path[0] == "previous_run_date");
    let partly = if request.incremental.is_some() {
        "with incremental"
    } else if since(&request.query) || request.body.as_ref().is_some_and(since) {
        "with {{previous_run_date}}"
    } else if request.records_max.is_some() {
        "with max_records"
    } else {
        return true;
    };
    let message = format!("what is gone can't be told from a part of a list ({partly})");
    let hint = match changes.compare {
        true => "write deletions: false here, and read the whole list in a second node",
        false => "read the whole list, in a node of its own",
    };
    spot.problem_of_key(&message, Some(hint));
    false
}
