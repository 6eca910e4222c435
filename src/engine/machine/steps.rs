//! What a step does when it is its turn.

use std::sync::Arc;

use bytes::Bytes;
use sha2::{Digest, Sha256};

use super::expand::{computed, node_error, unresolved};
use super::pages::Arrival;
use super::scope::View;
use super::{Effect, Machine};
use crate::clock::Millis;
use crate::definition::job::{Input, Request};
use crate::engine::batch::Batch;
use crate::engine::checkpoint::{Cell, Closing, End, Frame};
use crate::engine::context::Context;
use crate::engine::seam::{FetchError, FetchRequest};
use crate::engine::transition::{Recall, Remember, Remembered};
use crate::id::AccountId;
use crate::json::{Json, Unknown};
use crate::plan::PlanKind;

/// What was looked up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asked {
    /// The value of a state cell.
    Cell,
    /// Where an incremental list begins.
    Window,
    /// How many records are remembered of a list.
    Size,
    /// What is known of a page's records.
    Known,
    /// Records that are gone.
    Gone,
}

/// Whether a step is begun.
enum Opening {
    /// It is.
    Begun,
    /// It was passed over, or it failed: the run is elsewhere now.
    Gone,
    /// Something must be looked up first.
    Ask(Box<Effect>),
}

impl Machine {
    /// Does what can be done without the world, or says what must be asked of it.
    pub(super) fn work(&mut self, now: Millis) -> Option<Effect> {
        let Some(frame) = self.top() else { return self.end_of_sequence(now) };
        let index = frame.node;
        let plan = Arc::clone(&self.plan);
        let node = &plan.nodes[index];
        if !frame.reading.opened {
            match self.open_step(now) {
                Opening::Begun => {}
                Opening::Gone => return None,
                Opening::Ask(effect) => return Some(*effect),
            }
        }
        if let Some(end) = self.top().and_then(|frame| frame.reading.end) {
            return self.end_step(index, end, now);
        }
        let changes_cells = matches!(node.kind, PlanKind::UpdateState { .. } | PlanKind::DeleteState { .. });
        let whole = self.checkpoint.progress.incomplete.is_empty();
        if changes_cells && self.checkpoint.moment == Some(Closing::Complete) && !whole {
            // A cursor must not pass what could not be read: the next run looks for it again.
            self.pass_over();
            return None;
        }
        match &node.kind {
            PlanKind::Request(_) => self.ask(now),
            PlanKind::Spool(_) => {
                let batch = Batch::joined(self.spool_texts(index).into_iter());
                self.arrive_from_spool(index, batch, now);
                None
            }
            PlanKind::GetState { .. } if self.run.request.ignore_previous_run => {
                self.cell_came(index, None, now);
                None
            }
            PlanKind::GetState { key, .. } => match self.cell(key) {
                Ok((state_key, key)) => {
                    self.asked = Some(Asked::Cell);
                    Some(Effect::Recall(Recall::State { state_key, key }))
                }
                Err(message) => self.step_failed(unresolved(node, &message), now),
            },
            PlanKind::UpdateState { key, value } => {
                let value = self.made(value).map_err(|error| self.input_error(index, error));
                match value {
                    Err(error) => self.step_failed(error, now),
                    Ok(None) => self.step_done(now),
                    Ok(Some(value)) => self.change_cell(index, key, Some(value), now),
                }
            }
            PlanKind::DeleteState { key } => self.change_cell(index, key, None, now),
            PlanKind::Transform(_) | PlanKind::AddContext(_) => {
                let expansion = self.computed_step(index);
                self.hold_step(expansion, now);
                None
            }
            PlanKind::Event(_) => self.step_done(now),
            PlanKind::Destination(_) => {
                self.step_failed(node_error(node, "bad_plan", "a destination is no step".to_owned()), now)
            }
        }
    }

    /// Whether the next step asks nothing of the world.
    pub(super) fn is_next_local(&self) -> bool {
        self.top().is_none_or(|frame| match self.plan.nodes[frame.node].kind {
            PlanKind::Spool(_) | PlanKind::Event(_) | PlanKind::Transform(_) | PlanKind::AddContext(_) => {
                true
            }
            PlanKind::Request(_)
            | PlanKind::GetState { .. }
            | PlanKind::UpdateState { .. }
            | PlanKind::DeleteState { .. }
            | PlanKind::Destination(_) => false,
        })
    }

    /// Looks at a step's condition and counts what it loops on, once.
    fn open_step(&mut self, now: Millis) -> Opening {
        let Some(frame) = self.top() else { return Opening::Gone };
        let (index, depth, level) = (frame.node, frame.reading.depth, self.checkpoint.frames.len() - 1);
        let plan = Arc::clone(&self.plan);
        let node = &plan.nodes[index];
        if depth == 0 {
            match self.runs(node, View::new(self), index) {
                Ok(true) => {}
                Ok(false) => {
                    self.pass_over();
                    return Opening::Gone;
                }
                Err(error) => {
                    self.failed_for_good(computed(node, &error), now);
                    return Opening::Gone;
                }
            }
        }
        let Some(request) = node.request() else {
            if node.run_if.is_some() {
                self.opened();
            }
            return Opening::Begun;
        };
        if request.loop_on.is_some() && depth == 0 {
            match self.find_loop(level) {
                Some(Ok(0)) => {
                    self.pass_over();
                    return Opening::Gone;
                }
                Some(Err(message)) => {
                    self.failed_for_good(node_error(node, "bad_loop", message), now);
                    return Opening::Gone;
                }
                Some(Ok(elements)) => self.checkpoint.frames[level].reading.elements = Some(elements),
                None => {}
            }
        }
        if request.recurse.is_some() && !self.may_recurse(index, request, now) {
            return Opening::Gone;
        }
        if request.changes.as_ref().is_some_and(|changes| self.set(index, Some(changes)).is_none()) {
            let message = "the scope of changes (or delete_tracking_query) finds no value";
            self.failed_for_good(unresolved(node, message), now);
            return Opening::Gone;
        }
        if let Some(effect) = self.first_question(index) {
            return Opening::Ask(Box::new(effect));
        }
        if request.time_limit.is_some() && self.checkpoint.frames[level].reading.since.is_none() {
            self.checkpoint.frames[level].reading.since = Some(now);
        }
        let plain = node.run_if.is_none() && request.loop_on.is_none() && request.recurse.is_none();
        let plain = plain && request.changes.is_none() && request.incremental.is_none();
        if !plain {
            self.opened();
        }
        Opening::Begun
    }

    fn opened(&mut self) {
        if let Some(frame) = self.checkpoint.frames.last_mut() {
            frame.reading.opened = true;
        }
    }

    /// The step is not done at all, here.
    fn pass_over(&mut self) {
        if let Some(frame) = self.checkpoint.frames.last_mut() {
            frame.done = true;
            frame.reading.end = Some(End::Done);
        }
        self.settle();
    }

    /// Whether a recursion goes on: not too deep, and not in a circle.
    fn may_recurse(&mut self, index: usize, request: &Request, now: Millis) -> bool {
        let Some(recurse) = &request.recurse else { return true };
        let Some(frame) = self.top() else { return false };
        let depth = frame.reading.depth;
        let node = &Arc::clone(&self.plan).nodes[index];
        if depth > recurse.depth_max {
            let message = format!(
                "it is {depth} levels deep, more than recurse.max_depth ({}); what lies below is left out",
                recurse.depth_max
            );
            self.failed_for_good(node_error(node, "recursion_too_deep", message), now);
            return false;
        }
        let Some(Ok(asked)) = self.request() else { return true };
        let digest = digest(&[asked.id.as_deref().unwrap_or_default(), asked.query.as_str()]);
        let above = &self.checkpoint.frames[..self.checkpoint.frames.len() - 1];
        let circle = above
            .iter()
            .rev()
            .take_while(|frame| frame.node == index)
            .any(|frame| frame.reading.digest == Some(digest));
        if circle && depth > 0 {
            let message = "it leads back to a request it came from; that one is not made again".to_owned();
            self.failed_for_good(node_error(node, "recursion_circle", message), now);
            return false;
        }
        if let Some(frame) = self.checkpoint.frames.last_mut() {
            frame.reading.digest = Some(digest);
        }
        true
    }

    /// The fetch at the run's position, unless something must be known of its page first.
    fn ask(&mut self, now: Millis) -> Option<Effect> {
        if let Some(effect) = self.compare() {
            return Some(effect);
        }
        let frame = self.top()?;
        let index = frame.node;
        let node = &Arc::clone(&self.plan).nodes[index];
        let limit = node.request().and_then(|request| request.time_limit);
        if let (Some(limit), Some(since)) = (limit, frame.reading.since)
            && now.since(since) >= limit
        {
            let message =
                format!("the list took longer than its time_limit ({limit:?}); the rest is left out");
            return self.step_failed(node_error(node, "time_limit", message), now);
        }
        match self.request()? {
            Ok(request) => Some(Effect::Fetch(request)),
            Err(error) => self.step_failed(error, now),
        }
    }

    pub(super) fn step_failed(&mut self, error: FetchError, now: Millis) -> Option<Effect> {
        self.failed_for_good(error, now);
        None
    }

    /// A step without records is through; what hangs below it is done once.
    fn step_done(&mut self, now: Millis) -> Option<Effect> {
        self.arrive(Arrival::step(Batch::of_json("{}".to_owned())), now);
        None
    }

    fn arrive_from_spool(&mut self, index: usize, batch: Batch, now: Millis) {
        let plan = Arc::clone(&self.plan);
        self.counts(index).fetched += batch.len() as u64;
        let view = View::new(self);
        match self.runs(&plan.nodes[index], view, index) {
            Ok(true) => self.arrive(Arrival::step(batch), now),
            Ok(false) => self.arrive(Arrival::step(Batch::default()), now),
            Err(error) => self.failed_for_good(computed(&plan.nodes[index], &error), now),
        }
    }

    /// The namespace and the name of a state cell.
    fn cell(&self, key: &crate::template::Template) -> Result<(String, String), String> {
        let view = View::new(self);
        let own = self.run.request.state_key.clone();
        let state_key = match (own, &self.plan.state_key) {
            (Some(own), _) => own,
            (None, Some(template)) => template.text(&view).map_err(|error| error.to_string())?,
            (None, None) => self.run.request.job.as_str().to_owned(),
        };
        Ok((state_key, key.text(&view).map_err(|error| error.to_string())?))
    }

    fn change_cell(
        &mut self,
        index: usize,
        key: &crate::template::Template,
        value: Option<Json>,
        now: Millis,
    ) -> Option<Effect> {
        match self.cell(key) {
            Ok((state_key, key)) => {
                let step = self.checkpoint.remembered + 1;
                Some(Effect::Remember(Remember { state_key, key, value, step }))
            }
            Err(message) => {
                let error = unresolved(&self.plan.nodes[index], &message);
                self.step_failed(error, now)
            }
        }
    }

    /// What became of the change of a state cell that was asked for last.
    pub fn remembered(&mut self, result: Remembered, now: Millis) {
        let Some(index) = self.top().map(|frame| frame.node) else { return };
        self.checkpoint.remembered += 1;
        match result {
            Remembered::Written | Remembered::Older => {
                self.step_done(now);
            }
            Remembered::Refused(reason) => {
                let error = node_error(&self.plan.nodes[index], "state_refused", reason);
                self.failed_for_good(error, now);
            }
        }
    }

    /// The value of a state cell came.
    pub(super) fn cell_came(&mut self, index: usize, value: Option<Json>, now: Millis) {
        let plan = Arc::clone(&self.plan);
        let PlanKind::GetState { default, .. } = &plan.nodes[index].kind else { return };
        let value = match value {
            Some(value) => Some(value),
            None => match default.render(&View::new(self)) {
                Ok(value) => value,
                Err(error) => {
                    return self.failed_for_good(unresolved(&plan.nodes[index], &error.to_string()), now);
                }
            },
        };
        let record = value.map_or_else(|| "{}".to_owned(), |value| format!("{{\"value\":{value}}}"));
        if plan.nodes[index].is_everywhere {
            let stage = self.put_new_stage(Bytes::from(record.clone()));
            self.checkpoint.cells.push(Cell { node: index, stage, unknown: Unknown::default() });
            self.cells.insert(index, Json::parse(&record).unwrap_or_else(|_| Json::null()));
        }
        self.arrive(Arrival::step(Batch::of_json(record)), now);
    }

    /// The request at the run's position; `None` when there is none.
    pub(super) fn request(&self) -> Option<Result<FetchRequest, FetchError>> {
        let frame = self.top()?;
        let request = self.plan.nodes[frame.node].request()?;
        Some(self.rendered(frame, request).map_err(|error| self.input_error(frame.node, error)))
    }

    fn rendered(&self, frame: &Frame, request: &Request) -> Result<FetchRequest, InputError> {
        let view = View::new(self);
        let node = &self.plan.nodes[frame.node];
        let again = request.recurse.as_ref().filter(|_| frame.reading.depth > 0);
        let id = again.and_then(|again| again.id.as_ref()).or(request.id.as_ref());
        let id = id.map(|template| template.text(&view)).transpose().map_err(InputError::of)?;
        let mut query = self.made(&request.query)?.unwrap_or_else(Json::empty_object);
        if let Some(again) = again
            && let Some(over) = again.query.render(&view).map_err(InputError::of)?
        {
            query = laid_over(&query, |context| context.extend(&over));
        }
        if let Some(incremental) = &request.incremental
            && let Some(since) = self.window_value(frame, incremental)?
        {
            query = laid_over(&query, |context| context.set(&incremental.param, since));
        }
        let body = request.body.as_ref().map(|body| self.made(body)).transpose()?.flatten();
        let account = self.other_account(request)?;
        // Of the run's account alone it is known.
        let context = account.is_none().then(|| self.frozen.context.clone());
        Ok(FetchRequest {
            resource: node.resource.clone(),
            method: node.method.clone(),
            id,
            query,
            body,
            cursor: frame.cursor.clone(),
            account,
            attempts: request.attempts,
            timeout: request.timeout,
            page_size: None,
            format: request.response_format,
            now: self.checkpoint.progress.started_at.unwrap_or(self.run.request.created_at),
            seed: digest(&[&self.run.request.id.to_string(), &node.name]),
            context,
        })
    }

    fn other_account(&self, request: &Request) -> Result<Option<AccountId>, InputError> {
        let Some(template) = &request.account else { return Ok(None) };
        let name = template.text(&View::new(self)).map_err(InputError::of)?;
        if name == self.run.request.account.as_str() {
            return Ok(None);
        }
        let account = name.parse().map_err(|error| {
            InputError::Placeholder(format!(
                "integrated_account_id is {name:?}, which names no account: {error}"
            ))
        })?;
        Ok(Some(account))
    }

    /// The value of an input.
    pub(super) fn made(&self, input: &Input) -> Result<Option<Json>, InputError> {
        let view = View::new(self);
        match input {
            Input::Tree(tree) => tree.render(&view).map_err(InputError::of),
            Input::Expression(expression) => {
                let salt = self.top().map_or(0, |frame| frame.node);
                view.evaluate(expression, salt).map_err(|error| InputError::Expression(error.message))
            }
        }
    }

    fn input_error(&self, index: usize, error: InputError) -> FetchError {
        let node = &self.plan.nodes[index];
        match error {
            InputError::Placeholder(message) => unresolved(node, &message),
            InputError::Expression(message) => node_error(node, "expression_failed", message),
        }
    }
}

/// Why a request can't be made.
#[derive(Debug)]
pub(super) enum InputError {
    Placeholder(String),
    Expression(String),
}

impl InputError {
    pub(super) fn of(error: crate::template::RenderError) -> Self {
        Self::Placeholder(error.to_string())
    }
}

fn laid_over(query: &Json, lay: impl FnOnce(&mut Context)) -> Json {
    let mut context = Context::default();
    context.extend(query);
    lay(&mut context);
    context.json()
}

fn digest(parts: &[&str]) -> u64 {
    let hash = Sha256::digest(parts.join("\n").as_bytes());
    // 53 bits, so that any JSON reader keeps the number exactly.
    hash[..8].iter().fold(0u64, |acc, byte| (acc << 8) | u64::from(*byte)) >> 11
}
