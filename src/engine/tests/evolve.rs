//! State that another version wrote: what is not known here survives, what can't be read is never taken for nothing.

use serde_json::{Value, json};

use crate::engine::checkpoint::{Checkpoint, Unreadable, VERSION};

use super::world::{Luck, World};

/// A checkpoint with everything that can be in one.
fn full() -> Value {
    json!({
        "version": 1, "attempt": 2, "at": 1_763_972_000_123_i64, "root": 1,
        "frames": [
            {
                "node": 0, "cursor": { "token": "abc" }, "page": 11, "done": true, "skipped": 1, "restarts": 2,
                "descent": { "stage": "s12", "len": 20, "index": 7, "child": 0 },
                "further": [
                    { "stage": "s13", "len": 2, "index": 0, "child": 0, "branch": 3, "whole": true, "recursion": true },
                ],
                "reading": {
                    "opened": true, "elements": 5, "element": 2, "depth": 1, "digest": 7, "records": 40, "earlier": 4, "since": 3,
                    "window": "2026-01-31", "high": "2026-02-01", "known": 9, "partial": true, "end": "marker",
                },
                "guard": { "remembered": 4_938_274_938_274_938_u64, "power": 8, "steps": 3 },
            },
            { "node": 1, "cursor": { "offset": 40 }, "page": 3 },
        ],
        "moment": "complete",
        "aside": {
            "outcome": { "status": "failed", "reason": "why", "code": "word" }, "moment": "complete", "root": 2,
            "frames": [{ "node": 4, "cursor": "start", "page": 1 }],
        },
        "spools": [{ "node": 5, "stages": ["s20"], "records": 3, "bytes": 90, "overfull": true }],
        "pending": [{ "node": 0, "stage": "s2" }],
        "cells": [{ "node": 0, "stage": "s1" }],
        "numbered": true,
        "remembered": 2,
        "destinations": [{ "webhook": "backend", "step": 212, "seq": 207 }],
        "outbox": [{
            "destination": 0, "event": "sync_job_run:record", "id": "msg_1", "stage": "s44", "marks": "s46",
            "page": { "seq": 208, "node": 1, "records": 20 },
        }],
        "errors": [{ "resource": "tickets", "error": { "statusCode": 404 } }],
        "trouble": {
            "about": "delivery", "since": 1, "attempts": 4, "parks": 2, "until": 5, "reason": "it answers 503",
        },
        "limit": { "generation": 7, "until": 9 },
        "reported_generation": 7,
        "outcome": { "status": "failed", "reason": "why", "code": "word" },
        "terminal": [{ "destination": 0, "event": "sync_job_run:failed", "id": "msg_2", "stage": "s45" }],
        "terminal_undelivered": true,
        "stages": 45,
        "progress": {
            "resource_stats": { "tickets": { "list": { "fetched": 1, "persisted": 1, "pages": 1, "errors": 0 } } },
            "pages": 207, "incomplete": { "users": "gone" }, "node": "comments", "started_at": 1,
            "previous_run_date": 2,
        },
    })
}

/// Adds a member to every object that is ours and may grow: not to maps by name, nor to what others wrote. An outcome
/// and counts are events' public parts, whose members are all known.
fn grow(value: &mut Value) {
    const CLOSED: [&str; 7] =
        ["cursor", "errors", "outcome", "resource_stats", "incomplete", "window", "high"];
    if let Value::Object(members) = value {
        members
            .iter_mut()
            .filter(|(name, _)| !CLOSED.contains(&name.as_str()))
            .for_each(|(_, value)| grow(value));
        let later = json!({ "list": [1, "x", null, { "deep": true }], "whole": u64::MAX, "below": i64::MIN, "part": 0.25 });
        members.insert("later".into(), later);
    } else if let Value::Array(elements) = value {
        elements.iter_mut().for_each(grow);
    }
}

#[test]
fn what_a_later_version_added_survives_at_every_level() {
    let mut stored = full();
    let known = Checkpoint::read(stored.to_string().as_bytes()).unwrap();
    assert_eq!(serde_json::to_value(&known).unwrap(), stored, "nothing is added and nothing lost");
    grow(&mut stored);
    let read = Checkpoint::read(stored.to_string().as_bytes()).unwrap();
    assert_eq!(serde_json::to_value(&read).unwrap(), stored);
    assert_eq!(stored.to_string().matches("\"later\"").count(), 19);
}

/// A later version's worker had the run in between, again and again: it goes on as ever, and what was added stays.
#[test]
fn runs_that_change_hands_between_versions_lose_nothing() {
    for seed in 0..200 {
        let luck = Luck { crash: 0.1, deliver: 0.1, transient: 0.1, limited: 0.1, ..Luck::default() };
        let mut world = World::new(seed, luck);
        world.start();
        let mut stored: Value = serde_json::from_str(world.stored()).unwrap();
        grow(&mut stored);
        world.store(stored.to_string());
        world.play();
        world.check();
        assert_eq!(world.missing(), Vec::<String>::new());
        let ended: Value = serde_json::from_str(world.stored()).unwrap();
        for kept in [&ended, &ended["destinations"][0], &ended["progress"]] {
            assert_eq!(kept["later"]["whole"], u64::MAX, "seed {seed}: {ended}");
        }
    }
}

#[test]
fn a_checkpoint_from_a_later_version_is_never_taken_for_damaged() {
    let newer = |change: &dyn Fn(&mut Value)| {
        let mut stored = full();
        change(&mut stored);
        Checkpoint::read(stored.to_string().as_bytes()).unwrap_err()
    };
    let later: [&dyn Fn(&mut Value); 6] = [
        &|stored| stored["version"] = json!(VERSION + 1),
        &|stored| stored["frames"][0]["cursor"] = json!({ "window": [1, 2] }),
        &|stored| stored["outbox"][0]["event"] = json!("sync_job_run:novelty"),
        &|stored| stored["outcome"]["status"] = json!("paused"),
        &|stored| stored["trouble"]["about"] = json!("weather"),
        &|stored| stored["frames"] = json!({ "tree": [] }),
    ];
    for change in later {
        let error = newer(change);
        assert!(matches!(error, Unreadable::Later { .. }), "{error}");
        assert!(error.to_string().contains("update the workers"), "{error}");
    }
    for damaged in ["", "nonsense", "[]", "{}", "{\"version\":1", "{\"version\":\"x\"}"] {
        let error = Checkpoint::read(damaged.as_bytes()).unwrap_err();
        assert!(matches!(error, Unreadable::Damaged(_)), "{damaged:?}: {error}");
    }
}
