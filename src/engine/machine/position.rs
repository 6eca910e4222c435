//! Where in nested work a run is: a stack of frames, moved forward by batches that were passed.

use std::sync::Arc;

use super::Machine;
use super::scope::View;
use crate::engine::checkpoint::{Closing, End, Frame};
use crate::json::Json;
use crate::run::Counts;
use crate::template::Scope;

/// The most elements that a request may loop on.
const ELEMENTS_MAX: usize = 10_000;

impl Machine {
    pub(super) fn top(&self) -> Option<&Frame> {
        self.checkpoint.frames.last()
    }

    pub(super) fn counts(&mut self, node: usize) -> &mut Counts {
        let node = &self.plan.nodes[node];
        let methods = self.checkpoint.progress.resource_stats.entry(node.name.clone()).or_default();
        methods.entry(node.method.clone()).or_default()
    }

    /// The steps that are being done.
    pub(super) fn sequence(&self) -> &[usize] {
        match self.checkpoint.moment {
            None => &self.plan.roots,
            Some(Closing::Complete) => &self.plan.on_complete,
            Some(Closing::Error) => &self.plan.on_error,
        }
    }

    /// Brings the stack to the next thing to do, or empties it when all is done.
    pub(super) fn settle(&mut self) {
        let plan = Arc::clone(&self.plan);
        while let Some(frame) = self.checkpoint.frames.last_mut() {
            let own = frame.node;
            if let Some(descent) = &mut frame.descent {
                let branch = &plan.nodes[descent.branch.unwrap_or(own)];
                let again = [own];
                let steps: &[usize] = match (descent.recursion, descent.whole) {
                    (true, _) => &again,
                    (false, true) => &branch.each_batch,
                    (false, false) => &branch.each_record,
                };
                if !descent.whole && descent.child >= steps.len() {
                    descent.child = 0;
                    descent.index += 1;
                }
                let recursion = descent.recursion;
                let step = if descent.whole || descent.index < descent.len {
                    steps.get(descent.child).copied()
                } else if !recursion && !branch.each_batch.is_empty() {
                    descent.whole = true;
                    descent.child = 0;
                    continue;
                } else {
                    None
                };
                if let Some(step) = step {
                    self.begin(step, recursion);
                    break;
                }
                let stage = descent.stage.clone();
                frame.descent = (!frame.further.is_empty()).then(|| frame.further.remove(0));
                self.branches.remove(&stage);
                self.drop_stage(&stage);
            } else if frame.done {
                if self.next_part_of_step(own) {
                    break;
                }
                let through = self.checkpoint.frames.pop();
                // A recursion's records are those of the list it began with, which they don't count against.
                if let Some(through) = through.filter(|frame| frame.reading.depth > 0)
                    && let Some(above) = self.checkpoint.frames.last_mut()
                {
                    above.reading.records += through.reading.records;
                    above.reading.earlier += through.reading.records;
                }
                self.loops.remove(&self.checkpoint.frames.len());
                plan.nodes[own].empties.iter().for_each(|spool| self.empty_spool(*spool));
                self.leave_step();
            } else {
                break;
            }
        }
        self.note_node();
    }

    /// Whether a step whose list was read has more to do: the next element it loops on, or what its end asks for.
    fn next_part_of_step(&mut self, node: usize) -> bool {
        let ends = self.ends_of(node);
        let Some(frame) = self.checkpoint.frames.last_mut() else { return false };
        if frame.reading.end == Some(End::Done) {
            return false;
        }
        if frame.reading.elements.is_some_and(|elements| frame.reading.element + 1 < elements) {
            frame.reading.element += 1;
            frame.reading.since = None;
            frame.reading.earlier = frame.reading.records;
            frame.rewind();
            return true;
        }
        if frame.reading.end.is_none() && frame.reading.depth == 0 {
            frame.reading.end = ends;
        }
        frame.reading.end.is_some()
    }

    fn begin(&mut self, step: usize, recursion: bool) {
        let mut frame = Frame::start(step);
        if recursion && let Some(above) = self.top() {
            frame.reading.depth = above.reading.depth + 1;
            frame.reading.element = above.reading.element;
        }
        self.checkpoint.frames.push(frame);
        if recursion {
            self.find_loop(self.checkpoint.frames.len() - 1);
        }
    }

    /// A step is through: on to the next one, for the same record or batch, or of the run.
    fn leave_step(&mut self) {
        if let Some(descent) = self.checkpoint.frames.last_mut().and_then(|parent| parent.descent.as_mut()) {
            if descent.recursion {
                descent.index += 1;
            } else {
                descent.child += 1;
            }
            return;
        }
        self.checkpoint.root += 1;
        if let Some(&step) = self.sequence().get(self.checkpoint.root) {
            self.checkpoint.frames.push(Frame::start(step));
        }
    }

    pub(super) fn note_node(&mut self) {
        self.checkpoint.progress.node = self.top().map(|frame| self.plan.nodes[frame.node].name.clone());
    }

    /// The elements that the frames' requests loop on, of a position that was saved.
    pub(super) fn find_loops(&mut self) {
        for level in 0..self.checkpoint.frames.len() {
            if self.checkpoint.frames[level].reading.opened || self.checkpoint.frames[level].reading.depth > 0
            {
                self.find_loop(level);
            }
        }
    }

    /// The elements that the request of the frame at `level` loops on; why there are none.
    pub(super) fn find_loop(&mut self, level: usize) -> Option<Result<usize, String>> {
        let plan = Arc::clone(&self.plan);
        let frame = &self.checkpoint.frames[level];
        let path = plan.nodes[frame.node].request()?.loop_on.as_ref()?;
        if frame.reading.depth > 0 {
            let above = self.loops.get(&level.checked_sub(1)?)?.clone();
            let len = above.len();
            self.loops.insert(level, above);
            return Some(Ok(len));
        }
        let shown = path.join(".");
        let outside = View::outside(self, level);
        // A bare name is looked for in the context, then among the arguments.
        let argument = (path.len() == 1).then(|| ["args".to_owned(), path[0].clone()]);
        let value = outside.lookup(path).or_else(|| outside.lookup(argument.as_ref()?));
        let Some(value) = value else {
            return Some(Err(format!("loop_on: there is no {shown:?}; it must name an array")));
        };
        let elements: Vec<Json> = match value.as_str().as_bytes().first() {
            Some(b'[') => serde_json::from_str(value.as_str()).unwrap_or_default(),
            Some(b'n') => Vec::new(),
            Some(_) | None => vec![value],
        };
        let len = elements.len();
        if len > ELEMENTS_MAX {
            return Some(Err(format!(
                "loop_on: {shown:?} has {len} elements, more than {ELEMENTS_MAX}; loop on the records of a request instead"
            )));
        }
        self.loops.insert(level, Arc::new(elements));
        Some(Ok(len))
    }
}
