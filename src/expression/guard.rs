//! What keeps an expression from growing values without bound. The library limits time, depth and the length of a
//! sequence; yet a string that is doubled sixty times, or an array that holds itself twice, outgrows any memory before
//! the clock is looked at, and one built-in function over such a value never ends.
//!
//! Values only grow like that where results are used again: by functions and variables, ranges, and `$$` inside a loop.
//! An expression without these is left as it is. In one that has them, what a function gives, what a variable holds and
//! what a function is called with is *weighed* (its whole size as JSON, shared parts counted each time); and what an array
//! constructor copies, and what each step of a path makes, is *spent* from an amount for the whole evaluation.

use jsonata_core::ast::{AstNode, BinaryOp, PathStep, StepId};
use jsonata_core::evaluator::EvaluatorError;
use jsonata_core::value::{JValue, with_stack};

use super::wording::refuse;
use super::world::State;
use super::{DEPTH_OF_VALUE_MAX, SPENT_BYTES_MAX, VALUE_BYTES_MAX, walk};

/// No name that an expression could say.
pub(super) const WEIGH: &str = "guard weigh";
/// No name that an expression could say.
pub(super) const SPEND: &str = "guard spend";
/// No name that an expression could say.
pub(super) const STEP: &str = "guard step";
/// What a value costs beside its text: about what it takes in memory.
const BYTES_A_VALUE: usize = 16;

/// Whether values can grow in `ast`.
pub(super) fn is_needed(ast: &AstNode) -> bool {
    walk::any(ast, &|node| match node {
        AstNode::Lambda { .. }
        | AstNode::ParentVariable(_)
        | AstNode::Parent(_)
        | AstNode::Transform { .. }
        | AstNode::Binary { op: BinaryOp::ColonEqual | BinaryOp::Range | BinaryOp::ChainPipe, .. } => true,
        AstNode::Function { args, .. } => args.iter().any(|arg| matches!(arg, AstNode::Placeholder)),
        AstNode::Path { steps } => steps.iter().any(|step| step.focus.is_some() || step.index_var.is_some()),
        _ => false,
    })
}

/// Puts the guards into `node`.
pub(super) fn put_into(node: &mut AstNode) {
    with_stack(|| walk::change_children(node, &mut put_into));
    match node {
        AstNode::Path { steps } => {
            if let Some((first, rest)) = steps.split_first_mut() {
                if matches!(first.node, AstNode::Function { .. }) {
                    wrap_step(first, WEIGH);
                }
                rest.iter_mut().for_each(spent_step);
            }
        }
        AstNode::Function { args, .. } | AstNode::Call { args, .. } => args.iter_mut().for_each(weighed),
        AstNode::Binary {
            op: BinaryOp::Concatenate | BinaryOp::Equal | BinaryOp::NotEqual | BinaryOp::In,
            lhs,
            rhs,
        } => {
            weighed(lhs);
            weighed(rhs);
        }
        // What stands behind `~>` is a call that lacks its first argument.
        AstNode::Binary { op: BinaryOp::ChainPipe, lhs, .. } => weighed(lhs),
        AstNode::Binary { op: BinaryOp::ColonEqual, rhs, .. } => weighed(rhs),
        AstNode::Lambda { body, .. } => weighed_result(body),
        AstNode::Array(items) | AstNode::ArrayGroup(items) => {
            for item in items.iter_mut().filter(|item| !is_literal(item)) {
                if !matches!(item, AstNode::Array(_) | AstNode::Lambda { .. }) {
                    wrap(item, SPEND);
                }
            }
        }
        _ => {}
    }
}

/// A function's result is weighed, except where it ends by calling a function: what that is called with is weighed, and
/// a wrapped call would be none in the tail, so that a loop written as a recursion would be as deep as it is long.
fn weighed_result(body: &mut AstNode) {
    match body {
        AstNode::Conditional { then_branch, else_branch, .. } => {
            weighed_result(then_branch);
            else_branch.iter_mut().for_each(|node| weighed_result(node));
        }
        AstNode::Block(nodes) => nodes.iter_mut().next_back().into_iter().for_each(weighed_result),
        AstNode::Call { .. } => {}
        AstNode::Function { name, .. } if !super::names::is_built_in(name) => {}
        _ => weighed(body),
    }
}

/// A step is done for each item, and what it makes is put together. A member was in what is weighed already; a block whose
/// path is needed as such (for `%`) is left.
fn spent_step(step: &mut PathStep) {
    let made = matches!(
        step.node,
        AstNode::Variable(_)
            | AstNode::ParentVariable(_)
            | AstNode::Function { .. }
            | AstNode::Object(_)
            | AstNode::FunctionApplication(_)
            | AstNode::Block(_)
            | AstNode::Array(_)
            | AstNode::ArrayGroup(_)
    );
    if !made || step.inner_tuple {
        return;
    }
    match &mut step.node {
        AstNode::FunctionApplication(inner) => wrap(inner, STEP),
        AstNode::ArrayGroup(items) | AstNode::Array(items) => {
            items.iter_mut().for_each(|item| wrap(item, STEP))
        }
        node => wrap(node, STEP),
    }
    step.id = StepId::default();
}

fn wrap_step(step: &mut PathStep, name: &str) {
    wrap(&mut step.node, name);
    step.id = StepId::default();
}

fn weighed(node: &mut AstNode) {
    if !is_small(node) {
        wrap(node, WEIGH);
    }
}

fn wrap(node: &mut AstNode, name: &str) {
    let inner = std::mem::replace(node, AstNode::Undefined);
    *node = AstNode::Function { name: name.to_owned(), args: vec![inner], is_builtin: true };
}

fn is_literal(node: &AstNode) -> bool {
    matches!(
        node,
        AstNode::String(_)
            | AstNode::Number(_)
            | AstNode::Boolean(_)
            | AstNode::Null
            | AstNode::Undefined
            | AstNode::Regex { .. }
            | AstNode::Placeholder
    )
}

/// Whether what `node` gives was weighed before, or is a part of something that was, or can't be large. (And what must
/// stay what it is: the library looks at a function given to `$map` to see how many arguments it takes.)
fn is_small(node: &AstNode) -> bool {
    match node {
        AstNode::Variable(_) | AstNode::ParentVariable(_) | AstNode::Name(_) | AstNode::Lambda { .. } => true,
        AstNode::Transform { .. } => true,
        AstNode::Path { steps } => {
            steps.first().is_some_and(|first| is_small(&first.node))
                && steps[1..].iter().all(|step| matches!(step.node, AstNode::Name(_)))
        }
        AstNode::Binary { op, .. } => !matches!(
            op,
            BinaryOp::Concatenate
                | BinaryOp::Range
                | BinaryOp::ChainPipe
                | BinaryOp::Coalesce
                | BinaryOp::Default
                | BinaryOp::ColonEqual
        ),
        AstNode::Function { name, args, .. } => {
            name == WEIGH
                || name == SPEND
                || name == STEP
                || args.iter().any(|arg| matches!(arg, AstNode::Placeholder))
        }
        _ => is_literal(node),
    }
}

/// Passes `value` on, unless it is too large.
pub(super) fn weigh(value: &JValue) -> Result<JValue, EvaluatorError> {
    let mut left = VALUE_BYTES_MAX;
    weigh_within(value, &mut left, 0)?;
    Ok(value.clone())
}

fn weigh_within(value: &JValue, left: &mut usize, depth: usize) -> Result<(), EvaluatorError> {
    if depth > DEPTH_OF_VALUE_MAX {
        return Err(refuse(format_args!(
            "a value within the expression nests deeper than {DEPTH_OF_VALUE_MAX} levels"
        )));
    }
    let mut take = |bytes: usize| match left.checked_sub(bytes + BYTES_A_VALUE) {
        Some(rest) => {
            *left = rest;
            Ok(())
        }
        None => {
            Err(refuse(format_args!("a value within the expression is larger than {VALUE_BYTES_MAX} bytes")))
        }
    };
    match value {
        JValue::String(text) => take(text.len()),
        JValue::Array(items) => {
            take(0)?;
            items.iter().try_for_each(|item| weigh_within(item, left, depth + 1))
        }
        JValue::Object(members) => {
            take(members.keys().map(String::len).sum())?;
            members.values().try_for_each(|member| weigh_within(member, left, depth + 1))
        }
        _ => take(0),
    }
}

/// Passes `value` on, and takes its whole size from what this evaluation may copy.
pub(super) fn spend_whole(value: &JValue, state: &State) -> Result<JValue, EvaluatorError> {
    let before = SPENT_BYTES_MAX.saturating_sub(state.spent.get());
    let mut left = before;
    weigh_within(value, &mut left, 0).map_err(|_| too_much())?;
    state.spent.set(state.spent.get() + before - left);
    Ok(value.clone())
}

fn too_much() -> EvaluatorError {
    refuse(format_args!("the expression makes more than {SPENT_BYTES_MAX} bytes of arrays and texts"))
}

/// Passes `value` on, and takes what a copy of it costs from what this evaluation may copy.
pub(super) fn spend(value: &JValue, state: &State) -> Result<JValue, EvaluatorError> {
    let bytes = match value {
        JValue::Array(items) => items.len() * BYTES_A_VALUE,
        JValue::String(text) => text.len(),
        _ => BYTES_A_VALUE,
    };
    let spent = state.spent.get().saturating_add(bytes);
    state.spent.set(spent);
    if spent > SPENT_BYTES_MAX {
        return Err(too_much());
    }
    Ok(value.clone())
}
