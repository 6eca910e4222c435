//! Which parts of its input an expression reads, as far as its text tells. What can't be told counts as everything.

use jsonata_core::ast::{AstNode, BinaryOp, PathStep, Stage};
use jsonata_core::value::with_stack;

/// What an expression reads of its input.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reads {
    /// The paths that it reads from the top, such as `["resources", "tickets", "id"]`, each with all that is below.
    pub paths: Vec<Vec<String>>,
    /// Whether it may read anything else as well: it uses `$` or `*` at the top, or `%`.
    pub everything: bool,
}

/// Where a value is from.
#[derive(Clone, PartialEq)]
enum Place {
    /// From this path of the input.
    At(Vec<String>),
    /// It was computed; what for was noted.
    Computed,
}

impl Reads {
    /// What `ast` reads.
    pub(super) fn of(ast: &AstNode) -> Self {
        let mut reads = Self::default();
        let whole = reads.visit(ast, &Place::At(vec![]));
        reads.record(&whole);
        reads
    }

    /// Whether it may read the member `name` of its input: false only when it surely doesn't.
    pub fn may_read(&self, name: &str) -> bool {
        self.everything || self.paths.iter().any(|path| path.first().is_some_and(|first| first == name))
    }

    /// Adds what something else reads.
    pub fn add(&mut self, other: &Self) {
        self.paths.extend_from_slice(&other.paths);
        self.everything |= other.everything;
    }

    fn record(&mut self, place: &Place) {
        let Place::At(path) = place else { return };
        if path.is_empty() {
            self.everything = true;
        } else if !self.paths.contains(path) {
            self.paths.push(path.clone());
        }
    }

    /// Records what `nodes` give, evaluated where the context is `here`.
    fn record_all<'a>(&mut self, nodes: impl IntoIterator<Item = &'a AstNode>, here: &Place) {
        for node in nodes {
            let place = self.visit(node, here);
            self.record(&place);
        }
    }

    /// Notes what evaluating `node` reads, save the value it gives: where that is from is returned.
    fn visit(&mut self, node: &AstNode, here: &Place) -> Place {
        with_stack(|| self.visit_here(node, here))
    }

    fn visit_here(&mut self, node: &AstNode, here: &Place) -> Place {
        match node {
            AstNode::Name(name) => below(here, name),
            AstNode::Variable(name) if name.is_empty() => here.clone(),
            AstNode::ParentVariable(_) => Place::At(vec![]),
            AstNode::Path { steps } => self.path(steps, here),
            AstNode::Wildcard | AstNode::Descendant => {
                self.record(here);
                Place::Computed
            }
            AstNode::Parent(_) => {
                self.everything = true;
                Place::Computed
            }
            AstNode::Function { name, args, is_builtin } => {
                self.function(name, args, 0, *is_builtin, here);
                Place::Computed
            }
            AstNode::Block(nodes) => match nodes.split_last() {
                Some((last, before)) => {
                    self.record_all(before, here);
                    self.visit(last, here)
                }
                None => Place::Computed,
            },
            AstNode::FunctionApplication(inner) => self.visit(inner, here),
            AstNode::Sort { input, terms } => {
                let sorted = self.visit(input, here);
                self.record_all(terms.iter().map(|(term, _)| term), &sorted);
                sorted
            }
            AstNode::ObjectTransform { input, pattern } => {
                let input = self.visit(input, here);
                self.within(&input, |reads| {
                    reads.record_all(pattern.iter().flat_map(|(key, value)| [key, value]), &input);
                });
                Place::Computed
            }
            // What it changes comes as an argument, and was recorded as that.
            AstNode::Transform { location, update, delete } => {
                self.record_all(
                    [&**location, &**update].into_iter().chain(delete.as_deref()),
                    &Place::Computed,
                );
                Place::Computed
            }
            AstNode::Binary { op: BinaryOp::ChainPipe, lhs, rhs } => {
                self.record_all([&**lhs], here);
                match &**rhs {
                    // The left side is its first argument.
                    AstNode::Function { name, args, is_builtin } => {
                        self.function(name, args, 1, *is_builtin, here);
                    }
                    other => self.record_all([other], here),
                }
                Place::Computed
            }
            AstNode::Binary { op: BinaryOp::ColonEqual, rhs, .. } => {
                self.record_all([&**rhs], here);
                Place::Computed
            }
            _ => {
                self.record_all(super::walk::children(node), here);
                Place::Computed
            }
        }
    }

    fn path(&mut self, steps: &[PathStep], here: &Place) -> Place {
        let mut at = here.clone();
        for step in steps {
            let goes_on = match &step.node {
                AstNode::Name(_) => true,
                AstNode::Variable(name) => name.is_empty(),
                _ => false,
            };
            let before = at.clone();
            let mut next = Place::Computed;
            if goes_on {
                next = self.visit(&step.node, &before);
            } else {
                self.within(&before, |reads| next = reads.visit(&step.node, &before));
            }
            for stage in &step.stages {
                if let Stage::Filter(test) = stage {
                    self.within(&next.clone(), |reads| reads.record_all([&**test], &next));
                }
            }
            // `@$v` leaves the context where it was, and `$v` may be used in any way.
            if step.focus.is_some() {
                self.record(&next);
            } else {
                at = next;
            }
        }
        at
    }

    /// What is done for each value of `place` reads it, if only to see how many there are.
    fn within(&mut self, place: &Place, visit: impl FnOnce(&mut Self)) {
        visit(self);
        if let Place::At(path) = place {
            let touched = self.everything || self.paths.iter().any(|other| other.starts_with(path));
            if !touched && !path.is_empty() {
                self.record(place);
            }
        }
    }

    /// `more` is the number of arguments that don't stand in the brackets.
    fn function(&mut self, name: &str, args: &[AstNode], more: usize, is_builtin: bool, here: &Place) {
        if !is_builtin {
            // A member that is a function: `date.toISO()`.
            let member = below(here, name);
            self.record(&member);
        }
        if is_builtin && takes_context(name, args.len() + more) {
            self.record(here);
        }
        self.record_all(args, here);
    }
}

fn below(here: &Place, name: &str) -> Place {
    match here {
        Place::At(path) => Place::At(path.iter().cloned().chain([name.to_owned()]).collect()),
        Place::Computed => Place::Computed,
    }
}

/// Whether a function called with so few arguments takes the context for the first.
fn takes_context(name: &str, arguments: usize) -> bool {
    let least = match name {
        "now" | "millis" | "random" | "uuid" | "zip" | "error" | "assert" => 0,
        "contains" | "each" | "formatBase" | "formatInteger" | "formatNumber" | "lookup" | "match"
        | "pad" | "parseInteger" | "power" | "sift" | "split" | "substring" | "substringAfter"
        | "substringBefore" => 2,
        "replace" => 3,
        _ => usize::from(super::names::is_built_in(name)),
    };
    arguments < least
}
