//! Triggers beyond their definition: their place on the clock, and a run without waiting for it.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde_json::{Map, Value, json};

use super::Api;
use super::definitions::missing;
use super::error::{Answer, ApiError, reply};
use super::new_run::{IdempotencyKey, Wanted, accept};
use super::request::Body;
use crate::clock::Millis;
use crate::definition::job::RunKeys;
use crate::definition::{Checked, Kind};
use crate::id::{AccountId, TriggerId};
use crate::run::Slot;

/// Members that a trigger is shown with beyond its definition.
pub(super) const ADDED: [&str; 6] =
    ["last_slot", "next_run_at", "last_fired_at", "last_run_id", "skipped", "missed"];

/// Adds where a trigger is on the clock.
pub(super) async fn add_state(api: &Api, id: &str, members: &mut Map<String, Value>) -> Result<(), ApiError> {
    let account = members.get("integrated_account_id").and_then(Value::as_str);
    let account = account.and_then(|account| account.parse::<AccountId>().ok());
    let (Some(account), Ok(trigger)) = (account, id.parse::<TriggerId>()) else { return Ok(()) };
    let state = api.store().trigger_state(account.partition(api.store().partitions()), &trigger).await?;
    let time = |at: Option<Millis>| at.map_or(Value::Null, |at| at.rfc3339().into());
    let values = [
        time(state.last_slot),
        time(state.next),
        time(state.fired),
        json!(state.last_run),
        state.skipped.into(),
        state.missed.into(),
    ];
    members.extend(ADDED.into_iter().map(str::to_owned).zip(values));
    Ok(())
}

/// Makes a run of the trigger now. It uses no slot, so nothing on the clock changes.
pub(super) async fn run_now(
    State(api): State<Api>,
    Path(id): Path<String>,
    key: IdempotencyKey,
    body: Body,
) -> Answer {
    body.fields()?.finish()?;
    let document = api.definitions().document(Kind::Trigger, &id).await?;
    let document = document.ok_or_else(|| missing(Kind::Trigger, &id))?;
    let Checked::Trigger(trigger) = Checked::of(&document)? else { return Err(missing(Kind::Trigger, &id)) };
    let wanted = Wanted {
        job: trigger.job.clone(),
        account: trigger.account.clone(),
        webhooks: trigger.webhook.iter().cloned().collect(),
        version: None,
        resources: None,
        args: trigger.args.clone(),
        error_handling: trigger.error_handling,
        ignore_previous_run: false,
        slot: Some(Slot { trigger: trigger.id.clone(), at: None }),
        replay_of: None,
        keys: RunKeys::default(),
        force: false,
        dry_run: None,
        events_to_send: trigger.events_to_send.clone(),
    };
    accept(&api, wanted, &key).await
}

/// RapidBridge wants a trigger scheduled after it was made; ours are active when they are created.
pub(super) async fn schedule(State(api): State<Api>, Path(id): Path<String>) -> Answer {
    match api.definitions().record(Kind::Trigger, &id).await? {
        Some(_) => Ok(reply(StatusCode::OK, &json!({ "success": true }))),
        None => Err(missing(Kind::Trigger, &id)),
    }
}
