//! Random plans, and the source that serves them: what a page holds is a function of its address.

use std::sync::Arc;
use std::time::Duration;

use crate::clock::Millis;
use crate::definition::SyncJob;
use crate::definition::job::{ErrorHandling, Generation, Input, Node, NodeKind, Request, ResponseFormat};
use crate::definition::webhook::{DeliveryRetry, EventType};
use crate::engine::machine::{RunFacts, WebhookFacts};
use crate::id::RunId;
use crate::json::Json;
use crate::plan::Plan;
use crate::run::{Revisions, RunRequest};
use crate::template::{Template, Tree};

/// The records of one page: a function of its address.
pub(super) fn record_ids(resource: &str, parent: &str, page: u64) -> Vec<String> {
    let count = hash(&format!("count {resource} {parent} {page}")) % 4;
    (0..count).map(|index| format!("{resource}/{parent}/{page}/{index}")).collect()
}

/// How many pages a list has.
pub(super) fn pages(resource: &str, parent: &str) -> u64 {
    1 + hash(&format!("pages {resource} {parent}")) % 3
}

pub(super) fn hash(text: &str) -> u64 {
    text.bytes()
        .fold(0xcbf2_9ce4_8422_2325, |acc, byte| (acc ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
        >> 7
}

/// A number below `bound` (`SplitMix64`).
pub(super) fn draw(state: &mut u64, bound: u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (z ^ (z >> 31)) % bound
}

/// A request as a job has it when it says nothing.
pub(super) fn request(resource: &str) -> Request {
    Request {
        resource: resource.into(),
        method: "list".into(),
        account: None,
        id: None,
        query: Input::Tree(Tree::empty()),
        body: None,
        loop_on: None,
        recurse: None,
        persist: true,
        response_format: ResponseFormat::default(),
        changes: None,
        incremental: None,
        batch: None,
        attempts: None,
        timeout: None,
        time_limit: None,
        records_max: None,
        pages_max: Some(100),
        concurrency: 1,
        end_of_resource: false,
    }
}

pub(super) fn tree(json: &str) -> Tree {
    Tree::from_json(&Json::parse(json).expect("JSON")).expect("templates")
}

pub(super) fn node(name: &str, parents: &[usize], kind: NodeKind) -> Node {
    Node { name: name.into(), parents: parents.to_vec(), run_if: None, debug: false, kind }
}

pub(super) fn job(generation: Generation, nodes: Vec<Node>) -> SyncJob {
    SyncJob {
        id: "job".parse().expect("an id"),
        label: "job".into(),
        integration: None,
        error_handling: ErrorHandling::Ignore,
        consecutive_errors_max: 3,
        generation,
        arguments: None,
        open_arguments: true,
        args_validation: None,
        mutex_key: None,
        state_key: None,
        nodes,
    }
}

pub(super) fn planned(job: &SyncJob) -> Plan {
    let plan = Plan::outline(job).expect("a plan");
    Plan { outage_budget: Duration::from_secs(1_000_000), ..plan }
}

/// A flat list of requests, some for each record of others.
pub(super) fn random_plan(random: &mut u64) -> Plan {
    let count = 1 + draw(random, 5) as usize;
    let mut nodes: Vec<Node> = Vec::new();
    for index in 0..count {
        let parent = (index > 0 && draw(random, 10) < 6).then(|| draw(random, index as u64) as usize);
        let query = match parent {
            None => "{}".to_owned(),
            Some(parent) => format!("{{\"parent\":\"{{{{resources.{}.id}}}}\"}}", nodes[parent].name),
        };
        let request = Request {
            id: (draw(random, 4) == 0).then(|| Template::literal("x")),
            query: Input::Tree(tree(&query)),
            persist: draw(random, 5) > 0,
            concurrency: 1 + draw(random, 3) as u16,
            ..request(&format!("r{index}"))
        };
        let parents: Vec<usize> = parent.into_iter().collect();
        nodes.push(node(&format!("n{index}"), &parents, NodeKind::Request(Box::new(request))));
    }
    planned(&job(Generation::Flat, nodes))
}

pub(super) fn random_facts(random: &mut u64, error_handling: ErrorHandling) -> RunFacts {
    let mut webhooks = Vec::new();
    for index in 0..=draw(random, 3) {
        let chain = EventType::ALL.iter().copied().filter(|event| event.is_by_default());
        // Some webhooks take no records, some name the end of a stopped run.
        let takes = match draw(random, 6) {
            0 if index > 0 => vec![EventType::RunStarted, EventType::RunCompleted],
            1 => chain.chain([EventType::RunStopped]).collect(),
            _ => chain.collect(),
        };
        let retry = DeliveryRetry { give_up_after: Duration::from_secs(3600), ..DeliveryRetry::default() };
        webhooks.push(WebhookFacts { id: format!("hook{index}").parse().expect("an id"), takes, retry });
    }
    RunFacts {
        request: RunRequest {
            id: RunId::of_slot(&"test".parse().expect("an id"), &"t".parse().expect("an id"), 1, 3),
            environment: "test".parse().expect("an id"),
            job: "job".parse().expect("an id"),
            account: "account".parse().expect("an id"),
            webhooks: webhooks.iter().map(|webhook| webhook.id.clone()).collect(),
            args: Json::empty_object(),
            error_handling,
            ignore_previous_run: false,
            slot: None,
            replay_of: None,
            revisions: Revisions { job: "j".into(), integration: "i".into() },
            mutex_key: None,
            state_key: None,
            force: false,
            dry_run: None,
            events_to_send: None,
            version: 1,
            created_at: Millis(0),
        },
        attempt: 1,
        webhooks,
        context: Json::empty_object(),
        tenant_id: None,
        previous_run_date: Millis(0),
        stage_bytes_max: if draw(random, 4) == 0 { 64 } else { 1 << 20 },
    }
}

/// One root node, for tests that don't care about the plan.
pub(super) fn one_list_plan() -> Arc<Plan> {
    let items = node("items", &[], NodeKind::Request(Box::new(request("items"))));
    let plan = Plan::outline(&job(Generation::Flat, vec![items])).expect("a plan");
    Arc::new(Plan { outage_budget: Duration::ZERO, ..plan })
}

/// One webhook that takes a run's whole chain, and the end of a stopped one.
pub(super) fn plain_facts() -> Arc<RunFacts> {
    let mut facts = random_facts(&mut 1, ErrorHandling::Ignore);
    let takes = EventType::ALL.iter().copied().filter(|event| event.is_by_default());
    let takes = takes.chain([EventType::RunStopped]).collect();
    let retry = DeliveryRetry::default();
    facts.webhooks = vec![WebhookFacts { id: "hook0".parse().expect("an id"), takes, retry }];
    facts.request.webhooks = vec!["hook0".parse().expect("an id")];
    facts.stage_bytes_max = 1 << 20;
    Arc::new(facts)
}
