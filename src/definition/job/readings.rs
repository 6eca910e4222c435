//! Everything in a node that reads something, and where it stands.

use super::{Input, Node, NodeKind, Request};
use crate::expression::{Expression, Reads};
use crate::template::{Template, Tree};

/// What reads.
pub(super) enum Reading<'n> {
    Template(&'n Template),
    /// Rendered for each of the node's own records.
    OwnRecord(&'n Template),
    /// Names a destination's webhook.
    Webhook(&'n Template),
    Expression(&'n Expression),
    /// The path of a list.
    Loop(&'n [String]),
}

impl Reading<'_> {
    /// What it reads.
    pub(super) fn reads(&self) -> Reads {
        let paths = match self {
            Self::Template(template) | Self::OwnRecord(template) | Self::Webhook(template) => {
                template.paths()
            }
            Self::Loop(path) => vec![path.to_vec()],
            Self::Expression(expression) => return expression.reads().clone(),
        };
        Reads { paths, everything: false }
    }
}

impl Node {
    /// What all its fields read.
    pub fn reads(&self) -> Reads {
        let mut reads = Reads::default();
        readings(self).iter().for_each(|(_, reading)| reads.add(&reading.reads()));
        reads
    }

    /// Whether anything in it is computed by an expression, which takes processor time.
    pub fn computes(&self) -> bool {
        readings(self).iter().any(|(_, reading)| matches!(reading, Reading::Expression(_)))
    }
}

impl Input {
    /// What it reads.
    pub(super) fn reads(&self) -> Reads {
        match self {
            Self::Tree(tree) => Reads { paths: tree.paths(), everything: false },
            Self::Expression(expression) => expression.reads().clone(),
        }
    }
}

type Found<'n> = Vec<(Vec<String>, Reading<'n>)>;

pub(super) fn readings(node: &Node) -> Found<'_> {
    let mut found: Found<'_> = Vec::new();
    found.extend(node.run_if.iter().map(|expression| (place(&["run_if"]), Reading::Expression(expression))));
    match &node.kind {
        NodeKind::Request(request) => of_request(request, &mut found),
        NodeKind::Transform { expression, .. } | NodeKind::AddContext { expression } => {
            found.push((place(&["config", "expression"]), Reading::Expression(expression)));
        }
        NodeKind::Spool { .. } | NodeKind::Event(_) => {}
        NodeKind::Destination(destination) => {
            found.push((place(&["config", "id"]), Reading::Webhook(&destination.webhook)));
            let expression = destination.expression.iter();
            found.extend(expression.map(|e| (place(&["config", "expression"]), Reading::Expression(e))));
        }
        NodeKind::GetState { key, default } => {
            found.push((place(&["config", "key"]), Reading::Template(key)));
            tree(&["config", "default"], default, &mut found);
        }
        NodeKind::UpdateState { key, value } => {
            found.push((place(&["config", "key"]), Reading::Template(key)));
            match value {
                Input::Tree(value) => tree(&["config", "value"], value, &mut found),
                Input::Expression(expression) => {
                    found.push((place(&["config", "value_expression"]), Reading::Expression(expression)));
                }
            }
        }
        NodeKind::DeleteState { key } => found.push((place(&["config", "key"]), Reading::Template(key))),
    }
    found
}

fn of_request<'n>(request: &'n Request, found: &mut Found<'n>) {
    let account = request.account.iter().map(|template| ("integrated_account_id", template));
    let id = request.id.iter().map(|template| ("id", template));
    found.extend(account.chain(id).map(|(field, template)| (place(&[field]), Reading::Template(template))));
    input("query", &request.query, found);
    request.body.iter().for_each(|body| input("body", body, found));
    found.extend(request.loop_on.iter().map(|path| (place(&["loop_on"]), Reading::Loop(path))));
    if let Some(recurse) = &request.recurse {
        let condition = recurse.condition.iter().map(|template| (place(&["recurse", "if"]), template));
        let id = recurse.id.iter().map(|template| (place(&["recurse", "config", "id"]), template));
        found.extend(condition.chain(id).map(|(place, template)| (place, Reading::OwnRecord(template))));
        for (path, template) in recurse.query.templates() {
            let place = [place(&["recurse", "config", "query"]), path].concat();
            found.push((place, Reading::OwnRecord(template)));
        }
    }
    if let Some(changes) = &request.changes {
        let at: &[&str] = if changes.compare { &["changes", "scope"] } else { &["delete_tracking_query"] };
        tree(at, &changes.scope, found);
    }
    if let Some(start) = request.incremental.as_ref().and_then(|incremental| incremental.start.as_ref()) {
        found.push((place(&["incremental", "start"]), Reading::Template(start)));
    }
}

fn input<'n>(field: &str, input: &'n Input, found: &mut Found<'n>) {
    match input {
        Input::Tree(value) => tree(&[field], value, found),
        Input::Expression(expression) => found.push((place(&[field]), Reading::Expression(expression))),
    }
}

fn tree<'n>(at: &[&str], tree: &'n Tree, found: &mut Found<'n>) {
    let below = tree.templates().into_iter();
    found.extend(below.map(|(path, template)| ([place(at), path].concat(), Reading::Template(template))));
}

fn place(steps: &[&str]) -> Vec<String> {
    steps.iter().map(|step| (*step).to_owned()).collect()
}
