//! What becomes of a batch: the deliveries it makes, what spools collect of it, and the steps that are to be done for it.
//! A pure function of the batch and the run's position, so it comes out the same after a crash.

use super::scope::{Added, Branch, Layer, View};
use super::{Machine, Note};
use crate::engine::batch::Batch;
use crate::engine::seam::{FetchError, FetchErrorKind};
use crate::engine::transition::Mark;
use crate::expression::EvaluationError;
use crate::json::{self, Json};
use crate::plan::{Collects, PlanKind, PlanNode, Target};

/// The most deliveries that one batch may be divided into.
const PARCELS_MAX: usize = 10_000;
/// How much of a note's input and output is kept.
const NOTE_BYTES_MAX: usize = 2048;

/// What is delivered to one webhook in one event.
#[derive(Debug, Clone, Default)]
pub(super) struct Parcel {
    /// The node whose output it is.
    pub(super) node: usize,
    /// The webhook, as an index of the run's destinations.
    pub(super) destination: usize,
    /// The records.
    pub(super) batch: Batch,
    /// Which part of how many the batch was divided into.
    pub(super) part: Option<(usize, usize)>,
    /// What happened to each record, where that is tracked: a JSON array.
    pub(super) changes: Option<Json>,
    /// What else stands in its meta: a JSON object's members.
    pub(super) end: Option<serde_json::Value>,
}

/// Records that a spool collects.
#[derive(Debug, Clone)]
pub(super) struct Chunk {
    pub(super) spool: usize,
    pub(super) batch: Batch,
}

/// A batch for which steps are to be done.
#[derive(Debug, Clone)]
pub(super) struct Below {
    pub(super) node: usize,
    pub(super) text: String,
    pub(super) len: usize,
    /// Only the steps for the whole batch.
    pub(super) whole: bool,
    pub(super) recursion: bool,
}

/// Everything that follows from a batch.
#[derive(Debug, Clone, Default)]
pub(super) struct Expansion {
    pub(super) parcels: Vec<Parcel>,
    pub(super) chunks: Vec<Chunk>,
    /// Spools that were emptied because they were full.
    pub(super) emptied: Vec<usize>,
    pub(super) below: Vec<Below>,
    pub(super) errors: Vec<(usize, FetchError)>,
    pub(super) marks: Vec<Mark>,
    pub(super) deferred: Vec<Mark>,
    pub(super) notes: Vec<Note>,
}

/// A batch as it passes the nodes.
#[derive(Clone, Copy)]
struct Passing<'b> {
    batch: &'b Batch,
    /// A single record that is seen as itself, not as a list of one.
    single: bool,
    /// What was added to the context on its way, in that order.
    added: &'b [Added],
    changes: Option<&'b [Json]>,
}

impl Machine {
    /// Follows `batch`, which the step at `step` brought.
    pub(super) fn expand(
        &self,
        step: usize,
        batch: &Batch,
        single: bool,
        changes: Option<&[Json]>,
    ) -> Expansion {
        let mut expansion = Expansion::default();
        self.visit(step, Passing { batch, single, added: &[], changes }, &mut expansion);
        if let Some(recurse) = self.plan.nodes[step].request().and_then(|request| request.recurse.as_ref()) {
            let view = View::new(self);
            let qualifies = |record: &str| {
                let layer = Layer::record(step, record);
                match &recurse.condition {
                    None => true,
                    Some(condition) => condition
                        .render(&view.with(&layer))
                        .is_ok_and(|value| value.is_some_and(|value| is_true(&value))),
                }
            };
            let records: Vec<&str> = batch.iter().filter(|record| qualifies(record)).collect();
            self.below(step, &records, &[], true, &mut expansion);
        }
        expansion
    }

    /// A batch reaches a node.
    fn visit(&self, index: usize, passing: Passing<'_>, out: &mut Expansion) {
        let node = &self.plan.nodes[index];
        for target in &node.targets {
            self.deliver_to(index, *target, passing, out);
        }
        if !passing.batch.is_empty() {
            let records: Vec<&str> = passing.batch.iter().collect();
            self.below(index, &records, passing.added, false, out);
        }
        for flow in &node.flows {
            self.flow(Some(index), *flow, passing, out);
        }
    }

    /// A batch of `from` reaches the flow at `index`. Without `from` it is a step, which sees what it joins.
    fn flow(&self, from: Option<usize>, index: usize, passing: Passing<'_>, out: &mut Expansion) {
        let node = &self.plan.nodes[index];
        let layer = from.map(|from| Layer::batch(from, passing.batch, passing.single, passing.added));
        let view = layer.as_ref().map_or(View::new(self), |layer| View::new(self).with(layer));
        if let PlanKind::Spool(collects) = &node.kind {
            return self.collect(index, *collects, passing.batch, out);
        }
        match self.runs(node, view, index) {
            Ok(true) => {}
            Ok(false) => return,
            Err(error) => return out.errors.push((index, computed(node, &error))),
        }
        match &node.kind {
            PlanKind::Transform(expression) => {
                let value = view.evaluate(expression, index);
                self.note(node, view.input(expression), &value, out);
                match value {
                    Ok(value) => {
                        let batch = made(value);
                        if !batch.is_empty() {
                            let passing =
                                Passing { batch: &batch, single: false, added: passing.added, changes: None };
                            self.visit(index, passing, out);
                        }
                    }
                    Err(error) => out.errors.push((index, computed(node, &error))),
                }
            }
            PlanKind::AddContext(expression) => {
                let value = view.evaluate(expression, index);
                self.note(node, view.input(expression), &value, out);
                match value.and_then(addition) {
                    Ok(value) => {
                        let mut added = passing.added.to_vec();
                        added.extend(value.map(|value| Added { node: index, value }));
                        self.visit(index, Passing { added: &added, ..passing }, out);
                    }
                    Err(error) => out.errors.push((index, computed(node, &error))),
                }
            }
            PlanKind::Request(_)
            | PlanKind::Spool(_)
            | PlanKind::GetState { .. }
            | PlanKind::UpdateState { .. }
            | PlanKind::DeleteState { .. }
            | PlanKind::Event(_)
            | PlanKind::Destination(_) => {}
        }
    }

    /// A step that only computes, and depends on nothing.
    pub(super) fn computed_step(&self, index: usize) -> Expansion {
        let mut out = Expansion::default();
        let nothing = Batch::of_json("{}".to_owned());
        self.flow(
            None,
            index,
            Passing { batch: &nothing, single: true, added: &[], changes: None },
            &mut out,
        );
        out
    }

    /// Whether a node's condition holds.
    pub(super) fn runs(
        &self,
        node: &PlanNode,
        view: View<'_>,
        index: usize,
    ) -> Result<bool, EvaluationError> {
        node.run_if.as_ref().map_or(Ok(true), |condition| view.is_true(condition, index))
    }

    fn below(&self, index: usize, records: &[&str], added: &[Added], recursion: bool, out: &mut Expansion) {
        let node = &self.plan.nodes[index];
        let nothing_to_do = !recursion && node.each_record.is_empty() && node.each_batch.is_empty();
        if nothing_to_do || records.is_empty() {
            return;
        }
        let projections: Vec<String> = records.iter().map(|record| node.keeps.of(record)).collect();
        let whole = !recursion && node.each_record.is_empty();
        let text = Branch::text(&projections, added);
        out.below.push(Below { node: index, text, len: records.len(), whole, recursion });
    }

    /// A spool takes a batch; one that overflows passes on what it has first.
    fn collect(&self, index: usize, collects: Collects, batch: &Batch, out: &mut Expansion) {
        if batch.is_empty() {
            return;
        }
        if !collects.overflows {
            out.chunks.push(Chunk { spool: index, batch: batch.clone() });
            return;
        }
        let held = self.spooled(index);
        let (records, bytes) = held.map_or((0, 0), |held| (held.records, held.bytes));
        let (records, bytes) = (records + batch.len() as u64, bytes + batch.bytes() as u64);
        if records < collects.records_max && bytes < collects.bytes_max {
            out.chunks.push(Chunk { spool: index, batch: batch.clone() });
            return;
        }
        let all = Batch::joined(self.spool_texts(index).into_iter().chain([inner(&batch.array())]));
        // What is full is sent; the rest waits for more.
        let target = self.plan.nodes[index].targets.first().copied().unwrap_or(Target::All);
        let last = self.divided(index, target, &all).pop().unwrap_or(0..0);
        let rest = all.part(last.clone());
        let full = rest.len() as u64 >= collects.records_max || rest.bytes() as u64 >= collects.bytes_max;
        let cut = if full { all.len() } else { last.start };
        out.emptied.push(index);
        if cut < all.len() {
            out.chunks.push(Chunk { spool: index, batch: rest });
        }
        let passing = Passing { batch: &all.part(0..cut), single: false, added: &[], changes: None };
        self.visit(index, passing, out);
    }

    /// Makes the parcels of a batch for a target.
    fn deliver_to(&self, index: usize, target: Target, passing: Passing<'_>, out: &mut Expansion) {
        if passing.batch.is_empty() {
            return;
        }
        let (destinations, batch, changes) = match target {
            Target::All => (self.takers_of_records(), passing.batch.clone(), passing.changes),
            Target::Destination(destination) => match self.addressed(index, destination, passing, out) {
                Ok(None) => return,
                Ok(Some((webhook, batch, same))) => (vec![webhook], batch, passing.changes.filter(|_| same)),
                Err(error) => return out.errors.push((destination, *error)),
            },
        };
        let parts = self.divided(index, target, &batch);
        for destination in destinations {
            if !self.takes_records(destination) {
                continue;
            }
            let count = parts.len();
            for (number, range) in parts.iter().enumerate() {
                out.parcels.push(Parcel {
                    node: index,
                    destination,
                    batch: if count == 1 { batch.clone() } else { batch.part(range.clone()) },
                    part: (count > 1).then_some((number + 1, count)),
                    changes: changes
                        .and_then(|changes| changes.get(range.clone()))
                        .map(|changes| Json::of(&changes)),
                    end: None,
                });
            }
        }
    }

    /// The webhook of a destination, where nothing came that its condition could look at.
    pub(super) fn webhook_of(&self, index: usize) -> Option<usize> {
        let node = &self.plan.nodes[index];
        let PlanKind::Destination(destination) = &node.kind else { return None };
        let view = View::new(self);
        let runs = self.runs(node, view, index).unwrap_or(true);
        let webhook = destination.webhook.text(&view).ok().filter(|_| runs)?;
        let position =
            self.checkpoint.destinations.iter().position(|known| known.webhook.as_str() == webhook);
        position.filter(|position| self.takes_records(*position))
    }

    /// The webhook of a destination and what it gets; whether that is the batch itself.
    fn addressed(
        &self,
        from: usize,
        index: usize,
        passing: Passing<'_>,
        out: &mut Expansion,
    ) -> Result<Option<(usize, Batch, bool)>, Box<FetchError>> {
        let node = &self.plan.nodes[index];
        let PlanKind::Destination(destination) = &node.kind else { return Ok(None) };
        let layer = Layer::batch(from, passing.batch, passing.single, passing.added);
        let payload = Json::parse(&format!("{{\"records\":{}}}", passing.batch.array()))
            .unwrap_or_else(|_| Json::null());
        let view = View::new(self).with(&layer).with_payload(&payload);
        let failed = |error: &EvaluationError| Box::new(computed(node, error));
        if !self.runs(node, view, index).map_err(|error| failed(&error))? {
            return Ok(None);
        }
        let webhook = destination
            .webhook
            .text(&view)
            .map_err(|error| Box::new(unresolved(node, &error.to_string())))?;
        let position =
            self.checkpoint.destinations.iter().position(|known| known.webhook.as_str() == webhook);
        let Some(position) = position else {
            return Err(Box::new(unresolved(
                node,
                &format!("{webhook:?} is no webhook of this run; name it in the run's arguments"),
            )));
        };
        let Some(expression) = &destination.expression else {
            return Ok(Some((position, passing.batch.clone(), true)));
        };
        let value = view.evaluate(expression, index);
        self.note(node, view.input(expression), &value, out);
        let value = value.map_err(|error| failed(&error))?;
        let batch = made(value);
        Ok((!batch.is_empty()).then_some((position, batch, false)))
    }

    /// How a batch is divided among deliveries.
    fn divided(&self, index: usize, target: Target, batch: &Batch) -> Vec<std::ops::Range<usize>> {
        let all = 0..batch.len();
        let Some(batching) = self.plan.batching(index, target) else { return vec![all] };
        let records_max =
            batching.records_max.map_or(usize::MAX, |most| usize::try_from(most).unwrap_or(usize::MAX));
        let bytes_max =
            batching.bytes_max.map_or(usize::MAX, |most| usize::try_from(most).unwrap_or(usize::MAX));
        let mut parts: Vec<std::ops::Range<usize>> = Vec::new();
        let (mut start, mut bytes) = (0, 0);
        for at in 0..batch.len() {
            let size = batch.record(at).len();
            let full = at - start >= records_max.max(1) || (at > start && bytes + size > bytes_max);
            if full && parts.len() + 1 < PARCELS_MAX {
                parts.push(start..at);
                (start, bytes) = (at, 0);
            }
            bytes += size;
        }
        parts.push(start..batch.len());
        parts
    }

    fn note(
        &self,
        node: &PlanNode,
        input: Json,
        output: &Result<Option<Json>, EvaluationError>,
        out: &mut Expansion,
    ) {
        if !node.debug && !self.traced {
            return;
        }
        let output = match output {
            Ok(Some(value)) => value.as_str().to_owned(),
            Ok(None) => "undefined".to_owned(),
            Err(error) => format!("error: {error}"),
        };
        out.notes.push(Note { node: node.name.clone(), input: cut(input.as_str()), output: cut(&output) });
    }
}

/// The records that an expression gave.
fn made(value: Option<Json>) -> Batch {
    value.map_or_else(Batch::default, |value| Batch::of_json(value.as_str().to_owned()))
}

/// Array text without its brackets.
pub(super) fn inner(array: &str) -> &str {
    array.trim().strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or_default()
}

fn is_true(value: &Json) -> bool {
    !matches!(value.as_str(), "false" | "null" | "0" | "\"\"" | "\"false\"" | "[]" | "{}")
}

/// What an expression adds to the context, if anything.
fn addition(value: Option<Json>) -> Result<Option<Json>, EvaluationError> {
    let value = value.filter(|value| value.as_str() != "null");
    if value.as_ref().is_some_and(|value| !value.as_str().starts_with('{')) {
        let message = "add_context must give an object, whose members are added to the context".to_owned();
        return Err(EvaluationError { message });
    }
    Ok(value)
}

pub(super) fn computed(node: &PlanNode, error: &EvaluationError) -> FetchError {
    node_error(node, "expression_failed", error.message.clone())
}

pub(super) fn unresolved(node: &PlanNode, message: &str) -> FetchError {
    node_error(node, "placeholder_without_value", message.to_owned())
}

pub(super) fn node_error(node: &PlanNode, error: &str, message: String) -> FetchError {
    let message = format!("node {:?}: {message}", node.name);
    FetchError::new(FetchErrorKind::Permanent, error, message)
}

fn cut(text: &str) -> String {
    if text.len() <= NOTE_BYTES_MAX {
        return text.to_owned();
    }
    format!("{}… ({} bytes)", json::beginning(text, NOTE_BYTES_MAX), text.len())
}
