//! `$sortNodes`: records that name their parents, in an order in which every parent comes before its children.

use std::collections::{HashMap, HashSet};

use jsonata_core::value::JValue;

use super::value::{at, compare, identity, is_truthy};
use super::{Answer, Args, Function};

pub(super) const FUNCTIONS: &[Function] = &[Function { name: "sortNodes", call: sort_nodes }];

/// `$sortNodes(records, idKey, parentKey, sequenceKey)`: each root is followed by all below it; siblings are ordered by
/// `sequence`, and by their place before where that says nothing. A record whose parent is not among the records, or is
/// itself, is a root. Of records that are each other's ancestors, which have no right order, the first is a root.
fn sort_nodes(args: &Args) -> Answer {
    let records = args.items(0);
    let (id, parent) = (args.text_or(1, "id")?, args.text_or(2, "parent_id")?);
    let sequence = args.text_or(3, "sequence")?;
    let ids: Vec<Option<String>> =
        records.iter().map(|record| at(record, id).map(identity).transpose()).collect::<Result<_, _>>()?;
    let known: HashSet<&String> = ids.iter().flatten().collect();

    let mut children: HashMap<String, Vec<usize>> = HashMap::new();
    let mut roots = vec![];
    for (index, record) in records.iter().enumerate() {
        let above = at(record, parent).filter(|above| is_truthy(above)).map(identity).transpose()?;
        match above.filter(|above| known.contains(above) && Some(above) != ids[index].as_ref()) {
            Some(above) => children.entry(above).or_default().push(index),
            None => roots.push(index),
        }
    }
    let at_sequence = |index: &usize| at(&records[*index], sequence).unwrap_or(&JValue::Undefined);
    let by_sequence = |a: &usize, b: &usize| compare(at_sequence(a), at_sequence(b));
    roots.sort_by(by_sequence);
    children.values_mut().for_each(|siblings| siblings.sort_by(by_sequence));

    let mut sorted = Vec::with_capacity(records.len());
    let mut seen = vec![false; records.len()];
    // After the roots come those that no root leads to: they are in cycles, or below one.
    for start in roots.into_iter().chain(0..records.len()) {
        let mut left = vec![start];
        while let Some(index) = left.pop() {
            if std::mem::replace(&mut seen[index], true) {
                continue;
            }
            sorted.push(records[index].clone());
            let below = ids[index].as_ref().and_then(|id| children.get(id));
            left.extend(below.into_iter().flatten().rev());
        }
    }
    Ok(JValue::array(sorted))
}
