//! Where in nested work a run is: a stack of frames, moved forward by acknowledged pages.

use std::sync::Arc;

use bytes::Bytes;

use super::Machine;
use crate::clock::Millis;
use crate::engine::checkpoint::{Descent, Frame};
use crate::engine::seam::{FetchError, FetchErrorKind, FetchRequest, Page};
use crate::json::{Json, Unknown};
use crate::run::Counts;
use crate::template::{RenderError, Scope};

impl Machine {
    pub(super) fn top(&self) -> Option<&Frame> {
        self.checkpoint.frames.last()
    }

    pub(super) fn counts(&mut self, node: usize) -> &mut Counts {
        let node = &self.plan.nodes[node];
        let methods = self.checkpoint.progress.resource_stats.entry(node.name.clone()).or_default();
        methods.entry(node.method.clone()).or_default()
    }

    /// Moves past `page`, whose records are safe: first down to its records' children, then to the next page.
    pub(super) fn advance(&mut self, page: &Page, now: Millis) {
        self.unsaved = true;
        let Some(frame) = self.top() else { return };
        let (node, depth) = (frame.node, self.checkpoint.frames.len());
        let root = self.checkpoint.root;
        let descent = self.descend(node, page);
        let pages_max = self.plan.nodes[node].pages_max;
        let frame = &mut self.checkpoint.frames[depth - 1];
        frame.descent = descent;
        frame.skipped = 0;
        let broken = match &page.next {
            None => {
                frame.done = true;
                None
            }
            Some(next) if frame.guard.repeats(next) => Some(pagination_loop()),
            Some(_) if frame.page >= pages_max => Some(too_many_pages(pages_max)),
            Some(next) => {
                frame.cursor = next.clone();
                frame.page += 1;
                None
            }
        };
        match broken {
            None => {
                self.settle();
                self.flush_errors_of(root, now);
            }
            Some(error) => self.failed_for_good(error, now),
        }
    }

    /// Stages what the children of `page`'s records need of them.
    fn descend(&mut self, node: usize, page: &Page) -> Option<Descent> {
        let plan = Arc::clone(&self.plan);
        let node = &plan.nodes[node];
        if node.children.is_empty() || page.records.is_empty() {
            return None;
        }
        let projections: Vec<String> =
            (0..page.records.len()).map(|index| node.keeps.of(page.record(index))).collect();
        let text = format!("[{}]", projections.join(","));
        let records: Vec<Json> = serde_json::from_str(&text).unwrap_or_default();
        let stage = self.put_new_stage(Bytes::from(text));
        let len = records.len();
        self.parents.insert(stage.clone(), Arc::new(records));
        Some(Descent { stage, len, index: 0, child: 0, unknown: Unknown::default() })
    }

    /// Brings the stack to the next thing to fetch, or empties it when all is read.
    pub(super) fn settle(&mut self) {
        while let Some(frame) = self.checkpoint.frames.last_mut() {
            let children = &self.plan.nodes[frame.node].children;
            if let Some(descent) = &mut frame.descent {
                if descent.child >= children.len() {
                    descent.child = 0;
                    descent.index += 1;
                }
                if descent.index < descent.len {
                    let child = children[descent.child];
                    self.checkpoint.frames.push(Frame::start(child));
                    break;
                }
                let stage = descent.stage.clone();
                frame.descent = None;
                self.parents.remove(&stage);
                self.drop_stage(&stage);
            } else if frame.done {
                self.checkpoint.frames.pop();
                self.leave_list();
            } else {
                break;
            }
        }
        self.note_node();
    }

    /// A list was read: on to the parent's next child, or to the next root.
    fn leave_list(&mut self) {
        if let Some(descent) = self.checkpoint.frames.last_mut().and_then(|parent| parent.descent.as_mut()) {
            descent.child += 1;
            return;
        }
        self.checkpoint.root += 1;
        if let Some(&root) = self.plan.roots.get(self.checkpoint.root) {
            self.checkpoint.frames.push(Frame::start(root));
        }
    }

    pub(super) fn note_node(&mut self) {
        self.checkpoint.progress.node = self.top().map(|frame| self.plan.nodes[frame.node].name.clone());
    }

    /// The request at the run's position; `None` when all is read.
    pub(super) fn request(&self) -> Option<Result<FetchRequest, FetchError>> {
        let frame = self.top()?;
        let node = &self.plan.nodes[frame.node];
        let rendered = || -> Result<FetchRequest, RenderError> {
            let id = node.id.as_ref().map(|template| template.text(self)).transpose()?;
            let body = match &node.body {
                Some(body) => body.render(self)?,
                None => None,
            };
            Ok(FetchRequest {
                resource: node.resource.clone(),
                method: node.method.clone(),
                id,
                query: node.query.render(self)?.unwrap_or_else(Json::empty_object),
                body,
                cursor: frame.cursor.clone(),
                account: None,
                attempts: None,
                timeout: None,
            })
        };
        Some(rendered().map_err(|error| FetchError {
            kind: FetchErrorKind::Permanent,
            status: None,
            error: "placeholder_without_value".into(),
            message: format!("node {:?}: {error}", node.name),
            raw_response: None,
            skip_to: None,
        }))
    }

    /// The parents' records at hand, the nearest first: (node, record).
    fn lineage(&self) -> impl Iterator<Item = (usize, &Json)> {
        self.checkpoint.frames.iter().rev().filter_map(|frame| {
            let descent = frame.descent.as_ref()?;
            let record = self.parents.get(&descent.stage)?.get(descent.index)?;
            Some((frame.node, record))
        })
    }
}

/// What a job's placeholders see.
impl Scope for Machine {
    fn lookup(&self, path: &[String]) -> Option<Json> {
        let (root, rest) = path.split_first()?;
        match root.as_str() {
            "args" => self.run.request.args.get(rest),
            "resources" => self
                .lineage()
                .find_map(|(node, record)| self.plan.nodes[node].strip(rest).map(|path| record.get(path)))
                .flatten(),
            "previous_run_date" if rest.is_empty() => {
                Some(Json::string(&self.checkpoint.progress.previous_run_date.unwrap_or_default().rfc3339()))
            }
            "tenant_id" if rest.is_empty() => self.frozen.tenant_id.as_deref().map(Json::string),
            "sync_job_run" => self.run_object(crate::run::Status::Running, None).get(rest),
            "context" => self.frozen.context.get(rest),
            _ => self.frozen.context.get(path),
        }
    }
}

fn pagination_loop() -> FetchError {
    FetchError {
        kind: FetchErrorKind::Permanent,
        status: None,
        error: "pagination_loop".into(),
        message: "the source gave a cursor that it gave before; the list was read up to there. Check the \
                  integration's pagination (cursor_path, has_next_path)"
            .into(),
        raw_response: None,
        skip_to: None,
    }
}

fn too_many_pages(pages_max: u32) -> FetchError {
    FetchError {
        kind: FetchErrorKind::Permanent,
        status: None,
        error: "too_many_pages".into(),
        message: format!(
            "the list has more than {pages_max} pages; raise the method's pages_max if that is right"
        ),
        raw_response: None,
        skip_to: None,
    }
}
