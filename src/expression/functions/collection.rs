//! Arrays: as lodash does it, save that a value that is no array is an array of one, for JSONata often makes it so.

use std::collections::HashSet;

use jsonata_core::value::{JMap, JValue};

use super::iteratee::{chosen, keys};
use super::value::{at, compare, identity, is_truthy, object, text_of};
use super::{Answer, Args, Function};

pub(super) const FUNCTIONS: &[Function] = &[
    Function { name: "chunk", call: chunk },
    Function { name: "compact", call: |args| Ok(kept(args, is_truthy)) },
    Function { name: "difference", call: difference },
    Function { name: "flatten", call: |args| Ok(flat(args.items(0), 1)) },
    Function { name: "flattenDeep", call: |args| Ok(flat(args.items(0), usize::MAX)) },
    Function { name: "flattenDepth", call: |args| Ok(flat(args.items(0), args.count_or(1, 1)?)) },
    Function { name: "removeEmpty", call: remove_empty },
    Function { name: "removeEmptyItems", call: remove_empty_items },
    Function { name: "firstNonEmpty", call: first_non_empty },
    Function { name: " list", call: |args| Ok(JValue::array(args.items(0).to_vec())) },
    Function { name: " join", call: join },
    Function { name: " groupBy", call: group_by },
    Function { name: " keyBy", call: key_by },
    Function { name: " find", call: |args| Ok(chosen(args).next().cloned().unwrap_or(JValue::Undefined)) },
    Function { name: " lofilter", call: |args| Ok(JValue::array(chosen(args).cloned().collect())) },
    Function { name: " orderBy", call: order_by },
];

fn kept(args: &Args, test: fn(&JValue) -> bool) -> JValue {
    JValue::array(args.items(0).iter().filter(|item| test(item)).cloned().collect())
}

fn chunk(args: &Args) -> Answer {
    let size = args.count_or(1, 1)?;
    if size == 0 {
        return Ok(JValue::array(vec![]));
    }
    Ok(JValue::array(args.items(0).chunks(size).map(|chunk| JValue::array(chunk.to_vec())).collect()))
}

fn difference(args: &Args) -> Answer {
    let without = args.items(1).iter().map(identity).collect::<Result<HashSet<String>, _>>()?;
    let mut left = vec![];
    for item in args.items(0) {
        if !without.contains(&identity(item)?) {
            left.push(item.clone());
        }
    }
    Ok(JValue::array(left))
}

fn flat(items: &[JValue], depth: usize) -> JValue {
    let mut out = vec![];
    flatten_into(items, depth, &mut out);
    JValue::array(out)
}

fn flatten_into(items: &[JValue], depth: usize, out: &mut Vec<JValue>) {
    for item in items {
        match item {
            JValue::Array(inner) if depth > 0 => {
                jsonata_core::value::with_stack(|| flatten_into(inner, depth - 1, out));
            }
            other => out.push(other.clone()),
        }
    }
}

/// An empty array is no value at all; anything else stays.
fn remove_empty(args: &Args) -> Answer {
    let empty = match args.get(0) {
        JValue::Array(items) => items.is_empty(),
        JValue::Object(members) => members.is_empty(),
        JValue::String(text) => text.is_empty(),
        JValue::Null => true,
        _ => false,
    };
    Ok(if empty { JValue::Undefined } else { args.get(0).clone() })
}

fn remove_empty_items(args: &Args) -> Answer {
    if args.get(0).as_array().is_none() {
        return Ok(args.get(0).clone());
    }
    Ok(kept(args, |item| match item {
        JValue::Array(items) => !items.is_empty(),
        JValue::Object(members) => !members.is_empty(),
        other => is_truthy(other),
    }))
}

fn first_non_empty(args: &Args) -> Answer {
    let found = args.values.iter().find(|value| !value.is_undefined() && !value.is_null());
    Ok(found.cloned().unwrap_or(JValue::Undefined))
}

fn join(args: &Args) -> Answer {
    let separator = args.text_or(1, "")?;
    let texts: Vec<String> = args.items(0).iter().map(text_of).collect();
    let bytes = texts.iter().map(|text| text.len().saturating_add(separator.len())).sum();
    super::guards::bounded(args, bytes)?;
    Ok(JValue::string(texts.join(separator)))
}

fn group_by(args: &Args) -> Answer {
    let items = args.items(0);
    let mut groups: JMap = std::iter::empty().collect();
    for (item, key) in items.iter().zip(keys(items, args.get(1), args.get(2))) {
        let group = groups.entry(key_text(&key)).or_insert_with(|| JValue::array(vec![]));
        if let Some(group) = group.as_array_mut() {
            group.push(item.clone());
        }
    }
    Ok(object(groups.into_inner()))
}

fn key_by(args: &Args) -> Answer {
    let items = args.items(0);
    let keys = keys(items, args.get(1), args.get(2));
    Ok(object(items.iter().zip(keys).map(|(item, key)| (key_text(&key), item.clone()))))
}

/// A key as JavaScript makes it text.
fn key_text(key: &JValue) -> String {
    match key {
        JValue::Undefined => "undefined".to_owned(),
        JValue::Null => "null".to_owned(),
        other => text_of(other),
    }
}

/// Stable; a missing order is `asc`, and so is the last one's for what follows it.
fn order_by(args: &Args) -> Answer {
    let items = args.items(0);
    let descending: Vec<bool> = args.items(1).iter().map(|order| order.as_str() == Some("desc")).collect();
    let criteria: Vec<Vec<JValue>> = args.items(2).iter().map(|one| criterion(items, one)).collect();
    let mut order: Vec<usize> = (0..items.len()).collect();
    order.sort_by(|a, b| {
        let mut compared = criteria.iter().enumerate().map(|(index, keys)| {
            let order = compare(&keys[*a], &keys[*b]);
            if descending.get(index) == Some(&true) { order.reverse() } else { order }
        });
        compared.find(|order| order.is_ne()).unwrap_or(std::cmp::Ordering::Equal)
    });
    Ok(JValue::array(order.into_iter().map(|index| items[index].clone()).collect()))
}

/// What each item is by one criterion: `{"keys": [{"k": …}]}` from a function, or `{"by": "path"}`.
fn criterion(items: &[JValue], one: &JValue) -> Vec<JValue> {
    if let Some(answers) = one.get("keys").and_then(JValue::as_array) {
        let answer = |index: usize| answers.get(index).and_then(|answer| answer.get("k")).cloned();
        return (0..items.len()).map(|index| answer(index).unwrap_or(JValue::Undefined)).collect();
    }
    let path = one.get("by").and_then(JValue::as_str).unwrap_or_default();
    items.iter().map(|item| at(item, path).cloned().unwrap_or(JValue::Undefined)).collect()
}
