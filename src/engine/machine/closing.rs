//! How a run ends: the steps before it is completed, those before it fails, and the outcome, decided once.

use super::Machine;
use crate::clock::Millis;
use crate::definition::webhook::EventType;
use crate::engine::checkpoint::{Aside, Closing, Frame};
use crate::engine::machine::Effect;
use crate::json::Unknown;
use crate::run::{Outcome, Status};

impl Machine {
    /// All steps of a sequence are done: on to the next sequence, or to the end.
    pub(super) fn end_of_sequence(&mut self, now: Millis) -> Option<Effect> {
        if !self.checkpoint.errors.is_empty() {
            self.flush_errors(now);
            return None;
        }
        if self.checkpoint.moment.is_none() && !self.checkpoint.pending.is_empty() {
            // One part for each save.
            if self.unsaved {
                return Some(Effect::Save);
            }
            self.remember_pending();
            return None;
        }
        if self.checkpoint.moment.is_none() && !self.plan.on_complete.is_empty() {
            self.enter(Closing::Complete);
            return None;
        }
        self.decide(Outcome { status: Status::Completed, reason: None, code: None }, now);
        None
    }

    fn enter(&mut self, moment: Closing) {
        self.checkpoint.moment = Some(moment);
        self.checkpoint.root = 0;
        self.checkpoint.frames =
            self.sequence().first().map(|&step| Frame::start(step)).into_iter().collect();
        self.loops.clear();
        self.note_node();
    }

    /// The run fails: what the job does about that is done first, when its webhooks take anything.
    pub(super) fn fail_run(&mut self, outcome: Outcome, now: Millis) {
        self.held = None;
        self.arrived = None;
        let failing = self.checkpoint.moment == Some(Closing::Error);
        if failing || self.plan.on_error.is_empty() || !self.checkpoint.outbox.is_empty() {
            return self.decide(outcome, now);
        }
        self.checkpoint.aside = Some(Box::new(Aside {
            outcome,
            moment: self.checkpoint.moment,
            root: self.checkpoint.root,
            frames: std::mem::take(&mut self.checkpoint.frames),
            unknown: Unknown::default(),
        }));
        self.enter(Closing::Error);
        self.unsaved = true;
    }

    /// Decides how the run ends, once, and stages its terminal events. A run that was about to fail is where it was
    /// before that, so that it can be resumed.
    pub(super) fn decide(&mut self, outcome: Outcome, now: Millis) {
        self.held = None;
        self.arrived = None;
        let outcome = match self.checkpoint.aside.take() {
            None => outcome,
            Some(aside) => {
                let aside = *aside;
                self.leave_closing_steps();
                self.checkpoint.moment = aside.moment;
                self.checkpoint.root = aside.root;
                self.checkpoint.frames = aside.frames;
                self.loops.clear();
                self.find_loops();
                if outcome.status == Status::Stopped { outcome } else { aside.outcome }
            }
        };
        let event = match outcome.status {
            Status::Completed => EventType::RunCompleted,
            Status::Stopped => EventType::RunStopped,
            Status::Failed | Status::Created | Status::Running | Status::RateLimited | Status::Retrying => {
                EventType::RunFailed
            }
        };
        let status = outcome.status;
        if status == Status::Completed {
            let cells = std::mem::take(&mut self.checkpoint.cells);
            cells.iter().for_each(|cell| self.drop_stage(&cell.stage));
        }
        self.checkpoint.outcome = Some(outcome);
        self.checkpoint.limit = None;
        self.checkpoint.trouble = None;
        self.checkpoint.progress.node = None;
        self.unsaved = true;
        self.stage_lifecycle(event, status, now);
    }

    /// What the steps before the failure have staged for their own use goes.
    fn leave_closing_steps(&mut self) {
        for frame in std::mem::take(&mut self.checkpoint.frames) {
            for descent in frame.descent.into_iter().chain(frame.further) {
                self.branches.remove(&descent.stage);
                self.drop_stage(&descent.stage);
            }
        }
        let plan = std::sync::Arc::clone(&self.plan);
        plan.on_error.iter().for_each(|step| self.empty_spool(*step));
    }
}
