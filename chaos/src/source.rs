//! A helpdesk that misbehaves on request, and a note of every request with the run that sent it. Below `/graph/` it has
//! the lists that random graphs read.

use std::collections::{HashMap, HashSet};
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rapidbridge::clock;
use rapidbridge::playground::helpdesk::{self, RequestInfo, Resource};
use rapidbridge::playground::{Answer, Helpdesk};

use crate::graph::data::List;
use crate::plan::SourceFault;
use crate::world::SOURCE_TOKEN;

/// Where the lists of graphs are.
const GRAPH: &str = "/api/v1/graph/";
/// What a 429 asks for.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// One request of a run.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(crate) at: Instant,
    pub(crate) run: String,
    pub(crate) account: String,
    pub(crate) path: String,
    pub(crate) cursor: String,
    /// What its run found in its state cell, if it says so.
    pub(crate) found: Option<String>,
    /// The list of a graph that it asks for: resource and parent.
    pub(crate) list: Option<(String, String)>,
    /// Until when it was told to wait, if it was.
    pub(crate) limited_until: Option<Instant>,
    /// What it got instead of its page.
    pub(crate) fault: Option<SourceFault>,
    /// It came with the cursor of another list.
    pub(crate) is_foreign_cursor: bool,
}

#[derive(Debug, Default)]
struct State {
    fault: Option<SourceFault>,
    /// What the fault of the moment was done to: each once.
    spared: HashSet<String>,
    /// Lists of runs whose cursor was refused: each once for ever, since a run bears three.
    expired: HashSet<String>,
    limits: HashMap<String, Instant>,
    asked: Vec<Asked>,
}

/// A source.
#[derive(Debug)]
pub(crate) struct Source {
    helpdesk: Helpdesk,
    state: Arc<Mutex<State>>,
}

impl Source {
    pub(crate) async fn start(settings: helpdesk::Settings) -> io::Result<Self> {
        let helpdesk = Helpdesk::start(settings).await?;
        let state: Arc<Mutex<State>> = Arc::default();
        let shared = Arc::clone(&state);
        helpdesk.script(move |info| {
            shared.lock().unwrap_or_else(PoisonError::into_inner).answer(info, clock::monotonic())
        });
        Ok(Self { helpdesk, state })
    }

    pub(crate) fn url(&self) -> String {
        self.helpdesk.url()
    }

    /// What a complete sync must bring.
    pub(crate) fn ids(&self, resource: Resource) -> HashSet<Box<str>> {
        self.helpdesk.ids(resource).into_iter().map(|id| id.to_string().into()).collect()
    }

    /// Begins or ends a fault.
    pub(crate) fn turn(&self, fault: Option<SourceFault>) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.fault = fault;
        state.spared.clear();
    }

    /// Every request so far.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).asked.clone()
    }
}

impl State {
    fn answer(&mut self, info: &RequestInfo, now: Instant) -> Option<Answer> {
        let value = |name: &str| {
            let found = info.query.iter().find(|(key, _)| key == name);
            found.map(|(_, value)| value.clone()).unwrap_or_default()
        };
        let resource = info.path.strip_prefix(GRAPH);
        let parent = value("parent");
        let mut asked = Asked {
            at: now,
            run: value("run"),
            account: value("account"),
            path: if parent.is_empty() { info.path.clone() } else { format!("{} below {parent}", info.path) },
            cursor: info.cursor.clone().unwrap_or_default(),
            found: Some(value("found")).filter(|found| !found.is_empty()),
            list: resource.map(|resource| (resource.to_owned(), parent.clone())),
            limited_until: None,
            fault: None,
            is_foreign_cursor: false,
        };
        let answer = self
            .misbehave(info, &mut asked, now)
            .or_else(|| resource.map(|resource| page_of_graph(info, &mut asked, resource)));
        self.asked.push(asked);
        answer
    }

    fn misbehave(&mut self, info: &RequestInfo, asked: &mut Asked, now: Instant) -> Option<Answer> {
        if let Some(until) = self.limits.get(&asked.account).copied().filter(|until| *until > now) {
            return Some(limited(asked, until, now));
        }
        let fault = self.fault?;
        match fault {
            SourceFault::Limit => {
                if !self.spared.insert(asked.account.clone()) {
                    return None;
                }
                let until = now + RETRY_AFTER;
                self.limits.insert(asked.account.clone(), until);
                Some(limited(asked, until, now))
            }
            SourceFault::Error | SourceFault::Garbage => {
                if !self.spared.insert(format!("{} {} {}", asked.run, asked.path, asked.cursor)) {
                    return None;
                }
                asked.fault = Some(fault);
                if fault == SourceFault::Error {
                    return Some(Answer::status(500).json(r#"{"error":"internal"}"#));
                }
                Some(match info.number % 3 {
                    0 => Answer::ok().header("content-type", "text/html").body("<html>Please sign in</html>"),
                    1 => Answer::ok().json(r#"{"tickets":[{"id":1,"subj"#),
                    _ => Answer::ok().json(r#"{"message":"ok"}"#),
                })
            }
            SourceFault::ExpiredCursor => {
                let is_first = asked.cursor.is_empty();
                if is_first || !self.expired.insert(format!("{} {}", asked.run, asked.path)) {
                    return None;
                }
                asked.fault = Some(fault);
                Some(Answer::status(410).json(r#"{"error":"gone","message":"this cursor has expired"}"#))
            }
        }
    }
}

/// The page of a graph's list. A cursor that was given for another list is a mistake of who asks.
fn page_of_graph(info: &RequestInfo, asked: &mut Asked, resource: &str) -> Answer {
    let token = info.headers.get("authorization").and_then(|value| value.to_str().ok());
    if token != Some(format!("Bearer {SOURCE_TOKEN}").as_str()) {
        return Answer::status(401).json(r#"{"error":"unauthorized"}"#);
    }
    let parent = asked.list.as_ref().map(|(_, parent)| parent.as_str()).unwrap_or_default();
    let list = List { account: &asked.account, resource, parent, run: &asked.run };
    match list.page(&asked.cursor) {
        Some(page) => Answer::ok().json(page),
        None => {
            asked.is_foreign_cursor = true;
            Answer::status(400).json(r#"{"error":"bad_cursor"}"#)
        }
    }
}

fn limited(asked: &mut Asked, until: Instant, now: Instant) -> Answer {
    asked.limited_until = Some(until);
    let left = until.duration_since(now);
    let seconds = left.as_secs() + u64::from(left.subsec_nanos() > 0);
    Answer::status(429).header("retry-after", &seconds.to_string()).json(r#"{"error":"rate_limited"}"#)
}
