//! What a job's placeholders and expressions may speak of: arguments that it declares, records of nodes above, and the
//! account's context, whose keys nobody knows here.

use super::readings::{Reading, readings};
use super::{Deletions, Generation, Node, NodeKind, SyncJob};
use crate::definition::check::Spot;
use crate::expression::{Expression, Reads};
use crate::nearest::nearest;
use crate::template::Template;

mod addresses;
mod joins;
mod looping;

pub(super) use addresses::{ancestors, origins, record_addresses, steps_naming};

/// The roots that a job's placeholders know; anything else is a key of the account's context.
const ROOTS: [&str; 7] =
    ["args", "resources", "sync_job_run", "previous_run_date", "tenant_id", "context", "total_records_size"];
/// What keys of mutexes and state cells may speak of: they are made before anything is read.
const EARLY: [&str; 4] = ["args", "context", "tenant_id", "sync_job_run"];

/// Whether everything that the job mentions is there; reports what isn't.
pub(super) fn check(root: &Spot<'_>, job: &SyncJob) -> bool {
    let mut checker = References { root, job, good: true };
    for (field, template) in [("mutex_key", &job.mutex_key), ("state_key", &job.state_key)] {
        if let Some(template) = template {
            checker.early(&[field.to_owned()], template);
        }
    }
    if let Some(expression) = &job.args_validation {
        checker.arguments_of(&["args_validation".to_owned()], expression);
    }
    for index in 0..job.nodes.len() {
        checker.node(index);
    }
    checker.good
}

/// Why a path means nothing, and what to write instead.
struct Refusal {
    message: String,
    hint: String,
}

/// Checks a job's readings, and reports what is wrong.
struct References<'r, 'c> {
    root: &'r Spot<'c>,
    job: &'r SyncJob,
    good: bool,
}

/// Judges single paths.
#[derive(Clone, Copy)]
struct Judge<'j>(&'j SyncJob);

impl References<'_, '_> {
    fn report(&mut self, place: &[String], about: &str, refusal: &Refusal) {
        self.root.problem_about(place, about, &refusal.message, Some(&refusal.hint));
        self.good = false;
    }

    fn node(&mut self, index: usize) {
        let node = &self.job.nodes[index];
        for (place, reading) in readings(node) {
            let place = [vec!["resources".to_owned(), index.to_string()], place].concat();
            match reading {
                Reading::Webhook(template) => self.webhook(&place, template),
                Reading::Template(template) => self.template(&place, template, index, false),
                Reading::OwnRecord(template) => self.template(&place, template, index, true),
                Reading::Expression(expression) => self.expression(&place, expression, index),
                Reading::Loop(path) => {
                    if let Some(refusal) = looping::refusal(self.job, index, path) {
                        self.report(&place, &path.join("."), &refusal);
                    }
                }
            }
        }
        if let Some(refusal) = self.partial(index) {
            let place = ["resources".to_owned(), index.to_string(), "query".to_owned()];
            self.report(&place, "", &refusal);
        }
        if let Some(refusal) = joins::refusal(self.job, index) {
            let place = ["resources".to_owned(), index.to_string(), "depends_on".to_owned()];
            self.report(&place, "", &refusal);
        }
    }

    /// A list that is asked for from a state cell on is a part of it: what is missing in it is not gone.
    fn partial(&self, index: usize) -> Option<Refusal> {
        let nodes = &self.job.nodes;
        let request = nodes[index].request()?;
        let changes = request.changes.as_ref()?;
        if changes.deletions == Deletions::Ignored {
            return None;
        }
        let is_cell = |path: &[String]| {
            let named = |node: &Node| path.get(1).is_some_and(|step| *step == node.name);
            path[0] == "resources"
                && nodes.iter().any(|node| named(node) && matches!(node.kind, NodeKind::GetState { .. }))
        };
        request.query.reads().paths.iter().any(|path| is_cell(path)).then(|| Refusal {
            message: "what is gone can't be told from a part of a list (one that begins at a state cell)"
                .to_owned(),
            hint: "read the whole list, in a node of its own".to_owned(),
        })
    }

    fn template(&mut self, place: &[String], template: &Template, index: usize, with_own: bool) {
        for path in template.paths() {
            if let Some(refusal) = Judge(self.job).refusal(&path, index, with_own) {
                self.report(place, &path.join("."), &refusal);
            }
        }
    }

    fn expression(&mut self, place: &[String], expression: &Expression, index: usize) {
        self.arguments_of(place, expression);
        for path in &expression.reads().paths {
            let shown = path.join(".");
            let refusal = match path[0].as_str() {
                "credentials" => Some(secret(&shown)),
                "resources" if path.len() > 1 => Judge(self.job).record(path, &shown, index, false),
                "args" | "resources" => None,
                root if path.len() > 1 && !Judge(self.job).is_added(root, index) => {
                    nearest(root, ["args", "resources"]).map(|near| Refusal {
                        message: format!("{shown} means nothing in a job"),
                        hint: format!("did you mean {near:?}?"),
                    })
                }
                _ => None,
            };
            if let Some(refusal) = refusal {
                self.report(place, &as_written(expression, path), &refusal);
            }
        }
    }

    /// Checks the arguments that an expression reads.
    fn arguments_of(&mut self, place: &[String], expression: &Expression) {
        for path in expression.reads().paths.iter().filter(|path| path[0] == "args") {
            if let Some(refusal) = Judge(self.job).argument(path, &path.join(".")) {
                self.report(place, &as_written(expression, path), &refusal);
            }
        }
    }

    /// A key that is made before the run reads anything.
    fn early(&mut self, place: &[String], template: &Template) {
        for path in template.paths() {
            let shown = format!("{{{{{}}}}}", path.join("."));
            let refusal = match path[0].as_str() {
                "credentials" => Some(secret(&shown)),
                "args" => Judge(self.job).argument(&path, &shown),
                root @ ("resources" | "previous_run_date" | "total_records_size" | "payload") => {
                    Some(Refusal {
                        message: format!("{shown} is not known yet when this key is made"),
                        hint: format!(
                            "{root} comes later; use {}",
                            EARLY.map(|root| format!("{root}.…")).join(", ")
                        ),
                    })
                }
                _ => None,
            };
            if let Some(refusal) = refusal {
                self.report(place, &path.join("."), &refusal);
            }
        }
    }

    /// A destination's webhook, which is chosen when the run is accepted.
    fn webhook(&mut self, place: &[String], template: &Template) {
        for path in template.paths() {
            let shown = format!("{{{{{}}}}}", path.join("."));
            let refusal = match path[0].as_str() {
                "args" => Judge(self.job).argument(&path, &shown),
                _ => Some(Refusal {
                    message: format!("{shown} is not known when a run's webhooks are chosen"),
                    hint: "name the webhook, or make it an argument: {{args.webhook_id}}".to_owned(),
                }),
            };
            if let Some(refusal) = refusal {
                self.report(place, &path.join("."), &refusal);
            }
        }
    }
}

impl Judge<'_> {
    /// Why a placeholder's path means nothing in this node.
    fn refusal(&self, path: &[String], index: usize, with_own: bool) -> Option<Refusal> {
        let root = path.first()?.as_str();
        let shown = format!("{{{{{}}}}}", path.join("."));
        match root {
            "credentials" => Some(secret(&shown)),
            "args" => self.argument(path, &shown),
            "resources" => self.record(path, &shown, index, with_own),
            _ if ROOTS.contains(&root) || self.is_added(root, index) => None,
            // A context key may have any name, but one that looks like a root with a slip is a slip.
            _ if path.len() > 1 || root.contains('_') => nearest(root, ROOTS).map(|near| Refusal {
                message: format!("{shown} means nothing in a job"),
                hint: format!("did you mean {near:?}?"),
            }),
            _ => None,
        }
    }

    /// Whether `root` may be a name that the job itself brings into the context: an element of a loop, or what a node
    /// above adds.
    fn is_added(&self, root: &str, index: usize) -> bool {
        let nodes = &self.0.nodes;
        let adds = |above: usize| match &nodes[above].kind {
            NodeKind::AddContext { .. } => above != index,
            NodeKind::Request(request) => {
                request.loop_on.as_ref().is_some_and(|path| path.first().is_some_and(|step| step == root))
            }
            NodeKind::Transform { .. }
            | NodeKind::Spool { .. }
            | NodeKind::Destination(_)
            | NodeKind::Event(_)
            | NodeKind::GetState { .. }
            | NodeKind::UpdateState { .. }
            | NodeKind::DeleteState { .. } => false,
        };
        adds(index) || ancestors(nodes, index).into_iter().any(adds)
    }

    fn argument(&self, path: &[String], shown: &str) -> Option<Refusal> {
        let arguments = self.0.arguments.as_ref().filter(|_| !self.0.open_arguments)?;
        let name = path.get(1)?;
        if arguments.iter().any(|argument| argument.name == *name) {
            return None;
        }
        let known = arguments.iter().map(|argument| argument.name.as_str());
        let hint = match nearest(name, known) {
            Some(near) => format!("did you mean args.{near}?"),
            None => format!("declare it: args_schema: {{ {name}: {{ type: string }} }}"),
        };
        Some(Refusal { message: format!("{shown} is no argument of this job"), hint })
    }

    fn record(&self, path: &[String], shown: &str, index: usize, with_own: bool) -> Option<Refusal> {
        let rest = path.get(1..).unwrap_or_default();
        let nodes = &self.0.nodes;
        let mut above = ancestors(nodes, index);
        // A cell that is read before anything else is known everywhere.
        let is_cell = |node: &Node| matches!(node.kind, NodeKind::GetState { .. }) && node.parents.is_empty();
        above.extend((0..nodes.len()).filter(|other| *other != index && is_cell(&nodes[*other])));
        if with_own {
            above.insert(0, index);
        }
        let named = |above: &usize| steps_naming(nodes, *above, rest).map(|steps| (*above, steps));
        if let Some((found, steps)) = above.iter().find_map(named) {
            return state_member(&nodes[found], rest.get(steps), shown);
        }
        let own = &nodes[index].name;
        if rest.is_empty() {
            let message = format!("{shown} is all records at once, which is no value");
            return Some(Refusal { message, hint: "write resources.NODE.FIELD".to_owned() });
        }
        let message = format!("{shown} is no record that {own:?} depends on");
        // Only the whole of it is the record of a node; a part between dots would name another.
        let other =
            (0..nodes.len()).find(|other| *other != index && steps_naming(nodes, *other, rest).is_some());
        if let Some(other) = other {
            let hint = match nodes[index].parents.is_empty()
                || matches!(nodes[index].kind, NodeKind::Destination(_))
            {
                true => format!("write depends_on: {} in this node", nodes[other].name),
                false => {
                    format!("let this node depend on {:?} as well, or on a node below it", nodes[other].name)
                }
            };
            return Some(Refusal { message, hint });
        }
        let written = rest.first().map(String::as_str).unwrap_or_default();
        let known: Vec<String> = above.iter().map(|index| addresses::shown(nodes, *index)).collect();
        let cut =
            known.iter().find(|name| name.strip_prefix(written).is_some_and(|end| end.starts_with('-')));
        let near = known.iter().find(|address| {
            let steps = address.split('.').count().min(rest.len());
            nearest(&rest[..steps].join("."), [address.as_str()]).is_some()
        });
        let hint = match (cut, near) {
            _ if known.is_empty() => "this node depends on no other; write depends_on: …".to_owned(),
            (Some(name), _) if !shown.starts_with('{') => {
                format!("in an expression a name with '-' stands in backticks: resources.`{name}`")
            }
            (_, Some(near)) => format!("did you mean resources.{near}?"),
            (_, None) => format!("what can be used here is resources.{}", known.join(", resources.")),
        };
        Some(Refusal { message, hint })
    }
}

/// The part of a path that an expression's text shows: steps may stand apart in it, and in quotes.
fn as_written(expression: &Expression, path: &[String]) -> String {
    let beginnings = (1..=path.len()).rev().map(|steps| path[..steps].join("."));
    let named = path.get(1).into_iter().cloned();
    let (whole, root): (Vec<String>, Vec<String>) = beginnings.partition(|text| text.contains('.'));
    let mut found = whole.into_iter().chain(named).chain(root);
    found.find(|text| expression.source().contains(text.as_str())).unwrap_or_default()
}

fn secret(shown: &str) -> Refusal {
    Refusal {
        message: format!("{shown} is a secret, and jobs never see secrets"),
        hint: "put it into the integration's authorization, headers or query".to_owned(),
    }
}

/// A state cell has one member.
fn state_member(node: &Node, member: Option<&String>, shown: &str) -> Option<Refusal> {
    let is_cell = matches!(node.kind, NodeKind::GetState { .. });
    let member = member.filter(|member| is_cell && *member != "value")?;
    let message = format!("{shown}: a state cell has no {member:?}");
    Some(Refusal { message, hint: format!("what it holds is resources.{}.value", node.name) })
}

impl SyncJob {
    /// Whether the job mentions the argument `name` anywhere, or may read it with all others.
    pub(super) fn mentions_argument(&self, name: &str) -> bool {
        let mentions = |reads: &Reads| {
            let named = |path: &Vec<String>| path[0] == "args" && path.get(1).is_none_or(|step| step == name);
            reads.everything || reads.paths.iter().any(named)
        };
        // A bare name may be an argument where a request loops on it.
        let loops = |reading: &Reading<'_>| matches!(reading, Reading::Loop([bare]) if bare == name);
        let in_node = |node: &Node| {
            readings(node).iter().any(|(_, reading)| loops(reading) || mentions(&reading.reads()))
        };
        let keys = [&self.mutex_key, &self.state_key].into_iter().flatten();
        keys.map(|key| Reading::Template(key).reads()).any(|reads| mentions(&reads))
            || self.args_validation.as_ref().is_some_and(|expression| mentions(expression.reads()))
            || self.nodes.iter().any(in_node)
    }

    /// Whether a run of `version` (1 to 4) may execute it.
    pub fn runs_as(&self, version: u8) -> bool {
        match self.generation {
            Generation::Flat => (1..=3).contains(&version),
            Generation::Graph => version == 4,
        }
    }
}
