//! What a job's placeholders and expressions see from where the run is.
//!
//! Values lie in layers: each frame of the run's position adds the element its request loops on, and the record (or the
//! batch) for which further steps are done, with what was added to the context there. Nearer layers hide farther ones.

use std::sync::Arc;

use super::Machine;
use crate::engine::batch::Batch;
use crate::engine::checkpoint::{Closing, Descent};
use crate::engine::context::Context;
use crate::expression::{EvaluationError, Expression, World};
use crate::json::Json;
use crate::run::Status;
use crate::template::Scope;

/// What a node added to the context, for everything below it.
#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
pub(super) struct Added {
    /// The node, under whose name it is found among `resources`.
    pub(super) node: usize,
    /// An object, whose members are found at the top.
    pub(super) value: Json,
}

/// A batch that lies staged while further steps are done for it.
#[derive(Debug, Clone)]
pub(super) struct Branch {
    /// What is kept of its records.
    pub(super) records: Arc<Vec<Json>>,
    /// What was added to the context on the way to it, in that order.
    pub(super) added: Vec<Added>,
}

impl Branch {
    /// As it is staged: an array, or an object with what was added to the context beside it.
    pub(super) fn text(records: &[String], added: &[Added]) -> String {
        let records = format!("[{}]", records.join(","));
        match added {
            [] => records,
            added => format!("{{\"records\":{records},\"added\":{}}}", Json::of(&added)),
        }
    }

    /// From what was staged.
    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        #[derive(serde::Deserialize)]
        struct Written {
            records: Vec<Json>,
            added: Vec<Added>,
        }
        if bytes.first() == Some(&b'[') {
            let records = Arc::new(serde_json::from_slice(bytes).ok()?);
            return Some(Self { records, added: Vec::new() });
        }
        let Written { records, added } = serde_json::from_slice(bytes).ok()?;
        Some(Self { records: Arc::new(records), added })
    }
}

/// One layer of a view.
#[derive(Debug, Clone)]
pub(super) struct Layer {
    /// The node whose records these are.
    node: usize,
    value: Json,
    /// What was added to the context on the way to them, in that order.
    added: Vec<Added>,
}

impl Layer {
    /// The whole batch of a node.
    pub(super) fn batch(node: usize, batch: &Batch, single: bool, added: &[Added]) -> Self {
        let text = if single && batch.len() == 1 { batch.record(0).to_owned() } else { batch.array() };
        let value = Json::parse(&text).unwrap_or_else(|_| Json::null());
        Self { node, value, added: added.to_vec() }
    }

    /// One record of it.
    pub(super) fn record(node: usize, record: &str) -> Self {
        Self::of(node, Json::parse(record).unwrap_or_else(|_| Json::null()))
    }

    /// What it is where nothing was added.
    fn of(node: usize, value: Json) -> Self {
        Self { node, value, added: Vec::new() }
    }

    /// What `path` (after `resources`) names in it, if it names this.
    fn strip<'l, 'p>(&'l self, machine: &Machine, path: &'p [String]) -> Option<(&'l Json, &'p [String])> {
        let nodes = &machine.plan.nodes;
        let record = nodes[self.node].strip(path).map(|rest| (&self.value, rest));
        record.or_else(|| {
            let (name, rest) = path.split_first()?;
            let added = self.added.iter().rfind(|added| nodes[added.node].name == *name)?;
            Some((&added.value, rest))
        })
    }
}

/// What is seen from the run's position, and from a batch that just came.
#[derive(Debug, Clone, Copy)]
pub(super) struct View<'m> {
    machine: &'m Machine,
    /// How many frames count.
    frames: usize,
    /// The batch that is being looked at.
    layer: Option<&'m Layer>,
    /// The records that a destination sends.
    payload: Option<&'m Json>,
}

impl<'m> View<'m> {
    /// From the run's position.
    pub(super) fn new(machine: &'m Machine) -> Self {
        let frames = machine.checkpoint.frames.len();
        Self { machine, frames, layer: None, payload: None }
    }

    /// From outside the frame at `level`: what its request can loop on.
    pub(super) fn outside(machine: &'m Machine, level: usize) -> Self {
        Self { frames: level, ..Self::new(machine) }
    }

    /// With a batch in front.
    pub(super) fn with(self, layer: &'m Layer) -> Self {
        Self { layer: Some(layer), ..self }
    }

    /// With what a destination sends.
    pub(super) fn with_payload(self, payload: &'m Json) -> Self {
        Self { payload: Some(payload), ..self }
    }

    /// What an expression gives here.
    pub(super) fn evaluate(
        self,
        expression: &Expression,
        salt: usize,
    ) -> Result<Option<Json>, EvaluationError> {
        expression.evaluate(&self.input(expression), &self.world(salt))
    }

    /// Whether an expression is true here.
    pub(super) fn is_true(self, expression: &Expression, salt: usize) -> Result<bool, EvaluationError> {
        expression.is_true(&self.input(expression), &self.world(salt))
    }

    /// The same wherever and however often the run's position is come to: the time kept with it, and chance drawn from it.
    fn world(self, salt: usize) -> World {
        World { now: self.machine.checkpoint.at, seed: self.machine.seed(salt as u64) }
    }

    /// The layers, the nearest first.
    fn layers(self) -> impl Iterator<Item = Layer> {
        let machine = self.machine;
        let near = self.layer.cloned();
        let frames = machine.checkpoint.frames[..self.frames].iter().rev();
        let far = frames.flat_map(move |frame| {
            let record = frame.descent.as_ref().and_then(|descent| machine.at_hand(frame.node, descent));
            let joined = machine.plan.nodes[frame.node].joins.iter().map(|spool| machine.collected(*spool));
            record.into_iter().chain(joined.collect::<Vec<_>>())
        });
        let everywhere = machine.cells.iter().map(|(node, value)| Layer::of(*node, value.clone()));
        near.into_iter().chain(far).chain(everywhere)
    }

    /// The elements that requests loop on, the nearest first: their path and the element.
    fn elements(self) -> impl Iterator<Item = (&'m [String], Json)> {
        let machine = self.machine;
        (0..self.frames).rev().filter_map(move |level| {
            let frame = &machine.checkpoint.frames[level];
            let path = machine.plan.nodes[frame.node].request()?.loop_on.as_ref()?;
            let elements = machine.loops.get(&level)?;
            Some((path.as_slice(), elements.get(frame.reading.element)?.clone()))
        })
    }

    fn status(self) -> Status {
        match self.machine.checkpoint.moment {
            None => Status::Running,
            Some(Closing::Complete) => Status::Completed,
            Some(Closing::Error) => Status::Failed,
        }
    }

    /// The object that `expression` is evaluated with: only what it may read.
    pub(super) fn input(self, expression: &Expression) -> Json {
        let machine = self.machine;
        let mut context = Context::default();
        context.extend(&machine.frozen.context);
        let layers: Vec<_> = self.layers().collect();
        for added in layers.iter().rev().flat_map(|layer| &layer.added) {
            context.extend(&added.value);
        }
        let mut set = |name: &str, value: &dyn Fn() -> Json| {
            if expression.may_read(name) {
                context.set(&[name], value());
            }
        };
        set("args", &|| machine.run.request.args.clone());
        set("context", &|| machine.frozen.context.clone());
        set("tenant_id", &|| machine.frozen.tenant_id.as_deref().map_or_else(Json::null, Json::string));
        set("sync_job_run", &|| machine.run_object(self.status(), None));
        set("previous_run_date", &|| machine.previous_run_date());
        set("total_records_size", &|| Json::of(&machine.records_read()));
        if expression.may_read("resources") {
            let nodes = &machine.plan.nodes;
            for layer in layers.iter().rev() {
                for added in &layer.added {
                    context.set(&["resources", &nodes[added.node].name], added.value.clone());
                }
                for address in &nodes[layer.node].addresses {
                    let path = std::iter::once("resources").chain(address.iter().map(String::as_str));
                    context.set(&path.collect::<Vec<_>>(), layer.value.clone());
                }
            }
        }
        if let Some(payload) = self.payload {
            context.set(&["payload"], payload.clone());
        }
        for (path, element) in self.elements().collect::<Vec<_>>().into_iter().rev() {
            if let [name] = path
                && machine.run.request.args.get(path).is_some()
                && expression.may_read("args")
            {
                context.set(&["args", name], element.clone());
            }
            if path.first().is_some_and(|root| expression.may_read(root)) {
                context.set(path, element);
            }
        }
        context.json()
    }
}

impl Scope for View<'_> {
    fn lookup(&self, path: &[String]) -> Option<Json> {
        let machine = self.machine;
        for (looped, element) in self.elements() {
            let of_argument = path.strip_prefix(&["args".to_owned()]).filter(|_| looped.len() == 1);
            let rest = path.strip_prefix(looped).or_else(|| of_argument?.strip_prefix(looped));
            if let Some(rest) = rest {
                return element.get(rest);
            }
        }
        let (root, rest) = path.split_first()?;
        match root.as_str() {
            "args" => machine.run.request.args.get(rest),
            "resources" => self
                .layers()
                .find_map(|layer| layer.strip(machine, rest).map(|(value, rest)| value.get(rest)))
                .flatten(),
            "payload" => self.payload.and_then(|payload| payload.get(rest)),
            "previous_run_date" if rest.is_empty() => Some(machine.previous_run_date()),
            "total_records_size" if rest.is_empty() => Some(Json::of(&machine.records_read())),
            "tenant_id" if rest.is_empty() => machine.frozen.tenant_id.as_deref().map(Json::string),
            "sync_job_run" => machine.run_object(self.status(), None).get(rest),
            "context" => machine.frozen.context.get(rest),
            _ => {
                let added = self
                    .layers()
                    .find_map(|layer| layer.added.iter().rev().find_map(|added| added.value.get(path)));
                added.or_else(|| machine.frozen.context.get(path))
            }
        }
    }
}

impl Machine {
    /// The record for which the frame's next step is done, or the batch, with what was added to the context.
    fn at_hand(&self, node: usize, descent: &Descent) -> Option<Layer> {
        let branch = self.branches.get(&descent.stage)?;
        let value = if descent.whole {
            Json::of(&branch.records.as_slice())
        } else {
            branch.records.get(descent.index)?.clone()
        };
        Some(Layer { node: descent.branch.unwrap_or(node), value, added: branch.added.clone() })
    }

    /// What a spool collected, for a step that joins it.
    fn collected(&self, spool: usize) -> Layer {
        Layer::record(spool, &format!("[{}]", self.spool_texts(spool).join(",")))
    }

    fn previous_run_date(&self) -> Json {
        Json::string(&self.checkpoint.progress.previous_run_date.unwrap_or_default().rfc3339())
    }

    fn records_read(&self) -> u64 {
        self.top().map_or(0, |frame| frame.reading.records + self.arriving)
    }
}
