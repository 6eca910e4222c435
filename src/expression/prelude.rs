//! The functions of ours that are written in JSONata (`prelude.jsonata`): the library lets no function of the host call
//! a function it is given, so those that take one are JSONata themselves and leave the work to the host's.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use jsonata_core::ast::{AstNode, BinaryOp};
use jsonata_core::parser;

use super::names::Names;
use super::walk;

const SOURCE: &str = include_str!("prelude.jsonata");

/// `$name := function…`
struct Definition {
    name: String,
    node: AstNode,
    mentions: BTreeSet<String>,
}

static DEFINITIONS: LazyLock<Vec<Definition>> = LazyLock::new(|| {
    let Ok(AstNode::Block(nodes)) = parser::parse(SOURCE) else {
        return vec![]; // A test reads it.
    };
    nodes.into_iter().filter_map(definition).collect()
});

fn definition(mut node: AstNode) -> Option<Definition> {
    make_unsayable(&mut node);
    let AstNode::Binary { op: BinaryOp::ColonEqual, lhs, .. } = &node else { return None };
    let AstNode::Variable(name) = &**lhs else { return None };
    let name = name.clone();
    let mentions = Names::of(&node).mentioned.into_iter().map(str::to_owned).collect();
    Some(Definition { name, node, mentions })
}

/// Makes names that begin with `_` begin with a blank, which no expression can say.
fn make_unsayable(node: &mut AstNode) {
    if let AstNode::Variable(name) | AstNode::Function { name, .. } = node
        && let Some(rest) = name.strip_prefix('_')
    {
        *name = format!(" {rest}");
    }
    walk::change_children(node, &mut make_unsayable);
}

/// The names that an expression may use.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    DEFINITIONS.iter().map(|definition| definition.name.as_str()).filter(|name| !name.starts_with(' '))
}

/// What must stand before an expression that mentions `names`; and to `names` is added what that mentions itself.
pub(super) fn needed(names: &mut BTreeSet<String>) -> Vec<AstNode> {
    let mut needed = BTreeSet::<usize>::new();
    loop {
        let more: Vec<usize> = (0..DEFINITIONS.len())
            .filter(|index| names.contains(&DEFINITIONS[*index].name) && !needed.contains(index))
            .collect();
        if more.is_empty() {
            return needed.into_iter().map(|index| DEFINITIONS[index].node.clone()).collect();
        }
        for index in more {
            needed.insert(index);
            names.extend(DEFINITIONS[index].mentions.iter().cloned());
        }
    }
}
