//! A world without I/O: a source whose records are a function of their address, webhooks that remember what
//! they acknowledged, and a store that keeps what was saved. Luck is drawn from a seed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::clock::Millis;
use crate::definition::job::ErrorHandling;
use crate::definition::webhook::EventType;
use crate::engine::checkpoint::Checkpoint;
use crate::engine::machine::{Effect, Gate, Machine, Remembered, RunFacts, WebhookFacts};
use crate::engine::seam::{
    Cursor, Delivery, DeliveryError, FetchError, FetchErrorKind, FetchRequest, Page, Verdict,
};
use crate::json::{self, Json};
use crate::plan::Plan;
use crate::run::{Outcome, Status};

mod check;
mod memory;

use super::plans::{draw, pages, random_facts, random_plan, record_ids};

/// How likely each kind of bad luck is, at each chance it has.
#[derive(Debug, Clone, Copy)]
pub(super) struct Luck {
    pub(super) crash: f64,
    pub(super) deliver: f64,
    pub(super) ack_lost: f64,
    pub(super) transient: f64,
    pub(super) limited: f64,
    pub(super) permanent: f64,
    pub(super) expired: f64,
    pub(super) single_use_cursors: bool,
    pub(super) errors: ErrorHandling,
}

impl Default for Luck {
    fn default() -> Self {
        Self {
            crash: 0.0,
            deliver: 0.0,
            ack_lost: 0.0,
            transient: 0.0,
            limited: 0.0,
            permanent: 0.0,
            expired: 0.0,
            single_use_cursors: false,
            errors: ErrorHandling::Ignore,
        }
    }
}

/// A delivery as its webhook saw it.
#[derive(Debug, Clone)]
pub(super) struct Received {
    webhook: String,
    event: EventType,
    id: String,
    body: Bytes,
    seq: Option<u64>,
    acknowledged: bool,
}

pub(super) struct World {
    random: u64,
    luck: Luck,
    plan: Arc<Plan>,
    facts: Arc<RunFacts>,
    now: Millis,
    saved: Option<String>,
    stages: BTreeMap<String, Bytes>,
    status: Status,
    finished: Option<Outcome>,
    gate: Gate,
    received: Vec<Received>,
    spent: BTreeSet<String>,
    /// State cells, by namespace and key.
    pub(super) cells: BTreeMap<(String, String), Option<Json>>,
    /// What is remembered of records: set → id → (digest, order).
    pub(super) sets: BTreeMap<String, BTreeMap<String, (String, i64)>>,
    pub(super) watermarks: BTreeMap<String, Json>,
    steps: u64,
    deliveries: u64,
    pub(super) crashes: usize,
    pub(super) lost_acks: usize,
    pub(super) permanent_failures: usize,
    pub(super) fetches: usize,
    pub(super) asked: Vec<FetchRequest>,
    pub(super) refuse: bool,
    /// The resource whose pages have more records than are compared at once.
    pub(super) long_pages_of: Option<&'static str>,
    /// After that many deliveries no webhook acknowledges any more.
    pub(super) dead_after: Option<u64>,
    /// At that step somebody asks for a stop.
    pub(super) stop_at: Option<u64>,
}

/// No run of these sizes needs more.
const STEPS_MAX: u64 = 60_000;

impl World {
    pub(super) fn new(seed: u64, luck: Luck) -> Self {
        let mut random = seed ^ 0x9e37_79b9_7f4a_7c15;
        let plan = random_plan(&mut random);
        let facts = random_facts(&mut random, luck.errors);
        Self::of(plan, facts, random, luck)
    }

    /// A run of this plan.
    pub(super) fn of(plan: Plan, facts: RunFacts, random: u64, luck: Luck) -> Self {
        let (plan, facts) = (Arc::new(plan), Arc::new(facts));
        Self {
            random,
            luck,
            plan,
            facts,
            now: Millis(1_769_846_400_000),
            saved: None,
            stages: BTreeMap::new(),
            status: Status::Created,
            finished: None,
            gate: Gate::default(),
            received: Vec::new(),
            spent: BTreeSet::new(),
            cells: BTreeMap::new(),
            sets: BTreeMap::new(),
            watermarks: BTreeMap::new(),
            steps: 0,
            deliveries: 0,
            crashes: 0,
            lost_acks: 0,
            permanent_failures: 0,
            fetches: 0,
            asked: Vec::new(),
            refuse: false,
            long_pages_of: None,
            dead_after: None,
            stop_at: None,
        }
    }

    /// Workers claim the run, one after the other, until it ends.
    pub(super) fn play(&mut self) {
        while self.finished.is_none() {
            let mut machine = self.open();
            self.work(&mut machine);
        }
    }

    /// The first worker saves the run once, and dies.
    pub(super) fn start(&mut self) {
        let mut machine = self.open();
        assert_eq!(machine.next(self.now), Effect::Save);
        self.save(&machine);
        self.turn(Status::Running);
    }

    /// The checkpoint as it is stored.
    pub(super) fn stored(&self) -> &str {
        self.saved.as_ref().expect("something was saved")
    }

    /// What another worker stores instead.
    pub(super) fn store(&mut self, checkpoint: String) {
        self.saved = Some(checkpoint);
    }

    fn open(&mut self) -> Machine {
        let (plan, facts) = (Arc::clone(&self.plan), Arc::clone(&self.facts));
        match &self.saved {
            None => Machine::start(plan, facts, self.now),
            Some(text) => {
                let checkpoint: Checkpoint = serde_json::from_str(text).expect("a saved checkpoint");
                Machine::open(plan, facts, checkpoint, self.stages.clone()).expect("its stages are there")
            }
        }
    }

    /// One worker's turn: until the run parks or ends, or the worker dies.
    fn work(&mut self, machine: &mut Machine) {
        machine.gate_closed(self.gate, self.now);
        let mut saves_in_a_row = 0;
        loop {
            self.steps += 1;
            assert!(self.steps < STEPS_MAX, "the run does not end");
            self.now = self.now.plus(Duration::from_millis(7));
            if self.stop_at.is_some_and(|step| self.steps >= step) {
                machine.stop("enough", self.now);
            }
            let effect = machine.next(self.now);
            assert_eq!(effect, machine.clone().next(self.now), "asking twice gives another answer");
            if self.dies() {
                return;
            }
            saves_in_a_row = if effect == Effect::Save { saves_in_a_row + 1 } else { 0 };
            assert!(saves_in_a_row <= 20, "one save causes the next");
            match effect {
                Effect::Save => {
                    self.turn(Status::Running);
                    self.save(machine);
                    if self.dies() {
                        return;
                    }
                    machine.saved();
                    machine.gate_closed(self.gate, self.now);
                }
                Effect::Fetch(request) => {
                    let result = self.fetch(&request);
                    if self.dies() {
                        return;
                    }
                    let permanent = matches!(&result, Err(error) if error.kind == FetchErrorKind::Permanent);
                    self.permanent_failures += usize::from(permanent);
                    machine.fetched(result, self.gate, self.now);
                }
                Effect::Recall(what) => machine.recalled(self.recall(&what), self.now),
                Effect::Remember(what) => {
                    self.cells.insert((what.state_key, what.key), what.value);
                    if self.dies() {
                        return;
                    }
                    machine.remembered(Remembered::Written, self.now);
                }
                Effect::Deliver(delivery) => {
                    let ahead = machine.ahead(self.now).into_iter().next();
                    let verdict = self.deliver(&delivery);
                    if self.dies() {
                        return;
                    }
                    let was_acknowledged = verdict == Verdict::Acknowledged;
                    machine.delivered(verdict, self.now);
                    self.check_ahead(machine, ahead, was_acknowledged);
                }
                Effect::Park(park) => {
                    assert!(park.until > self.now && park.until.since(self.now) <= Duration::from_secs(3600));
                    self.turn(park.status);
                    self.save(machine);
                    self.now = park.until;
                    return;
                }
                Effect::Finish(outcome) => {
                    self.turn(outcome.status);
                    self.save(machine);
                    self.finished = Some(outcome);
                    return;
                }
            }
        }
    }

    /// What would have been fetched ahead is what is asked for next.
    fn check_ahead(&self, machine: &Machine, ahead: Option<FetchRequest>, acknowledged: bool) {
        let Some(ahead) = ahead.filter(|_| acknowledged) else { return };
        let mut next = machine.clone();
        if next.next(self.now) == Effect::Save {
            next.saved();
        }
        match next.next(self.now) {
            Effect::Fetch(request) => assert_eq!(request, ahead),
            // Another webhook has the page still to get.
            Effect::Deliver(_) => {}
            other @ (Effect::Save
            | Effect::Park(_)
            | Effect::Finish(_)
            | Effect::Recall(_)
            | Effect::Remember(_)) => {
                panic!("fetched ahead in vain: {other:?}")
            }
        }
    }

    /// The run's status changes, as it may.
    fn turn(&mut self, status: Status) {
        let claimed = if self.status.is_terminal() { self.status } else { Status::Running };
        assert!(self.status == claimed || self.status.may_become(claimed), "{} claimed", self.status);
        assert!(claimed == status || claimed.may_become(status), "{claimed} became {status}");
        self.status = status;
    }

    fn save(&mut self, machine: &Machine) {
        let changes = machine.changes();
        self.stages.extend(changes.put.iter().cloned());
        for name in &changes.drop {
            self.stages.remove(name);
        }
        let marks = changes.marks.clone();
        marks.iter().for_each(|mark| self.mark(mark));
        self.saved = Some(serde_json::to_string(machine.checkpoint()).expect("a checkpoint is JSON"));
    }

    pub(super) fn resume(&mut self) {
        let mut facts = (*self.facts).clone();
        facts.attempt += 1;
        self.facts = Arc::new(facts);
        assert!(self.status.may_become(Status::Running));
        self.status = Status::Running;
        self.finished = None;
    }

    fn dies(&mut self) -> bool {
        let dies = self.chance(self.luck.crash);
        self.crashes += usize::from(dies);
        dies
    }

    fn chance(&mut self, likely: f64) -> bool {
        likely > 0.0 && (draw(&mut self.random, 1_000_000) as f64) < likely * 1_000_000.0
    }

    fn fetch(&mut self, request: &FetchRequest) -> Result<Page, FetchError> {
        self.fetches += 1;
        self.asked.push(request.clone());
        let error = |kind| {
            Err(FetchError {
                kind,
                status: Some(500),
                error: "bad luck".into(),
                message: "as drawn".into(),
                raw_response: None,
                skip_to: None,
            })
        };
        if self.chance(self.luck.transient) {
            return error(FetchErrorKind::Transient);
        }
        if self.chance(self.luck.limited) {
            self.gate = Gate {
                generation: self.gate.generation + 1,
                opens_at: self.now.plus(Duration::from_secs(5)),
                passed: false,
            };
            return error(FetchErrorKind::RateLimited { wait: Duration::from_secs(5) });
        }
        if self.chance(self.luck.permanent) {
            return error(FetchErrorKind::Permanent);
        }
        if !request.cursor.is_start() && self.chance(self.luck.expired) {
            return error(FetchErrorKind::CursorRefused);
        }
        Ok(self.page(request))
    }

    fn page(&mut self, request: &FetchRequest) -> Page {
        let parent =
            json::get(request.query.as_str(), &["parent"]).map(|text| json::text_of(text).into_owned());
        let parent = parent.unwrap_or_default();
        let number = match &request.cursor {
            Cursor::Start => 0,
            Cursor::Token(token) => token.parse().expect("our own token"),
            other @ (Cursor::Link(_) | Cursor::Page(_) | Cursor::Offset(_)) => {
                panic!("not our cursor: {other:?}")
            }
        };
        if self.luck.single_use_cursors && number > 0 {
            let address = format!("{}/{parent}/{number}", request.resource);
            // Served again only because nothing of it was ever handed on: the machine must not need it twice
            // once it was staged.
            self.spent.insert(address);
        }
        let since = json::get(request.query.as_str(), &["since"]).and_then(|text| text.parse::<i64>().ok());
        let ids = record_ids(&request.resource, &parent, number);
        let records = ids.iter().map(|id| record(id));
        let records = records.filter(|record| since.is_none_or(|since| at_of(record) >= since));
        let body = format!("[{}]", records.collect::<Vec<_>>().join(","));
        let long = self.long_pages_of == Some(request.resource.as_str());
        let body = if long { format!("[{}]", ["{\"id\":1}"; 10_001].join(",")) } else { body };
        let records = json::elements(&body).expect("an array");
        let next =
            (number + 1 < pages(&request.resource, &parent)).then(|| Cursor::Token((number + 1).to_string()));
        Page { records, body: Bytes::from(body), next, replayable: !self.luck.single_use_cursors }
    }

    fn deliver(&mut self, delivery: &Delivery) -> Verdict {
        self.deliveries += 1;
        let failed = |attempts| {
            Verdict::Failed(DeliveryError {
                status: Some(503),
                message: "down".into(),
                retry_after: None,
                attempts,
            })
        };
        let dead = self.dead_after.is_some_and(|after| self.deliveries > after);
        let refused = self.refuse && delivery.event == EventType::RunStarted;
        let acknowledged = !dead && !refused && !self.chance(self.luck.deliver);
        self.received.push(Received {
            webhook: delivery.webhook.to_string(),
            event: delivery.event,
            id: delivery.id.clone(),
            body: delivery.body.clone(),
            seq: delivery.seq,
            acknowledged,
        });
        if refused {
            return Verdict::Refused { reason: "not today".into() };
        }
        if acknowledged && self.chance(self.luck.ack_lost) {
            self.lost_acks += 1;
            return failed(1);
        }
        if acknowledged { Verdict::Acknowledged } else { failed(3) }
    }

    pub(super) fn outcome(&self) -> &Outcome {
        self.finished.as_ref().expect("the run has ended")
    }

    pub(super) fn checkpoint(&self) -> Checkpoint {
        serde_json::from_str(self.stored()).expect("a checkpoint")
    }

    pub(super) fn events(&self, event: EventType) -> usize {
        let ids: BTreeSet<&str> = self
            .received
            .iter()
            .filter(|received| received.event == event)
            .map(|received| received.id.as_str())
            .collect();
        ids.len()
    }

    /// Whether some webhook takes errors.
    pub(super) fn takes_errors(&self) -> bool {
        self.facts.webhooks.iter().any(|webhook| webhook.takes.contains(&EventType::RecordError))
    }

    pub(super) fn reported_errors(&self) -> usize {
        self.events(EventType::RecordError)
    }

    /// Pages that one webhook acknowledged more than once; of the webhook with the most.
    pub(super) fn repeated_pages(&self) -> usize {
        let repeats = |webhook: &WebhookFacts| {
            let mut seen = BTreeSet::new();
            let pages = self.acknowledged().filter(|received| received.event == EventType::Record);
            let pages = pages.filter(|received| received.webhook == webhook.id.as_str());
            pages.filter(|received| !seen.insert(received.seq)).count()
        };
        self.facts.webhooks.iter().map(repeats).max().unwrap_or_default()
    }

    /// What each webhook acknowledged, page by page: its payload without the times that differ from run to run.
    pub(super) fn pages(&self) -> BTreeMap<(String, u64), String> {
        let mut pages = BTreeMap::new();
        for received in self.acknowledged().filter(|received| received.event == EventType::Record) {
            let text = std::str::from_utf8(&received.body).expect("UTF-8");
            let payload = json::get(text, &["payload"]).expect("a payload").to_owned();
            let at = (received.webhook.clone(), received.seq.expect("a number"));
            if let Some(before) = pages.insert(at, payload.clone()) {
                assert_eq!(before, payload, "a page came again with other content");
            }
        }
        pages
    }

    /// The next run of the same job and account, a day later: what is remembered stays.
    pub(super) fn next_run(&self, facts: RunFacts) -> Self {
        let mut next = Self::of((*self.plan).clone(), facts, self.random, self.luck);
        next.now = self.now.plus(Duration::from_secs(86_400));
        (next.cells, next.sets, next.watermarks) =
            (self.cells.clone(), self.sets.clone(), self.watermarks.clone());
        next
    }

    fn acknowledged(&self) -> impl Iterator<Item = &Received> {
        self.received.iter().filter(|received| received.acknowledged)
    }

    /// Records that some webhook should have and does not.
    pub(super) fn missing(&self) -> Vec<String> {
        let mut missing = Vec::new();
        let expected = self.expected();
        for webhook in self.facts.webhooks.iter().filter(|webhook| webhook.takes.contains(&EventType::Record))
        {
            let mut got = BTreeSet::new();
            for received in self.acknowledged().filter(|received| received.webhook == webhook.id.as_str()) {
                got.extend(records_of(received));
            }
            missing.extend(
                expected.iter().filter(|id| !got.contains(*id)).map(|id| format!("{}: {id}", webhook.id)),
            );
        }
        missing
    }

    fn expected(&self) -> BTreeSet<String> {
        let mut expected = BTreeSet::new();
        let mut lists: Vec<(usize, String)> =
            self.plan.roots.iter().map(|&root| (root, String::new())).collect();
        while let Some((index, parent)) = lists.pop() {
            let node = &self.plan.nodes[index];
            for number in 0..pages(&node.resource, &parent) {
                for id in record_ids(&node.resource, &parent, number) {
                    lists.extend(node.each_record.iter().map(|&child| (child, id.clone())));
                    if !node.targets.is_empty() {
                        expected.insert(id);
                    }
                }
            }
        }
        expected
    }
}

/// A record: a function of its id.
pub(super) fn record(id: &str) -> String {
    let depth = id.matches('/').count();
    let luck = super::plans::hash(id);
    format!(
        "{{\"id\":\"{id}\",\"n\":{},\"kind\":\"{}\",\"more\":{},\"tags\":[\"t{}\",\"u\"],\"at\":{}}}",
        luck % 100,
        if luck.is_multiple_of(2) { "even" } else { "odd" },
        depth < 9 && luck.is_multiple_of(3),
        luck % 5,
        1_000 + luck % 1_000,
    )
}

fn at_of(record: &str) -> i64 {
    json::get(record, &["at"]).and_then(|text| text.parse().ok()).expect("a time")
}

fn records_of(received: &Received) -> Vec<String> {
    let text = std::str::from_utf8(&received.body).expect("UTF-8");
    let Some(records) = json::get(text, &["payload", "records"]) else { return Vec::new() };
    let ranges = json::elements(records).expect("an array");
    ranges
        .into_iter()
        .filter_map(|range| json::get(&records[range], &["id"]).map(|id| json::text_of(id).into_owned()))
        .collect()
}
