//! Which functions there are, and which of them an expression calls.

use std::collections::BTreeSet;

use jsonata_core::ast::{AstNode, BinaryOp, Stage};

use super::{functions, prelude, walk};

/// JSONata's own functions, without `$eval`: neither limits nor names could be checked in what it evaluates;
/// and with `$uuid`, which sees chance as `$random` does.
const BUILT_IN: [&str; 64] = [
    "abs",
    "append",
    "assert",
    "average",
    "base64decode",
    "base64encode",
    "boolean",
    "ceil",
    "contains",
    "count",
    "decodeUrl",
    "decodeUrlComponent",
    "distinct",
    "each",
    "encodeUrl",
    "encodeUrlComponent",
    "error",
    "exists",
    "filter",
    "floor",
    "formatBase",
    "formatInteger",
    "formatNumber",
    "fromMillis",
    "join",
    "keys",
    "length",
    "lookup",
    "lowercase",
    "map",
    "match",
    "max",
    "merge",
    "millis",
    "min",
    "not",
    "now",
    "number",
    "pad",
    "parseInteger",
    "power",
    "random",
    "reduce",
    "replace",
    "reverse",
    "round",
    "shuffle",
    "sift",
    "single",
    "sort",
    "split",
    "spread",
    "sqrt",
    "string",
    "substring",
    "substringAfter",
    "substringBefore",
    "sum",
    "toMillis",
    "trim",
    "type",
    "uppercase",
    "uuid",
    "zip",
];

/// All functions that an expression can call, JSONata's and ours, in order.
pub(super) fn all() -> impl Iterator<Item = &'static str> {
    let names: BTreeSet<&str> =
        BUILT_IN.into_iter().chain(functions::names()).chain(prelude::names()).collect();
    names.into_iter()
}

/// Whether calling `name` calls no function of the expression's own (unless it took the name).
pub(super) fn is_built_in(name: &str) -> bool {
    BUILT_IN.contains(&name) || functions::names().any(|other| other == name)
}

/// The names an expression mentions as `$name`, and those it gives a meaning itself.
pub(super) struct Names<'a> {
    pub(super) called: BTreeSet<&'a str>,
    pub(super) mentioned: BTreeSet<&'a str>,
    pub(super) bound: BTreeSet<&'a str>,
}

impl<'a> Names<'a> {
    pub(super) fn of(ast: &'a AstNode) -> Self {
        let mut names = Self { called: BTreeSet::new(), mentioned: BTreeSet::new(), bound: BTreeSet::new() };
        for node in walk::all(ast) {
            match node {
                AstNode::Function { name, is_builtin, .. } => {
                    names.mentioned.insert(name);
                    if *is_builtin {
                        names.called.insert(name);
                    }
                }
                AstNode::Variable(name) => {
                    names.mentioned.insert(name);
                    if name == "eval" {
                        names.called.insert(name);
                    }
                }
                AstNode::Lambda { params, .. } => names.bound.extend(params.iter().map(String::as_str)),
                AstNode::Binary { op: BinaryOp::ColonEqual, lhs, .. } => {
                    if let AstNode::Variable(name) = &**lhs {
                        names.bound.insert(name);
                    }
                }
                AstNode::Binary { op: BinaryOp::ChainPipe, rhs, .. } => {
                    if let AstNode::Variable(name) = &**rhs {
                        names.called.insert(name);
                    }
                }
                AstNode::Path { steps } => {
                    for step in steps {
                        names
                            .bound
                            .extend(step.focus.as_deref().into_iter().chain(step.index_var.as_deref()));
                        for stage in &step.stages {
                            if let Stage::Index(name) = stage {
                                names.bound.insert(name);
                            }
                        }
                    }
                }
                _ => {}
            }
        }
        names
    }

    /// The first called name that means nothing.
    pub(super) fn unknown(&self) -> Option<&'a str> {
        self.called
            .iter()
            .copied()
            .find(|name| !self.bound.contains(name) && !all().any(|other| other == *name))
    }
}
