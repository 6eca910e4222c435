//! A batch from its arrival to the position after it: what follows from it is delivered, then it is passed.

use std::collections::BTreeSet;

use bytes::Bytes;

use super::expand::{Chunk, Expansion, Parcel, inner, node_error};
use super::scope::Branch;
use super::tracking::{COMPARED_MAX, too_long_to_compare};
use super::{Effect, Machine};
use crate::clock::Millis;
use crate::definition::job::ResponseFormat;
use crate::definition::webhook::EventType;
use crate::engine::batch::Batch;
use crate::engine::checkpoint::{Descent, End, Pending, Spooled, Staged, StagedPage, TroubleAbout};
use crate::engine::seam::{Cursor, FetchError, FetchErrorKind, Page};
use crate::engine::transition::Mark;
use crate::json::{Json, Unknown};
use crate::plan::PlanKind;

/// A batch that came.
#[derive(Debug, Clone)]
pub(super) struct Arrival {
    pub(super) batch: Batch,
    pub(super) then: Then,
    /// Whether it can be had again after a crash.
    pub(super) replayable: bool,
    /// What happened to each record, where that is tracked.
    pub(super) changes: Option<Vec<Json>>,
    /// What is remembered once it is acknowledged.
    pub(super) marks: Vec<Mark>,
    /// What is remembered once all steps are through.
    pub(super) deferred: Vec<Mark>,
    /// How many records came, of which `batch` may be only some.
    pub(super) brought: u64,
    /// How many of them were not known before, where that is tracked.
    pub(super) added: u64,
}

impl Arrival {
    /// What a step without pages brings.
    pub(super) fn step(batch: Batch) -> Self {
        let brought = batch.len() as u64;
        Self {
            batch,
            then: Then::Done,
            replayable: true,
            changes: None,
            marks: Vec::new(),
            deferred: Vec::new(),
            brought,
            added: 0,
        }
    }
}

/// Where the position goes when a batch is passed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Then {
    /// To the next page, if there is one.
    Page(Option<Cursor>),
    /// The step has no more.
    Done,
    /// On with the end of the step.
    End(End),
}

/// A batch that is being delivered; made again after a crash.
#[derive(Debug, Clone)]
pub(super) struct Held {
    expansion: Expansion,
    then: Then,
    /// The parcel that is being delivered.
    next: usize,
    /// How many records came, and how many of them were not known before.
    brought: u64,
    added: u64,
}

impl Held {
    fn of(expansion: Expansion, then: Then) -> Self {
        Self { expansion, then, next: 0, brought: 0, added: 0 }
    }

    /// Whether no webhook gets more than one of its parcels.
    fn is_one_each(&self) -> bool {
        let destinations: BTreeSet<usize> =
            self.expansion.parcels.iter().map(|parcel| parcel.destination).collect();
        destinations.len() == self.expansion.parcels.len()
    }
}

impl Machine {
    /// A page came.
    pub(super) fn page(&mut self, page: &Page, now: Millis) {
        self.checkpoint.limit = None;
        let Some(node) = self.top().map(|frame| frame.node) else { return };
        let counts = self.counts(node);
        counts.pages += 1;
        counts.fetched += page.records.len() as u64;
        let mut batch = Batch::of_page(page);
        let mut next = page.next.clone();
        let plan = std::sync::Arc::clone(&self.plan);
        let Some(request) = plan.nodes[node].request() else { return };
        if request.response_format == ResponseFormat::Raw {
            batch = batch.narrowed("remote_data");
        }
        let Some(frame) = self.checkpoint.frames.last_mut() else { return };
        if let Some(most) = request.records_max {
            let read = frame.reading.records.saturating_sub(frame.reading.earlier);
            let room = usize::try_from(most.saturating_sub(read)).unwrap_or(usize::MAX);
            if batch.len() >= room {
                frame.reading.partial |= batch.len() > room || next.is_some();
                batch = batch.part(0..room);
                next = None;
            }
        }
        let arrival = Arrival { then: Then::Page(next), replayable: page.replayable, ..Arrival::step(batch) };
        if request.changes.is_some() || request.incremental.is_some() {
            if arrival.brought > COMPARED_MAX {
                return self.failed_for_good(too_long_to_compare(&plan.nodes[node], arrival.brought), now);
            }
            self.arrived = Some(arrival);
        } else {
            self.arrive(arrival, now);
        }
    }

    /// Looks what follows from a batch and sees to its delivery.
    pub(super) fn arrive(&mut self, arrival: Arrival, now: Millis) {
        let Some(frame) = self.top() else { return };
        let Arrival { batch, then, replayable, changes, marks, deferred, brought, added } = arrival;
        let step = frame.node;
        self.arriving = brought;
        let single = batch.len() == 1 && !self.plan.nodes[step].lists();
        let mut expansion = self.expand(step, &batch, single, changes.as_deref());
        expansion.marks.extend(marks);
        expansion.deferred = deferred;
        if matches!(self.plan.nodes[step].kind, PlanKind::Spool(_)) && !self.plan.nodes[step].is_kept {
            expansion.emptied.push(step);
        }
        self.hold(Held { brought, added, ..Held::of(expansion, then) }, replayable, now);
    }

    /// What a step that only computes gave.
    pub(super) fn hold_step(&mut self, expansion: Expansion, now: Millis) {
        self.hold(Held::of(expansion, Then::Done), true, now);
    }

    /// Delivers what follows from a batch: at once and unstaged when it is one delivery that can be made again, else
    /// staged before the first send (rule 6). Over the stage budget it goes unstaged where each webhook gets one
    /// delivery, which is the last one that a crash repeats; else it is let go, and made again when there is room. So is
    /// one of which a spool collects more than there is room for.
    pub(super) fn hold(&mut self, mut held: Held, replayable: bool, now: Millis) {
        self.arriving = 0;
        self.notes.append(&mut held.expansion.notes);
        let collected: usize = held.expansion.chunks.iter().map(|chunk| chunk.batch.bytes()).sum();
        if replayable && collected > 0 && self.staged() + collected > self.run.stage_bytes_max {
            return self.wait_for_room(now);
        }
        let parcels = held.expansion.parcels.len();
        if parcels > 1 && replayable && !self.fits(&held) && !held.is_one_each() {
            return self.wait_for_room(now);
        }
        // Trouble with a delivery goes on: a page that was let go for want of room was made again for it.
        self.checkpoint.trouble =
            self.checkpoint.trouble.take().filter(|trouble| trouble.about == TroubleAbout::Delivery);
        match parcels {
            0 => self.pass(held, 0, now),
            1 if replayable => self.held = Some(held),
            _ if !replayable || self.fits(&held) => self.stage(held, now),
            _ => self.held = Some(held),
        }
    }

    /// The page is made again later; for as long as an outage of the source may last.
    fn wait_for_room(&mut self, now: Millis) {
        self.source_trouble(TroubleAbout::Source, no_room(self.run.stage_bytes_max), now);
    }

    /// Holds what is told at the end of a step; `next` is what the end goes on with.
    pub(super) fn hold_parcels(&mut self, parcels: Vec<Parcel>, marks: Vec<Mark>, next: End, now: Millis) {
        let expansion = Expansion { parcels, marks, ..Expansion::default() };
        self.hold(Held::of(expansion, Then::End(next)), true, now);
    }

    fn fits(&self, held: &Held) -> bool {
        let parcels = held.expansion.parcels[held.next..].iter();
        let bytes: usize = parcels.map(|parcel| parcel.batch.bytes()).sum();
        self.staged() + bytes <= self.run.stage_bytes_max
    }

    /// The delivery of what is held.
    pub(super) fn deliver_held(&self, held: &Held) -> Effect {
        let Some(parcel) = held.expansion.parcels.get(held.next) else { return Effect::Save };
        let before = &held.expansion.parcels[..held.next];
        let before = before.iter().filter(|other| other.destination == parcel.destination).count();
        let (id, body, seq) = self.seal_parcel(parcel, &held.then, before as u64);
        Effect::Deliver(self.delivery(parcel.destination, EventType::Record, id, body, Some(seq)))
    }

    /// The webhook to which what is held is being delivered.
    pub(super) fn held_destination(&self) -> Option<usize> {
        self.held
            .as_ref()
            .and_then(|held| held.expansion.parcels.get(held.next))
            .map(|parcel| parcel.destination)
    }

    /// What is held was acknowledged, or its next parcel was. Saved when all of it is: until then a crash makes and
    /// sends it again, under the same ids.
    pub(super) fn held_acknowledged(&mut self, now: Millis) {
        let Some(mut held) = self.held.take() else { return };
        held.next += 1;
        if held.next < held.expansion.parcels.len() {
            self.held = Some(held);
            return;
        }
        self.settle_parcels(&held.expansion.parcels);
        self.checkpoint.progress.pages += 1;
        self.checkpoint.at = now;
        self.pass(held, 0, now);
    }

    /// These parcels were acknowledged: their webhooks' numbers go on, and their records count.
    fn settle_parcels(&mut self, parcels: &[Parcel]) {
        for (index, parcel) in parcels.iter().enumerate() {
            let destination = &mut self.checkpoint.destinations[parcel.destination];
            destination.step += 1;
            destination.seq += 1;
            let is_last = !parcels[index + 1..].iter().any(|other| other.node == parcel.node);
            if is_last {
                self.counts(parcel.node).persisted += records_for(parcels, parcel);
            }
        }
    }

    /// Stages what is held, as far as it is not acknowledged, and moves past it. Over the stage budget a batch that can
    /// be made again is let go: the run makes it again when it wakes.
    pub(super) fn stage_held(&mut self, held: Held, now: Millis) {
        if self.fits(&held) {
            self.stage(held, now);
        }
    }

    fn stage(&mut self, held: Held, now: Millis) {
        let parcels = &held.expansion.parcels;
        self.settle_parcels(&parcels[..held.next]);
        let mut staged = 0;
        for parcel in &parcels[held.next..] {
            let (id, body, seq) = self.seal_parcel(parcel, &held.then, 0);
            let stage = self.put_new_stage(body);
            let records = records_for(parcels, parcel);
            let page = Some(StagedPage { seq, node: parcel.node, records, unknown: Unknown::default() });
            self.checkpoint.outbox.push(Staged {
                destination: parcel.destination,
                event: EventType::Record,
                id,
                stage,
                page,
                marks: None,
                unknown: Unknown::default(),
            });
            staged += 1;
        }
        self.pass(held, staged, now);
    }

    /// Moves past a batch, of which the last `staged` events of the outbox are: its records are safe.
    fn pass(&mut self, held: Held, staged: usize, now: Millis) {
        // What only computes comes out the same again: by itself it is not worth a save.
        let asked = self.top().is_some_and(|frame| self.plan.nodes[frame.node].request().is_some());
        self.unsaved |= asked || !held.expansion.parcels.is_empty();
        let Expansion { chunks, emptied, below, errors, marks, deferred, .. } = held.expansion;
        self.remember_marks(marks, staged);
        self.defer_marks(&deferred);
        emptied.into_iter().for_each(|spool| self.empty_spool(spool));
        let mut overfull = Vec::new();
        for chunk in chunks {
            overfull.extend(self.fill_spool(&chunk));
        }
        let mut descents = Vec::new();
        for below in below {
            let Some(branch) = Branch::read(below.text.as_bytes()) else { continue };
            let stage = self.put_new_stage(Bytes::from(below.text));
            self.branches.insert(stage.clone(), branch);
            descents.push(Descent {
                stage,
                len: below.len,
                index: 0,
                child: 0,
                branch: Some(below.node),
                whole: below.whole,
                recursion: below.recursion,
                unknown: Unknown::default(),
            });
        }
        if let Some(frame) = self.checkpoint.frames.last_mut() {
            frame.reading.records += held.brought;
            frame.reading.known = frame.reading.known.map(|known| known + held.added);
        }
        let root = self.checkpoint.root;
        let broken = self.move_on(held.then, descents);
        for (node, error) in errors.into_iter().chain(overfull) {
            if !self.report(node, &error, now) {
                return;
            }
        }
        match broken {
            None => {
                self.settle();
                self.flush_errors_of(root, now);
            }
            Some(error) => self.failed_for_good(error, now),
        }
    }

    fn move_on(&mut self, then: Then, descents: Vec<Descent>) -> Option<FetchError> {
        let node = self.top()?.node;
        let pages_max =
            self.plan.nodes[node].request().and_then(|request| request.pages_max).unwrap_or(u32::MAX);
        let frame = self.checkpoint.frames.last_mut()?;
        let mut descents = descents.into_iter().map(|mut descent| {
            descent.branch = descent.branch.filter(|branch| *branch != node);
            descent
        });
        frame.descent = descents.next();
        frame.further = descents.collect();
        frame.skipped = 0;
        match then {
            Then::End(next) => {
                frame.reading.end = Some(next);
                None
            }
            Then::Done | Then::Page(None) => {
                frame.done = true;
                None
            }
            Then::Page(Some(next)) if frame.guard.repeats(&next) => Some(pagination_loop()),
            Then::Page(Some(_)) if frame.page >= pages_max => Some(too_many_pages(pages_max)),
            Then::Page(Some(next)) => {
                frame.cursor = next;
                frame.page += 1;
                None
            }
        }
    }

    /// What is remembered of a batch's records waits for its acknowledgement.
    fn remember_marks(&mut self, marks: Vec<Mark>, staged: usize) {
        if marks.is_empty() {
            return;
        }
        if staged == 0 {
            self.changes.marks.extend(marks);
            return;
        }
        let stage = self.put_new_stage(Bytes::from(Json::of(&marks).as_str().to_owned()));
        if let Some(last) = self.checkpoint.outbox.last_mut() {
            last.marks = Some(stage);
        }
    }

    /// Keeps marks about the step's records for the end of all steps.
    pub(super) fn defer_marks(&mut self, marks: &[Mark]) {
        let Some(node) = self.top().map(|frame| frame.node).filter(|_| !marks.is_empty()) else { return };
        let stage = self.put_new_stage(Bytes::from(Json::of(&marks).as_str().to_owned()));
        self.checkpoint.pending.push(Pending { node, stage, unknown: Unknown::default() });
    }

    /// Remembers what waited for the end of all steps, a part for each save. What could not be followed to its end is
    /// not remembered, and comes again in the next run. False when nothing is left.
    pub(super) fn remember_pending(&mut self) -> bool {
        if self.checkpoint.pending.is_empty() {
            return false;
        }
        let Pending { node, stage, .. } = self.checkpoint.pending.remove(0);
        let marks_of = |bytes: &Bytes| serde_json::from_slice::<Vec<Mark>>(bytes).ok();
        if !self.has_hole(node) {
            self.changes.marks.extend(self.stages.get(&stage).and_then(marks_of).unwrap_or_default());
        }
        self.drop_stage(&stage);
        true
    }

    /// What a spool holds.
    pub(super) fn spooled(&self, node: usize) -> Option<&Spooled> {
        self.checkpoint.spools.iter().find(|spool| spool.node == node)
    }

    /// The texts a spool holds, in order: records parted by commas.
    pub(super) fn spool_texts(&self, node: usize) -> Vec<&str> {
        let stages = self.spooled(node).map(|spool| spool.stages.as_slice()).unwrap_or_default();
        let text = |name: &String| std::str::from_utf8(self.stages.get(name)?).ok();
        stages.iter().filter_map(text).collect()
    }

    pub(super) fn empty_spool(&mut self, node: usize) {
        let Some(at) = self.checkpoint.spools.iter().position(|spool| spool.node == node) else { return };
        let spool = self.checkpoint.spools.remove(at);
        spool.stages.iter().for_each(|stage| self.drop_stage(stage));
    }

    /// A spool takes a batch; says what is wrong when that is too much.
    fn fill_spool(&mut self, chunk: &Chunk) -> Option<(usize, FetchError)> {
        let node = chunk.spool;
        let PlanKind::Spool(collects) = &self.plan.nodes[node].kind else { return None };
        let collects = *collects;
        if self.spooled(node).is_none() {
            self.checkpoint.spools.push(Spooled {
                node,
                stages: Vec::new(),
                records: 0,
                bytes: 0,
                overfull: false,
                unknown: Unknown::default(),
            });
        }
        let at = self.checkpoint.spools.iter().position(|spool| spool.node == node)?;
        let spool = &mut self.checkpoint.spools[at];
        if spool.overfull {
            return None;
        }
        let records = spool.records + chunk.batch.len() as u64;
        let bytes = spool.bytes + chunk.batch.bytes() as u64;
        if !collects.overflows && (records > collects.records_max || bytes > collects.bytes_max) {
            spool.overfull = true;
            let stages = std::mem::take(&mut spool.stages);
            stages.iter().for_each(|stage| self.drop_stage(stage));
            let message = format!(
                "it collected {records} records of {bytes} bytes, and may hold {} of {}; nothing of them is passed on. \
                 Raise config.max_records and config.max_bytes, or do without the spool",
                collects.records_max, collects.bytes_max
            );
            return Some((node, node_error(&self.plan.nodes[node], "spool_too_large", message)));
        }
        (spool.records, spool.bytes) = (records, bytes);
        let stage = self.put_new_stage(Bytes::from(inner(&chunk.batch.array()).to_owned()));
        self.checkpoint.spools[at].stages.push(stage);
        None
    }
}

/// The records of a node's batch as one webhook gets them, in all parts.
fn records_for(parcels: &[Parcel], parcel: &Parcel) -> u64 {
    let same =
        parcels.iter().filter(|other| (other.node, other.destination) == (parcel.node, parcel.destination));
    same.map(|other| other.batch.len() as u64).sum()
}

fn pagination_loop() -> FetchError {
    permanent(
        "pagination_loop",
        "the source gave a cursor that it gave before; the list was read up to there. Check the integration's \
         pagination (cursor_path, has_next_path)"
            .to_owned(),
    )
}

fn too_many_pages(pages_max: u32) -> FetchError {
    let message = format!("the list has more than {pages_max} pages; raise pages_max if that is right");
    permanent("too_many_pages", message)
}

/// What follows from a page must be staged, and can't be now.
fn no_room(bytes: usize) -> FetchError {
    let message = format!(
        "what follows from a page (several deliveries, or records that a spool collects) is kept in Redis until it is \
         sent, and only {bytes} bytes may be kept now; raise stage.run_bytes_max or stage.total_bytes_max if this lasts"
    );
    FetchError::new(FetchErrorKind::NoRoom, "no_room_to_stage", message)
}

fn permanent(error: &str, message: String) -> FetchError {
    FetchError::new(FetchErrorKind::Permanent, error, message)
}
