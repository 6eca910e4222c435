//! What a run knows of earlier runs' records: which are unchanged, which are gone, and up to where a list was read.
//!
//! What is remembered is written by the save that passes the records, or with the acknowledgement of their delivery: it
//! is never ahead of that (invariant 2). A set belongs to (job, account, node, scope), and lies in the account's partition.

use sha2::{Digest, Sha256};

use super::expand::{Parcel, node_error};
use super::scope::View;
use super::steps::{Asked, InputError};
use super::{Effect, Machine};
use crate::clock::Millis;
use crate::definition::job::{ChangeTracking, CursorFormat, Deletions, Incremental, Request};
use crate::engine::batch::Batch;
use crate::engine::checkpoint::{End, Frame};
use crate::engine::seam::FetchError;
use crate::engine::transition::{Mark, Recall};
use crate::json::{self, Json};
use crate::plan::{PlanNode, Target};

/// The most records of a page that is compared with what is known: what is asked, and what is remembered of it, is one
/// command of the store.
pub(super) const COMPARED_MAX: u64 = 10_000;
/// The longest id of a record that is remembered; one without an id, or with a longer one, is passed on as it is.
const ID_BYTES_MAX: usize = 512;
/// How many records that are gone are told of in one delivery.
const GONE_MAX: usize = 100;

impl Machine {
    /// What must be looked up before a list is begun.
    pub(super) fn first_question(&mut self, index: usize) -> Option<Effect> {
        let request = self.plan.nodes[index].request()?;
        let reading = &self.top()?.reading;
        if request.incremental.is_some() && reading.window.is_none() {
            self.asked = Some(Asked::Window);
            return Some(Effect::Recall(Recall::Watermark { set: self.set(index, None)? }));
        }
        let tracking = request.changes.as_ref()?;
        if reading.known.is_none() {
            self.asked = Some(Asked::Size);
            return Some(Effect::Recall(Recall::Size { set: self.set(index, Some(tracking))? }));
        }
        None
    }

    /// What must be looked up of the page that came.
    pub(super) fn compare(&mut self) -> Option<Effect> {
        let arrived = self.arrived.as_ref()?;
        let index = self.top()?.node;
        let request = self.plan.nodes[index].request()?;
        let (set, id) = self.tracked(index, request)?;
        let ids = arrived.batch.iter().map(|record| record_id(record, id).unwrap_or_default()).collect();
        self.asked = Some(Asked::Known);
        Some(Effect::Recall(Recall::Known { set, ids }))
    }

    /// The set in which a request's records are looked for, and where their ids stand.
    fn tracked<'r>(&self, index: usize, request: &'r Request) -> Option<(String, &'r [String])> {
        match (&request.changes, &request.incremental) {
            (Some(changes), _) => Some((self.set(index, Some(changes))?, &changes.id)),
            (None, Some(incremental)) => Some((self.set(index, None)?, &incremental.id)),
            (None, None) => None,
        }
    }

    /// The name of a node's set; `None` when its scope finds no value, which a step is not begun with.
    pub(super) fn set(&self, index: usize, tracking: Option<&ChangeTracking>) -> Option<String> {
        let request = &self.run.request;
        // What other webhooks were sent, or what was asked for with other arguments, says nothing about this list.
        let scope = match tracking.map(|tracking| tracking.scope.render(&View::new(self))) {
            None => self.arguments_of(index),
            Some(Ok(Some(scope))) if scope.as_str() != "{}" => scope,
            Some(Ok(_)) => self.arguments_of(index),
            Some(Err(_)) => return None,
        };
        let webhooks: Vec<&str> = request.webhooks.iter().map(|webhook| webhook.as_str()).collect();
        let kind = if tracking.is_some() { "records" } else { "window" };
        let name = &self.plan.nodes[index].name;
        let text = format!("{kind}\n{}\n{}\n{webhooks:?}\n{name}\n{scope}", request.job, request.account);
        Some(hex(&Sha256::digest(text.as_bytes())[..16]))
    }

    /// The arguments that a node asks with.
    fn arguments_of(&self, index: usize) -> Json {
        let args = &self.run.request.args;
        match &self.plan.nodes[index].arguments {
            None => args.clone(),
            Some(names) => {
                let given = |name: &String| Some((name.clone(), args.get(&[name])?));
                Json::of(&names.iter().filter_map(given).collect::<std::collections::BTreeMap<_, _>>())
            }
        }
    }

    /// What was looked up.
    pub fn recalled(&mut self, answer: Option<Json>, now: Millis) {
        let Some(index) = self.top().map(|frame| frame.node) else { return };
        let Some(asked) = self.asked.take() else { return };
        match asked {
            Asked::Cell => self.cell_came(index, answer, now),
            Asked::Window => {
                let answer = answer.filter(|_| self.compares()).unwrap_or_else(Json::null);
                self.with_reading(|frame| frame.reading.window = Some(answer));
                // Kept before anything is asked for, so that the list stays what it is whatever is written meanwhile.
                self.unsaved = true;
            }
            Asked::Size => {
                let size = answer.and_then(|size| size.as_str().parse().ok()).unwrap_or_default();
                self.with_reading(|frame| frame.reading.known = Some(size));
                self.unsaved = true;
            }
            Asked::Known => self.compared(index, answer, now),
            Asked::Gone => self.gone(index, answer, now),
        }
    }

    fn with_reading(&mut self, change: impl FnOnce(&mut Frame)) {
        if let Some(frame) = self.checkpoint.frames.last_mut() {
            change(frame);
        }
    }

    /// Whether what earlier runs sent counts: not when all is to be sent again.
    fn compares(&self) -> bool {
        !self.run.request.ignore_previous_run && self.run.request.replay_of.is_none()
    }

    /// Sorts out a page's records by what is known of them.
    fn compared(&mut self, index: usize, answer: Option<Json>, now: Millis) {
        let Some(mut arrival) = self.arrived.take() else { return };
        let plan = std::sync::Arc::clone(&self.plan);
        let Some(request) = plan.nodes[index].request() else { return };
        let known: Vec<Option<String>> =
            answer.and_then(|answer| serde_json::from_str(answer.as_str()).ok()).unwrap_or_default();
        let Some((set, id)) = self.tracked(index, request) else { return };
        let compares = self.compares();
        let pass = self.pass_number();
        let mut kept = Vec::new();
        let mut changes = Vec::new();
        let mut added = 0;
        let high = self.raise_high(request, &arrival.batch);
        for (at, record) in arrival.batch.iter().enumerate() {
            let before = known.get(at).and_then(Option::as_deref).filter(|_| compares);
            // Seen by a run that did not come to its end: as if nothing were known.
            let before = before.filter(|digest| !digest.is_empty());
            let digest = hex(&Sha256::digest(record.as_bytes())[..12]);
            let same = before == Some(digest.as_str());
            let Some(id) = record_id(record, id) else {
                // Nothing can be said about it later; nor about what is missing.
                self.with_reading(|frame| frame.reading.partial = true);
                kept.push(true);
                changes.push(Json::of(&serde_json::json!({ "id": null, "change": "unknown" })));
                continue;
            };
            match (&request.changes, &request.incremental) {
                (Some(tracking), _) => {
                    let leave_out = tracking.compare && same;
                    kept.push(!leave_out);
                    if !leave_out {
                        let change = if before.is_some() { "updated" } else { "added" };
                        changes.push(Json::of(&serde_json::json!({ "id": id, "change": change })));
                    }
                    added += u64::from(known.get(at).is_none_or(Option::is_none));
                    let seen =
                        |digest: String| Mark::Seen { set: set.clone(), id: id.clone(), digest, order: pass };
                    if plan.nodes[index].defers {
                        // It is there, in this pass; what it is like is known when all that follows from it is done.
                        let old = known.get(at).cloned().flatten().unwrap_or_default();
                        arrival.marks.push(seen(old));
                        arrival.deferred.push(seen(digest));
                    } else {
                        arrival.marks.push(seen(digest));
                    }
                }
                (None, Some(incremental)) => {
                    kept.push(!same);
                    let order = order_of(record, incremental);
                    // Only what a later window will bring again need be remembered.
                    let from = high.map(|high| high.saturating_sub(overlap(incremental)));
                    if let Some(order) = order.filter(|order| from.is_none_or(|from| *order >= from)) {
                        let defers = plan.nodes[index].defers;
                        let marks = if defers { &mut arrival.deferred } else { &mut arrival.marks };
                        marks.push(Mark::Seen { set: set.clone(), id, digest, order });
                    }
                }
                (None, None) => kept.push(true),
            }
        }
        if let Some(tracking) = &request.changes {
            let size = self.top().and_then(|frame| frame.reading.known).unwrap_or_default() + added;
            if size > tracking.records_max {
                let message = format!(
                    "changes: more than {} records would be remembered; raise changes.max_records, or narrow the list",
                    tracking.records_max
                );
                return self
                    .failed_for_good(node_error(&plan.nodes[index], "too_many_records", message), now);
            }
            arrival.added = added;
            arrival.changes = tracking.compare.then_some(changes);
        }
        arrival.batch = arrival.batch.filtered(|at| kept.get(at).copied().unwrap_or(true));
        self.arrive(arrival, now);
    }

    /// Grows from run to run, and stays the same in one.
    fn pass_number(&self) -> i64 {
        self.checkpoint.progress.started_at.unwrap_or(self.run.request.created_at).0
    }

    /// Notes the highest cursor value so far; its place in the order.
    fn raise_high(&mut self, request: &Request, batch: &Batch) -> Option<i64> {
        let incremental = request.incremental.as_ref()?;
        let before = self.top()?.reading.high.clone();
        let value = |record: &str| {
            json::get(record, &incremental.cursor_field).and_then(|text| Json::parse(text).ok())
        };
        let highest = batch
            .iter()
            .filter_map(value)
            .chain(before)
            .filter_map(|value| Some((order(value.as_str(), &incremental.format)?, value)))
            .max_by_key(|(order, _)| *order);
        let (order, value) = highest?;
        self.with_reading(|frame| frame.reading.high = Some(value));
        Some(order)
    }

    /// What the incremental parameter of the frame's list is; `None` to leave it out.
    pub(super) fn window_value(
        &self,
        frame: &Frame,
        incremental: &Incremental,
    ) -> Result<Option<Json>, InputError> {
        let watermark = frame.reading.window.as_ref().filter(|window| window.as_str() != "null");
        match (watermark, &incremental.start) {
            (Some(watermark), _) => Ok(Some(written(watermark, incremental))),
            (None, Some(start)) => start.render(&View::new(self)).map_err(InputError::of),
            (None, None) => Ok(None),
        }
    }

    /// What is left to do when a node's list was read.
    pub(super) fn ends_of(&self, index: usize) -> Option<End> {
        let request = self.plan.nodes[index].request()?;
        let deletions =
            request.changes.as_ref().is_some_and(|changes| changes.deletions != Deletions::Ignored);
        if deletions {
            Some(End::Deletions)
        } else if request.end_of_resource {
            Some(End::Marker)
        } else {
            request.incremental.is_some().then_some(End::Watermark)
        }
    }

    /// Does the next thing that the end of a list asks for.
    pub(super) fn end_step(&mut self, index: usize, end: End, now: Millis) -> Option<Effect> {
        let plan = std::sync::Arc::clone(&self.plan);
        let request = plan.nodes[index].request()?;
        match end {
            End::Deletions if self.is_whole(index) => {
                let tracking = request.changes.as_ref()?;
                let set = self.set(index, Some(tracking))?;
                self.asked = Some(Asked::Gone);
                let most = self.gone_max(index);
                return Some(Effect::Recall(Recall::Before { set, order: self.pass_number(), most }));
            }
            End::Deletions => {
                let next = if request.end_of_resource { End::Marker } else { End::Watermark };
                self.with_reading(|frame| frame.reading.end = Some(next));
            }
            End::Marker => self.tell_end(index, now),
            End::Watermark => {
                if let (Some(incremental), true) = (&request.incremental, self.is_whole(index)) {
                    self.raise_watermark(index, incremental);
                }
                self.with_reading(|frame| frame.reading.end = Some(End::Done));
                self.unsaved = true;
                self.settle();
            }
            End::Done => self.settle(),
        }
        None
    }

    /// How many records that are gone fit into one delivery.
    fn gone_max(&self, index: usize) -> usize {
        let limits = self
            .targets_of(index)
            .into_iter()
            .filter_map(|target| self.plan.batching(index, target)?.records_max);
        limits.min().map_or(GONE_MAX, |most| usize::try_from(most).unwrap_or(GONE_MAX).clamp(1, GONE_MAX))
    }

    /// Whether all of a node's list was read in this run, so that something follows from what was not in it.
    fn is_whole(&self, index: usize) -> bool {
        let partial = self.top().is_some_and(|frame| frame.reading.partial);
        !partial && !self.has_hole(index)
    }

    /// Whether something of a node, or of what hangs below it, could not be read.
    pub(super) fn has_hole(&self, index: usize) -> bool {
        let incomplete = &self.checkpoint.progress.incomplete;
        let mut open = vec![index];
        let mut seen = vec![false; self.plan.nodes.len()];
        while let Some(here) = open.pop() {
            if std::mem::replace(&mut seen[here], true) {
                continue;
            }
            let node = &self.plan.nodes[here];
            if incomplete.contains_key(&node.name) {
                return true;
            }
            open.extend(node.each_record.iter().chain(&node.each_batch).chain(&node.flows));
        }
        false
    }

    /// Records that are gone: they are told, and forgotten when that is acknowledged.
    fn gone(&mut self, index: usize, answer: Option<Json>, now: Millis) {
        let plan = std::sync::Arc::clone(&self.plan);
        let Some(request) = plan.nodes[index].request() else { return };
        let Some(tracking) = &request.changes else { return };
        let ids: Vec<String> =
            answer.and_then(|answer| serde_json::from_str(answer.as_str()).ok()).unwrap_or_default();
        let Some(set) = self.set(index, Some(tracking)).filter(|_| !ids.is_empty()) else {
            let next = if request.end_of_resource { End::Marker } else { End::Watermark };
            return self.with_reading(|frame| frame.reading.end = Some(next));
        };
        let soft = tracking.deletions == Deletions::Soft;
        let record = |id: &String| member_at(&tracking.id, Json::string(id));
        let batch = Batch::joined(ids.iter().map(record).collect::<Vec<_>>().iter().map(String::as_str));
        let change = |id: &String| {
            let how = if soft { "soft" } else { "hard" };
            serde_json::json!({ "id": id, "change": "deleted", "delete": how })
        };
        let changes = Json::of(&ids.iter().map(change).collect::<Vec<_>>());
        let marks = ids.iter().map(|id| Mark::Gone { set: set.clone(), id: id.clone() }).collect();
        let parcels = self.own_parcels(index, |parcel| {
            parcel.batch = batch.clone();
            parcel.changes = Some(changes.clone());
        });
        self.hold_parcels(parcels, marks, End::Deletions, now);
    }

    /// Tells a node's webhooks that its resource has ended.
    fn tell_end(&mut self, index: usize, now: Millis) {
        let total = self.top().map_or(0, |frame| frame.reading.records);
        let end =
            serde_json::json!({ "end_of_resource": true, "total": total, "complete": self.is_whole(index) });
        let parcels = self.own_parcels(index, |parcel| parcel.end = Some(end.clone()));
        self.hold_parcels(parcels, Vec::new(), End::Watermark, now);
    }

    /// An empty parcel for each webhook that a node's batches go to.
    fn own_parcels(&self, index: usize, fill: impl Fn(&mut Parcel)) -> Vec<Parcel> {
        let mut parcels = Vec::new();
        for target in self.targets_of(index) {
            let destinations = match target {
                Target::All => self.takers_of_records(),
                Target::Destination(destination) => self.webhook_of(destination).into_iter().collect(),
            };
            for destination in destinations {
                let mut parcel = Parcel { node: index, destination, ..Parcel::default() };
                fill(&mut parcel);
                parcels.push(parcel);
            }
        }
        parcels
    }

    /// A node's targets, those included to which its pages go merged.
    fn targets_of(&self, index: usize) -> Vec<Target> {
        let node = &self.plan.nodes[index];
        let merged =
            node.flows.iter().map(|flow| &self.plan.nodes[*flow]).filter(|flow| flow.name == node.name);
        node.targets.iter().chain(merged.flat_map(|flow| &flow.targets)).copied().collect()
    }

    fn raise_watermark(&mut self, index: usize, incremental: &Incremental) {
        let Some(set) = self.set(index, None) else { return };
        let Some(reading) = self.top().map(|frame| frame.reading.clone()) else { return };
        let place =
            |value: &Json| order(value.as_str(), &incremental.format).map(|order| (order, value.clone()));
        let before = reading.window.as_ref().and_then(place);
        let highest =
            reading.high.as_ref().and_then(place).into_iter().chain(before).max_by_key(|(order, _)| *order);
        let Some((order, value)) = highest else { return };
        let from = order.saturating_sub(overlap(incremental));
        let marks = [Mark::Watermark { set: set.clone(), value }, Mark::Trim { set, from }];
        if self.plan.nodes[index].defers {
            self.defer_marks(&marks);
        } else {
            self.changes.marks.extend(marks);
        }
    }
}

fn record_id(record: &str, path: &[String]) -> Option<String> {
    let id = json::text_of(json::get(record, path)?).into_owned();
    (id != "null" && !id.is_empty() && id.len() <= ID_BYTES_MAX).then_some(id)
}

pub(super) fn too_long_to_compare(node: &PlanNode, records: u64) -> FetchError {
    let message = format!(
        "changes and incremental compare pages of up to {COMPARED_MAX} records, and this one has {records}; ask for smaller \
         ones (the pagination's limit)"
    );
    node_error(node, "page_too_long_to_compare", message)
}

fn member_at(path: &[String], value: Json) -> String {
    path.iter()
        .rev()
        .fold(value, |inner, name| {
            let text = format!("{{{}:{inner}}}", Json::string(name));
            Json::parse(&text).unwrap_or_else(|_| Json::null())
        })
        .as_str()
        .to_owned()
}

fn order_of(record: &str, incremental: &Incremental) -> Option<i64> {
    order(json::get(record, &incremental.cursor_field)?, &incremental.format)
}

/// The place of a cursor value in the order: milliseconds of a time, or a whole number as it is.
fn order(value: &str, format: &CursorFormat) -> Option<i64> {
    let text = json::text_of(value);
    if let Ok(number) = text.parse::<i64>() {
        return Some(match format {
            CursorFormat::UnixSeconds => number.saturating_mul(1000),
            CursorFormat::AsIs | CursorFormat::Rfc3339 | CursorFormat::Date | CursorFormat::UnixMillis => {
                number
            }
        });
    }
    crate::clock::Millis::parse(&text).map(|time| time.0)
}

/// The overlap, in the units of the order.
fn overlap(incremental: &Incremental) -> i64 {
    i64::try_from(incremental.overlap.as_millis()).unwrap_or(i64::MAX)
}

/// The watermark less the overlap, as the parameter wants it. One that is no time, or has no overlap, stays as it is.
fn written(watermark: &Json, incremental: &Incremental) -> Json {
    let Some(place) = order(watermark.as_str(), &incremental.format) else { return watermark.clone() };
    let since = Millis(place.saturating_sub(overlap(incremental)));
    let is_text = watermark.as_str().starts_with('"');
    match incremental.format {
        CursorFormat::AsIs if overlap(incremental) == 0 => watermark.clone(),
        CursorFormat::AsIs if !is_text => Json::of(&since.0),
        CursorFormat::AsIs | CursorFormat::Rfc3339 if since.0 % 1000 == 0 => {
            Json::string(&since.rfc3339().replace(".000Z", "Z"))
        }
        CursorFormat::AsIs | CursorFormat::Rfc3339 => Json::string(&since.rfc3339()),
        CursorFormat::Date => Json::string(since.rfc3339().get(..10).unwrap_or_default()),
        CursorFormat::UnixSeconds => Json::of(&since.0.div_euclid(1000)),
        CursorFormat::UnixMillis => Json::of(&since.0),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
