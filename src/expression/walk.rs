//! The nodes right below a node: what every analysis and every rewriting of an expression goes through.

use jsonata_core::ast::{AstNode, PathStep, Stage};

/// The nodes right below `node`, in the order they are written.
pub(super) fn children(node: &AstNode) -> Vec<&AstNode> {
    match node {
        AstNode::String(_)
        | AstNode::Name(_)
        | AstNode::Number(_)
        | AstNode::Boolean(_)
        | AstNode::Null
        | AstNode::Undefined
        | AstNode::Placeholder
        | AstNode::Regex { .. }
        | AstNode::Variable(_)
        | AstNode::ParentVariable(_)
        | AstNode::Wildcard
        | AstNode::Descendant
        | AstNode::Parent(_) => vec![],
        AstNode::Path { steps } => steps.iter().flat_map(of_step).collect(),
        AstNode::Binary { lhs, rhs, .. } => vec![lhs, rhs],
        AstNode::Unary { operand, .. } => vec![operand],
        AstNode::Function { args, .. } => args.iter().collect(),
        AstNode::Call { procedure, args } => std::iter::once(&**procedure).chain(args).collect(),
        AstNode::Lambda { body, .. } => vec![body],
        AstNode::Array(items) | AstNode::Block(items) | AstNode::ArrayGroup(items) => items.iter().collect(),
        AstNode::Object(pairs) => pairs.iter().flat_map(|(key, value)| [key, value]).collect(),
        AstNode::ObjectTransform { input, pattern } => {
            std::iter::once(&**input).chain(pattern.iter().flat_map(|(key, value)| [key, value])).collect()
        }
        AstNode::Conditional { condition, then_branch, else_branch } => {
            [&**condition, &**then_branch].into_iter().chain(else_branch.as_deref()).collect()
        }
        AstNode::FunctionApplication(inner) => vec![inner],
        AstNode::Sort { input, terms } => {
            std::iter::once(&**input).chain(terms.iter().map(|(term, _)| term)).collect()
        }
        AstNode::Transform { location, update, delete } => {
            [&**location, &**update].into_iter().chain(delete.as_deref()).collect()
        }
    }
}

/// The node of a step and those of its predicates.
fn of_step(step: &PathStep) -> Vec<&AstNode> {
    let stages = step.stages.iter().filter_map(|stage| match stage {
        Stage::Filter(test) => Some(&**test),
        Stage::KeepArray | Stage::Index(_) => None,
    });
    std::iter::once(&step.node).chain(stages).collect()
}

/// Does `change` to each node right below `node`.
pub(super) fn change_children(node: &mut AstNode, change: &mut dyn FnMut(&mut AstNode)) {
    match node {
        AstNode::String(_)
        | AstNode::Name(_)
        | AstNode::Number(_)
        | AstNode::Boolean(_)
        | AstNode::Null
        | AstNode::Undefined
        | AstNode::Placeholder
        | AstNode::Regex { .. }
        | AstNode::Variable(_)
        | AstNode::ParentVariable(_)
        | AstNode::Wildcard
        | AstNode::Descendant
        | AstNode::Parent(_) => {}
        AstNode::Path { steps } => {
            for step in steps {
                change(&mut step.node);
                for stage in &mut step.stages {
                    if let Stage::Filter(test) = stage {
                        change(test);
                    }
                }
            }
        }
        AstNode::Binary { lhs, rhs, .. } => [lhs, rhs].into_iter().for_each(|node| change(node)),
        AstNode::Unary { operand, .. } => change(operand),
        AstNode::Function { args, .. } => args.iter_mut().for_each(change),
        AstNode::Call { procedure, args } => {
            change(procedure);
            args.iter_mut().for_each(change);
        }
        AstNode::Lambda { body, .. } => change(body),
        AstNode::Array(items) | AstNode::Block(items) | AstNode::ArrayGroup(items) => {
            items.iter_mut().for_each(change);
        }
        AstNode::Object(pairs) => change_pairs(pairs, change),
        AstNode::ObjectTransform { input, pattern } => {
            change(input);
            change_pairs(pattern, change);
        }
        AstNode::Conditional { condition, then_branch, else_branch } => {
            change(condition);
            change(then_branch);
            else_branch.iter_mut().for_each(|node| change(node));
        }
        AstNode::FunctionApplication(inner) => change(inner),
        AstNode::Sort { input, terms } => {
            change(input);
            terms.iter_mut().for_each(|(term, _)| change(term));
        }
        AstNode::Transform { location, update, delete } => {
            change(location);
            change(update);
            delete.iter_mut().for_each(|node| change(node));
        }
    }
}

fn change_pairs(pairs: &mut [(AstNode, AstNode)], change: &mut dyn FnMut(&mut AstNode)) {
    for (key, value) in pairs {
        change(key);
        change(value);
    }
}

/// Whether `test` holds for `node` or any node below it.
pub(super) fn any(node: &AstNode, test: &dyn Fn(&AstNode) -> bool) -> bool {
    let mut left = vec![node];
    while let Some(node) = left.pop() {
        if test(node) {
            return true;
        }
        left.extend(children(node));
    }
    false
}

/// `node` and all nodes below it.
pub(super) fn all(node: &AstNode) -> Vec<&AstNode> {
    let mut found = vec![node];
    let mut next = 0;
    while let Some(node) = found.get(next).copied() {
        found.extend(children(node));
        next += 1;
    }
    found
}
