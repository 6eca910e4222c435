//! What a node's fields may read of the context.

use super::{PlanKind, PlanNode, Request};
use crate::definition::job::Input;
use crate::expression::Expression;
use crate::template::{Template, Tree};

/// The paths a node may look up.
#[derive(Debug, Default)]
pub(super) struct Reads {
    /// Those that are written down.
    pub(super) paths: Vec<Vec<String>>,
    /// Whether an expression may read records in a way that can't be told.
    pub(super) anything: bool,
    /// Whether an expression may read arguments in a way that can't be told.
    pub(super) any_argument: bool,
}

impl Reads {
    /// Of a node's own fields.
    pub(super) fn of(node: &PlanNode) -> Self {
        let mut reads = Self::default();
        reads.maybe_expression(node.run_if.as_ref());
        match &node.kind {
            PlanKind::Request(request) => reads.request(request),
            PlanKind::Transform(expression) | PlanKind::AddContext(expression) => {
                reads.expression(expression)
            }
            PlanKind::GetState { key, default } => {
                reads.template(key);
                reads.tree(default);
            }
            PlanKind::UpdateState { key, value } => {
                reads.template(key);
                reads.input(value);
            }
            PlanKind::DeleteState { key } => reads.template(key),
            PlanKind::Destination(destination) => {
                reads.template(&destination.webhook);
                reads.maybe_expression(destination.expression.as_ref());
            }
            PlanKind::Spool(_) | PlanKind::Event(_) => {}
        }
        reads
    }

    pub(super) fn add(&mut self, other: Self) {
        self.paths.extend(other.paths);
        self.anything |= other.anything;
        self.any_argument |= other.any_argument;
    }

    fn request(&mut self, request: &Request) {
        self.input(&request.query);
        request.account.iter().chain(&request.id).for_each(|template| self.template(template));
        request.body.iter().for_each(|body| self.input(body));
        self.paths.extend(request.loop_on.clone());
        if let Some(recurse) = &request.recurse {
            recurse.condition.iter().chain(&recurse.id).for_each(|template| self.template(template));
            self.tree(&recurse.query);
        }
        if let Some(changes) = &request.changes {
            self.tree(&changes.scope);
        }
        request.incremental.iter().filter_map(|incremental| incremental.start.as_ref()).for_each(|start| {
            self.template(start);
        });
    }

    fn template(&mut self, template: &Template) {
        self.paths.extend(template.paths());
    }

    fn tree(&mut self, tree: &Tree) {
        self.paths.extend(tree.paths());
    }

    fn input(&mut self, input: &Input) {
        match input {
            Input::Tree(tree) => self.tree(tree),
            Input::Expression(expression) => self.expression(expression),
        }
    }

    fn expression(&mut self, expression: &Expression) {
        match paths_of(expression) {
            Some(paths) => self.paths.extend(paths),
            None => self.anything = true,
        }
        self.any_argument |= expression.paths().is_none() && expression.may_read("args");
    }

    /// The arguments it reads, by name; `None` for all of them.
    pub(super) fn arguments(&self) -> Option<Vec<String>> {
        let of_args: Vec<&Vec<String>> =
            self.paths.iter().filter(|path| path.first().is_some_and(|root| root == "args")).collect();
        if self.any_argument || of_args.iter().any(|path| path.len() == 1) {
            return None;
        }
        let mut names: Vec<String> = of_args.iter().filter_map(|path| path.get(1).cloned()).collect();
        // A bare name that a request loops on may be an argument.
        names.extend(self.paths.iter().filter(|path| path.len() == 1).map(|path| path[0].clone()));
        names.sort();
        names.dedup();
        Some(names)
    }

    fn maybe_expression(&mut self, expression: Option<&Expression>) {
        expression.into_iter().for_each(|expression| self.expression(expression));
    }
}

/// The paths an expression reads; `None` when it may read records in a way that can't be told.
fn paths_of(expression: &Expression) -> Option<Vec<Vec<String>>> {
    expression.paths().or_else(|| (!expression.may_read("resources")).then(Vec::new))
}

/// Whether `input` is made by an expression.
pub(super) fn computes(input: &Input) -> bool {
    matches!(input, Input::Expression(_))
}
