//! The machine's outbox: how events get their numbers, their bytes and their stages.

use bytes::Bytes;

use super::expand::Parcel;
use super::pages::Then;
use super::{Effect, Machine};
use crate::clock::Millis;
use crate::definition::webhook::EventType;
use crate::engine::checkpoint::{Staged, TroubleAbout};
use crate::engine::event::{Envelope, Subject};
use crate::engine::seam::Delivery;
use crate::json::{Json, Unknown};
use crate::plan::PlanNode;
use crate::run::{Outcome, Status};

impl Machine {
    pub(super) fn takes(&self, destination: usize, event: EventType) -> bool {
        self.run.webhooks.get(destination).is_some_and(|webhook| webhook.takes.contains(&event))
    }

    fn takers(&self, event: EventType) -> Vec<usize> {
        (0..self.checkpoint.destinations.len()).filter(|&index| self.takes(index, event)).collect()
    }

    /// Stages `event` with this payload for every webhook that takes it.
    pub(super) fn stage_event(&mut self, event: EventType, payload: &Json, now: Millis) {
        for destination in self.takers(event) {
            let step = self.next_step(destination);
            let (id, body) = self.envelope(destination, event, step, now).seal(payload.as_str());
            let stage = self.put_new_stage(body);
            let staged = Staged {
                destination,
                event,
                id,
                stage,
                page: None,
                marks: None,
                unknown: Unknown::default(),
            };
            if self.checkpoint.outcome.is_some() {
                self.checkpoint.terminal.push(staged);
            } else {
                self.checkpoint.outbox.push(staged);
            }
        }
        self.unsaved = true;
    }

    /// Stages a lifecycle event: its payload is the run.
    pub(super) fn stage_lifecycle(&mut self, event: EventType, status: Status, now: Millis) {
        let ended = status.is_terminal().then_some(now);
        let payload = self.run_object(status, ended);
        self.stage_event(event, &payload, now);
    }

    pub(super) fn stage_record_error(&mut self, errors: &[Json], batch: bool, now: Millis) {
        // Errors that were collected name their nodes themselves; the run may have moved on.
        let node = self.top().filter(|_| !batch).map(|frame| self.plan.nodes[frame.node].clone());
        let meta = self.meta(node.as_ref());
        let payload = match errors {
            [error] if !batch => {
                // The error's own members, and where it belongs.
                let text = error.as_str();
                let members = text.strip_suffix('}').unwrap_or(text);
                Json::parse(&format!("{members},\"meta\":{meta}}}")).unwrap_or_else(|_| error.clone())
            }
            _ => Json::of(&serde_json::json!({ "errors": errors, "meta": meta })),
        };
        self.stage_event(EventType::RecordError, &payload, now);
    }

    /// The webhooks that take records, in order.
    pub(super) fn takers_of_records(&self) -> Vec<usize> {
        self.takers(EventType::Record)
    }

    pub(super) fn takes_records(&self, destination: usize) -> bool {
        self.takes(destination, EventType::Record)
    }

    pub(super) fn deliver_staged(&self, staged: &Staged) -> Effect {
        let body = self.stages.get(&staged.stage).cloned().unwrap_or_default();
        let seq = staged.page.as_ref().map(|page| page.seq);
        Effect::Deliver(self.delivery(staged.destination, staged.event, staged.id.clone(), body, seq))
    }

    pub(super) fn delivery(
        &self,
        destination: usize,
        event: EventType,
        id: String,
        body: Bytes,
        seq: Option<u64>,
    ) -> Delivery {
        let trouble =
            self.checkpoint.trouble.as_ref().filter(|trouble| trouble.about == TroubleAbout::Delivery);
        Delivery {
            webhook: self.checkpoint.destinations[destination].webhook.clone(),
            event,
            id,
            body,
            run: Some(self.run.request.id),
            seq,
            attempts_before: trouble.map_or(0, |trouble| trouble.attempts),
        }
    }

    /// The event of a parcel: its id, its bytes and its number. `before` counts the parcels for the same webhook that
    /// come before it and are not staged.
    ///
    /// The ordinal in a page's id is its number, not its step: other events that come between a page's first delivery
    /// and its next one, after a crash, do not change what it is.
    pub(super) fn seal_parcel(&self, parcel: &Parcel, then: &Then, before: u64) -> (String, Bytes, u64) {
        let Parcel { node, destination, batch, .. } = parcel;
        let waiting = self.checkpoint.outbox.iter();
        let pages =
            waiting.filter(|staged| staged.destination == *destination && staged.page.is_some()).count();
        let seq = self.checkpoint.destinations[*destination].seq + pages as u64 + before + 1;
        let node = &self.plan.nodes[*node];
        let (page, restarts) = self.top().map_or((1, 0), |frame| (frame.page, frame.restarts));
        let mut meta = self.meta(Some(node));
        meta["seq"] = seq.into();
        meta["page"] = page.into();
        meta["is_last_page"] = (!matches!(then, Then::Page(Some(_)))).into();
        if restarts > 0 {
            meta["restart"] = restarts.into();
        }
        if let Some((part, parts)) = parcel.part {
            meta["part"] = part.into();
            meta["parts"] = parts.into();
        }
        if let Some(serde_json::Value::Object(end)) = &parcel.end {
            end.iter().for_each(|(name, value)| meta[name] = value.clone());
        }
        let mut meta = Json::of(&meta).as_str().to_owned();
        if let Some(changes) = &parcel.changes {
            meta.truncate(meta.len() - 1);
            meta.push_str(&format!(",\"changes\":{changes}}}"));
        }
        let step = self.next_step(*destination) + before;
        let ordinal = if self.checkpoint.numbered { seq } else { step };
        let envelope = self.envelope(*destination, EventType::Record, ordinal, self.checkpoint.at);
        let (id, body) = envelope.seal_records(&node.resource, batch, &meta);
        (id, body, seq)
    }

    fn next_step(&self, destination: usize) -> u64 {
        let waiting =
            self.checkpoint.outbox.iter().filter(|staged| staged.destination == destination).count();
        let ending =
            self.checkpoint.terminal.iter().filter(|staged| staged.destination == destination).count();
        self.checkpoint.destinations[destination].step + (waiting + ending) as u64 + 1
    }

    fn envelope(
        &self,
        destination: usize,
        event: EventType,
        ordinal: u64,
        created_at: Millis,
    ) -> Envelope<'_> {
        Envelope {
            subject: Subject::Run(self.run.request.id),
            environment: &self.run.request.environment,
            webhook: &self.checkpoint.destinations[destination].webhook,
            event,
            ordinal,
            created_at,
        }
    }

    pub(super) fn meta(&self, node: Option<&PlanNode>) -> serde_json::Value {
        let request = &self.run.request;
        serde_json::json!({
            "sync_job_run_id": request.id,
            "sync_job_id": request.job,
            "integrated_account_id": request.account,
            "tenant_id": self.frozen.tenant_id,
            "node": node.map(|node| &node.name),
            "method": node.map(|node| &node.method),
        })
    }

    /// The run as lifecycle events carry it.
    pub(super) fn run_object(&self, status: Status, finished_at: Option<Millis>) -> Json {
        let request = &self.run.request;
        let progress = &self.checkpoint.progress;
        let failing = self.checkpoint.aside.as_ref().map(|aside| &aside.outcome);
        let outcome: Option<&Outcome> = self.checkpoint.outcome.as_ref().or(failing);
        Json::of(&serde_json::json!({
            "id": request.id,
            "sync_job_id": request.job,
            "integrated_account_id": request.account,
            "environment_id": request.environment,
            "webhook_id": request.webhooks.first(),
            "tenant_id": self.frozen.tenant_id,
            "status": status,
            "args": request.args,
            "error_handling": request.error_handling,
            "ignore_previous_run": request.ignore_previous_run,
            "sync_job_cron_trigger_id": request.slot.as_ref().map(|slot| &slot.trigger),
            "slot": request.slot.as_ref().and_then(|slot| slot.at).map(Millis::rfc3339),
            "replay_of": request.replay_of.as_ref().map(|replay| replay.run),
            "attempt": self.checkpoint.attempt,
            "resource_stats": progress.resource_stats,
            "pages": progress.pages,
            "incomplete": progress.incomplete,
            "previous_run_date": progress.previous_run_date.map(Millis::rfc3339),
            "error": outcome.filter(|outcome| outcome.status != Status::Completed).map(|outcome| {
                serde_json::json!({ "code": outcome.code, "message": outcome.reason })
            }),
            "created_at": request.created_at.rfc3339(),
            "started_at": progress.started_at.map(Millis::rfc3339),
            "finished_at": finished_at.map(Millis::rfc3339),
        }))
    }

    /// Writes a stage under a name of its own.
    pub(super) fn put_new_stage(&mut self, bytes: Bytes) -> String {
        self.checkpoint.stages += 1;
        let name = format!("s{}", self.checkpoint.stages);
        self.put_stage(name.clone(), bytes);
        name
    }

    pub(super) fn put_stage(&mut self, name: String, bytes: Bytes) {
        self.changes.put.push((name.clone(), bytes.clone()));
        self.stages.insert(name, bytes);
        self.unsaved = true;
    }

    pub(super) fn drop_stage(&mut self, name: &str) {
        self.stages.remove(name);
        let before = self.changes.put.len();
        self.changes.put.retain(|(put, _)| put != name);
        if self.changes.put.len() == before {
            self.changes.drop.push(name.to_owned());
        }
        self.unsaved = true;
    }
}
